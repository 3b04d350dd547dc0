//! What the fuzz targets run (`fuzz/`, docs/fuzzing.md), over all seeds and over large inputs: nobody else builds them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../../fuzz/src/chunk.rs"]
mod chunk;
#[path = "../../../fuzz/src/form.rs"]
mod form;
#[path = "../../../fuzz/src/lines.rs"]
mod lines;
#[path = "../../../fuzz/src/policy.rs"]
mod policy;
#[path = "../../../fuzz/src/request.rs"]
mod request;
#[path = "../../../fuzz/src/signature.rs"]
mod signature;
#[path = "../../../fuzz/src/xml.rs"]
mod xml;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A target and what it runs.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 6] = [
    ("chunk", chunk::run),
    ("form", form::run),
    ("policy", policy::run),
    ("request", request::run),
    ("signature", signature::run),
    ("xml", xml::run),
];
/// No input takes a hundredth of it, in a build without optimization, on a machine that does nothing else; time that
/// grows with the square of an input's length is far beyond.
const LONG: Duration = Duration::from_secs(30);
/// Bytes of a large input: more than any reader takes.
const LARGE: usize = 5 << 20;

fn seeds() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds")
}

/// What is in a directory, by name.
fn names(of: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(of).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = entries.map(|name| name.into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

fn in_time(what: &str, run: impl FnOnce()) {
    let began = Instant::now();
    run();
    assert!(began.elapsed() < LONG, "{what} took {:?}", began.elapsed());
}

#[test]
fn every_seed_of_every_target() {
    assert_eq!(names(&seeds()), TARGETS.map(|(name, _)| name), "seeds of each target and of no other");
    for (name, run) in TARGETS {
        let of = seeds().join(name);
        let files = names(&of);
        assert!(files.len() > 1, "{name} has seeds");
        for file in files {
            let data = std::fs::read(of.join(&file)).expect("a seed");
            in_time(&format!("{name}/{file}"), || {
                run(&data);
                run(data.get(..data.len() / 2).unwrap_or_default());
                run(&data.iter().map(|byte| byte ^ 1).collect::<Vec<_>>());
            });
        }
    }
}

/// One thing many times, in what makes a reader read on: its beginning, the thing, its end.
const MANY: [(Target, &str, &str, &str); 22] = [
    (("xml", xml::run), "<Delete ", "a='' ", "/>"),
    (("xml", xml::run), "<Delete>", "<Object/>", "</Delete>"),
    (("xml", xml::run), "<Delete>", "<Object a='' b=''><Key>k</Key></Object>", "</Delete>"),
    (("xml", xml::run), "<CompleteMultipartUpload>", "<Part><PartNumber>1</PartNumber><ETag>a</ETag></Part>", ""),
    (("xml", xml::run), "<Tagging>", "&amp;", "</Tagging>"),
    (("xml", xml::run), "<Tagging>", "<!---->", "</Tagging>"),
    (("xml", xml::run), "<Tagging>", "<![CDATA[]]>", "</Tagging>"),
    (("xml", xml::run), "", "<a>", ""),
    (("xml", xml::run), "", "</a>", ""),
    (("policy", policy::run), "", "[", ""),
    (("policy", policy::run), "", "{\"a\":", ""),
    (
        ("policy", policy::run),
        "{\"Statement\":[",
        "{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"},",
        "{}]}",
    ),
    (("policy", policy::run), "{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"s3:", "*o", "\",\"Resource\":\"*\"}}"),
    (
        ("policy", policy::run),
        "{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"arn:aws:s3:::",
        "*b",
        "\"}}",
    ),
    (
        ("policy", policy::run),
        "{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"arn:aws:s3:::",
        "${a}",
        "\"}}",
    ),
    (("form", form::run), "\u{1}--b\r\nContent-Disposition: form-data; name=", "a;name=", "\r\n\r\n\r\n--b--"),
    (("form", form::run), "\u{ff}--b\r\nContent-Disposition: form-data; name=file\r\n\r\n", "\r\n--", "\r\n--b--"),
    (("form", form::run), "\u{ff}", "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n", ""),
    (("request", request::run), "GET /b?", "a&", "\n"),
    (("request", request::run), "GET /b/", "%", "\n"),
    (("signature", signature::run), "GET /b?", "a=%&", "\n"),
    (("signature", signature::run), "POST /\ncontent-type:application/x-www-form-urlencoded\n\n", "A.1=a&", ""),
];

#[test]
fn a_large_input_takes_no_longer_than_its_length() {
    for ((name, run), begin, many, end) in MANY {
        for length in [64 * 1024, LARGE] {
            let input = format!("{begin}{}{end}", many.repeat(length / many.len()));
            in_time(&format!("{length} bytes of {many} for {name}"), || run(input.as_bytes()));
        }
    }
}

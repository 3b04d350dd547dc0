//! One-character mutants of signed requests: each is refused, or means the same as the original by an independent reading.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;

use common::{EC2, How, Kind, Raw, S3, Table, raw, signed, verify};
use percent_encoding::percent_decode_str;
use time::OffsetDateTime;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);
const LEAST: usize = 12_000;

/// What a request means, read without the code under test. Equal meanings are the same request.
#[derive(Debug, PartialEq, Eq)]
struct Meaning {
    method: String,
    path: Vec<u8>,
    query: Vec<(Vec<u8>, Vec<u8>)>,
    headers: BTreeMap<String, Vec<String>>,
    authorization: Vec<String>,
    body: Vec<u8>,
}

fn decoded(text: &str) -> Vec<u8> {
    percent_decode_str(&text.replace('+', "%20")).collect()
}

/// Equivalence classes, each of which a server must not tell apart:
/// header names without case; blanks around and runs of blanks inside header values; order of different headers; headers that
/// nobody signed (a proxy may add them) unless they are `x-amz-*` or `host`; escapes of the same byte and order of query parameters;
/// `name` and `name=`; a body that the caller chose not to sign (S3's `UNSIGNED-PAYLOAD`, and its presigned URLs); for S3 escapes of the same path byte, elsewhere empty and dot segments; blanks around the commas of `Authorization`.
fn meaning(r: &Raw, kind: Kind) -> Meaning {
    let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut authorization = Vec::new();
    for (n, v) in &r.headers {
        let value = v.split([' ', '\t']).filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ");
        if n.eq_ignore_ascii_case("authorization") {
            let (algorithm, rest) = value.split_once(' ').unwrap_or((&value, ""));
            authorization.push(algorithm.to_owned());
            let mut parts: Vec<String> = rest.split(',').map(|p| p.trim().to_owned()).collect();
            parts.sort();
            authorization.extend(parts);
        } else {
            headers.entry(n.to_ascii_lowercase()).or_default().push(value);
        }
    }
    let mut query: Vec<(Vec<u8>, Vec<u8>)> = r
        .query()
        .split('&')
        .filter(|p| !p.is_empty())
        .map(|p| p.split_once('=').unwrap_or((p, "")))
        .map(|(n, v)| (decoded(n), decoded(v)))
        .collect();
    query.sort();
    let signed_list = authorization
        .iter()
        .find_map(|p| p.strip_prefix("SignedHeaders=").map(str::to_owned))
        .or_else(|| {
            let (_, v) = query.iter().find(|(n, _)| n == b"X-Amz-SignedHeaders")?;
            String::from_utf8(v.clone()).ok()
        })
        .unwrap_or_default();
    headers.retain(|n, _| signed_list.split(';').any(|s| s == n) || n.starts_with("x-amz-") || n == "host");
    let path = if kind.flavour == mallee_awswire::Flavour::S3 {
        percent_decode_str(r.path()).collect()
    } else {
        let mut parts: Vec<&str> = Vec::new();
        for p in r.path().split('/') {
            match p {
                "" | "." => {}
                ".." => drop(parts.pop()),
                p => parts.push(p),
            }
        }
        let tail = ["/", "/.", "/.."].iter().any(|t| r.path().ends_with(t)) && !parts.is_empty();
        format!("/{}{}", parts.join("/"), if tail { "/" } else { "" }).into_bytes()
    };
    let unsigned_body = kind == S3
        && (headers.get("x-amz-content-sha256").is_some_and(|v| v == &["UNSIGNED-PAYLOAD"])
            || authorization.is_empty());
    let body = if unsigned_body { Vec::new() } else { r.body.clone() };
    Meaning { method: r.method.clone(), path, query, headers, authorization, body }
}

/// The mutants of one position: a bit, the case, the neighbours, and characters that parsers like to misread.
fn mutants(text: &[u8], at: usize) -> Vec<Vec<u8>> {
    let with = |b: u8| {
        let mut t = text.to_vec();
        t[at] = b;
        t
    };
    let insert = |b: u8| {
        let mut t = text.to_vec();
        t.insert(at, b);
        t
    };
    let b = text[at];
    let mut all = vec![with(b ^ 1), with(b ^ 0x20), with(b.wrapping_add(1)), insert(b), insert(b'0'), insert(b' ')];
    all.extend([b'/', b'&', b'%', b',', b';', b'=', b'.'].map(with));
    let mut shorter = text.to_vec();
    shorter.remove(at);
    all.push(shorter);
    all.retain(|t| t != text);
    all
}

#[test]
fn every_mutant_is_refused_or_explained() {
    let token = "FwoGZXIvYXdzEB4aDExample+/==";
    let form = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");
    let originals = [
        (
            EC2,
            How::default(),
            raw("POST", "/", &[form, ("user-agent", "Boto3/1.44")], "Action=RunInstances&ImageId=ami-1&MaxCount=1"),
        ),
        (EC2, How::default(), raw("GET", "/services/compute/?Action=DescribeInstances&Filter.1.Name=a%20b", &[], "")),
        (EC2, How { token: Some(token), ..How::default() }, raw("POST", "/", &[form], "Action=DescribeVpcs")),
        (
            EC2,
            How { presign: Some(300), ..How::default() },
            raw("GET", "/?Action=GetCallerIdentity&Version=2011-06-15", &[], ""),
        ),
        (EC2, How { presign: Some(300), token: Some(token), ..How::default() }, raw("GET", "/?Action=X", &[], "")),
        (
            S3,
            How::default(),
            raw("PUT", "/bucket/a%20key/x~y", &[("x-amz-meta-a", "one  two"), ("content-type", "text/plain")], "hello"),
        ),
        (
            S3,
            How { payload: Some("UNSIGNED-PAYLOAD"), ..How::default() },
            raw("GET", "/bucket?list-type=2&prefix=a%2Fb", &[], ""),
        ),
        (
            S3,
            How { presign: Some(3600), ..How::default() },
            raw("GET", "/bucket/k?response-content-type=text%2Fplain", &[], ""),
        ),
    ];
    let (mut count, mut refused, mut explained) = (0, 0, 0);
    for (kind, how, original) in originals {
        let table = || Table { token: how.token.map(str::to_owned), expires_at: None };
        let sent = signed(&original, kind, how, NOW);
        let text = sent.text();
        let sent = Raw::parse(&text).unwrap();
        assert!(verify(&sent, kind, table(), NOW).is_ok(), "the original must verify");
        let want = meaning(&sent, kind);
        for at in 0..text.len() {
            for mutant in mutants(&text, at) {
                count += 1;
                let Some(parsed) = Raw::parse(&mutant) else {
                    refused += 1;
                    continue;
                };
                match verify(&parsed, kind, table(), NOW) {
                    Err(_) => refused += 1,
                    Ok(_) if meaning(&parsed, kind) == want => explained += 1,
                    Ok(_) => panic!(
                        "a mutant survives:\n{}\n--- of\n{}\n{:#?}\n{want:#?}",
                        String::from_utf8_lossy(&mutant),
                        String::from_utf8_lossy(&text),
                        meaning(&parsed, kind)
                    ),
                }
            }
        }
    }
    println!("{count} mutants: {refused} refused, {explained} the same request");
    assert!(count >= LEAST, "only {count} mutants");
    assert!(explained * 20 < count, "too many are explained away: {explained} of {count}");
}

//! The official SigV4 vectors, read as a server reads them: the signed request must verify.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;

use common::{Kind, Raw, Table, verify};
use mallee_awswire::Flavour;
use mallee_awswire::sigv4::{Fault, PathRules};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Cases that carry a token which was added after signing. AWS IoT did that; every other service, and we, want it signed.
const TOKEN_AFTER_SIGNING: &str = "post-sts-header-after";
/// Cases in an older form: only the canonical path is to be had from them.
const PATH_ONLY: [&str; 2] = ["double-encode-path", "double-url-encode"];

#[test]
fn every_official_vector() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/v4");
    let (mut verified, mut refused, mut paths) = (0, 0, 0);
    for entry in fs::read_dir(&root).unwrap() {
        let dir = entry.unwrap().path();
        let name = dir.file_name().unwrap().to_str().unwrap().to_owned();
        if PATH_ONLY.contains(&name.as_str()) {
            paths += 1;
            continue;
        }
        let context: Value = serde_json::from_slice(&fs::read(dir.join("context.json")).unwrap()).unwrap();
        let now = OffsetDateTime::parse(context["timestamp"].as_str().unwrap(), &Rfc3339).unwrap();
        let rules = PathRules { normalize: context["normalize"].as_bool().unwrap(), double_encode: false };
        let kind = Kind { service: "service", flavour: Flavour::Query, rules };
        let table = Table { token: context["credentials"]["token"].as_str().map(str::to_owned), expires_at: None };
        for form in ["header", "query"] {
            let text = fs::read(dir.join(format!("{form}-signed-request.txt"))).unwrap();
            let request = Raw::parse(&text).unwrap_or_else(|| panic!("{name} {form}: no HTTP request"));
            let answer = verify(&request, kind, table.clone(), now);
            match answer {
                Ok(_) if name != TOKEN_AFTER_SIGNING => verified += 1,
                Err(Some(Fault::Unsigned(_) | Fault::Mismatch { .. })) if name == TOKEN_AFTER_SIGNING => refused += 1,
                other => panic!(
                    "{name} {form}: {other:#?}\nexpected {}",
                    fs::read_to_string(dir.join(format!("{form}-canonical-request.txt"))).unwrap()
                ),
            }
            // The same, one second after its time.
            let late = now + time::Duration::seconds(context["expiration_in_seconds"].as_i64().unwrap() + 1);
            assert!(verify(&request, kind, table.clone(), late).is_err(), "{name} {form} late");
        }
    }
    assert_eq!((verified, refused, paths), (74, 2, 2));
}

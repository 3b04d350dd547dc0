//! Sign with AWS's own crate, verify with ours; and what must not verify.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a test fails by panicking")]

mod common;

use common::{EC2, How, KEY, Kind, Raw, S3, Table, raw, signed, verify};
use mallee_awswire::Flavour;
use mallee_awswire::codes::Code;
use mallee_awswire::sigv4::{Fault, Payload};
use proptest::prelude::*;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(EC2), Just(S3), Just(Kind { service: "iam", flavour: Flavour::Query, ..EC2 })]
}

fn escaped(max: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>(), 0..max).prop_map(|chars| {
        let mut out = String::new();
        let text: String = chars.into_iter().collect();
        mallee_awswire::sigv4::uri_encode(&mut out, text.as_bytes(), false);
        out
    })
}

fn requests() -> impl Strategy<Value = Raw> {
    (
        prop_oneof![Just("GET"), Just("PUT"), Just("POST"), Just("DELETE")],
        proptest::collection::vec(escaped(8), 0..5),
        proptest::collection::vec((escaped(6), proptest::option::of(escaped(6))), 0..6),
        proptest::collection::vec(("x-amz-meta-[a-z]{1,6}", "[!-~]([ -~]{0,12}[!-~])?"), 0..4),
        ".{0,60}",
    )
        .prop_map(|(method, path, query, headers, body)| {
            let mut target = format!("/{}", path.join("/"));
            for (i, (name, value)) in query.into_iter().enumerate() {
                target.push(if i == 0 { '?' } else { '&' });
                target.push_str(&format!("q{name}"));
                if let Some(value) = value {
                    target.push_str(&format!("={value}"));
                }
            }
            let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            raw(method, &target, &headers, &body)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_the_crate_signs_we_verify(
        request in requests(),
        kind in kinds(),
        presign in proptest::option::of(1u64..=604_800),
        token in proptest::option::of("[A-Za-z0-9+/=]{1,80}"),
        skew in -890i64..890,
    ) {
        // AWS's crate puts nothing about a body into a presigned URL of other services but the hash of what it gets.
        let how = How { presign, token: token.as_deref(), payload: None };
        let table = Table { token: token.clone(), expires_at: None };
        let sent = signed(&request, kind, how, NOW);
        let now = if presign.is_some() { NOW } else { NOW + Duration::seconds(skew) };
        let answer = verify(&sent, kind, table, now);
        prop_assert!(answer.is_ok(), "{:#?}\n{}", answer, String::from_utf8_lossy(&sent.text()));
        let answer = answer.unwrap();
        prop_assert_eq!(answer.principal, "alice");
        prop_assert_eq!(answer.claim.region, "eucalyptus");
    }
}

fn simple() -> Raw {
    raw(
        "POST",
        "/",
        &[("content-type", "application/x-www-form-urlencoded")],
        "Action=DescribeInstances&Version=2016-11-15",
    )
}

fn fault(raw: &Raw, kind: Kind, now: OffsetDateTime) -> Fault {
    verify(raw, kind, Table::default(), now).unwrap_err().expect("HTTP is well-formed")
}

#[test]
fn the_clock_window_is_fifteen_minutes() {
    let sent = signed(&simple(), EC2, How::default(), NOW);
    for ok in [-900, 900] {
        assert!(verify(&sent, EC2, Table::default(), NOW + Duration::seconds(ok)).is_ok());
    }
    for bad in [-901, 901] {
        let e = fault(&sent, EC2, NOW + Duration::seconds(bad)).to_api(Flavour::Ec2);
        assert_eq!((e.code(), e.message(), e.status()), (Code::RequestExpired, "Request has expired.", 400));
    }
    let late = fault(&sent, EC2, NOW + Duration::minutes(20));
    assert_eq!(
        late.to_api(Flavour::Query).message(),
        "Signature expired: 20260102T030405Z is now earlier than 20260102T030905Z (20260102T032405Z - 15 min.)"
    );
    let early = fault(&sent, EC2, NOW - Duration::minutes(20));
    assert!(early.to_api(Flavour::Query).message().starts_with("Signature not yet current: 20260102T030405Z"));
    assert_eq!(early.to_api(Flavour::S3).code(), Code::RequestTimeTooSkewed);
}

#[test]
fn presigned_urls_end_when_they_say() {
    let get = raw("GET", "/bucket/key%20x?versionId=1", &[], "");
    let sent = signed(&get, S3, How { presign: Some(60), ..How::default() }, NOW);
    assert!(verify(&sent, S3, Table::default(), NOW + Duration::seconds(60)).is_ok());
    let e = fault(&sent, S3, NOW + Duration::seconds(61)).to_api(Flavour::S3);
    assert_eq!((e.code(), e.message()), (Code::AccessDenied, "Request has expired"));
    assert!(verify(&sent, S3, Table::default(), NOW - Duration::minutes(16)).is_err());

    let week = signed(&get, S3, How { presign: Some(604_801), ..How::default() }, NOW);
    assert!(fault(&week, S3, NOW).to_api(Flavour::S3).message().contains("less than a week"));
    for expires in ["", "&X-Amz-Expires=0", "&X-Amz-Expires=-1", "&X-Amz-Expires=x"] {
        let mut sent = sent.clone();
        sent.target = sent.target.replace("&X-Amz-Expires=60", expires);
        assert!(matches!(fault(&sent, S3, NOW), Fault::Query(_)), "{expires}");
    }
}

/// Whoever has a presigned URL may add headers to its request, but none that say what it does.
#[test]
fn headers_that_say_what_a_request_does_are_signed() {
    let ours = ["", "-version", "-time", "-etag", "-list", "-change"].map(|end| format!("x-mallee-replica{end}"));
    let ours = ours.iter().map(String::as_str).chain(["x-amz-acl", "x-amz-tagging", "x-mallee-durability"]);
    for name in ours {
        for method in ["PUT", "DELETE"] {
            for presign in [None, Some(60)] {
                let how = How { presign, ..How::default() };
                let mut sent = signed(&raw(method, "/b/k", &[], ""), S3, how, NOW);
                assert!(verify(&sent, S3, Table::default(), NOW).is_ok());
                sent.headers.push((name.to_owned(), "x".to_owned()));
                let refused = fault(&sent, S3, NOW);
                assert_eq!(refused, Fault::Unsigned(name.to_owned()), "{method}");
                assert_eq!(refused.to_api(Flavour::S3).status(), 403);
                let by_its_sender = signed(&raw(method, "/b/k", &[(name, "x")], ""), S3, how, NOW);
                assert!(verify(&by_its_sender, S3, Table::default(), NOW).is_ok(), "{name}");
            }
        }
    }
    // The cloud's port says behind the signature where a request came from.
    let mut sent = signed(&raw("PUT", "/b/k", &[], ""), S3, How::default(), NOW);
    sent.headers.push(("x-mallee-from".to_owned(), "x".to_owned()));
    assert!(verify(&sent, S3, Table::default(), NOW).is_ok());
}

#[test]
fn keys_tokens_scopes_and_bodies() {
    let sent = signed(&simple(), EC2, How::default(), NOW);
    let change = |from: &str, to: &str| {
        let text = String::from_utf8(sent.text()).unwrap();
        assert!(text.contains(from), "{from}");
        Raw::parse(text.replacen(from, to, 1).as_bytes()).unwrap()
    };
    let other_key = fault(&change(KEY, "AKIDEXAMPLF"), EC2, NOW);
    assert_eq!(other_key, Fault::UnknownKey("AKIDEXAMPLF".to_owned()));
    let e = other_key.to_api(Flavour::Ec2);
    assert_eq!((e.status(), e.message()), (401, "AWS was not able to validate the provided access credentials"));
    assert_eq!(other_key.to_api(Flavour::Query).code(), Code::InvalidClientTokenId);
    assert_eq!(other_key.to_api(Flavour::S3).code(), Code::InvalidAccessKeyId);

    let other_body = fault(&change("DescribeInstances", "TerminateInstances"), EC2, NOW);
    assert!(matches!(other_body, Fault::Mismatch { .. }));
    assert_eq!(other_body.to_api(Flavour::Ec2).code(), Code::AuthFailure);
    assert_eq!(other_body.to_api(Flavour::Query).status(), 403);

    assert!(matches!(fault(&change("/ec2/aws4", "/iam/aws4"), EC2, NOW), Fault::Scope(_)));
    assert!(matches!(fault(&change("aws4_request", "aws5_request"), EC2, NOW), Fault::Scope(_)));
    assert!(matches!(fault(&change("20260102/", "20260103/"), EC2, NOW), Fault::Scope(_)));
    assert!(matches!(fault(&change("x-amz-date:", "x-amz-meta-a:b\nx-amz-date:"), EC2, NOW), Fault::Unsigned(_)));
    assert!(matches!(fault(&change("host:", "host:evil\nhost:"), EC2, NOW), Fault::Duplicate("host")));
    let mut twice = sent.clone();
    let authorization = twice.headers.iter().find(|(n, _)| n == "authorization").cloned().unwrap();
    twice.headers.push(authorization);
    assert_eq!(fault(&twice, EC2, NOW), Fault::Duplicate("authorization"));

    let unsigned = simple();
    assert_eq!(fault(&unsigned, EC2, NOW), Fault::Missing);
    assert_eq!(Fault::Missing.to_api(Flavour::Query).code(), Code::MissingAuthenticationToken);

    let ended = Table { token: Some("t".to_owned()), expires_at: Some(NOW) };
    let sent = signed(&simple(), EC2, How { token: Some("t"), ..How::default() }, NOW);
    assert!(verify(&sent, EC2, ended, NOW - Duration::seconds(1)).is_ok());
    let ended = Table { token: Some("t".to_owned()), expires_at: Some(NOW) };
    assert_eq!(verify(&sent, EC2, ended, NOW).unwrap_err(), Some(Fault::TokenExpired));
    assert_eq!(verify(&sent, EC2, Table::default(), NOW).unwrap_err(), Some(Fault::TokenInvalid));
}

#[test]
fn s3_bodies() {
    let put = raw("PUT", "/b/k", &[], "hello");
    let sent = signed(&put, S3, How::default(), NOW);
    assert!(matches!(verify(&sent, S3, Table::default(), NOW).unwrap().payload, Payload::Verified));
    let mut other = sent.clone();
    other.body = b"hellp".to_vec();
    let e = fault(&other, S3, NOW).to_api(Flavour::S3);
    assert_eq!(e.code(), Code::XAmzContentSha256Mismatch);
    assert_eq!(e.fields()[0].0, "ClientComputedContentSHA256");

    let open = signed(&put, S3, How { payload: Some("UNSIGNED-PAYLOAD"), ..How::default() }, NOW);
    assert!(matches!(verify(&open, S3, Table::default(), NOW).unwrap().payload, Payload::Unsigned));
    for word in ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"] {
        let sent = signed(&put, S3, How { payload: Some(word), ..How::default() }, NOW);
        assert!(matches!(verify(&sent, S3, Table::default(), NOW).unwrap().payload, Payload::Chunked(_)));
    }
    let odd = signed(&put, S3, How { payload: Some("STREAMING-SOMETHING"), ..How::default() }, NOW);
    assert_eq!(fault(&odd, S3, NOW), Fault::BadBodyHash);
    // Only S3 lets a caller leave its body unsigned.
    let ec2 = Kind { flavour: Flavour::S3, ..EC2 };
    let sent = signed(&simple(), ec2, How { payload: Some("UNSIGNED-PAYLOAD"), ..How::default() }, NOW);
    assert_eq!(fault(&sent, Kind { rules: S3.rules, ..EC2 }, NOW), Fault::BadBodyHash);
}

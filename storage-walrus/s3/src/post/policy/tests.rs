use super::*;
use proptest::prelude::*;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2030-01-01 00:00 UTC);

fn fields(pairs: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in pairs {
        fields.add(name, value).expect("once");
    }
    fields
}

fn policy(conditions: &str) -> Result<Policy, ApiError> {
    Policy::read(
        &STANDARD.encode(format!("{{\"expiration\": \"2030-01-01T01:00:00.000Z\", \"conditions\": [{conditions}]}}")),
    )
}

/// With a policy that names the bucket.
fn outcome(conditions: &str, pairs: &[(&str, &str)]) -> Result<RangeInclusive<u64>, (Code, String)> {
    let bucket = r#"{"bucket": "bucket1"}"#;
    check(&if conditions.is_empty() { bucket.to_owned() } else { format!("{conditions}, {bucket}") }, pairs)
}

fn check(conditions: &str, pairs: &[(&str, &str)]) -> Result<RangeInclusive<u64>, (Code, String)> {
    let policy = policy(conditions).expect("a policy");
    policy.check(&fields(pairs), "bucket1", NOW).map_err(|e| (e.code(), e.message().to_owned()))
}

#[test]
fn conditions() {
    let any = r#"["starts-with", "$key", ""]"#;
    for (conditions, pairs, refusal) in [
        (r#"{"bucket": "bucket1"}, ["starts-with", "$key", "user/"]"#, &[("key", "user/a")][..], ""),
        (r#"{"bUcKeT": "bucket1"}, ["StArTs-WiTh", "$KeY", "user/"]"#, &[("KEY", "user/a")], ""),
        (r#"["eq", "$key", "a"], ["content-length-range", 1, "10"]"#, &[("key", "a")], ""),
        (r#"{"bucket": "other"}"#, &[], r#"Policy Condition failed: ["eq", "$bucket", "other"]"#),
        (r#"{"key": "A"}"#, &[("key", "a")], r#"Policy Condition failed: ["eq", "$key", "A"]"#),
        (r#"{"key": "A"}"#, &[], r#"["eq", "$key", "A"]"#),
        (r#"["starts-with", "$key", "u\"x"]"#, &[("key", "a")], r#"["starts-with", "$key", "u\"x"]"#),
        (any, &[("key", "a"), ("acl", "public-read"), ("x-amz-meta-b", "")], "Extra input fields: acl, x-amz-meta-b"),
        (
            any,
            &[
                ("key", "a"),
                ("x-ignore-me", "1"),
                ("policy", "p"),
                ("signature", "s"),
                ("AWSAccessKeyId", "k"),
                ("x-amz-signature", "s"),
            ],
            "",
        ),
        // What is signed as somebody's must be said to be.
        (any, &[("key", "a"), ("x-amz-security-token", "t")], "Extra input fields: x-amz-security-token"),
        (r#"["starts-with", "$Content-Type", "image/"]"#, &[("content-type", "image/png, image/gif")], ""),
        (r#"["starts-with", "$Content-Type", "image/"]"#, &[("content-type", "image/png,text/html")], "failed"),
    ] {
        match outcome(conditions, pairs) {
            Ok(_) => assert_eq!(refusal, "", "{conditions}"),
            Err((code, text)) => {
                assert_eq!(code, Code::AccessDenied);
                assert!(!refusal.is_empty() && text.contains(refusal), "{conditions}: {text}");
                assert!(text.starts_with("Invalid according to Policy: "), "{text}");
            }
        }
    }
    // A policy that names no bucket would be good for all of them.
    for (conditions, pairs) in [
        (r#"["eq", "$key", "a"]"#, &[("key", "a"), ("bucket", "bucket1")][..]),
        (r#"["eq", "$key", "a"]"#, &[("key", "a")]),
        (r#"["content-length-range", 0, 9]"#, &[]),
    ] {
        let (code, text) = check(conditions, pairs).expect_err("no bucket");
        assert_eq!(code, Code::AccessDenied);
        assert!(text.contains("Extra input fields: bucket"), "{text}");
    }
    assert!(check(r#"["starts-with", "$bucket", "buc"], ["eq", "$key", "a"]"#, &[("key", "a")]).is_ok());
    let twice = r#"["content-length-range", 1, 10], ["content-length-range", 5, 20]"#;
    assert_eq!(outcome(twice, &[]), Ok(5..=10), "both hold");
    let late = policy("").expect("a policy").check(&fields(&[]), "b", datetime!(2030-01-01 01:00 UTC));
    assert!(late.expect_err("over").message().ends_with("Policy expired."));
}

#[test]
fn what_is_no_policy() {
    for conditions in [
        "{}",
        r#"{"a": "b", "c": "d"}"#,
        r#"{"a": 1}"#,
        "7",
        "[]",
        r#"["eq", "$key"]"#,
        r#"["eq", "key", "a"]"#,
        r#"["eq", "$", "a"]"#,
        r#"["eq", "$key", 7]"#,
        r#"["ends-with", "$key", "a"]"#,
        r#"["content-length-range", 0]"#,
        r#"["content-length-range", -1, 5]"#,
        r#"["content-length-range", 1.5, 5]"#,
        r#"["content-length-range", "x", 5]"#,
    ] {
        let error = policy(conditions).expect_err(conditions);
        assert_eq!(error.code(), Code::InvalidPolicyDocument, "{conditions}");
        assert!(error.message().starts_with("Invalid Policy: "), "{error}");
    }
    let whole = |text: &str| Policy::read(&STANDARD.encode(text)).expect_err("none").message().to_owned();
    assert_eq!(whole("nothing"), "Invalid Policy: Invalid JSON.");
    assert_eq!(whole("[]"), "Invalid Policy: Invalid JSON.");
    assert_eq!(whole(r#"{"conditions": []}"#), "Invalid Policy: Policy missing expiration.");
    assert_eq!(whole(r#"{"expiration": "2030-01-01T00:00:00Z"}"#), "Invalid Policy: Policy missing conditions.");
    assert!(whole(r#"{"EXPIRATION": "2030-01-01T00:00:00Z", "conditions": []}"#).contains("EXPIRATION"));
    for wrong in [
        "tomorrow",
        "2030-01-01 00:00:00Z",
        "2030-01-01T00:00:00+01:00",
        "2030-01-01T00:00:00z",
        "2030-01-01T00:00:00",
        "",
    ] {
        let said = whole(&format!(r#"{{"expiration": "{wrong}", "conditions": []}}"#));
        assert!(said.contains("'expiration'"), "{wrong}: {said}");
    }
    assert!(Policy::read("not base64!").is_err());
    assert!(policy(&vec![r#"{"a":"b"}"#; 1001].join(",")).is_err());
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,100}", json in "[\\[\\]{}\",:$a-z0-9 -]{0,100}") {
        drop(Policy::read(&text));
        drop(Policy::read(&STANDARD.encode(&text)));
        if let Ok(policy) = policy(&json) {
            drop(policy.check(&Fields::default(), "b", NOW));
        }
    }

    /// No value of a field that is not named gets past.
    #[test]
    fn every_field_is_named(name in "[a-z-]{1,12}", value in ".{0,10}") {
        prop_assume!(!FREE.contains(&name.as_str()) && !name.starts_with(IGNORED) && name != "key");
        let refused = outcome(r#"["starts-with", "$key", ""]"#, &[("key", "a"), (&name, &value)]);
        prop_assert!(refused.is_err());
    }
}

use super::*;
use http::{HeaderName, HeaderValue, Request};
use time::macros::datetime;

const NOW_MS: i64 = 1_893_456_000_000;

fn keys_with(claim: Option<&Claim>, method: &str, uri: &str, headers: &[(&'static str, &'static str)]) -> Keys {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let parts = request.body(()).expect("a request").into_parts().0;
    let asked = Asked::read(&parts, &[]).expect("an operation");
    of(&asked, &parts.headers, claim, NOW_MS)
}

fn keys(method: &str, uri: &str, headers: &[(&'static str, &'static str)]) -> Keys {
    keys_with(None, method, uri, headers)
}

fn value<'k>(keys: &'k Keys, name: &str) -> Option<&'k str> {
    keys.iter().find(|(key, _)| key == name).and_then(|(_, values)| values.first()).map(String::as_str)
}

/// What AWS's Service Authorization Reference lists for S3, and whether requests here have it.
#[test]
fn every_key_of_aws_is_provided_or_refused() {
    for (key, provided) in [
        ("s3:AccessGrantsInstanceArn", false),
        ("s3:AccessPointNetworkOrigin", false),
        ("s3:AccessPointTag/team", false),
        ("s3:BucketTag/team", false),
        ("s3:DataAccessPointAccount", false),
        ("s3:DataAccessPointArn", false),
        ("s3:ExistingJobOperation", false),
        ("s3:ExistingJobPriority", false),
        ("s3:ExistingObjectTag/team", true),
        ("s3:InventoryAccessibleOptionalFields", true),
        ("s3:JobSuspendedCause", false),
        ("s3:LocationConstraint", true),
        ("s3:ObjectCreationOperation", true),
        ("s3:RequestJobOperation", false),
        ("s3:RequestJobPriority", false),
        ("s3:RequestObjectTag/team", true),
        ("s3:RequestObjectTagKeys", true),
        ("s3:ResourceAccount", true),
        ("s3:TlsVersion", false),
        ("s3:VersionId", true),
        ("s3:authType", true),
        ("s3:delimiter", true),
        ("s3:destinationRegion", false),
        ("s3:if-match", true),
        ("s3:if-none-match", true),
        ("s3:isReplicationPauseRequest", false),
        ("s3:locationconstraint", true),
        ("s3:max-keys", true),
        ("s3:object-lock-legal-hold", true),
        ("s3:object-lock-mode", true),
        ("s3:object-lock-remaining-retention-days", true),
        ("s3:object-lock-retain-until-date", true),
        ("s3:prefix", true),
        ("s3:signatureAge", true),
        ("s3:signatureversion", true),
        ("s3:versionid", true),
        ("s3:x-amz-acl", true),
        ("s3:x-amz-content-sha256", true),
        ("s3:x-amz-copy-source", true),
        ("s3:x-amz-grant-full-control", true),
        ("s3:x-amz-grant-read", true),
        ("s3:x-amz-grant-read-acp", true),
        ("s3:x-amz-grant-write", true),
        ("s3:x-amz-grant-write-acp", true),
        ("s3:x-amz-metadata-directive", true),
        ("s3:x-amz-object-ownership", true),
        ("s3:x-amz-server-side-encryption", true),
        ("s3:x-amz-server-side-encryption-aws-kms-key-id", true),
        ("s3:x-amz-server-side-encryption-customer-algorithm", true),
        ("s3:x-amz-storage-class", true),
        ("s3:x-amz-website-redirect-location", true),
        ("s3:ExistingObjectTag/", false),
        ("s3:prefixes", false),
    ] {
        assert_eq!(provides(key), provided, "{key}");
    }
}

#[test]
fn locks_say_how_long() {
    let put = |until| {
        let headers = [("x-amz-object-lock-mode", "COMPLIANCE"), ("x-amz-object-lock-retain-until-date", until)];
        keys("PUT", "/b/k", &headers)
    };
    // NOW_MS is 2030-01-01T00:00:00Z.
    for (until, days) in [
        ("2030-01-11T00:00:00Z", "10"),
        ("2030-01-11T00:00:00.001Z", "11"),
        ("2030-01-11T01:00:00+01:00", "10"),
        ("2030-01-01T00:00:01Z", "1"),
        ("2029-12-31T00:00:00Z", "-1"),
    ] {
        assert_eq!(value(&put(until), "s3:object-lock-remaining-retention-days"), Some(days), "{until}");
    }
    let put = put("2030-01-11T01:00:00+01:00");
    assert_eq!(value(&put, "s3:object-lock-mode"), Some("COMPLIANCE"));
    assert_eq!(
        value(&put, "s3:object-lock-retain-until-date"),
        Some("2030-01-11T00:00:00.000Z"),
        "as policies read it"
    );
    let of_body = of_retention(Some("GOVERNANCE"), Some("2030-01-03T12:00:00Z"), NOW_MS);
    assert_eq!(value(&of_body, "s3:object-lock-mode"), Some("GOVERNANCE"));
    assert_eq!(value(&of_body, "s3:object-lock-remaining-retention-days"), Some("3"));
    let held = keys("PUT", "/b/k", &[("x-amz-object-lock-legal-hold", "ON")]);
    assert_eq!(value(&held, "s3:object-lock-legal-hold"), Some("ON"));
    assert_eq!(of_legal_hold("OFF"), held_key("OFF"));
}

fn held_key(status: &str) -> Keys {
    vec![("s3:object-lock-legal-hold".to_owned(), vec![status.to_owned()])]
}

#[test]
fn what_makes_an_object() {
    let creates = |method, uri, headers: &[(&'static str, &'static str)]| {
        value(&keys(method, uri, headers), "s3:ObjectCreationOperation").map(str::to_owned)
    };
    let source: &[(&'static str, &'static str)] = &[("x-amz-copy-source", "c/d")];
    for (method, uri, headers, wanted) in [
        ("PUT", "/b/k", &[][..], Some("true")),
        ("POST", "/b", &[], Some("true")),
        ("PUT", "/b/k", source, Some("true")),
        ("POST", "/b/k?uploadId=x", &[], Some("true")),
        ("POST", "/b/k?uploads", &[], Some("false")),
        ("PUT", "/b/k?partNumber=1&uploadId=x", &[], Some("false")),
        ("PUT", "/b/k?partNumber=1&uploadId=x", source, Some("false")),
        ("GET", "/b/k", &[], None),
        ("PUT", "/b/k?tagging", &[], None),
    ] {
        assert_eq!(creates(method, uri, headers).as_deref(), wanted, "{method} {uri}");
    }
}

#[test]
fn where_the_signature_stands() {
    let claim = |placement, version| Claim {
        version,
        access_key_id: "k".to_owned(),
        date: String::new(),
        region: String::new(),
        service: "s3".to_owned(),
        signed_headers: String::new(),
        signature: [0; 32],
        timestamp: datetime!(2029-12-31 23:59:58 UTC),
        timestamp_text: "20291231T235958Z".to_owned(),
        session_token: None,
        placement,
    };
    for (placement, kind) in [
        (Placement::Header, "REST-HEADER"),
        (Placement::Query { expires: 1 }, "REST-QUERY-STRING"),
        (Placement::Form, "POST"),
    ] {
        for (version, name) in [(SignatureVersion::V2, "AWS"), (SignatureVersion::V4, "AWS4-HMAC-SHA256")] {
            let claim = claim(placement, version);
            let keys = keys_with(Some(&claim), "POST", "/b", &[]);
            assert_eq!(value(&keys, "s3:authType"), Some(kind));
            assert_eq!(value(&keys, "s3:signatureversion"), Some(name));
            assert_eq!(value(&keys, "s3:signatureAge"), Some("2000"));
        }
    }
    assert_eq!(value(&keys("GET", "/b/k", &[]), "s3:authType"), None, "nobody signed");
}

#[test]
fn fields_of_inventories_and_how_replicas_are_encrypted() {
    let asked = of_inventory(vec!["Size".to_owned(), "ETag".to_owned()]);
    assert_eq!(
        asked,
        [("s3:InventoryAccessibleOptionalFields".to_owned(), vec!["Size".to_owned(), "ETag".to_owned()])]
    );
    assert!(of_inventory(Vec::new()).is_empty() && of_encryption(None).is_empty());
    let customer = Encryption::Customer { salt: String::new(), digest: String::new(), dek: String::new() };
    let keys = of_encryption(Some(&customer));
    assert_eq!(value(&keys, "s3:x-amz-server-side-encryption-customer-algorithm"), Some("AES256"));
    assert_eq!(value(&keys, "s3:x-amz-server-side-encryption"), None);
}

#[test]
fn conditions_of_a_batch_are_each_objects_own() {
    let header: &[(&'static str, &'static str)] = &[("if-match", "\"e\"")];
    assert_eq!(value(&keys("DELETE", "/b/k", header), "s3:if-match"), Some("\"e\""));
    assert_eq!(value(&keys("POST", "/b?delete", header), "s3:if-match"), None);
    let own = of_deleted(Some("v"), Some("\"x\""));
    assert_eq!((value(&own, "s3:VersionId"), value(&own, "s3:if-match")), (Some("v"), Some("\"x\"")));
    assert!(of_deleted(None, None).is_empty());
}

#[test]
fn tags_of_a_copy_are_its_sources_unless_it_says_otherwise() {
    let copy = |directive| {
        let headers = [("x-amz-copy-source", "c/d"), ("x-amz-tagging", "a=1"), ("x-amz-tagging-directive", directive)];
        value(&keys("PUT", "/b/k", &headers), "s3:RequestObjectTag/a").map(str::to_owned)
    };
    assert_eq!(copy("REPLACE").as_deref(), Some("1"));
    assert_eq!(copy("COPY"), None, "the header's are not written");
    assert_eq!(value(&keys("PUT", "/b/k", &[("x-amz-tagging", "a=1")]), "s3:RequestObjectTag/a"), Some("1"));
}

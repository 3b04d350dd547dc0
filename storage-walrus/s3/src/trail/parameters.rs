//! What a record shows of a request, as CloudTrail shows requests of S3: its bucket, host and parameters, the headers that
//! ask for something, and what its body says.

use crate::asked::Asked;
use crate::headers::text;
use crate::operation::Operation;
use crate::ops::durability::DURABILITY;
use http::HeaderMap;
use http::header::HOST;
use http::request::Parts;
use mallee_awswire::xml_read::{Element, XmlLimits};
use mallee_s3_config::inventory::Inventory;
use mallee_s3_config::lifecycle::Lifecycle;
use mallee_s3_config::notification::Notification;
use mallee_s3_config::{
    BucketEncryption, Cors, Document as _, Durability, Logging, ObjectLock, OwnershipControls, PublicAccessBlock,
    Replication, RequestPayment, Tagging, Website,
};
use serde_json::{Map, Value, json};

/// A longer body is left out.
const BODY_BYTES_MAX: usize = 100 * 1024;
/// Under which name a body is shown that has none of its own.
const BODY: &str = "body";
/// Integers of more digits are shown as texts.
const DIGITS_MAX: usize = 15;
/// Headers that ask for something. (That of a second factor has its code in it.)
const HEADERS: &[&str] = &[
    "x-amz-acl",
    "x-amz-bucket-object-lock-enabled",
    "x-amz-confirm-remove-self-bucket-access",
    "x-amz-expected-bucket-owner",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
    "x-amz-object-ownership",
    "x-amz-skip-destination-validation",
    "x-amz-transition-default-minimum-object-size",
    DURABILITY,
];
/// Parameters that only sign, in lower case; and those that begin with `x-`.
const SIGNS: &[&str] = &["awsaccesskeyid", "expires", "signature"];

/// What the head says.
pub(super) fn of_head(asked: &Asked, head: &Parts) -> Map<String, Value> {
    let mut shown = Map::new();
    if !asked.bucket.is_empty() {
        shown.insert("bucketName".to_owned(), Value::from(asked.bucket.as_str()));
    }
    if let Some(host) = host(&head.headers).or_else(|| head.uri.authority().map(ToString::to_string)) {
        shown.insert("Host".to_owned(), Value::from(host));
    }
    for name in HEADERS {
        if let Some(value) = text(&head.headers, name) {
            shown.insert((*name).to_owned(), Value::from(value));
        }
    }
    // Their names are anybody's: what is said above stays.
    for (name, value) in asked.query.pairs() {
        let small = name.to_ascii_lowercase();
        if !SIGNS.contains(&small.as_str()) && (!small.starts_with("x-") || name == asked.operation.row().subresource) {
            shown.entry(name).or_insert_with(|| Value::from(value));
        }
    }
    shown
}

fn host(headers: &HeaderMap) -> Option<String> {
    text(headers, HOST.as_str()).map(str::to_owned)
}

/// What a body says, and under which name; none where it says nothing, or nothing that can be read: then it is refused.
/// A root that is not the operation's (which is refused, too) has no name of its own: it could be that of something else.
pub(super) fn of_body(operation: Operation, body: &[u8]) -> Option<(&'static str, Value)> {
    if body.len() > BODY_BYTES_MAX {
        return Some((BODY, json!({ "omitted": true, "originalSizeExceeds": BODY_BYTES_MAX })));
    }
    if operation == Operation::PutBucketPolicy {
        return Some(("bucketPolicy", serde_json::from_slice(body).ok()?));
    }
    let root = Element::parse(body, XmlLimits::bytes(BODY_BYTES_MAX)).ok()?;
    let value = of_element(&root);
    Some(match root_of(operation).filter(|own| *own == root.name) {
        Some(own) => (own, value),
        None => (BODY, json!({ (root.name): value })),
    })
}

/// The root element of an operation's body.
fn root_of(operation: Operation) -> Option<&'static str> {
    Some(match operation {
        Operation::CreateBucket => "CreateBucketConfiguration",
        Operation::PutBucketAcl => "AccessControlPolicy",
        Operation::PutBucketCors => Cors::ROOT,
        Operation::PutBucketDurability => Durability::ROOT,
        Operation::PutBucketEncryption => BucketEncryption::ROOT,
        Operation::PutBucketInventoryConfiguration => Inventory::ROOT,
        Operation::PutBucketLifecycleConfiguration => Lifecycle::ROOT,
        Operation::PutBucketLogging => Logging::ROOT,
        Operation::PutBucketNotificationConfiguration => Notification::ROOT,
        Operation::PutBucketOwnershipControls => OwnershipControls::ROOT,
        Operation::PutBucketReplication => Replication::ROOT,
        Operation::PutBucketRequestPayment => RequestPayment::ROOT,
        Operation::PutBucketTagging => Tagging::ROOT,
        Operation::PutBucketVersioning => "VersioningConfiguration",
        Operation::PutBucketWebsite => Website::ROOT,
        Operation::PutObjectLockConfiguration => ObjectLock::ROOT,
        Operation::PutPublicAccessBlock => PublicAccessBlock::ROOT,
        _ => return None,
    })
}

/// An element without children is its text; others are objects, in which elements of one name are a list.
fn of_element(element: &Element) -> Value {
    if element.children.is_empty() && element.attributes.is_empty() {
        return of_text(element.text.trim());
    }
    let mut shown = Map::new();
    for (name, value) in &element.attributes {
        shown.insert(name.clone(), Value::from(value.as_str()));
    }
    if element.children.is_empty() {
        shown.insert("content".to_owned(), of_text(element.text.trim()));
    }
    for child in &element.children {
        let value = of_element(child);
        match shown.get_mut(&child.name) {
            None => drop(shown.insert(child.name.clone(), value)),
            Some(Value::Array(list)) => list.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Value::Object(shown)
}

/// CloudTrail shows numbers and truths as such, whatever they are of.
fn of_text(text: &str) -> Value {
    let digits = text.len() <= DIGITS_MAX && text.bytes().all(|b| b.is_ascii_digit());
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        number if digits && (number == "0" || !number.starts_with('0')) => {
            number.parse::<u64>().map_or_else(|_| Value::from(text), Value::from)
        }
        _ => Value::from(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn head(method: &str, uri: &str, headers: &[(&'static str, &str)]) -> (Asked, Parts) {
        let mut request = Request::builder().method(method).uri(uri).header("host", "b.s3.test:8773");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        (Asked::read(&parts, &["s3.test".to_owned()]).unwrap(), parts)
    }

    #[test]
    fn a_head_is_shown_without_what_signs() {
        let headers = [("x-amz-acl", "private"), ("x-amz-mfa", "serial 123456"), ("authorization", "AWS …")];
        let uri = "/?acl&x-id=PutBucketAcl&X-Amz-Signature=00&X-Amz-Security-Token=canary&Signature=canary";
        let (asked, parts) = head("PUT", uri, &headers);
        let expected = json!({ "bucketName": "b", "Host": "b.s3.test:8773", "acl": "", "x-amz-acl": "private" });
        assert_eq!(Value::Object(of_head(&asked, &parts)), expected);
        let (asked, parts) = head("PUT", "/?x-mallee-durability", &[]);
        assert_eq!(of_head(&asked, &parts)["x-mallee-durability"], "");
    }

    #[test]
    fn bodies_are_shown_as_cloudtrail_shows_them() {
        let rules = br#"<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule><ID>a</ID>
            <Filter><Prefix/></Filter><Expiration><Days>7</Days></Expiration></Rule><Rule><ID>007</ID></Rule>
            </LifecycleConfiguration>"#;
        let (name, value) = of_body(Operation::PutBucketLifecycleConfiguration, rules).unwrap();
        let expected = json!({ "Rule": [
            { "ID": "a", "Filter": { "Prefix": "" }, "Expiration": { "Days": 7 } },
            { "ID": "007" },
        ] });
        assert_eq!((name, value), ("LifecycleConfiguration", expected));
        let grantee = br#"<AccessControlPolicy xmlns:xsi="x"><Grantee xsi:type="Group">g</Grantee><On>true</On>
            </AccessControlPolicy>"#;
        let (_, value) = of_body(Operation::PutBucketAcl, grantee).unwrap();
        assert_eq!(value, json!({ "Grantee": { "type": "Group", "content": "g" }, "On": true }));
        let (name, value) = of_body(Operation::PutBucketPolicy, br#"{"Version":"2012-10-17"}"#).unwrap();
        assert_eq!((name, value), ("bucketPolicy", json!({ "Version": "2012-10-17" })));
        assert_eq!(of_body(Operation::PutBucketPolicy, b"{"), None);
        assert_eq!(of_body(Operation::PutBucketAcl, b""), None);
        let (_, value) = of_body(Operation::PutBucketTagging, &vec![b' '; BODY_BYTES_MAX + 1]).unwrap();
        assert_eq!(value["omitted"], true);
    }

    #[test]
    fn nothing_is_shown_in_the_place_of_something_else() {
        for root in ["bucketName", "Host", "x-amz-acl", "tagging", "LifecycleConfiguration"] {
            let body = format!("<{root}>other</{root}>");
            let (name, value) = of_body(Operation::PutBucketTagging, body.as_bytes()).unwrap();
            assert_eq!((name, value), ("body", json!({ (root): "other" })));
        }
        let uri = "/?tagging&bucketName=other&Host=other&x-amz-acl=other&Tagging=other";
        let (asked, parts) = head("PUT", uri, &[("x-amz-acl", "private")]);
        let expected = json!({
            "bucketName": "b", "Host": "b.s3.test:8773", "x-amz-acl": "private", "tagging": "", "Tagging": "other",
        });
        assert_eq!(Value::Object(of_head(&asked, &parts)), expected);
    }
}

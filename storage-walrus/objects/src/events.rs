//! What is told of a change, and to whom: pure, from the configuration of the bucket to messages
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>).

use crate::origin::{LIFECYCLE, Origin};
use crate::version::VersionId;
use mallee_runtime::clock::from_unix_ms;
use mallee_s3_config::notification::Notification;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// A change of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) key: String,
    pub(crate) version: VersionId,
    pub(crate) what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// An object was written.
    Written { size: u64, etag: String },
    /// A version went for good.
    Removed,
    /// A delete marker was written.
    Marked,
    /// Its tags were set, or (`cleared`) removed.
    Tagged { cleared: bool, size: u64, etag: String },
    /// Its access control list was set.
    Acl { size: u64, etag: String },
    /// It has another storage class.
    Class { size: u64, etag: String, class: String },
}

/// The bucket of a change, as messages name it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'b> {
    pub(crate) bucket: &'b str,
    pub(crate) owner: &'b str,
    pub(crate) region: &'b str,
    /// Versions have ids that are told.
    pub(crate) versioned: bool,
}

/// What stays as it is in the key of an event: S3 encodes as forms do.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b'/');

/// The entity tag of a delete marker in events: that of nothing.
const MARKER_ETAG: &str = "d41d8cd98f00b204e9800998ecf8427e";

/// A key as events have it.
fn encoded(key: &str) -> String {
    utf8_percent_encode(key, PLAIN).to_string().replace("%20", "+")
}

/// `1970-01-01T00:00:00.000Z`
pub(crate) fn event_time(at: OffsetDateTime) -> String {
    use time::macros::format_description;
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    at.format(&form).unwrap_or_default()
}

/// The name of the event, and the version of its record; `None`: nobody is told of this.
fn name(change: &Change, operation: &str) -> Option<(&'static str, &'static str)> {
    Some(match (&change.what, operation) {
        (What::Written { .. }, "CopyObject") => ("ObjectCreated:Copy", "2.1"),
        (What::Written { .. }, "CompleteMultipartUpload") => ("ObjectCreated:CompleteMultipartUpload", "2.1"),
        (What::Written { .. }, "PostObject") => ("ObjectCreated:Post", "2.1"),
        (What::Written { .. }, _) => ("ObjectCreated:Put", "2.1"),
        (What::Removed, LIFECYCLE) => ("LifecycleExpiration:Delete", "2.3"),
        (What::Marked, LIFECYCLE) => ("LifecycleExpiration:DeleteMarkerCreated", "2.3"),
        (What::Removed, _) => ("ObjectRemoved:Delete", "2.1"),
        (What::Marked, _) => ("ObjectRemoved:DeleteMarkerCreated", "2.1"),
        (What::Tagged { cleared: false, .. }, _) => ("ObjectTagging:Put", "2.3"),
        (What::Tagged { cleared: true, .. }, _) => ("ObjectTagging:Delete", "2.3"),
        (What::Acl { .. }, _) => ("ObjectAcl:Put", "2.3"),
        (What::Class { .. }, LIFECYCLE) => ("LifecycleTransition", "2.3"),
        (What::Class { .. }, _) => return None,
    })
}

/// A message to be kept until it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) target: String,
    pub(crate) key: String,
    pub(crate) doc: String,
}

/// The messages about a change.
pub(crate) fn told(
    notification: &Notification,
    place: Place<'_>,
    change: &Change,
    origin: &Origin,
    now_ms: i64,
) -> Vec<Told> {
    let Some((event, version)) = name(change, origin.operation) else { return Vec::new() };
    let wanting = notification.configurations.iter().filter(|c| c.wants(event, &change.key));
    wanting
        .map(|configuration| Told {
            target: configuration.target.to_string(),
            key: change.key.clone(),
            doc: record(event, version, &configuration.id, place, change, origin, now_ms).to_string(),
        })
        .collect()
}

/// One record, without its sequencer: that is the number of the message, which its making gives it.
fn record(
    event: &str,
    version: &str,
    configuration: &str,
    place: Place<'_>,
    change: &Change,
    origin: &Origin,
    now_ms: i64,
) -> Value {
    let mut object = json!({ "key": encoded(&change.key) });
    match &change.what {
        What::Written { size, etag }
        | What::Tagged { size, etag, .. }
        | What::Acl { size, etag }
        | What::Class { size, etag, .. } => {
            object["size"] = json!(size);
            object["eTag"] = json!(etag);
        }
        What::Marked => object["eTag"] = json!(MARKER_ETAG),
        What::Removed => {}
    }
    if place.versioned {
        object["versionId"] = json!(change.version.to_string());
    }
    let mut parameters = json!({});
    if let Some(address) = &origin.address {
        parameters["sourceIPAddress"] = json!(address);
    }
    let mut record = json!({
        "eventVersion": version,
        "eventSource": "aws:s3",
        "awsRegion": place.region,
        "eventTime": event_time(from_unix_ms(now_ms)),
        "eventName": event,
        "userIdentity": { "principalId": origin.principal },
        "requestParameters": parameters,
        "responseElements": { "x-amz-request-id": origin.request_id, "x-amz-id-2": origin.request_id },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": configuration,
            "bucket": {
                "name": place.bucket,
                "ownerIdentity": { "principalId": place.owner },
                "arn": format!("arn:aws:s3:::{}", place.bucket),
            },
            "object": object,
        },
    });
    if let What::Class { class, .. } = &change.what {
        record["lifecycleEventData"] = json!({ "transitionEventData": { "destinationStorageClass": class } });
    }
    record
}

/// What each target of a new configuration is told first.
pub(crate) fn tests(notification: &Notification, bucket: &str, request_id: &str, now_ms: i64) -> Vec<Told> {
    let doc = json!({
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": event_time(from_unix_ms(now_ms)),
        "Bucket": bucket,
        "RequestId": request_id,
        "HostId": request_id,
    })
    .to_string();
    let mut targets: Vec<String> = notification.configurations.iter().map(|c| c.target.to_string()).collect();
    targets.sort();
    targets.dedup();
    targets.into_iter().map(|target| Told { target, key: String::new(), doc: doc.clone() }).collect()
}

/// The text that a target is sent: a message with its number filled in.
#[must_use]
pub fn message(doc: &str, number: i64) -> Option<String> {
    let mut value: Value = serde_json::from_str(doc).ok()?;
    if value.get("Event").is_some() {
        return Some(value.to_string());
    }
    let object = value.get_mut("s3")?.get_mut("object")?.as_object_mut()?;
    object.insert("sequencer".to_owned(), json!(format!("{number:016X}")));
    Some(json!({ "Records": [value] }).to_string())
}

#[cfg(test)]
mod tests_of_events {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn notification() -> Notification {
        let text = "<NotificationConfiguration><QueueConfiguration><Id>c</Id><Queue>arn:aws:sqs:r:111111111111:q</Queue>\
             <Event>s3:ObjectCreated:*</Event><Event>s3:ObjectRemoved:*</Event><Event>s3:LifecycleExpiration:*</Event>\
             </QueueConfiguration></NotificationConfiguration>";
        mallee_s3_config::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn records_are_as_aws_has_them() {
        let place = Place { bucket: "b", owner: "111111111111", region: "r", versioned: true };
        let version = VersionId { rank: -5, random: 7 };
        let origin = Origin {
            operation: "PutObject",
            principal: "p".into(),
            address: Some("10.0.0.1".into()),
            request_id: "q".into(),
        };
        let written = What::Written { size: 3, etag: "e".into() };
        let change = Change { key: "a b/ü+*.x".into(), version, what: written };
        let made = told(&notification(), place, &change, &origin, 1500);
        let [one] = made.as_slice() else { panic!("{made:?}") };
        assert_eq!((one.target.as_str(), one.key.as_str()), ("arn:aws:sqs:r:111111111111:q", "a b/ü+*.x"));
        let whole: Value = serde_json::from_str(&message(&one.doc, 31).unwrap()).unwrap();
        let record = &whole["Records"][0];
        assert_eq!(record["eventName"], "ObjectCreated:Put");
        assert_eq!(record["eventTime"], "1970-01-01T00:00:01.500Z");
        assert_eq!(record["requestParameters"]["sourceIPAddress"], "10.0.0.1");
        let object = json!({ "key": "a+b/%C3%BC%2B*.x", "size": 3, "eTag": "e", "versionId": version.to_string(),
            "sequencer": "000000000000001F" });
        assert_eq!(record["s3"]["object"], object);
        assert_eq!(record["s3"]["bucket"]["arn"], "arn:aws:s3:::b");
        for (what, operation, event) in [
            (What::Written { size: 0, etag: String::new() }, "CopyObject", Some("ObjectCreated:Copy")),
            (What::Removed, "DeleteObject", Some("ObjectRemoved:Delete")),
            (What::Marked, "DeleteObjects", Some("ObjectRemoved:DeleteMarkerCreated")),
            (What::Marked, LIFECYCLE, Some("LifecycleExpiration:DeleteMarkerCreated")),
            (What::Tagged { cleared: false, size: 0, etag: String::new() }, "PutObjectTagging", None),
            (What::Class { size: 0, etag: String::new(), class: "C".into() }, LIFECYCLE, None),
        ] {
            let origin = Origin { operation, ..origin.clone() };
            let made = told(&notification(), place, &Change { what, ..change.clone() }, &origin, 0);
            let names: Vec<Value> =
                made.iter().map(|t| serde_json::from_str::<Value>(&t.doc).unwrap()["eventName"].clone()).collect();
            assert_eq!(names, event.into_iter().map(Value::from).collect::<Vec<_>>());
        }
    }

    /// The record that a rule's change is told by.
    fn of_rule(what: What) -> Value {
        let place = Place { bucket: "b", owner: "111111111111", region: "r", versioned: true };
        let change = Change { key: "k".into(), version: VersionId { rank: -5, random: 7 }, what };
        let (event, version) = name(&change, LIFECYCLE).unwrap();
        record(event, version, "c", place, &change, &Origin::internal(LIFECYCLE, "q".into()), 0)
    }

    #[test]
    fn what_rules_do_is_told_as_aws_tells_it() {
        let moved = of_rule(What::Class { size: 3, etag: "e".into(), class: "GLACIER_IR".into() });
        assert_eq!(moved["eventName"], "LifecycleTransition");
        assert_eq!(moved["lifecycleEventData"]["transitionEventData"]["destinationStorageClass"], "GLACIER_IR");
        let marked = of_rule(What::Marked);
        assert_eq!(marked["s3"]["object"]["eTag"], MARKER_ETAG);
        for record in [moved, marked.clone()] {
            assert_eq!(record["requestParameters"]["sourceIPAddress"], "s3.amazonaws.com");
            assert_eq!(record["userIdentity"]["principalId"], "s3.amazonaws.com");
        }
        assert!(marked.get("lifecycleEventData").is_none());
        assert!(of_rule(What::Removed)["s3"]["object"].get("eTag").is_none());
    }

    #[test]
    fn each_target_is_tested_once() {
        let made = tests(&notification(), "b", "q", 0);
        assert_eq!(made.len(), 1);
        let text = message(&made[0].doc, 1).unwrap();
        assert!(text.contains("s3:TestEvent") && !text.contains("Records"), "{text}");
    }
}

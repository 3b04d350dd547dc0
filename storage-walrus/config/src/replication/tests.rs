#![allow(clippy::unwrap_used)]
use super::*;
use crate::{parse, text};

const ROLE: &str = "arn:aws:iam::111111111111:role/p/r";

fn rule(inner: &str) -> String {
    format!("<Rule><Status>Enabled</Status>{inner}</Rule>")
}

fn read(rules: &str) -> Result<Replication, ApiError> {
    let text = format!("<ReplicationConfiguration><Role>{ROLE}</Role>{rules}</ReplicationConfiguration>");
    parse(text.as_bytes())
}

fn to(name: &str) -> String {
    format!("<Destination><Bucket>arn:aws:s3:::{name}</Bucket></Destination>")
}

fn second(priority: u32, filter: &str, name: &str, markers: &str) -> String {
    rule(&format!(
        "<ID>{priority}</ID><Priority>{priority}</Priority><Filter>{filter}</Filter>{}\
         <DeleteMarkerReplication><Status>{markers}</Status></DeleteMarkerReplication>",
        to(name)
    ))
}

#[test]
fn they_read_back() {
    let whole = "<Rule><ID>a</ID><Priority>3</Priority><Filter><And><Prefix>p/</Prefix><Tag><Key>k</Key><Value>v</Value>\
        </Tag></And></Filter><Status>Disabled</Status><SourceSelectionCriteria><SseKmsEncryptedObjects><Status>Disabled\
        </Status></SseKmsEncryptedObjects><ReplicaModifications><Status>Enabled</Status></ReplicaModifications>\
        </SourceSelectionCriteria><ExistingObjectReplication><Status>Disabled</Status></ExistingObjectReplication>\
        <Destination><Bucket>arn:aws:s3:far::b</Bucket><Account>222222222222</Account><StorageClass>STANDARD_IA\
        </StorageClass><AccessControlTranslation><Owner>Destination</Owner></AccessControlTranslation><ReplicationTime>\
        <Status>Disabled</Status><Time><Minutes>15</Minutes></Time></ReplicationTime><Metrics><Status>Disabled</Status>\
        </Metrics></Destination><DeleteMarkerReplication><Status>Disabled</Status></DeleteMarkerReplication></Rule>";
    let found = read(whole).unwrap();
    assert_eq!(parse::<Replication>(text(&found).as_bytes()).unwrap(), found);
    let only = &found.rules[0];
    assert_eq!((only.priority, only.enabled, only.replica_modifications), (Some(3), false, Some(true)));
    assert_eq!(only.destination.bucket, BucketArn { peer: Some("far".into()), name: "b".into() });
    let old = read(&rule(&format!("<Prefix/>{}", to("b")))).unwrap();
    assert!(old.rules[0].is_first_form() && old.rules[0].delete_markers && old.rules[0].id == "rule-1");
    assert_eq!(parse::<Replication>(text(&old).as_bytes()).unwrap(), old);
    let named = rule(&format!("<Prefix>a</Prefix>{}", to("b")))
        + &rule(&format!("<ID>rule-1</ID><Prefix>b</Prefix>{}", to("b")));
    let ids: Vec<String> = read(&named).unwrap().rules.into_iter().map(|rule| rule.id).collect();
    assert_eq!(ids, ["rule-2", "rule-1"], "the id that was made is another one");
}

#[test]
fn what_is_refused() {
    let v2 = |more: &str| rule(&format!("{more}<Filter/>{}", to("b")));
    let priority = "<Priority>1</Priority>";
    let markers = "<DeleteMarkerReplication><Status>Disabled</Status></DeleteMarkerReplication>";
    let v1 = |prefix: &str, bucket: &str| rule(&format!("<ID>{prefix}</ID><Prefix>{prefix}</Prefix>{}", to(bucket)));
    let at = |destination: &str| rule(&format!("<Prefix/><Destination>{destination}</Destination>"));
    let bucket = "<Bucket>arn:aws:s3:::b</Bucket>";
    let on = "<Status>Enabled</Status>";
    for (rules, code) in [
        (String::new(), Code::MalformedXml),
        (rule(&to("b")), Code::MalformedXml),
        (rule("<Prefix/>"), Code::MalformedXml),
        (format!("<Rule><Prefix/>{}</Rule>", to("b")), Code::MalformedXml),
        (rule(&format!("<Prefix/><Filter/>{}", to("b"))), Code::MalformedXml),
        (rule(&format!("<Prefix/><New/>{}", to("b"))), Code::MalformedXml),
        (v2(priority), Code::InvalidRequest),
        (v2(markers), Code::InvalidRequest),
        (rule(&format!("<Prefix/>{priority}{}", to("b"))), Code::InvalidRequest),
        (second(1, "<Tag><Key>k</Key><Value>v</Value></Tag>", "b", "Enabled"), Code::InvalidRequest),
        (second(1, "<ObjectSizeLessThan>9</ObjectSizeLessThan>", "b", "Disabled"), Code::MalformedXml),
        (second(1, "", "b", "Disabled") + &v1("a", "b"), Code::InvalidRequest),
        (second(1, "", "b", "Disabled") + &second(1, "", "c", "Disabled"), Code::InvalidArgument),
        (
            second(1, "", "b", "Disabled") + &second(1, "", "c", "Disabled").replacen("<ID>1", "<ID>2", 1),
            Code::InvalidRequest,
        ),
        (v1("a", "b") + &v1("ab", "b"), Code::InvalidRequest),
        (v1("a", "b") + &v1("c", "c"), Code::InvalidRequest),
        (at("<Bucket>b</Bucket>"), Code::InvalidArgument),
        (at("<Bucket>arn:aws:s3:::b/k</Bucket>"), Code::InvalidArgument),
        (at(&format!("{bucket}<Account>1</Account>")), Code::InvalidArgument),
        (at(&format!("{bucket}<StorageClass>NEW</StorageClass>")), Code::InvalidStorageClass),
        (at(&format!("{bucket}<StorageClass>GLACIER</StorageClass>")), Code::NotImplemented),
        (
            at(&format!("{bucket}<AccessControlTranslation><Owner>Destination</Owner></AccessControlTranslation>")),
            Code::InvalidRequest,
        ),
        (at(&format!("{bucket}<EncryptionConfiguration/>")), Code::NotImplemented),
        (at(&format!("{bucket}<Metrics>{on}</Metrics>")), Code::NotImplemented),
        (at(&format!("{bucket}<ReplicationTime>{on}</ReplicationTime>")), Code::NotImplemented),
        (
            rule(&format!("<Prefix/>{}<ExistingObjectReplication>{on}</ExistingObjectReplication>", to("b"))),
            Code::NotImplemented,
        ),
        (
            rule(&format!(
                "<Prefix/>{}<SourceSelectionCriteria><SseKmsEncryptedObjects>{on}</SseKmsEncryptedObjects>\
                 </SourceSelectionCriteria>",
                to("b")
            )),
            Code::NotImplemented,
        ),
    ] {
        assert_eq!(read(&rules).map_err(|error| error.code()), Err(code), "{rules}");
    }
    for role in ["r", "arn:aws:iam::1:role/r", "arn:aws:iam::111111111111:user/r", "arn:aws:iam::111111111111:role/"] {
        let text = format!(
            "<ReplicationConfiguration><Role>{role}</Role>{}</ReplicationConfiguration>",
            rule(&format!("<Prefix/>{}", to("b")))
        );
        assert_eq!(parse::<Replication>(text.as_bytes()).map_err(|e| e.code()), Err(Code::InvalidArgument), "{role}");
    }
}

#[test]
fn which_rules_count() {
    let tag = "<Tag><Key>k</Key><Value>v</Value></Tag>";
    let found = read(
        &[
            second(1, "<Prefix>a</Prefix>", "x", "Enabled"),
            second(5, "<Prefix>ab</Prefix>", "x", "Disabled"),
            second(3, "", "y", "Enabled"),
            second(9, tag, "y", "Disabled"),
            second(10, "", "z", "Enabled").replacen("Enabled", "Disabled", 1),
        ]
        .concat(),
    )
    .unwrap();
    let ids = |rules: Vec<&ReplicationRule>| rules.into_iter().map(|rule| rule.id.clone()).collect::<Vec<_>>();
    let tagged = [("k".to_owned(), "v".to_owned())].into_iter().collect();
    assert_eq!(ids(found.of_object("a", &BTreeMap::new())), ["1", "3"]);
    assert_eq!(ids(found.of_object("abc", &tagged)), ["5", "9"]);
    assert_eq!(ids(found.of_object("b", &tagged)), ["9"]);
    assert_eq!(ids(found.of_marker("a")), ["1", "3"]);
    assert_eq!(ids(found.of_marker("abc")), ["3"], "the rule that counts does not bring them along");
    let one = |destination, key, tags| found.to(destination, key, tags).map(|rule| rule.id.as_str());
    assert_eq!(one("arn:aws:s3:::x", "abc", Some(&tagged)), Some("5"));
    assert_eq!(one("arn:aws:s3:::x", "b", Some(&tagged)), Some("1"), "its tags or the rules have changed");
    assert_eq!(one("arn:aws:s3:::z", "b", None), None, "it is disabled");
}

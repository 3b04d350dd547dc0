//! The audit trail of S3: who manages buckets is recorded, allowed, refused or wrong; what is about objects is not.

use crate::world::{Answer, World};
use crate::{ALL, NONE};
use mallee_audit::Record;
use mallee_s3::{Operation, Scope};
use serde_json::json;

fn id(answer: &Answer) -> String {
    answer.headers.get("x-amz-request-id").unwrap().to_str().unwrap().to_owned()
}

async fn record(world: &World, answer: &Answer) -> Record {
    let id = id(answer);
    let records = world.records(&id).await;
    let [record] = records.iter().filter(|r| r.request_id == id).collect::<Vec<_>>()[..] else { panic!("{records:?}") };
    record.clone()
}

const RULES: &str = "<LifecycleConfiguration><Rule><ID>a</ID><Status>Enabled</Status><Filter><Prefix>x</Prefix></Filter>\
                     <Expiration><Days>7</Days></Expiration></Rule></LifecycleConfiguration>";

#[tokio::test]
async fn a_configuration_is_recorded_as_cloudtrail_does() {
    let world = World::new().await;
    world.stock().await;
    let user = world.user("ann", &[ALL], None).await;
    let agent = [("user-agent", "test/1")];
    let put = world.s3_with("PUT", "/b?lifecycle=", &agent, RULES, &user).await;
    assert_eq!(put.status, 200, "{}", put.text);
    let found = record(&world, &put).await;
    assert_eq!((found.event_source.as_str(), found.event_name.as_str()), ("s3.amazonaws.com", "PutBucketLifecycle"));
    assert!(!found.read_only && found.management_event && found.error_code.is_none(), "{found:?}");
    let who = &found.user_identity;
    assert_eq!((who.kind.as_str(), who.user_name.as_deref()), ("IAMUser", Some("ann")));
    assert_eq!(who.access_key_id.as_deref(), Some(user.id.as_str()));
    assert_eq!((found.recipient_account_id.as_str(), found.user_agent.as_str()), (world.account.as_str(), "test/1"));
    let asked = &found.request_parameters;
    assert_eq!((&asked["bucketName"], &asked["lifecycle"]), (&json!("b"), &json!("")));
    assert_eq!(asked["LifecycleConfiguration"]["Rule"]["Expiration"], json!({ "Days": 7 }));
    let [about] = &found.resources[..] else { panic!("{found:?}") };
    assert_eq!((about.kind.as_str(), about.name.as_str()), ("AWS::S3::Bucket", "b"));
    assert_eq!(
        (about.arn.as_deref(), about.account_id.as_deref()),
        (Some("arn:aws:s3:::b"), Some(world.account.as_str()))
    );
    assert_eq!(found.additional_event_data["SignatureVersion"], "SigV4");
    let got = world.s3("GET", "/b?lifecycle=", &user).await;
    let found = record(&world, &got).await;
    assert!(found.read_only && found.event_name == "GetBucketLifecycle", "{found:?}");
    let listed = world.s3("GET", "/", &user).await;
    let found = record(&world, &listed).await;
    assert!(found.event_name == "ListBuckets" && found.resources.is_empty(), "{found:?}");
}

#[tokio::test]
async fn what_is_refused_is_recorded_with_its_error() {
    let world = World::new().await;
    world.stock().await;
    let (nobody, user) = (world.user("none", &[NONE], None).await, world.user("ann", &[ALL], None).await);
    let (stranger, boss) = world.account("000000000777").await;
    for (answer, name, code, account) in [
        (world.s3("DELETE", "/b", &nobody).await, "DeleteBucket", "AccessDenied", world.account.as_str()),
        (world.s3("DELETE", "/b", &user).await, "DeleteBucket", "BucketNotEmpty", world.account.as_str()),
        (world.s3("DELETE", "/absent", &user).await, "DeleteBucket", "NoSuchBucket", world.account.as_str()),
        (world.s3("GET", "/b?policy=", &user).await, "GetBucketPolicy", "NoSuchBucketPolicy", world.account.as_str()),
        (world.s3("GET", "/b?policy=", &boss).await, "GetBucketPolicy", "AccessDenied", stranger.as_str()),
        (world.s3_with("PUT", "/new", &[], "<no", &user).await, "CreateBucket", "MalformedXML", world.account.as_str()),
        (world.s3_unsigned("GET", "/b?acl=", &[], "").await, "GetBucketAcl", "AccessDenied", world.account.as_str()),
    ] {
        let found = record(&world, &answer).await;
        assert_eq!((found.event_name.as_str(), found.error_code.as_deref()), (name, Some(code)), "{found:?}");
        assert_eq!((found.recipient_account_id.as_str(), answer.code.as_str()), (account, code), "{found:?}");
        assert!(found.error_message.is_some_and(|text| !text.is_empty()));
    }
}

#[tokio::test]
async fn every_operation_on_buckets_is_recorded_and_none_on_objects() {
    let world = World::new().await;
    world.stock().await;
    let user = world.user("ann", &[ALL], None).await;
    let mut recorded = 0;
    for operation in Operation::ALL {
        let row = operation.row();
        // Forms have a signature of their own.
        if *operation == Operation::PostObject {
            continue;
        }
        let target = match row.scope {
            Scope::Service => "/",
            Scope::Bucket => "/k",
            Scope::Object => "/k/none",
        };
        let path =
            if row.subresource.is_empty() { target.to_owned() } else { format!("{target}?{}=", row.subresource) };
        let answer = world.s3(row.method, &path, &user).await;
        // The trail has this one last: what comes before it is there.
        let after = id(&world.s3("DELETE", "/k?cors=", &user).await);
        let records = world.records(&after).await;
        let found = records.iter().filter(|record| record.request_id == id(&answer)).count();
        let data = row.scope == Scope::Object
            || matches!(row.name, "HeadBucket" | "DeleteObjects" | "CreateSession" | "ListMultipartUploads")
            || row.name.starts_with("ListObject");
        assert_eq!(found, usize::from(!data), "{operation:?}: {}", answer.text);
        recorded += found;
        world.stock().await;
    }
    assert!(recorded > 70, "{recorded}");
}

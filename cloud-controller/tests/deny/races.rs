//! What is decided is what is done: objects that are written anew, and buckets that are closed, while a request that was
//! decided waits.

use crate::world::{Answer, REGION, World};
use mallee_runtime::FaultAction;
use mallee_s3::objects::{Delete, ListQuery, UploadDoc};
use std::sync::Arc;
use std::time::Duration;

/// How long a request waits at its point.
const PAUSE: Duration = Duration::from_millis(700);
const OWNER_WRITES: &str =
    "<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>";
const ENFORCED: &str =
    "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>";

/// Secrets are neither read nor given away.
const DENY_SECRETS: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*",
    "Action":["s3:GetObject","s3:PutObjectAcl","s3:PutObjectTagging"],"Resource":["arn:aws:s3:::b/*","arn:aws:s3:::c/*"],
    "Condition":{"StringEquals":{"s3:ExistingObjectTag/secret":"yes"}}}]}"#;

/// Sends a request as root, and does something while it waits at a point.
async fn meanwhile(
    world: &Arc<World>,
    point: &str,
    (method, path): (&'static str, &'static str),
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    change: impl Future<Output = ()>,
) -> Answer {
    let faults = world.objects().faults();
    let before = faults.hit().len();
    faults.arm(point, FaultAction::Delay(PAUSE), 1);
    let sender = world.clone();
    let sent = tokio::spawn(async move { sender.s3_with(method, path, headers, body, &sender.root).await });
    while faults.hit().len() == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    change.await;
    sent.await.unwrap()
}

/// An operation, its request, headers and body.
type Case = (&'static str, (&'static str, &'static str), &'static [(&'static str, &'static str)], &'static str);

#[tokio::test(flavor = "multi_thread")]
async fn what_took_an_objects_place_is_decided_too() {
    let world = Arc::new(World::new().await);
    let cases: [Case; 4] = [
        ("GetObject", ("GET", "/b/k"), &[], ""),
        ("CopyObject", ("PUT", "/c/copy"), &[("x-amz-copy-source", "b/k")], ""),
        ("PutObjectAcl", ("PUT", "/b/k?acl="), &[("x-amz-acl", "authenticated-read")], ""),
        (
            "PutObjectTagging",
            ("PUT", "/b/k?tagging="),
            &[],
            "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
        ),
    ];
    world.stock().await;
    world.open("b").await;
    let owns = world.s3_with("PUT", "/b?ownershipControls=", &[], OWNER_WRITES, &world.root).await;
    assert_eq!(owns.status, 200, "{}", owns.text);
    world.set_policy(Some(DENY_SECRETS)).await;
    for (name, request, headers, body) in cases {
        for point in ["walrus.decided", "walrus.properties.commit"] {
            if point == "walrus.properties.commit" && matches!(name, "GetObject" | "CopyObject") {
                continue;
            }
            world.write("b", "k", "public", &[("secret", "no")]).await;
            let secret = world.write("b", "k", "hidden", &[("secret", "yes")]);
            let answer = meanwhile(&world, point, request, headers, body, secret).await;
            assert_eq!((answer.status, answer.code.as_str()), (403, "AccessDenied"), "{name} {point}: {}", answer.text);
            assert!(!answer.text.contains("hidden"), "{name}");
            // What may be used as what was there before may be.
            world.write("b", "k", "public", &[("secret", "no")]).await;
            let other = world.write("b", "k", "public too", &[]);
            let answer = meanwhile(&world, point, request, headers, body, other).await;
            assert_eq!(answer.status, 200, "{name} {point}: {}", answer.text);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_what_forbids_them_are_never_both() {
    let world = Arc::new(World::new().await);
    world.stock().await;
    world.open("b").await;
    let root = async |method, path: &str, headers: &[(&'static str, &str)], body: &str| {
        let answer = world.s3_with(method, path, headers, body, &world.root).await;
        (answer.status, answer.code)
    };
    let done = (200, String::new());
    let acl: &'static [(&str, &str)] = &[("x-amz-acl", "public-read")];
    assert_eq!(root("PUT", "/b?ownershipControls=", &[], OWNER_WRITES).await, done);
    assert_eq!(root("PUT", "/b?acl=", acl, "").await, done);
    let refused = (400, "InvalidBucketAclWithObjectOwnership".to_owned());
    assert_eq!(root("PUT", "/b?ownershipControls=", &[], ENFORCED).await, refused);
    assert_eq!(root("PUT", "/b?acl=", &[("x-amz-acl", "private")], "").await, done);
    // Public lists are blocked after the request was decided.
    let engine = world.objects().clone();
    let block = async move {
        // Without a word everything public is blocked.
        assert!(engine.remove_document("b", "public-access-block", "").await.unwrap());
    };
    let answer = meanwhile(&world, "walrus.config.commit", ("PUT", "/b?acl="), acl, "", block).await;
    assert_eq!((answer.status, answer.code.as_str()), (403, "AccessDenied"), "{}", answer.text);
    assert!(answer.text.contains("BlockPublicAcls"), "{}", answer.text);
    // Lists are turned off after it was.
    world.open("b").await;
    let engine = world.objects().clone();
    let close = async move {
        assert!(engine.remove_document("b", "ownership-controls", "").await.unwrap());
    };
    let answer = meanwhile(&world, "walrus.config.commit", ("PUT", "/b?acl="), acl, "", close).await;
    assert_eq!((answer.status, answer.code.as_str()), (400, "AccessControlListNotSupported"), "{}", answer.text);
    assert_eq!(root("PUT", "/b?ownershipControls=", &[], ENFORCED).await, done, "there is no list that grants");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_object_becomes_public_where_that_is_blocked_meanwhile() {
    let world = Arc::new(World::new().await);
    let acl: &'static [(&str, &str)] = &[("x-amz-acl", "public-read")];
    for (name, point, request, expected) in [
        ("PutObjectAcl", "walrus.properties.commit", ("PUT", "/b/k?acl="), (403, "AccessDenied")),
        // Its body is gone: it cannot be decided again.
        ("PutObject", "walrus.put.commit", ("PUT", "/b/new"), (409, "OperationAborted")),
    ] {
        world.stock().await;
        world.open("b").await;
        let owns = world.s3_with("PUT", "/b?ownershipControls=", &[], OWNER_WRITES, &world.root).await;
        assert_eq!(owns.status, 200, "{}", owns.text);
        let engine = world.objects().clone();
        let block = async move {
            // Without a word everything public is blocked.
            assert!(engine.remove_document("b", "public-access-block", "").await.unwrap());
        };
        let answer = meanwhile(&world, point, request, acl, "", block).await;
        assert_eq!((answer.status, answer.code.as_str()), expected, "{name}: {}", answer.text);
        world.open("b").await;
        let read = world.s3_unsigned("GET", if name == "PutObject" { "/b/new" } else { "/b/k" }, &[], "").await;
        assert_ne!(read.status, 200, "{name}: {}", read.text);
        // A change that has no say in it only has it looked at again.
        let engine = world.objects().clone();
        let other = async move {
            engine.set_document("b", "cors", "", "<CORSConfiguration></CORSConfiguration>", &|_| Ok(())).await.unwrap();
        };
        let answer = meanwhile(&world, "walrus.properties.commit", ("PUT", "/b/k?acl="), acl, "", other).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text);
        assert_eq!(world.s3_unsigned("GET", "/b/k", &[], "").await.status, 200, "{name}");
        world.objects().remove_document("b", "cors", "").await.unwrap();
        world.write("b", "k", "k", &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_took_the_name_is_not_read() {
    let world = Arc::new(World::new().await);
    for (method, path) in [
        ("GET", "/b/k"),
        ("HEAD", "/b/k"),
        ("GET", "/b/k?tagging="),
        ("GET", "/b/k?acl="),
        ("GET", "/b/k?attributes="),
        ("GET", "/b"),
        ("GET", "/b?list-type=2"),
        ("GET", "/b?versions="),
        ("GET", "/b?uploads="),
        ("PUT", "/c/copy"),
    ] {
        world.stock().await;
        let theirs = world.clone();
        let replaced = async move {
            let engine = theirs.objects();
            for key in ["k", "l", "open/x"] {
                engine.delete_objects("b", vec![Delete::key(key)]).await.unwrap();
            }
            engine.delete_bucket("b").await.unwrap();
            engine.create_bucket("b", "000000000999", REGION).await.unwrap();
            theirs.write("b", "k", "hidden", &[("hidden", "yes")]).await;
            engine.create_upload("b", "hidden", "000000000999", UploadDoc::default()).await.unwrap();
        };
        let headers: &'static [(&str, &str)] = match path {
            "/c/copy" => &[("x-amz-copy-source", "b/k")],
            "/b/k?attributes=" => &[("x-amz-object-attributes", "ETag")],
            _ => &[],
        };
        let answer = meanwhile(&world, "walrus.decided", (method, path), headers, "", replaced).await;
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
        assert!(method == "HEAD" || answer.code == "NoSuchBucket", "{method} {path}: {}", answer.text);
        assert!(!answer.text.contains("hidden"), "{method} {path}: {}", answer.text);
        let engine = world.objects();
        let upload = engine.list_uploads("b", &ListQuery { limit: 10, ..ListQuery::default() }, "").await.unwrap();
        engine.abort_upload(&upload.items[0].id).await.unwrap();
        engine.delete_objects("b", vec![Delete::key("k")]).await.unwrap();
        engine.delete_bucket("b").await.unwrap();
    }
}

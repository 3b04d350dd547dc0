//! A request changes the bucket that it was decided about, and no other one that has its name by now.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use mallee_objects::{
    Condition, Delete, Description, Documents, Engine, Error, Marker, OBJECT_LOCK, Parcel, ReplicaBytes, UploadDoc,
    VersionId, VersionName, Versioning, Which,
};
use mallee_runtime::Faults;
use std::collections::BTreeMap;
use support::{ACCOUNT, BUCKET, Kind, World, bytes};

const OTHER: &str = "222222222222";

/// The engine of a request that was decided about the bucket as it is now.
async fn decided(engine: &Engine) -> Engine {
    engine.within(vec![engine.bucket(BUCKET).await.unwrap()].into())
}

#[tokio::test]
async fn nothing_lands_in_a_bucket_that_took_the_name() {
    for kind in [Kind::Memory, Kind::Sqlite, Kind::Postgres] {
        let world = World::new(kind).await;
        let engine = world.engine(Faults::none());
        engine.create_bucket(BUCKET, ACCOUNT, "r").await.unwrap();
        let (old, was) = (decided(&engine).await, engine.bucket(BUCKET).await.unwrap());
        support::put(&old, "k", bytes(1, 10_000), &Condition::None).await.unwrap();
        let source = old.object(BUCKET, "k").await.unwrap();
        let upload = support::start_upload(&old, "m").await.unwrap();
        let part = support::put_part(&old, &upload, 1, bytes(2, 10_000)).await.unwrap();
        engine.abort_upload(&upload.id).await.unwrap();
        support::delete(&old, &["k"]).await.unwrap();
        engine.delete_bucket(BUCKET).await.unwrap();
        engine.create_bucket(BUCKET, OTHER, "r").await.unwrap();
        support::put(&engine, "k", "theirs".into(), &Condition::None).await.unwrap();

        let put = support::put(&old, "evil", bytes(3, 9_000), &Condition::None).await;
        assert!(matches!(put, Err(Error::NoBucket)), "{kind:?} {put:?}");
        let put = support::put(&old, "k", "small".into(), &Condition::None).await;
        assert!(matches!(put, Err(Error::NoBucket)), "{kind:?} {put:?}");
        let what = Description { bucket: BUCKET.to_owned(), key: "evil".to_owned(), ..Description::default() };
        assert!(matches!(old.copy_object(&source, what, &Condition::None).await, Err(Error::NoBucket)));
        assert!(matches!(old.delete_objects(BUCKET, vec![Delete::key("k")]).await, Err(Error::NoBucket)));
        let policy = old.set_document(BUCKET, "policy", "", "{}", &|_| Ok(())).await;
        assert!(matches!(policy, Err(Error::NoBucket)), "{kind:?} {policy:?}");
        assert!(matches!(old.remove_document(BUCKET, "policy", "").await, Err(Error::NoBucket)));
        assert!(matches!(old.set_versioning(BUCKET, Versioning::Enabled).await, Err(Error::NoBucket)));
        let tagged = old.change_properties(BUCKET, "k", Which::Latest, &|info| Ok(info.properties.clone())).await;
        assert!(matches!(tagged, Err(Error::NoBucket)), "{kind:?} {tagged:?}");
        let begun = old.create_upload(BUCKET, "m", ACCOUNT, UploadDoc::default()).await;
        assert!(matches!(begun, Err(Error::NoBucket)), "{kind:?} {begun:?}");
        let completed = support::complete(&old, &upload, vec![part]).await;
        assert!(matches!(completed, Err(Error::NoBucket | Error::NoUpload)), "{kind:?} {completed:?}");
        assert!(matches!(old.delete_bucket(BUCKET).await, Err(Error::NoBucket)));
        let what = Description { bucket: BUCKET.to_owned(), key: "evil".to_owned(), ..Description::default() };
        let id = VersionId::of_parts(-5, 5);
        let brought = old.put_replica(what, id, 5, ReplicaBytes::Of(&source)).await;
        assert!(matches!(brought, Err(Error::NoBucket)), "{kind:?} {brought:?}");
        let brought = old.put_replica_marker(BUCKET, "k", Marker { version: id, created_ms: 5 }).await;
        assert!(matches!(brought, Err(Error::NoBucket)), "{kind:?} {brought:?}");
        // Nor what the store itself delivers: logs are for whoever asked for them.
        let delivered = engine.deliver(&was, parcel()).await;
        assert!(matches!(delivered, Err(Error::NoBucket)), "{kind:?} {delivered:?}");

        let theirs = engine.bucket(BUCKET).await.unwrap();
        assert_eq!((theirs.account.as_str(), theirs.docs.len(), theirs.versioning), (OTHER, 0, Versioning::Off));
        assert_eq!(support::get(&engine, "k").await.unwrap().unwrap(), b"theirs");
        // Nor is anything of it read, whether it is known from another read or not.
        for which in [Which::Latest, Which::Named(VersionName::Null)] {
            for _ in 0..2 {
                let read = engine.find_in(&was, "k", which).await;
                assert!(matches!(read, Err(Error::NoBucket)), "{kind:?} {read:?}");
                assert!(engine.find_in(&was, "none", which).await.unwrap().is_none(), "{kind:?}");
                assert!(engine.find_in(&theirs, "k", which).await.unwrap().is_some(), "{kind:?}");
            }
        }
        assert_eq!(engine.usage(BUCKET).await.unwrap().versions, 1);
        support::put(&decided(&engine).await, "own", "x".into(), &Condition::None).await.expect("their own request");
        engine.deliver(&theirs, parcel()).await.expect("what is for them");
    }
}

#[tokio::test]
async fn who_counts_on_what_a_bucket_says_changes_nothing_once_it_says_something_else() {
    for kind in [Kind::Memory, Kind::Sqlite, Kind::Postgres] {
        let world = World::new(kind).await;
        let engine = world.engine(Faults::none());
        engine.create_bucket(BUCKET, ACCOUNT, "r").await.unwrap();
        support::put(&engine, "k", "old".into(), &Condition::None).await.unwrap();
        let source = engine.object(BUCKET, "k").await.unwrap();
        let request = decided(&engine).await.unchanged();
        support::put(&request, "k", "new".into(), &Condition::None).await.expect("nothing has changed");
        engine.set_document(BUCKET, "cors", "", "x", &|_| Ok(())).await.unwrap();
        let changed = request.change_properties(BUCKET, "k", Which::Latest, &|info| Ok(info.properties.clone())).await;
        assert!(matches!(changed, Err(Error::Gone)), "{kind:?} {changed:?}");
        for put in ["small".into(), bytes(3, 9_000)] {
            let put = support::put(&request, "k", put, &Condition::None).await;
            assert!(matches!(put, Err(Error::Gone)), "{kind:?} {put:?}");
        }
        let what = Description { bucket: BUCKET.to_owned(), key: "copy".to_owned(), ..Description::default() };
        assert!(matches!(request.copy_object(&source, what, &Condition::None).await, Err(Error::Gone)));
        let begun = request.create_upload(BUCKET, "m", ACCOUNT, UploadDoc::default()).await;
        assert!(matches!(begun, Err(Error::Gone)), "{kind:?} {begun:?}");
        // Others go on, and so does the request once it has looked again.
        support::put(&decided(&engine).await, "other", "x".into(), &Condition::None).await.unwrap();
        support::put(&decided(&engine).await.unchanged(), "k", "x".into(), &Condition::None).await.unwrap();
    }
}

#[tokio::test]
async fn the_retention_of_a_bucket_is_what_it_is_when_the_write_counts() {
    for kind in [Kind::Memory, Kind::Sqlite, Kind::Postgres] {
        let world = World::new(kind).await;
        let engine = world.engine(Faults::none());
        let locked = Documents::default().with(OBJECT_LOCK, "", &lock(1));
        engine.create_bucket_with(BUCKET, ACCOUNT, "r", Versioning::Enabled, locked).await.unwrap();
        let early = decided(&engine).await;
        engine.set_document(BUCKET, OBJECT_LOCK, "", &lock(9), &|_| Ok(())).await.unwrap();
        for request in [early, decided(&engine).await, engine.clone()] {
            let before = engine.clock().now_ms();
            let mut sink = request.sink();
            sink.write("x".into()).await.unwrap();
            let (bucket, key, retain_by_default) = (BUCKET.to_owned(), "k".to_owned(), true);
            let what = Description { bucket, key, retain_by_default, ..Description::default() };
            request.put_object(what, sink.finish().await.unwrap(), &Condition::None).await.unwrap();
            let retention = engine.object(BUCKET, "k").await.unwrap().info.properties.retention.expect("retained");
            assert!(retention.until_ms >= before + 9 * 24 * 3_600_000, "{kind:?} {retention:?}");
        }
    }
}

fn parcel() -> Parcel {
    Parcel {
        key: "log".to_owned(),
        content_type: "text/plain".to_owned(),
        content_encoding: None,
        metadata: BTreeMap::new(),
        acl: None,
        encrypted: false,
        data: "a record".into(),
    }
}

/// The document of a bucket that retains versions for so many days.
fn lock(days: u32) -> String {
    use mallee_s3_config::{DefaultRetention, ObjectLock, Period, RetentionMode, text};
    text(&ObjectLock {
        default: Some(DefaultRetention { mode: RetentionMode::Governance, period: Period::Days(days) }),
    })
}

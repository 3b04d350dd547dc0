//! A request changes the bucket that it was decided about, and no other one that has its name by now.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use mallee_objects::{
    Condition, Delete, Description, Documents, Engine, Error, OBJECT_LOCK, UploadDoc, Versioning, Which,
};
use mallee_runtime::Faults;
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
        let old = decided(&engine).await;
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

        let theirs = engine.bucket(BUCKET).await.unwrap();
        assert_eq!((theirs.account.as_str(), theirs.docs.len(), theirs.versioning), (OTHER, 0, Versioning::Off));
        assert_eq!(support::get(&engine, "k").await.unwrap().unwrap(), b"theirs");
        assert_eq!(engine.usage(BUCKET).await.unwrap().versions, 1);
        support::put(&decided(&engine).await, "own", "x".into(), &Condition::None).await.expect("their own request");
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

/// The document of a bucket that retains versions for so many days.
fn lock(days: u32) -> String {
    use mallee_s3_config::{DefaultRetention, ObjectLock, Period, RetentionMode, text};
    text(&ObjectLock {
        default: Some(DefaultRetention { mode: RetentionMode::Governance, period: Period::Days(days) }),
    })
}

//! What is configured of a bucket and said of a version: written, changed and read back, in each metadata store.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use bytes::Bytes;
use mallee_objects::{
    Condition, Description, Documents, Engine, Error, Found, LockMode, ObjectInfo, Properties, Retention, Tags,
    Versioning, Which,
};
use mallee_runtime::Faults;
use support::{ACCOUNT, BUCKET, Kind, World};

async fn world(kind: Kind) -> (World, Engine) {
    let world = World::new(kind).await;
    let engine = world.engine(Faults::none());
    let docs = Documents::default().with("ownership", "", "o");
    engine.create_bucket_with(BUCKET, ACCOUNT, "r", Versioning::Enabled, docs).await.unwrap();
    (world, engine)
}

fn properties(tag: &str) -> Properties {
    Properties {
        class: "STANDARD_IA".to_owned(),
        tags: Tags::from([("k".to_owned(), tag.to_owned())]),
        acl: Some("public".to_owned()),
        retention: Some(Retention { mode: LockMode::Governance, until_ms: 7 }),
        legal_hold: true,
        hold_known: true,
        replication: Some("PENDING".to_owned()),
        ..Properties::default()
    }
}

async fn put(engine: &Engine, properties: Properties) -> ObjectInfo {
    let mut sink = engine.sink();
    sink.write(Bytes::from_static(b"abc")).await.unwrap();
    let what = Description { bucket: BUCKET.into(), key: "k".into(), properties, ..Description::default() };
    engine.put_object(what, sink.finish().await.unwrap(), &Condition::None).await.unwrap()
}

async fn found(engine: &Engine, which: Which<'_>) -> ObjectInfo {
    match engine.find(BUCKET, "k", which).await.unwrap() {
        Some(Found::Object(object)) => object.info,
        other => panic!("{other:?}"),
    }
}

async fn properties_are_kept_and_changed(kind: Kind) {
    let (_world, engine) = world(kind).await;
    let older = put(&engine, properties("1")).await;
    put(&engine, Properties::default()).await;
    let owned = |properties| Properties { owner: Some(ACCOUNT.to_owned()), ..properties };
    assert_eq!(found(&engine, Which::Latest).await.properties, owned(Properties::default()));
    let name = mallee_objects::VersionName::parse(&older.version.to_string());
    assert_eq!(found(&engine, name.into()).await.properties, owned(properties("1")));

    let change = |info: &ObjectInfo| {
        assert_eq!(info.size, 3);
        Ok(Properties { class: "GLACIER_IR".into(), retention: None, ..properties("2") })
    };
    let changed = engine.change_properties(BUCKET, "k", name.into(), &change).await.unwrap().unwrap();
    assert_eq!(changed, found(&engine, name.into()).await);
    assert_eq!((changed.properties.class.as_str(), changed.properties.retention), ("GLACIER_IR", None));
    assert_eq!(found(&engine, Which::Latest).await.properties.class, "STANDARD");
    let refused = engine.change_properties(BUCKET, "k", name.into(), &|_| Err(Error::Locked)).await;
    assert!(matches!(refused, Err(Error::Locked)), "{refused:?}");
    assert!(engine.change_properties(BUCKET, "no", Which::Latest, &change).await.unwrap().is_none());
    let usage = engine.usage(BUCKET).await.unwrap();
    assert_eq!((usage.objects, usage.bytes, usage.versions, usage.version_bytes), (1, 3, 2, 6));
}

async fn documents_are_kept_and_counted(kind: Kind) {
    let (_world, engine) = world(kind).await;
    let made = engine.bucket(BUCKET).await.unwrap();
    assert_eq!((made.docs.get("ownership"), made.versioning), (Some("o"), Versioning::Enabled));
    engine
        .set_document(BUCKET, "cors", "", "c", &|bucket| {
            assert_eq!(bucket.docs.get("ownership"), Some("o"));
            Ok(())
        })
        .await
        .unwrap();
    for id in ["b", "a"] {
        engine.set_document(BUCKET, "inventory", id, id, &|_| Ok(())).await.unwrap();
    }
    let refused = engine.set_document(BUCKET, "cors", "", "x", &|_| Err(Error::State("no".into()))).await;
    assert!(matches!(refused, Err(Error::State(_))), "{refused:?}");
    assert!(engine.remove_document(BUCKET, "ownership", "").await.unwrap());
    assert!(!engine.remove_document(BUCKET, "ownership", "").await.unwrap());
    let bucket = engine.bucket(BUCKET).await.unwrap();
    assert_eq!(
        bucket.docs.all().collect::<Vec<_>>(),
        [("cors", "", "c"), ("inventory", "a", "a"), ("inventory", "b", "b")]
    );
    assert_eq!(bucket.docs.of("inventory").map(|(id, _)| id).collect::<Vec<_>>(), ["a", "b"]);
    assert!(bucket.rev > made.rev);
    let gone = engine.set_document("none", "cors", "", "c", &|_| Ok(())).await;
    assert!(matches!(gone, Err(Error::NoBucket)), "{gone:?}");
    engine.delete_bucket(BUCKET).await.unwrap();
    engine.create_bucket(BUCKET, ACCOUNT, "r").await.unwrap();
    let again = engine.bucket(BUCKET).await.unwrap();
    assert!(again.docs.is_empty() && again.id != bucket.id);
}

#[tokio::test]
async fn in_memory() {
    properties_are_kept_and_changed(Kind::Memory).await;
    documents_are_kept_and_counted(Kind::Memory).await;
}

#[tokio::test]
async fn on_sqlite() {
    properties_are_kept_and_changed(Kind::Sqlite).await;
    documents_are_kept_and_counted(Kind::Sqlite).await;
}

#[tokio::test]
async fn on_postgresql() {
    properties_are_kept_and_changed(Kind::Postgres).await;
    documents_are_kept_and_counted(Kind::Postgres).await;
}

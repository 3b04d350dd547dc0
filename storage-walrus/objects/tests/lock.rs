//! What retentions, legal holds and conditions keep from being deleted or overwritten, in each metadata store.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use mallee_objects::{
    Condition, Delete, DeleteIf, Deleted, Description, Documents, Engine, Error, LockMode, OBJECT_LOCK, ObjectInfo,
    Properties, Retention, VersionName, Versioning, Which,
};
use mallee_runtime::{FaultAction, Faults};
use support::{ACCOUNT, BUCKET, Kind, World};

const HOUR_MS: i64 = 60 * 60 * 1000;

async fn world(kind: Kind, versioning: Versioning) -> (World, Engine) {
    let world = World::new(kind).await;
    let engine = world.engine(Faults::none());
    engine.create_bucket_with(BUCKET, ACCOUNT, "r", versioning, Documents::default()).await.unwrap();
    (world, engine)
}

async fn put(engine: &Engine, key: &str, properties: Properties) -> Result<ObjectInfo, Error> {
    let mut sink = engine.sink();
    sink.write(support::bytes(1, 9000)).await?;
    let what = Description {
        bucket: BUCKET.into(),
        key: key.into(),
        etag: "tag".into(),
        properties: Properties { owner: Some(ACCOUNT.to_owned()), ..properties },
        ..Description::default()
    };
    engine.put_object(what, sink.finish().await?, &Condition::None).await
}

fn name(info: &ObjectInfo) -> Option<VersionName> {
    VersionName::parse(&info.version.to_string())
}

async fn delete(engine: &Engine, delete: Delete) -> Deleted {
    engine.delete_objects(BUCKET, vec![delete]).await.unwrap().remove(0)
}

fn retained(engine: &Engine, mode: LockMode) -> Properties {
    let until_ms = engine.clock().now_ms() + HOUR_MS;
    Properties { retention: Some(Retention { mode, until_ms }), ..Properties::default() }
}

async fn versions_stay_as_long_as_they_are_locked(kind: Kind) {
    let (_world, engine) = world(kind, Versioning::Enabled).await;
    let governed = put(&engine, "g", retained(&engine, LockMode::Governance)).await.unwrap();
    let complied = put(&engine, "c", retained(&engine, LockMode::Compliance)).await.unwrap();
    let held = put(&engine, "h", Properties { legal_hold: true, ..Properties::default() }).await.unwrap();
    let free = put(&engine, "f", Properties::default()).await.unwrap();
    let of = |info: &ObjectInfo| Delete::of(info.key.clone(), name(info));
    let bypassing = |info: &ObjectInfo| Delete { bypass_governance: true, ..of(info) };

    // Each key of a batch has an answer of its own, in order.
    let all = vec![of(&governed), of(&free), of(&complied), of(&held)];
    let done = engine.delete_objects(BUCKET, all).await.unwrap();
    assert_eq!(done[0], Deleted::Locked);
    assert!(matches!(done[1], Deleted::Removed { marker: false, .. }), "{:?}", done[1]);
    assert_eq!(done[2..], [Deleted::Locked, Deleted::Locked]);
    assert_eq!(delete(&engine, bypassing(&complied)).await, Deleted::Locked);
    assert_eq!(delete(&engine, bypassing(&held)).await, Deleted::Locked);
    assert!(matches!(engine.delete_bucket(BUCKET).await, Err(Error::BucketNotEmpty)));

    // New versions and delete markers may come, and markers go: what is locked stays as it is.
    let newer = put(&engine, "c", Properties::default()).await.unwrap();
    let Deleted::Marked(marker) = delete(&engine, Delete::key("c")).await else { panic!("no marker") };
    for gone in [VersionName::parse(&marker.to_string()), name(&newer)] {
        let done = delete(&engine, Delete::of("c", gone)).await;
        assert!(matches!(done, Deleted::Removed { .. }), "{done:?}");
    }
    assert_eq!(engine.object(BUCKET, "c").await.unwrap().info, complied);

    assert!(matches!(delete(&engine, bypassing(&governed)).await, Deleted::Removed { .. }));
    let lift = |info: &ObjectInfo| Ok(Properties { legal_hold: false, ..info.properties.clone() });
    engine.change_properties(BUCKET, "h", Which::Latest, &lift).await.unwrap().unwrap();
    assert!(matches!(delete(&engine, of(&held)).await, Deleted::Removed { .. }));
    engine.clock().shift_ms(HOUR_MS / 2);
    assert_eq!(delete(&engine, of(&complied)).await, Deleted::Locked);
    engine.clock().shift_ms(HOUR_MS);
    assert!(matches!(delete(&engine, of(&complied)).await, Deleted::Removed { .. }));
    support::clear(&engine).await;
    engine.delete_bucket(BUCKET).await.unwrap();
}

/// Without versioning, or while it is suspended, a write or a deletion would take the version away.
async fn a_locked_version_is_not_overwritten(kind: Kind, versioning: Versioning) {
    let (_world, engine) = world(kind, versioning).await;
    let locked = put(&engine, "k", retained(&engine, LockMode::Governance)).await.unwrap();
    let refused = put(&engine, "k", Properties::default()).await;
    assert!(matches!(refused, Err(Error::Locked)), "{refused:?}");
    let key = Delete { bypass_governance: true, ..Delete::key("k") };
    assert_eq!(delete(&engine, key).await, Deleted::Locked);
    assert!(matches!(support::copy(&engine, "k", "k").await, Err(Error::Locked)));
    let upload = support::start_upload(&engine, "k").await.unwrap();
    let part = support::put_part(&engine, &upload, 1, support::bytes(2, 5000)).await.unwrap();
    let refused = support::complete(&engine, &upload, vec![part]).await;
    assert!(matches!(refused, Err(Error::Locked)), "{refused:?}");
    engine.abort_upload(&upload.id).await.unwrap();
    assert_eq!(engine.object(BUCKET, "k").await.unwrap().info, locked);
    assert_eq!(engine.usage(BUCKET).await.unwrap().versions, 1);

    engine.clock().shift_ms(HOUR_MS + 1000);
    put(&engine, "k", Properties::default()).await.unwrap();
    support::clear(&engine).await;
    assert_eq!(engine.sweep(std::time::Duration::ZERO).await.unwrap().deleted, 0, "a blob leaked");
}

async fn versioning_stays_with_object_lock(kind: Kind) {
    let (_world, engine) = world(kind, Versioning::Enabled).await;
    engine.set_versioning(BUCKET, Versioning::Suspended).await.unwrap();
    engine.set_versioning(BUCKET, Versioning::Enabled).await.unwrap();
    engine.set_document(BUCKET, OBJECT_LOCK, "", "lock", &|_| Ok(())).await.unwrap();
    let refused = engine.set_versioning(BUCKET, Versioning::Suspended).await;
    assert!(matches!(refused, Err(Error::State(_))), "{refused:?}");
    engine.set_versioning(BUCKET, Versioning::Enabled).await.unwrap();
    assert_eq!(engine.bucket(BUCKET).await.unwrap().versioning, Versioning::Enabled);
}

async fn a_second_factor_is_asked_for_until_it_is_not(kind: Kind) {
    let (_world, engine) = world(kind, Versioning::Off).await;
    let set = |versioning, mfa| engine.set_versioning_and_mfa_delete(BUCKET, versioning, mfa);
    let asked = || async { engine.bucket(BUCKET).await.unwrap().docs.mfa_delete() };
    set(Versioning::Enabled, Some(true)).await.unwrap();
    assert!(asked().await);
    // Not said is as it was.
    set(Versioning::Suspended, None).await.unwrap();
    assert!(asked().await);
    assert_eq!(engine.bucket(BUCKET).await.unwrap().versioning, Versioning::Suspended);
    set(Versioning::Enabled, Some(false)).await.unwrap();
    assert!(!asked().await);
    engine.set_document(BUCKET, "lifecycle", "", "rules", &|_| Ok(())).await.unwrap();
    let refused = set(Versioning::Suspended, Some(true)).await;
    assert!(matches!(refused, Err(Error::State(_))), "{refused:?}");
    assert!(!asked().await && engine.bucket(BUCKET).await.unwrap().versioning == Versioning::Enabled, "half done");
}

async fn who_counts_on_a_bucket_changes_nothing_in_another_state_of_it(kind: Kind) {
    let (_world, engine) = world(kind, Versioning::Enabled).await;
    let info = put(&engine, "k", Properties::default()).await.unwrap();
    let decided = engine.bucket(BUCKET).await.unwrap();
    let counting = engine.within([decided].into()).unchanged();
    engine.set_versioning_and_mfa_delete(BUCKET, Versioning::Enabled, Some(true)).await.unwrap();
    let refused = counting.set_versioning_and_mfa_delete(BUCKET, Versioning::Suspended, Some(false)).await;
    assert!(matches!(refused, Err(Error::Gone)), "{refused:?}");
    let version = Delete { version: name(&info), ..Delete::key("k") };
    let refused = counting.delete_objects(BUCKET, vec![version]).await;
    assert!(matches!(refused, Err(Error::Gone)), "{refused:?}");
    let now = engine.bucket(BUCKET).await.unwrap();
    assert!(now.docs.mfa_delete() && now.versioning == Versioning::Enabled);
    assert_eq!(engine.object(BUCKET, "k").await.unwrap().info, info);
    let counting = engine.within([now].into()).unchanged();
    counting.set_versioning_and_mfa_delete(BUCKET, Versioning::Suspended, Some(false)).await.unwrap();
}

async fn deletions_have_conditions(kind: Kind) {
    for versioning in [Versioning::Off, Versioning::Enabled, Versioning::Suspended] {
        let (_world, engine) = world(kind, versioning).await;
        let only = |etag: Option<&str>, modified_ms: Option<i64>, size: Option<u64>| Delete {
            only_if: DeleteIf { etag: etag.map(str::to_owned), modified_ms, size },
            ..Delete::key("k")
        };
        // Of what is not there nothing is asked, and nothing is written.
        for absent in [only(Some("*"), None, None), only(Some("x"), None, None), only(None, None, Some(1))] {
            assert_eq!(delete(&engine, absent).await, Deleted::Nothing);
        }
        let info = put(&engine, "k", Properties::default()).await.unwrap();
        let second = info.created_ms - info.created_ms.rem_euclid(1000);
        for wrong in [
            only(Some("x"), None, None),
            only(None, Some(second - 1000), None),
            only(None, None, Some(8999)),
            only(Some("tag"), Some(second), Some(1)),
        ] {
            assert_eq!(delete(&engine, wrong.clone()).await, Deleted::Unmet, "{wrong:?}");
            let version = Delete { version: name(&info), ..wrong };
            assert_eq!(delete(&engine, version.clone()).await, Deleted::Unmet, "{version:?}");
        }
        let met = only(Some("tag"), Some(second), Some(9000));
        let done = delete(&engine, met.clone()).await;
        if versioning == Versioning::Off {
            assert!(matches!(done, Deleted::Removed { marker: false, .. }), "{done:?}");
            continue;
        }
        assert!(matches!(done, Deleted::Marked(_)), "{done:?}");
        // A delete marker has no tag and no bytes.
        assert_eq!(delete(&engine, only(Some("tag"), None, None)).await, Deleted::Unmet);
        assert!(matches!(delete(&engine, only(Some("*"), None, Some(0))).await, Deleted::Marked(_)));
        if versioning == Versioning::Enabled {
            let version = Delete { version: name(&info), ..met };
            assert!(matches!(delete(&engine, version.clone()).await, Deleted::Removed { .. }));
            assert_eq!(delete(&engine, version).await, Deleted::Nothing);
        }
    }
}

/// A failing step changes nothing, a repeated one ends the same.
async fn faults_change_nothing_of_a_lock(kind: Kind) {
    let (world, engine) = world(kind, Versioning::Enabled).await;
    let locked = put(&engine, "k", retained(&engine, LockMode::Compliance)).await.unwrap();
    let hold = |info: &ObjectInfo| Ok(Properties { legal_hold: true, ..info.properties.clone() });
    for (point, held) in [("walrus.properties.commit", false), ("walrus.properties.commit.done", true)] {
        let faults = Faults::none();
        let failing = world.engine(faults.clone());
        faults.arm(point, FaultAction::Fail, 1);
        assert!(failing.change_properties(BUCKET, "k", Which::Latest, &hold).await.is_err(), "{point}");
        assert_eq!(engine.object(BUCKET, "k").await.unwrap().info.properties.legal_hold, held, "{point}");
    }
    engine.clock().shift_ms(2 * HOUR_MS);
    assert_eq!(delete(&engine, Delete::of("k", name(&locked))).await, Deleted::Locked, "it is held");
}

async fn usage_is_told_by_class(kind: Kind) {
    let (_world, engine) = world(kind, Versioning::Enabled).await;
    let classed = |class: &str| Properties { class: class.to_owned(), ..Properties::default() };
    put(&engine, "a", classed("GLACIER_IR")).await.unwrap();
    put(&engine, "a", classed("STANDARD")).await.unwrap();
    put(&engine, "b", classed("STANDARD_IA")).await.unwrap();
    let told = engine.usage_by_class(BUCKET).await.unwrap();
    let told: Vec<_> = told.iter().map(|(class, u)| (class.as_str(), u.objects, u.bytes, u.versions)).collect();
    assert_eq!(told, [("GLACIER_IR", 0, 0, 1), ("STANDARD", 1, 9000, 1), ("STANDARD_IA", 1, 9000, 1)]);
    let colder = |info: &ObjectInfo| Ok(Properties { class: "ONEZONE_IA".into(), ..info.properties.clone() });
    engine.change_properties(BUCKET, "b", Which::Latest, &colder).await.unwrap().unwrap();
    let told = engine.usage_by_class(BUCKET).await.unwrap();
    assert_eq!(told.keys().collect::<Vec<_>>(), ["GLACIER_IR", "ONEZONE_IA", "STANDARD"]);
    let whole = engine.usage(BUCKET).await.unwrap();
    assert_eq!((whole.objects, whole.bytes, whole.versions, whole.version_bytes), (2, 18_000, 3, 27_000));
}

async fn all(kind: Kind) {
    versions_stay_as_long_as_they_are_locked(kind).await;
    a_locked_version_is_not_overwritten(kind, Versioning::Off).await;
    a_locked_version_is_not_overwritten(kind, Versioning::Suspended).await;
    versioning_stays_with_object_lock(kind).await;
    a_second_factor_is_asked_for_until_it_is_not(kind).await;
    who_counts_on_a_bucket_changes_nothing_in_another_state_of_it(kind).await;
    deletions_have_conditions(kind).await;
    faults_change_nothing_of_a_lock(kind).await;
    usage_is_told_by_class(kind).await;
}

#[tokio::test]
async fn in_memory() {
    all(Kind::Memory).await;
}

#[tokio::test]
async fn on_sqlite() {
    all(Kind::Sqlite).await;
}

#[tokio::test]
async fn on_postgresql() {
    all(Kind::Postgres).await;
}

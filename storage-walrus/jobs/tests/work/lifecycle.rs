//! Carrying out lifecycle rules.

use crate::world::{BUCKET, TAKE_OVER_MS, World, keys, put, put_in, struck};
use mallee_objects::{Delete, Deleted, Engine, Versioning};
use mallee_runtime::{FaultAction, Faults};
use mallee_s3_jobs::{Day, Expirer};
use mallee_store::test_support::TestDb;
use std::time::Duration;

const DAY_MS: i64 = 86_400_000;
/// More than one page.
const COUNT: usize = 1200;

/// Objects of a bucket expire after a day.
async fn expire(engine: &Engine, bucket: &str) {
    let text = "<LifecycleConfiguration><Rule><ID>r</ID><Filter/><Status>Enabled</Status><Expiration><Days>1</Days>\
                </Expiration></Rule></LifecycleConfiguration>";
    engine.set_document(bucket, "lifecycle", "", text, &|_| Ok(())).await.unwrap();
}

/// Many objects expire; the process dies between two pages, and another goes on where it was.
async fn rounds_go_on(db: TestDb) {
    let world = World::new(db, Versioning::Enabled).await;
    let faults = Faults::none();
    let engine = world.engine(faults.clone());
    for n in 0..COUNT {
        put(&engine, &format!("{n:05}")).await.unwrap();
    }
    expire(&engine, BUCKET).await;
    let early = Expirer::new(&engine, &world.store, Day::default());
    assert_eq!(early.run().await.unwrap().unwrap().expired, 0);
    assert_eq!(early.run().await.unwrap(), None, "once a day");
    world.db.clock.shift_ms(2 * 86_400_000);
    // The first note of where the round is succeeds, the end of the round does not.
    faults.arm("walrus.delete.commit", FaultAction::Fail, 1);
    let dies = Expirer::new(&engine, &world.store, Day::default());
    dies.run().await.unwrap_err();
    assert_eq!(keys(&engine, BUCKET).await, COUNT);
    faults.arm("walrus.lifecycle.note", FaultAction::Fail, 1);
    dies.run().await.unwrap_err();
    let left = keys(&engine, BUCKET).await;
    assert!(left < COUNT && left > 0, "{left}");
    let other = Expirer::new(&engine, &world.store, Day::default());
    assert_eq!(other.run().await.unwrap(), None, "another one has the lease");
    world.db.clock.shift_ms(TAKE_OVER_MS);
    let outcome = other.run().await.unwrap().unwrap();
    assert_eq!(outcome.expired, left as u64);
    assert_eq!(keys(&engine, BUCKET).await, 0);
}

/// What was written anew since it was looked at does not go.
async fn only_what_was_meant(db: TestDb) {
    let world = World::new(db, Versioning::Off).await;
    let engine = world.engine(Faults::none());
    let old = put(&engine, "k").await.unwrap();
    let new = put(&engine, "k").await.unwrap();
    let delete = |write_id: &str| vec![(Delete::key("k"), write_id.to_owned())];
    assert_eq!(engine.delete_written(BUCKET, delete(&old)).await.unwrap(), [Deleted::Nothing]);
    assert!(engine.object(BUCKET, "k").await.is_ok());
    assert!(matches!(engine.delete_written(BUCKET, delete(&new)).await.unwrap()[..], [Deleted::Removed { .. }]));
    assert!(engine.object(BUCKET, "k").await.is_err());
}

/// Another length of days, or a clock that was wrong, stops nothing.
async fn other_days_are_other_numbers(db: TestDb) {
    let world = World::new(db, Versioning::Off).await;
    let engine = world.engine(Faults::none());
    expire(&engine, BUCKET).await;
    let short = Expirer::new(&engine, &world.store, Day::of_seconds(2));
    assert!(short.run().await.unwrap().is_some());
    world.db.clock.shift_ms(TAKE_OVER_MS);
    let daily = Expirer::new(&engine, &world.store, Day::default());
    assert!(daily.run().await.unwrap().is_some(), "the days of two seconds say nothing of this one");
    assert_eq!(daily.run().await.unwrap(), None);
    world.db.clock.shift_ms(100 * DAY_MS);
    assert!(daily.run().await.unwrap().is_some());
    world.db.clock.shift_ms(-100 * DAY_MS);
    assert!(daily.run().await.unwrap().is_some(), "the clock was wrong");
    assert_eq!(daily.run().await.unwrap(), None);
    put(&engine, "k").await.unwrap();
    world.db.clock.shift_ms(2 * DAY_MS);
    assert_eq!(daily.run().await.unwrap().unwrap().expired, 1);
}

/// A round that died is ended on another day; then comes that day's own, from the beginning.
async fn no_bucket_is_passed_over(db: TestDb) {
    const SECOND: &str = "second";
    let world = World::new(db, Versioning::Off).await;
    let faults = Faults::none();
    let engine = world.engine(faults.clone());
    engine.create_bucket(SECOND, "111111111111", "r").await.unwrap();
    for n in 0..COUNT {
        put_in(&engine, SECOND, &format!("{n:05}")).await.unwrap();
    }
    world.db.clock.shift_ms(2 * DAY_MS);
    put(&engine, "not due yet").await.unwrap();
    expire(&engine, BUCKET).await;
    expire(&engine, SECOND).await;
    faults.arm("walrus.lifecycle.note", FaultAction::Delay(Duration::from_millis(300)), 1);
    let expirer = Expirer::new(&engine, &world.store, Day::default());
    let (died, ()) = tokio::join!(expirer.run(), async {
        struck(&faults).await;
        faults.arm("walrus.delete.commit", FaultAction::Fail, 1);
    });
    died.unwrap_err();
    let left = keys(&engine, SECOND).await;
    assert!(left > 0 && left < COUNT, "{left}");
    world.db.clock.shift_ms(2 * DAY_MS);
    let outcome = Expirer::new(&engine, &world.store, Day::default()).run().await.unwrap().unwrap();
    assert_eq!((keys(&engine, BUCKET).await, keys(&engine, SECOND).await), (0, 0));
    assert_eq!(outcome.expired, 1, "what the other round did is not this one's");
}

/// A rule that was removed does nothing more, also in the midst of a bucket.
async fn removed_rules_rest(db: TestDb) {
    let world = World::new(db, Versioning::Off).await;
    let faults = Faults::none();
    let engine = world.engine(faults.clone());
    for n in 0..COUNT {
        put(&engine, &format!("{n:05}")).await.unwrap();
    }
    expire(&engine, BUCKET).await;
    world.db.clock.shift_ms(2 * DAY_MS);
    faults.arm("walrus.lifecycle.note", FaultAction::Delay(Duration::from_millis(500)), 1);
    let expirer = Expirer::new(&engine, &world.store, Day::default());
    let (outcome, ()) = tokio::join!(expirer.run(), async {
        struck(&faults).await;
        engine.remove_document(BUCKET, "lifecycle", "").await.unwrap();
    });
    let expired = outcome.unwrap().unwrap().expired;
    assert_eq!(keys(&engine, BUCKET).await as u64 + expired, COUNT as u64);
    assert!(expired > 0 && expired < COUNT as u64, "{expired}");
}

mallee_store::store_test_suite!(
    rounds_go_on,
    only_what_was_meant,
    other_days_are_other_numbers,
    no_bucket_is_passed_over,
    removed_rules_rest,
);

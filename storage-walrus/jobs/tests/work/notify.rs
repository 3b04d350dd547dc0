//! Telling targets.

use crate::world::{BUCKET, HOOK, Manner, TAKE_OVER_MS, World, put, receiver};
use mallee_objects::{Delete, Versioning};
use mallee_runtime::{FaultAction, Faults, Shutdown};
use mallee_s3_jobs::Targets;
use mallee_store::test_support::TestDb;
use mallee_store::{S3Message, s3_outbox_insert, s3_outbox_targets, s3_outbox_waiting};
use std::time::Duration;

/// The process dies at each point: what happened is told, at least once, and nothing else.
async fn every_point(db: TestDb) {
    let world = World::new(db, Versioning::Off).await;
    world.notify().await;
    let points = [
        "walrus.put.commit",
        "walrus.put.commit.done",
        "walrus.notify.send",
        "walrus.notify.sent",
        "walrus.notify.forget",
        "walrus.notify.forget.done",
    ];
    for (n, point) in points.into_iter().enumerate() {
        let (key, faults) = (format!("key-{n}"), Faults::none());
        let engine = world.engine(faults.clone());
        let notifier = world.notifier(faults.clone());
        faults.arm(point, FaultAction::Fail, 1);
        let put = put(&engine, &key).await;
        let round = notifier.round().await;
        assert!(put.is_err() || round.is_err(), "{point} was not passed");
        // Another process takes over.
        world.db.clock.shift_ms(TAKE_OVER_MS);
        world.notifier(Faults::none()).round().await.unwrap();
        let there = engine.object(BUCKET, &key).await.is_ok();
        let heard = world.heard(&key);
        assert_eq!(there, !heard.is_empty(), "{point}: {heard:?}");
        let twice = usize::from(matches!(point, "walrus.notify.sent" | "walrus.notify.forget"));
        assert_eq!(heard.len(), usize::from(there) + twice, "{point}");
        assert!(s3_outbox_waiting(&world.store).await.unwrap().is_empty(), "{point}");
        world.db.clock.shift_ms(TAKE_OVER_MS);
    }
}

/// Of two processes one tells, in order, and the other takes over when the first is gone.
async fn one_tells(db: TestDb) {
    let world = World::new(db, Versioning::Enabled).await;
    world.notify().await;
    let engine = world.engine(Faults::none());
    let (first, second) = (world.notifier(Faults::none()), world.notifier(Faults::none()));
    first.round().await.unwrap();
    put(&engine, "k").await.unwrap();
    engine.delete_objects(BUCKET, vec![Delete::key("k")]).await.unwrap();
    put(&engine, "k").await.unwrap();
    second.round().await.unwrap();
    assert!(world.heard("k").is_empty());
    first.round().await.unwrap();
    let order = ["ObjectCreated:Put", "ObjectRemoved:DeleteMarkerCreated", "ObjectCreated:Put"];
    assert_eq!(world.heard("k"), order);
    put(&engine, "l").await.unwrap();
    world.db.clock.shift_ms(TAKE_OVER_MS);
    second.round().await.unwrap();
    assert_eq!(world.heard("l").len(), 1);
    // What nobody takes for days is dropped.
    put(&engine, "m").await.unwrap();
    world.db.clock.shift_ms(5 * 24 * 3_600_000);
    second.tidy(world.db.clock.now_ms()).await.unwrap();
    assert!(s3_outbox_waiting(&world.store).await.unwrap().is_empty());
}

/// Without leave nobody is told at an address that is not public.
async fn no_way_inside(db: TestDb) {
    let mut world = World::new(db, Versioning::Off).await;
    world.notify().await;
    let url = "hook=http://127.0.0.1:1/";
    world.targets = Targets::declared(&[url.to_owned()], &[], false).unwrap();
    world.notifier(Faults::none()).round().await.unwrap();
    assert_eq!(s3_outbox_waiting(&world.store).await.unwrap(), [(HOOK.to_owned(), 1)]);
}

/// A message that is never answered holds up those of its key, and nobody else.
async fn one_poisons_no_other(db: TestDb) {
    let world = World::new(db, Versioning::Off).await;
    world.notify().await;
    let engine = world.engine(Faults::none());
    let notifier = world.notifier(Faults::none()).with_answer_timeout(Duration::from_millis(300));
    notifier.round().await.unwrap();
    world.ear.behave(Manner { slow: Some(("poison".into(), Duration::from_secs(30))), ..Manner::default() });
    for key in ["poison", "a", "poison", "b"] {
        put(&engine, key).await.unwrap();
    }
    // The first finds out, the second goes on.
    notifier.round().await.unwrap();
    notifier.round().await.unwrap();
    assert_eq!((world.heard("a").len(), world.heard("b").len(), world.heard("poison").len()), (1, 1, 1));
    assert_eq!(s3_outbox_waiting(&world.store).await.unwrap(), [(HOOK.to_owned(), 2)]);
    engine.delete_objects(BUCKET, vec![Delete::key("poison")]).await.unwrap();
    world.ear.behave(Manner::default());
    world.db.clock.shift_ms(5000);
    notifier.round().await.unwrap();
    let [put, delete] = ["ObjectCreated:Put", "ObjectRemoved:Delete"];
    assert_eq!(world.heard("poison"), [put, put, put, delete], "the first was heard twice, and all in order");
    assert!(s3_outbox_waiting(&world.store).await.unwrap().is_empty());
}

/// A reply counts when its status is known, whatever becomes of the rest of it.
async fn an_endless_reply_counts(db: TestDb) {
    let world = World::new(db, Versioning::Off).await;
    world.notify().await;
    world.ear.behave(Manner { endless: true, ..Manner::default() });
    let notifier = world.notifier(Faults::none());
    notifier.round().await.unwrap();
    notifier.round().await.unwrap();
    assert_eq!(world.ear.count(), 1);
    assert!(s3_outbox_waiting(&world.store).await.unwrap().is_empty());
}

/// Puts messages about as many keys into the outbox.
async fn many(world: &World, target: &str, count: usize) {
    let message =
        |n| S3Message { target: target.to_owned(), key: format!("{n}"), doc: format!("{{\"Event\":\"{target}\"}}") };
    let mut tx = world.store.write().await.unwrap();
    s3_outbox_insert(&mut tx, 1, (0..count).map(message).collect()).await.unwrap();
    tx.commit().await.unwrap();
}

/// What a target that answers so is asked in some seconds, with a thousand messages for it.
async fn asked(world: &World, manner: Manner, seconds: u64) -> usize {
    world.ear.behave(manner);
    let before = world.ear.count();
    let shutdown = Shutdown::new();
    let (notifier, stop) = (world.notifier(Faults::none()), shutdown.clone());
    let task = tokio::spawn(async move { notifier.run(&stop).await });
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    shutdown.stop();
    task.await.unwrap();
    world.db.clock.shift_ms(TAKE_OVER_MS);
    world.ear.count() - before
}

/// Who takes nothing is not flooded.
async fn the_unwilling_are_spared(db: TestDb) {
    let world = World::new(db, Versioning::Off).await;
    many(&world, HOOK, 1000).await;
    let status = |status| Manner { status: Some(status), ..Manner::default() };
    let busy = asked(&world, status(503), 5).await;
    assert!((1..20).contains(&busy), "{busy}");
    let unwilling = asked(&world, status(400), 5).await;
    assert!((3..20).contains(&unwilling), "{unwilling}");
    assert_eq!(asked(&world, Manner { retry_after: Some(60), ..status(429) }, 4).await, 1);
    // Nothing was lost.
    assert_eq!(s3_outbox_waiting(&world.store).await.unwrap(), [(HOOK.to_owned(), 1000)]);
    world.ear.behave(Manner::default());
    world.db.clock.shift_ms(3_600_000);
    world.notifier(Faults::none()).round().await.unwrap();
    assert!(s3_outbox_waiting(&world.store).await.unwrap().is_empty());
}

/// ARNs of several accounts lead to one target: they have their turns, and what is too much is dropped of whoever has
/// more.
async fn accounts_share_a_target(db: TestDb) {
    let world = World::new(db, Versioning::Off).await;
    let other = HOOK.replace("111111111111", "222222222222");
    many(&world, HOOK, 120).await;
    many(&world, &other, 5).await;
    let all = [HOOK.to_owned(), other.clone()];
    for (after, limit, found) in [("", 9, &all[..]), (HOOK, 9, &[other.clone(), HOOK.to_owned()]), ("", 1, &all[..1])] {
        assert_eq!(s3_outbox_targets(&world.store, after, limit).await.unwrap(), found, "{after} {limit}");
    }
    assert_eq!(s3_outbox_targets(&world.store, HOOK, 1).await.unwrap(), [other.clone()]);
    // Both stand behind one target, which is left alone after three refusals of all of them.
    world.ear.behave(Manner { status: Some(400), ..Manner::default() });
    let notifier = world.notifier(Faults::none());
    notifier.round().await.unwrap();
    assert_eq!(world.ear.count(), 3);
    world.ear.behave(Manner::default());
    world.db.clock.shift_ms(10_000);
    notifier.round().await.unwrap();
    assert!(s3_outbox_waiting(&world.store).await.unwrap().is_empty());
    // Whose messages are all refused is not always first.
    many(&world, HOOK, 300).await;
    many(&world, &other, 5).await;
    world.ear.behave(Manner { status: Some(400), only: Some(HOOK.to_owned()), ..Manner::default() });
    for _ in 0..50 {
        notifier.round().await.unwrap();
    }
    let waiting = s3_outbox_waiting(&world.store).await.unwrap();
    assert_eq!(waiting, [(HOOK.to_owned(), 300)]);
}

/// Messages of a key are told in order also where an earlier one was put off for longer than later ones are due.
async fn order_outlives_delays(db: TestDb) {
    let mut world = World::new(db, Versioning::Enabled).await;
    world.notify().await;
    let engine = world.engine(Faults::none());
    world.notifier(Faults::none()).round().await.unwrap();
    world.db.clock.shift_ms(TAKE_OVER_MS);
    put(&engine, "k").await.unwrap();
    engine.delete_objects(BUCKET, vec![Delete::key("k")]).await.unwrap();
    world.ear.behave(Manner { status: Some(400), ..Manner::default() });
    let notifier = world.notifier(Faults::none());
    notifier.round().await.unwrap();
    world.db.clock.shift_ms(10_000);
    put(&engine, "k").await.unwrap();
    let (port, ear) = receiver().await;
    world.targets = Targets::declared(&[format!("hook=http://127.0.0.1:{port}/")], &[], true).unwrap();
    world.ear = ear;
    world.db.clock.shift_ms(TAKE_OVER_MS);
    world.notifier(Faults::none()).round().await.unwrap();
    assert_eq!(world.heard("k"), ["ObjectCreated:Put", "ObjectRemoved:DeleteMarkerCreated", "ObjectCreated:Put"]);
}

mallee_store::store_test_suite!(
    every_point,
    one_tells,
    no_way_inside,
    one_poisons_no_other,
    an_endless_reply_counts,
    the_unwilling_are_spared,
    accounts_share_a_target,
    order_outlives_delays,
);

//! Every fault point of every operation: the step fails, and the process dies there. What was acknowledged is there whole,
//! nothing else is visible, and after the sweep nothing is left on disk.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use bytes::Bytes;
use futures::StreamExt as _;
use mallee_objects::images::{ImageStore, ImportError};
use mallee_objects::{Condition, Engine, Error};
use mallee_runtime::{FaultAction, Faults};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use support::{ACCOUNT, BUCKET, Kind, World};

const STEPS: usize = 15;
const LARGE: usize = 600_000;
/// Strikes at once: they mostly wait for the disk.
const PARALLEL: usize = 8;
/// Small objects, in packs.
const SMALL: [&str; 4] = ["s1", "s2", "s3", "s4"];
type State = BTreeMap<&'static str, Vec<u8>>;

fn image() -> Bytes {
    let mut disk = support::bytes(9, 1 << 20).to_vec();
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk.into()
}

/// One operation; `state` is what is visible after it.
async fn step(engine: &Engine, n: usize, state: &mut State) -> Result<(), Error> {
    let put = |key: &'static str, data: Bytes, state: &mut State| {
        state.insert(key, data.to_vec());
        let engine = engine.clone();
        async move { support::put(&engine, key, data, &Condition::None).await }
    };
    match n {
        0 => put("k", support::bytes(1, LARGE), state).await,
        1 => put("k", support::bytes(2, LARGE + 1), state).await,
        2 => put("k", support::bytes(3, 100), state).await,
        3 => put("l", support::bytes(4, LARGE), state).await,
        4 => {
            state.insert("copy", state["l"].clone());
            support::copy(engine, "l", "copy").await
        }
        5 => {
            let parts = [support::bytes(5, LARGE), support::bytes(6, 10)];
            state.insert("m", parts.concat());
            let upload = support::start_upload(engine, "m").await?;
            let mut done = Vec::new();
            support::put_part(engine, &upload, 1, support::bytes(7, LARGE)).await?;
            for (i, part) in parts.into_iter().enumerate() {
                done.push(support::put_part(engine, &upload, u32::try_from(i).unwrap() + 1, part).await?);
            }
            support::complete(engine, &upload, done).await
        }
        6 => {
            let upload = support::start_upload(engine, "gone").await?;
            support::put_part(engine, &upload, 1, support::bytes(8, LARGE)).await?;
            engine.abort_upload(&upload.id).await
        }
        7 => {
            state.remove("k");
            state.remove("l");
            support::delete(engine, &["k", "l"]).await
        }
        8 => put("image", image(), state).await,
        // More than a pack.
        9..13 => put(SMALL[n - 9], support::bytes(20 + n as u64, 40_000), state).await,
        // The first pack loses all that it has, or nearly.
        13 => {
            support::delete(engine, &SMALL[1..]).await?;
            SMALL[1..].iter().for_each(|key| drop(state.remove(key)));
            engine.collect().await.map(drop)
        }
        _ => {
            let images = ImageStore::new(engine.clone());
            let done = images.import(ACCOUNT, BUCKET, "image", "ami-1").await.map_err(|e| match e {
                ImportError::Engine(error) => error,
                other => panic!("{other}"),
            })?;
            images.release(&done.digest, "ami-1").await?;
            engine.collect().await.map(drop)
        }
    }
}

async fn visible(engine: &Engine) -> State {
    let mut state = State::new();
    for key in ["k", "l", "copy", "m", "gone", "image", "s1", "s2", "s3", "s4"] {
        if let Some(data) = support::get(engine, key).await.unwrap() {
            state.insert(key, data);
        }
    }
    state
}

/// Runs all steps with `point` armed; checks what is left. `states[n]` is what is visible before step `n`.
async fn strike(kind: Kind, point: String, action: FaultAction, states: Arc<Vec<State>>) {
    let world = World::new(kind).await;
    let faults = Faults::recording();
    let engine = world.engine(faults.clone());
    engine.create_bucket(BUCKET, ACCOUNT, "r").await.unwrap();
    faults.arm(&point, action, 1);
    let mut at = STEPS - 1;
    let mut struck = false;
    for n in 0..STEPS {
        let (running, mut state) = (engine.clone(), states[n].clone());
        let task = tokio::spawn(async move { step(&running, n, &mut state).await });
        let failed = tokio::select! {
            ended = task => ended.unwrap().is_err(),
            // The task stands still for ever, as a dead process does.
            () = faults.killed() => true,
        };
        if failed {
            (at, struck) = (n, true);
            break;
        }
    }
    let (before, after) = (&states[at], &states[at + 1]);
    // A failed deletion of a freed blob is tried again; nobody is told.
    assert!(struck || point == "walrus.gc.unlink", "{point} {action:?} did not strike");
    faults.clear();
    let killed = action == FaultAction::Kill;
    let engine = if killed { world.engine(Faults::none()) } else { engine };
    if killed {
        engine.recover().await.unwrap();
    }
    let now = visible(&engine).await;
    assert!(now == *before || now == *after, "{kind:?} {point} {action:?}: something half is visible");
    support::collect(&engine).await;
    engine.sweep(Duration::ZERO).await.unwrap();
    assert!(visible(&engine).await == now, "{point} {action:?}: the sweep took what is in use");
    // The engine goes on.
    support::put(&engine, "more", support::bytes(11, LARGE), &Condition::None).await.unwrap();
    support::clear(&engine).await;
    let left = support::files(&world.blobs_dir());
    assert!(left.is_empty(), "{kind:?} {point} {action:?}: {left:?}");
}

/// A run without faults: the points it passes and what is visible before and after every step.
async fn rehearse() -> (Vec<String>, Vec<State>) {
    let world = World::new(Kind::Memory).await;
    let faults = Faults::recording();
    let engine = world.engine(faults.clone());
    engine.create_bucket(BUCKET, ACCOUNT, "r").await.unwrap();
    let mut states = vec![State::new()];
    for n in 0..STEPS {
        let mut state = states[n].clone();
        step(&engine, n, &mut state).await.unwrap();
        assert!(visible(&engine).await == state, "step {n}");
        states.push(state);
    }
    (faults.passed().into_iter().filter(|p| !p.starts_with("walrus.bucket")).collect(), states)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_fails_and_kills() {
    let (points, states) = rehearse().await;
    assert!(points.len() >= 20, "{points:?}");
    let states = Arc::new(states);
    let strikes = points.iter().flat_map(|point| {
        let both = [FaultAction::Fail, FaultAction::Kill];
        both.into_iter().flat_map(move |action| {
            // What happens to packs is the same with every database.
            let packs = point.starts_with("walrus.pack.") || point.starts_with("walrus.compact.");
            let kinds: &[Kind] = if packs { &[Kind::Sqlite] } else { &[Kind::Memory, Kind::Sqlite, Kind::Postgres] };
            kinds.iter().map(|kind| (*kind, point.clone(), action)).collect::<Vec<_>>()
        })
    });
    futures::stream::iter(strikes)
        .map(|(kind, point, action)| tokio::spawn(strike(kind, point, action, Arc::clone(&states))))
        .buffer_unordered(PARALLEL)
        .for_each(|done| async { done.unwrap() })
        .await;
}

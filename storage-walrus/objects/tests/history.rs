//! Two engines over one database and one directory: what their clients see at the same time has an order.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/linear.rs"]
mod linear;
mod support;

use linear::{Did, Operation, linearizable};
use mallee_objects::check::Checker;
use mallee_objects::{Condition, Engine, Error, ListQuery, StoreMetadata};
use mallee_runtime::{Faults, Rng};
use mallee_store::test_support::TestDb;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{ACCOUNT, BUCKET, Kind, World};

mallee_store::store_test_suite!(two_engines);

const CLIENTS: u64 = 6;
const KEYS: u64 = 3;
const OPERATIONS: u64 = 40;

type History = BTreeMap<String, Vec<Operation>>;
/// Operations by key; listings (key and write), from when to when.
type Seen = (History, Vec<(u64, u64, Vec<(String, u64)>)>);

/// What a write of this number holds: in its row or in a blob.
fn len(value: u64) -> usize {
    if value.is_multiple_of(2) { 200 } else { 9_000 }
}

async fn read(engine: &Engine, key: &str) -> Option<u64> {
    loop {
        match support::get(engine, key).await {
            Ok(None) => return None,
            Ok(Some(bytes)) => {
                let value = u64::from_le_bytes(bytes[..8].try_into().unwrap());
                assert_eq!(bytes, content(value), "one write's bytes, and all of them");
                return Some(value);
            }
            // Overwritten between the look-up and the opening: as the protocol, look again.
            Err(Error::Gone) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn content(value: u64) -> Vec<u8> {
    let mut out = value.to_le_bytes().to_vec();
    out.extend_from_slice(&support::bytes(value, len(value)));
    out
}

async fn client(engine: Engine, name: u64, start: Instant) -> Seen {
    let (rng, mut history, mut listings) = (Rng::seeded(name), History::new(), Vec::new());
    let now = || u64::try_from(start.elapsed().as_nanos()).unwrap();
    for n in 0..OPERATIONS {
        let key = format!("k{}", rng.below(KEYS));
        let called = now();
        let did = match rng.below(8) {
            0..3 => {
                let value = name * 1000 + n + 1;
                // The tag tells a listing which write it sees.
                support::put_tagged(&engine, &key, content(value).into(), &value.to_string()).await.unwrap();
                Did::Wrote(Some(value))
            }
            3 => {
                support::delete(&engine, &[&key]).await.unwrap();
                Did::Wrote(None)
            }
            4 => {
                let page = engine.list_objects(BUCKET, &ListQuery { limit: 10, ..Default::default() }).await.unwrap();
                let seen = page.items.into_iter().map(|listed| (listed.key, listed.etag.parse().unwrap()));
                listings.push((called, now(), seen.collect()));
                continue;
            }
            _ => Did::Read(read(&engine, &key).await),
        };
        history.entry(key).or_default().push(Operation { called, answered: now(), did });
    }
    (history, listings)
}

async fn two_engines(db: TestDb) {
    linear::self_test();
    let world = World::new(Kind::Memory).await;
    let mut engines = Vec::new();
    let mut stores = Vec::new();
    for _ in 0..2 {
        // Each has a database handle of its own, as two processes have.
        let store = db.open().await;
        engines.push(world.engine_over(Arc::new(StoreMetadata::new(store.clone())), Faults::none()));
        stores.push(store);
    }
    engines[0].create_bucket(BUCKET, ACCOUNT, "r").await.unwrap();
    let start = Instant::now();
    let clients = (0..CLIENTS).map(|name| tokio::spawn(client(engines[(name % 2) as usize].clone(), name, start)));
    let clients: Vec<_> = clients.collect();
    let (mut all, mut listings) = (History::new(), Vec::new());
    for client in clients {
        let (history, lists) = client.await.unwrap();
        history.into_iter().for_each(|(key, operations)| all.entry(key).or_default().extend(operations));
        listings.extend(lists);
    }
    for (called, answered, listing) in listings {
        let listing: BTreeMap<String, u64> = listing.into_iter().collect();
        for (key, operations) in &mut all {
            operations.push(Operation { called, answered, did: Did::Read(listing.get(key).copied()) });
        }
    }
    for (key, operations) in &all {
        assert!(linearizable(operations), "{key}: no order explains {operations:#?}");
    }
    // Both may collect at the same time, and sweep; nothing that is in use goes.
    let (one, two) = (engines[0].collect(), engines[1].collect());
    let (one, two) = futures::future::join(one, two).await;
    one.unwrap();
    two.unwrap();
    engines[1].sweep(Duration::ZERO).await.unwrap();
    let report = Checker::new(stores[0].clone(), world.blobs(Faults::none()), true).check().await.unwrap();
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    put_after(&engines[0]).await;
}

/// What one writes the other reads.
async fn put_after(engine: &Engine) {
    support::put(engine, "k0", support::bytes(1, 10), &Condition::None).await.unwrap();
    assert!(support::get(engine, "k0").await.unwrap().is_some());
}

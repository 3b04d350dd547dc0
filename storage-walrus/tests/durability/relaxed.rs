//! Power failures with a bucket of the relaxed level beside a strict one: the strict one loses nothing. The relaxed one
//! loses bytes of the last second at most, and what it lost is an error until it is cleared up, never other bytes.

use crate::client::Client;
use crate::replay::disk::{Disk, Fate};
use crate::replay::record::Event;
use crate::replay::{FILE_BYTES, each_disk, get, recorded};
use crate::rest::{self, Rest};
use crate::server::{Server, objects};
use crate::value::{Random, Value};
use mallee_objects::{Error, SYNC_PERIOD};
use mallee_walrus::Offline;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Requests recorded; after so many of them there is a pause, in which all is synced.
const REQUESTS: usize = 24;
const PAUSE_AFTER: usize = 14;
const KEYS: usize = 6;
const BUCKETS: [&str; 2] = ["strict", "loose"];

/// What is under the keys of both buckets, and which request wrote it.
type State = BTreeMap<(usize, String), (Value, usize)>;

/// One request after the other. What is there after each.
fn work(client: &mut Client) -> Vec<State> {
    let mut random = Random::new(77);
    let mut states = vec![State::new()];
    for n in 1..=REQUESTS {
        let mut state = states[states.len() - 1].clone();
        let (bucket, key) = (usize::from(n % 3 > 0), format!("k{}", random.below(KEYS as u64)));
        let path = format!("/{}/{key}", BUCKETS[bucket]);
        let loose =
            state.iter().find(|((bucket, _), _)| *bucket == 1).map(|(at, (value, _))| (at.1.clone(), value.clone()));
        let reply = match (n % 6, loose) {
            // What was written a moment ago at the relaxed level becomes an object of the strict bucket.
            (3, Some((from, value))) => {
                state.insert((bucket, key), (value, n));
                client.send("PUT", &path, &[("x-amz-copy-source", &format!("/loose/{from}"))], b"").unwrap()
            }
            (5, _) => {
                state.remove(&(bucket, key));
                client.delete(&path).unwrap()
            }
            _ => {
                let file = n % 8 == 1 || n % 12 == 6;
                let len = if file { FILE_BYTES } else { 5_000 + usize::try_from(random.below(150_000)).unwrap() };
                let value = Value(vec![(random.next(), len)]);
                state.insert((bucket, key), (value.clone(), n));
                client.put(&path, &value.bytes()).unwrap()
            }
        };
        assert!(reply.status < 300, "{}", reply.text());
        states.push(state);
        if n == PAUSE_AFTER {
            std::thread::sleep(SYNC_PERIOD + Duration::from_millis(500));
        }
    }
    states
}

#[test]
fn the_relaxed_level_loses_the_last_second_alone() {
    let folder = tempfile::Builder::new().prefix("relaxed").tempdir_in("/dev/shm").unwrap();
    let (dir, log) = (folder.path().join("data"), folder.path().join("log"));
    let mut server = Server::start(&dir);
    let mut client = Client::new(server.address);
    assert_eq!(client.put("/strict", b"").unwrap().status, 200);
    assert_eq!(client.send("PUT", "/loose", &[("x-mallee-durability", "never")], b"").unwrap().status, 400);
    assert_eq!(client.send("PUT", "/loose", &[("x-mallee-durability", "relaxed")], b"").unwrap().status, 200);
    let told = |client: &mut Client, bucket: &str| {
        client.get(&format!("/{bucket}?x-mallee-durability")).unwrap().element("Durability").unwrap()
    };
    assert_eq!(told(&mut client, "loose"), "relaxed");
    assert_eq!(told(&mut client, "strict"), "strict");
    server.stop();
    let base = Disk::read(&dir);
    let (states, events) = recorded(&dir, &log, work);
    let answers = events.iter().filter(|event| matches!(event, Event::Answered)).count();
    assert_eq!(answers + 1, states.len(), "every answer is in the record");

    let runtime = rest::runtime();
    let at = folder.path().join("after");
    let mut lost = 0;
    let disks = each_disk(&base, &events, &at, 32, |answered, fate, when| {
        lost += runtime.block_on(look(&at, &states, answered, fate, when));
    });
    println!("{disks} disks rebuilt from {} events; {lost} objects of the last second were lost", events.len());
    assert!(lost > 0, "the relaxed level waits for the disk as the strict one does");
}

/// How many objects of the relaxed bucket are lost.
async fn look(at: &Path, states: &[State], answered: usize, fate: Fate, when: &str) -> u32 {
    let rest = Rest::open(at).await;
    let possible: Vec<&State> = states.iter().skip(answered).take(2).collect();
    let mut lost = Vec::new();
    for (bucket, name) in BUCKETS.iter().enumerate() {
        for n in 0..KEYS {
            let key = (bucket, format!("k{n}"));
            let there = get(&rest, name, &key.1).await;
            let wanted = possible.iter().map(|state| state.get(&key));
            match there {
                Ok(bytes) => {
                    let as_told = wanted.map(|value| value.map(|(value, _)| value.bytes())).any(|value| value == bytes);
                    assert!(as_told, "{when}: {name}/{} holds what nobody wrote there", key.1);
                }
                Err(Error::Corrupt(_) | Error::Gone) if bucket == 1 && fate != Fate::All => {
                    // Written before the pause, and not since: synced.
                    let old = |value: Option<&(Value, usize)>| value.is_some_and(|(_, n)| *n <= PAUSE_AFTER);
                    let synced = answered > PAUSE_AFTER && wanted.clone().all(old);
                    assert!(!synced, "{when}: {name}/{} was synced and is lost", key.1);
                    lost.push(key.1);
                }
                Err(error) => panic!("{when}: {name}/{}: {error}", key.1),
            }
        }
    }
    // A repair drops what is lost, and nothing else.
    rest.engine.recover().await.unwrap();
    rest.engine.sweep(Duration::ZERO).await.unwrap();
    rest.engine.collect().await.unwrap();
    let offline = Offline::open(&objects(at), rest.store.clone(), true).await.unwrap();
    let (first, left) = offline.checker().repair().await.unwrap();
    assert_eq!(first.is_sound(), lost.is_empty(), "{when}: {:#?}", first.findings);
    assert!(
        left.findings.iter().all(|finding| finding.weight == mallee_walrus::Weight::Leftover),
        "{when}: {:#?}",
        left.findings
    );
    for key in &lost {
        assert!(matches!(get(&rest, "loose", key).await, Ok(None)), "{when}: loose/{key} was dropped");
    }
    rest.store.close().await;
    u32::try_from(lost.len()).unwrap()
}

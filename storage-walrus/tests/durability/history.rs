//! Clients at the same keys at the same time: what they saw must have an order, key by key, with listings as reads of
//! every key.

#[path = "../../objects/tests/support/linear.rs"]
mod linear;

use crate::client::{Client, elements};
use crate::rest;
use crate::server::Server;
use crate::value::{Random, Value};
use linear::{Did, Operation, linearizable};
use std::collections::BTreeMap;
use std::time::Instant;

const CLIENTS: u64 = 6;
const KEYS: u64 = 4;
const OPERATIONS: u64 = 60;
const ROUNDS: u64 = 3;

type History = BTreeMap<String, Vec<Operation>>;
/// Operations by key; the number of the write that has a tag; listings, from when to when.
type Seen = (History, BTreeMap<String, u64>, Vec<(u64, u64, Listing)>);

fn tag(value: u64) -> Vec<u8> {
    // The number first: a read finds it; the length tells a mixture of two writes.
    let len = if value.is_multiple_of(3) { 100 } else { 6_000 + usize::try_from(value % 7).unwrap() * 30_000 };
    let mut out = value.to_le_bytes().to_vec();
    out.extend(Value(vec![(value, len)]).bytes());
    out
}

fn value_of(body: &[u8]) -> u64 {
    let value = u64::from_le_bytes(body[..8].try_into().unwrap());
    assert_eq!(body, tag(value), "one write's bytes, and all of them");
    value
}

/// One client's operations, by the clock that all share; `etags` tells listings which write they saw.
fn client(mut client: Client, name: u64, start: Instant) -> Seen {
    let mut random = Random::new(name + 1);
    let (mut history, mut etags, mut listings) = (History::new(), BTreeMap::new(), Vec::new());
    let now = || u64::try_from(start.elapsed().as_nanos()).unwrap();
    for n in 0..OPERATIONS {
        let key = format!("k{}", random.below(KEYS));
        let path = format!("/bkt/{key}");
        let called = now();
        let did = match random.below(8) {
            0..3 => {
                let value = name * 1_000_000 + n + 1;
                let reply = client.put(&path, &tag(value)).unwrap();
                assert_eq!(reply.status, 200, "{}", reply.text());
                etags.insert(reply.header("etag").unwrap().trim_matches('"').to_owned(), value);
                Did::Wrote(Some(value))
            }
            3 => {
                assert_eq!(client.delete(&path).unwrap().status, 204);
                Did::Wrote(None)
            }
            4 => {
                let reply = client.get("/bkt?list-type=2").unwrap().text();
                let tags = elements(&reply, "ETag").into_iter().map(|t| t.replace("&quot;", "").replace('"', ""));
                listings.push((called, now(), elements(&reply, "Key").into_iter().zip(tags).collect()));
                continue;
            }
            _ => {
                let reply = client.get(&path).unwrap();
                match reply.status {
                    200 => Did::Read(Some(value_of(&reply.body))),
                    404 => Did::Read(None),
                    other => panic!("{other}: {}", reply.text()),
                }
            }
        };
        history.entry(key).or_default().push(Operation { called, answered: now(), did });
    }
    (history, etags, listings)
}

/// Key to entity tag.
type Listing = BTreeMap<String, String>;

#[test]
fn what_clients_see_has_an_order() {
    linear::self_test();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    for _ in 0..ROUNDS {
        drop(std::fs::remove_dir_all(&dir));
        let mut server = Server::start(&dir);
        assert_eq!(Client::new(server.address).put("/bkt", b"").unwrap().status, 200);
        let (address, start) = (server.address, Instant::now());
        let threads: Vec<_> =
            (0..CLIENTS).map(|name| std::thread::spawn(move || client(Client::new(address), name, start))).collect();
        let (mut all, mut etags, mut listings) = (History::new(), BTreeMap::new(), Vec::new());
        for thread in threads {
            let (history, tags, lists) = thread.join().unwrap();
            history.into_iter().for_each(|(key, operations)| all.entry(key).or_default().extend(operations));
            etags.extend(tags);
            listings.extend(lists);
        }
        for (called, answered, listing) in listings {
            for (key, operations) in &mut all {
                let seen = listing.get(key).map(|tag| *etags.get(tag).expect("a listed tag is of a write"));
                operations.push(Operation { called, answered, did: Did::Read(seen) });
            }
        }
        for (key, operations) in &all {
            assert!(linearizable(operations), "{key}: no order explains {operations:#?}");
        }
        server.kill();
        rest::check(&dir, true, "after the round");
    }
}

//! Power failures: everything a server writes is recorded as it goes to the kernel (strace), blobs and database alike.
//! Then the disk is rebuilt as it could be after a power failure at any moment of the record: what was synced is there;
//! of what was not, all, nothing or some, writes torn in the middle, names there or not. A store opened on that must
//! hold what was acknowledged until then, and check as sound.

pub mod disk;
pub mod record;

use crate::client::Client;
use crate::rest::{self, Rest};
use crate::server::{Server, database, objects};
use crate::value::{Random, Value};
use disk::{Disk, Fate};
use mallee_objects::Error;
use record::Event;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Requests recorded.
const REQUESTS: u64 = 36;
const KEYS: u64 = 5;
/// Bytes that are too many for a pack, and no whole pages: they become a file of their own, the most of it written past
/// the page cache, the rest through it.
pub const FILE_BYTES: usize = 300_001;
/// Rebuilt disks of a usual run, besides those where a pack begins or a file gets its name; `MALLEE_REPLAY_DISKS` asks for more.
const DISKS: usize = 150;

/// What is under the keys.
type State = BTreeMap<String, Value>;

/// One request after the other, so that the answers in the record can be counted. What is there after each.
fn work(client: &mut Client) -> Vec<State> {
    let mut random = Random::new(21);
    let mut states = vec![State::new()];
    for n in 0..REQUESTS {
        let mut state = states[states.len() - 1].clone();
        let key = format!("k{}", random.below(KEYS));
        let path = format!("/bkt/{key}");
        let reply = match n % 9 {
            3 => {
                state.remove(&key);
                client.delete(&path).unwrap()
            }
            5 if state.contains_key("k0") && key != "k0" => {
                state.insert(key, state["k0"].clone());
                client.send("PUT", &path, &[("x-amz-copy-source", "/bkt/k0")], b"").unwrap()
            }
            7 => {
                let started = client.post(&format!("{path}?uploads"), b"").unwrap();
                states.push(state.clone());
                let id = started.element("UploadId").unwrap();
                let len = if n.is_multiple_of(2) { FILE_BYTES } else { 150_000 };
                let value = Value(vec![(random.next(), len)]);
                let part = client.put(&format!("{path}?partNumber=1&uploadId={id}"), &value.bytes()).unwrap();
                states.push(state.clone());
                let tag = part.header("etag").unwrap();
                let list = format!("<Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part>");
                let body = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
                state.insert(key, value);
                client.post(&format!("{path}?uploadId={id}"), body.as_bytes()).unwrap()
            }
            _ => {
                let len = match n % 9 {
                    1 => FILE_BYTES as u64,
                    _ if n.is_multiple_of(2) => random.below(4_000),
                    _ => 5_000 + random.below(200_000),
                };
                let value = Value(vec![(random.next(), usize::try_from(len).unwrap())]);
                state.insert(key, value.clone());
                client.put(&path, &value.bytes()).unwrap()
            }
        };
        assert!(reply.status < 300, "{}", reply.text());
        states.push(state);
    }
    states
}

/// What is under a key.
pub async fn get(rest: &Rest, bucket: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
    let object = match rest.engine.object(bucket, key).await {
        Err(Error::NoObject) => return Ok(None),
        other => other?,
    };
    let mut reader = rest.engine.read(&object, 0, object.info.size).await?;
    let mut bytes = Vec::new();
    while let Some(step) = reader.next().await {
        bytes.extend_from_slice(&step?);
    }
    Ok(Some(bytes))
}

/// Whether this is the state, byte for byte.
async fn is(rest: &Rest, state: &State) -> bool {
    for n in 0..KEYS {
        let key = format!("k{n}");
        let there = get(rest, "bkt", &key).await.expect("what is listed is whole");
        if there != state.get(&key).map(Value::bytes) {
            return false;
        }
    }
    true
}

/// Events behind the making of a pack at each of which the power fails, too: its head, its first records, their syncs.
const PACK_BEGINS: usize = 6;
/// Events from the renaming of a file at each of which the power fails, too: that itself, and the sync of its name.
const FILE_NAMED: usize = 2;

/// After how many events the power fails: as often as there is time for, spread over the record, and wherever a pack begins
/// or a file gets its name.
fn moments(events: &[Event]) -> BTreeSet<usize> {
    let asked = std::env::var("MALLEE_REPLAY_DISKS").ok().and_then(|n| n.parse().ok()).unwrap_or(DISKS);
    let count = asked.div_ceil(Fate::ALL.len()).min(events.len());
    let spread = (1..=count).map(|n| n * events.len() / count);
    let is_pack = |path: &Path| path.components().any(|part| part.as_os_str() == "packs");
    let looked_at = events.iter().enumerate().filter_map(|(n, event)| match event {
        Event::Opened { path, .. } if is_pack(path) => Some(n + 1..=n + PACK_BEGINS),
        Event::Renamed { .. } => Some(n + 1..=n + FILE_NAMED),
        _ => None,
    });
    spread.chain(looked_at.flatten()).filter(|end| *end <= events.len()).collect()
}

/// Rebuilds the disk at `at` as it could be after a power failure at each of these moments, and looks at it: with how many
/// answers given, its fate, and when it was. How many disks.
pub fn each_disk(
    base: &Disk,
    events: &[Event],
    at: &Path,
    seed: u64,
    mut look: impl FnMut(usize, Fate, &str),
) -> usize {
    let mut random = Random::new(seed);
    let moments = moments(events);
    for end in &moments {
        let mut disk = base.clone();
        let mut answered = 0;
        for event in &events[..*end] {
            answered += usize::from(matches!(event, Event::Answered));
            disk.apply(event);
        }
        for fate in Fate::ALL {
            drop(std::fs::remove_dir_all(at));
            disk.after_power_failure(fate, &mut random).write(at);
            look(answered, fate, &format!("event {end} of {}, {answered} answers, {fate:?}", events.len()));
        }
    }
    moments.len() * Fate::ALL.len()
}

/// Runs a server under strace for these requests, and kills it: what they came to, and what happened to the disk.
pub fn recorded<T>(dir: &Path, log: &Path, work: impl FnOnce(&mut Client) -> T) -> (T, Vec<Event>) {
    let strace = ["-o", &log.display().to_string(), "-y", "-xx", "-s", "4000000", "-e", record::TRACE];
    let mut server = Server::start_with(dir, &strace.map(str::to_owned)).expect("strace is there (deploy/install)");
    let done = work(&mut Client::new(server.address));
    server.kill();
    // strace writes its last lines when the server is gone.
    std::thread::sleep(std::time::Duration::from_millis(300));
    (done, record::read(log, dir))
}

#[test]
fn power_failures() {
    let folder = tempfile::Builder::new().prefix("replay").tempdir_in("/dev/shm").unwrap();
    let (dir, log) = (folder.path().join("data"), folder.path().join("log"));
    let mut server = Server::start(&dir);
    assert_eq!(Client::new(server.address).put("/bkt", b"").unwrap().status, 200);
    server.stop();
    let base = Disk::read(&dir);

    let (states, events) = recorded(&dir, &log, work);
    let answers = events.iter().filter(|event| matches!(event, Event::Answered)).count();
    assert_eq!(answers + 1, states.len(), "every answer is in the record");
    let syncs = events.iter().filter(|event| matches!(event, Event::Sync { .. })).count();
    assert!(syncs > usize::try_from(REQUESTS).unwrap(), "{syncs} syncs of {} events", events.len());

    let runtime = rest::runtime();
    let at = folder.path().join("after");
    let disks = each_disk(&base, &events, &at, 31, |answered, _, when| {
        runtime.block_on(look(&at, &states, answered, when));
    });
    println!("{disks} disks rebuilt from {} events, {syncs} of them syncs", events.len());
}

/// What was acknowledged is there, and perhaps the next request; nothing is wrong, and the sweep leaves nothing.
async fn look(at: &Path, states: &[State], answered: usize, when: &str) {
    assert!(database(at).exists() && objects(at).is_dir(), "{when}: the store itself is there");
    let rest = Rest::open(at).await;
    let mut as_one = false;
    for state in states.iter().skip(answered).take(2) {
        as_one = as_one || is(&rest, state).await;
    }
    assert!(as_one, "{when}: neither what was acknowledged nor what the next request makes of it is there");
    rest.check(at, true, when).await;
    rest.store.close().await;
}

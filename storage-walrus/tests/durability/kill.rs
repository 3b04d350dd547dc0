//! A server that is killed at any moment, again and again, under clients that each know what they were told.

use crate::client::{Client, Reply, elements};
use crate::rest;
use crate::server::Server;
use crate::value::{Random, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

/// Cycles of a usual run; `MALLEE_KILL_CYCLES` asks for more.
const CYCLES: u64 = 40;
const CLIENTS: u64 = 4;
/// Keys of each client, in the plain bucket.
const KEYS: u64 = 6;
/// Keys of each client, in the versioned bucket.
const VERSIONED_KEYS: u64 = 2;
/// Most versions that a client lets a key have.
const VERSIONS_MAX: usize = 6;
/// Smallest part that may be followed by another.
const PART_BYTES: usize = 5 << 20;
/// Longest work before a kill.
const KILL_AFTER_MS: u64 = 500;
/// How often the store is swept and must then hold nothing superfluous.
const SWEEP_EVERY: u64 = 5;

/// What one client knows. It writes to its keys alone, so that it always knows what must be there.
struct Told {
    random: Random,
    name: u64,
    plain: BTreeMap<String, Register>,
    versions: BTreeMap<String, Versions>,
    operations: u64,
}

/// A key without versions: its value, and that of the write whose answer never came.
#[derive(Default, Clone)]
struct Register {
    value: Option<Value>,
    perhaps: Option<Option<Value>>,
}

/// A key with versions, the newest last. `None`: a delete marker.
#[derive(Default, Clone)]
struct Versions {
    known: Vec<(String, Option<Value>)>,
    /// A write whose answer never came.
    perhaps: Option<Option<Value>>,
    /// A version whose deletion was never answered.
    perhaps_gone: Option<String>,
}

type Outcome = std::io::Result<()>;

impl Told {
    fn new(name: u64, seed: u64) -> Self {
        let plain = (0..KEYS).map(|k| (format!("c{name}/k{k}"), Register::default())).collect();
        let versions = (0..VERSIONED_KEYS).map(|k| (format!("c{name}/v{k}"), Versions::default())).collect();
        Self { random: Random::new(seed * 1000 + name), name, plain, versions, operations: 0 }
    }

    fn key(&mut self) -> String {
        format!("c{}/k{}", self.name, self.random.below(KEYS))
    }

    /// Works until the server is gone.
    fn work(&mut self, client: &mut Client, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let outcome = match self.random.below(20) {
                0..6 => self.put(client, None),
                6..10 => self.read(client),
                10..12 => self.delete(client),
                12..14 => self.copy(client),
                14..16 => self.multipart(client),
                16 => self.put(client, Some("*")),
                17..19 => self.put_version(client),
                _ => self.delete_version(client),
            };
            if outcome.is_err() {
                return;
            }
            self.operations += 1;
        }
    }

    /// A write of a plain key: until it is answered, both values are possible.
    fn write(
        &mut self,
        key: &str,
        value: Option<Value>,
        wanted: u16,
        send: impl FnOnce() -> std::io::Result<Reply>,
    ) -> Outcome {
        self.plain.get_mut(key).unwrap().perhaps = (wanted < 300).then(|| value.clone());
        let reply = send()?;
        assert_eq!(reply.status, wanted, "{key}: {}", reply.text());
        let applied = reply.status < 300;
        let register = self.plain.get_mut(key).unwrap();
        register.perhaps = None;
        if applied {
            register.value = value;
        }
        Ok(())
    }

    fn put(&mut self, client: &mut Client, none_match: Option<&str>) -> Outcome {
        let (key, value) = (self.key(), Value::random(&mut self.random));
        let wanted = if none_match.is_some() && self.plain[&key].value.is_some() { 412 } else { 200 };
        let headers: Vec<_> = none_match.map(|tag| ("if-none-match", tag)).into_iter().collect();
        let path = format!("/plain/{key}");
        self.write(&key, Some(value.clone()), wanted, || client.send("PUT", &path, &headers, &value.bytes()))
    }

    fn delete(&mut self, client: &mut Client) -> Outcome {
        let key = self.key();
        let path = format!("/plain/{key}");
        self.write(&key, None, 204, || client.delete(&path))
    }

    fn copy(&mut self, client: &mut Client) -> Outcome {
        let (from, to) = (self.key(), self.key());
        let Some(value) = self.plain[&from].value.clone().filter(|_| from != to) else { return Ok(()) };
        let source = format!("/plain/{from}");
        let path = format!("/plain/{to}");
        self.write(&to, Some(value), 200, || client.send("PUT", &path, &[("x-amz-copy-source", &source)], b""))
    }

    fn multipart(&mut self, client: &mut Client) -> Outcome {
        let key = self.key();
        let started = client.post(&format!("/plain/{key}?uploads"), b"")?;
        let id = started.element("UploadId").unwrap_or_else(|| panic!("{}", started.text()));
        let mut value = Value(Vec::new());
        if self.random.below(8) == 0 {
            value.0.push((self.random.next(), PART_BYTES));
        }
        value.0.push(Value::random(&mut self.random).0[0]);
        let mut list = String::new();
        for (n, piece) in (1..).zip(&value.0) {
            let part =
                client.put(&format!("/plain/{key}?partNumber={n}&uploadId={id}"), &Value(vec![*piece]).bytes())?;
            assert_eq!(part.status, 200, "{}", part.text());
            let tag = part.header("etag").unwrap();
            list.push_str(&format!("<Part><PartNumber>{n}</PartNumber><ETag>{tag}</ETag></Part>"));
        }
        let path = format!("/plain/{key}?uploadId={id}");
        if self.random.below(5) == 0 {
            let reply = client.delete(&path)?;
            assert_eq!(reply.status, 204, "{}", reply.text());
            return Ok(());
        }
        let body = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
        self.write(&key, Some(value), 200, || client.post(&path, body.as_bytes()))
    }

    fn read(&mut self, client: &mut Client) -> Outcome {
        let key = self.key();
        let reply = client.get(&format!("/plain/{key}"))?;
        same(&reply, self.plain[&key].value.as_ref(), &key);
        Ok(())
    }

    fn versioned_key(&mut self) -> String {
        format!("c{}/v{}", self.name, self.random.below(VERSIONED_KEYS))
    }

    fn put_version(&mut self, client: &mut Client) -> Outcome {
        let key = self.versioned_key();
        if self.versions[&key].known.len() >= VERSIONS_MAX {
            return self.delete_version(client);
        }
        let value = (self.random.below(5) > 0).then(|| Value::random(&mut self.random));
        self.versions.get_mut(&key).unwrap().perhaps = Some(value.clone());
        let path = format!("/versions/{key}");
        let reply = match &value {
            Some(value) => client.put(&path, &value.bytes())?,
            None => client.delete(&path)?,
        };
        assert!(matches!(reply.status, 200 | 204), "{}", reply.text());
        let id = reply.header("x-amz-version-id").expect("a version id").to_owned();
        let versions = self.versions.get_mut(&key).unwrap();
        versions.perhaps = None;
        versions.known.push((id, value));
        Ok(())
    }

    fn delete_version(&mut self, client: &mut Client) -> Outcome {
        let key = self.versioned_key();
        let count = self.versions[&key].known.len();
        if count == 0 {
            return Ok(());
        }
        let at = usize::try_from(self.random.below(count as u64)).unwrap();
        let id = self.versions[&key].known[at].0.clone();
        self.versions.get_mut(&key).unwrap().perhaps_gone = Some(id.clone());
        let reply = client.delete(&format!("/versions/{key}?versionId={id}"))?;
        assert_eq!(reply.status, 204, "{}", reply.text());
        let versions = self.versions.get_mut(&key).unwrap();
        versions.perhaps_gone = None;
        versions.known.remove(at);
        Ok(())
    }

    /// What was acknowledged is there; of what was not answered it now knows.
    fn verify(&mut self, client: &mut Client) {
        let listing = client.get(&format!("/plain?list-type=2&prefix=c{}%2F", self.name)).unwrap();
        let listed: BTreeSet<String> = elements(&listing.text(), "Key").into_iter().collect();
        for (key, register) in &mut self.plain {
            let reply = client.get(&format!("/plain/{key}")).unwrap();
            if let Some(other) = register.perhaps.take()
                && holds(&reply, other.as_ref())
            {
                register.value = other;
            }
            same(&reply, register.value.as_ref(), key);
            assert_eq!(listed.contains(key), register.value.is_some(), "{key} in {listed:?}");
        }
        for (key, versions) in &mut self.versions {
            versions.verify(client, key);
        }
    }
}

impl Versions {
    fn verify(&mut self, client: &mut Client, key: &str) {
        let listing = client.get(&format!("/versions?prefix={}&versions", key.replace('/', "%2F"))).unwrap().text();
        // The newest first, markers and versions mixed.
        let mut there = Vec::new();
        for entry in listing.split("<Key>").skip(1) {
            there.push(elements(entry, "VersionId").remove(0));
        }
        let markers = listing.matches("<DeleteMarker>").count();
        if let Some(gone) = self.perhaps_gone.take()
            && !there.contains(&gone)
        {
            self.known.retain(|(id, _)| *id != gone);
        }
        let new: Vec<&String> = there.iter().filter(|id| !self.known.iter().any(|(known, _)| known == *id)).collect();
        assert!(new.len() <= usize::from(self.perhaps.is_some()), "{key}: {new:?} of nobody's writing");
        let (new, perhaps) = (new.first().map(|id| (*id).clone()), self.perhaps.take());
        if let (Some(id), Some(value)) = (new, perhaps) {
            self.known.push((id, value));
        }
        let known: BTreeSet<&String> = self.known.iter().map(|(id, _)| id).collect();
        assert_eq!(known, there.iter().collect(), "{key}: versions");
        assert_eq!(markers, self.known.iter().filter(|(_, value)| value.is_none()).count(), "{key}: markers");
        for (id, value) in &self.known {
            let reply = client.get(&format!("/versions/{key}?versionId={id}")).unwrap();
            match value {
                Some(value) => same(&reply, Some(value), key),
                None => assert_eq!(reply.status, 405, "{key}: {}", reply.text()),
            }
        }
        let newest = client.get(&format!("/versions/{key}")).unwrap();
        same(&newest, self.known.last().and_then(|(_, value)| value.as_ref()), key);
    }
}

fn holds(reply: &Reply, value: Option<&Value>) -> bool {
    match value {
        Some(value) => reply.status == 200 && reply.body == value.bytes(),
        None => reply.status == 404,
    }
}

fn same(reply: &Reply, value: Option<&Value>, key: &str) {
    assert!(holds(reply, value), "{key}: {} with {} bytes, where {value:?} must be", reply.status, reply.body.len());
}

fn cycles() -> u64 {
    std::env::var("MALLEE_KILL_CYCLES").ok().and_then(|n| n.parse().ok()).unwrap_or(CYCLES)
}

fn prepare(dir: &Path) {
    let server = Server::start(dir);
    let mut client = Client::new(server.address);
    for bucket in ["plain", "versions"] {
        assert_eq!(client.put(&format!("/{bucket}"), b"").unwrap().status, 200);
    }
    let enable = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let md5 = {
        use base64::Engine as _;
        use md5::Digest as _;
        base64::engine::general_purpose::STANDARD.encode(md5::Md5::digest(enable))
    };
    let reply = client.send("PUT", "/versions?versioning", &[("content-md5", &md5)], enable).unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[test]
fn killed_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    prepare(&dir);
    let mut clients: Vec<Told> = (0..CLIENTS).map(|name| Told::new(name, cycles())).collect();
    let mut random = Random::new(cycles());
    for cycle in 0..cycles() {
        let mut server = Server::start(&dir);
        let (address, stop) = (server.address, Arc::new(AtomicBool::new(false)));
        let verified = Arc::new(Barrier::new(clients.len() + 1));
        let workers: Vec<_> = clients
            .drain(..)
            .map(|mut told| {
                let (stop, verified) = (Arc::clone(&stop), Arc::clone(&verified));
                std::thread::spawn(move || {
                    let mut client = Client::new(address);
                    let looked = catch_unwind(AssertUnwindSafe(|| told.verify(&mut client)));
                    verified.wait();
                    looked.expect("what was acknowledged is there");
                    told.work(&mut client, &stop);
                    told
                })
            })
            .collect();
        verified.wait();
        std::thread::sleep(Duration::from_millis(random.below(KILL_AFTER_MS)));
        server.kill();
        stop.store(true, Ordering::Relaxed);
        clients.extend(workers.into_iter().map(|worker| worker.join().expect("what was acknowledged is there")));
        rest::check(&dir, cycle.is_multiple_of(SWEEP_EVERY), &format!("cycle {cycle}"));
    }
    let server = Server::start(&dir);
    for told in &mut clients {
        told.verify(&mut Client::new(server.address));
    }
    drop(server);
    rest::check(&dir, true, "at the end");
    let operations: u64 = clients.iter().map(|told| told.operations).sum();
    println!("{} kills, {operations} operations acknowledged, none lost", cycles());
    assert!(operations > cycles(), "{operations} operations in {} cycles are too few to show anything", cycles());
}

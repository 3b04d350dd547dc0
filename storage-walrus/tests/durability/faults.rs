//! A disk that fails: syncs, renames and the database's writes end in EIO or ENOSPC, at each point, once or from then
//! on. What was acknowledged is there, and what failed was never called a success.

use crate::client::Client;
use crate::replay::FILE_BYTES;
use crate::rest;
use crate::server::Server;
use crate::value::{Random, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// Keys before the faults; each is overwritten or deleted under them.
const KEYS: u64 = 8;
/// Which calls fail, and at which of each thread. (SQLite's first writes of a process make its index of the log.)
const CALLS: [(&str, &[u64]); 5] = [
    ("fdatasync", &[1, 2, 3]),
    ("fsync", &[1, 5, 6, 7]),
    ("rename,renameat,renameat2", &[1, 2, 3]),
    ("pwrite64", &[5, 9, 10, 12, 15, 20, 33]),
    // Bytes of blobs: those past the page cache, those through it, those of packs.
    ("writev", &[1, 2, 3, 4]),
];

/// What may be there under a key.
type May = BTreeMap<String, Vec<Option<Value>>>;

fn prepare(dir: &Path) -> May {
    let mut server = Server::start(dir);
    let mut client = Client::new(server.address);
    assert_eq!(client.put("/bkt", b"").unwrap().status, 200);
    let mut random = Random::new(7);
    let mut may = May::new();
    for n in 0..KEYS {
        let value = Value::random(&mut random);
        assert_eq!(client.put(&format!("/bkt/k{n}"), &value.bytes()).unwrap().status, 200);
        may.insert(format!("k{n}"), vec![Some(value)]);
    }
    server.stop();
    may
}

/// Values up to this size need no file of their own.
const INLINE_BYTES: usize = 4096;

/// Does one thing after the other; how many files were acknowledged, and how many requests were refused.
fn work(client: &mut Client, may: &mut May, random: &mut Random) -> (u32, u32) {
    let (mut files, mut refused) = (0, 0);
    for n in 0..KEYS * 2 {
        let key = format!("k{}", n % KEYS);
        let path = format!("/bkt/{key}");
        let (value, reply) = if n % 5 == 4 {
            (None, client.delete(&path))
        } else {
            // Every other one is a file: packs need few syncs of directories, and no renames.
            let value = if n % 2 == 0 { Value(vec![(random.next(), FILE_BYTES)]) } else { Value::random(random) };
            let reply = client.put(&path, &value.bytes());
            (Some(value), reply)
        };
        let values = may.get_mut(&key).unwrap();
        match reply {
            Ok(reply) if reply.status < 300 => {
                files += u32::from(value.as_ref().is_some_and(|value| value.0[0].1 > INLINE_BYTES));
                *values = vec![value];
            }
            Ok(reply) => {
                assert!(matches!(reply.status, 500 | 503), "{key}: {} {}", reply.status, reply.text());
                values.push(value);
                refused += 1;
            }
            Err(_) => {
                values.push(value);
                refused += 1;
            }
        }
    }
    (files, refused)
}

fn verify(dir: &Path, may: &May, when: &str) {
    let mut server = Server::start(dir);
    let mut client = Client::new(server.address);
    for (key, values) in may {
        let reply = client.get(&format!("/bkt/{key}")).unwrap();
        let there = values.iter().any(|value| match value {
            Some(value) => reply.status == 200 && reply.body == value.bytes(),
            None => reply.status == 404,
        });
        assert!(there, "{when}: {key} is {} with {} bytes: none of {values:?}", reply.status, reply.body.len());
    }
    server.kill();
    rest::check(dir, true, when);
}

fn copy(from: &Path, to: &Path) {
    let done = std::process::Command::new("cp").args(["-a"]).arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

#[test]
fn a_failing_disk() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("base");
    let before = prepare(&base);
    let mut random = Random::new(11);
    let mut met: BTreeMap<&str, u32> = BTreeMap::new();
    for (calls, moments) in CALLS {
        for error in ["EIO", "ENOSPC"] {
            for n in moments {
                for ever in ["", "+"] {
                    // A full disk fails neither of these.
                    if error == "ENOSPC" && (calls.starts_with("rename") || calls == "fsync") {
                        continue;
                    }
                    let when = format!("{calls}:error={error}:when={n}{ever}");
                    let dir = folder.path().join("data");
                    drop(std::fs::remove_dir_all(&dir));
                    copy(&base, &dir);
                    let mut may = before.clone();
                    let strace = ["-o", "/dev/null", "-e", &format!("trace={calls}"), "-e", &format!("inject={when}")];
                    let strace = strace.map(str::to_owned);
                    if let Some(mut server) = Server::start_with(&dir, &strace) {
                        let (files, refused) = work(&mut Client::new(server.address), &mut may, &mut random);
                        server.kill();
                        *met.entry(calls).or_default() += refused;
                        if *n == 1 && ever == "+" && matches!(calls, "fdatasync" | "writev") {
                            assert_eq!(files, 0, "{when}: no file can be durable, and yet some were said to be");
                        }
                    }
                    verify(&dir, &may, &when);
                }
            }
        }
    }
    for (calls, _) in CALLS {
        assert!(met.get(calls).is_some_and(|n| *n > 0), "{calls}: no request met a fault: {met:?}");
    }
}

//! A disk that fills up, and files whose bits flip, as a client sees them.

use crate::client::Client;
use crate::rest;
use crate::server::{Server, objects};
use crate::value::{Random, Value};
use std::path::Path;
use std::process::Command;

/// A small file system in memory, unmounted when dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path, size: &str) -> Self {
        let size = format!("size={size}");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).status().unwrap();
        assert!(done.success(), "this test mounts a file system and must run as root");
        Self(at)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0).status());
    }
}

#[test]
fn a_full_disk() {
    let at = tempfile::tempdir().unwrap();
    let _disk = SmallDisk::mount(at.path(), "24m");
    let dir = at.path().join("data");
    let mut server = Server::start(&dir);
    let mut client = Client::new(server.address);
    assert_eq!(client.put("/bkt", b"").unwrap().status, 200);
    let old = Value(vec![(1, 1 << 20)]);
    assert_eq!(client.put("/bkt/k", &old.bytes()).unwrap().status, 200);
    let large = Value(vec![(2, 32 << 20)]).bytes();
    for _ in 0..2 {
        let refused = client.put("/bkt/k", &large).unwrap();
        assert_eq!((refused.status, refused.element("Code").as_deref()), (503, Some("ServiceUnavailable")));
        let id = client.post("/bkt/m?uploads", b"").unwrap().element("UploadId").unwrap();
        let refused = client.put(&format!("/bkt/m?partNumber=1&uploadId={id}"), &large).unwrap();
        assert_eq!((refused.status, refused.element("Code").as_deref()), (503, Some("ServiceUnavailable")));
        assert_eq!(client.get(&format!("/bkt/m?uploadId={id}")).unwrap().text().matches("<Part>").count(), 0);
        assert_eq!(client.delete(&format!("/bkt/m?uploadId={id}")).unwrap().status, 204);
    }
    assert_eq!(client.get("/bkt/k").unwrap().body, old.bytes(), "the old bytes stay");
    // To the last byte, by blobs and then by rows; then deletions must still go.
    let (mut random, mut kept) = (Random::new(3), Vec::new());
    for n in 0..4000 {
        let size = if n % 2 == 0 { 300_000 } else { 4_000 };
        let value = Value(vec![(random.next(), size)]);
        let reply = client.put(&format!("/bkt/f{n}"), &value.bytes()).unwrap();
        match reply.status {
            200 => kept.push((n, value)),
            503 => assert_eq!(reply.element("Code").as_deref(), Some("ServiceUnavailable")),
            other => panic!("{other}: {}", reply.text()),
        }
        if n > 200 && kept.last().is_some_and(|(last, _)| last + 60 < n) {
            break;
        }
    }
    assert!(kept.len() > 20, "{}", kept.len());
    for (n, value) in &kept {
        assert_eq!(client.get(&format!("/bkt/f{n}")).unwrap().body, value.bytes(), "f{n}");
    }
    server.kill();
    let mut server = Server::start(&dir);
    let mut client = Client::new(server.address);
    for (n, value) in &kept {
        assert_eq!(client.get(&format!("/bkt/f{n}")).unwrap().body, value.bytes(), "f{n} after a restart");
    }
    server.kill();
}

#[test]
fn a_reserve_is_kept_for_deletions() {
    let at = tempfile::tempdir().unwrap();
    let _disk = SmallDisk::mount(at.path(), "24m");
    let dir = at.path().join("data");
    let mut server = Server::start_reserving(&dir, 8 << 20);
    let mut client = Client::new(server.address);
    assert_eq!(client.put("/bkt", b"").unwrap().status, 200);
    let piece = Value(vec![(1, 1 << 20)]).bytes();
    // The first that is refused gives back what was written of it: smaller ones, which begin or do not, take that.
    let mut kept = 0;
    for size in [piece.len(), 100_000] {
        let refused = loop {
            let reply = client.put(&format!("/bkt/{kept}"), &piece[..size]).unwrap();
            if reply.status != 200 {
                break reply;
            }
            kept += 1;
            assert!(kept < 40, "the reserve was used");
        };
        assert_eq!((refused.status, refused.element("Code").as_deref()), (503, Some("ServiceUnavailable")));
        assert!(refused.text().contains("not enough storage"), "{}", refused.text());
    }
    assert_eq!(client.put("/bkt/small", b"x").unwrap().status, 503, "rows take room too");
    for n in 0..kept {
        assert_eq!(client.delete(&format!("/bkt/{n}")).unwrap().status, 204, "deletions go on");
    }
    // What was deleted makes room within moments.
    let freed = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        client.put("/bkt/again", &piece).unwrap().status == 200
    });
    assert!(freed, "room comes back");
    server.kill();
    rest::check(&dir, true, "after the disk was full");
}

#[test]
fn flipped_bits_are_never_given_out() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let mut server = Server::start(&dir);
    let mut client = Client::new(server.address);
    assert_eq!(client.put("/bkt", b"").unwrap().status, 200);
    let mut random = Random::new(5);
    // One in a pack, and two files: one that is read nearly at once, one in several steps.
    for (size, dir_of) in [(100_000, "packs"), (300_000, "blobs"), (3 << 20, "blobs")] {
        let value = Value(vec![(random.next(), size)]);
        let good = value.bytes();
        assert_eq!(client.put("/bkt/k", &good).unwrap().status, 200);
        let file = largest(&objects(&dir).join(dir_of), size);
        let stored = std::fs::read(&file).unwrap();
        let data = stored.windows(64).position(|w| *w == good[..64]).expect("the bytes are stored as they are");
        // Regions: the first, the middle and the last block, every part of the footer; in a pack, the head.
        let tail = stored.len() - size - data;
        let head = if dir_of == "packs" { data - 36..data } else { 0..0 };
        let spots = (0..24).map(|n| data + n * size / 24).chain((0..24).map(|n| data + size + n * tail / 24));
        for spot in spots.chain(head).chain([data + size - 1, stored.len() - 1]) {
            let mut bad = stored.clone();
            bad[spot] ^= 1 << random.below(8);
            std::fs::write(&file, &bad).unwrap();
            match client.get("/bkt/k") {
                Ok(reply) => assert_eq!(reply.status, 500, "byte {spot} of {}", stored.len()),
                // The reply had begun: it ends before the bad bytes.
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "byte {spot}"),
            }
            let range = client.send("GET", "/bkt/k", &[("range", "bytes=0-9")], b"");
            let range = range.expect("short replies are whole, or errors");
            assert!(range.status == 500 || range.body == good[..10], "byte {spot}");
        }
        std::fs::write(&file, &stored).unwrap();
        assert_eq!(client.get("/bkt/k").unwrap().body, good);
    }
    server.kill();
    rest::check(&dir, true, "after all bits are as they were");
}

fn largest(dir: &Path, least: usize) -> std::path::PathBuf {
    let mut found: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap())
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.metadata().unwrap().len(), entry.path()))
        .filter(|(len, _)| *len >= least as u64)
        .collect();
    found.sort();
    found.pop().expect("the blob's file").1
}

//! Over a shared directory; another S3 is tested with two Walrus processes in tests/clients.

use super::*;
use bytes::Bytes;
use std::path::{Path, PathBuf};

fn files(dir: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).expect("readable") {
            let path = entry.expect("entry").path();
            match path.is_dir() {
                true => open.push(path),
                false if path.file_name().is_some_and(|name| name == OWNER) => {}
                false => found.push(path),
            }
        }
    }
    found
}

async fn open(dir: &Path, clock: &Clock) -> RemoteBlobs {
    let place = RemotePlace::parse(&format!("fs://{}", dir.display()), None).expect("a place");
    RemoteBlobs::open(&place, "one", clock.clone(), Rng::seeded(7), Faults::none()).await.expect("opens")
}

fn bytes(len: usize) -> Bytes {
    let mut data = vec![0; len];
    Rng::seeded(len as u64).fill(&mut data);
    data.into()
}

async fn write(blobs: &RemoteBlobs, data: &Bytes) -> BlobId {
    let mut writer = blobs.create(Level::Strict).await.expect("creates");
    for piece in data.chunks(1_000_003) {
        writer.write(Bytes::copy_from_slice(piece)).await.expect("writes");
    }
    writer.finish().await.expect("finishes")
}

async fn read(blobs: &RemoteBlobs, id: &BlobId, size: u64, mut offset: u64, len: u64) -> Result<Vec<u8>, Error> {
    let reader = blobs.open(id, size).await?;
    let (mut out, end) = (Vec::new(), offset + len);
    while offset < end {
        let data = reader.read(offset, end - offset).await?;
        offset += data.len() as u64;
        out.extend_from_slice(&data);
    }
    Ok(out)
}

#[tokio::test]
async fn blobs_are_written_read_listed_and_deleted() {
    let (dir, clock) = (tempfile::tempdir().expect("dir"), Clock::system());
    let blobs = open(dir.path(), &clock).await;
    for len in [0usize, 1, 128 * 1024, 128 * 1024 + 1, 512 * 1024, 20_000_000] {
        let data = bytes(len);
        let (id, size) = (write(&blobs, &data).await, len as u64);
        assert_eq!(read(&blobs, &id, size, 0, size).await.expect("reads"), data, "{len}");
        if len > 1000 {
            assert_eq!(read(&blobs, &id, size, 700, size - 900).await.expect("reads"), data[700..len - 200], "{len}");
        }
        let shard = usize::from_str_radix(&id.as_str()[..2], 16).expect("hex");
        assert!(blobs.list(shard, Duration::ZERO).await.expect("lists").contains(&id));
        assert!(blobs.list(shard, Duration::from_secs(60)).await.expect("lists").is_empty(), "it is young");
        blobs.delete(&id).await.expect("deletes");
        blobs.delete(&id).await.expect("deletes what is not there");
        assert!(matches!(blobs.open(&id, size).await, Err(Error::Gone)));
    }
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_dropped_writer_leaves_nothing() {
    let (dir, clock) = (tempfile::tempdir().expect("dir"), Clock::system());
    let blobs = open(dir.path(), &clock).await;
    let mut writer = blobs.create(Level::Strict).await.expect("creates");
    writer.write(bytes(20_000_000)).await.expect("writes");
    assert_eq!(files(&dir.path().join("blobs")).len(), 0, "nothing is visible before the end");
    drop(writer);
    for _ in 0..200 {
        if files(dir.path()).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?}", files(dir.path()));
}

#[tokio::test]
async fn damage_is_seen() {
    let (dir, clock) = (tempfile::tempdir().expect("dir"), Clock::system());
    let blobs = open(dir.path(), &clock).await;
    for len in [1000usize, 1_000_000] {
        let size = len as u64;
        let id = write(&blobs, &bytes(len)).await;
        let file = dir.path().join(RemoteBlobs::path(&id));
        let good = std::fs::read(&file).expect("read");
        for at in [0, len / 2, len - 1, len + 3, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 4;
            std::fs::write(&file, &bad).expect("write");
            let result = read(&blobs, &id, size, 0, size).await;
            assert!(matches!(result, Err(Error::Corrupt(_))), "{len} {at}: {result:?}");
        }
        std::fs::write(&file, &good[..good.len() - 5]).expect("write");
        assert!(matches!(read(&blobs, &id, size, 0, size).await, Err(Error::Corrupt(_))), "cut off");
    }
}

#[tokio::test]
async fn a_place_is_of_one_database() {
    let (dir, clock) = (tempfile::tempdir().expect("dir"), Clock::system());
    open(dir.path(), &clock).await;
    let first = open(dir.path(), &clock).await;
    assert!(first.list(0, Duration::ZERO).await.is_ok());
    let place = RemotePlace::parse(&format!("fs://{}", dir.path().display()), None).expect("a place");
    let other = RemoteBlobs::open(&place, "another", clock, Rng::seeded(8), Faults::none()).await;
    assert!(matches!(other, Err(Error::State(_))), "{other:?}");
    // Both came first, and the other one was the later.
    std::fs::write(dir.path().join(OWNER), "another").expect("write");
    let listed = first.list(0, Duration::ZERO).await;
    assert!(matches!(listed, Err(Error::State(_))), "nothing may be taken for garbage: {listed:?}");
}

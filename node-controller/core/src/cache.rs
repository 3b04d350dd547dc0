//! The image cache: files named by their SHA-256, fetched once, checked while they arrive, shared by every overlay.
//!
//! ```text
//!  DIR/<digest>        whole, checked, flushed
//!  DIR/<digest>.part   arriving; resumed after a crash
//! ```
//!
//! A file under its final name was whole and right when it was flushed there. What no instance stands on goes, least
//! recently used first, when the cache is over its size.

use crate::images::{CachedImage, ImageError, ImageStore};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use mallee_proto::v1::Image;
use mallee_runtime::{Clock, Faults};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Bytes read at once when a partial download is hashed again.
const READ_BYTES: usize = 256 * 1024;
/// A download that brings nothing for so long is broken off, and resumed.
const STALL_MAX: Duration = Duration::from_secs(60);
const PART: &str = "part";

/// Bytes of an image, in order, from an offset to the end.
pub type ImageBytes = BoxStream<'static, Result<Bytes, ImageError>>;

/// Where images come from.
#[async_trait]
pub trait ImageSource: Send + Sync + fmt::Debug {
    /// The bytes from `offset` on.
    async fn read(&self, digest: &str, offset: u64) -> Result<ImageBytes, ImageError>;
}

#[derive(Debug, Clone, Copy)]
struct Held {
    bytes: u64,
    used: SystemTime,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct FileImageCache {
    dir: PathBuf,
    bytes_max: u64,
    source: Arc<dyn ImageSource>,
    clock: Clock,
    faults: Faults,
    /// The disk was full: the next eviction drops everything idle.
    pressed: AtomicBool,
    held: Mutex<HashMap<String, Held>>,
    /// One lock per digest being fetched.
    fetching: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl FileImageCache {
    /// Opens (or makes) the cache in `dir`, to hold at most `bytes_max` beyond what instances stand on.
    ///
    /// # Errors
    /// The directory cannot be made or listed.
    pub fn open(
        dir: PathBuf,
        bytes_max: u64,
        source: Arc<dyn ImageSource>,
        clock: Clock,
        faults: Faults,
    ) -> io::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        let mut held = HashMap::new();
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let facts = entry.metadata()?;
            if facts.is_file() && is_digest(&name) {
                held.insert(name, Held { bytes: facts.len(), used: facts.modified()? });
            }
        }
        let (held, fetching) = (Mutex::new(held), Mutex::default());
        Ok(Self { dir, bytes_max, source, clock, faults, pressed: AtomicBool::new(false), held, fetching })
    }

    fn held_now(&self) -> std::sync::MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_of(&self, digest: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        fetching.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(fetching.entry(digest.to_owned()).or_default())
    }

    /// True when the image is here as it should be.
    async fn is_here(&self, image: &Image, path: &Path) -> Result<bool, ImageError> {
        match fs::metadata(path).await {
            Ok(facts) if facts.len() == image.size_bytes => Ok(true),
            // A file system that lost a tail, or an order with another size: the digest decides, so fetch again.
            Ok(_) => fs::remove_file(path).await.map(|()| false).map_err(|e| disk_error(&e, path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(disk_error(&error, path)),
        }
    }

    async fn used(&self, digest: &str, path: &Path, bytes: u64) {
        let used = SystemTime::from(self.clock.now());
        self.held_now().insert(digest.to_owned(), Held { bytes, used });
        let path = path.to_owned();
        // The order of use is a hint; losing it costs a download at most.
        drop(tokio::task::spawn_blocking(move || std::fs::File::open(path)?.set_modified(used)).await);
    }

    async fn fetch(&self, image: &Image, path: &Path) -> Result<(), ImageError> {
        let part = path.with_extension(PART);
        let fetched = self.fetch_part(image, &part).await;
        if matches!(fetched, Err(ImageError::Full(_))) {
            self.pressed.store(true, Ordering::Relaxed);
        }
        match &fetched {
            Err(ImageError::Damaged(_) | ImageError::Full(_) | ImageError::NotFound(_)) => {
                // Room for others, and nothing wrong to build on.
                drop(fs::remove_file(&part).await);
            }
            Err(ImageError::Unavailable(_)) | Ok(()) => {}
        }
        fetched?;
        self.point("node.image.rename").await?;
        fs::rename(&part, path).await.map_err(|e| disk_error(&e, path))?;
        let moved = path.to_owned();
        let flushed = tokio::task::spawn_blocking(move || crate::durable::flush_parent(&moved)).await;
        flushed.map_err(io::Error::other).and_then(|r| r).map_err(|e| disk_error(&e, path))?;
        self.point("node.image.rename.done").await
    }

    async fn fetch_part(&self, image: &Image, part: &Path) -> Result<(), ImageError> {
        let on_disk = |e: io::Error| disk_error(&e, part);
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(part).await.map_err(on_disk)?;
        let (mut hash, mut bytes) = rehash(&mut file).await.map_err(on_disk)?;
        if bytes > image.size_bytes {
            return Err(ImageError::Damaged(image.digest.clone()));
        }
        if bytes < image.size_bytes {
            self.point("node.image.read").await?;
            let mut stream = self.source.read(&image.digest, bytes).await?;
            loop {
                let next = tokio::time::timeout(STALL_MAX, stream.next()).await;
                let next =
                    next.map_err(|_| ImageError::Unavailable(format!("{}: the download stalled", image.digest)))?;
                let Some(chunk) = next else { break };
                let chunk = chunk?;
                bytes += chunk.len() as u64;
                if bytes > image.size_bytes {
                    return Err(ImageError::Damaged(image.digest.clone()));
                }
                hash.update(&chunk);
                file.write_all(&chunk).await.map_err(on_disk)?;
                self.point("node.image.chunk.done").await?;
            }
            file.flush().await.map_err(on_disk)?;
        }
        if bytes < image.size_bytes {
            let (digest, size) = (&image.digest, image.size_bytes);
            return Err(ImageError::Unavailable(format!("{digest}: ended after {bytes} of {size} bytes")));
        }
        if hex::encode(hash.finalize()) != image.digest {
            return Err(ImageError::Damaged(image.digest.clone()));
        }
        file.sync_all().await.map_err(on_disk)
    }

    async fn point(&self, name: &str) -> Result<(), ImageError> {
        self.faults.point(name).await.map_err(|e| ImageError::Unavailable(e.to_string()))
    }
}

async fn rehash(file: &mut File) -> io::Result<(Sha256, u64)> {
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = file.read(&mut buffer).await?;
        if read == 0 {
            return Ok((hash, bytes));
        }
        hash.update(&buffer[..read]);
        bytes += read as u64;
    }
}

/// A digest becomes a file name: nothing else may.
fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn disk_error(error: &io::Error, path: &Path) -> ImageError {
    let text = format!("{}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ImageError::Full(text),
        _ => ImageError::Unavailable(text),
    }
}

#[async_trait]
impl ImageStore for FileImageCache {
    async fn ensure(&self, image: &Image) -> Result<CachedImage, ImageError> {
        let digest = &image.digest;
        if !is_digest(digest) || image.size_bytes == 0 {
            return Err(ImageError::NotFound(digest.clone()));
        }
        if image.size_bytes > self.bytes_max {
            let (size, most) = (image.size_bytes, self.bytes_max);
            return Err(ImageError::Full(format!("the image has {size} bytes, the cache holds {most} at most")));
        }
        let path = self.dir.join(digest);
        let lock = self.lock_of(digest);
        let alone = lock.lock().await;
        if !self.is_here(image, &path).await? {
            self.held_now().remove(digest);
            self.fetch(image, &path).await?;
        }
        self.used(digest, &path, image.size_bytes).await;
        drop(alone);
        Ok(CachedImage { digest: digest.clone(), path, format: image.format.clone() })
    }

    async fn held(&self) -> Vec<String> {
        let mut digests: Vec<String> = self.held_now().keys().cloned().collect();
        digests.sort();
        digests
    }

    async fn evict(&self, in_use: &[String]) -> Result<(), ImageError> {
        let victims = {
            let bytes_max = if self.pressed.swap(false, Ordering::Relaxed) { 0 } else { self.bytes_max };
            let held = self.held_now();
            let mut total: u64 = held.values().map(|h| h.bytes).sum();
            let mut idle: Vec<_> = held.iter().filter(|(digest, _)| !in_use.contains(digest)).collect();
            idle.sort_by_key(|(_, held)| held.used);
            let mut victims = Vec::new();
            for (digest, held) in idle {
                if total <= bytes_max {
                    break;
                }
                total -= held.bytes;
                victims.push(digest.clone());
            }
            victims
        };
        for digest in victims {
            let lock = self.lock_of(&digest);
            // One that is being asked for right now is in use after all.
            let Ok(_alone) = lock.try_lock() else { continue };
            self.held_now().remove(&digest);
            let path = self.dir.join(&digest);
            match fs::remove_file(&path).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(disk_error(&error, &path)),
                Ok(()) | Err(_) => tracing::info!(image = digest, "dropped from the image cache"),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;

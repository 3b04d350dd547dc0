//! Blobs in a store that exists already: another S3 (Ceph's RGW, say), a shared file system, HDFS. Any number of Walrus
//! processes over one PostgreSQL may share it; each blob is written once, under a name that is never given twice.
//!
//! The bytes have the form of a blob file (data, then a footer with a CRC32C of each block), so that every read is
//! verified here, whatever the other store promises.
//!
//! What a writer that died leaves of a multipart upload is the other store's: give its bucket a lifecycle rule that aborts
//! incomplete uploads. Blobs that were written and never committed are swept as those in files are.

mod place;
mod reader;
mod writer;

pub use place::{BadPlace, RemoteKeys, RemotePlace};

use mallee_objects::{BlobId, BlobReader, BlobStore, BlobWriter, Error, Level};
use mallee_runtime::{Clock, Faults, Rng};
use opendal::Operator;
use std::time::{Duration, UNIX_EPOCH};

/// Prefixes that blobs are spread over (the first byte of their id).
const SHARDS: usize = 256;
/// Says whose blobs these are.
const OWNER: &str = "walrus-owner";
/// How long a blob that lost its last reference stays: readers of other processes may be in the middle of it.
pub const DELETE_GRACE: Duration = Duration::from_secs(15 * 60);

/// Blobs in another store. Clones share the connections.
#[derive(Debug, Clone)]
pub struct RemoteBlobs {
    operator: Operator,
    /// For messages.
    place: String,
    /// The database whose blobs these are.
    owner: String,
    clock: Clock,
    rng: Rng,
    faults: Faults,
}

impl RemoteBlobs {
    /// Opens a place for the database named `owner`: the first one that comes has it for good, because the sweep of
    /// another one would take its blobs for garbage.
    ///
    /// # Errors
    /// When the place cannot be used; the text says which and why.
    pub async fn open(place: &RemotePlace, owner: &str, clock: Clock, rng: Rng, faults: Faults) -> Result<Self, Error> {
        let (operator, place, owner) = (place.operator()?, place.to_string(), owner.to_owned());
        let blobs = Self { operator, place, owner, clock, rng, faults };
        if blobs.owner_there().await?.is_none() {
            let written = blobs.operator.write(OWNER, blobs.owner.clone()).await;
            written.map_err(|e| blobs.failed("cannot be written", &e))?;
        }
        blobs.must_own().await?;
        Ok(blobs)
    }

    /// Two databases that come first at the same moment may both think that they have the place: asked again before
    /// anything is listed for the sweep, which is what would do harm.
    async fn must_own(&self) -> Result<(), Error> {
        match self.owner_there().await? {
            Some(there) if there == self.owner => Ok(()),
            _ => Err(Error::State(format!(
                "{} holds the objects of another database; give each database a place of its own",
                self.place
            ))),
        }
    }

    async fn owner_there(&self) -> Result<Option<String>, Error> {
        match self.operator.read(OWNER).await {
            Ok(data) => Ok(Some(String::from_utf8_lossy(&data.to_bytes()).into_owned())),
            Err(error) if error.kind() == opendal::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("cannot be read", &error)),
        }
    }

    fn path(id: &BlobId) -> String {
        format!("blobs/{}/{id}", &id.as_str()[..2])
    }

    fn failed(&self, what: &str, error: &opendal::Error) -> Error {
        failure(&self.place, what, error)
    }
}

/// An error of the other store as one of ours.
fn failure(place: &str, what: &str, error: &opendal::Error) -> Error {
    let kind = match error.kind() {
        opendal::ErrorKind::NotFound => return Error::Gone,
        opendal::ErrorKind::PermissionDenied => std::io::ErrorKind::PermissionDenied,
        opendal::ErrorKind::RateLimited => std::io::ErrorKind::WouldBlock,
        _ => std::io::ErrorKind::Other,
    };
    Error::Io { what: format!("{place} {what}"), source: std::io::Error::new(kind, error.to_string()) }
}

#[async_trait::async_trait]
impl BlobStore for RemoteBlobs {
    async fn create(&self, _: Level) -> Result<Box<dyn BlobWriter>, Error> {
        self.faults.point("walrus.put.create").await?;
        let id = BlobId::from_random(self.rng.u128());
        Ok(Box::new(writer::RemoteWriter::new(self.clone(), id)))
    }

    async fn open(&self, id: &BlobId, size: u64) -> Result<Box<dyn BlobReader>, Error> {
        Ok(Box::new(reader::RemoteReader::open(self, id, size).await?))
    }

    async fn delete(&self, id: &BlobId) -> Result<(), Error> {
        self.faults.point("remote.delete").await?;
        match self.operator.delete(&Self::path(id)).await {
            Err(error) if error.kind() != opendal::ErrorKind::NotFound => Err(self.failed("does not delete", &error)),
            _ => Ok(()),
        }
    }

    async fn list(&self, shard: usize, age: Duration) -> Result<Vec<BlobId>, Error> {
        use futures::TryStreamExt as _;
        self.must_own().await?;
        let failed = |e| self.failed("cannot be listed", &e);
        let prefix = format!("blobs/{shard:02x}/");
        let mut entries = match self.operator.lister(&prefix).await {
            Err(error) if error.kind() == opendal::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(failed)?,
        };
        let now = UNIX_EPOCH + Duration::from_millis(u64::try_from(self.clock.now_ms()).unwrap_or_default());
        let mut found = Vec::new();
        loop {
            let entry = match entries.try_next().await {
                // A shared directory that has no blob of this shard yet.
                Err(error) if error.kind() == opendal::ErrorKind::NotFound => break,
                other => other.map_err(failed)?,
            };
            let Some(entry) = entry else { break };
            // Objects that are not ours are left alone.
            let Some(id) = BlobId::parse(entry.name()) else { continue };
            let told = entry.metadata().last_modified();
            let written = match told {
                Some(written) => Some(written),
                None => match self.operator.stat(entry.path()).await {
                    Ok(metadata) => metadata.last_modified(),
                    Err(error) if error.kind() == opendal::ErrorKind::NotFound => continue,
                    Err(error) => return Err(failed(error)),
                },
            };
            // What tells no time is young: deleting too late costs room, too early bytes.
            let old = written.is_some_and(|at| now.duration_since(at.into()).is_ok_and(|old| old >= age));
            if old {
                found.push(id);
            }
        }
        Ok(found)
    }

    fn shards(&self) -> usize {
        SHARDS
    }

    /// Nothing: other processes may be writing.
    async fn discard_unfinished(&self) -> Result<u64, Error> {
        Ok(0)
    }

    /// The other store says itself when it is full.
    fn room(&self) -> Result<(), Error> {
        Ok(())
    }

    fn delete_grace(&self) -> Duration {
        DELETE_GRACE
    }
}

#[cfg(test)]
mod tests;

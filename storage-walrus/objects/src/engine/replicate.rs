//! Writing what another bucket has, and settling what was brought elsewhere.

use super::objects::Description;
use super::{Engine, Stored};
use crate::crypt::plain_size;
use crate::error::Error;
use crate::model::{Marker, Object, PutObject};
use crate::replica::{Placed, Replica};
use crate::version::VersionId;
use mallee_store::S3ReplicationRow;

/// How far ahead of this clock the times of a replica may be, that in its id and that of its writing, in milliseconds: two
/// days. What is newest for ever nobody could write over, and no rule would ever find it old.
const AHEAD_MS_MAX: i64 = 2 * 24 * 3600 * 1000;
const US_PER_MS: i64 = 1000;

/// The bytes of a replica.
#[derive(Debug)]
pub enum ReplicaBytes<'a> {
    /// Those of this object, shared with it.
    Of(&'a Object),
    /// New ones.
    New(Stored),
}

impl Engine {
    /// Writes an object under the id and with the time that it has elsewhere: older than what is here and newer, it stays
    /// in its place. What is there already stays as it is.
    ///
    /// # Errors
    /// [`Error::NoBucket`], [`Error::State`] where the bucket has no versions or the place of the id is another's,
    /// [`Error::Gone`] when the source was deleted meanwhile; a failing store. New bytes are dropped then.
    pub async fn put_replica(
        &self,
        what: Description,
        version: VersionId,
        created_ms: i64,
        bytes: ReplicaBytes<'_>,
    ) -> Result<Placed, Error> {
        let sealed = what.properties.encryption.is_some();
        let (size, content, new_blob) = match bytes {
            ReplicaBytes::Of(source) => {
                self.flush().await?;
                (source.info.size, source.content.clone(), None)
            }
            ReplicaBytes::New(stored) => {
                let new_blob = stored.new_blob();
                (if sealed { plain_size(stored.size) } else { stored.size }, stored.content, new_blob)
            }
        };
        let retain_by_default = what.retain_by_default;
        let (bucket, mut info) = self.describe(what, size);
        info.version = version;
        info.created_ms = created_ms;
        let new = new_blob.as_ref().map(|(id, _)| id.clone());
        let replica =
            Replica::Object(PutObject { bucket, object: Object { info, content }, new_blob, retain_by_default });
        let placed = match self.check_place(version, created_ms) {
            Ok(()) => self.place(&replica).await,
            Err(error) => Err(error),
        };
        if matches!(placed, Ok(Placed::There)) {
            self.discard(new).await;
            return placed;
        }
        self.settle(placed, new).await
    }

    /// Writes a delete marker under the id that it has elsewhere.
    ///
    /// # Errors
    /// As [`Engine::put_replica`].
    pub async fn put_replica_marker(&self, bucket: &str, key: &str, marker: Marker) -> Result<Placed, Error> {
        self.check_place(marker.version, marker.created_ms)?;
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.place(&Replica::Marker { bucket, key, marker, write_id: self.write_id() }).await
    }

    /// Deletes bytes that nothing will refer to.
    pub async fn drop_stored(&self, stored: Stored) {
        self.discard(stored.new_blob().map(|(id, _)| id)).await;
    }

    fn check_place(&self, version: VersionId, created_ms: i64) -> Result<(), Error> {
        let latest_ms = self.clock.now_ms().saturating_add(AHEAD_MS_MAX);
        if created_ms > latest_ms {
            return Err(Error::State("a version that was written in the future".to_owned()));
        }
        let latest_us = latest_ms.saturating_mul(US_PER_MS);
        if version.random <= 0 || version.rank >= 0 || version.rank < -latest_us {
            return Err(Error::State("a version id that is none, or of the future".to_owned()));
        }
        Ok(())
    }

    async fn place(&self, replica: &Replica) -> Result<Placed, Error> {
        self.faults.point("walrus.replica.commit").await?;
        let placed = self.meta.put_replica(replica).await?;
        self.faults.point("walrus.replica.commit.done").await?;
        Ok(placed)
    }

    /// Notes how the replication of a version to one of its targets has ended; with why it failed, if it did. A version that
    /// has changed since waits on.
    ///
    /// # Errors
    /// A failing store.
    pub async fn replicated(&self, version: &S3ReplicationRow, failed: Option<&str>) -> Result<(), Error> {
        self.faults.point("walrus.replicated.commit").await?;
        self.meta.replicated(version, failed).await?;
        self.faults.point("walrus.replicated.commit.done").await?;
        Ok(())
    }
}

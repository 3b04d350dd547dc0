//! The sweep: deletes files that no row refers to. They are what dies between the rename of a blob and its commit; and
//! what comes back when a power failure undoes a deletion.

use super::Engine;
use crate::error::Error;
use std::time::Duration;

/// How long a file without a row is left alone: longer than any write takes from its last byte to its commit.
pub const ORPHAN_GRACE: Duration = Duration::from_secs(3600);

/// What a sweep saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Blobs old enough to be looked at.
    pub seen: u64,
    /// Blobs deleted because no row refers to them.
    pub deleted: u64,
}

impl Engine {
    /// To be called once when the daemon starts, before anything writes: removes what unfinished writes left.
    ///
    /// # Errors
    /// A failing disk.
    pub async fn recover(&self) -> Result<u64, Error> {
        self.blobs.discard_unfinished().await
    }

    /// Deletes blobs without a row that are older than `grace`.
    ///
    /// # Errors
    /// A failing store. What was deleted stays deleted.
    pub async fn sweep(&self, grace: Duration) -> Result<SweepReport, Error> {
        self.blobs.must_own().await?;
        let mut report = SweepReport::default();
        for shard in 0..self.blobs.shards() {
            let old = self.blobs.list(shard, grace).await?;
            let known = self.meta.existing_blobs(&old).await?;
            report.seen += old.len() as u64;
            let lone: Vec<_> = old.into_iter().filter(|id| !known.contains(id)).collect();
            if lone.is_empty() {
                continue;
            }
            // They may be of commits whose outcome was not known. From here on it is: none of them counts.
            self.meta.settle_log().await?;
            self.blobs.must_own().await?;
            for id in lone {
                self.blobs.delete(&id).await?;
                report.deleted += 1;
            }
        }
        while self.blobs.compact(Some(&*self.meta)).await? {}
        Ok(report)
    }
}

//! Garbage: deletes the bytes of blobs that lost their last reference, then forgets them, and compacts packs. What dies in between is done
//! again: a blob that is not there is no error, and ids are never given twice.

use super::Engine;
use crate::error::Error;
use mallee_runtime::task::Nudge;
use std::time::Duration;

/// Blobs taken at once.
const BATCH: usize = 256;
/// After which time a blob that could not be deleted is tried again.
pub const COLLECT_RETRY: Duration = Duration::from_secs(60);

impl Engine {
    /// Woken whenever something becomes garbage.
    #[must_use]
    pub const fn garbage_nudge(&self) -> &Nudge {
        &self.garbage
    }

    /// Deletes all garbage that is due; how many blobs went.
    ///
    /// # Errors
    /// A failing metadata store. A blob that cannot be deleted is no error: it is tried again after [`COLLECT_RETRY`].
    pub async fn collect(&self) -> Result<u64, Error> {
        let grace_ms = i64::try_from(self.blobs.delete_grace().as_millis()).unwrap_or(i64::MAX);
        let mut deleted = 0;
        loop {
            let now_ms = self.clock.now_ms();
            let batch = self.meta.garbage(now_ms.saturating_sub(grace_ms), BATCH).await?;
            if batch.is_empty() {
                if self.blobs.compact(None).await? {
                    self.garbage.wake();
                }
                return Ok(deleted);
            }
            self.faults.point("walrus.gc.take").await?;
            let (mut gone, mut stuck) = (Vec::new(), Vec::new());
            for id in batch {
                // It is tried again when nobody reads it any more.
                if !self.pins.give_up(&id) {
                    stuck.push(id);
                    continue;
                }
                match self.blobs.delete(&id).await {
                    Ok(()) => gone.push(id),
                    Err(error) => {
                        tracing::warn!(blob = %id, %error, "an unused blob could not be deleted; it is tried again");
                        stuck.push(id);
                    }
                }
            }
            self.faults.point("walrus.gc.forget").await?;
            let retry_ms = now_ms.saturating_add(i64::try_from(COLLECT_RETRY.as_millis()).unwrap_or(i64::MAX));
            self.meta.forget_garbage(&gone, &stuck, retry_ms).await?;
            self.faults.point("walrus.gc.forget.done").await?;
            deleted += gone.len() as u64;
        }
    }
}

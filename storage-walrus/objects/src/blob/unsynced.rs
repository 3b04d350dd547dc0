//! What was written at the relaxed level and is not synced yet. It is within [`SYNC_PERIOD`], without anybody asking.

use super::files::{blocking, sync_dir};
use crate::error::Error;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The longest that bytes written at the relaxed level wait before they are synced.
pub const SYNC_PERIOD: Duration = Duration::from_secs(1);
/// After which time a sync begins; the rest of the period is for the disk.
const SYNC_DELAY: Duration = Duration::from_millis(500);
/// Files that wait at most, each of them open; whoever brings one more syncs it himself.
const FILES_MAX: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    waiting: Mutex<Waiting>,
    /// Held while files are synced: whoever flushes waits for a sync under way.
    syncing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// By their names, which are not synced either.
    files: BTreeMap<PathBuf, Arc<File>>,
    /// A task will sync them.
    scheduled: bool,
}

impl Unsynced {
    fn take(&self) -> BTreeMap<PathBuf, Arc<File>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.scheduled = false;
        std::mem::take(&mut waiting.files)
    }

    /// Has a file with its name synced soon. False: too many wait, and the caller must do it. Within a runtime.
    pub(super) fn note(self: &Arc<Self>, path: &Path, file: &Arc<File>) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.files.len() >= FILES_MAX && !waiting.files.contains_key(path) {
            return false;
        }
        waiting.files.insert(path.to_owned(), Arc::clone(file));
        if !std::mem::replace(&mut waiting.scheduled, true) {
            let this = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(SYNC_DELAY).await;
                if let Err(error) = this.flush().await {
                    tracing::error!(%error, "what was written at the relaxed level cannot be synced, and may be lost");
                }
            });
        }
        true
    }

    /// Syncs all that was noted before.
    pub(super) async fn flush(self: &Arc<Self>) -> Result<(), Error> {
        let _alone = self.syncing.lock().await;
        let files = self.take();
        if files.is_empty() {
            return Ok(());
        }
        blocking(move || {
            let dirs: BTreeSet<&Path> = files.keys().filter_map(|path| path.parent()).collect();
            let sync = |(path, file): (&PathBuf, &Arc<File>)| {
                file.sync_data().map_err(|e| Error::io(format!("sync of {}", path.display()), e))
            };
            // All are tried, whatever becomes of the first.
            let synced: Vec<_> = files.iter().map(sync).chain(dirs.into_iter().map(sync_dir)).collect();
            synced.into_iter().collect()
        })
        .await
    }
}

//! What was written at the relaxed level and is not synced yet. It is within [`SYNC_PERIOD`], without anybody asking.

use super::files::{blocking, sync_dir};
use crate::error::Error;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    /// Why a sync failed, if one did: the kernel says so once, and calls the same bytes synced the next time, so nothing is
    /// taken or flushed any more until the process starts anew.
    failed: Option<String>,
}

impl Unsynced {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a file with its name synced soon. False: too many wait, or one could not be synced, and the caller must do it.
    /// The file is a description of its own (open(2)): what one party hears of a failed write the other does not. Within
    /// a runtime.
    pub(super) fn note(self: &Arc<Self>, path: &Path, file: &Arc<File>) -> bool {
        let mut waiting = self.waiting();
        if waiting.failed.is_some() || waiting.files.len() >= FILES_MAX && !waiting.files.contains_key(path) {
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
        let this = Arc::clone(self);
        // A task: whoever asks may go away, and what comes of the sync must be known all the same.
        let synced = tokio::spawn(async move { this.sync().await }).await;
        synced.unwrap_or_else(|e| Err(Error::io("a sync", std::io::Error::other(e))))
    }

    async fn sync(&self) -> Result<(), Error> {
        let _alone = self.syncing.lock().await;
        let files = {
            let mut waiting = self.waiting();
            if let Some(why) = &waiting.failed {
                let text = "bytes of the relaxed level could not be synced, and it is not known which are lost: look \
                            after the disk, and start Walrus anew";
                return Err(Error::io(text, std::io::Error::other(why.clone())));
            }
            waiting.scheduled = false;
            std::mem::take(&mut waiting.files)
        };
        if files.is_empty() {
            return Ok(());
        }
        let synced = blocking(move || {
            let dirs: BTreeSet<&Path> = files.keys().filter_map(|path| path.parent()).collect();
            let sync = |(path, file): (&PathBuf, &Arc<File>)| {
                file.sync_data().map_err(|e| Error::io(format!("sync of {}", path.display()), e))
            };
            // All are tried, whatever becomes of the first.
            let synced: Vec<_> = files.iter().map(sync).chain(dirs.into_iter().map(sync_dir)).collect();
            synced.into_iter().collect()
        })
        .await;
        if let Err(error) = &synced {
            let mut waiting = self.waiting();
            waiting.failed = Some(error.to_string());
            waiting.files.clear();
        }
        synced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_could_not_be_synced_once_is_never_called_synced() {
        let dir = tempfile::tempdir().expect("a directory");
        let unsynced = Arc::<Unsynced>::default();
        let good = Arc::new(File::create(dir.path().join("good")).expect("a file"));
        assert!(unsynced.note(&dir.path().join("good"), &good));
        unsynced.flush().await.expect("synced");
        // The kernel syncs no device.
        let bad = Arc::new(File::open("/dev/null").expect("a device"));
        assert!(unsynced.note(&dir.path().join("bad"), &bad));
        unsynced.flush().await.expect_err("not synced");
        let again = unsynced.flush().await.expect_err("lost bytes");
        assert!(again.to_string().contains("start Walrus anew"), "{again}");
        assert!(!unsynced.note(&dir.path().join("good"), &good), "nobody would sync it");
    }

    #[tokio::test]
    async fn a_sync_is_known_to_have_failed_though_who_asked_went_away() {
        let unsynced = Arc::<Unsynced>::default();
        assert!(unsynced.note(Path::new("/dev/null"), &Arc::new(File::open("/dev/null").expect("a device"))));
        let mut asked = Box::pin(unsynced.flush());
        assert!(futures::poll!(&mut asked).is_pending());
        drop(asked);
        unsynced.flush().await.expect_err("that sync has failed, whoever asked for it");
    }
}

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
    /// Held while files are synced: whoever flushes waits for a sync under way. Why one failed, if one did: the kernel says
    /// so once, and calls the same bytes synced the next time, so nothing is flushed any more until the process starts anew.
    syncing: tokio::sync::Mutex<Option<String>>,
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
        let mut failed = self.syncing.lock().await;
        if let Some(why) = &*failed {
            let text = "bytes of the relaxed level could not be synced, and it is not known which are lost: look after \
                        the disk, and start Walrus anew";
            return Err(Error::io(text.to_owned(), std::io::Error::other(why.clone())));
        }
        let files = self.take();
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
        *failed = synced.as_ref().err().map(ToString::to_string);
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
    }
}

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
        let mut failed = sync_all(files).await.into_iter();
        let Some(first) = failed.next() else { return Ok(()) };
        // What was taken meanwhile nobody else is going to sync.
        let late = {
            let mut waiting = self.waiting();
            waiting.failed = Some(first.to_string());
            std::mem::take(&mut waiting.files)
        };
        for error in failed.chain(sync_all(late).await) {
            tracing::error!(%error, "after a sync that failed, another one did");
        }
        Err(first)
    }
}

/// Syncs files and their names: all are tried, whatever becomes of the first. What failed.
async fn sync_all(files: BTreeMap<PathBuf, Arc<File>>) -> Vec<Error> {
    let synced = blocking(move || {
        let dirs: BTreeSet<&Path> = files.keys().filter_map(|path| path.parent()).collect();
        let sync = |(path, file): (&PathBuf, &Arc<File>)| {
            file.sync_data().map_err(|e| Error::io(format!("sync of {}", path.display()), e))
        };
        Ok(files.iter().map(sync).chain(dirs.into_iter().map(sync_dir)).filter_map(Result::err).collect())
    });
    synced.await.unwrap_or_else(|error| vec![error])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};

    /// The errors that are logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<String>>>);

    impl Visit for Log {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            if field.name() == "error" {
                self.0.lock().expect("the log").push(format!("{value:?}"));
            }
        }
    }

    impl tracing::Subscriber for Log {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, event: &tracing::Event<'_>) {
            event.record(&mut self.clone());
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[tokio::test]
    async fn what_is_taken_while_a_sync_fails_is_synced_too() {
        let log = Log::default();
        let _logged = tracing::subscriber::set_default(log.clone());
        let unsynced = Arc::<Unsynced>::default();
        let bad = Arc::new(File::open("/dev/null").expect("a device"));
        assert!(unsynced.note(Path::new("/dev/first"), &bad));
        let mut asked = Box::pin(unsynced.flush());
        assert!(futures::poll!(&mut asked).is_pending());
        while !unsynced.waiting().files.is_empty() {
            tokio::task::yield_now().await;
        }
        // The sync is under way, and what comes of it is not known before the next await.
        assert!(unsynced.note(Path::new("/dev/late"), &bad));
        let failed = asked.await.expect_err("not synced").to_string();
        assert!(failed.contains("/dev/first"), "{failed}");
        // Of a sync that fails, too, it is known that it was tried.
        let logged = log.0.lock().expect("the log").join("; ");
        assert!(logged.contains("/dev/late"), "{logged}");
    }

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

//! Giving back the room of deleted records. A pack without any record in use is unlinked. One of which less than half is
//! in use is written anew with what is, under a temporary name, and then renamed over the old one: names of records, and
//! so ids of blobs, stay what they are, and no row changes. Whatever dies in between leaves the old file or the new one,
//! and both hold all that is in use. Who has the old one open reads on.

use super::Packs;
use super::dead::Verdict;
use super::file::{Contents, PackFile};
use super::format::{Entry, Kind, PackId, index, pack_head};
use crate::blob::BlobId;
use crate::blob::file_writer::{Temporary, write_all};
use crate::blob::files::{blocking, sync_dir};
use crate::error::Error;
use crate::metadata::Metadata;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

/// Packs looked at in one round, and bytes copied after which it ends.
const ROUND_PACKS: usize = 64;
const ROUND_BYTES: u64 = 64 << 20;

impl Packs {
    /// One round; true if more is to be done. Packs that cannot be read everywhere stay until `rows` can be asked.
    ///
    /// # Errors
    /// A failing disk or metadata store. What was not done is tried again when something more is deleted, or by the next
    /// sweep.
    pub(in crate::blob) async fn compact(self: &Arc<Self>, rows: Option<&dyn Metadata>) -> Result<bool, Error> {
        let _alone = self.compacting.lock().await;
        let mut copied = 0;
        for _ in 0..ROUND_PACKS {
            let Some(pack) = self.dead().next() else { return Ok(false) };
            // While it is open its deleted records stay; sealing it brings it back.
            if self.open.lock().await.as_ref().is_some_and(|open| open.pack == pack) {
                continue;
            }
            copied += self.compact_one(pack, rows).await?;
            if copied >= ROUND_BYTES {
                break;
            }
        }
        Ok(self.dead().is_dirty())
    }

    /// Does what is to be done with a pack; the bytes that were copied.
    async fn compact_one(self: &Arc<Self>, pack: PackId, rows: Option<&dyn Metadata>) -> Result<u64, Error> {
        let path = self.path(pack);
        let looked = blocking(move || {
            let file = PackFile::open(&path, pack)?;
            let contents = file.contents()?;
            Ok((file, contents))
        });
        let (file, contents) = match looked.await {
            Ok(looked) => looked,
            Err(Error::Gone) => {
                self.dead().forget(pack, None);
                return Ok(0);
            }
            Err(error) => return Err(error),
        };
        let verdict = self.dead().verdict(pack, &contents.entries);
        if verdict == Verdict::Keep {
            return Ok(0);
        }
        let unseen_in_use = match rows {
            _ if contents.unseen().next().is_none() => false,
            Some(rows) => unseen_in_use(pack, &contents, rows).await?,
            // It is left to the sweep.
            None => return Ok(0),
        };
        let readable = contents.whole && (file.is_sound() || verdict == Verdict::Remove);
        if unseen_in_use || !readable {
            tracing::warn!(%pack, "a damaged pack stays as it is; `mallee walrus check` tells more");
            return Ok(0);
        }
        match verdict {
            Verdict::Keep => Ok(0),
            Verdict::Remove => self.remove(pack).await.map(|()| 0),
            Verdict::Rewrite(live) => {
                let kept: HashSet<u32> = live.iter().map(|entry| entry.name).collect();
                let names = contents.entries.iter().map(|entry| entry.name);
                let gone: HashSet<u32> = names.filter(|name| !kept.contains(name)).collect();
                self.rewrite(pack, file, live, &gone).await
            }
        }
    }

    /// Unlinks a pack. (That need not be durable: one that comes back after a power failure has nothing in use.)
    pub(in crate::blob) async fn remove(self: &Arc<Self>, pack: PackId) -> Result<(), Error> {
        self.faults.point("walrus.compact.unlink").await?;
        let path = self.path(pack);
        blocking(move || match fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(format!("cannot delete {}", path.display()), e)),
            _ => Ok(()),
        })
        .await?;
        self.changed(pack);
        self.dead().forget(pack, None);
        self.faults.point("walrus.compact.unlink.done").await?;
        Ok(())
    }

    async fn rewrite(
        self: &Arc<Self>,
        pack: PackId,
        old: PackFile,
        live: Vec<Entry>,
        gone: &HashSet<u32>,
    ) -> Result<u64, Error> {
        self.faults.point("walrus.compact.copy").await?;
        let (tmp, path, dir) = (self.tmp_path(), self.path(pack), self.dir(pack));
        let mut temporary = Temporary(Some(tmp.clone()));
        let (from, target) = (path.clone(), tmp.clone());
        let bytes = match blocking(move || write_anew(pack, &old, &live, &from, &target)).await {
            Err(Error::Corrupt(what)) => {
                // A copy of damaged bytes would make it worse to mend.
                tracing::warn!(%pack, %what, "a pack with a damaged record stays as it is");
                return Ok(0);
            }
            other => other?,
        };
        self.faults.point("walrus.compact.rename").await?;
        blocking(move || {
            fs::rename(&tmp, &path).map_err(|e| Error::io(format!("cannot rename to {}", path.display()), e))
        })
        .await?;
        temporary.0 = None;
        self.changed(pack);
        self.dead().forget(pack, Some(gone));
        self.faults.point("walrus.compact.rename.done").await?;
        blocking(move || sync_dir(&dir)).await?;
        Ok(bytes)
    }
}

/// Whether a row names a blob of a place where nothing can be read. It is in the place that its name tells: records that
/// lie elsewhere are found by an index, or not at all.
async fn unseen_in_use(pack: PackId, contents: &Contents, rows: &dyn Metadata) -> Result<bool, Error> {
    for (from, next) in contents.unseen() {
        let behind = rows.blob_behind(&BlobId::packed(pack, from.saturating_sub(1))).await?;
        if behind.is_some_and(|id| id < BlobId::packed(pack, next)) {
            return Ok(true);
        }
    }
    rows.settle_log().await?;
    Ok(false)
}

/// Writes a pack with these records alone, and syncs it; its bytes.
fn write_anew(pack: PackId, old: &PackFile, live: &[Entry], from: &Path, to: &Path) -> Result<u64, Error> {
    let failed = |e| Error::io(format!("cannot write {}", to.display()), e);
    let mut file = File::options().write(true).create_new(true).open(to).map_err(failed)?;
    let head = pack_head(pack, Kind::Compacted);
    let (mut entries, mut at) = (Vec::with_capacity(live.len()), head.len());
    write_all(&mut file, &[head.into()]).map_err(failed)?;
    for entry in live {
        let record = old.copy(entry)?;
        entries.push(Entry { at: u32::try_from(at).unwrap_or(u32::MAX), ..*entry });
        at += record.len();
        write_all(&mut file, &[record.into()]).map_err(failed)?;
    }
    let list = index(pack, &entries);
    at += list.len();
    write_all(&mut file, &[list.into()]).map_err(failed)?;
    // For the sweep it is as old as its bytes are.
    let written = fs::metadata(from).and_then(|stat| stat.modified()).map_err(failed)?;
    file.set_modified(written).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    Ok(at as u64)
}

//! Writing into the open pack. What comes while one group of records goes to the disk is written as the next group, with
//! one call and one sync for all of it. Nobody waits for company: a record that comes alone is written alone.

use super::Packs;
use super::format::{Entry, Kind, PACK_HEAD, PackId, RECORD_HEAD, index, pack_head, record_head, stored_len};
use crate::blob::file_writer::write_all;
use crate::blob::files::blocking;
use crate::blob::format::{BlockSums, footer};
use crate::blob::{BlobId, Level};
use crate::error::Error;
use bytes::Bytes;
use futures::FutureExt as _;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use tokio::sync::oneshot;

/// Records written together at most, so that the first of them does not wait long for the last.
const GROUP_MAX: usize = 64;

/// Records in one pack at most: none is smaller than its head, and the last group goes beyond the full pack.
pub(super) const ENTRIES_MAX: usize = 2 * (64 << 20) / RECORD_HEAD;

/// A record to be written.
#[derive(Debug)]
struct Record {
    data: Vec<Bytes>,
    size: u32,
    footer: Bytes,
    level: Level,
}

/// A record with whom to tell where it is.
#[derive(Debug)]
struct Put {
    record: Record,
    tell: oneshot::Sender<Result<BlobId, Error>>,
}

/// Records that wait for their turn.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    puts: VecDeque<Put>,
    /// A task writes them.
    driven: bool,
}

/// The pack that is written to.
#[derive(Debug)]
pub(super) struct OpenPack {
    pub(super) pack: PackId,
    pub(super) entries: Vec<Entry>,
    file: File,
    /// The same file, opened again: the kernel tells each that opened a file once that a write of it failed, and whoever
    /// syncs the relaxed records must hear it besides whoever syncs the strict ones.
    relaxed: Arc<File>,
    end: u64,
    /// Its name was synced.
    named: bool,
}

impl Record {
    fn new(data: Vec<Bytes>, level: Level) -> Self {
        let mut sums = BlockSums::default();
        data.iter().for_each(|piece| sums.update(piece));
        let (size, crcs) = sums.finish();
        Self { data, size: u32::try_from(size).unwrap_or(u32::MAX), footer: footer(size, &crcs).into(), level }
    }
}

/// The error once more, for another caller.
fn same(error: &Error) -> Error {
    match error {
        Error::Full(what) => Error::Full(what.clone()),
        Error::Io { what, source } => {
            Error::Io { what: what.clone(), source: std::io::Error::new(source.kind(), source.to_string()) }
        }
        Error::Fault(fault) => Error::Fault(fault.clone()),
        other => Error::io("writing a pack", std::io::Error::other(other.to_string())),
    }
}

impl OpenPack {
    /// Writes records behind the others; their names.
    fn write(&mut self, records: &[Record]) -> std::io::Result<Vec<u32>> {
        let (mut names, mut pieces) = (Vec::with_capacity(records.len()), Vec::new());
        for record in records {
            let name = u32::try_from(self.end).map_err(std::io::Error::other)?;
            pieces.push(Bytes::from(record_head(self.pack, name, record.size)));
            pieces.extend(record.data.iter().cloned());
            pieces.push(record.footer.clone());
            self.entries.push(Entry { name, at: name, size: Some(record.size) });
            self.end += stored_len(record.size);
            names.push(name);
        }
        write_all(&mut &self.file, &pieces)?;
        Ok(names)
    }
}

impl Packs {
    /// Writes a blob of at most [`crate::blob::PACKED_BYTES_MAX`] bytes into a pack, as durably as the level says.
    pub(in crate::blob) async fn put(self: &Arc<Self>, data: Vec<Bytes>, level: Level) -> Result<BlobId, Error> {
        let (tell, told) = oneshot::channel();
        let put = Put { record: Record::new(data, level), tell };
        let idle = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.puts.push_back(put);
            !std::mem::replace(&mut waiting.driven, true)
        };
        if idle {
            let packs = Arc::clone(self);
            // One group that breaks down leaves those that wait behind it to the next.
            tokio::spawn(
                async move { while AssertUnwindSafe(packs.write_group()).catch_unwind().await.unwrap_or(true) {} },
            );
        }
        let lost = || Error::io("writing a pack", std::io::Error::other("the writer broke down"));
        told.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Writes what waits; false: nothing does, and whoever brings something must see that it is written.
    async fn write_group(self: &Arc<Self>) -> bool {
        let group: Vec<Put> = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let count = waiting.puts.len().min(GROUP_MAX);
            waiting.driven = count > 0;
            waiting.puts.drain(..count).collect()
        };
        if group.is_empty() {
            return false;
        }
        let wanted = group.into_iter().filter(|put| !put.tell.is_closed());
        let (records, tells): (Vec<_>, Vec<_>) = wanted.map(|put| (put.record, put.tell)).unzip();
        match self.write(records).await {
            Ok(ids) => {
                for (tell, id) in tells.into_iter().zip(ids) {
                    if let Err(Ok(id)) = tell.send(Ok(id)) {
                        // Whoever wanted it has gone away: nobody will ever refer to it.
                        self.delete(&id);
                    }
                }
            }
            Err(error) => tells.into_iter().for_each(|tell| drop(tell.send(Err(same(&error))))),
        }
        true
    }

    async fn write(self: &Arc<Self>, records: Vec<Record>) -> Result<Vec<BlobId>, Error> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        self.faults.point("walrus.pack.append").await?;
        let mut open = self.open.lock().await;
        let (this, before) = (Arc::clone(self), open.take());
        let (after, result) = blocking(move || Ok(this.append(before, &records))).await?;
        *open = after;
        drop(open);
        let ids = result?;
        self.faults.point("walrus.pack.append.done").await?;
        Ok(ids)
    }

    /// Writes records and syncs them; blocking. The pack that is open afterwards, and the ids.
    fn append(&self, open: Option<OpenPack>, records: &[Record]) -> (Option<OpenPack>, Result<Vec<BlobId>, Error>) {
        let mut open = match open.map_or_else(|| self.begin(), Ok) {
            Ok(open) => open,
            Err(error) => return (None, Err(error)),
        };
        let (end, count) = (open.end, open.entries.len());
        let path = self.path(open.pack);
        let wrote = open.write(records);
        let failed = |error| Error::io(format!("cannot write {}", path.display()), error);
        match wrote {
            Ok(names) => {
                // One strict record has all of the group synced.
                let relaxed = records.iter().all(|record| record.level == Level::Relaxed);
                let synced = match relaxed && self.unsynced.note(&path, &open.relaxed) {
                    true => Ok(()),
                    false => self.sync(&mut open).map_err(failed),
                };
                match synced {
                    Ok(()) => {
                        let ids = names.into_iter().map(|name| BlobId::packed(open.pack, name)).collect();
                        (self.or_seal(open), Ok(ids))
                    }
                    Err(error) => {
                        // What the kernel could not write it may have dropped: never is a sync tried again, nor anything
                        // written behind it.
                        self.cut(&mut open, end, count);
                        self.sealed(&open);
                        (None, Err(error))
                    }
                }
            }
            Err(error) => {
                let error = failed(error);
                let goes_on = self.cut(&mut open, end, count) && count > 0 && matches!(error, Error::Full(_));
                if !goes_on {
                    self.sealed(&open);
                }
                (goes_on.then_some(open), Err(error))
            }
        }
    }

    /// Syncs what was written; with the first records the pack's name.
    fn sync(&self, open: &mut OpenPack) -> std::io::Result<()> {
        open.file.sync_data()?;
        if !open.named {
            File::open(self.dir(open.pack)).and_then(|dir| dir.sync_all())?;
            open.named = true;
        }
        Ok(())
    }

    /// Makes a new pack. Its head is durable before any record is written: of a pack without a head nobody could tell after
    /// a power failure whether it is one that was just begun.
    fn begin(&self) -> Result<OpenPack, Error> {
        let pack = PackId::from_random(self.rng.u128());
        let path = self.path(pack);
        let failed = |e| Error::io(format!("cannot create {}", path.display()), e);
        let file = File::options().write(true).create_new(true).open(&path).map_err(failed)?;
        let opened = write_all(&mut &file, &[pack_head(pack, Kind::Written).into()])
            .and_then(|()| file.sync_data())
            .and_then(|()| File::options().write(true).open(&path));
        let relaxed = opened.map(Arc::new).map_err(|error| {
            drop(fs::remove_file(&path));
            failed(error)
        })?;
        Ok(OpenPack { pack, entries: Vec::new(), file, relaxed, end: PACK_HEAD as u64, named: false })
    }

    /// Takes back what was written behind `end`, and the file where nothing stands before it; true if that went well.
    fn cut(&self, open: &mut OpenPack, end: u64, count: usize) -> bool {
        open.entries.truncate(count);
        open.end = end;
        let path = self.path(open.pack);
        let done = match count {
            0 => fs::remove_file(&path),
            _ => open.file.set_len(end).and_then(|()| (&open.file).seek(SeekFrom::Start(end)).map(drop)),
        };
        if let Err(error) = &done {
            tracing::warn!(path = %path.display(), %error, "a write that failed leaves bytes behind; the sweep clears up");
        }
        done.is_ok()
    }

    /// The pack, unless it is full: then it is sealed.
    fn or_seal(&self, mut open: OpenPack) -> Option<OpenPack> {
        if open.end < self.seal_bytes.load(Ordering::Relaxed) {
            return Some(open);
        }
        self.seal(&mut open);
        None
    }

    /// Ends a pack: with its index, which nobody needs who has the time to read the heads of all records.
    pub(super) fn seal(&self, open: &mut OpenPack) {
        let list = index(open.pack, &open.entries);
        if let Err(error) = write_all(&mut &open.file, &[list.into()]) {
            tracing::warn!(pack = %open.pack, %error, "a pack stays without its index");
            drop(open.file.set_len(open.end));
        }
        self.sealed(open);
    }

    fn sealed(&self, open: &OpenPack) {
        self.dead().sealed(open.pack);
    }
}

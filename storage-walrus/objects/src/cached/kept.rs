//! The kept entries, and who writes what of them just now.

use crate::model::{Bucket, Content, Found};
use std::collections::HashMap;
use std::collections::hash_map::{DefaultHasher, Entry as Slot};
use std::hash::{Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of all entries together.
const KEPT_BYTES: u64 = 16 << 20;
/// Larger entries (objects of thousands of parts) are not kept.
const ENTRY_BYTES_MAX: usize = 256 << 10;
/// What an entry takes besides its texts.
const ENTRY_BYTES: usize = 512;
const PART_BYTES: usize = 160;
const TAG_BYTES: usize = 256;
/// Locks that entries are spread over.
const SHARDS: usize = 64;

/// What is kept.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "each is kept behind a pointer")]
pub(super) enum Entry {
    Bucket(Bucket),
    Object(Found),
}

/// The name of a bucket's entry. (No bucket has a slash in its name.)
pub(super) fn bucket_name(bucket: &str) -> String {
    bucket.to_owned()
}

/// The name of a key's entry.
pub(super) fn object_name(bucket: &str, key: &str) -> String {
    let mut name = String::with_capacity(bucket.len() + key.len() + 1);
    name.push_str(bucket);
    name.push('/');
    name.push_str(key);
    name
}

fn weight(name: &str, entry: &Entry) -> usize {
    let texts = match entry {
        Entry::Bucket(bucket) => bucket.docs.all().map(|(kind, id, doc)| kind.len() + id.len() + doc.len() + 96).sum(),
        Entry::Object(Found::Marker(_)) => 0,
        Entry::Object(Found::Object(object)) => {
            let (info, words) = (&object.info, |(a, b): (&String, &String)| a.len() + b.len() + 96);
            let headers = info.attributes.system.iter().chain(&info.attributes.user).chain(&info.checksums.values);
            let texts = [&info.properties.acl, &info.properties.encryption].into_iter().flatten().map(String::len);
            info.content_type.len()
                + texts.sum::<usize>()
                + info.properties.tags.len() * TAG_BYTES
                + headers.map(words).sum::<usize>()
                + match &object.content {
                    Content::Inline(data) => data.len(),
                    Content::Blob(_) => 0,
                    Content::Parts(parts) => parts.len() * PART_BYTES,
                }
        }
    };
    // The name stands in the entry once more.
    ENTRY_BYTES + 2 * name.len() + texts
}

/// What writes do with the entries of a shard.
#[derive(Debug, Default)]
struct Shard {
    /// Entries being written, with how many writes.
    marked: HashMap<String, u32>,
    /// Writes that have begun.
    begun: u64,
}

impl Shard {
    fn unmark(&mut self, name: &str) {
        if let Slot::Occupied(mut slot) = self.marked.entry(name.to_owned()) {
            *slot.get_mut() -= 1;
            if *slot.get() == 0 {
                slot.remove();
            }
        }
    }
}

/// Writes that were given up and are noted one by one.
const GIVEN_UP_MAX: usize = 4096;

#[derive(Debug)]
pub(super) struct Kept {
    entries: moka::sync::Cache<String, Arc<Entry>>,
    shards: Vec<Mutex<Shard>>,
    /// Numbers the beginnings of writes, and the moments when one was given up.
    turn: AtomicU64,
    /// Writes that were given up, with the moment: they may still happen.
    given_up: Mutex<Vec<(u64, Vec<String>)>>,
    /// More were given up than are noted, the last one at this moment (0: none were): until a write that began later has
    /// succeeded nothing is kept at all.
    blind: AtomicU64,
}

impl Default for Kept {
    fn default() -> Self {
        let weigh = |name: &String, entry: &Arc<Entry>| u32::try_from(weight(name, entry)).unwrap_or(u32::MAX);
        let entries = moka::sync::Cache::builder().max_capacity(KEPT_BYTES).weigher(weigh).build();
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { entries, shards, turn: AtomicU64::new(0), given_up: Mutex::default(), blind: AtomicU64::new(0) }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kept {
    fn shard(&self, name: &str) -> Option<MutexGuard<'_, Shard>> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % SHARDS as u64).unwrap_or_default();
        self.shards.get(at).map(lock)
    }

    fn next_turn(&self) -> u64 {
        self.turn.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<Entry>> {
        self.entries.get(name)
    }

    pub(super) fn forget(&self, name: &str) {
        if let Some(mut shard) = self.shard(name) {
            // Nor is what a read under way brings.
            shard.begun += 1;
            self.entries.invalidate(name);
        }
    }

    /// Before the database is read for an entry.
    pub(super) fn read(&self, name: String) -> Reading<'_> {
        let begun = self.shard(&name).filter(|shard| !shard.marked.contains_key(&name)).map(|shard| shard.begun);
        // Asked after the marks, which are taken away after this is set.
        let begun = begun.filter(|_| self.blind.load(Ordering::SeqCst) == 0);
        Reading { kept: self, name, begun }
    }

    /// Before a write of these entries.
    pub(super) fn begin(self: &Arc<Self>, names: Vec<String>) -> Writing {
        let turn = self.next_turn();
        for name in &names {
            if let Some(mut shard) = self.shard(name) {
                shard.begun += 1;
                *shard.marked.entry(name.clone()).or_default() += 1;
                self.entries.invalidate(name);
            }
        }
        Writing { kept: Arc::clone(self), names, turn }
    }

    fn unmark(&self, names: &[String]) {
        for name in names {
            if let Some(mut shard) = self.shard(name) {
                shard.unmark(name);
            }
        }
    }
}

/// A read under way.
#[derive(Debug)]
pub(super) struct Reading<'k> {
    kept: &'k Kept,
    name: String,
    /// Writes of the shard at its beginning; `None`: the entry was being written.
    begun: Option<u64>,
}

impl Reading<'_> {
    /// Keeps what was read, unless a write came between.
    pub(super) fn keep(self, entry: impl FnOnce() -> Entry) {
        let Some(begun) = self.begun else { return };
        let entry = entry();
        if weight(&self.name, &entry) > ENTRY_BYTES_MAX {
            return;
        }
        if let Some(shard) = self.kept.shard(&self.name)
            && shard.begun == begun
        {
            self.kept.entries.insert(self.name, Arc::new(entry));
        }
    }
}

/// A write under way. Dropped, it was given up.
#[derive(Debug)]
pub(super) struct Writing {
    kept: Arc<Kept>,
    names: Vec<String>,
    turn: u64,
}

impl Writing {
    /// It has ended, and nothing of it will happen any more. `committed`: the database has written, and has so ended
    /// all that was given up before this began.
    pub(super) fn done(mut self, committed: bool) {
        let names = std::mem::take(&mut self.names);
        self.kept.unmark(&names);
        if committed {
            let before = |moment| (moment != 0 && moment < self.turn).then_some(0);
            self.kept.blind.fetch_update(Ordering::SeqCst, Ordering::SeqCst, before).ok();
            let mut given_up = lock(&self.kept.given_up);
            if !given_up.is_empty() {
                let ended: Vec<_> = given_up.extract_if(.., |(moment, _)| *moment < self.turn).collect();
                drop(given_up);
                ended.iter().for_each(|(_, names)| self.kept.unmark(names));
            }
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let names = std::mem::take(&mut self.names);
        if !names.is_empty() {
            let moment = self.kept.next_turn();
            let mut given_up = lock(&self.kept.given_up);
            if given_up.len() < GIVEN_UP_MAX {
                given_up.push((moment, names));
                return;
            }
            self.kept.blind.fetch_max(moment, Ordering::SeqCst);
            let all: Vec<_> = given_up.drain(..).collect();
            drop(given_up);
            all.iter().for_each(|(_, names)| self.kept.unmark(names));
            self.kept.unmark(&names);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Marker;
    use crate::version::VersionId;

    fn entry() -> Entry {
        Entry::Object(Found::Marker(Marker { version: VersionId { rank: 0, random: 0 }, created_ms: 0 }))
    }

    fn kept() -> (Arc<Kept>, String) {
        (Arc::default(), object_name("b", "k"))
    }

    #[test]
    fn what_was_read_before_a_write_ended_is_not_kept() {
        let (kept, name) = kept();
        kept.read(name.clone()).keep(entry);
        assert!(kept.get(&name).is_some());
        let early = kept.read(name.clone());
        let writing = kept.begin(vec![name.clone()]);
        assert!(kept.get(&name).is_none(), "gone before the write");
        let during = kept.read(name.clone());
        early.keep(entry);
        writing.done(true);
        during.keep(entry);
        assert!(kept.get(&name).is_none(), "read before or during the write");
        kept.read(name.clone()).keep(entry);
        assert!(kept.get(&name).is_some());
    }

    #[test]
    fn what_was_given_up_counts_until_a_later_write_has_succeeded() {
        let (kept, name) = kept();
        let earlier = kept.begin(vec!["other/1".to_owned()]);
        drop(kept.begin(vec![name.clone()]));
        let keeps = || {
            kept.read(name.clone()).keep(entry);
            kept.get(&name).is_some()
        };
        assert!(!keeps());
        earlier.done(true);
        assert!(!keeps(), "that one had begun before");
        kept.begin(vec!["other/2".to_owned()]).done(false);
        assert!(!keeps(), "refused before the database wrote, perhaps");
        kept.begin(vec!["other/3".to_owned()]).done(true);
        assert!(keeps());
        assert!(kept.shards.iter().all(|shard| lock(shard).marked.is_empty()), "nothing stays behind");
    }

    #[test]
    fn so_many_are_given_up_that_nothing_is_kept_for_a_while() {
        let (kept, name) = kept();
        for n in 0..GIVEN_UP_MAX * 2 + 1 {
            drop(kept.begin(vec![format!("other/{n}")]));
        }
        drop(kept.begin(vec![name.clone()]));
        assert!(lock(&kept.given_up).len() <= GIVEN_UP_MAX);
        let keeps = |name: &str| {
            kept.read(name.to_owned()).keep(entry);
            kept.get(name).is_some()
        };
        assert!(!keeps(&name) && !keeps("other/1"), "they may still happen");
        kept.begin(vec!["other/x".to_owned()]).done(true);
        assert!(keeps(&name) && keeps("other/1"));
        assert!(kept.shards.iter().all(|shard| lock(shard).marked.is_empty()), "nothing stays behind");
    }

    #[test]
    fn two_writes_of_one_key_both_count() {
        let (kept, name) = kept();
        let (one, two) = (kept.begin(vec![name.clone()]), kept.begin(vec![name.clone(), name.clone()]));
        one.done(true);
        kept.read(name.clone()).keep(entry);
        assert!(kept.get(&name).is_none());
        two.done(true);
        kept.read(name.clone()).keep(entry);
        assert!(kept.get(&name).is_some());
        kept.forget(&name);
        assert!(kept.get(&name).is_none());
    }
}

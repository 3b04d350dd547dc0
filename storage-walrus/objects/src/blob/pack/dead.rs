//! Which records of packs are deleted and not gone yet. Kept in memory alone: the database knows what is in use, and the
//! sweep after a restart finds again what is not.

use super::format::{Entry, PackId};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Deleted records remembered; with more, packs are compacted already when an eighth of their bytes is deleted.
const DEAD_MAX: usize = 1 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Dead {
    packs: HashMap<PackId, HashSet<u32>>,
    total: usize,
    /// Packs to be looked at.
    dirty: BTreeSet<PackId>,
}

/// What is to be done with a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Enough of it is in use.
    Keep,
    /// Nothing of it is in use.
    Remove,
    /// It is to be written anew with these.
    Rewrite(Vec<Entry>),
}

impl Dead {
    /// A record was deleted.
    pub(super) fn note(&mut self, pack: PackId, name: u32) {
        self.total += usize::from(self.packs.entry(pack).or_default().insert(name));
        self.dirty.insert(pack);
    }

    pub(super) fn is_dead(&self, pack: PackId, name: u32) -> bool {
        self.packs.get(&pack).is_some_and(|names| names.contains(&name))
    }

    /// The pack is to be looked at.
    pub(super) fn look_at(&mut self, pack: PackId) {
        self.dirty.insert(pack);
    }

    /// The pack was sealed: what was deleted of it counts now.
    pub(super) fn sealed(&mut self, pack: PackId) {
        if self.packs.contains_key(&pack) {
            self.dirty.insert(pack);
        }
    }

    /// The next pack to be looked at.
    pub(super) fn next(&mut self) -> Option<PackId> {
        self.dirty.pop_first()
    }

    /// Whether a pack waits to be looked at.
    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Forgets the records (all, if none are named) that are gone with their bytes.
    pub(super) fn forget(&mut self, pack: PackId, gone: Option<&HashSet<u32>>) {
        let Some(names) = self.packs.get_mut(&pack) else { return };
        let before = names.len();
        match gone {
            Some(gone) => names.retain(|name| !gone.contains(name)),
            None => names.clear(),
        }
        self.total -= before - names.len();
        if names.is_empty() {
            self.packs.remove(&pack);
        }
    }

    /// What to do with a pack that holds these records.
    pub(super) fn verdict(&self, pack: PackId, entries: &[Entry]) -> Verdict {
        let (mut live, mut live_bytes, mut bytes) = (Vec::new(), 0, 0);
        for entry in entries {
            bytes += entry.stored();
            if !self.is_dead(pack, entry.name) {
                live_bytes += entry.stored();
                live.push(*entry);
            }
        }
        let crowded = self.total > DEAD_MAX && live_bytes * 8 < bytes * 7;
        match live.len() {
            0 => Verdict::Remove,
            _ if live_bytes * 2 < bytes || crowded => Verdict::Rewrite(live),
            _ => Verdict::Keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_are_kept_written_anew_and_removed() {
        let pack = PackId::from_random(7 << 100);
        let entry = |name, size| Entry { name, at: name, size: Some(size) };
        let entries = [entry(32, 1000), entry(1100, 1000), entry(2200, 1000)];
        let mut dead = Dead::default();
        assert_eq!(dead.verdict(pack, &entries), Verdict::Keep);
        assert_eq!(dead.verdict(pack, &[]), Verdict::Remove);
        dead.note(pack, 1100);
        dead.note(pack, 1100);
        assert_eq!((dead.total, dead.next(), dead.next()), (1, Some(pack), None));
        assert_eq!(dead.verdict(pack, &entries), Verdict::Keep, "two thirds are in use");
        dead.note(pack, 32);
        assert_eq!(dead.verdict(pack, &entries), Verdict::Rewrite(vec![entries[2]]));
        dead.note(pack, 2200);
        assert_eq!(dead.verdict(pack, &entries), Verdict::Remove);
        // One was deleted while the others were being left out.
        dead.forget(pack, Some(&HashSet::from([32, 1100, 9])));
        assert!(dead.is_dead(pack, 2200) && !dead.is_dead(pack, 32));
        dead.forget(pack, None);
        assert_eq!(dead.total, 0);
        dead.next();
        dead.sealed(pack);
        assert!(!dead.is_dirty(), "nothing of it is deleted");
    }
}

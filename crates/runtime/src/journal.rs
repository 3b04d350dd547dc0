//! Observations that can be resumed: the newest value per key, in the order of its last change.
//!
//! Observations are states, not events, so a receiver that was away needs only the newest one of each key that
//! changed since its cursor. A cursor of another run of the sender is worthless: everything is sent.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// The newest value per key, ordered by change.
#[derive(Debug, Clone)]
pub struct Journal<K, V> {
    boot: String,
    seq: u64,
    by_seq: BTreeMap<u64, K>,
    values: HashMap<K, (u64, V)>,
}

impl<K: Clone + Eq + Hash, V: Clone> Journal<K, V> {
    /// Empty; `boot` names this run of the sender.
    #[must_use]
    pub fn new(boot: impl Into<String>) -> Self {
        Self { boot: boot.into(), seq: 0, by_seq: BTreeMap::new(), values: HashMap::new() }
    }

    /// This run's name.
    #[must_use]
    pub fn boot(&self) -> &str {
        &self.boot
    }

    /// The position of the last change.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// Records the newest value of a key; returns its position.
    pub fn put(&mut self, key: K, value: V) -> u64 {
        self.seq += 1;
        if let Some((old, _)) = self.values.insert(key.clone(), (self.seq, value)) {
            self.by_seq.remove(&old);
        }
        self.by_seq.insert(self.seq, key);
        self.seq
    }

    /// Drops a key (after its receiver has confirmed that it is gone).
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (seq, value) = self.values.remove(key)?;
        self.by_seq.remove(&seq);
        Some(value)
    }

    /// The newest value of a key.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key).map(|(_, value)| value)
    }

    /// Every key with its value, in the order of change.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.by_seq.values().filter_map(|key| self.values.get(key).map(|(_, value)| (key, value)))
    }

    /// At most `limit` values that changed after the cursor, oldest change first, and the position to resume from.
    #[must_use]
    pub fn since(&self, boot: &str, seq: u64, limit: usize) -> (u64, Vec<V>) {
        let from = if boot == self.boot { seq } else { 0 };
        let mut last = from.min(self.seq);
        let mut values = Vec::new();
        for (seq, key) in self.by_seq.range(from.saturating_add(1)..).take(limit) {
            last = *seq;
            values.extend(self.values.get(key).map(|(_, value)| value.clone()));
        }
        (last, values)
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_gets_each_changed_key_once_and_newest() {
        let mut journal = Journal::new("b1");
        journal.put("a", 1);
        journal.put("b", 2);
        let (cursor, values) = journal.since("b1", 0, 100);
        assert_eq!((cursor, values), (2, vec![1, 2]));
        journal.put("a", 3);
        journal.put("a", 4);
        assert_eq!(journal.since("b1", cursor, 100), (4, vec![4]));
        assert_eq!(journal.since("b1", 4, 100), (4, vec![]));
        assert_eq!(journal.since("other boot", 4, 100), (4, vec![2, 4]), "a foreign cursor means everything");
        assert_eq!(journal.since("b1", 0, 1), (2, vec![2]), "a page can be continued");
        assert_eq!(journal.remove(&"b"), Some(2));
        assert_eq!(journal.since("b1", 0, 9), (4, vec![4]));
    }
}

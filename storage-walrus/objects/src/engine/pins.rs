//! Blobs that are being read: the collector passes them over, so that what a client began to read it can read to the end,
//! whatever becomes of the object meanwhile. Of this process alone; for the others there is
//! [`crate::BlobStore::delete_grace`].

use crate::blob::BlobId;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Blobs pinned at once. A reader that comes when there are so many is not protected.
const PINS_MAX: usize = 1 << 18;
/// Deleted blobs that are remembered: for a reader that looked up its object before, and pins it only now.
const DELETED_MAX: usize = 1 << 14;

#[derive(Debug, Default)]
struct State {
    /// How many readers each has.
    pinned: HashMap<BlobId, u32>,
    deleted: HashMap<BlobId, ()>,
    /// In the order of their deletion.
    order: VecDeque<BlobId>,
}

/// What is being read.
#[derive(Debug, Default)]
pub(super) struct Pins(Mutex<State>);

impl Pins {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pins these, all or none of them: `Some(false)`, there is no room; `None`, one of them is deleted.
    pub(super) fn pin<'i>(&self, ids: impl ExactSizeIterator<Item = &'i BlobId> + Clone) -> Option<bool> {
        let mut state = self.state();
        if ids.clone().any(|id| state.deleted.contains_key(id)) {
            return None;
        }
        if state.pinned.len().saturating_add(ids.len()) > PINS_MAX {
            return Some(false);
        }
        for id in ids {
            *state.pinned.entry(id.clone()).or_default() += 1;
        }
        Some(true)
    }

    /// One reader less.
    pub(super) fn unpin<'i>(&self, ids: impl Iterator<Item = &'i BlobId>) {
        let mut state = self.state();
        for id in ids {
            if let Some(count) = state.pinned.get_mut(id) {
                *count -= 1;
                if *count == 0 {
                    state.pinned.remove(id);
                }
            }
        }
    }

    /// Whether a blob may be deleted; from then on nobody pins it.
    pub(super) fn give_up(&self, id: &BlobId) -> bool {
        let mut state = self.state();
        if state.pinned.contains_key(id) {
            return false;
        }
        if state.deleted.insert(id.clone(), ()).is_none() {
            state.order.push_back(id.clone());
        }
        if state.order.len() > DELETED_MAX
            && let Some(oldest) = state.order.pop_front()
        {
            state.deleted.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pinned_stays_and_what_is_given_up_is_not_pinned() {
        let (pins, a, b) = (Pins::default(), BlobId::from_random(1), BlobId::from_random(2));
        assert_eq!(pins.pin([&a, &b].into_iter()), Some(true));
        assert_eq!(pins.pin([&a].into_iter()), Some(true));
        pins.unpin([&a, &b].into_iter());
        assert!(!pins.give_up(&a), "it has a reader yet");
        assert!(pins.give_up(&b));
        assert_eq!(pins.pin([&a, &b].into_iter()), None);
        pins.unpin([&a].into_iter());
        assert!(pins.give_up(&a));
        for n in 0..=DELETED_MAX as u128 {
            assert!(pins.give_up(&BlobId::from_random(n + 3)));
        }
        let state = pins.state();
        assert!(state.pinned.is_empty() && state.deleted.len() == DELETED_MAX && state.order.len() == DELETED_MAX);
    }

    #[test]
    fn there_is_room_for_so_many() {
        let pins = Pins::default();
        let ids: Vec<_> = (0..=PINS_MAX as u128).map(BlobId::from_random).collect();
        assert_eq!(pins.pin(ids.iter()), Some(false));
        assert_eq!(pins.pin(ids[1..].iter()), Some(true));
        assert_eq!(pins.pin(ids[..1].iter()), Some(false));
        pins.unpin(ids[1..].iter());
        assert!(pins.state().pinned.is_empty());
    }
}

//! Memory that all who are under way at a time share: few may have much of it each, many little.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How many share.
#[derive(Debug)]
pub struct Share(AtomicUsize);

/// One of those who share; until it is dropped.
#[derive(Debug)]
pub struct Sharer(&'static Share);

impl Share {
    /// Nobody yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// One more.
    pub fn enter(&'static self) -> Sharer {
        self.0.fetch_add(1, Ordering::Relaxed);
        Sharer(self)
    }
}

impl Default for Share {
    fn default() -> Self {
        Self::new()
    }
}

impl Sharer {
    /// What this one may have of `all`: at least `least`, and at most `most`.
    #[must_use]
    pub fn part(&self, all: usize, least: usize, most: usize) -> usize {
        let part = all / self.0.0.load(Ordering::Relaxed).max(1);
        part.clamp(least, most.max(least))
    }
}

impl Drop for Sharer {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_get_less_than_few() {
        static SHARE: Share = Share::new();
        let one = SHARE.enter();
        assert_eq!(one.part(100, 10, 40), 40);
        let more: Vec<_> = (1..4).map(|_| SHARE.enter()).collect();
        assert_eq!(one.part(100, 10, 40), 25);
        let most: Vec<_> = (4..50).map(|_| SHARE.enter()).collect();
        assert_eq!(one.part(100, 10, 40), 10);
        drop((more, most));
        assert_eq!(one.part(100, 10, 40), 40);
    }
}

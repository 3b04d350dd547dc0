//! Hashes that a change moves by what it changes: the hash of a section is the sum of those of its items.

use sha2::{Digest as _, Sha256};

/// A sum of SHA-256 hashes modulo 2^256; of nothing it is zero. What is added may be taken away again, in any order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sum([u64; 4]);

impl Sum {
    /// Of one item of a section, as it is encoded.
    #[must_use]
    pub fn of(key: &str, item: &[u8]) -> Self {
        let mut hash = Sha256::new();
        // With the length in front no key and item run into each other.
        hash.update(u32::try_from(key.len()).unwrap_or(u32::MAX).to_be_bytes());
        hash.update(key);
        hash.update(item);
        Self::from_bytes(&hash.finalize())
    }

    /// As [`Sum::to_bytes`] wrote it; what is missing of 32 bytes counts as zero.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        Self(words)
    }

    /// Big-endian.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (bytes, word) in bytes.chunks_exact_mut(8).zip(self.0) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }

    /// With one more.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.carried(other, u64::overflowing_add)
    }

    /// Without one that is in it.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.carried(other, u64::overflowing_sub)
    }

    fn carried(self, other: Self, step: fn(u64, u64) -> (u64, bool)) -> Self {
        let (mut words, mut carry) = (self.0, false);
        // The first word is the highest.
        for (word, other) in words.iter_mut().zip(other.0).rev() {
            let (one, first) = step(*word, other);
            let (two, second) = step(one, u64::from(carry));
            (*word, carry) = (two, first || second);
        }
        Self(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_may_be_taken_away_in_any_order() {
        let of = |n: u8| Sum::of("at/vpc-1", &[n]);
        let all = (0..100).fold(Sum::default(), |sum, n| sum.plus(of(n)));
        let turned = (0..100).rev().fold(Sum::default(), |sum, n| sum.plus(of(n)));
        assert_eq!(all, turned);
        assert_eq!(Sum::from_bytes(&all.to_bytes()), all);
        assert_eq!((0..100).fold(all, |sum, n| sum.minus(of(n))), Sum::default());
        assert_ne!(Sum::of("at/vpc-1", b"1"), Sum::of("at/vpc-11", b""), "a key ends where it ends");
    }

    #[test]
    fn it_carries_over_all_words() {
        let (most, one) = (Sum([u64::MAX; 4]), Sum([0, 0, 0, 1]));
        assert_eq!(most.plus(one), Sum::default());
        assert_eq!(Sum::default().minus(one), most);
        assert_eq!(Sum([0, 0, 0, u64::MAX]).plus(one), Sum([0, 0, 1, 0]));
    }
}

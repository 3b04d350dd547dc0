//! Contents of objects, made from numbers, so that a history need not keep them.

use std::fmt;

/// A sequence of random numbers: cheap, and the same for the same seed.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// What an object holds: pieces, each of a seed and a length.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(pub Vec<(u64, usize)>);

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl Value {
    /// A fresh one: one in three small enough for its row, one in eight of several steps of writing.
    pub fn random(random: &mut Random) -> Self {
        let len = match random.below(8) {
            0..3 => random.below(4_000),
            3..7 => 4_097 + random.below(150_000),
            _ => 600_000 + random.below(700_000),
        };
        Self(vec![(random.next(), usize::try_from(len).unwrap())])
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.0.iter().map(|(_, len)| len + 8).sum());
        for (seed, len) in &self.0 {
            let (mut random, end) = (Random::new(*seed), out.len() + len);
            while out.len() < end {
                out.extend_from_slice(&random.next().to_le_bytes());
            }
            out.truncate(end);
        }
        out
    }
}

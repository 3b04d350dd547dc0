//! Randomness as a value that is passed down: the system's in production, a seeded one in simulations.

use rand::rngs::{StdRng, SysRng};
use rand::{Rng as _, RngExt as _, SeedableRng as _, TryRng as _};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// A shared source of random numbers.
#[derive(Clone)]
pub struct Rng(Arc<Mutex<StdRng>>);

impl fmt::Debug for Rng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rng")
    }
}

impl Rng {
    /// Seeded from the operating system (a CSPRNG: fit for ids and tokens).
    #[must_use]
    pub fn system() -> Self {
        let mut seed = [0u8; 32];
        // An operating system without randomness cannot run a cloud; there is nothing better to do than to stop.
        #[allow(clippy::expect_used)]
        SysRng.try_fill_bytes(&mut seed).expect("the operating system gives random bytes");
        Self(Arc::new(Mutex::new(StdRng::from_seed(seed))))
    }

    /// Repeats itself for the same seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    fn with<T>(&self, f: impl FnOnce(&mut StdRng) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// 64 random bits.
    #[must_use]
    pub fn u64(&self) -> u64 {
        self.with(|rng| rng.next_u64())
    }

    /// 128 random bits.
    #[must_use]
    pub fn u128(&self) -> u128 {
        self.with(|rng| (u128::from(rng.next_u64()) << 64) | u128::from(rng.next_u64()))
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    #[must_use]
    pub fn below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.with(|rng| rng.random_range(0..bound)) }
    }

    /// A number in `0.0..1.0`.
    #[must_use]
    pub fn unit(&self) -> f64 {
        self.with(|rng| rng.random())
    }

    /// Fills `bytes`.
    pub fn fill(&self, bytes: &mut [u8]) {
        self.with(|rng| rng.fill_bytes(bytes));
    }

    /// A random (version 4) UUID in its text form.
    #[must_use]
    pub fn uuid(&self) -> String {
        let bits = (self.u128() & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
        let hex = format!("{bits:032x}");
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_uuids_are_version_4() {
        assert_eq!(Rng::seeded(7).u128(), Rng::seeded(7).u128());
        let uuid = Rng::seeded(1).uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!(&uuid[14..15], "4");
        assert!("89ab".contains(&uuid[19..20]));
    }
}

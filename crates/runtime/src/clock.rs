//! Time as a value that is passed down, so that tests can set it.
//!
//! Two clocks, never mixed: the wall clock for what users see and what is stored; the monotonic clock
//! (`tokio::time`, which tests can pause) for leases, deadlines and timeouts.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use time::OffsetDateTime;

/// The wall clock, with an offset that tests may set (clock skew, the passing of an hour).
#[derive(Debug, Clone, Default)]
pub struct Clock {
    offset_ms: Arc<AtomicI64>,
}

impl Clock {
    /// The host's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// Now, UTC, cut to milliseconds (both databases keep at least that).
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        from_unix_ms(self.now_ms())
    }

    /// Now, in milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        let nanos = OffsetDateTime::now_utc().unix_timestamp_nanos();
        i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX).saturating_add(self.offset_ms.load(Ordering::Relaxed))
    }

    /// Moves this clock, and every clone of it, relative to the host's (tests only).
    pub fn shift_ms(&self, by: i64) {
        self.offset_ms.fetch_add(by, Ordering::Relaxed);
    }
}

/// The instant `ms` milliseconds after 1970; out-of-range values are clamped to 1970.
#[must_use]
pub fn from_unix_ms(ms: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

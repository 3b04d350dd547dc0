//! The day by which rules count. It is shortened in tests.

/// Milliseconds of a day.
pub const REAL_DAY_MS: i64 = 86_400_000;

/// How long a day of the rules is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day(i64);

impl Default for Day {
    fn default() -> Self {
        Self(REAL_DAY_MS)
    }
}

impl Day {
    /// Of so many seconds (at least one).
    #[must_use]
    pub fn of_seconds(seconds: u32) -> Self {
        Self(i64::from(seconds.max(1)) * 1000)
    }

    /// Its length.
    #[must_use]
    pub const fn ms(self) -> i64 {
        self.0
    }

    /// When something is due `days` after `from_ms`: at the next midnight, UTC, as AWS rounds.
    #[must_use]
    pub const fn due(self, from_ms: i64, days: u32) -> i64 {
        let at = from_ms.saturating_add((days as i64).saturating_mul(self.0));
        match at.rem_euclid(self.0) {
            0 => at,
            past => at.saturating_add(self.0 - past),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_end_at_midnight() {
        let day = Day::default();
        let noon = REAL_DAY_MS / 2;
        assert_eq!(day.due(noon, 1), 2 * REAL_DAY_MS);
        assert_eq!(day.due(noon, 0), REAL_DAY_MS);
        assert_eq!(day.due(REAL_DAY_MS, 3), 4 * REAL_DAY_MS);
        assert_eq!(Day::of_seconds(2).due(10_001, 1), 14_000);
        assert_eq!(Day::of_seconds(0), Day::of_seconds(1));
        assert_eq!(day.due(i64::MAX - 5, u32::MAX), i64::MAX);
    }
}

//! Rounds of work that take in what has come since the round before: the first goes at once, the next not before a
//! gap has passed. A lone change waits for nobody; of many at once each round takes more, and costs them all less.

use std::time::Duration;
use tokio::time::Instant;

/// The pace of one task's rounds.
#[derive(Debug)]
pub struct Pace {
    gap: Duration,
    next: Option<Instant>,
}

impl Pace {
    /// Rounds begin at least `gap` apart.
    #[must_use]
    pub const fn new(gap: Duration) -> Self {
        Self { gap, next: None }
    }

    /// Waits until a round may begin.
    pub async fn round(&mut self) {
        if let Some(next) = self.next {
            tokio::time::sleep_until(next).await;
        }
        self.next = Some(Instant::now() + self.gap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_goes_at_once_and_the_next_after_the_gap() {
        let mut pace = Pace::new(Duration::from_secs(3600));
        assert!(tokio::time::timeout(Duration::ZERO, pace.round()).await.is_ok(), "a lone one waits for nobody");
        assert!(tokio::time::timeout(Duration::from_millis(50), pace.round()).await.is_err());
        let mut pace = Pace::new(Duration::from_millis(1));
        pace.round().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(tokio::time::timeout(Duration::ZERO, pace.round()).await.is_ok(), "after a rest nothing is waited for");
    }
}

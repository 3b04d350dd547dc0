//! Who does a kind of work: whoever holds its lease.

use crate::Error;
use mallee_runtime::Rng;
use mallee_store::{Store, StoreError, lease_acquire};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a lease stands that is not prolonged.
const TTL: Duration = Duration::from_secs(30);

/// The lease of a kind of work, as this process sees it. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Lead {
    store: Store,
    name: &'static str,
    holder: String,
    /// Until when it is held, by this process's clock.
    until: Arc<Mutex<Option<Instant>>>,
}

impl Lead {
    pub(crate) fn new(store: &Store, name: &'static str, rng: &Rng) -> Self {
        let holder = format!("{:032x}", rng.u128());
        Self { store: store.clone(), name, holder, until: Arc::default() }
    }

    /// Whether this process does the work. Takes and prolongs the lease as needed. While one stands, it does though the
    /// database cannot be asked.
    pub(crate) async fn held(&self) -> Result<bool, Error> {
        // Before it asks: the lease runs from then.
        let now = Instant::now();
        let known = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_some_and(|until| until > now + TTL / 2) {
            return Ok(true);
        }
        let held = match self.acquired().await {
            Ok(held) => held,
            Err(error) if known.is_some_and(|until| until > Instant::now()) => {
                tracing::warn!(lease = self.name, %error, "a lease is not prolonged; it stands still");
                return Ok(true);
            }
            Err(error) => return Err(error.into()),
        };
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = held.then(|| now + TTL);
        Ok(held)
    }

    async fn acquired(&self) -> Result<bool, StoreError> {
        let mut tx = self.store.write().await?;
        let held = lease_acquire(&mut tx, self.name, &self.holder, TTL).await?.is_some();
        tx.commit().await?;
        Ok(held)
    }

    /// As [`Lead::held`], where the work has begun.
    pub(crate) async fn still(&self) -> Result<(), Error> {
        if self.held().await? { Ok(()) } else { Err(Error::Lost) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use mallee_store::test_support::TestDb;

    #[tokio::test]
    async fn a_lease_stands_while_the_database_is_away() {
        let store = TestDb::sqlite().await.open().await;
        let lead = Lead::new(&store, "work", &Rng::system());
        assert!(lead.held().await.unwrap());
        store.close().await;
        let stands_for = |time: Duration| *lead.until.lock().unwrap() = Some(Instant::now() + time);
        stands_for(TTL / 3);
        assert!(lead.held().await.unwrap(), "it could not be prolonged, and stands");
        stands_for(Duration::ZERO);
        assert!(matches!(lead.held().await, Err(Error::Store(_))));
    }
}

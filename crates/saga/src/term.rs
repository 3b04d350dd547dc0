//! The lease under which a replica runs workflows. Each holding of it is a term; what a term's runners may write ends
//! with it.

use crate::engine::{Engine, EngineConfig, locked};
use mallee_runtime::Shutdown;
use mallee_store::{LeaseRow, Store, StoreError, lease_acquire, lease_fetch, lease_release, lease_renew};
use tokio::time::Instant;

/// One term of this replica: ends when its lease is lost.
#[derive(Debug, Clone)]
pub(crate) struct Term {
    pub(crate) lease: LeaseRow,
    /// By the monotonic clock: no step begins in this term from then on.
    pub(crate) until: Instant,
    /// Ends every runner of the term.
    pub(crate) end: Shutdown,
}

fn lease_name(replica: &str) -> String {
    format!("saga/{replica}")
}

/// Begins a term: the predecessor's, if any, is over.
pub(crate) async fn begin_term(store: &Store, config: &EngineConfig) -> Result<Term, StoreError> {
    let name = lease_name(&config.replica);
    let asked = Instant::now();
    let mut tx = store.write().await?;
    if let Some(old) = lease_fetch(&mut tx, &name).await? {
        lease_release(&mut tx, &old).await?;
    }
    let lease = lease_acquire(&mut tx, &name, &config.replica, config.lease_ttl).await?;
    let lease = lease.ok_or_else(|| StoreError::Stale { what: name })?;
    tx.commit().await?;
    Ok(Term { lease, until: asked + config.lease_ttl, end: Shutdown::new() })
}

impl Engine {
    /// Renews the lease, or begins a new term when it is lost.
    pub(crate) async fn keep_term(&self) -> Result<(), StoreError> {
        let (store, ttl) = (&self.0.store, self.0.config.lease_ttl);
        let Term { lease, until, end } = locked(&self.0.term).clone();
        if end.is_stopped() {
            let term = begin_term(store, &self.0.config).await?;
            *locked(&self.0.term) = term;
            return Ok(());
        }
        let asked = Instant::now();
        let renewing = async {
            let mut tx = store.write().await?;
            let lease = lease_renew(&mut tx, &lease, ttl).await?;
            tx.commit().await?;
            Ok(lease)
        };
        // When the lease runs out while the store does not answer, others may take over: be gone by then.
        let renewed = tokio::time::timeout_at(until, renewing).await;
        match renewed.unwrap_or_else(|elapsed| Err(StoreError::Unavailable(Box::new(elapsed)))) {
            Ok(lease) => {
                let mut term = locked(&self.0.term);
                term.lease = lease;
                term.until = asked + ttl;
                Ok(())
            }
            Err(StoreError::Stale { .. }) => {
                tracing::warn!(replica = self.0.config.replica, "the workflow lease was lost; beginning a new term");
                self.end_term().await;
                let term = begin_term(store, &self.0.config).await?;
                *locked(&self.0.term) = term;
                Ok(())
            }
            Err(error) => {
                if Instant::now() >= until {
                    self.end_term().await;
                }
                Err(error)
            }
        }
    }

    /// Drops every runner of the term and waits until they are gone.
    async fn end_term(&self) {
        locked(&self.0.term).end.stop();
        self.all_ended().await;
    }

    async fn all_ended(&self) {
        loop {
            let ended = self.0.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if locked(&self.0.running).is_empty() {
                return;
            }
            ended.await;
        }
    }

    /// On an orderly stop: when the running steps have ended, gives the lease back, so that others go on at once.
    pub(crate) async fn leave_on_shutdown(&self) {
        self.0.scope.shutdown().stopped().await;
        self.all_ended().await;
        let lease = locked(&self.0.term).lease.clone();
        let left = async {
            let mut tx = self.0.store.write().await?;
            lease_release(&mut tx, &lease).await?;
            tx.commit().await
        };
        if let Err(error) = left.await {
            tracing::debug!(%error, "could not give the workflow lease back; it runs out by itself");
        }
    }
}

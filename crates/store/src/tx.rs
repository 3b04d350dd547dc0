//! Transactions. A dropped one is rolled back. After a statement that failed (a conflict, say) nothing more can be done
//! in a transaction, on either database: drop it, and begin another to try again. A row that was not found or was
//! stale is no failure of that kind.

use crate::StoreError;
use crate::change::{self, Pending};
use crate::later::Later;
use crate::store::Store;
use sqlx::{Postgres, Sqlite, Transaction};
use std::sync::atomic::{AtomicI64, Ordering};

/// Numbers the transactions of this process.
static NUMBERS: AtomicI64 = AtomicI64::new(0);

/// The connection of a transaction.
#[derive(Debug)]
pub(crate) enum TxConn {
    Sqlite(Transaction<'static, Sqlite>),
    Pg(Transaction<'static, Postgres>),
}

/// One transaction. Changes noted in it ([`crate::change_append`]) are numbered and written when it commits.
#[derive(Debug)]
pub struct Tx {
    store: Store,
    conn: Option<TxConn>,
    number: i64,
    spoiled: bool,
    pub(crate) pending: Vec<Pending>,
    pub(crate) later: Later,
}

/// What a commit that failed says. A row that was refused, or had no room, is certainly not written. Of anything else nobody knows: when
/// SQLite could not sync its log (an I/O error), the records are in there all the same, and count if the process dies
/// before others are written over them.
fn uncertain(error: StoreError) -> StoreError {
    match error {
        StoreError::Conflict { .. }
        | StoreError::InUse
        | StoreError::Full(_)
        | StoreError::Undone(_)
        | StoreError::Unavailable(_) => error,
        other => StoreError::Unavailable(Box::new(other)),
    }
}

impl Tx {
    pub(crate) fn new(store: Store, conn: TxConn) -> Self {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        Self { store, conn: Some(conn), number, spoiled: false, pending: Vec::new(), later: Later::EMPTY }
    }

    pub(crate) fn conn(&mut self) -> Result<&mut TxConn, StoreError> {
        // Only `commit` and `rollback` take the connection, and they consume the transaction.
        if self.spoiled { Err(StoreError::Aborted) } else { self.conn.as_mut().ok_or(StoreError::Aborted) }
    }

    pub(crate) const fn is_sqlite(&self) -> bool {
        matches!(self.conn, Some(TxConn::Sqlite(_)))
    }

    /// Tells it from the others of this process.
    pub(crate) const fn number(&self) -> i64 {
        self.number
    }

    pub(crate) const fn spoil(&mut self) {
        self.spoiled = true;
    }

    /// Forgets what was noted since there were so many changes, what waits, and that a statement failed: of SQLite, whose
    /// savepoint undoes the rest.
    pub(crate) fn forget_since(&mut self, changes: usize) {
        self.pending.truncate(changes);
        self.later = Later::EMPTY;
        self.spoiled = false;
    }

    /// The store this is a transaction of.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Now, in milliseconds since 1970, by the store's clock.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.store.clock().now_ms()
    }

    /// Makes the transaction durable, then wakes those who watch the changes. Once begun it ends even if the
    /// caller goes away.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the outcome is not known; nothing was written on any other error.
    pub async fn commit(self) -> Result<(), StoreError> {
        let work = tokio::spawn(self.commit_here());
        work.await.map_err(|e| StoreError::Unavailable(Box::new(e)))?
    }

    /// As [`Tx::commit`], for callers that do not go away.
    pub(crate) async fn commit_here(mut self) -> Result<(), StoreError> {
        self.conn()?;
        let newest = change::flush(&mut self).await?;
        self.run_later().await?;
        let committed = match self.conn.take() {
            Some(TxConn::Sqlite(transaction)) => transaction.commit().await,
            Some(TxConn::Pg(transaction)) => transaction.commit().await,
            None => Ok(()),
        };
        committed.map_err(|error| uncertain(error.into()))?;
        if let Some((seq, identities)) = newest {
            if identities {
                self.store.identities_bump();
            }
            self.store.changes_bump(seq);
        }
        Ok(())
    }

    /// Undoes everything. Dropping the transaction does the same, a little later.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the connection is gone (the database then undoes it by itself).
    pub async fn rollback(mut self) -> Result<(), StoreError> {
        match self.conn.take() {
            Some(TxConn::Sqlite(transaction)) => transaction.rollback().await?,
            Some(TxConn::Pg(transaction)) => transaction.rollback().await?,
            None => {}
        }
        Ok(())
    }
}

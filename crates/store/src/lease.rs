//! Leases: who leads. The row's times are wall-clock milliseconds and only decide who may take a lease over; a
//! holder judges by its own monotonic clock whether its lease still stands, from before it asked.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::tx::Tx;
use mallee_types::Epoch;
use std::time::Duration;

record! {
    /// A lease.
    pub struct LeaseRow {
        /// What is leased, for example `cluster/local-1a`.
        name: String,
        /// Who holds it.
        holder: String,
        /// The holder's term: grows whenever the lease is taken anew; orders of an older term are refused.
        epoch: Epoch,
        /// When it may be taken by another, in milliseconds since 1970.
        expires_ms: i64,
    }
}

sql! {
    FETCH = "SELECT name, holder, epoch, expires_ms FROM leases WHERE name = $1";
    LIST = "SELECT name, holder, epoch, expires_ms FROM leases ORDER BY name";
    ACQUIRE = "INSERT INTO leases (name, holder, epoch, expires_ms) VALUES ($1, $2, 1, $3)
        ON CONFLICT (name) DO UPDATE SET
            epoch = leases.epoch + CASE WHEN leases.holder = excluded.holder AND leases.expires_ms > $4 THEN 0 ELSE 1 END,
            holder = excluded.holder, expires_ms = excluded.expires_ms
        WHERE leases.holder = excluded.holder OR leases.expires_ms <= $4
        RETURNING name, holder, epoch, expires_ms";
    RENEW = "UPDATE leases SET expires_ms = $4 WHERE name = $1 AND holder = $2 AND epoch = $3 AND expires_ms > $5";
    RELEASE = "UPDATE leases SET expires_ms = 0 WHERE name = $1 AND holder = $2 AND epoch = $3";
}

fn until(now_ms: i64, ttl: Duration) -> i64 {
    now_ms.saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
}

/// Takes the lease if it is free, expired, or already `holder`'s. The epoch grows unless `holder` held it unexpired.
/// `None`: another holds it.
///
/// # Errors
/// [`StoreError::Unavailable`] when the database does not answer.
pub async fn lease_acquire(
    tx: &mut Tx,
    name: &str,
    holder: &str,
    ttl: Duration,
) -> Result<Option<LeaseRow>, StoreError> {
    let now_ms = tx.now_ms();
    Exec::Tx(tx).maybe(ACQUIRE, args![name, holder, until(now_ms, ttl), now_ms]).await
}

/// Prolongs a lease that is held in this epoch and has not expired.
///
/// # Errors
/// [`StoreError::Stale`] when it is lost: whoever acts in its name must stop.
pub async fn lease_renew(tx: &mut Tx, lease: &LeaseRow, ttl: Duration) -> Result<LeaseRow, StoreError> {
    let (now_ms, mut renewed) = (tx.now_ms(), lease.clone());
    renewed.expires_ms = until(now_ms, ttl);
    let arguments = args![lease.name, lease.holder, lease.epoch, renewed.expires_ms, now_ms];
    match Exec::Tx(tx).run(RENEW, arguments).await? {
        0 => Err(StoreError::stale(format_args!("the lease {}", lease.name))),
        _ => Ok(renewed),
    }
}

/// Gives a lease back at once. True if it was still held in this epoch.
///
/// # Errors
/// [`StoreError::Unavailable`] when the database does not answer.
pub async fn lease_release(tx: &mut Tx, lease: &LeaseRow) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(RELEASE, args![lease.name, lease.holder, lease.epoch]).await? > 0)
}

/// The lease of this name, expired or not.
///
/// # Errors
/// [`StoreError::Unavailable`] when the database does not answer.
pub async fn lease_fetch<'a>(exec: impl Into<Exec<'a>>, name: &str) -> Result<Option<LeaseRow>, StoreError> {
    exec.into().maybe(FETCH, args![name]).await
}

/// Every lease, expired or not, by name.
///
/// # Errors
/// [`StoreError::Unavailable`] when the database does not answer.
pub async fn lease_list<'a>(exec: impl Into<Exec<'a>>) -> Result<Vec<LeaseRow>, StoreError> {
    exec.into().all(LIST, vec![]).await
}

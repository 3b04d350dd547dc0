//! What only one of the two databases has, behind named functions.

use crate::StoreError;
use crate::value::{Record, Row};

/// PostgreSQL: a lock that the transaction keeps until its end. `pg_advisory_xact_lock` returns void, hence the text.
pub(crate) const PG_LOCK: &str = "SELECT CAST(pg_advisory_xact_lock($1) AS TEXT)";
/// PostgreSQL: the same lock, as many may have it who take it so.
pub(crate) const PG_LOCK_SHARED: &str = "SELECT CAST(pg_advisory_xact_lock_shared($1) AS TEXT)";
/// PostgreSQL: wakes the other replicas when the transaction commits.
pub(crate) const PG_NOTIFY: &str = "SELECT CAST(pg_notify($1, $2) AS TEXT)";
/// The channel of [`PG_NOTIFY`].
pub(crate) const CHANGES_CHANNEL: &str = "mallee_changes";
/// The lock under which changes get their numbers, so that commit order is number order.
pub(crate) const CHANGES_LOCK: &str = "changes";

/// SQLite: begins what can be undone by itself within a transaction.
pub(crate) const SQLITE_SAVEPOINT: &str = "SAVEPOINT work";
/// SQLite: what was done since the last one stays, and the next one begins.
pub(crate) const SQLITE_NEXT_SAVEPOINT: &str = "RELEASE work; SAVEPOINT work";
/// SQLite: undoes what was done since the last one.
pub(crate) const SQLITE_ROLLBACK_TO: &str = "ROLLBACK TO work";

/// PostgreSQL's own texts, for the registry.
pub(crate) const PG_SQL: &[(&str, &str)] =
    &[("PG_LOCK", PG_LOCK), ("PG_LOCK_SHARED", PG_LOCK_SHARED), ("PG_NOTIFY", PG_NOTIFY)];

/// The result of a function that returns nothing.
#[derive(Debug)]
pub(crate) struct PgPrelude;
impl Record for PgPrelude {
    fn read(_row: Row<'_>) -> Result<Self, StoreError> {
        Ok(Self)
    }
}

/// Advisory locks have numbers, not names: FNV-1a. Two names with one number would only wait for each other.
pub(crate) fn lock_key(name: &str) -> i64 {
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    i64::from_ne_bytes(hash.to_ne_bytes())
}

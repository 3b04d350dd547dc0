//! The ordered log of what changed. Reconcilers read it from where they were; one that is too far behind reads the
//! whole state instead. Numbers grow in commit order: whoever has read up to n has seen every change up to n.

use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::insert_rows_later;
use crate::tx::{Tx, TxConn};
use crate::value::ToArg as _;
use crate::{Store, StoreError, dialect};
use mallee_types::ZoneName;

/// How many changes are kept.
pub const CHANGES_KEPT: u64 = 100_000;
/// The kind of change that says that identities of an account (its id) changed: users, keys, roles, policies. It also
/// moves [`Store::identity_version`].
pub const IDENTITY_CHANGE: &str = "iam";
/// Changes one call of [`changes_since`] returns at most.
pub const CHANGES_PAGE_MAX: u32 = 10_000;

record! {
    /// One change: the thing of this kind and id is not what it was.
    pub struct ChangeRow {
        /// Its number; later commits have higher ones. Gaps occur.
        seq: u64,
        /// What kind of thing, for example `instance`.
        kind: String,
        /// Its id.
        id: String,
        /// The zone whose cluster controller cares, if one does.
        zone: Option<ZoneName>,
    }
}

/// A change of a transaction that has not committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pending {
    kind: &'static str,
    id: String,
    zone: Option<ZoneName>,
}

sql! {
    SINCE = "SELECT seq, kind, id, zone FROM changes WHERE seq > $1 ORDER BY seq LIMIT $2 + 0";
    BOUNDS = "SELECT COALESCE((SELECT MIN(seq) FROM changes), 0), COALESCE((SELECT MAX(seq) FROM changes), 0)";
    PRUNE = "DELETE FROM changes WHERE seq <= $1";
}
/// The newest number.
pub(crate) const NEWEST: &str = "SELECT COALESCE(MAX(seq), 0) FROM changes";

/// Notes a change; it is numbered and written when the transaction commits. Noting the same twice is noting it once.
pub fn change_append(tx: &mut Tx, kind: &'static str, id: impl std::fmt::Display, zone: Option<&ZoneName>) {
    let change = Pending { kind, id: id.to_string(), zone: zone.cloned() };
    if tx.pending.last() != Some(&change) {
        tx.pending.push(change);
    }
}

/// Writes the noted changes, last thing before the commit: on PostgreSQL this takes the lock that makes commit order
/// number order, and it is held only from here to the commit. Returns the newest number,
/// and whether identities are among what changed.
pub(crate) async fn flush(tx: &mut Tx) -> Result<Option<(u64, bool)>, StoreError> {
    if tx.pending.is_empty() {
        return Ok(None);
    }
    tx.lock(dialect::CHANGES_LOCK).await?;
    let pending = std::mem::take(&mut tx.pending);
    let identities = pending.iter().any(|change| change.kind == IDENTITY_CHANGE);
    let rows = pending.iter().map(|c| args![c.kind, c.id, c.zone]).collect();
    insert_rows_later(tx, "INSERT INTO changes (kind, id, zone) VALUES ", "", rows).await?;
    let (newest,) = Exec::Tx(tx).one::<(u64,)>(NEWEST, vec![], "changes").await?;
    if matches!(tx.conn()?, TxConn::Pg(_)) {
        let payload = if identities { format!("{newest} {IDENTITY_CHANGE}") } else { newest.to_string() };
        let notify = vec![dialect::CHANGES_CHANNEL.to_arg(), payload.to_arg()];
        Exec::Tx(tx).maybe::<dialect::PgPrelude>(dialect::PG_NOTIFY, notify).await?;
    }
    Ok(Some((newest, identities)))
}

/// The changes after `seq`, oldest first, at most `limit` and [`CHANGES_PAGE_MAX`]. Check with [`changes_bounds`] that nothing after
/// `seq` was pruned.
///
/// # Errors
/// [`StoreError::Unavailable`] when the database does not answer.
pub async fn changes_since<'a>(exec: impl Into<Exec<'a>>, seq: u64, limit: u32) -> Result<Vec<ChangeRow>, StoreError> {
    exec.into().all(SINCE, args![seq, limit.min(CHANGES_PAGE_MAX)]).await
}

/// The numbers of the oldest and the newest change kept; (0, 0) when there is none.
///
/// # Errors
/// [`StoreError::Unavailable`] when the database does not answer.
pub async fn changes_bounds<'a>(exec: impl Into<Exec<'a>>) -> Result<(u64, u64), StoreError> {
    exec.into().one(BOUNDS, vec![], "changes").await
}

/// Drops all but the newest [`CHANGES_KEPT`] changes; how many went. For a background task.
///
/// # Errors
/// [`StoreError::Unavailable`] when the database does not answer.
pub async fn changes_prune(store: &Store) -> Result<u64, StoreError> {
    changes_prune_to(store, CHANGES_KEPT).await
}

pub(crate) async fn changes_prune_to(store: &Store, kept: u64) -> Result<u64, StoreError> {
    let (oldest, newest) = changes_bounds(store).await?;
    let up_to = newest.saturating_sub(kept);
    if oldest == 0 || up_to < oldest {
        return Ok(0);
    }
    let mut tx = store.write().await?;
    let gone = Exec::Tx(&mut tx).run(PRUNE, args![up_to]).await?;
    tx.commit().await?;
    Ok(gone)
}

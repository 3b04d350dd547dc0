//! The index of the audit trail: what `LookupEvents` asks for. The trail itself is in files, from which this can be
//! made again.

use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::{Select, insert_rows};
use crate::tx::Tx;
use crate::value::ToArg as _;
use crate::{Store, StoreError};
use mallee_types::AccountId;

/// Events one call of [`audit_purge`] forgets at most.
const PURGE_ROWS_MAX: u32 = 5_000;

record! {
    /// One recorded call.
    pub struct AuditEventRow {
        /// CloudTrail's `eventID`.
        id: String,
        /// The account whose resources it was about.
        account_id: AccountId,
        /// When.
        event_ms: i64,
        /// The operation.
        name: String,
        /// The service: `ec2.amazonaws.com`.
        source: String,
        /// The caller's name; empty where there is none.
        username: String,
        /// The key that signed; empty where none did.
        access_key_id: String,
        /// It only looked.
        read_only: bool,
        /// The whole record, JSON.
        body: String,
    }
    /// Something a recorded call was about.
    pub struct AuditResourceRow {
        /// The call.
        event_id: String,
        /// Its account.
        account_id: AccountId,
        /// CloudFormation's name of the kind.
        kind: String,
        /// The resource's id, name or ARN.
        name: String,
    }
}

sql! {
    LIST = "SELECT id, account_id, event_ms, name, source, username, access_key_id, read_only, body
        FROM audit_events WHERE account_id = $1 AND event_ms >= $2 AND event_ms <= $3";
    RESOURCES = "SELECT event_id, account_id, kind, name FROM audit_resources WHERE account_id = $1";
    PURGE = "DELETE FROM audit_events WHERE id IN
        (SELECT id FROM audit_events WHERE event_ms < $1 ORDER BY event_ms LIMIT $2 + 0)";
}

/// Adds events and what they were about. An event that is there already is left as it is.
pub async fn audit_insert(
    tx: &mut Tx,
    events: &[AuditEventRow],
    resources: &[AuditResourceRow],
) -> Result<(), StoreError> {
    let tail = " ON CONFLICT DO NOTHING";
    let head = "INSERT INTO audit_events
        (id, account_id, event_ms, name, source, username, access_key_id, read_only, body) VALUES ";
    insert_rows(Exec::Tx(tx), head, tail, events.iter().map(AuditEventRow::args).collect()).await?;
    let head = "INSERT INTO audit_resources (event_id, account_id, kind, name) VALUES ";
    insert_rows(Exec::Tx(tx), head, tail, resources.iter().map(AuditResourceRow::args).collect()).await.map(drop)
}

/// Which events of an account.
#[derive(Debug, Clone, Copy)]
pub struct AuditFilter<'a> {
    /// Not before, in milliseconds since 1970.
    pub from_ms: i64,
    /// Not after.
    pub to_ms: i64,
    /// Only this one.
    pub id: Option<&'a str>,
    /// Only this operation.
    pub name: Option<&'a str>,
    /// Only this service.
    pub source: Option<&'a str>,
    /// Only this caller.
    pub username: Option<&'a str>,
    /// Only with this key.
    pub access_key_id: Option<&'a str>,
    /// Only those that looked, or only the others.
    pub read_only: Option<bool>,
    /// Only about things of this kind.
    pub resource_kind: Option<&'a str>,
    /// Only about the thing of this name.
    pub resource_name: Option<&'a str>,
    /// Only those older than this one: its time and id.
    pub before: Option<(i64, &'a str)>,
}

impl Default for AuditFilter<'_> {
    fn default() -> Self {
        Self {
            from_ms: 0,
            to_ms: i64::MAX,
            id: None,
            name: None,
            source: None,
            username: None,
            access_key_id: None,
            read_only: None,
            resource_kind: None,
            resource_name: None,
            before: None,
        }
    }
}

/// An account's events, newest first.
pub async fn audit_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    filter: AuditFilter<'_>,
    limit: u32,
) -> Result<Vec<AuditEventRow>, StoreError> {
    let mut select = Select::new(LIST, args![account, filter.from_ms, filter.to_ms])
        .and("id =", filter.id)
        .and("name =", filter.name)
        .and("source =", filter.source)
        .and("username =", filter.username)
        .and("access_key_id =", filter.access_key_id)
        .and("read_only =", filter.read_only)
        .and_below("id IN (SELECT event_id FROM audit_resources WHERE kind =", filter.resource_kind)
        .and_below("id IN (SELECT event_id FROM audit_resources WHERE name =", filter.resource_name);
    if let Some((event_ms, id)) = filter.before {
        select = select.and_pair("(event_ms, id) <", event_ms.to_arg(), id.to_arg());
    }
    select.page(exec.into(), "event_ms DESC, id DESC", limit).await
}

/// What these events of an account were about, by event.
pub async fn audit_resource_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    events: &[String],
    limit: u32,
) -> Result<Vec<AuditResourceRow>, StoreError> {
    let select = Select::new(RESOURCES, args![account]).and_in("event_id", Some(events))?;
    select.page(exec.into(), "event_id, kind, name", limit).await
}

/// Forgets events from before `before_ms`, oldest first, some at a time; how many went.
pub async fn audit_purge(store: &Store, before_ms: i64) -> Result<u64, StoreError> {
    let mut tx = store.write().await?;
    let gone = Exec::Tx(&mut tx).run(PURGE, args![before_ms, PURGE_ROWS_MAX]).await?;
    tx.commit().await?;
    Ok(gone)
}

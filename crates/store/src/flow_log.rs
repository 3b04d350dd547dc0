//! Flow logs.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use mallee_types::{AccountId, FlowLogId, VpcId};

record! {
    /// A flow log: whose traffic is recorded, and where the records go.
    pub struct FlowLogRow {
        /// `fl-…`.
        id: FlowLogId,
        /// Whose.
        account_id: AccountId,
        /// In which the resource is.
        vpc_id: VpcId,
        /// The VPC, a subnet, or an interface.
        resource_id: String,
        /// `ACCEPT`, `REJECT` or `ALL`.
        traffic: String,
        /// The bucket.
        bucket: String,
        /// What keys begin with: ends in a slash, or is empty.
        prefix: String,
        /// The fields of a record, with spaces between them.
        format: String,
        /// What was asked for as the longest window, in seconds.
        interval_s: u32,
        /// Keys name what their parts are.
        hive: bool,
        /// Keys have the hour, too.
        per_hour: bool,
        /// When it was made.
        created_ms: i64,
        /// What came of the last delivery: empty where it succeeded, `None` before the first.
        error: Option<String>,
    }
}

macro_rules! columns {
    () => {
        "id, account_id, vpc_id, resource_id, traffic, bucket, prefix, format, interval_s, hive, per_hour, created_ms,
        error"
    };
}

sql! {
    INSERT = concat!("INSERT INTO flow_logs (", columns!(), ")
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)");
    LIST = concat!("SELECT ", columns!(), " FROM flow_logs WHERE 1 = 1");
    DELETE = "DELETE FROM flow_logs WHERE id = $1";
    TAIL = concat!("INSERT INTO flow_log_tails (", columns!(), ", ended_ms)
        SELECT ", columns!(), ", $2 FROM flow_logs WHERE resource_id = $1 ON CONFLICT (id) DO NOTHING");
    TAILS = concat!("SELECT ", columns!(), " FROM flow_log_tails WHERE 1 = 1");
    TAILS_FORGET = "DELETE FROM flow_log_tails WHERE ended_ms < $1";
    TRIED = "UPDATE flow_logs SET error = $2 WHERE id = $1 AND (error IS NULL OR error <> $2)";
}

/// Makes a flow log. Conflict: `flow_logs_resource_id_bucket_prefix`: the resource's records go there already.
/// [`StoreError::InUse`]: the VPC is gone.
pub async fn flow_log_insert(tx: &mut Tx, row: &FlowLogRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// Which flow logs.
#[derive(Debug, Default, Clone, Copy)]
pub struct FlowLogFilter<'a> {
    /// Only this account's.
    pub account: Option<&'a AccountId>,
    /// Only these.
    pub ids: Option<&'a [FlowLogId]>,
    /// Only of these VPCs, subnets and interfaces.
    pub resources: Option<&'a [String]>,
    /// Only those after this id.
    pub after: Option<&'a FlowLogId>,
}

/// Flow logs, by id.
pub async fn flow_log_list<'a>(
    exec: impl Into<Exec<'a>>,
    filter: FlowLogFilter<'_>,
    limit: u32,
) -> Result<Vec<FlowLogRow>, StoreError> {
    let select = Select::new(LIST, vec![])
        .and("account_id =", filter.account)
        .and("id >", filter.after)
        .and_in("resource_id", filter.resources)?
        .and_in("id", filter.ids)?;
    select.page(exec.into(), "id", limit).await
}

/// What the flow logs of a resource are of goes now: their last records may come until an hour later, and those of others
/// that went before `since_ms` come no more.
pub async fn flow_log_tails_put(tx: &mut Tx, resource: &str, now_ms: i64, since_ms: i64) -> Result<(), StoreError> {
    Exec::Tx(&mut *tx).run(TAILS_FORGET, args![since_ms]).await?;
    Exec::Tx(tx).run(TAIL, args![resource, now_ms]).await.map(drop)
}

/// Flow logs of these resources, which have gone, by id.
pub async fn flow_log_tail_list<'a>(
    exec: impl Into<Exec<'a>>,
    resources: &[String],
    limit: u32,
) -> Result<Vec<FlowLogRow>, StoreError> {
    Select::new(TAILS, vec![]).and_in("resource_id", Some(resources))?.page(exec.into(), "id", limit).await
}

/// Removes a flow log with its tags; false when it was not there.
pub async fn flow_log_delete(tx: &mut Tx, id: &FlowLogId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![id]).await? > 0)
}

/// Notes what came of a delivery (empty: it succeeded); false when that was known, or the flow log is gone.
pub async fn flow_log_tried(tx: &mut Tx, id: &FlowLogId, error: &str) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(TRIED, args![id, error]).await? > 0)
}

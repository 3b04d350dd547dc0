//! Reachability analysis: paths between resources, and what was found of them.

use crate::StoreError;
use crate::exec::Exec;
use crate::json::{Json, TextList};
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use mallee_types::{AccountId, InsightsAnalysisId, InsightsPathId};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// Which packets a path is about, as they are at one of its ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InsightsFilter {
    /// Only from this address.
    pub source_address: Option<Ipv4Addr>,
    /// Only from these ports, both included.
    pub source_ports: Option<(u16, u16)>,
    /// Only to this address.
    pub destination_address: Option<Ipv4Addr>,
    /// Only to these ports, both included.
    pub destination_ports: Option<(u16, u16)>,
}

/// The addresses and ports of a path. Column `doc`; fields may be added, never renamed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InsightsPathDoc {
    /// An address of the source.
    pub source_ip: Option<Ipv4Addr>,
    /// An address of the destination.
    pub destination_ip: Option<Ipv4Addr>,
    /// The port at the destination.
    pub destination_port: Option<u16>,
    /// Packets as they leave the source.
    pub at_source: Option<InsightsFilter>,
    /// Packets as they come to the destination.
    pub at_destination: Option<InsightsFilter>,
}

record! {
    /// A path to analyse.
    pub struct InsightsPathRow {
        /// `nip-…`.
        id: InsightsPathId,
        /// Whose.
        account_id: AccountId,
        /// The id of the resource where it begins; that may be gone.
        source: String,
        /// The id of the resource where it ends; none: at an address.
        destination: Option<String>,
        /// `tcp` or `udp`.
        protocol: String,
        /// Addresses and ports.
        doc: Json<InsightsPathDoc>,
        /// When it was made.
        created_ms: i64,
    }
    /// What was found of a path at one moment.
    pub struct InsightsAnalysisRow {
        /// `nia-…`.
        id: InsightsAnalysisId,
        /// Whose.
        account_id: AccountId,
        /// Of which path.
        path_id: InsightsPathId,
        /// ARNs of what it had to lead through.
        filter_in: TextList,
        /// ARNs of what it was not to lead through.
        filter_out: TextList,
        /// Whether there is a way; `None`: that could not be said.
        found: Option<bool>,
        /// Components and explanations, as JSON that no query looks into.
        answer: String,
        /// When it was made.
        started_ms: i64,
    }
}

macro_rules! analysis_columns {
    () => {
        "id, account_id, path_id, filter_in, filter_out, found, answer, started_ms"
    };
}

sql! {
    PATH_INSERT = "INSERT INTO insights_paths (id, account_id, source, destination, protocol, doc, created_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    PATH_LIST = "SELECT id, account_id, source, destination, protocol, doc, created_ms FROM insights_paths
        WHERE 1 = 1";
    PATH_DELETE = "DELETE FROM insights_paths WHERE id = $1";
    ANALYSIS_INSERT = concat!("INSERT INTO insights_analyses (", analysis_columns!(), ")
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)");
    ANALYSIS_LIST = concat!("SELECT ", analysis_columns!(), " FROM insights_analyses WHERE 1 = 1");
    ANALYSIS_DELETE = "DELETE FROM insights_analyses WHERE id = $1";
    ANALYSIS_COUNT = "SELECT COUNT(*) FROM insights_analyses WHERE path_id = $1";
}

/// Makes a path.
pub async fn insights_path_insert(tx: &mut Tx, row: &InsightsPathRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(PATH_INSERT, row.args()).await.map(drop)
}

/// Which paths.
#[derive(Debug, Default, Clone, Copy)]
pub struct InsightsPathFilter<'a> {
    /// Only this account's.
    pub account: Option<&'a AccountId>,
    /// Only these.
    pub ids: Option<&'a [InsightsPathId]>,
    /// Only those after this id.
    pub after: Option<&'a InsightsPathId>,
}

/// Paths, by id.
pub async fn insights_path_list<'a>(
    exec: impl Into<Exec<'a>>,
    filter: InsightsPathFilter<'_>,
    limit: u32,
) -> Result<Vec<InsightsPathRow>, StoreError> {
    let select = Select::new(PATH_LIST, vec![])
        .and("account_id =", filter.account)
        .and("id >", filter.after)
        .and_in("id", filter.ids)?;
    select.page(exec.into(), "id", limit).await
}

/// An account's path of this id, if it is there.
pub async fn insights_path_fetch<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    id: &InsightsPathId,
) -> Result<Option<InsightsPathRow>, StoreError> {
    let ids = Some(std::slice::from_ref(id));
    let filter = InsightsPathFilter { account: Some(account), ids, ..Default::default() };
    Ok(insights_path_list(exec, filter, 1).await?.pop())
}

/// Removes a path with its tags; [`StoreError::InUse`] while it has analyses. False when it was not there.
pub async fn insights_path_delete(tx: &mut Tx, id: &InsightsPathId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(PATH_DELETE, args![id]).await? > 0)
}

/// Keeps what was found. [`StoreError::InUse`]: the path is gone.
pub async fn insights_analysis_insert(tx: &mut Tx, row: &InsightsAnalysisRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(ANALYSIS_INSERT, row.args()).await.map(drop)
}

/// Which analyses.
#[derive(Debug, Default, Clone, Copy)]
pub struct InsightsAnalysisFilter<'a> {
    /// Only this account's.
    pub account: Option<&'a AccountId>,
    /// Only these.
    pub ids: Option<&'a [InsightsAnalysisId]>,
    /// Only of this path.
    pub path: Option<&'a InsightsPathId>,
    /// Only those begun at this time (in ms) or later.
    pub from_ms: Option<i64>,
    /// Only those begun at this time (in ms) or earlier.
    pub to_ms: Option<i64>,
    /// Only those after this id.
    pub after: Option<&'a InsightsAnalysisId>,
}

/// Analyses, by id.
pub async fn insights_analysis_list<'a>(
    exec: impl Into<Exec<'a>>,
    filter: InsightsAnalysisFilter<'_>,
    limit: u32,
) -> Result<Vec<InsightsAnalysisRow>, StoreError> {
    let select = Select::new(ANALYSIS_LIST, vec![])
        .and("account_id =", filter.account)
        .and("id >", filter.after)
        .and("path_id =", filter.path)
        .and("started_ms >=", filter.from_ms)
        .and("started_ms <=", filter.to_ms)
        .and_in("id", filter.ids)?;
    select.page(exec.into(), "id", limit).await
}

/// How many analyses a path has.
pub async fn insights_analysis_count<'a>(exec: impl Into<Exec<'a>>, path: &InsightsPathId) -> Result<u64, StoreError> {
    Ok(exec.into().one::<(u64,)>(ANALYSIS_COUNT, args![path], path).await?.0)
}

/// Removes an analysis with its tags; false when it was not there.
pub async fn insights_analysis_delete(tx: &mut Tx, id: &InsightsAnalysisId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(ANALYSIS_DELETE, args![id]).await? > 0)
}

//! Prefix lists: address blocks under one name, which rules and routes refer to, and their earlier versions.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::{Select, insert_rows};
use crate::tx::Tx;
use crate::value::words;
use ipnet::IpNet;
use mallee_types::{AccountId, GroupId, PrefixListId, RouteTableId};

/// What was done to a list last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrefixListState {
    /// It was made.
    Created,
    /// It was changed.
    Modified,
    /// The entries of an earlier version were restored.
    Restored,
}
words! {
    PrefixListState { Created = "create-complete", Modified = "modify-complete", Restored = "restore-complete" }
}

impl PrefixListState {
    /// AWS's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Created => "create-complete",
            Self::Modified => "modify-complete",
            Self::Restored => "restore-complete",
        }
    }
}

/// Of which addresses a list is, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrefixListFamily {
    /// Of IPv4.
    Ipv4,
    /// Of IPv6.
    Ipv6,
}
words! {
    PrefixListFamily { Ipv4 = "IPv4", Ipv6 = "IPv6" }
}

impl PrefixListFamily {
    /// AWS's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }

    /// Whether it is IPv6.
    #[must_use]
    pub const fn is_six(self) -> bool {
        matches!(self, Self::Ipv6)
    }

    /// Of which a block is.
    #[must_use]
    pub const fn of(block: &IpNet) -> Self {
        match block {
            IpNet::V4(_) => Self::Ipv4,
            IpNet::V6(_) => Self::Ipv6,
        }
    }
}

record! {
    /// A prefix list.
    pub struct PrefixListRow {
        /// `pl-…`.
        id: PrefixListId,
        /// Whose.
        account_id: AccountId,
        /// For people: several may have the same.
        name: String,
        /// It never has more entries. What refers to it counts so many against its own quota.
        max_entries: u32,
        /// From 1; grows with every change of the entries.
        version: i64,
        /// What was done to it last.
        state: PrefixListState,
        /// When it was made.
        created_ms: i64,
        /// Of which addresses.
        family: PrefixListFamily,
    }
    /// One entry, in some versions of its list.
    pub struct PrefixListEntryRow {
        /// In which list.
        list_id: PrefixListId,
        /// These addresses, of the list's family.
        cidr: IpNet,
        /// The first version it is in.
        since: i64,
        /// The first version it is not in any more; `None`: it is in the current one.
        until: Option<i64>,
        /// What the user says it is for.
        description: Option<String>,
    }
}

/// Versions of a list that are kept, the current one with them.
pub const PREFIX_LIST_VERSIONS_KEPT: i64 = 100;

sql! {
    INSERT = "INSERT INTO prefix_lists (id, account_id, name, max_entries, version, state, created_ms, family)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    LIST = "SELECT id, account_id, name, max_entries, version, state, created_ms, family FROM prefix_lists WHERE 1 = 1";
    UPDATE = "UPDATE prefix_lists SET name = $2, max_entries = $3, version = $4, state = $5 WHERE id = $1";
    DELETE = "DELETE FROM prefix_lists WHERE id = $1";
    ENTRIES = "SELECT list_id, cidr, since_version, until_version, description FROM prefix_list_entries
        WHERE list_id = $1 AND since_version <= $2 AND (until_version IS NULL OR until_version > $2)";
    NOW = "SELECT list_id, cidr, since_version, until_version, description FROM prefix_list_entries
        WHERE until_version IS NULL";
    END = "UPDATE prefix_list_entries SET until_version = $2 WHERE list_id = $1 AND until_version IS NULL";
    FORGET = "DELETE FROM prefix_list_entries WHERE list_id = $1 AND until_version <= $2";
    GROUPS = "SELECT DISTINCT group_id FROM security_group_rules WHERE prefix_list = $1 ORDER BY group_id";
    TABLES = "SELECT DISTINCT table_id FROM routes WHERE prefix_list = $1 ORDER BY table_id";
}

/// Makes a list without entries.
pub async fn prefix_list_insert(tx: &mut Tx, row: &PrefixListRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// Lets one transaction at a time change a list or add a reference to it. Before the groups and tables that are
/// changed with it; several lists in the order of their ids.
pub async fn prefix_list_hold(tx: &mut Tx, id: &PrefixListId) -> Result<(), StoreError> {
    tx.lock(&format!("prefix-list:{id}")).await
}

/// Which lists.
#[derive(Debug, Default, Clone, Copy)]
pub struct PrefixListFilter<'a> {
    /// Only this account's.
    pub account: Option<&'a AccountId>,
    /// Only these.
    pub ids: Option<&'a [PrefixListId]>,
    /// Only those after this id.
    pub after: Option<&'a PrefixListId>,
}

/// Lists, by id.
pub async fn prefix_list_list<'a>(
    exec: impl Into<Exec<'a>>,
    filter: PrefixListFilter<'_>,
    limit: u32,
) -> Result<Vec<PrefixListRow>, StoreError> {
    let select = Select::new(LIST, vec![])
        .and("account_id =", filter.account)
        .and("id >", filter.after)
        .and_in("id", filter.ids)?;
    select.page(exec.into(), "id", limit).await
}

/// Writes a list's name, size, version and state; false when it is gone.
pub async fn prefix_list_update(tx: &mut Tx, row: &PrefixListRow) -> Result<bool, StoreError> {
    let args = args![row.id, row.name, row.max_entries, row.version, row.state];
    Ok(Exec::Tx(tx).run(UPDATE, args).await? > 0)
}

/// Removes a list with its entries; [`StoreError::InUse`] while a rule or route names it. False when it was not there.
pub async fn prefix_list_delete(tx: &mut Tx, id: &PrefixListId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![id]).await? > 0)
}

/// Adds entries. Conflict: `prefix_list_entries_list_id_cidr` for a block that is in the current version.
pub async fn prefix_list_entries_insert(tx: &mut Tx, rows: &[PrefixListEntryRow]) -> Result<(), StoreError> {
    let head = "INSERT INTO prefix_list_entries (list_id, cidr, since_version, until_version, description) VALUES ";
    insert_rows(Exec::Tx(tx), head, "", rows.iter().map(PrefixListEntryRow::args).collect()).await.map(drop)
}

/// These blocks are not in this version any more, nor in later ones; how many were in the one before.
pub async fn prefix_list_entries_end(
    tx: &mut Tx,
    list: &PrefixListId,
    version: i64,
    cidrs: &[IpNet],
) -> Result<u64, StoreError> {
    Select::new(END, args![list, version]).and_in("cidr", Some(cidrs))?.run(Exec::Tx(tx)).await
}

/// Forgets what was only in versions before this one.
pub async fn prefix_list_entries_forget(tx: &mut Tx, list: &PrefixListId, version: i64) -> Result<(), StoreError> {
    Exec::Tx(tx).run(FORGET, args![list, version]).await.map(drop)
}

/// The entries of a version of a list, by the text of their blocks, after this one.
pub async fn prefix_list_entries<'a>(
    exec: impl Into<Exec<'a>>,
    list: &PrefixListId,
    version: i64,
    after: Option<&IpNet>,
    limit: u32,
) -> Result<Vec<PrefixListEntryRow>, StoreError> {
    Select::new(ENTRIES, args![list, version]).and("cidr >", after).page(exec.into(), "cidr", limit).await
}

/// Every current entry of these lists (none given: of all), by list and block.
pub async fn prefix_list_entries_now<'a>(
    exec: impl Into<Exec<'a>>,
    lists: Option<&[PrefixListId]>,
) -> Result<Vec<PrefixListEntryRow>, StoreError> {
    let select = Select::new(NOW, vec![]).and_in("list_id", lists)?;
    select.all(exec.into(), " ORDER BY list_id, cidr").await
}

/// What refers to a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrefixListUses {
    /// Security groups with a rule for it, by id.
    pub groups: Vec<GroupId>,
    /// Route tables with a route to it, by id.
    pub tables: Vec<RouteTableId>,
}

/// What refers to a list.
pub async fn prefix_list_uses<'a>(
    exec: impl Into<Exec<'a>>,
    list: &PrefixListId,
) -> Result<PrefixListUses, StoreError> {
    let mut exec = exec.into();
    let groups = exec.again().all::<(GroupId,)>(GROUPS, args![list]).await?;
    let tables = exec.all::<(RouteTableId,)>(TABLES, args![list]).await?;
    Ok(PrefixListUses {
        groups: groups.into_iter().map(|(id,)| id).collect(),
        tables: tables.into_iter().map(|(id,)| id).collect(),
    })
}

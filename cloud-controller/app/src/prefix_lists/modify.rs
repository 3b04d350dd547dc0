//! Changes of prefix lists, and their earlier versions.

use super::{NewEntry, check_entries, check_family, check_name, check_size, distinct, entry_rows, require_version};
use crate::fail::OrFail as _;
use crate::quotas::{table as quotas, within};
use crate::{Cloud, OpContext, groups, load, routes};
use ipnet::IpNet;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    PREFIX_LIST_VERSIONS_KEPT, PrefixListFilter, PrefixListRow, PrefixListState, StoreError, Tx, change_append,
    prefix_list_entries, prefix_list_entries_end, prefix_list_entries_forget, prefix_list_entries_insert,
    prefix_list_entries_now, prefix_list_hold, prefix_list_list, prefix_list_update, prefix_list_uses,
    route_table_touch, security_group_touch,
};
use mallee_types::PrefixListId;
use std::collections::{BTreeMap, BTreeSet};

/// How a list is to be changed.
#[derive(Debug, Clone, Default)]
pub struct ListChange {
    /// Another name.
    pub name: Option<String>,
    /// Another size.
    pub max_entries: Option<i32>,
    /// Entries to add.
    pub add: Vec<NewEntry>,
    /// Entries to remove.
    pub remove: Vec<IpNet>,
    /// Only if this is the current version.
    pub current_version: Option<i64>,
}

/// Entries of a version, with their descriptions.
type Entries = BTreeMap<IpNet, Option<String>>;

/// A list that this transaction holds, with its entries.
struct Held {
    row: PrefixListRow,
    entries: Entries,
}

fn mismatch(row: &PrefixListRow, expected: Option<i64>) -> Result<(), ApiError> {
    match expected {
        Some(version) if version != row.version => Err(Code::PrefixListVersionMismatch.error()),
        _ => Ok(()),
    }
}

/// Whether what was touched was there: it may just have been deleted.
fn there<T>(touched: Result<T, StoreError>) -> Result<bool, ApiError> {
    match touched {
        Err(StoreError::NotFound { .. }) => Ok(false),
        other => other.or_fail().map(|_| true),
    }
}

async fn held(tx: &mut Tx, id: &PrefixListId) -> Result<Held, ApiError> {
    prefix_list_hold(tx, id).await.or_fail()?;
    let ids = std::slice::from_ref(id);
    let filter = PrefixListFilter { ids: Some(ids), ..Default::default() };
    let row = prefix_list_list(&mut *tx, filter, 1).await.or_fail()?.pop();
    let row = row.ok_or_else(|| Code::InvalidPrefixListIdNotFound.with(&[id.as_str()]))?;
    let entries = prefix_list_entries_now(tx, Some(ids)).await.or_fail()?;
    Ok(Held { row, entries: entries.into_iter().map(|entry| (entry.cidr, entry.description)).collect() })
}

impl Held {
    /// The list gets these entries, as its next version; those that it loses are forgotten with the oldest version.
    async fn put(&mut self, tx: &mut Tx, wanted: Entries) -> Result<(), ApiError> {
        if wanted.len() > self.row.max_entries as usize {
            return Err(Code::PrefixListMaxEntriesExceeded.error());
        }
        self.row.version += 1;
        let (id, version) = (&self.row.id, self.row.version);
        let gone = self.entries.iter().filter(|(cidr, text)| wanted.get(*cidr) != Some(*text));
        let gone: Vec<IpNet> = gone.map(|(cidr, _)| *cidr).collect();
        let new = wanted.iter().filter(|(cidr, text)| self.entries.get(*cidr) != Some(*text));
        let new: Vec<NewEntry> = new.map(|(cidr, text)| NewEntry { cidr: *cidr, description: text.clone() }).collect();
        if !gone.is_empty() {
            prefix_list_entries_end(tx, id, version, &gone).await.or_fail()?;
        }
        prefix_list_entries_insert(tx, &entry_rows(id, version, &new)).await.or_fail()?;
        prefix_list_entries_forget(tx, id, version - PREFIX_LIST_VERSIONS_KEPT + 1).await.or_fail()?;
        self.entries = wanted;
        Ok(())
    }

    /// Every group and table that refers to the list is told anew, the entries with it.
    async fn tell(&self, tx: &mut Tx) -> Result<(), ApiError> {
        let uses = prefix_list_uses(&mut *tx, &self.row.id).await.or_fail()?;
        // Tables before groups, as whoever deletes a VPC, or an account's: else each could wait for the other.
        for table in &uses.tables {
            if there(route_table_touch(tx, table).await)? {
                change_append(tx, load::ROUTE_TABLE, table, None);
            }
        }
        for group in &uses.groups {
            if there(security_group_touch(tx, group).await)? {
                change_append(tx, load::GROUP, group, None);
            }
        }
        Ok(())
    }

    /// Whether what refers to the list may have so many rules and routes: its new size is written already. Groups and
    /// tables are touched first, so that two lists that one of them refers to do not grow at once.
    async fn fits(&self, tx: &mut Tx) -> Result<(), ApiError> {
        self.tell(tx).await?;
        let uses = prefix_list_uses(&mut *tx, &self.row.id).await.or_fail()?;
        for group in &uses.groups {
            groups::rules_within(tx, &self.row.account_id, group).await?;
        }
        for table in &uses.tables {
            routes::routes_within(tx, &self.row.account_id, table).await?;
        }
        Ok(())
    }
}

impl Cloud {
    /// `ModifyManagedPrefixList`. A new name or size makes no new version, as on EC2; what refers to the list has its new
    /// entries with the same commit.
    ///
    /// # Errors
    /// `PrefixListVersionMismatch`, `PrefixListMaxEntriesExceeded`, `InvalidRequest` for an entry that is there already
    /// or is not there, and the errors of the quotas of groups and tables for a size that these do not bear.
    pub async fn modify_prefix_list(
        &self,
        cx: &OpContext,
        id: &str,
        change: &ListChange,
        dry_run: bool,
    ) -> Result<PrefixListRow, ApiError> {
        let ListChange { name, max_entries, add, remove, current_version } = change;
        let found = self.find_prefix_list(cx, id).await?;
        name.as_deref().map(check_name).transpose()?;
        let size = max_entries.map(check_size).transpose()?;
        let (added, removed) = (check_entries(add)?, distinct(remove.iter())?);
        check_family(found.family, added.iter().chain(&removed))?;
        let entries_change = !added.is_empty() || !removed.is_empty();
        if size.is_some() && entries_change {
            return Err(ApiError::invalid_combination(
                "You cannot modify the entries and the maximum entries for the prefix list in the same request.",
            ));
        }
        if name.is_none() && size.is_none() && !entries_change {
            return Err(Code::MissingParameter.message(
                "The request must contain at least one of: addEntries, removeEntries, maxEntries, prefixListName",
            ));
        }
        if let Some(both) = added.intersection(&removed).next() {
            return Err(Code::InvalidParameterValue.message(format!(
                "Request cannot contain Cidr {both} in both AddPrefixListEntries and RemovePrefixListEntries"
            )));
        }
        mismatch(&found, *current_version)?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        let mut list = held(&mut tx, &found.id).await?;
        mismatch(&list.row, *current_version)?;
        list.row.state = PrefixListState::Modified;
        if let Some(name) = name {
            list.row.name.clone_from(name);
        }
        if let Some(size) = size {
            if list.entries.len() > size as usize {
                return Err(Code::PrefixListMaxEntriesExceeded.error());
            }
            within(&mut tx, cx.account(), &quotas::PREFIX_LIST_ENTRIES, size as usize).await?;
        }
        let grows = size.is_some_and(|size| size > list.row.max_entries);
        list.row.max_entries = size.unwrap_or(list.row.max_entries);
        if entries_change {
            let wanted = changed(&list.entries, add, &removed)?;
            list.put(&mut tx, wanted).await?;
        }
        prefix_list_update(&mut tx, &list.row).await.or_fail()?;
        if entries_change {
            list.tell(&mut tx).await?;
        }
        if grows {
            list.fits(&mut tx).await?;
        }
        tx.commit().await.or_fail()?;
        Ok(list.row)
    }

    /// `RestoreManagedPrefixListVersion`: the next version has the entries of an earlier one.
    ///
    /// # Errors
    /// `PrefixListVersionMismatch`; `InvalidParameterValue` for a version that is not kept, or is the current one.
    pub async fn restore_prefix_list(
        &self,
        cx: &OpContext,
        id: &str,
        previous: i64,
        current: i64,
        dry_run: bool,
    ) -> Result<PrefixListRow, ApiError> {
        let found = self.find_prefix_list(cx, id).await?;
        mismatch(&found, Some(current))?;
        require_version(&found, previous)?;
        if previous == found.version {
            return Err(Code::InvalidParameterValue.message(format!(
                "The specified value for version is not valid. The value must be less than ({}).",
                found.version
            )));
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        let mut list = held(&mut tx, &found.id).await?;
        mismatch(&list.row, Some(current))?;
        let limit = u32::try_from(super::PREFIX_LIST_ENTRIES_MAX).unwrap_or(u32::MAX);
        let rows = prefix_list_entries(&mut tx, &list.row.id, previous, None, limit).await.or_fail()?;
        list.row.state = PrefixListState::Restored;
        list.put(&mut tx, rows.into_iter().map(|entry| (entry.cidr, entry.description)).collect()).await?;
        prefix_list_update(&mut tx, &list.row).await.or_fail()?;
        list.tell(&mut tx).await?;
        tx.commit().await.or_fail()?;
        Ok(list.row)
    }
}

/// The entries with these added and those removed. A description is changed by a removal and an addition, in two calls.
fn changed(entries: &Entries, add: &[NewEntry], remove: &BTreeSet<IpNet>) -> Result<Entries, ApiError> {
    let mut wanted = entries.clone();
    let invalid = |why: String| Code::InvalidRequest.message(format!("The request received was invalid: {why}"));
    for cidr in remove {
        if wanted.remove(cidr).is_none() {
            return Err(invalid(format!("the prefix list has no entry {cidr}.")));
        }
    }
    for NewEntry { cidr, description } in add {
        if wanted.insert(*cidr, description.clone().filter(|text| !text.is_empty())).is_some() {
            return Err(invalid(format!("the prefix list has an entry {cidr} already.")));
        }
    }
    Ok(wanted)
}

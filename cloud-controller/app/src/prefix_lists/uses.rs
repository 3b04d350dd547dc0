//! References to prefix lists, and what they count.

use crate::fail::OrFail as _;
use crate::quotas::{table as quotas, within};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    FILTER_VALUES_MAX, PrefixListFamily, PrefixListFilter, PrefixListRow, Tx, prefix_list_hold, prefix_list_list,
    prefix_list_uses,
};
use mallee_types::{AccountId, PrefixListId};
use std::collections::{BTreeMap, BTreeSet};

/// How many entries each of some lists may have, and of which addresses.
#[derive(Debug, Default)]
pub(crate) struct Sizes(BTreeMap<PrefixListId, (u32, PrefixListFamily)>);

impl Sizes {
    /// Those of these lists too.
    pub(crate) fn add(&mut self, rows: impl IntoIterator<Item = PrefixListRow>) {
        self.0.extend(rows.into_iter().map(|row| (row.id, (row.max_entries, row.family))));
    }

    /// What a rule or a route counts against the quota of its group or table: one of a list, as many as that may have
    /// entries.
    pub(crate) fn weight(&self, list: Option<&PrefixListId>) -> usize {
        list.map_or(1, |list| self.0.get(list).map_or(1, |(size, _)| *size as usize))
    }

    /// Whether the list is one of IPv6.
    pub(crate) fn is_six(&self, list: &PrefixListId) -> bool {
        self.0.get(list).is_some_and(|(_, family)| family.is_six())
    }
}

/// Holds these lists until the transaction ends: before any group or table that it changes.
pub(crate) async fn hold(tx: &mut Tx, lists: &BTreeSet<PrefixListId>) -> Result<(), ApiError> {
    for list in lists {
        prefix_list_hold(tx, list).await.or_fail()?;
    }
    let there = sizes(tx, lists).await?;
    match lists.iter().find(|list| !there.0.contains_key(*list)) {
        // It has just been deleted.
        Some(gone) => Err(Code::InvalidPrefixListIdNotFound.with(&[gone.as_str()])),
        None => Ok(()),
    }
}

/// The sizes of these lists.
pub(crate) async fn sizes<'a>(
    tx: &mut Tx,
    lists: impl IntoIterator<Item = &'a PrefixListId>,
) -> Result<Sizes, ApiError> {
    let lists: BTreeSet<&PrefixListId> = lists.into_iter().collect();
    let lists: Vec<PrefixListId> = lists.into_iter().cloned().collect();
    let mut out = Sizes::default();
    for some in lists.chunks(FILTER_VALUES_MAX) {
        let filter = PrefixListFilter { ids: Some(some), ..Default::default() };
        let limit = u32::try_from(some.len()).unwrap_or(u32::MAX);
        let rows = prefix_list_list(&mut *tx, filter, limit).await.or_fail()?;
        out.add(rows);
    }
    Ok(out)
}

/// Whether there may be as many references to each of these lists as there are.
pub(crate) async fn referred(tx: &mut Tx, account: &AccountId, lists: &BTreeSet<PrefixListId>) -> Result<(), ApiError> {
    for list in lists {
        let uses = prefix_list_uses(&mut *tx, list).await.or_fail()?;
        let most = uses.groups.len().max(uses.tables.len());
        within(tx, account, &quotas::PREFIX_LIST_REFERENCES, most).await?;
    }
    Ok(())
}

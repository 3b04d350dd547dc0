//! Prefix lists: address blocks under one name. What refers to a list (rules of security groups, routes) has its entries
//! as they are now; nodes know nothing of lists (`load/prefix_lists.rs`).
//!
//! Whoever changes a list, or adds a reference to one, holds it until the commit ([`hold`]), before the groups and tables
//! that are changed with it: so a change reaches every reference, and no quota is passed by two calls at once.

pub(crate) mod check;
mod modify;
mod uses;

pub use modify::ListChange;
pub(crate) use uses::{Sizes, hold, referred, sizes};

use crate::fail::{OrFail as _, store_failure};
use crate::once::{Once, record};
use crate::quotas::{table as quotas, within};
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext};
use ipnet::IpNet;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    PREFIX_LIST_VERSIONS_KEPT, PrefixListEntryRow, PrefixListFamily, PrefixListFilter, PrefixListRow, PrefixListState,
    StoreError, prefix_list_delete, prefix_list_entries_insert, prefix_list_hold, prefix_list_insert, prefix_list_list,
    tag_delete_of, tag_put,
};
use mallee_types::PrefixListId;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// EC2's resource type for tags of a prefix list.
pub const TAG_KIND: &str = "prefix-list";
/// Entries of a list at most (EC2: 1,000).
pub const PREFIX_LIST_ENTRIES_MAX: usize = 1_000;
/// Entries that one call adds or removes at most (EC2: 100).
const ENTRIES_PER_CALL_MAX: usize = 100;
/// Longest name of a list and description of an entry, in characters (EC2: 255).
const TEXT_CHARS_MAX: usize = 255;
/// What names of AWS's own lists begin with.
const RESERVED_NAMES: &str = "com.amazonaws";
/// The operation's name in the log of client tokens.
const CREATE: &str = "CreateManagedPrefixList";

/// An entry as a request gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// These addresses.
    pub cidr: IpNet,
    /// For people.
    pub description: Option<String>,
}

/// A list as a request gives it.
#[derive(Debug, Clone)]
pub struct NewList {
    /// Of which addresses its entries are.
    pub family: PrefixListFamily,
    /// For people.
    pub name: String,
    /// It never has more entries.
    pub max_entries: i32,
    /// What is in it.
    pub entries: Vec<NewEntry>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// The versions of a list that are kept.
#[must_use]
pub fn versions(row: &PrefixListRow) -> RangeInclusive<i64> {
    1.max(row.version - PREFIX_LIST_VERSIONS_KEPT + 1)..=row.version
}

/// Fails unless this version of the list is kept.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn require_version(row: &PrefixListRow, version: i64) -> Result<(), ApiError> {
    let kept = versions(row);
    if kept.contains(&version) {
        return Ok(());
    }
    Err(Code::InvalidParameterValue.message(format!(
        "The specified value for version is not valid. The value must be between ({}) and ({}).",
        kept.start(),
        kept.end()
    )))
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let chars = name.chars().count();
    if chars == 0 || chars > TEXT_CHARS_MAX || name.contains('\0') || name.starts_with(RESERVED_NAMES) {
        let why = "It must have 1 to 255 characters, and cannot start with com.amazonaws.";
        return Err(ApiError::invalid_value("prefixListName", name, why));
    }
    Ok(())
}

fn check_size(max_entries: i32) -> Result<u32, ApiError> {
    let wanted = usize::try_from(max_entries).ok().filter(|size| (1..=PREFIX_LIST_ENTRIES_MAX).contains(size));
    wanted.and_then(|size| u32::try_from(size).ok()).ok_or_else(|| {
        Code::InvalidParameterValue.message(format!("Must specify a max size between 1 and {PREFIX_LIST_ENTRIES_MAX}"))
    })
}

/// The blocks of a call, none of them twice.
fn distinct<'a>(blocks: impl ExactSizeIterator<Item = &'a IpNet>) -> Result<BTreeSet<IpNet>, ApiError> {
    if blocks.len() > ENTRIES_PER_CALL_MAX {
        return Err(Code::InvalidParameterValue
            .message(format!("The number of entries per request cannot exceeds limit ({ENTRIES_PER_CALL_MAX}).")));
    }
    let mut seen = BTreeSet::new();
    for block in blocks {
        if !seen.insert(*block) {
            return Err(Code::InvalidParameterValue
                .message(format!("The CIDR {block} is specified more than once in the request.")));
        }
    }
    Ok(seen)
}

/// Whether these blocks are all of the family of their list.
fn check_family<'a>(family: PrefixListFamily, blocks: impl IntoIterator<Item = &'a IpNet>) -> Result<(), ApiError> {
    match blocks.into_iter().find(|block| PrefixListFamily::of(block) != family) {
        None => Ok(()),
        Some(block) => {
            let why = format!("This is not a valid {} CIDR block, of the prefix list's address family.", family.word());
            Err(ApiError::invalid_value("cidr", &block.to_string(), &why))
        }
    }
}

fn check_entries(entries: &[NewEntry]) -> Result<BTreeSet<IpNet>, ApiError> {
    for description in entries.iter().filter_map(|entry| entry.description.as_deref()) {
        if description.chars().count() > TEXT_CHARS_MAX || description.contains('\0') {
            let why = "A description has up to 255 characters.";
            return Err(ApiError::invalid_value("description", description, why));
        }
    }
    distinct(entries.iter().map(|entry| &entry.cidr))
}

fn entry_rows(list: &PrefixListId, since: i64, entries: &[NewEntry]) -> Vec<PrefixListEntryRow> {
    let row = |entry: &NewEntry| PrefixListEntryRow {
        list_id: list.clone(),
        cidr: entry.cidr,
        since,
        until: None,
        description: entry.description.clone().filter(|text| !text.is_empty()),
    };
    entries.iter().map(row).collect()
}

impl Cloud {
    /// The list of this id.
    ///
    /// # Errors
    /// EC2's for an id that is none, and for a list that is not there.
    pub async fn find_prefix_list(&self, cx: &OpContext, id: &str) -> Result<PrefixListRow, ApiError> {
        let id: PrefixListId = crate::ids::parse_id(id, Code::InvalidPrefixListIdMalformed)?;
        let ids = Some(std::slice::from_ref(&id));
        let filter = PrefixListFilter { account: Some(cx.account()), ids, ..Default::default() };
        let found = prefix_list_list(self.store(), filter, 1).await.or_fail()?.pop();
        found.ok_or_else(|| Code::InvalidPrefixListIdNotFound.with(&[id.as_str()]))
    }

    /// `CreateManagedPrefixList`.
    ///
    /// # Errors
    /// `PrefixListLimitExceeded`, `PrefixListMaxEntriesExceeded`, names, sizes, entries and tags that are none.
    pub async fn create_prefix_list(
        &self,
        cx: &OpContext,
        list: &NewList,
        once: &Once,
        dry_run: bool,
    ) -> Result<PrefixListRow, ApiError> {
        check_name(&list.name)?;
        let max_entries = check_size(list.max_entries)?;
        let entries = check_entries(&list.entries)?;
        check_family(list.family, &entries)?;
        if entries.len() > max_entries as usize {
            return Err(Code::PrefixListMaxEntriesExceeded.error());
        }
        tags::validate(&list.tags)?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let allowance = self.ec2_allowance(cx, "ec2:CreateManagedPrefixList", TAG_KIND, &[]).await?;
        let mut tx = self.store().write().await.or_fail()?;
        if let Some(made) = self.claim(&mut tx, cx, CREATE, once).await? {
            drop(tx);
            return self.find_prefix_list(cx, &made).await;
        }
        let row = PrefixListRow {
            id: PrefixListId::from_random(self.rng().u128()),
            account_id: cx.account().clone(),
            name: list.name.clone(),
            max_entries,
            version: 1,
            state: PrefixListState::Created,
            created_ms: self.clock().now_ms(),
            family: list.family,
        };
        allowance.take(&mut tx, &[(&quotas::PREFIX_LISTS, 1)], &[row.id.to_string()]).await?;
        within(&mut tx, cx.account(), &quotas::PREFIX_LIST_ENTRIES, max_entries as usize).await?;
        prefix_list_insert(&mut tx, &row).await.or_fail()?;
        prefix_list_entries_insert(&mut tx, &entry_rows(&row.id, 1, &list.entries)).await.or_fail()?;
        tag_put(&mut tx, &tags::rows(cx.account(), TAG_KIND, row.id.as_str(), &list.tags)).await.or_fail()?;
        record(&mut tx, cx, CREATE, once, row.id.as_str()).await?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// `DeleteManagedPrefixList`: the list as it was.
    ///
    /// # Errors
    /// `DependencyViolation` while a rule or a route names it.
    pub async fn delete_prefix_list(&self, cx: &OpContext, id: &str, dry_run: bool) -> Result<PrefixListRow, ApiError> {
        let row = self.find_prefix_list(cx, id).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let needed = || {
            let text = format!("The prefix list '{}' has dependencies and cannot be deleted.", row.id);
            Code::DependencyViolation.message(text)
        };
        let mut tx = self.store().write().await.or_fail()?;
        prefix_list_hold(&mut tx, &row.id).await.or_fail()?;
        match prefix_list_delete(&mut tx, &row.id).await {
            Ok(true) => {}
            Ok(false) => return Err(Code::InvalidPrefixListIdNotFound.with(&[row.id.as_str()])),
            Err(StoreError::InUse) => return Err(needed()),
            Err(error) => return Err(store_failure(error)),
        }
        tag_delete_of(&mut tx, row.id.as_str()).await.or_fail()?;
        match tx.commit().await {
            Err(StoreError::InUse) => Err(needed()),
            done => done.or_fail().map(|()| row),
        }
    }
}

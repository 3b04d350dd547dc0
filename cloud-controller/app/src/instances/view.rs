//! Instances with everything that describing them needs, read in as few queries as there are tables.

use crate::load::tags_by_resource;
use mallee_store::{
    InstanceRow, InterfaceFilter, InterfaceRow, SecurityGroupFilter, Store, StoreError, interface_group_list,
    interface_list, public_address_list, security_group_list,
};
use mallee_types::{AccountId, GroupId, InstanceId, InterfaceId};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Instances looked up at once (the store's bound on a list of values is 1024).
const CHUNK: usize = 500;
/// Rows one lookup may give; an instance has few interfaces and an interface few groups.
const ROWS_MAX: u32 = 10_000;

/// An interface of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceView {
    /// The interface.
    pub row: InterfaceRow,
    /// Its groups, id and name.
    pub groups: Vec<(GroupId, String)>,
    /// The address it is reached by from outside.
    pub public_ip: Option<Ipv4Addr>,
    /// Its tags, by key.
    pub tags: Vec<(String, String)>,
}

/// An instance with its interfaces (in order of device index) and tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceView {
    /// The instance.
    pub row: InstanceRow,
    /// Empty once the instance is terminated.
    pub interfaces: Vec<InterfaceView>,
    /// By key.
    pub tags: Vec<(String, String)>,
}

/// Completes rows, keeping their order.
///
/// # Errors
/// What the database says.
pub async fn views(store: &Store, rows: Vec<InstanceRow>) -> Result<Vec<InstanceView>, StoreError> {
    let mut out = Vec::with_capacity(rows.len());
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let chunk: Vec<InstanceRow> = rows.by_ref().take(CHUNK).collect();
        out.extend(complete(store, chunk).await?);
    }
    Ok(out)
}

async fn complete(store: &Store, rows: Vec<InstanceRow>) -> Result<Vec<InstanceView>, StoreError> {
    // A terminated instance has neither interface nor address left.
    let ids: Vec<_> = rows.iter().filter(|row| !row.released).map(|row| row.id.clone()).collect();
    let interfaces = if ids.is_empty() {
        Vec::new()
    } else {
        interface_list(store, InterfaceFilter { instances: Some(&ids), ..Default::default() }, ROWS_MAX).await?
    };
    let mut by_instance: BTreeMap<InstanceId, Vec<InterfaceView>> = BTreeMap::new();
    for interface in interface_views(store, interfaces).await? {
        if let Some(id) = &interface.row.instance_id {
            by_instance.entry(id.clone()).or_default().push(interface);
        }
    }
    let mut tags = BTreeMap::new();
    for (account, ids) in by_account(rows.iter().map(|row| (&row.account_id, row.id.to_string()))) {
        tags.extend(tags_by_resource(store, account, &ids).await?);
    }
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        let mut mine = by_instance.remove(&row.id).unwrap_or_default();
        mine.sort_by_key(|i| i.row.device_index);
        let tags = tags.remove(row.id.as_str()).unwrap_or_default();
        out.push(InstanceView { row, interfaces: mine, tags });
    }
    Ok(out)
}

fn by_account<'a>(items: impl Iterator<Item = (&'a AccountId, String)>) -> BTreeMap<&'a AccountId, Vec<String>> {
    let mut out: BTreeMap<&AccountId, Vec<String>> = BTreeMap::new();
    for (account, id) in items {
        out.entry(account).or_default().push(id);
    }
    out
}

/// Completes interfaces, keeping their order.
///
/// # Errors
/// What the database says.
pub async fn interface_views(store: &Store, rows: Vec<InterfaceRow>) -> Result<Vec<InterfaceView>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<InterfaceId> = rows.iter().map(|row| row.id.clone()).collect();
    let memberships = interface_group_list(store, Some(&ids), ROWS_MAX).await?;
    let addresses: BTreeMap<InterfaceId, Ipv4Addr> = public_address_list(store, Some(&ids), ROWS_MAX)
        .await?
        .into_iter()
        .map(|a| (a.interface_id, a.address))
        .collect();
    let group_ids: Vec<GroupId> =
        memberships.iter().map(|m| m.group_id.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    let mut names: BTreeMap<GroupId, String> = BTreeMap::new();
    let mut tags = BTreeMap::new();
    for (account, ids) in by_account(rows.iter().map(|row| (&row.account_id, row.id.to_string()))) {
        for some in group_ids.chunks(CHUNK) {
            let filter = SecurityGroupFilter { ids: Some(some), ..Default::default() };
            let groups = security_group_list(store, account, filter, ROWS_MAX).await?;
            names.extend(groups.into_iter().map(|group| (group.id, group.name)));
        }
        tags.extend(tags_by_resource(store, account, &ids).await?);
    }
    let mut groups: BTreeMap<InterfaceId, Vec<(GroupId, String)>> = BTreeMap::new();
    for membership in memberships {
        let name = names.get(&membership.group_id).cloned().unwrap_or_default();
        groups.entry(membership.interface_id).or_default().push((membership.group_id, name));
    }
    Ok(rows
        .into_iter()
        .map(|row| InterfaceView {
            groups: groups.remove(&row.id).unwrap_or_default(),
            public_ip: addresses.get(&row.id).copied(),
            tags: tags.remove(row.id.as_str()).unwrap_or_default(),
            row,
        })
        .collect())
}

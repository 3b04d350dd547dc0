//! Instances with everything that describing them needs, read in as few queries as there are tables.

use crate::load::tags_by_resource;
use crate::network::public_dns_name;
use futures::future::{try_join, try_join4};
use mallee_store::{
    InstanceRow, InterfaceAddressRow, InterfaceAttachedRow, InterfaceAttachmentRow, InterfaceFilter, InterfaceIpv6Row,
    InterfaceRow, ProfileAssociationRow, PublicAddressRow, Store, StoreError, interface_address_list,
    interface_attached_list, interface_group_list, interface_ipv6_list, interface_list, profile_association_list_of,
    public_addresses_of, vpc_list_nameless,
};
use mallee_types::{AccountId, AddressId, AllocationId, GroupId, InstanceId, InterfaceId, VpcId};
use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, Ipv6Addr};

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
    /// Public addresses have names in its VPC.
    pub names_public: bool,
    /// That address's allocation and association, if it is an elastic IP.
    pub elastic: Option<(AllocationId, AddressId)>,
    /// Its other private addresses, in the order in which they were assigned.
    pub secondary: Vec<SecondaryView>,
    /// Its IPv6 addresses, in the order in which they were assigned.
    pub ipv6: Vec<Ipv6Addr>,
    /// What is known of its attachment, if that is not simply as old as itself.
    pub attachment: Option<InterfaceAttachmentRow>,
    /// Its tags, by key.
    pub tags: Vec<(String, String)>,
}

/// A secondary private address of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecondaryView {
    /// The address.
    pub private_ip: Ipv4Addr,
    /// The address it is reached by from outside.
    pub public_ip: Option<Ipv4Addr>,
    /// That address's allocation and association.
    pub elastic: Option<(AllocationId, AddressId)>,
}

impl InterfaceView {
    /// It leaves its instance: nodes are told of it no more.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.attachment.as_ref().is_some_and(|attachment| attachment.detaching)
    }

    /// The state of its attachment, as EC2 calls it; `None` while it has none.
    #[must_use]
    pub fn attachment_state(&self) -> Option<&'static str> {
        self.row.instance_id.as_ref()?;
        Some(match &self.attachment {
            Some(attachment) if attachment.detaching => "detaching",
            // Its node has not said yet that it is plugged in.
            Some(attachment) if attachment.generation.0 > 0 => "attaching",
            Some(_) | None => "attached",
        })
    }

    /// Its own state, as EC2 calls it.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match self.attachment_state() {
            Some("attaching") => "attaching",
            Some("detaching") => "detaching",
            Some(_) => "in-use",
            None if self.row.is_taken() => "in-use",
            None => "available",
        }
    }

    /// Since when it is attached.
    #[must_use]
    pub fn attached_ms(&self) -> i64 {
        self.attachment.as_ref().map_or(self.row.created_ms, |attachment| attachment.attached_ms)
    }

    /// The name of one of its public addresses, in a VPC that names them.
    #[must_use]
    pub fn name_of(&self, public_ip: Option<Ipv4Addr>, region: &str) -> Option<String> {
        public_ip.filter(|_| self.names_public).map(|ip| public_dns_name(ip, region))
    }

    /// The name of its public address, in a VPC that names them.
    #[must_use]
    pub fn public_name(&self, region: &str) -> Option<String> {
        self.name_of(self.public_ip, region)
    }
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
    /// The instance profile it has.
    pub profile: Option<ProfileAssociationRow>,
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
    let profiles = if ids.is_empty() { Vec::new() } else { profile_association_list_of(store, &ids).await? };
    let mut profiles: HashMap<InstanceId, _> = profiles.into_iter().map(|p| (p.instance_id.clone(), p)).collect();
    let (interfaces, mut tags) = complete_interfaces(store, interfaces, &rows).await?;
    let mut by_instance: HashMap<InstanceId, Vec<InterfaceView>> = HashMap::with_capacity(rows.len());
    for interface in interfaces {
        if let Some(id) = &interface.row.instance_id {
            by_instance.entry(id.clone()).or_default().push(interface);
        }
    }
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        let mut mine = by_instance.remove(&row.id).unwrap_or_default();
        mine.sort_by_key(|i| i.row.device_index);
        let tags = tags.remove(row.id.as_str()).unwrap_or_default();
        let profile = profiles.remove(&row.id);
        out.push(InstanceView { row, interfaces: mine, tags, profile });
    }
    Ok(out)
}

/// Tags by resource.
type TagsOf = HashMap<String, Vec<(String, String)>>;

/// The tags of resources of any accounts.
async fn tags_of<'a>(
    store: &Store,
    resources: impl Iterator<Item = (&'a AccountId, &'a str)>,
) -> Result<TagsOf, StoreError> {
    let mut by_account: BTreeMap<&AccountId, Vec<String>> = BTreeMap::new();
    for (account, id) in resources {
        by_account.entry(account).or_default().push(id.to_owned());
    }
    let mut tags = TagsOf::new();
    for (account, ids) in by_account {
        tags.extend(tags_by_resource(store, account, &ids).await?);
    }
    Ok(tags)
}

/// Completes interfaces, keeping their order; one that has gone meanwhile is left out.
///
/// # Errors
/// What the database says.
pub async fn interface_views(store: &Store, rows: Vec<InterfaceRow>) -> Result<Vec<InterfaceView>, StoreError> {
    Ok(complete_interfaces(store, rows, &[]).await?.0)
}

/// The secondary addresses of these interfaces: those of so many as are completed at once may be more than one read.
async fn secondary_of(store: &Store, ids: &[InterfaceId]) -> Result<Vec<InterfaceAddressRow>, StoreError> {
    let mut found: Vec<InterfaceAddressRow> = Vec::new();
    while !ids.is_empty() {
        let page = interface_address_list(store, Some(ids), found.last(), ROWS_MAX).await?;
        let last = page.len() < ROWS_MAX as usize;
        found.extend(page);
        if last {
            break;
        }
    }
    Ok(found)
}

/// The IPv6 addresses of these interfaces, in their order: they too may be more than one read.
async fn ipv6_of(store: &Store, ids: &[InterfaceId]) -> Result<Vec<InterfaceIpv6Row>, StoreError> {
    let mut found: Vec<InterfaceIpv6Row> = Vec::new();
    while !ids.is_empty() {
        let page = interface_ipv6_list(store, Some(ids), found.last(), ROWS_MAX).await?;
        let last = page.len() < ROWS_MAX as usize;
        found.extend(page);
        if last {
            break;
        }
    }
    Ok(found)
}

/// Completes interfaces, keeping their order; also the tags of `instances`, which are asked for in the same query.
async fn complete_interfaces(
    store: &Store,
    rows: Vec<InterfaceRow>,
    instances: &[InstanceRow],
) -> Result<(Vec<InterfaceView>, TagsOf), StoreError> {
    let mut rows = rows.into_iter().peekable();
    let (mut views, tags) = complete_some(store, rows.by_ref().take(CHUNK).collect(), instances).await?;
    // Instances may have several.
    while rows.peek().is_some() {
        views.extend(complete_some(store, rows.by_ref().take(CHUNK).collect(), &[]).await?.0);
    }
    Ok((views, tags))
}

async fn complete_some(
    store: &Store,
    rows: Vec<InterfaceRow>,
    instances: &[InstanceRow],
) -> Result<(Vec<InterfaceView>, TagsOf), StoreError> {
    // Of no interfaces the two lists are empty, and the database is not asked.
    let ids: Vec<InterfaceId> = rows.iter().map(|row| row.id.clone()).collect();
    let tagged = instances.iter().map(|row| (&row.account_id, row.id.as_str()));
    let tagged = tagged.chain(rows.iter().map(|row| (&row.account_id, row.id.as_str())));
    let mut vpcs: Vec<VpcId> = rows.iter().map(|row| row.vpc_id.clone()).collect();
    vpcs.sort_unstable();
    vpcs.dedup();
    let ((memberships, addresses), (others, attached), (nameless, six), mut tags) = try_join4(
        try_join(interface_group_list(store, Some(&ids), ROWS_MAX), public_addresses_of(store, &ids, ROWS_MAX)),
        try_join(secondary_of(store, &ids), interface_attached_list(store, &ids, ROWS_MAX)),
        try_join(vpc_list_nameless(store, &vpcs), ipv6_of(store, &ids)),
        tags_of(store, tagged),
    )
    .await?;
    let mut addresses: HashMap<(InterfaceId, Option<Ipv4Addr>), PublicAddressRow> =
        addresses.into_iter().map(|row| ((row.interface_id.clone(), row.private_ip), row)).collect();
    let mut attached: HashMap<InterfaceId, InterfaceAttachedRow> =
        attached.into_iter().map(|attached| (attached.row.id.clone(), attached)).collect();
    let mut secondary: HashMap<InterfaceId, Vec<SecondaryView>> = HashMap::new();
    for InterfaceAddressRow { interface_id, address, .. } in others {
        let public = addresses.remove(&(interface_id.clone(), Some(address)));
        secondary.entry(interface_id).or_default().push(SecondaryView {
            private_ip: address,
            public_ip: public.as_ref().map(|public| public.address),
            elastic: public.and_then(|public| public.allocation_id.zip(public.association_id)),
        });
    }
    let mut ipv6: HashMap<InterfaceId, Vec<Ipv6Addr>> = HashMap::new();
    for row in six {
        ipv6.entry(row.interface_id).or_default().push(row.address);
    }
    let mut groups: HashMap<InterfaceId, Vec<(GroupId, String)>> = HashMap::with_capacity(rows.len());
    for membership in memberships {
        groups.entry(membership.interface_id).or_default().push((membership.group_id, membership.group_name));
    }
    // What they are attached to is as it was when their attachments were read.
    let there = ids.iter().filter_map(|id| attached.remove(id));
    let views = there.map(|InterfaceAttachedRow { row, attachment }| {
        let public = addresses.remove(&(row.id.clone(), None));
        InterfaceView {
            secondary: secondary.remove(&row.id).unwrap_or_default(),
            ipv6: ipv6.remove(&row.id).unwrap_or_default(),
            attachment,
            groups: groups.remove(&row.id).unwrap_or_default(),
            public_ip: public.as_ref().map(|public| public.address),
            names_public: !nameless.contains(&row.vpc_id),
            elastic: public.and_then(|public| public.allocation_id.zip(public.association_id)),
            tags: tags.remove(row.id.as_str()).unwrap_or_default(),
            row,
        }
    });
    let views = views.collect();
    Ok((views, tags))
}

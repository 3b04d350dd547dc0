//! Network interfaces as objects of their own: made, changed, deleted. What they are attached to: [`mod@attach`]; their
//! further addresses: [`mod@addresses`], and [`mod@ipv6`].
//!
//! The instances that an interface belongs to are locked first, in order of their ids, then the interface: whatever else
//! changes either holds the same locks.

pub mod addresses;
pub mod attach;
pub(crate) mod check;
pub mod ipv6;

use crate::addresses::associate::tell;
use crate::fail::{OrFail as _, store_failure};
use crate::groups::DEFAULT_GROUP;
use crate::ids::parse_id;
use crate::instances::run::group_gone;
use crate::once::{Once, record};
use crate::quotas::table as quotas;
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext};
use ipv6::WantedIpv6;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    AddressRange, InstanceRow, InterfaceAddressRow, InterfaceFilter, InterfaceKind, InterfaceRow, StoreError,
    SubnetRow, Tx, instances_fetch_locked, interface_addresses_insert, interface_delete,
    interface_delete_on_termination_set, interface_description_set, interface_fetch_locked, interface_groups_set,
    interface_insert, interface_list, interface_source_dest_check_set, private_address_take_exact,
    private_addresses_take, security_group_by_name, tag_delete_of, tag_put,
};
use mallee_types::limits::ADDRESSES_PER_INTERFACE_MAX;
use mallee_types::{GroupId, InstanceId, InterfaceId, MacAddress, VpcId};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// EC2's resource type for tags.
pub const TAG_KIND: &str = "network-interface";
const OPERATION: &str = "CreateNetworkInterface";
/// How often a step is done anew when the interface got or lost its instance meanwhile.
const TRIES_MAX: u32 = 5;

/// The private addresses that an interface is to have.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct WantedAddresses {
    /// The primary one; none: any.
    pub primary: Option<Ipv4Addr>,
    /// These besides.
    pub secondary: Vec<Ipv4Addr>,
    /// So many more, any.
    pub more: u32,
    /// The IPv6 ones, which are counted by themselves.
    #[serde(default)]
    pub ipv6: WantedIpv6,
}

impl WantedAddresses {
    /// How many IPv4 ones there are in all.
    #[must_use]
    pub fn count(&self) -> usize {
        1 + self.secondary.len() + self.more as usize
    }

    /// Fails unless all are of the subnet and not more than an interface may have.
    ///
    /// # Errors
    /// `PrivateIpAddressLimitExceeded`, `InvalidParameterValue`.
    pub fn check(&self, subnet: &SubnetRow, most: usize) -> Result<(), ApiError> {
        if self.count() > most || self.ipv6.count() > most {
            return Err(too_many_addresses());
        }
        self.primary.iter().chain(&self.secondary).try_for_each(|ip| in_subnet(subnet, *ip))
    }
}

pub(crate) fn too_many_addresses() -> ApiError {
    Code::PrivateIpAddressLimitExceeded.message("Number of private addresses will exceed limit.")
}

/// Fails unless instances of the subnet may have this address.
pub(crate) fn in_subnet(subnet: &SubnetRow, address: Ipv4Addr) -> Result<(), ApiError> {
    if AddressRange::of_subnet(subnet.cidr).is_some_and(|range| range.contains(address)) {
        return Ok(());
    }
    Err(Code::InvalidParameterValue
        .message(format!("Address {address} does not fall within the subnet's address range")))
}

/// Takes the addresses of one interface: the primary one, and the others in their order.
///
/// # Errors
/// `InvalidIPAddress.InUse`, `InsufficientFreeAddressesInSubnet`.
pub(crate) async fn take_addresses(
    tx: &mut Tx,
    subnet: &SubnetRow,
    wanted: &WantedAddresses,
) -> Result<(Ipv4Addr, Vec<Ipv4Addr>), ApiError> {
    for address in wanted.primary.iter().chain(&wanted.secondary) {
        if !private_address_take_exact(tx, &subnet.id, *address).await.or_fail()? {
            return Err(Code::InvalidIpAddressInUse.with(&[&address.to_string()]));
        }
    }
    let count = usize::from(wanted.primary.is_none()) + wanted.more as usize;
    let mut any = take_any(tx, subnet, count).await?.into_iter();
    let primary = wanted.primary.or_else(|| any.next());
    let primary = primary.ok_or_else(|| ApiError::internal("an interface without an address"))?;
    Ok((primary, wanted.secondary.iter().copied().chain(any).collect()))
}

/// Takes so many addresses of the subnet.
pub(crate) async fn take_any(tx: &mut Tx, subnet: &SubnetRow, count: usize) -> Result<Vec<Ipv4Addr>, ApiError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    private_addresses_take(tx, &subnet.id, subnet.cidr, count).await.map_err(|error| match error {
        StoreError::Exhausted { .. } => Code::InsufficientFreeAddressesInSubnet.with(&[subnet.id.as_str()]),
        other => store_failure(other),
    })
}

/// The rows of secondary addresses that were taken, after those the interface has.
pub(crate) fn address_rows(interface: &InterfaceRow, after: u32, addresses: &[Ipv4Addr]) -> Vec<InterfaceAddressRow> {
    let row = |(position, address): (u32, &Ipv4Addr)| InterfaceAddressRow {
        interface_id: interface.id.clone(),
        subnet_id: interface.subnet_id.clone(),
        address: *address,
        position,
    };
    (after + 1..).zip(addresses).map(row).collect()
}

/// An interface to be made.
#[derive(Debug, Clone, Default)]
pub struct NewInterface {
    /// In which subnet.
    pub subnet: String,
    /// Its private addresses.
    pub addresses: WantedAddresses,
    /// Its groups; none: the VPC's default one.
    pub groups: Vec<String>,
    /// What its owner says of it.
    pub description: String,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// A change of one attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterfaceChange {
    /// What its owner says of it.
    Description(String),
    /// Whether packets that are not from or to it are dropped.
    SourceDestCheck(bool),
    /// Its security groups, by id.
    Groups(Vec<String>),
    /// Whether it goes with the instance of this attachment.
    DeleteOnTermination(String, bool),
}

/// An interface and the instances it concerns, locked.
#[derive(Debug)]
pub(crate) struct Held {
    pub tx: Tx,
    pub row: InterfaceRow,
    /// The one it is attached to, and those that were asked for, in order of ids.
    pub instances: Vec<InstanceRow>,
}

impl Held {
    /// The instance that it is attached to.
    pub fn instance(&self) -> Option<&InstanceRow> {
        let id = self.row.instance_id.as_ref()?;
        self.instances.iter().find(|row| row.id == *id)
    }

    /// Tells the nodes of all these instances, and commits.
    pub async fn tell_and_commit(mut self) -> Result<(), ApiError> {
        tell(&mut self.tx, &self.instances).await.or_fail()?;
        self.tx.commit().await.map_err(group_gone)
    }
}

impl Cloud {
    /// The account's interface of this id.
    ///
    /// # Errors
    /// EC2's for an id that is none, and for an interface that is not there.
    pub async fn find_interface(&self, cx: &OpContext, id: &str) -> Result<InterfaceRow, ApiError> {
        let id: InterfaceId = parse_id(id, Code::InvalidNetworkInterfaceIdMalformed)?;
        let ids = std::slice::from_ref(&id);
        let filter = InterfaceFilter { account: Some(cx.account()), ids: Some(ids), ..Default::default() };
        let found = interface_list(self.store(), filter, 1).await.or_fail()?.pop();
        found.ok_or_else(|| ApiError::not_found(Code::InvalidNetworkInterfaceIdNotFound, &[id.as_str()]))
    }

    /// Locks a user's interface with its instance and these.
    pub(crate) async fn hold_interface(&self, cx: &OpContext, id: &str, also: &[InstanceId]) -> Result<Held, ApiError> {
        self.hold_interfaces(cx, id, also, &[]).await
    }

    /// As [`Cloud::hold_interface`]; also locks those of `beside` that are there, in order of ids.
    pub(crate) async fn hold_interfaces(
        &self,
        cx: &OpContext,
        id: &str,
        also: &[InstanceId],
        beside: &[InterfaceId],
    ) -> Result<Held, ApiError> {
        for _ in 0..TRIES_MAX {
            let seen = self.find_interface(cx, id).await?;
            is_users(&seen)?;
            let ids: BTreeSet<InstanceId> = seen.instance_id.iter().chain(also).cloned().collect();
            let mut tx = self.store().write().await.or_fail()?;
            let instances = instances_fetch_locked(&mut tx, &ids).await.or_fail()?;
            let mut held = None;
            for id in beside.iter().chain([&seen.id]).collect::<BTreeSet<&InterfaceId>>() {
                match interface_fetch_locked(&mut tx, id).await {
                    Ok(row) if row.id == seen.id => held = Some(row),
                    Ok(_) | Err(StoreError::NotFound { .. }) => {}
                    Err(error) => return Err(store_failure(error)),
                }
            }
            let gone = || ApiError::not_found(Code::InvalidNetworkInterfaceIdNotFound, &[seen.id.as_str()]);
            let row = held.ok_or_else(gone)?;
            if row.instance_id == seen.instance_id {
                return Ok(Held { tx, row, instances });
            }
            tx.rollback().await.or_fail()?;
        }
        Err(Code::Unavailable.message("The network interface was changed by other requests. Please try again."))
    }

    /// The groups of an interface to be made in the VPC, by id; none named: its default one.
    pub(crate) async fn interface_groups(
        &self,
        cx: &OpContext,
        ids: &[String],
        vpc: &VpcId,
    ) -> Result<Vec<GroupId>, ApiError> {
        if !ids.is_empty() {
            return self.groups_of_vpc(cx, ids, vpc).await;
        }
        let default = security_group_by_name(self.store(), vpc, DEFAULT_GROUP).await.or_fail()?;
        Ok(vec![default.ok_or_else(|| Code::InvalidGroupNotFound.with(&[DEFAULT_GROUP]))?.id])
    }

    /// A row of a free interface.
    pub(crate) fn interface_row(&self, subnet: &SubnetRow, private_ip: Ipv4Addr, description: &str) -> InterfaceRow {
        InterfaceRow {
            id: InterfaceId::from_random(self.rng().u128()),
            account_id: subnet.account_id.clone(),
            vpc_id: subnet.vpc_id.clone(),
            subnet_id: subnet.id.clone(),
            zone: subnet.zone.clone(),
            mac: MacAddress::from_random(self.rng().u64()),
            private_ip,
            instance_id: None,
            attachment_id: None,
            device_index: None,
            source_dest_check: true,
            delete_on_termination: false,
            description: description.to_owned(),
            created_ms: self.clock().now_ms(),
            kind: InterfaceKind::Interface,
        }
    }

    /// `CreateNetworkInterface`. Repeating it with its token gives the same interface.
    ///
    /// # Errors
    /// `NetworkInterfaceLimitExceeded`, `PrivateIpAddressLimitExceeded`, `InvalidIPAddress.InUse`,
    /// `InsufficientFreeAddressesInSubnet`; a subnet, group or address that is none.
    pub async fn create_interface(
        &self,
        cx: &OpContext,
        new: &NewInterface,
        once: &Once,
        dry_run: bool,
    ) -> Result<InterfaceRow, ApiError> {
        tags::validate(&new.tags)?;
        let subnet = self.find_subnet(cx, &new.subnet).await?;
        new.addresses.check(&subnet, ADDRESSES_PER_INTERFACE_MAX)?;
        self.check_ipv6(&subnet.id, &new.addresses.ipv6).await?;
        let groups = self.interface_groups(cx, &new.groups, &subnet.vpc_id).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let region = &self.config().region;
        let keys = [
            ("ec2:Vpc", vec![format!("arn:aws:ec2:{region}:{}:vpc/{}", cx.account(), subnet.vpc_id)]),
            ("ec2:Subnet", vec![format!("arn:aws:ec2:{region}:{}:subnet/{}", cx.account(), subnet.id)]),
            ("ec2:AvailabilityZone", vec![subnet.zone.to_string()]),
        ];
        let allowance = self.ec2_allowance(cx, "ec2:CreateNetworkInterface", TAG_KIND, &keys).await?;
        self.faults().point("cloud.interface.create").await.or_fail()?;
        let mut tx = self.store().write().await.or_fail()?;
        if let Some(before) = self.claim(&mut tx, cx, OPERATION, once).await? {
            tx.rollback().await.or_fail()?;
            return self.find_interface(cx, &before).await;
        }
        let mut row = self.interface_row(&subnet, Ipv4Addr::UNSPECIFIED, &new.description);
        allowance.take(&mut tx, &[(&quotas::NETWORK_INTERFACES, 1)], &[row.id.to_string()]).await?;
        let (primary, secondary) = take_addresses(&mut tx, &subnet, &new.addresses).await?;
        row.private_ip = primary;
        interface_insert(&mut tx, &row, &groups).await.map_err(group_gone)?;
        interface_addresses_insert(&mut tx, &address_rows(&row, 0, &secondary)).await.or_fail()?;
        if let Some(taken) = self.take_ipv6(&mut tx, &subnet.id, &new.addresses.ipv6).await? {
            ipv6::give(&mut tx, &subnet.id, &taken.rows(&row.id, 0)).await?;
        }
        tag_put(&mut tx, &tags::rows(cx.account(), TAG_KIND, row.id.as_str(), &new.tags)).await.or_fail()?;
        record(&mut tx, cx, OPERATION, once, row.id.as_str()).await?;
        tx.commit().await.map_err(group_gone)?;
        self.faults().point("cloud.interface.create.committed").await.or_fail()?;
        Ok(row)
    }

    /// `DeleteNetworkInterface`. Elastic IPs that lead to it lead nowhere.
    ///
    /// # Errors
    /// `InvalidParameterValue`, in EC2's words, while it is attached.
    pub async fn delete_interface(&self, cx: &OpContext, id: &str, dry_run: bool) -> Result<(), ApiError> {
        let in_use = |row: &InterfaceRow| {
            Code::InvalidParameterValue.message(format!("Network interface '{}' is currently in use.", row.id))
        };
        let seen = self.find_interface(cx, id).await?;
        if seen.is_taken() {
            return Err(in_use(&seen));
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut held = self.hold_interface(cx, id, &[]).await?;
        if held.row.instance_id.is_some() {
            return Err(in_use(&held.row));
        }
        tag_delete_of(&mut held.tx, held.row.id.as_str()).await.or_fail()?;
        crate::flow_logs::end_of(&mut held.tx, held.row.id.as_str(), self.clock().now_ms()).await.or_fail()?;
        interface_delete(&mut held.tx, &held.row.id).await.map_err(|error| match error {
            StoreError::InUse => in_use(&held.row),
            other => store_failure(other),
        })?;
        held.tx.commit().await.or_fail()?;
        self.faults().point("cloud.interface.delete.committed").await.or_fail()
    }

    /// `ModifyNetworkInterfaceAttribute`: one attribute, attached or not.
    ///
    /// # Errors
    /// `InvalidAttachmentID.NotFound` for an attachment that is not its own; groups that are none.
    pub async fn modify_interface(
        &self,
        cx: &OpContext,
        id: &str,
        change: &InterfaceChange,
        dry_run: bool,
    ) -> Result<(), ApiError> {
        let seen = self.find_interface(cx, id).await?;
        is_users(&seen)?;
        let mut groups = Vec::new();
        match change {
            InterfaceChange::Groups(ids) => groups = self.groups_of_vpc(cx, ids, &seen.vpc_id).await?,
            InterfaceChange::DeleteOnTermination(attachment, _) => is_its_attachment(&seen, attachment)?,
            InterfaceChange::Description(_) | InterfaceChange::SourceDestCheck(_) => {}
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut held = self.hold_interface(cx, id, &[]).await?;
        let (tx, row) = (&mut held.tx, &held.row);
        match change {
            InterfaceChange::Description(text) => interface_description_set(tx, &row.id, text).await.or_fail()?,
            InterfaceChange::SourceDestCheck(on) => {
                interface_source_dest_check_set(tx, &row.id, *on).await.or_fail()?
            }
            InterfaceChange::Groups(_) => interface_groups_set(tx, &row.id, &groups).await.map_err(group_gone)?,
            InterfaceChange::DeleteOnTermination(attachment, on) => {
                is_its_attachment(row, attachment)?;
                interface_delete_on_termination_set(tx, &row.id, *on).await.or_fail()?;
            }
        }
        // Of the other changes nodes need not hear.
        if matches!(change, InterfaceChange::SourceDestCheck(_) | InterfaceChange::Groups(_)) {
            held.tell_and_commit().await
        } else {
            held.tx.commit().await.or_fail()
        }
    }
}

/// Fails for an interface that the cloud keeps for something else, as EC2 does: nothing is done with it by itself.
pub(crate) fn is_users(row: &InterfaceRow) -> Result<(), ApiError> {
    match row.kind {
        InterfaceKind::Interface => Ok(()),
        InterfaceKind::NatGateway => {
            Err(Code::AuthFailure.message("You do not have permission to access the specified resource."))
        }
    }
}

fn is_its_attachment(row: &InterfaceRow, attachment: &str) -> Result<(), ApiError> {
    if row.attachment_id.as_ref().is_some_and(|own| own.as_str() == attachment) {
        return Ok(());
    }
    Err(Code::InvalidAttachmentIdNotFound.with(&[&mallee_awswire::texts::clip(attachment)]))
}

//! The network interfaces of a launch that says more of them than of one plain new one.

use super::RunRequest;
use super::make::{Maker, group_gone};
use super::resolve::Resolved;
use crate::fail::{OrFail as _, store_failure};
use crate::groups::GroupRef;
use crate::interfaces::attach::{check_addresses, in_use, too_many};
use crate::interfaces::ipv6::{TakenIpv6, give};
use crate::interfaces::{TAG_KIND, WantedAddresses, address_rows, take_addresses, too_many_addresses};
use crate::{Cloud, OpContext, tags};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    InstanceRow, InterfaceAttachmentRow, InterfaceRow, StoreError, SubnetRow, Tx, interface_addresses_insert,
    interface_attach, interface_attachment_put, interface_delete_on_termination_set, interface_fetch_locked,
    interface_group_list, interface_insert, tag_put,
};
use mallee_types::instance_type::InstanceType;
use mallee_types::{AttachmentId, Generation, GroupId, InterfaceId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// One network interface of a launch, as the wire gave it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchInterface {
    /// Its place.
    pub device_index: u32,
    /// It exists already.
    pub existing: Option<String>,
    /// In which subnet it is made; none: in that of the first.
    pub subnet: Option<String>,
    /// Its groups, by id; none: the VPC's default one.
    pub group_ids: Vec<String>,
    /// Its addresses.
    pub addresses: WantedAddresses,
    /// What its owner says of it.
    pub description: String,
    /// Whether it goes with the instance; none: a new one does, one that exists does not.
    pub delete_on_termination: Option<bool>,
}

/// One with everything looked up.
#[derive(Debug, Clone)]
pub(super) struct ResolvedInterface {
    pub device_index: u32,
    /// The one that exists, as it was read.
    pub existing: Option<InterfaceRow>,
    /// Of a new one; none: that of the first.
    pub subnet: Option<SubnetRow>,
    /// Of one that exists, and of new ones besides the first.
    pub groups: Vec<(GroupId, String)>,
    pub addresses: WantedAddresses,
    pub description: String,
    pub delete_on_termination: bool,
}

/// One with its addresses taken, or the existing one locked.
pub(super) struct Taken {
    pub wanted: ResolvedInterface,
    subnet: SubnetRow,
    pub primary: Ipv4Addr,
    secondary: Vec<Ipv4Addr>,
    ipv6: Option<TakenIpv6>,
}

impl Resolved {
    /// How many interfaces one instance makes.
    pub(super) fn new_interfaces(&self) -> u64 {
        match self.interfaces.iter().filter(|interface| interface.existing.is_none()).count() {
            0 if self.interfaces.is_empty() => 1,
            count => count as u64,
        }
    }
}

fn elsewhere() -> ApiError {
    ApiError::invalid_combination(
        "You may not attach a network interface to an instance if they are not in the same availability zone and VPC",
    )
}

impl Cloud {
    /// Looks up what the request says of its interfaces.
    pub(super) async fn resolve_interfaces(
        &self,
        cx: &OpContext,
        request: &RunRequest,
        size: &InstanceType,
    ) -> Result<Vec<ResolvedInterface>, ApiError> {
        if request.interfaces.len() > size.interfaces as usize {
            return Err(too_many(request.interfaces.len(), size));
        }
        let mut found: Vec<ResolvedInterface> = Vec::with_capacity(request.interfaces.len());
        for wanted in &request.interfaces {
            let addresses = &wanted.addresses;
            if addresses.count().max(addresses.ipv6.count()) > size.addresses_per_interface as usize {
                return Err(too_many_addresses());
            }
            let named = wanted.existing.is_some()
                || addresses.primary.is_some()
                || !addresses.secondary.is_empty()
                || addresses.ipv6.names();
            if named && request.max_count > 1 {
                return Err(ApiError::invalid_combination(
                    "Network interfaces and private addresses cannot be named when launching more than one instance.",
                ));
            }
            let existing = match &wanted.existing {
                Some(id) => Some(self.find_interface(cx, id).await?),
                None => None,
            };
            if let Some(row) = existing.as_ref().filter(|row| row.is_taken()) {
                return Err(in_use(row));
            }
            if existing.is_some() && found.iter().any(|other| other.existing == existing) {
                return Err(ApiError::invalid_combination("A network interface can only be given once."));
            }
            let groups = match &existing {
                Some(row) => {
                    check_addresses(self.store(), &row.id, size).await?;
                    let of = std::slice::from_ref(&row.id);
                    let rows = interface_group_list(self.store(), Some(of), 100).await.or_fail()?;
                    rows.into_iter().map(|row| (row.group_id, row.group_name)).collect()
                }
                None => Vec::new(),
            };
            let subnet = match &wanted.subnet {
                Some(id) => Some(self.find_subnet(cx, id).await?),
                None => None,
            };
            if let Some(subnet) = &subnet {
                addresses.check(subnet, size.addresses_per_interface as usize)?;
                self.check_ipv6(&subnet.id, &addresses.ipv6).await?;
            }
            found.push(ResolvedInterface {
                device_index: wanted.device_index,
                delete_on_termination: wanted.delete_on_termination.unwrap_or(existing.is_none()),
                existing,
                subnet,
                groups,
                addresses: addresses.clone(),
                description: wanted.description.clone(),
            });
        }
        found.sort_by_key(|interface| interface.device_index);
        Ok(found)
    }

    /// Looks up the groups of new interfaces besides the first, which are those of its subnet's VPC.
    pub(super) async fn resolve_interface_groups(
        &self,
        cx: &OpContext,
        request: &RunRequest,
        interfaces: &mut [ResolvedInterface],
        subnet: &SubnetRow,
    ) -> Result<(), ApiError> {
        let new = interfaces.iter_mut().filter(|interface| interface.existing.is_none() && interface.device_index != 0);
        for interface in new {
            let wanted = request.interfaces.iter().find(|wanted| wanted.device_index == interface.device_index);
            let ids: Vec<GroupRef<'_>> =
                wanted.into_iter().flat_map(|wanted| &wanted.group_ids).map(|id| GroupRef::Id(id)).collect();
            interface.groups = self.groups_beside(cx, &ids, interface.subnet.as_ref().unwrap_or(subnet)).await?;
        }
        Ok(())
    }

    /// Of these subnets those in which all interfaces can be.
    pub(super) fn subnets_of_interfaces(
        subnets: Vec<SubnetRow>,
        interfaces: &[ResolvedInterface],
    ) -> Result<Vec<SubnetRow>, ApiError> {
        let fits = |subnet: &SubnetRow| {
            interfaces.iter().all(|interface| match (&interface.existing, &interface.subnet) {
                (Some(row), _) => row.zone == subnet.zone && row.vpc_id == subnet.vpc_id,
                (None, Some(own)) => own.zone == subnet.zone && own.vpc_id == subnet.vpc_id,
                (None, None) => true,
            })
        };
        let there: Vec<SubnetRow> = subnets.into_iter().filter(fits).collect();
        if there.is_empty() { Err(elsewhere()) } else { Ok(there) }
    }

    /// Takes the addresses of one instance's interfaces, and locks those that exist.
    pub(super) async fn take_interfaces(
        &self,
        tx: &mut Tx,
        resolved: &Resolved,
        subnet: &SubnetRow,
    ) -> Result<Vec<Taken>, ApiError> {
        let mut held = hold_existing(tx, resolved).await?;
        let mut out = Vec::with_capacity(resolved.interfaces.len());
        for wanted in &resolved.interfaces {
            let own = if wanted.device_index == 0 { None } else { wanted.subnet.clone() };
            let subnet = own.unwrap_or_else(|| subnet.clone());
            let (primary, secondary, ipv6) = match &wanted.existing {
                Some(seen) => {
                    let row = held.remove(&seen.id).filter(|row| !row.is_taken()).ok_or_else(|| in_use(seen))?;
                    check_addresses(&mut *tx, &row.id, &resolved.size).await?;
                    (row.private_ip, Vec::new(), None)
                }
                None => {
                    wanted.addresses.check(&subnet, resolved.size.addresses_per_interface as usize)?;
                    let (primary, secondary) = take_addresses(tx, &subnet, &wanted.addresses).await?;
                    (primary, secondary, self.take_ipv6(tx, &subnet.id, &wanted.addresses.ipv6).await?)
                }
            };
            out.push(Taken { wanted: wanted.clone(), subnet, primary, secondary, ipv6 });
        }
        Ok(out)
    }
}

/// The interfaces that exist, locked in the order of their ids: two launches that name the same ones the other way round
/// do not wait for each other.
async fn hold_existing(tx: &mut Tx, resolved: &Resolved) -> Result<BTreeMap<InterfaceId, InterfaceRow>, ApiError> {
    let ids: BTreeSet<&InterfaceId> =
        resolved.interfaces.iter().filter_map(|wanted| wanted.existing.as_ref()).map(|row| &row.id).collect();
    let mut held = BTreeMap::new();
    for id in ids {
        let row = interface_fetch_locked(tx, id).await.map_err(|error| match error {
            StoreError::NotFound { .. } => ApiError::not_found(Code::InvalidNetworkInterfaceIdNotFound, &[id.as_str()]),
            other => store_failure(other),
        })?;
        held.insert(id.clone(), row);
    }
    Ok(held)
}

impl Maker<'_> {
    /// Writes the rows of one interface of an instance; the interface.
    pub(super) async fn plug(&self, tx: &mut Tx, row: &InstanceRow, taken: &Taken) -> Result<InterfaceRow, ApiError> {
        let wanted = &taken.wanted;
        let attachment = AttachmentId::from_random(self.cloud.rng().u128());
        if let Some(existing) = &wanted.existing {
            let goes = wanted.delete_on_termination;
            tx.run_later().await.map_err(group_gone)?;
            interface_attach(tx, &existing.id, &row.id, &attachment, wanted.device_index, goes).await.map_err(
                |error| match error {
                    StoreError::Stale { .. } => in_use(existing),
                    other => store_failure(other),
                },
            )?;
            interface_delete_on_termination_set(tx, &existing.id, goes).await.or_fail()?;
            let history = InterfaceAttachmentRow {
                interface_id: existing.id.clone(),
                attached_ms: row.launch_ms,
                generation: Generation(0),
                detaching: false,
            };
            interface_attachment_put(tx, &history).await.or_fail()?;
            return Ok(InterfaceRow {
                instance_id: Some(row.id.clone()),
                attachment_id: Some(attachment),
                device_index: Some(wanted.device_index),
                delete_on_termination: goes,
                ..existing.clone()
            });
        }
        let made = InterfaceRow {
            instance_id: Some(row.id.clone()),
            attachment_id: Some(attachment),
            device_index: Some(wanted.device_index),
            delete_on_termination: wanted.delete_on_termination,
            created_ms: row.launch_ms,
            ..self.cloud.interface_row(&taken.subnet, taken.primary, &wanted.description)
        };
        let groups = if wanted.device_index == 0 { &self.resolved.groups } else { &wanted.groups };
        let mut ids: Vec<GroupId> = groups.iter().map(|(id, _)| id.clone()).collect();
        if ids.is_empty() {
            ids = self.cloud.interface_groups(self.cx, &[], &made.vpc_id).await?;
        }
        interface_insert(tx, &made, &ids).await.map_err(group_gone)?;
        interface_addresses_insert(tx, &address_rows(&made, 0, &taken.secondary)).await.or_fail()?;
        if let Some(ipv6) = &taken.ipv6 {
            give(tx, &made.subnet_id, &ipv6.rows(&made.id, 0)).await?;
        }
        let tags = tags::rows(self.cx.account(), TAG_KIND, made.id.as_str(), &self.request.interface_tags);
        tag_put(tx, &tags).await.or_fail()?;
        Ok(made)
    }
}

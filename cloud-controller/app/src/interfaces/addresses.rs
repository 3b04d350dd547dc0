//! Secondary private addresses: assigned, moved, taken away.

use super::{address_rows, in_subnet, is_users, take_any, too_many_addresses};
use crate::fail::OrFail as _;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    InterfaceAddressRow, InterfaceFilter, InterfaceRow, Tx, interface_address_delete, interface_address_holders,
    interface_address_list, interface_address_move, interface_addresses_insert, interface_list,
    private_address_take_exact,
};
use mallee_types::instance_type::instance_type;
use mallee_types::limits::ADDRESSES_PER_INTERFACE_MAX;
use mallee_types::{InstanceId, InterfaceId};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// What `AssignPrivateIpAddresses` is to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewAddresses {
    /// So many, any.
    Count(u32),
    /// These; with leave also those that other interfaces have.
    These {
        /// The addresses.
        addresses: Vec<Ipv4Addr>,
        /// They may be taken from other interfaces.
        reassign: bool,
    },
}

fn not_to_move(address: Ipv4Addr) -> ApiError {
    Code::InvalidParameterValue.message(format!("[{address}] is assigned, but move is not allowed."))
}

fn not_assigned(row: &InterfaceRow) -> ApiError {
    Code::InvalidParameterValue
        .message(format!("Some of the specified addresses are not assigned to interface {}", row.id))
}

/// An interface's secondary addresses, in the order of their positions.
async fn secondary(tx: &mut Tx, id: &InterfaceId) -> Result<Vec<InterfaceAddressRow>, ApiError> {
    let limit = u32::try_from(ADDRESSES_PER_INTERFACE_MAX).unwrap_or(u32::MAX);
    interface_address_list(tx, Some(std::slice::from_ref(id)), None, limit).await.or_fail()
}

impl Cloud {
    /// `AssignPrivateIpAddresses`: what the interface has got.
    ///
    /// # Errors
    /// `PrivateIpAddressLimitExceeded`, `InsufficientFreeAddressesInSubnet`; `InvalidParameterValue` for an address that
    /// is not the subnet's, or somebody else's.
    pub async fn assign_addresses(
        &self,
        cx: &OpContext,
        id: &str,
        new: &NewAddresses,
    ) -> Result<Vec<Ipv4Addr>, ApiError> {
        let seen = self.find_interface(cx, id).await?;
        let subnet = self.find_subnet(cx, seen.subnet_id.as_str()).await?;
        let wanted: &[Ipv4Addr] = match new {
            NewAddresses::Count(_) => &[],
            NewAddresses::These { addresses, .. } => addresses,
        };
        wanted.iter().try_for_each(|ip| in_subnet(&subnet, *ip))?;
        // Whose they are now: those instances hear of it too.
        let holders = self.holders(&seen, wanted).await?;
        let sources: Vec<InterfaceId> = holders.iter().map(|row| row.id.clone()).collect();
        let theirs: Vec<InstanceId> = holders.into_iter().filter_map(|row| row.instance_id).collect();
        let mut held = self.hold_interfaces(cx, id, &theirs, &sources).await?;
        let most = held.instance().and_then(|row| instance_type(&row.instance_type));
        let most = most.map_or(ADDRESSES_PER_INTERFACE_MAX, |size| size.addresses_per_interface as usize);
        let own = secondary(&mut held.tx, &held.row.id).await?;
        let position = own.last().map_or(0, |row| row.position);
        let given: Vec<Ipv4Addr> = match new {
            NewAddresses::Count(count) => {
                if 1 + own.len() + *count as usize > most {
                    return Err(too_many_addresses());
                }
                let given = take_any(&mut held.tx, &subnet, *count as usize).await?;
                let rows = address_rows(&held.row, position, &given);
                interface_addresses_insert(&mut held.tx, &rows).await.or_fail()?;
                given
            }
            NewAddresses::These { addresses, reassign } => {
                let has = |ip: &Ipv4Addr| *ip == held.row.private_ip || own.iter().any(|row| row.address == *ip);
                let fresh: BTreeSet<Ipv4Addr> = addresses.iter().filter(|ip| !has(ip)).copied().collect();
                if 1 + own.len() + fresh.len() > most {
                    return Err(too_many_addresses());
                }
                let fresh: Vec<Ipv4Addr> = fresh.into_iter().collect();
                for row in address_rows(&held.row, position, &fresh) {
                    let told: Vec<&InstanceId> = held.instances.iter().map(|row| &row.id).collect();
                    give(&mut held.tx, &row, *reassign, &sources, &told).await?;
                }
                addresses.clone()
            }
        };
        held.tell_and_commit().await?;
        self.faults().point("cloud.interface.assign.committed").await.or_fail()?;
        Ok(given)
    }

    /// The interfaces that have these secondary addresses now.
    async fn holders(&self, of: &InterfaceRow, addresses: &[Ipv4Addr]) -> Result<Vec<InterfaceRow>, ApiError> {
        if addresses.is_empty() {
            return Ok(Vec::new());
        }
        let rows = interface_address_holders(self.store(), &of.subnet_id, addresses).await.or_fail()?;
        let ids: Vec<InterfaceId> = rows.into_iter().map(|row| row.interface_id).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let filter = InterfaceFilter { ids: Some(&ids), ..Default::default() };
        let limit = u32::try_from(ADDRESSES_PER_INTERFACE_MAX).unwrap_or(u32::MAX);
        interface_list(self.store(), filter, limit).await.or_fail()
    }

    /// `UnassignPrivateIpAddresses`. Elastic IPs that lead to them lead nowhere.
    ///
    /// # Errors
    /// `InvalidParameterValue` for one that is not a secondary address of the interface.
    pub async fn unassign_addresses(&self, cx: &OpContext, id: &str, addresses: &[Ipv4Addr]) -> Result<(), ApiError> {
        let mut held = self.hold_interface(cx, id, &[]).await?;
        let own = secondary(&mut held.tx, &held.row.id).await?;
        let wanted: BTreeSet<&Ipv4Addr> = addresses.iter().collect();
        for address in wanted {
            let row = own.iter().find(|row| row.address == *address).ok_or_else(|| not_assigned(&held.row))?;
            interface_address_delete(&mut held.tx, row).await.or_fail()?;
        }
        held.tell_and_commit().await?;
        self.faults().point("cloud.interface.unassign.committed").await.or_fail()
    }
}

/// Gives one address as `row` says, from the subnet or from whoever has it. `sources`: the interfaces that are locked and may lose it;
/// `told`: the instances that hear of it.
async fn give(
    tx: &mut Tx,
    row: &InterfaceAddressRow,
    reassign: bool,
    sources: &[InterfaceId],
    told: &[&InstanceId],
) -> Result<(), ApiError> {
    if private_address_take_exact(tx, &row.subnet_id, row.address).await.or_fail()? {
        return interface_addresses_insert(tx, std::slice::from_ref(row)).await.or_fail();
    }
    let holder = interface_address_holders(&mut *tx, &row.subnet_id, &[row.address]).await.or_fail()?.pop();
    // Somebody's primary address, or one that is kept back, can not be moved.
    let holder = holder.filter(|_| reassign).ok_or_else(|| not_to_move(row.address))?;
    let filter = InterfaceFilter { ids: Some(std::slice::from_ref(&holder.interface_id)), ..Default::default() };
    let from = interface_list(&mut *tx, filter, 1).await.or_fail()?.pop();
    // A NAT gateway's goes by the gateway only.
    if from.as_ref().is_some_and(|interface| is_users(interface).is_err()) {
        return Err(not_to_move(row.address));
    }
    let from = from.and_then(|interface| interface.instance_id);
    if !sources.contains(&holder.interface_id) || from.is_some_and(|id| !told.contains(&&id)) {
        return Err(Code::Unavailable.message("The address was changed by other requests. Please try again."));
    }
    interface_address_move(tx, &holder, &row.interface_id, row.position).await.or_fail()
}

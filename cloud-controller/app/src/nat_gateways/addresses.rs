//! Addresses of a NAT gateway besides its primary one: they come when its node says that it has them, and go when their flows
//! have had their time and the node has let go of them.

use super::make::{TRIES_MAX, Trouble, database, free_address};
use crate::addresses::{AddressRef, allocation_id};
use crate::fail::OrFail as _;
use crate::interfaces::{address_rows, in_subnet, take_any};
use crate::quotas::{table as quotas, within};
use crate::{Cloud, OpContext, load};
use mallee_awswire::{ApiError, Code, texts::clip};
use mallee_store::{
    InterfaceAddressRow, NatAddressRow, NatAddressState, NatGatewayRow, PAGE_ROWS_MAX, StoreError, SubnetRow, Tx,
    change_append, elastic_ip_associate, interface_address_delete, interface_address_list, interface_addresses_insert,
    interface_fetch_locked, nat_address_delete, nat_address_drain, nat_address_insert, nat_address_leave,
    nat_address_list, nat_address_list_drained, nat_address_up, nat_gateway_touch, private_address_take_exact,
};
use mallee_types::{AddressId, AllocationId, Generation, InterfaceId, NatGatewayId};
use std::net::Ipv4Addr;

/// Addresses whose drain ends in one pass; the next one goes on.
const DRAINED_AT_ONCE: u32 = 200;

/// Addresses that a gateway is to get.
#[derive(Debug, Clone, Default)]
pub struct NewAddresses {
    /// Elastic IPs, of a public gateway; a private one gets none.
    pub allocations: Vec<String>,
    /// Private addresses, as many as there are elastic IPs.
    pub private: Vec<Ipv4Addr>,
    /// If there are no such: so many, any.
    pub count: usize,
}

/// Addresses that a gateway is to lose.
#[derive(Debug, Clone)]
pub enum LeavingAddresses {
    /// Those that elastic IPs are associated with, by association.
    Associations(Vec<String>),
    /// These private ones, of a private gateway.
    Private(Vec<Ipv4Addr>),
}

fn not_available(row: &NatGatewayRow) -> ApiError {
    Code::IncorrectState.message(format!("NAT gateway {} is not in the 'available' state.", row.id))
}

/// Fails unless the gateway is of this kind.
fn is_of_kind(row: &NatGatewayRow, private: bool) -> Result<(), ApiError> {
    if row.private == private {
        return Ok(());
    }
    let kind = if private { "private" } else { "public" };
    Err(Code::OperationNotPermitted
        .message(format!("NAT gateway {} does not have connectivity type '{kind}'.", row.id)))
}

fn is_primary() -> ApiError {
    Code::OperationNotPermitted.message("The primary address of a NAT gateway cannot be removed.")
}

/// Those of a gateway's addresses that are meant, each once.
fn meant<'a>(
    row: &NatGatewayRow,
    own: &'a [NatAddressRow],
    which: &LeavingAddresses,
) -> Result<Vec<&'a NatAddressRow>, ApiError> {
    let found: Vec<&NatAddressRow> = match which {
        LeavingAddresses::Associations(ids) => {
            let primary = row.association_id.as_ref().map(|id| id.as_str());
            let find = |id: &String| {
                let found = own.iter().find(|own| own.association_id.as_ref().is_some_and(|own| own.as_str() == id));
                let unknown = || match primary == Some(id.as_str()) {
                    true => is_primary(),
                    false => Code::InvalidAssociationIdNotFound.with(&[&clip(id)]),
                };
                found.ok_or_else(unknown)
            };
            ids.iter().map(find).collect::<Result<_, _>>()?
        }
        LeavingAddresses::Private(addresses) => {
            let find = |ip: &Ipv4Addr| {
                let unknown = || match row.private_ip == Some(*ip) {
                    true => is_primary(),
                    false => Code::InvalidParameterValue
                        .message(format!("Address {ip} is not assigned to NAT gateway {}.", row.id)),
                };
                own.iter().find(|own| own.address == *ip).ok_or_else(unknown)
            };
            addresses.iter().map(find).collect::<Result<_, _>>()?
        }
    };
    let leaves = |row: &&NatAddressRow| matches!(row.state, NatAddressState::Adding | NatAddressState::Up);
    Ok(found.into_iter().filter(leaves).collect())
}

impl NewAddresses {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.allocations.is_empty() && self.private.is_empty() && self.count == 0
    }
}

impl Cloud {
    /// `AssociateNatGatewayAddress` and `AssignPrivateNatGatewayAddress`: the gateway, and what it has got.
    ///
    /// # Errors
    /// `IncorrectState` unless the gateway is available, `OperationNotPermitted` for one of the other kind, `AddressLimitExceeded`,
    /// `PrivateIpAddressLimitExceeded`, `InvalidIPAddress.InUse`, `Resource.AlreadyAssociated`; an id or address that is none.
    pub async fn add_nat_addresses(
        &self,
        cx: &OpContext,
        id: &str,
        new: &NewAddresses,
        dry_run: bool,
    ) -> Result<(NatGatewayRow, Vec<NatAddressRow>), ApiError> {
        let row = self.find_nat_gateway(cx, id).await?;
        is_of_kind(&row, new.allocations.is_empty())?;
        let subnet = self.find_subnet(cx, row.subnet_id.as_str()).await?;
        new.private.iter().try_for_each(|ip| in_subnet(&subnet, *ip))?;
        let mut allocations = Vec::new();
        for id in &new.allocations {
            let address = AddressRef::Allocation(allocation_id(id)?);
            allocations.push(self.find_address(self.store(), cx, &address).await?.id);
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        self.faults().point("cloud.nat.address").await.or_fail()?;
        for _ in 0..TRIES_MAX {
            match self.try_add(cx, &row, &subnet, &allocations, new).await {
                Ok(rows) => return Ok((row, rows)),
                Err(Trouble::Again) => {}
                Err(Trouble::Refused(error)) => return Err(error),
                Err(Trouble::Failed("Resource.AlreadyAssociated", text)) => {
                    return Err(Code::ResourceAlreadyAssociated.message(text));
                }
                Err(Trouble::Failed(_, text)) => return Err(Code::IncorrectState.message(text)),
            }
        }
        Err(Code::Unavailable.message("The addresses were changed by other requests. Please try again."))
    }

    async fn try_add(
        &self,
        cx: &OpContext,
        row: &NatGatewayRow,
        subnet: &SubnetRow,
        allocations: &[AllocationId],
        new: &NewAddresses,
    ) -> Result<Vec<NatAddressRow>, Trouble> {
        let mut tx = self.store().write().await.or_fail()?;
        let generation = nat_gateway_touch(&mut tx, &row.id).await.map_err(database)?;
        let (Some(generation), Some(interface)) = (generation, &row.interface_id) else {
            return Err(Trouble::Refused(not_available(row)));
        };
        let interface = interface.clone();
        let rows = self.give(&mut tx, cx, (row, &interface, generation), subnet, allocations, new).await?;
        change_append(&mut tx, load::NAT_GATEWAY, &row.id, None);
        tx.commit().await.map_err(database)?;
        self.faults().point("cloud.nat.address.committed").await.or_fail()?;
        Ok(rows)
    }

    /// Gives a gateway, by its interface, further addresses from this generation of it on.
    pub(super) async fn give(
        &self,
        tx: &mut Tx,
        cx: &OpContext,
        (row, interface, generation): (&NatGatewayRow, &InterfaceId, Generation),
        subnet: &SubnetRow,
        allocations: &[AllocationId],
        new: &NewAddresses,
    ) -> Result<Vec<NatAddressRow>, Trouble> {
        let count = if new.private.is_empty() { new.count.max(allocations.len()) } else { new.private.len() };
        let own = nat_address_list(&mut *tx, std::slice::from_ref(&row.id)).await.map_err(database)?;
        let quota = if row.private { &quotas::NAT_PRIVATE_ADDRESSES } else { &quotas::NAT_ELASTIC_IPS };
        within(tx, cx.account(), quota, 1 + own.len() + count).await?;
        for address in &new.private {
            if !private_address_take_exact(tx, &subnet.id, *address).await.map_err(database)? {
                return Err(Trouble::Refused(Code::InvalidIpAddressInUse.with(&[&address.to_string()])));
            }
        }
        let any = count - new.private.len();
        let given: Vec<Ipv4Addr> = new.private.iter().copied().chain(take_any(tx, subnet, any).await?).collect();
        let interface = interface_fetch_locked(tx, interface).await.map_err(database)?;
        let has =
            interface_address_list(&mut *tx, Some(std::slice::from_ref(&interface.id)), None, PAGE_ROWS_MAX).await;
        let last = has.map_err(database)?.last().map_or(0, |row| row.position);
        interface_addresses_insert(tx, &address_rows(&interface, last, &given)).await.map_err(database)?;
        let mut rows: Vec<NatAddressRow> = Vec::new();
        for (n, address) in given.into_iter().enumerate() {
            let mut made = NatAddressRow {
                gateway_id: row.id.clone(),
                address,
                allocation_id: None,
                association_id: None,
                public_ip: None,
                state: NatAddressState::Adding,
                generation,
                drained_ms: None,
            };
            if let Some(id) = allocations.get(n) {
                let elastic = free_address(tx, cx, subnet, id).await?;
                let association = AddressId::from_random(self.rng().u128());
                let led = elastic_ip_associate(tx, &elastic, &association, &interface.id, Some(address)).await;
                if !led.map_err(database)? {
                    return Err(Trouble::Again);
                }
                made.allocation_id = Some(elastic.id);
                made.association_id = Some(association);
                made.public_ip = Some(elastic.address);
            }
            rows.push(made);
        }
        nat_address_insert(tx, &rows).await.map_err(database)?;
        Ok(rows)
    }

    /// `DisassociateNatGatewayAddress` and `UnassignPrivateNatGatewayAddress`: the addresses take no new flow, and go after so
    /// many seconds. What is about to go already keeps its time.
    ///
    /// # Errors
    /// `IncorrectState` unless the gateway is available, `OperationNotPermitted` for its primary address, `InvalidAssociationID.NotFound`,
    /// `InvalidParameterValue` for an address that is not its own.
    pub async fn drain_nat_addresses(
        &self,
        cx: &OpContext,
        id: &str,
        which: &LeavingAddresses,
        seconds: u32,
        dry_run: bool,
    ) -> Result<(NatGatewayRow, Vec<NatAddressRow>), ApiError> {
        let row = self.find_nat_gateway(cx, id).await?;
        is_of_kind(&row, matches!(which, LeavingAddresses::Private(_)))?;
        let own = nat_address_list(self.store(), std::slice::from_ref(&row.id)).await.or_fail()?;
        let leaving = meant(&row, &own, which)?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        self.faults().point("cloud.nat.drain").await.or_fail()?;
        if !leaving.is_empty() {
            let mut tx = self.store().write().await.or_fail()?;
            let generation = nat_gateway_touch(&mut tx, &row.id).await.or_fail()?;
            let generation = generation.ok_or_else(|| not_available(&row))?;
            let until_ms = self.clock().now_ms().saturating_add(i64::from(seconds) * 1000);
            for address in &leaving {
                nat_address_drain(&mut tx, address, generation, until_ms).await.or_fail()?;
            }
            change_append(&mut tx, load::NAT_GATEWAY, &row.id, None);
            tx.commit().await.or_fail()?;
            self.faults().point("cloud.nat.drain.committed").await.or_fail()?;
        }
        let now = nat_address_list(self.store(), std::slice::from_ref(&row.id)).await.or_fail()?;
        let is_going = |row: &NatAddressRow| matches!(row.state, NatAddressState::Draining | NatAddressState::Leaving);
        Ok((row, now.into_iter().filter(is_going).collect()))
    }
}

/// One pass: addresses whose time is over are told to nodes no more.
pub(super) async fn end_drains(cloud: &Cloud, now_ms: i64) -> Result<(), StoreError> {
    for row in nat_address_list_drained(cloud.store(), now_ms, DRAINED_AT_ONCE).await? {
        let mut tx = cloud.store().write().await?;
        // All addresses of one that is about to go go with it.
        let left = match nat_gateway_touch(&mut tx, &row.gateway_id).await? {
            Some(generation) => nat_address_leave(&mut tx, &row, generation).await?,
            None => false,
        };
        if left {
            change_append(&mut tx, load::NAT_GATEWAY, &row.gateway_id, None);
            tx.commit().await?;
        } else {
            tx.rollback().await?;
        }
    }
    Ok(())
}

/// Addresses of these gateways that wait for their node.
pub(super) async fn waiting(cloud: &Cloud, gateways: &[NatGatewayId]) -> Result<Vec<NatAddressRow>, StoreError> {
    let mut rows = nat_address_list(cloud.store(), gateways).await?;
    rows.retain(|row| matches!(row.state, NatAddressState::Adding | NatAddressState::Leaving));
    Ok(rows)
}

/// The gateway's node has it as of this generation: addresses are up, and those that it has let go of are free, with their
/// elastic IPs. True when anything changed.
pub(super) async fn applied(
    tx: &mut Tx,
    gateway: &NatGatewayRow,
    generation: Generation,
    waiting: &[NatAddressRow],
) -> Result<bool, StoreError> {
    let mut changed = nat_address_up(tx, &gateway.id, generation).await? > 0;
    let Some(interface) = &gateway.interface_id else { return Ok(changed) };
    let left = |row: &&NatAddressRow| row.state == NatAddressState::Leaving && row.generation <= generation;
    for row in waiting.iter().filter(|row| row.gateway_id == gateway.id).filter(left) {
        if nat_address_delete(tx, row, generation).await? {
            let of_interface = InterfaceAddressRow {
                interface_id: interface.clone(),
                subnet_id: gateway.subnet_id.clone(),
                address: row.address,
                position: 0,
            };
            changed |= interface_address_delete(tx, &of_interface).await?;
        }
    }
    Ok(changed)
}

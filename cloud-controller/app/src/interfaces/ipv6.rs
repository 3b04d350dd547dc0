//! IPv6 addresses of interfaces: drawn or named, given and taken away.

use super::too_many_addresses;
use crate::fail::{OrFail as _, store_failure};
use crate::{Cloud, OpContext};
use ipnet::Ipv6Net;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    InterfaceIpv6Row, InterfaceRow, StoreError, SubnetIpv6CidrRow, Tx, interface_ipv6_delete, interface_ipv6_holders,
    interface_ipv6_insert, interface_ipv6_list, subnet_ipv6_cidr_fetch_locked, subnet_ipv6_cidr_list,
};
use mallee_types::instance_type::instance_type;
use mallee_types::limits::ADDRESSES_PER_INTERFACE_MAX;
use mallee_types::{InterfaceId, SubnetCidrAssociationId, SubnetId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::Ipv6Addr;

/// The first address of a subnet's block that an interface can have, as on AWS; the last one it cannot have either.
const FIRST: u64 = 4;
/// How often addresses are drawn again in place of those that are taken: with 2^64 of them once is enough.
const DRAWS_MAX: u32 = 8;
/// Addresses asked of the database at once.
const ASKED_AT_ONCE: usize = 1000;

/// The IPv6 addresses that an interface is to have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum WantedIpv6 {
    /// One, if its subnet gives new interfaces one.
    #[default]
    AsSubnet,
    /// So many, any.
    Count(u32),
    /// These.
    These(Vec<Ipv6Addr>),
}

impl WantedIpv6 {
    /// How many it asks for by itself.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::AsSubnet => 0,
            Self::Count(count) => *count as usize,
            Self::These(addresses) => addresses.len(),
        }
    }

    /// Whether it says which.
    #[must_use]
    pub fn names(&self) -> bool {
        matches!(self, Self::These(addresses) if !addresses.is_empty())
    }
}

/// IPv6 addresses that an interface is to be given.
#[derive(Debug, Clone)]
pub(crate) struct TakenIpv6 {
    /// The block of the subnet that they are of.
    block: SubnetCidrAssociationId,
    /// They.
    pub(crate) addresses: Vec<Ipv6Addr>,
}

impl TakenIpv6 {
    /// The rows of these addresses, after those that the interface has.
    pub(crate) fn rows(&self, interface: &InterfaceId, after: u32) -> Vec<InterfaceIpv6Row> {
        let row = |(position, address): (u32, &Ipv6Addr)| InterfaceIpv6Row {
            interface_id: interface.clone(),
            subnet_cidr_id: self.block.clone(),
            address: *address,
            position,
        };
        (after + 1..).zip(&self.addresses).map(row).collect()
    }

    /// Each by itself.
    pub(crate) fn split(self) -> impl Iterator<Item = Self> {
        let block = self.block;
        self.addresses.into_iter().map(move |address| Self { block: block.clone(), addresses: vec![address] })
    }
}

fn without_block(subnet: &SubnetId) -> ApiError {
    Code::InvalidParameterValue.message(format!("The subnet '{subnet}' has no IPv6 CIDR block."))
}

/// The address of a block that a draw stands for; none for those that no interface has.
fn drawn(block: Ipv6Net, draw: u64) -> Option<Ipv6Addr> {
    let may = (FIRST..u64::MAX).contains(&draw);
    may.then(|| Ipv6Addr::from(u128::from(block.network()) | u128::from(draw)))
}

/// Fails unless an interface of the subnet with this block may have the address.
fn in_block(block: &SubnetIpv6CidrRow, address: Ipv6Addr) -> Result<(), ApiError> {
    let [.., a, b, c, d] = address.segments();
    let host = [a, b, c, d].into_iter().fold(0_u64, |host, part| (host << 16) | u64::from(part));
    if block.cidr.contains(&address) && drawn(block.cidr, host) == Some(address) {
        return Ok(());
    }
    Err(Code::InvalidParameterValue
        .message(format!("Address {address} does not fall within the subnet's address range")))
}

/// Writes rows of addresses, and says what the database has against them.
pub(crate) async fn give(tx: &mut Tx, subnet: &SubnetId, rows: &[InterfaceIpv6Row]) -> Result<(), ApiError> {
    // What was written before is no matter of these.
    tx.run_later().await.or_fail()?;
    interface_ipv6_insert(tx, rows).await.or_fail()?;
    tx.run_later().await.map_err(|error| match error {
        // The block was taken away meanwhile.
        StoreError::InUse => without_block(subnet),
        error if error.is_conflict("interface_ipv6_addresses_address") => {
            Code::InvalidIpAddressInUse.message("An IPv6 address of the request is in use.")
        }
        other => store_failure(other),
    })
}

/// An interface's IPv6 addresses, in the order of their positions.
async fn own(tx: &mut Tx, id: &InterfaceId) -> Result<Vec<InterfaceIpv6Row>, ApiError> {
    let limit = u32::try_from(ADDRESSES_PER_INTERFACE_MAX).unwrap_or(u32::MAX);
    interface_ipv6_list(tx, Some(std::slice::from_ref(id)), None, limit).await.or_fail()
}

fn not_assigned(row: &InterfaceRow) -> ApiError {
    Code::InvalidParameterValue
        .message(format!("Some of the specified addresses are not assigned to interface {}", row.id))
}

impl Cloud {
    /// Fails unless a new interface of the subnet could have these addresses, whoever has them now.
    pub(crate) async fn check_ipv6(&self, subnet: &SubnetId, wanted: &WantedIpv6) -> Result<(), ApiError> {
        if wanted.count() == 0 {
            return Ok(());
        }
        let block = subnet_ipv6_cidr_list(self.store(), Some(std::slice::from_ref(subnet))).await.or_fail()?.pop();
        let block = block.ok_or_else(|| without_block(subnet))?;
        match wanted {
            WantedIpv6::These(addresses) => addresses.iter().try_for_each(|address| in_block(&block, *address)),
            WantedIpv6::AsSubnet | WantedIpv6::Count(_) => Ok(()),
        }
    }

    /// Takes the addresses of one interface of the subnet; none: it gets none.
    ///
    /// # Errors
    /// `InvalidParameterValue` in a subnet without a block, and for an address that is not the block's;
    /// `InvalidIPAddress.InUse`.
    pub(crate) async fn take_ipv6(
        &self,
        tx: &mut Tx,
        subnet: &SubnetId,
        wanted: &WantedIpv6,
    ) -> Result<Option<TakenIpv6>, ApiError> {
        match wanted {
            WantedIpv6::AsSubnet => self.take_ipv6_as_subnet(tx, subnet, 1).await,
            _ if wanted.count() == 0 => Ok(None),
            WantedIpv6::Count(count) => {
                let block = subnet_ipv6_cidr_list(&mut *tx, Some(std::slice::from_ref(subnet))).await.or_fail()?.pop();
                let block = block.ok_or_else(|| without_block(subnet))?;
                self.draw_ipv6(tx, &block, *count as usize).await.map(Some)
            }
            WantedIpv6::These(addresses) => {
                // Nobody else names addresses of the block meanwhile.
                let block = subnet_ipv6_cidr_fetch_locked(tx, subnet).await.or_fail()?;
                let block = block.ok_or_else(|| without_block(subnet))?;
                addresses.iter().try_for_each(|address| in_block(&block, *address))?;
                if let Some(holder) = interface_ipv6_holders(&mut *tx, addresses).await.or_fail()?.first() {
                    return Err(Code::InvalidIpAddressInUse.with(&[&holder.address.to_string()]));
                }
                Ok(Some(TakenIpv6 { block: block.id, addresses: addresses.clone() }))
            }
        }
    }

    /// Takes one address for each of so many new interfaces of the subnet, if it gives new interfaces one.
    pub(crate) async fn take_ipv6_as_subnet(
        &self,
        tx: &mut Tx,
        subnet: &SubnetId,
        interfaces: usize,
    ) -> Result<Option<TakenIpv6>, ApiError> {
        // Where nobody is given IPv6, nobody pays for it.
        if self.config().public_pool_v6.is_none() {
            return Ok(None);
        }
        let block = subnet_ipv6_cidr_list(&mut *tx, Some(std::slice::from_ref(subnet))).await.or_fail()?.pop();
        match block.filter(|block| block.assign_on_creation) {
            Some(block) => self.draw_ipv6(tx, &block, interfaces).await.map(Some),
            None => Ok(None),
        }
    }

    /// Draws so many addresses of a block that no interface has.
    async fn draw_ipv6(&self, tx: &mut Tx, block: &SubnetIpv6CidrRow, count: usize) -> Result<TakenIpv6, ApiError> {
        let mut found: Vec<Ipv6Addr> = Vec::with_capacity(count);
        let mut seen = BTreeSet::new();
        let rounds = count.div_ceil(ASKED_AT_ONCE) + DRAWS_MAX as usize;
        for _ in 0..rounds {
            let wanted = (count - found.len()).min(ASKED_AT_ONCE);
            if wanted == 0 {
                break;
            }
            let draws = (0..wanted).filter_map(|_| drawn(block.cidr, self.rng().u64()));
            let fresh: Vec<Ipv6Addr> = draws.filter(|address| seen.insert(*address)).collect();
            let taken = interface_ipv6_holders(&mut *tx, &fresh).await.or_fail()?;
            found.extend(fresh.iter().filter(|address| !taken.iter().any(|row| row.address == **address)));
        }
        if found.len() < count {
            return Err(Code::InsufficientFreeAddressesInSubnet.with(&[block.subnet_id.as_str()]));
        }
        Ok(TakenIpv6 { block: block.id.clone(), addresses: found })
    }

    /// `AssignIpv6Addresses`: what the interface has got.
    ///
    /// # Errors
    /// `PrivateIpAddressLimitExceeded`, `InvalidIPAddress.InUse`; `InvalidParameterValue` in a subnet without a block, and
    /// for an address that is not the block's.
    pub async fn assign_ipv6(&self, cx: &OpContext, id: &str, wanted: &WantedIpv6) -> Result<Vec<Ipv6Addr>, ApiError> {
        let mut held = self.hold_interface(cx, id, &[]).await?;
        let most = held.instance().and_then(|row| instance_type(&row.instance_type));
        let most = most.map_or(ADDRESSES_PER_INTERFACE_MAX, |size| size.addresses_per_interface as usize);
        let own = own(&mut held.tx, &held.row.id).await?;
        let (wanted, given) = match wanted {
            // What it has already is no matter.
            WantedIpv6::These(addresses) => {
                let fresh = addresses.iter().filter(|address| !own.iter().any(|row| row.address == **address));
                (WantedIpv6::These(fresh.copied().collect()), Some(addresses.clone()))
            }
            other => (other.clone(), None),
        };
        if own.len() + wanted.count() > most {
            return Err(too_many_addresses());
        }
        let taken = self.take_ipv6(&mut held.tx, &held.row.subnet_id, &wanted).await?;
        let position = own.last().map_or(0, |row| row.position);
        if let Some(taken) = &taken {
            give(&mut held.tx, &held.row.subnet_id, &taken.rows(&held.row.id, position)).await?;
        }
        held.tell_and_commit().await?;
        self.faults().point("cloud.interface.assign-ipv6.committed").await.or_fail()?;
        Ok(given.unwrap_or_else(|| taken.map(|taken| taken.addresses).unwrap_or_default()))
    }

    /// `UnassignIpv6Addresses`: they are free again.
    ///
    /// # Errors
    /// `InvalidParameterValue` for one that is not the interface's.
    pub async fn unassign_ipv6(&self, cx: &OpContext, id: &str, addresses: &[Ipv6Addr]) -> Result<(), ApiError> {
        let mut held = self.hold_interface(cx, id, &[]).await?;
        for address in addresses.iter().collect::<BTreeSet<_>>() {
            if !interface_ipv6_delete(&mut held.tx, &held.row.id, *address).await.or_fail()? {
                return Err(not_assigned(&held.row));
            }
        }
        held.tell_and_commit().await?;
        self.faults().point("cloud.interface.unassign-ipv6.committed").await.or_fail()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_types::VpcCidrAssociationId;

    fn ip(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    #[test]
    fn neither_the_first_four_nor_the_last_address_is_given() {
        let block = SubnetIpv6CidrRow {
            id: SubnetCidrAssociationId::from_random(1),
            subnet_id: SubnetId::from_random(1),
            vpc_cidr_id: VpcCidrAssociationId::from_random(1),
            cidr: "2001:db8:0:7::/64".parse().unwrap(),
            assign_on_creation: true,
            created_ms: 0,
        };
        for draw in [0, 1, 2, 3, u64::MAX] {
            assert_eq!(drawn(block.cidr, draw), None, "{draw}");
        }
        assert_eq!(drawn(block.cidr, 4), Some(ip("2001:db8:0:7::4")));
        assert_eq!(drawn(block.cidr, u64::MAX - 1), Some(ip("2001:db8:0:7:ffff:ffff:ffff:fffe")));
        for good in ["2001:db8:0:7::4", "2001:db8:0:7:1::", "2001:db8:0:7:ffff:ffff:ffff:fffe"] {
            in_block(&block, ip(good)).unwrap();
        }
        for bad in ["2001:db8:0:7::", "2001:db8:0:7::3", "2001:db8:0:7:ffff:ffff:ffff:ffff", "2001:db8:0:8::4"] {
            assert_eq!(in_block(&block, ip(bad)).unwrap_err().code(), Code::InvalidParameterValue, "{bad}");
        }
    }

    #[test]
    fn what_older_requests_kept_reads_as_before() {
        let kept = r#"{"primary":null,"secondary":[],"more":0}"#;
        let read: super::super::WantedAddresses = serde_json::from_str(kept).unwrap();
        assert_eq!(read, super::super::WantedAddresses::default());
    }
}

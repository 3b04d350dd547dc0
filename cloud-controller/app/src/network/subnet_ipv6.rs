//! The IPv6 block of a subnet: a /64 of its VPC's.

use crate::fail::{OrFail as _, store_failure};
use crate::quotas::hold_account;
use crate::{Cloud, OpContext, load};
use ipnet::Ipv6Net;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    StoreError, SubnetIpv6CidrRow, SubnetRow, Tx, VpcIpv6CidrRow, change_append, subnet_hold, subnet_ipv6_assign_set,
    subnet_ipv6_cidr_delete, subnet_ipv6_cidr_fetch, subnet_ipv6_cidr_insert, subnet_ipv6_cidr_list,
    subnet_ipv6_cidr_list_in, subnet_map_public_ip_set, subnet_touch, vpc_ipv6_cidr_list,
};
use mallee_types::{SubnetCidrAssociationId, SubnetId, VpcId};
use std::collections::BTreeMap;

/// How many leading bits a subnet's IPv6 block has.
const SUBNET_PREFIX: u8 = 64;

/// A change of one attribute of a subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubnetChange {
    /// Whether instances get a public address unless they say otherwise.
    MapPublicIp(bool),
    /// Whether new interfaces get an IPv6 address unless they say otherwise.
    AssignIpv6(bool),
}

/// A subnet's IPv6 block as a request gives it, in its canonical form.
pub(super) fn block(text: &str) -> Result<Ipv6Net, ApiError> {
    let clipped = mallee_awswire::texts::clip(text);
    let net: Ipv6Net = text.parse().map_err(|_| {
        Code::InvalidParameterValue.message(format!(
            "Value ({clipped}) for parameter ipv6CidrBlock is invalid. This is not a valid IPv6 CIDR block."
        ))
    })?;
    if net.prefix_len() != SUBNET_PREFIX {
        return Err(Code::InvalidSubnetRange.with(&[&clipped]));
    }
    Ok(net.trunc())
}

/// The VPC's block that this one would be a part of, if it is free.
fn block_around<'a>(
    blocks: &'a [VpcIpv6CidrRow],
    taken: &[SubnetIpv6CidrRow],
    cidr: Ipv6Net,
) -> Result<&'a VpcIpv6CidrRow, ApiError> {
    let around = blocks.iter().find(|block| block.cidr.contains(&cidr));
    let around = around.ok_or_else(|| Code::InvalidSubnetRange.with(&[&cidr.to_string()]))?;
    if taken.iter().any(|row| row.cidr == cidr) {
        return Err(Code::InvalidSubnetConflict.with(&[&cidr.to_string()]));
    }
    Ok(around)
}

impl Cloud {
    /// Fails unless a subnet of the VPC could have this IPv6 block now.
    pub(super) async fn check_subnet_ipv6(&self, vpc: &VpcId, cidr: Ipv6Net) -> Result<(), ApiError> {
        let blocks = vpc_ipv6_cidr_list(self.store(), Some(std::slice::from_ref(vpc))).await.or_fail()?;
        let taken = subnet_ipv6_cidr_list_in(self.store(), vpc).await.or_fail()?;
        block_around(&blocks, &taken, cidr).map(drop)
    }

    /// Gives a subnet an IPv6 block, in a transaction that holds the account.
    pub(super) async fn give_subnet_ipv6(
        &self,
        tx: &mut Tx,
        subnet: &SubnetRow,
        cidr: Ipv6Net,
    ) -> Result<SubnetIpv6CidrRow, ApiError> {
        let blocks = vpc_ipv6_cidr_list(&mut *tx, Some(std::slice::from_ref(&subnet.vpc_id))).await.or_fail()?;
        let taken = subnet_ipv6_cidr_list_in(&mut *tx, &subnet.vpc_id).await.or_fail()?;
        let around = block_around(&blocks, &taken, cidr)?;
        if taken.iter().any(|row| row.subnet_id == subnet.id) {
            let text = format!("The subnet '{}' already has an IPv6 CIDR block. It can have one.", subnet.id);
            return Err(Code::CidrLimitExceeded.message(text));
        }
        let row = SubnetIpv6CidrRow {
            id: SubnetCidrAssociationId::from_random(self.rng().u128()),
            subnet_id: subnet.id.clone(),
            vpc_cidr_id: around.id.clone(),
            cidr,
            assign_on_creation: false,
            created_ms: self.clock().now_ms(),
        };
        subnet_ipv6_cidr_insert(tx, &row).await.or_fail()?;
        Ok(row)
    }

    /// `AssociateSubnetCidrBlock`: the subnet has the block at once.
    ///
    /// # Errors
    /// `InvalidSubnet.Range` for a block that is no /64 of the VPC's, `InvalidSubnet.Conflict` for another subnet's,
    /// `CidrLimitExceeded` for a second one, `InvalidSubnetID.NotFound`.
    pub async fn associate_subnet_ipv6(
        &self,
        cx: &OpContext,
        subnet: &str,
        cidr: &str,
    ) -> Result<SubnetIpv6CidrRow, ApiError> {
        let subnet = self.find_subnet(cx, subnet).await?;
        let cidr = block(cidr)?;
        let mut tx = self.store().write().await.or_fail()?;
        // From here on no other call gives a subnet of the account a block, or takes one from a VPC.
        hold_account(&mut tx, cx.account()).await?;
        if !subnet_hold(&mut tx, &subnet.id).await.or_fail()? {
            return Err(Code::InvalidSubnetIdNotFound.with(&[subnet.id.as_str()]));
        }
        let row = self.give_subnet_ipv6(&mut tx, &subnet, cidr).await?;
        tell(&mut tx, &subnet.id).await?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// The subnet's IPv6 block of this association, of whatever account.
    pub(crate) async fn subnet_cidr_association(&self, id: &str) -> Result<Option<SubnetIpv6CidrRow>, StoreError> {
        let Ok(id) = id.parse::<SubnetCidrAssociationId>() else { return Ok(None) };
        subnet_ipv6_cidr_fetch(self.store(), &id).await
    }

    /// `DisassociateSubnetCidrBlock`: the subnet is without the block at once.
    ///
    /// # Errors
    /// `InvalidCidrBlock.InUse` while interfaces have addresses of it, `InvalidSubnetCidrBlockAssociationID.NotFound`.
    pub async fn disassociate_subnet_ipv6(&self, cx: &OpContext, id: &str) -> Result<SubnetIpv6CidrRow, ApiError> {
        let unknown = || Code::InvalidSubnetCidrBlockAssociationIdNotFound.with(&[&mallee_awswire::texts::clip(id)]);
        let row = self.subnet_cidr_association(id).await.map_err(store_failure)?.ok_or_else(unknown)?;
        // Another account's is none.
        let subnet = self.find_subnet(cx, row.subnet_id.as_str()).await.map_err(|error| match error.code() {
            Code::InvalidSubnetIdNotFound => unknown(),
            _ => error,
        })?;
        let mut tx = self.store().write().await.or_fail()?;
        hold_account(&mut tx, cx.account()).await?;
        let there = subnet_ipv6_cidr_delete(&mut tx, &row.id).await.map_err(|error| match error {
            StoreError::InUse => Code::InvalidCidrBlockInUse.message(format!(
                "The subnet {} currently has network interfaces with addresses within CIDR block {}",
                subnet.id, row.cidr
            )),
            other => store_failure(other),
        })?;
        if !there {
            // Another call was faster.
            return Err(unknown());
        }
        tell(&mut tx, &subnet.id).await?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// `ModifySubnetAttribute`. What is there keeps what it has.
    ///
    /// # Errors
    /// A subnet that is not there; `InvalidParameterValue` for IPv6 addresses in a subnet without a block of them.
    pub async fn modify_subnet(&self, cx: &OpContext, id: &str, change: SubnetChange) -> Result<(), ApiError> {
        let subnet = self.find_subnet(cx, id).await?;
        let mut tx = self.store().write().await.or_fail()?;
        // Nodes do not care: only what is made asks for it.
        match change {
            SubnetChange::MapPublicIp(value) => {
                subnet_map_public_ip_set(&mut tx, &subnet.id, value).await.or_fail()?;
            }
            SubnetChange::AssignIpv6(value) => {
                let changed = subnet_ipv6_assign_set(&mut tx, &subnet.id, value).await.or_fail()?;
                let own = std::slice::from_ref(&subnet.id);
                if value && !changed && subnet_ipv6_cidr_list(&mut tx, Some(own)).await.or_fail()?.is_empty() {
                    return Err(Code::InvalidParameterValue.message(format!(
                        "Invalid value 'true' for assignIpv6AddressOnCreation. The subnet '{}' has no IPv6 CIDR block.",
                        subnet.id
                    )));
                }
            }
        }
        tx.commit().await.or_fail()
    }
}

/// Clusters learn that the subnet is not what it was.
async fn tell(tx: &mut Tx, subnet: &SubnetId) -> Result<(), ApiError> {
    subnet_touch(tx, subnet).await.or_fail()?;
    change_append(tx, load::SUBNET, subnet, None);
    Ok(())
}

/// Blocks that are no part of the block of their subnet's VPC: about which, and why.
pub(super) fn differences(
    blocks: &[VpcIpv6CidrRow],
    subnets: &[SubnetRow],
    rows: &[SubnetIpv6CidrRow],
) -> Vec<(String, String)> {
    let blocks: BTreeMap<&str, &VpcIpv6CidrRow> = blocks.iter().map(|block| (block.id.as_str(), block)).collect();
    let subnets: BTreeMap<&str, &SubnetRow> = subnets.iter().map(|subnet| (subnet.id.as_str(), subnet)).collect();
    let mut found = Vec::new();
    for row in rows {
        let subnet = subnets.get(row.subnet_id.as_str());
        let problem = match blocks.get(row.vpc_cidr_id.as_str()) {
            _ if row.cidr.prefix_len() != SUBNET_PREFIX || row.cidr.trunc() != row.cidr => {
                format!("{} of {} is no /{SUBNET_PREFIX}", row.cidr, row.subnet_id)
            }
            Some(block) if !block.cidr.contains(&row.cidr) => {
                format!("{} of {} is not within {}", row.cidr, row.subnet_id, block.cidr)
            }
            Some(block) if subnet.is_none_or(|subnet| subnet.vpc_id != block.vpc_id) => {
                format!("{} of {} is of {}, which is not its subnet's VPC", row.cidr, row.subnet_id, block.vpc_id)
            }
            Some(_) => continue,
            None => format!("{} of {} is of a block that is gone", row.cidr, row.subnet_id),
        };
        found.push((row.id.to_string(), problem));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_types::{Generation, VpcCidrAssociationId};

    fn net(text: &str) -> Ipv6Net {
        text.parse().unwrap()
    }

    fn vpc_block(n: u128, cidr: &str) -> VpcIpv6CidrRow {
        VpcIpv6CidrRow {
            id: VpcCidrAssociationId::from_random(n),
            vpc_id: VpcId::from_random(n),
            cidr: net(cidr),
            created_ms: 0,
        }
    }

    fn row(n: u128, of: &VpcIpv6CidrRow, cidr: &str) -> SubnetIpv6CidrRow {
        SubnetIpv6CidrRow {
            id: SubnetCidrAssociationId::from_random(n),
            subnet_id: SubnetId::from_random(n),
            vpc_cidr_id: of.id.clone(),
            cidr: net(cidr),
            assign_on_creation: false,
            created_ms: 0,
        }
    }

    #[test]
    fn a_subnets_block_is_a_64_and_canonical() {
        assert_eq!(block("2001:DB8:0:1::5/64").unwrap(), net("2001:db8:0:1::/64"));
        for text in ["2001:db8::/63", "2001:db8::/65", "2001:db8::/56"] {
            assert_eq!(block(text).unwrap_err().code(), Code::InvalidSubnetRange, "{text}");
        }
        for text in ["", "10.0.0.0/24", "2001:db8::", "2001:db8::/129", "x"] {
            assert_eq!(block(text).unwrap_err().code(), Code::InvalidParameterValue, "{text}");
        }
    }

    #[test]
    fn a_block_is_of_the_vpc_and_free() {
        let blocks = [vpc_block(1, "2001:db8::/56"), vpc_block(2, "2001:db8:0:100::/56")];
        let taken = [row(1, &blocks[0], "2001:db8:0:1::/64")];
        let around = |cidr| block_around(&blocks, &taken, net(cidr)).map(|block| block.id.clone());
        assert_eq!(around("2001:db8::/64").unwrap(), blocks[0].id);
        assert_eq!(around("2001:db8:0:1ff::/64").unwrap(), blocks[1].id);
        assert_eq!(around("2001:db8:0:200::/64").unwrap_err().code(), Code::InvalidSubnetRange);
        assert_eq!(around("2001:db8:0:1::/64").unwrap_err().code(), Code::InvalidSubnetConflict);
    }

    #[test]
    fn blocks_of_other_vpcs_and_sizes_are_found() {
        let block = vpc_block(1, "2001:db8::/56");
        let subnet = |n: u128, vpc: u128| SubnetRow {
            id: SubnetId::from_random(n),
            account_id: "123456789012".parse().unwrap(),
            vpc_id: VpcId::from_random(vpc),
            zone: "zone-a".parse().unwrap(),
            cidr: "10.0.0.0/24".parse().unwrap(),
            is_default: false,
            map_public_ip: false,
            generation: Generation(1),
            created_ms: 0,
        };
        let subnets = [subnet(1, 1), subnet(2, 2)];
        let wrong = |row: SubnetIpv6CidrRow| {
            let found = differences(std::slice::from_ref(&block), &subnets, &[row]);
            found.into_iter().map(|(_, why)| why).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(wrong(row(1, &block, "2001:db8:0:1::/64")), "");
        assert!(wrong(row(1, &block, "2001:db8::/60")).contains("is no /64"));
        assert!(wrong(row(1, &block, "2001:db8:0:100::/64")).contains("is not within 2001:db8::/56"));
        assert!(wrong(row(2, &block, "2001:db8::/64")).contains("not its subnet's VPC"));
        assert!(wrong(row(3, &block, "2001:db8::/64")).contains("not its subnet's VPC"));
        assert!(wrong(row(1, &vpc_block(9, "2001:db8::/56"), "2001:db8::/64")).contains("is gone"));
    }
}

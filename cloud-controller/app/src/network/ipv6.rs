//! The IPv6 blocks of a VPC, out of the cloud's pool.

use super::blocks::tell;
use crate::fail::{OrFail as _, store_failure};
use crate::groups::{everything_out, insert_rule, spec_of};
use crate::quotas::hold_account;
use crate::{Cloud, OpContext, load};
use ipnet::Ipv6Net;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    PAGE_ROWS_MAX, SecurityGroupFilter, StoreError, Tx, VpcIpv6CidrRow, change_append, security_group_list,
    security_group_rules_of, security_group_touch, vpc_fetch, vpc_ipv6_cidr_delete, vpc_ipv6_cidr_hold,
    vpc_ipv6_cidr_insert, vpc_ipv6_cidr_list, vpc_list,
};
use mallee_types::{GroupId, VpcCidrAssociationId, VpcId};
use std::collections::BTreeSet;
use std::net::Ipv6Addr;

/// How many leading bits a VPC's IPv6 block has, as on AWS.
pub(crate) const VPC_PREFIX: u8 = 56;
/// The shortest prefix of a pool: it has 65,536 blocks.
const POOL_PREFIX_MIN: u8 = 40;
/// IPv6 blocks of a VPC at most (AWS: 5).
const BLOCKS_PER_VPC_MAX: usize = 5;

/// A free block of the pool: the one drawn, or the next free one after it, round the pool. None when all are taken, and out
/// of a pool that is larger than [`POOL_PREFIX_MIN`] or smaller than a block.
fn free_block(pool: Ipv6Net, taken: &BTreeSet<Ipv6Net>, draw: u64) -> Option<Ipv6Net> {
    if !(POOL_PREFIX_MIN..=VPC_PREFIX).contains(&pool.prefix_len()) {
        return None;
    }
    let blocks = 1_u64 << (VPC_PREFIX - pool.prefix_len());
    let base = u128::from(pool.network());
    (0..blocks).find_map(|step| {
        let number = (draw % blocks + step) % blocks;
        let network = Ipv6Addr::from(base | (u128::from(number) << (128 - u32::from(VPC_PREFIX))));
        Ipv6Net::new(network, VPC_PREFIX).ok().filter(|block| !taken.contains(block))
    })
}

impl Cloud {
    /// Gives a VPC a free block of the pool. The other VPCs get theirs when the transaction has ended. With its first one what
    /// everything of IPv4 passes by, of what the VPC was made with, gets the same for IPv6, as on AWS.
    ///
    /// # Errors
    /// `Unsupported` in a cloud without a pool; `InsufficientAddressCapacity` when it has no free block.
    pub(crate) async fn give_ipv6_block(&self, tx: &mut Tx, vpc: &VpcId) -> Result<VpcIpv6CidrRow, ApiError> {
        let unsupported = || ApiError::unsupported_parameter("AmazonProvidedIpv6CidrBlock");
        let pool = self.config().public_pool_v6.ok_or_else(unsupported)?;
        vpc_ipv6_cidr_hold(tx).await.or_fail()?;
        let taken = vpc_ipv6_cidr_list(&mut *tx, None).await.or_fail()?;
        let first = taken.iter().all(|row| row.vpc_id != *vpc);
        let taken = taken.into_iter().map(|row| row.cidr).collect();
        let exhausted = || {
            Code::InsufficientAddressCapacity
                .message(format!("The pool {pool} has no free IPv6 block for another VPC."))
        };
        let row = VpcIpv6CidrRow {
            id: VpcCidrAssociationId::from_random(self.rng().u128()),
            vpc_id: vpc.clone(),
            cidr: free_block(pool, &taken, self.rng().u64()).ok_or_else(exhausted)?,
            created_ms: self.clock().now_ms(),
        };
        vpc_ipv6_cidr_insert(tx, &row).await.map_err(|error| match error {
            // The VPC was deleted meanwhile.
            StoreError::InUse => Code::InvalidVpcIdNotFound.with(&[vpc.as_str()]),
            other => store_failure(other),
        })?;
        if first {
            self.open_default_acl(tx, vpc).await.or_fail()?;
            self.open_groups(tx, vpc).await?;
        }
        Ok(row)
    }

    /// Has the groups of a VPC that has got its first IPv6 block let all of that out, as far as what may leave them is as it
    /// was made: what somebody has changed, stays.
    async fn open_groups(&self, tx: &mut Tx, vpc: &VpcId) -> Result<(), ApiError> {
        let account = vpc_fetch(&mut *tx, vpc).await.or_fail()?.account_id;
        let mut after: Option<GroupId> = None;
        loop {
            let vpcs = Some(std::slice::from_ref(vpc));
            let filter = SecurityGroupFilter { vpcs, after: after.as_ref(), ..Default::default() };
            let groups = security_group_list(&mut *tx, &account, filter, PAGE_ROWS_MAX).await.or_fail()?;
            let Some(last) = groups.last() else { return Ok(()) };
            after = Some(last.id.clone());
            for group in &groups {
                security_group_touch(tx, &group.id).await.or_fail()?;
                let rules = security_group_rules_of(&mut *tx, &group.id).await.or_fail()?;
                let mut out = rules.iter().filter(|rule| rule.egress);
                let as_made = match (out.next(), out.next()) {
                    (Some(rule), None) => spec_of(rule)? == everything_out(false).spec,
                    _ => false,
                };
                if as_made {
                    insert_rule(self, tx, group, &everything_out(true)).await.or_fail()?;
                    change_append(tx, load::GROUP, &group.id, None);
                }
            }
        }
    }

    /// `AssociateVpcCidrBlock` with `AmazonProvidedIpv6CidrBlock`: the VPC has the block at once.
    ///
    /// # Errors
    /// `Unsupported` in a cloud without a pool, `InsufficientAddressCapacity` when it has no free block, `CidrLimitExceeded`,
    /// `InvalidVpcID.NotFound`.
    pub async fn associate_vpc_ipv6(&self, cx: &OpContext, vpc: &str) -> Result<VpcIpv6CidrRow, ApiError> {
        let vpc = self.find_vpc(cx, vpc).await?;
        let mut tx = self.store().write().await.or_fail()?;
        // From here on no other call gives the VPC a block.
        hold_account(&mut tx, cx.account()).await?;
        let vpcs = std::slice::from_ref(&vpc.id);
        if vpc_list(&mut tx, cx.account(), Some(vpcs), None, 1).await.or_fail()?.is_empty() {
            return Err(Code::InvalidVpcIdNotFound.with(&[vpc.id.as_str()]));
        }
        if vpc_ipv6_cidr_list(&mut tx, Some(vpcs)).await.or_fail()?.len() >= BLOCKS_PER_VPC_MAX {
            return Err(Code::CidrLimitExceeded.error());
        }
        // Tables before groups, as whoever changes a prefix list.
        tell(&mut tx, &vpc.id).await?;
        let row = self.give_ipv6_block(&mut tx, &vpc.id).await?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// Takes an IPv6 block from its VPC; it is free again. False when another call was faster.
    ///
    /// # Errors
    /// `InvalidCidrBlock.InUse` while a subnet has a part of it.
    pub(super) async fn take_ipv6_block(&self, cx: &OpContext, row: &VpcIpv6CidrRow) -> Result<bool, ApiError> {
        let mut tx = self.store().write().await.or_fail()?;
        hold_account(&mut tx, cx.account()).await?;
        let there = vpc_ipv6_cidr_delete(&mut tx, &row.id).await.map_err(|error| match error {
            StoreError::InUse => Code::InvalidCidrBlockInUse.with(&[row.vpc_id.as_str(), &row.cidr.to_string()]),
            other => store_failure(other),
        })?;
        if there {
            tell(&mut tx, &row.vpc_id).await?;
        }
        tx.commit().await.or_fail()?;
        Ok(there)
    }
}

/// Blocks that no VPC can have, or that two have a part of: about which, and why.
pub(super) fn differences(rows: &[VpcIpv6CidrRow]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for row in rows.iter().filter(|row| row.cidr.prefix_len() != VPC_PREFIX || row.cidr.trunc() != row.cidr) {
        found.push((row.id.to_string(), format!("{} of {} is no /{VPC_PREFIX}", row.cidr, row.vpc_id)));
    }
    let mut sorted: Vec<&VpcIpv6CidrRow> = rows.iter().collect();
    sorted.sort_by_key(|row| (row.cidr.network(), row.cidr.prefix_len()));
    for two in sorted.windows(2) {
        if two[0].cidr.contains(&two[1].cidr) {
            let problem = format!("{} overlaps {} of {}", two[1].cidr, two[0].cidr, two[0].vpc_id);
            found.push((two[1].id.to_string(), problem));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Ipv6Net {
        text.parse().unwrap()
    }

    #[test]
    fn a_pool_gives_each_of_its_blocks_once() {
        let pool = net("2001:db8:0:f000::/52");
        let mut taken = BTreeSet::new();
        for n in 0..16 {
            let block = free_block(pool, &taken, 13).unwrap();
            assert!(pool.contains(&block) && block.prefix_len() == VPC_PREFIX && taken.insert(block), "{n}: {block}");
        }
        assert_eq!(free_block(pool, &taken, 13), None);
        taken.remove(&net("2001:db8:0:f300::/56"));
        assert_eq!(free_block(pool, &taken, u64::MAX), Some(net("2001:db8:0:f300::/56")));
        assert_eq!(free_block(net("2001:db8::/56"), &BTreeSet::new(), 7), Some(net("2001:db8::/56")));
        assert_eq!(free_block(net("2001:db8::/40"), &BTreeSet::new(), 0xffff), Some(net("2001:db8:ff:ff00::/56")));
        for strange in ["2001:db8::/32", "2001:db8::/57"] {
            assert_eq!(free_block(net(strange), &BTreeSet::new(), 0), None, "{strange}");
        }
    }

    #[test]
    fn blocks_that_overlap_or_are_of_another_size_are_found() {
        let row = |n: u128, cidr: &str| VpcIpv6CidrRow {
            id: VpcCidrAssociationId::from_random(n),
            vpc_id: VpcId::from_random(1),
            cidr: net(cidr),
            created_ms: 0,
        };
        assert_eq!(differences(&[row(1, "2001:db8:0:100::/56"), row(2, "2001:db8::/56")]), []);
        let found = differences(&[row(1, "2001:db8:0:100::/56"), row(2, "2001:db8::/52")]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].1.contains("is no /56") && found[1].1.contains("overlaps 2001:db8::/52"), "{found:?}");
    }
}

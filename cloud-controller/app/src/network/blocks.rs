//! The blocks of a VPC besides its first one: which it may have, and what hears of them.

use super::{RESERVED, block, overlap};
use crate::fail::{OrFail as _, store_failure};
use crate::quotas::{hold_account, table as quotas, within};
use crate::{Cloud, OpContext, load, peerings, transit};
use ipnet::Ipv4Net;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    ROUTE_TABLES_MAX, RouteDestination, RouteTableFilter, StoreError, Tx, VpcCidrRow, VpcIpv6CidrRow, VpcRow,
    change_append, route_delete, route_list, route_table_list, route_table_number, route_table_touch, subnet_list,
    vpc_blocks, vpc_cidr_delete, vpc_cidr_fetch, vpc_cidr_insert, vpc_fetch, vpc_ipv6_cidr_fetch, vpc_list, vpc_touch,
};
use mallee_types::{RouteTableId, VpcCidrAssociationId, VpcId};
use std::net::Ipv4Addr;

/// What ids of associations begin with, and what those of VPCs do.
const ASSOCIATION: &str = "vpc-cidr-assoc-";
const VPC: &str = "vpc-";
/// RFC 1918: a VPC has blocks of one of them at most, and that of its first block.
const PRIVATE: [Ipv4Net; 3] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
];
/// AWS lets no VPC have it besides another block.
const BENCHMARKS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(198, 19, 0, 0), 16);
/// AWS lets no VPC of 172.16.0.0/12 have it besides another block.
const DEFAULT_VPCS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(172, 31, 0, 0), 16);
/// A VPC with a block in the wider of these gets none in the narrower.
const LOWEST: (Ipv4Net, Ipv4Net) =
    (Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 15), Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 16));

/// Whether AWS lets a VPC of these blocks, the first one first, have this one too ("IPv4 CIDR block association
/// restrictions" of its user guide).
fn permitted(blocks: &[Ipv4Net], new: &Ipv4Net) -> bool {
    let Some(first) = blocks.first() else { return true };
    let range = |net: &Ipv4Net| PRIVATE.iter().position(|private| private.contains(net));
    let (own, wanted) = (range(first), range(new));
    let foreign = wanted.is_some() && wanted != own;
    let benchmarks = BENCHMARKS.contains(new) && !BENCHMARKS.contains(first);
    let default = DEFAULT_VPCS.contains(new) && own.is_some();
    let lowest = LOWEST.1.contains(new) && blocks.iter().any(|block| LOWEST.0.contains(block));
    !(foreign || benchmarks || default || lowest)
}

/// The id of the association of a VPC's first block: it has the VPC's number.
#[must_use]
pub fn first_association(vpc: &VpcId) -> String {
    vpc.as_str().replacen(VPC, ASSOCIATION, 1)
}

/// What an association of a VPC and a block is about.
pub(crate) struct Association {
    /// Whose block.
    pub(crate) vpc: VpcRow,
    /// The block; none: it is the first one.
    pub(crate) row: Option<TakenBlock>,
}

/// A block of a VPC that may go before the VPC does.
#[derive(Debug)]
pub enum TakenBlock {
    /// A further IPv4 block.
    Ipv4(VpcCidrRow),
    /// An IPv6 block.
    Ipv6(VpcIpv6CidrRow),
}

impl TakenBlock {
    /// Whose it is.
    #[must_use]
    pub const fn vpc(&self) -> &VpcId {
        match self {
            Self::Ipv4(row) => &row.vpc_id,
            Self::Ipv6(row) => &row.vpc_id,
        }
    }
}

/// Whoever asks for addresses of the VPC learns of its blocks: clusters, and every route table, whose prefix lists lead to
/// other addresses now. Holds these tables until the transaction ends, in order.
pub(super) async fn tell(tx: &mut Tx, vpc: &VpcId) -> Result<Vec<RouteTableId>, ApiError> {
    vpc_touch(tx, vpc).await.or_fail()?;
    change_append(tx, load::VPC, vpc, None);
    // No table is made meanwhile.
    route_table_number(tx, vpc).await.or_fail()?;
    let filter = RouteTableFilter { vpcs: Some(std::slice::from_ref(vpc)), ..Default::default() };
    let tables = route_table_list(&mut *tx, filter, ROUTE_TABLES_MAX).await.or_fail()?;
    let mut told = Vec::with_capacity(tables.len());
    for table in tables {
        match route_table_touch(tx, &table.id).await {
            // It has just been deleted.
            Err(StoreError::NotFound { .. }) => continue,
            other => other.or_fail()?,
        }
        change_append(tx, load::ROUTE_TABLE, &table.id, None);
        told.push(table.id);
    }
    Ok(told)
}

impl Cloud {
    /// The association of this id, of whatever account.
    pub(crate) async fn cidr_association(&self, id: &str) -> Result<Option<Association>, StoreError> {
        let Ok(parsed) = id.parse::<VpcCidrAssociationId>() else { return Ok(None) };
        let row = match vpc_cidr_fetch(self.store(), &parsed).await? {
            Some(row) => Some(TakenBlock::Ipv4(row)),
            None => vpc_ipv6_cidr_fetch(self.store(), &parsed).await?.map(TakenBlock::Ipv6),
        };
        let vpc = match &row {
            Some(row) => Some(row.vpc().clone()),
            None => id.replacen(ASSOCIATION, VPC, 1).parse().ok(),
        };
        let Some(vpc) = vpc else { return Ok(None) };
        match vpc_fetch(self.store(), &vpc).await {
            Ok(vpc) => Ok(Some(Association { vpc, row })),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `AssociateVpcCidrBlock`: the VPC has the block at once.
    ///
    /// # Errors
    /// `InvalidVpc.Range` for a block of a size or place that the VPC cannot have, that overlaps one of its own, or that a
    /// route of its tables leads away from or a part of it; `CidrLimitExceeded`.
    pub async fn associate_vpc_cidr(&self, cx: &OpContext, vpc: &str, cidr: &str) -> Result<VpcCidrRow, ApiError> {
        let vpc = self.find_vpc(cx, vpc).await?;
        let net = block("cidrBlock", cidr, Code::InvalidVpcRange)?;
        if RESERVED.iter().any(|reserved| overlap(reserved, &net)) {
            return Err(Code::InvalidVpcRange.with(&[&net.to_string()]));
        }
        let mut tx = self.store().write().await.or_fail()?;
        // From here on no other call gives the VPC a block or a subnet.
        hold_account(&mut tx, cx.account()).await?;
        let vpcs = Some(std::slice::from_ref(&vpc.id));
        if vpc_list(&mut tx, cx.account(), vpcs, None, 1).await.or_fail()?.is_empty() {
            return Err(Code::InvalidVpcIdNotFound.with(&[vpc.id.as_str()]));
        }
        let blocks = vpc_blocks(&mut tx, &vpc).await.or_fail()?;
        if let Some(taken) = blocks.iter().find(|taken| overlap(taken, &net)) {
            let text = format!("The CIDR '{net}' conflicts with {taken}, another CIDR of the VPC '{}'.", vpc.id);
            return Err(Code::InvalidVpcRange.message(text));
        }
        if !permitted(&blocks, &net) {
            return Err(Code::InvalidVpcRange.message(format!(
                "The CIDR '{net}' is restricted. Use a CIDR from the same private address range as the current VPC CIDR, or \
                 use a publicly-routable CIDR. For additional restrictions, see \
                 https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html"
            )));
        }
        peerings::admits(&mut tx, &vpc, net, self.clock().now_ms()).await?;
        transit::admits(&mut tx, &vpc, net).await?;
        within(&mut tx, cx.account(), &quotas::CIDRS_PER_VPC, blocks.len() + 1).await?;
        let tables = tell(&mut tx, &vpc.id).await?;
        for route in route_list(&mut tx, &tables).await.or_fail()? {
            if let RouteDestination::Block(to) = &route.destination
                && net.contains(to)
            {
                return Err(Code::InvalidVpcRange.message(format!(
                    "The CIDR '{net}' is the same as or larger than {to}, the destination of a route in route table {} to {}.",
                    route.table_id, route.target_id
                )));
            }
        }
        let row = VpcCidrRow {
            id: VpcCidrAssociationId::from_random(self.rng().u128()),
            vpc_id: vpc.id.clone(),
            cidr: net,
            created_ms: self.clock().now_ms(),
        };
        vpc_cidr_insert(&mut tx, &row).await.or_fail()?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// `DisassociateVpcCidrBlock`: the VPC is without the block at once.
    ///
    /// # Errors
    /// `OperationNotPermitted` for the VPC's first block, `InvalidCidrBlock.InUse` while a subnet is in the block,
    /// `InvalidVpcCidrBlockAssociationID.NotFound`.
    pub async fn disassociate_vpc_cidr(&self, cx: &OpContext, id: &str) -> Result<TakenBlock, ApiError> {
        let unknown = || Code::InvalidVpcCidrBlockAssociationIdNotFound.with(&[&mallee_awswire::texts::clip(id)]);
        let found = self.cidr_association(id).await.map_err(store_failure)?;
        let Association { vpc, row } =
            found.filter(|found| found.vpc.account_id == *cx.account()).ok_or_else(unknown)?;
        let row = row.ok_or_else(|| {
            Code::OperationNotPermitted.with(&[&format!(
                "The vpc CIDR block with association ID {id} may not be disassociated. It is the primary IPv4 CIDR block of \
                 the VPC"
            )])
        })?;
        let row = match row {
            TakenBlock::Ipv4(row) => row,
            TakenBlock::Ipv6(row) if self.take_ipv6_block(cx, &row).await? => return Ok(TakenBlock::Ipv6(row)),
            // Another call was faster.
            TakenBlock::Ipv6(_) => return Err(unknown()),
        };
        let mut tx = self.store().write().await.or_fail()?;
        // No call makes a subnet meanwhile.
        hold_account(&mut tx, cx.account()).await?;
        let vpcs = Some(std::slice::from_ref(&vpc.id));
        let subnets = subnet_list(&mut tx, cx.account(), None, vpcs, None, mallee_store::PAGE_ROWS_MAX).await;
        if subnets.or_fail()?.iter().any(|subnet| row.cidr.contains(&subnet.cidr)) {
            return Err(Code::InvalidCidrBlockInUse.with(&[vpc.id.as_str(), &row.cidr.to_string()]));
        }
        if !vpc_cidr_delete(&mut tx, &row.id).await.or_fail()? {
            // Another call was faster.
            return Err(unknown());
        }
        for table in tell(&mut tx, &vpc.id).await? {
            // What took the place of its local route goes with that.
            route_delete(&mut tx, &table, &row.cidr.into()).await.or_fail()?;
        }
        transit::blocks_changed(&mut tx, &vpc.id).await?;
        tx.commit().await.or_fail()?;
        Ok(TakenBlock::Ipv4(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_vpc_may_have_is_awss_table() {
        let net = |text: &str| -> Ipv4Net { text.parse().unwrap() };
        let case = |first: &str, yes: &[&str], no: &[&str]| {
            for (list, wanted) in [(yes, true), (no, false)] {
                for text in list {
                    assert_eq!(permitted(&[net(first)], &net(text)), wanted, "{text} besides {first}");
                }
            }
        };
        let public = ["100.64.0.0/16", "203.0.112.0/20", "198.18.0.0/16"];
        case("10.2.0.0/16", &["10.0.0.0/16", "10.3.0.0/24", "10.255.0.0/28"], &["172.16.0.0/24", "192.168.1.0/24"]);
        case("10.0.4.0/24", &["10.1.0.0/16", "10.2.0.0/16"], &["10.0.5.0/24", "10.0.0.0/28"]);
        case("10.1.0.0/16", &["10.2.0.0/16"], &["10.0.0.0/24"]);
        case("172.20.0.0/16", &["172.16.0.0/16", "172.30.0.0/24"], &["172.31.0.0/24", "10.0.0.0/16", "192.168.0.0/24"]);
        case("172.31.0.0/20", &["172.30.0.0/16"], &["172.31.16.0/20"]);
        case("192.168.0.0/24", &["192.168.1.0/24"], &["10.0.0.0/16", "172.16.0.0/16"]);
        case("198.19.0.0/24", &[], &["10.0.0.0/16", "172.16.0.0/16", "192.168.0.0/24"]);
        case("100.64.0.0/16", &["100.65.0.0/16"], &["10.0.0.0/16", "172.31.0.0/16", "192.168.0.0/24"]);
        case("203.0.112.0/20", &["203.1.0.0/16"], &["10.0.0.0/16"]);
        for first in ["10.2.0.0/16", "172.20.0.0/16", "192.168.0.0/24", "100.66.0.0/16", "203.1.0.0/16"] {
            case(first, &public, &["198.19.0.0/24"]);
        }
        case("198.19.0.0/24", &public, &[]);
        // A later block counts, where the first one does not.
        assert!(!permitted(&[net("10.2.0.0/16"), net("10.1.0.0/24")], &net("10.0.0.0/24")));
    }
}

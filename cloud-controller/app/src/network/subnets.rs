//! Subnets as users make, change and delete them.

use super::{SUBNET_TAG_KIND, block, overlap, subnet_ipv6};
use crate::fail::{OrFail as _, store_failure};
use crate::instances::purge::forget_instance;
use crate::quotas::{table as quotas, within};
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext, load};
use ipnet::Ipv4Net;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    InterfaceFilter, PAGE_ROWS_MAX, StoreError, SubnetRow, change_append, instance_list_terminated_in, interface_list,
    network_acl_association_of_subnet_delete, route_association_of_subnet_delete, subnet_delete, subnet_hold,
    subnet_insert, subnet_list, tag_delete_of, tag_put, vpc_blocks,
};
use mallee_types::{Generation, SubnetId, ZoneName};

/// A subnet to be made.
#[derive(Debug, Clone, Default)]
pub struct NewSubnet {
    /// In which VPC.
    pub vpc: String,
    /// Its block.
    pub cidr: String,
    /// A part of an IPv6 block of the VPC.
    pub ipv6_cidr: Option<String>,
    /// In which zone; none: the cloud chooses.
    pub zone: Option<ZoneName>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

fn has_dependencies(id: &SubnetId) -> ApiError {
    Code::DependencyViolation.message(format!("The subnet '{id}' has dependencies and cannot be deleted."))
}

impl Cloud {
    /// `CreateSubnet`.
    ///
    /// # Errors
    /// `InvalidSubnet.Range` for a block that is in none of the VPC's, or an IPv6 block that is no /64, `InvalidSubnet.Conflict`
    /// for one of which something is taken, `SubnetLimitExceeded`, bad tags.
    pub async fn create_subnet(&self, cx: &OpContext, new: &NewSubnet, dry_run: bool) -> Result<SubnetRow, ApiError> {
        let vpc = self.find_vpc(cx, &new.vpc).await?;
        let cidr = block("cidrBlock", &new.cidr, Code::InvalidSubnetRange)?;
        let inside = |blocks: Vec<Ipv4Net>| match blocks.iter().any(|block| block.contains(&cidr)) {
            true => Ok(()),
            false => Err(Code::InvalidSubnetRange.with(&[&cidr.to_string()])),
        };
        inside(vpc_blocks(self.store(), &vpc).await.or_fail()?)?;
        let ipv6 = new.ipv6_cidr.as_deref().map(subnet_ipv6::block).transpose()?;
        if let Some(ipv6) = ipv6 {
            self.check_subnet_ipv6(&vpc.id, ipv6).await?;
        }
        tags::validate(&new.tags)?;
        let conflict = || Code::InvalidSubnetConflict.with(&[&cidr.to_string()]);
        let vpcs = std::slice::from_ref(&vpc.id);
        let there = subnet_list(self.store(), cx.account(), None, Some(vpcs), None, PAGE_ROWS_MAX).await.or_fail()?;
        if there.iter().any(|subnet| overlap(&subnet.cidr, &cidr)) {
            return Err(conflict());
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let keys = [("ec2:Vpc", vec![format!("arn:aws:ec2:{}:{}:vpc/{}", self.config().region, cx.account(), vpc.id)])];
        let allowance = self.ec2_allowance(cx, "ec2:CreateSubnet", "subnet", &keys).await?;
        let mut tx = self.store().write().await.or_fail()?;
        // From here on no other call makes a subnet in the account, so that what is free stays free, and none takes a block
        // from the VPC.
        allowance.hold(&mut tx).await?;
        inside(vpc_blocks(&mut tx, &vpc).await.or_fail()?)?;
        let there = subnet_list(&mut tx, cx.account(), None, Some(vpcs), None, PAGE_ROWS_MAX).await.or_fail()?;
        if there.iter().any(|subnet| overlap(&subnet.cidr, &cidr)) {
            return Err(conflict());
        }
        within(&mut tx, cx.account(), &quotas::SUBNETS_PER_VPC, there.len() + 1).await?;
        let zone = new.zone.clone().or_else(|| self.emptiest_zone(&there));
        let row = SubnetRow {
            id: SubnetId::from_random(self.rng().u128()),
            account_id: cx.account().clone(),
            vpc_id: vpc.id.clone(),
            zone: zone.ok_or_else(|| ApiError::internal("the cloud has no zone"))?,
            cidr,
            is_default: false,
            map_public_ip: false,
            generation: Generation(1),
            created_ms: self.clock().now_ms(),
        };
        subnet_insert(&mut tx, &row).await.map_err(|error| match error {
            // The VPC was deleted meanwhile.
            StoreError::InUse => Code::InvalidVpcIdNotFound.with(&[vpc.id.as_str()]),
            error if error.is_conflict("subnets_vpc_id_cidr") => conflict(),
            other => store_failure(other),
        })?;
        if let Some(ipv6) = ipv6 {
            self.give_subnet_ipv6(&mut tx, &row, ipv6).await?;
        }
        self.give_default_acl(&mut tx, &row).await.or_fail()?;
        change_append(&mut tx, load::SUBNET, &row.id, None);
        allowance.made(&mut tx, &[row.id.to_string()]).await?;
        tag_put(&mut tx, &tags::rows(cx.account(), SUBNET_TAG_KIND, row.id.as_str(), &new.tags)).await.or_fail()?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// The zone in which a VPC has the fewest subnets, of equal ones the first.
    fn emptiest_zone(&self, subnets: &[SubnetRow]) -> Option<ZoneName> {
        let count = |zone: &&ZoneName| subnets.iter().filter(|subnet| subnet.zone == **zone).count();
        self.zones().iter().min_by_key(count).cloned()
    }

    /// `DeleteSubnet`: with its associations with a route table and a network ACL. Instances that were in it, and are
    /// terminated, are forgotten at once.
    ///
    /// # Errors
    /// `DependencyViolation` while interfaces are in it.
    pub async fn delete_subnet(&self, cx: &OpContext, id: &str, dry_run: bool) -> Result<(), ApiError> {
        let subnet = self.find_subnet(cx, id).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let needed = |error| match error {
            StoreError::InUse => has_dependencies(&subnet.id),
            other => store_failure(other),
        };
        let mut tx = self.store().write().await.or_fail()?;
        if !subnet_hold(&mut tx, &subnet.id).await.or_fail()? {
            return Err(Code::InvalidSubnetIdNotFound.with(&[subnet.id.as_str()]));
        }
        let filter = InterfaceFilter { subnet: Some(&subnet.id), ..Default::default() };
        let attached = crate::transit::needs(&mut tx, &subnet.vpc_id, &subnet.id).await?;
        if attached || !interface_list(&mut tx, filter, 1).await.or_fail()?.is_empty() {
            return Err(has_dependencies(&subnet.id));
        }
        for instance in instance_list_terminated_in(&mut tx, cx.account(), &subnet.id).await.or_fail()? {
            forget_instance(&mut tx, &instance).await.or_fail()?;
        }
        route_association_of_subnet_delete(&mut tx, &subnet.id).await.or_fail()?;
        network_acl_association_of_subnet_delete(&mut tx, &subnet.id).await.or_fail()?;
        crate::flow_logs::end_of(&mut tx, subnet.id.as_str(), self.clock().now_ms()).await.or_fail()?;
        if !subnet_delete(&mut tx, &subnet.id).await.map_err(needed)? {
            // Another call was faster.
            return Err(Code::InvalidSubnetIdNotFound.with(&[subnet.id.as_str()]));
        }
        tag_delete_of(&mut tx, subnet.id.as_str()).await.or_fail()?;
        change_append(&mut tx, load::SUBNET, &subnet.id, None);
        tx.commit().await.map_err(needed)
    }
}

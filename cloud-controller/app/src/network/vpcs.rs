//! VPCs as users make, change and delete them.

use super::make::NewVpc;
use super::{RESERVED, TAG_KIND, block, overlap};
use crate::acls::{Going, going, remove_acl};
use crate::fail::{OrFail as _, store_failure};
use crate::groups::DEFAULT_GROUP;
use crate::quotas::{hold_account, table as quotas};
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext, load, peerings};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    EgressOnlyGatewayFilter, PAGE_ROWS_MAX, RouteTableFilter, SecurityGroupFilter, StoreError, Tx, VpcAttribute,
    VpcRow, change_append, egress_only_gateway_list, internet_gateway_list_attached, route_association_main_delete,
    route_table_delete, route_table_list, security_group_delete, security_group_list, security_group_rules_of,
    subnet_list, tag_delete_of, tag_put, vpc_attribute_set, vpc_delete, vpc_fetch,
};
use mallee_types::VpcId;

/// What `ModifyVpcAttribute` and `ModifyVpcTenancy` change, one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VpcChange {
    /// Whether the resolver answers.
    DnsSupport(bool),
    /// Whether public addresses have names.
    DnsHostnames(bool),
    /// New instances are no longer on hardware of their own account unless they say so.
    DefaultTenancy,
}

fn has_dependencies(id: &VpcId) -> ApiError {
    Code::DependencyViolation.message(format!("The vpc '{id}' has dependencies and cannot be deleted."))
}

/// What the database has against a deletion.
fn needed(id: &VpcId) -> impl Fn(StoreError) -> ApiError + '_ {
    move |error| match error {
        StoreError::InUse => has_dependencies(id),
        other => store_failure(other),
    }
}

impl Cloud {
    /// `CreateVpc`, with an IPv6 block of the pool or without.
    ///
    /// # Errors
    /// `InvalidVpc.Range` for a block of a size or place that a VPC cannot have, `VpcLimitExceeded`, bad tags; with an IPv6
    /// block `Unsupported` in a cloud without a pool of them, `InsufficientAddressCapacity` when that has no free one.
    pub async fn create_vpc(
        &self,
        cx: &OpContext,
        cidr: &str,
        dedicated: bool,
        ipv6: bool,
        tags: &[Tag],
        dry_run: bool,
    ) -> Result<VpcRow, ApiError> {
        let net = block("cidrBlock", cidr, Code::InvalidVpcRange)?;
        if RESERVED.iter().any(|reserved| overlap(reserved, &net)) {
            return Err(Code::InvalidVpcRange.with(&[&net.to_string()]));
        }
        tags::validate(tags)?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let allowance = self.ec2_allowance(cx, "ec2:CreateVpc", "vpc", &[]).await?;
        let mut tx = self.store().write().await.or_fail()?;
        allowance.take(&mut tx, &[(&quotas::VPCS, 1)], &[]).await?;
        let new = NewVpc { account: cx.account(), cidr: net, is_default: false, dedicated };
        let vpc = self.make_vpc(&mut tx, new).await.or_fail()?;
        if ipv6 {
            self.give_ipv6_block(&mut tx, &vpc.id).await?;
        }
        allowance.made(&mut tx, &[vpc.id.to_string()]).await?;
        tag_put(&mut tx, &tags::rows(cx.account(), TAG_KIND, vpc.id.as_str(), tags)).await.or_fail()?;
        tx.commit().await.or_fail()?;
        Ok(vpc)
    }

    /// `DeleteVpc`: with the main route table, the default network ACL and the default group that it came with.
    ///
    /// # Errors
    /// `DependencyViolation` while it has anything else: subnets, a gateway, other groups, route tables or ACLs, or
    /// another account's request for peering that waits for its answer. Other peering connections end.
    pub async fn delete_vpc(&self, cx: &OpContext, id: &str, dry_run: bool) -> Result<(), ApiError> {
        let vpc = self.find_vpc(cx, id).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        hold_account(&mut tx, cx.account()).await?;
        let vpcs = std::slice::from_ref(&vpc.id);
        let subnets = subnet_list(&mut tx, cx.account(), None, Some(vpcs), None, 1).await.or_fail()?;
        let gateways = internet_gateway_list_attached(&mut tx, Some(vpcs), None, 1).await.or_fail()?;
        let filter = EgressOnlyGatewayFilter { vpcs: Some(vpcs), ..Default::default() };
        let outward = egress_only_gateway_list(&mut tx, filter, 1).await.or_fail()?;
        if !subnets.is_empty() || !gateways.is_empty() || !outward.is_empty() {
            return Err(has_dependencies(&vpc.id));
        }
        self.remove_own_parts(&mut tx, cx, &vpc).await?;
        if !peerings::vpc_goes(&mut tx, &vpc, self.clock().now_ms()).await? {
            return Err(has_dependencies(&vpc.id));
        }
        crate::flow_logs::end_of(&mut tx, vpc.id.as_str(), self.clock().now_ms()).await.or_fail()?;
        if !vpc_delete(&mut tx, &vpc.id).await.map_err(needed(&vpc.id))? {
            // Another call was faster.
            return Err(Code::InvalidVpcIdNotFound.with(&[vpc.id.as_str()]));
        }
        tag_delete_of(&mut tx, vpc.id.as_str()).await.or_fail()?;
        change_append(&mut tx, load::VPC, &vpc.id, None);
        tx.commit().await.map_err(needed(&vpc.id))
    }

    /// The main table, the default ACL and the default group go, if there is nothing besides.
    async fn remove_own_parts(&self, tx: &mut Tx, cx: &OpContext, vpc: &VpcRow) -> Result<(), ApiError> {
        let filter = RouteTableFilter { vpcs: Some(std::slice::from_ref(&vpc.id)), ..Default::default() };
        let tables = route_table_list(&mut *tx, filter, PAGE_ROWS_MAX).await.or_fail()?;
        let filter = SecurityGroupFilter { vpcs: Some(std::slice::from_ref(&vpc.id)), ..Default::default() };
        let groups = security_group_list(&mut *tx, cx.account(), filter, PAGE_ROWS_MAX).await.or_fail()?;
        let acls = going(tx, Going::Vpc(&vpc.id)).await?;
        if tables.len() > 1
            || acls.iter().any(|acl| !acl.is_default)
            || groups.iter().any(|group| group.name != DEFAULT_GROUP)
        {
            return Err(has_dependencies(&vpc.id));
        }
        route_association_main_delete(tx, &vpc.id).await.or_fail()?;
        for table in tables {
            route_table_delete(tx, &table.id).await.map_err(needed(&vpc.id))?;
            tag_delete_of(tx, table.id.as_str()).await.or_fail()?;
            change_append(tx, load::ROUTE_TABLE, &table.id, None);
        }
        for acl in acls {
            remove_acl(tx, &acl.id).await.map_err(needed(&vpc.id))?;
        }
        for group in groups {
            for rule in security_group_rules_of(&mut *tx, &group.id).await.or_fail()? {
                tag_delete_of(tx, rule.id.as_str()).await.or_fail()?;
            }
            security_group_delete(tx, &group.id).await.map_err(needed(&vpc.id))?;
            tag_delete_of(tx, group.id.as_str()).await.or_fail()?;
            change_append(tx, load::GROUP, &group.id, None);
        }
        Ok(())
    }

    /// `ModifyVpcAttribute` and `ModifyVpcTenancy`. What is so already changes nothing.
    ///
    /// # Errors
    /// A VPC that is not there; names for public addresses where no resolver answers.
    pub async fn modify_vpc(&self, cx: &OpContext, id: &str, change: VpcChange, dry_run: bool) -> Result<(), ApiError> {
        let vpc = self.find_vpc(cx, id).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let (attribute, value) = match change {
            VpcChange::DnsSupport(on) => (VpcAttribute::DnsSupport, on),
            VpcChange::DnsHostnames(on) => (VpcAttribute::DnsHostnames, on),
            VpcChange::DefaultTenancy => (VpcAttribute::Dedicated, false),
        };
        let mut tx = self.store().write().await.or_fail()?;
        let changed = vpc_attribute_set(&mut tx, &vpc.id, attribute, value).await.or_fail()?;
        // As it is now that nobody else changes it.
        let now = match vpc_fetch(&mut tx, &vpc.id).await {
            Err(StoreError::NotFound { .. }) => return Err(Code::InvalidVpcIdNotFound.with(&[vpc.id.as_str()])),
            other => other.or_fail()?,
        };
        if change == VpcChange::DnsHostnames(true) && !now.dns_support {
            return Err(ApiError::invalid_combination(
                "DNS hostnames can only be enabled in a VPC whose DNS support is enabled.",
            ));
        }
        if changed {
            change_append(&mut tx, load::VPC, &vpc.id, None);
            tx.commit().await.or_fail()
        } else {
            tx.rollback().await.or_fail()
        }
    }
}

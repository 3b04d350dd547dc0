//! The default VPC of an account and its default subnets, one per zone.

use super::make::NewVpc;
use super::{DEFAULT_ZONES_SETTING, overlap};
use crate::fail::{OrFail as _, store_failure};
use crate::quotas::{hold_account, table as quotas, within};
use crate::{Cloud, OpContext, load};
use ipnet::Ipv4Net;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    StoreError, SubnetRow, Tx, VpcRow, account_list, change_append, quota_hold, setting_fetch, setting_put,
    subnet_default, subnet_insert, subnet_list, vpc_default,
};
use mallee_types::{AccountId, Generation, SubnetId, ZoneName};
use std::net::Ipv4Addr;

/// The default VPC's block, as on AWS.
const DEFAULT_VPC: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(172, 31, 0, 0), 16);
/// Its subnets are /20, one per zone.
const DEFAULT_SUBNET_PREFIX: u8 = 20;

impl Cloud {
    /// Makes an account's default VPC with its group, and a default subnet for each zone that has none yet.
    /// Repeating it is harmless.
    ///
    /// # Errors
    /// What the database says.
    pub async fn ensure_default_vpc(&self, tx: &mut Tx, account: &AccountId) -> Result<VpcRow, StoreError> {
        let vpc = match vpc_default(&mut *tx, account).await? {
            Some(vpc) => vpc,
            None => {
                let new = NewVpc { account, cidr: DEFAULT_VPC, is_default: true, dedicated: false };
                self.make_vpc(tx, new).await?
            }
        };
        for zone in self.zones() {
            self.ensure_default_subnet(tx, &vpc, zone).await?;
        }
        Ok(vpc)
    }

    /// What a start of the cloud completes: accounts have a default network in every zone. What somebody deleted is
    /// not made again: an account that lacks its default VPC, or a subnet in a zone of before, wants it so.
    pub(crate) async fn complete_default_networks(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let before = setting_fetch(&mut *tx, DEFAULT_ZONES_SETTING).await?;
        let known: Option<Vec<&str>> = before.as_ref().map(|text| text.split(' ').collect());
        for account in account_list(&mut *tx).await? {
            let Some(known) = &known else {
                self.ensure_default_vpc(tx, &account.id).await?;
                continue;
            };
            let new: Vec<&ZoneName> = self.zones().iter().filter(|zone| !known.contains(&zone.as_str())).collect();
            if new.is_empty() {
                continue;
            }
            // What is free stays free: another replica may be making subnets. (Accounts come in order, so none waits for ever.)
            quota_hold(tx, &account.id).await?;
            let Some(vpc) = vpc_default(&mut *tx, &account.id).await? else { continue };
            for zone in new {
                self.ensure_default_subnet(tx, &vpc, zone).await?;
            }
        }
        let mut zones: Vec<&str> = known.unwrap_or_default();
        zones.extend(self.zones().iter().map(AsRef::as_ref));
        zones.sort_unstable();
        zones.dedup();
        setting_put(tx, DEFAULT_ZONES_SETTING, zones.join(" ").trim()).await
    }

    /// A default subnet, unless the zone has one, or the VPC no room for one.
    async fn ensure_default_subnet(&self, tx: &mut Tx, vpc: &VpcRow, zone: &ZoneName) -> Result<(), StoreError> {
        if subnet_default(&mut *tx, &vpc.account_id, zone).await?.is_some() {
            return Ok(());
        }
        match self.free_block(tx, vpc).await? {
            Some(cidr) => self.insert_default_subnet(tx, vpc, zone, cidr).await.map(drop),
            None => {
                tracing::warn!(vpc = %vpc.id, %zone, "the default vpc has no room for a subnet in this zone");
                Ok(())
            }
        }
    }

    async fn insert_default_subnet(
        &self,
        tx: &mut Tx,
        vpc: &VpcRow,
        zone: &ZoneName,
        cidr: Ipv4Net,
    ) -> Result<SubnetRow, StoreError> {
        let subnet = SubnetRow {
            id: SubnetId::from_random(self.rng().u128()),
            account_id: vpc.account_id.clone(),
            vpc_id: vpc.id.clone(),
            zone: zone.clone(),
            cidr,
            is_default: true,
            map_public_ip: true,
            generation: Generation(1),
            created_ms: self.clock().now_ms(),
        };
        subnet_insert(tx, &subnet).await?;
        self.give_default_acl(tx, &subnet).await?;
        change_append(tx, load::SUBNET, &subnet.id, None);
        Ok(subnet)
    }

    /// The first block for a default subnet that overlaps none of the VPC's.
    async fn free_block(&self, tx: &mut Tx, vpc: &VpcRow) -> Result<Option<Ipv4Net>, StoreError> {
        let vpcs = [vpc.id.clone()];
        let taken = subnet_list(tx, &vpc.account_id, None, Some(&vpcs), None, mallee_store::PAGE_ROWS_MAX).await?;
        let mut blocks = vpc.cidr.subnets(DEFAULT_SUBNET_PREFIX).into_iter().flatten();
        Ok(blocks.find(|block| !taken.iter().any(|subnet| overlap(&subnet.cidr, block))))
    }

    /// `CreateDefaultVpc`: with its gateway, its route there, and a default subnet in every zone.
    ///
    /// # Errors
    /// `DefaultVpcAlreadyExists`, `VpcLimitExceeded`.
    pub async fn create_default_vpc(&self, cx: &OpContext, dry_run: bool) -> Result<VpcRow, ApiError> {
        let exists = || Code::DefaultVpcAlreadyExists.error();
        if self.default_vpc(cx).await?.is_some() {
            return Err(exists());
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let allowance = self.ec2_allowance(cx, "ec2:CreateDefaultVpc", "vpc", &[]).await?;
        let mut tx = self.store().write().await.or_fail()?;
        allowance.take(&mut tx, &[(&quotas::VPCS, 1)], &[]).await?;
        if vpc_default(&mut tx, cx.account()).await.or_fail()?.is_some() {
            return Err(exists());
        }
        let vpc = self
            .ensure_default_vpc(&mut tx, cx.account())
            .await
            .map_err(|error| if error.is_conflict("vpcs_account_id") { exists() } else { store_failure(error) })?;
        allowance.made(&mut tx, &[vpc.id.to_string()]).await?;
        tx.commit().await.or_fail()?;
        Ok(vpc)
    }

    /// `CreateDefaultSubnet`: a free /20 of the default VPC.
    ///
    /// # Errors
    /// `DefaultVpcDoesNotExist`, `DefaultSubnetAlreadyExistsInAvailabilityZone`, `SubnetLimitExceeded`,
    /// `InvalidSubnet.Conflict` without room.
    pub async fn create_default_subnet(
        &self,
        cx: &OpContext,
        zone: &ZoneName,
        dry_run: bool,
    ) -> Result<SubnetRow, ApiError> {
        let exists = || Code::DefaultSubnetAlreadyExistsInAvailabilityZone.with(&[zone.as_str()]);
        let none = || Code::DefaultVpcDoesNotExist.error();
        self.default_vpc(cx).await?.ok_or_else(none)?;
        if subnet_default(self.store(), cx.account(), zone).await.or_fail()?.is_some() {
            return Err(exists());
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let allowance = self.ec2_allowance(cx, "ec2:CreateDefaultSubnet", "subnet", &[]).await?;
        let mut tx = self.store().write().await.or_fail()?;
        hold_account(&mut tx, cx.account()).await?;
        let vpc = vpc_default(&mut tx, cx.account()).await.or_fail()?.ok_or_else(none)?;
        let vpcs = [vpc.id.clone()];
        let there = subnet_list(&mut tx, cx.account(), None, Some(&vpcs), None, mallee_store::PAGE_ROWS_MAX).await;
        within(&mut tx, cx.account(), &quotas::SUBNETS_PER_VPC, there.or_fail()?.len() + 1).await?;
        let cidr = self.free_block(&mut tx, &vpc).await.or_fail()?.ok_or_else(|| {
            Code::InvalidSubnetConflict
                .message(format!("The default VPC '{}' has no free /{DEFAULT_SUBNET_PREFIX} CIDR block.", vpc.id))
        })?;
        let row = self.insert_default_subnet(&mut tx, &vpc, zone, cidr).await.map_err(|error| {
            if error.is_conflict("subnets_account_id_zone") { exists() } else { store_failure(error) }
        })?;
        allowance.made(&mut tx, &[row.id.to_string()]).await?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }
}

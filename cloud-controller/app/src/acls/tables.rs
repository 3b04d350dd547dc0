//! Network ACLs: made, given to subnets, deleted.

use super::{TAG_KIND, remove_acl};
use crate::fail::{OrFail as _, store_failure};
use crate::ids::parse_id;
use crate::once::{Once, record};
use crate::quotas::{table as quotas, within};
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext, load};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    NetworkAclAssociationFilter, NetworkAclAssociationRow, NetworkAclFilter, NetworkAclRow, PAGE_ROWS_MAX, StoreError,
    change_append, network_acl_association_list, network_acl_association_replace, network_acl_insert, network_acl_list,
    subnet_touch, tag_put,
};
use mallee_types::{Generation, NetworkAclAssociationId, NetworkAclId};

/// The operation's name in the log of client tokens.
const CREATE: &str = "CreateNetworkAcl";

impl Cloud {
    /// The ACL of this id.
    ///
    /// # Errors
    /// EC2's for an id that is none, and for an ACL that is not there.
    pub async fn find_network_acl(&self, cx: &OpContext, id: &str) -> Result<NetworkAclRow, ApiError> {
        let id: NetworkAclId = parse_id(id, Code::InvalidNetworkAclIdMalformed)?;
        let ids = Some(std::slice::from_ref(&id));
        let filter = NetworkAclFilter { account: Some(cx.account()), ids, ..Default::default() };
        let found = network_acl_list(self.store(), filter, 1).await.or_fail()?.pop();
        found.ok_or_else(|| Code::InvalidNetworkAclIdNotFound.with(&[id.as_str()]))
    }

    /// The association of this id, with its ACL, of the account.
    async fn find_acl_association(
        &self,
        cx: &OpContext,
        id: &str,
    ) -> Result<(NetworkAclAssociationRow, NetworkAclRow), ApiError> {
        let unknown = || Code::InvalidAssociationIdNotFound.with(&[&mallee_awswire::texts::clip(id)]);
        let parsed: NetworkAclAssociationId = id.parse().map_err(|_| unknown())?;
        let filter = NetworkAclAssociationFilter { id: Some(&parsed), ..Default::default() };
        let row = network_acl_association_list(self.store(), filter).await.or_fail()?.pop().ok_or_else(unknown)?;
        match self.find_network_acl(cx, row.acl_id.as_str()).await {
            Ok(acl) => Ok((row, acl)),
            Err(error) if error.code() == Code::InvalidNetworkAclIdNotFound => Err(unknown()),
            Err(error) => Err(error),
        }
    }

    /// `CreateNetworkAcl`: one through which nothing passes.
    ///
    /// # Errors
    /// `NetworkAclLimitExceeded`, tags that are none, a VPC that is not there.
    pub async fn create_network_acl(
        &self,
        cx: &OpContext,
        vpc: &str,
        tags: &[Tag],
        once: &Once,
        dry_run: bool,
    ) -> Result<NetworkAclId, ApiError> {
        let vpc = self.find_vpc(cx, vpc).await?;
        tags::validate(tags)?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let allowance = self.ec2_allowance(cx, "ec2:CreateNetworkAcl", TAG_KIND, &[]).await?;
        let mut tx = self.store().write().await.or_fail()?;
        if let Some(made) = self.claim(&mut tx, cx, CREATE, once).await? {
            return made.parse().map_err(ApiError::internal);
        }
        // From here on no other call makes an ACL in the account: all that there are, are counted.
        allowance.hold(&mut tx).await?;
        let vpcs = Some(std::slice::from_ref(&vpc.id));
        let filter = NetworkAclFilter { vpcs, ..Default::default() };
        let there = network_acl_list(&mut tx, filter, PAGE_ROWS_MAX).await.or_fail()?;
        within(&mut tx, cx.account(), &quotas::NETWORK_ACLS_PER_VPC, there.len() + 1).await?;
        let row = NetworkAclRow {
            id: NetworkAclId::from_random(self.rng().u128()),
            account_id: cx.account().clone(),
            vpc_id: vpc.id,
            is_default: false,
            generation: Generation(1),
            created_ms: self.clock().now_ms(),
        };
        allowance.made(&mut tx, &[row.id.to_string()]).await?;
        network_acl_insert(&mut tx, &row).await.map_err(|error| match error {
            // The VPC was deleted meanwhile.
            StoreError::InUse => Code::InvalidVpcIdNotFound.with(&[row.vpc_id.as_str()]),
            other => store_failure(other),
        })?;
        tag_put(&mut tx, &tags::rows(cx.account(), TAG_KIND, row.id.as_str(), tags)).await.or_fail()?;
        change_append(&mut tx, load::NETWORK_ACL, &row.id, None);
        record(&mut tx, cx, CREATE, once, row.id.as_str()).await?;
        tx.commit().await.or_fail()?;
        Ok(row.id)
    }

    /// `DeleteNetworkAcl`.
    ///
    /// # Errors
    /// `DependencyViolation` while a subnet has it, `InvalidParameterValue` for the default one of a VPC.
    pub async fn delete_network_acl(&self, cx: &OpContext, id: &str, dry_run: bool) -> Result<(), ApiError> {
        let row = self.find_network_acl(cx, id).await?;
        if row.is_default {
            return Err(Code::InvalidParameterValue.message(format!("cannot delete default network ACL {}", row.id)));
        }
        let needed = |error| match error {
            StoreError::InUse => Code::DependencyViolation
                .message(format!("The networkAcl '{}' has dependencies and cannot be deleted.", row.id)),
            other => store_failure(other),
        };
        let filter = NetworkAclAssociationFilter { acls: Some(std::slice::from_ref(&row.id)), ..Default::default() };
        if !network_acl_association_list(self.store(), filter).await.or_fail()?.is_empty() {
            return Err(needed(StoreError::InUse));
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        if !remove_acl(&mut tx, &row.id).await.map_err(needed)? {
            // Another call was faster.
            return Err(Code::InvalidNetworkAclIdNotFound.with(&[row.id.as_str()]));
        }
        tx.commit().await.map_err(needed)
    }

    /// `ReplaceNetworkAclAssociation`: gives the subnet another ACL. The association has another id from then on.
    ///
    /// # Errors
    /// `InvalidAssociationID.NotFound`; `InvalidParameterValue` for an ACL of another VPC.
    pub async fn replace_network_acl_association(
        &self,
        cx: &OpContext,
        id: &str,
        acl: &str,
        dry_run: bool,
    ) -> Result<NetworkAclAssociationId, ApiError> {
        let (row, old) = self.find_acl_association(cx, id).await?;
        let acl = self.find_network_acl(cx, acl).await?;
        if acl.vpc_id != old.vpc_id {
            return Err(Code::InvalidParameterValue
                .message(format!("Network ACL {} and subnet {} belong to different networks", acl.id, row.subnet_id)));
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let new = NetworkAclAssociationId::from_random(self.rng().u128());
        let mut tx = self.store().write().await.or_fail()?;
        let gone = || Code::InvalidNetworkAclIdNotFound.with(&[acl.id.as_str()]);
        match network_acl_association_replace(&mut tx, &row.id, &new, &acl.id).await {
            Ok(true) => {}
            // Another call was faster.
            Ok(false) => return Err(Code::InvalidAssociationIdNotFound.with(&[row.id.as_str()])),
            Err(StoreError::InUse) => return Err(gone()),
            Err(error) => return Err(store_failure(error)),
        }
        // Which ACL a subnet has, is told with the subnet.
        subnet_touch(&mut tx, &row.subnet_id).await.or_fail()?;
        change_append(&mut tx, load::SUBNET, &row.subnet_id, None);
        match tx.commit().await {
            Err(StoreError::InUse) => Err(gone()),
            done => done.or_fail().map(|()| new),
        }
    }
}

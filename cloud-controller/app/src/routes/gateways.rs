//! Internet gateways: made, attached, detached, deleted.

use super::GATEWAY_TAG_KIND;
use crate::fail::{OrFail as _, store_failure};
use crate::ids::parse_id;
use crate::quotas::table as quotas;
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext, load};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    InternetGatewayRow, StoreError, change_append, internet_gateway_attach, internet_gateway_delete,
    internet_gateway_detach, internet_gateway_hold, internet_gateway_insert, internet_gateway_list, tag_delete_of,
    tag_put, vpc_has_public_address, vpc_touch,
};
use mallee_types::InternetGatewayId;

impl Cloud {
    /// The gateway of this id.
    ///
    /// # Errors
    /// EC2's for an id that is none, and for a gateway that is not there.
    pub async fn find_internet_gateway(&self, cx: &OpContext, id: &str) -> Result<InternetGatewayRow, ApiError> {
        let id: InternetGatewayId = parse_id(id, Code::InvalidInternetGatewayIdMalformed)?;
        let ids = Some(std::slice::from_ref(&id));
        let found = internet_gateway_list(self.store(), cx.account(), ids, None, None, 1).await.or_fail()?.pop();
        found.ok_or_else(|| Code::InvalidInternetGatewayIdNotFound.with(&[id.as_str()]))
    }

    /// `CreateInternetGateway`.
    ///
    /// # Errors
    /// `InternetGatewayLimitExceeded`, tags that are none.
    pub async fn create_internet_gateway(
        &self,
        cx: &OpContext,
        tags: &[Tag],
        dry_run: bool,
    ) -> Result<InternetGatewayRow, ApiError> {
        tags::validate(tags)?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let row = InternetGatewayRow {
            id: InternetGatewayId::from_random(self.rng().u128()),
            account_id: cx.account().clone(),
            vpc_id: None,
            created_ms: self.clock().now_ms(),
        };
        let allowance = self.ec2_allowance(cx, "ec2:CreateInternetGateway", GATEWAY_TAG_KIND, &[]).await?;
        let mut tx = self.store().write().await.or_fail()?;
        allowance.take(&mut tx, &[(&quotas::INTERNET_GATEWAYS, 1)], &[row.id.to_string()]).await?;
        internet_gateway_insert(&mut tx, &row).await.or_fail()?;
        tag_put(&mut tx, &tags::rows(cx.account(), GATEWAY_TAG_KIND, row.id.as_str(), tags)).await.or_fail()?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// `AttachInternetGateway`: from now on routes to it lead to the world.
    ///
    /// # Errors
    /// `Resource.AlreadyAssociated` for a gateway that is attached, `InvalidParameterValue` for a VPC that has one.
    pub async fn attach_internet_gateway(
        &self,
        cx: &OpContext,
        id: &str,
        vpc: &str,
        dry_run: bool,
    ) -> Result<(), ApiError> {
        let row = self.find_internet_gateway(cx, id).await?;
        let vpc = self.find_vpc(cx, vpc).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        let attached = internet_gateway_attach(&mut tx, &row.id, &vpc.id).await.map_err(|error| {
            if error.is_conflict("internet_gateways_vpc_id") {
                let text = format!("Network {} already has an internet gateway attached", vpc.id);
                Code::InvalidParameterValue.message(text)
            } else if matches!(error, StoreError::InUse) {
                // It has just been deleted.
                Code::InvalidVpcIdNotFound.with(&[vpc.id.as_str()])
            } else {
                store_failure(error)
            }
        })?;
        if !attached {
            drop(tx);
            let now = self.find_internet_gateway(cx, id).await?;
            let network = now.vpc_id.as_ref().map_or("another network", |vpc| vpc.as_str());
            return Err(Code::ResourceAlreadyAssociated
                .message(format!("resource {} is already attached to network {network}", row.id)));
        }
        vpc_touch(&mut tx, &vpc.id).await.or_fail()?;
        change_append(&mut tx, load::VPC, &vpc.id, None);
        tx.commit().await.or_fail()
    }

    /// `DetachInternetGateway`. Routes to it stay, and lead nowhere.
    ///
    /// # Errors
    /// `Gateway.NotAttached`; `DependencyViolation` while an interface of the VPC has a public address.
    pub async fn detach_internet_gateway(
        &self,
        cx: &OpContext,
        id: &str,
        vpc: &str,
        dry_run: bool,
    ) -> Result<(), ApiError> {
        let row = self.find_internet_gateway(cx, id).await?;
        let vpc = self.find_vpc(cx, vpc).await?;
        let not_attached = || Code::GatewayNotAttached.with(&[row.id.as_str(), vpc.id.as_str()]);
        if row.vpc_id.as_ref() != Some(&vpc.id) {
            return Err(not_attached());
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        // Nobody associates an address meanwhile.
        internet_gateway_hold(&mut tx, &vpc.id).await.or_fail()?;
        if !internet_gateway_detach(&mut tx, &row.id, &vpc.id).await.or_fail()? {
            return Err(not_attached());
        }
        if vpc_has_public_address(&mut tx, &vpc.id).await.or_fail()? {
            return Err(Code::DependencyViolation.message(format!(
                "Network {} has some mapped public address(es). Please unmap those public address(es) before detaching \
                 the gateway.",
                vpc.id
            )));
        }
        vpc_touch(&mut tx, &vpc.id).await.or_fail()?;
        change_append(&mut tx, load::VPC, &vpc.id, None);
        tx.commit().await.or_fail()
    }

    /// `DeleteInternetGateway`.
    ///
    /// # Errors
    /// `DependencyViolation` while it is attached.
    pub async fn delete_internet_gateway(&self, cx: &OpContext, id: &str, dry_run: bool) -> Result<(), ApiError> {
        let row = self.find_internet_gateway(cx, id).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        if !internet_gateway_delete(&mut tx, &row.id).await.or_fail()? {
            // Attached, or another call was first.
            drop(tx);
            self.find_internet_gateway(cx, id).await?;
            return Err(Code::DependencyViolation
                .message(format!("The internetGateway '{}' has dependencies and cannot be deleted.", row.id)));
        }
        tag_delete_of(&mut tx, row.id.as_str()).await.or_fail()?;
        tx.commit().await.or_fail()
    }
}

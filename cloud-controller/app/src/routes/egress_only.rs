//! Egress-only internet gateways: made for a VPC, and deleted. By them IPv6 leaves it, and only answers come in.

use super::EGRESS_ONLY_TAG_KIND;
use crate::fail::{OrFail as _, store_failure};
use crate::once::{Once, record};
use crate::quotas::table as quotas;
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext, load};
use mallee_awswire::{ApiError, Code, texts::clip};
use mallee_store::{
    EgressOnlyGatewayFilter, EgressOnlyGatewayRow, StoreError, Tx, change_append, egress_only_gateway_delete,
    egress_only_gateway_insert, egress_only_gateway_list, tag_delete_of, tag_put, vpc_touch,
};
use mallee_types::{EgressOnlyGatewayId, VpcId};

/// The operation's name in the log of client tokens.
const CREATE: &str = "CreateEgressOnlyInternetGateway";

impl Cloud {
    /// The gateway of this id.
    ///
    /// # Errors
    /// `InvalidGatewayID.NotFound`, for what is no such id too.
    pub async fn find_egress_only_gateway(&self, cx: &OpContext, id: &str) -> Result<EgressOnlyGatewayRow, ApiError> {
        let unknown = || Code::InvalidGatewayIdNotFound.with(&[&clip(id)]);
        let parsed: EgressOnlyGatewayId = id.parse().map_err(|_| unknown())?;
        let ids = Some(std::slice::from_ref(&parsed));
        let filter = EgressOnlyGatewayFilter { account: Some(cx.account()), ids, ..Default::default() };
        egress_only_gateway_list(self.store(), filter, 1).await.or_fail()?.pop().ok_or_else(unknown)
    }

    /// `CreateEgressOnlyInternetGateway`: it is attached to its VPC for as long as it is there.
    ///
    /// # Errors
    /// `InvalidParameterValue` for a VPC that has one, `ResourceLimitExceeded`, tags that are none.
    pub async fn create_egress_only_gateway(
        &self,
        cx: &OpContext,
        vpc: &str,
        tags: &[Tag],
        once: &Once,
        dry_run: bool,
    ) -> Result<EgressOnlyGatewayId, ApiError> {
        let vpc = self.find_vpc(cx, vpc).await?;
        tags::validate(tags)?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let allowance =
            self.ec2_allowance(cx, "ec2:CreateEgressOnlyInternetGateway", EGRESS_ONLY_TAG_KIND, &[]).await?;
        let mut tx = self.store().write().await.or_fail()?;
        if let Some(made) = self.claim(&mut tx, cx, CREATE, once).await? {
            return made.parse().map_err(ApiError::internal);
        }
        let row = EgressOnlyGatewayRow {
            id: EgressOnlyGatewayId::from_random(self.rng().u128()),
            account_id: cx.account().clone(),
            vpc_id: vpc.id,
            created_ms: self.clock().now_ms(),
        };
        allowance.take(&mut tx, &[(&quotas::EGRESS_ONLY_GATEWAYS, 1)], &[row.id.to_string()]).await?;
        egress_only_gateway_insert(&mut tx, &row).await.map_err(|error| {
            if error.is_conflict("egress_only_gateways_vpc_id") {
                let text = format!("Network {} already has an egress-only internet gateway attached", row.vpc_id);
                Code::InvalidParameterValue.message(text)
            } else if matches!(error, StoreError::InUse) {
                // It has just been deleted.
                Code::InvalidVpcIdNotFound.with(&[row.vpc_id.as_str()])
            } else {
                store_failure(error)
            }
        })?;
        tag_put(&mut tx, &tags::rows(cx.account(), EGRESS_ONLY_TAG_KIND, row.id.as_str(), tags)).await.or_fail()?;
        tell(&mut tx, &row.vpc_id).await?;
        record(&mut tx, cx, CREATE, once, row.id.as_str()).await?;
        match tx.commit().await {
            Err(StoreError::InUse) => Err(Code::InvalidVpcIdNotFound.with(&[row.vpc_id.as_str()])),
            done => done.or_fail().map(|()| row.id),
        }
    }

    /// `DeleteEgressOnlyInternetGateway`. Routes to it stay, and lead nowhere.
    ///
    /// # Errors
    /// `InvalidGatewayID.NotFound`.
    pub async fn delete_egress_only_gateway(&self, cx: &OpContext, id: &str, dry_run: bool) -> Result<(), ApiError> {
        let row = self.find_egress_only_gateway(cx, id).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        if !egress_only_gateway_delete(&mut tx, &row.id).await.or_fail()? {
            // Another call was faster.
            return Err(Code::InvalidGatewayIdNotFound.with(&[row.id.as_str()]));
        }
        tag_delete_of(&mut tx, row.id.as_str()).await.or_fail()?;
        tell(&mut tx, &row.vpc_id).await?;
        tx.commit().await.or_fail()
    }
}

/// Clusters learn that the VPC is not what it was.
async fn tell(tx: &mut Tx, vpc: &VpcId) -> Result<(), ApiError> {
    vpc_touch(tx, vpc).await.or_fail()?;
    change_append(tx, load::VPC, vpc, None);
    Ok(())
}

//! What becomes of a request: accepted, rejected, deleted; and what both sides set on an active connection.

use super::{active_within, any_vpc, end, vpcs_overlap};
use crate::fail::OrFail as _;
use crate::{Cloud, OpContext, load};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    VpcPeeringRow, VpcPeeringState, change_append, quota_hold, vpc_fetch, vpc_peering_accept, vpc_peering_expire,
    vpc_peering_options_set,
};
use std::collections::BTreeSet;

/// Whether public names of a side's VPC are to mean private addresses to the other side; `None`: as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PeeringOptions {
    /// Of the requester's VPC.
    pub requester_dns: Option<bool>,
    /// Of the accepter's VPC.
    pub accepter_dns: Option<bool>,
}

fn cannot_become(row: &VpcPeeringRow, state: &str) -> ApiError {
    Code::InvalidStateTransition.message(format!(
        "Invalid state transition for {}, attempted to transition from {} to {state}",
        row.id,
        row.state.word()
    ))
}

fn not_yours(cx: &OpContext, row: &VpcPeeringRow, what: &str) -> ApiError {
    Code::OperationNotPermitted.message(format!("User {} cannot {what} peering {}", cx.account(), row.id))
}

fn changed() -> ApiError {
    Code::Unavailable.message("The resource was changed by another request. Please try again.")
}

impl Cloud {
    /// `AcceptVpcPeeringConnection`. One whose VPCs came to overlap since it was asked for fails now.
    ///
    /// # Errors
    /// `OperationNotPermitted` for all but the accepter, `InvalidStateTransition`, the quotas of both VPCs.
    pub async fn accept_peering(&self, cx: &OpContext, id: &str, dry_run: bool) -> Result<VpcPeeringRow, ApiError> {
        let row = self.find_peering(cx, id).await?;
        if row.accepter_account != *cx.account() {
            return Err(not_yours(cx, &row, "accept"));
        }
        if row.state != VpcPeeringState::PendingAcceptance {
            return Err(cannot_become(&row, "active"));
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let now_ms = self.clock().now_ms();
        let mut tx = self.store().write().await.or_fail()?;
        // Both in one order: whoever else accepts for one of the two VPCs waits, and counts this one.
        for account in BTreeSet::from([&row.requester_account, &row.accepter_account]) {
            quota_hold(&mut tx, account).await.or_fail()?;
        }
        vpc_peering_expire(&mut tx, now_ms).await.or_fail()?;
        let requester = any_vpc(&mut tx, &row.requester_vpc).await?;
        let accepter = any_vpc(&mut tx, &row.accepter_vpc).await?;
        let (Some(requester), Some(accepter)) = (requester, accepter) else { return Err(changed()) };
        if vpcs_overlap(&mut tx, &requester, &accepter).await? {
            end(&mut tx, &row, VpcPeeringState::Failed, cx.account(), now_ms).await?;
        } else {
            for vpc in [&requester, &accepter] {
                active_within(&mut tx, &vpc.account_id, &vpc.id).await?;
            }
            if !vpc_peering_accept(&mut tx, &row.id, cx.account()).await.or_fail()? {
                return Err(changed());
            }
            change_append(&mut tx, load::VPC_PEERING, &row.id, None);
        }
        tx.commit().await.or_fail()?;
        self.find_peering(cx, id).await
    }

    /// `RejectVpcPeeringConnection`.
    ///
    /// # Errors
    /// `OperationNotPermitted` for all but the accepter, `InvalidStateTransition`.
    pub async fn reject_peering(&self, cx: &OpContext, id: &str, dry_run: bool) -> Result<(), ApiError> {
        let row = self.find_peering(cx, id).await?;
        if row.accepter_account != *cx.account() {
            return Err(not_yours(cx, &row, "reject"));
        }
        if row.state != VpcPeeringState::PendingAcceptance {
            return Err(cannot_become(&row, "rejected"));
        }
        self.end_peering(cx, &row, VpcPeeringState::Rejected, dry_run).await
    }

    /// `DeleteVpcPeeringConnection`: an active one by either side, a request by who asked.
    ///
    /// # Errors
    /// `OperationNotPermitted` for a request of the other side, `InvalidStateTransition` for what has ended.
    pub async fn delete_peering(&self, cx: &OpContext, id: &str, dry_run: bool) -> Result<(), ApiError> {
        let row = self.find_peering(cx, id).await?;
        if !row.state.is_live() {
            return Err(cannot_become(&row, "deleting"));
        }
        if row.state == VpcPeeringState::PendingAcceptance && row.requester_account != *cx.account() {
            return Err(not_yours(cx, &row, "delete"));
        }
        self.end_peering(cx, &row, VpcPeeringState::Deleted, dry_run).await
    }

    async fn end_peering(
        &self,
        cx: &OpContext,
        row: &VpcPeeringRow,
        state: VpcPeeringState,
        dry_run: bool,
    ) -> Result<(), ApiError> {
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        if !end(&mut tx, row, state, cx.account(), self.clock().now_ms()).await? {
            return Err(changed());
        }
        tx.commit().await.or_fail()
    }

    /// `ModifyVpcPeeringConnectionOptions`: each side sets what holds of its own VPC. As it is then.
    ///
    /// # Errors
    /// `OperationNotPermitted` for the other side's options and a connection that is not active;
    /// `InvalidVpcPeeringConnectionState.DnsHostnamesDisabled` for a VPC whose public addresses have no names.
    pub async fn modify_peering_options(
        &self,
        cx: &OpContext,
        id: &str,
        options: PeeringOptions,
        dry_run: bool,
    ) -> Result<VpcPeeringRow, ApiError> {
        let row = self.find_peering(cx, id).await?;
        if row.state != VpcPeeringState::Active {
            return Err(Code::OperationNotPermitted.message(format!(
                "Peering {} is not active. Peering options can be added only to active peerings.",
                row.id
            )));
        }
        let sides = [
            (options.requester_dns, &row.requester_account, &row.requester_vpc, "requester"),
            (options.accepter_dns, &row.accepter_account, &row.accepter_vpc, "accepter"),
        ];
        for (wanted, account, vpc, side) in sides {
            if wanted.is_some() && account != cx.account() {
                return Err(not_yours(cx, &row, &format!("modify the {side} options of")));
            }
            if wanted == Some(true) && !vpc_fetch(self.store(), vpc).await.or_fail()?.names_public() {
                return Err(Code::InvalidVpcPeeringConnectionStateDnsHostnamesDisabled.message(format!(
                    "DNS resolution from the remote VPC needs DNS hostnames and DNS support of {vpc}."
                )));
            }
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        if !vpc_peering_options_set(&mut tx, &row.id, options.requester_dns, options.accepter_dns).await.or_fail()? {
            return Err(changed());
        }
        change_append(&mut tx, load::VPC_PEERING, &row.id, None);
        tx.commit().await.or_fail()?;
        self.find_peering(cx, id).await
    }
}

//! VPCs at a transit gateway.

use super::{ATTACHMENT_TAG_KIND, touch};
use crate::fail::{OrFail as _, store_failure};
use crate::ids::parse_id;
use crate::quotas::{hold_account, table as quotas, within};
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext};
use ipnet::Ipv4Net;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    Json, PAGE_ROWS_MAX, StoreError, TransitAttachmentFilter, TransitAttachmentRow, TransitPropagationRow,
    TransitState, TransitTableFilter, Tx, VpcRow, subnet_fetch, subnet_hold, tag_put, transit_attachment_end,
    transit_attachment_insert, transit_attachment_list, transit_attachment_set, transit_propagation_put,
    transit_table_list, vpc_blocks, vpc_fetch,
};
use mallee_types::{SubnetId, TransitAttachmentId, TransitGatewayId, TransitTableId, VpcId};
use std::collections::BTreeSet;

/// Subnets that one call names at most: one of each zone.
const SUBNETS_MAX: usize = 100;

/// An attachment as it comes.
#[derive(Debug)]
pub struct NewAttachment<'a> {
    /// The gateway.
    pub gateway: &'a str,
    /// The VPC.
    pub vpc: &'a str,
    /// One subnet of each zone.
    pub subnets: &'a [String],
    /// Public names mean private addresses.
    pub dns: bool,
    /// Its tags.
    pub tags: &'a [Tag],
}

/// What is to be otherwise with an attachment.
#[derive(Debug, Default)]
pub struct AttachmentChange {
    /// Subnets that come.
    pub add: Vec<String>,
    /// Subnets that go.
    pub remove: Vec<String>,
    /// Public names mean private addresses.
    pub dns: Option<bool>,
}

/// The attachment of this id, as the transaction sees it; it has not ended.
pub(super) async fn of_id(tx: &mut Tx, id: &TransitAttachmentId) -> Result<TransitAttachmentRow, ApiError> {
    let (ids, state) = (Some(std::slice::from_ref(id)), Some(TransitState::Available));
    let filter = TransitAttachmentFilter { ids, state, ..Default::default() };
    let found = transit_attachment_list(tx, filter, 1).await.or_fail()?.pop();
    found.ok_or_else(|| Code::InvalidTransitGatewayAttachmentIdNotFound.with(&[id.as_str()]))
}

/// A table that has not ended, as the transaction sees it.
pub(super) async fn live_table(tx: &mut Tx, id: &TransitTableId) -> Result<(), ApiError> {
    let (ids, state) = (Some(std::slice::from_ref(id)), Some(TransitState::Available));
    let filter = TransitTableFilter { ids, state, ..Default::default() };
    match transit_table_list(tx, filter, 1).await.or_fail()?.is_empty() {
        true => Err(super::tables::missing(id.as_str())),
        false => Ok(()),
    }
}

/// The attachments of gateways that a VPC is at.
async fn at(tx: &mut Tx, gateway: &TransitGatewayId) -> Result<Vec<TransitAttachmentRow>, ApiError> {
    let filter = TransitAttachmentFilter {
        gateways: Some(std::slice::from_ref(gateway)),
        state: Some(TransitState::Available),
        ..Default::default()
    };
    transit_attachment_list(tx, filter, PAGE_ROWS_MAX).await.or_fail()
}

/// Where a VPC is attached.
async fn of_vpc(tx: &mut Tx, vpc: &VpcId) -> Result<Vec<TransitAttachmentRow>, ApiError> {
    let filter = TransitAttachmentFilter { live_vpc: Some(vpc), ..Default::default() };
    transit_attachment_list(tx, filter, PAGE_ROWS_MAX).await.or_fail()
}

/// No two VPCs at one gateway have the same addresses: which was meant could not be said. (EC2 attaches them, and leaves
/// out routes.)
async fn apart(tx: &mut Tx, gateway: &TransitGatewayId, vpc: &VpcId, blocks: &[Ipv4Net]) -> Result<(), ApiError> {
    for other in at(tx, gateway).await?.into_iter().filter(|row| row.vpc_id != *vpc) {
        let row = match vpc_fetch(&mut *tx, &other.vpc_id).await {
            Err(StoreError::NotFound { .. }) => continue,
            found => found.or_fail()?,
        };
        let theirs = vpc_blocks(&mut *tx, &row).await.or_fail()?;
        let clash = blocks.iter().find(|own| theirs.iter().any(|b| own.contains(b) || b.contains(*own)));
        if let Some(block) = clash {
            let text =
                format!("The CIDR '{block}' of {vpc} overlaps with a CIDR of {}, which {gateway} joins.", row.id);
            return Err(Code::InvalidVpcRange.message(text));
        }
    }
    Ok(())
}

/// What transit gateways have to say to a new block of a VPC. What its attachments make known is told anew.
///
/// # Errors
/// `InvalidVpc.Range` when another VPC at the gateway has it.
pub(crate) async fn admits(tx: &mut Tx, vpc: &VpcRow, block: Ipv4Net) -> Result<(), ApiError> {
    for row in of_vpc(tx, &vpc.id).await? {
        touch(tx, &row.gateway_id).await?;
        apart(tx, &row.gateway_id, &vpc.id, &[block]).await?;
    }
    Ok(())
}

/// A VPC's blocks are not what they were: clusters are told where routes lead now.
pub(crate) async fn blocks_changed(tx: &mut Tx, vpc: &VpcId) -> Result<(), ApiError> {
    for row in of_vpc(tx, vpc).await? {
        touch(tx, &row.gateway_id).await?;
    }
    Ok(())
}

/// Whether a subnet is one by which its VPC is attached.
pub(crate) async fn needs(tx: &mut Tx, vpc: &VpcId, subnet: &SubnetId) -> Result<bool, ApiError> {
    Ok(of_vpc(tx, vpc).await?.iter().any(|row| row.subnets.0.contains(subnet)))
}

/// The account goes: its VPCs leave.
pub(crate) async fn account_goes(tx: &mut Tx, vpc: &VpcId, now_ms: i64) -> Result<(), ApiError> {
    for row in of_vpc(tx, vpc).await? {
        touch(tx, &row.gateway_id).await?;
        transit_attachment_end(tx, &row.id, now_ms).await.or_fail()?;
    }
    Ok(())
}

/// Subnets that an attachment is to have stay until the transaction ends; whoever deletes one then sees the attachment.
async fn hold_subnets(tx: &mut Tx, subnets: &[SubnetId]) -> Result<(), ApiError> {
    let sorted: BTreeSet<&SubnetId> = subnets.iter().collect();
    for id in sorted {
        if !subnet_hold(tx, id).await.or_fail()? {
            return Err(Code::InvalidSubnetIdNotFound.with(&[id.as_str()]));
        }
    }
    Ok(())
}

impl Cloud {
    /// The account's attachment of this id, if it has not ended.
    ///
    /// # Errors
    /// EC2's for an id that is none, and for an attachment that is not there.
    pub async fn find_transit_attachment(&self, cx: &OpContext, id: &str) -> Result<TransitAttachmentRow, ApiError> {
        let id: TransitAttachmentId = parse_id(id, Code::InvalidTransitGatewayAttachmentIdMalformed)?;
        let filter = TransitAttachmentFilter {
            account: Some(cx.account()),
            ids: Some(std::slice::from_ref(&id)),
            state: Some(TransitState::Available),
            ..Default::default()
        };
        let found = transit_attachment_list(self.store(), filter, 1).await.or_fail()?.pop();
        found.ok_or_else(|| Code::InvalidTransitGatewayAttachmentIdNotFound.with(&[id.as_str()]))
    }

    /// Subnets of the VPC, one of each zone.
    async fn transit_subnets(&self, cx: &OpContext, vpc: &VpcId, given: &[String]) -> Result<Vec<SubnetId>, ApiError> {
        if given.len() > SUBNETS_MAX {
            return Err(Code::InvalidParameterValue.message(format!("At most {SUBNETS_MAX} subnets can be given.")));
        }
        let (mut zones, mut ids) = (BTreeSet::new(), Vec::new());
        for id in given {
            let subnet = self.find_subnet(cx, id).await?;
            if subnet.vpc_id != *vpc {
                return Err(Code::InvalidSubnetIdNotFound.with(&[subnet.id.as_str()]));
            }
            if !zones.insert(subnet.zone) {
                return Err(Code::DuplicateSubnetsInSameZone.error());
            }
            ids.push(subnet.id);
        }
        Ok(ids)
    }

    /// `CreateTransitGatewayVpcAttachment`.
    ///
    /// # Errors
    /// What is not there, a VPC that is attached already or has addresses of another that is, the quotas.
    pub async fn create_transit_attachment(
        &self,
        cx: &OpContext,
        new: &NewAttachment<'_>,
        dry_run: bool,
    ) -> Result<TransitAttachmentRow, ApiError> {
        let gateway = self.find_transit_gateway(cx, new.gateway).await?;
        let vpc = self.find_vpc(cx, new.vpc).await?;
        if new.subnets.is_empty() {
            return Err(ApiError::missing_parameter("SubnetIds"));
        }
        let subnets = self.transit_subnets(cx, &vpc.id, new.subnets).await?;
        tags::validate(new.tags)?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let action = "ec2:CreateTransitGatewayVpcAttachment";
        let allowance = self.ec2_allowance(cx, action, ATTACHMENT_TAG_KIND, &[]).await?;
        let mut tx = self.store().write().await.or_fail()?;
        // Before the gateway, and before the VPC's blocks are read: one that it gets meanwhile asks its gateways.
        hold_account(&mut tx, cx.account()).await?;
        touch(&mut tx, &gateway.id).await?;
        hold_subnets(&mut tx, &subnets).await?;
        let there = at(&mut tx, &gateway.id).await?;
        if there.iter().any(|row| row.vpc_id == vpc.id) {
            return Err(Code::DuplicateTransitGatewayAttachment.with(&[gateway.id.as_str()]));
        }
        within(&mut tx, cx.account(), &quotas::ATTACHMENTS_PER_TRANSIT_GATEWAY, there.len() + 1).await?;
        let gateways = of_vpc(&mut tx, &vpc.id).await?.len();
        within(&mut tx, cx.account(), &quotas::TRANSIT_GATEWAYS_PER_VPC, gateways + 1).await?;
        let blocks = vpc_blocks(&mut tx, &vpc).await.or_fail()?;
        apart(&mut tx, &gateway.id, &vpc.id, &blocks).await?;
        self.faults().point("cloud.transit.attach").await.or_fail()?;
        let gateway = super::of_id(&mut tx, &gateway.id).await?;
        let row = TransitAttachmentRow {
            id: TransitAttachmentId::from_random(self.rng().u128()),
            account_id: cx.account().clone(),
            gateway_id: gateway.id,
            vpc_id: vpc.id.clone(),
            subnets: Json(subnets),
            dns: new.dns,
            table_id: gateway.association_table.filter(|_| gateway.default_association),
            state: TransitState::Available,
            created_ms: self.clock().now_ms(),
            ended_ms: None,
        };
        allowance.take(&mut tx, &[], &[row.id.to_string()]).await?;
        let gone = |error| match error {
            StoreError::InUse => Code::InvalidVpcIdNotFound.with(&[vpc.id.as_str()]),
            other => store_failure(other),
        };
        transit_attachment_insert(&mut tx, &row).await.map_err(gone)?;
        if let Some(table_id) = gateway.propagation_table.filter(|_| gateway.default_propagation) {
            let pair = TransitPropagationRow { table_id, attachment_id: row.id.clone() };
            transit_propagation_put(&mut tx, &pair).await.or_fail()?;
        }
        tag_put(&mut tx, &tags::rows(cx.account(), ATTACHMENT_TAG_KIND, row.id.as_str(), new.tags)).await.or_fail()?;
        tx.commit().await.map_err(gone)?;
        Ok(row)
    }

    /// `ModifyTransitGatewayVpcAttachment`.
    ///
    /// # Errors
    /// What is not there; subnets of which one is there already, is not, or is the last.
    pub async fn modify_transit_attachment(
        &self,
        cx: &OpContext,
        id: &str,
        change: &AttachmentChange,
        dry_run: bool,
    ) -> Result<TransitAttachmentRow, ApiError> {
        let seen = self.find_transit_attachment(cx, id).await?;
        // Those that come must be there; that there is one of each zone only is looked at with the others.
        if change.add.len() > SUBNETS_MAX {
            return Err(Code::InvalidParameterValue.message(format!("At most {SUBNETS_MAX} subnets can be given.")));
        }
        let mut coming = Vec::with_capacity(change.add.len());
        for id in &change.add {
            let subnet = self.find_subnet(cx, id).await?;
            if subnet.vpc_id != seen.vpc_id {
                return Err(Code::InvalidSubnetIdNotFound.with(&[subnet.id.as_str()]));
            }
            coming.push(subnet.id);
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        touch(&mut tx, &seen.gateway_id).await?;
        let mut row = of_id(&mut tx, &seen.id).await?;
        for id in &change.remove {
            let place = row.subnets.0.iter().position(|subnet| subnet.as_str() == id);
            let place = place.ok_or_else(|| {
                let id = mallee_awswire::texts::clip(id);
                Code::InvalidParameterValue.message(format!("{} is not attached by subnet {id}.", row.id))
            })?;
            row.subnets.0.remove(place);
        }
        hold_subnets(&mut tx, &coming).await?;
        row.subnets.0.extend(coming);
        if row.subnets.0.is_empty() {
            return Err(Code::InvalidParameterValue.message("An attachment has at least one subnet."));
        }
        let mut zones = BTreeSet::new();
        for id in &row.subnets.0 {
            if !zones.insert(subnet_fetch(&mut tx, id).await.or_fail()?.zone) {
                return Err(Code::DuplicateSubnetsInSameZone.error());
            }
        }
        row.dns = change.dns.unwrap_or(row.dns);
        transit_attachment_set(&mut tx, &row).await.or_fail()?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// `DeleteTransitGatewayVpcAttachment`: routes to it drop packets.
    ///
    /// # Errors
    /// What is not there.
    pub async fn delete_transit_attachment(
        &self,
        cx: &OpContext,
        id: &str,
        dry_run: bool,
    ) -> Result<TransitAttachmentRow, ApiError> {
        let seen = self.find_transit_attachment(cx, id).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        touch(&mut tx, &seen.gateway_id).await?;
        if !transit_attachment_end(&mut tx, &seen.id, self.clock().now_ms()).await.or_fail()? {
            return Err(Code::InvalidTransitGatewayAttachmentIdNotFound.with(&[seen.id.as_str()]));
        }
        tx.commit().await.or_fail()?;
        Ok(seen)
    }

    /// `AcceptTransitGatewayVpcAttachment` and `Reject…`: nothing is shared between accounts here, so none waits for that.
    ///
    /// # Errors
    /// What is not there; `IncorrectState`.
    pub async fn answer_transit_attachment(&self, cx: &OpContext, id: &str) -> Result<(), ApiError> {
        let row = self.find_transit_attachment(cx, id).await?;
        Err(Code::IncorrectState.message(format!("{} is in invalid state: it waits for no answer.", row.id)))
    }
}

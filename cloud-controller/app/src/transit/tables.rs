//! Tables of a transit gateway: which decides about what is attached, and which knows its blocks.

use super::{TABLE_TAG_KIND, touch};
use crate::fail::OrFail as _;
use crate::ids::parse_id;
use crate::quotas::{hold_account, table as quotas, within};
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    PAGE_ROWS_MAX, TransitAttachmentFilter, TransitAttachmentRow, TransitPropagationRow, TransitState,
    TransitTableFilter, TransitTableRow, tag_put, transit_attachment_list, transit_attachment_set,
    transit_propagation_delete, transit_propagation_put, transit_table_end, transit_table_insert, transit_table_list,
};
use mallee_types::TransitTableId;

pub(super) fn missing(id: &str) -> ApiError {
    let id = mallee_awswire::texts::clip(id);
    Code::InvalidRouteTableIdNotFound
        .message(format!("Transit Gateway Route Table {id} was deleted or does not exist."))
}

impl Cloud {
    /// The account's table of this id, if it has not ended.
    ///
    /// # Errors
    /// EC2's for an id that is none, and for a table that is not there.
    pub async fn find_transit_table(&self, cx: &OpContext, id: &str) -> Result<TransitTableRow, ApiError> {
        let malformed = || {
            let given = mallee_awswire::texts::clip(id);
            Code::InvalidRouteTableIdMalformed.message(format!("Invalid id: \"{given}\" (expecting \"tgw-rtb-...\")"))
        };
        let id: TransitTableId = parse_id(id, Code::InvalidRouteTableIdMalformed).map_err(|_| malformed())?;
        let filter = TransitTableFilter {
            account: Some(cx.account()),
            ids: Some(std::slice::from_ref(&id)),
            state: Some(TransitState::Available),
            ..Default::default()
        };
        let found = transit_table_list(self.store(), filter, 1).await.or_fail()?.pop();
        found.ok_or_else(|| missing(id.as_str()))
    }

    /// `CreateTransitGatewayRouteTable`.
    ///
    /// # Errors
    /// A gateway that is not there, the quota.
    pub async fn create_transit_table(
        &self,
        cx: &OpContext,
        gateway: &str,
        new_tags: &[Tag],
        dry_run: bool,
    ) -> Result<TransitTableRow, ApiError> {
        let gateway = self.find_transit_gateway(cx, gateway).await?;
        tags::validate(new_tags)?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let allowance = self.ec2_allowance(cx, "ec2:CreateTransitGatewayRouteTable", TABLE_TAG_KIND, &[]).await?;
        let row = TransitTableRow {
            id: TransitTableId::from_random(self.rng().u128()),
            account_id: cx.account().clone(),
            gateway_id: gateway.id.clone(),
            state: TransitState::Available,
            created_ms: self.clock().now_ms(),
            ended_ms: None,
        };
        let mut tx = self.store().write().await.or_fail()?;
        hold_account(&mut tx, cx.account()).await?;
        touch(&mut tx, &gateway.id).await?;
        let filter = TransitTableFilter {
            gateways: Some(std::slice::from_ref(&gateway.id)),
            state: Some(TransitState::Available),
            ..Default::default()
        };
        let there = transit_table_list(&mut tx, filter, PAGE_ROWS_MAX).await.or_fail()?.len();
        within(&mut tx, cx.account(), &quotas::TABLES_PER_TRANSIT_GATEWAY, there + 1).await?;
        allowance.take(&mut tx, &[], &[row.id.to_string()]).await?;
        transit_table_insert(&mut tx, &row).await.or_fail()?;
        tag_put(&mut tx, &tags::rows(cx.account(), TABLE_TAG_KIND, row.id.as_str(), new_tags)).await.or_fail()?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// `DeleteTransitGatewayRouteTable`.
    ///
    /// # Errors
    /// A table that is not there; `IncorrectState` for one that something is associated with, and for a default one.
    pub async fn delete_transit_table(
        &self,
        cx: &OpContext,
        id: &str,
        dry_run: bool,
    ) -> Result<TransitTableRow, ApiError> {
        let row = self.find_transit_table(cx, id).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        touch(&mut tx, &row.gateway_id).await?;
        let gateway = super::of_id(&mut tx, &row.gateway_id).await?;
        if [&gateway.association_table, &gateway.propagation_table].contains(&&Some(row.id.clone())) {
            let text = format!("{} is a default route table of {}.", row.id, gateway.id);
            return Err(Code::IncorrectState.message(text));
        }
        let filter = TransitAttachmentFilter { table: Some(&row.id), ..Default::default() };
        if let Some(user) = transit_attachment_list(&mut tx, filter, 1).await.or_fail()?.pop() {
            return Err(Code::IncorrectState.message(format!("{} is associated with {}.", row.id, user.id)));
        }
        if !transit_table_end(&mut tx, &row.id, self.clock().now_ms()).await.or_fail()? {
            return Err(missing(row.id.as_str()));
        }
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// The attachment and the table of a call, which must be of one gateway.
    async fn both(
        &self,
        cx: &OpContext,
        attachment: &str,
        table: &str,
    ) -> Result<(TransitAttachmentRow, TransitTableRow), ApiError> {
        let table = self.find_transit_table(cx, table).await?;
        let attachment = self.find_transit_attachment(cx, attachment).await?;
        if attachment.gateway_id != table.gateway_id {
            return Err(Code::InvalidParameterValue
                .message(format!("{} and {} are not of the same transit gateway.", attachment.id, table.id)));
        }
        Ok((attachment, table))
    }

    /// `AssociateTransitGatewayRouteTable`: the table decides about packets from the VPC.
    ///
    /// # Errors
    /// What is not there, and `Resource.AlreadyAssociated`.
    pub async fn associate_transit_table(
        &self,
        cx: &OpContext,
        attachment: &str,
        table: &str,
        dry_run: bool,
    ) -> Result<TransitAttachmentRow, ApiError> {
        let (seen, table) = self.both(cx, attachment, table).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        touch(&mut tx, &seen.gateway_id).await?;
        let mut row = super::attachments::of_id(&mut tx, &seen.id).await?;
        if row.table_id.is_some() {
            return Err(Code::ResourceAlreadyAssociated
                .message(format!("Transit Gateway Attachment {} is already associated to a route table.", row.id)));
        }
        super::attachments::live_table(&mut tx, &table.id).await?;
        row.table_id = Some(table.id);
        transit_attachment_set(&mut tx, &row).await.or_fail()?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// `DisassociateTransitGatewayRouteTable`: packets from the VPC lead nowhere until it has another.
    ///
    /// # Errors
    /// What is not there, `InvalidAssociation.NotFound`.
    pub async fn disassociate_transit_table(
        &self,
        cx: &OpContext,
        attachment: &str,
        table: &str,
        dry_run: bool,
    ) -> Result<TransitAttachmentRow, ApiError> {
        let (seen, table) = self.both(cx, attachment, table).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        touch(&mut tx, &seen.gateway_id).await?;
        let mut row = super::attachments::of_id(&mut tx, &seen.id).await?;
        if row.table_id.as_ref() != Some(&table.id) {
            return Err(Code::InvalidTransitAssociationNotFound.with(&[row.id.as_str(), table.id.as_str()]));
        }
        row.table_id = None;
        transit_attachment_set(&mut tx, &row).await.or_fail()?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// `EnableTransitGatewayRouteTablePropagation` and `Disable…`: whether the table knows the VPC's blocks.
    ///
    /// # Errors
    /// What is not there; that it is so already.
    pub async fn propagate_to_transit_table(
        &self,
        cx: &OpContext,
        attachment: &str,
        table: &str,
        on: bool,
        dry_run: bool,
    ) -> Result<TransitAttachmentRow, ApiError> {
        let (seen, table) = self.both(cx, attachment, table).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        touch(&mut tx, &seen.gateway_id).await?;
        let row = super::attachments::of_id(&mut tx, &seen.id).await?;
        super::attachments::live_table(&mut tx, &table.id).await?;
        let pair = TransitPropagationRow { table_id: table.id.clone(), attachment_id: row.id.clone() };
        let names = [row.id.as_str(), table.id.as_str()];
        if on {
            if !transit_propagation_put(&mut tx, &pair).await.or_fail()? {
                return Err(Code::TransitPropagationDuplicate.with(&names));
            }
        } else if !transit_propagation_delete(&mut tx, &pair).await.or_fail()? {
            return Err(Code::TransitPropagationNotFound.with(&names));
        }
        tx.commit().await.or_fail()?;
        Ok(row)
    }
}

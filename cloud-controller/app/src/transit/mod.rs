//! Transit gateways: VPCs of one account that reach each other as the gateway's tables say. A gateway is no box: nodes are
//! told where routes to it lead. Everything of one is changed under its lock, and told with one generation.

mod attachments;
pub(crate) mod check;
mod routes;
mod tables;

pub use attachments::{AttachmentChange, NewAttachment};
pub(crate) use attachments::{account_goes, admits, blocks_changed, needs};
pub use routes::{TableRoute, TransitDestination};
pub(crate) use routes::{attached_to, routes_in};

use crate::fail::OrFail as _;
use crate::ids::parse_id;
use crate::quotas::{hold_account, table as quotas};
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext, load};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    PAGE_ROWS_MAX, StoreError, TransitAttachmentFilter, TransitGatewayFilter, TransitGatewayRow, TransitState,
    TransitTableFilter, TransitTableRow, Tx, change_append, tag_delete_of, tag_put, transit_attachment_list,
    transit_forget, transit_gateway_end, transit_gateway_insert, transit_gateway_list, transit_gateway_set,
    transit_gateway_touch, transit_table_end, transit_table_insert, transit_table_list,
};
use mallee_types::{AccountId, Generation, TransitGatewayId, TransitTableId};

/// EC2's resource type for tags of a gateway.
pub const TAG_KIND: &str = "transit-gateway";
/// Of an attachment.
pub const ATTACHMENT_TAG_KIND: &str = "transit-gateway-attachment";
/// Of a table.
pub const TABLE_TAG_KIND: &str = "transit-gateway-route-table";
/// Of a gateway that says none: EC2's.
pub const ASN: i64 = 64512;
/// For so long what has ended is shown, in milliseconds (EC2: about an hour).
const SHOWN_MS: i64 = 3600 * 1000;
/// Letters of a description, as EC2 has it for others.
const DESCRIPTION_CHARS_MAX: usize = 255;

/// What is asked of a gateway: `None` leaves it as it is, or as EC2 has it.
#[derive(Debug, Clone, Default)]
pub struct GatewayWish {
    /// What it is for.
    pub description: Option<String>,
    /// The number of its side in BGP.
    pub asn: Option<i64>,
    /// See [`TransitGatewayRow`].
    pub dns: Option<bool>,
    /// See there.
    pub ecmp: Option<bool>,
    /// See there.
    pub auto_accept: Option<bool>,
    /// See there.
    pub default_association: Option<bool>,
    /// See there.
    pub default_propagation: Option<bool>,
    /// The table that is associated by default, from now on.
    pub association_table: Option<String>,
    /// The table that knows blocks by default, from now on.
    pub propagation_table: Option<String>,
}

impl GatewayWish {
    fn check(&self) -> Result<(), ApiError> {
        // The private numbers of 16 and of 32 bits (RFC 6996), but for the last of each, as EC2 takes them.
        let private = |asn: i64| (64512..=65534).contains(&asn) || (4_200_000_000..=4_294_967_294).contains(&asn);
        if let Some(asn) = self.asn.filter(|asn| !private(*asn)) {
            return Err(ApiError::invalid_value("AmazonSideAsn", &asn.to_string(), "It is no private number."));
        }
        let text = self.description.as_deref().unwrap_or_default();
        if text.chars().count() > DESCRIPTION_CHARS_MAX || text.chars().any(char::is_control) {
            let why = format!("A description has up to {DESCRIPTION_CHARS_MAX} characters, and no control characters.");
            return Err(Code::InvalidParameterValue.message(why));
        }
        Ok(())
    }

    fn apply(&self, row: &mut TransitGatewayRow) {
        if let Some(text) = &self.description {
            row.description.clone_from(text);
        }
        row.asn = self.asn.unwrap_or(row.asn);
        row.dns = self.dns.unwrap_or(row.dns);
        row.ecmp = self.ecmp.unwrap_or(row.ecmp);
        row.auto_accept = self.auto_accept.unwrap_or(row.auto_accept);
        row.default_association = self.default_association.unwrap_or(row.default_association);
        row.default_propagation = self.default_propagation.unwrap_or(row.default_propagation);
    }
}

/// Something of a gateway changes. It is held until the transaction ends, and clusters are told.
pub(crate) async fn touch(tx: &mut Tx, id: &TransitGatewayId) -> Result<(), ApiError> {
    if !transit_gateway_touch(tx, id).await.or_fail()? {
        return Err(Code::InvalidTransitGatewayIdNotFound.with(&[id.as_str()]));
    }
    change_append(tx, load::TRANSIT_GATEWAY, id, None);
    Ok(())
}

impl Cloud {
    /// The account's gateway of this id, if it has not ended.
    ///
    /// # Errors
    /// EC2's for an id that is none, and for a gateway that is not there.
    pub async fn find_transit_gateway(&self, cx: &OpContext, id: &str) -> Result<TransitGatewayRow, ApiError> {
        let id: TransitGatewayId = parse_id(id, Code::InvalidTransitGatewayIdMalformed)?;
        let filter = TransitGatewayFilter {
            account: Some(cx.account()),
            ids: Some(std::slice::from_ref(&id)),
            state: Some(TransitState::Available),
            ..Default::default()
        };
        let found = transit_gateway_list(self.store(), filter, 1).await.or_fail()?.pop();
        found.ok_or_else(|| Code::InvalidTransitGatewayIdNotFound.with(&[id.as_str()]))
    }

    /// `CreateTransitGateway`.
    ///
    /// # Errors
    /// Numbers and texts that are none, the quota.
    pub async fn create_transit_gateway(
        &self,
        cx: &OpContext,
        wish: &GatewayWish,
        new_tags: &[Tag],
        dry_run: bool,
    ) -> Result<TransitGatewayRow, ApiError> {
        wish.check()?;
        tags::validate(new_tags)?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let allowance = self.ec2_allowance(cx, "ec2:CreateTransitGateway", TAG_KIND, &[]).await?;
        let now_ms = self.clock().now_ms();
        let mut row = TransitGatewayRow {
            id: TransitGatewayId::from_random(self.rng().u128()),
            account_id: cx.account().clone(),
            description: String::new(),
            asn: ASN,
            dns: true,
            ecmp: true,
            auto_accept: false,
            default_association: true,
            default_propagation: true,
            association_table: None,
            propagation_table: None,
            state: TransitState::Available,
            generation: Generation(1),
            created_ms: now_ms,
            ended_ms: None,
        };
        wish.apply(&mut row);
        let table = (row.default_association || row.default_propagation).then(|| TransitTableRow {
            id: TransitTableId::from_random(self.rng().u128()),
            account_id: cx.account().clone(),
            gateway_id: row.id.clone(),
            state: TransitState::Available,
            created_ms: now_ms,
            ended_ms: None,
        });
        let of = |on: bool| table.as_ref().filter(|_| on).map(|table| table.id.clone());
        row.association_table = of(row.default_association);
        row.propagation_table = of(row.default_propagation);
        let mut tx = self.store().write().await.or_fail()?;
        hold_account(&mut tx, cx.account()).await?;
        allowance.take(&mut tx, &[(&quotas::TRANSIT_GATEWAYS, 1)], &[row.id.to_string()]).await?;
        transit_gateway_insert(&mut tx, &row).await.or_fail()?;
        if let Some(table) = &table {
            transit_table_insert(&mut tx, table).await.or_fail()?;
        }
        tag_put(&mut tx, &tags::rows(cx.account(), TAG_KIND, row.id.as_str(), new_tags)).await.or_fail()?;
        change_append(&mut tx, load::TRANSIT_GATEWAY, &row.id, None);
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// `ModifyTransitGateway`. What is attached stays with the tables that it has.
    ///
    /// # Errors
    /// A gateway or table that is not there; a default that is switched on and has no table.
    pub async fn modify_transit_gateway(
        &self,
        cx: &OpContext,
        id: &str,
        wish: &GatewayWish,
        dry_run: bool,
    ) -> Result<TransitGatewayRow, ApiError> {
        let seen = self.find_transit_gateway(cx, id).await?;
        wish.check()?;
        let own = async |given: &Option<String>| match given {
            None => Ok(None),
            Some(given) => {
                let table = self.find_transit_table(cx, given).await?;
                if table.gateway_id == seen.id { Ok(Some(table.id)) } else { Err(tables::missing(given)) }
            }
        };
        let (association, propagation) = (own(&wish.association_table).await?, own(&wish.propagation_table).await?);
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        self.faults().point("cloud.transit.modify").await.or_fail()?;
        let mut tx = self.store().write().await.or_fail()?;
        touch(&mut tx, &seen.id).await?;
        let mut row = of_id(&mut tx, &seen.id).await?;
        wish.apply(&mut row);
        for (name, on, given, table) in [
            ("AssociationDefaultRouteTableId", row.default_association, association, &mut row.association_table),
            ("PropagationDefaultRouteTableId", row.default_propagation, propagation, &mut row.propagation_table),
        ] {
            match given {
                Some(_) if !on => {
                    let text = format!("The parameter {name} needs the default that it is for to be enabled.");
                    return Err(Code::InvalidParameterCombination.message(text));
                }
                Some(given) => {
                    // It may just have been deleted.
                    attachments::live_table(&mut tx, &given).await?;
                    *table = Some(given);
                }
                None if on && table.is_none() => return Err(ApiError::missing_parameter(name)),
                None if !on => *table = None,
                None => {}
            }
        }
        transit_gateway_set(&mut tx, &row).await.or_fail()?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// `DeleteTransitGateway`: its tables end with it.
    ///
    /// # Errors
    /// A gateway that is not there; `IncorrectState` while something is attached.
    pub async fn delete_transit_gateway(
        &self,
        cx: &OpContext,
        id: &str,
        dry_run: bool,
    ) -> Result<TransitGatewayRow, ApiError> {
        let seen = self.find_transit_gateway(cx, id).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let now_ms = self.clock().now_ms();
        let mut tx = self.store().write().await.or_fail()?;
        touch(&mut tx, &seen.id).await?;
        let gateways = Some(std::slice::from_ref(&seen.id));
        let filter = TransitAttachmentFilter { gateways, state: Some(TransitState::Available), ..Default::default() };
        let attached = transit_attachment_list(&mut tx, filter, PAGE_ROWS_MAX).await.or_fail()?;
        if !attached.is_empty() {
            let ids: Vec<&str> = attached.iter().map(|row| row.id.as_str()).collect();
            let text = format!("{} has non-deleted VPC Attachments: {}.", seen.id, ids.join(", "));
            return Err(Code::IncorrectState.message(text));
        }
        let filter = TransitTableFilter { gateways, state: Some(TransitState::Available), ..Default::default() };
        for table in transit_table_list(&mut tx, filter, PAGE_ROWS_MAX).await.or_fail()? {
            transit_table_end(&mut tx, &table.id, now_ms).await.or_fail()?;
        }
        transit_gateway_end(&mut tx, &seen.id, now_ms).await.or_fail()?;
        tx.commit().await.or_fail()?;
        Ok(seen)
    }
}

/// The gateway of this id, as the transaction sees it.
async fn of_id(tx: &mut Tx, id: &TransitGatewayId) -> Result<TransitGatewayRow, ApiError> {
    let filter = TransitGatewayFilter { ids: Some(std::slice::from_ref(id)), ..Default::default() };
    let found = transit_gateway_list(tx, filter, 1).await.or_fail()?.pop();
    found.ok_or_else(|| Code::InvalidTransitGatewayIdNotFound.with(&[id.as_str()]))
}

/// The account goes, when its VPCs have left: clusters are told that its gateways are none any more.
pub(crate) async fn gateways_go(tx: &mut Tx, account: &AccountId, now_ms: i64) -> Result<(), ApiError> {
    let (account, state) = (Some(account), Some(TransitState::Available));
    let filter = TransitGatewayFilter { account, state, ..Default::default() };
    for row in transit_gateway_list(&mut *tx, filter, PAGE_ROWS_MAX).await.or_fail()? {
        transit_gateway_end(tx, &row.id, now_ms).await.or_fail()?;
        change_append(tx, load::TRANSIT_GATEWAY, &row.id, None);
    }
    Ok(())
}

/// One pass of the background task: what nobody is shown any more is forgotten with its tags. Idempotent.
///
/// # Errors
/// What the database says; the next pass goes on.
pub(crate) async fn keep(cloud: &Cloud, now_ms: i64) -> Result<(), StoreError> {
    let before_ms = now_ms.saturating_sub(SHOWN_MS);
    let mut tx = cloud.store().write().await?;
    let gone = transit_forget(&mut tx, before_ms).await?;
    if gone.is_empty() {
        return tx.rollback().await;
    }
    for id in &gone {
        tag_delete_of(&mut tx, id).await?;
    }
    tx.commit().await
}

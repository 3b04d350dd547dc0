//! Spot instances: instances that give way. Each fulfils a request, a row of its own: made by `RequestSpotInstances`
//! and fulfilled when there is room, or made by a launch that asks for spot instances, together with the instance.
//! Who needs their room are launches of other instances: the zone's scheduler says which spot instances would have to
//! go, these get a notice of two minutes, and then they are interrupted ([`keep_spot`]). See ADR 0010.

pub mod change;
mod differences;
mod interrupt;
mod keeper;
mod notice;
mod price;
mod request;

use crate::fail::OrFail as _;
use crate::instances::run::RunRequest;
use crate::tags::{self, Tag};
use crate::{Cloud, Maker, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    InstanceRow, InterruptionBehavior, SpotKind, SpotMembership, SpotRequestRow, SpotState, StoreError, Tx,
    client_token_renew_of, spot_price_purge, spot_request_count, spot_request_delete, spot_request_fetch_locked,
    spot_request_insert, spot_request_list_purgeable, spot_request_update, tag_delete_of, tag_put,
};
use mallee_types::SpotRequestId;
use serde::{Deserialize, Serialize};

pub(crate) use differences::differences;
pub use keeper::keep_spot;
pub(crate) use notice::follow;
pub use notice::{NOTICE_MS, ROOM_KEPT_MS};
pub use price::{Price, PricePoint};
pub use request::NewSpotRequests;

/// EC2's resource type for tags.
pub const TAG_KIND: &str = "spot-instances-request";

/// How long a price that was replaced is kept, in milliseconds (EC2 tells of 90 days).
const PRICES_KEPT_MS: i64 = 100 * 24 * 3600 * 1000;
/// Requests forgotten in one transaction.
const FORGET_BATCH: u32 = 200;

/// Requests of an account that are not over.
const REQUESTS_MAX: u64 = 5_000;

/// Whether the account may have so many more requests; it holds its quotas (`quota_hold`).
///
/// # Errors
/// `MaxSpotInstanceCountExceeded`.
async fn check_spot_count(tx: &mut Tx, cx: &OpContext, more: u64) -> Result<(), ApiError> {
    match spot_request_count(tx, cx.account()).await.or_fail()? {
        count if count.saturating_add(more) > REQUESTS_MAX => Err(Code::MaxSpotInstanceCountExceeded.error()),
        _ => Ok(()),
    }
}

/// Whether a launch of so many instances may make its requests, before it makes the first. Requests may outlive their
/// instances, so that the quotas of these do not bound them.
///
/// # Errors
/// `MaxSpotInstanceCountExceeded`.
pub(crate) async fn check_launch_count(
    tx: &mut Tx,
    cx: &OpContext,
    spot: Option<&SpotOptions>,
    count: u64,
) -> Result<(), ApiError> {
    match spot {
        Some(spot) if spot.fulfils.is_none() => check_spot_count(tx, cx, count).await,
        _ => Ok(()),
    }
}

/// Forgets requests that ended a while ago, when their instance is forgotten too. Part of the purge; idempotent.
///
/// # Errors
/// What the database says.
pub(crate) async fn forget(cloud: &Cloud, now_ms: i64, visible_ms: i64) -> Result<(), StoreError> {
    loop {
        let before_ms = now_ms.saturating_sub(visible_ms);
        let ids = spot_request_list_purgeable(cloud.store(), before_ms, FORGET_BATCH).await?;
        if ids.is_empty() {
            break;
        }
        let mut tx = cloud.store().write().await?;
        for id in &ids {
            tag_delete_of(&mut tx, id.as_str()).await?;
            let row = spot_request_fetch_locked(&mut tx, id).await?;
            client_token_renew_of(&mut tx, &row.account_id, request::OPERATION, id.as_str()).await?;
            spot_request_delete(&mut tx, id).await?;
        }
        tx.commit().await?;
    }
    let mut tx = cloud.store().write().await?;
    let prices = spot_price_purge(&mut tx, now_ms.saturating_sub(PRICES_KEPT_MS)).await?;
    if prices > 0 { tx.commit().await } else { tx.rollback().await }
}

/// How spot instances are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpotOptions {
    /// The most that is paid for an hour; none: whatever is asked.
    pub max_price: Option<Price>,
    /// How often the request is fulfilled.
    pub kind: SpotKind,
    /// What an interruption does to the instance.
    pub behavior: InterruptionBehavior,
    /// When a persistent request ends.
    pub valid_until_ms: Option<i64>,
    /// For the requests.
    #[serde(skip)]
    pub tags: Vec<Tag>,
    /// The request that the launch fulfils; none: each instance gets a request of its own.
    #[serde(skip)]
    pub fulfils: Option<Fulfils>,
}

/// A request that a launch fulfils.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fulfils {
    /// The request.
    pub request: SpotRequestId,
    /// ARN of who made it.
    pub requester: String,
}

/// The launch a request stands for, as the request's row keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Wanted {
    /// ARN of who made the request.
    pub requester: String,
    /// Whose own quotas bind the launch.
    #[serde(default)]
    pub maker: Option<Maker>,
    /// Of one instance.
    pub launch: RunRequest,
}

impl Wanted {
    /// What a row keeps.
    ///
    /// # Errors
    /// `InternalError` for a row that this version cannot read.
    pub fn of(row: &SpotRequestRow) -> Result<Self, ApiError> {
        serde_json::from_str(&row.launch).map_err(|error| ApiError::internal(format!("{}: {error}", row.id)))
    }

    fn text(cx: &OpContext, request: &RunRequest) -> Result<String, ApiError> {
        let launch = RunRequest { min_count: 1, max_count: 1, client_token: None, user_data: None, ..request.clone() };
        let wanted = Self { requester: requester(cx, request.spot.as_ref()), maker: cx.as_maker(), launch };
        serde_json::to_string(&wanted).map_err(ApiError::internal)
    }
}

/// ARN of who asks for a launch.
pub(crate) fn requester(cx: &OpContext, spot: Option<&SpotOptions>) -> String {
    let fulfils = spot.and_then(|spot| spot.fulfils.as_ref());
    fulfils.map_or_else(|| cx.actor.arn.to_string(), |fulfils| fulfils.requester.clone())
}

impl Cloud {
    /// What can be said of the spot options of a launch before it is placed.
    ///
    /// # Errors
    /// `SpotMaxPriceTooLow`; a time that has passed; tags that are none.
    pub(crate) async fn check_spot(&self, request: &RunRequest) -> Result<(), ApiError> {
        let Some(spot) = &request.spot else { return Ok(()) };
        tags::validate(&spot.tags)?;
        if spot.valid_until_ms.is_some_and(|until| until <= self.clock().now_ms()) {
            return Err(Code::InvalidParameterValue.message("The value for 'ValidUntil' must be a time in the future."));
        }
        let price = self.spot_price(&request.instance_type).await?;
        match spot.max_price {
            Some(max) if max < price => Err(Code::SpotMaxPriceTooLow.with(&[&max.to_string(), &price.to_string()])),
            _ => Ok(()),
        }
    }

    /// Makes or fulfils the request of an instance that is being launched; what the instance keeps of it.
    ///
    /// # Errors
    /// `IncorrectSpotRequestState` for a request that is not open any more.
    pub(crate) async fn take_spot(
        &self,
        tx: &mut Tx,
        cx: &OpContext,
        request: &RunRequest,
        instance: &InstanceRow,
    ) -> Result<Option<SpotMembership>, ApiError> {
        let Some(spot) = &request.spot else { return Ok(None) };
        let now_ms = self.clock().now_ms();
        let id = match &spot.fulfils {
            Some(Fulfils { request: id, .. }) => {
                let gone = || Code::IncorrectSpotRequestState.with(&[id.as_str()]);
                let mut row = match spot_request_fetch_locked(tx, id).await {
                    Err(StoreError::NotFound { .. }) => return Err(gone()),
                    other => other.or_fail()?,
                };
                if row.state != SpotState::Open || row.instance_id.is_some() {
                    return Err(gone());
                }
                change::fulfil(&mut row, &instance.id, &instance.zone, now_ms);
                spot_request_update(tx, &row).await.or_fail()?;
                row.id
            }
            None => {
                let wanted = Wanted::text(cx, request)?;
                let mut row = self.new_spot_request(cx, spot, wanted, now_ms);
                change::fulfil(&mut row, &instance.id, &instance.zone, now_ms);
                spot_request_insert(tx, &row, request.user_data.as_deref()).await.or_fail()?;
                tag_put(tx, &tags::rows(cx.account(), TAG_KIND, row.id.as_str(), &spot.tags)).await.or_fail()?;
                row.id
            }
        };
        let persistent = spot.kind == SpotKind::Persistent;
        Ok(Some(SpotMembership { request: id, persistent, behavior: spot.behavior, notice: None }))
    }

    /// A request that nothing is known of yet.
    fn new_spot_request(&self, cx: &OpContext, spot: &SpotOptions, launch: String, now_ms: i64) -> SpotRequestRow {
        SpotRequestRow {
            id: SpotRequestId::from_random(self.rng().u128()),
            account_id: cx.account().clone(),
            state: SpotState::Open,
            status_code: change::PENDING_EVALUATION.0.to_owned(),
            status_message: change::PENDING_EVALUATION.1.to_owned(),
            status_ms: now_ms,
            kind: spot.kind,
            behavior: spot.behavior,
            max_price: spot.max_price.map(|price| price.to_string()),
            zone: None,
            instance_id: None,
            valid_from_ms: None,
            valid_until_ms: spot.valid_until_ms,
            interrupt_ms: None,
            interrupted_ms: None,
            interruption: None,
            created_ms: now_ms,
            ended_ms: None,
            launch,
        }
    }
}

//! The spot keeper: interrupts what is due, and fulfils open requests when there is room. It keeps nothing in memory:
//! what is to be done stands in the requests' rows, so that a restart, or another replica, goes on where it stopped.

use super::interrupt::interrupt_due;
use super::{Fulfils, Price, Wanted, change};
use crate::context::{Actor, Maker};
use crate::fail::OrFail as _;
use crate::instances::run::RunRequest;
use crate::keeper::KeeperError;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    SpotRequestRow, SpotState, StoreError, instance_fetch, spot_request_fetch_locked, spot_request_open,
    spot_request_update, spot_request_user_data,
};
use std::collections::HashSet;

/// Open requests read at once.
const OPEN_PAGE: u32 = 200;
/// Open requests that one pass looks at; the oldest come first, and those beyond wait for the next pass.
const OPEN_MAX: usize = 5_000;
/// Lowest HTTP status of a failure of the cloud's own: it may pass.
const OWN_FAULT: u16 = 500;

/// One pass of the background task. Idempotent; stops at the first failure that may pass, to be run again.
///
/// # Errors
/// What may pass.
pub async fn keep_spot(cloud: &Cloud) -> Result<(), KeeperError> {
    interrupt_due(cloud).await?;
    let mut full: HashSet<String> = HashSet::new();
    let (mut after, mut trouble) = (None, None);
    for _ in 0..OPEN_MAX / OPEN_PAGE as usize {
        let from = after.as_ref().map(|(created_ms, id)| (*created_ms, id));
        let page = spot_request_open(cloud.store(), from, OPEN_PAGE).await.or_fail()?;
        let Some(last) = page.last() else { break };
        after = Some((last.created_ms, last.id.clone()));
        for row in page {
            // One that cannot be looked at does not keep the others waiting.
            if let Err(error) = look_at(cloud, row, &mut full).await {
                trouble.get_or_insert(error);
            }
        }
    }
    trouble.map_or(Ok(()), |error| Err(error.into()))
}

/// What a look at an open request found.
enum Found {
    /// Its instance runs, or it is no longer open: nothing more to say.
    Done,
    /// Not now: the status says why.
    Waits(String, String),
    /// Not ever.
    Hopeless(String),
    /// Its time has run out.
    Late,
}

impl Found {
    fn waits((code, message): change::Status) -> Self {
        Self::Waits(code.to_owned(), message.to_owned())
    }
}

/// `full` names the kinds of room that this pass found none of.
async fn look_at(cloud: &Cloud, row: SpotRequestRow, full: &mut HashSet<String>) -> Result<(), ApiError> {
    let now_ms = cloud.clock().now_ms();
    let found = if row.valid_until_ms.is_some_and(|until| until <= now_ms) {
        Found::Late
    } else if row.valid_from_ms.is_some_and(|from| from > now_ms) {
        Found::waits(change::NOT_SCHEDULED_YET)
    } else {
        try_one(cloud, &row, full).await?
    };
    let (code, message) = match &found {
        Found::Done => return Ok(()),
        Found::Waits(code, message) if row.status_code == *code && row.status_message == *message => return Ok(()),
        Found::Waits(code, message) => (code.as_str(), message.as_str()),
        Found::Hopeless(message) => ("", message.as_str()),
        Found::Late => ("", ""),
    };
    cloud.faults().point("cloud.spot.status").await.or_fail()?;
    let mut tx = cloud.store().write().await.or_fail()?;
    let mut row = match spot_request_fetch_locked(&mut tx, &row.id).await {
        Err(StoreError::NotFound { .. }) => return tx.rollback().await.or_fail(),
        other => other.or_fail()?,
    };
    let changed = row.state == SpotState::Open
        && match found {
            Found::Done => false,
            Found::Waits(..) => change::tell_text(&mut row, code, message, now_ms),
            Found::Hopeless(_) => {
                change::fail(&mut row, message, now_ms);
                true
            }
            Found::Late => change::expire(&mut row, now_ms),
        };
    if !changed {
        return tx.rollback().await.or_fail();
    }
    spot_request_update(&mut tx, &row).await.or_fail()?;
    tx.commit().await.or_fail()?;
    cloud.faults().point("cloud.spot.status.committed").await.or_fail()
}

/// Launches, or starts again, what an open request wants.
async fn try_one(cloud: &Cloud, row: &SpotRequestRow, full: &mut HashSet<String>) -> Result<Found, ApiError> {
    // Only the replica that leads a zone can place there; the others leave it to that one.
    if !cloud.zones().iter().any(|zone| cloud.zone_state(zone).session().is_some()) {
        return Ok(Found::Done);
    }
    let Wanted { requester, maker, launch } = match Wanted::of(row) {
        Ok(wanted) => wanted,
        Err(error) => return Ok(Found::Hopeless(format!("{}", KeeperError::from(error)))),
    };
    let price = cloud.spot_price(&launch.instance_type).await?;
    if let Some(max) = row.max_price.as_deref().and_then(|text| text.parse::<Price>().ok()).filter(|max| *max < price) {
        let message = format!(
            "Your Spot request price of {max} is lower than the minimum required Spot request fulfillment price of {price}."
        );
        return Ok(Found::Waits("price-too-low".to_owned(), message));
    }
    let place = (&launch.zone, &launch.subnet, &launch.instance_type, &launch.group, &launch.private_ip);
    let kind = format!("{place:?} {:?}", row.instance_id);
    if full.contains(&kind) {
        return Ok(unavailable(row));
    }
    cloud.faults().point("cloud.spot.fulfil").await.or_fail()?;
    let tried = match &row.instance_id {
        Some(_) => start_again(cloud, row).await,
        None => launch_one(cloud, row, launch, (requester, maker)).await,
    };
    match tried {
        Ok(()) => cloud.faults().point("cloud.spot.fulfilled").await.or_fail().map(|()| Found::Done),
        Err(error) => match error.code() {
            Code::InsufficientInstanceCapacity | Code::InsufficientFreeAddressesInSubnet => {
                full.insert(kind);
                Ok(unavailable(row))
            }
            // Cancelled, or fulfilled by another replica, meanwhile.
            Code::IncorrectSpotRequestState => Ok(Found::Done),
            Code::InstanceLimitExceeded
            | Code::VcpuLimitExceeded
            | Code::ResourceLimitExceeded
            | Code::MaxSpotInstanceCountExceeded => {
                Ok(Found::Waits("limit-exceeded".to_owned(), error.message().to_owned()))
            }
            _ if error.status() >= OWN_FAULT => Err(error),
            _ => Ok(Found::Hopeless(error.message().to_owned())),
        },
    }
}

/// No room. Why a request waits again after an interruption stays told.
fn unavailable(row: &SpotRequestRow) -> Found {
    if row.instance_id.is_some() { Found::Done } else { Found::waits(change::CAPACITY_NOT_AVAILABLE) }
}

async fn launch_one(
    cloud: &Cloud,
    row: &SpotRequestRow,
    launch: RunRequest,
    (requester, maker): (String, Option<Maker>),
) -> Result<(), ApiError> {
    let user_data = spot_request_user_data(cloud.store(), &row.id).await.or_fail()?;
    let fulfils = Some(Fulfils { request: row.id.clone(), requester });
    // Its end was looked at; what is left of it is the request's.
    let spot = launch.spot.clone().map(|spot| super::SpotOptions { fulfils, valid_until_ms: None, ..spot });
    let request = RunRequest { user_data, spot, ..launch };
    let cx = OpContext::new(Actor::root(row.account_id.clone(), false), cloud.rng().uuid()).made_for(maker);
    cloud.run_instances(&cx, request).await.map(drop)
}

/// The instance that an interruption stopped.
async fn start_again(cloud: &Cloud, row: &SpotRequestRow) -> Result<(), ApiError> {
    let Some(id) = &row.instance_id else { return Ok(()) };
    let instance = match instance_fetch(cloud.store(), id).await {
        Err(StoreError::NotFound { .. }) => return Ok(()),
        other => other.or_fail()?,
    };
    // It has yet to stop.
    if instance.state != mallee_types::InstanceState::Stopped {
        return Ok(());
    }
    cloud.start_rows(None, std::slice::from_ref(&instance)).await.map(drop)
}

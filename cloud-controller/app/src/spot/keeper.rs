//! The spot keeper: interrupts what is due, and fulfils open requests when there is room. It keeps nothing in memory:
//! what is to be done stands in the requests' rows, so that a restart, or another replica, goes on where it stopped.

use super::change::Ending;
use super::interrupt::{interrupt_due, terminated_reason};
use super::{Fulfils, Price, Wanted, change};
use crate::context::{Actor, Maker};
use crate::fail::OrFail as _;
use crate::instances::lifecycle::set_reason;
use crate::instances::run::RunRequest;
use crate::keeper::KeeperError;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    SpotRequestRow, SpotState, StoreError, instance_fetch, instance_fetch_locked, spot_request_fetch_locked,
    spot_request_open, spot_request_update, spot_request_user_data,
};
use mallee_types::RunIntent;
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
    // The instance first, as everywhere.
    let stopped = match row.instance_id.as_ref().filter(|_| matches!(found, Found::Late)) {
        None => None,
        Some(id) => match instance_fetch_locked(&mut tx, id).await {
            Err(StoreError::NotFound { .. }) => None,
            other => Some(other.or_fail()?).filter(|instance| instance.intent == RunIntent::Stop),
        },
    };
    let seen = row.instance_id;
    let mut row = match spot_request_fetch_locked(&mut tx, &row.id).await {
        Err(StoreError::NotFound { .. }) => return tx.rollback().await.or_fail(),
        other => other.or_fail()?,
    };
    let changed = row.state == SpotState::Open
        && row.instance_id == seen
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
    // Nothing would start it again.
    if let Some(mut instance) = stopped {
        instance.intent = RunIntent::Terminate;
        let transition = cloud.transition("Server.SpotInstanceTermination");
        set_reason(&mut instance, &terminated_reason(), &transition);
        change::terminated(&mut row, Ending::Service, true, now_ms);
        cloud.write_intent(&mut tx, &mut instance).await?;
        cloud.faults().point("cloud.spot.late.before-commit").await.or_fail()?;
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
    // Subnets, groups and nodes of its own differ from account to account.
    let place = (&row.account_id, &launch.zone, &launch.subnet, &launch.private_ip);
    let what = (&launch.instance_type, &launch.group, &launch.tenancy, &row.instance_id);
    let kind = format!("{place:?} {what:?}");
    if full.contains(&kind) {
        return Ok(unavailable(row));
    }
    cloud.faults().point("cloud.spot.fulfil").await.or_fail()?;
    let tried = match &row.instance_id {
        Some(_) => start_again(cloud, row, maker).await,
        None => launch_one(cloud, row, launch, (requester, maker)).await,
    };
    match tried {
        Ok(()) => cloud.faults().point("cloud.spot.fulfilled").await.or_fail().map(|()| Found::Done),
        Err(error) => match error.code() {
            Code::InsufficientInstanceCapacity
            | Code::InsufficientFreeAddressesInSubnet
            | Code::InsufficientAddressCapacity => {
                full.insert(kind);
                Ok(unavailable(row))
            }
            // Cancelled, or fulfilled by another replica, meanwhile.
            Code::IncorrectSpotRequestState => Ok(Found::Done),
            // Quotas: others of the account may end.
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

/// The cloud acts for the account.
fn acting(cloud: &Cloud, row: &SpotRequestRow) -> OpContext {
    OpContext::new(Actor::root(row.account_id.clone(), false), cloud.rng().uuid())
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
    cloud.run_instances(&acting(cloud, row).made_for(maker), request).await.map(drop)
}

/// The instance that an interruption stopped.
async fn start_again(cloud: &Cloud, row: &SpotRequestRow, maker: Option<Maker>) -> Result<(), ApiError> {
    let Some(id) = &row.instance_id else { return Ok(()) };
    let instance = match instance_fetch(cloud.store(), id).await {
        Err(StoreError::NotFound { .. }) => return Ok(()),
        other => other.or_fail()?,
    };
    // It has yet to stop.
    if instance.state != mallee_types::InstanceState::Stopped {
        return Ok(());
    }
    // While it was stopped its account may have used up what it had left.
    let cx = acting(cloud, row).made_for(maker);
    let allowance = cloud.ec2_allowance(&cx, "ec2:StartInstances", "instance", &[]).await?;
    cloud.start_rows(&allowance, std::slice::from_ref(&instance)).await.map(drop)
}

//! What must hold between spot instances and their requests, for the checker.

use crate::Cloud;
use crate::fail::OrFail as _;
use mallee_awswire::ApiError;
use mallee_store::{InstanceRow, SpotRequestRow, SpotState, spot_request_list};
use mallee_types::{InstanceId, RunIntent, SpotRequestId};
use std::collections::BTreeMap;

/// Requests read at once.
const PAGE: u32 = 1000;
/// An interruption that is so late has been forgotten, in milliseconds.
const LATE_MS: i64 = 60_000;

/// Something that does not fit: what it is about, and what is wrong.
pub(crate) type Difference = (String, String);

/// Compares every request with its instance, and the other way round; also how many requests there are.
pub(crate) async fn differences(
    cloud: &Cloud,
    instances: &BTreeMap<InstanceId, InstanceRow>,
) -> Result<(Vec<Difference>, usize), ApiError> {
    let mut requests: BTreeMap<SpotRequestId, SpotRequestRow> = BTreeMap::new();
    loop {
        let after = requests.keys().next_back().cloned();
        let page = spot_request_list(cloud.store(), None, None, after.as_ref(), PAGE).await.or_fail()?;
        if page.is_empty() {
            break;
        }
        requests.extend(page.into_iter().map(|row| (row.id.clone(), row)));
    }
    let now_ms = cloud.clock().now_ms();
    let mut found = Vec::new();
    for row in requests.values() {
        let instance = row.instance_id.as_ref().and_then(|id| instances.get(id));
        found.extend(of_request(row, instance, now_ms).map(|problem| (row.id.to_string(), problem)));
    }
    for row in instances.values() {
        let Some(spot) = &row.doc.spot else { continue };
        found.extend(of_instance(row, requests.get(&spot.request)).map(|problem| (row.id.to_string(), problem)));
    }
    Ok((found, requests.len()))
}

/// What is wrong with a request.
fn of_request(row: &SpotRequestRow, instance: Option<&InstanceRow>, now_ms: i64) -> Option<String> {
    let intent = instance.map(|instance| instance.intent);
    let ended = matches!(row.state, SpotState::Closed | SpotState::Cancelled | SpotState::Failed);
    if ended != row.ended_ms.is_some() {
        return Some(format!("is {:?}, but ended at {:?}", row.state, row.ended_ms));
    }
    let fits = match row.state {
        SpotState::Active => intent == Some(RunIntent::Run),
        SpotState::Disabled => intent == Some(RunIntent::Stop),
        SpotState::Open => row.instance_id.is_none() || intent == Some(RunIntent::Stop),
        SpotState::Closed => intent.is_none_or(|intent| intent == RunIntent::Terminate),
        SpotState::Failed => row.instance_id.is_none(),
        SpotState::Cancelled => true,
    };
    if !fits {
        return Some(format!("is {:?}, but its instance {:?} is meant to {intent:?}", row.state, row.instance_id));
    }
    let noticed = instance.and_then(|i| i.doc.spot.as_ref()).and_then(|spot| spot.notice).map(|notice| notice.at_ms);
    match row.interrupt_ms {
        Some(at) if noticed != Some(at) || intent != Some(RunIntent::Run) => {
            Some(format!("is to be interrupted at {at}, but its instance knows of {noticed:?}"))
        }
        Some(at) if at.saturating_add(LATE_MS) < now_ms => {
            Some(format!("was to be interrupted {} s ago", (now_ms - at) / 1000))
        }
        None if intent == Some(RunIntent::Run) && noticed.is_some() => {
            Some("has no interruption before it, but its instance has its notice".to_owned())
        }
        _ => None,
    }
}

/// What is wrong with a spot instance.
fn of_instance(row: &InstanceRow, request: Option<&SpotRequestRow>) -> Option<String> {
    if row.intent == RunIntent::Terminate {
        return None;
    }
    match request {
        None => Some("is a spot instance without a request".to_owned()),
        Some(request) if request.instance_id.as_ref() != Some(&row.id) => {
            Some(format!("is not the instance of its request {} ({:?})", request.id, request.instance_id))
        }
        Some(_) => None,
    }
}

//! One fleet, step by step: look, decide, write down, and only then do. Whoever dies in between, the next one goes on
//! from the rows.

use super::decide::{Decision, Known, Market, Member, PassedOver, decide, place_of};
use super::launch::{FleetHands, FleetLaunch, LaunchOrder};
use crate::fail::{OrFail as _, store_failure};
use crate::instances::run::place::NOT_NOW;
use crate::{Actor, Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    FleetCandidate, FleetEventKind, FleetLaunchState, FleetMemberState, FleetRow, FleetStrategy, InstanceFilter,
    InstanceRow, Json, StoreError, Tx, fleet_fetch, fleet_hold, fleet_launch_end, fleet_launch_fetch,
    fleet_launch_insert, fleet_launch_list, fleet_launch_prune, fleet_member_forget, fleet_member_list,
    fleet_member_set, fleet_update, instance_list,
};
use mallee_types::{FleetId, InstanceId};
use std::collections::{BTreeMap, BTreeSet};

/// Rounds of deciding and doing in one go: each fills the target, or passes a pool over, or ends.
const ROUNDS_MAX: usize = 2_000;
/// How often rows that others change are read again.
const TRIES_MAX: usize = 10;
/// Launches that ended and made nothing of which each fleet keeps the newest.
const LAUNCHES_KEPT: u64 = 200;
/// How long after its start the cloud waits for its zones before a launch of a fleet, in milliseconds.
const SETTLING_MS: i64 = 30_000;
/// Instances looked up at once.
const IDS_AT_ONCE: usize = 1_000;

/// For whom a fleet acts: whoever made it was asked then whether they may. Their quotas are looked up now.
fn acting(fleet: &FleetRow) -> Result<OpContext, ApiError> {
    let mut actor = Actor::root(fleet.account_id.clone(), false);
    actor.arn = fleet.created_by.as_str().into();
    let maker = fleet.doc.0.maker.clone().map(serde_json::from_value).transpose().map_err(ApiError::internal)?;
    Ok(OpContext::new(actor, fleet.id.as_str()).made_for(maker))
}

/// Whether trying the same again may help. Just after its start the cloud's zones cannot say yet whether there is
/// room, and an instant fleet has one try.
fn is_transient(cloud: &Cloud, error: &ApiError) -> bool {
    let up_ms = cloud.clock().now_ms().saturating_sub(cloud.started_ms());
    let not_yet = up_ms < SETTLING_MS && error.cause() == Some(NOT_NOW);
    not_yet || matches!(error.code(), Code::Unavailable | Code::InternalError)
}

/// Brings a fleet as far as it goes now.
///
/// # Errors
/// What may pass: the next call goes on.
pub async fn drive(cloud: &Cloud, hands: &dyn FleetHands, id: &FleetId) -> Result<(), ApiError> {
    let mut passed_over = PassedOver::new();
    for _ in 0..ROUNDS_MAX {
        let Some((fleet, decision)) = look(cloud, hands, id, &passed_over).await? else { return Ok(()) };
        if !decision.terminate.is_empty() {
            let ids: Vec<String> = decision.terminate.iter().map(ToString::to_string).collect();
            cloud.faults().point("cloud.fleet.terminate").await.or_fail()?;
            for some in ids.chunks(IDS_AT_ONCE) {
                cloud.terminate_instances(&acting(&fleet)?, some, false).await?;
            }
            cloud.faults().point("cloud.fleet.terminated").await.or_fail()?;
        }
        if decision.launches.is_empty() {
            return Ok(());
        }
        for attempt in &decision.launches {
            if let Some(short) = make(cloud, hands, &fleet, *attempt).await? {
                passed_over.insert(short);
            }
        }
    }
    Ok(())
}

/// Looks and decides, in one transaction; `None`: the fleet is gone or at rest.
async fn look(
    cloud: &Cloud,
    hands: &dyn FleetHands,
    id: &FleetId,
    passed_over: &PassedOver,
) -> Result<Option<(FleetRow, Decision)>, ApiError> {
    for _ in 0..TRIES_MAX {
        let fleet = match fleet_fetch(cloud.store(), id).await {
            Ok(fleet) if fleet.is_open => fleet,
            Ok(_) | Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(store_failure(error)),
        };
        let market = market(cloud, &fleet).await?;
        cloud.faults().point("cloud.fleet.look").await.or_fail()?;
        let mut tx = cloud.store().write().await.or_fail()?;
        fleet_hold(&mut tx, id).await.or_fail()?;
        match look_in(cloud, hands, &mut tx, fleet, &market, passed_over).await {
            Ok((fleet, decision, changed)) => {
                cloud.faults().point("cloud.fleet.before-commit").await.or_fail()?;
                let ended = if changed { tx.commit().await } else { tx.rollback().await };
                match ended {
                    Ok(()) => {}
                    Err(StoreError::Stale { .. }) => continue,
                    Err(error) => return Err(store_failure(error)),
                }
                cloud.faults().point("cloud.fleet.committed").await.or_fail()?;
                return Ok(Some((fleet, decision)));
            }
            Err(StoreError::Stale { .. }) => tx.rollback().await.or_fail()?,
            Err(error) => return Err(store_failure(error)),
        }
    }
    Err(Code::Unavailable.message(format!("{id} is being changed by others; try again")))
}

async fn look_in(
    cloud: &Cloud,
    hands: &dyn FleetHands,
    tx: &mut Tx,
    before: FleetRow,
    market: &[Market],
    passed_over: &PassedOver,
) -> Result<(FleetRow, Decision, bool), StoreError> {
    let id = before.id.clone();
    let launches = fleet_launch_list(&mut *tx, &id).await?;
    let docs: BTreeMap<u64, _> = launches.iter().map(|launch| (launch.attempt, &launch.doc.0)).collect();
    let rows = fleet_member_list(&mut *tx, &id).await?;
    let mut instances: BTreeMap<InstanceId, InstanceRow> = BTreeMap::new();
    let ids: Vec<InstanceId> = rows.iter().map(|row| row.instance_id.clone()).collect();
    for some in ids.chunks(IDS_AT_ONCE) {
        let filter = InstanceFilter { ids: Some(some), ..Default::default() };
        let page = instance_list(&mut *tx, filter, u32::try_from(IDS_AT_ONCE).unwrap_or(u32::MAX)).await?;
        instances.extend(page.into_iter().map(|row| (row.id.clone(), row)));
    }
    let impaired = if before.doc.0.replace_unhealthy {
        let live: Vec<InstanceRow> = instances.values().cloned().collect();
        hands.impaired(&live)
    } else {
        BTreeSet::new()
    };
    let member = |row: mallee_store::FleetMemberRow| {
        let launch = docs.get(&row.attempt).map(|doc| (*doc).clone());
        launch.map(|launch| Member { instance: instances.get(&row.instance_id).cloned(), row, launch })
    };
    // Forgotten instances of a fleet that goes on are forgotten here too.
    let keeps = before.kind == mallee_store::FleetKind::Maintain;
    let (forgotten, kept): (Vec<_>, Vec<_>) = rows
        .into_iter()
        .partition(|row| keeps && row.state == FleetMemberState::Gone && !instances.contains_key(&row.instance_id));
    let members: Vec<Member> = kept.into_iter().filter_map(member).collect();
    let mut fleet = before.clone();
    let now_ms = cloud.clock().now_ms();
    let known = Known { members, launches: launches.clone(), impaired, market, passed_over, now_ms };
    let decision = decide(&mut fleet, known);
    let mut changed = !forgotten.is_empty();
    for row in &forgotten {
        fleet_member_forget(tx, &row.instance_id).await?;
    }
    for (instance, state) in &decision.moved {
        fleet_member_set(tx, instance, *state).await?;
    }
    for row in &decision.planned {
        fleet_launch_insert(tx, row).await?;
    }
    for attempt in &decision.cancelled {
        let Some(row) = launches.iter().find(|launch| launch.attempt == *attempt) else { continue };
        let row = mallee_store::FleetLaunchRow { state: FleetLaunchState::Cancelled, ..row.clone() };
        fleet_launch_end(tx, &row).await?;
    }
    changed |= fleet != before || !decision.moved.is_empty() || !decision.cancelled.is_empty();
    changed |= !decision.events.is_empty() || !decision.planned.is_empty();
    let now = |kind, word: &str, description, instance_id| mallee_store::FleetEventRow {
        fleet_id: id.clone(),
        seq: 0,
        at_ms: now_ms,
        kind,
        sub_kind: word.to_owned(),
        description,
        instance_id,
    };
    for (kind, word, text, instance) in decision.events.clone() {
        mallee_store::fleet_event_insert(tx, &now(kind, word, text, instance)).await?;
    }
    if changed {
        if keeps {
            fleet_launch_prune(tx, &id, fleet.attempts.saturating_sub(LAUNCHES_KEPT)).await?;
        }
        fleet_update(tx, &mut fleet).await?;
    }
    for instance in &decision.protected {
        tracing::info!(fleet = %id, %instance, "an instance of the fleet is protected against termination; it stays");
    }
    Ok((fleet, decision, changed))
}

/// What is heard of each candidate, as far as spot capacity asks for it: on-demand instances have no price, and their
/// strategies do not ask for room.
async fn market(cloud: &Cloud, fleet: &FleetRow) -> Result<Vec<Market>, ApiError> {
    let doc = &fleet.doc.0;
    if doc.spot == 0 {
        return Ok(vec![Market::default(); doc.candidates.len()]);
    }
    let by_room = !matches!(
        doc.spot_options.strategy,
        FleetStrategy::LowestPrice | FleetStrategy::Prioritized | FleetStrategy::Diversified
    );
    let capacities = if by_room { cloud.capacities().await? } else { Vec::new() };
    let now_ms = cloud.clock().now_ms();
    let prices = cloud.spot_prices(&[], now_ms, now_ms).await?;
    let look = |candidate: &FleetCandidate| {
        let fits = capacities.iter().filter(|one| {
            one.size.name == candidate.instance_type
                && candidate.zone.as_ref().is_none_or(|zone| zone.as_str() == one.zone.as_str())
        });
        let price = prices.iter().find(|point| point.instance_type == candidate.instance_type);
        Market { room: fits.map(|one| one.available).sum(), price: price.map_or(0, |point| point.price.millionths()) }
    };
    Ok(doc.candidates.iter().map(look).collect())
}

/// Makes a launch that is written down. The pool that gave less than it was asked for, if it did.
async fn make(
    cloud: &Cloud,
    hands: &dyn FleetHands,
    fleet: &FleetRow,
    attempt: u64,
) -> Result<Option<(bool, usize)>, ApiError> {
    let Some(row) = fleet_launch_fetch(cloud.store(), &fleet.id, attempt).await.or_fail()? else { return Ok(None) };
    let doc = &fleet.doc.0;
    let pool = place_of(&doc.candidates, &row.doc.0.candidate).map(|at| (row.doc.0.spot, at));
    let outcome = if row.state == FleetLaunchState::Planned {
        let order = LaunchOrder {
            launch: FleetLaunch { fleet: fleet.id.clone(), attempt },
            doc: &row.doc.0,
            instance_tags: &doc.instance_tags,
            interface_tags: &doc.interface_tags,
        };
        cloud.faults().point("cloud.fleet.launch").await.or_fail()?;
        let outcome = hands.launch(&acting(fleet)?, &order).await;
        cloud.faults().point("cloud.fleet.launched").await.or_fail()?;
        outcome
    } else {
        Ok(())
    };
    // What counts is what is written: the launch may have been made and its reply lost.
    let Some(mut row) = fleet_launch_fetch(cloud.store(), &fleet.id, attempt).await.or_fail()? else { return Ok(None) };
    match (row.state, outcome) {
        (FleetLaunchState::Launched, _) => Ok(pool.filter(|_| row.doc.0.instances.len() < row.doc.0.count as usize)),
        (FleetLaunchState::Failed | FleetLaunchState::Cancelled, _) => Ok(pool),
        (FleetLaunchState::Planned, Err(error)) if !is_transient(cloud, &error) => {
            let (code, text) = (error.code().as_str().to_owned(), error.message().to_owned());
            row.state = FleetLaunchState::Failed;
            row.doc = Json(mallee_store::FleetLaunchDoc { error: Some((code.clone(), text.clone())), ..row.doc.0 });
            let mut tx = cloud.store().write().await.or_fail()?;
            fleet_hold(&mut tx, &fleet.id).await.or_fail()?;
            if fleet_launch_end(&mut tx, &row).await.or_fail()? {
                let what = &row.doc.0.candidate;
                let text =
                    format!("{} ({} version {}): {code}: {text}", what.instance_type, what.template, what.version);
                let word = "launchSpecTemporarilyBlacklisted";
                cloud.fleet_event(&mut tx, &fleet.id, FleetEventKind::Error, word, text, None).await?;
            }
            tx.commit().await.or_fail()?;
            cloud.faults().point("cloud.fleet.failure-noted").await.or_fail()?;
            Ok(pool)
        }
        (FleetLaunchState::Planned, Err(error)) => Err(error),
        (FleetLaunchState::Planned, Ok(())) => {
            Err(ApiError::internal(format!("launch {attempt} of {} was made and not noted", fleet.id)))
        }
    }
}

//! What a fleet does next, from its rows and its instances as they are now: pure.

use super::plan::{Order, Pool, Spare, Standing, choose, excess};
use mallee_store::{
    FleetCandidate, FleetEventKind, FleetKind, FleetLaunchDoc, FleetLaunchRow, FleetLaunchState, FleetMemberRow,
    FleetMemberState, FleetOptions, FleetRow, FleetState, InstanceRow,
};
use mallee_types::{InstanceId, InstanceState, RunIntent};
use std::collections::BTreeSet;

/// How long an instance is impaired before it is replaced, in milliseconds (EC2: three checks in a row).
pub(super) const IMPAIRED_MS_MIN: i64 = 60_000;
/// Shortest wait after a launch that nowhere worked, in milliseconds; it doubles.
const RETRY_MS_MIN: i64 = 1_000;
/// Longest such wait, in milliseconds.
const RETRY_MS_MAX: i64 = 60_000;

/// Pools that failed or gave less than was asked in this round: spot or not, and their place in the list.
pub(super) type PassedOver = BTreeSet<(bool, usize)>;

/// An instance of a fleet.
#[derive(Debug)]
pub(super) struct Member {
    pub row: FleetMemberRow,
    /// `None`: it is forgotten.
    pub instance: Option<InstanceRow>,
    /// How it was launched.
    pub launch: FleetLaunchDoc,
}

/// What there is of a candidate now, and for how much.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Market {
    /// Instances that would fit.
    pub room: u64,
    /// What an hour of a spot instance costs, in millionths of a dollar.
    pub price: u64,
}

/// Everything a decision is made from.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pub members: Vec<Member>,
    pub launches: Vec<FleetLaunchRow>,
    /// Instances whose checks fail.
    pub impaired: BTreeSet<InstanceId>,
    /// What is heard of each candidate.
    pub market: &'a [Market],
    pub passed_over: &'a PassedOver,
    pub now_ms: i64,
}

/// An event: its kind, EC2's word, the words, the instance.
pub(super) type Event = (FleetEventKind, &'static str, String, Option<InstanceId>);

/// What is to be written and done. The fleet's row was changed in place.
#[derive(Debug, Default)]
pub(super) struct Decision {
    pub events: Vec<Event>,
    pub moved: Vec<(InstanceId, FleetMemberState)>,
    /// Launches that are not wanted any more.
    pub cancelled: Vec<u64>,
    /// New launches.
    pub planned: Vec<FleetLaunchRow>,
    /// All launches to make now: new ones, and those a former keeper left.
    pub launches: Vec<u64>,
    /// Instances to terminate.
    pub terminate: Vec<InstanceId>,
    /// Instances that should go and are protected against it.
    pub protected: Vec<InstanceId>,
}

impl Decision {
    fn event(&mut self, kind: FleetEventKind, word: &'static str, text: impl Into<String>) {
        self.events.push((kind, word, text.into(), None));
    }

    fn member(&mut self, member: &mut Member, state: FleetMemberState) {
        member.row.state = state;
        self.moved.push((member.row.instance_id.clone(), state));
    }

    /// Ends a member's time with the fleet.
    fn part(&mut self, member: &mut Member, word: &'static str, why: &str) {
        let id = member.row.instance_id.clone();
        self.events.push((FleetEventKind::Instance, word, format!("{id} {why}"), Some(id)));
        self.member(member, FleetMemberState::Leaving);
    }
}

const fn is_deleted(state: FleetState) -> bool {
    matches!(state, FleetState::DeletedRunning | FleetState::DeletedTerminating | FleetState::Deleted)
}

/// Decides.
pub(super) fn decide(fleet: &mut FleetRow, mut known: Known<'_>) -> Decision {
    let mut out = Decision::default();
    notice(&mut known.members, &mut out);
    if fleet.doc.0.valid_until_ms.is_some_and(|until| until <= known.now_ms) && !is_deleted(fleet.state) {
        out.event(FleetEventKind::Fleet, "expired", "The fleet has expired");
        let end = fleet.doc.0.terminate_expired;
        fleet.state = if end { FleetState::DeletedTerminating } else { FleetState::DeletedRunning };
        fleet.deleted_ms = Some(known.now_ms);
    }
    let waits = fleet.doc.0.valid_from_ms.is_some_and(|from| from > known.now_ms);
    if is_deleted(fleet.state) {
        delete(fleet, &mut known, &mut out);
    } else if fleet.state == FleetState::Failed {
        fleet.is_open = known.members.iter().any(|member| member.row.state == FleetMemberState::Leaving);
    } else if !waits {
        act(fleet, &mut known, &mut out);
    }
    count(fleet, &known.members);
    for member in known.members.iter().filter(|member| member.row.state == FleetMemberState::Leaving) {
        let Some(instance) = member.instance.as_ref().filter(|row| row.intent != RunIntent::Terminate) else {
            continue;
        };
        let list = if instance.doc.disable_api_termination { &mut out.protected } else { &mut out.terminate };
        list.push(member.row.instance_id.clone());
    }
    out
}

/// What became of the members.
fn notice(members: &mut [Member], out: &mut Decision) {
    for member in members {
        let state = member.instance.as_ref().map(|row| row.state);
        let over = matches!(state, None | Some(InstanceState::Terminated));
        match member.row.state {
            FleetMemberState::Live if over || state == Some(InstanceState::ShuttingDown) => {
                let reason = member.instance.as_ref().and_then(|row| row.state_reason_message.clone());
                out.part(member, "terminated", &format!("ended: {}", reason.unwrap_or_else(|| "terminated".into())));
                if over {
                    out.member(member, FleetMemberState::Gone);
                }
            }
            FleetMemberState::Leaving if over => out.member(member, FleetMemberState::Gone),
            FleetMemberState::Live | FleetMemberState::Leaving | FleetMemberState::Gone => {}
        }
    }
}

fn delete(fleet: &mut FleetRow, known: &mut Known<'_>, out: &mut Decision) {
    let planned = known.launches.iter().filter(|launch| launch.state == FleetLaunchState::Planned);
    out.cancelled.extend(planned.map(|launch| launch.attempt));
    let ends = fleet.state == FleetState::DeletedTerminating;
    if ends {
        for member in known.members.iter_mut().filter(|member| member.row.state == FleetMemberState::Live) {
            out.part(member, "termination_notified", "is terminated with its fleet");
        }
    }
    fleet.doc.0.activity = if ends { "pending_termination".into() } else { String::new() };
    if fleet.state != FleetState::Deleted && known.members.iter().all(|m| m.row.state == FleetMemberState::Gone) {
        fleet.state = FleetState::Deleted;
        fleet.is_open = false;
        fleet.doc.0.activity = String::new();
        out.event(FleetEventKind::Fleet, "deleted", "The fleet is deleted and has no instances");
    }
}

fn act(fleet: &mut FleetRow, known: &mut Known<'_>, out: &mut Decision) {
    match fleet.state {
        FleetState::Submitted => {
            out.event(FleetEventKind::Fleet, "active", "The fleet is valid; its target is being filled");
            fleet.state = FleetState::Active;
        }
        FleetState::Modifying => {
            out.event(FleetEventKind::Fleet, "modify_succeeded", "The fleet was modified");
            fleet.state = FleetState::Active;
        }
        _ => {}
    }
    replace_impaired(fleet, known, out);
    let planned: Vec<u64> = known
        .launches
        .iter()
        .filter(|launch| launch.state == FleetLaunchState::Planned)
        .map(|launch| launch.attempt)
        .collect();
    if !planned.is_empty() {
        // Of a keeper that died, or of another one: to be made before anything new is thought of.
        out.launches = planned;
        fleet.doc.0.activity = "pending_fulfillment".into();
        return;
    }
    let (mut missing, mut over) = (false, false);
    for spot in [false, true] {
        let (have, target) = (have(fleet, &known.members, spot), target(fleet, spot));
        missing |= have < target;
        if fleet.kind == FleetKind::Maintain && fleet.doc.0.terminate_excess && have > target {
            over |= trim(known, out, spot, have, target);
        }
        if have < target && may_launch(fleet, known) && !options_of(fleet, spot).given_back {
            plan(fleet, known, out, spot, have, target);
        }
    }
    let nowhere = missing && out.planned.is_empty() && may_launch(fleet, known);
    settle(fleet, known, out, Outcome { missing, over, nowhere });
}

/// How things stand after the planning.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    missing: bool,
    over: bool,
    nowhere: bool,
}

fn settle(fleet: &mut FleetRow, known: &mut Known<'_>, out: &mut Decision, outcome: Outcome) {
    let Outcome { missing, over, nowhere } = outcome;
    let doc = &mut fleet.doc.0;
    if !missing {
        doc.failures = 0;
        doc.retry_ms = 0;
    } else if nowhere {
        doc.retry_ms = known.now_ms + (RETRY_MS_MIN << doc.failures.min(10)).min(RETRY_MS_MAX);
        doc.failures = doc.failures.saturating_add(1);
        if fleet.kind != FleetKind::Instant {
            let text = "No launch specification could be launched; they are tried again later";
            out.event(FleetEventKind::Error, "allLaunchSpecsTemporarilyBlacklisted", text);
        }
    }
    fleet.doc.0.activity = match () {
        () if over => "pending_termination",
        () if !missing => "fulfilled",
        () if nowhere || fleet.doc.0.failures > 0 => "error",
        () => "pending_fulfillment",
    }
    .into();
    if fleet.kind == FleetKind::Instant && out.planned.is_empty() {
        finish_instant(fleet, known, out);
    }
}

/// An instant fleet has tried what it could: what falls short of a minimum is given back.
fn finish_instant(fleet: &mut FleetRow, known: &mut Known<'_>, out: &mut Decision) {
    for spot in [false, true] {
        let have = have(fleet, &known.members, spot);
        let options = if spot { &mut fleet.doc.0.spot_options } else { &mut fleet.doc.0.on_demand_options };
        if have >= options.least || options.given_back {
            continue;
        }
        options.given_back = true;
        let mine = |member: &&mut Member| member.launch.spot == spot && member.row.state == FleetMemberState::Live;
        for member in known.members.iter_mut().filter(mine) {
            out.part(member, "terminated", "is given back: the fleet's minimum target capacity was not reached");
        }
    }
    let given_back = |member: &&Member| options_of(fleet, member.launch.spot).given_back;
    let wanted = fleet.doc.0.on_demand + fleet.doc.0.spot > 0;
    if wanted && known.members.iter().all(|member| given_back(&member)) {
        fleet.state = FleetState::Failed;
        fleet.deleted_ms = Some(known.now_ms);
    }
    let lives = known.members.iter().any(|member| member.row.state == FleetMemberState::Live);
    let leaves = known.members.iter().any(|member| member.row.state == FleetMemberState::Leaving);
    fleet.is_open = leaves || (lives && fleet.doc.0.valid_until_ms.is_some());
}

const fn options_of(fleet: &FleetRow, spot: bool) -> &FleetOptions {
    if spot { &fleet.doc.0.spot_options } else { &fleet.doc.0.on_demand_options }
}

/// Impaired members leave once they have been so for long enough.
fn replace_impaired(fleet: &mut FleetRow, known: &mut Known<'_>, out: &mut Decision) {
    if fleet.kind != FleetKind::Maintain || !fleet.doc.0.replace_unhealthy {
        return;
    }
    let before = std::mem::take(&mut fleet.doc.0.impaired);
    for member in known.members.iter_mut().filter(|member| member.row.state == FleetMemberState::Live) {
        let id = member.row.instance_id.clone();
        if !known.impaired.contains(&id) {
            continue;
        }
        let since = before.iter().find(|(other, _)| *other == id).map_or(known.now_ms, |(_, since)| *since);
        if known.now_ms - since >= IMPAIRED_MS_MIN {
            out.part(member, "terminated", "is impaired and is replaced");
        } else {
            fleet.doc.0.impaired.push((id, since));
        }
    }
}

const fn target(fleet: &FleetRow, spot: bool) -> u64 {
    if spot { fleet.doc.0.spot } else { fleet.doc.0.on_demand }
}

/// What counts towards the target. Only a fleet that is maintained misses what has ended.
fn have(fleet: &FleetRow, members: &[Member], spot: bool) -> u64 {
    let counts = |member: &&Member| {
        member.launch.spot == spot && (fleet.kind != FleetKind::Maintain || member.row.state == FleetMemberState::Live)
    };
    members.iter().filter(counts).map(|member| member.launch.candidate.weight).sum()
}

fn may_launch(fleet: &FleetRow, known: &Known<'_>) -> bool {
    // A round that has begun is brought to its end.
    fleet.kind == FleetKind::Instant || fleet.doc.0.retry_ms <= known.now_ms || !known.passed_over.is_empty()
}

/// The candidate of the fleet's list that a launch was of, if it is still in it.
pub(super) fn place_of(candidates: &[FleetCandidate], candidate: &FleetCandidate) -> Option<usize> {
    candidates.iter().position(|other| other == candidate)
}

/// Pools that an instant fleet has tried in vain: it tries none twice.
fn tried(fleet: &FleetRow, known: &Known<'_>) -> PassedOver {
    let mut out = known.passed_over.clone();
    if fleet.kind == FleetKind::Instant {
        for launch in &known.launches {
            let doc = &launch.doc.0;
            let short = doc.instances.len() < doc.count as usize;
            if let Some(at) = place_of(&fleet.doc.0.candidates, &doc.candidate).filter(|_| short) {
                out.insert((doc.spot, at));
            }
        }
    }
    out
}

fn plan(fleet: &mut FleetRow, known: &Known<'_>, out: &mut Decision, spot: bool, have: u64, target: u64) {
    let tried = tried(fleet, known);
    let mine = |member: &&Member| member.launch.spot == spot && member.row.state == FleetMemberState::Live;
    let candidates = fleet.doc.0.candidates.clone();
    let pools = candidates.iter().enumerate().filter(|(at, _)| !tried.contains(&(spot, *at))).map(|(at, candidate)| {
        let have = known.members.iter().filter(mine).filter(|m| m.launch.candidate == *candidate).count();
        let Market { room, price } = known.market.get(at).copied().unwrap_or_default();
        Pool { at, candidate, room, have: have as u64, price: if spot { price } else { 0 } }
    });
    let first = known.members.iter().find(mine).map(|member| &member.launch.candidate);
    let options = options_of(fleet, spot);
    for Order { at, count_min, count } in choose(options, pools.collect(), Standing { have, target, first }) {
        let Some(candidate) = candidates.get(at) else { continue };
        fleet.attempts += 1;
        let doc = FleetLaunchDoc {
            candidate: candidate.clone(),
            spot,
            count_min,
            count,
            instances: Vec::new(),
            subnet: None,
            zone: None,
            error: None,
        };
        out.launches.push(fleet.attempts);
        out.planned.push(FleetLaunchRow {
            fleet_id: fleet.id.clone(),
            attempt: fleet.attempts,
            state: FleetLaunchState::Planned,
            created_ms: known.now_ms,
            doc: mallee_store::Json(doc),
        });
    }
}

/// Ends what is over the target; whether there was any.
fn trim(known: &mut Known<'_>, out: &mut Decision, spot: bool, have: u64, target: u64) -> bool {
    let is_spare = |member: &Member| {
        let protected = member.instance.as_ref().is_some_and(|row| row.doc.disable_api_termination);
        member.launch.spot == spot && member.row.state == FleetMemberState::Live && !protected
    };
    let spares = known.members.iter().enumerate().filter(|(_, member)| is_spare(member)).map(|(at, member)| Spare {
        at,
        weight: member.launch.candidate.weight,
        cost: member.launch.candidate.cost,
        launched_ms: member.instance.as_ref().map_or(0, |row| row.launch_ms),
    });
    let go = excess(spares.collect(), have, target);
    for at in &go {
        out.part(&mut known.members[*at], "termination_notified", "is terminated: the target capacity was decreased");
    }
    !go.is_empty()
}

/// What is shown of the capacity that there is.
fn count(fleet: &mut FleetRow, members: &[Member]) {
    let live = |spot: bool| -> u64 {
        let mine = |m: &&Member| m.launch.spot == spot && m.row.state == FleetMemberState::Live;
        members.iter().filter(mine).map(|member| member.launch.candidate.weight).sum()
    };
    fleet.doc.0.fulfilled_on_demand = live(false);
    fleet.doc.0.fulfilled = live(false) + live(true);
}

#[cfg(test)]
mod tests;

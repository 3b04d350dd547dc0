//! Fleets without instances: what they do next.

use super::*;
use mallee_store::{FleetDoc, Json};
use mallee_types::{FleetId, LaunchTemplateId};

const NOW: i64 = 1_000_000;

fn fleet(kind: FleetKind, on_demand: u64) -> FleetRow {
    let candidate = FleetCandidate {
        config: 0,
        over: None,
        template: LaunchTemplateId::from_random(1),
        version: 1,
        launch: Vec::new(),
        subnet: None,
        instance_type: "t3.nano".into(),
        zone: None,
        weight: 1_000,
        priority: None,
        cost: 1,
    };
    FleetRow {
        id: FleetId::from_random(1),
        account_id: "123456789012".parse().unwrap(),
        kind,
        state: FleetState::Submitted,
        version: 1,
        is_open: true,
        created_by: "arn".into(),
        created_ms: NOW,
        deleted_ms: None,
        client_token: None,
        attempts: 0,
        doc: Json(FleetDoc { candidates: vec![candidate], on_demand, ..FleetDoc::default() }),
    }
}

fn next(fleet: &mut FleetRow, launches: &[FleetLaunchRow], passed_over: &[(bool, usize)], now_ms: i64) -> Decision {
    let passed_over = passed_over.iter().copied().collect();
    let known = Known {
        members: Vec::new(),
        launches: launches.to_vec(),
        impaired: BTreeSet::new(),
        market: &[],
        passed_over: &passed_over,
        now_ms,
    };
    decide(fleet, known)
}

fn words(decision: &Decision) -> Vec<&'static str> {
    decision.events.iter().map(|(_, word, ..)| *word).collect()
}

#[test]
fn a_launch_is_written_down_once_and_made_before_anything_else() {
    let mut row = fleet(FleetKind::Maintain, 3_000);
    let first = next(&mut row, &[], &[], NOW);
    assert_eq!((row.state, words(&first)), (FleetState::Active, vec!["active"]));
    assert_eq!((first.launches.as_slice(), first.planned[0].doc.0.count), ([1].as_slice(), 3));
    let again = next(&mut row, &first.planned, &[], NOW);
    assert!(again.planned.is_empty() && again.launches == [1] && row.attempts == 1);
}

#[test]
fn after_a_round_without_success_it_waits_and_then_tries_again() {
    let mut row = fleet(FleetKind::Maintain, 1_000);
    let failed = next(&mut row, &[], &[(false, 0)], NOW);
    assert!(failed.planned.is_empty() && row.doc.0.activity == "error" && row.doc.0.retry_ms == NOW + RETRY_MS_MIN);
    assert!(next(&mut row, &[], &[], NOW + 1).planned.is_empty(), "it waits");
    assert_eq!(row.doc.0.activity, "error");
    assert_eq!(next(&mut row, &[], &[], NOW + RETRY_MS_MIN).planned.len(), 1);
    row.doc.0.failures = 60;
    row.doc.0.retry_ms = 0;
    next(&mut row, &[], &[(false, 0)], NOW);
    assert_eq!(row.doc.0.retry_ms, NOW + RETRY_MS_MAX, "never longer");
}

#[test]
fn an_instant_fleet_tries_each_pool_once() {
    let mut row = fleet(FleetKind::Instant, 2_000);
    let mut made = next(&mut row, &[], &[], NOW).planned;
    made[0].state = FleetLaunchState::Failed;
    let last = next(&mut row, &made, &[], NOW);
    assert!(last.planned.is_empty(), "another process knows of the failure by the row alone");
    assert_eq!((row.state, row.is_open), (FleetState::Failed, false));
    let mut nothing = fleet(FleetKind::Instant, 0);
    next(&mut nothing, &[], &[], NOW);
    assert_eq!((nothing.state, nothing.is_open), (FleetState::Active, false));
}

#[test]
fn what_is_deleted_or_expired_launches_nothing_more() {
    let mut row = fleet(FleetKind::Maintain, 1_000);
    let planned = next(&mut row, &[], &[], NOW).planned;
    row.state = FleetState::DeletedTerminating;
    let gone = next(&mut row, &planned, &[], NOW);
    assert_eq!((gone.cancelled.as_slice(), gone.launches.len()), ([1].as_slice(), 0));
    assert_eq!((row.state, row.is_open, words(&gone)), (FleetState::Deleted, false, vec!["deleted"]));

    let mut row = fleet(FleetKind::Request, 1_000);
    row.doc.0.valid_from_ms = Some(NOW + 10);
    row.doc.0.valid_until_ms = Some(NOW + 20);
    assert!(next(&mut row, &[], &[], NOW).planned.is_empty() && row.state == FleetState::Submitted);
    assert_eq!(next(&mut row, &[], &[], NOW + 10).planned.len(), 1);
    let expired = next(&mut row, &[], &[], NOW + 20);
    assert_eq!((row.state, words(&expired)), (FleetState::Deleted, vec!["expired", "deleted"]));
}

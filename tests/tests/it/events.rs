//! Scheduled events: announced, moved, done at their time, with every point of that failing and killed.

use crate::crew::each;
use mallee_app::Cloud;
use mallee_app::events::{Announced, Announcement, SHOWN_MS, Target};
use mallee_runtime::FaultAction;
use mallee_store::{EventCode, EventState, InstanceEventRow, InstanceRow};
use mallee_tests::TestCloud;
use mallee_types::{InstanceId, InstanceState};
use std::sync::Arc;
use std::time::Duration;

/// How long nothing is seen to happen.
const QUIET: Duration = Duration::from_millis(1_500);
const HOUR: i64 = 3_600_000;

/// An announcement for an instance, as the administrator repeats it until the cloud takes it.
pub async fn announce(cloud: &mut TestCloud, target: Target, code: EventCode, not_before_ms: i64) -> Announced {
    let wanted = Announcement {
        target,
        code,
        not_before_ms,
        not_after_ms: Some(not_before_ms + HOUR),
        deadline_ms: Some(not_before_ms + 24 * HOUR),
        description: "work on the power".into(),
    };
    let ask = |app: Arc<Cloud>| {
        let wanted = wanted.clone();
        async move { app.announce_event(&wanted).await }
    };
    cloud.administer("the announcement", ask).await
}

/// A time as clients write it, in whole seconds.
pub fn text_of(ms: i64) -> String {
    let t = mallee_runtime::clock::from_unix_ms(ms);
    let (hour, minute, second) = t.to_hms();
    format!("{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", t.year(), u8::from(t.month()), t.day())
}

pub fn only(id: &InstanceId) -> Target {
    Target::Instances(vec![id.to_string()])
}

async fn found(cloud: &TestCloud, id: &InstanceId) -> Vec<InstanceEventRow> {
    cloud.events().await.into_iter().filter(|row| row.instance_id == *id).collect()
}

pub async fn row_of(cloud: &TestCloud, id: &InstanceId) -> InstanceRow {
    cloud.rows().await.into_iter().find(|row| row.id == *id).expect("it has a row")
}

async fn until_ended(cloud: &mut TestCloud, id: &InstanceId, state: EventState) {
    cloud
        .until(&format!("the events of {id} are over"), async |cloud| {
            let states: Vec<_> = found(cloud, id).await.iter().map(|event| event.state).collect();
            if states.iter().all(|found| *found == state) { Ok(()) } else { Err(format!("{states:?}")) }
        })
        .await;
}

async fn running(cloud: &mut TestCloud, token: &str) -> InstanceId {
    let id = cloud.launch(token).await;
    cloud.until_state(&id, InstanceState::Running).await;
    id
}

pub fn shift_to(cloud: &TestCloud, at_ms: i64) {
    cloud.clock.shift_ms(at_ms - cloud.clock.now_ms() + 1);
}

#[tokio::test]
async fn what_is_announced_for_a_node_is_done_at_its_time_and_not_before() {
    let mut cloud = TestCloud::start().await;
    let first = running(&mut cloud, "a").await;
    let node = row_of(&cloud, &first).await.node_id.expect("it is on a node").to_string();
    let at = cloud.clock.now_ms() / 1_000 * 1_000 + 2 * HOUR;
    let made = announce(&mut cloud, Target::Node(node.clone()), EventCode::InstanceStop, at).await.made;
    assert!(made.iter().any(|event| event.instance_id == first), "{made:?}");
    let again = announce(&mut cloud, Target::Node(node), EventCode::InstanceStop, at).await;
    assert_eq!((again.made.len(), again.known.len()), (0, made.len()), "an announcement may be repeated");
    let reply = cloud.insist("DescribeInstanceStatus", &[("InstanceId.1", first.as_str())]).await;
    assert_eq!(reply.all("instanceEventId"), [made[0].id.as_str()]);
    assert_eq!(reply.all("description"), ["work on the power"]);

    // Its owner wants it an hour earlier.
    let text = text_of(at - HOUR + 60_000);
    let ask = [("InstanceId", first.as_str()), ("InstanceEventId", made[0].id.as_str()), ("NotBefore", text.as_str())];
    cloud.insist("ModifyInstanceEventStartTime", &ask).await;
    let moved = found(&cloud, &first).await.remove(0);
    assert_eq!((moved.not_before_ms, moved.not_after_ms), (at - HOUR + 60_000, Some(at + 60_000)));
    cloud.kill().await;
    cloud.boot().await;
    tokio::time::sleep(QUIET).await;
    assert_eq!(row_of(&cloud, &first).await.state, InstanceState::Running, "not before its time");
    shift_to(&cloud, moved.not_before_ms);
    cloud.until_state(&first, InstanceState::Stopped).await;
    let row = row_of(&cloud, &first).await;
    assert_eq!(row.state_reason_code.as_deref(), Some("Server.ScheduledStop"));
    let event = found(&cloud, &first).await.remove(0);
    assert_eq!(event.state, EventState::Completed);
    cloud.sound().await;
    // It is over: what is started again stays.
    cloud.act("StartInstances", &first).await;
    cloud.until_state(&first, InstanceState::Running).await;
    tokio::time::sleep(QUIET).await;
    assert_eq!(row_of(&cloud, &first).await.state, InstanceState::Running);
    let reply = cloud.insist("DescribeInstanceStatus", &[("InstanceId.1", first.as_str())]).await;
    assert_eq!(reply.all("description"), ["[Completed] work on the power"]);
    cloud.clock.shift_ms(SHOWN_MS + 1_000);
    cloud.purge().await;
    assert!(found(&cloud, &first).await.is_empty(), "forgotten after a week");
    cloud.clear().await;
}

#[tokio::test]
async fn an_event_ends_with_what_its_instances_owner_does_himself() {
    let mut cloud = TestCloud::start().await;
    let id = running(&mut cloud, "a").await;
    let at = cloud.clock.now_ms() + 2 * HOUR;
    announce(&mut cloud, only(&id), EventCode::InstanceReboot, at).await;
    cloud.act("RebootInstances", &id).await;
    until_ended(&mut cloud, &id, EventState::Completed).await;
    let reboots = row_of(&cloud, &id).await.reboot_seq;
    announce(&mut cloud, only(&id), EventCode::SystemReboot, at).await;
    announce(&mut cloud, only(&id), EventCode::InstanceRetirement, at + HOUR).await;
    shift_to(&cloud, at);
    tokio::time::sleep(QUIET).await;
    let row = row_of(&cloud, &id).await;
    assert_eq!(
        (row.reboot_seq, row.state),
        (reboots, InstanceState::Running),
        "nothing is done twice, or by the cloud"
    );
    cloud.act("StopInstances", &id).await;
    cloud.until_state(&id, InstanceState::Stopped).await;
    let open = found(&cloud, &id).await.into_iter().filter(|event| event.state == EventState::Scheduled);
    assert_eq!(open.count(), 2, "its disk is still on the host that is worked on");
    // Retired: its disk goes with the host.
    shift_to(&cloud, at + HOUR);
    cloud.until_state(&id, InstanceState::Terminated).await;
    let mut states: Vec<_> = found(&cloud, &id).await.iter().map(|event| (event.code, event.state)).collect();
    states.sort_unstable();
    let want = [
        (EventCode::InstanceReboot, EventState::Completed),
        (EventCode::InstanceRetirement, EventState::Completed),
        (EventCode::SystemReboot, EventState::Canceled),
    ];
    assert_eq!(states, want);
    cloud.sound().await;
    // Events go with their instance.
    cloud.clock.shift_ms(3_700_000);
    cloud.purge().await;
    assert!(found(&cloud, &id).await.is_empty());
    cloud.empty().await;
}

/// Every point from the announcement to what it announced, failed and killed.
const POINTS: [&str; 9] = [
    "cloud.event.announce",
    "cloud.event.announce.before-commit",
    "cloud.event.announce.committed",
    "cloud.event.move",
    "cloud.event.move.before-commit",
    "cloud.event.move.committed",
    "cloud.event.due",
    "cloud.event.due.before-commit",
    "cloud.event.due.committed",
];

#[tokio::test]
async fn every_step_of_a_reboot_that_is_announced_survives_failure_and_death() {
    let cases = POINTS.into_iter().flat_map(|point| [(point, FaultAction::Fail), (point, FaultAction::Kill)]);
    each(cases, async |cloud: &mut TestCloud, (point, action)| {
        let token = cloud.rng.uuid();
        let id = running(cloud, &token).await;
        let (hits, before) = (cloud.faults.hit().len(), row_of(cloud, &id).await.reboot_seq);
        cloud.faults.arm(point, *action, 1);
        let at = cloud.clock.now_ms() + 3 * HOUR;
        announce(cloud, only(&id), EventCode::InstanceReboot, at).await;
        let events = found(cloud, &id).await;
        assert_eq!(events.len(), 1, "one announcement, one event");
        let sooner = (at - HOUR) / 1_000 * 1_000;
        let text = text_of(sooner);
        let event = events[0].id.to_string();
        let ask = [("InstanceId", id.as_str()), ("InstanceEventId", event.as_str()), ("NotBefore", text.as_str())];
        cloud.insist("ModifyInstanceEventStartTime", &ask).await;
        assert_eq!(found(cloud, &id).await[0].not_after_ms, Some(sooner + HOUR), "moved once");
        shift_to(cloud, sooner);
        until_ended(cloud, &id, EventState::Completed).await;
        cloud.sound().await;
        cloud
            .until(&format!("{id} was rebooted"), async |cloud| {
                let seen = row_of(cloud, &id).await.observed_reboot_seq;
                if seen > before { Ok(()) } else { Err(format!("{seen} reboots")) }
            })
            .await;
        let row = row_of(cloud, &id).await;
        assert_eq!((row.reboot_seq, row.observed_reboot_seq), (before + 1, before + 1), "rebooted once");
        assert_eq!(row.state, InstanceState::Running);
        assert!(cloud.faults.hit().split_off(hits).iter().any(|hit| hit == point), "{point} was not struck");
        cloud.clear().await;
    })
    .await;
}

#[tokio::test]
async fn an_event_is_ended_by_the_administrator_once() {
    const ENDS: [&str; 3] = ["cloud.event.end", "cloud.event.end.before-commit", "cloud.event.end.committed"];
    let cases = ENDS.into_iter().flat_map(|point| [(point, FaultAction::Fail), (point, FaultAction::Kill)]);
    each(cases, async |cloud: &mut TestCloud, (point, action)| {
        let token = cloud.rng.uuid();
        let id = running(cloud, &token).await;
        let at = cloud.clock.now_ms() + HOUR;
        let made = announce(cloud, only(&id), EventCode::InstanceStop, at).await.made;
        let (hits, event) = (cloud.faults.hit().len(), made[0].id.to_string());
        cloud.faults.arm(point, *action, 1);
        let cancel = |app: Arc<Cloud>| {
            let event = event.clone();
            async move { app.end_instance_event(&event, EventState::Canceled).await }
        };
        cloud.administer("the cancellation", cancel).await;
        assert!(cloud.faults.hit().split_off(hits).iter().any(|hit| hit == point), "{point} was not struck");
        shift_to(cloud, at);
        tokio::time::sleep(QUIET).await;
        assert_eq!(row_of(cloud, &id).await.state, InstanceState::Running, "it was called off");
        assert_eq!(found(cloud, &id).await[0].state, EventState::Canceled);
        cloud.sound().await;
        cloud.clear().await;
    })
    .await;
}

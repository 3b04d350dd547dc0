//! Spot instances: fulfilled, given notice, interrupted, with every point of that failing and killed.

use crate::crew::each_on;
use mallee_app::spot::{NOTICE_MS, ROOM_KEPT_MS};
use mallee_runtime::FaultAction;
use mallee_sim::SimConfig;
use mallee_store::{SpotRequestRow, SpotState};
use mallee_tests::{BOUND, Setup, TestCloud};
use mallee_types::{InstanceId, InstanceState};
use std::time::{Duration, Instant};

/// Virtual CPUs of the smallest size.
const NANO: u32 = 2;
/// A little more than nothing, in milliseconds.
const MOMENT: i64 = 1_500;
/// Between two tries.
const RETRY: Duration = Duration::from_millis(10);
/// How long nothing is seen to happen.
const QUIET: Duration = Duration::from_millis(1_500);

/// One node with room for so many of the smallest size.
pub fn setup(seed: u64, room: u32) -> Setup {
    let usual = Setup::default();
    let host = SimConfig { vcpus: NANO * room, ..usual.host };
    Setup { seed, nodes: 1, host, ..usual }
}

pub async fn request(cloud: &mut TestCloud, token: &str, more: &[(&str, &str)]) -> String {
    let image = cloud.image().await;
    let params = [
        ("LaunchSpecification.ImageId", image.as_str()),
        ("LaunchSpecification.InstanceType", "t3.nano"),
        ("ClientToken", token),
    ];
    let params: Vec<(&str, &str)> = params.iter().chain(more).copied().collect();
    let reply = cloud.insist("RequestSpotInstances", &params).await;
    reply.first("spotInstanceRequestId").expect("a request").to_owned()
}

/// A launch of an ordinary instance; the token makes it one. It is repeated while the zone is about to hear of the newest: on
/// a busy machine it may be a moment behind, and says so.
pub async fn launch(cloud: &mut TestCloud, token: &str) -> Result<InstanceId, String> {
    let image = cloud.image().await;
    let params = [
        ("ImageId", image.as_str()),
        ("InstanceType", "t3.nano"),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("ClientToken", token),
    ];
    let deadline = Instant::now() + BOUND;
    loop {
        match cloud.call("RunInstances", &params).await.map_err(|error| error.to_string()) {
            Ok(reply) => return Ok(reply.first("instanceId").expect("an instance").parse().expect("an id")),
            Err(behind) if behind.ends_with("; try again") && Instant::now() < deadline => {
                tokio::time::sleep(RETRY).await;
            }
            Err(error) => return Err(error),
        }
    }
}

pub async fn found(cloud: &TestCloud, id: &str) -> SpotRequestRow {
    cloud.spot_requests().await.into_iter().find(|row| row.id.as_str() == id).expect("the request is there")
}

pub async fn until_status(cloud: &mut TestCloud, id: &str, code: &str) -> SpotRequestRow {
    cloud
        .until(&format!("{id} is {code}"), async |cloud| {
            let row = found(cloud, id).await;
            if row.status_code == code {
                Ok(())
            } else {
                Err(format!("{:?} {} {}", row.state, row.status_code, row.status_message))
            }
        })
        .await;
    found(cloud, id).await
}

pub async fn until_running(cloud: &mut TestCloud, id: &str) -> InstanceId {
    let instance = until_status(cloud, id, "fulfilled").await.instance_id.expect("fulfilled by one");
    cloud.until_state(&instance, InstanceState::Running).await;
    instance
}

/// Asks for room until the answer is that it is being made.
pub async fn make_room(cloud: &mut TestCloud) {
    for _ in 0..20 {
        match launch(cloud, "no-room").await {
            Err(error) if error.contains("Room is being made") => return,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            Ok(id) => panic!("{id} was launched where there is no room"),
        }
    }
    panic!("no room is being made");
}

#[tokio::test]
async fn the_youngest_gives_way_two_minutes_after_a_notice_that_outlives_the_cloud() {
    let mut cloud = TestCloud::with(setup(1, 2)).await;
    let first = request(&mut cloud, "a", &[("SpotPrice", "0.01")]).await;
    let stays = until_running(&mut cloud, &first).await;
    let second = request(&mut cloud, "b", &[]).await;
    let goes = until_running(&mut cloud, &second).await;
    let third = request(&mut cloud, "c", &[]).await;
    until_status(&mut cloud, &third, "capacity-not-available").await;
    let shown =
        cloud.insist("DescribeInstances", &[("Filter.1.Name", "instance-lifecycle"), ("Filter.1.Value.1", "spot")]);
    assert_eq!(shown.await.all("spotInstanceRequestId").len(), 2);

    let error = launch(&mut cloud, "mine").await.expect_err("there is no room");
    assert!(error.contains("InsufficientInstanceCapacity") && error.contains("Room is being made"), "{error}");
    assert!(error.contains("1 Spot Instances have now been given notice"), "{error}");
    let marked = found(&cloud, &second).await;
    assert_eq!(marked.status_code, "marked-for-termination", "the youngest goes");
    let due = marked.interrupt_ms.expect("a time");
    assert_eq!(found(&cloud, &first).await.status_code, "fulfilled");
    // The node is told, and through it the guest.
    cloud
        .until("the node knows of the notice", async |cloud| {
            let row = cloud.rows().await.into_iter().find(|row| row.id == goes).expect("it has a row");
            let notice = row.doc.spot.as_ref().and_then(|spot| spot.notice).map(|notice| notice.at_ms);
            assert_eq!((notice, row.state), (Some(due), InstanceState::Running));
            if row.observed_generation == row.generation { Ok(()) } else { Err("not yet".into()) }
        })
        .await;
    // To ask again costs nobody else his instance.
    let error = launch(&mut cloud, "mine").await.expect_err("there is still no room");
    assert!(error.contains("Room is being made") && !error.contains("have now been given"), "{error}");
    assert_eq!(found(&cloud, &first).await.status_code, "fulfilled");

    cloud.kill().await;
    cloud.boot().await;
    cloud.clock.shift_ms(due - cloud.clock.now_ms() - 2 * MOMENT);
    tokio::time::sleep(QUIET).await;
    assert!(cloud.clock.now_ms() < due, "the machine is too slow for this test");
    let row = cloud.rows().await.into_iter().find(|row| row.id == goes).expect("it has a row");
    assert_eq!(row.state, InstanceState::Running, "not before its time");
    cloud.clock.shift_ms(2 * MOMENT);
    cloud.until_state(&goes, InstanceState::Terminated).await;
    let row = cloud.rows().await.into_iter().find(|row| row.id == goes).expect("it has a row");
    assert_eq!(row.state_reason_code.as_deref(), Some("Server.SpotInstanceTermination"));
    let ended = found(&cloud, &second).await;
    assert_eq!((ended.state, ended.status_code.as_str()), (SpotState::Closed, "instance-terminated-no-capacity"));
    assert!(ended.interrupted_ms.is_some_and(|at| at >= due), "{ended:?}");

    // The room is kept from those who gave way.
    tokio::time::sleep(QUIET).await;
    assert_eq!(found(&cloud, &third).await.status_code, "capacity-not-available");
    let mine = launch(&mut cloud, "mine").await.expect("room was made");
    cloud.until_state(&mine, InstanceState::Running).await;
    cloud.sound().await;
    cloud.act("TerminateInstances", &mine).await;
    cloud.until_state(&mine, InstanceState::Terminated).await;
    cloud.clock.shift_ms(ROOM_KEPT_MS);
    until_running(&mut cloud, &third).await;
    cloud.sound().await;
    assert_eq!(found(&cloud, &first).await.instance_id, Some(stays));
    cloud.clear().await;
    for id in [first, third] {
        assert_eq!(found(&cloud, &id).await.status_code, "instance-terminated-by-user");
    }
    // Requests are forgotten with their instances, after their hour.
    cloud.clock.shift_ms(3_700_000);
    cloud.purge().await;
    assert!(cloud.spot_requests().await.is_empty(), "{:?}", cloud.spot_requests().await);
}

#[tokio::test]
async fn a_persistent_request_gets_its_instance_back() {
    let mut cloud = TestCloud::with(setup(2, 1)).await;
    let stops = [("Type", "persistent"), ("InstanceInterruptionBehavior", "stop")];
    let id = request(&mut cloud, "a", &stops).await;
    let instance = until_running(&mut cloud, &id).await;
    make_room(&mut cloud).await;
    assert_eq!(found(&cloud, &id).await.status_code, "marked-for-stop");
    cloud.clock.shift_ms(NOTICE_MS + 1);
    cloud.until_state(&instance, InstanceState::Stopped).await;
    let row = cloud.rows().await.into_iter().find(|row| row.id == instance).expect("it has a row");
    assert_eq!(row.state_reason_code.as_deref(), Some("Server.SpotInstanceShutdown"));
    let open = found(&cloud, &id).await;
    assert_eq!((open.state, open.status_code.as_str()), (SpotState::Open, "instance-stopped-no-capacity"));
    let error = cloud.call("StartInstances", &[("InstanceId.1", instance.as_str())]).await.expect_err("not by hand");
    assert_eq!(error.code(), "IncorrectSpotRequestState");
    cloud.sound().await;
    let mine = launch(&mut cloud, "mine").await.expect("room was made");
    cloud.until_state(&mine, InstanceState::Running).await;
    cloud.clock.shift_ms(ROOM_KEPT_MS + 1);
    tokio::time::sleep(QUIET).await;
    assert_eq!(found(&cloud, &id).await.state, SpotState::Open, "there is no room");
    cloud.act("TerminateInstances", &mine).await;
    // Room appears: it is started again, with its disk.
    cloud.until_state(&instance, InstanceState::Running).await;
    assert_eq!(found(&cloud, &id).await.status_code, "fulfilled");
    let row = cloud.rows().await.into_iter().find(|row| row.id == instance).expect("it has a row");
    assert_eq!(row.doc.spot.and_then(|spot| spot.notice), None, "the notice is over");

    // Its owner may stop and start it.
    cloud.act("StopInstances", &instance).await;
    cloud.until_state(&instance, InstanceState::Stopped).await;
    let disabled = found(&cloud, &id).await;
    assert_eq!((disabled.state, disabled.status_code.as_str()), (SpotState::Disabled, "instance-stopped-by-user"));
    cloud.sound().await;
    cloud.act("StartInstances", &instance).await;
    cloud.until_state(&instance, InstanceState::Running).await;
    assert_eq!(found(&cloud, &id).await.state, SpotState::Active);

    // Terminated, it is replaced, until the request is cancelled.
    cloud.act("TerminateInstances", &instance).await;
    cloud.until_state(&instance, InstanceState::Terminated).await;
    let next = until_running(&mut cloud, &id).await;
    assert_ne!(next, instance);
    cloud.insist("CancelSpotInstanceRequests", &[("SpotInstanceRequestId.1", &id)]).await;
    let cancelled = found(&cloud, &id).await;
    assert_eq!(cancelled.status_code, "request-canceled-and-instance-running");
    cloud.sound().await;
    cloud.clear().await;
    tokio::time::sleep(QUIET).await;
    let over = found(&cloud, &id).await;
    assert_eq!((over.state, over.status_code.as_str()), (SpotState::Cancelled, "instance-terminated-by-user"));
    cloud.empty().await;
}

#[tokio::test]
async fn a_request_that_was_cancelled_while_its_instance_was_stopped_ends_it() {
    let mut cloud = TestCloud::with(setup(3, 1)).await;
    let stops = [("Type", "persistent"), ("InstanceInterruptionBehavior", "stop")];
    let id = request(&mut cloud, "a", &stops).await;
    let instance = until_running(&mut cloud, &id).await;
    make_room(&mut cloud).await;
    cloud.clock.shift_ms(NOTICE_MS + 1);
    cloud.until_state(&instance, InstanceState::Stopped).await;
    cloud.insist("CancelSpotInstanceRequests", &[("SpotInstanceRequestId.1", &id)]).await;
    cloud.until_state(&instance, InstanceState::Terminated).await;
    cloud.sound().await;
    assert_eq!(found(&cloud, &id).await.state, SpotState::Cancelled);
    // One-time instances cannot be stopped.
    cloud.clock.shift_ms(ROOM_KEPT_MS + 1);
    let id = request(&mut cloud, "b", &[]).await;
    let instance = until_running(&mut cloud, &id).await;
    let error = cloud.call("StopInstances", &[("InstanceId.1", instance.as_str())]).await.expect_err("one-time");
    assert_eq!(error.code(), "UnsupportedOperation");
    cloud.clear().await;
}

/// Every point from the request to the interruption, failed and killed.
const POINTS: [&str; 20] = [
    "cloud.spot.request",
    "cloud.spot.request.before-commit",
    "cloud.spot.request.committed",
    "cloud.spot.fulfil",
    "cloud.run.resolved",
    "cloud.run.before-commit",
    "cloud.run.committed",
    "cloud.spot.fulfilled",
    "cloud.spot.status",
    "cloud.spot.status.committed",
    "cluster.place",
    "cluster.place.done",
    "cloud.spot.notice",
    "cloud.spot.notice.before-commit",
    "cloud.spot.notice.committed",
    "cloud.spot.interrupt",
    "cloud.spot.interrupt.before-commit",
    "cloud.spot.interrupt.committed",
    "cloud.spot.cancel.before-commit",
    "cloud.spot.cancel.committed",
];

#[tokio::test]
async fn every_step_to_an_interruption_survives_failure_and_death() {
    let cases = POINTS.into_iter().flat_map(|point| [(point, FaultAction::Fail), (point, FaultAction::Kill)]);
    let usual = |seed| setup(seed, 1);
    each_on(usual, cases, async |cloud: &mut TestCloud, (point, action)| {
        let token = cloud.rng.uuid();
        let (hits, begun) = (cloud.faults.hit().len(), cloud.clock.now_ms());
        cloud.faults.arm(point, *action, 1);
        let first = request(cloud, &token, &[]).await;
        let instance = until_running(cloud, &first).await;
        let waits = request(cloud, &format!("{token}-2"), &[]).await;
        until_status(cloud, &waits, "capacity-not-available").await;
        make_room(cloud).await;
        cloud.sound().await;
        let due = found(cloud, &first).await.interrupt_ms.expect("it has its notice");
        cloud.clock.shift_ms(due - cloud.clock.now_ms() + 1);
        cloud.until_state(&instance, InstanceState::Terminated).await;
        assert_eq!(found(cloud, &first).await.status_code, "instance-terminated-no-capacity");
        let mine = cloud.launch(&format!("{token}-3")).await;
        cloud.until_state(&mine, InstanceState::Running).await;
        cloud.insist("CancelSpotInstanceRequests", &[("SpotInstanceRequestId.1", &waits)]).await;
        assert_eq!(found(cloud, &waits).await.status_code, "canceled-before-fulfillment");
        let of_request =
            |row: &mallee_store::InstanceRow| row.doc.spot.as_ref().is_some_and(|s| s.request.as_str() == first);
        assert_eq!(cloud.rows().await.iter().filter(|row| of_request(row)).count(), 1, "one request, one instance");
        let made = cloud.spot_requests().await.iter().filter(|row| row.created_ms >= begun).count();
        assert_eq!(made, 2, "one client token, one request");
        cloud.sound().await;
        assert!(cloud.faults.hit().split_off(hits).iter().any(|hit| hit == point), "{point} was not struck");
        cloud.clear().await;
        // The next case finds no room that is kept.
        cloud.clock.shift_ms(ROOM_KEPT_MS + 1);
    })
    .await;
}

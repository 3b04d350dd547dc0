//! Capacity reservations over HTTP: room that is held, used, given back; and their workflows with every point failing and
//! killed.

use crate::crew::each;
use mallee_runtime::FaultAction;
use mallee_tests::{CallError, Reply, Setup, TestCloud};
use mallee_types::{InstanceId, InstanceState};

const TYPE: &str = "t3.nano";

/// More of a type than one node has room for.
const TOO_MANY: &str = "1000";

async fn reserve(cloud: &mut TestCloud, count: &str, more: &[(&str, &str)]) -> Result<String, CallError> {
    let zone = cloud.app().zones()[0].to_string();
    let params = [
        ("InstanceType", TYPE),
        ("InstancePlatform", "Linux/UNIX"),
        ("AvailabilityZone", zone.as_str()),
        ("InstanceCount", count),
    ];
    let params: Vec<(&str, &str)> = params.iter().chain(more).copied().collect();
    let reply = cloud.call("CreateCapacityReservation", &params).await?;
    Ok(reply.first("capacityReservationId").expect("an id").to_owned())
}

async fn launch(cloud: &mut TestCloud, count: &str, more: &[(&str, &str)]) -> Result<Vec<InstanceId>, CallError> {
    let image = cloud.image().await;
    let params = [("ImageId", image.as_str()), ("InstanceType", TYPE), ("MinCount", count), ("MaxCount", count)];
    let params: Vec<(&str, &str)> = params.iter().chain(more).copied().collect();
    let reply = cloud.call("RunInstances", &params).await?;
    let ids: Vec<InstanceId> = reply.all("instanceId").into_iter().map(|id| id.parse().expect("an id")).collect();
    for id in &ids {
        cloud.until_state(id, InstanceState::Running).await;
    }
    Ok(ids)
}

async fn shown(cloud: &mut TestCloud, id: &str) -> Reply {
    cloud.insist("DescribeCapacityReservations", &[("CapacityReservationId.1", id)]).await
}

/// (total, available, state)
async fn counts(cloud: &mut TestCloud, id: &str) -> (String, String, String) {
    let reply = shown(cloud, id).await;
    let text = |element| reply.first(element).unwrap_or_default().to_owned();
    (text("totalInstanceCount"), text("availableInstanceCount"), text("state"))
}

fn said(total: &str, available: &str, state: &str) -> (String, String, String) {
    (total.to_owned(), available.to_owned(), state.to_owned())
}

async fn in_reservation(cloud: &mut TestCloud, id: &str) -> Vec<String> {
    let params = [("Filter.1.Name", "capacity-reservation-id"), ("Filter.1.Value.1", id)];
    let reply = cloud.insist("DescribeInstances", &params).await;
    reply.all("instanceId").into_iter().map(str::to_owned).collect()
}

const NONE: (&str, &str) = ("CapacityReservationSpecification.CapacityReservationPreference", "none");
const ONLY: (&str, &str) =
    ("CapacityReservationSpecification.CapacityReservationPreference", "capacity-reservations-only");
const TARGET: &str = "CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId";

/// Launches outside of reservations until the cloud is full.
async fn fill(cloud: &mut TestCloud) -> Vec<InstanceId> {
    let mut filled = Vec::new();
    for count in ["64", "16", "4", "1"] {
        loop {
            match launch(cloud, count, &[NONE]).await {
                Ok(ids) => filled.extend(ids),
                Err(error) => {
                    assert_eq!(error.code(), "InsufficientInstanceCapacity", "{error}");
                    break;
                }
            }
        }
    }
    filled
}

async fn held_room(postgres: bool) {
    let mut cloud = TestCloud::with(Setup { postgres, ..Setup::default() }).await;
    let open = reserve(&mut cloud, "2", &[]).await.expect("there is room");
    let targeted = reserve(&mut cloud, "1", &[("InstanceMatchCriteria", "targeted")]).await.expect("there is room");
    assert_eq!(counts(&mut cloud, &open).await, said("2", "2", "active"));
    cloud.sound().await;
    let filled = fill(&mut cloud).await;
    assert!(!filled.is_empty(), "others have the rest");
    // A restart of everything, the cluster controller with it: it is told again what it holds.
    cloud.kill().await;
    cloud.boot().await;
    cloud.sound().await;
    let error = launch(&mut cloud, "1", &[NONE]).await.expect_err("what is reserved is not for others");
    assert_eq!(error.code(), "InsufficientInstanceCapacity");
    let error = reserve(&mut cloud, "1", &[]).await.expect_err("there is no room for another");
    assert_eq!(error.code(), "InsufficientInstanceCapacity");
    assert!(error.to_string().contains("node-"), "each node says why: {error}");

    let mine = launch(&mut cloud, "2", &[]).await.expect("both slots are free");
    assert_eq!(counts(&mut cloud, &open).await, said("2", "0", "active"));
    assert_eq!(in_reservation(&mut cloud, &open).await.len(), 2);
    let error = launch(&mut cloud, "1", &[]).await.expect_err("the other one is for those who name it");
    assert_eq!(error.code(), "InsufficientInstanceCapacity");
    let error = launch(&mut cloud, "1", &[ONLY]).await.expect_err("nor this way");
    assert_eq!(error.code(), "InsufficientInstanceCapacity");
    let error = launch(&mut cloud, "1", &[(TARGET, &open)]).await.expect_err("it is full");
    assert_eq!(error.code(), "ReservationCapacityExceeded");
    let named = launch(&mut cloud, "1", &[(TARGET, &targeted)]).await.expect("its slot is free");
    assert_eq!(counts(&mut cloud, &targeted).await, said("1", "0", "active"));
    let usage = cloud.insist("GetCapacityReservationUsage", &[("CapacityReservationId", &targeted)]).await;
    assert_eq!((usage.first("usedInstanceCount"), usage.first("availableInstanceCount")), (Some("1"), Some("0")));
    cloud.sound().await;

    // Stopped and terminated instances give their slots back, and nobody else gets them.
    cloud.act("StopInstances", &mine[0]).await;
    cloud.until_state(&mine[0], InstanceState::Stopped).await;
    assert_eq!(counts(&mut cloud, &open).await, said("2", "1", "active"));
    assert_eq!(in_reservation(&mut cloud, &open).await.len(), 1, "it is in none while it is stopped");
    cloud.act("TerminateInstances", &mine[1]).await;
    cloud.until_state(&mine[1], InstanceState::Terminated).await;
    cloud.sound().await;
    let error = launch(&mut cloud, "1", &[NONE]).await.expect_err("still not for others");
    assert_eq!(error.code(), "InsufficientInstanceCapacity");
    let fewer = [("CapacityReservationId", open.as_str()), ("InstanceCount", "1")];
    cloud.insist("ModifyCapacityReservation", &fewer).await;
    cloud.act("StartInstances", &mine[0]).await;
    cloud.until_state(&mine[0], InstanceState::Running).await;
    assert_eq!(counts(&mut cloud, &open).await, said("1", "0", "active"));
    cloud.sound().await;
    launch(&mut cloud, "1", &[NONE]).await.expect("the slot that was given up is anybody's");
    let more = [("CapacityReservationId", open.as_str()), ("InstanceCount", TOO_MANY)];
    let error = cloud.call("ModifyCapacityReservation", &more).await.expect_err("there is no such room");
    assert_eq!(error.code(), "InsufficientInstanceCapacity");
    assert_eq!(counts(&mut cloud, &open).await, said("1", "0", "active"), "and nothing changed");

    // Those who used it go on when it ends.
    cloud.insist("CancelCapacityReservation", &[("CapacityReservationId", &open)]).await;
    assert_eq!(counts(&mut cloud, &open).await, said("1", "0", "cancelled"));
    cloud
        .until("nobody is in what has ended", async |cloud| {
            let rows = cloud.rows().await;
            let still =
                rows.iter().filter(|row| row.doc.capacity_reservation.as_ref().is_some_and(|r| r.as_str() == open));
            let still = still.filter(|row| !row.released).count();
            if still == 0 { Ok(()) } else { Err(format!("{still} are")) }
        })
        .await;
    assert_eq!(in_reservation(&mut cloud, &open).await.len(), 0);
    let error = cloud.call("CancelCapacityReservation", &[("CapacityReservationId", &open)]).await;
    assert_eq!(error.expect_err("it has ended").code(), "InvalidCapacityReservationState");
    cloud.sound().await;
    cloud.act("TerminateInstances", &named[0]).await;
    cloud.insist("CancelCapacityReservation", &[("CapacityReservationId", &targeted)]).await;
    cloud.clear().await;
    cloud.stop().await;
}

#[tokio::test]
async fn room_is_held_used_and_given_back_on_sqlite() {
    held_room(false).await;
}

#[tokio::test]
async fn room_is_held_used_and_given_back_on_postgresql() {
    held_room(true).await;
}

#[tokio::test]
async fn a_reservation_ends_by_its_date() {
    let mut cloud = TestCloud::start().await;
    let date = |cloud: &TestCloud, in_ms: i64| {
        let t = mallee_runtime::clock::from_unix_ms(cloud.clock.now_ms() + in_ms);
        let (date, time) = (t.date(), t.time());
        format!("{date}T{:02}:{:02}:{:02}.{:03}Z", time.hour(), time.minute(), time.second(), time.millisecond())
    };
    let past = date(&cloud, -1000);
    let error = reserve(&mut cloud, "1", &[("EndDate", &past)]).await.expect_err("that is over");
    assert_eq!(error.code(), "InvalidParameterValue");
    let soon = date(&cloud, 1500);
    let id = reserve(&mut cloud, "2", &[("EndDateType", "limited"), ("EndDate", &soon)]).await.expect("there is room");
    let inside = launch(&mut cloud, "1", &[(TARGET, &id)]).await.expect("there is a slot");
    cloud
        .until("it ends by itself", async |cloud| {
            let app = cloud.app();
            let id = id.parse().expect("an id");
            match mallee_store::capacity_fetch(app.store(), &id).await {
                Ok(row) if row.state == mallee_store::CapacityState::Expired => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    cloud.sound().await;
    let row = cloud.rows().await.into_iter().find(|row| row.id == inside[0]).expect("it has a row");
    assert_eq!(row.state, InstanceState::Running, "its instances go on");
    let error = launch(&mut cloud, "1", &[(TARGET, &id)]).await.expect_err("it has ended");
    assert_eq!(error.code(), "InvalidCapacityReservationState");
    cloud.clear().await;
}

#[tokio::test]
async fn what_a_stopped_instance_is_to_use_can_be_changed() {
    let mut cloud = TestCloud::start().await;
    let instance = launch(&mut cloud, "1", &[]).await.expect("there is room").remove(0);
    let id = reserve(&mut cloud, "8", &[("InstanceMatchCriteria", "targeted")]).await.expect("there is room");
    let wish = [("InstanceId", instance.as_str()), (TARGET, id.as_str())];
    let error = cloud.call("ModifyInstanceCapacityReservationAttributes", &wish).await.expect_err("it runs");
    assert_eq!(error.code(), "IncorrectInstanceState");
    cloud.act("StopInstances", &instance).await;
    cloud.until_state(&instance, InstanceState::Stopped).await;
    cloud.insist("ModifyInstanceCapacityReservationAttributes", &wish).await;
    cloud.act("StartInstances", &instance).await;
    cloud.until_state(&instance, InstanceState::Running).await;
    assert_eq!(in_reservation(&mut cloud, &id).await, [instance.to_string()], "eight slots are on both nodes");
    assert_eq!(counts(&mut cloud, &id).await, said("8", "7", "active"));
    cloud.sound().await;
    cloud.insist("CancelCapacityReservation", &[("CapacityReservationId", &id)]).await;
    cloud.clear().await;
}

/// The points a reservation's life passes, and the same life with each of them failing once and killing the cloud.
#[tokio::test]
async fn a_reservation_survives_failure_and_death_at_each_point() {
    let own = |point: &String| point.starts_with("cloud.capacity.") || point.starts_with("cluster.");
    let mut first = TestCloud::start().await;
    life(&mut first).await;
    let points: Vec<String> = first.faults.passed().into_iter().filter(own).collect();
    assert!(points.iter().filter(|point| point.starts_with("cloud.capacity.")).count() >= 10, "{points:?}");
    let cases = points.into_iter().flat_map(|point| [(point.clone(), FaultAction::Fail), (point, FaultAction::Kill)]);
    each(cases, async |cloud: &mut TestCloud, (point, action)| {
        cloud.faults.arm(point, *action, 1);
        life(cloud).await;
        cloud.faults.clear();
    })
    .await;
}

/// Made, enlarged, used, cancelled; each call repeated until it is known to have been done.
async fn life(cloud: &mut TestCloud) {
    let zone = cloud.app().zones()[0].to_string();
    let token = cloud.rng.uuid();
    let params = [
        ("InstanceType", TYPE),
        ("InstancePlatform", "Linux/UNIX"),
        ("AvailabilityZone", zone.as_str()),
        ("InstanceCount", "1"),
        ("InstanceMatchCriteria", "targeted"),
        ("ClientToken", token.as_str()),
    ];
    let made = cloud.insist("CreateCapacityReservation", &params).await;
    let id = made.first("capacityReservationId").expect("an id").to_owned();
    let again = cloud.insist("CreateCapacityReservation", &params).await;
    assert_eq!(again.first("capacityReservationId"), Some(id.as_str()), "one token, one reservation");
    cloud.sound().await;
    let more = [("CapacityReservationId", id.as_str()), ("InstanceCount", "3")];
    cloud.insist("ModifyCapacityReservation", &more).await;
    let (image, token) = (cloud.image().await, cloud.rng.uuid());
    let params = [
        ("ImageId", image.as_str()),
        ("InstanceType", TYPE),
        ("MinCount", "2"),
        ("MaxCount", "2"),
        ("ClientToken", token.as_str()),
        (TARGET, id.as_str()),
    ];
    let launched = cloud.insist("RunInstances", &params).await;
    let ids: Vec<InstanceId> = launched.all("instanceId").into_iter().map(|id| id.parse().expect("an id")).collect();
    for id in &ids {
        cloud.until_state(id, InstanceState::Running).await;
    }
    cloud.sound().await;
    assert_eq!(counts(cloud, &id).await, said("3", "1", "active"));
    // A repeat of what was done already says so.
    match cloud.call("CancelCapacityReservation", &[("CapacityReservationId", &id)]).await {
        Err(error) if error.is_retriable() => {
            while counts(cloud, &id).await.2 != "cancelled" {
                drop(cloud.call("CancelCapacityReservation", &[("CapacityReservationId", &id)]).await);
            }
        }
        other => drop(other.expect("it is active")),
    }
    cloud
        .until("nobody is in what has ended", async |cloud| {
            let still = cloud.rows().await.iter().any(|row| row.doc.capacity_reservation.is_some());
            if still { Err("some are".into()) } else { Ok(()) }
        })
        .await;
    cloud.sound().await;
    cloud.clear().await;
}

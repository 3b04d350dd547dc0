//! Where spot instances, capacity reservations, dedicated hosts, quotas, scheduled events and templates meet.

use crate::crew::each_on;
use crate::events::{announce, only, row_of, shift_to, text_of};
use crate::quotas::set;
use crate::spot::{found, make_room, request, setup, until_running, until_status};
use mallee_app::quotas::table;
use mallee_app::spot::{NOTICE_MS, ROOM_KEPT_MS};
use mallee_runtime::FaultAction;
use mallee_store::{EventCode, SpotState};
use mallee_tests::{Setup, TestCloud};
use mallee_types::{InstanceId, InstanceState};

const HOUR: i64 = 3_600_000;
/// A persistent request whose instance is only stopped.
const STAYS: [(&str, &str); 2] = [("Type", "persistent"), ("InstanceInterruptionBehavior", "stop")];
/// Memory of a t3.nano.
const NANO_MIB: u64 = 512;
const TARGET: &str = "CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId";
const WISH: &str = "CapacityReservationSpecification.CapacityReservationPreference";
const OPTIONS: &str = "InstanceMarketOptions.SpotOptions";
const SPOT: (&str, &str) = ("InstanceMarketOptions.MarketType", "spot");

async fn refused(cloud: &mut TestCloud, action: &str, params: &[(&str, &str)]) -> String {
    cloud.call(action, params).await.expect_err("it is to be refused").to_string()
}

async fn told(cloud: &TestCloud, id: &str) -> (SpotState, String) {
    let row = found(cloud, id).await;
    (row.state, row.status_code)
}

#[tokio::test]
async fn what_an_event_does_to_a_spot_instance_is_not_told_as_its_owners_doing() {
    let mut cloud = TestCloud::with(setup(1, 2)).await;
    let once = request(&mut cloud, "once", &[]).await;
    let first = until_running(&mut cloud, &once).await;
    let stays = request(&mut cloud, "stays", &STAYS).await;
    let second = until_running(&mut cloud, &stays).await;
    let at = cloud.clock.now_ms() + HOUR;
    announce(&mut cloud, only(&first), EventCode::InstanceRetirement, at).await;
    announce(&mut cloud, only(&second), EventCode::InstanceStop, at).await;
    shift_to(&cloud, at);
    cloud.until_state(&first, InstanceState::Terminated).await;
    cloud.until_state(&second, InstanceState::Stopped).await;
    assert_eq!(told(&cloud, &once).await, (SpotState::Closed, "instance-terminated-no-capacity".into()));
    assert_eq!(told(&cloud, &stays).await, (SpotState::Disabled, "instance-stopped-no-capacity".into()));
    cloud.sound().await;
    // Its owner may start it again; and what is retired while it is stopped says that too.
    cloud.act("StartInstances", &second).await;
    cloud.until_state(&second, InstanceState::Running).await;
    cloud.act("StopInstances", &second).await;
    cloud.until_state(&second, InstanceState::Stopped).await;
    announce(&mut cloud, only(&second), EventCode::InstanceRetirement, at + HOUR).await;
    let taken = cloud.launch("taken").await;
    let other = cloud.launch("other").await;
    cloud.until_state(&taken, InstanceState::Running).await;
    cloud.until_state(&other, InstanceState::Running).await;
    shift_to(&cloud, at + HOUR);
    cloud.until_state(&second, InstanceState::Terminated).await;
    until_status(&mut cloud, &stays, "capacity-not-available").await;
    cloud.sound().await;
    cloud.act("TerminateInstances", &other).await;
    let third = until_running(&mut cloud, &stays).await;
    assert_ne!(third, second, "a persistent request gets another");
    cloud.insist("CancelSpotInstanceRequests", &[("SpotInstanceRequestId.1", &stays)]).await;
    cloud.clear().await;
}

#[tokio::test]
async fn a_stopped_instance_ends_with_its_request_whatever_fails() {
    let points = ["cloud.spot.status", "cloud.spot.late.before-commit", "cloud.spot.status.committed"];
    let cases = points.into_iter().flat_map(|point| [(point, FaultAction::Fail), (point, FaultAction::Kill)]);
    each_on(
        |seed| setup(seed, 1),
        cases,
        async |cloud: &mut TestCloud, (point, action)| {
            let token = cloud.rng.uuid();
            let until_ms = cloud.clock.now_ms() + HOUR;
            let text = text_of(until_ms);
            let id = request(cloud, &token, &[STAYS[0], STAYS[1], ("ValidUntil", &text)]).await;
            let instance = until_running(cloud, &id).await;
            make_room(cloud).await;
            cloud.clock.shift_ms(NOTICE_MS + 1);
            cloud.until_state(&instance, InstanceState::Stopped).await;
            cloud.sound().await;
            let hits = cloud.faults.hit().len();
            cloud.faults.arm(point, *action, 1);
            shift_to(cloud, until_ms);
            cloud.until_state(&instance, InstanceState::Terminated).await;
            assert_eq!(told(cloud, &id).await, (SpotState::Closed, "instance-terminated-by-service".into()));
            let row = row_of(cloud, &instance).await;
            assert_eq!(row.state_reason_code.as_deref(), Some("Server.SpotInstanceTermination"));
            assert!(cloud.faults.hit().split_off(hits).iter().any(|hit| hit == point), "{point} was not struck");
            cloud.sound().await;
            cloud.clear().await;
            cloud.clock.shift_ms(ROOM_KEPT_MS + 1);
        },
    )
    .await;
}

#[tokio::test]
async fn cancelling_a_request_ends_the_instance_that_its_owner_had_stopped() {
    let mut cloud = TestCloud::with(setup(3, 1)).await;
    let id = request(&mut cloud, "a", &STAYS).await;
    let instance = until_running(&mut cloud, &id).await;
    cloud.act("StopInstances", &instance).await;
    cloud.until_state(&instance, InstanceState::Stopped).await;
    cloud.insist("CancelSpotInstanceRequests", &[("SpotInstanceRequestId.1", &id)]).await;
    cloud.until_state(&instance, InstanceState::Terminated).await;
    assert_eq!(told(&cloud, &id).await, (SpotState::Cancelled, "instance-terminated-by-service".into()));
    cloud.sound().await;
    cloud.empty().await;
}

#[tokio::test]
async fn a_request_beyond_a_quota_waits_for_it() {
    let mut cloud = TestCloud::with(setup(4, 2)).await;
    set(&cloud, &table::MEMORY, NANO_MIB).await;
    let mine = cloud.launch("mine").await;
    cloud.until_state(&mine, InstanceState::Running).await;
    let waits = request(&mut cloud, "waits", &STAYS).await;
    until_status(&mut cloud, &waits, "limit-exceeded").await;
    assert_eq!(found(&cloud, &waits).await.state, SpotState::Open, "others of the account may end");
    set(&cloud, &table::MEMORY, 2 * NANO_MIB).await;
    let instance = until_running(&mut cloud, &waits).await;

    // What an interruption stopped does not come back beyond it either.
    set(&cloud, &table::MEMORY, 3 * NANO_MIB).await;
    make_room(&mut cloud).await;
    cloud.clock.shift_ms(NOTICE_MS + 1);
    cloud.until_state(&instance, InstanceState::Stopped).await;
    set(&cloud, &table::MEMORY, NANO_MIB).await;
    cloud.clock.shift_ms(ROOM_KEPT_MS + 1);
    until_status(&mut cloud, &waits, "limit-exceeded").await;
    assert_eq!(row_of(&cloud, &instance).await.state, InstanceState::Stopped);
    assert_eq!(found(&cloud, &waits).await.state, SpotState::Open);
    cloud.sound().await;
    set(&cloud, &table::MEMORY, 2 * NANO_MIB).await;
    cloud.until_state(&instance, InstanceState::Running).await;
    assert_eq!(told(&cloud, &waits).await, (SpotState::Active, "fulfilled".into()));
    cloud.insist("CancelSpotInstanceRequests", &[("SpotInstanceRequestId.1", &waits)]).await;
    cloud.clear().await;
}

#[tokio::test]
async fn nobody_gives_way_to_those_that_find_a_slot() {
    let mut cloud = TestCloud::with(setup(5, 3)).await;
    let zone = cloud.app().zones()[0].to_string();
    let reserve = [
        ("AvailabilityZone", zone.as_str()),
        ("InstanceType", "t3.nano"),
        ("InstancePlatform", "Linux/UNIX"),
        ("InstanceCount", "1"),
    ];
    let reserved = cloud.insist("CreateCapacityReservation", &reserve).await;
    let reservation = reserved.first("capacityReservationId").expect("an id").to_owned();
    let first = request(&mut cloud, "a", &[]).await;
    let stays = until_running(&mut cloud, &first).await;
    let second = request(&mut cloud, "b", &[]).await;
    let goes = until_running(&mut cloud, &second).await;
    let image = cloud.image().await;
    let two = [("ImageId", image.as_str()), ("InstanceType", "t3.nano"), ("MinCount", "2"), ("MaxCount", "2")];
    let error = refused(&mut cloud, "RunInstances", &two).await;
    assert!(error.contains("1 Spot Instances have now been given notice"), "one finds a slot: {error}");
    assert_eq!(found(&cloud, &first).await.status_code, "fulfilled");
    cloud.clock.shift_ms(NOTICE_MS + 1);
    cloud.until_state(&goes, InstanceState::Terminated).await;
    let made = cloud.insist("RunInstances", &two).await;
    assert_eq!(made.all("instanceId").len(), 2);
    let rows = cloud.rows().await;
    let inside = rows.iter().filter(|row| row.doc.capacity_reservation.is_some() && !row.released).count();
    assert_eq!(inside, 1);
    cloud.sound().await;
    assert_eq!(row_of(&cloud, &stays).await.state, InstanceState::Running);
    cloud.insist("CancelCapacityReservation", &[("CapacityReservationId", &reservation)]).await;
    cloud.clear().await;
}

#[tokio::test]
async fn what_does_not_go_together_is_refused_everywhere() {
    let mut cloud = TestCloud::with(Setup { nodes: 2, ..Setup::default() }).await;
    let image = cloud.image().await;
    let base = [("ImageId", image.as_str()), ("InstanceType", "t3.nano"), ("MinCount", "1"), ("MaxCount", "1")];
    let zone = cloud.app().zones()[0].to_string();
    let reserve = [
        ("AvailabilityZone", zone.as_str()),
        ("InstanceType", "t3.nano"),
        ("InstancePlatform", "Linux/UNIX"),
        ("InstanceCount", "1"),
    ];
    let reserved = cloud.insist("CreateCapacityReservation", &reserve).await;
    let reservation = reserved.first("capacityReservationId").expect("an id").to_owned();
    let more: [&[(&str, &str)]; 4] = [
        &[("Placement.Tenancy", "host")],
        &[(TARGET, &reservation)],
        &[(WISH, "capacity-reservations-only")],
        &[("DisableApiTermination", "true")],
    ];
    for with in more {
        let asked: Vec<(&str, &str)> = base.iter().chain([&SPOT]).chain(with).copied().collect();
        let error = refused(&mut cloud, "RunInstances", &asked).await;
        assert!(error.contains("InvalidParameterCombination") && error.contains("Spot Instances"), "{with:?}: {error}");
        // A template may say it, and is warned; what is launched from it is refused.
        let name = format!("t{}", cloud.rng.uuid());
        let data: Vec<(String, &str)> = asked
            .iter()
            .filter(|(name, _)| !name.ends_with("Count"))
            .map(|(name, value)| (format!("LaunchTemplateData.{name}"), *value))
            .collect();
        let mut create: Vec<(&str, &str)> = data.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        create.push(("LaunchTemplateName", &name));
        let made = cloud.insist("CreateLaunchTemplate", &create).await;
        assert!(made.all("code").contains(&"InvalidParameterCombination"), "a warning: {}", made.0);
        let launch = [("LaunchTemplate.LaunchTemplateName", name.as_str()), base[2], base[3]];
        let error = refused(&mut cloud, "RunInstances", &launch).await;
        assert!(error.contains("InvalidParameterCombination"), "{error}");
    }
    let on_host: Vec<(&str, &str)> =
        base.iter().copied().chain([("Placement.Tenancy", "host"), (TARGET, reservation.as_str())]).collect();
    let error = refused(&mut cloud, "RunInstances", &on_host).await;
    assert!(error.contains("InvalidParameterCombination") && error.contains("Dedicated Hosts"), "{error}");
    let cores: Vec<(&str, &str)> = base.iter().copied().chain([("CpuOptions.CoreCount", "1")]).collect();
    assert!(refused(&mut cloud, "RunInstances", &cores).await.contains("CpuOptions.CoreCount"));
    let wanted = [
        ("LaunchSpecification.ImageId", image.as_str()),
        ("LaunchSpecification.InstanceType", "t3.nano"),
        ("LaunchSpecification.Placement.Tenancy", "host"),
    ];
    let error = refused(&mut cloud, "RequestSpotInstances", &wanted).await;
    assert!(error.contains("InvalidParameterCombination") && error.contains("'host' tenancy"), "{error}");

    // Nor afterwards.
    let id = request(&mut cloud, "stays", &STAYS).await;
    let instance = until_running(&mut cloud, &id).await;
    assert_eq!(row_of(&cloud, &instance).await.doc.capacity_reservation, None, "an open slot is not for it");
    cloud.act("StopInstances", &instance).await;
    cloud.until_state(&instance, InstanceState::Stopped).await;
    let one = ("InstanceId", instance.as_str());
    for wish in [(TARGET, reservation.as_str()), (WISH, "capacity-reservations-only")] {
        let error = refused(&mut cloud, "ModifyInstanceCapacityReservationAttributes", &[one, wish]).await;
        assert!(error.contains("InvalidParameterCombination"), "{error}");
    }
    cloud.insist("ModifyInstanceCapacityReservationAttributes", &[one, (WISH, "none")]).await;
    for change in [("InstanceType.Value", "t3.micro"), ("DisableApiTermination.Value", "true")] {
        let error = refused(&mut cloud, "ModifyInstanceAttribute", &[one, change]).await;
        assert!(error.contains("UnsupportedOperation") && error.contains("Spot Instance"), "{error}");
    }
    cloud.insist("ModifyInstanceAttribute", &[one, ("DisableApiTermination.Value", "false")]).await;
    cloud.insist("CancelSpotInstanceRequests", &[("SpotInstanceRequestId.1", &id)]).await;
    cloud.insist("CancelCapacityReservation", &[("CapacityReservationId", &reservation)]).await;
    cloud.clear().await;
}

#[tokio::test]
async fn an_instance_stays_of_a_size_that_its_host_takes() {
    let mut cloud = TestCloud::start().await;
    let zone = cloud.app().zones()[0].to_string();
    let wanted = [("AvailabilityZone", zone.as_str()), ("InstanceFamily", "t3"), ("Quantity", "1")];
    let hosts = cloud.insist("AllocateHosts", &wanted).await;
    let host = hosts.first("item").expect("a host").to_owned();
    let image = cloud.image().await;
    let launch = [
        ("ImageId", image.as_str()),
        ("InstanceType", "t3.nano"),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("Placement.HostId", host.as_str()),
        ("Placement.Affinity", "host"),
    ];
    let reply = cloud.insist("RunInstances", &launch).await;
    let id: InstanceId = reply.first("instanceId").expect("an id").parse().expect("an id");
    cloud.until_state(&id, InstanceState::Running).await;
    // The template of it leads to the same host.
    let data = cloud.insist("GetLaunchTemplateData", &[("InstanceId", id.as_str())]).await;
    assert_eq!(
        (data.first("hostId"), data.first("tenancy"), data.first("affinity")),
        (Some(host.as_str()), Some("host"), Some("host"))
    );
    cloud.act("StopInstances", &id).await;
    cloud.until_state(&id, InstanceState::Stopped).await;
    let one = ("InstanceId", id.as_str());
    let error = refused(&mut cloud, "ModifyInstanceAttribute", &[one, ("InstanceType.Value", "m1.small")]).await;
    assert!(error.contains("does not take instances of type m1.small"), "{error}");
    assert_eq!(row_of(&cloud, &id).await.instance_type, "t3.nano", "nothing changed");
    cloud.insist("ModifyInstanceAttribute", &[one, ("InstanceType.Value", "t3.micro")]).await;
    let only = cloud.insist("ModifyHosts", &[("HostId.1", host.as_str()), ("InstanceType", "t3.nano")]).await;
    assert!(only.0.contains("is on the dedicated host"), "what is on it is seen in the same transaction: {}", only.0);
    cloud.act("StartInstances", &id).await;
    cloud.until_state(&id, InstanceState::Running).await;
    cloud.sound().await;
    cloud.clear().await;
    cloud.insist("ReleaseHosts", &[("HostId.1", &host)]).await;
}

#[tokio::test]
async fn the_template_of_a_spot_instance_launches_another() {
    let mut cloud = TestCloud::start().await;
    let image = cloud.image().await;
    let options = [
        (format!("{OPTIONS}.SpotInstanceType"), "persistent"),
        (format!("{OPTIONS}.InstanceInterruptionBehavior"), "stop"),
        (format!("{OPTIONS}.MaxPrice"), "0.25"),
    ];
    let base = [("ImageId", image.as_str()), ("InstanceType", "t3.nano"), ("MinCount", "1"), ("MaxCount", "1"), SPOT];
    let wish = [
        ("CapacityReservationSpecification.CapacityReservationPreference", "none"),
        ("CreditSpecification.CpuCredits", "standard"),
        ("CpuOptions.CoreCount", "2"),
    ];
    let options = options.iter().map(|(name, value)| (name.as_str(), *value));
    let launch: Vec<(&str, &str)> = base.iter().copied().chain(wish).chain(options).collect();
    let reply = cloud.insist("RunInstances", &launch).await;
    let id: InstanceId = reply.first("instanceId").expect("an id").parse().expect("an id");
    let data = cloud.insist("GetLaunchTemplateData", &[("InstanceId", id.as_str())]).await;
    for (element, value) in [
        ("marketType", "spot"),
        ("spotInstanceType", "persistent"),
        ("instanceInterruptionBehavior", "stop"),
        ("maxPrice", "0.250000"),
        ("capacityReservationPreference", "none"),
        ("cpuCredits", "standard"),
        ("coreCount", "2"),
    ] {
        assert_eq!(data.first(element), Some(value), "{element}: {}", data.0);
    }
    cloud.until_state(&id, InstanceState::Running).await;
    for row in cloud.spot_requests().await {
        cloud.insist("CancelSpotInstanceRequests", &[("SpotInstanceRequestId.1", row.id.as_str())]).await;
    }
    cloud.clear().await;
}

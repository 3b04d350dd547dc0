//! Fleets: filled, kept at their targets, and given up, whatever fails in between.

use crate::crew::each;
use mallee_runtime::FaultAction;
use mallee_sim::SimConfig;
use mallee_store::{FleetMemberState, fleet_launch_list, fleet_member_list};
use mallee_tests::{Reply, Setup, TestCloud};
use mallee_types::{FleetId, InstanceState};

type Pairs<'a> = Vec<(&'a str, String)>;

async fn call(cloud: &mut TestCloud, action: &str, pairs: &Pairs<'_>) -> Reply {
    let refs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
    cloud.insist(action, &refs).await
}

async fn refused(cloud: &mut TestCloud, action: &str, pairs: &Pairs<'_>) -> String {
    let refs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
    cloud.call(action, &refs).await.expect_err("it is to be refused").to_string()
}

/// A template of the smallest size; its id.
async fn template(cloud: &mut TestCloud) -> String {
    let image = cloud.image().await;
    let name = format!("t-{}", cloud.rng.uuid());
    let pairs = vec![
        ("LaunchTemplateName", name),
        ("LaunchTemplateData.ImageId", image),
        ("LaunchTemplateData.InstanceType", "t3.nano".to_owned()),
    ];
    let reply = call(cloud, "CreateLaunchTemplate", &pairs).await;
    reply.first("launchTemplateId").expect("an id").to_owned()
}

fn fleet<'a>(cloud: &TestCloud, template: &str, kind: &str, total: u32) -> Pairs<'a> {
    vec![
        ("Type", kind.to_owned()),
        ("LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateId", template.to_owned()),
        ("LaunchTemplateConfigs.1.LaunchTemplateSpecification.Version", "$Latest".to_owned()),
        ("TargetCapacitySpecification.TotalTargetCapacity", total.to_string()),
        ("TargetCapacitySpecification.DefaultTargetCapacityType", "on-demand".to_owned()),
        ("ClientToken", cloud.rng.uuid()),
    ]
}

/// A fleet's instances that are there, and how many it has launched in all.
async fn standing(cloud: &TestCloud, id: &str) -> (usize, usize) {
    let app = cloud.app();
    let parsed: FleetId = id.parse().expect("a fleet's id");
    let members = fleet_member_list(app.store(), &parsed).await.expect("the database answers");
    let launches = fleet_launch_list(app.store(), &parsed).await.expect("the database answers");
    let live = members.iter().filter(|member| member.state == FleetMemberState::Live).count();
    (live, launches.iter().map(|launch| launch.doc.0.instances.len()).sum())
}

async fn until_fleet(cloud: &mut TestCloud, id: &str, element: &str, wanted: &str) {
    let client_id = id.to_owned();
    cloud
        .until(&format!("{id} has {element} {wanted}"), async |cloud| {
            let reply = cloud.client().call("DescribeFleets", &[("FleetId.1", &client_id)]).await;
            let reply = reply.map_err(|error| error.to_string())?;
            let found = reply.first(element).unwrap_or_default().to_owned();
            if found == wanted { Ok(()) } else { Err(format!("{found}: {}", reply.0)) }
        })
        .await;
}

async fn delete(cloud: &mut TestCloud, id: &str) {
    call(cloud, "DeleteFleets", &vec![("FleetId.1", id.to_owned()), ("TerminateInstances", "true".to_owned())]).await;
    until_fleet(cloud, id, "fleetState", "deleted").await;
    cloud.empty().await;
}

#[tokio::test]
async fn an_instant_fleet_launches_in_the_call_and_says_what_it_could_not() {
    let host = SimConfig { vcpus: 8, memory_mib: 16 * 1024, ..Setup::default().host };
    let mut cloud = TestCloud::with(Setup { host, ..Setup::default() }).await;
    let template = template(&mut cloud).await;
    let mut pairs = fleet(&cloud, &template, "instant", 6);
    for (name, value) in [
        ("OnDemandOptions.AllocationStrategy", "prioritized"),
        ("LaunchTemplateConfigs.1.Overrides.1.InstanceType", "m5.16xlarge"),
        ("LaunchTemplateConfigs.1.Overrides.1.Priority", "1"),
        ("LaunchTemplateConfigs.1.Overrides.2.InstanceType", "t3.micro"),
        ("LaunchTemplateConfigs.1.Overrides.2.Priority", "2"),
        ("LaunchTemplateConfigs.1.Overrides.2.WeightedCapacity", "2.5"),
        ("TagSpecification.1.ResourceType", "fleet"),
        ("TagSpecification.1.Tag.1.Key", "Team"),
        ("TagSpecification.1.Tag.1.Value", "a"),
        ("TagSpecification.2.ResourceType", "instance"),
        ("TagSpecification.2.Tag.1.Key", "Name"),
        ("TagSpecification.2.Tag.1.Value", "worker"),
    ] {
        pairs.push((name, value.to_owned()));
    }
    let reply = call(&mut cloud, "CreateFleet", &pairs).await;
    let id = reply.first("fleetId").expect("an id").to_owned();
    assert_eq!(reply.first("errorCode"), Some("InsufficientInstanceCapacity"), "{}", reply.0);
    assert_eq!(reply.first("lifecycle"), Some("on-demand"));
    let rows = cloud.rows().await;
    assert_eq!(rows.len(), 3, "2.5 each: three are 7.5");
    assert!(rows.iter().all(|row| row.instance_type == "t3.micro"));
    for row in &rows {
        assert!(reply.0.contains(row.id.as_str()), "{}", reply.0);
        let shown = cloud.insist("DescribeInstances", &[("InstanceId.1", row.id.as_str())]).await;
        for value in [&id, "aws:ec2:fleet-id", "worker", &template] {
            assert!(shown.0.contains(value), "{value}: {}", shown.0);
        }
    }
    let again = call(&mut cloud, "CreateFleet", &pairs).await;
    assert_eq!(again.first("fleetId"), Some(id.as_str()), "one token, one fleet");
    assert_eq!(cloud.rows().await.len(), 3);
    let shown = cloud.insist("DescribeFleets", &[("FleetId.1", &id)]).await;
    assert_eq!((shown.first("fleetState"), shown.first("fulfilledCapacity")), (Some("active"), Some("7.5")));
    assert!(shown.0.contains("Team"), "{}", shown.0);
    let all = cloud.insist("DescribeFleets", &[]).await;
    assert!(all.first("fleetId").is_none(), "instant fleets are shown by their ids only: {}", all.0);
    let keep = vec![("FleetId.1", id.clone()), ("TerminateInstances", "false".to_owned())];
    let kept = call(&mut cloud, "DeleteFleets", &keep).await;
    assert_eq!(kept.first("code"), Some("fleetNotInDeletableState"), "{}", kept.0);
    delete(&mut cloud, &id).await;
}

#[tokio::test]
async fn a_minimum_that_is_not_reached_is_nothing() {
    let host = SimConfig { vcpus: 4, memory_mib: 8 * 1024, ..Setup::default().host };
    let mut cloud = TestCloud::with(Setup { host, ..Setup::default() }).await;
    let template = template(&mut cloud).await;
    let mut pairs = fleet(&cloud, &template, "instant", 40);
    pairs.push(("OnDemandOptions.MinTargetCapacity", "40".to_owned()));
    assert!(refused(&mut cloud, "CreateFleet", &pairs).await.contains("SingleAvailabilityZone"));
    pairs.push(("OnDemandOptions.SingleAvailabilityZone", "true".to_owned()));
    let reply = call(&mut cloud, "CreateFleet", &pairs).await;
    let id = reply.first("fleetId").expect("an id").to_owned();
    assert!(reply.first("item").is_none_or(|_| !reply.0.contains("<fleetInstanceSet><item>")), "{}", reply.0);
    assert!(reply.first("errorCode").is_some(), "{}", reply.0);
    until_fleet(&mut cloud, &id, "fleetState", "failed").await;
    cloud.empty().await;
}

#[tokio::test]
async fn a_maintained_fleet_follows_its_target_and_replaces_what_ends() {
    let mut cloud = TestCloud::start().await;
    let template = template(&mut cloud).await;
    let pairs = fleet(&cloud, &template, "maintain", 2);
    let reply = call(&mut cloud, "CreateFleet", &pairs).await;
    let id = reply.first("fleetId").expect("an id").to_owned();
    assert!(reply.first("instanceId").is_none(), "it is filled in the background");
    until_fleet(&mut cloud, &id, "activityStatus", "fulfilled").await;
    assert_eq!(standing(&cloud, &id).await, (2, 2));

    let victim = cloud.rows().await[0].id.clone();
    cloud.until_state(&victim, InstanceState::Running).await;
    cloud.act("TerminateInstances", &victim).await;
    cloud
        .until("it is replaced", async |cloud| match standing(cloud, &id).await {
            (2, 3) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    let target = |total: u32| {
        vec![("FleetId", id.clone()), ("TargetCapacitySpecification.TotalTargetCapacity", total.to_string())]
    };
    call(&mut cloud, "ModifyFleet", &target(4)).await;
    until_fleet(&mut cloud, &id, "fulfilledCapacity", "4").await;
    call(&mut cloud, "ModifyFleet", &target(1)).await;
    until_fleet(&mut cloud, &id, "fulfilledCapacity", "1").await;
    until_fleet(&mut cloud, &id, "totalTargetCapacity", "1").await;
    assert_eq!(standing(&cloud, &id).await, (1, 5));
    // Members that are to end stay active until they are told so.
    cloud
        .until("the others are ending", async |cloud| {
            let active = cloud.client().call("DescribeFleetInstances", &[("FleetId", &id)]).await;
            let active = active.map_err(|error| error.to_string())?;
            if active.all("instanceId").len() == 1 { Ok(()) } else { Err(active.0) }
        })
        .await;
    let start = ("StartTime", "2020-01-01T00:00:00Z");
    let history = cloud.insist("DescribeFleetHistory", &[("FleetId", &id), start]).await;
    for word in ["submitted", "active", "launched", "terminated", "modify_in_progress", "termination_notified"] {
        assert!(history.all("eventSubType").contains(&word), "{word}: {}", history.0);
    }
    let page = cloud.insist("DescribeFleetHistory", &[("FleetId", &id), start, ("MaxResults", "2")]).await;
    assert_eq!(page.all("eventSubType"), ["submitted", "active"]);
    let token = page.first("nextToken").expect("there is more").to_owned();
    let next = cloud.insist("DescribeFleetHistory", &[("FleetId", &id), start, ("NextToken", &token)]).await;
    assert_eq!(next.first("eventSubType"), Some("launched"), "{}", next.0);
    cloud.sound().await;
    delete(&mut cloud, &id).await;
}

#[tokio::test]
async fn an_impaired_instance_is_replaced_and_a_fleet_expires() {
    let mut cloud = TestCloud::start().await;
    let template = template(&mut cloud).await;
    let mut pairs = fleet(&cloud, &template, "maintain", 1);
    pairs.push(("ReplaceUnhealthyInstances", "true".to_owned()));
    pairs.push(("TerminateInstancesWithExpiration", "true".to_owned()));
    // The signatures of requests bear no more than 15 minutes.
    let t = cloud.clock.now() + std::time::Duration::from_secs(10 * 60);
    let (month, day) = (u8::from(t.month()), t.day());
    let until = format!("{}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", t.year(), t.hour(), t.minute(), t.second());
    pairs.push(("ValidUntil", until));
    let reply = call(&mut cloud, "CreateFleet", &pairs).await;
    let id = reply.first("fleetId").expect("an id").to_owned();
    until_fleet(&mut cloud, &id, "activityStatus", "fulfilled").await;
    let first = cloud.rows().await[0].id.clone();
    cloud.until_state(&first, InstanceState::Running).await;
    let host = cloud.host_of(&first).await;
    // The node goes away: the system's check fails.
    cloud.kill_node(host.name()).await;
    cloud
        .until("it is impaired", async |cloud| {
            let reply = cloud.client().call("DescribeFleetInstances", &[("FleetId", &id)]).await;
            let reply = reply.map_err(|error| error.to_string())?;
            if reply.first("instanceHealth") == Some("unhealthy") { Ok(()) } else { Err(reply.0) }
        })
        .await;
    cloud
        .until("it has been so for a while", async |cloud| {
            let app = cloud.app();
            let parsed: FleetId = id.parse().expect("a fleet's id");
            let row = mallee_store::fleet_fetch(app.store(), &parsed).await.expect("it is there");
            if row.doc.0.impaired.is_empty() { Err("not noticed".into()) } else { Ok(()) }
        })
        .await;
    cloud.clock.shift_ms(61_000);
    cloud
        .until("it is replaced", async |cloud| match standing(cloud, &id).await {
            (1, 2) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    cloud.start_node(host.name()).await;
    cloud.clock.shift_ms(10 * 60 * 1000);
    until_fleet(&mut cloud, &id, "fleetState", "deleted").await;
    cloud.empty().await;
}

#[tokio::test]
async fn a_request_is_filled_once() {
    let mut cloud = TestCloud::start().await;
    let template = template(&mut cloud).await;
    let pairs = fleet(&cloud, &template, "request", 2);
    let id = call(&mut cloud, "CreateFleet", &pairs).await.first("fleetId").expect("an id").to_owned();
    until_fleet(&mut cloud, &id, "activityStatus", "fulfilled").await;
    let victim = cloud.rows().await[0].id.clone();
    cloud.act("TerminateInstances", &victim).await;
    until_fleet(&mut cloud, &id, "fulfilledCapacity", "1").await;
    cloud.until_state(&victim, InstanceState::Terminated).await;
    assert_eq!(standing(&cloud, &id).await, (1, 2), "it is not replaced");
    let total = vec![("FleetId", id.clone()), ("TargetCapacitySpecification.TotalTargetCapacity", "3".to_owned())];
    assert!(refused(&mut cloud, "ModifyFleet", &total).await.contains("maintain"));
    let keep = vec![("FleetId.1", id.clone()), ("TerminateInstances", "false".to_owned())];
    call(&mut cloud, "DeleteFleets", &keep).await;
    until_fleet(&mut cloud, &id, "fleetState", "deleted_running").await;
    cloud.clear().await;
    until_fleet(&mut cloud, &id, "fleetState", "deleted").await;
}

#[tokio::test]
async fn spot_and_on_demand_are_told_apart() {
    let mut cloud = TestCloud::start().await;
    let template = template(&mut cloud).await;
    let mut pairs = fleet(&cloud, &template, "maintain", 3);
    pairs.push(("TargetCapacitySpecification.SpotTargetCapacity", "2".to_owned()));
    pairs.push(("SpotOptions.AllocationStrategy", "diversified".to_owned()));
    pairs.push(("LaunchTemplateConfigs.1.Overrides.1.InstanceType", "t3.nano".to_owned()));
    pairs.push(("LaunchTemplateConfigs.1.Overrides.2.InstanceType", "t3.micro".to_owned()));
    let id = call(&mut cloud, "CreateFleet", &pairs).await.first("fleetId").expect("an id").to_owned();
    until_fleet(&mut cloud, &id, "fulfilledCapacity", "3").await;
    until_fleet(&mut cloud, &id, "fulfilledOnDemandCapacity", "1").await;
    let spot: Vec<_> = cloud.rows().await.into_iter().filter(|row| row.doc.spot.is_some()).collect();
    let mut types: Vec<&str> = spot.iter().map(|row| row.instance_type.as_str()).collect();
    types.sort_unstable();
    assert_eq!(types, ["t3.micro", "t3.nano"]);
    delete(&mut cloud, &id).await;
}

/// The fault points of a fleet's life.
const POINTS: [&str; 17] = [
    "cloud.fleet.create.before-commit",
    "cloud.fleet.create.committed",
    "cloud.fleet.look",
    "cloud.fleet.before-commit",
    "cloud.fleet.committed",
    "cloud.fleet.launch",
    "cloud.fleet.launched",
    "cloud.run.resolved",
    "cloud.run.before-commit",
    "cloud.run.committed",
    "cloud.fleet.modify.before-commit",
    "cloud.fleet.modify.committed",
    "cloud.fleet.delete.before-commit",
    "cloud.fleet.delete.committed",
    "cloud.fleet.terminate",
    "cloud.fleet.terminated",
    "cloud.terminate.before-commit",
];

/// A whole life, with the point armed from its beginning: never more is launched than is wanted.
async fn survives(action: FaultAction, times: u32) {
    let kinds = ["maintain", "instant"];
    let cases = POINTS.iter().flat_map(|point| kinds.map(|kind| (*point, kind)));
    each(cases.collect::<Vec<_>>(), async |cloud: &mut TestCloud, (point, kind)| {
        let template = template(cloud).await;
        let pairs = fleet(cloud, &template, kind, 3);
        cloud.faults.arm(point, action, times);
        let id = call(cloud, "CreateFleet", &pairs).await.first("fleetId").expect("an id").to_owned();
        until_fleet(cloud, &id, "activityStatus", "fulfilled").await;
        assert_eq!(standing(cloud, &id).await, (3, 3), "{point}: {:?}", cloud.faults.hit());
        let there = cloud.rows().await.into_iter().filter(|row| !row.released).count();
        assert_eq!(there, 3, "{point}: {:?}", cloud.faults.hit());
        cloud.sound().await;
        if *kind == "maintain" {
            let total = |n: &str| {
                vec![("FleetId", id.clone()), ("TargetCapacitySpecification.TotalTargetCapacity", n.to_owned())]
            };
            call(cloud, "ModifyFleet", &total("1")).await;
            until_fleet(cloud, &id, "fulfilledCapacity", "1").await;
            assert_eq!(standing(cloud, &id).await, (1, 3), "{point}: {:?}", cloud.faults.hit());
        }
        delete(cloud, &id).await;
        let struck = cloud.faults.hit().iter().any(|hit| hit == point);
        let passed = *kind == "maintain" || !point.contains("modify");
        assert!(struck || !passed, "{point} was not struck");
        cloud.faults.clear();
    })
    .await;
}

#[tokio::test]
async fn a_fleet_survives_a_failure_at_each_point() {
    survives(FaultAction::Fail, 1).await;
}

#[tokio::test]
async fn a_fleet_survives_death_at_each_point() {
    survives(FaultAction::Kill, 1).await;
}

/// Modified over and over while it launches: of those who write a fleet's history at once nobody fails.
async fn is_changed_while_it_launches(postgres: bool) {
    let mut cloud = TestCloud::with(Setup { postgres, ..Setup::default() }).await;
    let template = template(&mut cloud).await;
    let pairs = fleet(&cloud, &template, "maintain", 2);
    let id = call(&mut cloud, "CreateFleet", &pairs).await.first("fleetId").expect("an id").to_owned();
    let client = cloud.client();
    let modify = async |n: usize| {
        let total = (1 + n % 4).to_string();
        let params = [("FleetId", id.as_str()), ("TargetCapacitySpecification.TotalTargetCapacity", total.as_str())];
        client.call("ModifyFleet", &params).await
    };
    for round in 0..10 {
        let calls = futures::future::join_all((0..4).map(|n| modify(round * 5 + n)));
        for refused in calls.await.into_iter().filter_map(Result::err) {
            assert!(refused.to_string().contains("was changed by another request"), "{refused}");
        }
    }
    modify(1).await.expect("the last word");
    until_fleet(&mut cloud, &id, "fulfilledCapacity", "2").await;
    cloud.sound().await;
    delete(&mut cloud, &id).await;
}

#[tokio::test]
async fn a_fleet_is_changed_while_it_launches() {
    is_changed_while_it_launches(false).await;
}

#[tokio::test]
async fn a_fleet_is_changed_while_it_launches_on_postgresql() {
    is_changed_while_it_launches(true).await;
}

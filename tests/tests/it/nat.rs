//! NAT gateways that come and go, whatever fails or dies at any point of it.

use crate::crew::each;
use mallee_runtime::FaultAction;
use mallee_tests::TestCloud;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::Duration;

/// Longer than anything takes without faults, shorter than any timeout.
const DELAY: Duration = Duration::from_millis(60);
/// Points that a gateway's coming and going pass at least; fewer means that they are not recorded.
const POINTS_LEAST: usize = 8;
/// Whether a point is passed can depend on who is faster: so many lives are lived to strike it.
const LIVES: usize = 3;
/// Points that may escape all the same.
const MISSED_MAX: usize = 3;

async fn until_state(cloud: &mut TestCloud, id: &str, wanted: &str) {
    let id = id.to_owned();
    let what = format!("{id} is {wanted}");
    cloud
        .until(&what, async |cloud| {
            let reply = cloud.client().call("DescribeNatGateways", &[("NatGatewayId.1", &id)]).await;
            let reply = reply.map_err(|error| error.to_string())?;
            let state = reply.first("state").unwrap_or_default();
            if state == wanted { Ok(()) } else { Err(state.to_owned()) }
        })
        .await;
}

/// How many ports of gateways the nodes were told of.
fn ports(cloud: &TestCloud) -> usize {
    let views = cloud.hosts.iter().filter_map(|host| host.view());
    views.map(|view| view.vpcs.iter().flat_map(|vpc| &vpc.ports).filter(|port| port.nat).count()).sum()
}

/// A gateway is made and deleted; `arm` is called before either, and the faults end after it.
async fn live(cloud: &mut TestCloud, arm: impl Fn(&TestCloud, bool)) {
    let subnet = cloud.insist("DescribeSubnets", &[]).await.first("subnetId").expect("a default subnet").to_owned();
    let elastic = cloud.insist("AllocateAddress", &[]).await.first("allocationId").expect("an id").to_owned();
    let token = cloud.rng.uuid();
    arm(cloud, false);
    let new = [("SubnetId", subnet.as_str()), ("AllocationId", &elastic), ("ClientToken", &token)];
    let id = cloud.insist("CreateNatGateway", &new).await.first("natGatewayId").expect("an id").to_owned();
    until_state(cloud, &id, "available").await;
    cloud.sound().await;
    assert_eq!(ports(cloud), 1, "faults: {:?}", cloud.faults.hit());
    arm(cloud, true);
    cloud.insist("DeleteNatGateway", &[("NatGatewayId", &id)]).await;
    until_state(cloud, &id, "deleted").await;
    assert_eq!(ports(cloud), 0, "nothing is given back before; faults: {:?}", cloud.faults.hit());
    cloud.sound().await;
    cloud.faults.clear();
    cloud.insist("ReleaseAddress", &[("AllocationId", &elastic)]).await;
    cloud.empty().await;
}

/// The points that making passes, and those that deleting does.
async fn points() -> Vec<(bool, String)> {
    let mut cloud = TestCloud::start().await;
    live(&mut cloud, |_, _| {}).await;
    let known = cloud.faults.passed();
    let begun = Cell::new([0; 2]);
    live(&mut cloud, |cloud, leaving| {
        for point in &known {
            cloud.faults.arm(point, FaultAction::Delay(Duration::ZERO), u32::MAX);
        }
        let mut marks = begun.get();
        marks[usize::from(leaving)] = cloud.faults.hit().len();
        begun.set(marks);
    })
    .await;
    let (hit, [making, deleting]) = (cloud.faults.hit(), begun.get());
    let of = |range: &[String], leaving| -> BTreeSet<(bool, String)> {
        range.iter().map(|point| (leaving, point.clone())).collect()
    };
    of(&hit[making..deleting], false).into_iter().chain(of(&hit[deleting..], true)).collect()
}

async fn survives(action: FaultAction) {
    let points = points().await;
    println!("{} points: {points:?}", points.len());
    assert!(points.len() > POINTS_LEAST, "only {} points are passed", points.len());
    for own in ["cloud.nat.create.before-commit", "cloud.nat.delete.committed", "cloud.nodes.keep"] {
        assert!(points.iter().any(|(_, point)| point == own), "{own} is not passed");
    }
    let missed = RefCell::new(Vec::new());
    each(points, async |cloud: &mut TestCloud, (leaving, point): &(bool, String)| {
        for _ in 0..LIVES {
            let hits = cloud.faults.hit().len();
            live(cloud, |cloud, now| {
                if now == *leaving {
                    cloud.faults.arm(point, action, 1);
                }
            })
            .await;
            if cloud.faults.hit().split_off(hits).contains(point) {
                return;
            }
        }
        missed.borrow_mut().push((*leaving, point.clone()));
    })
    .await;
    let missed = missed.into_inner();
    assert!(missed.len() <= MISSED_MAX, "these were passed once, and not again: {missed:?}");
}

#[tokio::test]
async fn gateways_survive_a_failure_of_each_point() {
    survives(FaultAction::Fail).await;
}

#[tokio::test]
async fn gateways_survive_a_delay_at_each_point() {
    survives(FaultAction::Delay(DELAY)).await;
}

#[tokio::test]
async fn gateways_survive_death_at_each_point() {
    survives(FaultAction::Kill).await;
}

/// A node that is away lets go of nothing: what is its gateway's is nobody else's until it is back.
#[tokio::test]
async fn a_gateway_of_a_node_that_is_away_goes_when_the_node_is_back() {
    let mut cloud = TestCloud::start().await;
    let cloud = &mut cloud;
    let subnet = cloud.insist("DescribeSubnets", &[]).await.first("subnetId").expect("a default subnet").to_owned();
    let id = cloud.launch("anybody").await;
    cloud.until_state(&id, mallee_types::InstanceState::Running).await;
    let new = [("SubnetId", subnet.as_str()), ("ConnectivityType", "private")];
    let made = cloud.insist("CreateNatGateway", &new).await;
    let gateway = made.first("natGatewayId").expect("an id").to_owned();
    until_state(cloud, &gateway, "available").await;
    let has = |host: &&mallee_sim::SimHost| {
        host.view().is_some_and(|view| view.vpcs.iter().flat_map(|vpc| &vpc.ports).any(|port| port.nat))
    };
    let name = cloud.hosts.iter().find(has).expect("one has it").name().to_owned();
    cloud.kill_node(&name).await;
    cloud.insist("DeleteNatGateway", &[("NatGatewayId", &gateway)]).await;
    let eni = made.first("networkInterfaceId").expect("an interface").to_owned();
    tokio::time::sleep(DELAY).await;
    until_state(cloud, &gateway, "deleting").await;
    cloud.insist("DescribeNetworkInterfaces", &[("NetworkInterfaceId.1", &eni)]).await;
    // Everything else dies, too, and all comes back.
    cloud.kill().await;
    cloud.boot().await;
    until_state(cloud, &gateway, "deleted").await;
    cloud.clear().await;
}

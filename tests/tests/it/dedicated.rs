//! Dedicated hosts and dedicated tenancy over HTTP, honoured by the scheduler; and a host's life with every point failing
//! and killed.

use crate::crew::each;
use mallee_runtime::FaultAction;
use mallee_tests::{CallError, Setup, TestCloud};
use mallee_types::{InstanceId, InstanceState};
use std::collections::BTreeSet;

const NODES: u32 = 3;
const TENANCY: &str = "Placement.Tenancy";
const HOST: &str = "Placement.HostId";

async fn cloud() -> TestCloud {
    TestCloud::with(Setup { nodes: NODES, ..Setup::default() }).await
}

async fn allocate(cloud: &mut TestCloud, more: &[(&str, &str)]) -> Result<Vec<String>, CallError> {
    let zone = cloud.app().zones()[0].to_string();
    let params: Vec<(&str, &str)> =
        [("AvailabilityZone", zone.as_str()), ("InstanceFamily", "t3")].iter().chain(more).copied().collect();
    let reply = cloud.call("AllocateHosts", &params).await?;
    let ids = reply.0.split_once("<hostIdSet>").expect("ids").1;
    Ok(mallee_tests::Reply(ids.to_owned()).all("item").into_iter().map(str::to_owned).collect())
}

async fn launch(cloud: &mut TestCloud, more: &[(&str, &str)]) -> Result<InstanceId, CallError> {
    let image = cloud.image().await;
    let params = [("ImageId", image.as_str()), ("InstanceType", "t3.nano"), ("MinCount", "1"), ("MaxCount", "1")];
    let params: Vec<(&str, &str)> = params.iter().chain(more).copied().collect();
    let reply = cloud.call("RunInstances", &params).await?;
    let id: InstanceId = reply.first("instanceId").expect("an id").parse().expect("an id");
    cloud.until_state(&id, InstanceState::Running).await;
    Ok(id)
}

async fn node(cloud: &TestCloud, id: &InstanceId) -> String {
    let row = cloud.rows().await.into_iter().find(|row| row.id == *id).expect("it has a row");
    row.node_id.expect("it is placed").to_string()
}

async fn release(cloud: &mut TestCloud, id: &str) -> bool {
    let reply = cloud.insist("ReleaseHosts", &[("HostId.1", id)]).await;
    reply.0.split_once("<unsuccessful>").is_none_or(|(_, rest)| !rest.contains("<item>"))
}

#[tokio::test]
async fn a_host_is_its_accounts_alone() {
    let mut cloud = cloud().await;
    let shared = launch(&mut cloud, &[]).await.expect("there is room");
    let hosts = allocate(&mut cloud, &[("Quantity", "2")]).await.expect("two nodes are empty");
    assert_eq!(hosts.len(), 2);
    cloud.sound().await;
    let error = allocate(&mut cloud, &[]).await.expect_err("somebody is on the third");
    assert_eq!(error.code(), "InsufficientHostCapacity");
    assert!(error.to_string().contains("is not empty"), "each node says why: {error}");
    cloud.kill().await;
    cloud.boot().await;
    cloud.sound().await;
    for _ in 0..4 {
        let other = launch(&mut cloud, &[]).await.expect("there is room");
        assert_eq!(node(&cloud, &other).await, node(&cloud, &shared).await, "hosts are not for others");
    }
    let host = hosts[0].as_str();
    let named = launch(&mut cloud, &[(TENANCY, "host"), (HOST, host), ("Placement.Affinity", "host")]).await;
    let named = named.expect("it is empty");
    let any = launch(&mut cloud, &[(TENANCY, "host")]).await.expect("auto-placement is on");
    let nodes: BTreeSet<String> = [node(&cloud, &named).await, node(&cloud, &any).await].into();
    assert!(!nodes.contains(&node(&cloud, &shared).await), "{nodes:?}");
    let shown = cloud.insist("DescribeHosts", &[("HostId.1", host)]).await;
    assert!(shown.all("instanceId").contains(&named.as_str()), "{}", shown.0);
    assert_eq!(shown.first("hostRecovery"), Some("off"));
    let shown = cloud.insist("DescribeInstances", &[("Filter.1.Name", "host-id"), ("Filter.1.Value.1", host)]).await;
    assert!(shown.all("instanceId").contains(&named.as_str()) && shown.first("affinity") == Some("host"));
    let off = [("HostId.1", host), ("HostId.2", hosts[1].as_str()), ("AutoPlacement", "off")];
    cloud.insist("ModifyHosts", &off).await;
    let error = launch(&mut cloud, &[(TENANCY, "host")]).await.expect_err("none takes it by itself");
    assert_eq!(error.code(), "InsufficientHostCapacity");
    let error = launch(&mut cloud, &[(TENANCY, "host"), (HOST, host), ("InstanceType", "m1.small")]).await;
    assert!(error.is_err(), "it is of another family, or said twice");

    // Stopped, it stays there, and so does the host.
    cloud.act("StopInstances", &named).await;
    cloud.until_state(&named, InstanceState::Stopped).await;
    assert!(!release(&mut cloud, host).await, "its disk is there");
    cloud.act("StartInstances", &named).await;
    cloud.until_state(&named, InstanceState::Running).await;
    cloud.sound().await;
    cloud.clear().await;
    for host in &hosts {
        assert!(release(&mut cloud, host).await, "nothing is on it");
    }
    cloud.sound().await;
    for _ in 0..6 {
        launch(&mut cloud, &[]).await.expect("there is room");
    }
    let mut used = BTreeSet::new();
    for row in cloud.rows().await.iter().filter(|row| !row.released) {
        used.insert(row.node_id.clone());
    }
    assert_eq!(used.len(), NODES as usize, "every node is anybody's again");
    cloud.clear().await;
}

#[tokio::test]
async fn dedicated_instances_share_with_their_own() {
    let mut cloud = cloud().await;
    let shared = launch(&mut cloud, &[]).await.expect("there is room");
    let mut homes = BTreeSet::new();
    for _ in 0..4 {
        let id = launch(&mut cloud, &[(TENANCY, "dedicated")]).await.expect("there is room");
        homes.insert(node(&cloud, &id).await);
    }
    assert!(!homes.contains(&node(&cloud, &shared).await), "{homes:?}");
    for _ in 0..4 {
        let id = launch(&mut cloud, &[]).await.expect("there is room");
        assert!(!homes.contains(&node(&cloud, &id).await), "others stay away");
    }
    let shown =
        cloud.insist("DescribeInstances", &[("Filter.1.Name", "tenancy"), ("Filter.1.Value.1", "dedicated")]).await;
    assert_eq!(shown.all("instanceId").len(), 4);
    cloud.clear().await;
}

#[tokio::test]
async fn a_host_survives_failure_and_death_at_each_point() {
    let mut first = TestCloud::start().await;
    life(&mut first).await;
    let points: Vec<String> =
        first.faults.passed().into_iter().filter(|point| point.starts_with("cloud.host.")).collect();
    assert!(points.len() >= 6, "{points:?}");
    let cases = points.into_iter().flat_map(|point| [(point.clone(), FaultAction::Fail), (point, FaultAction::Kill)]);
    each(cases, async |cloud: &mut TestCloud, (point, action)| {
        cloud.faults.arm(point, *action, 1);
        life(cloud).await;
        assert!(cloud.faults.hit().contains(point), "{:?}", cloud.faults.hit());
        cloud.faults.clear();
    })
    .await;
}

/// Allocated, used, released; each call repeated until it is known to have been done.
async fn life(cloud: &mut TestCloud) {
    let token = cloud.rng.uuid();
    let id = loop {
        match allocate(cloud, &[("ClientToken", token.as_str())]).await {
            Ok(ids) => break ids[0].clone(),
            Err(error) => assert!(error.is_retriable(), "{error}"),
        }
    };
    let again = allocate(cloud, &[("ClientToken", token.as_str())]).await.expect("it was done");
    assert_eq!(again, std::slice::from_ref(&id), "one token, one host");
    cloud.sound().await;
    let instance = launch(cloud, &[(TENANCY, "host"), (HOST, id.as_str())]).await.expect("it is empty");
    cloud.sound().await;
    cloud.act("TerminateInstances", &instance).await;
    cloud.until_state(&instance, InstanceState::Terminated).await;
    // A repeat of what was done already names a host that is no more.
    cloud.insist("ReleaseHosts", &[("HostId.1", id.as_str())]).await;
    cloud.sound().await;
    let shown = cloud.insist("DescribeHosts", &[("HostId.1", id.as_str())]).await;
    assert_eq!(shown.first("state"), Some("released"), "{}", shown.0);
    cloud.clear().await;
}

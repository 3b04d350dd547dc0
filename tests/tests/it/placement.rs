//! Placement groups over HTTP, honoured by the scheduler; and their one workflow with every point failing and killed.

use crate::crew::each;
use mallee_runtime::FaultAction;
use mallee_tests::{Setup, TestCloud};
use mallee_types::{InstanceId, InstanceState};
use std::collections::{BTreeMap, BTreeSet};

const NODES: u32 = 4;

async fn cloud() -> TestCloud {
    TestCloud::with(Setup { nodes: NODES, ..Setup::default() }).await
}

async fn make_group(cloud: &mut TestCloud, name: &str, more: &[(&str, &str)]) {
    let params: Vec<(&str, &str)> = [("GroupName", name)].iter().chain(more).copied().collect();
    cloud.insist("CreatePlacementGroup", &params).await;
}

/// Launches so many at once, and gives their ids; refused, the error.
async fn launch(cloud: &mut TestCloud, count: u32, more: &[(&str, &str)]) -> Result<Vec<InstanceId>, String> {
    let (image, count) = (cloud.image().await, count.to_string());
    let params = [("ImageId", image.as_str()), ("InstanceType", "t3.nano"), ("MinCount", &count), ("MaxCount", &count)];
    let params: Vec<(&str, &str)> = params.iter().chain(more).copied().collect();
    let reply = cloud.call("RunInstances", &params).await.map_err(|error| error.to_string())?;
    let ids: Vec<InstanceId> = reply.all("instanceId").into_iter().map(|id| id.parse().expect("an id")).collect();
    for id in &ids {
        cloud.until_state(id, InstanceState::Running).await;
    }
    Ok(ids)
}

async fn nodes_of(cloud: &TestCloud, ids: &[InstanceId]) -> BTreeMap<InstanceId, String> {
    let rows = cloud.rows().await;
    let mine = rows.into_iter().filter(|row| ids.contains(&row.id));
    mine.map(|row| (row.id, row.node_id.expect("it is placed").to_string())).collect()
}

#[tokio::test]
async fn a_spread_group_has_each_on_a_node_of_its_own_and_says_why_no_more_fit() {
    let mut cloud = cloud().await;
    make_group(&mut cloud, "apart", &[("Strategy", "spread")]).await;
    let group = [("Placement.GroupName", "apart")];
    let mut ids = launch(&mut cloud, NODES - 1, &group).await.expect("there is room");
    ids.extend(launch(&mut cloud, 1, &group).await.expect("one node is left"));
    let nodes: BTreeSet<String> = nodes_of(&cloud, &ids).await.into_values().collect();
    assert_eq!(nodes.len(), NODES as usize, "never two on one: {nodes:?}");
    let error = launch(&mut cloud, 1, &group).await.expect_err("no node is left");
    assert!(error.contains("InsufficientInstanceCapacity"), "{error}");
    assert!(error.contains("holds an instance of the same spread placement group"), "each node says why: {error}");

    // A restart of everything forgets nothing: the cluster controller counts by the intent it is told again.
    cloud.kill().await;
    cloud.boot().await;
    let error = launch(&mut cloud, 1, &group).await.expect_err("still no node is left");
    assert!(error.contains("InsufficientInstanceCapacity"), "{error}");
    // A stopped one keeps its place: its disk is there.
    cloud.act("StopInstances", &ids[0]).await;
    cloud.until_state(&ids[0], InstanceState::Stopped).await;
    launch(&mut cloud, 1, &group).await.expect_err("the stopped one comes back here");
    cloud.act("StartInstances", &ids[0]).await;
    cloud.until_state(&ids[0], InstanceState::Running).await;

    let error = cloud.call("DeletePlacementGroup", &[group[0]].map(|(_, name)| ("GroupName", name))).await;
    assert_eq!(error.expect_err("it has members").code(), "InvalidPlacementGroup.InUse");
    let shown =
        cloud.insist("DescribeInstances", &[("Filter.1.Name", "placement-group-name"), ("Filter.1.Value.1", "apart")]);
    assert_eq!(shown.await.all("instanceId").len(), NODES as usize);
    cloud.act("TerminateInstances", &ids[0]).await;
    cloud.until_state(&ids[0], InstanceState::Terminated).await;
    ids[0] = launch(&mut cloud, 1, &group).await.expect("its place is free").remove(0);
    cloud.sound().await;
    cloud.clear().await;
    cloud.insist("DeletePlacementGroup", &[("GroupName", "apart")]).await;
    let error = launch(&mut cloud, 1, &group).await.expect_err("it is gone");
    assert!(error.contains("InvalidPlacementGroup.Unknown"), "{error}");
}

#[tokio::test]
async fn a_cluster_stays_together() {
    let mut cloud = cloud().await;
    make_group(&mut cloud, "near", &[]).await;
    let group = [("Placement.GroupName", "near")];
    let mut ids = launch(&mut cloud, 2, &group).await.expect("there is room");
    launch(&mut cloud, 2, &[]).await.expect("there is room");
    ids.extend(launch(&mut cloud, 2, &group).await.expect("there is room"));
    let nodes: BTreeSet<String> = nodes_of(&cloud, &ids).await.into_values().collect();
    assert_eq!(nodes.len(), 1, "{nodes:?}");
    cloud.clear().await;
}

#[tokio::test]
async fn partitions_share_no_node() {
    let mut cloud = cloud().await;
    make_group(&mut cloud, "parts", &[("Strategy", "partition"), ("PartitionCount", "3")]).await;
    let group = ("Placement.GroupName", "parts");
    let any = launch(&mut cloud, 6, &[group]).await.expect("there is room");
    let second = launch(&mut cloud, 2, &[group, ("Placement.PartitionNumber", "2")]).await.expect("there is room");
    let all: Vec<InstanceId> = any.iter().chain(&second).cloned().collect();
    let nodes = nodes_of(&cloud, &all).await;
    let mut homes: BTreeMap<String, u32> = BTreeMap::new();
    let mut sizes: BTreeMap<u32, usize> = BTreeMap::new();
    for row in cloud.rows().await.iter().filter(|row| all.contains(&row.id)) {
        let partition = row.doc.group.as_ref().expect("it is in the group").partition;
        let home = *homes.entry(nodes[&row.id].clone()).or_insert(partition);
        assert_eq!(home, partition, "{} serves two partitions", nodes[&row.id]);
        *sizes.entry(partition).or_default() += 1;
    }
    assert_eq!(sizes, BTreeMap::from([(1, 2), (2, 4), (3, 2)]), "two each, and two more in the second");
    let filter = [("Filter.1.Name", "placement-partition-number"), ("Filter.1.Value.1", "2")];
    assert_eq!(cloud.insist("DescribeInstances", &filter).await.all("instanceId").len(), 4);
    let error = launch(&mut cloud, 1, &[group, ("Placement.PartitionNumber", "4")]).await.expect_err("there are 3");
    assert!(error.contains("InvalidParameterValue"), "{error}");
    cloud.clear().await;
}

/// A stopped instance is put into another group, whatever happens at any point of it.
#[tokio::test]
async fn moving_to_another_group_survives_failure_and_death() {
    let points = ["cloud.placement", "cloud.placement.before-commit", "cloud.placement.committed"];
    let cases = points.into_iter().flat_map(|point| [(point, FaultAction::Fail), (point, FaultAction::Kill)]);
    each(cases, async |cloud: &mut TestCloud, (point, action)| {
        let name = format!("to-{}", cloud.rng.uuid());
        make_group(cloud, &name, &[("Strategy", "spread")]).await;
        let id = launch(cloud, 1, &[]).await.expect("there is room").remove(0);
        let params = [("InstanceId", id.as_str()), ("GroupName", name.as_str())];
        let error = cloud.call("ModifyInstancePlacement", &params).await.expect_err("it runs");
        assert_eq!(error.code(), "IncorrectInstanceState");
        cloud.act("StopInstances", &id).await;
        cloud.until_state(&id, InstanceState::Stopped).await;
        cloud.faults.arm(point, *action, 1);
        cloud.insist("ModifyInstancePlacement", &params).await;
        assert!(cloud.faults.hit().contains(&(*point).to_owned()), "{:?}", cloud.faults.hit());
        cloud.act("StartInstances", &id).await;
        cloud.until_state(&id, InstanceState::Running).await;
        cloud.sound().await;
        let error = cloud.call("DeletePlacementGroup", &[("GroupName", &name)]).await.expect_err("it has a member");
        assert_eq!(error.code(), "InvalidPlacementGroup.InUse");
        cloud.clear().await;
        cloud.insist("DeletePlacementGroup", &[("GroupName", &name)]).await;
    })
    .await;
}

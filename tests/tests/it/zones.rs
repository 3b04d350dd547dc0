//! A VPC spans zones: what is up in one is reached from the others, and counts among the members of its groups there.

use mallee_proto::v1::VpcView;
use mallee_runtime::FaultAction;
use mallee_tests::{Setup, TestCloud};
use mallee_types::{InstanceId, InstanceState};

async fn two_zones() -> TestCloud {
    TestCloud::with(Setup { zones: 2, nodes: 4, ..Setup::default() }).await
}

async fn launch_in(cloud: &mut TestCloud, zone: &str, token: &str) -> InstanceId {
    let id = cloud.launch_with(token, &[("Placement.AvailabilityZone", zone)]).await;
    cloud.until_state(&id, InstanceState::Running).await;
    id
}

async fn address(cloud: &mut TestCloud, id: &InstanceId) -> String {
    let reply = cloud.insist("DescribeInstances", &[("InstanceId.1", id.as_str())]).await;
    reply.first("privateIpAddress").expect("an address").to_owned()
}

/// The VPC as the node of the instance was told of it.
async fn view(cloud: &TestCloud, id: &InstanceId) -> Result<VpcView, String> {
    let view = cloud.host_of(id).await.view().ok_or("the node has no view")?;
    view.vpcs.first().cloned().ok_or_else(|| "the node has no VPC".into())
}

/// Whether the node of `id` knows where `other` is, and that it is a member of the default group.
async fn knows(cloud: &TestCloud, id: &InstanceId, other: &str) -> Result<bool, String> {
    let view = view(cloud, id).await?;
    let remote = view.remotes.iter().find(|remote| remote.address == other);
    let member = view.members.iter().any(|members| members.addresses.iter().any(|address| address == other));
    match (remote, member) {
        (Some(remote), true) if !remote.vtep.is_empty() => Ok(true),
        (None, false) => Ok(false),
        (remote, member) => Err(format!("{remote:?}, member: {member}")),
    }
}

async fn until_known(cloud: &mut TestCloud, id: &InstanceId, other: &str, known: bool) {
    let what = format!("{id}'s node knows of {other}: {known}");
    cloud
        .until(&what, async |cloud| {
            let found = knows(cloud, id, other).await?;
            if found == known { Ok(()) } else { Err(format!("it is {found}")) }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_of_two_zones_know_each_other() {
    let mut cloud = two_zones().await;
    let zones = cloud.app().zones().to_vec();
    let first = launch_in(&mut cloud, zones[0].as_str(), "first").await;
    let second = launch_in(&mut cloud, zones[1].as_str(), "second").await;
    let (at_first, at_second) = (address(&mut cloud, &first).await, address(&mut cloud, &second).await);
    until_known(&mut cloud, &first, &at_second, true).await;
    until_known(&mut cloud, &second, &at_first, true).await;
    let (one, other) = (cloud.host_of(&first).await, cloud.host_of(&second).await);
    assert_ne!(one.name(), other.name());
    cloud.sound().await;

    // What stops is on the network no more; what starts is again.
    cloud.act("StopInstances", &second).await;
    cloud.until_state(&second, InstanceState::Stopped).await;
    until_known(&mut cloud, &first, &at_second, false).await;
    cloud.act("StartInstances", &second).await;
    until_known(&mut cloud, &first, &at_second, true).await;
    cloud.until_state(&second, InstanceState::Running).await;

    // A group that it leaves has it as a member no more, in every zone.
    let vpc = view(&cloud, &first).await.expect("a view").vpc_id;
    let params = [("GroupName", "other"), ("GroupDescription", "other"), ("VpcId", vpc.as_str())];
    let group = cloud.insist("CreateSecurityGroup", &params).await.first("groupId").expect("an id").to_owned();
    let params = [("InstanceId", second.as_str()), ("GroupId.1", group.as_str())];
    cloud.insist("ModifyInstanceAttribute", &params).await;
    cloud
        .until("it is reached, and no member", async |cloud| {
            let view = view(cloud, &first).await?;
            let remote = view.remotes.iter().any(|remote| remote.address == at_second);
            let member = view.members.iter().any(|members| members.addresses.contains(&at_second));
            if remote && !member { Ok(()) } else { Err(format!("remote: {remote}, member: {member}")) }
        })
        .await;
    cloud.sound().await;

    // What has stopped and is terminated while its node is away does not come back meanwhile.
    cloud.act("StopInstances", &second).await;
    cloud.until_state(&second, InstanceState::Stopped).await;
    until_known(&mut cloud, &first, &at_second, false).await;
    let away = cloud.links.nodes[cloud.host_of(&second).await.name()].clone();
    away.cut();
    cloud.act("TerminateInstances", &second).await;
    cloud.until_state(&second, InstanceState::ShuttingDown).await;
    let third = launch_in(&mut cloud, zones[0].as_str(), "third").await;
    let at_third = address(&mut cloud, &third).await;
    until_known(&mut cloud, &third, &at_first, true).await;
    assert_eq!(knows(&cloud, &third, &at_second).await, Ok(false), "{at_third}");
    away.open();
    cloud.until_state(&second, InstanceState::Terminated).await;
    until_known(&mut cloud, &first, &at_second, false).await;
    cloud.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_dies_is_told_of_the_other_zone_anew() {
    let mut cloud = two_zones().await;
    let zones = cloud.app().zones().to_vec();
    let first = launch_in(&mut cloud, zones[0].as_str(), "first").await;
    let second = launch_in(&mut cloud, zones[1].as_str(), "second").await;
    let at_second = address(&mut cloud, &second).await;
    until_known(&mut cloud, &first, &at_second, true).await;
    let before = view(&cloud, &first).await.expect("a view");

    // Everything but the hosts dies while the other zone's node stays away: where it is reached is known all the same.
    let away = cloud.links.nodes[cloud.host_of(&second).await.name()].clone();
    away.cut();
    cloud.kill().await;
    cloud.boot().await;
    let third = launch_in(&mut cloud, zones[0].as_str(), "third").await;
    until_known(&mut cloud, &third, &at_second, true).await;
    until_known(&mut cloud, &first, &at_second, true).await;
    cloud.act("TerminateInstances", &third).await;
    cloud.until_state(&third, InstanceState::Terminated).await;
    away.open();
    cloud.sound().await;
    assert_eq!(view(&cloud, &first).await.expect("a view"), before);

    // What was said of nodes is lost on its way to the database, once.
    let hits = cloud.faults.hit().len();
    cloud.faults.arm("cloud.nodes.keep", FaultAction::Kill, 1);
    away.cut();
    cloud
        .until(
            "the cloud is struck",
            async |cloud| {
                if cloud.faults.hit().len() > hits { Ok(()) } else { Err("not yet".to_owned()) }
            },
        )
        .await;
    cloud.kill().await;
    cloud.boot().await;
    away.open();
    cloud.sound().await;
    assert_eq!(view(&cloud, &first).await.expect("a view"), before);
    cloud.clear().await;
}

//! What hosts and guests do by themselves: crashes, power-offs, reboots, absence; with the cloud there, and without it.

use mallee_runtime::FaultAction;
use mallee_sim::Guest;
use mallee_tests::{Setup, Step, TestCloud};
use mallee_types::{InstanceId, InstanceState};
use std::time::Duration;

async fn running() -> (TestCloud, InstanceId) {
    let mut cloud = TestCloud::start().await;
    let id = cloud.launch("t").await;
    cloud.until_state(&id, InstanceState::Running).await;
    (cloud, id)
}

async fn boots(cloud: &TestCloud, id: &InstanceId) -> u32 {
    cloud.host_of(id).await.domain(id).map_or(0, |domain| domain.boots)
}

async fn until_booted(cloud: &mut TestCloud, id: &InstanceId, least: u32) {
    cloud
        .until("the guest is up again", async |cloud| {
            let host = cloud.host_of(id).await;
            let up = host.running().contains(id);
            if up && boots(cloud, id).await >= least { Ok(()) } else { Err(format!("{:?}", host.domain(id))) }
        })
        .await;
    cloud.sound().await;
}

async fn reason(cloud: &TestCloud, id: &InstanceId) -> String {
    let row = cloud.rows().await.into_iter().find(|row| row.id == *id).expect("it has a row");
    row.state_reason_code.unwrap_or_default()
}

#[tokio::test]
async fn a_guest_that_crashes_is_brought_back() {
    let (mut cloud, id) = running().await;
    assert!(cloud.host_of(&id).await.crash_guest(&id));
    until_booted(&mut cloud, &id, 2).await;
    cloud.until_state(&id, InstanceState::Running).await;
    cloud.clear().await;
}

#[tokio::test]
async fn a_guest_that_powers_itself_off_is_stopped_and_says_so() {
    let (mut cloud, id) = running().await;
    assert!(cloud.host_of(&id).await.power_off_guest(&id));
    cloud.until_state(&id, InstanceState::Stopped).await;
    assert_eq!(reason(&cloud, &id).await, "Client.InstanceInitiatedShutdown");
    cloud.sound().await;
    cloud.act("StartInstances", &id).await;
    cloud.until_state(&id, InstanceState::Running).await;
    cloud.clear().await;
}

#[tokio::test]
async fn a_guest_that_powers_itself_off_is_terminated_if_it_was_so_asked() {
    let mut cloud = TestCloud::start().await;
    let id = cloud.launch_with("once", &[("InstanceInitiatedShutdownBehavior", "terminate")]).await;
    cloud.until_state(&id, InstanceState::Running).await;
    assert!(cloud.host_of(&id).await.power_off_guest(&id));
    cloud.until_state(&id, InstanceState::Terminated).await;
    assert_eq!(reason(&cloud, &id).await, "Client.InstanceInitiatedShutdown");
    cloud.empty().await;
}

#[tokio::test]
async fn a_guest_that_ignores_the_power_button_is_terminated_all_the_same() {
    let (mut cloud, id) = running().await;
    cloud.host_of(&id).await.set_guest(&id, Guest { ignores_shutdown: true, ..Guest::default() });
    cloud.clear().await;
}

#[tokio::test]
async fn guests_come_back_after_their_host_rebooted() {
    let (mut cloud, id) = running().await;
    // The node controller goes down and comes up with its host; the rest of the cloud does not.
    let host = cloud.host_of(&id).await;
    cloud.kill_node(host.name()).await;
    host.reboot();
    cloud.start_node(host.name()).await;
    until_booted(&mut cloud, &id, 2).await;
    cloud.until_state(&id, InstanceState::Running).await;
    cloud.clear().await;
}

#[tokio::test]
async fn guests_live_without_the_cloud() {
    let (mut cloud, id) = running().await;
    let host = cloud.host_of(&id).await;
    let before = (host.domain(&id), host.plugged(), host.view().map(|view| view.vpcs.clone()));
    for _ in 0..3 {
        cloud.kill().await;
        cloud.boot().await;
        cloud.sound().await;
        let after = (host.domain(&id), host.plugged(), host.view().map(|view| view.vpcs.clone()));
        assert_eq!(after, before, "a cloud that comes back touches nothing (R15)");
    }
    cloud.clear().await;
}

#[tokio::test]
async fn what_happened_while_the_cloud_was_dead_is_found() {
    let mut cloud = TestCloud::start().await;
    let mut ids = Vec::new();
    for token in ["crashes", "ends", "reboots"] {
        let id = cloud.launch(token).await;
        cloud.until_state(&id, InstanceState::Running).await;
        ids.push(id);
    }
    let (first, second) = (cloud.host_of(&ids[0]).await, cloud.host_of(&ids[1]).await);
    cloud.kill().await;
    assert!(first.crash_guest(&ids[0]));
    assert!(second.power_off_guest(&ids[1]));
    cloud.boot().await;
    until_state_and_boots(&mut cloud, &ids[0], 2).await;
    cloud.until_state(&ids[1], InstanceState::Stopped).await;
    cloud.sound().await;
    let third = cloud.host_of(&ids[2]).await;
    cloud.kill().await;
    third.reboot();
    cloud.boot().await;
    until_booted(&mut cloud, &ids[2], 2).await;
    cloud.until_state(&ids[1], InstanceState::Stopped).await;
    cloud.clear().await;
}

async fn until_state_and_boots(cloud: &mut TestCloud, id: &InstanceId, least: u32) {
    cloud
        .until("the guest is up again", async |cloud| {
            let now = boots(cloud, id).await;
            if now >= least { Ok(()) } else { Err(format!("{now} boots")) }
        })
        .await;
    cloud.until_state(id, InstanceState::Running).await;
}

#[tokio::test]
async fn a_guest_that_crashes_for_ever_is_given_up_and_says_so() {
    let mut cloud = TestCloud::with(Setup::default()).await;
    let id = cloud.launch("t").await;
    let host = cloud.host_of(&id).await;
    host.set_guest(&id, Guest { crashes_after: Some(Duration::from_millis(1)), ..Guest::default() });
    cloud.until_state(&id, InstanceState::Running).await;
    host.crash_guest(&id);
    cloud.until_state(&id, InstanceState::Stopped).await;
    let row = cloud.rows().await.into_iter().find(|row| row.id == id).expect("it has a row");
    let text = row.state_reason_message.unwrap_or_default();
    assert!(text.contains(host.name()) && text.contains("crashed"), "{text}");
    cloud.clear().await;
}

#[tokio::test]
async fn what_is_terminated_on_an_absent_node_ends_when_the_node_returns() {
    let (mut cloud, id) = running().await;
    let host = cloud.host_of(&id).await;
    cloud.kill_node(host.name()).await;
    cloud.act("TerminateInstances", &id).await;
    cloud.until_state(&id, InstanceState::ShuttingDown).await;
    // The guest still runs, so nothing of it may be given away.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let row = cloud.rows().await.into_iter().find(|row| row.id == id).expect("it has a row");
    assert!(row.state == InstanceState::ShuttingDown && !row.released, "{:?}", row.state);
    assert!(host.running().contains(&id));
    // Others are not held up by it.
    let other = cloud.launch("other").await;
    cloud.until_state(&other, InstanceState::Running).await;
    assert_ne!(cloud.host_of(&other).await.name(), host.name(), "an absent node is given nothing");
    cloud.start_node(host.name()).await;
    cloud.until_state(&id, InstanceState::Terminated).await;
    cloud.clear().await;
}

#[tokio::test]
async fn a_node_controller_that_dies_alone_picks_up_where_it_was() {
    let mut cloud = TestCloud::start().await;
    for (step, point) in [
        (Step::Launch, "node.launch.start.done"),
        (Step::Launch, "node.launch.resume.done"),
        (Step::Stop, "node.stop.shutdown.done"),
        (Step::Terminate, "node.terminate.remove.done"),
    ] {
        let mut id = None;
        if step != Step::Launch {
            cloud.step(Step::Launch, &mut id).await;
        }
        // The point holds the node's step for ever; then the node dies, and only the node.
        cloud.faults.arm(point, FaultAction::Delay(Duration::from_secs(3600)), 1);
        let action = match step {
            Step::Stop => "StopInstances",
            _ => "TerminateInstances",
        };
        let id = match id {
            Some(id) => {
                cloud.act(action, &id).await;
                id
            }
            None => {
                let token = cloud.rng.uuid();
                cloud.launch(&token).await
            }
        };
        let struck = cloud.faults.clone();
        cloud
            .until("the node is held", async |_| match struck.hit().last() {
                Some(last) if last == point => Ok(()),
                last => Err(format!("{last:?}")),
            })
            .await;
        let host = cloud.host_of(&id).await;
        cloud.kill_node(host.name()).await;
        cloud.start_node(host.name()).await;
        let goal = match step {
            Step::Launch => InstanceState::Running,
            Step::Stop => InstanceState::Stopped,
            _ => InstanceState::Terminated,
        };
        cloud.until_state(&id, goal).await;
        cloud.sound().await;
        cloud.clear().await;
    }
}

/// The tests are worth what the checker sees.
#[tokio::test]
async fn the_checker_sees_what_is_wrong() {
    let (mut cloud, id) = running().await;
    cloud.sound().await;
    let app = cloud.app();
    let subnets = mallee_store::subnet_list_all(app.store()).await.unwrap();
    let (subnet, leaked) = (&subnets[0], "172.31.0.77".parse().unwrap());
    let mut tx = app.store().write().await.unwrap();
    assert!(mallee_store::private_address_take_exact(&mut tx, &subnet.id, leaked).await.unwrap());
    tx.commit().await.unwrap();
    let found = cloud.differences().await.join("; ");
    assert!(found.contains("I3") && found.contains(subnet.id.as_str()), "a leaked address: {found}");
    let mut tx = app.store().write().await.unwrap();
    mallee_store::private_addresses_release(&mut tx, &subnet.id, &[leaked]).await.unwrap();
    tx.commit().await.unwrap();
    cloud.sound().await;
    let host = cloud.host_of(&id).await;
    cloud.kill_node(host.name()).await;
    host.reboot();
    let found = cloud.differences().await.join("; ");
    assert!(found.contains("I1") && found.contains("I6"), "a host that lost its guest and its network: {found}");
    cloud.start_node(host.name()).await;
    cloud.clear().await;
}

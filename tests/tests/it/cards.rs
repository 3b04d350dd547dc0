//! Network interfaces that come and go while their instance runs, whatever fails or dies at any point of it.

use crate::crew::each;
use mallee_runtime::FaultAction;
use mallee_sim::SimFault;
use mallee_tests::{Step, TestCloud};
use mallee_types::InstanceId;
use std::collections::BTreeSet;
use std::time::Duration;

/// Longer than anything takes without faults, shorter than any timeout.
const DELAY: Duration = Duration::from_millis(60);
/// Points that attaching and detaching pass at least; fewer means that they are not recorded.
const POINTS_LEAST: usize = 20;
/// Whether a point is passed can depend on who is faster: so many lives are lived to strike it.
const LIVES: usize = 3;
/// Points that may escape all the same.
const MISSED_MAX: usize = 3;

async fn interface(cloud: &mut TestCloud) -> String {
    let subnets = cloud.insist("DescribeSubnets", &[]).await;
    let subnet = subnets.first("subnetId").expect("there is a default subnet").to_owned();
    let token = cloud.rng.uuid();
    let reply = cloud.insist("CreateNetworkInterface", &[("SubnetId", &subnet), ("ClientToken", &token)]).await;
    reply.first("networkInterfaceId").expect("an id").to_owned()
}

/// What is said of an interface: its state, and that of its attachment.
async fn said(cloud: &mut TestCloud, eni: &str) -> String {
    let reply = cloud.insist("DescribeNetworkInterfaces", &[("NetworkInterfaceId.1", eni)]).await;
    let mut states = reply.all("status");
    states.sort_unstable();
    states.join(" ")
}

async fn until_said(cloud: &mut TestCloud, eni: &str, wanted: &str) {
    let id = eni.to_owned();
    let what = format!("{eni} is {wanted}");
    cloud
        .until(&what, async |cloud| {
            let reply = cloud.client().call("DescribeNetworkInterfaces", &[("NetworkInterfaceId.1", &id)]).await;
            let reply = reply.map_err(|error| error.to_string())?;
            let mut states = reply.all("status");
            states.sort_unstable();
            let states = states.join(" ");
            if states == wanted { Ok(()) } else { Err(states) }
        })
        .await;
}

/// As a user does who got no answer: looks whether it was done, and asks again if not. `done` is what shows that it was.
async fn ask(cloud: &mut TestCloud, action: &str, params: &[(&str, &str)], eni: &str, done: &[&str]) {
    loop {
        match cloud.call(action, params).await {
            Ok(_) => return,
            Err(error) if error.is_retriable() => {
                let states = said(cloud, eni).await;
                if done.contains(&states.as_str()) {
                    return;
                }
            }
            Err(error) => panic!("{action}: {error}; faults: {:?}", cloud.faults.hit()),
        }
    }
}

const TAKEN: [&str; 2] = ["attached in-use", "attaching attaching"];
const LEFT: [&str; 2] = ["available", "detaching detaching"];

async fn attach(cloud: &mut TestCloud, eni: &str, id: &InstanceId) {
    let params = [("NetworkInterfaceId", eni), ("InstanceId", id.as_str()), ("DeviceIndex", "1")];
    ask(cloud, "AttachNetworkInterface", &params, eni, &TAKEN).await;
}

async fn detach(cloud: &mut TestCloud, eni: &str, force: bool) {
    let reply = cloud.insist("DescribeNetworkInterfaces", &[("NetworkInterfaceId.1", eni)]).await;
    let attachment = reply.first("attachmentId").expect("it is attached").to_owned();
    let params = [("AttachmentId", attachment.as_str()), ("Force", if force { "true" } else { "false" })];
    ask(cloud, "DetachNetworkInterface", &params, eni, &LEFT).await;
}

/// The guest's cards, as its host has them.
async fn cards(cloud: &TestCloud, id: &InstanceId) -> usize {
    cloud.host_of(id).await.domain(id).map_or(0, |domain| domain.nics.len())
}

async fn delete(cloud: &mut TestCloud, eni: &str) {
    cloud.insist("DeleteNetworkInterface", &[("NetworkInterfaceId", eni)]).await;
}

/// Attaches and detaches; `arm` is called before either, and the faults end after it.
async fn live(cloud: &mut TestCloud, arm: impl Fn(&TestCloud, bool)) {
    let mut id = None;
    cloud.step(Step::Launch, &mut id).await;
    let instance = id.clone().expect("it was launched");
    let eni = interface(cloud).await;
    arm(cloud, false);
    attach(cloud, &eni, &instance).await;
    until_said(cloud, &eni, "attached in-use").await;
    cloud.sound().await;
    assert_eq!(cards(cloud, &instance).await, 2, "faults: {:?}", cloud.faults.hit());
    arm(cloud, true);
    detach(cloud, &eni, false).await;
    until_said(cloud, &eni, "available").await;
    cloud.sound().await;
    assert_eq!(cards(cloud, &instance).await, 1, "faults: {:?}", cloud.faults.hit());
    cloud.faults.clear();
    delete(cloud, &eni).await;
    cloud.step(Step::Terminate, &mut id).await;
    cloud.empty().await;
}

/// The points that attaching passes, and those that detaching does.
async fn points() -> Vec<(bool, String)> {
    let mut cloud = TestCloud::start().await;
    live(&mut cloud, |_, _| {}).await;
    let known = cloud.faults.passed();
    let begun = std::cell::Cell::new([0; 2]);
    live(&mut cloud, |cloud, leaving| {
        for point in &known {
            cloud.faults.arm(point, FaultAction::Delay(Duration::ZERO), u32::MAX);
        }
        let mut marks = begun.get();
        marks[usize::from(leaving)] = cloud.faults.hit().len();
        begun.set(marks);
    })
    .await;
    let (hit, [attaching, detaching]) = (cloud.faults.hit(), begun.get());
    let of = |range: &[String], leaving| -> BTreeSet<(bool, String)> {
        range.iter().map(|point| (leaving, point.clone())).collect()
    };
    of(&hit[attaching..detaching], false).into_iter().chain(of(&hit[detaching..], true)).collect()
}

async fn survives(action: FaultAction) {
    let points = points().await;
    println!("{} points: {points:?}", points.len());
    assert!(points.len() > POINTS_LEAST, "attaching and detaching pass only {} points", points.len());
    for own in
        ["cloud.interface.attach.before-commit", "node.launch.hot-taps", "node.launch.attach", "node.launch.detach"]
    {
        assert!(points.iter().any(|(_, point)| point.starts_with(own)), "{own} is not passed");
    }
    let missed = std::cell::RefCell::new(Vec::new());
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
async fn attaching_and_detaching_survive_a_failure_of_each_point() {
    survives(FaultAction::Fail).await;
}

#[tokio::test]
async fn attaching_and_detaching_survive_a_delay_at_each_point() {
    survives(FaultAction::Delay(DELAY)).await;
}

#[tokio::test]
async fn attaching_and_detaching_survive_death_at_each_point() {
    survives(FaultAction::Kill).await;
}

/// A guest need not let go of a card. What else comes and goes does not wait for it.
#[tokio::test]
async fn a_card_that_a_guest_keeps_holds_up_no_other() {
    let mut cloud = TestCloud::start().await;
    let cloud = &mut cloud;
    let mut id = None;
    cloud.step(Step::Launch, &mut id).await;
    let instance = id.clone().expect("it was launched");
    let (kept, other) = (interface(cloud).await, interface(cloud).await);
    attach(cloud, &kept, &instance).await;
    until_said(cloud, &kept, "attached in-use").await;
    let host = cloud.host_of(&instance).await;
    host.fault("detach_nic", SimFault::Fail, u32::MAX);
    detach(cloud, &kept, false).await;
    assert_eq!(said(cloud, &kept).await, "detaching detaching");
    detach(cloud, &kept, true).await;
    assert_eq!(said(cloud, &kept).await, "available", "who says Force has it at once");
    attach(cloud, &other, &instance).await;
    until_said(cloud, &other, "attached in-use").await;
    let status = cloud.insist("DescribeInstanceStatus", &[("InstanceId.1", instance.as_str())]).await;
    assert!(!status.0.contains("impaired"), "{}", status.0);
    assert_eq!(cards(cloud, &instance).await, 3);
    host.mend();
    cloud.sound().await;
    cloud
        .until("the card is gone", async |cloud| match cards(cloud, &instance).await {
            2 => Ok(()),
            n => Err(format!("{n} cards")),
        })
        .await;
    delete(cloud, &kept).await;
    detach(cloud, &other, false).await;
    until_said(cloud, &other, "available").await;
    delete(cloud, &other).await;
    cloud.step(Step::Terminate, &mut id).await;
    cloud.empty().await;
}

/// A new interface that cannot be had leaves the instance as healthy as it was.
#[tokio::test]
async fn an_interface_that_does_not_come_makes_no_instance_impaired() {
    let mut cloud = TestCloud::start().await;
    let cloud = &mut cloud;
    let mut id = None;
    cloud.step(Step::Launch, &mut id).await;
    let instance = id.clone().expect("it was launched");
    let eni = interface(cloud).await;
    let host = cloud.host_of(&instance).await;
    host.fault("attach_nic", SimFault::Refuse, u32::MAX);
    attach(cloud, &eni, &instance).await;
    for _ in 0..20 {
        let status = cloud.insist("DescribeInstanceStatus", &[("InstanceId.1", instance.as_str())]).await;
        assert!(!status.0.contains("impaired"), "{}", status.0);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(said(cloud, &eni).await, "attaching attaching");
    host.mend();
    until_said(cloud, &eni, "attached in-use").await;
    let goes_along = attribute(cloud, &eni).await;
    let params = goes_along.each_ref().map(|(name, value)| (*name, value.as_str()));
    cloud.insist("ModifyNetworkInterfaceAttribute", &params).await;
    cloud.step(Step::Terminate, &mut id).await;
    cloud.empty().await;
}

/// It is to go with its instance.
async fn attribute(cloud: &mut TestCloud, eni: &str) -> [(&'static str, String); 3] {
    let reply = cloud.insist("DescribeNetworkInterfaces", &[("NetworkInterfaceId.1", eni)]).await;
    [
        ("NetworkInterfaceId", eni.to_owned()),
        ("Attachment.AttachmentId", reply.first("attachmentId").expect("it is attached").to_owned()),
        ("Attachment.DeleteOnTermination", "true".to_owned()),
    ]
}

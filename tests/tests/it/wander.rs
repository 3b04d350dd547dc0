//! A network that is rebuilt at random, under random faults, from a seed: interfaces, addresses, groups and gateways come,
//! go and move. In the end every node has just the network that the rows say, and nothing is left.

use crate::mishap::{pick, strike};
use mallee_tests::{CallError, Reply, Setup, TestCloud};
use mallee_types::{InstanceId, InstanceState};
use std::collections::BTreeMap;
use std::time::Duration;

/// Schedules of one test; there are several tests, so that they run side by side.
const SEEDS: u64 = 8;
/// Operations of one schedule.
const OPERATIONS: usize = 40;
/// Calls that are thought of until there is something to do one with.
const DRAWS_MAX: usize = 20;
/// Of each kind, at once.
const INSTANCES_MAX: usize = 3;
const INTERFACES_MAX: usize = 4;
const ADDRESSES_MAX: usize = 2;
/// Points of the network's own calls that one life without faults must show.
const POINTS: [&str; 4] = [
    "cloud.interface.attach.committed",
    "cloud.interface.detach.committed",
    "cloud.nat.create.before-commit",
    "node.view.apply",
];

/// An interface as it is described.
#[derive(Debug, Clone, Default)]
struct Interface {
    id: String,
    attachment: String,
    secondary: Vec<String>,
}

/// What an account has.
#[derive(Debug, Default)]
struct Estate {
    instances: Vec<InstanceId>,
    /// Those that are the account's own to change, and on no instance.
    free: Vec<Interface>,
    /// Those that came to an instance later.
    attached: Vec<Interface>,
    addresses: Vec<String>,
    associations: Vec<String>,
    gateways: Vec<String>,
    subnets: Vec<String>,
}

fn items(reply: &Reply, id: &str) -> Vec<String> {
    reply.all(id).into_iter().map(str::to_owned).collect()
}

impl Estate {
    async fn of(cloud: &mut TestCloud) -> Self {
        let rows = cloud.rows().await.into_iter().filter(|row| !row.released);
        let mut estate = Self { instances: rows.map(|row| row.id).collect(), ..Self::default() };
        estate.subnets = items(&cloud.insist("DescribeSubnets", &[]).await, "subnetId");
        let addresses = cloud.insist("DescribeAddresses", &[]).await;
        estate.addresses = items(&addresses, "allocationId");
        estate.associations = items(&addresses, "associationId");
        let live = [("Filter.1.Name", "state"), ("Filter.1.Value.1", "pending"), ("Filter.1.Value.2", "available")];
        estate.gateways = items(&cloud.insist("DescribeNatGateways", &live).await, "natGatewayId");
        let own = [("Filter.1.Name", "interface-type"), ("Filter.1.Value.1", "interface")];
        let all = items(&cloud.insist("DescribeNetworkInterfaces", &own).await, "networkInterfaceId");
        for id in all {
            let one = match cloud.call("DescribeNetworkInterfaces", &[("NetworkInterfaceId.1", &id)]).await {
                Ok(one) => one,
                // It went with its instance, or a fault struck.
                Err(_) => continue,
            };
            let mut secondary = items(&one, "privateIpAddress");
            secondary.sort();
            secondary.dedup();
            let own = one.first("privateIpAddress").unwrap_or_default().to_owned();
            secondary.retain(|ip| *ip != own);
            let attachment = one.first("attachmentId").unwrap_or_default().to_owned();
            let interface = Interface { id, attachment, secondary };
            if interface.attachment.is_empty() {
                estate.free.push(interface);
            } else if one.first("deviceIndex") == Some("1") {
                estate.attached.push(interface);
            }
        }
        estate
    }
}

/// What a user may be told: that something is not in the state for it, is not there (any more), or is enough. Anything else
/// is a mistake of ours, or of this test.
fn is_honest(error: &CallError) -> bool {
    const STATES: [&str; 13] = [
        "InvalidInstanceID",
        "IncorrectInstanceState",
        "IncorrectState",
        "InsufficientInstanceCapacity",
        "AttachmentLimitExceeded",
        "PrivateIpAddressLimitExceeded",
        "OperationNotPermitted",
        "Resource.AlreadyAssociated",
        "NatGatewayLimitExceeded",
        "InvalidParameterValue",
        "InvalidParameterCombination",
        "UnsupportedOperation",
        "AuthFailure",
    ];
    let code = error.code();
    let wrong = [".NotFound", ".InUse", ".Malformed", "NotFound"].iter().any(|end| code.ends_with(end));
    error.is_retriable() || STATES.contains(&code) || (wrong && !code.ends_with("Malformed"))
}

fn told(action: &str, outcome: Result<Reply, CallError>) -> String {
    match outcome {
        Ok(_) => format!("{action}: done"),
        Err(error) => {
            assert!(is_honest(&error), "{action}: {error}");
            format!("{action}: {error}")
        }
    }
}

/// One call of the user: the action and its parameters; `None`: there is nothing to do it with.
fn call(
    cloud: &TestCloud,
    estate: &Estate,
    image: &str,
    n: usize,
) -> Option<(&'static str, BTreeMap<&'static str, String>)> {
    let instance = || pick(cloud, &estate.instances).map(ToString::to_string);
    let any = |of: &[Interface]| pick(cloud, of).cloned();
    let interface = || any(&estate.free).or_else(|| any(&estate.attached));
    let text = |list: &[String]| pick(cloud, list).cloned();
    let few = |count: usize, most: usize| (count < most).then_some(());
    let yes = |one_of: u64| (cloud.rng.below(one_of) == 0).to_string();
    let (action, params) = match cloud.rng.below(18) {
        0 | 1 => {
            few(estate.instances.len(), INSTANCES_MAX)?;
            let subnet = ("SubnetId", text(&estate.subnets)?);
            let size = ("InstanceType", "t3.nano".to_owned());
            let token = ("ClientToken", format!("wander-{n}"));
            let counts = [("MinCount", "1".to_owned()), ("MaxCount", "1".to_owned())];
            ("RunInstances", [vec![("ImageId", image.to_owned()), size, subnet, token], counts.to_vec()].concat())
        }
        2 => ("TerminateInstances", vec![("InstanceId.1", instance()?)]),
        3 => ("StopInstances", vec![("InstanceId.1", instance()?)]),
        4 => ("StartInstances", vec![("InstanceId.1", instance()?)]),
        5 | 6 => {
            few(estate.free.len() + estate.attached.len(), INTERFACES_MAX)?;
            ("CreateNetworkInterface", vec![("SubnetId", text(&estate.subnets)?), ("ClientToken", format!("eni-{n}"))])
        }
        7 | 8 => {
            let to = vec![("InstanceId", instance()?), ("DeviceIndex", "1".to_owned())];
            ("AttachNetworkInterface", [to, vec![("NetworkInterfaceId", any(&estate.free)?.id)]].concat())
        }
        9 | 10 => {
            let from = vec![("AttachmentId", any(&estate.attached)?.attachment), ("Force", yes(3))];
            ("DetachNetworkInterface", from)
        }
        11 => ("DeleteNetworkInterface", vec![("NetworkInterfaceId", any(&estate.free)?.id)]),
        12 => {
            let interface = interface()?;
            match interface.secondary.first() {
                Some(ip) => {
                    let params = vec![("NetworkInterfaceId", interface.id), ("PrivateIpAddress.1", ip.clone())];
                    ("UnassignPrivateIpAddresses", params)
                }
                None => {
                    let count = ("SecondaryPrivateIpAddressCount", "1".to_owned());
                    ("AssignPrivateIpAddresses", vec![("NetworkInterfaceId", interface.id), count])
                }
            }
        }
        13 => {
            few(estate.addresses.len(), ADDRESSES_MAX)?;
            ("AllocateAddress", vec![])
        }
        14 => {
            let what = vec![("AllocationId", text(&estate.addresses)?), ("AllowReassociation", yes(2))];
            let to = match interface() {
                Some(interface) if cloud.rng.below(2) == 0 => ("NetworkInterfaceId", interface.id),
                _ => ("InstanceId", instance()?),
            };
            ("AssociateAddress", [what, vec![to]].concat())
        }
        15 => ("DisassociateAddress", vec![("AssociationId", text(&estate.associations)?)]),
        16 => match text(&estate.gateways) {
            Some(id) => ("DeleteNatGateway", vec![("NatGatewayId", id)]),
            None => {
                let kind = ("ConnectivityType", "private".to_owned());
                let token = ("ClientToken", format!("nat-{n}"));
                ("CreateNatGateway", vec![("SubnetId", text(&estate.subnets)?), kind, token])
            }
        },
        _ => {
            let check = ("SourceDestCheck.Value", yes(2));
            ("ModifyNetworkInterfaceAttribute", vec![("NetworkInterfaceId", interface()?.id), check])
        }
    };
    Some((action, params.into_iter().collect()))
}

async fn operate(cloud: &mut TestCloud, points: &[String], image: &str, n: usize) -> String {
    if cloud.rng.below(4) == 0 {
        let alive: Vec<InstanceId> =
            cloud.rows().await.into_iter().filter(|row| !row.released).map(|row| row.id).collect();
        let target = pick(cloud, &alive).cloned();
        return strike(cloud, points, target).await;
    }
    let estate = Estate::of(cloud).await;
    let mut calls = (0..DRAWS_MAX).filter_map(|_| call(cloud, &estate, image, n));
    let Some((action, params)) = calls.next() else { return "nothing for it".to_owned() };
    drop(calls);
    let params: Vec<(&str, &str)> = params.iter().map(|(name, value)| (*name, value.as_str())).collect();
    told(&format!("{action} {params:?}"), cloud.call(action, &params).await)
}

/// A call that ends something; that it has gone already is as good.
async fn end(cloud: &mut TestCloud, action: &str, params: &[(&str, &str)]) -> bool {
    match cloud.call(action, params).await {
        Ok(_) => true,
        Err(error) => {
            assert!(is_honest(&error), "{action}: {error}");
            error.code().ends_with("NotFound")
        }
    }
}

/// Takes everything away, in whatever order it goes.
async fn clear(cloud: &mut TestCloud) {
    for row in cloud.rows().await.into_iter().filter(|row| !row.released) {
        cloud.act("TerminateInstances", &row.id).await;
    }
    loop {
        let estate = Estate::of(cloud).await;
        let mut left = !estate.instances.is_empty();
        for id in &estate.gateways {
            left = true;
            end(cloud, "DeleteNatGateway", &[("NatGatewayId", id)]).await;
        }
        for id in &estate.associations {
            left |= !end(cloud, "DisassociateAddress", &[("AssociationId", id)]).await;
        }
        for id in &estate.addresses {
            left |= !end(cloud, "ReleaseAddress", &[("AllocationId", id)]).await;
        }
        for interface in &estate.free {
            left |= !end(cloud, "DeleteNetworkInterface", &[("NetworkInterfaceId", &interface.id)]).await;
        }
        if !left && estate.attached.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cloud.empty().await;
}

/// A life without faults shows the points: everything once.
async fn points(cloud: &mut TestCloud) -> Vec<String> {
    let id = cloud.launch("first").await;
    cloud.until_state(&id, InstanceState::Running).await;
    let estate = Estate::of(cloud).await;
    let subnet = ("SubnetId", estate.subnets[0].as_str());
    let own = cloud.rows().await.into_iter().find(|row| row.id == id).expect("it has a row").subnet_id.to_string();
    let made = cloud.insist("CreateNetworkInterface", &[("SubnetId", &own)]).await;
    let eni = made.first("networkInterfaceId").expect("an id").to_owned();
    let params = [("NetworkInterfaceId", eni.as_str()), ("InstanceId", id.as_str()), ("DeviceIndex", "1")];
    let attached = cloud.insist("AttachNetworkInterface", &params).await;
    let attachment = attached.first("attachmentId").expect("an attachment").to_owned();
    cloud.sound().await;
    cloud.insist("DetachNetworkInterface", &[("AttachmentId", &attachment)]).await;
    cloud.insist("CreateNatGateway", &[subnet, ("ConnectivityType", "private")]).await;
    cloud.sound().await;
    clear(cloud).await;
    let mut points = cloud.faults.passed();
    points.retain(|point| !point.starts_with("walrus."));
    for point in POINTS {
        assert!(points.iter().any(|passed| passed == point), "{point} is not passed: {points:?}");
    }
    points
}

async fn schedule(seed: u64) {
    // Every other cloud has two zones, which must agree on the network.
    let zones = 1 + u8::from(seed % 2 == 1);
    let mut cloud = TestCloud::with(Setup { seed, zones, nodes: 2, ..Setup::default() }).await;
    let cloud = &mut cloud;
    let image = cloud.image().await;
    let points = points(cloud).await;
    for n in 0..OPERATIONS {
        let what = operate(cloud, &points, &image, n).await;
        println!("seed {seed}, {n}: {what}");
        if cloud.rng.below(3) == 0 {
            tokio::time::sleep(Duration::from_millis(cloud.rng.below(20))).await;
        }
    }
    println!("seed {seed}: the faults end; struck: {:?}", cloud.faults.hit());
    cloud.faults.clear();
    cloud.hosts.iter().for_each(mallee_sim::SimHost::mend);
    cloud.sound().await;
    clear(cloud).await;
}

macro_rules! seeds {
    ($($name:ident $block:expr;)*) => {
        $(#[tokio::test]
        async fn $name() {
            for seed in 0..SEEDS {
                schedule($block * SEEDS + seed).await;
            }
        })*
    };
}

seeds! {
    networks_of_the_first_block 0;
    networks_of_the_second_block 1;
}

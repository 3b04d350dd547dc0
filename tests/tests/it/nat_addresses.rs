//! Addresses of a NAT gateway that come, drain and go, whatever fails or dies on the way.

use crate::crew::each;
use mallee_runtime::FaultAction;
use mallee_tests::TestCloud;

/// The points that the two calls pass.
const POINTS: [&str; 4] =
    ["cloud.nat.address", "cloud.nat.address.committed", "cloud.nat.drain", "cloud.nat.drain.committed"];

/// How far each address of the gateway has come.
async fn statuses(cloud: &TestCloud, id: &str) -> Result<Vec<String>, String> {
    let reply = cloud.client().call("DescribeNatGateways", &[("NatGatewayId.1", id)]).await;
    let reply = reply.map_err(|error| error.to_string())?;
    Ok(reply.all("status").into_iter().map(str::to_owned).collect())
}

async fn until(cloud: &mut TestCloud, id: &str, count: usize) {
    let (id, what) = (id.to_owned(), format!("{count} addresses of {id} are up, and no others"));
    cloud
        .until(&what, async |cloud| {
            let found = statuses(cloud, &id).await?;
            let up = found.iter().all(|status| status == "succeeded");
            if up && found.len() == count { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await;
}

/// Repeats a call as an SDK does. That it is refused as done already is the answer to one that was done, and not heard of.
async fn do_once(cloud: &mut TestCloud, action: &str, params: &[(&str, &str)], done: &[&str]) {
    loop {
        match cloud.call(action, params).await {
            Ok(_) => return,
            Err(error) if done.contains(&error.code()) => return,
            Err(error) if error.is_retriable() => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            Err(error) => panic!("{action}: {error}; faults: {:?}", cloud.faults.hit()),
        }
    }
}

fn first(reply: &mallee_tests::Reply, element: &str) -> String {
    reply.first(element).unwrap_or_else(|| panic!("no {element}")).to_owned()
}

async fn live(cloud: &mut TestCloud, point: &str, action: FaultAction) {
    let subnet = first(&cloud.insist("DescribeSubnets", &[]).await, "subnetId");
    let one = first(&cloud.insist("AllocateAddress", &[]).await, "allocationId");
    let two = first(&cloud.insist("AllocateAddress", &[]).await, "allocationId");
    let new = [("SubnetId", subnet.as_str()), ("AllocationId", one.as_str())];
    let id = first(&cloud.insist("CreateNatGateway", &new).await, "natGatewayId");
    until(cloud, &id, 1).await;
    cloud
        .until("the gateway is up", async |cloud| {
            let reply = cloud.client().call("DescribeNatGateways", &[("NatGatewayId.1", &id)]).await;
            let reply = reply.map_err(|error| error.to_string())?;
            if reply.first("state") == Some("available") { Ok(()) } else { Err("it is not".to_owned()) }
        })
        .await;
    cloud.faults.arm(point, action, 1);
    let of = ("NatGatewayId", id.as_str());
    let done = ["AddressLimitExceeded", "Resource.AlreadyAssociated"];
    do_once(cloud, "AssociateNatGatewayAddress", &[of, ("AllocationId.1", &two)], &done).await;
    until(cloud, &id, 2).await;
    cloud.sound().await;
    let shown = cloud.insist("DescribeAddresses", &[("AllocationId.1", &two)]).await;
    let association = first(&shown, "associationId");
    let leave = [of, ("AssociationId.1", &association), ("MaxDrainDurationSeconds", "1")];
    do_once(cloud, "DisassociateNatGatewayAddress", &leave, &["InvalidAssociationID.NotFound"]).await;
    until(cloud, &id, 1).await;
    assert!(cloud.faults.hit().iter().any(|hit| hit == point), "{point} was not passed");
    cloud.faults.clear();
    cloud.sound().await;
    cloud.insist("ReleaseAddress", &[("AllocationId", &two)]).await;
    cloud.insist("DeleteNatGateway", &[of]).await;
    cloud
        .until("the gateway is gone", async |cloud| {
            let reply = cloud.client().call("DescribeNatGateways", &[("NatGatewayId.1", &id)]).await;
            let reply = reply.map_err(|error| error.to_string())?;
            if reply.first("state") == Some("deleted") { Ok(()) } else { Err("it is not".to_owned()) }
        })
        .await;
    cloud.insist("ReleaseAddress", &[("AllocationId", &one)]).await;
    cloud.empty().await;
}

async fn survive(action: FaultAction) {
    each(POINTS, async |cloud: &mut TestCloud, point: &&str| live(cloud, point, action).await).await;
}

#[tokio::test]
async fn addresses_survive_a_failure_of_each_point() {
    survive(FaultAction::Fail).await;
}

#[tokio::test]
async fn addresses_survive_death_at_each_point() {
    survive(FaultAction::Kill).await;
}

//! Network ACLs over HTTP: what a user sets is what the node's view says, also after everything was killed; and a cloud in
//! which nobody uses them tells nothing of them.

use mallee_proto::v1::{NetworkAclEntry, VpcView};
use mallee_tests::TestCloud;
use mallee_types::InstanceId;

/// The one VPC of the node that has the instance.
async fn vpc_of(cloud: &TestCloud, id: &InstanceId) -> Option<VpcView> {
    cloud.host_of(id).await.view()?.vpcs.first().cloned()
}

/// The ACL of the subnet that the instance is in: its id and entries; `None` where everything passes.
fn acl_of(view: &VpcView) -> Option<(String, Vec<NetworkAclEntry>)> {
    let subnet = view.subnets.iter().find(|subnet| view.ports.iter().any(|port| port.subnet_id == subnet.id))?;
    let acl = view.network_acls.iter().find(|acl| acl.id == subnet.network_acl)?;
    Some((acl.id.clone(), acl.entries.clone()))
}

async fn until_acl(cloud: &mut TestCloud, id: &InstanceId, wanted: Option<(&str, &[NetworkAclEntry])>) {
    cloud
        .until("the node to have the network ACL", async |cloud| {
            let view = vpc_of(cloud, id).await.ok_or("the node has no view")?;
            let found = acl_of(&view);
            let is_so = found.as_ref().map(|(id, entries)| (id.as_str(), entries.as_slice())) == wanted;
            if is_so { Ok(()) } else { Err(format!("{found:?}, not {wanted:?}")) }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_denied_is_what_nodes_are_told() {
    let mut cloud = TestCloud::start().await;
    let id = cloud.launch("guarded").await;
    until_acl(&mut cloud, &id, None).await;
    let generation = cloud.rows().await[0].generation;
    let view = vpc_of(&cloud, &id).await.expect("a view");
    assert!(view.network_acls.is_empty() && view.subnets.iter().all(|subnet| subnet.network_acl.is_empty()));
    let subnet = view.ports[0].subnet_id.clone();
    let filter = [("Filter.1.Name", "association.subnet-id"), ("Filter.1.Value.1", subnet.as_str())];
    let described = cloud.insist("DescribeNetworkAcls", &filter).await;
    let default = described.first("networkAclId").expect("the default one").to_owned();

    // The default one denies something, then another one is given to the subnet, which lets nothing through at first.
    let denied = [
        ("NetworkAclId", default.as_str()),
        ("Egress", "false"),
        ("RuleNumber", "50"),
        ("Protocol", "47"),
        ("RuleAction", "deny"),
        ("CidrBlock", "192.0.2.0/24"),
    ];
    let entry = |egress, number, allow, protocol, cidr: &str| NetworkAclEntry {
        number,
        egress,
        allow,
        protocol,
        cidr: cidr.to_owned(),
        from_port: -1,
        to_port: -1,
    };
    let open = [entry(false, 100, true, -1, "0.0.0.0/0"), entry(true, 100, true, -1, "0.0.0.0/0")];
    cloud.insist("CreateNetworkAclEntry", &denied).await;
    let with = [entry(false, 50, false, 47, "192.0.2.0/24"), open[0].clone(), open[1].clone()];
    until_acl(&mut cloud, &id, Some((&default, &with))).await;
    cloud.insist("DeleteNetworkAclEntry", &denied[..3]).await;
    until_acl(&mut cloud, &id, None).await;
    let vpc = described.first("vpcId").expect("a vpc").to_owned();
    let made = cloud.insist("CreateNetworkAcl", &[("VpcId", &vpc)]).await;
    let other = made.first("networkAclId").expect("an id").to_owned();
    let association = {
        let (associations, subnets) = (described.all("networkAclAssociationId"), described.all("subnetId"));
        let at = subnets.iter().position(|held| *held == subnet).expect("its association");
        associations[at].to_owned()
    };
    let params = [("AssociationId", association.as_str()), ("NetworkAclId", other.as_str())];
    let replaced = cloud.insist("ReplaceNetworkAclAssociation", &params).await;
    let association = replaced.first("newAssociationId").expect("an id").to_owned();
    until_acl(&mut cloud, &id, Some((&other, &[]))).await;
    let allowed = [
        ("NetworkAclId", other.as_str()),
        ("Egress", "true"),
        ("RuleNumber", "7"),
        ("Protocol", "-1"),
        ("CidrBlock", "192.0.2.0/24"),
        ("RuleAction", "allow"),
    ];
    cloud.insist("CreateNetworkAclEntry", &allowed).await;
    let entries = [entry(true, 7, true, -1, "192.0.2.0/24")];
    until_acl(&mut cloud, &id, Some((&other, &entries))).await;

    // Everything dies: what is told anew is the same.
    cloud.kill().await;
    cloud.boot().await;
    until_acl(&mut cloud, &id, Some((&other, &entries))).await;
    let but_denied = [&allowed[..5], &[("RuleAction", "deny")]].concat();
    cloud.insist("ReplaceNetworkAclEntry", &but_denied).await;
    until_acl(&mut cloud, &id, Some((&other, &[NetworkAclEntry { allow: false, ..entries[0].clone() }]))).await;
    let params = [("AssociationId", association.as_str()), ("NetworkAclId", default.as_str())];
    cloud.insist("ReplaceNetworkAclAssociation", &params).await;
    until_acl(&mut cloud, &id, None).await;
    cloud.insist("DeleteNetworkAcl", &[("NetworkAclId", &other)]).await;
    assert_eq!(cloud.rows().await[0].generation, generation, "no instance was changed");
    cloud.sound().await;
}

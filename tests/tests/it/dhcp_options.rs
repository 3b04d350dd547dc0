//! DHCP option sets over HTTP: what a user gives a VPC is what its guests' node is told, also after everything was killed.

use mallee_proto::v1::DhcpOptions;
use mallee_tests::TestCloud;
use mallee_types::InstanceId;

async fn until_told(cloud: &mut TestCloud, id: &InstanceId, wanted: Option<&DhcpOptions>) {
    cloud
        .until("the node to have the options", async |cloud| {
            let view = cloud.host_of(id).await.view().ok_or("the node has no view")?;
            let vpc = view.vpcs.first().ok_or("the node has no VPC")?;
            let found = vpc.dhcp_options.as_ref();
            if found == wanted { Ok(()) } else { Err(format!("{found:?}, not {wanted:?}")) }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_vpc_is_given_is_what_its_node_is_told() {
    let mut cloud = TestCloud::start().await;
    let id = cloud.launch("told").await;
    // The default set: nothing is said that was not said before there were sets.
    until_told(&mut cloud, &id, None).await;
    let generation = cloud.rows().await[0].generation;
    let (vpc, default) = {
        let vpcs = cloud.insist("DescribeVpcs", &[]).await;
        let text = |element| vpcs.first(element).expect("the VPC").to_owned();
        (text("vpcId"), text("dhcpOptionsId"))
    };

    let params = [
        ("DhcpConfiguration.1.Key", "domain-name"),
        ("DhcpConfiguration.1.Value.1", "corp.example"),
        ("DhcpConfiguration.2.Key", "domain-name-servers"),
        ("DhcpConfiguration.2.Value.1", "192.0.2.53"),
        ("DhcpConfiguration.2.Value.2", "AmazonProvidedDNS"),
        ("DhcpConfiguration.3.Key", "netbios-node-type"),
        ("DhcpConfiguration.3.Value.1", "2"),
    ];
    let set = cloud.insist("CreateDhcpOptions", &params).await.first("dhcpOptionsId").expect("an id").to_owned();
    cloud.insist("AssociateDhcpOptions", &[("DhcpOptionsId", &set), ("VpcId", &vpc)]).await;
    let own = DhcpOptions {
        domain_name: "corp.example".into(),
        domain_name_servers: vec!["192.0.2.53".into(), "AmazonProvidedDNS".into()],
        netbios_node_type: 2,
        ..DhcpOptions::default()
    };
    until_told(&mut cloud, &id, Some(&own)).await;

    // Everything dies: what is told anew is the same.
    cloud.kill().await;
    cloud.boot().await;
    until_told(&mut cloud, &id, Some(&own)).await;
    cloud.insist("AssociateDhcpOptions", &[("DhcpOptionsId", "default"), ("VpcId", &vpc)]).await;
    let none = DhcpOptions { domain_name_servers: vec!["169.254.169.253".into()], ..DhcpOptions::default() };
    until_told(&mut cloud, &id, Some(&none)).await;
    cloud.insist("DeleteDhcpOptions", &[("DhcpOptionsId", &set)]).await;
    cloud.insist("AssociateDhcpOptions", &[("DhcpOptionsId", &default), ("VpcId", &vpc)]).await;
    until_told(&mut cloud, &id, None).await;
    let rows = cloud.rows().await;
    assert_eq!(rows[0].generation, generation, "no order of an instance changes with its VPC's options");
    cloud.sound().await;
}

//! The whole EC2 service over a real database, without cluster controllers: what a client sees, as XML.

#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it should be")]

use mallee_api_ec2::Ec2Api;
use mallee_app::test_support::{self, config};
use mallee_app::{Actor, OpContext};
use mallee_awswire::xml_read::{Element, XmlLimits};
use mallee_awswire::{ApiError, Params};
use mallee_ec2_types::ec2::OPERATIONS;
use mallee_runtime::Faults;
use mallee_store::test_support::TestDb;
use mallee_store::{
    InstanceDoc, InstanceRow, InterfaceKind, InterfaceRow, Store, instance_insert, interface_insert,
    security_group_list, subnet_list,
};
use mallee_types::{
    AttachmentId, DomainPhase, Generation, ImageId, Incarnation, InstanceId, InstanceState, InterfaceId, MacAddress,
    ReservationId, RunIntent,
};
use std::net::Ipv4Addr;

struct Fixture {
    api: Ec2Api,
    cx: OpContext,
    store: Store,
    _db: TestDb,
}

impl Fixture {
    async fn new() -> Self {
        let db = TestDb::sqlite().await;
        let store = db.open().await;
        let cloud = test_support::cloud(&db, &store, config(), Faults::none());
        let access = mallee_app::bootstrap::bootstrap(&cloud).await.unwrap();
        let actor = Actor::root(access.account, true);
        Self { api: Ec2Api::new(cloud), cx: OpContext::new(actor, "req-1"), store, _db: db }
    }

    async fn call(&self, action: &str, parameters: &[(&str, &str)]) -> Result<Element, ApiError> {
        let common = [("Action", action), ("Version", "2016-11-15")];
        let params = Params::from_pairs(common.into_iter().chain(parameters.iter().copied())).unwrap();
        let xml = self.api.call(&self.cx, action, &params).await?;
        let root = Element::parse(xml.as_bytes(), XmlLimits::bytes(1 << 20)).unwrap();
        assert_eq!(root.name, format!("{action}Response"));
        assert_eq!(texts(&root, "requestId"), ["req-1"]);
        Ok(root)
    }

    /// The texts of all elements of this name in the reply.
    async fn texts(&self, action: &str, parameters: &[(&str, &str)], element: &str) -> Vec<String> {
        texts(&self.call(action, parameters).await.unwrap(), element)
    }

    /// Code and text of the error.
    async fn error(&self, action: &str, parameters: &[(&str, &str)]) -> (&'static str, String) {
        let error = self.call(action, parameters).await.unwrap_err();
        (error.code().as_str(), error.message().to_owned())
    }

    /// `count` instances, as a launch and its nodes leave them.
    async fn instances(&self, reservation: u128, count: u32, state: InstanceState) -> Vec<InstanceId> {
        let account = self.cx.account();
        let subnet = subnet_list(&self.store, account, None, None, None, 1).await.unwrap().remove(0);
        let group = security_group_list(&self.store, account, Default::default(), 1).await.unwrap().remove(0);
        let mut ids = Vec::new();
        let mut tx = self.store.write().await.unwrap();
        for index in 0..count {
            let n = reservation * 1000 + u128::from(index);
            let row = InstanceRow {
                id: InstanceId::from_random(n),
                account_id: account.clone(),
                reservation_id: ReservationId::from_random(reservation),
                launch_index: index,
                zone: subnet.zone.clone(),
                node_id: None,
                instance_type: "t3.nano".into(),
                image_id: ImageId::from_random(1),
                vpc_id: subnet.vpc_id.clone(),
                subnet_id: subnet.id.clone(),
                key_name: None,
                intent: RunIntent::Run,
                generation: Generation(1),
                incarnation: Incarnation(1),
                reboot_seq: 0,
                observed_phase: DomainPhase::Running,
                observed_generation: Generation(1),
                observed_incarnation: Incarnation(1),
                observed_network: true,
                observed_reboot_seq: 0,
                state,
                state_reason_code: None,
                state_reason_message: None,
                transition_reason: String::new(),
                released: false,
                launch_ms: 1_700_000_000_000,
                state_changed_ms: 1_700_000_000_000,
                terminated_ms: None,
                client_token: None,
                doc: InstanceDoc { architecture: "x86_64".into(), tenancy: "default".into(), ..Default::default() },
            };
            instance_insert(&mut tx, &row, Some(b"#!/bin/sh")).await.unwrap();
            let address = u32::from(subnet.cidr.network()) + u32::try_from(n % 4000).unwrap() + 10;
            let interface = InterfaceRow {
                id: InterfaceId::from_random(n),
                account_id: account.clone(),
                vpc_id: subnet.vpc_id.clone(),
                subnet_id: subnet.id.clone(),
                zone: subnet.zone.clone(),
                mac: MacAddress::from_random(u64::try_from(n).unwrap()),
                private_ip: Ipv4Addr::from(address),
                instance_id: Some(row.id.clone()),
                attachment_id: Some(AttachmentId::from_random(n)),
                device_index: Some(0),
                source_dest_check: true,
                delete_on_termination: true,
                description: String::new(),
                created_ms: 1_700_000_000_000,
                kind: InterfaceKind::Interface,
            };
            interface_insert(&mut tx, &interface, std::slice::from_ref(&group.id)).await.unwrap();
            ids.push(row.id);
        }
        tx.commit().await.unwrap();
        ids
    }
}

fn texts(element: &Element, name: &str) -> Vec<String> {
    let mut out = Vec::new();
    for child in &element.children {
        if child.name == name && child.children.is_empty() {
            out.push(child.text.clone());
        }
        out.extend(texts(child, name));
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn every_describe_answers_on_a_new_account() {
    let f = Fixture::new().await;
    for offered in mallee_api_ec2::OFFERED.iter().filter(|o| o.name.starts_with("Describe")) {
        let meta = OPERATIONS.iter().find(|op| op.name == offered.name).unwrap();
        // The model calls nothing of it required, but versions are asked of a template, or by their state.
        if meta.required.is_empty() && offered.name != "DescribeLaunchTemplateVersions" {
            f.call(offered.name, &[]).await.unwrap_or_else(|e| panic!("{}: {e:?}", offered.name));
        }
        if !meta.dry_run {
            // AWS gave it none.
            continue;
        }
        let dry = f.call(offered.name, &[("DryRun", "true")]).await.unwrap_err();
        assert!(
            ["DryRunOperation", "MissingParameter", "UnknownParameter", "InvalidAMIID.Malformed"]
                .contains(&dry.code().as_str()),
            "{}: {dry:?}",
            offered.name
        );
    }
    assert_eq!(f.error("DescribeVolumes", &[]).await.0, "UnsupportedOperation");
    assert_eq!(f.error("MakeCoffee", &[]).await.0, "InvalidAction");
}

#[tokio::test(flavor = "multi_thread")]
async fn terraform_reads_the_default_vpc() {
    let f = Fixture::new().await;
    let vpc = f.texts("DescribeVpcs", &[("Filter.1.Name", "is-default"), ("Filter.1.Value.1", "true")], "vpcId").await;
    assert_eq!(vpc.len(), 1);
    let attribute = [("VpcId", vpc[0].as_str()), ("Attribute", "enableNetworkAddressUsageMetrics")];
    assert_eq!(f.texts("DescribeVpcAttribute", &attribute, "value").await, ["false"]);
    assert_eq!(f.texts("DescribeSubnets", &[], "availableIpAddressCount").await, ["4091"]);
    assert_eq!(
        f.error("DescribeVpcs", &[("VpcId.1", "vpc-12345678")]).await,
        ("InvalidVpcID.NotFound", "The vpc ID 'vpc-12345678' does not exist".into())
    );
    assert_eq!(f.error("DescribeVpcs", &[("VpcId.1", "vpc")]).await.0, "InvalidVpcID.Malformed");
    assert_eq!(
        f.error("DescribeVpcs", &[("Filter.1.Name", "colour"), ("Filter.1.Value.1", "x")]).await.0,
        "InvalidParameterValue"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn key_pairs_come_and_go() {
    let f = Fixture::new().await;
    let tags = [
        ("KeyName", "k"),
        ("KeyType", "ed25519"),
        ("TagSpecification.1.ResourceType", "key-pair"),
        ("TagSpecification.1.Tag.1.Key", "Env"),
        ("TagSpecification.1.Tag.1.Value", "prod"),
    ];
    assert_eq!(f.error("CreateKeyPair", &[("KeyName", "k"), ("DryRun", "true")]).await.0, "DryRunOperation");
    let made = f.call("CreateKeyPair", &tags).await.unwrap();
    assert!(texts(&made, "keyMaterial")[0].contains("PRIVATE KEY"));
    assert_eq!(f.error("CreateKeyPair", &tags).await.0, "InvalidKeyPair.Duplicate");
    assert_eq!(f.error("CreateKeyPair", &[("KeyName", "p"), ("KeyFormat", "ppk")]).await.0, "Unsupported");
    let by_tag = [("Filter.1.Name", "tag:Env"), ("Filter.1.Value.1", "pr*"), ("IncludePublicKey", "true")];
    assert!(f.texts("DescribeKeyPairs", &by_tag, "publicKey").await[0].starts_with("ssh-ed25519 "));
    assert_eq!(f.error("DescribeKeyPairs", &[("KeyName.1", "other")]).await.0, "InvalidKeyPair.NotFound");
    assert_eq!(f.texts("DeleteKeyPair", &[("KeyName", "k")], "return").await, ["true"]);
    assert_eq!(f.texts("DeleteKeyPair", &[("KeyName", "k")], "return").await, ["true"], "deleting twice is no error");
    assert!(f.texts("DescribeKeyPairs", &[], "keyName").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn security_groups_as_terraform_makes_them() {
    let f = Fixture::new().await;
    let new = [("GroupName", "web"), ("GroupDescription", "of tests")];
    let id = f.texts("CreateSecurityGroup", &new, "groupId").await.remove(0);
    assert_eq!(f.error("CreateSecurityGroup", &new).await.0, "InvalidGroup.Duplicate");
    // The rule every group begins with is revoked, first for IPv4, then for IPv6, where there is none.
    let all = |range: &'static str, cidr: &'static str| {
        [("GroupId", id.clone()), ("IpPermissions.1.IpProtocol", "-1".into()), (range, cidr.to_owned())]
    };
    let v4 = all("IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0");
    let v4: Vec<(&str, &str)> = v4.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let v6 = all("IpPermissions.1.Ipv6Ranges.1.CidrIpv6", "::/0");
    let v6: Vec<(&str, &str)> = v6.iter().map(|(k, v)| (*k, v.as_str())).collect();
    assert_eq!(f.texts("RevokeSecurityGroupEgress", &v4, "cidrIpv4").await, ["0.0.0.0/0"]);
    assert_eq!(f.error("RevokeSecurityGroupEgress", &v6).await.0, "InvalidPermission.NotFound");
    assert_eq!(f.texts("AuthorizeSecurityGroupEgress", &v6, "cidrIpv6").await, ["::/0"]);
    assert_eq!(f.error("AuthorizeSecurityGroupEgress", &v6).await.0, "InvalidPermission.Duplicate");
    let by_six = [("Filter.1.Name", "egress.ip-permission.ipv6-cidr"), ("Filter.1.Value.1", "::/0")];
    assert_eq!(f.texts("DescribeSecurityGroups", &by_six, "groupName").await, ["web"]);
    assert_eq!(f.texts("DescribeSecurityGroups", &by_six, "cidrIpv6").await, ["::/0"]);
    assert_eq!(f.texts("RevokeSecurityGroupEgress", &v6, "cidrIpv6").await, ["::/0"]);
    let ssh = [
        ("GroupId", id.as_str()),
        ("IpPermissions.1.IpProtocol", "tcp"),
        ("IpPermissions.1.FromPort", "22"),
        ("IpPermissions.1.ToPort", "22"),
        ("IpPermissions.1.IpRanges.1.CidrIp", "10.0.0.0/8"),
        ("IpPermissions.1.IpRanges.1.Description", "office"),
        ("IpPermissions.1.Groups.1.GroupId", id.as_str()),
        ("TagSpecification.1.ResourceType", "security-group-rule"),
        ("TagSpecification.1.Tag.1.Key", "Env"),
        ("TagSpecification.1.Tag.1.Value", "prod"),
    ];
    let rules = f.texts("AuthorizeSecurityGroupIngress", &ssh, "securityGroupRuleId").await;
    assert_eq!(rules.len(), 2);
    assert_eq!(f.error("AuthorizeSecurityGroupIngress", &ssh).await.0, "InvalidPermission.Duplicate");
    let by_tag = [("Filter.1.Name", "tag:Env"), ("Filter.1.Value.1", "prod")];
    assert_eq!(f.texts("DescribeSecurityGroupRules", &by_tag, "securityGroupRuleId").await.len(), 2);
    let by_port = [("Filter.1.Name", "ip-permission.from-port"), ("Filter.1.Value.1", "22")];
    assert_eq!(f.texts("DescribeSecurityGroups", &by_port, "groupName").await, ["web"]);
    let by_id = [("GroupId", id.as_str()), ("SecurityGroupRuleId.1", rules[0].as_str())];
    assert_eq!(f.texts("RevokeSecurityGroupIngress", &by_id, "securityGroupRuleId").await, [rules[0].clone()]);
    assert_eq!(f.error("RevokeSecurityGroupIngress", &by_id).await.0, "InvalidSecurityGroupRuleId.NotFound");
    assert_eq!(f.texts("DeleteSecurityGroup", &[("GroupId", &id)], "groupId").await, [id.as_str()]);
    let (code, text) = f.error("DescribeSecurityGroups", &[("GroupId.1", &id)]).await;
    assert_eq!((code, text), ("InvalidGroup.NotFound", format!("The security group '{id}' does not exist")));
    assert_eq!(f.error("DeleteSecurityGroup", &[("GroupName", "default")]).await.0, "CannotDelete");
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_are_described_filtered_and_paged() {
    let f = Fixture::new().await;
    let first = f.instances(1, 7, InstanceState::Running).await;
    let second = f.instances(2, 5, InstanceState::Stopped).await;
    assert_eq!(f.texts("DescribeInstances", &[], "reservationId").await.len(), 2);
    let running = [("Filter.1.Name", "instance-state-name"), ("Filter.1.Value.1", "running")];
    assert_eq!(f.texts("DescribeInstances", &running, "amiLaunchIndex").await, ["0", "1", "2", "3", "4", "5", "6"]);
    let by_id = [("InstanceId.1", second[3].as_str())];
    assert_eq!(f.texts("DescribeInstances", &by_id, "instanceId").await, [second[3].to_string()]);
    let by_group = [("Filter.1.Name", "network-interface.group-name"), ("Filter.1.Value.1", "def*")];
    assert_eq!(f.texts("DescribeInstances", &by_group, "amiLaunchIndex").await.len(), 12);
    let nowhere = [("InstanceId.1", "i-12345678"), ("InstanceId.2", "i-87654321")];
    assert_eq!(
        f.error("DescribeInstances", &nowhere).await,
        ("InvalidInstanceID.NotFound", "The instance IDs 'i-12345678, i-87654321' do not exist".into())
    );
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let mut page = vec![("MaxResults", "5")];
        if !token.is_empty() {
            page.push(("NextToken", token.as_str()));
        }
        let reply = f.call("DescribeInstances", &page).await.unwrap();
        let ids = texts(&reply, "instanceId");
        assert!(ids.len() <= 5);
        seen.extend(ids);
        match texts(&reply, "nextToken").pop() {
            Some(next) => token = next,
            None => break,
        }
    }
    let all: Vec<String> = first.iter().chain(&second).map(ToString::to_string).collect();
    assert_eq!(seen, all);
    assert_eq!(f.error("DescribeInstances", &[("MaxResults", "4")]).await.0, "InvalidParameterValue");
    assert_eq!(f.error("DescribeInstances", &[("MaxResults", "5"), by_id[0]]).await.0, "InvalidParameterCombination");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tags_attributes_and_interfaces_of_an_instance() {
    let f = Fixture::new().await;
    let id = f.instances(1, 1, InstanceState::Running).await.remove(0).to_string();
    let stopped = f.instances(2, 1, InstanceState::Stopped).await.remove(0).to_string();
    // No cluster controller is connected: nobody can say how the instance is.
    let status = f.call("DescribeInstanceStatus", &[]).await.unwrap();
    assert_eq!(texts(&status, "instanceId"), [id.as_str()]);
    assert!(texts(&status, "status").iter().all(|s| s == "insufficient-data"));
    let everything =
        f.call("DescribeInstanceStatus", &[("IncludeAllInstances", "true"), ("InstanceId.1", &stopped)]).await;
    assert_eq!(texts(&everything.unwrap(), "status"), ["not-applicable", "not-applicable"]);

    let tag = [("ResourceId.1", id.as_str()), ("Tag.1.Key", "Name"), ("Tag.1.Value", "web-1")];
    assert_eq!(f.texts("CreateTags", &tag, "return").await, ["true"]);
    assert_eq!(
        f.texts("DescribeTags", &[("Filter.1.Name", "tag:Name"), ("Filter.1.Value.1", "web-?")], "resourceId").await,
        [id.as_str()]
    );
    let by_tag = [("Filter.1.Name", "tag:Name"), ("Filter.1.Value.1", "web-1")];
    assert_eq!(f.texts("DescribeInstances", &by_tag, "instanceId").await, [id.as_str()]);
    let other_value = [tag[0], tag[1], ("Tag.1.Value", "web-2")];
    f.call("DeleteTags", &other_value).await.unwrap();
    assert_eq!(f.texts("DescribeTags", &[], "key").await, ["Name"], "a tag with another value stays");
    f.call("DeleteTags", &[tag[0], tag[1]]).await.unwrap();
    assert!(f.texts("DescribeTags", &[], "key").await.is_empty());
    assert_eq!(
        f.error("CreateTags", &[("ResourceId.1", "i-12345678"), tag[1], tag[2]]).await.0,
        "InvalidInstanceID.NotFound"
    );

    let user_data = [("InstanceId", id.as_str()), ("Attribute", "userData")];
    assert_eq!(f.texts("DescribeInstanceAttribute", &user_data, "value").await, ["IyEvYmluL3No"]);
    let of_instance = [("Filter.1.Name", "attachment.instance-id"), ("Filter.1.Value.1", id.as_str())];
    let interfaces = f.call("DescribeNetworkInterfaces", &of_instance).await.unwrap();
    assert_eq!(texts(&interfaces, "networkInterfaceId").len(), 1);
    assert_eq!(texts(&interfaces, "groupName"), ["default"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_follow_ec2s_rules() {
    let f = Fixture::new().await;
    let id = f.instances(1, 1, InstanceState::Running).await.remove(0).to_string();
    let one = [("InstanceId.1", id.as_str())];
    assert_eq!(f.error("StopInstances", &[one[0], ("Hibernate", "true")]).await.0, "Unsupported");
    assert_eq!(f.error("StopInstances", &[one[0], ("DryRun", "true")]).await.0, "DryRunOperation");
    assert_eq!(f.texts("RebootInstances", &one, "return").await, ["true"]);
    assert_eq!(f.texts("StopInstances", &one, "name").await, ["stopping", "running"]);
    assert_eq!(f.error("StartInstances", &one).await.0, "IncorrectInstanceState");
    assert_eq!(f.texts("TerminateInstances", &one, "name").await, ["shutting-down", "stopping"]);
    assert_eq!(f.texts("TerminateInstances", &one, "name").await, ["shutting-down", "shutting-down"]);
    assert_eq!(f.error("GetConsoleOutput", &[("InstanceId", &id)]).await.0, "Unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn images_and_launches_without_a_cluster() {
    let f = Fixture::new().await;
    let image =
        f.texts("RegisterImage", &[("Name", "tiny"), ("ImageLocation", "images/tiny")], "imageId").await.remove(0);
    let (code, text) = f.error("RegisterImage", &[("Name", "tiny"), ("ImageLocation", "images/tiny")]).await;
    assert_eq!((code, text), ("InvalidAMIName.Duplicate", format!("AMI name tiny is already in use by AMI {image}")));
    assert_eq!(f.texts("DescribeImages", &[("Owner.1", "self")], "imageState").await, ["pending"]);
    assert!(f.texts("DescribeImages", &[("Owner.1", "amazon")], "imageId").await.is_empty());
    let launch = [("ImageId", image.as_str()), ("InstanceType", "t3.nano"), ("MinCount", "1"), ("MaxCount", "1")];
    assert_eq!(f.error("RunInstances", &launch).await.0, "InvalidAMIID.Unavailable");
    let kernel = [launch[0], launch[1], launch[2], launch[3], ("KernelId", "aki-1")];
    let (code, text) = f.error("RunInstances", &kernel).await;
    assert_eq!((code, text.as_str()), ("Unsupported", "The parameter KernelId is not supported by this cloud."));
    assert_eq!(f.texts("DeregisterImage", &[("ImageId", &image)], "return").await, ["true"]);
    assert_eq!(f.error("DescribeImages", &[("ImageId.1", &image)]).await.0, "InvalidAMIID.NotFound");
}

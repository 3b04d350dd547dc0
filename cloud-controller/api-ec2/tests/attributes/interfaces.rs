//! Network interfaces as objects of their own.

use crate::fixture::{Fixture, texts};
use mallee_awswire::xml_read::Element;
use mallee_store::*;
use mallee_types::*;

async fn subnet(f: &Fixture) -> SubnetRow {
    subnet_list(&f.store, f.cx.account(), None, None, None, 1).await.unwrap().remove(0)
}

/// The nth address of the subnet.
fn ip(subnet: &SubnetRow, n: u32) -> String {
    std::net::Ipv4Addr::from(u32::from(subnet.cidr.network()) + n).to_string()
}

async fn create(f: &Fixture, more: &[(&str, &str)]) -> String {
    let subnet = subnet(f).await;
    let given = [&[("SubnetId", subnet.id.as_str())], more].concat();
    f.texts("CreateNetworkInterface", &given, "networkInterfaceId").await.remove(0)
}

async fn described(f: &Fixture, id: &str) -> Element {
    f.call("DescribeNetworkInterfaces", &[("NetworkInterfaceId.1", id)]).await.unwrap()
}

async fn shows(f: &Fixture, id: &str, element: &str) -> Vec<String> {
    texts(&described(f, id).await, element)
}

/// Every private address, each once, the primary one first.
async fn addresses(f: &Fixture, id: &str) -> Vec<String> {
    shows(f, id, "privateIpAddress").await.split_off(1)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_is_made_shown_changed_and_deleted() {
    let f = Fixture::new().await;
    let subnet = subnet(&f).await;
    let (five, six) = (ip(&subnet, 50), ip(&subnet, 60));
    let new = [
        ("SubnetId", subnet.id.as_str()),
        ("PrivateIpAddress", five.as_str()),
        ("PrivateIpAddresses.1.PrivateIpAddress", six.as_str()),
        ("Description", "second"),
        ("TagSpecification.1.ResourceType", "network-interface"),
        ("TagSpecification.1.Tag.1.Key", "Name"),
        ("TagSpecification.1.Tag.1.Value", "eni"),
        ("ClientToken", "once"),
    ];
    let dry = [&new[..], &[("DryRun", "true")]].concat();
    assert_eq!(f.error("CreateNetworkInterface", &dry).await.0, "DryRunOperation");
    let made = f.call("CreateNetworkInterface", &new).await.unwrap();
    let id = texts(&made, "networkInterfaceId").remove(0);
    assert_eq!((texts(&made, "status"), texts(&made, "clientToken")), (vec!["pending".into()], vec!["once".into()]));
    assert_eq!(f.texts("CreateNetworkInterface", &new, "networkInterfaceId").await, [id.as_str()], "the token");
    let other = [&new[..3], &[("Description", "third"), ("ClientToken", "once")]].concat();
    assert_eq!(f.error("CreateNetworkInterface", &other).await.0, "IdempotentParameterMismatch");

    assert_eq!(addresses(&f, &id).await, [five.as_str(), six.as_str()]);
    assert_eq!(shows(&f, &id, "status").await, ["available"]);
    assert_eq!(shows(&f, &id, "primary").await, ["true", "false"]);
    assert_eq!(shows(&f, &id, "groupName").await, ["default"]);
    for (name, value) in [
        ("status", "available"),
        ("addresses.private-ip-address", six.as_str()),
        ("addresses.primary", "false"),
        ("tag:Name", "eni"),
        ("description", "second"),
        ("attachment.status", "detached"),
        ("subnet-id", subnet.id.as_str()),
    ] {
        let by = [("Filter.1.Name", name), ("Filter.1.Value.1", value)];
        assert_eq!(f.texts("DescribeNetworkInterfaces", &by, "networkInterfaceId").await, [id.as_str()], "{name}");
    }
    assert_eq!(private_address_count(&f.store, &subnet.id).await.unwrap(), 2);

    let me = ("NetworkInterfaceId", id.as_str());
    f.call("ModifyNetworkInterfaceAttribute", &[me, ("SourceDestCheck.Value", "false")]).await.unwrap();
    assert_eq!(shows(&f, &id, "sourceDestCheck").await, ["false"]);
    f.call("ResetNetworkInterfaceAttribute", &[me, ("SourceDestCheck", "true")]).await.unwrap();
    assert_eq!(shows(&f, &id, "sourceDestCheck").await, ["true"]);
    f.call("ModifyNetworkInterfaceAttribute", &[me, ("Description.Value", "new")]).await.unwrap();
    assert_eq!(shows(&f, &id, "description").await, ["new"]);
    let group = [("GroupName", "web"), ("GroupDescription", "web"), ("VpcId", subnet.vpc_id.as_str())];
    let group = f.texts("CreateSecurityGroup", &group, "groupId").await.remove(0);
    f.call("ModifyNetworkInterfaceAttribute", &[me, ("SecurityGroupId.1", &group)]).await.unwrap();
    assert_eq!(shows(&f, &id, "groupId").await, [group.as_str()]);
    let attachment =
        [me, ("Attachment.AttachmentId", "eni-attach-00000000000000001"), ("Attachment.DeleteOnTermination", "true")];
    assert_eq!(f.error("ModifyNetworkInterfaceAttribute", &attachment).await.0, "InvalidAttachmentID.NotFound");
    assert_eq!(f.error("DeleteSecurityGroup", &[("GroupId", &group)]).await.0, "DependencyViolation");
    assert_eq!(f.error("DeleteSubnet", &[("SubnetId", subnet.id.as_str())]).await.0, "DependencyViolation");

    assert_eq!(f.error("DeleteNetworkInterface", &[me, ("DryRun", "true")]).await.0, "DryRunOperation");
    f.call("DeleteNetworkInterface", &[me]).await.unwrap();
    assert_eq!(f.error("DeleteNetworkInterface", &[me]).await.0, "InvalidNetworkInterfaceID.NotFound");
    assert_eq!(private_address_count(&f.store, &subnet.id).await.unwrap(), 0);
    assert!(tag_list_of(&f.store, &id).await.unwrap().is_empty());
    assert_eq!(
        f.error("CreateNetworkInterface", &[new[0], new[1]]).await.0,
        "InvalidIPAddress.InUse",
        "it is kept back"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_interface_can_not_be() {
    let f = Fixture::new().await;
    let subnet = subnet(&f).await;
    let on = ("SubnetId", subnet.id.as_str());
    let five = ip(&subnet, 50);
    for (more, code) in [
        (vec![("InterfaceType", "efa")], "Unsupported"),
        (vec![("Ipv6AddressCount", "1")], "UnsupportedParameter"),
        (vec![("Ipv4PrefixCount", "1")], "UnsupportedParameter"),
        (vec![("PrivateIpAddress", "192.0.2.1")], "InvalidParameterValue"),
        (vec![("PrivateIpAddress", "x")], "InvalidParameterValue"),
        (vec![("SecondaryPrivateIpAddressCount", "50")], "PrivateIpAddressLimitExceeded"),
        (vec![("SecurityGroupId.1", "sg-00000000000000099")], "InvalidGroup.NotFound"),
        (
            vec![("SecondaryPrivateIpAddressCount", "1"), ("PrivateIpAddresses.1.PrivateIpAddress", five.as_str())],
            "InvalidParameterCombination",
        ),
        (
            vec![
                ("PrivateIpAddresses.1.PrivateIpAddress", five.as_str()),
                ("PrivateIpAddresses.2.PrivateIpAddress", five.as_str()),
            ],
            "InvalidParameterValue",
        ),
    ] {
        let given = [vec![on], more.clone()].concat();
        let error = f.error("CreateNetworkInterface", &given).await;
        let fits = error.0 == code || (code == "UnsupportedParameter" && error.1.contains(more[0].0));
        assert!(fits, "{more:?}: {error:?}");
    }
    assert_eq!(f.error("CreateNetworkInterface", &[]).await.0, "MissingParameter");
    let theirs = create(&f, &[]).await;
    let error = f.error_as(&f.other, "DeleteNetworkInterface", &[("NetworkInterfaceId", &theirs)]).await;
    assert_ne!(error.0, "DependencyViolation");
    assert_eq!(shows(&f, &theirs, "status").await, ["available"], "another account's stays");
    // The quota counts those of instances as well.
    let limit = QuotaSettingRow {
        account_id: f.cx.account().clone(),
        service: "vpc".into(),
        code: "L-DF5E4CA3".into(),
        value: 1,
        set_ms: 1,
    };
    let mut tx = f.store.write().await.unwrap();
    quota_setting_put(&mut tx, &limit).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(f.error("CreateNetworkInterface", &[on]).await.0, "NetworkInterfaceLimitExceeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_assigned_moved_and_taken_away() {
    let f = Fixture::new().await;
    let subnet = subnet(&f).await;
    let instance = f.instance(1, InstanceState::Running).await;
    let on = InterfaceId::from_random(1).to_string();
    let free = create(&f, &[("SecondaryPrivateIpAddressCount", "2")]).await;
    assert_eq!(addresses(&f, &free).await.len(), 3);
    let (me, it) = (("NetworkInterfaceId", free.as_str()), ("NetworkInterfaceId", on.as_str()));
    let sixty = ip(&subnet, 60);
    let named = ("PrivateIpAddress.1", sixty.as_str());
    let given = f.texts("AssignPrivateIpAddresses", &[me, named], "privateIpAddress").await;
    assert_eq!(given, [sixty.as_str()]);
    f.call("AssignPrivateIpAddresses", &[me, named]).await.unwrap();
    assert_eq!(addresses(&f, &free).await.len(), 4, "what it has it has");

    // A t3.nano takes two for each interface.
    let (code, text) = f.error("AssignPrivateIpAddresses", &[it, ("SecondaryPrivateIpAddressCount", "2")]).await;
    assert_eq!(
        (code, text.as_str()),
        ("PrivateIpAddressLimitExceeded", "Number of private addresses will exceed limit.")
    );
    let (code, text) = f.error("AssignPrivateIpAddresses", &[it, named]).await;
    assert_eq!((code, text), ("InvalidParameterValue", format!("[{sixty}] is assigned, but move is not allowed.")));
    let (id, public) = {
        let made = f.call("AllocateAddress", &[]).await.unwrap();
        (texts(&made, "allocationId").remove(0), texts(&made, "publicIp").remove(0))
    };
    let to = [("AllocationId", id.as_str()), me, ("PrivateIpAddress", sixty.as_str())];
    let association = f.texts("AssociateAddress", &to, "associationId").await.remove(0);
    assert_eq!(f.texts("AssociateAddress", &to, "associationId").await, [association.as_str()], "the same again");
    assert_eq!(f.texts("DescribeAddresses", &[], "privateIpAddress").await, [sixty.as_str()]);
    assert_eq!(f.texts("DescribeAddresses", &[], "instanceId").await, Vec::<String>::new(), "it answers nowhere yet");

    // It moves with its elastic IP, and the node hears of it.
    f.call("AssignPrivateIpAddresses", &[it, named, ("AllowReassignment", "true")]).await.unwrap();
    assert_eq!(f.row(&instance).await.generation, Generation(2));
    assert_eq!(addresses(&f, &on).await[1], sixty);
    let shown = f.call("DescribeInstances", &[("InstanceId.1", instance.as_str())]).await.unwrap();
    assert!(
        texts(&shown, "publicIp").contains(&public) && texts(&shown, "ipAddress").is_empty(),
        "not the instance's own"
    );
    let by =
        [("Filter.1.Name", "network-interface.addresses.private-ip-address"), ("Filter.1.Value.1", sixty.as_str())];
    assert_eq!(f.texts("DescribeInstances", &by, "instanceId").await[0], instance.to_string());
    assert_eq!(addresses(&f, &free).await.len(), 3);

    assert_eq!(f.error("UnassignPrivateIpAddresses", &[me, named]).await.0, "InvalidParameterValue");
    let primary = addresses(&f, &on).await.remove(0);
    assert_eq!(
        f.error("UnassignPrivateIpAddresses", &[it, ("PrivateIpAddress.1", &primary)]).await.0,
        "InvalidParameterValue"
    );
    f.call("UnassignPrivateIpAddresses", &[it, named]).await.unwrap();
    assert_eq!(f.row(&instance).await.generation, Generation(3));
    assert!(f.texts("DescribeAddresses", &[], "associationId").await.is_empty(), "its elastic IP leads nowhere");
    assert_eq!(f.error("AssignPrivateIpAddresses", &[me]).await.0, "MissingParameter");
    let both = [me, named, ("SecondaryPrivateIpAddressCount", "1")];
    assert_eq!(f.error("AssignPrivateIpAddresses", &both).await.0, "InvalidParameterCombination");
    let wrong = [to[0], it, ("PrivateIpAddress", sixty.as_str())];
    assert_eq!(f.error("AssociateAddress", &wrong).await.0, "InvalidParameterValue", "it has it no more");
}

async fn attach(f: &Fixture, eni: &str, instance: &InstanceId, index: &str) -> Result<String, (&'static str, String)> {
    let given = [("NetworkInterfaceId", eni), ("InstanceId", instance.as_str()), ("DeviceIndex", index)];
    match f.call("AttachNetworkInterface", &given).await {
        Ok(reply) => Ok(texts(&reply, "attachmentId").remove(0)),
        Err(error) => Err((error.code().as_str(), error.message().to_owned())),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn interfaces_come_to_instances_and_leave_them() {
    let f = Fixture::new().await;
    let (running, stopped) = (f.instance(1, InstanceState::Running).await, f.instance(2, InstanceState::Stopped).await);
    let (a, b) = (create(&f, &[]).await, create(&f, &[]).await);
    let taken = format!("Instance '{running}' already has an interface attached at device index '0'.");
    assert_eq!(attach(&f, &a, &running, "0").await, Err(("InvalidParameterValue", taken)));
    assert_eq!(attach(&f, &a, &running, "32").await.unwrap_err().0, "InvalidParameterValue");
    let attachment = attach(&f, &a, &running, "1").await.unwrap();
    assert_eq!(f.row(&running).await.generation, Generation(2), "its node is told");
    assert!(f.row(&running).await.doc.interfaces_pending);
    let states = |shown: Vec<String>| shown;
    assert_eq!(states(shows(&f, &a, "status").await), ["attaching", "attaching"], "until its node says so");
    assert_eq!(shows(&f, &a, "deleteOnTermination").await, ["false"]);
    let text = format!("Interface: [{a}] in use.");
    assert_eq!(attach(&f, &a, &stopped, "1").await, Err(("InvalidNetworkInterface.InUse", text)));
    let text = "Interface count 3 exceeds the limit for t3.nano".to_owned();
    assert_eq!(attach(&f, &b, &running, "2").await, Err(("AttachmentLimitExceeded", text)));
    let text = format!("Network interface '{a}' is currently in use.");
    let me = [("NetworkInterfaceId", a.as_str())];
    assert_eq!(f.error("DeleteNetworkInterface", &me).await, ("InvalidParameterValue", text));

    // Whoever means an instance of several interfaces must say which.
    let made = f.call("AllocateAddress", &[]).await.unwrap();
    let id = texts(&made, "allocationId").remove(0);
    let (code, text) = f.error("AssociateAddress", &[("AllocationId", &id), ("InstanceId", running.as_str())]).await;
    assert!(code == "InvalidInstanceID" && text.contains("multiple interfaces"), "{code} {text}");
    let of = [("InstanceId", running.as_str()), ("SourceDestCheck.Value", "false")];
    assert_eq!(f.error("ModifyInstanceAttribute", &of).await.0, "InvalidInstanceID");
    f.call("AssociateAddress", &[("AllocationId", &id), me[0]]).await.unwrap();

    let goes = [me[0], ("Attachment.AttachmentId", attachment.as_str()), ("Attachment.DeleteOnTermination", "true")];
    f.call("ModifyNetworkInterfaceAttribute", &goes).await.unwrap();
    assert_eq!(shows(&f, &a, "deleteOnTermination").await, ["true"]);
    let shown = f.call("DescribeInstances", &[("InstanceId.1", running.as_str())]).await.unwrap();
    assert_eq!(texts(&shown, "deviceIndex"), ["0", "1"]);

    // It leaves when its node says so; forced, at once. Its elastic IP stays with it.
    let off = [("AttachmentId", attachment.as_str())];
    assert_eq!(f.error("DetachNetworkInterface", &[off[0], ("DryRun", "true")]).await.0, "DryRunOperation");
    f.call("DetachNetworkInterface", &off).await.unwrap();
    assert_eq!(shows(&f, &a, "status").await, ["detaching", "detaching"]);
    f.call("DetachNetworkInterface", &[off[0], ("Force", "true")]).await.unwrap();
    assert_eq!(shows(&f, &a, "status").await, ["available"]);
    assert_eq!(f.texts("DescribeAddresses", &[], "networkInterfaceId").await, [a.as_str()]);
    assert_eq!(f.error("DetachNetworkInterface", &off).await.0, "InvalidAttachmentID.NotFound");
    let primary = shows(&f, InterfaceId::from_random(1).as_str(), "attachmentId").await.remove(0);
    let text = "The network interface at device index 0 cannot be detached.".to_owned();
    assert_eq!(f.error("DetachNetworkInterface", &[("AttachmentId", &primary)]).await, ("OperationNotPermitted", text));

    // What is off has what it is told.
    let attachment = attach(&f, &b, &stopped, "5").await.unwrap();
    assert_eq!(shows(&f, &b, "status").await, ["attached", "in-use"].map(str::to_owned).to_vec());
    assert!(!f.row(&stopped).await.doc.interfaces_pending);
    let many = create(&f, &[("SecondaryPrivateIpAddressCount", "2")]).await;
    let (code, _) = attach(&f, &many, &f.instance(3, InstanceState::Stopped).await, "1").await.unwrap_err();
    assert_eq!(code, "PrivateIpAddressLimitExceeded");
    f.call("DetachNetworkInterface", &[("AttachmentId", &attachment), ("Force", "true")]).await.unwrap();
    let pending = f.instance(4, InstanceState::Pending).await;
    assert_eq!(attach(&f, &b, &pending, "1").await.unwrap_err().0, "IncorrectState");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_of_another_vpc_is_not_attached() {
    let f = Fixture::new().await;
    let running = f.instance(1, InstanceState::Running).await;
    let vpc = f.texts("CreateVpc", &[("CidrBlock", "10.9.0.0/16")], "vpcId").await.remove(0);
    let subnet = [("VpcId", vpc.as_str()), ("CidrBlock", "10.9.1.0/24")];
    let subnet = f.texts("CreateSubnet", &subnet, "subnetId").await.remove(0);
    let eni = f.texts("CreateNetworkInterface", &[("SubnetId", &subnet)], "networkInterfaceId").await.remove(0);
    let (code, text) = attach(&f, &eni, &running, "1").await.unwrap_err();
    assert!(code == "InvalidParameterCombination" && text.contains("different networks"), "{text}");
    // Without a gateway no elastic IP leads to it.
    let made = f.call("AllocateAddress", &[]).await.unwrap();
    let id = texts(&made, "allocationId").remove(0);
    let to = [("AllocationId", id.as_str()), ("NetworkInterfaceId", eni.as_str())];
    assert_eq!(f.error("AssociateAddress", &to).await.0, "Gateway.NotAttached");
}

/// What a launch says of its interfaces is held to what the calls about interfaces are.
#[tokio::test(flavor = "multi_thread")]
async fn what_interfaces_a_launch_can_not_have() {
    let f = Fixture::new().await;
    let image = f.image("one").await;
    let base = [("ImageId", image.as_str()), ("InstanceType", "t3.nano"), ("MinCount", "1"), ("MaxCount", "1")];
    let launch = async |more: &[(&str, &str)]| {
        f.error("RunInstances", &[&base[..], &[("DryRun", "true")], more].concat()).await.0
    };
    let second = [("NetworkInterface.1.DeviceIndex", "0"), ("NetworkInterface.2.DeviceIndex", "1")];
    assert_eq!(launch(&second).await, "DryRunOperation", "control");
    // Groups besides those of the first.
    let vpc = f.texts("CreateVpc", &[("CidrBlock", "10.9.0.0/16")], "vpcId").await.remove(0);
    let strange = [("GroupName", "strange"), ("GroupDescription", "of another VPC"), ("VpcId", vpc.as_str())];
    let strange = f.texts("CreateSecurityGroup", &strange, "groupId").await.remove(0);
    let own = [("GroupName", "own"), ("GroupDescription", "of the default VPC")];
    let own = f.texts("CreateSecurityGroup", &own, "groupId").await.remove(0);
    let in_group = async |id: &str| launch(&[second[0], second[1], ("NetworkInterface.2.SecurityGroupId.1", id)]).await;
    assert_eq!(in_group(&own).await, "DryRunOperation", "control");
    assert_eq!(in_group(&strange).await, "InvalidParameter");
    let many: Vec<String> = (1..=17).map(|n| format!("NetworkInterface.2.SecurityGroupId.{n}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), own.as_str())).collect();
    assert_eq!(launch(&[&second[..], &many].concat()).await, "SecurityGroupsPerInterfaceLimitExceeded");
    // One that exists, with more addresses than the type may have.
    let (few, more) = (create(&f, &[]).await, create(&f, &[("SecondaryPrivateIpAddressCount", "2")]).await);
    for (eni, said) in [(&few, "DryRunOperation"), (&more, "PrivateIpAddressLimitExceeded")] {
        let existing =
            [("NetworkInterface.1.DeviceIndex", "0"), ("NetworkInterface.1.NetworkInterfaceId", eni.as_str())];
        assert_eq!(launch(&existing).await, said);
    }
}

/// An instance is where its interface is; whether its owner has a default VPC does not matter.
#[tokio::test(flavor = "multi_thread")]
async fn a_launch_goes_to_where_its_first_interface_is() {
    let f = Fixture::new().await;
    let image = f.image("one").await;
    let public = [("ImageId", image.as_str()), ("OperationType", "add"), ("UserGroup.1", "all")];
    f.call("ModifyImageAttribute", &public).await.unwrap();
    let mut tx = f.store.write().await.unwrap();
    let row = AccountRow { id: f.other.account().clone(), name: "second".into(), created_ms: 1 };
    account_insert(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
    let made = async |action: &str, params: &[(&str, &str)], element: &str| {
        texts(&f.call_as(&f.other, action, params).await.unwrap(), element).remove(0)
    };
    let vpc = made("CreateVpc", &[("CidrBlock", "10.9.0.0/16")], "vpcId").await;
    let subnet = made("CreateSubnet", &[("VpcId", &vpc), ("CidrBlock", "10.9.1.0/24")], "subnetId").await;
    let eni = made("CreateNetworkInterface", &[("SubnetId", &subnet)], "networkInterfaceId").await;
    let launch = [
        ("ImageId", image.as_str()),
        ("InstanceType", "t3.nano"),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("DryRun", "true"),
    ];
    assert_eq!(f.error_as(&f.other, "RunInstances", &launch).await.0, "VPCIdNotSpecified", "control: there is none");
    let first = [("NetworkInterface.1.DeviceIndex", "0"), ("NetworkInterface.1.NetworkInterfaceId", eni.as_str())];
    assert_eq!(f.error_as(&f.other, "RunInstances", &[&launch[..], &first].concat()).await.0, "DryRunOperation");
}

#[tokio::test(flavor = "multi_thread")]
async fn force_frees_an_interface_of_an_instance_that_ends() {
    let f = Fixture::new().await;
    let ends = f.instance(1, InstanceState::Running).await;
    let eni = create(&f, &[]).await;
    let attachment = attach(&f, &eni, &ends, "1").await.unwrap();
    let mut tx = f.store.write().await.unwrap();
    let row = InstanceRow { intent: RunIntent::Terminate, ..f.row(&ends).await };
    instance_intent_update(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
    // Its node is away: nobody says that it has gone.
    let off = ("AttachmentId", attachment.as_str());
    assert_eq!(f.error("DetachNetworkInterface", &[off]).await.0, "IncorrectState");
    f.call("DetachNetworkInterface", &[off, ("Force", "true")]).await.unwrap();
    assert_eq!(shows(&f, &eni, "status").await, ["available"]);
    assert_eq!(f.row(&ends).await.intent, RunIntent::Terminate);
    let primary = shows(&f, InterfaceId::from_random(1).as_str(), "attachmentId").await.remove(0);
    let off = [("AttachmentId", primary.as_str()), ("Force", "true")];
    assert_eq!(f.error("DetachNetworkInterface", &off).await.0, "OperationNotPermitted");
}

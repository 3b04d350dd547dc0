//! Elastic IPs: whose they are, where they lead, and what stands in the way.

use crate::fixture::{Fixture, texts};
use mallee_runtime::FaultAction;
use mallee_store::*;
use mallee_types::*;
use std::time::Duration;

async fn allocate(f: &Fixture) -> (String, String) {
    let made = f.call("AllocateAddress", &[]).await.unwrap();
    (texts(&made, "allocationId").remove(0), texts(&made, "publicIp").remove(0))
}

async fn associate(f: &Fixture, address: (&str, &str), target: (&str, &str)) -> String {
    f.texts("AssociateAddress", &[address, target], "associationId").await.remove(0)
}

/// What the instance's first interface shows to the world.
async fn shown(f: &Fixture, instance: &InstanceId) -> (Vec<String>, Vec<String>) {
    let of = [("Filter.1.Name", "attachment.instance-id"), ("Filter.1.Value.1", instance.as_str())];
    let reply = f.call("DescribeNetworkInterfaces", &of).await.unwrap();
    let owners = texts(&reply, "ipOwnerId");
    (texts(&reply, "publicIp"), owners)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_moves_and_nodes_hear_of_it() {
    let f = Fixture::new().await;
    let (first, second) = (f.instance(1, InstanceState::Running).await, f.instance(2, InstanceState::Stopped).await);
    let eni = InterfaceId::from_random(1);
    let mut tx = f.store.write().await.unwrap();
    let automatic =
        public_address_take(&mut tx, "203.0.113.0/24".parse().unwrap(), &eni, f.cx.account()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(shown(&f, &first).await.1, ["amazon", "amazon"]);
    let (id, ip) = allocate(&f).await;

    let association = associate(&f, ("AllocationId", &id), ("InstanceId", first.as_str())).await;
    assert!(association.starts_with("eipassoc-"));
    assert_eq!(f.row(&first).await.generation, Generation(2), "its node is told");
    let account = f.cx.account().to_string();
    assert_eq!(shown(&f, &first).await, (vec![ip.clone(); 2], vec![account.clone(); 2]));
    let of = f.call("DescribeInstances", &[("InstanceId.1", first.as_str())]).await.unwrap();
    assert_eq!(texts(&of, "ipAddress"), [ip.as_str()]);
    assert_eq!(public_address_count(&f.store).await.unwrap(), 1, "{automatic} has gone back");

    // The same again is the same, and no news.
    let strict = [("AllocationId", id.as_str()), ("InstanceId", first.as_str()), ("AllowReassociation", "false")];
    assert_eq!(f.texts("AssociateAddress", &strict, "associationId").await, [association.as_str()]);
    assert_eq!(f.row(&first).await.generation, Generation(2));

    // It moves by itself, unless that is not wanted; both nodes are told.
    let strict = [("PublicIp", ip.as_str()), ("InstanceId", second.as_str()), ("AllowReassociation", "false")];
    let (code, text) = f.error("AssociateAddress", &strict).await;
    assert_eq!(code, "Resource.AlreadyAssociated");
    assert_eq!(text, format!("resource {id} is already associated with associate-id {association}"));
    let moved = associate(&f, ("PublicIp", &ip), ("InstanceId", second.as_str())).await;
    assert_ne!(moved, association);
    assert_eq!((shown(&f, &first).await.0.len(), shown(&f, &second).await.0), (0, vec![ip.clone(); 2]));
    assert_eq!((f.row(&first).await.generation, f.row(&second).await.generation), (Generation(3), Generation(2)));

    // Another one takes its place, and it is free again.
    let (other, other_ip) = allocate(&f).await;
    let taken = [("AllocationId", other.as_str()), ("InstanceId", second.as_str()), ("AllowReassociation", "false")];
    assert_eq!(f.error("AssociateAddress", &taken).await.0, "Resource.AlreadyAssociated");
    let replaced =
        associate(&f, ("AllocationId", &other), ("NetworkInterfaceId", InterfaceId::from_random(2).as_str())).await;
    assert_eq!(shown(&f, &second).await.0, vec![other_ip.clone(); 2]);
    assert_eq!(f.error("DisassociateAddress", &[("AssociationId", &moved)]).await.0, "InvalidAssociationID.NotFound");
    f.call("ReleaseAddress", &[("PublicIp", &ip)]).await.unwrap();

    assert_eq!(f.error("ReleaseAddress", &[("AllocationId", &other)]).await.0, "InvalidIPAddress.InUse");
    f.call("DisassociateAddress", &[("AssociationId", &replaced)]).await.unwrap();
    assert!(shown(&f, &second).await.0.is_empty());
    // By its address it may be said again.
    f.call("DisassociateAddress", &[("PublicIp", &other_ip)]).await.unwrap();
    assert_eq!(
        f.error("DisassociateAddress", &[("AssociationId", &replaced)]).await.0,
        "InvalidAssociationID.NotFound"
    );
    f.call("ReleaseAddress", &[("AllocationId", &other)]).await.unwrap();
    assert_eq!(f.error("ReleaseAddress", &[("AllocationId", &other)]).await.0, "InvalidAllocationID.NotFound");
    assert_eq!(public_address_count(&f.store).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_take_an_address() {
    let f = Fixture::new().await;
    let (id, _) = allocate(&f).await;
    let me = ("AllocationId", id.as_str());
    let pending = f.instance(1, InstanceState::Pending).await;
    let (code, text) = f.error("AssociateAddress", &[me, ("InstanceId", pending.as_str())]).await;
    assert_eq!(code, "InvalidInstanceID");
    assert_eq!(text, format!("The pending instance '{pending}' is not in a valid state for this operation."));

    let running = f.instance(2, InstanceState::Running).await;
    let there = ("InstanceId", running.as_str());
    let address = ("PrivateIpAddress", "10.9.9.9");
    assert_eq!(f.error("AssociateAddress", &[me, there, address]).await.0, "InvalidParameterValue");
    let eni = InterfaceId::from_random(2).to_string();
    let interface = ("NetworkInterfaceId", eni.as_str());
    assert_eq!(f.error("AssociateAddress", &[me, there, interface]).await.0, "InvalidParameterCombination");
    assert_eq!(f.error("AssociateAddress", &[me]).await.0, "MissingParameter");
    assert_eq!(f.error("AssociateAddress", &[there]).await.0, "MissingParameter");
    assert_eq!(f.error("AssociateAddress", &[me, there, ("DryRun", "true")]).await.0, "DryRunOperation");
    let nowhere = InterfaceId::from_random(77).to_string();
    let nowhere = ("NetworkInterfaceId", nowhere.as_str());
    assert_eq!(f.error("AssociateAddress", &[me, nowhere]).await.0, "InvalidNetworkInterfaceID.NotFound");
    let stranger = ("PublicIp", "192.0.2.1");
    assert_eq!(f.error("AssociateAddress", &[stranger, there]).await.0, "InvalidAddress.NotFound");

    // Without a way to the world.
    let vpc = f.row(&running).await.vpc_id;
    let mut tx = f.store.write().await.unwrap();
    let ways = internet_gateway_list_attached(&mut tx, None, None, 10).await.unwrap();
    for way in ways.iter().filter(|way| way.vpc_id.as_ref() == Some(&vpc)) {
        assert!(internet_gateway_detach(&mut tx, &way.id, &vpc).await.unwrap());
    }
    tx.commit().await.unwrap();
    let (code, text) = f.error("AssociateAddress", &[me, there]).await;
    assert_eq!(code, "Gateway.NotAttached");
    assert_eq!(text, format!("Network {vpc} is not attached to any internet gateway"));
    assert_eq!(f.row(&running).await.generation, Generation(1));
    let described = f.call("DescribeAddresses", &[("AllocationId.1", &id)]).await.unwrap();
    assert!(texts(&described, "associationId").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_is_named_where_an_instance_has_several() {
    let f = Fixture::new().await;
    let instance = f.instance(1, InstanceState::Running).await;
    let mut tx = f.store.write().await.unwrap();
    let first = interface_fetch(&mut tx, &InterfaceId::from_random(1)).await.unwrap();
    let second = InterfaceRow {
        id: InterfaceId::from_random(50),
        mac: MacAddress::from_random(50),
        private_ip: "172.31.0.200".parse().unwrap(),
        attachment_id: Some(AttachmentId::from_random(50)),
        device_index: Some(1),
        ..first.clone()
    };
    let free = InterfaceRow {
        id: InterfaceId::from_random(51),
        mac: MacAddress::from_random(51),
        private_ip: "172.31.0.201".parse().unwrap(),
        instance_id: None,
        attachment_id: None,
        device_index: None,
        ..first
    };
    interface_insert(&mut tx, &second, &[]).await.unwrap();
    interface_insert(&mut tx, &free, &[]).await.unwrap();
    tx.commit().await.unwrap();
    let (id, ip) = allocate(&f).await;
    let me = ("AllocationId", id.as_str());
    let (code, text) = f.error("AssociateAddress", &[me, ("InstanceId", instance.as_str())]).await;
    assert_eq!(code, "InvalidInstanceID");
    assert!(text.starts_with("There are multiple interfaces attached to instance"), "{text}");
    let named = [me, ("NetworkInterfaceId", second.id.as_str()), ("PrivateIpAddress", "172.31.0.200")];
    f.call("AssociateAddress", &named).await.unwrap();
    let of = f.call("DescribeAddresses", &[("PublicIp.1", &ip)]).await.unwrap();
    assert_eq!(texts(&of, "networkInterfaceId"), [second.id.as_str()]);
    assert_eq!(texts(&of, "privateIpAddress"), ["172.31.0.200"]);
    assert_eq!(texts(&of, "instanceId"), [instance.as_str()]);
    // One of no instance takes it as well.
    associate(&f, me, ("NetworkInterfaceId", free.id.as_str())).await;
    let of = f.call("DescribeAddresses", &[("PublicIp.1", &ip)]).await.unwrap();
    assert_eq!(texts(&of, "networkInterfaceId"), [free.id.as_str()]);
    assert!(texts(&of, "instanceId").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_touches_anothers_address() {
    let f = Fixture::new().await;
    let (id, ip) = allocate(&f).await;
    let (by_id, by_ip) = (("AllocationId", id.as_str()), ("PublicIp", ip.as_str()));
    assert_eq!(f.error_as(&f.other, "ReleaseAddress", &[by_id]).await.0, "InvalidAllocationID.NotFound");
    let (code, text) = f.error_as(&f.other, "ReleaseAddress", &[by_ip]).await;
    assert_eq!((code, text), ("AuthFailure", format!("The address '{ip}' does not belong to you.")));
    assert_eq!(f.error_as(&f.other, "DisassociateAddress", &[by_ip]).await.0, "AuthFailure");
    assert!(texts(&f.call_as(&f.other, "DescribeAddresses", &[]).await.unwrap(), "publicIp").is_empty());
    let named = [("PublicIp.1", ip.as_str())];
    assert_eq!(f.error_as(&f.other, "DescribeAddresses", &named).await.0, "InvalidAddress.NotFound");
    let tag = [("ResourceId.1", id.as_str()), ("Tag.1.Key", "k"), ("Tag.1.Value", "v")];
    assert_eq!(f.error_as(&f.other, "CreateTags", &tag).await.0, "InvalidAllocationID.NotFound");
    f.call("CreateTags", &tag).await.unwrap();
    assert_eq!(f.texts("DescribeTags", &[], "resourceType").await, ["elastic-ip"]);
    f.call("ReleaseAddress", &[by_id]).await.unwrap();
    assert!(f.texts("DescribeTags", &[], "resourceType").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_is_given_or_refused_by_name() {
    let f = Fixture::new().await;
    let chosen = f.call("AllocateAddress", &[("Address", "203.0.113.77"), ("Domain", "vpc")]).await.unwrap();
    assert_eq!(texts(&chosen, "publicIp"), ["203.0.113.77"]);
    let refused = async |name: &str, value: &str| f.error("AllocateAddress", &[(name, value)]).await;
    assert_eq!(refused("Address", "203.0.113.77").await.0, "InvalidIPAddress.InUse");
    assert_eq!(refused("Address", "192.0.2.1").await.0, "InvalidAddress.NotFound");
    assert_eq!(refused("Address", "203.0.113.1").await.0, "InvalidAddress.NotFound", "the pool's router");
    assert_eq!(refused("Address", "x").await.0, "InvalidAddress.Malformed");
    assert_eq!(refused("Domain", "moon").await.0, "InvalidParameterValue");
    for (name, value) in [
        ("PublicIpv4Pool", "ipv4pool-ec2-0123456789abcdef0"),
        ("CustomerOwnedIpv4Pool", "ipv4pool-coip-1"),
        ("IpamPoolId", "ipam-pool-0123456789abcdef0"),
        ("NetworkBorderGroup", "us-west-2-lax-1"),
    ] {
        let (code, text) = refused(name, value).await;
        assert_eq!(code, "Unsupported");
        assert!(text.contains(name), "{text}");
    }
    assert_eq!(refused("DryRun", "true").await.0, "DryRunOperation");
    // Given back, it is kept back, and then can be had again.
    f.call("ReleaseAddress", &[("PublicIp", "203.0.113.77")]).await.unwrap();
    let (code, text) = refused("Address", "203.0.113.77").await;
    assert_eq!(code, "InvalidAddress.NotFound");
    assert!(text.contains("after a minute"), "{text}");
    f.db.clock.shift_ms(ADDRESS_HOLD_MS + 1);
    f.call("AllocateAddress", &[("Address", "203.0.113.77"), ("PublicIpv4Pool", "amazon")]).await.unwrap();
    let reverse = f.call("DescribeAddressesAttribute", &[("Attribute", "domain-name")]).await.unwrap();
    assert_eq!(texts(&reverse, "publicIp"), ["203.0.113.77"]);
    assert!(texts(&reverse, "ptrRecord").is_empty());
}

/// Does `first`, and `then` while `first` waits at the point, which is before its transaction.
async fn meanwhile(f: &Fixture, point: &str, first: (&str, &[(&str, &str)]), then: (&str, &[(&str, &str)])) {
    f.faults.arm(point, FaultAction::Delay(Duration::from_secs(1)), 1);
    let second = async {
        while !f.faults.hit().iter().any(|hit| hit == point) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        f.call(then.0, then.1).await
    };
    let (first, second) = tokio::join!(f.call(first.0, first.1), second);
    first.unwrap();
    second.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_shows_an_address_by_then_hears_that_it_goes() {
    let f = Fixture::new().await;
    let subnet = subnet_list(&f.store, f.cx.account(), None, None, None, 1).await.unwrap().remove(0);
    let free = async |more: &[(&str, &str)]| {
        let new = [&[("SubnetId", subnet.id.as_str())], more].concat();
        f.texts("CreateNetworkInterface", &new, "networkInterfaceId").await.remove(0)
    };
    let (one, two) = (f.instance(1, InstanceState::Running).await, f.instance(2, InstanceState::Running).await);
    // Its interface comes to an instance meanwhile.
    let (id, ip) = allocate(&f).await;
    let (me, off) = (("AllocationId", id.as_str()), [("PublicIp", ip.as_str())]);
    let (eni, last) = (free(&[]).await, free(&[]).await);
    associate(&f, me, ("NetworkInterfaceId", &eni)).await;
    let attach = [("NetworkInterfaceId", eni.as_str()), ("InstanceId", one.as_str()), ("DeviceIndex", "1")];
    let (leave, come) = (("DisassociateAddress", &off[..]), ("AttachNetworkInterface", &attach[..]));
    meanwhile(&f, "cloud.address.disassociate", leave, come).await;
    assert_eq!(f.row(&one).await.generation, Generation(3), "of the interface, and that the address left it");
    // The same, but the address goes elsewhere.
    let eni = free(&[]).await;
    associate(&f, me, ("NetworkInterfaceId", &eni)).await;
    let attach = [("NetworkInterfaceId", eni.as_str()), ("InstanceId", two.as_str()), ("DeviceIndex", "1")];
    let to = [me, ("NetworkInterfaceId", last.as_str())];
    let (leave, come) = (("AssociateAddress", &to[..]), ("AttachNetworkInterface", &attach[..]));
    meanwhile(&f, "cloud.address.associate", leave, come).await;
    assert_eq!(f.row(&two).await.generation, Generation(3));
    // Its private address moves to an instance meanwhile.
    let three = f.instance(3, InstanceState::Running).await;
    let eni = free(&[("SecondaryPrivateIpAddressCount", "1")]).await;
    let shown = f.texts("DescribeNetworkInterfaces", &[("NetworkInterfaceId.1", &eni)], "privateIpAddress").await;
    let private = shown.last().unwrap().as_str();
    let there = [me, ("NetworkInterfaceId", eni.as_str()), ("PrivateIpAddress", private)];
    f.call("AssociateAddress", &there).await.unwrap();
    let on = InterfaceId::from_random(3).to_string();
    let to = [("NetworkInterfaceId", on.as_str()), ("PrivateIpAddress.1", private), ("AllowReassignment", "true")];
    let (leave, come) = (("DisassociateAddress", &off[..]), ("AssignPrivateIpAddresses", &to[..]));
    meanwhile(&f, "cloud.address.disassociate", leave, come).await;
    assert_eq!(f.row(&three).await.generation, Generation(3));
}

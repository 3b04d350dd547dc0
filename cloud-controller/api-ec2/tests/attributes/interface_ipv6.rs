//! IPv6 addresses of interfaces: drawn, named, given, shown and taken away.

use crate::fixture::{Fixture, texts};
use crate::subnet_ipv6::World;
use mallee_store::test_support::TestDb;
use mallee_store::{InterfaceIpv6Row, interface_ipv6_insert, subnet_ipv6_cidr_list};
use std::collections::BTreeSet;
use std::net::Ipv6Addr;

mallee_store::store_test_suite!(
    an_interface_is_made_with_ipv6_addresses,
    addresses_come_and_go,
    a_subnet_gives_its_interfaces_an_address,
    of_two_who_name_an_address_at_once_one_gets_it,
    addresses_that_are_not_their_subnets_are_found,
);

impl World {
    async fn eni(&self, subnet: &str, more: &[(&str, &str)]) -> String {
        let new = [&[("SubnetId", subnet)], more].concat();
        self.f.texts("CreateNetworkInterface", &new, "networkInterfaceId").await.remove(0)
    }

    /// The addresses of an interface as they are listed.
    async fn addresses(&self, id: &str) -> Vec<String> {
        // The first is the one that it shows outside the list.
        let all = self.f.texts("DescribeNetworkInterfaces", &[("NetworkInterfaceId.1", id)], "ipv6Address").await;
        all.get(1..).unwrap_or_default().to_vec()
    }

    /// The nth part's address of this number.
    fn ip(&self, n: u8, number: u64) -> String {
        let net: ipnet::Ipv6Net = self.part(n).parse().unwrap();
        Ipv6Addr::from(u128::from(net.network()) | u128::from(number)).to_string()
    }

    async fn is_clean(&self) {
        let mut found = mallee_app::check::look_once(&self.f.cloud).await.unwrap().findings;
        // There is no cluster controller.
        found.retain(|finding| finding.invariant != "I1");
        assert!(found.is_empty(), "{found:?}");
    }
}

async fn an_interface_is_made_with_ipv6_addresses(db: TestDb) {
    let w = World::new(db).await;
    let subnet = w.subnet(1).await;
    let two = w.eni(&subnet, &[("Ipv6AddressCount", "2")]).await;
    let drawn = w.addresses(&two).await;
    let block: ipnet::Ipv6Net = w.part(1).parse().unwrap();
    assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), 2, "{drawn:?}");
    assert!(drawn.iter().all(|ip| block.contains(&ip.parse::<Ipv6Addr>().unwrap())), "{drawn:?}");
    // Named ones, in the order in which they are named.
    let (nine, eight) = (w.ip(1, 9), w.ip(1, 8));
    let named = [("Ipv6Addresses.1.Ipv6Address", nine.as_str()), ("Ipv6Addresses.2.Ipv6Address", eight.as_str())];
    let own = w.eni(&subnet, &named).await;
    assert_eq!(w.addresses(&own).await, [nine.as_str(), eight.as_str()]);
    let by = [("Filter.1.Name", "ipv6-addresses.ipv6-address"), ("Filter.1.Value.1", eight.as_str())];
    assert_eq!(w.f.texts("DescribeNetworkInterfaces", &by, "networkInterfaceId").await, [own.as_str()]);
    assert!(w.addresses(&w.eni(&subnet, &[]).await).await.is_empty(), "the subnet does not say so");

    let error = async |subnet: &str, more: &[(&str, &str)]| {
        w.f.error("CreateNetworkInterface", &[&[("SubnetId", subnet)], more].concat()).await
    };
    let before = w.f.texts("DescribeNetworkInterfaces", &[], "networkInterfaceId").await.len();
    let (code, text) = error(&subnet, &named[..1]).await;
    assert_eq!((code, text), ("InvalidIPAddress.InUse", format!("Address {nine} is in use.")));
    for bad in [w.ip(1, 0), w.ip(1, 3), w.ip(1, u64::MAX), w.ip(2, 5)] {
        let (code, text) = error(&subnet, &[("Ipv6Addresses.1.Ipv6Address", &bad)]).await;
        assert!(code == "InvalidParameterValue" && text.contains("address range"), "{bad}: {code}: {text}");
    }
    assert_eq!(error(&subnet, &[("Ipv6AddressCount", "51")]).await.0, "PrivateIpAddressLimitExceeded");
    let plain = [("VpcId", w.vpc.as_str()), ("CidrBlock", "10.2.9.0/24")];
    let plain = w.f.texts("CreateSubnet", &plain, "subnetId").await.remove(0);
    let (code, text) = error(&plain, &[("Ipv6AddressCount", "1")]).await;
    assert!(code == "InvalidParameterValue" && text.contains("has no IPv6 CIDR block"), "{code}: {text}");
    assert_eq!(error(&subnet, &[("Ipv6PrefixCount", "1")]).await.0, "Unsupported");
    assert_eq!(error(&subnet, &[("EnablePrimaryIpv6", "true")]).await.0, "Unsupported");
    let after = w.f.texts("DescribeNetworkInterfaces", &[], "networkInterfaceId").await.len();
    assert_eq!(after, before, "nothing is left of them");
    w.is_clean().await;
}

async fn addresses_come_and_go(db: TestDb) {
    let w = World::new(db).await;
    let subnet = w.subnet(1).await;
    let (one, other) = (w.eni(&subnet, &[]).await, w.eni(&subnet, &[]).await);
    let me = ("NetworkInterfaceId", one.as_str());
    let (nine, eight) = (w.ip(1, 9), w.ip(1, 8));
    let named = [me, ("Ipv6Addresses.1", nine.as_str()), ("Ipv6Addresses.2", eight.as_str())];
    let given = w.f.call("AssignIpv6Addresses", &named).await.unwrap();
    assert_eq!(texts(&given, "item"), [nine.as_str(), eight.as_str()]);
    assert_eq!(texts(&given, "networkInterfaceId"), [one.as_str()]);
    // What it has it keeps; one more comes after them.
    w.f.call("AssignIpv6Addresses", &named[..2]).await.unwrap();
    let more = w.f.texts("AssignIpv6Addresses", &[me, ("Ipv6AddressCount", "1")], "item").await.remove(0);
    assert_eq!(w.addresses(&one).await, [nine.as_str(), eight.as_str(), &more]);

    let error = async |action: &str, given: &[(&str, &str)]| w.f.error(action, given).await.0;
    let theirs = [("NetworkInterfaceId", other.as_str()), ("Ipv6Addresses.1", nine.as_str())];
    assert_eq!(error("AssignIpv6Addresses", &theirs).await, "InvalidIPAddress.InUse");
    assert_eq!(error("UnassignIpv6Addresses", &theirs).await, "InvalidParameterValue");
    assert_eq!(error("AssignIpv6Addresses", &[me]).await, "MissingParameter");
    assert_eq!(error("UnassignIpv6Addresses", &[me]).await, "MissingParameter");
    assert_eq!(error("AssignIpv6Addresses", &[me, ("Ipv6AddressCount", "0")]).await, "InvalidParameterValue");
    assert_eq!(error("AssignIpv6Addresses", &[me, ("Ipv6AddressCount", "48")]).await, "PrivateIpAddressLimitExceeded");
    let both = [named[0], named[1], ("Ipv6AddressCount", "1")];
    assert_eq!(error("AssignIpv6Addresses", &both).await, "InvalidParameterCombination");
    assert_eq!(error("AssignIpv6Addresses", &[me, ("Ipv6PrefixCount", "1")]).await, "Unsupported");
    let stranger = w.f.error_as(&w.f.other, "AssignIpv6Addresses", &[me, ("Ipv6AddressCount", "1")]).await.0;
    assert_eq!(stranger, "InvalidNetworkInterfaceID.NotFound");

    // The subnet keeps its block while one is there.
    let association = w.f.texts("DescribeSubnets", &[("SubnetId.1", &subnet)], "associationId").await.remove(0);
    let block = [("AssociationId", association.as_str())];
    assert_eq!(error("DisassociateSubnetCidrBlock", &block).await, "InvalidCidrBlock.InUse");
    let gone = w.f.call("UnassignIpv6Addresses", &named).await.unwrap();
    assert_eq!(texts(&gone, "item"), [nine.as_str(), eight.as_str()]);
    assert_eq!(w.addresses(&one).await, [more.as_str()]);
    w.f.call("AssignIpv6Addresses", &theirs).await.unwrap();
    assert_eq!(w.addresses(&other).await, [nine.as_str()], "it was free again at once");
    w.is_clean().await;
    // They go with their interfaces.
    for eni in [&one, &other] {
        w.f.call("DeleteNetworkInterface", &[("NetworkInterfaceId", eni)]).await.unwrap();
    }
    w.f.call("DisassociateSubnetCidrBlock", &block).await.unwrap();
    w.is_clean().await;
}

async fn a_subnet_gives_its_interfaces_an_address(db: TestDb) {
    let w = World::new(db).await;
    let subnet = w.subnet(1).await;
    let on = [("SubnetId", subnet.as_str()), ("AssignIpv6AddressOnCreation.Value", "true")];
    w.f.call("ModifySubnetAttribute", &on).await.unwrap();
    assert_eq!(w.addresses(&w.eni(&subnet, &[]).await).await.len(), 1);
    assert_eq!(w.addresses(&w.eni(&subnet, &[("Ipv6AddressCount", "2")]).await).await.len(), 2);
    assert!(w.addresses(&w.eni(&subnet, &[("Ipv6AddressCount", "0")]).await).await.is_empty(), "it said none");
    let named = w.ip(1, 77);
    let eni = w.eni(&subnet, &[("Ipv6Addresses.1.Ipv6Address", &named)]).await;
    assert_eq!(w.addresses(&eni).await, [named]);
    w.is_clean().await;
}

async fn of_two_who_name_an_address_at_once_one_gets_it(db: TestDb) {
    let w = World::new(db).await;
    let subnet = w.subnet(1).await;
    let (one, other) = (w.eni(&subnet, &[]).await, w.eni(&subnet, &[]).await);
    for number in 9..14 {
        let address = w.ip(1, number);
        let assign = async |eni: &str| {
            let named = [("NetworkInterfaceId", eni), ("Ipv6Addresses.1", address.as_str())];
            w.f.call("AssignIpv6Addresses", &named).await.map(drop).map_err(|error| error.code().as_str())
        };
        let mut ends = [assign(&one), assign(&other)].map(Box::pin);
        let [first, second] = &mut ends;
        let (first, second) = tokio::join!(first, second);
        let lost = [first, second].into_iter().filter_map(Result::err).collect::<Vec<_>>();
        assert_eq!(lost, ["InvalidIPAddress.InUse"], "{address}");
    }
    assert_eq!(w.addresses(&one).await.len() + w.addresses(&other).await.len(), 5);
    w.is_clean().await;
}

async fn addresses_that_are_not_their_subnets_are_found(db: TestDb) {
    let w = World::new(db).await;
    let (first, second) = (w.subnet(1).await, w.subnet(2).await);
    let eni = w.eni(&first, &[]).await;
    let blocks = subnet_ipv6_cidr_list(&w.f.store, None).await.unwrap();
    let of = |subnet: &str| blocks.iter().find(|block| block.subnet_id.as_str() == subnet).unwrap().id.clone();
    let row = |block, address: String, position| InterfaceIpv6Row {
        interface_id: eni.parse().unwrap(),
        subnet_cidr_id: block,
        address: address.parse().unwrap(),
        position,
    };
    let (strange, elsewhere) = (row(of(&first), "2001:db9::9".into(), 1), row(of(&second), w.ip(2, 9), 2));
    let mut tx = w.f.store.write().await.unwrap();
    interface_ipv6_insert(&mut tx, &[strange, elsewhere]).await.unwrap();
    tx.commit().await.unwrap();
    let found = mallee_app::check::look_once(&w.f.cloud).await.unwrap().findings;
    let mut found: Vec<_> = found.into_iter().filter(|f| f.invariant == "I3").map(|f| (f.subject, f.problem)).collect();
    found.sort_unstable();
    let wanted = [
        (w.ip(2, 9), "is not of its interface's subnet".to_owned()),
        ("2001:db9::9".to_owned(), "is not in its block".to_owned()),
    ];
    assert_eq!(found, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_with_more_addresses_than_the_type_takes_is_not_launched_with() {
    let w = World::new(TestDb::sqlite().await).await;
    let (image, subnet) = (w.f.image("launched").await, w.subnet(1).await);
    let mut seen = Vec::new();
    for count in ["2", "3"] {
        let eni = w.eni(&subnet, &[("Ipv6AddressCount", count)]).await;
        let launch = [
            ("ImageId", image.as_str()),
            ("InstanceType", "t3.nano"),
            ("MinCount", "1"),
            ("MaxCount", "1"),
            ("DryRun", "true"),
        ];
        let existing = [("NetworkInterface.1.DeviceIndex", "0"), ("NetworkInterface.1.NetworkInterfaceId", &eni)];
        seen.push(w.f.error("RunInstances", &[&launch[..], &existing].concat()).await.0);
        let new = [("SubnetId", subnet.as_str()), ("Ipv6AddressCount", count)];
        seen.push(w.f.error("RunInstances", &[&launch[..], &new].concat()).await.0);
    }
    let too_many = "PrivateIpAddressLimitExceeded";
    assert_eq!(seen, ["DryRunOperation", "DryRunOperation", too_many, too_many]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_pool_no_interface_is_given_any() {
    let f = Fixture::new().await;
    let subnet = f.texts("DescribeSubnets", &[], "subnetId").await.remove(0);
    let eni = f.texts("CreateNetworkInterface", &[("SubnetId", &subnet)], "networkInterfaceId").await.remove(0);
    for (action, id, given) in [
        ("CreateNetworkInterface", ("SubnetId", &subnet), ("Ipv6AddressCount", "1")),
        ("CreateNetworkInterface", ("SubnetId", &subnet), ("Ipv6Addresses.1.Ipv6Address", "2001:db8::5")),
        ("AssignIpv6Addresses", ("NetworkInterfaceId", &eni), ("Ipv6AddressCount", "1")),
        ("AssignIpv6Addresses", ("NetworkInterfaceId", &eni), ("Ipv6Addresses.1", "2001:db8::5")),
    ] {
        let (code, text) = f.error(action, &[(id.0, id.1.as_str()), given]).await;
        let name = given.0.split('.').next().unwrap();
        assert!(code == "Unsupported" && text.contains(name), "{action}: {code}: {text}");
    }
}

//! A guest cannot speak in another's name. Every refusal has its control: the same packet passes where it may.

use crate::lab::*;
use dhcproto::Encodable as _;
use dhcproto::v4::{DhcpOption, Message, MessageType};
use mallee_proto::v1::PortView;
use mallee_proto::v1::group_rule::Peer;

#[tokio::test(flavor = "multi_thread")]
async fn forged_sources_are_dropped_unless_the_check_is_off() {
    let mut lab = Lab::new();
    let (a, b) = (port("a", 0, 11, &["sg-open"]), port("a", 0, 12, &["sg-open"]));
    lab.apply(vec![vpc("a", 100, &[a.clone(), b.clone()])]).await;
    let (ga, gb) = (lab.launch(&a).await, lab.launch(&b).await);
    ok(Some(&ga), "ip addr add 10.0.0.99/32 dev eth0; ip addr add 198.51.100.9/32 dev eth0");
    assert!(delivers(&ga, "10.0.0.11", &gb, "10.0.0.12"), "its own address");
    assert!(!delivers(&ga, "10.0.0.99", &gb, "10.0.0.12"), "an address of the subnet");
    assert!(!delivers(&ga, "198.51.100.9", &gb, "10.0.0.12"), "any other address");
    let unchecked = PortView { source_dest_check: false, ..a.clone() };
    lab.apply(vec![vpc("a", 100, &[unchecked, b.clone()])]).await;
    assert!(delivers(&ga, "198.51.100.9", &gb, "10.0.0.12"), "control: the check is off");
    lab.apply(vec![vpc("a", 100, &[a.clone(), b.clone()])]).await;
    assert!(!delivers(&ga, "198.51.100.9", &gb, "10.0.0.12"), "the check is on again");
    // The MAC.
    ok(
        Some(&ga),
        "ip link set eth0 address 02:aa:01:00:00:0c; ip route replace default via 10.0.0.1; ip neigh replace 10.0.0.1 lladdr 02:00:00:00:00:01 dev eth0; ip neigh replace 10.0.0.12 lladdr 02:00:00:00:00:01 dev eth0",
    );
    assert!(!delivers(&ga, "10.0.0.11", &gb, "10.0.0.12"), "another's MAC");
    ok(Some(&ga), &format!("ip link set eth0 address {}", a.mac));
    assert!(delivers(&ga, "10.0.0.11", &gb, "10.0.0.12"), "control: its own MAC");
    // IPv6 is not offered, so it is no way round.
    let before = ok(Some(&lab.names.vpc_ns("vpc-a")), "cat /proc/net/if_inet6; ip -6 route");
    assert_eq!(before, "", "the router has no IPv6 at all");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_world_does_not_pass_for_a_member_of_a_group() {
    let mut lab = Lab::new();
    let a = PortView { public_ip: "203.0.113.5".to_owned(), ..port("a", 0, 11, &["sg-x"]) };
    let mut view = vpc("a", 100, std::slice::from_ref(&a));
    let from = |peer| rule(false, -1, -1, -1, peer);
    let rules = vec![from(Peer::GroupId("sg-x".to_owned())), from(cidr("10.0.0.0/16")), from(cidr("10.77.0.0/16"))];
    view.groups.push(group("sg-x", rules));
    view.members = vec![members("sg-x", &["10.0.0.11", "10.0.0.12"])];
    lab.apply(vec![view]).await;
    let ga = lab.launch(&a).await;
    ok(Some(&lab.host), "for ip in 10.77.0.1 10.0.0.12 10.0.3.3; do ip addr add $ip/32 dev lo; done");
    assert!(delivers(&lab.host, "10.77.0.1", &ga, "203.0.113.5"), "control: allowed, and none of the VPC's");
    assert!(!delivers(&lab.host, "10.0.0.12", &ga, "203.0.113.5"), "a member's address");
    assert!(!delivers(&lab.host, "10.0.3.3", &ga, "203.0.113.5"), "any address of the VPC");
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_arp_gets_no_answer() {
    let mut lab = Lab::new();
    let a = port("a", 0, 11, &["sg-open"]);
    lab.apply(vec![vpc("a", 100, std::slice::from_ref(&a))]).await;
    let ga = lab.launch(&a).await;
    ok(Some(&ga), "ip addr add 10.0.0.99/32 dev eth0");
    let ask = |source: &str| {
        sh(Some(&ga), &format!("busybox arping -c 1 -w 1 -I eth0 -s {source} 10.0.0.1")).status.success()
    };
    assert!(ask("10.0.0.11"), "control: its own address");
    assert!(!ask("10.0.0.99"), "another address");
    // The router answers for every address there is, with the same MAC, and for no other.
    let ask = |target: &str| {
        String::from_utf8(sh(Some(&ga), &format!("busybox arping -c 1 -w 1 -I eth0 -s 10.0.0.11 {target}")).stdout)
            .unwrap()
    };
    assert!(ask("10.0.0.2").contains("02:00:00:00:00:01"));
    assert!(!ask("10.0.0.11").contains("02:00:00:00:00:01"), "nobody claims the guest's own address");
    assert!(!ask("10.0.0.50").contains("02:00:00:00:00:01"));
}

fn discover(mac: [u8; 6]) -> Vec<u8> {
    let mut message = Message::default();
    message.set_chaddr(&mac).set_flags(dhcproto::v4::Flags::default().set_broadcast());
    message.opts_mut().insert(DhcpOption::MessageType(MessageType::Discover));
    message.to_vec().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_cannot_be_asked_for_in_anothers_name() {
    let mut lab = Lab::new();
    let (a, b) = (port("a", 0, 11, &["sg-open"]), port("a", 0, 12, &["sg-open"]));
    lab.apply(vec![vpc("a", 100, &[a.clone(), b.clone()])]).await;
    let (ga, _gb) = (lab.launch(&a).await, lab.launch(&b).await);
    let ask = |mac: [u8; 6]| {
        within(&ga, || {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
            socket.set_broadcast(true).unwrap();
            socket.bind_device(Some(b"eth0")).unwrap();
            socket.bind(&std::net::SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 68).into()).unwrap();
            let socket: std::net::UdpSocket = socket.into();
            socket.set_read_timeout(Some(std::time::Duration::from_millis(700))).unwrap();
            socket.send_to(&discover(mac), "255.255.255.255:67").unwrap();
            socket.recv_from(&mut [0; 1500]).is_ok()
        })
    };
    assert!(ask([0x02, 0xaa, 1, 0, 0, 11]), "control: its own");
    assert!(!ask([0x02, 0xaa, 1, 0, 0, 12]), "the neighbour's");
    let drops = ok(Some(&lab.names.vpc_ns("vpc-a")), "nft list table inet vpc | grep 'udp dport 67 counter'");
    assert!(drops.contains("packets 1 "), "{drops}");
}

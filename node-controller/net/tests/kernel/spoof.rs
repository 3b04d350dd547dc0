//! A guest cannot speak in another's name. Every refusal has its control: the same packet passes where it may.

use crate::lab::*;
use dhcproto::Encodable as _;
use dhcproto::v4::{DhcpOption, Message, MessageType};
use mallee_proto::v1::PortView;
use mallee_proto::v1::group_rule::Peer;

#[tokio::test(flavor = "multi_thread")]
async fn forged_sources_are_dropped_unless_the_check_is_off() {
    forged_sources(0).await;
}

/// What is shaped takes another way through the kernel, past some of its filters.
#[tokio::test(flavor = "multi_thread")]
async fn forged_sources_are_dropped_of_limited_ports_too() {
    forged_sources(100_000).await;
}

async fn forged_sources(bandwidth_kbps: u64) {
    let mut lab = Lab::new();
    let (a, b) = (port("a", 0, 11, &["sg-open"]), port("a", 0, 12, &["sg-open"]));
    let a = PortView { bandwidth_kbps, ..a };
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

/// Whether an accomplice reaches a victim that lets nothing in, by "answering" what a third one sent it in the victim's name.
fn answers(forger: &str, accomplice: &str, victim: &str, as_victim: &str, to: &str) -> bool {
    let open = |ns: &str, port| within(ns, || std::net::UdpSocket::bind(("0.0.0.0", port)).unwrap());
    let (accomplice, victim) = (open(accomplice, 7001), open(victim, 7002));
    for socket in [&accomplice, &victim] {
        socket.set_read_timeout(Some(std::time::Duration::from_millis(400))).unwrap();
    }
    let forged: std::net::SocketAddr = format!("{as_victim}:7002").parse().unwrap();
    within(forger, || {
        let socket = std::net::UdpSocket::bind(forged).unwrap();
        socket.send_to(b"in the victim's name", format!("{to}:7001")).unwrap();
    });
    drop(accomplice.recv_from(&mut [0; 64]));
    accomplice.send_to(b"answer", forged).unwrap();
    victim.recv_from(&mut [0; 64]).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_what_was_never_asked_is_none() {
    let mut lab = Lab::new();
    let forger = PortView { source_dest_check: false, ..port("a", 0, 11, &["sg-open"]) };
    let (accomplice, victim) = (port("a", 0, 12, &["sg-open"]), port("a", 0, 13, &["sg-out"]));
    let mut view = vpc("a", 100, &[forger.clone(), accomplice.clone(), victim.clone()]);
    view.groups.push(group("sg-out", vec![all_out()]));
    lab.apply(vec![view]).await;
    let (gf, ga, gv) = (lab.launch(&forger).await, lab.launch(&accomplice).await, lab.launch(&victim).await);
    // It knows its neighbour by now: nobody would answer what it asks by ARP in the victim's name.
    assert!(ping(&gf, "10.0.0.12"));
    ok(Some(&gf), "ip addr add 10.0.0.13/32 dev lo");
    assert!(!answers(&gf, &ga, &gv, "10.0.0.13", "10.0.0.12"));
    let rules = ok(Some(&lab.names.vpc_ns("vpc-a")), "nft list chain inet vpc leave");
    let counted = rules.lines().any(|line| line.contains("@here") && line.contains("packets 1 "));
    assert!(counted, "the first of the two was stopped: {rules}");
    // Controls: what the victim itself asks is answered, and the forger may send in the name of who is not here.
    lab.udp_echo(&ga, 7003);
    let asked = within(&gv, || {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(1))).unwrap();
        socket.send_to(b"x", "10.0.0.12:7003").unwrap();
        socket.recv_from(&mut [0; 8]).is_ok()
    });
    assert!(asked);
    ok(Some(&gf), "ip addr add 198.51.100.9/32 dev lo");
    assert!(delivers(&gf, "198.51.100.9", &ga, "10.0.0.12"));
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

//! A guest cannot speak IPv6 in another's name, nor as a router. Every refusal has its counter and its control: the same packet
//! passes where the rule is not.

use crate::ipv6::{delivers6, launch6, ping6, port6, set_address, vpc6};
use crate::lab::*;
use mallee_proto::v1::PortView;
use std::net::{Ipv6Addr, SocketAddrV6};

#[tokio::test(flavor = "multi_thread")]
async fn forged_sources_are_dropped() {
    forged_sources(0).await;
}

/// What is shaped takes another way through the kernel, past some of its filters.
#[tokio::test(flavor = "multi_thread")]
async fn forged_sources_are_dropped_of_limited_ports_too() {
    forged_sources(100_000).await;
}

async fn forged_sources(bandwidth_kbps: u64) {
    let mut lab = Lab::new();
    let a = PortView { bandwidth_kbps, ..port6(0, 11, &["sg-open"]) };
    let b = port6(0, 12, &["sg-open"]);
    lab.apply(vec![vpc6(&[a.clone(), b.clone()])]).await;
    let (ga, gb) = (launch6(&mut lab, &a).await, launch6(&mut lab, &b).await);
    ok(Some(&ga), "for ip in 2001:db8::99 2001:db8:9::9; do ip addr add $ip/128 dev eth0 nodad; done");
    assert!(ping6(&ga, "2001:db8::12"));
    let sends = |source: &str| delivers6(&ga, source, &gb, "2001:db8::12");
    let counted = || counter(&lab, &a, "counter", true);
    let before = counted();
    assert!(sends("2001:db8::11"), "its own address");
    assert!(!sends("2001:db8::99") && !sends("2001:db8:9::9"), "an address of the subnet, and any other");
    assert!(counted() >= before + 2);
    // With the source check off it is so as well: no route leads the IPv6 of others to a port.
    let unchecked = PortView { source_dest_check: false, ..a.clone() };
    lab.apply(vec![vpc6(&[unchecked, b.clone()])]).await;
    assert!(!sends("2001:db8::99") && sends("2001:db8::11"));
    // Another's MAC.
    ok(
        Some(&ga),
        "ip link set eth0 address 02:aa:01:00:00:0c; ip neigh replace fe80::1 lladdr 02:00:00:00:00:01 dev eth0",
    );
    assert!(!sends("2001:db8::11"), "another's MAC");
    ok(Some(&ga), &format!("ip link set eth0 address {}", a.mac));
    set_address(&ga, &a);
    assert!(sends("2001:db8::11"), "control: its own MAC");
    // The control: the address is told as its own.
    let wider = PortView { ipv6_addresses: vec!["2001:db8::11".to_owned(), "2001:db8::99".to_owned()], ..a.clone() };
    lab.apply(vec![vpc6(&[wider, b.clone()])]).await;
    assert!(sends("2001:db8::99") && !sends("2001:db8:9::9"));
}

/// How many packets the line of a port's chain with these words has dropped; the last such line where `last`.
pub fn counter(lab: &Lab, port: &PortView, words: &str, last: bool) -> u64 {
    let (ns, device) = (lab.names.vpc_ns("vpc-a"), lab.names.tap(&port.interface_id));
    let text = ok(Some(&ns), &format!("nft list chain inet vpc s6_{device}"));
    let mut lines: Vec<&str> = text.lines().filter(|line| line.contains(words) && line.contains("drop")).collect();
    if last {
        lines = lines.split_off(lines.len() - 1);
    }
    assert_eq!(lines.len(), 1, "{words}: {text}");
    let after = lines[0].split("counter packets ").nth(1).unwrap();
    after.split(' ').next().unwrap().parse().unwrap()
}

/// The lines about advertisements of others, and of the router.
const OTHERS: &str = "nd-neighbor-advert @th,64,64";
const ROUTERS: &str = "nd-neighbor-advert @th,64,128";

/// Counts what of this gets to the router itself.
const COUNT: &str = "nft insert rule inet vpc input icmpv6 type { nd-router-advert, nd-redirect } counter";

/// How much of it there was.
fn heard_by_router(lab: &Lab) -> u64 {
    let text = ok(Some(&lab.names.vpc_ns("vpc-a")), "nft list chain inet vpc input");
    let line = text.lines().find(|line| line.contains("nd-redirect") && line.contains("counter packets")).unwrap();
    line.split("packets ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
}

/// Sends an ICMPv6 message from this address to all nodes of the guest's link.
fn icmp(guest: &str, source: Option<&str>, message: &[u8]) {
    within(guest, || {
        let index = nix::net::if_::if_nametoindex("eth0").unwrap();
        let kind = socket2::Type::RAW;
        let socket = socket2::Socket::new(socket2::Domain::IPV6, kind, Some(socket2::Protocol::ICMPV6)).unwrap();
        socket.set_multicast_hops_v6(255).unwrap();
        socket.set_multicast_if_v6(index).unwrap();
        if let Some(source) = source {
            let source: Ipv6Addr = source.parse().unwrap();
            socket.bind(&SocketAddrV6::new(source, 0, 0, index).into()).unwrap();
        }
        let all: Ipv6Addr = "ff02::1".parse().unwrap();
        socket.send_to(message, &SocketAddrV6::new(all, 0, 0, index).into()).unwrap();
    });
}

fn about(kind: u8, target: &str, rest: &[u8]) -> Vec<u8> {
    let target: Ipv6Addr = target.parse().unwrap();
    [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &target.octets(), rest].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_is_no_router_no_dhcp_server_and_no_one_else() {
    let mut lab = Lab::new();
    let (a, b) = (port6(0, 11, &["sg-open"]), port6(0, 12, &["sg-open"]));
    lab.apply(vec![vpc6(&[a.clone(), b.clone()])]).await;
    let (ga, gb) = (launch6(&mut lab, &a).await, launch6(&mut lab, &b).await);
    assert!(ping6(&ga, "2001:db8::12") && ping6(&gb, "2001:db8::11"));
    let router_advert = [vec![134, 0, 0, 0, 64, 0, 7, 8], vec![0; 8]].concat();
    let redirect = about(137, "fe80::5", &"2001:db8::12".parse::<Ipv6Addr>().unwrap().octets());
    let cases: [(&str, &str, &[u8]); 3] = [
        ("nd-router-advert", "a router's announcement", &router_advert),
        ("nd-redirect", "a redirect", &redirect),
        (OTHERS, "the neighbour's advertisement", &about(136, "2001:db8::12", &[])),
    ];
    let device = lab.names.tap(&a.interface_id);
    let ns = lab.names.vpc_ns("vpc-a");
    ok(Some(&ns), COUNT);
    for (words, what, message) in &cases {
        let (before, heard) = (counter(&lab, &a, words, false), heard_by_router(&lab));
        icmp(&ga, None, message);
        assert_eq!(counter(&lab, &a, words, false), before + 1, "{what}");
        assert_eq!(heard_by_router(&lab), heard, "{what} gets nowhere");
    }
    // What DHCP servers send, to the neighbour.
    let answer = |listen: u16| {
        let socket = within(&gb, || std::net::UdpSocket::bind(format!("[::]:{listen}")).unwrap());
        socket.set_read_timeout(Some(std::time::Duration::from_millis(400))).unwrap();
        let to = format!("[2001:db8::12]:{listen}");
        within(&ga, || std::net::UdpSocket::bind("[2001:db8::11]:547").unwrap().send_to(b"x", to).unwrap());
        socket.recv_from(&mut [0; 16]).is_ok()
    };
    let before = counter(&lab, &a, "sport 547", false);
    assert!(!answer(546));
    assert_eq!(counter(&lab, &a, "sport 547", false), before + 1);
    // Its own may be advertised; it is not its router.
    let before = counter(&lab, &a, OTHERS, false);
    icmp(&ga, None, &about(136, "2001:db8::11", &[]));
    assert_eq!(counter(&lab, &a, OTHERS, false), before, "its own");
    ok(Some(&ga), "ip addr add fe80::1/64 dev eth0 nodad; ip addr add fe80:1::99/64 dev eth0 nodad");
    let before = (counter(&lab, &a, "ip6 saddr fe80::1", false), counter(&lab, &a, "counter", true));
    icmp(&ga, Some("fe80::1"), &about(135, "fe80::1", &[]));
    icmp(&ga, Some("fe80:1::99"), &about(135, "fe80::1", &[]));
    let after = (counter(&lab, &a, "ip6 saddr fe80::1", false), counter(&lab, &a, "counter", true));
    assert!(after.0 > before.0 && after.1 > before.1, "its router's name, and one of no link: {before:?} {after:?}");
    let before = counter(&lab, &a, ROUTERS, false);
    icmp(&ga, Some("2001:db8::11"), &about(136, "fe80::1", &[]));
    assert_eq!(counter(&lab, &a, ROUTERS, false), before + 1, "its router's place");
    ok(Some(&ga), "ip addr del fe80::1/64 dev eth0; ip addr del fe80:1::99/64 dev eth0");
    // The neighbours that the router has are those that it was told, whatever was said.
    let told = ok(Some(&ns), &format!("ip -6 neigh show dev {}", lab.names.tap(&b.interface_id)));
    assert!(told.contains(&format!("2001:db8::12 lladdr {} PERMANENT", b.mac)), "{told}");
    // The controls: without these rules all of it gets to the router, or the neighbour.
    ok(Some(&ns), &format!("nft flush chain inet vpc s6_{device}; nft add rule inet vpc s6_{device} accept"));
    for (_, what, message) in &cases[..2] {
        let heard = heard_by_router(&lab);
        icmp(&ga, None, message);
        assert!(heard_by_router(&lab) > heard, "control: {what}");
    }
    assert!(answer(546), "control: the DHCP server's answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_begins_a_flow_in_the_name_of_a_port_that_is_elsewhere() {
    let (mut one, mut two) = (Lab::with_vtep("192.0.2.1"), Lab::with_vtep("192.0.2.2"));
    crate::overlay::underlay(&one, &two);
    let (a, b) = (port6(0, 11, &["sg-open"]), port6(0, 12, &["sg-open"]));
    let view = |port: &PortView, remotes: [&str; 2], at: &str| {
        let mut view = vpc6(std::slice::from_ref(port));
        view.remotes = remotes.map(|ip| remote(ip, at)).to_vec();
        view
    };
    one.apply(vec![view(&a, ["10.0.0.12", "2001:db8::12"], "192.0.2.2")]).await;
    two.apply(vec![view(&b, ["10.0.0.11", "2001:db8::11"], "192.0.2.1")]).await;
    let (ga, gb) = (launch6(&mut one, &a).await, launch6(&mut two, &b).await);
    assert!(ping6(&ga, "2001:db8::12"));
    // The node of the forger is not there to stop it.
    let device = one.names.tap(&a.interface_id);
    let ns = one.names.vpc_ns("vpc-a");
    ok(Some(&ns), &format!("nft flush chain inet vpc s6_{device}; nft add rule inet vpc s6_{device} accept"));
    ok(Some(&ga), "for ip in 2001:db8::12 2001:db8::99; do ip addr add $ip/128 dev eth0 nodad; done");
    ok(
        Some(&ga),
        "ip -6 route add table 7 2001:db8::12 via fe80::1 dev eth0; ip -6 rule add pref 0 lookup 7; ip -6 rule add pref 1 lookup local; ip -6 rule del pref 0 lookup local",
    );
    assert!(delivers6(&ga, "2001:db8::99", &gb, "2001:db8::12"), "control: nobody's name");
    assert!(!delivers6(&ga, "2001:db8::12", &gb, "2001:db8::12"), "the name of a port that is there");
}

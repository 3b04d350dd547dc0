//! A guest's link, on which there is nobody but its router: what a guest can say there, how often, and in what disguise.

use crate::ipv6::{launch6, ping6, port6, set_address, vpc6};
use crate::lab::*;
use crate::packets::{icmp6, send_raw, v6, with_sum};
use crate::spoof6::counter;
use socket2::{Domain, Protocol, Socket, Type};
use std::net::{Ipv6Addr, UdpSocket};
use std::time::{Duration, Instant};

const ALL_NODES: &str = "ff02::1";
const ALL_ROUTERS: &str = "ff02::2";
const DHCP_SERVERS: &str = "ff02::1:2";

fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// The link-local address that the port's MAC makes.
fn link_local(port: &mallee_proto::v1::PortView) -> String {
    mallee_net::model::Mac::parse(&port.mac).unwrap().link_local().to_string()
}

/// Hears ICMPv6 of a guest.
fn ears(guest: &str) -> Socket {
    let socket = within(guest, || Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6)).unwrap());
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    socket
}

/// How often a router announced itself, until for a while there is nothing.
fn announced(ears: &Socket) -> usize {
    let (mut count, mut first) = (0, [0; 1]);
    let end = Instant::now() + Duration::from_secs(10);
    let socket: UdpSocket = ears.try_clone().unwrap().into();
    while Instant::now() < end {
        match socket.recv(&mut first) {
            Ok(_) if first[0] == 134 => count += 1,
            Ok(_) => {}
            Err(_) => break,
        }
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_without_an_address_may_ask_for_its_router_and_not_without_end() {
    let mut lab = Lab::new();
    let a = port6(0, 11, &["sg-open"]);
    lab.apply(vec![vpc6(std::slice::from_ref(&a))]).await;
    let ga = launch6(&mut lab, &a).await;
    assert!(ping6(&ga, "fe80::1%eth0"));
    let ears = ears(&ga);
    let question = icmp6(Ipv6Addr::UNSPECIFIED, ip(ALL_ROUTERS), &[133, 0, 0, 0, 0, 0, 0, 0]);
    let heard = (0..3).any(|_| {
        announced(&ears);
        send_raw(&ga, ALL_ROUTERS, &question);
        announced(&ears) > 0
    });
    assert!(heard, "it has no address yet");
    // Nothing else without a source.
    let before = counter(&lab, &a, "counter", true);
    send_raw(&ga, "fe80::1", &icmp6(Ipv6Addr::UNSPECIFIED, ip("fe80::1"), &[128, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!(counter(&lab, &a, "counter", true), before + 1);
    let before = counter(&lab, &a, "nd-router-solicit limit", false);
    let started = Instant::now();
    for _ in 0..200 {
        send_raw(&ga, ALL_ROUTERS, &question);
    }
    let seconds = usize::try_from(started.elapsed().as_secs()).unwrap();
    let answers = announced(&ears);
    assert!((1..=14 + 2 * seconds).contains(&answers), "{answers} answers to 200 questions");
    // So it is with DHCPv6.
    let before6 = counter(&lab, &a, "dport 547 limit", false);
    let message = with_sum(ip(&link_local(&a)), ip(DHCP_SERVERS), 17, 6, &[2, 34, 2, 35, 0, 12, 0, 0, 1, 0, 0, 1]);
    for _ in 0..200 {
        send_raw(&ga, DHCP_SERVERS, &v6(ip(&link_local(&a)), ip(DHCP_SERVERS), 17, 1, &message));
    }
    assert!(counter(&lab, &a, "dport 547 limit", false) > before6 + 100);
    assert!(counter(&lab, &a, "nd-router-solicit limit", false) >= before + 180 - 2 * u64::try_from(seconds).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn its_router_looks_for_nobody_on_a_guests_link() {
    let mut lab = Lab::new();
    let a = port6(0, 11, &["sg-open"]);
    lab.apply(vec![vpc6(std::slice::from_ref(&a))]).await;
    let ga = launch6(&mut lab, &a).await;
    assert!(ping6(&ga, "fe80::1%eth0"));
    let (ns, device) = (lab.names.vpc_ns("vpc-a"), lab.names.tap(&a.interface_id));
    ok(Some(&ga), "for n in 1 2 3; do ip neigh replace fe80::dead:$n lladdr 02:00:00:00:00:01 dev eth0; done");
    let echo = [128, 0, 0, 0, 0, 0, 0, 0];
    let sends = || {
        for to in ["fe80::dead:1", "fe80::dead:2", "fe80::dead:3"] {
            for source in ["2001:db8::11", &link_local(&a)] {
                send_raw(&ga, to, &icmp6(ip(source), ip(to), &echo));
            }
        }
    };
    let looked_for = || ok(Some(&ns), &format!("ip -6 neigh show dev {device}")).matches("fe80::dead").count();
    let before = counter(&lab, &a, "ip6 daddr != fe80::1", false);
    sends();
    assert_eq!(looked_for(), 0);
    assert_eq!(counter(&lab, &a, "ip6 daddr != fe80::1", false), before + 6);
    // The control: without the rules it looks for each.
    ok(Some(&ns), &format!("nft flush chain inet vpc s6_{device}; nft add rule inet vpc s6_{device} accept"));
    sends();
    assert_eq!(looked_for(), 3, "control");
}

/// Who asks in ever other names makes the router look for few of them: the host's list of whom it looks for is short.
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_has_few_link_local_addresses() {
    let mut lab = Lab::new();
    let a = port6(0, 11, &["sg-open"]);
    lab.apply(vec![vpc6(std::slice::from_ref(&a))]).await;
    let ga = launch6(&mut lab, &a).await;
    assert!(ping6(&ga, "fe80::1%eth0"));
    let (ns, device) = (lab.names.vpc_ns("vpc-a"), lab.names.tap(&a.interface_id));
    let ask = || {
        for n in 1..=50 {
            let source = ip(&format!("fe80::bad:{n}"));
            // Whose address is the router's, and where the answer is to go.
            let about =
                [&[135, 0, 0, 0, 0, 0, 0, 0][..], &ip("fe80::1").octets(), &[1, 1, 2, 0xaa, 1, 0, 0, 11]].concat();
            send_raw(&ga, "ff02::1:ff00:1", &icmp6(source, ip("ff02::1:ff00:1"), &about));
        }
    };
    let learnt = || ok(Some(&ns), &format!("ip -6 neigh show dev {device}")).matches("fe80::bad").count();
    ask();
    ask();
    assert!((1..=3).contains(&learnt()), "{}", learnt());
    // The control: without the rules it learns each.
    ok(Some(&ns), &format!("nft flush chain inet vpc s6_{device}; nft add rule inet vpc s6_{device} accept"));
    ask();
    assert_eq!(learnt(), 50, "control");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_in_disguise_is_none() {
    let mut lab = Lab::new();
    let a = port6(0, 11, &["sg-open"]);
    lab.apply(vec![vpc6(std::slice::from_ref(&a))]).await;
    let ga = launch6(&mut lab, &a).await;
    assert!(ping6(&ga, "fe80::1%eth0"));
    let (source, to) = (ip(&link_local(&a)), ip(ALL_NODES));
    let announcement = [&[134, 0, 0, 0, 64, 0, 7, 8][..], &[0; 8]].concat();
    let message = with_sum(source, to, 58, 2, &announcement);
    let options = |next: u8| vec![next, 0, 1, 4, 0, 0, 0, 0];
    let disguises: [(&str, u8, Vec<u8>); 3] = [
        ("options by hop", 0, options(58)),
        ("options of the destination", 60, options(58)),
        ("both, and one more", 0, [options(60), options(60), options(58)].concat()),
    ];
    for (what, next, headers) in disguises {
        let before = counter(&lab, &a, "nd-router-advert", false);
        send_raw(&ga, ALL_NODES, &v6(source, to, next, 255, &[&headers[..], &message].concat()));
        assert_eq!(counter(&lab, &a, "nd-router-advert", false), before + 1, "{what}");
    }
    // As the only piece of a fragmented one it does not get as far.
    let ns = lab.names.vpc_ns("vpc-a");
    let dropped = || {
        let text = ok(Some(&ns), "nft list chain inet vpc pieces");
        let line = text.lines().find(|line| line.contains("own6")).unwrap().to_owned();
        line.split("packets ").nth(1).unwrap().split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let before = dropped();
    let headers = [58, 0, 0, 0, 0, 0, 0, 9];
    send_raw(&ga, ALL_NODES, &v6(source, to, 44, 255, &[&headers[..], &message].concat()));
    assert_eq!(dropped(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_answers_for_no_dhcp_server_from_whatever_port() {
    let mut lab = Lab::new();
    let (a, b) = (port6(0, 11, &["sg-open"]), port6(0, 12, &["sg-open"]));
    lab.apply(vec![vpc6(&[a.clone(), b.clone()])]).await;
    let (ga, gb) = (launch6(&mut lab, &a).await, launch6(&mut lab, &b).await);
    set_address(&gb, &b);
    assert!(ping6(&ga, "2001:db8::12"));
    let comes = |to: u16| {
        let socket = within(&gb, || UdpSocket::bind(format!("[::]:{to}")).unwrap());
        socket.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
        let to = format!("[2001:db8::12]:{to}");
        within(&ga, || UdpSocket::bind("[2001:db8::11]:0").unwrap().send_to(b"x", to).unwrap());
        socket.recv(&mut [0; 16]).is_ok()
    };
    let before = counter(&lab, &a, "dport 546", false);
    assert!(!comes(546) && comes(545), "what clients of DHCPv6 listen to, and any other port");
    assert_eq!(counter(&lab, &a, "dport 546", false), before + 1);
}

//! NAT gateways: from one node and by another one, never in, and what a change or a killed agent leaves of flows.

use crate::hops::by;
use crate::lab::*;
use crate::overlay::underlay;
use crate::public::world;
use crate::services::nslookup;
use mallee_node_core::network::NetworkEngine as _;
use mallee_proto::v1::{PortAddress, PortView, RouteTableView, RouteTarget, VpcView};
use mallee_runtime::FaultAction;
use std::collections::BTreeMap;
use std::net::UdpSocket;

const WORLD: &str = "198.51.100.2";
const PUBLIC: &str = "203.0.113.5";

/// A NAT gateway in the second subnet, which has a way to the world.
fn gateway_port(n: u8, public: &str) -> PortView {
    let public_ip = public.to_owned();
    PortView { nat: true, routed_to: true, source_dest_check: false, public_ip, ..port("a", 1, n, &[]) }
}

/// The first subnet leads to the world by the gateway with this address.
fn by_gateway(ports: &[PortView], remotes: &[(&str, &str)], gateway: &str) -> VpcView {
    let mut view = vpc("a", 100, ports);
    view.subnets = vec![subnet("a", 0, 1), subnet("a", 1, 2)];
    view.route_tables = vec![
        RouteTableView { number: 1, routes: vec![by("0.0.0.0/0", gateway)], ..Default::default() },
        route_table(2, &[("0.0.0.0/0", RouteTarget::Internet)]),
    ];
    view.remotes = remotes.iter().map(|(ip, at)| remote(ip, at)).collect();
    view
}

/// The world has a way to public addresses, which it sees as they are, and a server that says who connects.
fn outside(lab: &mut Lab) -> String {
    let world = world(lab);
    lab.config.public_link = Some("w0".to_owned());
    lab.restart();
    ok(Some(&world), "ip route replace 203.0.113.0/24 via 198.51.100.1");
    lab.tcp_server(&world, 80);
    lab.udp_echo(&world, 7);
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_reach_the_world_by_a_gateway_and_are_not_reached() {
    let mut lab = Lab::new();
    let world = outside(&mut lab);
    let (a, b) = (port("a", 0, 11, &["sg-open"]), port("a", 0, 12, &["sg-open"]));
    let nat = gateway_port(5, PUBLIC);
    lab.apply(vec![by_gateway(&[a.clone(), b.clone(), nat.clone()], &[], "10.0.1.5")]).await;
    let (ga, gb) = (lab.launch(&a).await, lab.launch(&b).await);
    for guest in [&ga, &gb] {
        assert_eq!(connect(guest, WORLD, 80).as_deref(), Some(PUBLIC), "from the gateway's address");
        assert!(ping(guest, WORLD));
    }
    // Both from one port of theirs, to one place: each gets its own answers.
    let sockets = [&ga, &gb].map(|guest| within(guest, || UdpSocket::bind("0.0.0.0:5555").unwrap()));
    for (n, socket) in sockets.iter().enumerate() {
        socket.set_read_timeout(Some(std::time::Duration::from_secs(1))).unwrap();
        socket.send_to(&[u8::try_from(n).unwrap()], (WORLD, 7)).unwrap();
    }
    for (n, socket) in sockets.iter().enumerate() {
        let mut answer = [9];
        assert_eq!(socket.recv_from(&mut answer).unwrap().0, 1);
        assert_eq!(usize::from(answer[0]), n);
    }
    // Nobody begins anything from outside, nor with the gateway itself.
    lab.tcp_server(&ga, 80);
    assert!(connect(&gb, "10.0.0.11", 80).is_some(), "control: it serves");
    assert!(!ping(&world, PUBLIC) && connect(&world, PUBLIC, 80).is_none());
    assert!(!ping(&ga, "10.0.1.5"));
    ok(Some(&world), "ip route replace 10.0.0.0/16 via 198.51.100.1");
    assert!(connect(&world, "10.0.0.11", 80).is_none());
    // A full packet, and one too large for the way is told so.
    assert!(sh(Some(&ga), &format!("busybox ping -c 1 -W 1 -s 1422 {WORLD}")).status.success());
    // Without its public address it leads to the world no more; without the port there is nothing left of it.
    lab.apply(vec![by_gateway(&[a.clone(), b.clone(), gateway_port(5, "")], &[], "10.0.1.5")]).await;
    assert!(connect(&ga, WORLD, 80).is_none());
    lab.apply(vec![by_gateway(&[a, b, nat], &[], "10.0.1.5")]).await;
    assert!(connect(&ga, WORLD, 80).is_some(), "control");
    let ports = lab.engine().inventory().await.unwrap().ports;
    assert!(ports.contains(&"eni-a-1-5".to_owned()), "{ports:?}");
    lab.apply(vec![]).await;
    assert_eq!(lab.engine().inventory().await.unwrap().strays, Vec::<String>::new());
    let left = ok(None, "ip netns list");
    assert!(!left.contains(&lab.names.nat_ns("eni-a-1-5")), "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_a_gateway_on_another_node() {
    let (mut one, mut two) = (Lab::with_vtep("192.0.2.1"), Lab::with_vtep("192.0.2.2"));
    underlay(&one, &two);
    let world = outside(&mut two);
    let (a, c) = (port("a", 0, 11, &["sg-open"]), port("a", 0, 13, &["sg-open"]));
    let nat = gateway_port(5, PUBLIC);
    let at_two = [("10.0.1.5", "192.0.2.2"), ("10.0.0.13", "192.0.2.2")];
    one.apply(vec![by_gateway(std::slice::from_ref(&a), &at_two, "10.0.1.5")]).await;
    two.apply(vec![by_gateway(&[c.clone(), nat], &[("10.0.0.11", "192.0.2.1")], "10.0.1.5")]).await;
    let (ga, gc) = (one.launch(&a).await, two.launch(&c).await);
    assert_eq!(connect(&ga, WORLD, 80).as_deref(), Some(PUBLIC), "from the node without it");
    assert_eq!(connect(&gc, WORLD, 80).as_deref(), Some(PUBLIC), "from its own");
    assert!(!ping(&world, PUBLIC));
    assert!(sh(Some(&ga), &format!("busybox ping -c 1 -W 1 -s 1422 {WORLD}")).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_on_one_node_are_two() {
    let mut lab = Lab::new();
    let _world = outside(&mut lab);
    let a = port("a", 0, 11, &["sg-open"]);
    let ports = [a.clone(), gateway_port(5, PUBLIC), gateway_port(6, "203.0.113.6")];
    for (gateway, public) in [("10.0.1.5", PUBLIC), ("10.0.1.6", "203.0.113.6")] {
        lab.apply(vec![by_gateway(&ports, &[], gateway)]).await;
        let ga = match lab.guests.last() {
            Some(guest) => guest.clone(),
            None => lab.launch(&a).await,
        };
        assert_eq!(connect(&ga, WORLD, 80).as_deref(), Some(public));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_by_a_gateway_notice_no_change_and_no_restart() {
    let mut lab = Lab::new();
    let _world = outside(&mut lab);
    let a = port("a", 0, 11, &["sg-open"]);
    let ports = [a.clone(), gateway_port(5, PUBLIC)];
    lab.apply(vec![by_gateway(&ports, &[], "10.0.1.5")]).await;
    let ga = lab.launch(&a).await;
    let pinger = Pinger::start(&ga, &format!("{WORLD}:7"));
    for n in 0..20u8 {
        let more = PortView { public_ip: format!("203.0.113.{}", 50 + n), ..port("a", 1, 100 + n, &["sg-open"]) };
        lab.apply(vec![by_gateway(&[ports[0].clone(), ports[1].clone(), more], &[], "10.0.1.5")]).await;
        if n % 5 == 0 {
            lab.restart();
        }
    }
    let (sent, lost) = pinger.stop();
    assert!(sent > 100 && lost.is_empty(), "{lost:?} of {sent}");
}

/// Which addresses the world sees, of so many connections.
fn seen(guest: &str, times: usize) -> BTreeMap<String, usize> {
    let mut seen = BTreeMap::new();
    for _ in 0..times {
        let from = connect(guest, WORLD, 80).expect("each connection is served");
        *seen.entry(from).or_default() += 1;
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_are_spread_over_the_addresses_of_a_gateway_and_one_drains() {
    const SECOND: &str = "203.0.113.6";
    let mut lab = Lab::new();
    let _world = outside(&mut lab);
    let a = port("a", 0, 11, &["sg-open"]);
    let alone = gateway_port(5, PUBLIC);
    let second =
        PortAddress { private_ip: "10.0.1.6".to_owned(), public_ip: SECOND.to_owned(), ..PortAddress::default() };
    let both = PortView { secondary: vec![second], ..alone.clone() };
    let drains = PortView { nat_draining: vec!["10.0.1.6".to_owned()], ..both.clone() };
    lab.apply(vec![by_gateway(&[a.clone(), alone.clone()], &[], "10.0.1.5")]).await;
    let ga = lab.launch(&a).await;
    assert_eq!(seen(&ga, 10).into_keys().collect::<Vec<_>>(), [PUBLIC], "control: one address");
    let first = Pinger::start(&ga, &format!("{WORLD}:7"));
    lab.apply(vec![by_gateway(&[a.clone(), both.clone()], &[], "10.0.1.5")]).await;
    let spread = seen(&ga, 60);
    assert_eq!(spread.keys().collect::<Vec<_>>(), [PUBLIC, SECOND], "{spread:?}");
    assert!(spread.values().all(|times| *times >= 10), "{spread:?}");
    assert!(ping(&ga, WORLD), "what has no ports passes too");
    // Flows of before, some of them from the second address.
    let bound = || (0..20).map(|_| UdpSocket::bind("0.0.0.0:0").unwrap()).collect::<Vec<_>>();
    let old = within(&ga, bound);
    let answered = || old.iter().filter(|socket| echoed(socket)).count();
    assert_eq!(answered(), 20);
    lab.apply(vec![by_gateway(&[a.clone(), drains], &[], "10.0.1.5")]).await;
    assert_eq!(seen(&ga, 30).into_keys().collect::<Vec<_>>(), [PUBLIC], "no new flow");
    assert_eq!(answered(), 20, "old ones go on");
    lab.restart();
    lab.apply(vec![by_gateway(&[a.clone(), both.clone()], &[], "10.0.1.5")]).await;
    assert_eq!(answered(), 20, "and are as before when it drains no more");
    assert_eq!(seen(&ga, 60).len(), 2);
    // Taken away, its flows end; those of the other one do not.
    lab.apply(vec![by_gateway(&[a, alone], &[], "10.0.1.5")]).await;
    assert_eq!(seen(&ga, 30).into_keys().collect::<Vec<_>>(), [PUBLIC]);
    let left = answered();
    assert!((1..20).contains(&left), "{left} of 20 were from the first address");
    let (sent, lost) = first.stop();
    assert!(sent > 20 && lost.is_empty(), "{lost:?} of {sent}");
}

/// Whether what is sent comes back.
fn echoed(socket: &UdpSocket) -> bool {
    socket.set_read_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
    socket.send_to(&[7], (WORLD, 7)).unwrap();
    socket.recv_from(&mut [0]).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_cannot_be_made_keeps_nothing_else_waiting() {
    let mut lab = Lab::new();
    let _world = outside(&mut lab);
    let (a, b) = (port("a", 0, 11, &["sg-open"]), port("a", 0, 12, &["sg-open"]));
    let vpcs = vec![by_gateway(&[a.clone(), b.clone(), gateway_port(5, PUBLIC)], &[], "10.0.1.5")];
    lab.faults.arm("net.apply.nat", FaultAction::Fail, 2);
    for _ in 0..2 {
        let view = lab.view(vpcs.clone());
        let applied = lab.engine().apply(view).await.unwrap();
        assert_eq!(applied.port_errors.keys().collect::<Vec<_>>(), ["eni-a-1-5"], "{applied:?}");
    }
    let (ga, _gb) = (lab.launch(&a).await, lab.launch(&b).await);
    assert!(ping(&ga, "10.0.0.12"), "its neighbours have their network");
    assert!(nslookup(&ga, "ip-10-0-0-12.zone1.internal", "10.0.0.2").contains("10.0.0.12"));
    assert!(connect(&ga, WORLD, 80).is_none(), "not by another way");
    lab.apply(vpcs).await;
    assert!(reached(&ga, WORLD, 80), "the next apply has made it");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_a_gateway_is_there_after_the_next() {
    let mut lab = Lab::new();
    let _world = outside(&mut lab);
    let a = port("a", 0, 11, &["sg-open"]);
    let ports = [a.clone(), gateway_port(5, PUBLIC)];
    for point in ["net.apply.nat", "net.apply.natted", "net.apply.routes", "net.apply.edge"] {
        for action in [FaultAction::Kill, FaultAction::Fail] {
            lab.engine().destroy_all().await.unwrap();
            lab.restart();
            lab.faults.arm(point, action, 1);
            let view = lab.view(vec![by_gateway(&ports, &[], "10.0.1.5")]);
            let failed = tokio::select! {
                applied = lab.engine().apply(view) => applied.map_or(true, |a| !a.port_errors.is_empty()),
                () = lab.faults.killed() => true,
            };
            assert!(failed, "{point} {action:?} goes unnoticed");
            if action == FaultAction::Kill {
                lab.restart();
            }
            lab.apply(vec![by_gateway(&ports, &[], "10.0.1.5")]).await;
            let ga = lab.launch(&a).await;
            assert_eq!(connect(&ga, WORLD, 80).as_deref(), Some(PUBLIC), "{point} {action:?}");
            assert_eq!(lab.engine().inventory().await.unwrap().strays, Vec::<String>::new());
            ok(None, &format!("ip netns delete {ga}"));
            lab.guests.clear();
            // One whose namespace somebody took away is made anew.
            ok(None, &format!("ip netns delete {}", lab.names.nat_ns("eni-a-1-5")));
            lab.restart();
            lab.apply(vec![by_gateway(&ports, &[], "10.0.1.5")]).await;
            let ga = lab.launch(&a).await;
            assert_eq!(connect(&ga, WORLD, 80).as_deref(), Some(PUBLIC), "{point} {action:?}, anew");
            ok(None, &format!("ip netns delete {ga}"));
            lab.guests.clear();
        }
    }
}

//! IPv6 beyond the VPC: the world by gateways of both kinds, the host, other VPCs, peers, and several hosts on one network.

use crate::guest6::set_address;
use crate::ipv6::{address, launch6, ping6, ping6_once, port6, vpc6};
use crate::lab::*;
use crate::overlay::underlay;
use mallee_node_core::network::NetworkEngine as _;
use mallee_proto::v1::{PeeringView, PortView, RouteTarget, RouteView, VpcView};
use std::time::{Duration, Instant};

/// All VPCs' blocks are of it.
const POOL6: &str = "2001:db8::/40";
/// The world's address, and the host's there.
const WORLD: &str = "[3fff::2]";
const HOST: &str = "[3fff::1]";

pub fn lab6(vtep: &str) -> Lab {
    let mut lab = Lab::with_vtep(vtep);
    lab.config.public_pool6 = vec![POOL6.parse().unwrap()];
    lab.restart();
    lab
}

/// A network beyond the host, which knows the pool by the host.
pub fn world6(lab: &Lab) -> String {
    let world = format!("{}-world", lab.prefix);
    ok(None, &format!("ip netns add {world}; ip -n {} link add w0 type veth peer name w1 netns {world}", lab.host));
    ok(Some(&lab.host), "ip addr add 3fff::1/64 dev w0 nodad; ip link set w0 up");
    ok(Some(&world), "ip link set lo up; ip addr add 3fff::2/64 dev w1 nodad; ip link set w1 up");
    ok(Some(&world), &format!("ip route add {POOL6} via 3fff::1"));
    lab.tcp_server(&world, 80);
    world
}

/// With IPv6 routes: those of table 1, which subnet 0 has, and those of table 2, which subnet 1 has.
pub fn routed(mut view: VpcView, first: &[(&str, RouteTarget)], second: &[(&str, RouteTarget)]) -> VpcView {
    let four = view.route_tables.remove(0).routes;
    view.route_tables = [(1, first), (2, second)]
        .map(|(number, six)| {
            let mut table = route_table(number, six);
            table.ipv6_routes = std::mem::replace(&mut table.routes, four.clone());
            table
        })
        .to_vec();
    view.subnets[1].route_table = 2;
    view
}

fn at(subnet: u8, n: u8) -> String {
    format!("[{}]", address(subnet, n))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_its_subnet_says_how_an_instance_and_the_world_meet() {
    let mut lab = lab6("192.0.2.1");
    let world = world6(&lab);
    let (open, outward) = (port6(0, 11, &["sg-open"]), port6(1, 12, &["sg-open"]));
    let closed = port6(0, 13, &["sg-none"]);
    let (internet, one_way) = ([("::/0", RouteTarget::Internet)], [("::/0", RouteTarget::EgressOnly)]);
    let view = |first: &[_], second: &[_]| {
        let mut view = routed(vpc6(&[open.clone(), outward.clone(), closed.clone()]), first, second);
        view.groups.push(group("sg-none", vec![]));
        vec![view]
    };
    lab.apply(view(&internet, &one_way)).await;
    let (gopen, gout) = (launch6(&mut lab, &open).await, launch6(&mut lab, &outward).await);
    let gclosed = launch6(&mut lab, &closed).await;
    for guest in [&gopen, &gout, &gclosed] {
        lab.tcp_server(guest, 80);
    }
    lab.tcp_server(&lab.host, 8773);
    lab.tcp_server(&lab.host, 22);
    let host = lab.host.clone();
    assert_eq!(connect(&world, &at(0, 11), 80).as_deref(), Some("3fff::2"), "inbound, by the address that it has");
    assert!(connect(&world, &at(1, 12), 80).is_none(), "nobody begins anything with the other");
    assert!(connect(&world, &at(0, 13), 80).is_none(), "groups decide");
    assert_eq!(connect(&gopen, WORLD, 80).as_deref(), Some("3fff::1"), "outbound, behind the host");
    assert!(connect(&gout, WORLD, 80).is_some(), "both begin what they like");
    assert!(connect(&gclosed, WORLD, 80).is_none());
    assert!(ping6(&world, &address(0, 11)) && !ping6_once(&world, &address(1, 12)));
    assert_eq!(connect(&host, &at(0, 11), 80).as_deref(), Some("fd6d:616c:6c66::1"), "the host, as rules can name it");
    assert!(connect(&host, &at(1, 12), 80).is_none(), "the host is the world");
    assert!(connect(&gopen, HOST, 8773).is_some(), "the cloud's own API on the host");
    assert!(connect(&gopen, HOST, 22).is_none(), "nothing else on the host");
    assert!(connect(&gopen, &at(1, 12), 80).is_some(), "inside the VPC all is as before");
    assert!(!ping6_once(&world, &address(0, 99)), "nobody's");
    // A large packet in both directions.
    assert!(sh(Some(&world), &format!("busybox ping -6 -c 2 -W 1 -s 1400 {}", address(0, 11))).status.success());
    // The two change places. What the one has begun goes on, and nothing new begins.
    lab.apply(view(&one_way, &internet)).await;
    assert!(connect(&world, &at(0, 11), 80).is_none() && connect(&world, &at(1, 12), 80).is_some());
    assert!(connect(&gopen, WORLD, 80).is_some());
    // A part of the world only; a longer route leads nowhere.
    let part = [("::/0", RouteTarget::Internet), ("3fff::/64", RouteTarget::Blackhole)];
    lab.apply(view(&part, &[])).await;
    assert!(connect(&gopen, WORLD, 80).is_none() && connect(&gout, WORLD, 80).is_none());
    assert!(connect(&world, &at(1, 12), 80).is_none(), "no route any more");
    // The last route goes, and with it everything on the host.
    lab.apply(view(&[], &[])).await;
    assert!(connect(&world, &at(0, 11), 80).is_none() && ping6(&gopen, &address(1, 12)));
    assert_eq!(ok(Some(&host), "ip -6 route show proto 188; nft list tables").trim(), "");
    let ns = lab.names.vpc_ns("vpc-a");
    assert!(!ok(Some(&ns), "ip -6 rule").contains("fwmark"));
    assert_eq!(sh(Some(&ns), "ip -6 route show table 1001").stdout, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn vpcs_of_a_host_meet_as_parts_of_the_world_and_in_no_other_name() {
    let mut lab = lab6("192.0.2.1");
    let _world = world6(&lab);
    let a = port6(0, 11, &["sg-open"]);
    let b = PortView { ipv6_addresses: vec!["2001:db8:0:100::12".to_owned()], ..port("bb", 0, 12, &["sg-open"]) };
    let view = |target: RouteTarget| {
        let first = routed(vpc6(std::slice::from_ref(&a)), &[("::/0", RouteTarget::Internet)], &[]);
        let mut second = routed(vpc6(&[]), &[("::/0", target)], &[]);
        (second.vpc_id, second.vni, second.ports) = ("vpc-bb".to_owned(), 101, vec![b.clone()]);
        second.ipv6_cidrs = vec!["2001:db8:0:100::/56".to_owned()];
        for (n, subnet) in second.subnets.iter_mut().enumerate() {
            subnet.id = format!("subnet-bb-{n}");
            subnet.ipv6_cidr = format!("2001:db8:0:10{n}::/64");
        }
        vec![first, second]
    };
    lab.apply(view(RouteTarget::Internet)).await;
    let (ga, gb) = (launch6(&mut lab, &a).await, launch6(&mut lab, &b).await);
    lab.tcp_server(&ga, 80);
    lab.tcp_server(&gb, 80);
    assert_eq!(connect(&ga, "[2001:db8:0:100::12]", 80), Some(address(0, 11)));
    assert!(connect(&gb, &at(0, 11), 80).is_some());
    lab.apply(view(RouteTarget::EgressOnly)).await;
    assert!(connect(&ga, "[2001:db8:0:100::12]", 80).is_none() && connect(&gb, &at(0, 11), 80).is_some());
    // In the name of one of the other VPC nothing leaves.
    ok(Some(&ga), "ip addr add 2001:db8:0:100::99/128 dev eth0 nodad");
    assert!(!sh(Some(&ga), "busybox ping -6 -c 1 -W 1 -I 2001:db8:0:100::99 3fff::2").status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_no_pool_of_the_host_stays_in_its_vpc_and_is_told() {
    let mut lab = Lab::new();
    let world = world6(&lab);
    let (a, b) = (port6(0, 11, &["sg-open"]), port6(0, 12, &["sg-open"]));
    let view = routed(vpc6(&[a.clone(), b.clone()]), &[("::/0", RouteTarget::Internet)], &[]);
    let view = lab.view(vec![view]);
    let applied = lab.engine().apply(view).await.unwrap();
    let told = applied.port_errors[&a.interface_id].clone();
    assert_eq!(told, "IPv6 address 2001:db8::11 is outside this node's pool of IPv6 addresses, extend the pool");
    let ga = lab.boot(&a).await;
    set_address(&ga, &a);
    let gb = lab.boot(&b).await;
    set_address(&gb, &b);
    assert!(ping6(&ga, &address(0, 12)) && !ping6_once(&world, &address(0, 11)) && !ping6_once(&ga, "3fff::2"));
}

/// Two VPCs of both families, peers of each other, each with its ports here.
fn peers(a: &[PortView], b: &[PortView]) -> Vec<VpcView> {
    let route = |to: &str| RouteView {
        destination: to.to_owned(),
        target: RouteTarget::Peering.into(),
        peering_id: "pcx-1".to_owned(),
        ..Default::default()
    };
    let one = |id: &str, block: &str, peer: &str, theirs: &str, ports: &[PortView], vni: u32| {
        let mut view = routed(vpc6(ports), &[], &[]);
        (view.vpc_id, view.vni) = (format!("vpc-{id}"), vni);
        view.cidr = format!("10.{vni}.0.0/16");
        view.ipv6_cidrs = vec![format!("{block}::/56")];
        for (n, subnet) in view.subnets.iter_mut().enumerate() {
            (subnet.id, subnet.cidr) = (format!("subnet-{id}-{n}"), format!("10.{vni}.{n}.0/24"));
            subnet.ipv6_cidr = format!("{}{n}::/64", block.strip_suffix('0').unwrap());
        }
        view.route_tables[0].ipv6_routes = vec![route(&format!("{theirs}::/56"))];
        view.peerings = vec![PeeringView {
            id: "pcx-1".to_owned(),
            peer_vpc_id: format!("vpc-{peer}"),
            peer_cidrs: vec![format!("10.{}.0.0/16", if vni == 100 { 101 } else { 100 })],
            peer_ipv6_cidrs: vec![format!("{theirs}::/56")],
        }];
        view
    };
    let (of_a, of_b) = ("2001:db8:0:0", "2001:db8:0:100");
    vec![one("a", of_a, "bb", of_b, a, 100), one("bb", of_b, "a", of_a, b, 101)]
}

fn peer(id: &str, n: u8, ip: &str) -> PortView {
    let private_ip = format!("10.{}.0.{n}", 99 + id.len());
    PortView { private_ip, ipv6_addresses: vec![ip.to_owned()], ..port(id, 0, n, &["sg-open"]) }
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_reach_each_other_by_ipv6_and_nobody_else_by_them() {
    let mut lab = lab6("192.0.2.1");
    let (a, b) = (peer("a", 11, "2001:db8::11"), peer("bb", 12, "2001:db8:0:100::12"));
    lab.apply(peers(std::slice::from_ref(&a), std::slice::from_ref(&b))).await;
    let (ga, gb) = (launch6(&mut lab, &a).await, launch6(&mut lab, &b).await);
    lab.tcp_server(&gb, 80);
    assert_eq!(connect(&ga, "[2001:db8:0:100::12]", 80).as_deref(), Some("2001:db8::11"));
    assert!(ping6(&gb, "2001:db8::11"));
    assert!(!ping6_once(&ga, "2001:db8:0:100::99"), "nobody's");
    // The one has no blocks any more: what comes in its names does not enter.
    let mut half = peers(std::slice::from_ref(&a), std::slice::from_ref(&b));
    half[1].peerings[0].peer_ipv6_cidrs.clear();
    lab.apply(half).await;
    assert!(!ping6_once(&ga, "2001:db8:0:100::12") && !ping6_once(&gb, "2001:db8::11"));
    // A block of a peer's that is one's own is no peer's.
    let mut twice = peers(std::slice::from_ref(&a), std::slice::from_ref(&b));
    twice[1].peerings[0].peer_ipv6_cidrs = vec!["2001:db8:0:100::/56".to_owned()];
    lab.apply(twice).await;
    assert!(!ping6_once(&gb, "2001:db8::11"));
    lab.apply(peers(std::slice::from_ref(&a), std::slice::from_ref(&b))).await;
    assert!(ping6(&ga, "2001:db8:0:100::12"));
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_on_two_nodes_reach_each_other_through_a_vpc_without_ports_there() {
    let (mut one, mut two) = (lab6("192.0.2.1"), lab6("192.0.2.2"));
    underlay(&one, &two);
    let (a, b) = (peer("a", 11, "2001:db8::11"), peer("bb", 12, "2001:db8:0:100::12"));
    let placed = |a: &[PortView], b: &[PortView], (vpc, ip, at): (usize, &str, &str)| {
        let mut views = peers(a, b);
        views[vpc].remotes = vec![remote(ip, at)];
        // A VPC that is passed through has nothing but its blocks and peers.
        for view in views.iter_mut().filter(|view| view.ports.is_empty()) {
            (view.subnets, view.groups, view.route_tables) = Default::default();
        }
        views
    };
    one.apply(placed(std::slice::from_ref(&a), &[], (1, "2001:db8:0:100::12", "192.0.2.2"))).await;
    two.apply(placed(&[], std::slice::from_ref(&b), (0, "2001:db8::11", "192.0.2.1"))).await;
    let (ga, gb) = (launch6(&mut one, &a).await, launch6(&mut two, &b).await);
    two.tcp_server(&gb, 80);
    assert_eq!(connect(&ga, "[2001:db8:0:100::12]", 80).as_deref(), Some("2001:db8::11"));
    assert!(ping6(&gb, "2001:db8::11"));
    // A peer of both families that this node is told of without its IPv6 is passed through as ever, and nobody is warned.
    let mut views = placed(std::slice::from_ref(&a), &[], (1, "2001:db8:0:100::12", "192.0.2.2"));
    views[1].ipv6_cidrs.clear();
    let checked = mallee_net::check(&one.view(views), &one.config, &one.names).unwrap();
    assert_eq!(checked.warnings, Vec::<String>::new());
}

/// Two hosts and a stranger on one network, of which the pool is a part.
fn segment(hosts: [&mut Lab; 2]) -> String {
    let stranger = format!("{}-seg", hosts[0].prefix);
    ok(None, &format!("ip netns add {stranger}"));
    ok(Some(&stranger), "ip link set lo up; ip link add br0 type bridge; ip link set br0 up");
    ok(Some(&stranger), "ip addr add 2001:db8:ff::9/40 dev br0 nodad");
    for (n, lab) in hosts.into_iter().enumerate() {
        ok(None, &format!("ip -n {} link add s0 type veth peer name p{n} netns {stranger}", lab.host));
        ok(Some(&stranger), &format!("ip link set p{n} master br0 up"));
        ok(Some(&lab.host), &format!("ip addr add 2001:db8:ff::{}/40 dev s0 nodad; ip link set s0 up", n + 1));
        lab.config.public_link = Some("s0".to_owned());
        lab.restart();
    }
    stranger
}

fn known(stranger: &str, address: &str) -> String {
    let line = ok(Some(stranger), &format!("ip neigh show {address} dev br0"));
    let mut words = line.split_whitespace();
    words.by_ref().find(|word| *word == "lladdr");
    words.next().unwrap_or_default().to_owned()
}

fn mac(lab: &Lab) -> String {
    ok(Some(&lab.host), "ip -br link show s0 | awk '{print $3}'").trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_host_answers_for_its_own_instances_and_what_moves_is_found_at_once() {
    let (mut one, mut two) = (lab6("192.0.2.1"), lab6("192.0.2.2"));
    let stranger = segment([&mut one, &mut two]);
    one.tcp_server(&stranger, 80);
    let open = |ports: &[PortView]| vec![routed(vpc6(ports), &[("::/0", RouteTarget::Internet)], &[])];
    let (a, b, keep) = (port6(0, 11, &["sg-open"]), port6(0, 12, &["sg-open"]), port6(0, 13, &["sg-open"]));
    one.apply(open(&[a.clone(), keep.clone()])).await;
    two.apply(open(std::slice::from_ref(&b))).await;
    let (ga, gb) = (launch6(&mut one, &a).await, launch6(&mut two, &b).await);
    one.tcp_server(&ga, 81);
    assert!(ping6(&stranger, "2001:db8::11") && ping6(&stranger, "2001:db8::12"));
    assert_eq!((known(&stranger, "2001:db8::11"), known(&stranger, "2001:db8::12")), (mac(&one), mac(&two)));
    assert!(!ping6_once(&stranger, "2001:db8::99"), "nobody answers for nobody's");
    assert_eq!(connect(&ga, "[2001:db8:ff::9]", 80).as_deref(), Some("2001:db8::11"), "out, under its own address");
    assert!(connect(&two.host, &at(0, 11), 81).is_some(), "from the other host");
    // One address goes to the other host while the first still has it: it waits there.
    let both = PortView { ipv6_addresses: vec![address(0, 12), address(0, 11)], ..b.clone() };
    let view = two.view(open(std::slice::from_ref(&both)));
    let applied = two.engine().apply(view).await.unwrap();
    let waiting = applied.waiting[&b.interface_id].clone();
    assert!(waiting.starts_with("public address 2001:db8::11: another host ("), "{waiting}");
    assert!(ping6(&stranger, "2001:db8::11"), "and is served by the first as before");
    let bare = PortView { ipv6_addresses: vec![address(0, 15)], ..a.clone() };
    one.apply(open(&[bare, keep])).await;
    two.apply(open(std::slice::from_ref(&both))).await;
    set_address(&gb, &both);
    let deadline = Instant::now() + Duration::from_secs(5);
    while known(&stranger, "2001:db8::11") != mac(&two) {
        assert!(Instant::now() < deadline, "it was not announced");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(ping6(&stranger, "2001:db8::11"));
    let held = |lab: &Lab| ok(Some(&lab.host), "ip -6 neigh show proxy; ip -6 route show proto 188");
    assert!(!held(&one).contains("2001:db8::11 ") && held(&one).contains("2001:db8::13"));
    assert!(held(&two).contains("2001:db8::11 "));
    for lab in [&one, &two] {
        lab.engine().destroy_all().await.unwrap();
        assert_eq!(held(lab).trim(), "");
        assert_eq!(ok(Some(&lab.host), "nft list tables").trim(), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_has_its_way_by_a_router_keeps_it() {
    let mut lab = lab6("192.0.2.1");
    let world = world6(&lab);
    let listens = |lab: &Lab| ok(Some(&lab.host), "cat /proc/sys/net/ipv6/conf/w0/accept_ra").trim().to_owned();
    ok(Some(&lab.host), "sysctl -qw net.ipv6.conf.all.forwarding=0 net.ipv6.conf.w0.accept_ra=1");
    let a = port6(0, 11, &["sg-open"]);
    lab.apply(vec![vpc6(std::slice::from_ref(&a))]).await;
    assert_eq!(listens(&lab), "1", "where nothing leads to the world the host is as it was");
    lab.apply(vec![routed(vpc6(std::slice::from_ref(&a)), &[("::/0", RouteTarget::EgressOnly)], &[])]).await;
    assert_eq!(listens(&lab), "2");
    let ga = launch6(&mut lab, &a).await;
    assert!(ping6(&ga, "3fff::2") && !ping6_once(&world, "2001:db8::11"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ipv6_comes_and_goes_beside_public_addresses_and_past_dockers_forward_drop() {
    let mut lab = lab6("192.0.2.1");
    let world = world6(&lab);
    ok(Some(&lab.host), "ip addr add 198.51.100.1/24 dev w0");
    ok(Some(&world), "ip addr add 198.51.100.2/24 dev w1");
    for program in ["iptables", "ip6tables"] {
        let drop = format!("{program} -N DOCKER-USER; {program} -A FORWARD -j DOCKER-USER; {program} -P FORWARD DROP");
        ok(Some(&lab.host), &drop);
    }
    let listings = |lab: &Lab| ok(Some(&lab.host), "iptables -S; ip6tables -S");
    let before = listings(&lab);
    let a = PortView { public_ip: "203.0.113.5".to_owned(), ..port6(0, 11, &["sg-open"]) };
    let open = || vec![routed(vpc6(std::slice::from_ref(&a)), &[("::/0", RouteTarget::Internet)], &[])];
    lab.apply(open()).await;
    let ga = launch6(&mut lab, &a).await;
    lab.tcp_server(&ga, 80);
    let four =
        |lab: &Lab| connect(&ga, "198.51.100.2", 80).is_some() && connect(&lab.host, "203.0.113.5", 80).is_some();
    assert!(four(&lab) && connect(&ga, WORLD, 80).is_some() && connect(&world, &at(0, 11), 80).is_some());
    let table = lab.names.host_table();
    let tables = |lab: &Lab| ok(Some(&lab.host), "nft list tables");
    assert!(tables(&lab).contains(&format!("table ip6 {table}")));
    // Its IPv6 goes while the rest stays, and comes back.
    lab.apply(vec![vpc6(std::slice::from_ref(&a))]).await;
    assert!(four(&lab) && connect(&world, &at(0, 11), 80).is_none());
    assert!(
        !tables(&lab).contains(&format!("table ip6 {table}")) && tables(&lab).contains(&format!("table ip {table}"))
    );
    let edge = lab.names.edge_ns();
    assert_eq!(ok(Some(&edge), "cat /proc/net/if_inet6; ip -6 route"), "");
    lab.restart();
    lab.apply(open()).await;
    assert!(four(&lab) && connect(&ga, WORLD, 80).is_some() && connect(&world, &at(0, 11), 80).is_some());
    lab.engine().destroy_all().await.unwrap();
    assert_eq!(listings(&lab), before);
}

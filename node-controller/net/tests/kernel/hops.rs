//! Routes to ports: by a box on the same node and on another one, and past it never.

use crate::lab::*;
use crate::overlay::underlay;
use mallee_node_core::network::NetworkEngine as _;
use mallee_proto::v1::{PortView, RouteTableView, RouteTarget, RouteView, VpcView};

/// A route to the port with this address.
pub fn by(destination: &str, next_hop: &str) -> RouteView {
    RouteView {
        destination: destination.to_owned(),
        target: RouteTarget::Interface.into(),
        next_hop: next_hop.to_owned(),
        ..Default::default()
    }
}

/// A port that routes lead to, with the source check off.
pub fn boxed(subnet: u8, n: u8) -> PortView {
    PortView { source_dest_check: false, routed_to: true, ..port("a", subnet, n, &["sg-open"]) }
}

/// A view in which the first subnet has these routes, and the second one none.
pub fn led(ports: &[PortView], remotes: &[(&str, &str)], routes: &[RouteView]) -> VpcView {
    let mut view = vpc("a", 100, ports);
    view.subnets = vec![subnet("a", 0, 1), subnet("a", 1, 2)];
    view.route_tables = vec![
        RouteTableView { number: 1, routes: routes.to_vec(), ..Default::default() },
        RouteTableView { number: 2, ..Default::default() },
    ];
    view.remotes = remotes.iter().map(|(ip, at)| remote(ip, at)).collect();
    view
}

/// Makes a guest forward what is not its own, or not.
pub fn forwards(guest: &str, yes: bool) {
    let switch = u8::from(yes);
    let filter = "net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0";
    ok(Some(guest), &format!("sysctl -qw net.ipv4.ip_forward={switch} {filter}"));
}

/// The address of a network behind a box. It asks for its router in its own name: nobody answers what it asks in another.
pub fn behind(guest: &str) {
    ok(Some(guest), "sysctl -qw net.ipv4.conf.all.arp_announce=2; ip addr add 198.51.100.7/32 dev lo");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_on_the_same_node_gets_what_routes_lead_to_it() {
    let mut lab = Lab::new();
    let (a, gate, c) = (port("a", 0, 11, &["sg-open"]), boxed(1, 12), port("a", 1, 13, &["sg-open"]));
    let ports = [a.clone(), gate.clone(), c.clone()];
    let routes = [by("198.51.100.0/24", "10.0.1.12")];
    lab.apply(vec![led(&ports, &[], &routes)]).await;
    let (ga, gb, gc) = (lab.launch(&a).await, lab.launch(&gate).await, lab.launch(&c).await);
    behind(&gb);
    lab.tcp_server(&gb, 80);
    lab.tcp_server(&gc, 80);
    assert_eq!(connect(&ga, "198.51.100.7", 80).as_deref(), Some("10.0.0.11"), "a network behind the box");
    assert!(connect(&gc, "198.51.100.7", 80).is_none(), "a subnet without the route");
    // The check is on: it takes nothing but its own.
    let checked = PortView { source_dest_check: true, ..gate.clone() };
    let to_all = [by("0.0.0.0/0", "10.0.1.12"), by("10.0.1.0/24", "10.0.1.12")];
    lab.apply(vec![led(&[a.clone(), checked, c.clone()], &[], &to_all)]).await;
    assert!(!delivers(&ga, "10.0.0.11", &gb, "198.51.100.7"));
    assert!(ping(&ga, "10.0.1.12"), "control: its own address");
    lab.apply(vec![led(&ports, &[], &routes)]).await;
    assert!(delivers(&ga, "10.0.0.11", &gb, "198.51.100.7"), "control: the check is off again");
    // More specific than the VPC itself: a subnet by the box, which passes it on, or does not.
    forwards(&gb, false);
    let inside = [by("10.0.1.0/24", "10.0.1.12")];
    lab.apply(vec![led(&ports, &[], &inside)]).await;
    assert!(!delivers(&ga, "10.0.0.11", &gc, "10.0.1.13"), "the box does not forward");
    forwards(&gb, true);
    assert!(delivers(&ga, "10.0.0.11", &gc, "10.0.1.13"), "control: it does");
    assert_eq!(connect(&ga, "10.0.1.13", 80).as_deref(), Some("10.0.0.11"));
    ok(
        Some(&gb),
        "iptables -A FORWARD -p tcp --dport 80 -j DROP 2>/dev/null || nft 'table ip f { chain f { type filter hook forward priority 0; tcp dport 80 drop; }; }'",
    );
    assert!(connect(&ga, "10.0.1.13", 80).is_none(), "the box decides");
    assert!(delivers(&ga, "10.0.0.11", &gc, "10.0.1.13"), "control: of the rest it lets pass");
    // Gone, it is no way; and what it was on the way to is not reached past it.
    lab.engine().unplug(&gate.interface_id).await.unwrap();
    assert!(!delivers(&ga, "10.0.0.11", &gc, "10.0.1.13"), "without a device");
    lab.apply(vec![led(&[a.clone(), c.clone()], &[], &inside)]).await;
    assert!(!delivers(&ga, "10.0.0.11", &gc, "10.0.1.13"), "without a port");
    lab.apply(vec![led(&[a.clone(), c.clone()], &[], &[])]).await;
    assert!(delivers(&ga, "10.0.0.11", &gc, "10.0.1.13"), "control: straight");
}

#[tokio::test(flavor = "multi_thread")]
async fn within_a_subnet_nothing_is_routed() {
    let mut lab = Lab::new();
    let (a, gate, c) = (port("a", 0, 11, &["sg-open"]), boxed(0, 12), port("a", 0, 13, &["sg-open"]));
    let ports = [a.clone(), gate.clone(), c.clone()];
    // The whole VPC by a box in the same subnet, which has the same table.
    lab.apply(vec![led(&ports, &[], &[by("10.0.0.0/16", "10.0.0.12")])]).await;
    let (ga, gb, gc) = (lab.launch(&a).await, lab.launch(&gate).await, lab.launch(&c).await);
    assert!(ping(&ga, "10.0.0.13") && ping(&gb, "10.0.0.13") && ping(&gc, "10.0.0.12"), "neighbours");
    // What the box forwards for others to a neighbour goes there, too.
    behind(&gb);
    assert!(delivers(&gb, "198.51.100.7", &gc, "10.0.0.13"));
    let rules = ok(Some(&lab.names.vpc_ns("vpc-a")), "ip route show table 1001");
    assert!(rules.contains("10.0.0.0/16 via 10.0.0.12") && !rules.contains("throw"), "{rules}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_on_another_node() {
    let (mut one, mut two) = (Lab::with_vtep("192.0.2.1"), Lab::with_vtep("192.0.2.2"));
    underlay(&one, &two);
    let (a, gate, c) = (port("a", 0, 11, &["sg-open"]), boxed(1, 12), port("a", 1, 13, &["sg-open"]));
    let routes = [by("198.51.100.0/24", "10.0.1.12"), by("10.0.1.0/24", "10.0.1.12")];
    let at_two = [("10.0.1.12", "192.0.2.2"), ("10.0.1.13", "192.0.2.2")];
    let first = || led(std::slice::from_ref(&a), &at_two, &routes);
    let second = |gate: &PortView| led(&[gate.clone(), c.clone()], &[("10.0.0.11", "192.0.2.1")], &routes);
    one.apply(vec![first()]).await;
    two.apply(vec![second(&gate)]).await;
    let (ga, gb, gc) = (one.launch(&a).await, two.launch(&gate).await, two.launch(&c).await);
    behind(&gb);
    forwards(&gb, false);
    two.tcp_server(&gb, 80);
    assert_eq!(connect(&ga, "198.51.100.7", 80).as_deref(), Some("10.0.0.11"), "a network behind the box");
    assert!(!delivers(&ga, "10.0.0.11", &gc, "10.0.1.13"), "not past the box");
    assert!(ping(&ga, "10.0.1.12"), "the box itself");
    forwards(&gb, true);
    assert!(delivers(&ga, "10.0.0.11", &gc, "10.0.1.13"), "by the box");
    // A full packet, and what its own groups do not let in.
    assert!(sh(Some(&ga), "busybox ping -c 1 -W 1 -s 1422 198.51.100.7").status.success());
    let closed = PortView { group_ids: vec!["sg-out".to_owned()], ..gate.clone() };
    let mut view = second(&closed);
    view.groups.push(group("sg-out", vec![all_out()]));
    two.apply(vec![view]).await;
    assert!(!delivers(&ga, "10.0.0.11", &gb, "198.51.100.7"), "the box's groups decide");
    two.apply(vec![second(&PortView { source_dest_check: true, ..gate.clone() })]).await;
    assert!(!delivers(&ga, "10.0.0.11", &gb, "198.51.100.7"), "the check is on");
    assert!(ping(&ga, "10.0.1.12"), "control: its own address");
    // What an agent finds that starts anew is what it would make.
    two.apply(vec![second(&gate)]).await;
    let state = |lab: &Lab| {
        let ns = lab.names.vpc_ns("vpc-a");
        let found = ok(
            Some(&ns),
            "ip rule; ip route show table all; ip -br link | sed 's/@[^ ]*//'; ip neigh; bridge fdb show dev vx",
        );
        let mut lines: Vec<String> = found.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let before = (state(&one), state(&two));
    for lab in [&mut one, &mut two] {
        lab.restart();
    }
    one.apply(vec![first()]).await;
    two.apply(vec![second(&gate)]).await;
    assert_eq!((state(&one), state(&two)), before);
    assert!(delivers(&ga, "10.0.0.11", &gb, "198.51.100.7") && delivers(&ga, "10.0.0.11", &gc, "10.0.1.13"));
    // The box's device goes: what comes for others does not find its own way.
    ok(Some(&two.names.vpc_ns("vpc-a")), &format!("ip link del {}", two.names.tap(&gate.interface_id)));
    assert!(!delivers(&ga, "10.0.0.11", &gc, "10.0.1.13"));
    // No route leads to it any more: its device on the overlay and the rule are gone.
    two.apply(vec![led(std::slice::from_ref(&c), &[("10.0.0.11", "192.0.2.1")], &[])]).await;
    one.apply(vec![led(std::slice::from_ref(&a), &at_two, &[])]).await;
    let left = state(&two).join("\n");
    assert!(!left.contains("mh") && !left.contains("iif"), "{left}");
    let left = state(&one).join("\n");
    assert!(!left.contains("02:6e:"), "{left}");
    assert!(delivers(&ga, "10.0.0.11", &gc, "10.0.1.13"), "straight");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_a_box_nobody_speaks_in_anothers_name() {
    let (mut one, mut two) = (Lab::with_vtep("192.0.2.1"), Lab::with_vtep("192.0.2.2"));
    underlay(&one, &two);
    // The forger is a box on node one, and sends by a box on node two in the name of one who is there.
    let forger = PortView { source_dest_check: false, ..port("a", 0, 11, &["sg-open"]) };
    let (gate, victim) = (boxed(1, 12), port("a", 1, 13, &["sg-open"]));
    let routes = [by("198.51.100.0/24", "10.0.1.12")];
    let at_two = [("10.0.1.12", "192.0.2.2"), ("10.0.1.13", "192.0.2.2")];
    one.apply(vec![led(std::slice::from_ref(&forger), &at_two, &routes)]).await;
    two.apply(vec![led(&[gate.clone(), victim.clone()], &[("10.0.0.11", "192.0.2.1")], &routes)]).await;
    let (gf, gb, _gv) = (one.launch(&forger).await, two.launch(&gate).await, two.launch(&victim).await);
    behind(&gb);
    ok(
        Some(&gf),
        "sysctl -qw net.ipv4.conf.all.arp_announce=2; ip addr add 10.0.1.13/32 dev lo; ip addr add 203.0.113.77/32 dev lo",
    );
    assert!(!delivers(&gf, "10.0.1.13", &gb, "198.51.100.7"), "one who is there begins it himself");
    assert!(delivers(&gf, "203.0.113.77", &gb, "198.51.100.7"), "control: the source check is off");
    assert!(delivers(&gf, "10.0.0.11", &gb, "198.51.100.7"), "control: its own name");
}

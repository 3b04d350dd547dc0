//! Peering connections: two VPCs on one node and on two, whom they lead to, and whom not.

use crate::lab::*;
use crate::overlay::underlay;
use crate::public::world;
use mallee_node_core::network::NetworkEngine as _;
use mallee_proto::v1::group_rule::Peer;
use mallee_proto::v1::{PeeringView, PortView, RouteTarget, RouteView, SubnetView, VpcView};
use mallee_runtime::FaultAction;

/// The blocks of VPCs a, bb and ccc (their ids' lengths tell their MACs apart).
fn block(id: &str) -> String {
    format!("10.{}.0.0/16", id.len() * 10)
}

fn address(id: &str, n: u8) -> String {
    format!("10.{}.0.{n}", id.len() * 10)
}

fn interface(id: &str, n: u8, groups: &[&str]) -> PortView {
    PortView { private_ip: address(id, n), ..port(id, 0, n, groups) }
}

/// A VPC with these ports and routes: destination, and the peering connection it is over.
fn net(id: &str, ports: &[PortView], routes: &[(&str, &str)]) -> VpcView {
    let vni = 100 + u32::try_from(id.len()).unwrap();
    let mut view = vpc(id, vni, ports);
    view.cidr = block(id);
    view.subnets = vec![SubnetView { cidr: format!("10.{}.0.0/24", id.len() * 10), ..subnet(id, 0, 1) }];
    view.internet_gateway = true;
    let over = |(to, peering): &(&str, &str)| RouteView {
        destination: block(to),
        target: RouteTarget::Peering.into(),
        peering_id: (*peering).to_owned(),
        ..Default::default()
    };
    view.route_tables = vec![route_table(1, &[("0.0.0.0/0", RouteTarget::Internet)])];
    view.route_tables[0].routes.extend(routes.iter().map(over));
    view
}

/// With connections: id, and the VPC at the other end.
fn peered(mut view: VpcView, peers: &[(&str, &str)]) -> VpcView {
    let peering = |(id, peer): &(&str, &str)| PeeringView {
        id: (*id).to_owned(),
        peer_vpc_id: format!("vpc-{peer}"),
        peer_cidrs: vec![block(peer)],
        ..Default::default()
    };
    view.peerings = peers.iter().map(peering).collect();
    view
}

fn somewhere(mut view: VpcView, remotes: &[(&str, &str)]) -> VpcView {
    view.remotes = remotes.iter().map(|(ip, at)| remote(ip, at)).collect();
    view
}

fn pair(a: &PortView, b: &PortView) -> Vec<VpcView> {
    vec![
        peered(net("a", std::slice::from_ref(a), &[("bb", "pcx-1")]), &[("pcx-1", "bb")]),
        peered(net("bb", std::slice::from_ref(b), &[("a", "pcx-1")]), &[("pcx-1", "a")]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn two_vpcs_on_one_node_reach_each_other_as_both_have_routes() {
    let mut lab = Lab::new();
    let (a, b) = (interface("a", 11, &["sg-open"]), interface("bb", 12, &["sg-open"]));
    lab.apply(pair(&a, &b)).await;
    let (ga, gb) = (lab.launch(&a).await, lab.launch(&b).await);
    lab.tcp_server(&ga, 80);
    lab.tcp_server(&gb, 80);
    assert_eq!(connect(&ga, &address("bb", 12), 80).as_deref(), Some(address("a", 11).as_str()));
    assert!(connect(&gb, &address("a", 11), 80).is_some(), "and the other way");
    assert!(sh(Some(&ga), &format!("busybox ping -c 1 -W 1 -s 1422 {}", address("bb", 12))).status.success());
    // Without a route back there is no answer, and without one there, no question.
    let mut one_way = pair(&a, &b);
    one_way[1] = peered(net("bb", std::slice::from_ref(&b), &[]), &[("pcx-1", "a")]);
    lab.apply(one_way).await;
    assert!(connect(&ga, &address("bb", 12), 80).is_none() && connect(&gb, &address("a", 11), 80).is_none());
    assert!(delivers(&ga, &address("a", 11), &gb, &address("bb", 12)), "one way");
    assert!(!delivers(&gb, &address("bb", 12), &ga, &address("a", 11)));
    // A restarted agent finds what it would make; a new rule set cuts nothing.
    lab.restart();
    lab.apply(pair(&a, &b)).await;
    assert!(connect(&ga, &address("bb", 12), 80).is_some());
    // The resolver, the metadata and the router of the other VPC are for nobody else.
    for service in [address("bb", 1), address("bb", 2)] {
        assert!(!ping(&ga, &service), "{service}");
        assert!(connect(&ga, &service, 53).is_none());
    }
    // It ends: nothing passes, nothing is left.
    lab.apply(vec![net("a", std::slice::from_ref(&a), &[("bb", "pcx-1")]), net("bb", std::slice::from_ref(&b), &[])])
        .await;
    assert!(connect(&ga, &address("bb", 12), 80).is_none());
    assert!(!delivers(&ga, &address("a", 11), &gb, &address("bb", 12)));
    for id in ["vpc-a", "vpc-bb"] {
        let devices = ok(Some(&lab.names.vpc_ns(id)), "ip -br link");
        assert!(!devices.contains(&lab.names.peering_start()), "{devices}");
    }
    let routes = ok(Some(&lab.names.vpc_ns("vpc-a")), "ip route show table 1001");
    assert!(routes.contains(&format!("blackhole {}", block("bb"))), "{routes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_over_a_connection_gets_no_further() {
    let mut lab = Lab::new();
    let world = world(&lab);
    ok(Some(&world), "ip route add 203.0.113.0/24 via 198.51.100.1");
    let (a, c) = (interface("a", 11, &["sg-open"]), interface("ccc", 13, &["sg-open"]));
    let b = PortView { public_ip: "203.0.113.5".to_owned(), ..interface("bb", 12, &["sg-open"]) };
    // Every table leads as far as it can: a's to c and to the world by way of b.
    let mut of_a = peered(net("a", std::slice::from_ref(&a), &[("bb", "pcx-1"), ("ccc", "pcx-1")]), &[("pcx-1", "bb")]);
    let everywhere = &mut of_a.route_tables[0].routes[0];
    (everywhere.target, everywhere.peering_id) = (RouteTarget::Peering.into(), "pcx-1".to_owned());
    let of_b = peered(
        net("bb", std::slice::from_ref(&b), &[("a", "pcx-1"), ("ccc", "pcx-2")]),
        &[("pcx-1", "a"), ("pcx-2", "ccc")],
    );
    let of_c = peered(net("ccc", std::slice::from_ref(&c), &[("bb", "pcx-2"), ("a", "pcx-2")]), &[("pcx-2", "bb")]);
    lab.apply(vec![of_a, of_b, of_c]).await;
    let (ga, gb, gc) = (lab.launch(&a).await, lab.launch(&b).await, lab.launch(&c).await);
    for guest in [&ga, &gb, &gc, &world] {
        lab.tcp_server(guest, 80);
    }
    assert!(connect(&ga, &address("bb", 12), 80).is_some() && connect(&gb, &address("ccc", 13), 80).is_some());
    assert!(!delivers(&ga, &address("a", 11), &gc, &address("ccc", 13)), "not by way of b");
    assert!(connect(&gb, "198.51.100.2", 80).is_some(), "b itself reaches the world");
    assert!(connect(&ga, "198.51.100.2", 80).is_none());
    assert!(!delivers(&ga, &address("a", 11), &world, "198.51.100.2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_comes_over_a_connection_in_another_name() {
    let mut lab = Lab::new();
    // It may send what it likes as far as its own VPC is concerned.
    let a = PortView { source_dest_check: false, ..interface("a", 11, &["sg-open"]) };
    let b = interface("bb", 12, &["sg-open"]);
    lab.apply(pair(&a, &b)).await;
    let (ga, gb) = (lab.launch(&a).await, lab.launch(&b).await);
    assert!(ping(&ga, &address("a", 1)), "it knows its router: nobody asks in a strange name");
    for spoofed in ["192.0.2.77", &address("bb", 13)] {
        ok(Some(&ga), &format!("ip addr add {spoofed}/32 dev eth0"));
        assert!(!delivers(&ga, spoofed, &gb, &address("bb", 12)), "{spoofed}");
    }
    ok(Some(&ga), &format!("ip addr add {}/32 dev eth0", address("a", 99)));
    assert!(delivers(&ga, &address("a", 99), &gb, &address("bb", 12)), "of its VPC's block: the check is off");
    assert!(delivers(&ga, &address("a", 11), &gb, &address("bb", 12)));
    let rules = ok(Some(&lab.names.vpc_ns("vpc-bb")), "nft list chain inet vpc raw");
    assert!(rules.contains("counter packets 2"), "{rules}");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_group_of_the_peer_pass_by_it() {
    let mut lab = Lab::new();
    let (a, other) = (interface("a", 11, &["sg-open"]), interface("a", 12, &["sg-open"]));
    let b = interface("bb", 12, &["sg-db"]);
    let mut views = pair(&a, &b);
    views[0].ports.push(other.clone());
    views[1].groups.push(group("sg-db", vec![all_out(), rule(false, 6, 80, 80, Peer::GroupId("sg-web".to_owned()))]));
    views[1].members = vec![members("sg-web", &[&address("a", 11)])];
    lab.apply(views.clone()).await;
    let (ga, go, gb) = (lab.launch(&a).await, lab.launch(&other).await, lab.launch(&b).await);
    lab.tcp_server(&gb, 80);
    assert!(connect(&ga, &address("bb", 12), 80).is_some(), "a member");
    assert!(connect(&go, &address("bb", 12), 80).is_none(), "no member");
    // An ACL of the sender's subnet counts as well.
    views[0] = guarded(views[0].clone(), &[acl_entry(true, 1, false, 6, 80, 80), acl_entry(true, 2, true, -1, -1, -1)]);
    lab.apply(views).await;
    assert!(
        connect(&ga, &address("bb", 12), 80).is_none() && ping(&gb, &address("a", 11)) == ping(&gb, &address("a", 12))
    );
}

/// Ports of one VPC on each of two nodes; each node has the other VPC for its packets only.
#[tokio::test(flavor = "multi_thread")]
async fn two_vpcs_on_two_nodes_reach_each_other() {
    let (mut one, mut two) = (Lab::with_vtep("192.0.2.1"), Lab::with_vtep("192.0.2.2"));
    underlay(&one, &two);
    let (a, b) = (interface("a", 11, &["sg-open"]), interface("bb", 12, &["sg-in"]));
    let other = interface("a", 13, &["sg-open"]);
    let in_rules = vec![all_out(), rule(false, 6, 80, 80, Peer::GroupId("sg-web".to_owned()))];
    let of_a = |ports: &[PortView]| peered(net("a", ports, &[("bb", "pcx-1")]), &[("pcx-1", "bb")]);
    let of_b = |ports: &[PortView]| {
        let mut view = peered(net("bb", ports, &[("a", "pcx-1")]), &[("pcx-1", "a")]);
        view.groups.push(group("sg-in", in_rules.clone()));
        view.members = vec![members("sg-web", &[&address("a", 11)])];
        view
    };
    let transit = |id: &str, peer: &str| VpcView {
        subnets: vec![],
        groups: vec![],
        route_tables: vec![],
        ..peered(net(id, &[], &[]), &[("pcx-1", peer)])
    };
    let (ip_a, ip_b, ip_o) = (address("a", 11), address("bb", 12), address("a", 13));
    let first = vec![of_a(&[a.clone(), other.clone()]), somewhere(transit("bb", "a"), &[(&ip_b, "192.0.2.2")])];
    one.apply(first.clone()).await;
    let at = [(ip_a.as_str(), "192.0.2.1"), (ip_o.as_str(), "192.0.2.1")];
    let second = vec![of_b(std::slice::from_ref(&b)), somewhere(transit("a", "bb"), &at)];
    two.apply(second.clone()).await;
    let (ga, go, gb) = (one.launch(&a).await, one.launch(&other).await, two.launch(&b).await);
    two.tcp_server(&gb, 80);
    one.tcp_server(&ga, 81);
    assert_eq!(connect(&ga, &ip_b, 80).as_deref(), Some(ip_a.as_str()), "a member");
    assert!(connect(&go, &ip_b, 80).is_none(), "no member: judged where the receiver is");
    assert_eq!(connect(&gb, &ip_a, 81).as_deref(), Some(ip_b.as_str()), "the other way");
    assert!(connect(&ga, &ip_b, 80).is_some() && connect(&gb, &ip_a, 81).is_some(), "again, both at once");
    let ttl = ok(Some(&gb), &format!("busybox ping -c 1 -W 1 {ip_a}"));
    assert!(ttl.contains("ttl=61"), "{ttl}");
    assert!(sh(Some(&gb), &format!("busybox ping -c 1 -W 1 -s 1422 {ip_a}")).status.success(), "a full packet");
    // Forged at the source's own node, it never leaves.
    assert!(delivers(&gb, &ip_b, &ga, &ip_a));
    // It ends at one node first: nothing passes either way.
    one.apply(vec![net("a", &[a.clone(), other.clone()], &[])]).await;
    assert!(connect(&ga, &ip_b, 80).is_none() && connect(&gb, &ip_a, 81).is_none());
    assert_eq!(one.engine().inventory().await.unwrap().strays, Vec::<String>::new());
    one.apply(first).await;
    assert!(reached(&ga, &ip_b, 80), "and is there again");
    two.apply(second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_a_connection_is_there_after_the_next_apply() {
    let mut lab = Lab::new();
    let (a, b) = (interface("a", 11, &["sg-open"]), interface("bb", 12, &["sg-open"]));
    let views = pair(&a, &b);
    lab.apply(views.clone()).await;
    let mut points: Vec<String> = lab.faults.passed().into_iter().filter(|p| p.starts_with("net.apply.")).collect();
    points.sort();
    points.dedup();
    // What else there is to stop at, other tests stop at.
    points.retain(|point| ["devices", "peerings", "paired", "routes"].iter().any(|step| point.ends_with(step)));
    assert!(points.iter().any(|point| point == "net.apply.paired"), "{points:?}");
    let without = vec![net("a", std::slice::from_ref(&a), &[]), net("bb", std::slice::from_ref(&b), &[])];
    for point in points {
        // From nothing, and from VPCs that are there; then the way back.
        for (before, after) in
            [(vec![], views.clone()), (without.clone(), views.clone()), (views.clone(), without.clone())]
        {
            lab.apply(before).await;
            lab.faults.arm(&point, FaultAction::Kill, 1);
            let view = lab.view(after.clone());
            tokio::select! {
                _ = lab.engine().apply(view) => {}
                () = lab.faults.killed() => {}
            }
            lab.restart();
            // Not every way leads by every point.
            lab.faults.clear();
            lab.apply(after.clone()).await;
            let first = lab.guests.len();
            let (ga, gb) = (lab.launch(&a).await, lab.launch(&b).await);
            let wanted = !after[0].peerings.is_empty();
            assert_eq!(ping(&ga, &address("bb", 12)), wanted, "{point}");
            assert_eq!(ping(&gb, &address("a", 11)), wanted, "{point}");
            let devices = ok(Some(&lab.names.vpc_ns("vpc-a")), "ip -br link");
            assert_eq!(devices.matches(&lab.names.peering_start()).count(), usize::from(wanted), "{devices}");
            for guest in lab.guests.split_off(first) {
                ok(None, &format!("ip netns delete {guest}"));
            }
        }
    }
    lab.apply(vec![]).await;
    assert_eq!(lab.engine().inventory().await.unwrap().strays, Vec::<String>::new());
}

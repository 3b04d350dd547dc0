//! Route tables: which subnet has a way to the world, and by whose leave.

use crate::lab::*;
use crate::public::world;
use crate::services::nslookup;
use mallee_proto::v1::{PortView, RouteTarget, SubnetView, VpcView};

const WORLD: &str = "198.51.100.2";

/// A VPC with a guest in each of two subnets, both with public addresses.
fn guests() -> [PortView; 2] {
    [(0, "203.0.113.5"), (1, "203.0.113.6")]
        .map(|(subnet, ip)| PortView { public_ip: ip.to_owned(), ..port("a", subnet, 11, &["sg-open"]) })
}

/// With the tables that these subnets have.
fn routed(first: u32, second: u32) -> VpcView {
    let tables = vec![
        route_table(1, &[("0.0.0.0/0", RouteTarget::Internet)]),
        route_table(2, &[]),
        route_table(3, &[("0.0.0.0/0", RouteTarget::Internet), ("198.51.100.0/24", RouteTarget::Blackhole)]),
        route_table(4, &[("198.51.100.0/24", RouteTarget::Internet)]),
    ];
    let subnets = vec![subnet("a", 0, first), subnet("a", 1, second)];
    VpcView { route_tables: tables, subnets, ..vpc("a", 100, &guests()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subnet_reaches_the_world_by_its_own_table_alone() {
    let mut lab = Lab::new();
    let world = world(&lab);
    ok(Some(&world), "ip route add 203.0.113.0/24 via 198.51.100.1");
    lab.apply(vec![routed(1, 2)]).await;
    let [a, b] = guests();
    let (ga, gb) = (lab.launch(&a).await, lab.launch(&b).await);
    for guest in [&ga, &gb, &world] {
        lab.tcp_server(guest, 80);
    }
    let reaches = |guest: &str| connect(guest, WORLD, 80).is_some();
    assert!(reaches(&ga) && !reaches(&gb), "a public address without a route does not help");
    assert!(connect(&world, "203.0.113.5", 80).is_some() && connect(&world, "203.0.113.6", 80).is_none());
    assert!(connect(&ga, "10.0.1.11", 80).is_some() && connect(&gb, "10.0.0.11", 80).is_some(), "every table is local");
    lab.apply(vec![routed(2, 1)]).await;
    assert!(!reaches(&ga) && reaches(&gb), "the subnets have changed their tables");
    lab.apply(vec![routed(3, 4)]).await;
    assert!(!reaches(&ga), "the longer route wins, and leads nowhere");
    assert!(reaches(&gb), "by a route to this network alone");
    assert!(connect(&gb, "203.0.113.5", 80).is_none(), "which is not one to other public addresses");
    // What a restarted agent finds is what it would make.
    lab.restart();
    lab.apply(vec![routed(3, 4)]).await;
    assert!(!reaches(&ga) && reaches(&gb));
    let rules = ok(
        Some(&lab.names.vpc_ns("vpc-a")),
        "ip rule show pref 1000; ip route show table 1001; ip route show table 1003",
    );
    assert_eq!(rules.matches("fwmark").count(), 4, "{rules}");
    assert!(rules.contains("blackhole 198.51.100.0/24") && rules.contains("throw 10.0.0.0/16"), "{rules}");
    // A table that no subnet has any more goes, with its rule.
    let two = VpcView { route_tables: vec![route_table(1, &[("0.0.0.0/0", RouteTarget::Internet)])], ..routed(1, 1) };
    lab.apply(vec![two]).await;
    assert!(reaches(&ga) && reaches(&gb));
    let left = ok(
        Some(&lab.names.vpc_ns("vpc-a")),
        "ip rule show pref 1000; ip route show table all | grep -c 'table 100[234]' || true",
    );
    assert_eq!(left.matches("fwmark").count(), 1, "{left}");
    assert!(left.trim().ends_with('0'), "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_internet_gateway_nothing_leaves_or_enters() {
    let mut lab = Lab::new();
    let world = world(&lab);
    ok(Some(&world), "ip route add 203.0.113.0/24 via 198.51.100.1");
    lab.apply(vec![routed(1, 1)]).await;
    let [a, _] = guests();
    let guest = lab.launch(&a).await;
    lab.tcp_server(&guest, 80);
    lab.tcp_server(&world, 80);
    assert!(reached(&guest, WORLD, 80) && reached(&world, "203.0.113.5", 80));
    let closed = VpcView { internet_gateway: false, ..routed(1, 1) };
    lab.apply(vec![closed]).await;
    assert!(connect(&guest, WORLD, 80).is_none() && connect(&world, "203.0.113.5", 80).is_none());
    lab.apply(vec![routed(1, 1)]).await;
    assert!(reached(&guest, WORLD, 80) && reached(&world, "203.0.113.5", 80), "attached again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_of_before_there_were_route_tables_leads_where_it_led() {
    let mut lab = Lab::new();
    let world = world(&lab);
    let old = VpcView { route_tables: vec![], internet_gateway: false, routed: false, ..routed(0, 0) };
    lab.apply(vec![old]).await;
    let [a, _] = guests();
    let guest = lab.launch(&a).await;
    lab.tcp_server(&world, 80);
    assert!(connect(&guest, WORLD, 80).is_some());
}

/// A guest in the first block, and one in a further block; both with public addresses, and the world as default route.
fn of_two_blocks() -> (VpcView, [PortView; 2]) {
    let [first, second] = guests();
    let second = PortView { private_ip: "100.64.1.11".to_owned(), subnet_id: "subnet-a-far".to_owned(), ..second };
    let far = SubnetView { id: "subnet-a-far".to_owned(), cidr: "100.64.1.0/24".to_owned(), ..subnet("a", 1, 1) };
    // A route around the further block: the longer way is the VPC's own.
    let table = route_table(1, &[("0.0.0.0/0", RouteTarget::Internet), ("100.64.0.0/10", RouteTarget::Internet)]);
    let view = VpcView {
        more_cidrs: vec!["100.64.0.0/16".to_owned()],
        subnets: vec![subnet("a", 0, 1), far],
        route_tables: vec![table],
        ..vpc("a", 100, &[first.clone(), second.clone()])
    };
    (view, [first, second])
}

#[tokio::test(flavor = "multi_thread")]
async fn subnets_of_two_blocks_reach_each_other_and_the_world() {
    let mut lab = Lab::new();
    let world = world(&lab);
    ok(Some(&world), "ip route add 203.0.113.0/24 via 198.51.100.1");
    let (view, [a, b]) = of_two_blocks();
    lab.apply(vec![view.clone()]).await;
    let (ga, gb) = (lab.launch(&a).await, lab.launch(&b).await);
    for guest in [&ga, &gb, &world] {
        lab.tcp_server(guest, 80);
    }
    let ns = lab.names.vpc_ns("vpc-a");
    let meet = || {
        // By their own addresses: nothing of it goes by the gateway.
        assert_eq!(connect(&ga, "100.64.1.11", 80).as_deref(), Some("10.0.0.11"));
        assert_eq!(connect(&gb, "10.0.0.11", 80).as_deref(), Some("100.64.1.11"));
        for guest in [&ga, &gb] {
            assert!(connect(guest, WORLD, 80).is_some(), "what was allowed to leave still may");
        }
        assert!(connect(&world, "203.0.113.6", 80).is_some());
        // The resolver is in the first block, and knows the names of all.
        assert!(nslookup(&gb, "ip-10-0-0-11.zone1.internal", "10.0.0.2").contains("10.0.0.11"));
        assert!(nslookup(&ga, "100.64.1.11", "10.0.0.2").contains("ip-100-64-1-11.zone1.internal"));
    };
    meet();
    // Addresses of the block that nobody has are nobody's, and are not looked for in the world.
    ok(Some(&world), "ip addr add 100.64.9.9/32 dev lo");
    ok(Some(&lab.host), "ip route add 100.64.9.9/32 via 198.51.100.2; ip route add 100.65.9.9/32 via 198.51.100.2");
    ok(Some(&world), "ip addr add 100.65.9.9/32 dev lo");
    assert!(connect(&ga, "100.65.9.9", 80).is_some(), "outside the block by the route");
    assert!(connect(&ga, "100.64.9.9", 80).is_none(), "inside it never");
    // Nor does the world have one: it would pass for an instance.
    assert!(delivers(&world, "100.65.9.9", &ga, "203.0.113.5"));
    assert!(!delivers(&world, "100.64.9.9", &ga, "203.0.113.5"));
    // What a restarted agent finds is what it would make.
    lab.restart();
    lab.apply(vec![view.clone()]).await;
    meet();
    let routes = ok(Some(&ns), "ip route show table 1001; ip route show type unreachable");
    assert!(routes.contains("throw 100.64.0.0/16") && routes.contains("unreachable 100.64.0.0/16"), "{routes}");
    // Without the block its subnet is none any more, and nothing is left of it.
    let less = VpcView { more_cidrs: vec![], subnets: vec![subnet("a", 0, 1)], ports: vec![a.clone()], ..view.clone() };
    lab.apply(vec![less]).await;
    let routes = ok(Some(&ns), "ip route show table all");
    assert!(!routes.contains("100.64.0.0/16") && !routes.contains("100.64.1."), "{routes}");
    assert!(connect(&ga, "100.64.1.11", 80).is_none(), "it leads nowhere");
    assert!(connect(&ga, "100.64.9.9", 80).is_some(), "it is the world's again");
    assert!(connect(&ga, WORLD, 80).is_some());
    lab.apply(vec![view]).await;
    assert!(connect(&ga, "100.64.9.9", 80).is_none());
}

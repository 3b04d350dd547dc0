//! Transit gateways in views: where routes to one lead, and who meets at one.

use super::{compile, instance, route_table, subnet, vpc};
use crate::Model;
use mallee_proto::v1::{
    GroupRule, InstanceIntent, Route, RouteTarget, RouteView, SecurityGroup, TransitAttachment, TransitGateway,
    TransitRoute, TransitRouteTable, Vpc, VpcView, group_rule::Peer, route::Target,
};

fn at(n: u32, table: &str) -> TransitAttachment {
    TransitAttachment { id: format!("att-{n}"), vpc_id: format!("vpc-{n}"), table_id: table.into(), dns: true }
}

fn table(id: &str, routes: &[(&str, u32)]) -> TransitRouteTable {
    let route = |(destination, n): &(&str, u32)| TransitRoute {
        destination: (*destination).to_owned(),
        attachment_id: if *n == 0 { String::new() } else { format!("att-{n}") },
    };
    TransitRouteTable { id: id.into(), routes: routes.iter().map(route).collect() }
}

/// Gateway tgw-1 with three VPCs, all of one table.
fn gateway(generation: u64, routes: &[(&str, u32)]) -> TransitGateway {
    let attachments = [1, 2, 3].map(|n| at(n, "t")).to_vec();
    TransitGateway { id: "tgw-1".into(), generation, attachments, tables: vec![table("t", routes)] }
}

fn live(n: u32, node: &str, vpc: u32, public: &str) -> InstanceIntent {
    let mut intent = instance(n, node, vpc, &[1], 1);
    intent.spec.as_mut().unwrap().ports[0].public_ip = public.into();
    intent
}

/// VPC n has 10.n.0.0/16, and an instance on node n; the first leads these destinations to the gateway.
fn model(destinations: &[&str]) -> Model {
    let mut model = Model::default();
    for n in [1, 2, 3] {
        model.set_vpc(Vpc { cidr: format!("10.{n}.0.0/16"), more_cidrs: vec![], ..vpc(n, 7) });
        model.set_subnet(subnet(n, 1));
        let mut table = route_table(n, 1, 1, n);
        table.routes.clear();
        if n == 1 {
            let to = |destination: &&str| Route {
                destination: (*destination).to_owned(),
                target: Some(Target::TransitGatewayId("tgw-1".into())),
            };
            table.routes.extend(destinations.iter().map(to));
        }
        model.set_route_table(table);
        model.set_node(&n.to_string(), &format!("192.0.2.{n}"));
        model.set_instance(&live(n, &n.to_string(), n, &format!("203.0.113.{n}")), true);
    }
    model
}

fn of(model: &Model, node: &str, vpc: &str) -> Option<VpcView> {
    compile(model, node).vpcs.into_iter().find(|view| view.vpc_id == vpc)
}

/// The first VPC's routes: destination, and the VPC that each leads to, "" where packets are dropped.
fn led(model: &Model) -> Vec<(String, String)> {
    let view = of(model, "1", "vpc-1").unwrap();
    let to = |route: &RouteView| match route.target() {
        RouteTarget::Peering => {
            let peering = view.peerings.iter().find(|peering| peering.id == route.peering_id);
            peering.expect("the way is told, too").peer_vpc_id.clone()
        }
        _ => String::new(),
    };
    view.route_tables[0].routes.iter().map(|route| (route.destination.clone(), to(route))).collect()
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(destination, to)| ((*destination).to_owned(), (*to).to_owned())).collect()
}

const ALL: [(&str, u32); 3] = [("10.1.0.0/16", 1), ("10.2.0.0/16", 2), ("10.3.0.0/16", 3)];

#[test]
fn a_route_to_a_gateway_leads_where_its_table_does() {
    let mut model = model(&["10.0.0.0/8"]);
    assert_eq!(led(&model), pairs(&[("10.0.0.0/8", "")]), "there is no gateway");
    model.set_transit_gateway(gateway(1, &ALL));
    // Its own block is local whatever the gateway knows.
    assert_eq!(led(&model), pairs(&[("10.0.0.0/8", ""), ("10.2.0.0/16", "vpc-2"), ("10.3.0.0/16", "vpc-3")]));
    model.set_transit_gateway(gateway(2, &[("0.0.0.0/0", 3), ("10.2.0.0/16", 2), ("10.2.7.0/24", 0)]));
    let wanted = [("10.0.0.0/8", "vpc-3"), ("10.2.0.0/16", "vpc-2"), ("10.2.7.0/24", "")];
    assert_eq!(led(&model), pairs(&wanted));
    model.remove_vpc("vpc-3");
    assert_eq!(led(&model)[0].1, "", "a VPC that is gone");
    model.remove_transit_gateway("tgw-1");
    assert_eq!(led(&model), pairs(&[("10.0.0.0/8", "")]));
    assert!(of(&model, "1", "vpc-2").is_none());
}

#[test]
fn the_longest_route_of_the_vpc_decides_before_the_gateways() {
    let mut model = model(&["10.0.0.0/8", "10.2.0.0/16"]);
    let mut own = route_table(1, 1, 2, 1);
    own.routes = vec![
        Route { destination: "10.0.0.0/8".into(), target: Some(Target::TransitGatewayId("tgw-1".into())) },
        Route { destination: "10.2.0.0/16".into(), target: Some(Target::InternetGatewayId("igw-gone".into())) },
    ];
    model.set_transit_gateway(gateway(1, &[("10.2.7.0/24", 2), ("10.3.0.0/16", 3)]));
    model.set_route_table(own);
    let wanted = [("10.0.0.0/8", ""), ("10.2.0.0/16", ""), ("10.3.0.0/16", "vpc-3")];
    let mut found = led(&model);
    found.sort();
    assert_eq!(found, pairs(&wanted), "10.2.7.0/24 is led elsewhere by the VPC itself");
}

#[test]
fn who_is_led_to_whom_meets_and_nobody_else() {
    let mut model = model(&["10.0.0.0/8"]);
    // The second and the third are not led to each other.
    let mut hub = gateway(1, &[]);
    hub.attachments = vec![at(1, "hub"), at(2, "spoke"), at(3, "spoke")];
    hub.tables = vec![table("hub", &ALL), table("spoke", &[("10.1.0.0/16", 1)])];
    model.set_transit_gateway(hub);
    let seen = |node: &str| -> Vec<String> { compile(&model, node).vpcs.into_iter().map(|vpc| vpc.vpc_id).collect() };
    assert_eq!(seen("1"), ["vpc-1", "vpc-2", "vpc-3"]);
    assert_eq!(seen("2"), ["vpc-1", "vpc-2"]);
    let transit = of(&model, "1", "vpc-2").unwrap();
    assert_eq!((transit.remotes[0].address.as_str(), transit.remotes[0].vtep.as_str()), ("10.0.2.2", "192.0.2.2"));
    assert_eq!(transit.peerings[0].peer_cidrs, ["10.1.0.0/16"]);
    assert_eq!(transit.peerings[0].id, of(&model, "2", "vpc-2").unwrap().peerings[0].id, "both ends call it the same");
    let names = of(&model, "1", "vpc-1").unwrap().public_names;
    assert_eq!(names.len(), 3, "public names of all three: {names:?}");
}

#[test]
fn members_of_a_group_of_another_vpc_are_none_by_a_gateway() {
    let mut model = model(&["10.0.0.0/8"]);
    let rule = GroupRule {
        id: "sgr-1".into(),
        protocol: -1,
        from_port: -1,
        to_port: -1,
        peer: Some(Peer::GroupId("sg-2-1".into())),
        ..GroupRule::default()
    };
    for (n, rules) in [(1, vec![rule]), (2, vec![])] {
        model.set_group(SecurityGroup {
            id: format!("sg-{n}-1"),
            generation: 1,
            vpc_id: format!("vpc-{n}"),
            name: "g".into(),
            rules,
        });
    }
    model.set_transit_gateway(gateway(1, &ALL));
    assert!(of(&model, "1", "vpc-1").unwrap().members.is_empty());
}

#[test]
fn nodes_hear_at_once_where_routes_lead_now() {
    let mut model = model(&["10.0.0.0/8"]);
    model.set_transit_gateway(gateway(1, &ALL));
    model.take_touched_nodes();
    model.set_transit_gateway(gateway(2, &[("10.2.0.0/16", 3), ("10.3.0.0/16", 2)]));
    assert_eq!(model.take_touched_nodes(), ["1", "2", "3"], "the same meet, by other routes");
    assert_eq!(led(&model)[1..], pairs(&[("10.2.0.0/16", "vpc-3"), ("10.3.0.0/16", "vpc-2")]));
    model.set_transit_gateway(gateway(1, &ALL));
    assert!(model.take_touched_nodes().is_empty(), "an older one");
    let mut objects = model.objects();
    objects.retain(|(_, id)| id.starts_with("tgw"));
    assert_eq!(objects.len(), 1, "who meets is no object of its own: {objects:?}");
}

//! Routes to interfaces and NAT gateways: what a node is told of them, and when.

use super::*;

fn to_interface(generation: u64, interfaces: &[(&str, u32)]) -> RouteTable {
    let route = |(to, n): &(&str, u32)| Route {
        destination: (*to).into(),
        target: Some(Target::NetworkInterfaceId(format!("eni-{n}"))),
    };
    RouteTable { generation, routes: interfaces.iter().map(route).collect(), ..route_table(1, 1, 1, 1) }
}

fn hops(model: &Model, node: &str) -> Vec<(RouteTarget, String)> {
    let vpc = compile(model, node).vpcs.remove(0);
    let routes = vpc.route_tables.into_iter().flat_map(|table| table.routes);
    routes.map(|route| (route.target(), route.next_hop)).collect()
}

fn routed_to(model: &Model, node: &str) -> Vec<bool> {
    compile(model, node).vpcs[0].ports.iter().map(|port| port.routed_to).collect()
}

#[test]
fn a_route_to_an_interface_leads_to_its_address_while_it_is_up() {
    let mut model = small();
    let before = view::hash(&compile(&model, "b"));
    drop((model.take_touched_nodes(), model.take_learning_nodes()));
    model.set_route_table(to_interface(2, &[("0.0.0.0/0", 2), ("192.0.2.0/24", 9)]));
    assert_eq!(model.take_touched_nodes(), ["a", "b"]);
    let nowhere = (RouteTarget::Blackhole, String::new());
    let there = (RouteTarget::Interface, "10.0.1.2".to_owned());
    assert_eq!(hops(&model, "a"), [there.clone(), nowhere.clone()]);
    assert_eq!((routed_to(&model, "a"), routed_to(&model, "b")), (vec![false], vec![true]));
    // It moves to another node: no route changes. It ends: all nodes of the VPC are told at once.
    drop((model.take_touched_nodes(), model.take_learning_nodes()));
    let mut told = Told::default();
    drop(told.learn_all(&model, "a", 1));
    model.set_instance(&instance(2, "c", 1, &[1, 2], 2), true);
    assert_eq!(hops(&model, "a"), [there, nowhere.clone()]);
    assert!(told.learn_local(&model, "a", 1).is_none(), "where it is now comes with the batch");
    drop(model.take_touched_nodes());
    model.remove_instance("i-2");
    assert_eq!(model.take_touched_nodes(), ["a", "c"]);
    assert_eq!(hops(&model, "a"), [nowhere.clone(), nowhere.clone()]);
    let told = told.learn_local(&model, "a", 1).expect("without waiting for the batch");
    assert_eq!(told.vpcs.len(), 1);
    // One of another VPC is none of this one's.
    model.set_instance(&instance(9, "b", 2, &[], 1), true);
    assert_eq!(hops(&model, "a"), [nowhere.clone(), nowhere]);
    // As if there had never been one.
    model.remove_instance("i-9");
    model.set_instance(&instance(2, "b", 1, &[1, 2], 1), true);
    model.set_route_table(route_table(1, 1, 4, 1));
    assert_eq!(view::hash(&compile(&model, "b")), before);
    assert!(model.vpcs["vpc-1"].targets.is_empty());
    model.set_route_table(to_interface(5, &[("0.0.0.0/0", 2)]));
    model.remove_route_table("rtb-1-1");
    assert!(model.vpcs["vpc-1"].targets.is_empty());
}

#[test]
fn an_interface_of_another_zone_is_a_target_too() {
    let mut model = small();
    model.set_route_table(to_interface(2, &[("0.0.0.0/0", 40)]));
    drop((model.take_touched_nodes(), model.take_learning_nodes()));
    let port = PeerPort {
        interface_id: "eni-40".into(),
        vpc_id: "vpc-1".into(),
        private_ip: "10.0.1.40".into(),
        ..PeerPort::default()
    };
    let peer = PeerInstance { id: "i-40".into(), incarnation: 1, node_id: "z".into(), ports: vec![port] };
    model.set_peer_instance(&peer);
    assert_eq!(model.take_touched_nodes(), ["a", "b", "z"]);
    assert_eq!(hops(&model, "a"), [(RouteTarget::Interface, "10.0.1.40".to_owned())]);
}

#[test]
fn an_interface_that_came_to_another_instance_stays_a_target_when_the_first_is_told_later() {
    let mut model = small();
    model.set_route_table(to_interface(2, &[("0.0.0.0/0", 2)]));
    let new = InstanceIntent { id: "i-77".into(), ..instance(2, "a", 1, &[1], 1) };
    model.set_instance(&new, true);
    model.remove_instance("i-2");
    assert_eq!(hops(&model, "a"), [(RouteTarget::Interface, "10.0.1.2".to_owned())]);
    model.remove_instance("i-77");
    assert_eq!(hops(&model, "a"), [(RouteTarget::Blackhole, String::new())]);
}

fn gateway(generation: u64, node: &str) -> NatGateway {
    let port = Port {
        interface_id: "eni-50".into(),
        mac: "02:00:00:00:00:50".into(),
        private_ip: "10.0.1.50".into(),
        vpc_id: "vpc-1".into(),
        subnet_id: "subnet-1".into(),
        public_ip: "192.0.2.50".into(),
        ..Port::default()
    };
    NatGateway { id: "nat-1".into(), generation, node_id: node.into(), port: Some(port), ..NatGateway::default() }
}

#[test]
fn a_nat_gateway_is_a_port_that_routes_lead_to() {
    let mut model = small();
    let route = Route { destination: "0.0.0.0/0".into(), target: Some(Target::NatGatewayId("nat-1".into())) };
    model.set_route_table(RouteTable { generation: 2, routes: vec![route], ..route_table(1, 1, 1, 1) });
    let nowhere = (RouteTarget::Blackhole, String::new());
    assert_eq!(hops(&model, "a"), std::slice::from_ref(&nowhere));
    drop((model.take_touched_nodes(), model.take_learning_nodes()));
    model.set_nat_gateway(gateway(1, "b"));
    assert_eq!(model.take_touched_nodes(), ["a", "b"], "all of the VPC at once");
    assert_eq!(hops(&model, "a"), [(RouteTarget::Interface, "10.0.1.50".to_owned())]);
    let ports = compile(&model, "b").vpcs.remove(0).ports;
    let port = ports.iter().find(|port| port.interface_id == "eni-50").expect("it is there");
    assert!(port.nat && port.routed_to && !port.source_dest_check && port.instance_id == "nat-1");
    assert_eq!((port.public_ip.as_str(), port.hostname.as_str()), ("192.0.2.50", ""));
    assert!(compile(&model, "a").vpcs[0].remotes.iter().any(|remote| remote.address == "10.0.1.50"));
    assert_eq!(model.nat_gateways_on("b").count(), 1);
    // On a node that has nothing else of the VPC.
    model.set_nat_gateway(gateway(2, "c"));
    assert_eq!(compile(&model, "c").vpcs[0].ports.len(), 1);
    model.set_nat_gateway(gateway(1, "b"));
    assert_eq!(model.nat_gateways_on("b").count(), 0, "an older generation changes nothing");
    drop((model.take_touched_nodes(), model.take_learning_nodes()));
    model.set_nat_gateway(NatGateway { deleting: true, ..gateway(3, "c") });
    assert_eq!(model.take_touched_nodes(), ["a", "b", "c"]);
    assert_eq!(hops(&model, "a"), [nowhere]);
    assert!(compile(&model, "c").vpcs.is_empty());
    assert!(model.objects().contains(&(ObjectKind::NatGateway, "nat-1".to_owned())));
    assert!(model.remove_object(ObjectKind::NatGateway, "nat-1"));
    assert_eq!(model.nat_gateways_on("c").count(), 0);
}

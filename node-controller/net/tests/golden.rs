//! What a view becomes, as text. A change here is a change of what tenants are allowed: read it as such.
#![allow(clippy::unwrap_used, missing_docs)]

use mallee_net::model::Vpc;
use mallee_net::plan::{diff, vpc_desired};
use mallee_net::{Names, NetConfig, check, nft};
use mallee_proto::v1::group_rule::Peer;
use mallee_proto::v1::{
    GroupMembers, GroupRule, GroupView, NetworkAclEntry, NetworkAclView, NodeView, PortView, Remote, RouteTableView,
    RouteTarget, RouteView, SubnetView, VpcView,
};
use mallee_proto::view;

fn rule(egress: bool, protocol: i32, from: i32, to: i32, peer: Peer) -> GroupRule {
    GroupRule { id: "sgr-1".to_owned(), egress, protocol, from_port: from, to_port: to, peer: Some(peer) }
}

fn text_of(vpc: &Vpc) -> String {
    nft::Rules::of(vpc, true).text(|_| false)
}

fn view() -> NodeView {
    let any = || Peer::Cidr("0.0.0.0/0".to_owned());
    let port = |n: u8, public: &str, groups: &[&str]| PortView {
        interface_id: format!("eni-{n}"),
        instance_id: format!("i-{n}"),
        incarnation: 1,
        mac: format!("02:00:00:00:01:{n:02x}"),
        private_ip: format!("10.0.0.{n}"),
        subnet_id: "subnet-1".to_owned(),
        group_ids: groups.iter().map(|g| (*g).to_owned()).collect(),
        public_ip: public.to_owned(),
        source_dest_check: n != 12,
        ..Default::default()
    };
    let rules = vec![
        rule(true, -1, -1, -1, any()),
        rule(false, 6, 22, 22, any()),
        rule(false, 6, 8000, 8010, Peer::Cidr("192.0.2.0/24".to_owned())),
        rule(false, 17, -1, -1, Peer::GroupId("sg-b".to_owned())),
        rule(false, 1, 3, 4, any()),
        rule(false, 1, -1, -1, Peer::GroupId("sg-nobody".to_owned())),
        rule(false, 47, -1, -1, any()),
        rule(false, 6, 90, 80, any()),
        rule(false, 6, 1, 2, Peer::Cidr("nonsense } accept".to_owned())),
    ];
    let vpc = VpcView {
        vpc_id: "vpc-1".to_owned(),
        cidr: "10.0.0.0/16".to_owned(),
        vni: 7,
        dns_domain: "r1.internal".to_owned(),
        subnets: vec![SubnetView {
            id: "subnet-1".to_owned(),
            cidr: "10.0.0.0/24".to_owned(),
            route_table: 3,
            ..SubnetView::default()
        }],
        ports: vec![port(11, "203.0.113.5", &["sg-a", "sg-b", "sg-gone"]), port(12, "", &["sg-b"])],
        groups: vec![GroupView { id: "sg-a".to_owned(), rules }, GroupView { id: "sg-b".to_owned(), rules: vec![] }],
        members: vec![GroupMembers {
            group_id: "sg-b".to_owned(),
            addresses: vec!["10.0.0.12".to_owned(), "10.0.0.77".to_owned()],
        }],
        remotes: vec![Remote { address: "10.0.0.77".to_owned(), vtep: "192.0.2.9".to_owned() }],
        route_tables: vec![RouteTableView {
            number: 3,
            routes: vec![
                route("0.0.0.0/0", RouteTarget::Internet),
                route("198.51.100.0/24", RouteTarget::Blackhole),
                route("nowhere", RouteTarget::Internet),
            ],
            ..Default::default()
        }],
        internet_gateway: true,
        routed: true,
        ..Default::default()
    };
    NodeView { epoch: 1, generation: 1, vpcs: vec![vpc], ..NodeView::default() }
}

fn route(to: &str, target: RouteTarget) -> RouteView {
    RouteView { destination: to.to_owned(), target: target.into(), ..Default::default() }
}

fn config() -> NetConfig {
    let mut config = NetConfig::new("192.0.2.1".parse().unwrap());
    config.public_pool = vec!["203.0.113.0/24".parse().unwrap()];
    config
}

/// The same VPC with IPv6.
fn view6() -> NodeView {
    let mut view = view();
    let vpc = &mut view.vpcs[0];
    vpc.ipv6_cidrs = vec!["2001:db8::/56".to_owned()];
    vpc.subnets[0].ipv6_cidr = "2001:db8::/64".to_owned();
    vpc.ports[0].ipv6_addresses = vec!["2001:db8::11".to_owned(), "2001:db8::12".to_owned()];
    vpc.members[0].addresses.extend(["2001:db8::12".to_owned(), "2001:db8::77".to_owned()]);
    vpc.remotes.push(Remote { address: "2001:db8::77".to_owned(), vtep: "192.0.2.9".to_owned() });
    let any = || Peer::Cidr("::/0".to_owned());
    vpc.groups[0].rules.extend([
        rule(true, -1, -1, -1, any()),
        rule(false, 6, 22, 22, any()),
        rule(false, 17, 53, 54, Peer::Cidr("2001:db8:9::/48".to_owned())),
        rule(false, 58, 128, 0, any()),
    ]);
    view
}

#[test]
fn the_rules_of_a_vpc_with_ipv6() {
    let model = check(&view6(), &config(), &Names::new("mallee")).unwrap();
    assert_eq!(model.port_errors, Default::default());
    insta::assert_snapshot!(text_of(&model.vpcs["vpc-1"]));
}

#[test]
fn the_rules_of_a_vpc() {
    let model = check(&view(), &config(), &Names::new("mallee")).unwrap();
    insta::assert_snapshot!(text_of(&model.vpcs["vpc-1"]));
    insta::assert_debug_snapshot!((&model.port_errors, &model.warnings));
}

/// Only what is about network ACLs, of a view that has one.
#[test]
fn the_rules_of_a_network_acl() {
    let entry = |egress, number, allow, protocol, cidr: &str, from_port, to_port| NetworkAclEntry {
        number,
        egress,
        allow,
        protocol,
        cidr: cidr.to_owned(),
        from_port,
        to_port,
    };
    let all = "0.0.0.0/0";
    let entries = vec![
        entry(true, 200, true, -1, all, -1, -1),
        entry(true, 100, false, 6, "198.51.100.0/24", 25, 25),
        entry(true, 150, true, 6, "nowhere", 1, 2),
        entry(false, 7, true, 6, all, 1024, 65535),
        entry(false, 8, true, 1, all, 3, -1),
        entry(false, 9, true, 17, "10.0.0.0/8", 0, 65535),
        entry(false, 10, false, 6, all, 9, 8),
        entry(false, 11, true, -1, all, -1, -1),
    ];
    let mut view = view();
    let vpc = &mut view.vpcs[0];
    vpc.subnets[0].network_acl = "acl-1".to_owned();
    vpc.network_acls = vec![NetworkAclView { id: "acl-1".to_owned(), entries }];
    let rules = |view: &NodeView| {
        let model = check(view, &config(), &Names::new("mallee")).unwrap();
        (text_of(&model.vpcs["vpc-1"]), model.warnings)
    };
    let (with, warnings) = rules(&view);
    let about = ["chain ao_", "chain ai_", "chain no_", "chain ni_", "map acl_", "chain leave", "chain enter"];
    let parts = with.split("\n\t").collect::<Vec<_>>().join("\n\t").replace("\n\t\t", "\r");
    let parts = parts.lines().map(str::trim).filter(|part| about.iter().any(|start| part.starts_with(start)));
    insta::assert_snapshot!(parts.collect::<Vec<_>>().join("\n").replace('\r', "\n\t"));
    let about: Vec<String> = warnings.into_iter().filter(|warning| warning.starts_with("acl-1")).collect();
    assert_eq!(about, ["acl-1: entry 10 makes no sense", "acl-1: entry 150 makes no sense"]);
    // One that the view names and does not have lets nothing through.
    view.vpcs[0].network_acls.clear();
    let (none, _) = rules(&view);
    assert!(none.contains("\tchain ao_acl_1 {\n\t\tcounter drop\n\t}\n"), "{none}");
}

#[test]
fn the_routes_of_a_vpc_on_an_empty_namespace() {
    let model = check(&view(), &config(), &Names::new("mallee")).unwrap();
    let vpc = &model.vpcs["vpc-1"];
    let mut seen = mallee_net::Observed::default();
    for name in ["vx", "igw"].into_iter().chain(vpc.ports.keys().map(String::as_str)) {
        seen.links.insert(name.to_owned(), mallee_net::Link::default());
    }
    let plan = diff(&vpc_desired(vpc, &config(), &seen), &seen, |_| false);
    insta::assert_snapshot!([plan.ip, vec!["-- bridge".to_owned()], plan.bridge].concat().join("\n"));
}

#[test]
fn a_view_that_contradicts_itself_is_refused_or_cut_back() {
    let (config, names) = (config(), Names::new("mallee"));
    for spoil in [
        |v: &mut VpcView| v.cidr = "10.0.0.0".to_owned(),
        |v: &mut VpcView| v.vni = 0,
        |v: &mut VpcView| v.vni = 1 << 24,
        |v: &mut VpcView| v.vpc_id = "vpc\n1".to_owned(),
    ] {
        let mut view = view();
        spoil(&mut view.vpcs[0]);
        assert!(check(&view, &config, &names).is_err());
    }
    let mut twice = view();
    twice.vpcs.push(twice.vpcs[0].clone());
    assert!(check(&twice, &config, &names).is_err());
    for (spoil, why) in [
        (&(|p: &mut PortView| p.mac = "03:00:00:00:00:01".to_owned()) as &dyn Fn(&mut PortView), "no unicast MAC"),
        (&|p: &mut PortView| p.private_ip = "10.0.0.1".to_owned(), "not an address for instances"),
        (&|p: &mut PortView| p.private_ip = "10.0.0.2".to_owned(), "not an address for instances"),
        (&|p: &mut PortView| p.subnet_id = "subnet-9".to_owned(), "is not in the view"),
        (&|p: &mut PortView| p.private_ip = "10.0.0.12".to_owned(), "has the same address or MAC"),
        (&|p: &mut PortView| p.public_ip = "198.51.100.1".to_owned(), "outside this node's public pool"),
    ] {
        let mut view = view();
        spoil(&mut view.vpcs[0].ports[0]);
        let model = check(&view, &config, &names).unwrap();
        let told = model.port_errors.values().cloned().collect::<String>();
        assert!(told.contains(why), "{why}: {told}");
        assert_eq!(model.port_errors.len(), 1);
    }
}

/// Further blocks are the VPC's own as its first one is; what can be none is left out.
#[test]
fn the_further_blocks_of_a_vpc() {
    let mut view = view();
    let vpc = &mut view.vpcs[0];
    let more = ["10.1.0.0/16", "100.64.0.9/24", "10.0.4.0/24", "169.254.0.0/20", "10.2.0.0/30", "nonsense"];
    vpc.more_cidrs = more.map(str::to_owned).to_vec();
    vpc.subnets.push(SubnetView {
        id: "subnet-2".to_owned(),
        cidr: "100.64.0.0/26".to_owned(),
        ..vpc.subnets[0].clone()
    });
    vpc.remotes.push(Remote { address: "10.1.0.77".to_owned(), vtep: "192.0.2.9".to_owned() });
    let model = check(&view, &config(), &Names::new("mallee")).unwrap();
    let left_out: Vec<&String> = model.warnings.iter().filter(|text| text.contains("further block")).collect();
    assert_eq!(left_out.len(), 4, "{left_out:?}");
    let vpc = &model.vpcs["vpc-1"];
    assert_eq!(vpc.subnets.len(), 2, "one in a further block is one of the VPC");
    assert_eq!(vpc.dns().to_string(), "10.0.0.2", "by the first block alone");
    let rules = text_of(vpc);
    let forged = "iifname \"igw\" ip saddr { 169.254.0.0/16, 10.0.0.0/16, 10.1.0.0/16, 100.64.0.0/24 } counter drop";
    assert!(rules.contains(forged), "{rules}");
    let mut seen = mallee_net::Observed::default();
    for name in ["vx", "igw"].into_iter().chain(vpc.ports.keys().map(String::as_str)) {
        seen.links.insert(name.to_owned(), mallee_net::Link::default());
    }
    let lines = diff(&vpc_desired(vpc, &config(), &seen), &seen, |_| false).ip;
    for block in ["10.0.0.0/16", "10.1.0.0/16", "100.64.0.0/24"] {
        for line in [format!("route replace unreachable {block}"), format!("route replace throw {block} table 1003")] {
            assert!(lines.contains(&line), "{line}: {lines:#?}");
        }
    }
    assert!(lines.iter().any(|line| line.starts_with("route replace 10.1.0.77 via")), "{lines:#?}");
}

/// Nor is any block of IPv6 one of a VPC: not what means a link, many, IPv4 or the host itself.
#[test]
fn the_ipv6_blocks_of_a_vpc() {
    let mut view = view6();
    let right = ["2001:db8::/56", "fd00:1::/56"];
    let wrong = ["2001:db8::/60", "2001:d00::/24", "fe80::/64", "ff02::/64", "64:ff9b::/64", "::/16", "2000::/3"];
    let odd = ["2001:db8:1::/72", "10.1.0.0/16", "nonsense"];
    view.vpcs[0].ipv6_cidrs = right.iter().chain(&wrong).chain(&odd).map(|text| (*text).to_owned()).collect();
    let model = check(&view, &config(), &Names::new("mallee")).unwrap();
    assert_eq!(model.vpcs["vpc-1"].blocks6, right.map(|text| text.parse().unwrap()));
    let told = model.warnings.iter().filter(|text| text.contains("can be no IPv6 block"));
    assert_eq!(told.count(), wrong.len() + odd.len(), "{:?}", model.warnings);
}

/// Routes to ports, here and elsewhere: only what is about them, of a view that has some.
#[test]
fn the_rules_and_routes_of_next_hops() {
    let by = |to: &str, hop: &str| RouteView { next_hop: hop.to_owned(), ..route(to, RouteTarget::Interface) };
    let mut view = view();
    let vpc = &mut view.vpcs[0];
    vpc.ports[0].routed_to = true;
    vpc.ports[1].routed_to = true;
    vpc.route_tables[0].routes = vec![
        by("0.0.0.0/0", "10.0.0.12"),
        by("10.0.0.0/16", "10.0.0.77"),
        by("192.0.2.0/24", "10.0.0.11"),
        by("198.51.100.0/24", "10.0.0.99"),
        by("203.0.113.0/24", "nowhere"),
    ];
    let names = Names::new("mallee");
    let lines = |view: &NodeView| {
        let model = check(view, &config(), &names).unwrap();
        let vpc = &model.vpcs["vpc-1"];
        let mut seen = mallee_net::Observed::default();
        let hops = vpc.ports.values().filter_map(|port| port.hop.as_deref());
        for name in ["vx", "igw"].into_iter().chain(vpc.ports.keys().map(String::as_str)).chain(hops) {
            seen.links.insert(name.to_owned(), mallee_net::Link::default());
        }
        let plan = diff(&vpc_desired(vpc, &config(), &seen), &seen, |_| false);
        let rules = text_of(vpc);
        [rules.lines().map(str::to_owned).collect(), plan.ip, plan.bridge].concat()
    };
    let with = lines(&view);
    // Without them a view means what it meant before there were any.
    view.vpcs[0].ports.iter_mut().for_each(|port| port.routed_to = false);
    view.vpcs[0].route_tables[0].routes.clear();
    let before: std::collections::BTreeSet<String> = lines(&view).into_iter().collect();
    insta::assert_snapshot!(with.into_iter().filter(|line| !before.contains(line)).collect::<Vec<_>>().join("\n"));
    assert!(!before.iter().any(|line| line.contains("mh") || line.contains("metric")));
}

/// What a NAT gateway's port lets through: nobody's groups, and nothing that begins with itself.
#[test]
fn the_rules_of_a_nat_gateways_port() {
    let mut view = view();
    view.vpcs[0].ports[1].nat = true;
    view.vpcs[0].ports[1].source_dest_check = true;
    let names = Names::new("mallee");
    let rules = text_of(&check(&view, &config(), &names).unwrap().vpcs["vpc-1"]);
    let device = names.tap("eni-12");
    assert!(rules.contains(&format!("\tchain eg_{device} {{\n\t\taccept\n\t}}\n")), "{rules}");
    let into = format!("\tchain in_{device} {{\n\t\tip daddr 10.0.0.12 counter drop\n\t\taccept\n\t}}\n");
    assert!(rules.contains(&into), "{rules}");
    assert!(rules.contains("ip saddr != 10.0.0.12 meta mark set 0x1003 accept"), "the check is never on: {rules}");
}

/// Sections and the lists they stand for make the same rules and routes; what is here is nowhere else, whatever they say.
#[test]
fn sections_mean_what_lists_mean() {
    for lists in [view(), view6()] {
        sections_mean_lists(&lists);
    }
}

fn sections_mean_lists(lists: &NodeView) {
    let vpc = &lists.vpcs[0];
    let own = vpc.ports[0].private_ip.clone();
    let own6 = vpc.ports[0].ipv6_addresses.first().cloned();
    let here = config().vtep.to_string();
    let places = [(own.as_str(), "192.0.2.7"), ("10.0.0.77", "192.0.2.9"), ("10.0.0.78", here.as_str())];
    let places6 =
        own6.as_deref().map(|own| [(own, "192.0.2.7"), ("2001:db8::77", "192.0.2.9"), ("2001:db8::78", &here)]);
    let places = places.into_iter().chain(places6.into_iter().flatten());
    let mut sections =
        vec![(view::places_of("vpc-1"), places.map(|(at, vtep)| (at.to_owned(), vtep.to_owned())).collect())];
    for group in &vpc.members {
        let members = group.addresses.iter().map(|address| (address.clone(), String::new()));
        sections.push((view::members_of(&group.group_id), members.collect()));
    }
    let mut sectioned = lists.clone();
    let vpc = &mut sectioned.vpcs[0];
    (vpc.members, vpc.remotes) = (Vec::new(), Vec::new());
    for (key, says) in sections {
        sectioned.sections.push(view::section_of(&key, &says));
        vpc.sections.push(key);
    }
    let model = |view: &NodeView| check(view, &config(), &Names::new("mallee")).unwrap();
    let (lists, sections) = (model(lists), model(&sectioned));
    assert!(!lists.vpcs["vpc-1"].members.is_empty() && lists.vpcs["vpc-1"].remotes.len() == 1);
    assert_eq!(sections.vpcs, lists.vpcs);
    assert_eq!(sections.warnings, lists.warnings);
}

//! Changes of who is elsewhere are made one by one, and leave what the whole way would have made.

use crate::lab::*;
use crate::overlay::underlay;
use mallee_node_core::network::NetworkEngine as _;
use mallee_proto::v1::group_rule::Peer;
use mallee_proto::v1::{PortView, RouteTarget, RouteView, VpcView};
use mallee_proto::view;
use mallee_runtime::FaultAction;
use std::collections::{BTreeMap, BTreeSet};

/// A step of the whole way that a change of others never comes to.
const WHOLE: &str = "net.apply.rules";
const STEPS: [&str; 3] = ["net.apply.delta", "net.apply.delta.ways", "net.apply.delta.done"];

/// Who is elsewhere, and where; and who of all is a member.
#[derive(Debug, Clone, Default)]
struct Others {
    at: BTreeMap<String, String>,
    members: BTreeSet<String>,
}

impl Others {
    fn at(mut self, address: &str, node: &str) -> Self {
        self.at.insert(address.to_owned(), node.to_owned());
        self
    }

    fn gone(mut self, address: &str) -> Self {
        self.at.remove(address);
        self
    }

    fn member(mut self, address: &str) -> Self {
        self.members.insert(address.to_owned());
        self
    }

    fn no_member(mut self, address: &str) -> Self {
        self.members.remove(address);
        self
    }
}

type Step = Box<dyn Fn(Others) -> Others>;

fn own() -> [PortView; 2] {
    [port("a", 0, 11, &["sg-x"]), port("a", 0, 12, &["sg-x"])]
}

/// A VPC that hears of others by lists, as of old.
fn listed(others: &Others) -> VpcView {
    let mut view = vpc("a", 100, &own());
    let from = rule(false, -1, -1, -1, Peer::GroupId("sg-x".to_owned()));
    view.groups.push(group("sg-x", vec![all_out(), from]));
    let all: Vec<&str> = others.members.iter().map(String::as_str).collect();
    view.members = vec![members("sg-x", &all)];
    view.remotes = others.at.iter().map(|(ip, at)| remote(ip, at)).collect();
    view
}

/// Everything of the namespace of the VPC that the kernel knows, in an order of its own.
fn held(lab: &Lab) -> Vec<String> {
    let ns = lab.names.vpc_ns("vpc-a");
    let sorted = |line: &str, words: bool| {
        let text = ok(Some(&ns), line);
        let apart = |c: char| if words { c.is_whitespace() || c == ',' } else { c == '\n' };
        let mut parts: Vec<String> = text.split(apart).map(|part| part.trim().to_owned()).collect();
        parts.retain(|part| !part.is_empty());
        parts.sort();
        parts
    };
    let devices =
        sorted("bridge fdb show dev vx; ip -4 neigh show nud permanent; ip -4 route show table all; ip rule", false);
    [devices, sorted("nft -s -t list ruleset", false), sorted("nft -s list sets; nft -s list maps", true)].concat()
}

/// Restarts, has all of it looked at, and expects that nothing was other than the whole way makes it.
async fn as_the_whole_way_makes_it(lab: &mut Lab, view: VpcView, what: &str) {
    let before = held(lab);
    lab.restart();
    lab.apply(vec![view]).await;
    let after = held(lab);
    let only =
        |one: &[String], other: &[String]| one.iter().filter(|l| !other.contains(l)).cloned().collect::<Vec<_>>();
    assert_eq!((only(&before, &after), only(&after, &before)), (vec![], vec![]), "{what}");
    assert_eq!(before, after, "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_leaves_what_the_whole_way_makes_and_loses_nothing() {
    let (mut one, mut two) = (Lab::with_vtep("192.0.2.1"), Lab::with_vtep("192.0.2.2"));
    underlay(&one, &two);
    let far = port("a", 1, 13, &["sg-open"]);
    let mut there = vpc("a", 100, std::slice::from_ref(&far));
    there.remotes = own().iter().map(|port| remote(&port.private_ip, "192.0.2.1")).collect();
    two.apply(vec![there]).await;
    let start = Others::default().at("10.0.1.13", "192.0.2.2").at("10.0.1.20", "192.0.2.3").member("10.0.0.11");
    one.apply(vec![listed(&start)]).await;
    let (ga, gb, gc) = (one.launch(&own()[0]).await, one.launch(&own()[1]).await, two.launch(&far).await);
    two.udp_echo(&gc, 7);
    one.udp_echo(&gb, 7);
    let pingers = [Pinger::start(&ga, "10.0.1.13:7"), Pinger::start(&ga, "10.0.0.12:7")];
    assert!(!ping(&gc, "10.0.0.11"), "not a member");
    let steps: Vec<(&str, Step)> = vec![
        ("a member comes", Box::new(|o| o.member("10.0.1.13"))),
        ("a member goes", Box::new(|o| o.no_member("10.0.1.13"))),
        ("one on a node that is known", Box::new(|o| o.at("10.0.1.21", "192.0.2.3").member("10.0.1.21"))),
        ("one on a new node", Box::new(|o| o.at("10.0.1.22", "192.0.2.4"))),
        ("one moves to another node", Box::new(|o| o.at("10.0.1.21", "192.0.2.4"))),
        ("one moves to a new node, and its old one has none", Box::new(|o| o.at("10.0.1.20", "192.0.2.5"))),
        ("one goes, and another of its node stays", Box::new(|o| o.gone("10.0.1.21").no_member("10.0.1.21"))),
        ("the last of a node goes", Box::new(|o| o.gone("10.0.1.22"))),
        ("the last member goes", Box::new(|o| o.no_member("10.0.0.11"))),
    ];
    let mut others = start;
    for (what, step) in &steps {
        others = step(others);
        one.faults.arm(WHOLE, FaultAction::Fail, 1);
        one.apply(vec![listed(&others)]).await;
        assert!(one.faults.hit().is_empty(), "{what}: the whole way was taken");
        match *what {
            "a member comes" => assert!(ping(&gc, "10.0.0.11"), "a member"),
            "a member goes" => assert!(!ping(&gc, "10.0.0.11"), "a member no more"),
            _ => {}
        }
        one.faults.clear();
        as_the_whole_way_makes_it(&mut one, listed(&others), what).await;
    }
    for pinger in pingers {
        let (sent, lost) = pinger.stop();
        assert!(sent > 100 && lost.is_empty(), "{lost:?} of {sent}");
    }
}

/// The same VPC by sections, as it is told today.
fn sectioned(others: &Others) -> (VpcView, Vec<mallee_proto::v1::Section>) {
    let mut view = listed(others);
    (view.members, view.remotes) = (Vec::new(), Vec::new());
    let members = others.members.iter().map(|address| (address.clone(), String::new())).collect();
    let sections = vec![
        view::section_of(&view::places_of(&view.vpc_id), &others.at),
        view::section_of(&view::members_of("sg-x"), &members),
    ];
    view.sections = sections.iter().map(|section| section.key.clone()).collect();
    (view, sections)
}

async fn apply_sections(lab: &mut Lab, others: &Others) {
    let (vpc, sections) = sectioned(others);
    let mut view = (*lab.view(vec![vpc])).clone();
    view.sections = sections;
    let applied = lab.engine().apply(view.into()).await.unwrap();
    assert_eq!(applied.port_errors, BTreeMap::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_through_many_states_ends_where_the_whole_way_does() {
    let mut lab = Lab::new();
    ok(Some(&lab.host), "ip addr add 192.0.2.1/32 dev lo");
    let mut others = Others::default().at("10.0.1.250", "10.0.0.9").member("10.0.1.250");
    apply_sections(&mut lab, &others).await;
    for port in own() {
        lab.launch(&port).await;
    }
    // Two of the nodes would have one next hop, were it not for the other.
    let nodes = ["10.0.0.7", "26.0.0.7", "192.0.2.3", "192.0.2.4", "192.0.2.1"];
    let mut seed = 12_u32;
    let mut draw = |below: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) % below
    };
    for round in 0..40 {
        for _ in 0..=draw(4) {
            // Some are of ports that are here: of them nothing is believed.
            let address = if draw(12) == 0 { "10.0.0.11".to_owned() } else { format!("10.0.1.{}", 10 + draw(12)) };
            others = match draw(5) {
                0 => others.gone(&address),
                1 => others.no_member(&address),
                2 => others.member(&address),
                _ => others.at(&address, nodes[draw(5) as usize]),
            };
        }
        apply_sections(&mut lab, &others).await;
        if round % 8 == 7 {
            as_the_whole_way_makes_it(&mut lab, listed(&others), &format!("round {round}")).await;
            apply_sections(&mut lab, &others).await;
        }
    }
    assert!(STEPS.iter().all(|step| lab.faults.passed().contains(&(*step).to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_or_failed_at_any_step_of_a_change_the_next_apply_converges() {
    let mut lab = Lab::new();
    ok(Some(&lab.host), "ip addr add 192.0.2.1/32 dev lo");
    let before = Others::default().at("10.0.1.20", "192.0.2.3").at("10.0.1.21", "192.0.2.4").member("10.0.1.20");
    let after =
        before.clone().gone("10.0.1.20").at("10.0.1.22", "192.0.2.5").no_member("10.0.1.20").member("10.0.0.12");
    lab.apply(vec![listed(&after)]).await;
    for port in own() {
        lab.launch(&port).await;
    }
    let wanted = held(&lab);
    for point in STEPS {
        for action in [FaultAction::Kill, FaultAction::Fail] {
            lab.apply(vec![listed(&before)]).await;
            assert_ne!(held(&lab), wanted);
            lab.faults.arm(point, action, 1);
            let view = lab.view(vec![listed(&after)]);
            tokio::select! {
                // What fails takes the whole way, at once.
                applied = lab.engine().apply(view) => {
                    assert_eq!((applied.unwrap().port_errors, action), (BTreeMap::new(), FaultAction::Fail));
                }
                () = lab.faults.killed() => {
                    lab.restart();
                    lab.apply(vec![listed(&after)]).await;
                }
            }
            assert_eq!(lab.faults.hit().last().map(String::as_str), Some(point));
            assert_eq!(held(&lab), wanted, "{point} {action:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_did_by_hand_or_is_more_than_a_change_takes_the_whole_way() {
    let mut lab = Lab::new();
    ok(Some(&lab.host), "ip addr add 192.0.2.1/32 dev lo");
    let none = Others::default().member("10.0.0.11");
    let some = none.clone().at("10.0.1.20", "192.0.2.3").at("10.0.1.21", "192.0.2.3").member("10.0.1.20");
    lab.apply(vec![listed(&some)]).await;
    for port in own() {
        lab.launch(&port).await;
    }
    let ns = lab.names.vpc_ns("vpc-a");
    let disturb: [(&str, Others); 3] = [
        ("ip route del 10.0.1.20", some.clone().gone("10.0.1.20")),
        ("nft delete element inet vpc m_sg_x '{ 10.0.1.20 }'", some.clone().no_member("10.0.1.20")),
        ("ip link del vx", some.clone().at("10.0.1.22", "192.0.2.4")),
    ];
    for (line, next) in disturb {
        lab.apply(vec![listed(&some)]).await;
        ok(Some(&ns), line);
        lab.apply(vec![listed(&next)]).await;
        as_the_whole_way_makes_it(&mut lab, listed(&next), line).await;
    }
    // The overlay ends and begins with the first and the last that is elsewhere.
    for (others, what) in [(&none, "nobody elsewhere"), (&some, "somebody elsewhere")] {
        lab.apply(vec![listed(others)]).await;
        as_the_whole_way_makes_it(&mut lab, listed(others), what).await;
    }
    // A route leads to one that is elsewhere, goes to another node, and then is nowhere.
    let led = |others: &Others| {
        let mut view = listed(others);
        let (destination, next_hop) = ("198.51.100.0/24".to_owned(), "10.0.1.20".to_owned());
        let target = RouteTarget::Interface.into();
        view.route_tables[0].routes.push(RouteView { destination, target, next_hop, ..RouteView::default() });
        view
    };
    lab.apply(vec![led(&some)]).await;
    let moved = some.clone().at("10.0.1.20", "192.0.2.4");
    for (others, what) in [(&moved, "a route's target moved"), (&moved.clone().gone("10.0.1.20"), "it is gone")] {
        lab.apply(vec![led(others)]).await;
        as_the_whole_way_makes_it(&mut lab, led(others), what).await;
    }
}

//! Whatever the reachability analysis says of a network must be what its nodes do: many small networks are drawn at random,
//! the analysis is asked about each pair of ends, and an oracle sends packets through the views that the cluster controller
//! makes of the same rows. (tests/tests/vpc sends real ones by the same views.)
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod oracle;
mod random;

use mallee_app::insights::{NewAnalysis, NewPath, answer_of};
use mallee_app::once::Once;
use mallee_app::test_support::{self, config};
use mallee_app::{Actor, Cloud, OpContext};
use mallee_network::compile;
use mallee_proto::view;
use mallee_runtime::Faults;
use mallee_store::InsightsPathDoc;
use mallee_store::test_support::TestDb;
use oracle::{Nodes, PORTS, Packet, Place};
use random::Dice;
use std::net::Ipv4Addr;

/// Networks that are drawn.
const NETWORKS: u64 = 30;

/// Addresses that the other side of a gateway or connection may have: whatever the rules of these networks tell apart.
fn others() -> Vec<Ipv4Addr> {
    let texts = [
        "198.51.100.1",
        "198.51.100.200",
        "198.51.7.7",
        "8.8.8.8",
        "11.0.0.1",
        "9.9.9.9",
        "10.0.1.10",
        "10.0.1.11",
        "10.0.1.110",
        "10.0.1.111",
        "10.0.1.77",
        "10.0.2.10",
        "10.0.2.11",
        "10.0.2.110",
        "10.0.2.111",
        "10.0.200.1",
        "10.1.1.10",
        "10.1.1.11",
        "10.1.1.110",
        "10.1.1.111",
        "10.1.1.77",
        "10.1.2.10",
        "10.1.2.11",
        "10.1.2.110",
        "10.1.2.111",
        "10.1.2.77",
        "10.1.200.1",
        "10.1.128.1",
        "172.31.0.1",
        "100.64.0.1",
        "203.0.113.250",
    ];
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// What a path is about.
struct Asked<'a> {
    nodes: &'a Nodes,
    protocol: i32,
    port: Option<u16>,
}

impl Asked<'_> {
    /// Whether some packet gets there, and some answer back.
    fn both(&self, there: impl Fn(u16) -> bool, back: impl Fn(u16) -> bool) -> bool {
        let to = PORTS.iter().copied().filter(|port| self.port.is_none_or(|wanted| wanted == *port));
        to.into_iter().any(there) && PORTS.iter().copied().any(back)
    }

    fn packet(&self, source: Ipv4Addr, destination: Ipv4Addr, port: u16, answer: bool) -> Packet {
        Packet { source, destination, protocol: self.protocol, port, answer }
    }

    fn between(&self, from: &str, to: &str) -> bool {
        let (sources, destinations) = (self.nodes.addresses(from), self.nodes.addresses(to));
        sources.iter().any(|(source, _)| {
            destinations.iter().any(|(destination, _)| {
                let there = |port| self.nodes.send(from, &self.packet(*source, *destination, port, false));
                let back = |port| self.nodes.send(to, &self.packet(*destination, *source, port, true));
                let (to, from) = (Some(Place::Port(to.to_owned())), Some(Place::Port(from.to_owned())));
                self.both(|port| there(port) == to, |port| back(port) == from)
            })
        })
    }

    /// From an interface, to what is beyond a gateway or a connection of its VPC.
    fn outward(&self, from: &str, beyond: &Place) -> bool {
        self.nodes.addresses(from).iter().any(|(own, _)| {
            others().iter().any(|other| {
                let there = |port| self.leaves(from, beyond, &self.packet(*own, *other, port, false));
                let back = |port| self.nodes.takes(from, beyond, &self.packet(*other, *own, port, true));
                self.both(there, back)
            })
        })
    }

    /// The other way round.
    fn inward(&self, to: &str, beyond: &Place) -> bool {
        self.nodes.addresses(to).iter().any(|(own, _)| {
            others().iter().any(|other| {
                let there = |port| self.nodes.takes(to, beyond, &self.packet(*other, *own, port, false));
                let back = |port| self.leaves(to, beyond, &self.packet(*own, *other, port, true));
                self.both(there, back)
            })
        })
    }

    fn leaves(&self, from: &str, beyond: &Place, packet: &Packet) -> bool {
        match beyond {
            Place::Peering(id) => self.nodes.crosses(from, id, packet),
            place => self.nodes.send(from, packet).as_ref() == Some(place),
        }
    }
}

/// What the analysis says, and in which words.
async fn said(
    cloud: &Cloud,
    cx: &OpContext,
    from: &str,
    to: &str,
    protocol: &'static str,
    port: Option<u16>,
) -> (bool, String) {
    let doc = InsightsPathDoc { destination_port: port, ..Default::default() };
    let new = NewPath { source: from.into(), destination: Some(to.into()), protocol, doc, tags: Vec::new() };
    let path = cloud.create_insights_path(cx, &new, &Once::default(), false).await.unwrap();
    let new =
        NewAnalysis { path: path.id.to_string(), filter_in: Vec::new(), filter_out: Vec::new(), tags: Vec::new() };
    let row = cloud.start_insights_analysis(cx, &new, &Once::default(), false).await.unwrap();
    let answer = answer_of(&row).unwrap();
    cloud.delete_insights_analysis(cx, row.id.as_str(), false).await.unwrap();
    cloud.delete_insights_path(cx, path.id.as_str(), false).await.unwrap();
    assert_eq!(answer.found, answer.why.is_empty(), "what is found needs no explanation, and what is not has one");
    assert_eq!(answer.found, !answer.forward.is_empty() && !answer.back.is_empty());
    assert_eq!(answer.failed, None);
    (row.found.unwrap(), format!("{answer:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_analysis_says_what_nodes_do() {
    let (mut found, mut not) = ([0; 5], [0; 5]);
    for seed in 1..=NETWORKS {
        let db = TestDb::sqlite().await;
        let store = db.open().await;
        let cloud = test_support::cloud(&db, &store, config(), Faults::none());
        let access = mallee_app::bootstrap::bootstrap(&cloud).await.unwrap();
        let cx = OpContext::new(Actor::root(access.account.clone(), true), "req-1");
        let zone = cloud.zones()[0].clone();
        let made = random::network(&store, &access.account, &zone, seed).await;
        let hosts = [("node0".to_owned(), "192.0.2.1".to_owned()), ("node1".to_owned(), "192.0.2.2".to_owned())];
        let model = mallee_tests::wanted_network(&cloud, &hosts).await;
        let as_read = |node: &str| view::listed(&compile(&model, node)).into_owned();
        let nodes = Nodes(vec![as_read("node0"), as_read("node1")]);
        let dice = &mut Dice(seed);
        let mut ends: Vec<String> = made.interfaces.iter().map(ToString::to_string).collect();
        ends.extend(made.gateways.iter().map(ToString::to_string));
        ends.extend(made.peerings.iter().map(ToString::to_string));
        let vpc_of = |interface: &str| {
            nodes.0.iter().flat_map(|node| &node.vpcs).find(|vpc| vpc.ports.iter().any(|p| p.interface_id == interface))
        };
        // The gateway's VPC must be the interface's; a view only says that there is one.
        let mut attached = std::collections::BTreeMap::new();
        for row in mallee_store::internet_gateway_list(&store, &access.account, None, None, None, 100).await.unwrap() {
            attached.extend(row.vpc_id.map(|vpc| (row.id.to_string(), vpc.to_string())));
        }
        for from in &ends {
            for to in ends.iter().filter(|to| *to != from) {
                let is = |end: &str, start: &str| end.starts_with(start);
                if !is(from, "eni-") && !is(to, "eni-") {
                    continue;
                }
                let (protocol, number) = dice.one(&[("tcp", 6), ("udp", 17)]);
                let port = dice.one(&[None, None, Some(22), Some(80)]);
                let asked = Asked { nodes: &nodes, protocol: number, port };
                let by = |gateway: &str, interface: &str| {
                    vpc_of(interface).is_some_and(|vpc| attached.get(gateway) == Some(&vpc.vpc_id))
                };
                let (kind, does) = match (from.split('-').next().unwrap(), to.split('-').next().unwrap()) {
                    ("eni", "eni") => (0, asked.between(from, to)),
                    ("eni", "igw") => (1, by(to, from) && asked.outward(from, &Place::World)),
                    ("igw", _) => (2, by(from, to) && asked.inward(to, &Place::World)),
                    ("eni", _) => (3, asked.outward(from, &Place::Peering(to.clone()))),
                    _ => (4, asked.inward(to, &Place::Peering(from.clone()))),
                };
                let (says, words) = said(&cloud, &cx, from, to, protocol, port).await;
                assert_eq!(says, does, "network {seed}: {from} to {to}, {protocol} {port:?}: {words}");
                if says { found[kind] += 1 } else { not[kind] += 1 }
            }
        }
    }
    // Each kind of path was there often enough, both ways.
    println!("found {found:?}, not found {not:?}");
    assert!(found.iter().chain(&not).all(|count| *count >= 15), "found {found:?}, not found {not:?}");
}

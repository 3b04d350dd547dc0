//! What public names mean inside: of the VPC's own addresses, wherever they are, and of peers that allow it.

use super::{compile, instance, small, vpc};
use crate::Model;
use mallee_proto::v1::{InstanceIntent, PeerInstance, PeerPort, PortAddress, Vpc, VpcPeering};

/// The instance with this public address, and one for its secondary address, if it has one.
fn public(n: u32, node: &str, vpc: u32, ip: &str, secondary: Option<(&str, &str)>) -> InstanceIntent {
    let mut intent = instance(n, node, vpc, &[1], 1);
    let port = &mut intent.spec.as_mut().unwrap().ports[0];
    port.public_ip = ip.to_owned();
    let other = |(private, public): (&str, &str)| PortAddress {
        private_ip: private.to_owned(),
        public_ip: public.to_owned(),
        ..PortAddress::default()
    };
    port.secondary = secondary.map(other).into_iter().collect();
    intent
}

/// What a node is told in a VPC.
fn names(model: &Model, node: &str, vpc: &str) -> Vec<(String, String)> {
    let view = compile(model, node);
    let names = view.vpcs.iter().find(|view| view.vpc_id == vpc).unwrap().public_names.iter();
    names.map(|name| (name.public_ip.clone(), name.private_ip.clone())).collect()
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(public, private)| ((*public).to_owned(), (*private).to_owned())).collect()
}

#[test]
fn every_node_of_a_vpc_knows_all_its_public_names() {
    let mut model = small();
    let more = Some(("10.0.1.77", "203.0.113.7"));
    model.set_instance(&public(2, "b", 1, "203.0.113.5", more), true);
    let both = pairs(&[("203.0.113.5", "10.0.1.2"), ("203.0.113.7", "10.0.1.77")]);
    assert_eq!(names(&model, "a", "vpc-1"), both);
    assert_eq!(names(&model, "b", "vpc-1"), both);
    // Of another zone, too.
    let port = PeerPort {
        interface_id: "eni-9".into(),
        vpc_id: "vpc-1".into(),
        private_ip: "10.0.1.9".into(),
        public_ip: "203.0.113.9".into(),
        secondary: vec![PortAddress {
            private_ip: "10.0.1.99".into(),
            public_ip: "203.0.113.99".into(),
            ..PortAddress::default()
        }],
        ..PeerPort::default()
    };
    let peer = PeerInstance { id: "i-9".into(), incarnation: 1, node_id: "b".into(), ports: vec![port] };
    model.set_peer_instance(&peer);
    let there = names(&model, "a", "vpc-1");
    assert!(there.contains(&("203.0.113.99".to_owned(), "10.0.1.99".to_owned())), "{there:?}");
    model.remove_instance("i-9");
    assert_eq!(names(&model, "a", "vpc-1"), both);
    model.set_vpc(Vpc { public_names_off: true, ..vpc(1, 9) });
    assert!(names(&model, "a", "vpc-1").is_empty(), "a VPC without public names");
}

/// An elastic IP moves: whoever is told first, in the end it is who has it now.
#[test]
fn a_name_follows_its_address() {
    let had = |ip| public(1, "a", 1, ip, None);
    let has = |ip| public(2, "b", 1, ip, None);
    for had_first in [true, false] {
        let mut model = small();
        model.set_instance(&had("203.0.113.5"), true);
        assert_eq!(names(&model, "b", "vpc-1"), pairs(&[("203.0.113.5", "10.0.1.1")]));
        if had_first {
            model.set_instance(&had(""), true);
            assert!(names(&model, "b", "vpc-1").is_empty());
            model.set_instance(&has("203.0.113.5"), true);
        } else {
            model.set_instance(&has("203.0.113.5"), true);
            model.set_instance(&had(""), true);
        }
        assert_eq!(names(&model, "a", "vpc-1"), pairs(&[("203.0.113.5", "10.0.1.2")]));
        model.set_instance(&has(""), true);
        assert!(names(&model, "a", "vpc-1").is_empty());
    }
}

#[test]
fn names_of_a_peer_are_told_as_far_as_it_allows_it() {
    let mut model = small();
    for n in [1, 2] {
        model.set_vpc(Vpc { cidr: format!("10.{n}.0.0/16"), ..vpc(n, 7) });
    }
    let peering = |generation, requester_dns| VpcPeering {
        id: "pcx-1".into(),
        generation,
        requester_vpc_id: "vpc-1".into(),
        accepter_vpc_id: "vpc-2".into(),
        requester_dns,
        accepter_dns: false,
        transit: false,
    };
    model.set_instance(&public(1, "a", 1, "203.0.113.5", None), true);
    model.set_instance(&public(5, "b", 2, "203.0.113.6", None), true);
    let (one, other) = (("203.0.113.5", "10.0.1.1"), ("203.0.113.6", "10.0.2.5"));
    model.set_peering(peering(1, true));
    assert_eq!(names(&model, "b", "vpc-2"), pairs(&[one, other]));
    assert_eq!(names(&model, "a", "vpc-1"), pairs(&[one]), "the other side does not");
    model.set_peering(peering(2, false));
    assert_eq!(names(&model, "b", "vpc-2"), pairs(&[other]));
    assert!(names(&model, "a", "vpc-2").is_empty(), "nobody of it asks here");
}

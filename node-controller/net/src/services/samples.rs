//! A VPC with one port, for tests.

use crate::dhcp::DhcpOptions;
use crate::model::{Mac, Port, Subnet, Vpc};
use std::collections::BTreeMap;

pub(super) fn port() -> Port {
    Port {
        interface_id: "eni-1".into(),
        instance_id: "i-1".into(),
        device: "tap0".into(),
        mac: Mac([2, 0, 0, 0, 0, 1]),
        ip: "10.0.0.4".parse().unwrap(),
        subnet: Subnet {
            id: "subnet-1".into(),
            cidr: "10.0.0.0/24".parse().unwrap(),
            gateway: "10.0.0.1".parse().unwrap(),
            table: 1,
            acl: None,
            cidr6: None,
        },
        groups: Vec::new(),
        public_ip: None,
        source_dest_check: true,
        flow_log: false,
        hop: None,
        nat: None,
        nat_draining: Vec::new(),
        bandwidth: None,
        flows: None,
        ipv6: Default::default(),
        hostname: String::new(),
        secondary: Vec::new(),
    }
}

pub(super) fn vpc() -> Vpc {
    let domain = "local.compute.internal";
    Vpc {
        tables: Default::default(),
        acls: BTreeMap::new(),
        internet_gateway: true,
        id: "vpc-1".into(),
        ns: "ns".into(),
        cidr: "10.0.0.0/24".parse().unwrap(),
        more: vec![],
        vni: 1,
        domain: domain.into(),
        subnets: Vec::new(),
        ports: BTreeMap::new(),
        devices: BTreeMap::new(),
        groups: BTreeMap::new(),
        members: BTreeMap::new(),
        remotes: Default::default(),
        dns_off: false,
        public_names_off: false,
        dhcp: DhcpOptions::usual(domain, "10.0.0.2".parse().unwrap()),
        peerings: BTreeMap::new(),
        public_names: Default::default(),
        blocks6: Vec::new(),
        tables6: BTreeMap::new(),
        world6: BTreeMap::new(),
        devices6: BTreeMap::new(),
        members6: BTreeMap::new(),
        remotes6: Default::default(),
    }
}

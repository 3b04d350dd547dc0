//! Ports that are up: of instances of the zone, and, as far as others need them, of those of other zones.

use mallee_proto::v1::{InstanceIntent, NatGateway, PeerInstance, PeerPort, Port, PortAddress, PortView};

/// A port that is up on a node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LivePort {
    pub(crate) node: String,
    pub(crate) vpc: String,
    pub(crate) view: PortView,
}

/// (address, interface and instance): a VPC's ports in the order of addresses. An interface may go from one instance to
/// another, and who has it now may be told before who had it: neither takes the other's port away.
pub(crate) type PortKey = (String, String);

fn key(port: &LivePort, address: &str) -> PortKey {
    (address.to_owned(), format!("{} {}", port.view.interface_id, port.view.instance_id))
}

/// Under which a port is kept: its primary address.
pub(crate) fn port_key(port: &LivePort) -> PortKey {
    key(port, &port.view.private_ip)
}

/// Its other addresses, of both families.
pub(crate) fn other_keys(port: &LivePort) -> impl Iterator<Item = PortKey> {
    let secondary = port.view.secondary.iter().map(|address| &address.private_ip);
    secondary.chain(&port.view.ipv6_addresses).map(|address| key(port, address))
}

/// Under which and of which it is found: all its addresses.
pub(crate) fn keys_of(port: &LivePort) -> impl Iterator<Item = PortKey> {
    std::iter::once(port_key(port)).chain(other_keys(port))
}

/// Of these a node needs to know the address, the groups and the place only: its own are never among them.
pub(crate) fn peer_ports(peer: &PeerInstance) -> Vec<LivePort> {
    let port = |port: &PeerPort| LivePort {
        node: peer.node_id.clone(),
        vpc: port.vpc_id.clone(),
        view: PortView {
            interface_id: port.interface_id.clone(),
            instance_id: peer.id.clone(),
            incarnation: peer.incarnation,
            private_ip: port.private_ip.clone(),
            group_ids: port.group_ids.clone(),
            public_ip: port.public_ip.clone(),
            secondary: port.secondary.iter().map(|other| bare(&other.private_ip, &other.public_ip)).collect(),
            ipv6_addresses: port.ipv6_addresses.clone(),
            ..PortView::default()
        },
    };
    peer.ports.iter().map(port).collect()
}

/// A secondary address as views have it.
fn bare(private_ip: &str, public_ip: &str) -> PortAddress {
    PortAddress { private_ip: private_ip.to_owned(), public_ip: public_ip.to_owned(), public_hostname: String::new() }
}

/// Its public addresses, each with the private one behind it.
pub(crate) fn publics(port: &LivePort) -> impl Iterator<Item = (String, String)> {
    let view = &port.view;
    let others = view.secondary.iter().map(|other| (&other.public_ip, &other.private_ip));
    let all = std::iter::once((&view.public_ip, &view.private_ip)).chain(others);
    all.filter(|(public, _)| !public.is_empty()).map(|(public, private)| (public.clone(), private.clone()))
}

pub(crate) fn live_ports(intent: &InstanceIntent) -> Vec<LivePort> {
    let spec = intent.spec.as_ref();
    let hostname = spec.and_then(|spec| spec.metadata.as_ref()).map_or("", |metadata| metadata.hostname.as_str());
    let ports = spec.map_or(&[][..], |spec| spec.ports.as_slice()).iter();
    ports
        .map(|port| {
            let mut live = live_port(port, &intent.node_id, &intent.id, intent.incarnation);
            // The name is that of the instance's first interface.
            if port.device_index == 0 {
                hostname.clone_into(&mut live.view.hostname);
            }
            live
        })
        .collect()
}

/// The port of a NAT gateway, while it is to have one.
pub(crate) fn nat_ports(gateway: &NatGateway) -> Vec<LivePort> {
    let port = gateway.port.iter().filter(|_| !gateway.deleting && !gateway.node_id.is_empty());
    port.map(|port| {
        let mut live = live_port(port, &gateway.node_id, &gateway.id, gateway.incarnation);
        live.view.nat = true;
        live.view.nat_draining.clone_from(&gateway.draining);
        live
    })
    .collect()
}

/// What hangs on more than the port is said when it is compiled.
fn live_port(port: &Port, node: &str, owner: &str, incarnation: u64) -> LivePort {
    LivePort {
        node: node.to_owned(),
        vpc: port.vpc_id.clone(),
        view: PortView {
            interface_id: port.interface_id.clone(),
            instance_id: owner.to_owned(),
            incarnation,
            mac: port.mac.clone(),
            private_ip: port.private_ip.clone(),
            subnet_id: port.subnet_id.clone(),
            group_ids: port.group_ids.clone(),
            public_ip: port.public_ip.clone(),
            source_dest_check: port.source_dest_check,
            bandwidth_kbps: port.bandwidth_kbps,
            flows_max: port.flows_max,
            secondary: port.secondary.iter().map(|other| bare(&other.private_ip, &other.public_ip)).collect(),
            ipv6_addresses: port.ipv6_addresses.clone(),
            ..PortView::default()
        },
    }
}

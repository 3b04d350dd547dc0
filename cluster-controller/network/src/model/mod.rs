//! The model: what exists, who is where, and what a change touches.

mod objects;
mod targets;

use crate::peering::Peerings;
use crate::ports::{LivePort, PortKey, keys_of, live_ports, other_keys, peer_ports, port_key, publics};
use crate::sections::Sections;
use crate::transit::Transits;
use mallee_proto::v1::{
    FlowLog, InstanceIntent, NatGateway, NetworkAcl, PeerInstance, RouteTable, SecurityGroup, Subnet, Vpc,
};
use mallee_proto::view;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

#[derive(Debug, Clone, Default)]
pub(crate) struct VpcEntry {
    pub(crate) vpc: Option<Vpc>,
    pub(crate) subnets: BTreeMap<String, Subnet>,
    pub(crate) tables: BTreeMap<String, RouteTable>,
    pub(crate) acls: BTreeMap<String, NetworkAcl>,
    /// Subnets as they were when what they named was known last: what a subnet names now may be told a moment later.
    earlier: BTreeMap<String, Subnet>,
    /// Under each of their addresses.
    pub(crate) ports: BTreeMap<PortKey, LivePort>,
    /// The primary address of each interface that is up, where routes to it lead, and how many have it: it may have come to
    /// one instance before it left another.
    pub(crate) interfaces: HashMap<String, (String, usize)>,
    /// Interfaces that routes of its tables lead to: how many.
    pub(crate) targets: HashMap<String, usize>,
    /// (public address, private address) of its ports: how many have it. An elastic IP may have come to one before it left
    /// another.
    publics: BTreeMap<(String, String), usize>,
    /// How many ports each node has here.
    nodes: HashMap<String, usize>,
}

impl VpcEntry {
    /// A subnet's route table and network ACL: those it names, or, until these are known, those it named before.
    pub(crate) fn named_by<'a>(&'a self, subnet: &'a Subnet) -> (&'a String, &'a String) {
        let earlier = self.earlier.get(&subnet.id).unwrap_or(subnet);
        let (table, acl) = self.knows(subnet);
        let table = if table { &subnet.route_table_id } else { &earlier.route_table_id };
        // None named, as of a cloud of before there were ACLs, would let everything through.
        let acl = acl || earlier.network_acl_id.is_empty();
        (table, if acl { &subnet.network_acl_id } else { &earlier.network_acl_id })
    }

    /// Whether the route table and the network ACL that a subnet names are known. (None named: there is nothing to know.)
    fn knows(&self, subnet: &Subnet) -> (bool, bool) {
        let table = subnet.route_table_id.is_empty() || self.tables.contains_key(&subnet.route_table_id);
        (table, subnet.network_acl_id.is_empty() || self.acls.contains_key(&subnet.network_acl_id))
    }

    /// Takes a subnet; what it named before stays until what it names now is known.
    fn set_subnet(&mut self, subnet: Subnet) {
        let id = subnet.id.clone();
        if let Some(held) = self.subnets.get(&id) {
            let (table, acl) = self.named_by(held);
            let earlier = Subnet { route_table_id: table.clone(), network_acl_id: acl.clone(), ..Subnet::default() };
            self.earlier.insert(id.clone(), earlier);
        }
        self.subnets.insert(id, subnet);
        self.settle();
    }

    /// Forgets what subnets named before whose own is known now.
    fn settle(&mut self) {
        let mut earlier = std::mem::take(&mut self.earlier);
        earlier.retain(|id, _| self.subnets.get(id).is_some_and(|subnet| self.knows(subnet) != (true, true)));
        self.earlier = earlier;
    }

    fn is_empty(&self) -> bool {
        let parts = self.subnets.is_empty() && self.tables.is_empty() && self.acls.is_empty();
        self.vpc.is_none() && parts && self.ports.is_empty()
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct GroupEntry {
    pub(crate) group: Option<SecurityGroup>,
    /// (address, interface id) of every live port in the group, once for each of its addresses.
    pub(crate) members: BTreeSet<PortKey>,
    /// How many ports in the group each node has.
    nodes: HashMap<String, usize>,
    /// Groups whose rules name this one.
    named_by: BTreeSet<String>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct NodeEntry {
    pub(crate) vtep: String,
    /// The node's ports, by VPC, each under its primary address.
    pub(crate) vpcs: BTreeMap<String, BTreeSet<PortKey>>,
}

/// VPCs, subnets, groups, and the ports of placed, live instances.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pub(crate) vpcs: HashMap<String, VpcEntry>,
    pub(crate) groups: HashMap<String, GroupEntry>,
    pub(crate) nodes: HashMap<String, NodeEntry>,
    pub(crate) peerings: Peerings,
    pub(crate) transits: Transits,
    instances: HashMap<String, Vec<LivePort>>,
    /// Those of `instances` that are of other zones.
    peers: HashSet<String>,
    subnet_vpc: HashMap<String, String>,
    table_vpc: HashMap<String, String>,
    acl_vpc: HashMap<String, String>,
    pub(crate) flow_logs: HashMap<String, FlowLog>,
    pub(crate) gateways: BTreeMap<String, NatGateway>,
    /// VPCs, subnets and interfaces that have flow logs: how many.
    pub(crate) logged: HashMap<String, usize>,
    /// Where every address is, and who is in which group, as views say it.
    pub(crate) sections: Sections,
    touched_nodes: HashSet<String>,
    touched_vpcs: HashSet<String>,
}

impl Model {
    /// Says where a node receives tunnelled packets. Nodes that share a VPC with it learn it in their next batch.
    pub fn set_node(&mut self, node: &str, vtep: &str) {
        let entry = self.nodes.entry(node.to_owned()).or_default();
        if entry.vtep != vtep {
            vtep.clone_into(&mut entry.vtep);
            self.touched_vpcs.extend(entry.vpcs.keys().cloned());
            for (vpc, keys) in entry.vpcs.clone() {
                let ports =
                    self.vpcs.get(&vpc).into_iter().flat_map(|vpc| keys.iter().filter_map(|key| vpc.ports.get(key)));
                for (address, _) in ports.flat_map(keys_of).collect::<Vec<_>>() {
                    self.place(&vpc, &address);
                }
            }
        }
    }

    /// Where a node receives tunnelled packets, as it was said last.
    #[must_use]
    pub fn vtep(&self, node: &str) -> Option<&str> {
        self.nodes.get(node).map(|entry| entry.vtep.as_str())
    }

    /// Sets the ports of an instance. `live`: the domain runs or is meant to, so the ports are up on its node; ports
    /// of an instance that is not live, or not placed, keep their addresses in the cloud but are in no view.
    pub fn set_instance(&mut self, intent: &InstanceIntent, live: bool) {
        let ports = if live && !intent.node_id.is_empty() { live_ports(intent) } else { Vec::new() };
        self.peers.remove(&intent.id);
        self.set_ports(&intent.id, ports);
    }

    /// Sets where an instance of another zone is, whose ports are up. The last one set counts.
    pub fn set_peer_instance(&mut self, peer: &PeerInstance) {
        self.set_ports(&peer.id, peer_ports(peer));
        if self.instances.contains_key(&peer.id) {
            self.peers.insert(peer.id.clone());
        } else {
            self.peers.remove(&peer.id);
        }
    }

    /// Whether it is known as an instance of another zone.
    #[must_use]
    pub fn is_peer_instance(&self, id: &str) -> bool {
        self.peers.contains(id)
    }

    /// The instances of other zones held: what a snapshot that does not name them takes away.
    #[must_use]
    pub fn peer_instances(&self) -> Vec<String> {
        self.peers.iter().cloned().collect()
    }

    pub(crate) fn set_ports(&mut self, instance: &str, ports: Vec<LivePort>) {
        let before = self.instances.get(instance).map_or(&[][..], Vec::as_slice);
        if before == ports.as_slice() {
            return;
        }
        self.remove_ports(instance);
        for port in &ports {
            self.insert_port(port);
        }
        if !ports.is_empty() {
            self.instances.insert(instance.to_owned(), ports);
        }
    }

    /// Removes an instance and its ports.
    pub fn remove_instance(&mut self, id: &str) {
        self.peers.remove(id);
        self.remove_ports(id);
    }

    fn remove_ports(&mut self, id: &str) {
        for port in self.instances.remove(id).unwrap_or_default() {
            self.remove_port(&port);
        }
    }

    fn insert_port(&mut self, port: &LivePort) {
        let key = port_key(port);
        let vpc = self.vpcs.entry(port.vpc.clone()).or_default();
        vpc.ports.insert(key.clone(), port.clone());
        let interface = vpc.interfaces.entry(port.view.interface_id.clone()).or_default();
        *interface = (port.view.private_ip.clone(), interface.1 + 1);
        for other in other_keys(port) {
            vpc.ports.insert(other, port.clone());
        }
        publics(port).for_each(|name| *vpc.publics.entry(name).or_default() += 1);
        *vpc.nodes.entry(port.node.clone()).or_default() += 1;
        let node = self.nodes.entry(port.node.clone()).or_default();
        node.vpcs.entry(port.vpc.clone()).or_default().insert(key.clone());
        for id in &port.view.group_ids {
            let group = self.groups.entry(id.clone()).or_default();
            if group.members.insert(key.clone()) {
                *group.nodes.entry(port.node.clone()).or_default() += 1;
            }
            group.members.extend(other_keys(port));
        }
        self.settle_sections(port);
        self.touch_port(port);
    }

    fn remove_port(&mut self, port: &LivePort) {
        let key = port_key(port);
        self.touch_port(port);
        if let Some(vpc) = self.vpcs.get_mut(&port.vpc) {
            vpc.ports.remove(&key);
            if let Some((_, count)) = vpc.interfaces.get_mut(&port.view.interface_id) {
                *count -= 1;
                if *count == 0 {
                    vpc.interfaces.remove(&port.view.interface_id);
                }
            }
            other_keys(port).for_each(|other| _ = vpc.ports.remove(&other));
            for name in publics(port) {
                if let Entry::Occupied(mut count) = vpc.publics.entry(name) {
                    *count.get_mut() -= 1;
                    if *count.get() == 0 {
                        count.remove();
                    }
                }
            }
            release(&mut vpc.nodes, &port.node);
        }
        if let Some(node) = self.nodes.get_mut(&port.node)
            && let Some(keys) = node.vpcs.get_mut(&port.vpc)
        {
            keys.remove(&key);
            if keys.is_empty() {
                node.vpcs.remove(&port.vpc);
            }
        }
        for id in &port.view.group_ids {
            if let Some(group) = self.groups.get_mut(id)
                && group.members.remove(&key)
            {
                release(&mut group.nodes, &port.node);
                other_keys(port).for_each(|other| _ = group.members.remove(&other));
            }
        }
        self.settle_sections(port);
        port.view.group_ids.iter().for_each(|id| self.drop_group_if_empty(id));
        self.drop_vpc_if_empty(&port.vpc);
    }

    /// Has the sections say of a port's addresses what is so now.
    fn settle_sections(&mut self, port: &LivePort) {
        for (address, _) in keys_of(port) {
            self.place(&port.vpc, &address);
            for id in &port.view.group_ids {
                let member = self.groups.get(id).is_some_and(|group| {
                    let from = (address.clone(), String::new());
                    group.members.range(from..).next().is_some_and(|(other, _)| *other == address)
                });
                self.sections.set(&view::members_of(id), &address, member.then_some(""));
            }
        }
        for (public, _) in publics(port) {
            let from = (public.clone(), String::new());
            let named = self.vpcs.get(&port.vpc).and_then(|vpc| vpc.publics.range(from..).next());
            let private = named.map(|((of, private), _)| (of, private)).filter(|(of, _)| **of == public);
            let private = private.map(|(_, private)| private.as_str());
            self.sections.set(&view::names_of(&port.vpc), &public, private);
        }
    }

    /// Says where an address of a VPC is. While it moves, its newest incarnation counts; a node whose underlay address is
    /// not known cannot be reached yet.
    fn place(&mut self, vpc: &str, address: &str) {
        let ports = self.vpcs.get(vpc).into_iter().flat_map(|entry| {
            let from = (address.to_owned(), String::new());
            entry.ports.range(from..).take_while(|((other, _), _)| other == address).map(|(_, port)| port)
        });
        let newest =
            ports.reduce(|newest, port| if port.view.incarnation > newest.view.incarnation { port } else { newest });
        let vtep = newest.and_then(|port| self.nodes.get(&port.node)).map(|node| node.vtep.as_str());
        self.sections.set(&view::places_of(vpc), address, vtep.filter(|vtep| !vtep.is_empty()));
    }

    /// A port's own node is told at once; its VPC, and VPCs that name its groups, learn of it in a batch. Where routes lead
    /// to it, all nodes of its VPC are told at once where these lead now.
    fn touch_port(&mut self, port: &LivePort) {
        self.touched_nodes.insert(port.node.clone());
        if self.is_target(&port.vpc, &port.view) {
            self.touch_nodes_of_vpc(&port.vpc);
        }
        self.touched_vpcs.insert(port.vpc.clone());
        for group in port.view.group_ids.iter().filter_map(|id| self.groups.get(id)) {
            for naming in group.named_by.iter().filter_map(|id| self.groups.get(id)) {
                self.touched_vpcs.extend(naming.group.iter().map(|group| group.vpc_id.clone()));
            }
        }
    }

    pub(crate) fn touch_nodes_of_vpc(&mut self, id: &str) {
        if let Some(entry) = self.vpcs.get(id) {
            self.touched_nodes.extend(entry.nodes.keys().cloned());
        }
    }

    fn drop_vpc_if_empty(&mut self, id: &str) {
        if self.vpcs.get(id).is_some_and(VpcEntry::is_empty) {
            self.vpcs.remove(id);
        }
    }

    fn drop_group_if_empty(&mut self, id: &str) {
        if self.groups.get(id).is_some_and(|e| e.group.is_none() && e.members.is_empty() && e.named_by.is_empty()) {
            self.groups.remove(id);
        }
    }

    /// Nodes whose own ports, or the rules of those, changed since the last call.
    pub fn take_touched_nodes(&mut self) -> Vec<String> {
        let mut nodes: Vec<String> = self.touched_nodes.drain().collect();
        nodes.sort_unstable();
        nodes
    }

    /// Whether there are VPCs of which nodes have something to learn.
    #[must_use]
    pub fn has_touched_vpcs(&self) -> bool {
        !self.touched_vpcs.is_empty()
    }

    /// Nodes with a port in a VPC whose ports or group members changed since the last call, or in a peer of such a one,
    /// in order.
    pub fn take_learning_nodes(&mut self) -> Vec<String> {
        let vpcs = std::mem::take(&mut self.touched_vpcs);
        let peers = vpcs.iter().flat_map(|id| self.peerings.of(id)).map(|(_, peer)| peer);
        let vpcs: HashSet<&str> = vpcs.iter().map(String::as_str).chain(peers).collect();
        let nodes: BTreeSet<&String> =
            vpcs.iter().filter_map(|id| self.vpcs.get(*id)).flat_map(|vpc| vpc.nodes.keys()).collect();
        nodes.into_iter().cloned().collect()
    }
}

pub(crate) fn release(counts: &mut HashMap<String, usize>, node: &str) {
    if let Some(count) = counts.get_mut(node) {
        *count -= 1;
        if *count == 0 {
            counts.remove(node);
        }
    }
}

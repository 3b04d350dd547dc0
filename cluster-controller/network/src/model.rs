//! The model: what exists, who is where, and what a change touches.

use mallee_proto::v1::{
    InstanceIntent, NetworkAcl, PeerInstance, PeerPort, PortView, RouteTable, SecurityGroup, Subnet, Vpc,
    group_rule::Peer,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// A port that is up on a node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LivePort {
    pub(crate) node: String,
    pub(crate) vpc: String,
    pub(crate) view: PortView,
}

/// (address, interface id): a VPC's ports in the order of addresses.
type PortKey = (String, String);

#[derive(Debug, Clone, Default)]
pub(crate) struct VpcEntry {
    pub(crate) vpc: Option<Vpc>,
    pub(crate) subnets: BTreeMap<String, Subnet>,
    pub(crate) tables: BTreeMap<String, RouteTable>,
    pub(crate) acls: BTreeMap<String, NetworkAcl>,
    pub(crate) ports: BTreeMap<PortKey, LivePort>,
    /// How many ports each node has here.
    nodes: HashMap<String, usize>,
}

impl VpcEntry {
    fn is_empty(&self) -> bool {
        let parts = self.subnets.is_empty() && self.tables.is_empty() && self.acls.is_empty();
        self.vpc.is_none() && parts && self.ports.is_empty()
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct GroupEntry {
    pub(crate) group: Option<SecurityGroup>,
    /// (address, interface id) of every live port in the group.
    pub(crate) members: BTreeSet<PortKey>,
    /// How many ports in the group each node has.
    nodes: HashMap<String, usize>,
    /// Groups whose rules name this one.
    named_by: BTreeSet<String>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct NodeEntry {
    pub(crate) vtep: String,
    /// The node's ports, by VPC.
    pub(crate) vpcs: BTreeMap<String, BTreeSet<PortKey>>,
}

/// VPCs, subnets, groups, and the ports of placed, live instances.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pub(crate) vpcs: HashMap<String, VpcEntry>,
    pub(crate) groups: HashMap<String, GroupEntry>,
    pub(crate) nodes: HashMap<String, NodeEntry>,
    instances: HashMap<String, Vec<LivePort>>,
    /// Those of `instances` that are of other zones.
    peers: HashSet<String>,
    subnet_vpc: HashMap<String, String>,
    table_vpc: HashMap<String, String>,
    acl_vpc: HashMap<String, String>,
    touched_nodes: HashSet<String>,
    touched_vpcs: HashSet<String>,
}

impl Model {
    /// Adds or changes a VPC; an older generation than the one held changes nothing.
    pub fn set_vpc(&mut self, vpc: Vpc) {
        let entry = self.vpcs.entry(vpc.id.clone()).or_default();
        if entry.vpc.as_ref().is_some_and(|held| held.generation >= vpc.generation) {
            return;
        }
        let id = vpc.id.clone();
        entry.vpc = Some(vpc);
        self.touch_nodes_of_vpc(&id);
    }

    /// Removes a VPC. Its ports leave every view.
    pub fn remove_vpc(&mut self, id: &str) {
        if let Some(entry) = self.vpcs.get_mut(id) {
            entry.vpc = None;
            self.touch_nodes_of_vpc(id);
            self.drop_vpc_if_empty(id);
        }
    }

    /// Adds or changes a subnet; an older generation than the one held changes nothing.
    pub fn set_subnet(&mut self, subnet: Subnet) {
        if let Some(old) = self.subnet_vpc.get(&subnet.id).cloned() {
            let held = self.vpcs.get(&old).and_then(|vpc| vpc.subnets.get(&subnet.id));
            if held.is_some_and(|held| held.generation >= subnet.generation) {
                return;
            }
            if old != subnet.vpc_id {
                self.remove_subnet(&subnet.id);
            }
        }
        let vpc = subnet.vpc_id.clone();
        self.subnet_vpc.insert(subnet.id.clone(), vpc.clone());
        self.vpcs.entry(vpc.clone()).or_default().subnets.insert(subnet.id.clone(), subnet);
        self.touch_nodes_of_vpc(&vpc);
    }

    /// Removes a subnet.
    pub fn remove_subnet(&mut self, id: &str) {
        let Some(vpc) = self.subnet_vpc.remove(id) else {
            return;
        };
        if let Some(entry) = self.vpcs.get_mut(&vpc) {
            entry.subnets.remove(id);
        }
        self.touch_nodes_of_vpc(&vpc);
        self.drop_vpc_if_empty(&vpc);
    }

    /// Adds or changes a route table; an older generation than the one held changes nothing.
    pub fn set_route_table(&mut self, table: RouteTable) {
        let vpc = table.vpc_id.clone();
        let held = self.vpcs.get(&vpc).and_then(|entry| entry.tables.get(&table.id));
        if held.is_some_and(|held| held.generation >= table.generation) {
            return;
        }
        self.table_vpc.insert(table.id.clone(), vpc.clone());
        self.vpcs.entry(vpc.clone()).or_default().tables.insert(table.id.clone(), table);
        self.touch_nodes_of_vpc(&vpc);
    }

    /// Removes a route table.
    pub fn remove_route_table(&mut self, id: &str) {
        let Some(vpc) = self.table_vpc.remove(id) else { return };
        if let Some(entry) = self.vpcs.get_mut(&vpc) {
            entry.tables.remove(id);
        }
        self.touch_nodes_of_vpc(&vpc);
        self.drop_vpc_if_empty(&vpc);
    }

    /// Adds or changes a network ACL; an older generation than the one held changes nothing.
    pub fn set_network_acl(&mut self, acl: NetworkAcl) {
        let vpc = acl.vpc_id.clone();
        let held = self.vpcs.get(&vpc).and_then(|entry| entry.acls.get(&acl.id));
        if held.is_some_and(|held| held.generation >= acl.generation) {
            return;
        }
        self.acl_vpc.insert(acl.id.clone(), vpc.clone());
        self.vpcs.entry(vpc.clone()).or_default().acls.insert(acl.id.clone(), acl);
        self.touch_nodes_of_vpc(&vpc);
    }

    /// Removes a network ACL. Nothing crosses the boundary of a subnet that still names it.
    pub fn remove_network_acl(&mut self, id: &str) {
        let Some(vpc) = self.acl_vpc.remove(id) else { return };
        if let Some(entry) = self.vpcs.get_mut(&vpc) {
            entry.acls.remove(id);
        }
        self.touch_nodes_of_vpc(&vpc);
        self.drop_vpc_if_empty(&vpc);
    }

    /// Adds or changes a security group; an older generation than the one held changes nothing.
    pub fn set_group(&mut self, group: SecurityGroup) {
        let id = group.id.clone();
        let entry = self.groups.entry(id.clone()).or_default();
        if entry.group.as_ref().is_some_and(|held| held.generation >= group.generation) {
            return;
        }
        let named = named_groups(&group);
        let before = entry.group.replace(group).as_ref().map(named_groups).unwrap_or_default();
        self.touched_nodes.extend(entry.nodes.keys().cloned());
        self.rename_peers(&id, &before, &named);
    }

    /// Removes a security group. A port that is still in it is in a group without rules: nothing passes by it.
    pub fn remove_group(&mut self, id: &str) {
        let Some(entry) = self.groups.get_mut(id) else {
            return;
        };
        let before = entry.group.take().as_ref().map(named_groups).unwrap_or_default();
        self.touched_nodes.extend(entry.nodes.keys().cloned());
        self.rename_peers(id, &before, &BTreeSet::new());
        self.drop_group_if_empty(id);
    }

    fn rename_peers(&mut self, id: &str, before: &BTreeSet<String>, after: &BTreeSet<String>) {
        for peer in before.difference(after) {
            if let Some(entry) = self.groups.get_mut(peer) {
                entry.named_by.remove(id);
            }
            self.drop_group_if_empty(peer);
        }
        for peer in after.difference(before) {
            self.groups.entry(peer.clone()).or_default().named_by.insert(id.to_owned());
        }
    }

    /// Says where a node receives tunnelled packets. Nodes that share a VPC with it learn it in their next batch.
    pub fn set_node(&mut self, node: &str, vtep: &str) {
        let entry = self.nodes.entry(node.to_owned()).or_default();
        if entry.vtep != vtep {
            vtep.clone_into(&mut entry.vtep);
            self.touched_vpcs.extend(entry.vpcs.keys().cloned());
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

    fn set_ports(&mut self, instance: &str, ports: Vec<LivePort>) {
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
        let key = (port.view.private_ip.clone(), port.view.interface_id.clone());
        let vpc = self.vpcs.entry(port.vpc.clone()).or_default();
        vpc.ports.insert(key.clone(), port.clone());
        *vpc.nodes.entry(port.node.clone()).or_default() += 1;
        let node = self.nodes.entry(port.node.clone()).or_default();
        node.vpcs.entry(port.vpc.clone()).or_default().insert(key.clone());
        for id in &port.view.group_ids {
            let group = self.groups.entry(id.clone()).or_default();
            if group.members.insert(key.clone()) {
                *group.nodes.entry(port.node.clone()).or_default() += 1;
            }
        }
        self.touch_port(port);
    }

    fn remove_port(&mut self, port: &LivePort) {
        let key = (port.view.private_ip.clone(), port.view.interface_id.clone());
        self.touch_port(port);
        if let Some(vpc) = self.vpcs.get_mut(&port.vpc) {
            vpc.ports.remove(&key);
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
            }
            self.drop_group_if_empty(id);
        }
        self.drop_vpc_if_empty(&port.vpc);
    }

    /// A port's own node is told at once; its VPC, and VPCs that name its groups, learn of it in a batch.
    fn touch_port(&mut self, port: &LivePort) {
        self.touched_nodes.insert(port.node.clone());
        self.touched_vpcs.insert(port.vpc.clone());
        for group in port.view.group_ids.iter().filter_map(|id| self.groups.get(id)) {
            for naming in group.named_by.iter().filter_map(|id| self.groups.get(id)) {
                self.touched_vpcs.extend(naming.group.iter().map(|group| group.vpc_id.clone()));
            }
        }
    }

    fn touch_nodes_of_vpc(&mut self, id: &str) {
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

    /// Nodes with a port in a VPC whose ports or group members changed since the last call, in order.
    pub fn take_learning_nodes(&mut self) -> Vec<String> {
        let vpcs = std::mem::take(&mut self.touched_vpcs);
        let nodes: BTreeSet<&String> =
            vpcs.iter().filter_map(|id| self.vpcs.get(id)).flat_map(|vpc| vpc.nodes.keys()).collect();
        nodes.into_iter().cloned().collect()
    }

    /// About how many addresses a node's view lists: what compiling and hashing it costs.
    #[must_use]
    pub fn view_size(&self, node: &str) -> usize {
        let vpcs = self.nodes.get(node).into_iter().flat_map(|node| node.vpcs.keys());
        vpcs.filter_map(|id| self.vpcs.get(id)).map(|vpc| vpc.ports.len()).sum()
    }

    /// VPCs, subnets, groups, route tables and network ACLs held: what a snapshot that does not name them takes away.
    #[must_use]
    pub fn objects(&self) -> [Vec<String>; 5] {
        [
            self.vpcs.iter().filter(|(_, e)| e.vpc.is_some()).map(|(id, _)| id.clone()).collect(),
            self.subnet_vpc.keys().cloned().collect(),
            self.groups.iter().filter(|(_, e)| e.group.is_some()).map(|(id, _)| id.clone()).collect(),
            self.table_vpc.keys().cloned().collect(),
            self.acl_vpc.keys().cloned().collect(),
        ]
    }
}

fn release(counts: &mut HashMap<String, usize>, node: &str) {
    if let Some(count) = counts.get_mut(node) {
        *count -= 1;
        if *count == 0 {
            counts.remove(node);
        }
    }
}

fn named_groups(group: &SecurityGroup) -> BTreeSet<String> {
    let peers = group.rules.iter().filter_map(|rule| match &rule.peer {
        Some(Peer::GroupId(id)) => Some(id.clone()),
        Some(Peer::Cidr(_)) | None => None,
    });
    peers.collect()
}

/// Of these a node needs to know the address, the groups and the place only: its own are never among them.
fn peer_ports(peer: &PeerInstance) -> Vec<LivePort> {
    let port = |port: &PeerPort| LivePort {
        node: peer.node_id.clone(),
        vpc: port.vpc_id.clone(),
        view: PortView {
            interface_id: port.interface_id.clone(),
            instance_id: peer.id.clone(),
            incarnation: peer.incarnation,
            private_ip: port.private_ip.clone(),
            group_ids: port.group_ids.clone(),
            ..PortView::default()
        },
    };
    peer.ports.iter().map(port).collect()
}

fn live_ports(intent: &InstanceIntent) -> Vec<LivePort> {
    let spec = intent.spec.as_ref();
    let hostname = spec.and_then(|spec| spec.metadata.as_ref()).map_or("", |metadata| metadata.hostname.as_str());
    let ports = spec.map_or(&[][..], |spec| spec.ports.as_slice()).iter();
    ports
        .map(|port| LivePort {
            node: intent.node_id.clone(),
            vpc: port.vpc_id.clone(),
            view: PortView {
                interface_id: port.interface_id.clone(),
                instance_id: intent.id.clone(),
                incarnation: intent.incarnation,
                mac: port.mac.clone(),
                private_ip: port.private_ip.clone(),
                subnet_id: port.subnet_id.clone(),
                group_ids: port.group_ids.clone(),
                public_ip: port.public_ip.clone(),
                source_dest_check: port.source_dest_check,
                hostname: hostname.to_owned(),
            },
        })
        .collect()
}

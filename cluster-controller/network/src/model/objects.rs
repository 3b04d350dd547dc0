//! The objects of a VPC as the cloud tells of them: set, removed, and what each change touches.

use super::Model;
use mallee_proto::v1::{NetworkAcl, ObjectKind, RouteTable, SecurityGroup, Subnet, Vpc, VpcPeering, group_rule::Peer};
use std::collections::BTreeSet;

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
        self.touch_nodes_of_peers(&id);
    }

    /// Removes a VPC. Its ports leave every view.
    pub fn remove_vpc(&mut self, id: &str) {
        if let Some(entry) = self.vpcs.get_mut(id) {
            entry.vpc = None;
            self.touch_nodes_of_vpc(id);
            self.touch_nodes_of_peers(id);
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
        self.vpcs.entry(vpc.clone()).or_default().set_subnet(subnet);
        self.touch_nodes_of_vpc(&vpc);
    }

    /// Removes a subnet.
    pub fn remove_subnet(&mut self, id: &str) {
        let Some(vpc) = self.subnet_vpc.remove(id) else {
            return;
        };
        if let Some(entry) = self.vpcs.get_mut(&vpc) {
            entry.subnets.remove(id);
            entry.earlier.remove(id);
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
        let entry = self.vpcs.entry(vpc.clone()).or_default();
        entry.set_table(table);
        entry.settle();
        self.touch_nodes_of_vpc(&vpc);
    }

    /// Removes a route table.
    pub fn remove_route_table(&mut self, id: &str) {
        let Some(vpc) = self.table_vpc.remove(id) else { return };
        if let Some(entry) = self.vpcs.get_mut(&vpc) {
            entry.remove_table(id);
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
        let entry = self.vpcs.entry(vpc.clone()).or_default();
        entry.acls.insert(acl.id.clone(), acl);
        entry.settle();
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

    /// Adds or changes a peering connection; an older generation than the one held changes nothing.
    pub fn set_peering(&mut self, peering: VpcPeering) {
        let ends = [peering.requester_vpc_id.clone(), peering.accepter_vpc_id.clone()];
        if self.peerings.set(peering) {
            self.touch_ends(&ends);
        }
    }

    /// Removes a peering connection: nothing passes over it, and groups of the one VPC have no members for the other.
    pub fn remove_peering(&mut self, id: &str) {
        if let Some(gone) = self.peerings.remove(id) {
            self.touch_ends(&[gone.requester_vpc_id, gone.accepter_vpc_id]);
        }
    }

    /// The nodes of both VPCs are told at once; who is in their groups they learn in a batch.
    fn touch_ends(&mut self, ends: &[String; 2]) {
        for vpc in ends {
            self.touch_nodes_of_vpc(vpc);
            self.touched_vpcs.insert(vpc.clone());
        }
    }

    /// Nodes that know a VPC for its peers only.
    fn touch_nodes_of_peers(&mut self, id: &str) {
        let peers: Vec<String> = self.peerings.of(id).map(|(_, peer)| peer.to_owned()).collect();
        for peer in peers {
            self.touch_nodes_of_vpc(&peer);
        }
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

    /// Every object held, with its kind: what a snapshot that does not name it takes away.
    #[must_use]
    pub fn objects(&self) -> Vec<(ObjectKind, String)> {
        let vpcs = self.vpcs.iter().filter(|(_, entry)| entry.vpc.is_some()).map(|(id, _)| (ObjectKind::Vpc, id));
        let groups =
            self.groups.iter().filter(|(_, entry)| entry.group.is_some()).map(|(id, _)| (ObjectKind::Group, id));
        vpcs.chain(self.subnet_vpc.keys().map(|id| (ObjectKind::Subnet, id)))
            .chain(groups)
            .chain(self.table_vpc.keys().map(|id| (ObjectKind::RouteTable, id)))
            .chain(self.acl_vpc.keys().map(|id| (ObjectKind::NetworkAcl, id)))
            .chain(self.peerings.ids().map(|id| (ObjectKind::VpcPeering, id)))
            .chain(self.transits.ids().map(|id| (ObjectKind::TransitGateway, id)))
            .chain(self.flow_logs.keys().map(|id| (ObjectKind::FlowLog, id)))
            .chain(self.gateways.keys().map(|id| (ObjectKind::NatGateway, id)))
            .map(|(kind, id)| (kind, id.clone()))
            .collect()
    }

    /// Removes an object of a kind that [`Model::objects`] names; false for any other kind.
    pub fn remove_object(&mut self, kind: ObjectKind, id: &str) -> bool {
        match kind {
            ObjectKind::Vpc => self.remove_vpc(id),
            ObjectKind::Subnet => self.remove_subnet(id),
            ObjectKind::Group => self.remove_group(id),
            ObjectKind::RouteTable => self.remove_route_table(id),
            ObjectKind::NetworkAcl => self.remove_network_acl(id),
            ObjectKind::VpcPeering => self.remove_peering(id),
            ObjectKind::FlowLog => self.remove_flow_log(id),
            ObjectKind::NatGateway => self.remove_nat_gateway(id),
            ObjectKind::TransitGateway => self.remove_transit_gateway(id),
            ObjectKind::Instance | ObjectKind::Capacity | ObjectKind::Host | ObjectKind::Unspecified => return false,
        }
        true
    }
}

fn named_groups(group: &SecurityGroup) -> BTreeSet<String> {
    let peers = group.rules.iter().filter_map(|rule| match &rule.peer {
        Some(Peer::GroupId(id)) => Some(id.clone()),
        Some(Peer::Cidr(_)) | None => None,
    });
    peers.collect()
}

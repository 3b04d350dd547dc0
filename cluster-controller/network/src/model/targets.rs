//! What routes lead to: interfaces of instances, and NAT gateways, which are ports too.

use super::{Model, VpcEntry, release};
use mallee_proto::v1::{PortView, RouteTable, route::Target};

/// The interfaces that a table's routes name.
fn named(table: &RouteTable) -> impl Iterator<Item = &String> {
    table.routes.iter().filter_map(|route| match &route.target {
        Some(Target::NetworkInterfaceId(id)) => Some(id),
        Some(
            Target::InternetGatewayId(_)
            | Target::VpcPeeringId(_)
            | Target::NatGatewayId(_)
            | Target::EgressOnlyGatewayId(_)
            | Target::TransitGatewayId(_),
        )
        | None => None,
    })
}

impl VpcEntry {
    pub(super) fn set_table(&mut self, table: RouteTable) {
        self.remove_table(&table.id);
        for id in named(&table) {
            *self.targets.entry(id.clone()).or_default() += 1;
        }
        self.tables.insert(table.id.clone(), table);
    }

    pub(super) fn remove_table(&mut self, id: &str) {
        let gone = self.tables.remove(id);
        for interface in gone.iter().flat_map(named) {
            release(&mut self.targets, interface);
        }
    }
}

impl Model {
    /// Whether routes of its VPC lead to a port, or may: a NAT gateway is there for nothing else.
    pub(crate) fn is_target(&self, vpc: &str, port: &PortView) -> bool {
        port.nat || self.vpcs.get(vpc).is_some_and(|entry| entry.targets.contains_key(&port.interface_id))
    }

    /// The primary address of a NAT gateway's port, if that is in this VPC.
    pub(crate) fn nat_hop(&self, vpc: &str, gateway: &str) -> Option<&String> {
        let ports = self.instances.get(gateway).into_iter().flatten();
        ports.filter(|port| port.vpc == vpc && port.view.nat).map(|port| &port.view.private_ip).next()
    }
}

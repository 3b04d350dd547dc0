//! NAT gateways: ports of the VPC that no instance has.

use crate::Model;
use crate::ports::nat_ports;
use mallee_proto::v1::NatGateway;

impl Model {
    /// Adds or changes a NAT gateway; an older generation than the one held changes nothing. Of one that is about to go the
    /// port is in no view any more.
    pub fn set_nat_gateway(&mut self, gateway: NatGateway) {
        if self.gateways.get(&gateway.id).is_some_and(|held| held.generation >= gateway.generation) {
            return;
        }
        self.set_ports(&gateway.id, nat_ports(&gateway));
        self.gateways.insert(gateway.id.clone(), gateway);
    }

    /// Removes a NAT gateway. Routes to it lead nowhere.
    pub fn remove_nat_gateway(&mut self, id: &str) {
        self.gateways.remove(id);
        self.remove_instance(id);
    }

    /// The NAT gateways that are to be on a node, or to go from it.
    pub fn nat_gateways_on(&self, node: &str) -> impl Iterator<Item = &NatGateway> {
        self.gateways.values().filter(move |gateway| gateway.node_id == node)
    }
}

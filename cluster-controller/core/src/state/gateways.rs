//! NAT gateways: the cloud hears of each whether its node has it, or has let go of it.

use super::nodes::NodeEntry;
use super::{ClusterState, NodeIndex};
use mallee_proto::WireError;
use mallee_proto::v1::{GatewayStatus, NatGateway};
use mallee_types::NodeId;

/// What a node has said of a gateway. Nothing counts before the node has applied all that it was told.
fn status(node: &NodeEntry, gateway: &NatGateway) -> GatewayStatus {
    let told = node.told.view();
    let heard = node.session.is_some() && !node.view_due && node.held_view.is_none() && !node.outdated;
    let applied = heard && node.applied_generation == told.generation;
    let mut ports = told.vpcs.iter().flat_map(|vpc| &vpc.ports);
    let port = ports.find(|port| port.nat && port.instance_id == gateway.id);
    let problem = port.and_then(|port| node.port_errors.get(&port.interface_id)).cloned().unwrap_or_default();
    let meant = port.is_some_and(|port| port.incarnation == gateway.incarnation) && !gateway.deleting;
    let up = applied && meant && problem.is_empty();
    GatewayStatus {
        id: gateway.id.clone(),
        incarnation: gateway.incarnation,
        up,
        generation: if up { gateway.generation } else { 0 },
        gone: applied && port.is_none() && gateway.deleting,
        problem,
    }
}

impl ClusterState {
    /// Adds or changes a NAT gateway. Its node is waited for when the zone starts, as those of instances are.
    ///
    /// # Errors
    /// When it needs one node more than a zone may have.
    pub(super) fn set_nat_gateway(&mut self, gateway: NatGateway) -> Result<(), WireError> {
        let here = gateway.zone == self.settings.zone.as_str();
        let index = match gateway.node_id.parse::<NodeId>() {
            Ok(id) if here => Some(self.node_index(&id)?),
            _ => None,
        };
        self.model.set_nat_gateway(gateway);
        // It may be its views' turn first.
        self.mark_touched();
        if let Some(index) = index {
            self.look_at_gateways(index);
        }
        Ok(())
    }

    /// The cloud hears how the gateways of a node are, if that is not as it was.
    pub(super) fn look_at_gateways(&mut self, index: NodeIndex) {
        let node = &self.nodes[index];
        let now: Vec<GatewayStatus> =
            self.model.nat_gateways_on(node.id.as_str()).map(|gateway| status(node, gateway)).collect();
        if now != node.gateways {
            self.nodes[index].gateways = now;
            self.node_changed(index);
        }
    }
}

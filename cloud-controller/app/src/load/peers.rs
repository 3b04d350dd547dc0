//! What a zone's cluster is told of other zones: which nodes they have, and which interfaces are up on those. A VPC spans
//! zones; an interface is reached, and is a member of its groups, from all of them.

use super::{found, removed};
use crate::instances::view::{InstanceView, InterfaceView, SecondaryView, views};
use mallee_proto::v1::intent_change::Object;
use mallee_proto::v1::{ObjectKind, PeerInstance, PeerNode, PeerPort, PortAddress};
use mallee_store::{InstanceRow, NodeRow, Store, StoreError, node_fetch, node_list};
use mallee_types::{DomainPhase, InstanceState, NodeId, RunIntent, ZoneName};

/// Whether the guest is on the network: as long as it is meant to run, and until it has ended. (As its own zone has it:
/// what had stopped before it is terminated does not come up again.)
fn is_up(row: &InstanceRow) -> bool {
    !row.released
        && row.node_id.is_some()
        && match row.intent {
            RunIntent::Run => true,
            RunIntent::Stop | RunIntent::Terminate => {
                matches!(row.state, InstanceState::Stopping | InstanceState::ShuttingDown)
                    && matches!(row.observed_phase, DomainPhase::Running | DomainPhase::Stopping)
            }
        }
}

fn instance(view: &InstanceView) -> Object {
    let secondary = |other: &SecondaryView| PortAddress {
        private_ip: other.private_ip.to_string(),
        public_ip: other.public_ip.map(|ip| ip.to_string()).unwrap_or_default(),
        ..PortAddress::default()
    };
    let port = |interface: &InterfaceView| PeerPort {
        interface_id: interface.row.id.to_string(),
        vpc_id: interface.row.vpc_id.to_string(),
        private_ip: interface.row.private_ip.to_string(),
        public_ip: interface.public_ip.map(|ip| ip.to_string()).unwrap_or_default(),
        group_ids: interface.groups.iter().map(|(id, _)| id.to_string()).collect(),
        secondary: interface.secondary.iter().map(secondary).collect(),
        ipv6_addresses: interface.ipv6.iter().map(ToString::to_string).collect(),
    };
    Object::PeerInstance(PeerInstance {
        id: view.row.id.to_string(),
        incarnation: view.row.incarnation.0,
        node_id: view.row.node_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        ports: view.interfaces.iter().filter(|interface| !interface.is_leaving()).map(port).collect(),
    })
}

/// Instances of other zones; one that is not up is a removal.
pub(super) async fn instance_objects(store: &Store, rows: Vec<InstanceRow>) -> Result<Vec<Object>, StoreError> {
    let (up, down): (Vec<_>, Vec<_>) = rows.into_iter().partition(is_up);
    let mut out: Vec<Object> = down.iter().map(|row| removed(ObjectKind::Instance, &row.id)).collect();
    out.extend(views(store, up).await?.iter().map(instance));
    Ok(out)
}

fn node(row: &NodeRow, zone: &ZoneName) -> Option<Object> {
    let vtep = row.doc.0.vtep.clone();
    (row.zone != *zone).then(|| Object::PeerNode(PeerNode { id: row.id.to_string(), vtep }))
}

/// A node, if it is of another zone.
pub(super) async fn node_object(store: &Store, zone: &ZoneName, id: &NodeId) -> Result<Option<Object>, StoreError> {
    Ok(found(node_fetch(store, id).await)?.and_then(|row| node(&row, zone)))
}

/// Every node of other zones.
pub(super) async fn all_nodes(store: &Store, zone: &ZoneName) -> Result<Vec<Object>, StoreError> {
    Ok(node_list(store, None).await?.iter().filter_map(|row| node(row, zone)).collect())
}

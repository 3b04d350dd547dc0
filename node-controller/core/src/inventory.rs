//! Answers to what the cluster asks of the node beside its orders: console output, and what the host really holds.

use crate::hypervisor::{DomainState, HypervisorError};
use crate::node::Node;
use mallee_proto::v1::{
    ConsoleReply, ConsoleRequest, ErrorDetail, ErrorKind, HeldDomain, NodeInventory, NodeInventoryReply,
    NodeInventoryRequest,
};
use mallee_types::InstanceId;
use mallee_types::limits::CONSOLE_BYTES_MAX;
use std::collections::BTreeSet;

pub(crate) async fn console(node: &Node, request: ConsoleRequest) -> ConsoleReply {
    let context = node.context();
    let (output, error) = match read_console(node, &request.instance_id).await {
        Ok(output) => (output, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    ConsoleReply { request_id: request.request_id, output, read_at_ms: context.clock.now_ms(), error }
}

/// The answer when too much is asked at once.
pub(crate) fn busy(node: &Node, request: ConsoleRequest) -> ConsoleReply {
    let message = format!("{}: too many questions at once; ask again", node.context().host);
    let error = ErrorDetail { kind: ErrorKind::Unavailable.into(), message, ..ErrorDetail::default() };
    let read_at_ms = node.context().clock.now_ms();
    ConsoleReply { request_id: request.request_id, output: Vec::new(), read_at_ms, error: Some(error) }
}

async fn read_console(node: &Node, instance: &str) -> Result<Vec<u8>, ErrorDetail> {
    let context = node.context();
    let detail = |kind: ErrorKind, message: String| ErrorDetail {
        kind: kind.into(),
        message: format!("{}: {message}", context.host),
        ..ErrorDetail::default()
    };
    let id: InstanceId = instance.parse().map_err(|e| detail(ErrorKind::Invalid, format!("{e}")))?;
    if !node.held().contains_key(&id) {
        return Err(detail(ErrorKind::NotFound, format!("{id} is not on this node")));
    }
    let mut output = context.drivers.hypervisor.console(&id).await.map_err(|error| {
        let kind = match &error {
            HypervisorError::Unavailable(_) => ErrorKind::Unavailable,
            HypervisorError::Refused(_) => ErrorKind::Conflict,
            HypervisorError::Exhausted(_) => ErrorKind::Capacity,
            HypervisorError::Failed(_) => ErrorKind::Internal,
        };
        detail(kind, error.to_string())
    })?;
    // The newest bytes are the ones worth keeping.
    output.drain(..output.len().saturating_sub(CONSOLE_BYTES_MAX));
    Ok(output)
}

pub(crate) async fn inventory(node: &Node, request: NodeInventoryRequest) -> NodeInventoryReply {
    let context = node.context();
    let inventory = match take_inventory(node).await {
        Ok(inventory) => Some(inventory),
        Err(error) => {
            // An inventory with holes would read as a host without domains.
            tracing::warn!(node = %context.host, error, "inventory not taken");
            None
        }
    };
    NodeInventoryReply { request_id: request.request_id, inventory }
}

async fn take_inventory(node: &Node) -> Result<NodeInventory, String> {
    let context = node.context();
    let hypervisor = &context.drivers.hypervisor;
    let domains = hypervisor.domains().await.map_err(|e| e.to_string())?;
    let disks = hypervisor.disks().await.map_err(|e| e.to_string())?;
    let network = context.drivers.network.inventory().await.map_err(|e| e.to_string())?;
    let held = node.held();
    let mut strays: BTreeSet<String> = network.strays.into_iter().collect();
    strays.extend(domains.iter().filter(|d| !held.contains_key(&d.instance)).map(|d| format!("domain {}", d.instance)));
    strays.extend(disks.iter().filter(|id| !held.contains_key(*id)).map(|id| format!("disk {id}")));
    let applied = context.net.borrow().clone();
    Ok(NodeInventory {
        node_id: context.host.to_string(),
        domains: domains
            .into_iter()
            .map(|domain| HeldDomain {
                instance_id: domain.instance.to_string(),
                incarnation: domain.incarnation.0,
                running: domain.state == DomainState::Running,
            })
            .collect(),
        strays: strays.into_iter().collect(),
        ports: network.ports,
        view_generation: applied.view.as_ref().map_or(0, |view| view.generation),
        view_hash: if applied.view.is_some() { applied.hash.to_vec() } else { Vec::new() },
        disks: disks.into_iter().map(String::from).collect(),
        // The cluster controller's to say.
        wanted_view_hash: Vec::new(),
    })
}

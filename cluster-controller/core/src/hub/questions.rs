//! Questions to nodes (console output, inventory) and the callers that wait for the answers.

use super::Hub;
use crate::settings::limits::{REQUEST_DEADLINE, REQUESTS_MAX};
use mallee_proto::v1::cluster_to_node::Message;
use mallee_proto::v1::{
    ClusterToNode, ConsoleOutputReply, ConsoleOutputRequest, ConsoleReply, ConsoleRequest, ErrorDetail, ErrorKind,
    InventoryReply, NodeInventory, NodeInventoryReply, NodeInventoryRequest,
};
use mallee_proto::{Kind, WireError};
use mallee_types::limits::CONSOLE_BYTES_MAX;
use std::collections::HashMap;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// Who waits for what. An answer that nobody waits for any more is dropped.
#[derive(Debug, Default)]
pub(super) struct Questions {
    console: HashMap<String, (usize, oneshot::Sender<Result<ConsoleOutputReply, WireError>>)>,
    inventory: HashMap<String, (usize, oneshot::Sender<NodeInventory>)>,
}

impl Questions {
    fn room(&self) -> Result<(), WireError> {
        if self.console.len() + self.inventory.len() < REQUESTS_MAX {
            Ok(())
        } else {
            Err(WireError::new(Kind::Unavailable, "too many questions to nodes are waiting; try again"))
        }
    }
}

impl Hub {
    /// The last console output of an instance, asked of its node.
    pub(super) async fn console_output(&self, request: ConsoleOutputRequest) -> Result<ConsoleOutputReply, WireError> {
        self.point("cluster.console").await?;
        let id = self.rng.uuid();
        let (sender, receiver) = oneshot::channel();
        self.with_inner(|inner, _| {
            inner.questions.room()?;
            let index = inner.state.node_for(&request.instance_id, &request.node_id)?;
            let question = ConsoleRequest { request_id: id.clone(), instance_id: request.instance_id.clone() };
            inner.state.ask(index, ClusterToNode { message: Some(Message::Console(question)) })?;
            inner.questions.console.insert(id.clone(), (index, sender));
            Ok::<_, WireError>(())
        })?;
        let answer = tokio::time::timeout(REQUEST_DEADLINE, receiver).await;
        self.with_inner(|inner, _| inner.questions.console.remove(&id));
        match answer {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => Err(WireError::new(Kind::Unavailable, "the node went away before it answered; try again")),
            Err(_) => Err(WireError::new(
                Kind::Unavailable,
                format!("the node did not answer within {} s; try again", REQUEST_DEADLINE.as_secs()),
            )),
        }
    }

    /// What every connected node holds; a node that does not answer in time is left out.
    pub(super) async fn inventory(&self) -> Result<InventoryReply, WireError> {
        self.point("cluster.inventory").await?;
        let deadline = Instant::now() + REQUEST_DEADLINE;
        let mut waiting = Vec::new();
        for index in self.with(|state, _| state.connected()) {
            let id = self.rng.uuid();
            let (sender, receiver) = oneshot::channel();
            let asked = self.with_inner(|inner, _| {
                inner.questions.room()?;
                let question = NodeInventoryRequest { request_id: id.clone() };
                inner.state.ask(index, ClusterToNode { message: Some(Message::Inventory(question)) })?;
                inner.questions.inventory.insert(id.clone(), (index, sender));
                Ok::<_, WireError>(())
            });
            match asked {
                Ok(()) => waiting.push((id, receiver)),
                Err(error) => tracing::debug!(%error, "a node is left out of the inventory"),
            }
        }
        let mut nodes = Vec::with_capacity(waiting.len());
        for (id, receiver) in waiting {
            if let Ok(Ok(mut inventory)) = timeout_at(deadline, receiver).await {
                inventory.wanted_view_hash = self.with(|state, _| state.wanted_view_hash(&inventory.node_id));
                nodes.push(inventory);
            }
            self.with_inner(|inner, _| inner.questions.inventory.remove(&id));
        }
        Ok(InventoryReply { nodes })
    }

    /// A node has answered; only the node that was asked can.
    pub(super) fn console_answer(&self, index: usize, reply: ConsoleReply) {
        let waiter = self.with_inner(|inner, _| {
            let asked = inner.questions.console.get(&reply.request_id).is_some_and(|(asked, _)| *asked == index);
            if asked { inner.questions.console.remove(&reply.request_id) } else { None }
        });
        let Some((_, sender)) = waiter else { return };
        let answer = match reply.error {
            Some(error) => Err(raised(error)),
            None => {
                let mut output = reply.output;
                let surplus = output.len().saturating_sub(CONSOLE_BYTES_MAX);
                output.drain(..surplus);
                Ok(ConsoleOutputReply { output, read_at_ms: reply.read_at_ms })
            }
        };
        // The caller may have gone meanwhile.
        drop(sender.send(answer));
    }

    /// A node has told what it holds; only the node that was asked can.
    pub(super) fn inventory_answer(&self, index: usize, node_id: &str, reply: NodeInventoryReply) {
        let waiter = self.with_inner(|inner, _| {
            let asked = inner.questions.inventory.get(&reply.request_id).is_some_and(|(asked, _)| *asked == index);
            if asked { inner.questions.inventory.remove(&reply.request_id) } else { None }
        });
        if let (Some((_, sender)), Some(inventory)) = (waiter, reply.inventory) {
            // A node speaks for itself only, whatever name it writes.
            drop(sender.send(NodeInventory { node_id: node_id.to_owned(), ..inventory }));
        }
    }

    /// A node has gone: who waits for it is told so.
    pub(super) fn drop_questions(&self, index: usize) {
        self.with_inner(|inner, _| {
            inner.questions.console.retain(|_, (asked, _)| *asked != index);
            inner.questions.inventory.retain(|_, (asked, _)| *asked != index);
        });
    }
}

/// The error a node raised, as its caller is to see it.
fn raised(detail: ErrorDetail) -> WireError {
    let kind = match detail.kind() {
        ErrorKind::NotFound => Kind::NotFound,
        ErrorKind::Invalid => Kind::Invalid,
        ErrorKind::Conflict => Kind::Conflict,
        ErrorKind::Forbidden => Kind::Forbidden,
        ErrorKind::Capacity => Kind::Capacity,
        ErrorKind::StaleEpoch => Kind::StaleEpoch,
        ErrorKind::Unavailable => Kind::Unavailable,
        ErrorKind::Internal | ErrorKind::Unspecified => Kind::Internal,
    };
    WireError { kind, message: detail.message, tenant_message: detail.tenant_message, aws_code: detail.aws_code }
}

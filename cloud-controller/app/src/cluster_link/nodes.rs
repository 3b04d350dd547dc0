//! What is kept of nodes beyond this run: their zone, how they were last, and where other nodes reach them. Clusters of
//! other zones are told of the latter, also while this node's own zone is not connected.

use super::store_error;
use crate::{Cloud, load};
use mallee_proto::v1::{NodeState, NodeStatus};
use mallee_proto::{Kind, WireError};
use mallee_store::{Json, NodeDoc, NodeRow, StoreError, change_append, node_list, node_put};
use mallee_types::{NodeId, ZoneName};
use std::collections::BTreeMap;

/// A node's state as users are shown it.
#[must_use]
pub const fn state_word(state: NodeState) -> &'static str {
    match state {
        NodeState::Ready => "ready",
        NodeState::WarmingUp => "warming-up",
        NodeState::Offline => "offline",
        NodeState::Unspecified => "unknown",
    }
}

/// Keeps what the zone's cluster said of its nodes. Only what changed is written.
pub(super) async fn keep(cloud: &Cloud, zone: &ZoneName, said: &[NodeStatus]) -> Result<(), WireError> {
    let newest: BTreeMap<&str, &NodeStatus> = said.iter().map(|node| (node.node_id.as_str(), node)).collect();
    if newest.is_empty() {
        return Ok(());
    }
    write(cloud, zone, &newest).await.map_err(store_error)?;
    let kept = cloud.faults().point("cloud.nodes.kept").await;
    kept.map_err(|error| WireError::new(Kind::Unavailable, error.to_string()))
}

async fn write(cloud: &Cloud, zone: &ZoneName, newest: &BTreeMap<&str, &NodeStatus>) -> Result<(), StoreError> {
    // Of all zones: the node may have been in another one.
    let held = node_list(cloud.store(), None).await?;
    let held: BTreeMap<&str, &NodeRow> = held.iter().map(|row| (row.id.as_ref(), row)).collect();
    let mut changed = Vec::new();
    for (id, status) in newest {
        let Ok(node) = id.parse::<NodeId>() else {
            tracing::warn!(%zone, id, "the cluster named a node by a name that is none; ignored");
            continue;
        };
        let before = held.get(id);
        // One that has not connected since its cluster controller started is as it was.
        let vtep = match before {
            Some(before) if status.vtep.is_empty() => before.doc.0.vtep.clone(),
            _ => status.vtep.clone(),
        };
        let last_state = state_word(status.state()).to_owned();
        let reached = before.is_some_and(|before| before.zone == *zone && before.doc.0.vtep == vtep);
        if !reached || before.is_some_and(|before| before.last_state != last_state) {
            let doc = Json(NodeDoc { vtep });
            changed.push((reached, node, last_state, doc));
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    let now_ms = cloud.clock().now_ms();
    let mut tx = cloud.store().write().await?;
    for (reached, id, last_state, doc) in changed {
        if !reached {
            change_append(&mut tx, load::NODE, &id, Some(zone));
        }
        let row = NodeRow { id, zone: zone.clone(), registered_ms: now_ms, last_state, last_state_ms: now_ms, doc };
        node_put(&mut tx, &row).await?;
    }
    tx.commit().await
}

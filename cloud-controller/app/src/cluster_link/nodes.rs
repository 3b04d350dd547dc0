//! What is kept of nodes beyond this run: their zone, how they were last, and where other nodes reach them. Clusters of
//! other zones are told of the latter, also while this node's own zone is not connected.

use super::store_error;
use crate::{Cloud, load, nat_gateways};
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

/// Keeps what the zone's cluster said of its nodes, and of their NAT gateways. Only what changed is written.
pub(super) async fn keep(cloud: &Cloud, zone: &ZoneName, said: &[NodeStatus]) -> Result<(), WireError> {
    let newest: BTreeMap<&str, &NodeStatus> = said.iter().map(|node| (node.node_id.as_str(), node)).collect();
    if newest.is_empty() {
        return Ok(());
    }
    let struck = |error: mallee_runtime::FaultError| WireError::new(Kind::Unavailable, error.to_string());
    cloud.faults().point("cloud.nodes.keep").await.map_err(struck)?;
    write(cloud, zone, &newest).await.map_err(store_error)?;
    nat_gateways::observe(cloud, said).await.map_err(store_error)?;
    cloud.faults().point("cloud.nodes.kept").await.map_err(struck)
}

/// What a status says of a node that is not known yet.
#[derive(Debug, PartialEq, Eq)]
struct News {
    /// Others reach it elsewhere.
    moved: bool,
    last_state: String,
    vtep: String,
}

fn news(before: Option<&NodeRow>, zone: &ZoneName, status: &NodeStatus) -> Option<News> {
    let here = before.filter(|before| before.zone == *zone);
    // It has gone to another zone, whose cluster says how it is; the one that it left only knows that it is away.
    if before.is_some() && here.is_none() && status.state() == NodeState::Offline {
        return None;
    }
    // One that has not connected since its cluster controller started is as it was.
    let known = before.filter(|_| status.vtep.is_empty());
    let vtep = known.map_or(&status.vtep, |before| &before.doc.0.vtep).clone();
    let last_state = state_word(status.state()).to_owned();
    let moved = here.is_none_or(|before| before.doc.0.vtep != vtep);
    (moved || before.is_some_and(|before| before.last_state != last_state)).then_some(News { moved, last_state, vtep })
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
        if let Some(news) = news(held.get(id).copied(), zone, status) {
            changed.push((node, news));
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    let now_ms = cloud.clock().now_ms();
    let mut tx = cloud.store().write().await?;
    for (id, News { moved, last_state, vtep }) in changed {
        if moved {
            change_append(&mut tx, load::NODE, &id, Some(zone));
        }
        let doc = Json(NodeDoc { vtep });
        let row = NodeRow { id, zone: zone.clone(), registered_ms: now_ms, last_state, last_state_ms: now_ms, doc };
        node_put(&mut tx, &row).await?;
    }
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zone_that_a_node_has_left_does_not_take_it_back() {
        let [left, now]: [ZoneName; 2] = ["local-1a", "local-1b"].map(|zone| zone.parse().unwrap());
        let row = |zone: &ZoneName, last_state: &str, vtep: &str| NodeRow {
            id: "n-1".parse().unwrap(),
            zone: zone.clone(),
            registered_ms: 1,
            last_state: last_state.to_owned(),
            last_state_ms: 1,
            doc: Json(NodeDoc { vtep: vtep.to_owned() }),
        };
        let status = |state: NodeState, vtep: &str| NodeStatus {
            node_id: "n-1".to_owned(),
            vtep: vtep.to_owned(),
            state: state.into(),
            ..Default::default()
        };
        let is = |moved, last_state: &str, vtep: &str| {
            Some(News { moved, last_state: last_state.to_owned(), vtep: vtep.to_owned() })
        };
        let (old, new) = ("192.0.2.1", "192.0.2.2");
        assert_eq!(news(None, &left, &status(NodeState::Ready, old)), is(true, "ready", old));
        let before = row(&left, "ready", old);
        assert_eq!(news(Some(&before), &left, &status(NodeState::Ready, old)), None);
        assert_eq!(news(Some(&before), &left, &status(NodeState::Offline, "")), is(false, "offline", old));
        assert_eq!(news(Some(&before), &now, &status(NodeState::WarmingUp, new)), is(true, "warming-up", new));
        let before = row(&now, "warming-up", new);
        assert_eq!(news(Some(&before), &left, &status(NodeState::Offline, old)), None, "it is not taken back");
        assert_eq!(news(Some(&before), &left, &status(NodeState::Ready, old)), is(true, "ready", old), "it came back");
    }
}

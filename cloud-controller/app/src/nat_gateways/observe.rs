//! What nodes say of their NAT gateways.

use super::{addresses, finish};
use crate::Cloud;
use mallee_proto::v1::{GatewayStatus, NodeStatus};
use mallee_store::{
    FILTER_VALUES_MAX, NatGatewayFilter, NatGatewayRow, NatGatewayState, StoreError, nat_gateway_list, nat_gateway_up,
};
use mallee_types::{Generation, NatGatewayId, NodeId};
use std::collections::BTreeMap;

/// What a status does to a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    /// With the addresses that it has as of this generation.
    Up(Generation),
    Gone,
    /// It has the addresses as of this generation.
    Addresses(Generation),
}

fn news(row: &NatGatewayRow, node: &NodeId, status: &GatewayStatus) -> Option<News> {
    if row.node_id.as_ref() != Some(node) || row.incarnation.0 != status.incarnation {
        return None;
    }
    match row.state {
        NatGatewayState::Pending if status.up => Some(News::Up(Generation(status.generation))),
        // What it was made with it has had since it is up.
        NatGatewayState::Available if status.generation > 1 => Some(News::Addresses(Generation(status.generation))),
        NatGatewayState::Deleting if status.gone => Some(News::Gone),
        _ => None,
    }
}

/// Takes in what the clusters of a zone said of its nodes. Only what changes is written, in one transaction.
///
/// # Errors
/// What the database says.
pub async fn observe(cloud: &Cloud, said: &[NodeStatus]) -> Result<(), StoreError> {
    let mut newest: BTreeMap<NatGatewayId, (NodeId, &GatewayStatus)> = BTreeMap::new();
    for node in said {
        let Ok(id) = node.node_id.parse::<NodeId>() else { continue };
        for status in node.gateways.iter().filter(|status| status.up || status.gone) {
            if let Ok(gateway) = status.id.parse() {
                newest.insert(gateway, (id.clone(), status));
            }
        }
    }
    let ids: Vec<NatGatewayId> = newest.keys().cloned().collect();
    let mut changes: Vec<(NatGatewayRow, &NodeId, News)> = Vec::new();
    for some in ids.chunks(FILTER_VALUES_MAX) {
        let filter = NatGatewayFilter { ids: Some(some), live: true, ..Default::default() };
        let limit = u32::try_from(FILTER_VALUES_MAX).unwrap_or(u32::MAX);
        for row in nat_gateway_list(cloud.store(), filter, limit).await? {
            let Some((node, status)) = newest.get(&row.id) else { continue };
            changes.extend(news(&row, node, status).map(|news| (row, node, news)));
        }
    }
    let of: Vec<NatGatewayId> = changes
        .iter()
        .filter(|(_, _, news)| matches!(news, News::Addresses(_)))
        .map(|(row, ..)| row.id.clone())
        .collect();
    let waiting = addresses::waiting(cloud, &of).await?;
    changes.retain(|(row, _, news)| match news {
        News::Addresses(generation) => {
            waiting.iter().any(|other| other.gateway_id == row.id && other.generation <= *generation)
        }
        News::Up(_) | News::Gone => true,
    });
    if changes.is_empty() {
        return Ok(());
    }
    let now_ms = cloud.clock().now_ms();
    let mut tx = cloud.store().write().await?;
    for (row, node, news) in changes {
        match news {
            News::Up(generation) => {
                nat_gateway_up(&mut tx, &row.id, node, row.incarnation).await?;
                addresses::applied(&mut tx, &row, generation, &[]).await?
            }
            News::Addresses(generation) => addresses::applied(&mut tx, &row, generation, &waiting).await?,
            News::Gone => finish(&mut tx, &row, now_ms).await?,
        };
    }
    tx.commit().await
}

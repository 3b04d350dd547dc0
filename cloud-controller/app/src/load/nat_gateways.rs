//! NAT gateways, as long as nodes have them.

use super::instances::port;
use super::removed;
use crate::instances::view::interface_views;
use futures::future::BoxFuture;
use mallee_proto::v1::intent_change::Object;
use mallee_proto::v1::{NatGateway, ObjectKind};
use mallee_store::{
    InterfaceFilter, NatAddressState, NatGatewayFilter, NatGatewayRow, NatGatewayState, Store, StoreError,
    interface_list, nat_address_list, nat_gateway_list,
};
use mallee_types::{InterfaceId, NatGatewayId};

/// Rows read at once: as many as one list of ids may have.
const PAGE: u32 = 1000;

/// These gateways with their interfaces. One whose interface has gone meanwhile is about to be told as removed.
async fn of_rows(store: &Store, rows: Vec<NatGatewayRow>, region: &str) -> Result<Vec<Object>, StoreError> {
    let ids: Vec<InterfaceId> = rows.iter().filter_map(|row| row.interface_id.clone()).collect();
    let found = interface_list(store, InterfaceFilter { ids: Some(&ids), ..Default::default() }, PAGE).await?;
    let views = interface_views(store, found).await?;
    let gateways: Vec<NatGatewayId> = rows.iter().map(|row| row.id.clone()).collect();
    let others = nat_address_list(store, &gateways).await?;
    let gateway = |row: NatGatewayRow| {
        let view = views.iter().find(|view| Some(&view.row.id) == row.interface_id.as_ref())?;
        let of = |state| {
            let of = others.iter().filter(|other| other.gateway_id == row.id && other.state == state);
            of.map(|other| other.address.to_string()).collect::<Vec<_>>()
        };
        let mut port = port(view, region);
        // Nodes let go of those that leave.
        let leave = of(NatAddressState::Leaving);
        port.secondary.retain(|address| !leave.contains(&address.private_ip));
        let draining = of(NatAddressState::Draining);
        Some(Object::NatGateway(NatGateway {
            id: row.id.to_string(),
            generation: row.generation.0,
            node_id: row.node_id.as_ref().map(ToString::to_string).unwrap_or_default(),
            incarnation: row.incarnation.0,
            port: Some(port),
            private: row.private,
            zone: row.zone.to_string(),
            deleting: row.state == NatGatewayState::Deleting,
            draining,
        }))
    };
    Ok(rows.into_iter().filter_map(gateway).collect())
}

/// One gateway if it is live, else its removal. (Boxed: what calls it is deep enough.)
pub(super) fn object<'a>(
    store: &'a Store,
    id: &'a NatGatewayId,
    region: &'a str,
) -> BoxFuture<'a, Result<Object, StoreError>> {
    Box::pin(async move {
        let filter = NatGatewayFilter { ids: Some(std::slice::from_ref(id)), live: true, ..Default::default() };
        let rows = nat_gateway_list(store, filter, 1).await?;
        Ok(of_rows(store, rows, region).await?.pop().unwrap_or_else(|| removed(ObjectKind::NatGateway, id)))
    })
}

/// Every live gateway of the cloud. Of a gateway nothing changes but what its generation counts.
pub(super) fn all<'a>(store: &'a Store, region: &'a str) -> BoxFuture<'a, Result<Vec<Object>, StoreError>> {
    Box::pin(every(store, region))
}

async fn every(store: &Store, region: &str) -> Result<Vec<Object>, StoreError> {
    let mut out = Vec::new();
    let mut after = None;
    loop {
        let filter = NatGatewayFilter { live: true, after: after.as_ref(), ..Default::default() };
        let page = nat_gateway_list(store, filter, PAGE).await?;
        let Some(last) = page.last() else { return Ok(out) };
        after = Some(last.id.clone());
        out.extend(of_rows(store, page, region).await?);
    }
}

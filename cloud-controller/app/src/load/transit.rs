//! Transit gateways: their tables as clusters are told, with what is known by propagation worked out.

use super::removed;
use crate::transit::{attached_to, routes_in};
use mallee_proto::v1::intent_change::Object;
use mallee_proto::v1::{ObjectKind, TransitAttachment, TransitGateway, TransitRoute, TransitRouteTable};
use mallee_store::{
    Exec, PAGE_ROWS_MAX, Store, StoreError, TransitGatewayFilter, TransitGatewayRow, TransitState, TransitTableFilter,
    Tx, transit_gateway_list, transit_table_list,
};
use mallee_types::{TransitGatewayId, TransitTableId};

/// What is attached to a gateway, and its tables. The gateway's row is read before: what is read after it is at least as new.
async fn whole(tx: &mut Tx, row: &TransitGatewayRow) -> Result<Object, StoreError> {
    let (attachments, attached) = attached_to(tx, &row.id).await?;
    let (gateways, state) = (Some(std::slice::from_ref(&row.id)), Some(TransitState::Available));
    let filter = TransitTableFilter { gateways, state, ..Default::default() };
    let ids: Vec<TransitTableId> =
        transit_table_list(&mut *tx, filter, PAGE_ROWS_MAX).await?.into_iter().map(|table| table.id).collect();
    let mut tables = Vec::with_capacity(ids.len());
    for id in &ids {
        let routes = routes_in(tx, id, &attached).await?.into_iter().map(|route| TransitRoute {
            destination: route.destination.to_string(),
            attachment_id: route.to.map(|(id, _)| id.to_string()).unwrap_or_default(),
        });
        tables.push(TransitRouteTable { id: id.to_string(), routes: routes.collect() });
    }
    let attachment = |attachment: &mallee_store::TransitAttachmentRow| TransitAttachment {
        id: attachment.id.to_string(),
        vpc_id: attachment.vpc_id.to_string(),
        table_id: attachment.table_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        dns: attachment.dns && row.dns,
    };
    Ok(Object::TransitGateway(TransitGateway {
        id: row.id.to_string(),
        generation: row.generation.0,
        attachments: attachments.iter().map(attachment).collect(),
        tables,
    }))
}

/// One gateway if it has not ended, else its removal.
pub(super) async fn object(store: &Store, id: &TransitGatewayId) -> Result<Object, StoreError> {
    let mut tx = store.read().await?;
    let (ids, state) = (Some(std::slice::from_ref(id)), Some(TransitState::Available));
    let row = transit_gateway_list(Exec::Tx(&mut tx), TransitGatewayFilter { ids, state, ..Default::default() }, 1);
    match row.await?.pop() {
        Some(row) => whole(&mut tx, &row).await,
        None => Ok(removed(ObjectKind::TransitGateway, id)),
    }
}

/// Every gateway of the cloud.
pub(super) async fn all(tx: &mut Tx) -> Result<Vec<Object>, StoreError> {
    let mut out = Vec::new();
    let mut after = None;
    loop {
        let filter =
            TransitGatewayFilter { state: Some(TransitState::Available), after: after.as_ref(), ..Default::default() };
        let page = transit_gateway_list(&mut *tx, filter, PAGE_ROWS_MAX).await?;
        let Some(last) = page.last() else { return Ok(out) };
        after = Some(last.id.clone());
        for row in &page {
            out.push(whole(tx, row).await?);
        }
    }
}

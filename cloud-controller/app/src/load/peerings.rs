//! VPC peering connections, as long as they are active.

use super::removed;
use mallee_proto::v1::intent_change::Object;
use mallee_proto::v1::{ObjectKind, VpcPeering};
use mallee_store::{Store, StoreError, Tx, VpcPeeringFilter, VpcPeeringRow, VpcPeeringState, vpc_peering_list};
use mallee_types::VpcPeeringId;

/// Rows read at once.
const PAGE: u32 = 1000;

fn peering(row: &VpcPeeringRow) -> Object {
    Object::VpcPeering(VpcPeering {
        id: row.id.to_string(),
        generation: row.generation.0,
        requester_vpc_id: row.requester_vpc.to_string(),
        accepter_vpc_id: row.accepter_vpc.to_string(),
        requester_dns: row.requester_dns,
        accepter_dns: row.accepter_dns,
        transit: false,
    })
}

/// One connection if it is active, else its removal.
pub(super) async fn object(store: &Store, id: &VpcPeeringId) -> Result<Object, StoreError> {
    let (ids, state) = (Some(std::slice::from_ref(id)), Some(VpcPeeringState::Active));
    let row = vpc_peering_list(store, VpcPeeringFilter { ids, state, ..Default::default() }, 1).await?.pop();
    Ok(row.map_or_else(|| removed(ObjectKind::VpcPeering, id), |row| peering(&row)))
}

/// Every active connection of the cloud.
pub(super) async fn all(tx: &mut Tx) -> Result<Vec<Object>, StoreError> {
    let mut out = Vec::new();
    let mut after = None;
    loop {
        let (state, after_id) = (Some(VpcPeeringState::Active), after.as_ref());
        let filter = VpcPeeringFilter { state, after: after_id, ..Default::default() };
        let page = vpc_peering_list(&mut *tx, filter, PAGE).await?;
        let Some(last) = page.last() else { return Ok(out) };
        after = Some(last.id.clone());
        out.extend(page.iter().map(peering));
    }
}

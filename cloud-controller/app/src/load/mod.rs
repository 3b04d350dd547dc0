//! From rows to what cluster controllers are told. Everything here is read, nothing decided.

use futures::future::BoxFuture;
use mallee_proto::v1::intent_change::Object;
use mallee_proto::v1::{CapacityReservation, DedicatedHost, NodeSlots, ObjectKind, Removed};
use mallee_store::{
    CapacityFilter, CapacityReservationRow, CapacityState, HostFilter, HostRow, HostState, InstanceFilter, InstanceRow,
    Store, StoreError, TagFilter, capacity_fetch, capacity_list, host_fetch, host_list, instance_list, tag_list,
};
use mallee_types::{InstanceId, ZoneName};
use std::collections::{BTreeMap, BTreeSet};

mod instances;
mod nat_gateways;
mod network;
mod peerings;
mod peers;
pub(crate) mod prefix_lists;
mod transit;
mod wanted;

use crate::capacity::wire_tenancy;
use crate::instances::identity::IdentityKey;
use instances::instance_objects;

pub use instances::intent;
pub(crate) use wanted::of_all_zones;
pub use wanted::{
    CAPACITY, FLOW_LOG, GROUP, HOST, INSTANCE, NAT_GATEWAY, NETWORK_ACL, NODE, ROUTE_TABLE, SUBNET, TRANSIT_GATEWAY,
    VPC, VPC_PEERING, Wanted,
};

/// Instances read at once.
const INSTANCES_PAGE: u32 = 500;
/// Tags read at once; an instance has at most 50.
const TAGS_PAGE: u32 = 10_000;

fn removed(kind: ObjectKind, id: &impl ToString) -> Object {
    Object::Removed(Removed { kind: kind.into(), id: id.to_string() })
}

fn found<T>(result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A reservation as its cluster is told; one that has ended is a removal.
fn capacity(row: &CapacityReservationRow) -> Object {
    if row.state != CapacityState::Active {
        return removed(ObjectKind::Capacity, &row.id);
    }
    let slots = row.slots.0.iter().map(|(node, count)| NodeSlots { node_id: node.to_string(), count: *count, used: 0 });
    Object::Capacity(CapacityReservation {
        id: row.id.to_string(),
        generation: row.generation.0,
        account_id: row.account_id.to_string(),
        vcpus: row.vcpus,
        memory_mib: row.memory_mib,
        disk_bytes: row.disk_bytes,
        slots: slots.collect(),
        tenancy: wire_tenancy(&row.tenancy).into(),
    })
}

/// A host as its cluster is told; one that was released is a removal.
fn host(row: &HostRow) -> Object {
    if row.state != HostState::Available {
        return removed(ObjectKind::Host, &row.id);
    }
    Object::Host(DedicatedHost {
        id: row.id.to_string(),
        generation: row.generation.0,
        account_id: row.account_id.to_string(),
        node_id: row.node_id.to_string(),
    })
}

/// Instances as a zone's cluster is told: its own whole, those of other zones as peers.
///
/// Boxed, as it is awaited by what has much on its stack already.
fn instances_for<'a>(
    store: &'a Store,
    identity: &'a IdentityKey,
    zone: &'a ZoneName,
    rows: Vec<InstanceRow>,
    region: &'a str,
) -> BoxFuture<'a, Result<Vec<Object>, StoreError>> {
    Box::pin(async move {
        let (own, others) = rows.into_iter().partition(|row| row.zone == *zone);
        let mut out = instance_objects(store, identity, own, region).await?;
        out.extend(peers::instance_objects(store, others).await?);
        Ok(out)
    })
}

/// The region whose names instances get; kept in the database so that every replica says the same.
async fn region(store: &Store) -> Result<String, StoreError> {
    Ok(mallee_store::setting_fetch(store, crate::bootstrap::REGION_SETTING).await?.unwrap_or_default())
}

/// The named objects as they are now; what is no more is a removal.
pub(crate) async fn objects(
    store: &Store,
    identity: &IdentityKey,
    zone: &ZoneName,
    wanted: &BTreeSet<Wanted>,
) -> Result<Vec<Object>, StoreError> {
    let region = region(store).await?;
    let mut out = Vec::with_capacity(wanted.len());
    let mut instances: Vec<InstanceId> = Vec::new();
    for item in wanted {
        match item {
            Wanted::Vpc(id) => out.push(network::vpc_object(store, id, &region).await?),
            Wanted::VpcPeering(id) => out.push(peerings::object(store, id).await?),
            Wanted::TransitGateway(id) => out.push(transit::object(store, id).await?),
            Wanted::Subnet(id) => out.push(network::subnet_object(store, id).await?),
            Wanted::RouteTable(id) => out.push(network::route_table_object(store, id).await?),
            Wanted::NetworkAcl(id) => out.push(network::network_acl_object(store, id).await?),
            Wanted::Group(id) => out.push(network::group_object(store, id).await?),
            Wanted::NatGateway(id) => out.push(nat_gateways::object(store, id, &region).await?),
            Wanted::FlowLog(id) => out.push(network::flow_log_object(store, id).await?),
            Wanted::Capacity(id) => out.push(match found(capacity_fetch(store, id).await)? {
                Some(row) => capacity(&row),
                None => removed(ObjectKind::Capacity, id),
            }),
            Wanted::Host(id) => out.push(match found(host_fetch(store, id).await)? {
                Some(row) => host(&row),
                None => removed(ObjectKind::Host, id),
            }),
            Wanted::Node(id) => out.extend(peers::node_object(store, zone, id).await?),
            Wanted::Instance(id) => instances.push(id.clone()),
        }
    }
    for ids in instances.chunks(INSTANCES_PAGE as usize) {
        let filter = InstanceFilter { ids: Some(ids), ..Default::default() };
        let rows = instance_list(store, filter, INSTANCES_PAGE).await?;
        let gone = ids.iter().filter(|id| !rows.iter().any(|row| row.id == **id));
        out.extend(gone.map(|id| removed(ObjectKind::Instance, id)));
        out.extend(instances_for(store, identity, zone, rows, &region).await?);
    }
    Ok(out)
}

/// Everything a zone's cluster must know, page by page.
#[derive(Debug)]
pub struct Snapshot {
    zone: ZoneName,
    after: Option<InstanceId>,
    stage: Stage,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Network,
    /// Before instances: their slots, and the nodes of peers, are there when they come.
    Kept,
    Instances,
    Done,
}

impl Snapshot {
    /// Before the first page.
    #[must_use]
    pub const fn new(zone: ZoneName) -> Self {
        Self { zone, after: None, stage: Stage::Network }
    }

    /// The next page; `None` after the last.
    ///
    /// # Errors
    /// What the database says.
    pub async fn next(&mut self, store: &Store, identity: &IdentityKey) -> Result<Option<Vec<Object>>, StoreError> {
        let region = region(store).await?;
        match self.stage {
            Stage::Network => {
                self.stage = Stage::Kept;
                network::all_objects(&mut store.read().await?, &region).await.map(Some)
            }
            Stage::Kept => {
                self.stage = Stage::Instances;
                let mut objects = kept_objects(store, &self.zone).await?;
                objects.extend(peers::all_nodes(store, &self.zone).await?);
                objects.extend(nat_gateways::all(store, &region).await?);
                Ok(Some(objects))
            }
            Stage::Instances => {
                let filter = InstanceFilter { unreleased: true, after: self.after.as_ref(), ..Default::default() };
                let rows = instance_list(store, filter, INSTANCES_PAGE).await?;
                match rows.last() {
                    Some(last) => self.after = Some(last.id.clone()),
                    None => self.stage = Stage::Done,
                }
                instances_for(store, identity, &self.zone, rows, &region).await.map(Some)
            }
            Stage::Done => Ok(None),
        }
    }
}

/// Every reservation and host of a zone.
async fn kept_objects(store: &Store, zone: &ZoneName) -> Result<Vec<Object>, StoreError> {
    let mut out = Vec::new();
    let mut after = None;
    loop {
        let (state, zone) = (Some(CapacityState::Active), Some(zone));
        let filter = CapacityFilter { state, zone, after: after.as_ref(), ..Default::default() };
        let rows = capacity_list(store, filter, INSTANCES_PAGE).await?;
        out.extend(rows.iter().map(capacity));
        let Some(last) = rows.last() else { break };
        after = Some(last.id.clone());
    }
    let mut after = None;
    loop {
        let (state, zone) = (Some(HostState::Available), Some(zone));
        let filter = HostFilter { state, zone, after: after.as_ref(), ..Default::default() };
        let rows = host_list(store, filter, INSTANCES_PAGE).await?;
        out.extend(rows.iter().map(host));
        let Some(last) = rows.last() else { break };
        after = Some(last.id.clone());
    }
    Ok(out)
}

/// The tags of these resources, by resource.
pub(crate) async fn tags_by_resource(
    store: &Store,
    account: &mallee_types::AccountId,
    ids: &[String],
) -> Result<BTreeMap<String, Vec<(String, String)>>, StoreError> {
    let mut out: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for some in ids.chunks(TAGS_PAGE as usize / mallee_types::limits::TAGS_PER_RESOURCE_MAX) {
        let filter = TagFilter { resources: Some(some), ..Default::default() };
        for tag in tag_list(store, account, filter, TAGS_PAGE).await? {
            out.entry(tag.resource_id).or_default().push((tag.key, tag.value));
        }
    }
    Ok(out)
}

//! From rows to what cluster controllers are told. Everything here is read, nothing decided.

use mallee_proto::v1::intent_change::Object;
use mallee_proto::v1::{
    CapacityReservation, DedicatedHost, Image, InstanceIntent, InstanceSpec, Metadata, MetadataOptions, NodeSlots,
    ObjectKind, Port, Removed, RunIntent, SpotLife, SshKey,
};
use mallee_store::{
    CapacityFilter, CapacityReservationRow, CapacityState, HostFilter, HostRow, HostState, InstanceFilter, InstanceRow,
    InterruptionBehavior, Store, StoreError, TagFilter, capacity_fetch, capacity_list, host_fetch, host_list,
    instance_list, instance_user_data_of, tag_list,
};
use mallee_types::{
    CapacityReservationId, GroupId, HostId, InstanceId, NetworkAclId, NodeId, RouteTableId, SubnetId, VpcId, ZoneName,
};
use std::collections::{BTreeMap, BTreeSet};

mod network;
mod peers;
mod prefix_lists;

use crate::capacity::wire_tenancy;
use crate::events::{events_of, wire as wire_event};
use crate::instances::credentials::wire_credentials;
use crate::instances::view::{InstanceView, views};
use crate::network::{private_dns_name, public_dns_name};
use crate::placement_groups::wire_group;

/// Kind of an instance in the change log.
pub const INSTANCE: &str = "instance";
/// Kind of a VPC.
pub const VPC: &str = "vpc";
/// Kind of a subnet.
pub const SUBNET: &str = "subnet";
/// Kind of a route table.
pub const ROUTE_TABLE: &str = "route-table";
/// Kind of a network ACL.
pub const NETWORK_ACL: &str = "network-acl";
/// Kind of a security group.
pub const GROUP: &str = "group";

/// Kind of a capacity reservation.
pub const CAPACITY: &str = "capacity";
/// Kind of a dedicated host.
pub const HOST: &str = "host";
/// Kind of a node: where it is reached.
pub const NODE: &str = "node";

/// Instances read at once.
const INSTANCES_PAGE: u32 = 500;
/// Tags read at once; an instance has at most 50.
const TAGS_PAGE: u32 = 10_000;

/// An object named by the change log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// A VPC. The order of variants is the order of sending: what is referred to goes first.
    Vpc(VpcId),
    /// A subnet.
    Subnet(SubnetId),
    /// A route table with its routes.
    RouteTable(RouteTableId),
    /// A network ACL with its entries.
    NetworkAcl(NetworkAclId),
    /// A security group with its rules.
    Group(GroupId),
    /// A capacity reservation.
    Capacity(CapacityReservationId),
    /// A dedicated host.
    Host(HostId),
    /// A node.
    Node(NodeId),
    /// An instance.
    Instance(InstanceId),
}

impl Wanted {
    /// Reads a row of the change log; `None` for kinds that clusters need not know.
    #[must_use]
    pub fn parse(kind: &str, id: &str) -> Option<Self> {
        match kind {
            VPC => id.parse().ok().map(Self::Vpc),
            SUBNET => id.parse().ok().map(Self::Subnet),
            ROUTE_TABLE => id.parse().ok().map(Self::RouteTable),
            NETWORK_ACL => id.parse().ok().map(Self::NetworkAcl),
            GROUP => id.parse().ok().map(Self::Group),
            CAPACITY => id.parse().ok().map(Self::Capacity),
            HOST => id.parse().ok().map(Self::Host),
            NODE => id.parse().ok().map(Self::Node),
            INSTANCE => id.parse().ok().map(Self::Instance),
            _ => None,
        }
    }
}

/// Whether every zone's cluster is told of it, even if it is of one zone.
pub(crate) fn of_all_zones(kind: &str) -> bool {
    matches!(kind, INSTANCE | NODE)
}

impl Wanted {
    /// What an object on the wire is, so that its place in the change log can be found again.
    pub(crate) fn of(object: &Object) -> Option<Self> {
        let (kind, id) = match object {
            Object::Instance(instance) => (INSTANCE, &instance.id),
            Object::Vpc(vpc) => (VPC, &vpc.id),
            Object::Subnet(subnet) => (SUBNET, &subnet.id),
            Object::RouteTable(table) => (ROUTE_TABLE, &table.id),
            Object::NetworkAcl(acl) => (NETWORK_ACL, &acl.id),
            Object::Group(group) => (GROUP, &group.id),
            Object::Capacity(reservation) => (CAPACITY, &reservation.id),
            Object::Host(host) => (HOST, &host.id),
            Object::PeerNode(node) => (NODE, &node.id),
            Object::PeerInstance(instance) => (INSTANCE, &instance.id),
            Object::Removed(removed) => {
                let kind = match removed.kind() {
                    ObjectKind::Instance => INSTANCE,
                    ObjectKind::Vpc => VPC,
                    ObjectKind::Subnet => SUBNET,
                    ObjectKind::RouteTable => ROUTE_TABLE,
                    ObjectKind::NetworkAcl => NETWORK_ACL,
                    ObjectKind::Group => GROUP,
                    ObjectKind::Capacity => CAPACITY,
                    ObjectKind::Host => HOST,
                    ObjectKind::Unspecified => return None,
                };
                (kind, &removed.id)
            }
        };
        Self::parse(kind, id)
    }
}

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

/// An instance's intent as its node gets it.
#[must_use]
pub fn intent(view: &InstanceView, user_data: Option<Vec<u8>>, region: &str) -> InstanceIntent {
    let (row, doc) = (&view.row, &view.row.doc);
    let ports: Vec<Port> = view
        .interfaces
        .iter()
        .map(|interface| Port {
            interface_id: interface.row.id.to_string(),
            mac: interface.row.mac.to_string(),
            private_ip: interface.row.private_ip.to_string(),
            vpc_id: interface.row.vpc_id.to_string(),
            subnet_id: interface.row.subnet_id.to_string(),
            group_ids: interface.groups.iter().map(|(id, _)| id.to_string()).collect(),
            public_ip: interface.public_ip.map(|ip| ip.to_string()).unwrap_or_default(),
            device_index: interface.row.device_index.unwrap_or_default(),
            source_dest_check: interface.row.source_dest_check,
        })
        .collect();
    let first = view.interfaces.first();
    let groups = first.map(|interface| interface.groups.as_slice()).unwrap_or_default();
    let keys = row.key_name.iter().zip(&doc.public_openssh);
    let metadata = Metadata {
        image_id: row.image_id.to_string(),
        reservation_id: row.reservation_id.to_string(),
        launch_index: row.launch_index,
        region: region.to_owned(),
        zone: row.zone.to_string(),
        hostname: first.map(|i| private_dns_name(i.row.private_ip, region)).unwrap_or_default(),
        public_hostname: first.and_then(|i| i.public_ip).map(|ip| public_dns_name(ip, region)).unwrap_or_default(),
        keys: keys.map(|(name, openssh)| SshKey { name: name.clone(), openssh: openssh.clone() }).collect(),
        user_data: user_data.unwrap_or_default(),
        group_names: groups.iter().map(|(_, name)| name.clone()).collect(),
        group_ids: groups.iter().map(|(id, _)| id.to_string()).collect(),
        launch_time_ms: row.launch_ms,
        options: Some(MetadataOptions {
            endpoint_enabled: doc.metadata.enabled,
            tokens_required: doc.metadata.tokens_required,
            hop_limit: doc.metadata.hop_limit,
            instance_tags: doc.metadata.tags,
        }),
        placement_group_name: doc.group.as_ref().map(|group| group.name.clone()).unwrap_or_default(),
        partition_number: doc.group.as_ref().map_or(0, |group| group.partition),
        events: Vec::new(),
        spot: doc.spot.as_ref().map(|spot| SpotLife {
            stops: spot.behavior == InterruptionBehavior::Stop,
            notice_ms: spot.notice.map_or(0, |notice| notice.at_ms),
        }),
        tags: if doc.metadata.tags { view.tags.iter().cloned().collect() } else { Default::default() },
    };
    InstanceIntent {
        id: row.id.to_string(),
        account_id: row.account_id.to_string(),
        generation: row.generation.0,
        incarnation: row.incarnation.0,
        node_id: row.node_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        intent: RunIntent::from(row.intent).into(),
        reboot_seq: row.reboot_seq,
        credentials: None,
        spec: Some(InstanceSpec {
            instance_type: row.instance_type.clone(),
            vcpus: doc.vcpus,
            memory_mib: doc.memory_mib,
            root_disk_bytes: doc.root_disk_bytes,
            image: Some(Image {
                digest: doc.image.digest.clone(),
                format: doc.image.format.clone(),
                size_bytes: doc.image.size_bytes,
                virtual_size_bytes: doc.image.virtual_size_bytes,
            }),
            ports,
            metadata: Some(metadata),
            group: doc.group.as_ref().map(wire_group),
            capacity_reservation_id: doc.capacity_reservation.as_ref().map(ToString::to_string).unwrap_or_default(),
            tenancy: wire_tenancy(&doc.tenancy).into(),
            host_id: doc.host.as_ref().map(ToString::to_string).unwrap_or_default(),
        }),
    }
}

async fn instance_objects(store: &Store, rows: Vec<InstanceRow>, region: &str) -> Result<Vec<Object>, StoreError> {
    let mut out = Vec::with_capacity(rows.len());
    let (released, live): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.released);
    out.extend(released.iter().map(|row| removed(ObjectKind::Instance, &row.id)));
    let wanted = |row: &&InstanceRow| row.intent != mallee_types::RunIntent::Terminate;
    let ids: Vec<InstanceId> = live.iter().filter(wanted).map(|row| row.id.clone()).collect();
    let mut credentials = wire_credentials(store, &ids).await?;
    let mut events = events_of(store, &ids).await?;
    let mut user_data: BTreeMap<InstanceId, Vec<u8>> = instance_user_data_of(store, &ids).await?.into_iter().collect();
    for view in views(store, live).await? {
        let user_data = user_data.remove(&view.row.id);
        let credentials = credentials.remove(&view.row.id);
        let events = events.remove(&view.row.id).unwrap_or_default();
        let mut intent = intent(&view, user_data, region);
        if let Some(metadata) = intent.spec.as_mut().and_then(|spec| spec.metadata.as_mut()) {
            metadata.events = events.iter().map(wire_event).collect();
        }
        out.push(Object::Instance(InstanceIntent { credentials, ..intent }));
    }
    Ok(out)
}

/// Instances as a zone's cluster is told: its own whole, those of other zones as peers.
async fn instances_for(
    store: &Store,
    zone: &ZoneName,
    rows: Vec<InstanceRow>,
    region: &str,
) -> Result<Vec<Object>, StoreError> {
    let (own, others) = rows.into_iter().partition(|row| row.zone == *zone);
    let mut out = instance_objects(store, own, region).await?;
    out.extend(peers::instance_objects(store, others).await?);
    Ok(out)
}

/// The region whose names instances get; kept in the database so that every replica says the same.
async fn region(store: &Store) -> Result<String, StoreError> {
    Ok(mallee_store::setting_fetch(store, crate::bootstrap::REGION_SETTING).await?.unwrap_or_default())
}

/// The named objects as they are now; what is no more is a removal.
pub(crate) async fn objects(
    store: &Store,
    zone: &ZoneName,
    wanted: &BTreeSet<Wanted>,
) -> Result<Vec<Object>, StoreError> {
    let region = region(store).await?;
    let mut out = Vec::with_capacity(wanted.len());
    let mut instances: Vec<InstanceId> = Vec::new();
    for item in wanted {
        match item {
            Wanted::Vpc(id) => out.push(network::vpc_object(store, id, &region).await?),
            Wanted::Subnet(id) => out.push(network::subnet_object(store, id).await?),
            Wanted::RouteTable(id) => out.push(network::route_table_object(store, id).await?),
            Wanted::NetworkAcl(id) => out.push(network::network_acl_object(store, id).await?),
            Wanted::Group(id) => out.push(network::group_object(store, id).await?),
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
        out.extend(instances_for(store, zone, rows, &region).await?);
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
    pub async fn next(&mut self, store: &Store) -> Result<Option<Vec<Object>>, StoreError> {
        let region = region(store).await?;
        match self.stage {
            Stage::Network => {
                self.stage = Stage::Kept;
                network::all_objects(store, &region).await.map(Some)
            }
            Stage::Kept => {
                self.stage = Stage::Instances;
                let mut objects = kept_objects(store, &self.zone).await?;
                objects.extend(peers::all_nodes(store, &self.zone).await?);
                Ok(Some(objects))
            }
            Stage::Instances => {
                let filter = InstanceFilter { unreleased: true, after: self.after.as_ref(), ..Default::default() };
                let rows = instance_list(store, filter, INSTANCES_PAGE).await?;
                match rows.last() {
                    Some(last) => self.after = Some(last.id.clone()),
                    None => self.stage = Stage::Done,
                }
                instances_for(store, &self.zone, rows, &region).await.map(Some)
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

//! Instances as their nodes get them.

use super::removed;
use crate::capacity::wire_tenancy;
use crate::events::{events_of, wire as wire_event};
use crate::instances::credentials::wire_credentials;
use crate::instances::identity::{IdentityKey, Unsigned};
use crate::instances::view::{InstanceView, InterfaceView, views};
use crate::network::{private_dns_name, public_dns_name};
use crate::placement_groups::wire_group;
use mallee_proto::v1::intent_change::Object;
use mallee_proto::v1::{
    Image, InstanceIntent, InstanceSpec, Metadata, MetadataOptions, ObjectKind, Port, PortAddress, RunIntent, SpotLife,
    SshKey,
};
use mallee_store::{InstanceRow, InterruptionBehavior, Store, StoreError, instance_user_data_of};
use mallee_types::InstanceId;
use std::collections::BTreeMap;

/// An interface as the node of its port gets it.
pub(super) fn port(interface: &InterfaceView, region: &str) -> Port {
    let name = |ip| interface.name_of(ip, region).unwrap_or_default();
    Port {
        interface_id: interface.row.id.to_string(),
        mac: interface.row.mac.to_string(),
        private_ip: interface.row.private_ip.to_string(),
        vpc_id: interface.row.vpc_id.to_string(),
        subnet_id: interface.row.subnet_id.to_string(),
        group_ids: interface.groups.iter().map(|(id, _)| id.to_string()).collect(),
        public_ip: interface.public_ip.map(|ip| ip.to_string()).unwrap_or_default(),
        device_index: interface.row.device_index.unwrap_or_default(),
        source_dest_check: interface.row.source_dest_check,
        secondary: interface
            .secondary
            .iter()
            .map(|other| PortAddress {
                private_ip: other.private_ip.to_string(),
                public_ip: other.public_ip.map(|ip| ip.to_string()).unwrap_or_default(),
                public_hostname: name(other.public_ip),
            })
            .collect(),
        group_names: match interface.row.device_index {
            Some(0) => Vec::new(),
            _ => interface.groups.iter().map(|(_, name)| name.clone()).collect(),
        },
        public_hostname: match interface.row.device_index {
            Some(0) => String::new(),
            _ => name(interface.public_ip),
        },
        // Of instances: said where those are.
        bandwidth_kbps: 0,
        flows_max: 0,
        ipv6_addresses: interface.ipv6.iter().map(ToString::to_string).collect(),
    }
}

/// An instance's intent as its node gets it.
#[must_use]
pub fn intent(view: &InstanceView, user_data: Option<Vec<u8>>, region: &str) -> InstanceIntent {
    let (row, doc) = (&view.row, &view.row.doc);
    let there = view.interfaces.iter().filter(|interface| !interface.is_leaving());
    let ports: Vec<Port> =
        there.map(|interface| Port { bandwidth_kbps: doc.bandwidth_kbps, ..port(interface, region) }).collect();
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
        identity: None,
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

pub(super) async fn instance_objects(
    store: &Store,
    identity: &IdentityKey,
    rows: Vec<InstanceRow>,
    region: &str,
) -> Result<Vec<Object>, StoreError> {
    let mut out = Vec::with_capacity(rows.len());
    let (released, live): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.released);
    out.extend(released.iter().map(|row| removed(ObjectKind::Instance, &row.id)));
    let wanted = |row: &&InstanceRow| row.intent != mallee_types::RunIntent::Terminate;
    let ids: Vec<InstanceId> = live.iter().filter(wanted).map(|row| row.id.clone()).collect();
    let mut credentials = wire_credentials(store, &ids).await?;
    let mut events = events_of(store, &ids).await?;
    let mut user_data: BTreeMap<InstanceId, Vec<u8>> = instance_user_data_of(store, &ids).await?.into_iter().collect();
    let mut intents = Vec::new();
    for view in views(store, live).await? {
        let user_data = user_data.remove(&view.row.id);
        let credentials = credentials.remove(&view.row.id);
        let events = events.remove(&view.row.id).unwrap_or_default();
        let mut intent = intent(&view, user_data, region);
        if let Some(metadata) = intent.spec.as_mut().and_then(|spec| spec.metadata.as_mut()) {
            metadata.events = events.iter().map(wire_event).collect();
        }
        let architecture = view.row.doc.architecture.clone();
        intents.push(Unsigned { intent: InstanceIntent { credentials, ..intent }, architecture });
    }
    out.extend(identity.sign(store, intents).await?.into_iter().map(Object::Instance));
    Ok(out)
}

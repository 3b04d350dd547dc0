//! The rows of one instance after the other, and what is shown of them.

use super::RunRequest;
use super::interfaces::Taken;
use super::place::decision_json;
use super::resolve::Resolved;
use crate::fail::{OrFail as _, store_failure};
use crate::instances::view::{InstanceView, InterfaceView};
use crate::interfaces::ipv6::TakenIpv6;
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext, load};
use mallee_awswire::{ApiError, Code};
use mallee_proto::v1::Placement;
use mallee_store::{
    GroupMembership, InstanceDoc, InstanceRow, InterfaceKind, InterfaceRow, StoreError, SubnetRow, Tx, change_append,
    instance_insert_later, interface_insert_later, interface_ipv6_insert, placement_group_join, public_address_give,
    tag_put,
};
use mallee_types::{
    AttachmentId, CapacityReservationId, DomainPhase, Generation, GroupId, Incarnation, InstanceId, InstanceState,
    InterfaceId, MacAddress, NodeId, ReservationId, RunIntent,
};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Where the instance is to be: its node and its addresses.
pub(super) struct Place<'a> {
    pub index: u32,
    pub placement: &'a Placement,
    pub address: Ipv4Addr,
    pub public: Option<Ipv4Addr>,
    /// The IPv6 address of one plain new interface.
    pub ipv6: Option<TakenIpv6>,
    /// What was taken for its interfaces, where the request says more of them than of one plain new one.
    pub interfaces: Vec<Taken>,
}

/// An instance was made, or a capacity reservation has no room for it, by its rows.
pub(super) enum Made {
    Instance(Box<InstanceView>),
    Full(CapacityReservationId),
}

/// Makes instances of one launch.
pub(super) struct Maker<'a> {
    pub cloud: &'a Cloud,
    pub cx: &'a OpContext,
    pub request: &'a RunRequest,
    pub resolved: &'a Resolved,
    pub subnet: &'a SubnetRow,
    pub reservation: &'a ReservationId,
}

impl Maker<'_> {
    /// Writes the rows. What the database has against them is said at the latest by the commit.
    pub(super) async fn make(&self, tx: &mut Tx, place: Place<'_>) -> Result<Made, ApiError> {
        // One hand-over an instance, however many there are.
        tx.run_later().await.map_err(group_gone)?;
        let mut row = self.instance(&place)?;
        row.doc.spot = self.cloud.take_spot(tx, self.cx, self.request, &row).await?;
        let placement = place.placement.decision.as_ref().map(decision_json);
        let user_data = self.request.user_data.as_deref();
        instance_insert_later(tx, &row, user_data, placement.as_deref()).await.or_fail()?;
        if let Some(reservation) = &row.doc.capacity_reservation
            && !self.cloud.use_capacity(tx, &row).await?
        {
            return Ok(Made::Full(reservation.clone()));
        }
        if let Some(group) = &row.doc.group {
            placement_group_join(tx, &row.id, &group.id, &row.zone).await.map_err(|error| match error {
                StoreError::InUse => Code::InvalidPlacementGroupUnknown.with(&[&group.name]),
                other => store_failure(other),
            })?;
        }
        if row.doc.host.is_some() {
            self.cloud.join_host(tx, &row).await?;
        }
        let mut interface = self.interface(&row, place.address);
        let group_ids: Vec<GroupId> = self.resolved.groups.iter().map(|(id, _)| id.clone()).collect();
        if place.interfaces.is_empty() {
            interface_insert_later(tx, &interface, &group_ids).await.or_fail()?;
            if let Some(ipv6) = &place.ipv6 {
                interface_ipv6_insert(tx, &ipv6.rows(&interface.id, 0)).await.or_fail()?;
            }
        }
        for taken in &place.interfaces {
            let made = self.plug(tx, &row, taken).await?;
            if taken.wanted.device_index == 0 {
                interface = made;
            }
        }
        if let Some(public) = place.public {
            public_address_give(tx, public, &interface.id, &interface.account_id).await.or_fail()?;
        }
        let account = self.cx.account();
        for given in [&self.request.instance_tags, &self.request.system_tags] {
            tag_put(tx, &tags::rows(account, "instance", row.id.as_str(), given)).await.or_fail()?;
        }
        if place.interfaces.is_empty() {
            tag_put(tx, &tags::rows(account, "network-interface", interface.id.as_str(), &self.request.interface_tags))
                .await
                .or_fail()?;
        }
        let profile = match &self.resolved.profile {
            Some(profile) => Some(self.cloud.give_profile(tx, &row, profile).await?),
            None => None,
        };
        change_append(tx, load::INSTANCE, &row.id, Some(&row.zone));
        let interface = InterfaceView {
            groups: self.resolved.groups.clone(),
            public_ip: place.public,
            names_public: self.resolved.vpc.names_public(),
            elastic: None,
            secondary: Vec::new(),
            ipv6: place.ipv6.map(|taken| taken.addresses).unwrap_or_default(),
            attachment: None,
            tags: shown(&[&self.request.interface_tags]),
            row: interface,
        };
        let tags = shown(&[&self.request.instance_tags, &self.request.system_tags]);
        Ok(Made::Instance(Box::new(InstanceView { row, interfaces: vec![interface], tags, profile })))
    }

    fn instance(&self, place: &Place<'_>) -> Result<InstanceRow, ApiError> {
        let Place { placement, address, .. } = *place;
        let id: InstanceId = placement.instance_id.parse().map_err(ApiError::internal)?;
        let node: NodeId = placement.node_id.parse().map_err(ApiError::internal)?;
        let partition = placement.partition;
        let reservation = Some(placement.capacity_reservation_id.as_str()).filter(|id| !id.is_empty());
        let capacity_reservation = reservation.map(str::parse).transpose().map_err(ApiError::internal)?;
        let host = Some(placement.host_id.as_str()).filter(|_| self.request.tenancy == "host");
        let host = host.map(str::parse).transpose().map_err(ApiError::internal)?;
        let (request, resolved) = (self.request, self.resolved);
        let now_ms = self.cloud.clock().now_ms();
        Ok(InstanceRow {
            id,
            account_id: self.cx.account().clone(),
            reservation_id: self.reservation.clone(),
            launch_index: place.index,
            zone: self.subnet.zone.clone(),
            node_id: Some(node),
            instance_type: resolved.size.name.to_owned(),
            image_id: request.image.clone(),
            vpc_id: self.subnet.vpc_id.clone(),
            subnet_id: self.subnet.id.clone(),
            key_name: request.key_name.clone(),
            intent: RunIntent::Run,
            generation: Generation(1),
            incarnation: Incarnation(1),
            reboot_seq: 0,
            observed_phase: DomainPhase::Absent,
            observed_generation: Generation(0),
            observed_incarnation: Incarnation(0),
            observed_network: false,
            observed_reboot_seq: 0,
            state: InstanceState::Pending,
            state_reason_code: Some("pending".to_owned()),
            state_reason_message: Some("pending".to_owned()),
            transition_reason: String::new(),
            released: false,
            launch_ms: now_ms,
            state_changed_ms: now_ms,
            terminated_ms: None,
            client_token: request.client_token.clone(),
            doc: InstanceDoc {
                vcpus: resolved.size.vcpus,
                memory_mib: resolved.size.memory_mib,
                bandwidth_kbps: u64::from(resolved.size.network_mbps) * 1000,
                root_disk_bytes: resolved.root_disk_bytes,
                image: resolved.image.clone(),
                architecture: resolved.architecture.clone(),
                root_device_name: resolved.root_device_name.clone(),
                hostname: crate::network::private_dns_name(address, &self.cloud.config().region),
                public_openssh: resolved.public_openssh.clone(),
                metadata: request.metadata.clone(),
                shutdown_behavior: request.shutdown_behavior,
                disable_api_termination: request.disable_api_termination,
                disable_api_stop: request.disable_api_stop,
                monitoring: request.monitoring,
                ebs_optimized: request.ebs_optimized,
                credits: request.credits,
                tenancy: request.tenancy.clone(),
                has_run: false,
                guest_heard: false,
                booted_ms: 0,
                interfaces_pending: false,
                auto_public_ip: request.public_ip.unwrap_or(self.subnet.map_public_ip),
                host,
                host_affinity: request.host.affinity,
                capacity_preference: request.capacity_preference.clone(),
                capacity_target: request.capacity_target.clone(),
                capacity_reservation,
                group: resolved.group.clone().map(|group| GroupMembership { partition, ..group }),
                spot: None,
                requester: crate::spot::requester(self.cx, request.spot.as_ref()),
                extra: Default::default(),
            },
        })
    }

    fn interface(&self, row: &InstanceRow, address: Ipv4Addr) -> InterfaceRow {
        let rng = self.cloud.rng();
        InterfaceRow {
            id: InterfaceId::from_random(rng.u128()),
            account_id: row.account_id.clone(),
            vpc_id: row.vpc_id.clone(),
            subnet_id: row.subnet_id.clone(),
            zone: row.zone.clone(),
            mac: MacAddress::from_random(rng.u64()),
            private_ip: address,
            instance_id: Some(row.id.clone()),
            attachment_id: Some(AttachmentId::from_random(rng.u128())),
            device_index: Some(0),
            source_dest_check: true,
            delete_on_termination: true,
            description: String::new(),
            created_ms: row.launch_ms,
            kind: InterfaceKind::Interface,
        }
    }
}

/// What the database has against rows that name a group which was deleted between the look-up and now. (Of a launch it may be
/// the subnet: see its caller.)
pub(crate) fn group_gone(error: StoreError) -> ApiError {
    match error {
        StoreError::InUse => {
            Code::InvalidGroupNotFound.message("A security group of the request does not exist any more")
        }
        other => store_failure(other),
    }
}

/// Tags as descriptions show them: by key, of equal keys the last.
fn shown(given: &[&[Tag]]) -> Vec<(String, String)> {
    let tags = given.iter().flat_map(|tags| tags.iter());
    tags.cloned().collect::<BTreeMap<_, _>>().into_iter().collect()
}

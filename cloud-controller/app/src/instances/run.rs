//! `RunInstances`: resolve, place, then one transaction that makes everything; the reply follows the commit.

pub(crate) mod place;
mod resolve;

use crate::capacity::{HostWish, reservation_gone};
use crate::fail::{OrFail as _, store_failure};
use crate::fleets::FleetLaunch;
use crate::groups;
use crate::instances::profile::ProfileRef;
use crate::instances::view::{InstanceView, views};
use crate::placement_groups::GroupWish;
use crate::quotas::{Demand, table as quotas};
use crate::spot::{SpotOptions, check_launch_count};
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext, load};
use mallee_awswire::{ApiError, Code};
use mallee_proto::v1::Placement;
use mallee_store::{
    ClientTokenClaim, CpuCredits, GroupMembership, InstanceDoc, InstanceFilter, InstanceRow, InterfaceRow,
    MetadataOptions, ShutdownBehavior, StoreError, Tx, capacity_fetch_locked, change_append, client_token_claim,
    client_token_peek, client_token_result_set, instance_insert, instance_list, instance_placement_set,
    interface_insert, placement_group_join, private_address_take_exact, private_addresses_take, public_address_take,
    tag_put,
};
use mallee_types::{
    AttachmentId, CapacityReservationId, DomainPhase, Generation, ImageId, Incarnation, InstanceId, InstanceState,
    InterfaceId, MacAddress, NodeId, ReservationId, RunIntent,
};
use resolve::Resolved;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

const OPERATION: &str = "RunInstances";
/// Longest client token (EC2: 64 ASCII characters).
const CLIENT_TOKEN_CHARS_MAX: usize = 64;

/// What a launch asks for, as the wire gave it: nothing is looked up yet. Requests for spot instances keep it as JSON
/// (without the user data, which has a column): a new field needs `#[serde(default)]`, so that older ones read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunRequest {
    /// The image.
    pub image: ImageId,
    /// AWS's name of the size.
    pub instance_type: String,
    /// Fewer is failure.
    pub min_count: u32,
    /// More is not wanted.
    pub max_count: u32,
    /// A key pair of the account.
    pub key_name: Option<String>,
    /// Security groups by id…
    pub group_ids: Vec<String>,
    /// … or by name, in the default VPC.
    pub group_names: Vec<String>,
    /// A subnet; it fixes the zone.
    pub subnet: Option<String>,
    /// A zone; its default subnet is taken.
    pub zone: Option<String>,
    /// The private address of the one instance.
    pub private_ip: Option<Ipv4Addr>,
    /// Whether to give a public address; `None`: as the subnet says.
    pub public_ip: Option<bool>,
    /// Decoded.
    #[serde(skip)]
    pub user_data: Option<Vec<u8>>,
    /// The caller's token.
    pub client_token: Option<String>,
    /// Of everything else in the request.
    pub params_hash: String,
    /// What a guest's own power-off means.
    pub shutdown_behavior: ShutdownBehavior,
    /// `TerminateInstances` is refused.
    pub disable_api_termination: bool,
    /// `StopInstances` is refused.
    pub disable_api_stop: bool,
    /// Shown only.
    pub monitoring: bool,
    /// Shown only.
    pub ebs_optimized: bool,
    /// What happens without CPU credits; shown only.
    pub credits: Option<CpuCredits>,
    /// The cores it asks for: only those of its type can be had.
    #[serde(default)]
    pub core_count: Option<u32>,
    /// The wish about capacity reservations: `open` (none is that too), `none`, `capacity-reservations-only`.
    pub capacity_preference: Option<String>,
    /// The one reservation to run in.
    pub capacity_target: Option<CapacityReservationId>,
    /// The instance profile they get.
    pub profile: Option<ProfileRef>,
    /// The metadata service's behaviour.
    pub metadata: MetadataOptions,
    /// `default`, `dedicated` or `host`.
    pub tenancy: String,
    /// With the tenancy `host`: the host.
    #[serde(default)]
    pub host: HostWish,
    /// The placement group they are to be in.
    pub group: GroupWish,
    /// Set: spot instances are launched.
    #[serde(default)]
    pub spot: Option<SpotOptions>,
    /// For the instances.
    pub instance_tags: Vec<Tag>,
    /// For the instances, by the cloud itself: under `aws:`.
    pub system_tags: Vec<Tag>,
    /// For their interfaces.
    pub interface_tags: Vec<Tag>,
    /// The launch of a fleet that it is.
    #[serde(default)]
    pub fleet: Option<FleetLaunch>,
    /// Only check.
    pub dry_run: bool,
}

impl Cloud {
    /// `RunInstances`. The reservation's id and its instances.
    ///
    /// # Errors
    /// EC2's, for everything that does not exist, does not fit, or is not allowed; nothing is left behind.
    pub async fn run_instances(
        &self,
        cx: &OpContext,
        request: RunRequest,
    ) -> Result<(ReservationId, Vec<InstanceView>), ApiError> {
        if let Some(done) = self.launched_before(cx, request.client_token.as_deref(), &request.params_hash).await? {
            return Ok(done);
        }
        let resolved = self.resolve(cx, &request).await?;
        self.check_spot(&request).await?;
        if request.dry_run {
            return Err(Code::DryRunOperation.error());
        }
        self.faults().point("cloud.run.resolved").await.or_fail()?;
        let mut full = Vec::new();
        let reservation = loop {
            let placed = self.place(cx, &request, &resolved, &full).await?;
            let outcome = self.launch(cx, &request, &resolved, &placed.placements, &placed.subnet).await;
            if !matches!(outcome, Ok(Launched::Made(_))) {
                self.unplace(&placed).await;
            }
            match outcome? {
                Launched::Made(reservation) | Launched::Before(reservation) => break reservation,
                // Each is tried once, so this ends.
                Launched::Full(reservation) => full.push(reservation),
            }
        };
        self.faults().point("cloud.run.committed").await.or_fail()?;
        self.reservation(cx, reservation).await
    }

    /// Whether a launch could be made, if there were room.
    ///
    /// # Errors
    /// As [`Cloud::run_instances`], of what needs no room.
    pub(crate) async fn check_launch(&self, cx: &OpContext, request: &RunRequest) -> Result<(), ApiError> {
        self.resolve(cx, request).await.map(drop)
    }

    /// The result of an earlier launch with this client token and parameters of this hash.
    ///
    /// # Errors
    /// For a token that is none, or that was used for another launch.
    pub async fn launched_before(
        &self,
        cx: &OpContext,
        token: Option<&str>,
        params_hash: &str,
    ) -> Result<Option<(ReservationId, Vec<InstanceView>)>, ApiError> {
        let Some(token) = token else { return Ok(None) };
        if token.is_empty() || token.len() > CLIENT_TOKEN_CHARS_MAX || !token.bytes().all(|b| (0x21..0x7f).contains(&b))
        {
            return Err(Code::InvalidParameterValue
                .message("Invalid value for parameter clientToken. It must be 1 to 64 ASCII characters."));
        }
        match client_token_peek(self.store(), cx.account(), OPERATION, token).await.or_fail()? {
            Some((hash, _)) if hash != params_hash => Err(Code::IdempotentParameterMismatch.error()),
            Some((_, Some(result))) => self.reservation(cx, parse_reservation(&result)?).await.map(Some),
            Some((_, None)) | None => Ok(None),
        }
    }

    async fn reservation(
        &self,
        cx: &OpContext,
        id: ReservationId,
    ) -> Result<(ReservationId, Vec<InstanceView>), ApiError> {
        let filter = InstanceFilter {
            account: Some(cx.account()),
            reservations: Some(std::slice::from_ref(&id)),
            ..Default::default()
        };
        let mut rows =
            instance_list(self.store(), filter, mallee_types::limits::RUN_INSTANCES_COUNT_MAX).await.or_fail()?;
        rows.sort_by_key(|row| row.launch_index);
        Ok((id, views(self.store(), rows).await.or_fail()?))
    }

    /// The one transaction.
    async fn launch(
        &self,
        cx: &OpContext,
        request: &RunRequest,
        resolved: &Resolved,
        placements: &[Placement],
        subnet: &mallee_store::SubnetRow,
    ) -> Result<Launched, ApiError> {
        let keys = [
            ("ec2:InstanceType", vec![resolved.size.name.to_owned()]),
            ("ec2:AvailabilityZone", vec![subnet.zone.to_string()]),
        ];
        let allowance = self.ec2_allowance(cx, "ec2:RunInstances", "instance", &keys).await?;
        let mut tx = self.store().write().await.or_fail()?;
        if let Some(token) = &request.client_token {
            let claim =
                client_token_claim(&mut tx, cx.account(), OPERATION, token, &request.params_hash).await.or_fail()?;
            match claim {
                ClientTokenClaim::New => {}
                ClientTokenClaim::Mismatch => return Err(Code::IdempotentParameterMismatch.error()),
                ClientTokenClaim::Repeat(result) => return Ok(Launched::Before(parse_reservation(&result)?)),
            }
        }
        let ids: Vec<String> = placements.iter().map(|placement| placement.instance_id.clone()).collect();
        allowance.take(&mut tx, &demands(resolved, placements.len() as u64), &ids).await?;
        check_launch_count(&mut tx, cx, request.spot.as_ref(), placements.len() as u64).await?;
        let reservation = ReservationId::from_random(self.rng().u128());
        let addresses = self.take_addresses(&mut tx, request, subnet, placements.len()).await?;
        // Locks are taken in one order, before anything is written.
        let mut reserved: Vec<&str> = placements.iter().map(|p| p.capacity_reservation_id.as_str()).collect();
        reserved.sort_unstable();
        reserved.dedup();
        for id in reserved.into_iter().filter(|id| !id.is_empty()) {
            let id = id.parse().map_err(ApiError::internal)?;
            capacity_fetch_locked(&mut tx, &id).await.map_err(reservation_gone(&id))?;
        }
        let mut maker = Maker { cloud: self, cx, request, resolved, subnet, reservation: &reservation };
        for (index, (placement, address)) in placements.iter().zip(addresses).enumerate() {
            if let Some(full) =
                maker.make(&mut tx, u32::try_from(index).unwrap_or(u32::MAX), placement, address).await?
            {
                return Ok(Launched::Full(full));
            }
        }
        if let Some(fleet) = &request.fleet {
            self.fleet_launched(&mut tx, fleet, placements, subnet).await?;
        }
        if let Some(token) = &request.client_token {
            client_token_result_set(&mut tx, cx.account(), OPERATION, token, reservation.as_str()).await.or_fail()?;
        }
        self.faults().point("cloud.run.before-commit").await.or_fail()?;
        tx.commit().await.map_err(|error| match error {
            // A group that was deleted between the look-up and the commit.
            StoreError::InUse => {
                Code::InvalidGroupNotFound.message("A security group of the request does not exist any more")
            }
            other => store_failure(other),
        })?;
        Ok(Launched::Made(reservation))
    }

    async fn take_addresses(
        &self,
        tx: &mut Tx,
        request: &RunRequest,
        subnet: &mallee_store::SubnetRow,
        count: usize,
    ) -> Result<Vec<Ipv4Addr>, ApiError> {
        if let Some(address) = request.private_ip {
            return if private_address_take_exact(tx, &subnet.id, address).await.or_fail()? {
                Ok(vec![address])
            } else {
                Err(Code::InvalidIpAddressInUse.message(format!("Address {address} is in use.")))
            };
        }
        private_addresses_take(tx, &subnet.id, subnet.cidr, count).await.map_err(|error| match error {
            StoreError::Exhausted { .. } => Code::InsufficientFreeAddressesInSubnet.with(&[subnet.id.as_str()]),
            other => store_failure(other),
        })
    }
}

/// What so many new instances take of quotas.
fn demands(resolved: &Resolved, count: u64) -> [Demand; 5] {
    let (vcpus, memory_mib) = (u64::from(resolved.size.vcpus), resolved.size.memory_mib);
    [
        (&quotas::INSTANCES, count),
        (&quotas::ACTIVE_INSTANCES, count),
        (&quotas::VCPUS, count * vcpus),
        (&quotas::MEMORY, count * memory_mib),
        (&quotas::DISK, count.saturating_mul(resolved.root_disk_bytes)),
    ]
}

enum Launched {
    /// By this call.
    Made(ReservationId),
    /// By an earlier call with the same token.
    Before(ReservationId),
    /// By none: this capacity reservation has ended or is full, by its rows.
    Full(CapacityReservationId),
}

fn parse_reservation(text: &str) -> Result<ReservationId, ApiError> {
    text.parse().map_err(ApiError::internal)
}

/// Makes the rows of one instance after the other.
struct Maker<'a> {
    cloud: &'a Cloud,
    cx: &'a OpContext,
    request: &'a RunRequest,
    resolved: &'a Resolved,
    subnet: &'a mallee_store::SubnetRow,
    reservation: &'a ReservationId,
}

impl Maker<'_> {
    async fn make(
        &mut self,
        tx: &mut Tx,
        index: u32,
        placement: &Placement,
        address: Ipv4Addr,
    ) -> Result<Option<CapacityReservationId>, ApiError> {
        let id: InstanceId = placement.instance_id.parse().map_err(ApiError::internal)?;
        let node: NodeId = placement.node_id.parse().map_err(ApiError::internal)?;
        let mut row = self.instance(id, node, index, address, placement)?;
        row.doc.spot = self.cloud.take_spot(tx, self.cx, self.request, &row).await?;
        let user_data = self.request.user_data.as_deref();
        instance_insert(tx, &row, user_data).await.or_fail()?;
        if !self.cloud.use_capacity(tx, &row).await? {
            return Ok(row.doc.capacity_reservation);
        }
        if let Some(decision) = &placement.decision {
            instance_placement_set(tx, &row.id, &place::decision_json(decision)).await.or_fail()?;
        }
        if let Some(group) = &row.doc.group {
            placement_group_join(tx, &row.id, &group.id, &row.zone).await.map_err(|error| match error {
                StoreError::InUse => Code::InvalidPlacementGroupUnknown.with(&[&group.name]),
                other => store_failure(other),
            })?;
        }
        self.cloud.join_host(tx, &row).await?;
        let interface = self.interface(&row, address);
        interface_insert(tx, &interface, &self.resolved.groups).await.map_err(|error| match error {
            StoreError::InUse => {
                Code::InvalidGroupNotFound.message("A security group of the request does not exist any more")
            }
            other => store_failure(other),
        })?;
        if row.doc.auto_public_ip {
            take_public_address(self.cloud, tx, &interface).await?;
        }
        let account = self.cx.account();
        for given in [&self.request.instance_tags, &self.request.system_tags] {
            tag_put(tx, &tags::rows(account, "instance", row.id.as_str(), given)).await.or_fail()?;
        }
        tag_put(tx, &tags::rows(account, "network-interface", interface.id.as_str(), &self.request.interface_tags))
            .await
            .or_fail()?;
        if let Some(profile) = &self.resolved.profile {
            self.cloud.give_profile(tx, &row, profile).await?;
        }
        change_append(tx, load::INSTANCE, &row.id, Some(&row.zone));
        Ok(None)
    }

    fn instance(
        &self,
        id: InstanceId,
        node: NodeId,
        index: u32,
        address: Ipv4Addr,
        placement: &Placement,
    ) -> Result<InstanceRow, ApiError> {
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
            launch_index: index,
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
        }
    }
}

/// Gives an interface a public address of the cloud's pool.
pub(crate) async fn take_public_address(cloud: &Cloud, tx: &mut Tx, interface: &InterfaceRow) -> Result<(), ApiError> {
    let taken = public_address_take(tx, cloud.config().public_pool, &interface.id, &interface.account_id).await;
    taken.map(drop).map_err(|error| match error {
        StoreError::Exhausted { .. } => {
            Code::InsufficientAddressCapacity.message("Insufficient capacity of public addresses.")
        }
        other => store_failure(other),
    })
}

/// The names of the default group, for launches that name none.
pub(crate) const FALLBACK_GROUP: &str = groups::DEFAULT_GROUP;

//! `RunInstances`: resolve, place, then one transaction that makes everything; the reply follows the commit.

mod interfaces;
mod make;

pub use interfaces::LaunchInterface;
pub(crate) use make::group_gone;
pub(crate) mod place;
mod resolve;

use crate::capacity::{HostWish, reservation_gone};
use crate::fail::{OrFail as _, store_failure};
use crate::fleets::FleetLaunch;
use crate::groups;
use crate::instances::profile::ProfileRef;
use crate::instances::view::{InstanceView, views};
use crate::interfaces::ipv6::TakenIpv6;
use crate::placement_groups::GroupWish;
use crate::quotas::{Demand, table as quotas};
use crate::spot::{SpotOptions, check_launch_count};
use crate::tags::Tag;
use crate::{Cloud, OpContext};
use make::{Made, Maker, Place};
use mallee_awswire::{ApiError, Code};
use mallee_proto::v1::Placement;
use mallee_store::{
    ClientTokenClaim, CpuCredits, InstanceFilter, InterfaceRow, MetadataOptions, ShutdownBehavior, StoreError,
    SubnetRow, Tx, capacity_fetch_locked, client_token_claim_with, client_token_peek, instance_list,
    private_address_take_exact, private_addresses_take, public_address_take, public_addresses_take,
};
use mallee_types::{CapacityReservationId, ImageId, ReservationId};
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
    /// Its network interfaces, if they are more than one plain new one; the first is told of above as well.
    #[serde(default)]
    pub interfaces: Vec<LaunchInterface>,
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
        mut request: RunRequest,
    ) -> Result<(ReservationId, Vec<InstanceView>), ApiError> {
        if let Some(done) = self.launched_before(cx, request.client_token.as_deref(), &request.params_hash).await? {
            return Ok(done);
        }
        let resolved = self.resolve(cx, &request).await?;
        if resolved.vpc.dedicated && request.tenancy == "default" {
            // As on AWS: nothing in such a VPC shares its hardware, whatever the launch says.
            "dedicated".clone_into(&mut request.tenancy);
            request.check_combination()?;
        }
        self.check_spot(&request).await?;
        if request.dry_run {
            return Err(Code::DryRunOperation.error());
        }
        self.faults().point("cloud.run.resolved").await.or_fail()?;
        let mut full = Vec::new();
        let launched = loop {
            let placed = self.place(cx, &request, &resolved, &full).await?;
            let outcome = self.launch(cx, &request, &resolved, &placed.placements, &placed.subnet).await;
            if !matches!(outcome, Ok(Launched::Made(..))) {
                self.unplace(&placed).await;
            }
            if let Err(error) = &outcome
                && error.code() == Code::InvalidGroupNotFound
            {
                // The database does not say which of the two was deleted meanwhile.
                self.find_subnet(cx, placed.subnet.id.as_str()).await?;
            }
            match outcome? {
                Launched::Made(reservation, _) if !request.interfaces.is_empty() => {
                    break self.reservation(cx, reservation).await?;
                }
                Launched::Made(reservation, views) => break (reservation, views),
                Launched::Before(reservation) => break self.reservation(cx, reservation).await?,
                // Each is tried once, so this ends.
                Launched::Full(reservation) => full.push(reservation),
            }
        };
        self.faults().point("cloud.run.committed").await.or_fail()?;
        Ok(launched)
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
            Some((_, Some(result))) => {
                let (id, instances) = self.reservation(cx, parse_reservation(&result)?).await?;
                // They are forgotten; the token is not yet.
                if instances.is_empty() {
                    return Err(Code::IdempotentInstanceTerminated.error());
                }
                Ok(Some((id, instances)))
            }
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
        subnet: &SubnetRow,
    ) -> Result<Launched, ApiError> {
        let keys = [
            ("ec2:InstanceType", vec![resolved.size.name.to_owned()]),
            ("ec2:AvailabilityZone", vec![subnet.zone.to_string()]),
        ];
        let allowance = self.ec2_allowance(cx, "ec2:RunInstances", "instance", &keys).await?;
        let reservation = ReservationId::from_random(self.rng().u128());
        let mut tx = self.store().write().await.or_fail()?;
        if let Some(token) = &request.client_token {
            let (hash, result) = (&request.params_hash, reservation.as_str());
            let claim = client_token_claim_with(&mut tx, cx.account(), OPERATION, token, hash, result).await;
            match claim.or_fail()? {
                ClientTokenClaim::New => {}
                ClientTokenClaim::Mismatch => return Err(Code::IdempotentParameterMismatch.error()),
                ClientTokenClaim::Repeat(result) => return Ok(Launched::Before(parse_reservation(&result)?)),
            }
        }
        let ids: Vec<String> = placements.iter().map(|placement| placement.instance_id.clone()).collect();
        allowance.take(&mut tx, &demands(resolved, placements.len() as u64), &ids).await?;
        check_launch_count(&mut tx, cx, request.spot.as_ref(), placements.len() as u64).await?;
        let mut interfaces = Vec::with_capacity(placements.len());
        for _ in placements {
            interfaces.push(self.take_interfaces(&mut tx, resolved, subnet).await?);
        }
        let addresses = if resolved.interfaces.is_empty() {
            self.take_addresses(&mut tx, request, subnet, placements.len()).await?
        } else {
            interfaces.iter().filter_map(|taken| taken.first()).map(|first| first.primary).collect()
        };
        let ipv6 = if resolved.interfaces.is_empty() {
            self.take_ipv6_as_subnet(&mut tx, &subnet.id, placements.len()).await?
        } else {
            None
        };
        let mut ipv6 = ipv6.into_iter().flat_map(TakenIpv6::split);
        // Locks are taken in one order, before anything is written.
        let mut reserved: Vec<&str> = placements.iter().map(|p| p.capacity_reservation_id.as_str()).collect();
        reserved.sort_unstable();
        reserved.dedup();
        for id in reserved.into_iter().filter(|id| !id.is_empty()) {
            let id = id.parse().map_err(ApiError::internal)?;
            capacity_fetch_locked(&mut tx, &id).await.map_err(reservation_gone(&id))?;
        }
        let public = self.take_public_addresses(&mut tx, request, subnet, placements.len()).await?;
        let maker = Maker { cloud: self, cx, request, resolved, subnet, reservation: &reservation };
        let mut views = Vec::with_capacity(placements.len());
        let places = placements.iter().zip(interfaces).zip(addresses.into_iter().zip(public));
        for (index, ((placement, interfaces), (address, public))) in (0..).zip(places) {
            let place = Place { index, placement, address, public, ipv6: ipv6.next(), interfaces };
            match maker.make(&mut tx, place).await? {
                Made::Instance(view) => views.push(*view),
                Made::Full(full) => return Ok(Launched::Full(full)),
            }
        }
        if let Some(fleet) = &request.fleet {
            tx.run_later().await.map_err(group_gone)?;
            self.fleet_launched(&mut tx, fleet, placements, subnet).await?;
        }
        self.faults().point("cloud.run.before-commit").await.or_fail()?;
        tx.commit().await.map_err(group_gone)?;
        Ok(Launched::Made(reservation, views))
    }

    async fn take_addresses(
        &self,
        tx: &mut Tx,
        request: &RunRequest,
        subnet: &SubnetRow,
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

    /// One for each instance that is to have one.
    async fn take_public_addresses(
        &self,
        tx: &mut Tx,
        request: &RunRequest,
        subnet: &SubnetRow,
        count: usize,
    ) -> Result<Vec<Option<Ipv4Addr>>, ApiError> {
        if !request.public_ip.unwrap_or(subnet.map_public_ip) {
            return Ok(vec![None; count]);
        }
        let taken = public_addresses_take(tx, self.config().public_pool, count).await.map_err(no_public_address)?;
        Ok(taken.into_iter().map(Some).collect())
    }
}

/// What so many new instances take of quotas.
fn demands(resolved: &Resolved, count: u64) -> [Demand; 6] {
    let (vcpus, memory_mib) = (u64::from(resolved.size.vcpus), resolved.size.memory_mib);
    [
        (&quotas::INSTANCES, count),
        (&quotas::ACTIVE_INSTANCES, count),
        (&quotas::NETWORK_INTERFACES, count * resolved.new_interfaces()),
        (&quotas::VCPUS, count * vcpus),
        (&quotas::MEMORY, count * memory_mib),
        (&quotas::DISK, count.saturating_mul(resolved.root_disk_bytes)),
    ]
}

enum Launched {
    /// By this call: what a description would show.
    Made(ReservationId, Vec<InstanceView>),
    /// By an earlier call with the same token.
    Before(ReservationId),
    /// By none: this capacity reservation has ended or is full, by its rows.
    Full(CapacityReservationId),
}

fn parse_reservation(text: &str) -> Result<ReservationId, ApiError> {
    text.parse().map_err(ApiError::internal)
}

/// Gives an interface a public address of the cloud's pool.
pub(crate) async fn take_public_address(cloud: &Cloud, tx: &mut Tx, interface: &InterfaceRow) -> Result<(), ApiError> {
    let taken = public_address_take(tx, cloud.config().public_pool, &interface.id, &interface.account_id).await;
    taken.map(drop).map_err(no_public_address)
}

fn no_public_address(error: StoreError) -> ApiError {
    match error {
        StoreError::Exhausted { .. } => {
            Code::InsufficientAddressCapacity.message("Insufficient capacity of public addresses.")
        }
        other => store_failure(other),
    }
}

/// The names of the default group, for launches that name none.
pub(crate) const FALLBACK_GROUP: &str = groups::DEFAULT_GROUP;

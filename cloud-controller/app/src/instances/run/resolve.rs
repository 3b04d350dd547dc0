//! From names and ids of a launch to what they stand for; every refusal of a launch that needs no capacity.

use super::interfaces::ResolvedInterface;
use super::{FALLBACK_GROUP, RunRequest};
use crate::capacity::check_wish;
use crate::fail::OrFail as _;
use crate::groups::GroupRef;
use crate::{Cloud, OpContext, tags};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    AddressRange, GroupMembership, ImageFilter, ImageRef, ImageState, InstanceProfileRow, SubnetRow, VpcRow,
    image_list, key_pair_by_name, subnet_default,
};
use mallee_types::instance_type::InstanceType;
use mallee_types::limits::{GROUPS_PER_INTERFACE_MAX, RUN_INSTANCES_COUNT_MAX, USER_DATA_BYTES_MAX};
use mallee_types::{GroupId, SubnetId, VpcId, ZoneName};
use std::net::Ipv4Addr;

const GIB: u64 = 1 << 30;

/// A launch with everything looked up.
#[derive(Debug)]
pub(super) struct Resolved {
    pub size: InstanceType,
    pub image: ImageRef,
    pub architecture: String,
    pub root_device_name: String,
    pub root_disk_bytes: u64,
    pub public_openssh: Option<String>,
    /// Id and name, by id.
    pub groups: Vec<(GroupId, String)>,
    /// The placement group; without a partition of its own if any will do.
    pub group: Option<GroupMembership>,
    pub profile: Option<InstanceProfileRow>,
    /// Where it may go, best first: one if the caller named a subnet or zone. All of one VPC.
    pub subnets: Vec<SubnetRow>,
    /// That VPC.
    pub vpc: VpcRow,
    /// Its network interfaces, if the request says more of them than of one plain new one; by device index.
    pub interfaces: Vec<ResolvedInterface>,
}

fn check_counts(request: &RunRequest) -> Result<(), ApiError> {
    let (min, max) = (request.min_count, request.max_count);
    let invalid = |name: &str, value: u32, why: &str| {
        Err(Code::InvalidParameterValue.message(format!("Value ({value}) for parameter {name} is invalid. {why}")))
    };
    if min == 0 {
        return invalid("minCount", min, "Minimum value is 1.");
    }
    if max < min {
        return invalid("maxCount", max, "It must not be less than minCount.");
    }
    if max > RUN_INSTANCES_COUNT_MAX {
        return Err(Code::InstanceLimitExceeded.with(&[&max.to_string(), &RUN_INSTANCES_COUNT_MAX.to_string()]));
    }
    if request.private_ip.is_some() && max > 1 {
        return Err(ApiError::invalid_combination(
            "The parameter PrivateIpAddress cannot be used when launching more than one instance.",
        ));
    }
    Ok(())
}

impl RunRequest {
    /// Refuses what cannot be asked for together, whatever there is.
    ///
    /// # Errors
    /// `InvalidParameterCombination`, as AWS has it: spot instances on dedicated hosts or in capacity reservations,
    /// or protected from termination; capacity reservations on dedicated hosts.
    pub fn check_combination(&self) -> Result<(), ApiError> {
        let is_spot = self.spot.is_some();
        if is_spot && self.tenancy == "host" {
            return Err(ApiError::invalid_combination("The 'host' tenancy is not supported for Spot Instances."));
        }
        if is_spot && self.disable_api_termination {
            return Err(ApiError::invalid_combination("You can't enable termination protection for Spot Instances."));
        }
        check_wish(is_spot, &self.tenancy, self.capacity_preference.as_deref(), self.capacity_target.as_ref())
    }
}

fn fits(subnet: &SubnetRow, address: Ipv4Addr) -> bool {
    AddressRange::of_subnet(subnet.cidr).is_some_and(|range| range.contains(address))
}

fn not_in_subnet(address: Ipv4Addr) -> ApiError {
    Code::InvalidParameterValue.message(format!("Address {address} does not fall within the subnet's address range"))
}

impl Cloud {
    pub(super) async fn resolve(&self, cx: &OpContext, request: &RunRequest) -> Result<Resolved, ApiError> {
        check_counts(request)?;
        request.check_combination()?;
        tags::validate(&request.instance_tags)?;
        tags::validate(&request.interface_tags)?;
        let size = self.size_named(&request.instance_type).await?;
        if request.core_count.is_some_and(|cores| cores != size.vcpus) {
            return Err(ApiError::unsupported_parameter("CpuOptions.CoreCount"));
        }
        if request.user_data.as_ref().is_some_and(|data| data.len() > USER_DATA_BYTES_MAX) {
            return Err(Code::InvalidParameterValue.message("User data is limited to 16384 bytes"));
        }
        let image = self.launchable_image(cx, request).await?;
        let public_openssh = match &request.key_name {
            None => None,
            Some(name) => {
                let key = key_pair_by_name(self.store(), cx.account(), name).await.or_fail()?;
                let key =
                    key.ok_or_else(|| Code::InvalidKeyPairNotFound.with(&[&mallee_awswire::texts::clip(name)]))?;
                Some(key.public_openssh)
            }
        };
        let profile = match &request.profile {
            None => None,
            Some(wanted) => Some(wanted.find(self.store(), cx.account()).await?),
        };
        let mut interfaces = self.resolve_interfaces(cx, request, &size).await?;
        let first = interfaces.iter().find(|interface| interface.device_index == 0);
        let there = first.and_then(|first| first.existing.as_ref()).map(|row| &row.subnet_id);
        let subnets = self.candidate_subnets(cx, request, there).await?;
        let subnets = Self::subnets_of_interfaces(subnets, &interfaces)?;
        let subnet = subnets.first().ok_or_else(|| ApiError::internal("a launch without a subnet"))?;
        let vpc = self.find_vpc(cx, subnet.vpc_id.as_str()).await?;
        let groups = match interfaces.iter().find(|interface| interface.device_index == 0) {
            Some(ResolvedInterface { existing: Some(_), groups, .. }) => groups.clone(),
            _ => self.launch_groups(cx, request, subnet).await?,
        };
        self.resolve_interface_groups(cx, request, &mut interfaces, subnet).await?;
        let group = self.wished_group(cx, &request.group).await?;
        let subnets = match &group {
            Some(group) => self.subnets_of_group(group, &subnets).await?,
            None => subnets,
        };
        let subnets = match &request.capacity_target {
            Some(target) => {
                let reservation = self.find_capacity_reservation(cx, target.as_str()).await?;
                let there: Vec<SubnetRow> =
                    subnets.iter().filter(|subnet| subnet.zone == reservation.zone).cloned().collect();
                // In another zone than was asked for: what fits not is named when it is tried.
                if there.is_empty() { subnets } else { there }
            }
            None => subnets,
        };
        let subnets = match &request.host.id {
            Some(id) => {
                let host = self.find_host(cx, id.as_str()).await?;
                let there: Vec<SubnetRow> = subnets.iter().filter(|subnet| subnet.zone == host.zone).cloned().collect();
                if there.is_empty() {
                    return Err(Code::InvalidParameterValue.message(format!(
                        "The dedicated host {id} is in {}, and the launch is to go elsewhere.",
                        host.zone
                    )));
                }
                there
            }
            None => subnets,
        };
        let virtual_size = image.virtual_size_bytes.unwrap_or_default();
        Ok(Resolved {
            size,
            root_disk_bytes: (size.root_disk_gib * GIB).max(virtual_size),
            image: ImageRef {
                digest: image.digest.unwrap_or_default(),
                format: image.format.unwrap_or_default(),
                size_bytes: image.size_bytes.unwrap_or_default(),
                virtual_size_bytes: virtual_size,
            },
            architecture: image.architecture,
            root_device_name: image.root_device_name,
            public_openssh,
            groups,
            group,
            profile,
            subnets,
            vpc,
            interfaces,
        })
    }

    async fn launchable_image(&self, cx: &OpContext, request: &RunRequest) -> Result<mallee_store::ImageRow, ApiError> {
        let filter = ImageFilter {
            visible_to: Some(cx.account()),
            ids: Some(std::slice::from_ref(&request.image)),
            ..Default::default()
        };
        let image = image_list(self.store(), filter, 1).await.or_fail()?.pop();
        let image = image.ok_or_else(|| Code::InvalidAmiIdNotFound.with(&[request.image.as_str()]))?;
        match image.state {
            ImageState::Available if image.disabled => {
                Err(Code::InvalidAmiIdUnavailable.message(format!("The image ID '{}' is disabled", request.image)))
            }
            ImageState::Available => Ok(image),
            ImageState::Pending => Err(Code::InvalidAmiIdUnavailable
                .message(format!("The image ID '{}' is still being imported: its state is pending", request.image))),
            ImageState::Failed => Err(Code::InvalidAmiIdUnavailable.message(format!(
                "The image ID '{}' is not available: {}",
                request.image,
                image.state_reason.unwrap_or_default()
            ))),
            ImageState::Deregistered => Err(Code::InvalidAmiIdUnavailable.with(&[request.image.as_str()])),
        }
    }

    /// Where a launch may go. `there`: where its first interface is already.
    async fn candidate_subnets(
        &self,
        cx: &OpContext,
        request: &RunRequest,
        there: Option<&SubnetId>,
    ) -> Result<Vec<SubnetRow>, ApiError> {
        let zone = request.zone.as_deref().map(|name| self.known_zone(name)).transpose()?;
        if let Some(id) = there.map(AsRef::as_ref).or(request.subnet.as_deref()) {
            let subnet = self.find_subnet(cx, id).await?;
            if zone.as_ref().is_some_and(|zone| *zone != subnet.zone) {
                return Err(Code::InvalidParameterValue.message(format!(
                    "The availability zone of the specified subnet is '{}', not '{}'.",
                    subnet.zone,
                    request.zone.as_deref().unwrap_or_default()
                )));
            }
            if let Some(address) = request.private_ip
                && !fits(&subnet, address)
            {
                return Err(not_in_subnet(address));
            }
            return Ok(vec![subnet]);
        }
        if let Some(zone) = &zone {
            return Ok(vec![self.require_default_subnet(cx, zone).await?]);
        }
        let vpc = self.require_default_vpc(cx).await?;
        let mut subnets = Vec::new();
        for zone in self.zones() {
            subnets.extend(subnet_default(self.store(), cx.account(), zone).await.or_fail()?);
        }
        if subnets.is_empty() {
            return Err(Code::MissingInput
                .message(format!("No subnets found for the default VPC '{}'. Please specify a subnet.", vpc.id)));
        }
        if let Some(address) = request.private_ip {
            subnets.retain(|subnet| fits(subnet, address));
            if subnets.is_empty() {
                return Err(not_in_subnet(address));
            }
        }
        Ok(subnets)
    }

    /// A zone by its name.
    ///
    /// # Errors
    /// `InvalidParameterValue` in EC2's words.
    pub fn known_zone(&self, name: &str) -> Result<ZoneName, ApiError> {
        self.zones().iter().find(|zone| zone.as_str() == name).cloned().ok_or_else(|| {
            let known: Vec<&str> = self.zones().iter().map(AsRef::as_ref).collect();
            Code::InvalidParameterValue.message(format!(
                "Invalid availability zone: [{}]. The zones are: {}",
                mallee_awswire::texts::clip(name),
                known.join(", ")
            ))
        })
    }

    async fn launch_groups(
        &self,
        cx: &OpContext,
        request: &RunRequest,
        subnet: &SubnetRow,
    ) -> Result<Vec<(GroupId, String)>, ApiError> {
        let vpc = &subnet.vpc_id;
        if !request.group_ids.is_empty() && !request.group_names.is_empty() {
            return Err(ApiError::invalid_combination(
                "The parameter groupName cannot be used with the parameter securityGroupIds",
            ));
        }
        if request.subnet.is_some() && !request.group_names.is_empty() {
            return Err(ApiError::invalid_combination(
                "The parameter groupName cannot be used with the parameter subnet",
            ));
        }
        let ids = request.group_ids.iter().map(|id| GroupRef::Id(id));
        let wanted: Vec<GroupRef<'_>> =
            ids.chain(request.group_names.iter().map(|name| GroupRef::Name(name))).collect();
        if wanted.is_empty() {
            return Ok(vec![self.group_by_name_in(cx, vpc, FALLBACK_GROUP).await?]);
        }
        self.groups_beside(cx, &wanted, subnet).await
    }

    /// The groups that an interface in this subnet is to have: of its VPC, and not too many.
    pub(super) async fn groups_beside(
        &self,
        cx: &OpContext,
        wanted: &[GroupRef<'_>],
        subnet: &SubnetRow,
    ) -> Result<Vec<(GroupId, String)>, ApiError> {
        if wanted.len() > GROUPS_PER_INTERFACE_MAX {
            return Err(Code::SecurityGroupsPerInterfaceLimitExceeded.error());
        }
        let mut groups = Vec::new();
        for reference in wanted {
            let group = self.find_group(cx, reference).await?;
            if group.vpc_id != subnet.vpc_id {
                return Err(Code::InvalidParameter.message(format!(
                    "Security group {} and subnet {} belong to different networks.",
                    group.id, subnet.id
                )));
            }
            groups.push((group.id, group.name));
        }
        groups.sort_unstable();
        groups.dedup();
        Ok(groups)
    }

    async fn group_by_name_in(&self, cx: &OpContext, vpc: &VpcId, name: &str) -> Result<(GroupId, String), ApiError> {
        let names = [name.to_owned()];
        let filter = mallee_store::SecurityGroupFilter {
            names: Some(&names),
            vpcs: Some(std::slice::from_ref(vpc)),
            ..Default::default()
        };
        let found = mallee_store::security_group_list(self.store(), cx.account(), filter, 1).await.or_fail()?.pop();
        found.map(|group| (group.id, group.name)).ok_or_else(|| Code::InvalidGroupNotFound.with(&[name]))
    }
}

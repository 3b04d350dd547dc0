//! An override of a fleet, taken apart: what it says of the launch, as parameters of RunInstances, and what it says to
//! the fleet.

use crate::Ec2Api;
use crate::common::refuse;
use crate::instance_types::requirement;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::{
    FleetIamInstanceProfileSpecificationRequest, FleetInstanceMetadataOptionsRequest,
    FleetLaunchTemplateOverridesRequest, InstanceRequirementsRequest, Placement,
};
use mallee_store::FleetKind;
use mallee_types::ZoneName;
use mallee_types::instance_type::InstanceType;

/// What an override says.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// To the launch, besides type and place.
    pub launch: Vec<(String, String)>,
    pub instance_type: Option<String>,
    pub requirements: Option<InstanceRequirementsRequest>,
    pub subnets: Vec<String>,
    pub zone: Option<ZoneName>,
    /// In thousandths of a unit.
    pub weight: Option<u64>,
    /// In thousandths.
    pub priority: Option<u64>,
}

/// Types with these attributes, by name.
pub(super) fn requirements(
    wanted: InstanceRequirementsRequest,
    sizes: &[InstanceType],
) -> Result<Vec<InstanceType>, ApiError> {
    let fits = requirement(wanted)?;
    let mut out = Vec::new();
    for size in sizes {
        if fits(size)? {
            out.push(*size);
        }
    }
    out.sort_by_key(|size| size.name);
    Ok(out)
}

/// A number of the wire in thousandths.
fn thousandths(name: &str, value: Option<f64>) -> Result<Option<u64>, ApiError> {
    const MAX: f64 = 1_000_000.0;
    let Some(value) = value else { return Ok(None) };
    if !(0.0..=MAX).contains(&value) {
        return Err(ApiError::invalid_value(name, &value.to_string(), "Valid values are 0 to 1000000."));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 10^9")]
    Ok(Some((value * 1000.0).round() as u64))
}

impl Ec2Api {
    /// A zone by its name or id.
    pub(super) fn zone_of(&self, name: Option<String>, id: Option<String>) -> Result<Option<ZoneName>, ApiError> {
        let look = self.look();
        let (given, found) = match (name, id) {
            (Some(_), Some(_)) => {
                return Err(ApiError::invalid_combination(
                    "The parameter AvailabilityZoneId cannot be used with the parameter AvailabilityZone",
                ));
            }
            (None, None) => return Ok(None),
            (Some(name), None) => {
                let found = look.zones.iter().find(|zone| zone.as_str() == name).cloned();
                (name, found)
            }
            (None, Some(id)) => {
                let found = look.zones.iter().find(|zone| look.zone_id(zone).as_ref() == Some(&id)).cloned();
                (id, found)
            }
        };
        found.map(Some).ok_or_else(|| {
            Code::InvalidParameterValue
                .message(format!("Invalid availability zone: [{}]", mallee_awswire::texts::clip(&given)))
        })
    }

    /// An override, part by part.
    pub(super) fn parts(&self, over: FleetLaunchTemplateOverridesRequest, kind: FleetKind) -> Result<Parts, ApiError> {
        let FleetLaunchTemplateOverridesRequest {
            availability_zone,
            availability_zone_id,
            block_device_mappings,
            iam_instance_profile: profile,
            image_id,
            instance_requirements,
            instance_type,
            key_name,
            max_price,
            metadata_options: metadata,
            placement,
            priority,
            subnet_id,
            weighted_capacity,
        } = over;
        // As of the launch itself.
        refuse("Overrides.BlockDeviceMapping", !block_device_mappings.is_empty())?;
        if instance_type.is_some() && instance_requirements.is_some() {
            return Err(ApiError::invalid_combination(
                "The parameter InstanceRequirements cannot be used with the parameter InstanceType",
            ));
        }
        let only_instant = [
            ("KeyName", key_name.is_some()),
            ("IamInstanceProfile", profile.is_some()),
            ("MetadataOptions", metadata.is_some()),
        ];
        if let Some((name, _)) = only_instant.iter().find(|(_, given)| *given && kind != FleetKind::Instant) {
            return Err(Code::InvalidFleetConfig
                .message(format!("Overrides.{name} is supported only for fleets of type instant")));
        }
        let mut launch = Vec::new();
        let mut say = |name: &str, value: Option<String>| {
            launch.extend(value.map(|value| (name.to_owned(), value)));
        };
        say("ImageId", image_id);
        say("KeyName", key_name);
        say(super::candidates::MAX_PRICE, max_price);
        let FleetIamInstanceProfileSpecificationRequest { arn, name } = profile.unwrap_or_default();
        say("IamInstanceProfile.Arn", arn);
        say("IamInstanceProfile.Name", name);
        let FleetInstanceMetadataOptionsRequest { http_endpoint, http_put_response_hop_limit, http_tokens } =
            metadata.unwrap_or_default();
        say("MetadataOptions.HttpEndpoint", http_endpoint);
        say("MetadataOptions.HttpTokens", http_tokens);
        say("MetadataOptions.HttpPutResponseHopLimit", http_put_response_hop_limit.map(|hops| hops.to_string()));
        let Placement {
            affinity,
            availability_zone: placed_zone,
            availability_zone_id: placed_zone_id,
            group_id,
            group_name,
            host_id,
            host_resource_group_arn,
            partition_number,
            spread_domain,
            tenancy,
        } = placement.unwrap_or_default();
        say("Placement.Affinity", affinity);
        say("Placement.GroupId", group_id);
        say("Placement.GroupName", group_name);
        say("Placement.HostId", host_id);
        say("Placement.HostResourceGroupArn", host_resource_group_arn);
        say("Placement.PartitionNumber", partition_number.map(|number| number.to_string()));
        say("Placement.SpreadDomain", spread_domain);
        say("Placement.Tenancy", tenancy);
        let zone = self.zone_of(availability_zone, availability_zone_id)?;
        let placed = self.zone_of(placed_zone, placed_zone_id)?;
        if zone.is_some() && placed.is_some() && zone != placed {
            return Err(ApiError::invalid_combination(
                "The Availability Zone of an override and that of its placement differ",
            ));
        }
        let subnets = subnet_id.as_deref().unwrap_or_default().split(',').map(str::trim);
        Ok(Parts {
            launch,
            instance_type,
            requirements: instance_requirements,
            subnets: subnets.filter(|id| !id.is_empty()).map(str::to_owned).collect(),
            zone: zone.or(placed),
            weight: thousandths("WeightedCapacity", weighted_capacity)?,
            priority: thousandths("Priority", priority)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_fractions() {
        assert_eq!(thousandths("x", Some(2.5)).unwrap(), Some(2_500));
        assert_eq!(thousandths("x", None).unwrap(), None);
        for wrong in [-1.0, f64::NAN, f64::INFINITY, 2e6] {
            assert!(thousandths("x", Some(wrong)).is_err(), "{wrong}");
        }
    }
}

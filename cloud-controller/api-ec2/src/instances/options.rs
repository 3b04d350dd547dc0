//! The nested options of a launch: honoured where this cloud can, accepted where they say what it does anyway,
//! refused by name otherwise.

use crate::common::{Look, choice, only, refuse};
use crate::placement_groups::partition;
use mallee_app::capacity::HostWish;
use mallee_app::instances::modify::MetadataChange;
use mallee_app::placement_groups::GroupWish;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::*;
use mallee_store::{CpuCredits, MetadataOptions};
use mallee_types::instance_type::InstanceType;

/// Hops a token reply takes unless the launch says otherwise: containers in the guest reach the service too.
const HOP_LIMIT: u32 = 2;
/// The most hops EC2 knows.
const HOP_LIMIT_MAX: u32 = 64;

/// The metadata service's options; sessions are required unless the launch says otherwise.
pub(super) fn metadata(
    options: Option<InstanceMetadataOptionsRequest>,
    defaults: MetadataChange,
) -> Result<MetadataOptions, ApiError> {
    let InstanceMetadataOptionsRequest {
        http_endpoint,
        http_protocol_ipv6,
        http_put_response_hop_limit,
        http_tokens,
        instance_metadata_tags,
    } = options.unwrap_or_default();
    let switch = [("enabled", true), ("disabled", false)];
    only("MetadataOptions.HttpProtocolIpv6", http_protocol_ipv6.as_deref(), &["disabled"])?;
    let hops = http_put_response_hop_limit.map(|n| hop_limit("MetadataOptions.HttpPutResponseHopLimit", n));
    // What the launch leaves open is as the account says, then as this cloud does.
    let MetadataChange { enabled, tokens_required, hop_limit, tags } = defaults;
    let tokens = [("required", true), ("optional", false)];
    Ok(MetadataOptions {
        enabled: choice("MetadataOptions.HttpEndpoint", http_endpoint.as_deref(), &switch)?.or(enabled).unwrap_or(true),
        tokens_required: choice("MetadataOptions.HttpTokens", http_tokens.as_deref(), &tokens)?
            .or(tokens_required)
            .unwrap_or(true),
        hop_limit: hops.transpose()?.or(hop_limit).unwrap_or(HOP_LIMIT),
        tags: choice("MetadataOptions.InstanceMetadataTags", instance_metadata_tags.as_deref(), &switch)?
            .or(tags)
            .unwrap_or(false),
    })
}

/// A number of hops a token reply may take.
pub(super) fn hop_limit(parameter: &str, hops: i32) -> Result<u32, ApiError> {
    u32::try_from(hops).ok().filter(|n| (1..=HOP_LIMIT_MAX).contains(n)).ok_or_else(|| {
        let why = format!("Valid values are integers from 1 to {HOP_LIMIT_MAX}.");
        ApiError::invalid_value(parameter, &hops.to_string(), &why)
    })
}

/// Where a launch is to go.
#[derive(Debug)]
pub(super) struct Whereabouts {
    /// The zone, if it names one.
    pub zone: Option<String>,
    /// The placement group.
    pub group: GroupWish,
    /// `default`, `dedicated` or `host`.
    pub tenancy: String,
    /// With the tenancy `host`: the host.
    pub host: HostWish,
}

/// Where a launch is to go.
pub(super) fn placement(placement: Option<Placement>, look: Look<'_>) -> Result<Whereabouts, ApiError> {
    let Placement {
        affinity,
        availability_zone,
        availability_zone_id,
        group_id,
        group_name,
        host_id,
        host_resource_group_arn,
        partition_number,
        spread_domain,
        tenancy,
    } = placement.unwrap_or_default();
    let host_id = host_id.filter(|id| !id.is_empty());
    let (tenancy, host) = crate::hosts::tenancy(tenancy.as_deref(), host_id.as_deref(), affinity.as_deref())?;
    let said = |text: Option<String>| text.is_some_and(|text| !text.is_empty());
    refuse("Placement.HostResourceGroupArn", said(host_resource_group_arn))?;
    refuse("Placement.SpreadDomain", said(spread_domain))?;
    let group = GroupWish { id: group_id, name: group_name, partition: partition(partition_number)? };
    // Terraform sends an empty name where none is wanted.
    let availability_zone = availability_zone.filter(|name| !name.is_empty());
    let availability_zone_id = availability_zone_id.filter(|id| !id.is_empty());
    let Some(id) = availability_zone_id else {
        return Ok(Whereabouts { zone: availability_zone, group, tenancy, host });
    };
    if availability_zone.is_some() {
        return Err(ApiError::invalid_combination(
            "The parameter AvailabilityZoneId cannot be used with the parameter AvailabilityZone",
        ));
    }
    let zone = look.zones.iter().find(|zone| look.zone_id(zone).as_ref() == Some(&id));
    zone.map(|zone| Whereabouts { zone: Some(zone.to_string()), group, tenancy, host }).ok_or_else(|| {
        Code::InvalidParameterValue
            .message(format!("Invalid availability zone-id: [{}]", mallee_awswire::texts::clip(&id)))
    })
}

/// CPU options: only those that are the type's own. The cores, if they are said: whether they are the type's is seen
/// where it is known how the administrator has set it.
pub(super) fn cpu(options: Option<CpuOptionsRequest>) -> Result<Option<u32>, ApiError> {
    let CpuOptionsRequest { amd_sev_snp, core_count, nested_virtualization, threads_per_core } =
        options.unwrap_or_default();
    only("CpuOptions.AmdSevSnp", amd_sev_snp.as_deref(), &["disabled"])?;
    only("CpuOptions.NestedVirtualization", nested_virtualization.as_deref(), &["disabled"])?;
    refuse("CpuOptions.ThreadsPerCore", threads_per_core.is_some_and(|threads| threads != 1))?;
    let cores = core_count.map(u32::try_from).transpose();
    cores.map_err(|_| ApiError::unsupported_parameter("CpuOptions.CoreCount"))
}

/// What a burstable type is to do when its CPU credits are used up. A type that does not exist is refused later.
pub(super) fn credits(
    options: Option<CreditSpecificationRequest>,
    size: Option<&InstanceType>,
) -> Result<Option<CpuCredits>, ApiError> {
    let CreditSpecificationRequest { cpu_credits } = options.unwrap_or_default();
    let credits = choice("CreditSpecification.CpuCredits", cpu_credits.as_deref(), &super::credits::WORDS)?;
    match size {
        Some(size) if credits.is_some() && !size.burstable => Err(Code::InvalidParameterCombination.message(format!(
            "The parameter CreditSpecification is for burstable performance instances; {} is none.",
            size.name
        ))),
        _ => Ok(credits),
    }
}

/// Options that this cloud knows one setting of.
#[derive(Debug, Default)]
pub(super) struct Fixed {
    pub dns: Option<PrivateDnsNameOptionsRequest>,
    pub enclave: Option<EnclaveOptionsRequest>,
    pub hibernation: Option<HibernationOptionsRequest>,
    pub maintenance: Option<InstanceMaintenanceOptionsRequest>,
    pub performance: Option<InstanceNetworkPerformanceOptionsRequest>,
}

/// Accepts those options that ask for what is so anyway.
pub(super) fn fixed(options: Fixed) -> Result<(), ApiError> {
    let Fixed { dns, enclave, hibernation, maintenance, performance } = options;
    let PrivateDnsNameOptionsRequest {
        enable_resource_name_dns_aaaa_record,
        enable_resource_name_dns_a_record,
        hostname_type,
    } = dns.unwrap_or_default();
    let record = "PrivateDnsNameOptions.EnableResourceNameDnsARecord";
    refuse(record, enable_resource_name_dns_a_record == Some(true))?;
    let record = "PrivateDnsNameOptions.EnableResourceNameDnsAAAARecord";
    refuse(record, enable_resource_name_dns_aaaa_record == Some(true))?;
    only("PrivateDnsNameOptions.HostnameType", hostname_type.as_deref(), &["ip-name"])?;
    let EnclaveOptionsRequest { enabled } = enclave.unwrap_or_default();
    refuse("EnclaveOptions.Enabled", enabled == Some(true))?;
    let HibernationOptionsRequest { configured } = hibernation.unwrap_or_default();
    refuse("HibernationOptions.Configured", configured == Some(true))?;
    let InstanceMaintenanceOptionsRequest { auto_recovery } = maintenance.unwrap_or_default();
    only("MaintenanceOptions.AutoRecovery", auto_recovery.as_deref(), &["default"])?;
    let InstanceNetworkPerformanceOptionsRequest { bandwidth_weighting } = performance.unwrap_or_default();
    only("NetworkPerformanceOptions.BandwidthWeighting", bandwidth_weighting.as_deref(), &["default"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_types::instance_type::instance_type;

    #[test]
    fn sessions_are_required_unless_the_launch_says_otherwise() {
        let metadata = |options| metadata(options, MetadataChange::default());
        let defaults = metadata(None).unwrap();
        assert_eq!(defaults, MetadataOptions { enabled: true, tokens_required: true, hop_limit: 2, tags: false });
        let asked = InstanceMetadataOptionsRequest {
            http_tokens: Some("optional".into()),
            http_put_response_hop_limit: Some(64),
            instance_metadata_tags: Some("enabled".into()),
            ..Default::default()
        };
        assert_eq!(
            metadata(Some(asked)).unwrap(),
            MetadataOptions { enabled: true, tokens_required: false, hop_limit: 64, tags: true }
        );
        for hops in [-1, 0, 65] {
            let asked =
                InstanceMetadataOptionsRequest { http_put_response_hop_limit: Some(hops), ..Default::default() };
            assert_eq!(metadata(Some(asked)).unwrap_err().code(), Code::InvalidParameterValue, "{hops}");
        }
        let asked = InstanceMetadataOptionsRequest { http_tokens: Some("maybe".into()), ..Default::default() };
        assert!(metadata(Some(asked)).is_err());
    }

    #[test]
    fn a_zone_is_named_or_numbered() {
        let zones = vec!["zone-a".parse().unwrap(), "zone-b".parse().unwrap()];
        let look = Look { region: "eu-1", zones: &zones };
        let by_id = Placement { availability_zone_id: Some("mal1-az2".into()), ..Default::default() };
        assert_eq!(placement(Some(by_id), look).unwrap().zone.as_deref(), Some("zone-b"));
        let wrong = Placement { availability_zone_id: Some("use1-az2".into()), ..Default::default() };
        assert!(placement(Some(wrong), look).is_err());
        let dedicated = Placement { tenancy: Some("dedicated".into()), ..Default::default() };
        assert_eq!(placement(Some(dedicated), look).unwrap().tenancy, "dedicated");
        let usual =
            Placement { tenancy: Some("default".into()), group_name: Some(String::new()), ..Default::default() };
        assert_eq!(placement(Some(usual), look).unwrap().zone, None);
        let group = Placement { group_name: Some("pack".into()), ..Default::default() };
        assert_eq!(placement(Some(group), look).unwrap().group.name.as_deref(), Some("pack"));
        let none = Placement { partition_number: Some(0), ..Default::default() };
        assert!(placement(Some(none), look).unwrap_err().message().contains("partitionNumber"));
    }

    #[test]
    fn what_terraform_always_sends_is_accepted() {
        let sent = Fixed {
            enclave: Some(EnclaveOptionsRequest { enabled: Some(false) }),
            hibernation: Some(HibernationOptionsRequest { configured: Some(false) }),
            ..Default::default()
        };
        assert!(fixed(sent).is_ok());
        let nowhere = Placement { availability_zone: Some(String::new()), ..Default::default() };
        assert_eq!(placement(Some(nowhere), Look { region: "eu-1", zones: &[] }).unwrap().zone, None);
        let hibernate =
            Fixed { hibernation: Some(HibernationOptionsRequest { configured: Some(true) }), ..Default::default() };
        assert!(fixed(hibernate).is_err());
    }

    #[test]
    fn credits_are_for_burstable_types() {
        let asked = |word: &str| Some(CreditSpecificationRequest { cpu_credits: Some(word.into()) });
        let (nano, large) = (instance_type("t3.nano"), instance_type("m5.large"));
        assert_eq!(credits(asked("unlimited"), nano).unwrap(), Some(CpuCredits::Unlimited));
        assert_eq!(credits(None, large).unwrap(), None);
        assert_eq!(credits(asked("standard"), large).unwrap_err().code(), Code::InvalidParameterCombination);
        assert_eq!(credits(asked("much"), nano).unwrap_err().code(), Code::InvalidParameterValue);
    }

    #[test]
    fn cpu_options_are_the_types_own() {
        let own = CpuOptionsRequest { core_count: Some(2), threads_per_core: Some(1), ..Default::default() };
        assert_eq!((cpu(Some(own)).unwrap(), cpu(None).unwrap()), (Some(2), None));
        let twice = CpuOptionsRequest { threads_per_core: Some(2), ..Default::default() };
        assert!(cpu(Some(twice)).unwrap_err().message().contains("CpuOptions.ThreadsPerCore"));
        let none = CpuOptionsRequest { core_count: Some(-1), ..Default::default() };
        assert!(cpu(Some(none)).unwrap_err().message().contains("CpuOptions.CoreCount"));
    }
}

//! What is the same for everyone: regions, zones, instance types and their offerings, account attributes.

use crate::Ec2Api;
use crate::common::{dry_run, filters, page, values_of};
use crate::filter::Filterable;
use crate::ipv6::Ipv6;
use mallee_app::OpContext;
use mallee_app::quotas::table as quotas;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::*;
use mallee_types::ZoneName;
use mallee_types::instance_type::{INSTANCE_TYPES, InstanceType};

/// AWS's letters for zone ids are the region's short name; ours is fixed.
const ZONE_ID_PREFIX: &str = mallee_app::ZONE_ID_PREFIX;
/// The account attributes this cloud knows (EC2 user guide, DescribeAccountAttributes).
const ACCOUNT_ATTRIBUTES: [&str; 6] = [
    "supported-platforms",
    "default-vpc",
    "max-instances",
    "vpc-max-security-groups-per-interface",
    "max-elastic-ips",
    "vpc-max-elastic-ips",
];

/// The zone's id: the same physical zone has the same id for every account.
pub(crate) fn zone_id(position: usize) -> String {
    format!("{ZONE_ID_PREFIX}{}", position + 1)
}

impl Filterable for Region {
    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "region-name" => values_of(&self.region_name),
            "endpoint" => values_of(&self.endpoint),
            "opt-in-status" => values_of(&self.opt_in_status),
            _ => Vec::new(),
        }
    }
}

impl Filterable for AvailabilityZone {
    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "zone-name" => values_of(&self.zone_name),
            "zone-id" => values_of(&self.zone_id),
            "zone-type" => values_of(&self.zone_type),
            "state" => values_of(&self.state),
            "region-name" => values_of(&self.region_name),
            "group-name" => values_of(&self.group_name),
            "opt-in-status" => values_of(&self.opt_in_status),
            "message" => self.messages.iter().filter_map(|m| m.message.clone()).collect(),
            _ => Vec::new(),
        }
    }
}

impl Filterable for InstanceTypeOffering {
    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "instance-type" => values_of(&self.instance_type),
            "location" => values_of(&self.location),
            _ => Vec::new(),
        }
    }
}

impl Filterable for InstanceTypeInfo {
    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "instance-type" => values_of(&self.instance_type),
            "current-generation" => values_of(&self.current_generation),
            "burstable-performance-supported" => values_of(&self.burstable_performance_supported),
            "bare-metal" => values_of(&self.bare_metal),
            "free-tier-eligible" => values_of(&self.free_tier_eligible),
            "hypervisor" => values_of(&self.hypervisor),
            "instance-storage-supported" => values_of(&self.instance_storage_supported),
            "hibernation-supported" => values_of(&self.hibernation_supported),
            "auto-recovery-supported" => values_of(&self.auto_recovery_supported),
            "dedicated-hosts-supported" => values_of(&self.dedicated_hosts_supported),
            "supported-root-device-type" => self.supported_root_device_types.clone(),
            "supported-usage-class" => self.supported_usage_classes.clone(),
            "supported-virtualization-type" => self.supported_virtualization_types.clone(),
            "supported-boot-mode" => self.supported_boot_modes.clone(),
            "processor-info.supported-architecture" => {
                self.processor_info.iter().flat_map(|p| p.supported_architectures.clone()).collect()
            }
            "vcpu-info.default-vcpus" => self.v_cpu_info.iter().flat_map(|v| values_of(&v.default_v_cpus)).collect(),
            "vcpu-info.default-cores" => self.v_cpu_info.iter().flat_map(|v| values_of(&v.default_cores)).collect(),
            "vcpu-info.default-threads-per-core" => {
                self.v_cpu_info.iter().flat_map(|v| values_of(&v.default_threads_per_core)).collect()
            }
            "memory-info.size-in-mib" => self.memory_info.iter().flat_map(|m| values_of(&m.size_in_mi_b)).collect(),
            "network-info.maximum-network-interfaces" => {
                self.network_info.iter().flat_map(|n| values_of(&n.maximum_network_interfaces)).collect()
            }
            "placement-group-info.supported-strategies" => {
                self.placement_group_info.iter().flat_map(|info| info.supported_strategies.clone()).collect()
            }
            "ebs-info.ebs-optimized-support" => {
                self.ebs_info.iter().flat_map(|ebs| values_of(&ebs.ebs_optimized_support)).collect()
            }
            "ebs-info.encryption-support" => {
                self.ebs_info.iter().flat_map(|ebs| values_of(&ebs.encryption_support)).collect()
            }
            "ebs-info.nvme-support" => self.ebs_info.iter().flat_map(|ebs| values_of(&ebs.nvme_support)).collect(),
            _ => Vec::new(),
        }
    }
}

const TYPE_FILTERS: [&str; 24] = [
    "instance-type",
    "current-generation",
    "burstable-performance-supported",
    "bare-metal",
    "free-tier-eligible",
    "hypervisor",
    "instance-storage-supported",
    "hibernation-supported",
    "auto-recovery-supported",
    "dedicated-hosts-supported",
    "supported-root-device-type",
    "supported-usage-class",
    "supported-virtualization-type",
    "supported-boot-mode",
    "processor-info.supported-architecture",
    "vcpu-info.default-vcpus",
    "vcpu-info.default-cores",
    "vcpu-info.default-threads-per-core",
    "memory-info.size-in-mib",
    "network-info.maximum-network-interfaces",
    "placement-group-info.supported-strategies",
    "ebs-info.ebs-optimized-support",
    "ebs-info.encryption-support",
    "ebs-info.nvme-support",
];

fn count(n: u32) -> Option<i32> {
    Some(i32::try_from(n).unwrap_or(i32::MAX))
}

/// The one card of a type whose bandwidth is limited; of others nothing can be said of it.
fn network_card(t: &InstanceType) -> Option<NetworkCardInfo> {
    let gbps = (t.network_mbps > 0).then(|| f64::from(t.network_mbps) / 1000.0)?;
    Some(NetworkCardInfo {
        network_card_index: Some(0),
        maximum_network_interfaces: i32::try_from(t.interfaces).ok(),
        network_performance: Some(format!("{gbps} Gigabit")),
        baseline_bandwidth_in_gbps: Some(gbps),
        // Nobody gets more for a while, as AWS's small types do.
        peak_bandwidth_in_gbps: Some(gbps),
        ..Default::default()
    })
}

/// What this cloud really gives for a type.
fn type_info(t: &InstanceType, ipv6: Ipv6) -> InstanceTypeInfo {
    let ipv6 = ipv6 == Ipv6::Given;
    let card = network_card(t);
    InstanceTypeInfo {
        instance_type: Some(t.name.into()),
        current_generation: Some(t.current_generation),
        free_tier_eligible: Some(false),
        supported_usage_classes: vec!["on-demand".into()],
        supported_root_device_types: vec!["instance-store".into()],
        supported_virtualization_types: vec!["hvm".into()],
        supported_boot_modes: vec!["legacy-bios".into()],
        bare_metal: Some(false),
        hypervisor: None,
        processor_info: Some(ProcessorInfo { supported_architectures: vec!["x86_64".into()], ..Default::default() }),
        v_cpu_info: Some(VCpuInfo {
            default_v_cpus: count(t.vcpus),
            default_cores: count(t.vcpus),
            default_threads_per_core: Some(1),
            valid_cores: vec![i32::try_from(t.vcpus).unwrap_or(i32::MAX)],
            valid_threads_per_core: vec![1],
        }),
        memory_info: Some(MemoryInfo { size_in_mi_b: i64::try_from(t.memory_mib).ok() }),
        instance_storage_supported: Some(true),
        instance_storage_info: Some(InstanceStorageInfo {
            total_size_in_gb: i64::try_from(t.root_disk_gib).ok(),
            ..Default::default()
        }),
        // Volumes come with their service; Terraform's data source wants these two parts filled.
        ebs_info: Some(EbsInfo {
            ebs_optimized_support: Some("unsupported".into()),
            encryption_support: Some("unsupported".into()),
            nvme_support: Some("unsupported".into()),
            ..Default::default()
        }),
        placement_group_info: Some(PlacementGroupInfo {
            supported_strategies: vec!["cluster".into(), "partition".into(), "spread".into()],
        }),
        network_info: Some(NetworkInfo {
            maximum_network_interfaces: i32::try_from(t.interfaces).ok(),
            maximum_network_cards: Some(1),
            default_network_card_index: Some(0),
            ipv4_addresses_per_interface: i32::try_from(t.addresses_per_interface).ok(),
            ipv6_addresses_per_interface: i32::try_from(if ipv6 { t.addresses_per_interface } else { 0 }).ok(),
            ipv6_supported: Some(ipv6),
            ena_support: Some("unsupported".into()),
            efa_supported: Some(false),
            network_performance: card.as_ref().and_then(|card| card.network_performance.clone()),
            network_cards: card.into_iter().collect(),
            ..Default::default()
        }),
        burstable_performance_supported: Some(t.burstable),
        dedicated_hosts_supported: Some(false),
        auto_recovery_supported: Some(false),
        hibernation_supported: Some(false),
        ..Default::default()
    }
}

impl Ec2Api {
    pub(crate) fn describe_regions(&self, r: DescribeRegionsRequest) -> Result<DescribeRegionsResult, ApiError> {
        let DescribeRegionsRequest { all_regions: _one_region_is_all, dry_run: dry, filters: wanted, region_names } = r;
        let filters = filters(&wanted, &["region-name", "endpoint", "opt-in-status"])?;
        let here = &self.cloud.config().region;
        for name in &region_names {
            if name != here {
                return Err(Code::InvalidParameterValue.message(format!("Invalid region provided: {name}")));
            }
        }
        dry_run(dry)?;
        let region = Region {
            region_name: Some(here.clone()),
            endpoint: Some(self.cloud.config().endpoint.clone()),
            opt_in_status: Some("opt-in-not-required".into()),
            ..Default::default()
        };
        Ok(DescribeRegionsResult { regions: Some(region).filter(|r| filters.accept(r)).into_iter().collect() })
    }

    pub(crate) fn describe_availability_zones(
        &self,
        r: DescribeAvailabilityZonesRequest,
    ) -> Result<DescribeAvailabilityZonesResult, ApiError> {
        let DescribeAvailabilityZonesRequest {
            all_availability_zones: _every_zone_is_opted_in,
            dry_run: dry,
            filters: wanted,
            zone_ids,
            zone_names,
        } = r;
        let known =
            ["zone-name", "zone-id", "zone-type", "state", "region-name", "group-name", "opt-in-status", "message"];
        let filters = filters(&wanted, &known)?;
        let region = &self.cloud.config().region;
        let zones: Vec<AvailabilityZone> =
            self.cloud.zones().iter().enumerate().map(|(n, zone)| self.zone_shape(n, zone, region)).collect();
        for name in &zone_names {
            if !zones.iter().any(|z| z.zone_name.as_ref() == Some(name)) {
                return Err(Code::InvalidParameterValue.message(format!("Invalid availability zone: [{name}]")));
            }
        }
        for id in &zone_ids {
            if !zones.iter().any(|z| z.zone_id.as_ref() == Some(id)) {
                return Err(Code::InvalidParameterValue.message(format!("Invalid availability zone-id: [{id}]")));
            }
        }
        dry_run(dry)?;
        let named = |z: &AvailabilityZone| {
            (zone_names.is_empty() || z.zone_name.as_ref().is_some_and(|n| zone_names.contains(n)))
                && (zone_ids.is_empty() || z.zone_id.as_ref().is_some_and(|n| zone_ids.contains(n)))
        };
        let availability_zones = zones.into_iter().filter(|z| named(z) && filters.accept(z)).collect();
        Ok(DescribeAvailabilityZonesResult { availability_zones })
    }

    fn zone_shape(&self, position: usize, zone: &ZoneName, region: &str) -> AvailabilityZone {
        let trouble = self.cloud.zone_trouble(zone);
        AvailabilityZone {
            zone_name: Some(zone.to_string()),
            zone_id: Some(zone_id(position)),
            zone_type: Some("availability-zone".into()),
            region_name: Some(region.to_owned()),
            group_name: Some(region.to_owned()),
            network_border_group: Some(region.to_owned()),
            opt_in_status: Some("opt-in-not-required".into()),
            state: Some(if trouble.is_some() { "impaired" } else { "available" }.into()),
            messages: trouble.into_iter().map(|m| AvailabilityZoneMessage { message: Some(m) }).collect(),
            ..Default::default()
        }
    }

    pub(crate) async fn describe_instance_types(
        &self,
        r: DescribeInstanceTypesRequest,
    ) -> Result<DescribeInstanceTypesResult, ApiError> {
        let DescribeInstanceTypesRequest {
            dry_run: dry,
            filters: wanted,
            include_unsupported_in_region: _there_are_none,
            instance_types,
            max_results,
            next_token,
        } = r;
        let filters = filters(&wanted, &TYPE_FILTERS)?;
        let page = page("DescribeInstanceTypes", max_results, next_token.as_deref(), 5..=100, &instance_types)?;
        let unknown: Vec<&str> = instance_types
            .iter()
            .map(String::as_str)
            .filter(|n| mallee_types::instance_type::instance_type(n).is_none())
            .collect();
        if !unknown.is_empty() {
            return Err(Code::InvalidInstanceType
                .message(format!("The following supplied instance types do not exist: [{}]", unknown.join(", "))));
        }
        dry_run(dry)?;
        let sizes = self.cloud.sizes().await?;
        let mut types: Vec<InstanceTypeInfo> = sizes
            .iter()
            .filter(|t| instance_types.is_empty() || instance_types.iter().any(|n| n == t.name))
            .map(|t| type_info(t, self.ipv6()))
            .filter(|t| filters.accept(t))
            .collect();
        types.sort_by(|a, b| a.instance_type.cmp(&b.instance_type));
        let (instance_types, next_token) = page.cut(types, |t| t.instance_type.clone().unwrap_or_default());
        Ok(DescribeInstanceTypesResult { instance_types, next_token })
    }

    pub(crate) fn describe_instance_type_offerings(
        &self,
        r: DescribeInstanceTypeOfferingsRequest,
    ) -> Result<DescribeInstanceTypeOfferingsResult, ApiError> {
        let DescribeInstanceTypeOfferingsRequest {
            dry_run: dry,
            filters: wanted,
            location_type,
            max_results,
            next_token,
        } = r;
        let filters = filters(&wanted, &["instance-type", "location"])?;
        let page = page("DescribeInstanceTypeOfferings", max_results, next_token.as_deref(), 5..=1000, &[])?;
        let kind = location_type.unwrap_or_else(|| "region".into());
        let locations: Vec<String> = match kind.as_str() {
            "region" => vec![self.cloud.config().region.clone()],
            "availability-zone" => self.cloud.zones().iter().map(ToString::to_string).collect(),
            "availability-zone-id" => (0..self.cloud.zones().len()).map(zone_id).collect(),
            other => {
                return Err(ApiError::invalid_value(
                    "LocationType",
                    other,
                    "Valid values are region, availability-zone and availability-zone-id.",
                ));
            }
        };
        dry_run(dry)?;
        let mut offerings: Vec<InstanceTypeOffering> = INSTANCE_TYPES
            .iter()
            .flat_map(|t| locations.iter().map(|l| (t.name.to_owned(), l.clone())))
            .map(|(instance_type, location)| InstanceTypeOffering {
                instance_type: Some(instance_type),
                location: Some(location),
                location_type: Some(kind.clone()),
            })
            .filter(|o| filters.accept(o))
            .collect();
        let key = |o: &InstanceTypeOffering| {
            format!("{} {}", o.instance_type.as_deref().unwrap_or_default(), o.location.as_deref().unwrap_or_default())
        };
        offerings.sort_by_key(key);
        let (instance_type_offerings, next_token) = page.cut(offerings, key);
        Ok(DescribeInstanceTypeOfferingsResult { instance_type_offerings, next_token })
    }

    pub(crate) async fn describe_account_attributes(
        &self,
        cx: &OpContext,
        r: DescribeAccountAttributesRequest,
    ) -> Result<DescribeAccountAttributesResult, ApiError> {
        let DescribeAccountAttributesRequest { attribute_names, dry_run: dry } = r;
        for name in &attribute_names {
            if !ACCOUNT_ATTRIBUTES.contains(&name.as_str()) {
                return Err(Code::InvalidParameterValue.message(format!("Unknown attribute: {name}")));
            }
        }
        dry_run(dry)?;
        let default_vpc = self.cloud.default_vpc(cx).await?.map_or_else(|| "none".to_owned(), |vpc| vpc.id.to_string());
        let max_instances = self.cloud.quota_of(cx.account(), &quotas::INSTANCES).await?.unwrap_or(u64::MAX);
        let max_elastic_ips = self.cloud.quota_of(cx.account(), &quotas::ELASTIC_IPS).await?.unwrap_or(u64::MAX);
        let attribute = |name: &str| {
            let value = match name {
                "supported-platforms" => "VPC".to_owned(),
                "default-vpc" => default_vpc.clone(),
                "max-instances" => max_instances.to_string(),
                "vpc-max-security-groups-per-interface" => mallee_types::limits::GROUPS_PER_INTERFACE_MAX.to_string(),
                _ => max_elastic_ips.to_string(),
            };
            AccountAttribute {
                attribute_name: Some(name.to_owned()),
                attribute_values: vec![AccountAttributeValue { attribute_value: Some(value) }],
            }
        };
        let wanted = |name: &&str| attribute_names.is_empty() || attribute_names.iter().any(|n| n == name);
        let account_attributes = ACCOUNT_ATTRIBUTES.iter().copied().filter(wanted).map(attribute).collect();
        Ok(DescribeAccountAttributesResult { account_attributes })
    }
}

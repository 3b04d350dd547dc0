//! From what a template was given to what is shown of it: the same members under other names of structures.

use mallee_ec2_types::ec2::*;
use secrecy::SecretString;
use time::OffsetDateTime;

/// Says the same in a reply.
pub(crate) trait Shown<T> {
    /// The reply's form.
    fn shown(self) -> T;
}

impl<A: Shown<B>, B> Shown<Option<B>> for Option<A> {
    fn shown(self) -> Option<B> {
        self.map(Shown::shown)
    }
}

impl<A: Shown<B>, B> Shown<Vec<B>> for Vec<A> {
    fn shown(self) -> Vec<B> {
        self.into_iter().map(Shown::shown).collect()
    }
}

macro_rules! same {
    ($($type:ty),*) => {$(
        impl Shown<$type> for $type {
            fn shown(self) -> $type { self }
        }
    )*};
}
same!(String, SecretString, OffsetDateTime, bool, i32, f64, Tag, PrivateIpAddressSpecification);

/// Every member of the request's structure is named, so that none is lost; `+` names those a reply has besides.
macro_rules! shown {
    ($($from:ident => $to:ident { $($member:ident),* $(,)? } $(+ { $($extra:ident = $value:expr),* })?;)*) => {$(
        impl Shown<$to> for $from {
            fn shown(self) -> $to {
                let $from { $($member),* } = self;
                $to { $($member: $member.shown(),)* $($($extra: $value),*)? }
            }
        }
    )*};
}

shown! {
    RequestLaunchTemplateData => ResponseLaunchTemplateData { block_device_mappings,
        capacity_reservation_specification, cpu_options, credit_specification, disable_api_stop,
        disable_api_termination, ebs_optimized, elastic_gpu_specifications, elastic_inference_accelerators,
        enclave_options, hibernation_options, iam_instance_profile, image_id,
        instance_initiated_shutdown_behavior, instance_market_options, instance_requirements, instance_type,
        kernel_id, key_name, license_specifications, maintenance_options, metadata_options, monitoring,
        network_interfaces, network_performance_options, operator, placement, private_dns_name_options,
        ram_disk_id, secondary_interfaces, security_group_ids, security_groups, tag_specifications, user_data };
    LaunchTemplateBlockDeviceMappingRequest => LaunchTemplateBlockDeviceMapping { device_name, ebs, no_device,
        virtual_name };
    LaunchTemplateEbsBlockDeviceRequest => LaunchTemplateEbsBlockDevice { delete_on_termination, ebs_card_index,
        encrypted, iops, kms_key_id, snapshot_id, throughput, volume_initialization_rate, volume_size,
        volume_type };
    LaunchTemplateCapacityReservationSpecificationRequest =>
        LaunchTemplateCapacityReservationSpecificationResponse { capacity_reservation_preference,
        capacity_reservation_target };
    CapacityReservationTarget => CapacityReservationTargetResponse { capacity_reservation_id,
        capacity_reservation_resource_group_arn };
    LaunchTemplateCpuOptionsRequest => LaunchTemplateCpuOptions { amd_sev_snp, core_count,
        nested_virtualization, threads_per_core };
    CreditSpecificationRequest => CreditSpecification { cpu_credits };
    ElasticGpuSpecification => ElasticGpuSpecificationResponse { type_ };
    LaunchTemplateElasticInferenceAccelerator => LaunchTemplateElasticInferenceAcceleratorResponse { count,
        type_ };
    LaunchTemplateEnclaveOptionsRequest => LaunchTemplateEnclaveOptions { enabled };
    LaunchTemplateHibernationOptionsRequest => LaunchTemplateHibernationOptions { configured };
    LaunchTemplateIamInstanceProfileSpecificationRequest => LaunchTemplateIamInstanceProfileSpecification { arn,
        name };
    LaunchTemplateInstanceMarketOptionsRequest => LaunchTemplateInstanceMarketOptions { market_type,
        spot_options };
    LaunchTemplateSpotMarketOptionsRequest => LaunchTemplateSpotMarketOptions { block_duration_minutes,
        instance_interruption_behavior, max_price, spot_instance_type, valid_until };
    InstanceRequirementsRequest => InstanceRequirements { accelerator_count, accelerator_manufacturers,
        accelerator_names, accelerator_total_memory_mi_b, accelerator_types, allowed_instance_types, bare_metal,
        baseline_ebs_bandwidth_mbps, baseline_performance_factors, burstable_performance, cpu_manufacturers,
        excluded_instance_types, instance_generations, local_storage, local_storage_types,
        max_spot_price_as_percentage_of_optimal_on_demand_price, memory_gi_b_per_v_cpu, memory_mi_b,
        network_bandwidth_gbps, network_interface_count, on_demand_max_price_percentage_over_lowest_price,
        require_encryption_in_transit, require_hibernate_support, spot_max_price_percentage_over_lowest_price,
        total_local_storage_gb, v_cpu_count };
    AcceleratorCountRequest => AcceleratorCount { max, min };
    AcceleratorTotalMemoryMiBRequest => AcceleratorTotalMemoryMiB { max, min };
    BaselineEbsBandwidthMbpsRequest => BaselineEbsBandwidthMbps { max, min };
    BaselinePerformanceFactorsRequest => BaselinePerformanceFactors { cpu };
    CpuPerformanceFactorRequest => CpuPerformanceFactor { references };
    PerformanceFactorReferenceRequest => PerformanceFactorReference { instance_family };
    MemoryGiBPerVCpuRequest => MemoryGiBPerVCpu { max, min };
    MemoryMiBRequest => MemoryMiB { max, min };
    NetworkBandwidthGbpsRequest => NetworkBandwidthGbps { max, min };
    NetworkInterfaceCountRequest => NetworkInterfaceCount { max, min };
    TotalLocalStorageGBRequest => TotalLocalStorageGB { max, min };
    VCpuCountRangeRequest => VCpuCountRange { max, min };
    LaunchTemplateLicenseConfigurationRequest => LaunchTemplateLicenseConfiguration { license_configuration_arn
        };
    LaunchTemplateInstanceMaintenanceOptionsRequest => LaunchTemplateInstanceMaintenanceOptions { auto_recovery
        };
    LaunchTemplateInstanceMetadataOptionsRequest => LaunchTemplateInstanceMetadataOptions { http_endpoint,
        http_protocol_ipv6, http_put_response_hop_limit, http_tokens, instance_metadata_tags } + { state = Some("applied".to_owned()) };
    LaunchTemplatesMonitoringRequest => LaunchTemplatesMonitoring { enabled, metric_category_ids };
    LaunchTemplateInstanceNetworkInterfaceSpecificationRequest =>
        LaunchTemplateInstanceNetworkInterfaceSpecification { associate_carrier_ip_address,
        associate_public_ip_address, connection_tracking_specification, delete_on_termination, description,
        device_index, ena_queue_count, ena_srd_specification, groups, interface_type, ipv4_prefix_count,
        ipv4_prefixes, ipv6_address_count, ipv6_addresses, ipv6_prefix_count, ipv6_prefixes, network_card_index,
        network_interface_id, primary_ipv6, private_ip_address, private_ip_addresses,
        secondary_private_ip_address_count, subnet_id };
    ConnectionTrackingSpecificationRequest => ConnectionTrackingSpecification { tcp_established_timeout,
        udp_stream_timeout, udp_timeout };
    EnaSrdSpecificationRequest => LaunchTemplateEnaSrdSpecification { ena_srd_enabled, ena_srd_udp_specification
        };
    EnaSrdUdpSpecificationRequest => LaunchTemplateEnaSrdUdpSpecification { ena_srd_udp_enabled };
    Ipv4PrefixSpecificationRequest => Ipv4PrefixSpecificationResponse { ipv4_prefix };
    InstanceIpv6AddressRequest => InstanceIpv6Address { ipv6_address } + { is_primary_ipv6 = None };
    Ipv6PrefixSpecificationRequest => Ipv6PrefixSpecificationResponse { ipv6_prefix };
    LaunchTemplateNetworkPerformanceOptionsRequest => LaunchTemplateNetworkPerformanceOptions {
        bandwidth_weighting };
    OperatorRequest => OperatorResponse { principal } + { hidden_by_default = None, managed = Some(true) };
    LaunchTemplatePlacementRequest => LaunchTemplatePlacement { affinity, availability_zone,
        availability_zone_id, group_id, group_name, host_id, host_resource_group_arn, partition_number,
        spread_domain, tenancy };
    LaunchTemplatePrivateDnsNameOptionsRequest => LaunchTemplatePrivateDnsNameOptions {
        enable_resource_name_dns_aaaa_record, enable_resource_name_dns_a_record, hostname_type };
    LaunchTemplateInstanceSecondaryInterfaceSpecificationRequest =>
        LaunchTemplateInstanceSecondaryInterfaceSpecification { delete_on_termination, device_index,
        interface_type, network_card_index, private_ip_address_count, private_ip_addresses, secondary_subnet_id
        };
    SecondaryInterfacePrivateIpAddressSpecificationRequest => SecondaryInterfacePrivateIpAddressSpecification {
        private_ip_address };
    LaunchTemplateTagSpecificationRequest => LaunchTemplateTagSpecification { resource_type, tags };
}

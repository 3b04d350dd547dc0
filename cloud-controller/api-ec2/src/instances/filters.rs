//! What DescribeInstances filters by. Names that EC2 documents for features this cloud does not have are known and
//! match nothing.

use super::shape;
use crate::common::{Look, tag_filter_values, values_of};
use crate::filter::Filterable;
use crate::interfaces::interface_values;
use mallee_app::instances::view::InstanceView;
use mallee_awswire::xml::timestamp;
use mallee_ec2_types::ec2::Instance;

/// Before the names of an interface's properties.
const INTERFACE_PREFIX: &str = "network-interface.";

/// EC2's names (API reference, DescribeInstances).
pub(super) const FILTERS: &[&str] = &[
    "affinity",
    "architecture",
    "availability-zone",
    "availability-zone-id",
    "block-device-mapping.attach-time",
    "block-device-mapping.delete-on-termination",
    "block-device-mapping.device-name",
    "block-device-mapping.status",
    "block-device-mapping.volume-id",
    "boot-mode",
    "capacity-reservation-id",
    "capacity-reservation-specification.capacity-reservation-preference",
    "capacity-reservation-specification.capacity-reservation-target.capacity-reservation-id",
    "capacity-reservation-specification.capacity-reservation-target.capacity-reservation-resource-group-arn",
    "client-token",
    "current-instance-boot-mode",
    "dns-name",
    "ebs-optimized",
    "ena-support",
    "enclave-options.enabled",
    "group-id",
    "group-name",
    "hibernation-options.configured",
    "host-id",
    "hypervisor",
    "iam-instance-profile.arn",
    "iam-instance-profile.id",
    "iam-instance-profile.name",
    "image-id",
    "instance-id",
    "instance-lifecycle",
    "instance-state-code",
    "instance-state-name",
    "instance-type",
    "instance.group-id",
    "instance.group-name",
    "ip-address",
    "ipv6-address",
    "kernel-id",
    "key-name",
    "launch-index",
    "launch-time",
    "maintenance-options.auto-recovery",
    "metadata-options.http-endpoint",
    "metadata-options.http-protocol-ipv4",
    "metadata-options.http-protocol-ipv6",
    "metadata-options.http-put-response-hop-limit",
    "metadata-options.http-tokens",
    "metadata-options.instance-metadata-tags",
    "metadata-options.state",
    "monitoring-state",
    "network-interface.addresses.association.allocation-id",
    "network-interface.addresses.association.association-id",
    "network-interface.addresses.association.carrier-ip",
    "network-interface.addresses.association.customer-owned-ip",
    "network-interface.addresses.association.ip-owner-id",
    "network-interface.addresses.association.public-dns-name",
    "network-interface.addresses.association.public-ip",
    "network-interface.addresses.primary",
    "network-interface.addresses.private-dns-name",
    "network-interface.addresses.private-ip-address",
    "network-interface.association.allocation-id",
    "network-interface.association.association-id",
    "network-interface.association.carrier-ip",
    "network-interface.association.customer-owned-ip",
    "network-interface.association.ip-owner-id",
    "network-interface.association.public-dns-name",
    "network-interface.association.public-ip",
    "network-interface.attachment.attach-time",
    "network-interface.attachment.attachment-id",
    "network-interface.attachment.delete-on-termination",
    "network-interface.attachment.device-index",
    "network-interface.attachment.instance-id",
    "network-interface.attachment.instance-owner-id",
    "network-interface.attachment.network-card-index",
    "network-interface.attachment.status",
    "network-interface.availability-zone",
    "network-interface.deny-all-igw-traffic",
    "network-interface.description",
    "network-interface.group-id",
    "network-interface.group-name",
    "network-interface.ipv4-prefixes.ipv4-prefix",
    "network-interface.ipv6-address",
    "network-interface.ipv6-addresses.ipv6-address",
    "network-interface.ipv6-addresses.is-primary-ipv6",
    "network-interface.ipv6-native",
    "network-interface.ipv6-prefixes.ipv6-prefix",
    "network-interface.mac-address",
    "network-interface.network-interface-id",
    "network-interface.operator.managed",
    "network-interface.operator.principal",
    "network-interface.outpost-arn",
    "network-interface.owner-id",
    "network-interface.private-dns-name",
    "network-interface.private-ip-address",
    "network-interface.public-dns-name",
    "network-interface.requester-id",
    "network-interface.requester-managed",
    "network-interface.source-dest-check",
    "network-interface.status",
    "network-interface.subnet-id",
    "network-interface.tag-key",
    "network-interface.tag-value",
    "network-interface.vpc-id",
    "network-performance-options.bandwidth-weighting",
    "operator.managed",
    "operator.principal",
    "outpost-arn",
    "owner-id",
    "placement-group-name",
    "placement-partition-number",
    "platform",
    "platform-details",
    "private-dns-name",
    "private-dns-name-options.enable-resource-name-dns-a-record",
    "private-dns-name-options.enable-resource-name-dns-aaaa-record",
    "private-dns-name-options.hostname-type",
    "private-ip-address",
    "product-code",
    "product-code.type",
    "ramdisk-id",
    "reason",
    "requester-id",
    "reservation-id",
    "root-device-name",
    "root-device-type",
    "source-dest-check",
    "spot-instance-request-id",
    "state-reason-code",
    "state-reason-message",
    "subnet-id",
    "tag-key",
    "tag-value",
    "tenancy",
    "tpm-support",
    "usage-operation",
    "usage-operation-update-time",
    "virtualization-type",
    "vpc-id",
];

/// An instance with what its filters need besides what is shown.
pub(super) struct Candidate<'a> {
    pub view: &'a InstanceView,
    pub instance: Instance,
    look: Look<'a>,
}

impl<'a> Candidate<'a> {
    pub(super) fn new(view: &'a InstanceView, look: Look<'a>) -> Self {
        Self { instance: shape::instance(view, look), view, look }
    }

    fn metadata_values(&self, property: &str) -> Vec<String> {
        let Some(options) = &self.instance.metadata_options else { return Vec::new() };
        match property {
            "http-endpoint" | "http-protocol-ipv4" => values_of(&options.http_endpoint),
            "http-protocol-ipv6" => values_of(&options.http_protocol_ipv6),
            "http-put-response-hop-limit" => values_of(&options.http_put_response_hop_limit),
            "http-tokens" => values_of(&options.http_tokens),
            "instance-metadata-tags" => values_of(&options.instance_metadata_tags),
            "state" => values_of(&options.state),
            _ => Vec::new(),
        }
    }

    fn dns_option_values(&self, property: &str) -> Vec<String> {
        let Some(options) = &self.instance.private_dns_name_options else { return Vec::new() };
        match property {
            "enable-resource-name-dns-a-record" => values_of(&options.enable_resource_name_dns_a_record),
            "enable-resource-name-dns-aaaa-record" => values_of(&options.enable_resource_name_dns_aaaa_record),
            "hostname-type" => values_of(&options.hostname_type),
            _ => Vec::new(),
        }
    }
}

impl Filterable for Candidate<'_> {
    fn values(&self, name: &str) -> Vec<String> {
        if let Some(property) = name.strip_prefix(INTERFACE_PREFIX) {
            return self.view.interfaces.iter().flat_map(|i| interface_values(i, self.look, property)).collect();
        }
        if let Some(property) = name.strip_prefix("metadata-options.") {
            return self.metadata_values(property);
        }
        if let Some(property) = name.strip_prefix("private-dns-name-options.") {
            return self.dns_option_values(property);
        }
        let (i, row) = (&self.instance, &self.view.row);
        let groups = i.security_groups.iter();
        match name {
            "affinity" => i.placement.iter().flat_map(|p| values_of(&p.affinity)).collect(),
            "architecture" => values_of(&i.architecture),
            "availability-zone" => vec![row.zone.to_string()],
            "availability-zone-id" => self.look.zone_id(&row.zone).into_iter().collect(),
            "boot-mode" => values_of(&i.boot_mode),
            "capacity-reservation-specification.capacity-reservation-preference" => {
                let specification = i.capacity_reservation_specification.iter();
                specification.flat_map(|s| values_of(&s.capacity_reservation_preference)).collect()
            }
            "capacity-reservation-id" => values_of(&i.capacity_reservation_id),
            "capacity-reservation-specification.capacity-reservation-target.capacity-reservation-id" => {
                let targets =
                    i.capacity_reservation_specification.iter().flat_map(|s| s.capacity_reservation_target.iter());
                targets.flat_map(|target| values_of(&target.capacity_reservation_id)).collect()
            }
            "client-token" => row.client_token.clone().into_iter().collect(),
            "current-instance-boot-mode" => values_of(&i.current_instance_boot_mode),
            "dns-name" => i.public_dns_name.clone().filter(|name| !name.is_empty()).into_iter().collect(),
            "ebs-optimized" => values_of(&i.ebs_optimized),
            "ena-support" => values_of(&i.ena_support),
            "enclave-options.enabled" => i.enclave_options.iter().flat_map(|o| values_of(&o.enabled)).collect(),
            "group-id" | "instance.group-id" => groups.flat_map(|g| values_of(&g.group_id)).collect(),
            "group-name" | "instance.group-name" => groups.flat_map(|g| values_of(&g.group_name)).collect(),
            "host-id" => i.placement.iter().flat_map(|p| values_of(&p.host_id)).collect(),
            "hibernation-options.configured" => {
                i.hibernation_options.iter().flat_map(|o| values_of(&o.configured)).collect()
            }
            "iam-instance-profile.arn" => i.iam_instance_profile.iter().flat_map(|p| values_of(&p.arn)).collect(),
            "iam-instance-profile.id" => i.iam_instance_profile.iter().flat_map(|p| values_of(&p.id)).collect(),
            "iam-instance-profile.name" => {
                let arns = i.iam_instance_profile.iter().filter_map(|p| p.arn.as_deref());
                arns.filter_map(|arn| arn.rsplit('/').next()).map(str::to_owned).collect()
            }
            "image-id" => values_of(&i.image_id),
            "instance-id" => values_of(&i.instance_id),
            "instance-lifecycle" => values_of(&i.instance_lifecycle),
            "instance-state-code" => vec![row.state.code().to_string()],
            "instance-state-name" => vec![row.state.name().to_owned()],
            "instance-type" => values_of(&i.instance_type),
            "ip-address" => values_of(&i.public_ip_address),
            "ipv6-address" => values_of(&i.ipv6_address),
            "key-name" => values_of(&i.key_name),
            "launch-index" => values_of(&i.ami_launch_index),
            "launch-time" => i.launch_time.map(timestamp).into_iter().collect(),
            "maintenance-options.auto-recovery" => {
                i.maintenance_options.iter().flat_map(|o| values_of(&o.auto_recovery)).collect()
            }
            "monitoring-state" => i.monitoring.iter().flat_map(|m| values_of(&m.state)).collect(),
            "operator.managed" => vec!["false".to_owned()],
            "owner-id" => vec![row.account_id.to_string()],
            "placement-group-name" => {
                i.placement.iter().flat_map(|p| values_of(&p.group_name)).filter(|name| !name.is_empty()).collect()
            }
            "placement-partition-number" => i.placement.iter().flat_map(|p| values_of(&p.partition_number)).collect(),
            "platform-details" => values_of(&i.platform_details),
            "private-dns-name" => i.private_dns_name.clone().filter(|name| !name.is_empty()).into_iter().collect(),
            "private-ip-address" => values_of(&i.private_ip_address),
            "reason" => i.state_transition_reason.clone().filter(|reason| !reason.is_empty()).into_iter().collect(),
            "reservation-id" => vec![row.reservation_id.to_string()],
            "root-device-name" => values_of(&i.root_device_name),
            "root-device-type" => values_of(&i.root_device_type),
            "source-dest-check" => values_of(&i.source_dest_check),
            "spot-instance-request-id" => values_of(&i.spot_instance_request_id),
            "state-reason-code" => i.state_reason.iter().flat_map(|r| values_of(&r.code)).collect(),
            "state-reason-message" => i.state_reason.iter().flat_map(|r| values_of(&r.message)).collect(),
            "subnet-id" => values_of(&i.subnet_id),
            "tenancy" => i.placement.iter().flat_map(|p| values_of(&p.tenancy)).collect(),
            "usage-operation" => values_of(&i.usage_operation),
            "virtualization-type" => values_of(&i.virtualization_type),
            "vpc-id" => values_of(&i.vpc_id),
            _ => tag_filter_values(name, &i.tags),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instances::testing::view;

    #[test]
    fn what_is_shown_is_what_is_filtered() {
        let zones = vec!["zone-a".parse().unwrap()];
        let view = &view();
        let candidate = Candidate::new(view, Look { region: "eu-1", zones: &zones });
        for (name, value) in [
            ("architecture", "x86_64"),
            ("availability-zone", "zone-a"),
            ("availability-zone-id", "mal1-az1"),
            ("client-token", "token-1"),
            ("dns-name", "ec2-203-0-113-9.eu-1.compute.internal"),
            ("enclave-options.enabled", "false"),
            ("group-name", "web"),
            ("hibernation-options.configured", "false"),
            ("image-id", "ami-00000000000000005"),
            ("instance-id", "i-00000000000000001"),
            ("instance-state-code", "16"),
            ("instance-state-name", "running"),
            ("instance-type", "t3.nano"),
            ("instance.group-id", "sg-00000000000000003"),
            ("ip-address", "203.0.113.9"),
            ("key-name", "k"),
            ("launch-index", "0"),
            ("launch-time", "2023-11-14T22:13:20.000Z"),
            ("metadata-options.http-tokens", "required"),
            ("metadata-options.http-put-response-hop-limit", "2"),
            ("monitoring-state", "disabled"),
            ("network-interface.association.public-ip", "203.0.113.9"),
            ("network-interface.attachment.instance-id", "i-00000000000000001"),
            ("network-interface.group-id", "sg-00000000000000003"),
            ("network-interface.network-interface-id", "eni-00000000000000007"),
            ("network-interface.tag-key", "Net"),
            ("owner-id", "123456789012"),
            ("private-dns-name", "ip-172-31-0-4.eu-1.compute.internal"),
            ("private-dns-name-options.hostname-type", "ip-name"),
            ("private-ip-address", "172.31.0.4"),
            ("reservation-id", "r-00000000000000004"),
            ("root-device-type", "instance-store"),
            ("source-dest-check", "true"),
            ("subnet-id", "subnet-00000000000000002"),
            ("tag-key", "Name"),
            ("tag:Name", "web-1"),
            ("tenancy", "default"),
            ("virtualization-type", "hvm"),
            ("vpc-id", "vpc-00000000000000001"),
        ] {
            assert_eq!(candidate.values(name), [value], "{name}");
            assert!(name.starts_with("tag:") || FILTERS.contains(&name), "{name} is not offered");
        }
    }

    #[test]
    fn what_does_not_exist_matches_nothing() {
        let view = &view();
        let candidate = Candidate::new(view, Look { region: "eu-1", zones: &[] });
        for name in [
            "spot-instance-request-id",
            "instance-lifecycle",
            "iam-instance-profile.arn",
            "host-id",
            "reason",
            "platform",
        ] {
            assert!(FILTERS.contains(&name), "{name}");
            assert!(candidate.values(name).is_empty(), "{name}");
        }
    }

    #[test]
    fn the_names_are_unique() {
        let unique: std::collections::HashSet<_> = FILTERS.iter().collect();
        assert_eq!(unique.len(), FILTERS.len());
    }
}

//! Instances as the wire has them: what is true, and nothing that is not.

use crate::common::{Look, time, wire_tags};
use crate::interfaces::{addresses, group_identifiers};
use mallee_app::instances::view::{InstanceView, InterfaceView};
use mallee_app::network::private_dns_name;
use mallee_ec2_types::ec2::*;
use mallee_store::InstanceRow;

/// A state on the wire.
pub(super) fn state(state: mallee_types::InstanceState) -> InstanceState {
    InstanceState { code: Some(state.code()), name: Some(state.name().into()) }
}

fn interface(view: &InterfaceView, look: Look<'_>) -> InstanceNetworkInterface {
    let row = &view.row;
    let addresses = addresses(view);
    InstanceNetworkInterface {
        association: addresses.first().and_then(|primary| primary.of_instance(view, look)),
        attachment: Some(InstanceNetworkInterfaceAttachment {
            attach_time: time(view.attached_ms()),
            attachment_id: row.attachment_id.as_ref().map(ToString::to_string),
            delete_on_termination: Some(row.delete_on_termination),
            device_index: row.device_index.and_then(|index| i32::try_from(index).ok()),
            network_card_index: Some(0),
            status: view.attachment_state().map(Into::into),
            ..Default::default()
        }),
        description: Some(row.description.clone()),
        groups: group_identifiers(view),
        interface_type: Some("interface".into()),
        ipv6_addresses: view
            .ipv6
            .iter()
            .map(|address| InstanceIpv6Address {
                ipv6_address: Some(address.to_string()),
                is_primary_ipv6: Some(false),
            })
            .collect(),
        mac_address: Some(row.mac.to_string()),
        network_interface_id: Some(row.id.to_string()),
        owner_id: Some(row.account_id.to_string()),
        private_dns_name: Some(private_dns_name(row.private_ip, look.region)),
        private_ip_address: Some(row.private_ip.to_string()),
        private_ip_addresses: addresses
            .iter()
            .map(|address| InstancePrivateIpAddress {
                association: address.of_instance(view, look),
                primary: Some(address.primary),
                private_dns_name: Some(private_dns_name(address.private_ip, look.region)),
                private_ip_address: Some(address.private_ip.to_string()),
            })
            .collect(),
        source_dest_check: Some(row.source_dest_check),
        status: Some(view.state().into()),
        subnet_id: Some(row.subnet_id.to_string()),
        vpc_id: Some(row.vpc_id.to_string()),
        ..Default::default()
    }
}

const fn on_off(on: bool) -> &'static str {
    if on { "enabled" } else { "disabled" }
}

/// The metadata service's settings, and whether its node has heard of them.
pub(super) fn metadata_options(row: &InstanceRow) -> InstanceMetadataOptionsResponse {
    let options = &row.doc.metadata;
    let applied = row.released || row.observed_generation >= row.generation;
    InstanceMetadataOptionsResponse {
        http_endpoint: Some(on_off(options.enabled).into()),
        http_protocol_ipv6: Some("disabled".into()),
        http_put_response_hop_limit: i32::try_from(options.hop_limit).ok(),
        http_tokens: Some(if options.tokens_required { "required" } else { "optional" }.into()),
        instance_metadata_tags: Some(on_off(options.tags).into()),
        state: Some(if applied { "applied" } else { "pending" }.into()),
    }
}

/// An instance on the wire.
pub(super) fn instance(view: &InstanceView, look: Look<'_>) -> Instance {
    let (row, doc) = (&view.row, &view.row.doc);
    let first = view.interfaces.first();
    let public_ip = first.and_then(|i| i.public_ip);
    // EC2 empties what a terminated instance has given back.
    let still = !row.released;
    let takes_room = !matches!(row.state.name(), "stopped" | "terminated");
    let partition = doc.group.as_ref().map(|group| group.partition).filter(|number| *number > 0);
    let dns_name = first.map(|i| private_dns_name(i.row.private_ip, look.region));
    let (capacity_reservation_preference, capacity_reservation_target) = crate::capacity::shown_wish(doc);
    Instance {
        ami_launch_index: i32::try_from(row.launch_index).ok(),
        architecture: Some(doc.architecture.clone()),
        capacity_reservation_specification: Some(CapacityReservationSpecificationResponse {
            capacity_reservation_preference,
            capacity_reservation_target,
        }),
        capacity_reservation_id: doc.capacity_reservation.as_ref().filter(|_| takes_room).map(ToString::to_string),
        client_token: Some(row.client_token.clone().unwrap_or_default()),
        cpu_options: Some(CpuOptions {
            core_count: i32::try_from(doc.vcpus).ok(),
            threads_per_core: Some(1),
            ..Default::default()
        }),
        current_instance_boot_mode: Some("legacy-bios".into()),
        ebs_optimized: Some(doc.ebs_optimized),
        ena_support: Some(false),
        enclave_options: Some(EnclaveOptions { enabled: Some(false) }),
        hibernation_options: Some(HibernationOptions { configured: Some(false) }),
        iam_instance_profile: view.profile.as_ref().map(crate::profiles::shown),
        image_id: Some(row.image_id.to_string()),
        instance_id: Some(row.id.to_string()),
        instance_lifecycle: doc.spot.as_ref().map(|_| "spot".into()),
        instance_type: Some(row.instance_type.clone()),
        ipv6_address: first.and_then(|i| i.ipv6.first()).map(ToString::to_string),
        key_name: row.key_name.clone(),
        launch_time: time(row.launch_ms),
        maintenance_options: Some(InstanceMaintenanceOptions {
            auto_recovery: Some("default".into()),
            reboot_migration: None,
        }),
        metadata_options: Some(metadata_options(row)),
        monitoring: Some(Monitoring { state: Some(on_off(doc.monitoring).into()), ..Default::default() }),
        network_interfaces: view.interfaces.iter().map(|i| interface(i, look)).collect(),
        placement: Some(Placement {
            availability_zone: Some(row.zone.to_string()),
            availability_zone_id: look.zone_id(&row.zone),
            group_id: doc.group.as_ref().map(|group| group.id.to_string()),
            group_name: Some(doc.group.as_ref().map(|group| group.name.clone()).unwrap_or_default()),
            partition_number: partition.and_then(|number| i32::try_from(number).ok()),
            tenancy: Some(doc.tenancy.clone()),
            host_id: doc.host.as_ref().map(ToString::to_string),
            affinity: doc.host.as_ref().map(|_| if doc.host_affinity { "host" } else { "default" }.to_owned()),
            ..Default::default()
        }),
        platform_details: Some("Linux/UNIX".into()),
        private_dns_name: Some(dns_name.unwrap_or_default()),
        private_dns_name_options: still.then(|| PrivateDnsNameOptionsResponse {
            enable_resource_name_dns_a_record: Some(false),
            enable_resource_name_dns_aaaa_record: Some(false),
            hostname_type: Some("ip-name".into()),
        }),
        private_ip_address: first.map(|i| i.row.private_ip.to_string()),
        public_dns_name: Some(first.and_then(|i| i.public_name(look.region)).unwrap_or_default()),
        public_ip_address: public_ip.map(|ip| ip.to_string()),
        root_device_name: Some(doc.root_device_name.clone()),
        root_device_type: Some("instance-store".into()),
        security_groups: first.map(group_identifiers).unwrap_or_default(),
        source_dest_check: first.map(|i| i.row.source_dest_check),
        spot_instance_request_id: doc.spot.as_ref().map(|spot| spot.request.to_string()),
        state: Some(state(row.state)),
        state_reason: row
            .state_reason_code
            .clone()
            .map(|code| StateReason { code: Some(code), message: row.state_reason_message.clone() }),
        state_transition_reason: Some(row.transition_reason.clone()),
        subnet_id: still.then(|| row.subnet_id.to_string()),
        tags: wire_tags(view.tags.iter().map(|(key, value)| (key.as_str(), value.as_str()))),
        usage_operation: Some("RunInstances".into()),
        virtualization_type: Some("hvm".into()),
        vpc_id: still.then(|| row.vpc_id.to_string()),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instances::testing::view;

    const LOOK: Look<'_> = Look { region: "eu-1", zones: &[] };

    #[test]
    fn a_running_instance_has_what_clients_read() {
        let shown = instance(&view(), LOOK);
        let shown_state = shown.state.unwrap();
        assert_eq!((shown_state.code, shown_state.name.as_deref()), (Some(16), Some("running")));
        assert_eq!(shown.private_ip_address.as_deref(), Some("172.31.0.4"));
        assert_eq!(shown.public_ip_address.as_deref(), Some("203.0.113.9"));
        assert_eq!(shown.public_dns_name.as_deref(), Some("ec2-203-0-113-9.eu-1.compute.internal"));
        assert_eq!(shown.private_dns_name.as_deref(), Some("ip-172-31-0-4.eu-1.compute.internal"));
        assert_eq!(shown.security_groups[0].group_name.as_deref(), Some("web"));
        assert_eq!(shown.source_dest_check, Some(true));
        let interface = &shown.network_interfaces[0];
        assert_eq!(interface.association.as_ref().unwrap().public_ip.as_deref(), Some("203.0.113.9"));
        assert_eq!(interface.attachment.as_ref().unwrap().device_index, Some(0));
        let metadata = shown.metadata_options.unwrap();
        assert_eq!(
            (metadata.http_tokens.as_deref(), metadata.http_put_response_hop_limit),
            (Some("required"), Some(2))
        );
        assert!(shown.state_reason.is_none());
    }

    #[test]
    fn a_vpc_may_name_no_public_addresses() {
        let mut view = view();
        view.interfaces[0].names_public = false;
        let shown = instance(&view, LOOK);
        assert_eq!(shown.public_dns_name.as_deref(), Some(""));
        assert_eq!(shown.public_ip_address.as_deref(), Some("203.0.113.9"), "the address is there all the same");
        let association = shown.network_interfaces[0].association.as_ref().unwrap();
        assert_eq!(association.public_dns_name.as_deref(), Some(""));
    }

    #[test]
    fn a_terminated_instance_shows_nothing_it_has_given_back() {
        let mut view = view();
        view.row.state = mallee_types::InstanceState::Terminated;
        view.row.released = true;
        view.row.state_reason_code = Some("Client.UserInitiatedShutdown".into());
        view.interfaces.clear();
        let shown = instance(&view, LOOK);
        assert!(shown.network_interfaces.is_empty() && shown.security_groups.is_empty());
        assert_eq!(
            (shown.subnet_id, shown.vpc_id, shown.private_ip_address, shown.public_ip_address),
            (None, None, None, None)
        );
        assert_eq!(shown.public_dns_name.as_deref(), Some(""), "AWS sends the element empty");
        assert_eq!(shown.state_reason.unwrap().code.as_deref(), Some("Client.UserInitiatedShutdown"));
    }
}

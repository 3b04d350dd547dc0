//! Which operations of EC2 are offered, and who answers them.

use crate::Ec2Api;
use mallee_ec2_types::ec2::{Ec2Request, SERVICE};

mallee_app::offered! {
    /// Every operation of EC2 this cloud offers, sorted by name.
    pub const OFFERED: Ec2Request of SERVICE;
    |api: &Ec2Api, cx, params, r|
    Write AcceptTransitGatewayVpcAttachment => api.accept_transit_gateway_vpc_attachment(cx, r).await;
    Write AcceptVpcPeeringConnection => api.accept_vpc_peering_connection(cx, r).await;
    Write AllocateAddress => api.allocate_address(cx, r).await;
    Write AllocateHosts => api.allocate_hosts(cx, r, params).await;
    Write AssignIpv6Addresses => api.assign_ipv6_addresses(cx, r).await;
    Write AssignPrivateIpAddresses => api.assign_private_ip_addresses(cx, r).await;
    Write AssignPrivateNatGatewayAddress => api.assign_nat_addresses(cx, r).await;
    Write AssociateAddress => api.associate_address(cx, r).await;
    Write AssociateDhcpOptions => api.associate_dhcp_options(cx, r).await;
    Write AssociateIamInstanceProfile => api.associate_iam_instance_profile(cx, r).await;
    Write AssociateNatGatewayAddress => api.associate_nat_addresses(cx, r).await;
    Write AssociateRouteTable => api.associate_route_table(cx, r).await;
    Write AssociateSubnetCidrBlock => api.associate_subnet_cidr_block(cx, r).await;
    Write AssociateTransitGatewayRouteTable => api.associate_transit_gateway_route_table(cx, r).await;
    Write AssociateVpcCidrBlock => api.associate_vpc_cidr_block(cx, r).await;
    Write AttachInternetGateway => api.attach_internet_gateway(cx, r).await;
    Write AttachNetworkInterface => api.attach_network_interface(cx, r).await;
    Write AuthorizeSecurityGroupEgress => api.authorize_egress(cx, r).await;
    Write AuthorizeSecurityGroupIngress => api.authorize_ingress(cx, r).await;
    Write CancelCapacityReservation => api.cancel_capacity_reservation(cx, r).await;
    Write CancelSpotInstanceRequests => api.cancel_spot_instance_requests(cx, r).await;
    Write CreateCapacityReservation => api.create_capacity_reservation(cx, r, params).await;
    Write CreateDefaultSubnet => api.create_default_subnet(cx, r).await;
    Write CreateDefaultVpc => api.create_default_vpc(cx, r).await;
    Write CreateDhcpOptions => api.create_dhcp_options(cx, r).await;
    Write CreateEgressOnlyInternetGateway => api.create_egress_only_internet_gateway(cx, r, params).await;
    Write CreateFleet => api.create_fleet(cx, r, params).await;
    Write CreateFlowLogs => api.create_flow_logs(cx, r, params).await;
    Write CreateInternetGateway => api.create_internet_gateway(cx, r).await;
    Write CreateKeyPair => api.create_key_pair(cx, r).await;
    Write CreateLaunchTemplate => api.create_launch_template(cx, r, params).await;
    Write CreateLaunchTemplateVersion => api.create_launch_template_version(cx, r, params).await;
    Write CreateManagedPrefixList => api.create_managed_prefix_list(cx, r, params).await;
    Write CreateNatGateway => api.create_nat_gateway(cx, r, params).await;
    Write CreateNetworkAcl => api.create_network_acl(cx, r, params).await;
    Write CreateNetworkAclEntry => api.create_network_acl_entry(cx, r).await;
    Write CreateNetworkInsightsPath => api.create_network_insights_path(cx, r, params).await;
    Write CreateNetworkInterface => api.create_network_interface(cx, r, params).await;
    Write CreatePlacementGroup => api.create_placement_group(cx, r).await;
    Write CreateRoute => api.create_route(cx, r).await;
    Write CreateRouteTable => api.create_route_table(cx, r, params).await;
    Write CreateSecurityGroup => api.create_security_group(cx, r).await;
    Write CreateSubnet => api.create_subnet(cx, r).await;
    Write CreateTags => api.create_tags(cx, r).await;
    Write CreateTransitGateway => api.create_transit_gateway(cx, r).await;
    Write CreateTransitGatewayRoute => api.create_transit_gateway_route(cx, r).await;
    Write CreateTransitGatewayRouteTable => api.create_transit_gateway_route_table(cx, r).await;
    Write CreateTransitGatewayVpcAttachment => api.create_transit_gateway_vpc_attachment(cx, r).await;
    Write CreateVpc => api.create_vpc(cx, r).await;
    Write CreateVpcPeeringConnection => api.create_vpc_peering_connection(cx, r).await;
    Write DeleteDhcpOptions => api.delete_dhcp_options(cx, r).await;
    Write DeleteEgressOnlyInternetGateway => api.delete_egress_only_internet_gateway(cx, r).await;
    Write DeleteFleets => api.delete_fleets(cx, r).await;
    Write DeleteFlowLogs => api.delete_flow_logs(cx, r).await;
    Write DeleteInternetGateway => api.delete_internet_gateway(cx, r).await;
    Write DeleteKeyPair => api.delete_key_pair(cx, r).await;
    Write DeleteLaunchTemplate => api.delete_launch_template(cx, r).await;
    Write DeleteLaunchTemplateVersions => api.delete_launch_template_versions(cx, r).await;
    Write DeleteManagedPrefixList => api.delete_managed_prefix_list(cx, r).await;
    Write DeleteNatGateway => api.delete_nat_gateway(cx, r).await;
    Write DeleteNetworkAcl => api.delete_network_acl(cx, r).await;
    Write DeleteNetworkAclEntry => api.delete_network_acl_entry(cx, r).await;
    Write DeleteNetworkInsightsAnalysis => api.delete_network_insights_analysis(cx, r).await;
    Write DeleteNetworkInsightsPath => api.delete_network_insights_path(cx, r).await;
    Write DeleteNetworkInterface => api.delete_network_interface(cx, r).await;
    Write DeletePlacementGroup => api.delete_placement_group(cx, r).await;
    Write DeleteRoute => api.delete_route(cx, r).await;
    Write DeleteRouteTable => api.delete_route_table(cx, r).await;
    Write DeleteSecurityGroup => api.delete_security_group(cx, r).await;
    Write DeleteSubnet => api.delete_subnet(cx, r).await;
    Write DeleteTags => api.delete_tags(cx, r).await;
    Write DeleteTransitGateway => api.delete_transit_gateway(cx, r).await;
    Write DeleteTransitGatewayRoute => api.delete_transit_gateway_route(cx, r).await;
    Write DeleteTransitGatewayRouteTable => api.delete_transit_gateway_route_table(cx, r).await;
    Write DeleteTransitGatewayVpcAttachment => api.delete_transit_gateway_vpc_attachment(cx, r).await;
    Write DeleteVpc => api.delete_vpc(cx, r).await;
    Write DeleteVpcPeeringConnection => api.delete_vpc_peering_connection(cx, r).await;
    Write DeregisterImage => api.deregister_image(cx, r).await;
    Read DescribeAccountAttributes => api.describe_account_attributes(cx, r).await;
    Read DescribeAddresses => api.describe_addresses(cx, r).await;
    Read DescribeAddressesAttribute => api.describe_addresses_attribute(cx, r).await;
    Read DescribeAggregateIdFormat => api.describe_aggregate_id_format(r);
    Read DescribeAvailabilityZones => api.describe_availability_zones(r);
    Read DescribeCapacityReservations => api.describe_capacity_reservations(cx, r).await;
    Read DescribeDhcpOptions => api.describe_dhcp_options(cx, r).await;
    Read DescribeEgressOnlyInternetGateways => api.describe_egress_only_internet_gateways(cx, r).await;
    Read DescribeFleetHistory => api.describe_fleet_history(cx, r).await;
    Read DescribeFleetInstances => api.describe_fleet_instances(cx, r).await;
    Read DescribeFleets => api.describe_fleets(cx, r).await;
    Read DescribeFlowLogs => api.describe_flow_logs(cx, r).await;
    Read DescribeHosts => api.describe_hosts(cx, r).await;
    Read DescribeIamInstanceProfileAssociations => api.describe_iam_instance_profile_associations(cx, r).await;
    Read DescribeIdFormat => api.describe_id_format(r);
    Read DescribeIdentityIdFormat => api.describe_identity_id_format(cx, r);
    Read DescribeImageAttribute => api.describe_image_attribute(cx, r).await;
    Read DescribeImages => api.describe_images(cx, r).await;
    Read DescribeInstanceAttribute => api.describe_instance_attribute(cx, r).await;
    Read DescribeInstanceCreditSpecifications => api.describe_instance_credit_specifications(cx, r).await;
    Read DescribeInstanceImageMetadata => api.describe_instance_image_metadata(cx, r).await;
    Read DescribeInstanceStatus => api.describe_instance_status(cx, r).await;
    Read DescribeInstanceTypeOfferings => api.describe_instance_type_offerings(r);
    Read DescribeInstanceTypes => api.describe_instance_types(r).await;
    Read DescribeInstances => api.describe_instances(cx, r).await;
    Read DescribeInternetGateways => api.describe_internet_gateways(cx, r).await;
    Read DescribeKeyPairs => api.describe_key_pairs(cx, r).await;
    Read DescribeLaunchTemplateVersions => api.describe_launch_template_versions(cx, r).await;
    Read DescribeLaunchTemplates => api.describe_launch_templates(cx, r).await;
    Read DescribeManagedPrefixLists => api.describe_managed_prefix_lists(cx, r).await;
    Read DescribeNatGateways => api.describe_nat_gateways(cx, r).await;
    Read DescribeNetworkAcls => api.describe_network_acls(cx, r).await;
    Read DescribeNetworkInsightsAnalyses => api.describe_network_insights_analyses(cx, r).await;
    Read DescribeNetworkInsightsPaths => api.describe_network_insights_paths(cx, r).await;
    Read DescribeNetworkInterfaceAttribute => api.describe_network_interface_attribute(cx, r).await;
    Read DescribeNetworkInterfaces => api.describe_network_interfaces(cx, r).await;
    Read DescribePlacementGroups => api.describe_placement_groups(cx, r).await;
    Read DescribePrefixLists => api.describe_prefix_lists(cx, r).await;
    Read DescribePrincipalIdFormat => api.describe_principal_id_format(r);
    Read DescribeRegions => api.describe_regions(r);
    Read DescribeRouteTables => api.describe_route_tables(cx, r).await;
    Read DescribeSecurityGroupReferences => api.describe_security_group_references(cx, r).await;
    Read DescribeSecurityGroupRules => api.describe_security_group_rules(cx, r).await;
    Read DescribeSecurityGroups => api.describe_security_groups(cx, r).await;
    Read DescribeSpotInstanceRequests => api.describe_spot_instance_requests(cx, r).await;
    Read DescribeSpotPriceHistory => api.describe_spot_price_history(cx, r).await;
    Read DescribeStaleSecurityGroups => api.describe_stale_security_groups(cx, r).await;
    Read DescribeSubnets => api.describe_subnets(cx, r).await;
    Read DescribeTags => api.describe_tags(cx, r).await;
    Read DescribeTransitGatewayAttachments => api.describe_transit_gateway_attachments(cx, r).await;
    Read DescribeTransitGatewayRouteTables => api.describe_transit_gateway_route_tables(cx, r).await;
    Read DescribeTransitGatewayVpcAttachments => api.describe_transit_gateway_vpc_attachments(cx, r).await;
    Read DescribeTransitGateways => api.describe_transit_gateways(cx, r).await;
    Read DescribeVpcAttribute => api.describe_vpc_attribute(cx, r).await;
    Read DescribeVpcPeeringConnections => api.describe_vpc_peering_connections(cx, r).await;
    Read DescribeVpcs => api.describe_vpcs(cx, r).await;
    Write DetachInternetGateway => api.detach_internet_gateway(cx, r).await;
    Write DetachNetworkInterface => api.detach_network_interface(cx, r).await;
    Write DisableImage => api.disable_image(cx, r).await;
    Write DisableImageDeprecation => api.disable_image_deprecation(cx, r).await;
    Write DisableImageDeregistrationProtection => api.disable_image_deregistration_protection(cx, r).await;
    Write DisableTransitGatewayRouteTablePropagation => api.disable_transit_gateway_route_table_propagation(cx, r).await;
    Write DisassociateAddress => api.disassociate_address(cx, r).await;
    Write DisassociateIamInstanceProfile => api.disassociate_iam_instance_profile(cx, r).await;
    Write DisassociateNatGatewayAddress => api.disassociate_nat_addresses(cx, r).await;
    Write DisassociateRouteTable => api.disassociate_route_table(cx, r).await;
    Write DisassociateSubnetCidrBlock => api.disassociate_subnet_cidr_block(cx, r).await;
    Write DisassociateTransitGatewayRouteTable => api.disassociate_transit_gateway_route_table(cx, r).await;
    Write DisassociateVpcCidrBlock => api.disassociate_vpc_cidr_block(cx, r).await;
    Write EnableImage => api.enable_image(cx, r).await;
    Write EnableImageDeprecation => api.enable_image_deprecation(cx, r).await;
    Write EnableImageDeregistrationProtection => api.enable_image_deregistration_protection(cx, r).await;
    Write EnableTransitGatewayRouteTablePropagation => api.enable_transit_gateway_route_table_propagation(cx, r).await;
    Read GetCapacityReservationUsage => api.get_capacity_reservation_usage(cx, r).await;
    Read GetConsoleOutput => api.get_console_output(cx, r).await;
    Read GetConsoleScreenshot => api.get_console_screenshot(cx, r).await;
    Read GetInstanceMetadataDefaults => api.get_instance_metadata_defaults(cx, r).await;
    Read GetInstanceTypesFromInstanceRequirements => api.get_instance_types_from_requirements(r).await;
    Read GetInstanceUefiData => api.get_instance_uefi_data(cx, r).await;
    Read GetLaunchTemplateData => api.get_launch_template_data(cx, r).await;
    Read GetManagedPrefixListAssociations => api.get_managed_prefix_list_associations(cx, r).await;
    Read GetManagedPrefixListEntries => api.get_managed_prefix_list_entries(cx, r).await;
    Read GetPasswordData => api.get_password_data(cx, r).await;
    Read GetTransitGatewayAttachmentPropagations => api.get_transit_gateway_attachment_propagations(cx, r).await;
    Read GetTransitGatewayRouteTableAssociations => api.get_transit_gateway_route_table_associations(cx, r).await;
    Read GetTransitGatewayRouteTablePropagations => api.get_transit_gateway_route_table_propagations(cx, r).await;
    Write ImportKeyPair => api.import_key_pair(cx, r).await;
    Write ModifyCapacityReservation => api.modify_capacity_reservation(cx, r).await;
    Write ModifyFleet => api.modify_fleet(cx, r, params).await;
    Write ModifyHosts => api.modify_hosts(cx, r).await;
    Write ModifyIdFormat => api.modify_id_format(r);
    Write ModifyIdentityIdFormat => api.modify_identity_id_format(cx, r);
    Write ModifyImageAttribute => api.modify_image_attribute(cx, r).await;
    Write ModifyInstanceAttribute => api.modify_instance_attribute(cx, r).await;
    Write ModifyInstanceCapacityReservationAttributes =>
        api.modify_instance_capacity_reservation_attributes(cx, r).await;
    Write ModifyInstanceCpuOptions => api.modify_instance_cpu_options(cx, r).await;
    Write ModifyInstanceCreditSpecification => api.modify_instance_credit_specification(cx, r).await;
    Write ModifyInstanceEventStartTime => api.modify_instance_event_start_time(cx, r).await;
    Write ModifyInstanceMaintenanceOptions => api.modify_instance_maintenance_options(cx, r).await;
    Write ModifyInstanceMetadataDefaults => api.modify_instance_metadata_defaults(cx, r).await;
    Write ModifyInstanceMetadataOptions => api.modify_instance_metadata_options(cx, r).await;
    Write ModifyInstancePlacement => api.modify_instance_placement(cx, r).await;
    Write ModifyLaunchTemplate => api.modify_launch_template(cx, r, params).await;
    Write ModifyManagedPrefixList => api.modify_managed_prefix_list(cx, r).await;
    Write ModifyNetworkInterfaceAttribute => api.modify_network_interface_attribute(cx, r).await;
    Write ModifySecurityGroupRules => api.modify_security_group_rules(cx, r).await;
    Write ModifySubnetAttribute => api.modify_subnet_attribute(cx, r).await;
    Write ModifyTransitGateway => api.modify_transit_gateway(cx, r).await;
    Write ModifyTransitGatewayVpcAttachment => api.modify_transit_gateway_vpc_attachment(cx, r).await;
    Write ModifyVpcAttribute => api.modify_vpc_attribute(cx, r).await;
    Write ModifyVpcPeeringConnectionOptions => api.modify_vpc_peering_connection_options(cx, r).await;
    Write ModifyVpcTenancy => api.modify_vpc_tenancy(cx, r).await;
    Write MonitorInstances => api.monitor_instances(cx, r).await;
    Write RebootInstances => api.reboot_instances(cx, r).await;
    Write RegisterImage => api.register_image(cx, r).await;
    Write RejectTransitGatewayVpcAttachment => api.reject_transit_gateway_vpc_attachment(cx, r).await;
    Write RejectVpcPeeringConnection => api.reject_vpc_peering_connection(cx, r).await;
    Write ReleaseAddress => api.release_address(cx, r).await;
    Write ReleaseHosts => api.release_hosts(cx, r).await;
    Write ReplaceIamInstanceProfileAssociation => api.replace_iam_instance_profile_association(cx, r).await;
    Write ReplaceNetworkAclAssociation => api.replace_network_acl_association(cx, r).await;
    Write ReplaceNetworkAclEntry => api.replace_network_acl_entry(cx, r).await;
    Write ReplaceRoute => api.replace_route(cx, r).await;
    Write ReplaceRouteTableAssociation => api.replace_route_table_association(cx, r).await;
    Write ReplaceTransitGatewayRoute => api.replace_transit_gateway_route(cx, r).await;
    Write ReportInstanceStatus => api.report_instance_status(cx, r).await;
    Write RequestSpotInstances => api.request_spot_instances(cx, r, params).await;
    Write ResetAddressAttribute => api.reset_address_attribute(cx, r).await;
    Write ResetImageAttribute => api.reset_image_attribute(cx, r).await;
    Write ResetInstanceAttribute => api.reset_instance_attribute(cx, r).await;
    Write ResetNetworkInterfaceAttribute => api.reset_network_interface_attribute(cx, r).await;
    Write RestoreManagedPrefixListVersion => api.restore_managed_prefix_list_version(cx, r).await;
    Write RevokeSecurityGroupEgress => api.revoke_egress(cx, r).await;
    Write RevokeSecurityGroupIngress => api.revoke_ingress(cx, r).await;
    Write RunInstances => api.run_instances(cx, r, params).await;
    Read SearchTransitGatewayRoutes => api.search_transit_gateway_routes(cx, r).await;
    Write SendDiagnosticInterrupt => api.send_diagnostic_interrupt(cx, r).await;
    Write StartInstances => api.start_instances(cx, r).await;
    Write StartNetworkInsightsAnalysis => api.start_network_insights_analysis(cx, r, params).await;
    Write StopInstances => api.stop_instances(cx, r).await;
    Write TerminateInstances => api.terminate_instances(cx, r).await;
    Write UnassignIpv6Addresses => api.unassign_ipv6_addresses(cx, r).await;
    Write UnassignPrivateIpAddresses => api.unassign_private_ip_addresses(cx, r).await;
    Write UnassignPrivateNatGatewayAddress => api.unassign_nat_addresses(cx, r).await;
    Write UnmonitorInstances => api.unmonitor_instances(cx, r).await;
    Write UpdateSecurityGroupRuleDescriptionsEgress => api.update_rule_descriptions_egress(cx, r).await;
    Write UpdateSecurityGroupRuleDescriptionsIngress => api.update_rule_descriptions_ingress(cx, r).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_app::operation::{Access, Offered};
    use mallee_ec2_types::ec2::OPERATIONS;

    /// What AWS gave no `DryRun`.
    const NOT_DRY: [&str; 19] = [
        "AllocateHosts",
        "AssignIpv6Addresses",
        "AssignPrivateIpAddresses",
        "AssociateSubnetCidrBlock",
        "AssociateVpcCidrBlock",
        "DescribeHosts",
        "DescribeIdFormat",
        "DescribeIdentityIdFormat",
        "DisassociateSubnetCidrBlock",
        "DisassociateVpcCidrBlock",
        "ModifyHosts",
        "ModifyIdFormat",
        "ModifyIdentityIdFormat",
        "ModifyInstancePlacement",
        "ModifySubnetAttribute",
        "ModifyVpcAttribute",
        "ReleaseHosts",
        "UnassignIpv6Addresses",
        "UnassignPrivateIpAddresses",
    ];

    #[test]
    fn the_offer_is_sorted_generated_and_rightly_called_read_or_write() {
        assert!(OFFERED.windows(2).all(|two| two[0].name < two[1].name));
        for Offered { name, access } in OFFERED {
            let meta = OPERATIONS.iter().find(|op| op.name == *name);
            let meta = meta.unwrap_or_else(|| panic!("{name} is not generated"));
            assert_eq!(meta.read_only(), *access == Access::Read, "{name}");
            let not_dry = NOT_DRY.contains(name) || name.contains("IamInstanceProfile");
            assert!(meta.dry_run || not_dry, "{name}: every offered operation can be tried dry, where EC2 has it so");
        }
    }
}

//! VPCs, subnets, interfaces, addresses, security groups, tags.

use crate::kind::{ADDRESS, DHCP_OPTIONS, GROUP, INSTANCE, INTERFACE, IPV4_POOL, RULE, SUBNET, VPC};
use crate::row::{Key, Need, Source, key, rows};

const ON_INTERFACE: Need = INTERFACE.at("NetworkInterfaceId");
const ON_SUBNET: Need = SUBNET.at("SubnetId");
const ON_VPC: Need = VPC.at("VpcId");
const GROUP_ID: Need = GROUP.at("GroupId");
const GROUP_NAME: Need = GROUP.at("GroupName");
const TAGGED: Need = Need { kind: INSTANCE, source: Source::AnyKind("ResourceId.*"), keys: &[], action: None };
const NEW_VPC: &[Key] = &[key("ec2:Ipv4IpamPoolId", "Ipv4IpamPoolId"), key("ec2:Tenancy", "InstanceTenancy")];
const ASSOCIATED: &[Key] = &[key("ec2:PublicIpAddress", "PublicIp"), key("ec2:AllocationId", "AllocationId")];

rows! {
    AssociateDhcpOptions: DHCP_OPTIONS.at("DhcpOptionsId"), ON_VPC;
    AssociateVpcCidrBlock: ON_VPC;
    CreateDefaultSubnet: SUBNET.made();
    CreateDefaultVpc: VPC.made();
    CreateDhcpOptions: DHCP_OPTIONS.made();
    CreateVpc: VPC.made().keys(NEW_VPC);
    DeleteDhcpOptions: DHCP_OPTIONS.at("DhcpOptionsId");
    DeleteVpc: ON_VPC;
    DescribeVpcAttribute: ON_VPC;
    DisassociateVpcCidrBlock: VPC.linked("AssociationId");
    ModifyVpcAttribute: ON_VPC;
    ModifyVpcTenancy: ON_VPC;

    AssociateSubnetCidrBlock: ON_SUBNET;
    CreateSubnet: SUBNET.made().keys(&[key("ec2:AvailabilityZone", "AvailabilityZone")]), ON_VPC;
    DeleteSubnet: ON_SUBNET;
    DisassociateSubnetCidrBlock: SUBNET.linked("AssociationId");
    ModifySubnetAttribute: ON_SUBNET;

    AssignIpv6Addresses: ON_INTERFACE;
    AssignPrivateIpAddresses: ON_INTERFACE;
    AttachNetworkInterface: ON_INTERFACE, INSTANCE.at("InstanceId");
    CreateNetworkInterface: INTERFACE.made(), ON_SUBNET, GROUP.at("SecurityGroupId.*");
    DeleteNetworkInterface: ON_INTERFACE;
    DescribeNetworkInterfaceAttribute: ON_INTERFACE;
    DetachNetworkInterface: INTERFACE.linked("AttachmentId"), INSTANCE.linked("AttachmentId");
    ModifyNetworkInterfaceAttribute: ON_INTERFACE, GROUP.at("SecurityGroupId.*");
    ResetNetworkInterfaceAttribute: ON_INTERFACE;
    UnassignIpv6Addresses: ON_INTERFACE;
    UnassignPrivateIpAddresses: ON_INTERFACE;

    AllocateAddress: ADDRESS.made(), IPV4_POOL.at("PublicIpv4Pool");
    AssociateAddress: ADDRESS.at("AllocationId").keys(ASSOCIATED), ADDRESS.at("PublicIp").keys(ASSOCIATED),
        INSTANCE.at("InstanceId"), ON_INTERFACE;
    DisassociateAddress: ADDRESS.linked("AssociationId"), ADDRESS.at("PublicIp");
    ModifyAddressAttribute: ADDRESS.at("AllocationId");
    ReleaseAddress: ADDRESS.at("AllocationId"), ADDRESS.at("PublicIp");
    ResetAddressAttribute: ADDRESS.at("AllocationId");

    AuthorizeSecurityGroupEgress: GROUP_ID, RULE.made();
    AuthorizeSecurityGroupIngress: GROUP_ID, GROUP_NAME, RULE.made();
    CreateSecurityGroup: GROUP.made(), ON_VPC;
    DeleteSecurityGroup: GROUP_ID, GROUP_NAME;
    ModifySecurityGroupRules: GROUP_ID, RULE.at("SecurityGroupRule.*.SecurityGroupRuleId");
    RevokeSecurityGroupEgress: GROUP_ID, RULE.at("SecurityGroupRuleId.*");
    RevokeSecurityGroupIngress: GROUP_ID, GROUP_NAME, RULE.at("SecurityGroupRuleId.*");
    UpdateSecurityGroupRuleDescriptionsEgress:
        GROUP_ID, GROUP_NAME, RULE.at("SecurityGroupRuleDescription.*.SecurityGroupRuleId");
    UpdateSecurityGroupRuleDescriptionsIngress:
        GROUP_ID, GROUP_NAME, RULE.at("SecurityGroupRuleDescription.*.SecurityGroupRuleId");

    CreateTags: TAGGED;
    DeleteTags: TAGGED;
}

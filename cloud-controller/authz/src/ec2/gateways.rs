//! Routes, network ACLs, gateways, VPNs, peerings, endpoints, prefix lists, flow logs.

use crate::kind::{
    ACL, ADDRESS, CARRIER_GATEWAY, CUSTOMER_GATEWAY, EGRESS_GATEWAY, ENDPOINT, FLOW_LOG, GROUP, INSIGHTS_ANALYSIS,
    INSIGHTS_PATH, INTERNET_GATEWAY, NAT_GATEWAY, PEERING, PREFIX_LIST, ROUTE_TABLE, SUBNET, TRANSIT_ATTACHMENT,
    TRANSIT_GATEWAY, TRANSIT_TABLE, VPC, VPN, VPN_GATEWAY,
};
use crate::row::{Need, Source, key, rows};

const ON_VPC: Need = VPC.at("VpcId");
const ON_ACL: Need = ACL.at("NetworkAclId");
const ON_TABLE: Need = ROUTE_TABLE.at("RouteTableId");
const ON_PEERING: Need = PEERING.at("VpcPeeringConnectionId");
const ON_LIST: Need = PREFIX_LIST.at("PrefixListId");
const ON_TRANSIT_GATEWAY: Need = TRANSIT_GATEWAY.at("TransitGatewayId");
const ON_TRANSIT_ATTACHMENT: Need = TRANSIT_ATTACHMENT.at("TransitGatewayAttachmentId");
const ON_TRANSIT_TABLE: Need = TRANSIT_TABLE.at("TransitGatewayRouteTableId");
const ON_VPN: Need = VPN.at("VpnConnectionId");
const LOGGED: Need = Need { kind: VPC, source: Source::AnyKind("ResourceId.*"), keys: &[], action: None };
const GATEWAY: Need = Need { kind: INTERNET_GATEWAY, source: Source::AnyKind("GatewayId"), keys: &[], action: None };

rows! {
    AssociateRouteTable: ON_TABLE, SUBNET.at("SubnetId"), GATEWAY;
    CreateRoute: ON_TABLE;
    CreateRouteTable: ROUTE_TABLE.made(), ON_VPC;
    DeleteRoute: ON_TABLE;
    DeleteRouteTable: ON_TABLE;
    DisableVgwRoutePropagation: ON_TABLE, VPN_GATEWAY.at("GatewayId");
    DisassociateRouteTable: ROUTE_TABLE.linked("AssociationId");
    EnableVgwRoutePropagation: ON_TABLE, VPN_GATEWAY.at("GatewayId");
    ReplaceRoute: ON_TABLE;
    ReplaceRouteTableAssociation: ROUTE_TABLE.linked("AssociationId"), ON_TABLE;

    CreateNetworkAcl: ACL.made(), ON_VPC;
    CreateNetworkAclEntry: ON_ACL;
    DeleteNetworkAcl: ON_ACL;
    DeleteNetworkAclEntry: ON_ACL;
    ReplaceNetworkAclAssociation: ACL.linked("AssociationId"), ON_ACL;
    ReplaceNetworkAclEntry: ON_ACL;

    AssignPrivateNatGatewayAddress: NAT_GATEWAY.at("NatGatewayId");
    AssociateNatGatewayAddress: NAT_GATEWAY.at("NatGatewayId"), ADDRESS.at("AllocationId.*");
    DisassociateNatGatewayAddress: NAT_GATEWAY.at("NatGatewayId");
    UnassignPrivateNatGatewayAddress: NAT_GATEWAY.at("NatGatewayId");
    AttachInternetGateway: INTERNET_GATEWAY.at("InternetGatewayId"), ON_VPC;
    AttachVpnGateway: VPN_GATEWAY.at("VpnGatewayId"), ON_VPC;
    CreateCarrierGateway: CARRIER_GATEWAY.made(), ON_VPC;
    CreateCustomerGateway: CUSTOMER_GATEWAY.made();
    CreateEgressOnlyInternetGateway: EGRESS_GATEWAY.made(), ON_VPC;
    CreateInternetGateway: INTERNET_GATEWAY.made();
    CreateNatGateway: NAT_GATEWAY.made(), SUBNET.at("SubnetId"), ADDRESS.at("AllocationId"),
        ADDRESS.at("SecondaryAllocationId.*"), ON_VPC;
    CreateVpnConnection: VPN.made(), CUSTOMER_GATEWAY.at("CustomerGatewayId"), VPN_GATEWAY.at("VpnGatewayId");
    CreateVpnConnectionRoute: ON_VPN;
    CreateVpnGateway: VPN_GATEWAY.made();
    DeleteCarrierGateway: CARRIER_GATEWAY.at("CarrierGatewayId");
    DeleteCustomerGateway: CUSTOMER_GATEWAY.at("CustomerGatewayId");
    DeleteEgressOnlyInternetGateway: EGRESS_GATEWAY.at("EgressOnlyInternetGatewayId");
    DeleteInternetGateway: INTERNET_GATEWAY.at("InternetGatewayId");
    DeleteNatGateway: NAT_GATEWAY.at("NatGatewayId");
    DeleteVpnConnection: ON_VPN;
    DeleteVpnConnectionRoute: ON_VPN;
    DeleteVpnGateway: VPN_GATEWAY.at("VpnGatewayId");
    DetachInternetGateway: INTERNET_GATEWAY.at("InternetGatewayId"), ON_VPC;
    DetachVpnGateway: VPN_GATEWAY.at("VpnGatewayId"), ON_VPC;

    AcceptVpcPeeringConnection: ON_PEERING;
    CreateVpcPeeringConnection: PEERING.made().keys(&[key("ec2:AccepterVpc", "PeerVpcId")]), ON_VPC;
    DeleteVpcPeeringConnection: ON_PEERING;
    ModifyVpcPeeringConnectionOptions: ON_PEERING;
    RejectVpcPeeringConnection: ON_PEERING;

    AcceptTransitGatewayVpcAttachment: ON_TRANSIT_ATTACHMENT;
    AssociateTransitGatewayRouteTable: ON_TRANSIT_TABLE, ON_TRANSIT_ATTACHMENT;
    CreateTransitGateway: TRANSIT_GATEWAY.made();
    CreateTransitGatewayRoute: ON_TRANSIT_TABLE, ON_TRANSIT_ATTACHMENT;
    CreateTransitGatewayRouteTable: TRANSIT_TABLE.made(), ON_TRANSIT_GATEWAY;
    CreateTransitGatewayVpcAttachment: TRANSIT_ATTACHMENT.made(), ON_TRANSIT_GATEWAY, ON_VPC,
        SUBNET.at("SubnetIds.*");
    DeleteTransitGateway: ON_TRANSIT_GATEWAY;
    DeleteTransitGatewayRoute: ON_TRANSIT_TABLE;
    DeleteTransitGatewayRouteTable: ON_TRANSIT_TABLE;
    DeleteTransitGatewayVpcAttachment: ON_TRANSIT_ATTACHMENT;
    DisableTransitGatewayRouteTablePropagation: ON_TRANSIT_TABLE, ON_TRANSIT_ATTACHMENT;
    DisassociateTransitGatewayRouteTable: ON_TRANSIT_TABLE, ON_TRANSIT_ATTACHMENT;
    EnableTransitGatewayRouteTablePropagation: ON_TRANSIT_TABLE, ON_TRANSIT_ATTACHMENT;
    GetTransitGatewayAttachmentPropagations: ON_TRANSIT_ATTACHMENT;
    GetTransitGatewayRouteTableAssociations: ON_TRANSIT_TABLE;
    GetTransitGatewayRouteTablePropagations: ON_TRANSIT_TABLE;
    ModifyTransitGateway: ON_TRANSIT_GATEWAY, TRANSIT_TABLE.at("Options.AssociationDefaultRouteTableId"),
        TRANSIT_TABLE.at("Options.PropagationDefaultRouteTableId");
    ModifyTransitGatewayVpcAttachment: ON_TRANSIT_ATTACHMENT, SUBNET.at("AddSubnetIds.*"),
        SUBNET.at("RemoveSubnetIds.*");
    RejectTransitGatewayVpcAttachment: ON_TRANSIT_ATTACHMENT;
    ReplaceTransitGatewayRoute: ON_TRANSIT_TABLE, ON_TRANSIT_ATTACHMENT;
    SearchTransitGatewayRoutes: ON_TRANSIT_TABLE;

    CreateVpcEndpoint: ENDPOINT.made().keys(&[key("ec2:VpceServiceName", "ServiceName")]), ON_VPC,
        ROUTE_TABLE.at("RouteTableId.*"), SUBNET.at("SubnetId.*"), GROUP.at("SecurityGroupId.*");
    DeleteVpcEndpoints: ENDPOINT.at("VpcEndpointId.*");
    ModifyVpcEndpoint: ENDPOINT.at("VpcEndpointId"),
        ROUTE_TABLE.at("AddRouteTableId.*"), ROUTE_TABLE.at("RemoveRouteTableId.*"),
        SUBNET.at("AddSubnetId.*"), SUBNET.at("RemoveSubnetId.*"),
        GROUP.at("AddSecurityGroupId.*"), GROUP.at("RemoveSecurityGroupId.*");

    CreateManagedPrefixList: PREFIX_LIST.made();
    DeleteManagedPrefixList: ON_LIST;
    GetManagedPrefixListAssociations: ON_LIST;
    GetManagedPrefixListEntries: ON_LIST;
    ModifyManagedPrefixList: ON_LIST;
    RestoreManagedPrefixListVersion: ON_LIST;

    CreateFlowLogs: FLOW_LOG.made(), LOGGED;
    DeleteFlowLogs: FLOW_LOG.at("FlowLogId.*");

    CreateNetworkInsightsPath: INSIGHTS_PATH.made();
    DeleteNetworkInsightsAnalysis: INSIGHTS_ANALYSIS.at("NetworkInsightsAnalysisId");
    DeleteNetworkInsightsPath: INSIGHTS_PATH.at("NetworkInsightsPathId");
    StartNetworkInsightsAnalysis: INSIGHTS_ANALYSIS.made(), INSIGHTS_PATH.at("NetworkInsightsPathId");
}

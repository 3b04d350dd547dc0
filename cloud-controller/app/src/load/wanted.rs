//! What rows of the change log name, and what objects on the wire are.

use mallee_proto::v1::ObjectKind;
use mallee_proto::v1::intent_change::Object;
use mallee_types::{
    CapacityReservationId, FlowLogId, GroupId, HostId, InstanceId, NatGatewayId, NetworkAclId, NodeId, RouteTableId,
    SubnetId, TransitGatewayId, VpcId, VpcPeeringId,
};

/// Kind of an instance in the change log.
pub const INSTANCE: &str = "instance";
/// Kind of a VPC.
pub const VPC: &str = "vpc";
/// Kind of a subnet.
pub const SUBNET: &str = "subnet";
/// Kind of a route table.
pub const ROUTE_TABLE: &str = "route-table";
/// Kind of a network ACL.
pub const NETWORK_ACL: &str = "network-acl";
/// Kind of a VPC peering connection.
pub const VPC_PEERING: &str = "vpc-peering";
/// Kind of a transit gateway.
pub const TRANSIT_GATEWAY: &str = "transit-gateway";
/// Kind of a flow log.
pub const FLOW_LOG: &str = "flow-log";
/// Kind of a NAT gateway.
pub const NAT_GATEWAY: &str = "nat-gateway";
/// Kind of a security group.
pub const GROUP: &str = "group";

/// Kind of a capacity reservation.
pub const CAPACITY: &str = "capacity";
/// Kind of a dedicated host.
pub const HOST: &str = "host";
/// Kind of a node: where it is reached.
pub const NODE: &str = "node";

/// An object named by the change log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// A VPC. The order of variants is the order of sending: what is referred to goes first.
    Vpc(VpcId),
    /// A VPC peering connection.
    VpcPeering(VpcPeeringId),
    /// A transit gateway with its tables.
    TransitGateway(TransitGatewayId),
    /// A subnet.
    Subnet(SubnetId),
    /// A route table with its routes.
    RouteTable(RouteTableId),
    /// A network ACL with its entries.
    NetworkAcl(NetworkAclId),
    /// A security group with its rules.
    Group(GroupId),
    /// A flow log.
    FlowLog(FlowLogId),
    /// A NAT gateway.
    NatGateway(NatGatewayId),
    /// A capacity reservation.
    Capacity(CapacityReservationId),
    /// A dedicated host.
    Host(HostId),
    /// A node.
    Node(NodeId),
    /// An instance.
    Instance(InstanceId),
}

impl Wanted {
    /// Reads a row of the change log; `None` for kinds that clusters need not know.
    #[must_use]
    pub fn parse(kind: &str, id: &str) -> Option<Self> {
        match kind {
            VPC => id.parse().ok().map(Self::Vpc),
            VPC_PEERING => id.parse().ok().map(Self::VpcPeering),
            TRANSIT_GATEWAY => id.parse().ok().map(Self::TransitGateway),
            SUBNET => id.parse().ok().map(Self::Subnet),
            ROUTE_TABLE => id.parse().ok().map(Self::RouteTable),
            NETWORK_ACL => id.parse().ok().map(Self::NetworkAcl),
            GROUP => id.parse().ok().map(Self::Group),
            FLOW_LOG => id.parse().ok().map(Self::FlowLog),
            NAT_GATEWAY => id.parse().ok().map(Self::NatGateway),
            CAPACITY => id.parse().ok().map(Self::Capacity),
            HOST => id.parse().ok().map(Self::Host),
            NODE => id.parse().ok().map(Self::Node),
            INSTANCE => id.parse().ok().map(Self::Instance),
            _ => None,
        }
    }
}

/// Whether every zone's cluster is told of it, even if it is of one zone.
pub(crate) fn of_all_zones(kind: &str) -> bool {
    matches!(kind, INSTANCE | NODE)
}

impl Wanted {
    /// What an object on the wire is, so that its place in the change log can be found again.
    pub(crate) fn of(object: &Object) -> Option<Self> {
        let (kind, id) = match object {
            Object::Instance(instance) => (INSTANCE, &instance.id),
            Object::Vpc(vpc) => (VPC, &vpc.id),
            Object::Subnet(subnet) => (SUBNET, &subnet.id),
            Object::RouteTable(table) => (ROUTE_TABLE, &table.id),
            Object::NetworkAcl(acl) => (NETWORK_ACL, &acl.id),
            Object::Group(group) => (GROUP, &group.id),
            Object::VpcPeering(peering) => (VPC_PEERING, &peering.id),
            Object::FlowLog(log) => (FLOW_LOG, &log.id),
            Object::TransitGateway(gateway) => (TRANSIT_GATEWAY, &gateway.id),
            Object::NatGateway(gateway) => (NAT_GATEWAY, &gateway.id),
            Object::Capacity(reservation) => (CAPACITY, &reservation.id),
            Object::Host(host) => (HOST, &host.id),
            Object::PeerNode(node) => (NODE, &node.id),
            Object::PeerInstance(instance) => (INSTANCE, &instance.id),
            Object::Removed(removed) => {
                let kind = match removed.kind() {
                    ObjectKind::Instance => INSTANCE,
                    ObjectKind::Vpc => VPC,
                    ObjectKind::Subnet => SUBNET,
                    ObjectKind::RouteTable => ROUTE_TABLE,
                    ObjectKind::NetworkAcl => NETWORK_ACL,
                    ObjectKind::Group => GROUP,
                    ObjectKind::VpcPeering => VPC_PEERING,
                    ObjectKind::FlowLog => FLOW_LOG,
                    ObjectKind::TransitGateway => TRANSIT_GATEWAY,
                    ObjectKind::NatGateway => NAT_GATEWAY,
                    ObjectKind::Capacity => CAPACITY,
                    ObjectKind::Host => HOST,
                    ObjectKind::Unspecified => return None,
                };
                (kind, &removed.id)
            }
        };
        Self::parse(kind, id)
    }
}

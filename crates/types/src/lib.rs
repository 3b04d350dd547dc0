//! The vocabulary every tier shares: ids, zones, states, limits.
//!
//! Nothing here is asynchronous, does I/O, or knows a wire format.

pub mod id;
pub mod instance;
pub mod instance_type;
pub mod limits;
pub mod mac;
pub mod order;
mod public_address;
pub mod secret;

pub use id::{
    AccountId, AddressId, AllocationId, AttachmentId, CapacityReservationId, DhcpOptionsId, EgressOnlyGatewayId,
    FleetId, FlowLogId, GroupId, GroupRuleId, HostId, IdError, ImageId, InsightsAnalysisId, InsightsPathId,
    InstanceEventId, InstanceId, InterfaceId, InternetGatewayId, KeyPairId, LaunchTemplateId, NatGatewayId,
    NetworkAclAssociationId, NetworkAclId, NodeId, PlacementGroupId, PrefixListId, ProfileAssociationId, ReservationId,
    RouteAssociationId, RouteTableId, SpotRequestId, SubnetCidrAssociationId, SubnetId, TransitAttachmentId,
    TransitGatewayId, TransitTableId, VolumeId, VpcCidrAssociationId, VpcId, VpcPeeringId, ZoneName,
};
pub use instance::{DomainPhase, InstanceState, RunIntent, StateReason};
pub use mac::MacAddress;
pub use order::{Epoch, Generation, Incarnation};
pub use public_address::is_public;

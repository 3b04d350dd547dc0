//! Ways to launch and places to launch in: templates, fleets, spot, placement groups, reservations, hosts.

use crate::kind::{
    FLEET, GROUP, HOST, IMAGE, INSTANCE, INTERFACE, KEY_PAIR, PLACEMENT, RESERVATION, SNAPSHOT, SPOT, SUBNET, TEMPLATE,
    VOLUME,
};
use crate::row::{Key, Need, key, pass_role_of, rows};

const BY_ID: Need = TEMPLATE.at("LaunchTemplateId");
const BY_NAME: Need = TEMPLATE.at("LaunchTemplateName");
const SPOT_TYPE: &[Key] = &[
    key("ec2:InstanceType", "LaunchSpecification.InstanceType"),
    key("ec2:AvailabilityZone", "LaunchSpecification.Placement.AvailabilityZone"),
];
const RESERVED: &[Key] = &[
    key("ec2:InstanceType", "InstanceType"),
    key("ec2:AvailabilityZone", "AvailabilityZone"),
    key("ec2:InstancePlatform", "InstancePlatform"),
    key("ec2:Tenancy", "Tenancy"),
];
const HOSTS: &[Key] = &[
    key("ec2:AutoPlacement", "AutoPlacement"),
    key("ec2:AvailabilityZone", "AvailabilityZone"),
    key("ec2:HostRecovery", "HostRecovery"),
    key("ec2:InstanceType", "InstanceType"),
    key("ec2:Quantity", "Quantity"),
];
const GROUPING: &[Key] = &[key("ec2:PlacementGroupName", "GroupName"), key("ec2:PlacementGroupStrategy", "Strategy")];

rows! {
    CreateLaunchTemplate: TEMPLATE.made();
    CreateLaunchTemplateVersion: BY_ID, BY_NAME;
    DeleteLaunchTemplate: BY_ID, BY_NAME;
    DeleteLaunchTemplateVersions: BY_ID, BY_NAME;
    ModifyLaunchTemplate: BY_ID, BY_NAME;

    CreateFleet: FLEET.made(), INSTANCE.made(),
        TEMPLATE.at("LaunchTemplateConfigs.*.LaunchTemplateSpecification.LaunchTemplateId"),
        TEMPLATE.at("LaunchTemplateConfigs.*.LaunchTemplateSpecification.LaunchTemplateName"),
        SUBNET.at("LaunchTemplateConfigs.*.Overrides.*.SubnetId"),
        IMAGE.at("LaunchTemplateConfigs.*.Overrides.*.ImageId");
    DeleteFleets: FLEET.at("FleetId.*");
    DescribeFleetHistory: FLEET.at("FleetId");
    DescribeFleetInstances: FLEET.at("FleetId");
    ModifyFleet: FLEET.at("FleetId"),
        TEMPLATE.at("LaunchTemplateConfig.*.LaunchTemplateSpecification.LaunchTemplateId"),
        TEMPLATE.at("LaunchTemplateConfig.*.LaunchTemplateSpecification.LaunchTemplateName");

    RequestSpotInstances: SPOT.made().keys(SPOT_TYPE),
        IMAGE.at("LaunchSpecification.ImageId"),
        SUBNET.at("LaunchSpecification.SubnetId"),
        SUBNET.at("LaunchSpecification.NetworkInterface.*.SubnetId"),
        INTERFACE.at("LaunchSpecification.NetworkInterface.*.NetworkInterfaceId"),
        GROUP.at("LaunchSpecification.SecurityGroupId.*"),
        GROUP.at("LaunchSpecification.SecurityGroup.*"),
        GROUP.at("LaunchSpecification.NetworkInterface.*.SecurityGroupId.*"),
        KEY_PAIR.at("LaunchSpecification.KeyName"),
        PLACEMENT.at("LaunchSpecification.Placement.GroupName"),
        SNAPSHOT.at("LaunchSpecification.BlockDeviceMapping.*.Ebs.SnapshotId"),
        VOLUME.made(),
        pass_role_of("LaunchSpecification.IamInstanceProfile.Arn"),
        pass_role_of("LaunchSpecification.IamInstanceProfile.Name");
    CancelSpotInstanceRequests: SPOT.at("SpotInstanceRequestId.*");
    CreateSpotDatafeedSubscription;
    DeleteSpotDatafeedSubscription;

    CreatePlacementGroup: PLACEMENT.made().keys(GROUPING);
    DeletePlacementGroup: PLACEMENT.at("GroupName");

    CreateCapacityReservation: RESERVATION.made().keys(RESERVED), PLACEMENT.at("PlacementGroupArn");
    CancelCapacityReservation: RESERVATION.at("CapacityReservationId");
    GetCapacityReservationUsage: RESERVATION.at("CapacityReservationId");
    ModifyCapacityReservation: RESERVATION.at("CapacityReservationId");

    AllocateHosts: HOST.made().keys(HOSTS);
    ModifyHosts: HOST.at("HostId.*");
    ReleaseHosts: HOST.at("HostId.*");
}

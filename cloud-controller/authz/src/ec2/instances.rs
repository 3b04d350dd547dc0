//! Instances.

use crate::kind::{
    GROUP, HOST, IMAGE, INSTANCE, INTERFACE, KEY_PAIR, PLACEMENT, RESERVATION, SNAPSHOT, SUBNET, TEMPLATE, VOLUME,
};
use crate::row::{From, Key, Need, key, pass_role_of, rows};

/// What RunInstances says of the instances it makes.
const RUN: &[Key] = &[
    key("ec2:InstanceType", "InstanceType"),
    key("ec2:AvailabilityZone", "Placement.AvailabilityZone"),
    key("ec2:EbsOptimized", "EbsOptimized"),
    key("ec2:ImageID", "ImageId"),
    key("ec2:InstanceMarketType", "InstanceMarketOptions.MarketType"),
    key("ec2:MetadataHttpEndpoint", "MetadataOptions.HttpEndpoint"),
    key("ec2:MetadataHttpPutResponseHopLimit", "MetadataOptions.HttpPutResponseHopLimit"),
    key("ec2:MetadataHttpTokens", "MetadataOptions.HttpTokens"),
    key("ec2:InstanceMetadataTags", "MetadataOptions.InstanceMetadataTags"),
    key("ec2:CpuOptionsAmdSevSnp", "CpuOptions.AmdSevSnp"),
    Key { name: "ec2:Tenancy", from: From::ParamOr("Placement.Tenancy", "default") },
];
const NEW_INTERFACE: &[Key] = &[
    key("ec2:AssociatePublicIpAddress", "NetworkInterface.*.AssociatePublicIpAddress"),
    key("ec2:AvailabilityZone", "Placement.AvailabilityZone"),
];
const NEW_VOLUME: &[Key] = &[
    key("ec2:Encrypted", "BlockDeviceMapping.*.Ebs.Encrypted"),
    key("ec2:VolumeIops", "BlockDeviceMapping.*.Ebs.Iops"),
    key("ec2:VolumeSize", "BlockDeviceMapping.*.Ebs.VolumeSize"),
    key("ec2:VolumeThroughput", "BlockDeviceMapping.*.Ebs.Throughput"),
    key("ec2:VolumeType", "BlockDeviceMapping.*.Ebs.VolumeType"),
    key("ec2:AvailabilityZone", "Placement.AvailabilityZone"),
];
const METADATA: &[Key] = &[
    key("ec2:Attribute/HttpEndpoint", "HttpEndpoint"),
    key("ec2:Attribute/HttpPutResponseHopLimit", "HttpPutResponseHopLimit"),
    key("ec2:Attribute/HttpTokens", "HttpTokens"),
    key("ec2:Attribute/InstanceMetadataTags", "InstanceMetadataTags"),
];
/// A template may hold what the request does not: then the request names none of its own.
const TEMPLATE_GIVEN: &[&str] = &["LaunchTemplate.LaunchTemplateId", "LaunchTemplate.LaunchTemplateName"];
const INTERFACES_OR_TEMPLATE: &[&str] = &[
    "NetworkInterface.*.NetworkInterfaceId",
    "NetworkInterface.*.SubnetId",
    "LaunchTemplate.LaunchTemplateId",
    "LaunchTemplate.LaunchTemplateName",
];
const GROUPS_OR_TEMPLATE: &[&str] = &[
    "SecurityGroup.*",
    "NetworkInterface.*.SecurityGroupId.*",
    "NetworkInterface.*.NetworkInterfaceId",
    "LaunchTemplate.LaunchTemplateId",
    "LaunchTemplate.LaunchTemplateName",
];

const ON: Need = INSTANCE.at("InstanceId");
const ALL: Need = INSTANCE.at("InstanceId.*");

rows! {
    RunInstances:
        IMAGE.or_any("ImageId", TEMPLATE_GIVEN),
        INSTANCE.made().keys(RUN),
        SUBNET.or_any("SubnetId", INTERFACES_OR_TEMPLATE),
        SUBNET.at("NetworkInterface.*.SubnetId"),
        GROUP.or_any("SecurityGroupId.*", GROUPS_OR_TEMPLATE),
        GROUP.at("SecurityGroup.*"),
        GROUP.at("NetworkInterface.*.SecurityGroupId.*"),
        INTERFACE.made().keys(NEW_INTERFACE),
        INTERFACE.at("NetworkInterface.*.NetworkInterfaceId"),
        VOLUME.made().keys(NEW_VOLUME),
        SNAPSHOT.at("BlockDeviceMapping.*.Ebs.SnapshotId"),
        KEY_PAIR.at("KeyName"),
        PLACEMENT.at("Placement.GroupName"),
        PLACEMENT.at("Placement.GroupId"),
        HOST.at("Placement.HostId"),
        RESERVATION.at("CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId"),
        TEMPLATE.at("LaunchTemplate.LaunchTemplateId"),
        TEMPLATE.at("LaunchTemplate.LaunchTemplateName"),
        pass_role_of("IamInstanceProfile.Arn"),
        pass_role_of("IamInstanceProfile.Name");
    MonitorInstances: ALL;
    RebootInstances: ALL;
    ReportInstanceStatus: ALL;
    SendDiagnosticInterrupt: ON;
    StartInstances: ALL;
    StopInstances: ALL;
    TerminateInstances: ALL;
    UnmonitorInstances: ALL;

    DescribeInstanceAttribute: ON;
    GetConsoleOutput: ON;
    GetConsoleScreenshot: ON;
    GetInstanceUefiData: ON;
    GetLaunchTemplateData: ON;
    GetPasswordData: ON;
    ModifyInstanceAttribute: ON, GROUP.at("GroupId.*"), VOLUME.at("BlockDeviceMapping.*.Ebs.VolumeId");
    ModifyInstanceCapacityReservationAttributes:
        ON, RESERVATION.at("CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId");
    ModifyInstanceCpuOptions: ON;
    ModifyInstanceCreditSpecification: INSTANCE.at("InstanceCreditSpecification.*.InstanceId");
    ModifyInstanceEventStartTime: ON;
    ModifyInstanceMaintenanceOptions: ON;
    ModifyInstanceMetadataDefaults;
    ModifyInstanceMetadataOptions: ON.keys(METADATA);
    ModifyInstancePlacement: ON, HOST.at("HostId"), PLACEMENT.at("GroupName"), PLACEMENT.at("GroupId");
    ModifyPrivateDnsNameOptions: ON;
    ResetInstanceAttribute: ON;

    AssociateIamInstanceProfile: ON, pass_role_of("IamInstanceProfile.Arn"), pass_role_of("IamInstanceProfile.Name");
    DisassociateIamInstanceProfile: INSTANCE.linked("AssociationId");
    ReplaceIamInstanceProfileAssociation:
        INSTANCE.linked("AssociationId"), pass_role_of("IamInstanceProfile.Arn"), pass_role_of("IamInstanceProfile.Name");
    CreateReplaceRootVolumeTask:
        ON, VOLUME.made(), crate::kind::ROOT_TASK.made(), SNAPSHOT.at("SnapshotId"), IMAGE.at("ImageId"),
        VOLUME.at("VolumeId");
    CreateInstanceExportTask: ON, crate::kind::EXPORT_INSTANCE.made();
    BundleInstance: ON;
}

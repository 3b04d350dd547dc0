//! Volumes and snapshots.

use crate::kind::{INSTANCE, SNAPSHOT, VOLUME};
use crate::row::{Key, Need, key, rows};

const ON: Need = VOLUME.at("VolumeId");
const ON_SNAPSHOT: Need = SNAPSHOT.at("SnapshotId");
const NEW_VOLUME: &[Key] = &[
    key("ec2:AvailabilityZone", "AvailabilityZone"),
    key("ec2:Encrypted", "Encrypted"),
    key("ec2:ParentSnapshot", "SnapshotId"),
    key("ec2:VolumeIops", "Iops"),
    key("ec2:VolumeSize", "Size"),
    key("ec2:VolumeThroughput", "Throughput"),
    key("ec2:VolumeType", "VolumeType"),
];
const PERMISSIONS: &[Key] = &[
    key("ec2:Add/userId", "CreateVolumePermission.Add.*.UserId"),
    key("ec2:Add/group", "CreateVolumePermission.Add.*.Group"),
    key("ec2:Remove/userId", "CreateVolumePermission.Remove.*.UserId"),
    key("ec2:Remove/group", "CreateVolumePermission.Remove.*.Group"),
];

rows! {
    AttachVolume: ON, INSTANCE.at("InstanceId");
    CreateVolume: VOLUME.made().keys(NEW_VOLUME), ON_SNAPSHOT;
    DeleteVolume: ON;
    DescribeVolumeAttribute: ON;
    DetachVolume: ON, INSTANCE.at("InstanceId");
    EnableVolumeIO: ON;
    ModifyVolume: ON;
    ModifyVolumeAttribute: ON;

    CopySnapshot: SNAPSHOT.made(), SNAPSHOT.at("SourceSnapshotId");
    CreateSnapshot: SNAPSHOT.made(), ON;
    DeleteSnapshot: ON_SNAPSHOT;
    DescribeSnapshotAttribute: ON_SNAPSHOT;
    ModifySnapshotAttribute: ON_SNAPSHOT.keys(PERMISSIONS);
    ResetSnapshotAttribute: ON_SNAPSHOT;
}

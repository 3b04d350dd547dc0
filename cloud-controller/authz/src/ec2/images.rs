//! Images, their import and export, and key pairs.

use crate::kind::{IMAGE, IMPORT_IMAGE, IMPORT_SNAPSHOT, INSTANCE, KEY_PAIR, SNAPSHOT};
use crate::row::{Key, Need, key, rows};

const ON: Need = IMAGE.at("ImageId");
const TASK: Need = IMPORT_IMAGE.at("ImportTaskId");
const PERMISSIONS: &[Key] = &[
    key("ec2:Add/userId", "LaunchPermission.Add.*.UserId"),
    key("ec2:Add/group", "LaunchPermission.Add.*.Group"),
    key("ec2:Remove/userId", "LaunchPermission.Remove.*.UserId"),
    key("ec2:Remove/group", "LaunchPermission.Remove.*.Group"),
];

rows! {
    CopyImage: IMAGE.made(), IMAGE.at("SourceImageId");
    CreateImage: INSTANCE.at("InstanceId"), IMAGE.made(), SNAPSHOT.made();
    DeregisterImage: ON;
    DescribeImageAttribute: ON;
    DisableImage: ON;
    DisableImageDeprecation: ON;
    DisableImageDeregistrationProtection: ON;
    EnableImage: ON;
    EnableImageDeprecation: ON;
    EnableImageDeregistrationProtection: ON;
    ModifyImageAttribute: ON.keys(PERMISSIONS);
    RegisterImage: IMAGE.made(), SNAPSHOT.at("BlockDeviceMapping.*.Ebs.SnapshotId");
    ResetImageAttribute: ON;

    CancelBundleTask;
    CancelConversionTask;
    CancelExportTask: crate::kind::EXPORT_INSTANCE.at("ExportTaskId");
    CancelImportTask: TASK;
    ImportImage: IMAGE.made(), IMPORT_IMAGE.made(), SNAPSHOT.made();
    ImportInstance: INSTANCE.made();
    ImportSnapshot: SNAPSHOT.made(), IMPORT_SNAPSHOT.made();
    ImportVolume;

    CreateKeyPair: KEY_PAIR.made().keys(&[key("ec2:KeyPairName", "KeyName"), key("ec2:KeyPairType", "KeyType")]);
    DeleteKeyPair: KEY_PAIR.at("KeyName"), KEY_PAIR.at("KeyPairId");
    ImportKeyPair: KEY_PAIR.made().keys(&[key("ec2:KeyPairName", "KeyName")]);
}

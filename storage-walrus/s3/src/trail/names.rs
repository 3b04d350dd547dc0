//! Which operations manage buckets, and what CloudTrail calls them.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/cloudtrail-logging-s3-info.html>

use crate::operation::{Operation, Scope};

/// Operations on buckets that are about what is in them: data events, in CloudTrail's words.
const DATA: &[Operation] = &[
    Operation::HeadBucket,
    Operation::ListObjects,
    Operation::ListObjectsV2,
    Operation::ListObjectVersions,
    Operation::ListMultipartUploads,
    Operation::PostObject,
    Operation::DeleteObjects,
    Operation::CreateSession,
];

/// The name of an operation among CloudTrail's management events; `None`: it is about objects.
pub(crate) fn name(operation: Operation) -> Option<&'static str> {
    if operation.row().scope == Scope::Object || DATA.contains(&operation) {
        return None;
    }
    Some(match operation {
        Operation::GetBucketAccelerateConfiguration => "GetAccelerateConfiguration",
        Operation::PutBucketAccelerateConfiguration => "PutAccelerateConfiguration",
        Operation::GetBucketLifecycleConfiguration => "GetBucketLifecycle",
        Operation::PutBucketLifecycleConfiguration => "PutBucketLifecycle",
        Operation::GetBucketNotificationConfiguration => "GetBucketNotification",
        Operation::PutBucketNotificationConfiguration => "PutBucketNotification",
        Operation::GetObjectLockConfiguration => "GetBucketObjectLockConfiguration",
        Operation::PutObjectLockConfiguration => "PutBucketObjectLockConfiguration",
        Operation::GetPublicAccessBlock => "GetBucketPublicAccessBlock",
        Operation::PutPublicAccessBlock => "PutBucketPublicAccessBlock",
        Operation::DeletePublicAccessBlock => "DeleteBucketPublicAccessBlock",
        other => other.name(),
    })
}

/// Whether an operation only looks.
pub(crate) fn only_looks(operation: Operation) -> bool {
    matches!(operation.row().method, "GET" | "HEAD")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_managed_and_objects_are_not() {
        for operation in Operation::ALL {
            let name = name(*operation);
            assert!(name.is_none() || operation.row().scope != Scope::Object, "{operation:?}");
            // The audit trail tells readers from writers by the names.
            let looks = name.is_some_and(|name| name.starts_with("Get") || name.starts_with("List"));
            assert!(name.is_none() || looks == only_looks(*operation), "{operation:?}");
        }
        for (operation, expected) in [
            (Operation::ListBuckets, Some("ListBuckets")),
            (Operation::CreateBucket, Some("CreateBucket")),
            (Operation::PutBucketLifecycleConfiguration, Some("PutBucketLifecycle")),
            (Operation::DeleteBucketLifecycle, Some("DeleteBucketLifecycle")),
            (Operation::DeletePublicAccessBlock, Some("DeleteBucketPublicAccessBlock")),
            (Operation::PutObjectLockConfiguration, Some("PutBucketObjectLockConfiguration")),
            (Operation::HeadBucket, None),
            (Operation::ListObjectsV2, None),
            (Operation::GetObject, None),
            (Operation::PutObjectAcl, None),
        ] {
            assert_eq!(name(operation), expected);
        }
    }
}

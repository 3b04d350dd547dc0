//! The operations of S3 as a table: by which method, target and sub-resource a request names one, and which actions its
//! caller must be allowed. What is asked and what is run go by this table; there is no other.

/// What an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The service (`/`).
    Service,
    /// A bucket.
    Bucket,
    /// An object.
    Object,
}

/// What tells operations apart that share method, target and sub-resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Nothing: it is the one where no other is meant.
    Always,
    /// `x-amz-copy-source` is there.
    Copies,
    /// A parameter is there.
    With(&'static str),
    /// A parameter has a value.
    Is(&'static str, &'static str),
}

/// How a request names an operation, and what it takes.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// AWS's name.
    pub name: &'static str,
    /// HTTP method.
    pub method: &'static str,
    /// What it is about.
    pub scope: Scope,
    /// The parameter that names it; empty for none.
    pub subresource: &'static str,
    /// What else it takes.
    pub when: When,
    /// `s3:…`: what must be allowed on its target. A version has actions of its own, which are not here.
    pub actions: &'static [&'static str],
}

macro_rules! operations {
    ($($name:ident $method:ident $scope:ident $subresource:literal $when:expr => $($action:literal)+;)*) => {
        /// An operation of S3.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Operation { $(#[doc = concat!("AWS's ", stringify!($name), ".")] $name,)* }

        impl Operation {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its row of the table.
            #[must_use]
            pub const fn row(self) -> &'static Row {
                match self {
                    $(Self::$name => &Row {
                        name: stringify!($name),
                        method: stringify!($method),
                        scope: Scope::$scope,
                        subresource: $subresource,
                        when: $when,
                        actions: &[$($action),+],
                    },)*
                }
            }
        }
    };
}

use When::{Always, Copies, Is, With};

// `cargo xtask compat` reads the first word of each line.
operations! {
    ListBuckets GET Service "" Always => "s3:ListAllMyBuckets";
    CreateBucket PUT Bucket "" Always => "s3:CreateBucket";
    HeadBucket HEAD Bucket "" Always => "s3:ListBucket";
    DeleteBucket DELETE Bucket "" Always => "s3:DeleteBucket";
    ListObjects GET Bucket "" Always => "s3:ListBucket";
    ListObjectsV2 GET Bucket "" Is("list-type", "2") => "s3:ListBucket";
    PostObject POST Bucket "" Always => "s3:PutObject";
    DeleteObjects POST Bucket "delete" Always => "s3:DeleteObject";
    GetBucketLocation GET Bucket "location" Always => "s3:GetBucketLocation";
    ListMultipartUploads GET Bucket "uploads" Always => "s3:ListBucketMultipartUploads";
    ListObjectVersions GET Bucket "versions" Always => "s3:ListBucketVersions";
    CreateSession GET Bucket "session" Always => "s3express:CreateSession";
    GetBucketAbac GET Bucket "abac" Always => "s3:GetBucketAbac";
    PutBucketAbac PUT Bucket "abac" Always => "s3:PutBucketAbac";
    GetBucketAccelerateConfiguration GET Bucket "accelerate" Always => "s3:GetAccelerateConfiguration";
    PutBucketAccelerateConfiguration PUT Bucket "accelerate" Always => "s3:PutAccelerateConfiguration";
    GetBucketAcl GET Bucket "acl" Always => "s3:GetBucketAcl";
    PutBucketAcl PUT Bucket "acl" Always => "s3:PutBucketAcl";
    ListBucketAnalyticsConfigurations GET Bucket "analytics" Always => "s3:GetAnalyticsConfiguration";
    GetBucketAnalyticsConfiguration GET Bucket "analytics" With("id") => "s3:GetAnalyticsConfiguration";
    PutBucketAnalyticsConfiguration PUT Bucket "analytics" Always => "s3:PutAnalyticsConfiguration";
    DeleteBucketAnalyticsConfiguration DELETE Bucket "analytics" Always => "s3:PutAnalyticsConfiguration";
    GetBucketCors GET Bucket "cors" Always => "s3:GetBucketCORS";
    PutBucketCors PUT Bucket "cors" Always => "s3:PutBucketCORS";
    DeleteBucketCors DELETE Bucket "cors" Always => "s3:PutBucketCORS";
    GetBucketEncryption GET Bucket "encryption" Always => "s3:GetEncryptionConfiguration";
    PutBucketEncryption PUT Bucket "encryption" Always => "s3:PutEncryptionConfiguration";
    DeleteBucketEncryption DELETE Bucket "encryption" Always => "s3:PutEncryptionConfiguration";
    ListBucketIntelligentTieringConfigurations GET Bucket "intelligent-tiering" Always
        => "s3:GetIntelligentTieringConfiguration";
    GetBucketIntelligentTieringConfiguration GET Bucket "intelligent-tiering" With("id")
        => "s3:GetIntelligentTieringConfiguration";
    PutBucketIntelligentTieringConfiguration PUT Bucket "intelligent-tiering" Always
        => "s3:PutIntelligentTieringConfiguration";
    DeleteBucketIntelligentTieringConfiguration DELETE Bucket "intelligent-tiering" Always
        => "s3:PutIntelligentTieringConfiguration";
    ListBucketInventoryConfigurations GET Bucket "inventory" Always => "s3:GetInventoryConfiguration";
    GetBucketInventoryConfiguration GET Bucket "inventory" With("id") => "s3:GetInventoryConfiguration";
    PutBucketInventoryConfiguration PUT Bucket "inventory" Always => "s3:PutInventoryConfiguration";
    DeleteBucketInventoryConfiguration DELETE Bucket "inventory" Always => "s3:PutInventoryConfiguration";
    GetBucketLifecycleConfiguration GET Bucket "lifecycle" Always => "s3:GetLifecycleConfiguration";
    PutBucketLifecycleConfiguration PUT Bucket "lifecycle" Always => "s3:PutLifecycleConfiguration";
    DeleteBucketLifecycle DELETE Bucket "lifecycle" Always => "s3:PutLifecycleConfiguration";
    GetBucketLogging GET Bucket "logging" Always => "s3:GetBucketLogging";
    PutBucketLogging PUT Bucket "logging" Always => "s3:PutBucketLogging";
    GetBucketMetadataConfiguration GET Bucket "metadataConfiguration" Always
        => "s3:GetBucketMetadataTableConfiguration";
    CreateBucketMetadataConfiguration POST Bucket "metadataConfiguration" Always
        => "s3:CreateBucketMetadataTableConfiguration";
    DeleteBucketMetadataConfiguration DELETE Bucket "metadataConfiguration" Always
        => "s3:DeleteBucketMetadataTableConfiguration";
    GetBucketMetadataTableConfiguration GET Bucket "metadataTable" Always => "s3:GetBucketMetadataTableConfiguration";
    CreateBucketMetadataTableConfiguration POST Bucket "metadataTable" Always
        => "s3:CreateBucketMetadataTableConfiguration";
    DeleteBucketMetadataTableConfiguration DELETE Bucket "metadataTable" Always
        => "s3:DeleteBucketMetadataTableConfiguration";
    UpdateBucketMetadataAnnotationTableConfiguration PUT Bucket "metadataAnnotationTable" Always
        => "s3:UpdateBucketMetadataAnnotationTableConfiguration";
    UpdateBucketMetadataInventoryTableConfiguration PUT Bucket "metadataInventoryTable" Always
        => "s3:UpdateBucketMetadataInventoryTableConfiguration";
    UpdateBucketMetadataJournalTableConfiguration PUT Bucket "metadataJournalTable" Always
        => "s3:UpdateBucketMetadataJournalTableConfiguration";
    ListBucketMetricsConfigurations GET Bucket "metrics" Always => "s3:GetMetricsConfiguration";
    GetBucketMetricsConfiguration GET Bucket "metrics" With("id") => "s3:GetMetricsConfiguration";
    PutBucketMetricsConfiguration PUT Bucket "metrics" Always => "s3:PutMetricsConfiguration";
    DeleteBucketMetricsConfiguration DELETE Bucket "metrics" Always => "s3:PutMetricsConfiguration";
    GetBucketNotificationConfiguration GET Bucket "notification" Always => "s3:GetBucketNotification";
    PutBucketNotificationConfiguration PUT Bucket "notification" Always => "s3:PutBucketNotification";
    GetObjectLockConfiguration GET Bucket "object-lock" Always => "s3:GetBucketObjectLockConfiguration";
    PutObjectLockConfiguration PUT Bucket "object-lock" Always => "s3:PutBucketObjectLockConfiguration";
    GetBucketOwnershipControls GET Bucket "ownershipControls" Always => "s3:GetBucketOwnershipControls";
    PutBucketOwnershipControls PUT Bucket "ownershipControls" Always => "s3:PutBucketOwnershipControls";
    DeleteBucketOwnershipControls DELETE Bucket "ownershipControls" Always => "s3:PutBucketOwnershipControls";
    GetBucketPolicy GET Bucket "policy" Always => "s3:GetBucketPolicy";
    PutBucketPolicy PUT Bucket "policy" Always => "s3:PutBucketPolicy";
    DeleteBucketPolicy DELETE Bucket "policy" Always => "s3:DeleteBucketPolicy";
    GetBucketPolicyStatus GET Bucket "policyStatus" Always => "s3:GetBucketPolicyStatus";
    GetPublicAccessBlock GET Bucket "publicAccessBlock" Always => "s3:GetBucketPublicAccessBlock";
    PutPublicAccessBlock PUT Bucket "publicAccessBlock" Always => "s3:PutBucketPublicAccessBlock";
    DeletePublicAccessBlock DELETE Bucket "publicAccessBlock" Always => "s3:PutBucketPublicAccessBlock";
    GetBucketReplication GET Bucket "replication" Always => "s3:GetReplicationConfiguration";
    PutBucketReplication PUT Bucket "replication" Always => "s3:PutReplicationConfiguration";
    DeleteBucketReplication DELETE Bucket "replication" Always => "s3:PutReplicationConfiguration";
    GetBucketRequestPayment GET Bucket "requestPayment" Always => "s3:GetBucketRequestPayment";
    PutBucketRequestPayment PUT Bucket "requestPayment" Always => "s3:PutBucketRequestPayment";
    GetBucketTagging GET Bucket "tagging" Always => "s3:GetBucketTagging";
    PutBucketTagging PUT Bucket "tagging" Always => "s3:PutBucketTagging";
    DeleteBucketTagging DELETE Bucket "tagging" Always => "s3:PutBucketTagging";
    GetBucketVersioning GET Bucket "versioning" Always => "s3:GetBucketVersioning";
    PutBucketVersioning PUT Bucket "versioning" Always => "s3:PutBucketVersioning";
    GetBucketDurability GET Bucket "x-mallee-durability" Always => "s3:GetBucketVersioning";
    PutBucketDurability PUT Bucket "x-mallee-durability" Always => "s3:PutBucketVersioning";
    GetBucketWebsite GET Bucket "website" Always => "s3:GetBucketWebsite";
    PutBucketWebsite PUT Bucket "website" Always => "s3:PutBucketWebsite";
    DeleteBucketWebsite DELETE Bucket "website" Always => "s3:DeleteBucketWebsite";
    GetObject GET Object "" Always => "s3:GetObject";
    HeadObject HEAD Object "" Always => "s3:GetObject";
    PutObject PUT Object "" Always => "s3:PutObject";
    CopyObject PUT Object "" Copies => "s3:PutObject";
    DeleteObject DELETE Object "" Always => "s3:DeleteObject";
    CreateMultipartUpload POST Object "uploads" Always => "s3:PutObject";
    UploadPart PUT Object "uploadId" Always => "s3:PutObject";
    UploadPartCopy PUT Object "uploadId" Copies => "s3:PutObject";
    CompleteMultipartUpload POST Object "uploadId" Always => "s3:PutObject";
    AbortMultipartUpload DELETE Object "uploadId" Always => "s3:AbortMultipartUpload";
    ListParts GET Object "uploadId" Always => "s3:ListMultipartUploadParts";
    GetObjectAcl GET Object "acl" Always => "s3:GetObjectAcl";
    PutObjectAcl PUT Object "acl" Always => "s3:PutObjectAcl";
    ListObjectAnnotations GET Object "annotation" Always => "s3:ListObjectAnnotations";
    GetObjectAnnotation GET Object "annotation" With("annotationName") => "s3:GetObjectAnnotation";
    PutObjectAnnotation PUT Object "annotation" Always => "s3:PutObjectAnnotation";
    DeleteObjectAnnotation DELETE Object "annotation" Always => "s3:DeleteObjectAnnotation";
    GetObjectAttributes GET Object "attributes" Always => "s3:GetObject" "s3:GetObjectAttributes";
    UpdateObjectEncryption PUT Object "encryption" Always => "s3:UpdateObjectEncryption";
    GetObjectLegalHold GET Object "legal-hold" Always => "s3:GetObjectLegalHold";
    PutObjectLegalHold PUT Object "legal-hold" Always => "s3:PutObjectLegalHold";
    RenameObject PUT Object "renameObject" Always => "s3express:CreateSession";
    RestoreObject POST Object "restore" Always => "s3:RestoreObject";
    GetObjectRetention GET Object "retention" Always => "s3:GetObjectRetention";
    PutObjectRetention PUT Object "retention" Always => "s3:PutObjectRetention";
    SelectObjectContent POST Object "select" Always => "s3:GetObject";
    GetObjectTagging GET Object "tagging" Always => "s3:GetObjectTagging";
    PutObjectTagging PUT Object "tagging" Always => "s3:PutObjectTagging";
    DeleteObjectTagging DELETE Object "tagging" Always => "s3:DeleteObjectTagging";
    GetObjectTorrent GET Object "torrent" Always => "s3:GetObjectTorrent";
}

/// Actions that have another name where a request names a version.
const VERSIONED: &[(&str, &str)] = &[
    ("s3:GetObject", "s3:GetObjectVersion"),
    ("s3:DeleteObject", "s3:DeleteObjectVersion"),
    ("s3:GetObjectAcl", "s3:GetObjectVersionAcl"),
    ("s3:PutObjectAcl", "s3:PutObjectVersionAcl"),
    ("s3:GetObjectAttributes", "s3:GetObjectVersionAttributes"),
    ("s3:GetObjectTagging", "s3:GetObjectVersionTagging"),
    ("s3:PutObjectTagging", "s3:PutObjectVersionTagging"),
    ("s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging"),
    ("s3:GetObjectTorrent", "s3:GetObjectVersionTorrent"),
];

/// The action that takes the place of another one on a named version.
pub(crate) fn on_version(action: &'static str) -> &'static str {
    VERSIONED.iter().find(|(plain, _)| *plain == action).map_or(action, |(_, versioned)| versioned)
}

impl Operation {
    /// AWS's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// Whether it makes a bucket or an object, so that quotas bind it.
    #[must_use]
    pub const fn is_counted(self) -> bool {
        matches!(
            self,
            Self::CreateBucket
                | Self::PutObject
                | Self::PostObject
                | Self::CopyObject
                | Self::CreateMultipartUpload
                | Self::UploadPart
                | Self::UploadPartCopy
                | Self::CompleteMultipartUpload
        )
    }

    /// Whether it is about an object that is there, which may have an owner and an access control list of its own. (Of what
    /// is written and deleted the bucket's say so.)
    #[must_use]
    pub const fn reads_object(self) -> bool {
        matches!(
            self,
            Self::GetObject
                | Self::HeadObject
                | Self::GetObjectAcl
                | Self::PutObjectAcl
                | Self::GetObjectAttributes
                | Self::GetObjectTagging
                | Self::PutObjectTagging
                | Self::DeleteObjectTagging
                | Self::GetObjectTorrent
                | Self::SelectObjectContent
                | Self::RestoreObject
                | Self::GetObjectRetention
                | Self::GetObjectLegalHold
        )
    }

    /// Whether the sub-resource names an operation on such a target.
    pub(crate) fn is_subresource(scope: Scope, name: &str) -> bool {
        !name.is_empty() && Self::ALL.iter().any(|o| o.row().scope == scope && o.row().subresource == name)
    }

    /// The operation of a method, target and sub-resource; where several share them, the last one that is meant.
    pub(crate) fn find(method: &str, scope: Scope, subresource: &str, is: impl Fn(When) -> bool) -> Option<Self> {
        let all = Self::ALL.iter().rev().copied();
        all.into_iter().find(|operation| {
            let row = operation.row();
            row.method == method && row.scope == scope && row.subresource == subresource && is(row.when)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_operations_are_one() {
        let mut seen = HashSet::new();
        for operation in Operation::ALL {
            let row = operation.row();
            let key = (row.method, format!("{:?} {:?}", row.scope, row.when), row.subresource);
            assert!(seen.insert(key), "{} is another one too", row.name);
            // `find` goes from the last to the first.
            let first = Operation::find(row.method, row.scope, row.subresource, |when| when == Always);
            assert!(first.is_some_and(|first| first <= *operation), "{} has no row without a condition", row.name);
        }
    }
}

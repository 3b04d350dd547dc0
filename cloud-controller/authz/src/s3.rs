//! S3: which actions a request needs, told from method, target and sub-resources, as S3 itself tells operations apart.

/// An action on a bucket or an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// `s3:…`.
    pub action: &'static str,
    /// Its ARN; `*` for what is about no bucket.
    pub resource: String,
}

/// One request as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// Bucket and, decoded, key; neither for the list of buckets.
    pub bucket: Option<&'a str>,
    /// Key, decoded.
    pub key: Option<&'a str>,
    /// `x-amz-copy-source`, decoded, without its first slash and its version.
    pub copy_source: Option<&'a str>,
}

/// Sub-resources of buckets and the noun of their actions (`s3:GetBucket…`, `s3:PutBucket…`), as AWS names them.
const BUCKET: &[(&str, &str, &str)] = &[
    ("accelerate", "s3:GetAccelerateConfiguration", "s3:PutAccelerateConfiguration"),
    ("acl", "s3:GetBucketAcl", "s3:PutBucketAcl"),
    ("analytics", "s3:GetAnalyticsConfiguration", "s3:PutAnalyticsConfiguration"),
    ("cors", "s3:GetBucketCORS", "s3:PutBucketCORS"),
    ("encryption", "s3:GetEncryptionConfiguration", "s3:PutEncryptionConfiguration"),
    ("inventory", "s3:GetInventoryConfiguration", "s3:PutInventoryConfiguration"),
    ("lifecycle", "s3:GetLifecycleConfiguration", "s3:PutLifecycleConfiguration"),
    ("location", "s3:GetBucketLocation", "s3:GetBucketLocation"),
    ("logging", "s3:GetBucketLogging", "s3:PutBucketLogging"),
    ("metrics", "s3:GetMetricsConfiguration", "s3:PutMetricsConfiguration"),
    ("notification", "s3:GetBucketNotification", "s3:PutBucketNotification"),
    ("object-lock", "s3:GetBucketObjectLockConfiguration", "s3:PutBucketObjectLockConfiguration"),
    ("ownershipControls", "s3:GetBucketOwnershipControls", "s3:PutBucketOwnershipControls"),
    ("policy", "s3:GetBucketPolicy", "s3:PutBucketPolicy"),
    ("policyStatus", "s3:GetBucketPolicyStatus", "s3:PutBucketPolicy"),
    ("publicAccessBlock", "s3:GetBucketPublicAccessBlock", "s3:PutBucketPublicAccessBlock"),
    ("replication", "s3:GetReplicationConfiguration", "s3:PutReplicationConfiguration"),
    ("requestPayment", "s3:GetBucketRequestPayment", "s3:PutBucketRequestPayment"),
    ("tagging", "s3:GetBucketTagging", "s3:PutBucketTagging"),
    ("uploads", "s3:ListBucketMultipartUploads", "s3:PutObject"),
    ("versioning", "s3:GetBucketVersioning", "s3:PutBucketVersioning"),
    ("versions", "s3:ListBucketVersions", "s3:ListBucketVersions"),
    ("website", "s3:GetBucketWebsite", "s3:PutBucketWebsite"),
];
/// Sub-resources of objects.
const OBJECT: &[(&str, &str, &str)] = &[
    ("acl", "s3:GetObjectAcl", "s3:PutObjectAcl"),
    ("attributes", "s3:GetObjectAttributes", "s3:GetObjectAttributes"),
    ("legal-hold", "s3:GetObjectLegalHold", "s3:PutObjectLegalHold"),
    ("restore", "s3:RestoreObject", "s3:RestoreObject"),
    ("retention", "s3:GetObjectRetention", "s3:PutObjectRetention"),
    ("tagging", "s3:GetObjectTagging", "s3:PutObjectTagging"),
    ("torrent", "s3:GetObjectTorrent", "s3:GetObjectTorrent"),
];

fn bucket_arn(bucket: &str) -> String {
    format!("arn:aws:s3:::{bucket}")
}

/// What must be allowed for a request; `has` tells whether the query names a sub-resource.
///
/// DeleteObjects names its keys in its body: it asks about all objects of the bucket here, and S3 itself has to ask
/// about each where some only are allowed.
#[must_use]
pub fn asks(asked: &Asked<'_>, has: impl Fn(&str) -> bool) -> Vec<Ask> {
    let one = |action, resource| vec![Ask { action, resource }];
    let Some(bucket) = asked.bucket else { return one("s3:ListAllMyBuckets", "*".to_owned()) };
    let read = matches!(asked.method, "GET" | "HEAD");
    let arn = bucket_arn(bucket);
    let Some(key) = asked.key else {
        if asked.method == "POST" {
            let action = if has("delete") { "s3:DeleteObject" } else { "s3:PutObject" };
            return one(action, arn + "/*");
        }
        if let Some((name, get, put)) = BUCKET.iter().find(|(name, ..)| has(name)) {
            let action = match (asked.method, *name) {
                ("DELETE", "policy") => "s3:DeleteBucketPolicy",
                ("DELETE", "website") => "s3:DeleteBucketWebsite",
                _ if read => get,
                _ => put,
            };
            return one(action, arn);
        }
        return one(
            match asked.method {
                "PUT" => "s3:CreateBucket",
                "DELETE" => "s3:DeleteBucket",
                _ => "s3:ListBucket",
            },
            arn,
        );
    };
    let object = format!("{arn}/{key}");
    let version = has("versionId");
    if let Some((name, get, put)) = OBJECT.iter().find(|(name, ..)| has(name)) {
        let action = match (asked.method, *name) {
            ("DELETE", "tagging") => "s3:DeleteObjectTagging",
            _ if read => get,
            _ => put,
        };
        return one(action, object);
    }
    let mut asks = one(
        match asked.method {
            "DELETE" if has("uploadId") => "s3:AbortMultipartUpload",
            "DELETE" if version => "s3:DeleteObjectVersion",
            "DELETE" => "s3:DeleteObject",
            _ if read && has("uploadId") => "s3:ListMultipartUploadParts",
            _ if read && version => "s3:GetObjectVersion",
            _ if read => "s3:GetObject",
            _ => "s3:PutObject",
        },
        object,
    );
    if let Some(source) = asked.copy_source {
        asks.push(Ask { action: "s3:GetObject", resource: bucket_arn(source) });
    }
    asks
}

//! Names of operations as records have them: `REST.GET.OBJECT`.

use crate::operation::{Operation, Row, Scope, When};
use std::borrow::Cow;

/// The name of an operation, where it is not that of its sub-resource in capitals.
const RESOURCES: &[(Scope, &str, &str)] = &[
    (Scope::Bucket, "", "BUCKET"),
    (Scope::Object, "", "OBJECT"),
    (Scope::Object, "attributes", "OBJECT_ATTRIBUTES"),
    (Scope::Object, "legal-hold", "OBJECT_LOCK_LEGALHOLD"),
    (Scope::Object, "retention", "OBJECT_LOCK_RETENTION"),
    (Scope::Object, "tagging", "OBJECT_TAGGING"),
    (Scope::Object, "torrent", "OBJECT_TORRENT"),
    (Scope::Object, "uploadId", "UPLOAD"),
    (Scope::Bucket, "delete", "MULTI_OBJECT_DELETE"),
    (Scope::Bucket, "logging", "LOGGING_STATUS"),
    (Scope::Bucket, "object-lock", "OBJECT_LOCK_CONFIGURATION"),
    (Scope::Bucket, "policy", "BUCKETPOLICY"),
    (Scope::Bucket, "policyStatus", "BUCKETPOLICYSTATUS"),
    (Scope::Bucket, "versions", "BUCKETVERSIONS"),
];

fn capitals(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        match c {
            '-' => text.push('_'),
            c if c.is_ascii_uppercase() => text.extend(['_', c]),
            c => text.push(c.to_ascii_uppercase()),
        }
    }
    text
}

/// The name of a request.
pub(crate) fn name(operation: Operation) -> Cow<'static, str> {
    let Row { method, scope, subresource, when, .. } = *operation.row();
    let method = if when == When::Copies { "COPY" } else { method };
    let known = RESOURCES.iter().find(|(s, name, _)| *s == scope && *name == subresource);
    let resource = match (operation, known) {
        (Operation::UploadPart | Operation::UploadPartCopy, _) => Cow::Borrowed("PART"),
        (Operation::PostObject, _) => Cow::Borrowed("OBJECT"),
        (_, Some((_, _, known))) => Cow::Borrowed(*known),
        (_, None) => Cow::Owned(capitals(subresource)),
    };
    format!("REST.{method}.{resource}").into()
}

/// The name of what a copy reads.
pub(crate) fn of_source(operation: Operation) -> Cow<'static, str> {
    format!("{}_GET", name(operation)).into()
}

/// The name of a transition to a storage class.
#[must_use]
pub fn transition(class: &str) -> Cow<'static, str> {
    let short = match class {
        "STANDARD_IA" => "SIA",
        "ONEZONE_IA" => "ZIA",
        "INTELLIGENT_TIERING" => "INT",
        "GLACIER_IR" => "GIR",
        other => other,
    };
    format!("S3.TRANSITION_{short}.OBJECT").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (operation, is) in [
            (Operation::GetObject, "REST.GET.OBJECT"),
            (Operation::HeadObject, "REST.HEAD.OBJECT"),
            (Operation::PutObject, "REST.PUT.OBJECT"),
            (Operation::PostObject, "REST.POST.OBJECT"),
            (Operation::DeleteObject, "REST.DELETE.OBJECT"),
            (Operation::CopyObject, "REST.COPY.OBJECT"),
            (Operation::DeleteObjects, "REST.POST.MULTI_OBJECT_DELETE"),
            (Operation::CreateMultipartUpload, "REST.POST.UPLOADS"),
            (Operation::UploadPart, "REST.PUT.PART"),
            (Operation::UploadPartCopy, "REST.COPY.PART"),
            (Operation::CompleteMultipartUpload, "REST.POST.UPLOAD"),
            (Operation::ListParts, "REST.GET.UPLOAD"),
            (Operation::ListMultipartUploads, "REST.GET.UPLOADS"),
            (Operation::ListObjectsV2, "REST.GET.BUCKET"),
            (Operation::HeadBucket, "REST.HEAD.BUCKET"),
            (Operation::ListObjectVersions, "REST.GET.BUCKETVERSIONS"),
            (Operation::GetBucketVersioning, "REST.GET.VERSIONING"),
            (Operation::GetBucketLogging, "REST.GET.LOGGING_STATUS"),
            (Operation::GetBucketPolicy, "REST.GET.BUCKETPOLICY"),
            (Operation::GetBucketRequestPayment, "REST.GET.REQUEST_PAYMENT"),
            (Operation::GetPublicAccessBlock, "REST.GET.PUBLIC_ACCESS_BLOCK"),
            (Operation::GetBucketTagging, "REST.GET.TAGGING"),
            (Operation::GetObjectTagging, "REST.GET.OBJECT_TAGGING"),
            (Operation::GetObjectAcl, "REST.GET.ACL"),
            (Operation::GetBucketLocation, "REST.GET.LOCATION"),
        ] {
            assert_eq!(name(operation), is);
        }
        assert_eq!(of_source(Operation::CopyObject), "REST.COPY.OBJECT_GET");
        assert_eq!(of_source(Operation::UploadPartCopy), "REST.COPY.PART_GET");
        assert_eq!(transition("GLACIER_IR"), "S3.TRANSITION_GIR.OBJECT");
    }
}

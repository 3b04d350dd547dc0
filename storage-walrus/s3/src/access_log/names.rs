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
        let named = |method, scope, subresource, meant| {
            let operation = Operation::find(method, scope, subresource, |when| when == meant).expect("an operation");
            (name(operation), of_source(operation))
        };
        let (bucket, object) = (Scope::Bucket, Scope::Object);
        for (method, scope, subresource, is) in [
            ("GET", object, "", "REST.GET.OBJECT"),
            ("HEAD", object, "", "REST.HEAD.OBJECT"),
            ("PUT", object, "", "REST.PUT.OBJECT"),
            ("POST", bucket, "", "REST.POST.OBJECT"),
            ("DELETE", object, "", "REST.DELETE.OBJECT"),
            ("POST", bucket, "delete", "REST.POST.MULTI_OBJECT_DELETE"),
            ("POST", object, "uploads", "REST.POST.UPLOADS"),
            ("PUT", object, "uploadId", "REST.PUT.PART"),
            ("POST", object, "uploadId", "REST.POST.UPLOAD"),
            ("GET", object, "uploadId", "REST.GET.UPLOAD"),
            ("DELETE", object, "uploadId", "REST.DELETE.UPLOAD"),
            ("GET", bucket, "uploads", "REST.GET.UPLOADS"),
            ("GET", bucket, "", "REST.GET.BUCKET"),
            ("HEAD", bucket, "", "REST.HEAD.BUCKET"),
            ("GET", bucket, "versions", "REST.GET.BUCKETVERSIONS"),
            ("GET", bucket, "versioning", "REST.GET.VERSIONING"),
            ("GET", bucket, "logging", "REST.GET.LOGGING_STATUS"),
            ("GET", bucket, "policy", "REST.GET.BUCKETPOLICY"),
            ("GET", bucket, "requestPayment", "REST.GET.REQUEST_PAYMENT"),
            ("GET", bucket, "publicAccessBlock", "REST.GET.PUBLIC_ACCESS_BLOCK"),
            ("GET", bucket, "tagging", "REST.GET.TAGGING"),
            ("GET", object, "tagging", "REST.GET.OBJECT_TAGGING"),
            ("GET", object, "acl", "REST.GET.ACL"),
            ("GET", bucket, "location", "REST.GET.LOCATION"),
        ] {
            assert_eq!(named(method, scope, subresource, When::Always).0, is);
        }
        let copied = |subresource| named("PUT", object, subresource, When::Copies);
        assert_eq!(copied(""), ("REST.COPY.OBJECT".into(), "REST.COPY.OBJECT_GET".into()));
        assert_eq!(copied("uploadId"), ("REST.COPY.PART".into(), "REST.COPY.PART_GET".into()));
        assert_eq!(transition("GLACIER_IR"), "S3.TRANSITION_GIR.OBJECT");
    }
}

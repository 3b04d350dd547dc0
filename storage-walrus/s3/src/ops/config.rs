//! Bucket configurations. None can be set yet; reading one tells, as AWS does, that there is none, because that is true.
//! (Terraform and the SDKs read all of them.) Writing one is refused by name.

use crate::call::Call;
use crate::error::not_implemented;
use crate::reply::{self, Reply, document};
use crate::target::Query;
use http::Method;
use mallee_awswire::{ApiError, Code, XmlWriter};

/// What a GET answers.
enum Answer {
    /// An error that says there is no such configuration.
    Absent(Code),
    /// A document.
    Document(fn(&Call) -> XmlWriter),
    /// Not offered at all.
    Refused,
}

/// Sub-resource, the feature's name, and the answer to a GET.
const TABLE: &[(&str, &str, Answer)] = &[
    ("versioning", "Versioning", Answer::Document(|_| whole("VersioningConfiguration"))),
    ("versions", "Versioning", Answer::Refused),
    ("acl", "Access control by ACL", Answer::Document(owner_full_control)),
    ("policy", "Bucket policies", Answer::Absent(Code::NoSuchBucketPolicy)),
    ("policyStatus", "Bucket policies", Answer::Absent(Code::NoSuchBucketPolicy)),
    ("cors", "CORS", Answer::Absent(Code::NoSuchCorsConfiguration)),
    ("website", "Website hosting", Answer::Absent(Code::NoSuchWebsiteConfiguration)),
    ("lifecycle", "Lifecycle rules", Answer::Absent(Code::NoSuchLifecycleConfiguration)),
    ("tagging", "Bucket tagging", Answer::Absent(Code::NoSuchTagSet)),
    ("replication", "Replication", Answer::Absent(Code::ReplicationConfigurationNotFoundError)),
    ("encryption", "Server-side encryption", Answer::Absent(Code::ServerSideEncryptionConfigurationNotFoundError)),
    ("object-lock", "Object lock", Answer::Absent(Code::ObjectLockConfigurationNotFoundError)),
    ("publicAccessBlock", "Public access block", Answer::Absent(Code::NoSuchPublicAccessBlockConfiguration)),
    ("ownershipControls", "Ownership controls", Answer::Absent(Code::OwnershipControlsNotFoundError)),
    ("logging", "Bucket logging", Answer::Document(|_| whole("BucketLoggingStatus"))),
    ("notification", "Notifications", Answer::Document(|_| whole("NotificationConfiguration"))),
    ("accelerate", "Transfer acceleration", Answer::Document(|_| whole("AccelerateConfiguration"))),
    ("requestPayment", "Requester pays", Answer::Document(|_| payer())),
    ("analytics", "Analytics", Answer::Refused),
    ("intelligent-tiering", "Intelligent tiering", Answer::Refused),
    ("inventory", "Inventory", Answer::Refused),
    ("metrics", "Bucket metrics", Answer::Refused),
    ("metadataTable", "Metadata tables", Answer::Refused),
    ("metadataConfiguration", "Metadata tables", Answer::Refused),
    ("abac", "Attribute-based access control", Answer::Refused),
    ("session", "Directory buckets", Answer::Refused),
];

/// The sub-resource that a request is about, if any.
pub(crate) fn subresource(query: &Query) -> Option<&'static str> {
    TABLE.iter().map(|(name, ..)| *name).find(|name| query.has(name))
}

/// Answers a request on a sub-resource.
pub(crate) async fn answer(call: Call, method: &Method, bucket: String, name: &str) -> Result<Reply, ApiError> {
    call.bucket(&bucket).await?;
    let Some((_, feature, answer)) = TABLE.iter().find(|(n, ..)| *n == name) else {
        return Err(not_implemented(name));
    };
    match (method, answer) {
        (&Method::GET, Answer::Absent(code)) => Err(code.error().field("BucketName", bucket)),
        (&Method::GET, Answer::Document(document)) => Ok(reply::xml(document(&call))),
        _ => Err(not_implemented(feature)),
    }
}

fn whole(root: &str) -> XmlWriter {
    let mut w = document(root);
    w.close(root);
    w
}

fn payer() -> XmlWriter {
    let mut w = document("RequestPaymentConfiguration");
    w.text("Payer", "BucketOwner");
    w.close("RequestPaymentConfiguration");
    w
}

/// The owner's account (the caller's: nobody else gets here) has full control, nobody else any.
fn owner_full_control(call: &Call) -> XmlWriter {
    let mut w = document("AccessControlPolicy");
    reply::write_owner(&mut w, "Owner", &call.caller.account);
    w.open("AccessControlList");
    w.open("Grant");
    // The writer sets one attribute; the second rides in the name.
    w.open_attr("Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"", "xsi:type", "CanonicalUser");
    w.text("ID", &call.caller.account);
    w.text("DisplayName", &call.caller.account);
    w.close("Grantee");
    w.text("Permission", "FULL_CONTROL");
    w.close("Grant");
    w.close("AccessControlList");
    w.close("AccessControlPolicy");
    w
}

//! Bucket configurations that cannot be set yet; reading one tells, as AWS does, that there is none, because that is true.
//! (Terraform and the SDKs read all of them.) Writing one is refused by name.

use crate::call::Call;
use crate::error::not_implemented;
use crate::operation::Operation;
use crate::reply::{self, Reply, document};
use mallee_awswire::{ApiError, Code, XmlWriter};

/// What a read answers.
enum Answer {
    /// An error that says there is no such configuration.
    Absent(Code),
    /// A document.
    Document(fn(&Call) -> XmlWriter),
}

/// The reads that are answered.
const TABLE: &[(Operation, Answer)] = &[
    (Operation::GetBucketAcl, Answer::Document(owner_full_control)),
    (Operation::GetBucketPolicy, Answer::Absent(Code::NoSuchBucketPolicy)),
    (Operation::GetBucketPolicyStatus, Answer::Absent(Code::NoSuchBucketPolicy)),
    (Operation::GetBucketCors, Answer::Absent(Code::NoSuchCorsConfiguration)),
    (Operation::GetBucketWebsite, Answer::Absent(Code::NoSuchWebsiteConfiguration)),
    (Operation::GetBucketLifecycleConfiguration, Answer::Absent(Code::NoSuchLifecycleConfiguration)),
    (Operation::GetBucketTagging, Answer::Absent(Code::NoSuchTagSet)),
    (Operation::GetBucketReplication, Answer::Absent(Code::ReplicationConfigurationNotFoundError)),
    (Operation::GetBucketEncryption, Answer::Absent(Code::ServerSideEncryptionConfigurationNotFoundError)),
    (Operation::GetObjectLockConfiguration, Answer::Absent(Code::ObjectLockConfigurationNotFoundError)),
    (Operation::GetPublicAccessBlock, Answer::Absent(Code::NoSuchPublicAccessBlockConfiguration)),
    (Operation::GetBucketOwnershipControls, Answer::Absent(Code::OwnershipControlsNotFoundError)),
    (Operation::GetBucketLogging, Answer::Document(|_| whole("BucketLoggingStatus"))),
    (Operation::GetBucketNotificationConfiguration, Answer::Document(|_| whole("NotificationConfiguration"))),
    (Operation::GetBucketAccelerateConfiguration, Answer::Document(|_| whole("AccelerateConfiguration"))),
    (Operation::GetBucketRequestPayment, Answer::Document(|_| payer())),
];

/// Answers what no other handler does: reads of configurations, and what is not offered.
pub(crate) async fn answer(call: Call, bucket: String, operation: Operation) -> Result<Reply, ApiError> {
    call.bucket(&bucket).await?;
    match TABLE.iter().find(|(known, _)| *known == operation) {
        Some((_, Answer::Absent(code))) => Err(code.error().field("BucketName", bucket)),
        Some((_, Answer::Document(document))) => Ok(reply::xml(document(&call))),
        None => Err(not_implemented(operation.name())),
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

//! Configurations of buckets: the same reading, putting and deleting of each [`Document`].
//!
//! Of those that cannot be set yet, reading one tells, as AWS does, that there is none, because that is true. (Terraform
//! and the SDKs read all of them.) Writing one is refused by name.

use crate::body::read_small;
use crate::call::Call;
use crate::error::engine;
use crate::operation::Operation;
use crate::ops::refused;
use crate::reply::{self, Reply, document};
use http::StatusCode;
use mallee_awswire::{ApiError, Code, XmlWriter};
use mallee_objects::{Bucket, Error};
use mallee_s3_config::{Document, kept, parse, text, whole as written};

/// The document of a bucket, if it has one.
///
/// # Errors
/// What is kept cannot be read.
pub(crate) fn of<D: Document>(bucket: &Bucket) -> Result<Option<D>, ApiError> {
    bucket.docs.get(D::KIND).map(kept).transpose()
}

/// GET of a document; without one `absent`.
pub(crate) async fn get<D: Document>(call: Call, bucket: String, absent: Code) -> Result<Reply, ApiError> {
    let bucket = call.bucket(&bucket).await?;
    let found: Option<D> = of(&bucket)?;
    found.map(|document| reply::xml(written(&document))).ok_or_else(|| absent.error().field("BucketName", bucket.name))
}

/// GET of a document of which there is always one; without one put, the default.
pub(crate) async fn get_or_default<D: Document + Default>(call: Call, bucket: String) -> Result<Reply, ApiError> {
    let bucket = call.bucket(&bucket).await?;
    Ok(reply::xml(written(&of::<D>(&bucket)?.unwrap_or_default())))
}

/// Reads a document from the body.
///
/// # Errors
/// `MalformedXML` and what the document's reader answers.
pub(crate) async fn from_body<D: Document>(call: &mut Call) -> Result<D, ApiError> {
    parse(&read_small(call, D::BYTES_MAX, true, D::MUST_HASH).await?)
}

/// PUT of a document, if `check` finds nothing in the bucket against it: it is asked within the transaction.
pub(crate) async fn put<D: Document>(
    mut call: Call,
    bucket: String,
    status: StatusCode,
    check: impl Fn(&Bucket, &D) -> Result<(), Error> + Send + Sync,
) -> Result<Reply, ApiError> {
    call.bucket(&bucket).await?;
    let document: D = from_body(&mut call).await?;
    let (text, check) = (text(&document), |found: &Bucket| check(found, &document));
    let put = call.s3.engine().set_document(&bucket, D::KIND, "", &text, &check).await;
    put.map_err(|e| engine(e).field("BucketName", bucket))?;
    Ok(reply::empty(status))
}

/// DELETE of a document; it need not be there.
pub(crate) async fn delete<D: Document>(call: Call, bucket: String) -> Result<Reply, ApiError> {
    call.bucket(&bucket).await?;
    let removed = call.s3.engine().remove_document(&bucket, D::KIND, "").await;
    removed.map_err(|e| engine(e).field("BucketName", bucket))?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// What a read answers.
enum Answer {
    /// An error that says there is no such configuration.
    Absent(Code),
    /// A document.
    Document(fn(&Call) -> XmlWriter),
}

/// What is answered of configurations that no bucket has.
const TABLE: &[(Operation, Answer)] = &[
    (Operation::GetBucketReplication, Answer::Absent(Code::ReplicationConfigurationNotFoundError)),
    (Operation::GetBucketAccelerateConfiguration, Answer::Document(|_| whole("AccelerateConfiguration"))),
    (Operation::GetBucketAnalyticsConfiguration, Answer::Absent(Code::NoSuchConfiguration)),
    (Operation::GetBucketIntelligentTieringConfiguration, Answer::Absent(Code::NoSuchConfiguration)),
    (Operation::GetBucketMetricsConfiguration, Answer::Absent(Code::NoSuchConfiguration)),
    (Operation::DeleteBucketAnalyticsConfiguration, Answer::Absent(Code::NoSuchConfiguration)),
    (Operation::DeleteBucketIntelligentTieringConfiguration, Answer::Absent(Code::NoSuchConfiguration)),
    (Operation::DeleteBucketMetricsConfiguration, Answer::Absent(Code::NoSuchConfiguration)),
    (
        Operation::ListBucketAnalyticsConfigurations,
        Answer::Document(|_| none("ListBucketAnalyticsConfigurationsResult")),
    ),
    (
        Operation::ListBucketIntelligentTieringConfigurations,
        Answer::Document(|_| none("ListBucketIntelligentTieringConfigurationsOutput")),
    ),
    (Operation::ListBucketMetricsConfigurations, Answer::Document(|_| none("ListMetricsConfigurationsResult"))),
];

/// Answers what no other handler does: reads of configurations, and what is not offered.
pub(crate) async fn answer(call: Call, bucket: String, operation: Operation) -> Result<Reply, ApiError> {
    let found = call.bucket(&bucket).await?;
    match TABLE.iter().find(|(known, _)| *known == operation) {
        Some((_, Answer::Absent(code))) => Err(code.error().field("BucketName", bucket)),
        Some((_, Answer::Document(document))) => Ok(reply::xml(document(&call))),
        None => Err(refused::answer(&call, &found, operation).await),
    }
}

fn whole(root: &str) -> XmlWriter {
    let mut w = document(root);
    w.close(root);
    w
}

/// A list of nothing.
fn none(root: &str) -> XmlWriter {
    let mut w = document(root);
    w.display("IsTruncated", false);
    w.close(root);
    w
}

//! Buckets: list, create, head, location, delete.

use crate::body::read_small;
use crate::call::Call;
use crate::error::{engine, invalid_argument, not_implemented};
use crate::headers::text;
use crate::names::check_bucket_name;
use crate::ops::{acl, durability};
use crate::owners::Owners;
use crate::reply::{self, Reply, XMLNS, document};
use crate::{CREATE_BUCKET_XML_BYTES_MAX, LIST_BUCKETS_MAX};
use http::StatusCode;
use http::header::{HeaderName, LOCATION};
use mallee_awswire::xml_read::{Element, XmlLimits};
use mallee_awswire::{ApiError, Code};
use mallee_objects::{Bucket, Error, Versioning};
use mallee_runtime::clock::from_unix_ms;
use mallee_s3_config::{Document as _, Durability, ObjectLock, Ownership, Tagging, text as document_text};

/// The region that AWS writes as no location at all.
const CLASSIC_REGION: &str = "us-east-1";
/// Longest region name.
const REGION_BYTES_MAX: usize = 63;

/// The header by which a new bucket's ownership is asked for.
const OWNERSHIP: &str = "x-amz-object-ownership";

/// GET /
pub(crate) async fn list(call: Call) -> Result<Reply, ApiError> {
    let asked = call.asked.query.number("max-buckets")?;
    let limit = match asked {
        None => LIST_BUCKETS_MAX,
        Some(n @ 1..) => usize::try_from(n).unwrap_or(LIST_BUCKETS_MAX).min(LIST_BUCKETS_MAX),
        Some(_) => {
            return Err(invalid_argument(
                "Argument max-buckets must be an integer between 1 and 10000",
                "max-buckets",
                "0",
            ));
        }
    };
    let prefix = call.asked.query.value("prefix").unwrap_or_default().to_owned();
    let region = call.asked.query.value("bucket-region");
    let mut after = call.asked.query.value("continuation-token").unwrap_or_default().to_owned();
    let mut buckets: Vec<Bucket> = Vec::new();
    // Prefix and region are rare: they filter the account's buckets as they come.
    let mut more = false;
    'pages: loop {
        let page = call.s3.engine().buckets(&call.caller.account, &after, LIST_BUCKETS_MAX).await.map_err(engine)?;
        let complete = page.len() < LIST_BUCKETS_MAX;
        for bucket in page {
            after.clone_from(&bucket.name);
            if bucket.name.starts_with(&prefix) && region.is_none_or(|r| r == bucket.region) {
                if buckets.len() == limit {
                    more = true;
                    break 'pages;
                }
                buckets.push(bucket);
            }
        }
        if complete {
            break;
        }
    }
    let mut w = document("ListAllMyBucketsResult");
    let account = call.caller.account.as_str();
    Owners::of(&call.s3, vec![account]).await?.write(&mut w, "Owner", account);
    w.open("Buckets");
    for bucket in &buckets {
        w.open("Bucket");
        w.text("Name", &bucket.name);
        w.timestamp("CreationDate", from_unix_ms(bucket.created_ms));
        if asked.is_some() || region.is_some() {
            w.text("BucketRegion", &bucket.region);
        }
        w.close("Bucket");
    }
    w.close("Buckets");
    if let (true, Some(last)) = (more, buckets.last()) {
        w.text("ContinuationToken", &last.name);
    }
    if !prefix.is_empty() {
        w.text("Prefix", &prefix);
    }
    w.close("ListAllMyBucketsResult");
    Ok(reply::xml(w))
}

/// What the body of a CreateBucket asks for.
#[derive(Debug, Default)]
struct Wanted {
    location: Option<String>,
    tags: Option<Tagging>,
}

/// The place that the body of a CreateBucket names, and the tags that it gives.
///
/// # Errors
/// `MalformedXML`, and what S3 answers to tags that cannot be.
pub(crate) fn asked_for(body: &[u8]) -> Result<(Option<String>, Option<Tagging>), ApiError> {
    let Wanted { location, tags } = wanted(body)?;
    Ok((location, tags))
}

fn wanted(body: &[u8]) -> Result<Wanted, ApiError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Wanted::default());
    }
    let malformed = || Code::MalformedXml.error();
    let root =
        Element::parse(body, XmlLimits::bytes(CREATE_BUCKET_XML_BYTES_MAX)).map_err(|e| malformed().because(e))?;
    if root.name != "CreateBucketConfiguration" {
        return Err(malformed());
    }
    let mut tags = None;
    for child in &root.children {
        match child.name.as_str() {
            "LocationConstraint" => {}
            "Tags" if child.children.is_empty() => {}
            "Tags" if tags.is_none() => tags = Some(Tagging::of_bucket(child)?),
            "Location" | "Bucket" => return Err(not_implemented("Directory buckets")),
            _ => return Err(malformed()),
        }
    }
    let location = root.child_text("LocationConstraint").map(str::trim).filter(|l| !l.is_empty());
    Ok(Wanted { location: location.map(str::to_owned), tags })
}

/// Whether the new bucket has object lock.
fn wants_lock(call: &Call) -> Result<bool, ApiError> {
    const NAME: &str = "x-amz-bucket-object-lock-enabled";
    match text(&call.headers, NAME) {
        None => Ok(false),
        Some(value) if value.eq_ignore_ascii_case("true") => Ok(true),
        Some(value) if value.eq_ignore_ascii_case("false") => Ok(false),
        Some(value) => Err(invalid_argument("Invalid value for x-amz-bucket-object-lock-enabled", NAME, value)),
    }
}

/// PUT /bucket
pub(crate) async fn create(mut call: Call, name: String) -> Result<Reply, ApiError> {
    check_bucket_name(&name)?;
    let lock = wants_lock(&call)?;
    let ownership = text(&call.headers, OWNERSHIP).filter(|rule| !rule.is_empty());
    let wrong = |rule| invalid_argument(format!("Invalid {OWNERSHIP} header: {rule}"), OWNERSHIP, rule);
    let ownership = ownership.map(|rule| Ownership::parse(rule).ok_or_else(|| wrong(rule))).transpose()?;
    let durability = durability::of_new_bucket(&call.headers)?;
    let body = read_small(&mut call, CREATE_BUCKET_XML_BYTES_MAX, true, false).await?;
    let Wanted { location, tags } = wanted(&body)?;
    let region = match location.as_deref() {
        None => call.region.clone(),
        Some("EU") => "eu-west-1".to_owned(),
        Some(wanted) if wanted == call.region || wanted == call.s3.config().region => wanted.to_owned(),
        Some(wanted) if wanted.len() > REGION_BYTES_MAX => return Err(Code::InvalidLocationConstraint.error()),
        Some(wanted) => return Err(Code::IllegalLocationConstraintException.with(&[wanted])),
    };
    let mut docs = acl::of_new_bucket(&call, call.s3.config().new_buckets.documents(ownership)).await?;
    if let Some(tags) = tags {
        docs = docs.with(Tagging::KIND, "", &document_text(&tags));
    }
    if let Some(durability) = durability {
        docs = docs.with(Durability::KIND, "", &document_text(&durability));
    }
    let mut versioning = Versioning::Off;
    if lock {
        docs = docs.with(ObjectLock::KIND, "", &document_text(&ObjectLock::default()));
        versioning = Versioning::Enabled;
    }
    match call.s3.engine().create_bucket_with(&name, &call.caller.account, &region, versioning, docs).await {
        Ok(()) => {}
        Err(Error::BucketExists(old)) if old.account != call.caller.account => {
            return Err(Code::BucketAlreadyExists.error().field("BucketName", name));
        }
        // In its oldest region AWS lets an owner create a bucket again.
        Err(Error::BucketExists(old)) if old.region == CLASSIC_REGION && region == CLASSIC_REGION => {}
        Err(Error::BucketExists(_)) => return Err(Code::BucketAlreadyOwnedByYou.error().field("BucketName", name)),
        Err(error) => return Err(engine(error)),
    }
    let mut response = reply::empty(StatusCode::OK);
    reply::set(&mut response, LOCATION, &format!("/{name}"));
    Ok(response)
}

/// HEAD /bucket
pub(crate) async fn head(call: Call, name: String) -> Result<Reply, ApiError> {
    let bucket = call.bucket(&name).await?;
    let mut response = reply::empty(StatusCode::OK);
    reply::set(&mut response, HeaderName::from_static("x-amz-bucket-region"), &bucket.region);
    reply::set(&mut response, HeaderName::from_static("x-amz-access-point-alias"), "false");
    Ok(response)
}

/// GET /bucket?location
pub(crate) async fn location(call: Call, name: String) -> Result<Reply, ApiError> {
    let bucket = call.bucket(&name).await?;
    // The document is one element with the region as its text.
    let mut body = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LocationConstraint xmlns=\"");
    body.push_str(XMLNS);
    body.push_str("\">");
    if bucket.region != CLASSIC_REGION {
        mallee_awswire::xml::escape(&mut body, &bucket.region);
    }
    body.push_str("</LocationConstraint>");
    Ok(reply::xml_text(body))
}

/// DELETE /bucket
pub(crate) async fn delete(call: Call, name: String) -> Result<Reply, ApiError> {
    let bucket = call.bucket(&name).await?;
    call.s3.engine().delete_bucket(&name).await.map_err(|error| {
        let told = match error {
            Error::BucketNotEmpty if bucket.versioning != Versioning::Off => Code::BucketNotEmpty
                .message("The bucket you tried to delete is not empty. You must delete all versions in the bucket."),
            other => engine(other),
        };
        told.field("BucketName", name)
    })?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

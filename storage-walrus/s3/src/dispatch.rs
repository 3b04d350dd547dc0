//! Which operation a request is: method, target and sub-resource.

use crate::call::Call;
use crate::error::not_implemented;
use crate::headers::refuse_unsupported;
use crate::ops::{buckets, complete, config, copy, delete, get, list, parts, put, uploads};
use crate::reply::Reply;
use crate::target::Target;
use http::Method;
use mallee_awswire::{ApiError, Code};

/// Sub-resources of objects that are not offered, and their names for the error.
const OBJECT_FEATURES: &[(&str, &str)] = &[
    ("acl", "Object ACLs"),
    ("tagging", "Object tagging"),
    ("attributes", "GetObjectAttributes"),
    ("legal-hold", "Object lock"),
    ("retention", "Object lock"),
    ("torrent", "GetObjectTorrent"),
    ("restore", "RestoreObject"),
    ("select", "SelectObjectContent"),
    ("append", "Appending to objects"),
    ("renameObject", "RenameObject"),
    ("encryption", "Server-side encryption"),
];

/// Runs the operation.
pub(crate) async fn dispatch(method: &Method, target: Target, call: Call) -> Result<Reply, ApiError> {
    refuse_unsupported(&call.headers)?;
    match target {
        Target::Service => match *method {
            Method::GET => buckets::list(call).await,
            _ => Err(not_allowed(method, "SERVICE")),
        },
        Target::Bucket(bucket) => on_bucket(method, bucket, call).await,
        Target::Object(bucket, key) => on_object(method, bucket, key, call).await,
    }
}

fn not_allowed(method: &Method, resource: &str) -> ApiError {
    Code::MethodNotAllowed.error().field("Method", method.as_str()).field("ResourceType", resource)
}

async fn on_bucket(method: &Method, bucket: String, call: Call) -> Result<Reply, ApiError> {
    let has = |name: &str| call.query.has(name);
    match *method {
        Method::GET if has("location") => buckets::location(call, bucket).await,
        Method::GET if has("uploads") => uploads::list(call, bucket).await,
        Method::POST if has("delete") => delete::batch(call, bucket).await,
        _ => {
            if let Some(name) = config::subresource(&call.query) {
                return config::answer(call, method, bucket, name).await;
            }
            match *method {
                Method::GET if call.query.get("list-type") == Some("2") => list::v2(call, bucket).await,
                Method::GET => list::v1(call, bucket).await,
                Method::PUT => buckets::create(call, bucket).await,
                Method::HEAD => buckets::head(call, bucket).await,
                Method::DELETE => buckets::delete(call, bucket).await,
                Method::POST => Err(not_implemented("Upload by POST forms")),
                Method::OPTIONS => Err(not_implemented("CORS")),
                _ => Err(not_allowed(method, "BUCKET")),
            }
        }
    }
}

async fn on_object(method: &Method, bucket: String, key: String, call: Call) -> Result<Reply, ApiError> {
    if let Some((_, feature)) = OBJECT_FEATURES.iter().find(|(name, _)| call.query.has(name)) {
        call.bucket(&bucket).await?;
        return Err(not_implemented(feature));
    }
    call.check_version()?;
    let has = |name: &str| call.query.has(name);
    let copies = call.headers.contains_key("x-amz-copy-source");
    match *method {
        Method::GET if has("uploadId") => uploads::list_parts(call, bucket, key).await,
        Method::GET | Method::HEAD => get::get(call, bucket, key).await,
        Method::PUT if has("uploadId") && copies => parts::upload_copy(call, bucket, key).await,
        Method::PUT if has("uploadId") => parts::upload(call, bucket, key).await,
        Method::PUT if copies => copy::copy(call, bucket, key).await,
        Method::PUT => put::put(call, bucket, key).await,
        Method::DELETE if has("uploadId") => uploads::abort(call, bucket, key).await,
        Method::DELETE => delete::one(call, bucket, key).await,
        Method::POST if has("uploads") => uploads::create(call, bucket, key).await,
        Method::POST if has("uploadId") => complete::complete(call, bucket, key).await,
        Method::OPTIONS => Err(not_implemented("CORS")),
        _ => Err(not_allowed(method, "OBJECT")),
    }
}

//! GetObjectTagging, PutObjectTagging and DeleteObjectTagging.

use crate::body::read_small;
use crate::call::{Call, shown_version};
use crate::props;
use crate::reply::{self, Reply};
use http::StatusCode;
use mallee_awswire::ApiError;
use mallee_objects::{ObjectInfo, Properties, Tags};
use mallee_s3_config::{Document as _, Tagging, check_object_tags, parse, whole};

/// GET /bucket/key?tagging
pub(crate) async fn get(call: Call, bucket: String, key: String) -> Result<Reply, ApiError> {
    let bucket = call.bucket(&bucket).await?;
    let version = call.version(&bucket)?;
    let info = call.object(&bucket, &key, version).await?.info;
    let mut response = reply::xml(whole(&Tagging { tags: info.properties.tags }));
    reply::set_version(&mut response, shown_version(&bucket, info.version));
    Ok(response)
}

/// PUT /bucket/key?tagging
pub(crate) async fn put(mut call: Call, bucket: String, key: String) -> Result<Reply, ApiError> {
    let body = read_small(&mut call, Tagging::BYTES_MAX, true, false).await?;
    let Tagging { tags } = parse(&body)?;
    check_object_tags(&tags)?;
    set(&call, &bucket, &key, &tags, StatusCode::OK).await
}

/// DELETE /bucket/key?tagging
pub(crate) async fn delete(call: Call, bucket: String, key: String) -> Result<Reply, ApiError> {
    set(&call, &bucket, &key, &Tags::new(), StatusCode::NO_CONTENT).await
}

async fn set(call: &Call, bucket: &str, key: &str, tags: &Tags, status: StatusCode) -> Result<Reply, ApiError> {
    let bucket = call.bucket(bucket).await?;
    let version = call.version(&bucket)?;
    let change = |info: &ObjectInfo| Ok(Properties { tags: tags.clone(), ..info.properties.clone() });
    let info = props::change(call, &bucket, key, version, &change).await?;
    let mut response = reply::empty(status);
    reply::set_version(&mut response, shown_version(&bucket, info.version));
    Ok(response)
}

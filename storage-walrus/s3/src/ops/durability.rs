//! The level of durability of a bucket: `x-mallee-durability`, as a header of CreateBucket and as a sub-resource. The rights
//! are those to a bucket's versioning, which says as well what becomes of data.

use crate::call::Call;
use crate::error::{engine, invalid_argument};
use crate::headers::text;
use crate::ops::config;
use crate::reply::Reply;
use http::{HeaderMap, StatusCode};
use mallee_awswire::ApiError;
use mallee_s3_config::Durability;

/// The header.
pub(crate) const DURABILITY: &str = "x-mallee-durability";

/// What a CreateBucket asks for.
///
/// # Errors
/// `InvalidArgument` for another word than these two.
pub(crate) fn of_new_bucket(headers: &HeaderMap) -> Result<Option<Durability>, ApiError> {
    let wrong = |word| invalid_argument(format!("{DURABILITY} must be strict or relaxed"), DURABILITY, word);
    text(headers, DURABILITY).map(|word| Durability::parse(word).ok_or_else(|| wrong(word))).transpose()
}

/// PUT /bucket?x-mallee-durability
pub(crate) async fn put(call: Call, bucket: String) -> Result<Reply, ApiError> {
    let store = call.s3.engine().clone();
    let reply = config::put::<Durability>(call, bucket, StatusCode::OK, |_, _| Ok(())).await?;
    // A bucket that says strict holds nothing that is not on the disk.
    store.flush().await.map_err(engine)?;
    Ok(reply)
}

//! Whom a bucket notifies.

use crate::call::Call;
use crate::error::engine;
use crate::ops::config;
use crate::reply::{self, Reply};
use http::StatusCode;
use mallee_awswire::ApiError;
use mallee_s3_config::Document as _;
use mallee_s3_config::notification::{Notification, unknown_target};
use mallee_s3_config::text;

/// PUT /bucket?notification. Each target is told a test event, from the outbox: whether it answers is not waited for.
pub(crate) async fn put(mut call: Call, bucket: String) -> Result<Reply, ApiError> {
    let found = call.bucket(&bucket).await?;
    let document: Notification = config::from_body(&mut call).await?;
    let background = &call.s3.config().background;
    for configuration in &document.configurations {
        let target = &configuration.target;
        // AWS lets topics and queues of other accounts be named if their policies allow it; here they have none.
        if !background.knows(target) || target.region != found.region || target.account != found.account {
            return Err(unknown_target(&target.to_string()));
        }
    }
    let store = call.s3.engine();
    let put = store.set_document(&bucket, Notification::KIND, "", &text(&document), &|_| Ok(())).await;
    put.map_err(|e| engine(e).field("BucketName", bucket))?;
    Ok(reply::empty(StatusCode::OK))
}

//! Where a bucket's objects are brought, too.

use crate::auth::S3_SERVICE;
use crate::call::Call;
use crate::error::{engine, not_implemented};
use crate::ops::config;
use crate::replica::{Peer, SESSION, Unreplicated};
use crate::reply::{self, Reply};
use http::StatusCode;
use http::header::HeaderName;
use mallee_awswire::{ApiError, Code};
use mallee_objects::{Bucket, Error, OBJECT_LOCK, ObjectInfo, Versioning};
use mallee_s3_config::{BucketArn, Destination, Document as _, Replication};
use std::collections::HashSet;
use std::time::Duration;

/// Which AWS gives to who may replicate a bucket that was there before its locks.
const TOKEN: &str = "x-amz-bucket-object-lock-token";

/// Buckets of other object stores that the rules of one bucket may name: each of them is asked.
const PEER_BUCKETS_MAX: usize = 10;
/// How long destinations are asked, all together.
const CHECKS_TIMEOUT: Duration = Duration::from_secs(30);

fn refused(text: &str) -> ApiError {
    Code::InvalidRequest.message(text.to_owned())
}

/// PUT /bucket?replication
pub(crate) async fn put(mut call: Call, bucket: String) -> Result<Reply, ApiError> {
    if call.headers.contains_key(TOKEN) {
        return Err(not_implemented("A token for object lock").field("Header", TOKEN));
    }
    let found = call.bucket(&bucket).await?;
    let document: Replication = config::from_body(&mut call).await?;
    if found.versioning != Versioning::Enabled {
        return Err(refused("Versioning must be 'Enabled' on the bucket to apply a replication configuration"));
    }
    // Nobody else is asked for who may not have this done.
    check_role(&call, &found, &document.role).await?;
    check_peer_count(&document)?;
    in_time(check_destinations(&call, &found, &document)).await?;
    let check = |found: &Bucket| match found.versioning {
        Versioning::Enabled => Ok(()),
        // Since it was looked at.
        _ => Err(Error::State("Versioning must be 'Enabled' on the bucket".to_owned())),
    };
    let text = mallee_s3_config::text(&document);
    let put = call.s3.engine().set_document(&bucket, Replication::KIND, "", &text, &check).await;
    put.map_err(|e| engine(e).field("BucketName", bucket))?;
    Ok(reply::empty(StatusCode::OK))
}

/// Refuses rules into more buckets of other object stores than are asked.
fn check_peer_count(document: &Replication) -> Result<(), ApiError> {
    let buckets = document.rules.iter().map(|rule| &rule.destination.bucket).filter(|arn| arn.peer.is_some());
    match buckets.collect::<HashSet<_>>().len() > PEER_BUCKETS_MAX {
        true => Err(refused(&format!("The rules may name at most {PEER_BUCKETS_MAX} buckets of other object stores."))),
        false => Ok(()),
    }
}

/// What is found out about destinations, as long as anybody waits for it.
async fn in_time(checks: impl Future<Output = Result<(), ApiError>>) -> Result<(), ApiError> {
    let late = |_| {
        Code::ServiceUnavailable.message("The destinations cannot all be asked in time. Please try again.".to_owned())
    };
    tokio::time::timeout(CHECKS_TIMEOUT, checks).await.map_err(late)?
}

async fn check_destinations(call: &Call, source: &Bucket, document: &Replication) -> Result<(), ApiError> {
    let mut seen = HashSet::new();
    for rule in &document.rules {
        check_destination(call, source, &rule.destination, &mut seen).await?;
    }
    Ok(())
}

/// Whether objects of a bucket can be brought there. Whether they may is asked for each of them.
async fn check_destination(
    call: &Call,
    source: &Bucket,
    destination: &Destination,
    seen: &mut HashSet<(BucketArn, Option<String>)>,
) -> Result<(), ApiError> {
    let Destination { bucket: arn, account, .. } = destination;
    if arn.peer.is_some() {
        return check_peer(call, source, destination, seen).await;
    }
    if arn.name == source.name {
        return Err(refused("The destination bucket must not be the source bucket."));
    }
    if !seen.insert((arn.clone(), account.clone())) {
        return Ok(());
    }
    let bucket = match call.s3.engine().bucket(&arn.name).await {
        Ok(bucket) => bucket,
        Err(Error::NoBucket) => return Err(refused("Destination bucket must exist.")),
        Err(error) => return Err(engine(error)),
    };
    if bucket.versioning != Versioning::Enabled {
        return Err(refused("Destination bucket must have versioning enabled."));
    }
    if account.as_ref().is_some_and(|account| *account != bucket.account) {
        return Err(Code::InvalidArgument
            .message("The account specified in the Account element must match the destination bucket owner."));
    }
    if source.docs.get(OBJECT_LOCK).is_some() && bucket.docs.get(OBJECT_LOCK).is_none() {
        return Err(refused("Destination bucket must have Object Lock enabled, as the source bucket has it."));
    }
    Ok(())
}

/// Whether a bucket of another object store is there and has versions, as far as that store says so now.
async fn check_peer(
    call: &Call,
    source: &Bucket,
    destination: &Destination,
    seen: &mut HashSet<(BucketArn, Option<String>)>,
) -> Result<(), ApiError> {
    let Destination { bucket: arn, account, .. } = destination;
    let Some(name) = &arn.peer else { return Ok(()) };
    if account.is_some() {
        return Err(not_implemented("The account of a bucket of another object store"));
    }
    if !seen.insert((arn.clone(), None)) {
        return Ok(());
    }
    let checked = match Peer::of(&call.s3, name, &arn.name, &source.account) {
        Ok(peer) => peer.check().await,
        Err(error) => Err(error),
    };
    match checked {
        Ok(()) => Ok(()),
        Err(Unreplicated::Refused(why)) => Err(refused(&format!("The destination cannot be used: {why}."))),
        Err(Unreplicated::Later(why)) => Err(Code::ServiceUnavailable
            .message(format!("The object store {name} of the destination cannot be asked now. Please try again."))
            .because(why)),
    }
}

/// Whether the role is there, of the bucket's owner, takes S3's work on, and may be given to it by the caller.
async fn check_role(call: &Call, bucket: &Bucket, role: &str) -> Result<(), ApiError> {
    if let Some(refusal) = call.refused_role(role, S3_SERVICE).await? {
        return Err(Code::AccessDenied.message(refusal));
    }
    if role.split(':').nth(4) != Some(bucket.account.as_str()) {
        return Err(refused("The role must belong to the owner of the source bucket."));
    }
    if call.s3.authority().role(role, S3_SERVICE, SESSION).await?.is_none() {
        return Err(refused("The role does not exist, or does not trust s3.amazonaws.com."));
    }
    Ok(())
}

/// Tells how the replication of an object goes, or that it is a replica.
pub(crate) fn set_status(response: &mut Reply, info: &ObjectInfo) {
    if let Some(state) = &info.properties.replication {
        reply::set(response, HeaderName::from_static("x-amz-replication-status"), state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However many there are, each of which answers soon enough.
    #[tokio::test(start_paused = true)]
    async fn destinations_have_one_deadline() {
        let asks = |count: u32| async move {
            for _ in 0..count {
                tokio::time::sleep(CHECKS_TIMEOUT / 3).await;
            }
            Ok(())
        };
        assert!(in_time(asks(2)).await.is_ok());
        assert_eq!(in_time(asks(4)).await.expect_err("late").code(), Code::ServiceUnavailable);
    }
}

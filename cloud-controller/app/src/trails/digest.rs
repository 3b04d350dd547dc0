//! Digests: signed lists of the files that were delivered, each naming the one before it.
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-digest-file-structure.html>
//!
//! As with files, what is to be written is noted before it is: whichever replica goes on writes the same bytes under the
//! same key.

use super::deliver::{DeliverError, Retries, s3_code};
use super::file;
use super::keys::{SignError, Signer};
use super::objects::{NewObject, ObjectService};
use crate::Cloud;
use mallee_runtime::clock::from_unix_ms;
use mallee_store::{
    DigestDone, DigestPlanned, TrailFileRow, TrailRow, trail_delivery_count, trail_digest_delivered,
    trail_digest_failed, trail_digest_planned, trail_fetch, trail_file_delete, trail_file_list, trail_list_all,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use time::format_description::well_known::Rfc3339;

/// A digest is made so often, in milliseconds.
pub(super) const PERIOD_MS: i64 = 3600 * 1000;
/// Files that one digest names; with so many it is made before its time.
const FILES_MAX: u32 = 1000;
const ALGORITHM: &str = "SHA256withRSA";

/// The digest that is under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Plan {
    bucket: String,
    key: String,
    text: String,
    signature: String,
    end_ms: i64,
    /// Keys of the files that it names.
    files: Vec<String>,
}

/// What a digest says of the one before it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Previous {
    bucket: String,
    key: String,
    hash: String,
    signature: String,
}

fn stamp(at_ms: i64) -> String {
    from_unix_ms(at_ms / 1000 * 1000).format(&Rfc3339).unwrap_or_default()
}

fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// The text that is signed.
fn to_sign(end_ms: i64, bucket: &str, key: &str, text: &str, previous: Option<&Previous>) -> String {
    let before = previous.map_or("null", |previous| previous.signature.as_str());
    format!("{}\n{bucket}/{key}\n{}\n{before}", stamp(end_ms), sha256(text))
}

/// The digest of these files.
fn document(
    trail: &TrailRow,
    (from_ms, end_ms): (i64, i64),
    key: &str,
    fingerprint: &str,
    previous: Option<&Previous>,
    files: &[TrailFileRow],
) -> Value {
    let named: Vec<Value> = files
        .iter()
        .map(|file| {
            json!({
                "s3Bucket": file.bucket,
                "s3Object": file.object,
                "hashValue": file.hash,
                "hashAlgorithm": "SHA-256",
                "newestEventTime": stamp(file.newest_ms),
                "oldestEventTime": stamp(file.oldest_ms),
            })
        })
        .collect();
    json!({
        "awsAccountId": trail.account_id.to_string(),
        "digestStartTime": stamp(from_ms),
        "digestEndTime": stamp(end_ms),
        "digestS3Bucket": trail.bucket,
        "digestS3Object": key,
        "digestPublicKeyFingerprint": fingerprint,
        "digestSignatureAlgorithm": ALGORITHM,
        "newestEventTime": files.iter().map(|file| file.newest_ms).max().map(stamp),
        "oldestEventTime": files.iter().map(|file| file.oldest_ms).min().map(stamp),
        "previousDigestS3Bucket": previous.map(|previous| &previous.bucket),
        "previousDigestS3Object": previous.map(|previous| &previous.key),
        "previousDigestHashValue": previous.map(|previous| &previous.hash),
        "previousDigestHashAlgorithm": previous.map(|_| "SHA-256"),
        "previousDigestSignature": previous.map(|previous| &previous.signature),
        "logFiles": named,
    })
}

/// One pass over every account's trails. Idempotent.
///
/// # Errors
/// What ends the pass; the next one goes on from the same place.
pub(super) async fn pass(
    cloud: &Cloud,
    objects: &dyn ObjectService,
    retries: &mut Retries,
) -> Result<(), DeliverError> {
    let now_ms = cloud.clock().now_ms();
    for trail in trail_list_all(cloud.store()).await? {
        if retries.waits(&trail, now_ms) {
            continue;
        }
        let Some(text) = planned(cloud, &trail, now_ms).await? else { continue };
        let Ok(plan) = serde_json::from_str::<Plan>(&text) else { continue };
        cloud.faults().point("cloud.trail.digest").await?;
        match put(cloud, objects, &trail, &plan).await? {
            None => {
                retries.taken(&trail);
                cloud.faults().point("cloud.trail.digest.delivered").await?;
                done(cloud, &trail, &text, plan, now_ms).await?;
            }
            Some(why) => {
                retries.refused(&trail, now_ms);
                let mut tx = cloud.store().write().await?;
                trail_digest_failed(&mut tx, &trail.account_id, &trail.name, why).await?;
                tx.commit().await?;
            }
        }
    }
    Ok(())
}

/// The plan to follow, if a digest is under way or due.
async fn planned(cloud: &Cloud, trail: &TrailRow, now_ms: i64) -> Result<Option<String>, DeliverError> {
    let Some(from_ms) = trail.digest_from_ms else { return Ok(None) };
    if let Some(text) = &trail.digest_plan {
        let plan = serde_json::from_str::<Plan>(text);
        // A trail that was pointed at another bucket is not held up by the old one.
        if plan.is_ok_and(|plan| plan.bucket == trail.bucket) {
            return Ok(Some(text.clone()));
        }
    }
    let store = cloud.store();
    let files = trail_file_list(store, &trail.account_id, &trail.name, FILES_MAX).await?;
    let ends = if trail.validation {
        !trail.logging && trail_delivery_count(store, &trail.account_id, &trail.name).await? == 0
    } else {
        true
    };
    let is_due = ends || now_ms.saturating_sub(from_ms) >= PERIOD_MS || files.len() >= FILES_MAX as usize;
    // Its end is in its name, to the second.
    if !is_due || now_ms / 1000 <= from_ms / 1000 {
        return Ok(None);
    }
    let signer = match Signer::of(cloud).await {
        Ok(signer) => signer,
        Err(SignError::Store(error)) => return Err(error.into()),
        Err(error) => {
            tracing::error!(%error, "no digest of audit files is made");
            return Ok(None);
        }
    };
    let previous: Option<Previous> = trail.digest_previous.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let region = &cloud.config().region;
    let key = file::digest_key(trail.prefix.as_deref(), &trail.account_id, region, &trail.name, now_ms);
    let said = document(trail, (from_ms, now_ms), &key, &signer.fingerprint, previous.as_ref(), &files).to_string();
    let text = to_sign(now_ms, &trail.bucket, &key, &said, previous.as_ref());
    let signature = match signer.sign(&text) {
        Ok(signature) => signature,
        Err(error) => {
            tracing::error!(%error, "no digest of audit files is made");
            return Ok(None);
        }
    };
    let files = files.into_iter().map(|file| file.object).collect();
    let plan = Plan { bucket: trail.bucket.clone(), key, text: said, signature, end_ms: now_ms, files };
    let Ok(text) = serde_json::to_string(&plan) else { return Ok(None) };
    let over = trail.digest_plan.as_deref().unwrap_or_default();
    let mut tx = store.write().await?;
    let planned = DigestPlanned { from_ms, plan: &text, over };
    let is_ours = trail_digest_planned(&mut tx, &trail.account_id, &trail.name, planned).await?;
    tx.commit().await?;
    cloud.faults().point("cloud.trail.digest.planned").await?;
    Ok(is_ours.then_some(text))
}

/// Writes it; otherwise what to say.
async fn put(
    cloud: &Cloud,
    objects: &dyn ObjectService,
    trail: &TrailRow,
    plan: &Plan,
) -> Result<Option<&'static str>, DeliverError> {
    let data = file::gzip(&plan.text).map_err(|error| DeliverError::Journal(error.to_string()))?;
    let object = NewObject {
        content_type: super::objects::JSON,
        account: trail.account_id.clone(),
        bucket: plan.bucket.clone(),
        key: plan.key.clone(),
        data,
        metadata: vec![("signature", plan.signature.clone()), ("signature-algorithm", ALGORITHM.to_owned())],
    };
    let outcome = objects.put(object).await;
    if let Err(error) = &outcome {
        let (name, account, region) = (&trail.name, &trail.account_id, &cloud.config().region);
        tracing::warn!(trail = name, %account, region, %error, "a digest of audit files waits for its bucket");
    }
    Ok(outcome.err().map(|error| s3_code(&error)))
}

/// Moves on to the next digest, or ends the chain.
async fn done(cloud: &Cloud, trail: &TrailRow, text: &str, plan: Plan, now_ms: i64) -> Result<(), DeliverError> {
    let previous = Previous { bucket: plan.bucket, key: plan.key, hash: sha256(&plan.text), signature: plan.signature };
    let previous = serde_json::to_string(&previous).ok();
    let mut tx = cloud.store().write().await?;
    let Some(trail) = trail_fetch(&mut tx, &trail.account_id, &trail.name).await? else { return Ok(()) };
    let left = trail_delivery_count(&mut tx, &trail.account_id, &trail.name).await?;
    let goes_on = trail.validation && (trail.logging || left > 0);
    let done = DigestDone {
        plan: text,
        from_ms: goes_on.then_some(plan.end_ms),
        previous: previous.as_deref().filter(|_| goes_on),
        at_ms: now_ms,
    };
    if !trail_digest_delivered(&mut tx, &trail.account_id, &trail.name, done).await? {
        return Ok(());
    }
    for object in &plan.files {
        trail_file_delete(&mut tx, &trail.account_id, &trail.name, object).await?;
    }
    Ok(tx.commit().await?)
}

//! What an account sets: trails, whether they log, what they select, and their tags.
//! <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_CreateTrail.html>

use super::names::{arn, check, check_bucket, check_prefix, resolve, unknown};
use super::objects::ObjectService;
use super::selectors::{self, Selector};
use super::{TAGS_MAX, TRAILS_MAX};
use crate::authorize::Ask;
use crate::fail::{OrFail as _, store_failure, wire_failure};
use crate::{Cloud, OpContext};
use mallee_audit::Position;
use mallee_awswire::{ApiError, Code};
use mallee_proto::Kind;
use mallee_store::{
    Json, TrailDeliveryRow, TrailRow, Tx, trail_delete, trail_delivery_list, trail_delivery_put, trail_fetch,
    trail_insert, trail_list, trail_update,
};
use std::collections::BTreeMap;

/// Longest key and value of a tag, in characters.
const TAG_KEY_CHARS_MAX: usize = 128;
const TAG_VALUE_CHARS_MAX: usize = 256;

/// What CreateTrail and UpdateTrail set; `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `S3BucketName`
    pub bucket: Option<String>,
    /// `S3KeyPrefix`; empty for none.
    pub prefix: Option<String>,
    /// `IncludeGlobalServiceEvents`
    pub global_events: Option<bool>,
    /// `IsMultiRegionTrail`
    pub multi_region: Option<bool>,
    /// `EnableLogFileValidation`
    pub validation: Option<bool>,
}

/// Tags by key.
pub type Tags = BTreeMap<String, String>;

impl Settings {
    fn apply(self, row: &mut TrailRow) -> Result<(), ApiError> {
        if let Some(bucket) = self.bucket {
            check_bucket(&bucket)?;
            row.bucket = bucket;
        }
        if let Some(prefix) = self.prefix {
            check_prefix(&prefix)?;
            row.prefix = Some(prefix).filter(|prefix| !prefix.is_empty());
        }
        row.global_events = self.global_events.unwrap_or(row.global_events);
        row.multi_region = self.multi_region.unwrap_or(row.multi_region);
        row.validation = self.validation.unwrap_or(row.validation);
        if row.multi_region && !row.global_events {
            return Err(Code::InvalidParameterCombinationException
                .message("Multi-Region trail must include global service events."));
        }
        Ok(())
    }
}

/// Begins the chain of digests where there is to be one.
fn begin_digests(row: &mut TrailRow, now_ms: i64) {
    if row.validation && row.logging && row.digest_from_ms.is_none() {
        row.digest_from_ms = Some(now_ms);
    }
}

/// The bucket must be there and the account's own: no other may be written to.
async fn check_owner(cx: &OpContext, objects: &dyn ObjectService, bucket: &str) -> Result<(), ApiError> {
    match objects.owner(bucket).await {
        Ok(owner) if owner == cx.account().as_str() => Ok(()),
        Ok(_) => Err(Code::InsufficientS3BucketPolicyException.with(&[bucket])),
        Err(error) if error.kind == Kind::NotFound => Err(Code::S3BucketDoesNotExistException.with(&[bucket])),
        Err(error) => Err(wire_failure(error)),
    }
}

async fn allowed(
    cloud: &Cloud,
    cx: &OpContext,
    action: &str,
    name: &str,
    existing: Option<&Tags>,
    asked: Option<&Tags>,
) -> Result<(), ApiError> {
    let mut keys: Vec<(String, Vec<String>)> = Vec::new();
    for (key, value) in existing.into_iter().flatten() {
        keys.push((format!("aws:ResourceTag/{key}"), vec![value.clone()]));
    }
    if let Some(asked) = asked.filter(|asked| !asked.is_empty()) {
        keys.push(("aws:TagKeys".to_owned(), asked.keys().cloned().collect()));
        keys.extend(asked.iter().map(|(key, value)| (format!("aws:RequestTag/{key}"), vec![value.clone()])));
    }
    let keys: Vec<(&str, Vec<String>)> = keys.iter().map(|(key, values)| (key.as_str(), values.clone())).collect();
    let resource = arn(&cloud.config().region, cx.account(), name);
    cloud.require(cx, &Ask { action, resource: &resource, keys: &keys, ..Ask::default() }).await
}

/// The trail that a request means, for a caller who may do `action` with it.
async fn permitted(
    cloud: &Cloud,
    cx: &OpContext,
    action: &str,
    given: &str,
    asked: Option<&Tags>,
) -> Result<TrailRow, ApiError> {
    let name = resolve(cloud, cx, given)?;
    let row = trail_fetch(cloud.store(), cx.account(), &name).await.or_fail()?;
    allowed(cloud, cx, action, &name, row.as_ref().map(|row| &row.tags.0), asked).await?;
    row.ok_or_else(|| unknown(cx, given))
}

/// Changes a trail in one transaction.
async fn change(
    cloud: &Cloud,
    cx: &OpContext,
    name: &str,
    edit: impl AsyncFnOnce(&mut TrailRow, &mut Tx) -> Result<(), ApiError>,
) -> Result<TrailRow, ApiError> {
    let mut tx = cloud.store().write().await.or_fail()?;
    let row = trail_fetch(&mut tx, cx.account(), name).await.or_fail()?;
    let mut row = row.ok_or_else(|| unknown(cx, name))?;
    edit(&mut row, &mut tx).await?;
    trail_update(&mut tx, &row).await.or_fail()?;
    tx.commit().await.or_fail()?;
    Ok(row)
}

/// `CreateTrail`. It does not log until it is told to.
///
/// # Errors
/// CloudTrail's.
pub async fn create(
    cloud: &Cloud,
    cx: &OpContext,
    objects: &dyn ObjectService,
    name: &str,
    settings: Settings,
    tags: Tags,
) -> Result<TrailRow, ApiError> {
    check(name)?;
    check_tags(&tags)?;
    let mut row = TrailRow {
        account_id: cx.account().clone(),
        name: name.to_owned(),
        bucket: String::new(),
        prefix: None,
        global_events: true,
        multi_region: false,
        validation: false,
        selectors: None,
        tags: Json(tags),
        logging: false,
        created_ms: cloud.clock().now_ms(),
        started_ms: None,
        stopped_ms: None,
        attempted_ms: None,
        delivered_ms: None,
        delivery_error: None,
        digest_from_ms: None,
        digest_previous: None,
        digest_plan: None,
        digest_delivered_ms: None,
        digest_error: None,
    };
    settings.apply(&mut row)?;
    allowed(cloud, cx, "cloudtrail:CreateTrail", name, None, Some(&row.tags.0)).await?;
    check_owner(cx, objects, &row.bucket).await?;
    let exists = || Code::TrailAlreadyExistsException.with(&[name, cx.account().as_str()]);
    let mut tx = cloud.store().write().await.or_fail()?;
    let others = trail_list(&mut tx, cx.account()).await.or_fail()?;
    if others.iter().any(|other| other.name == name) {
        return Err(exists());
    }
    if others.len() >= TRAILS_MAX {
        let (limit, region) = (TRAILS_MAX.to_string(), &cloud.config().region);
        return Err(Code::MaximumNumberOfTrailsExceededException.with(&[cx.account().as_str(), &limit, region]));
    }
    trail_insert(&mut tx, &row)
        .await
        .map_err(|error| if error.is_conflict("trails_account_id_name") { exists() } else { store_failure(error) })?;
    tx.commit().await.or_fail()?;
    Ok(row)
}

/// `UpdateTrail`.
///
/// # Errors
/// CloudTrail's.
pub async fn update(
    cloud: &Cloud,
    cx: &OpContext,
    objects: &dyn ObjectService,
    given: &str,
    settings: Settings,
) -> Result<TrailRow, ApiError> {
    let row = permitted(cloud, cx, "cloudtrail:UpdateTrail", given, None).await?;
    let mut tried = row.clone();
    settings.clone().apply(&mut tried)?;
    if settings.bucket.is_some() {
        check_owner(cx, objects, &tried.bucket).await?;
    }
    let now_ms = cloud.clock().now_ms();
    change(cloud, cx, &row.name, async |row, _| {
        settings.apply(row)?;
        begin_digests(row, now_ms);
        Ok(())
    })
    .await
}

/// `DeleteTrail`. What it has delivered stays; what is not delivered yet is in the event history only.
///
/// # Errors
/// CloudTrail's.
pub async fn delete(cloud: &Cloud, cx: &OpContext, given: &str) -> Result<(), ApiError> {
    let row = permitted(cloud, cx, "cloudtrail:DeleteTrail", given, None).await?;
    let mut tx = cloud.store().write().await.or_fail()?;
    if !trail_delete(&mut tx, cx.account(), &row.name).await.or_fail()? {
        return Err(unknown(cx, given));
    }
    tx.commit().await.or_fail()
}

/// `GetTrail` and `GetTrailStatus`, by the action.
///
/// # Errors
/// CloudTrail's.
pub async fn get(cloud: &Cloud, cx: &OpContext, action: &str, given: &str) -> Result<TrailRow, ApiError> {
    permitted(cloud, cx, action, given, None).await
}

/// `DescribeTrails`: those named (names without a trail are left out, as CloudTrail does), or all. `ListTrails`: all.
///
/// # Errors
/// CloudTrail's.
pub async fn list(cloud: &Cloud, cx: &OpContext, action: &str, given: &[String]) -> Result<Vec<TrailRow>, ApiError> {
    cloud.require(cx, &Ask { action, resource: "*", ..Ask::default() }).await?;
    let rows = trail_list(cloud.store(), cx.account()).await.or_fail()?;
    if given.is_empty() {
        return Ok(rows);
    }
    let mut names = Vec::new();
    for one in given {
        match resolve(cloud, cx, one) {
            Ok(name) => names.push(name),
            Err(error) if error.code() == Code::TrailNotFoundException => {}
            Err(error) => return Err(error),
        }
    }
    Ok(rows.into_iter().filter(|row| names.contains(&row.name)).collect())
}

/// `StartLogging`: of this replica's records, those after `written`.
///
/// # Errors
/// CloudTrail's.
pub async fn start(cloud: &Cloud, cx: &OpContext, given: &str, written: Position) -> Result<(), ApiError> {
    let row = permitted(cloud, cx, "cloudtrail:StartLogging", given, None).await?;
    let (now_ms, replica) = (cloud.clock().now_ms(), &cloud.config().replica);
    change(cloud, cx, &row.name, async |row, tx| {
        if row.logging {
            return Ok(());
        }
        (row.logging, row.started_ms) = (true, Some(now_ms));
        begin_digests(row, now_ms);
        let places = trail_delivery_list(&mut *tx, replica).await.or_fail()?;
        // What was logged before the last stop may be on its way still.
        if places.iter().any(|place| place.account_id == row.account_id && place.trail == row.name) {
            return Ok(());
        }
        let place = TrailDeliveryRow {
            account_id: row.account_id.clone(),
            trail: row.name.clone(),
            replica: replica.clone(),
            position: written.to_string(),
            since_ms: now_ms,
            plan: None,
        };
        trail_delivery_put(tx, &place).await.or_fail()
    })
    .await
    .map(drop)
}

/// `StopLogging`. What was recorded before is delivered soon.
///
/// # Errors
/// CloudTrail's.
pub async fn stop(cloud: &Cloud, cx: &OpContext, given: &str) -> Result<(), ApiError> {
    let row = permitted(cloud, cx, "cloudtrail:StopLogging", given, None).await?;
    let now_ms = cloud.clock().now_ms();
    change(cloud, cx, &row.name, async |row, _| {
        if row.logging {
            (row.logging, row.stopped_ms) = (false, Some(now_ms));
        }
        Ok(())
    })
    .await
    .map(drop)
}

/// The selectors of a trail: those set, or that of every management event.
#[must_use]
pub fn selectors_of(row: &TrailRow) -> Vec<Selector> {
    let set = row.selectors.as_deref().and_then(|text| serde_json::from_str(text).ok());
    set.unwrap_or_else(|| vec![Selector::default()])
}

/// `PutEventSelectors`.
///
/// # Errors
/// CloudTrail's.
pub async fn select(
    cloud: &Cloud,
    cx: &OpContext,
    given: &str,
    selectors: Vec<Selector>,
) -> Result<TrailRow, ApiError> {
    selectors::check(&selectors)?;
    let row = permitted(cloud, cx, "cloudtrail:PutEventSelectors", given, None).await?;
    let text = serde_json::to_string(&selectors).map_err(ApiError::internal)?;
    change(cloud, cx, &row.name, async |row, _| {
        row.selectors = Some(text);
        Ok(())
    })
    .await
}

fn check_tags(tags: &Tags) -> Result<(), ApiError> {
    if tags.len() > TAGS_MAX {
        return Err(Code::TagsLimitExceededException.with(&[&TAGS_MAX.to_string()]));
    }
    let sound = |text: &str, max: usize| {
        text.chars().count() <= max
            && text.chars().all(|c| c.is_alphanumeric() || c.is_whitespace() || "_.:/=+@-".contains(c))
    };
    for (key, value) in tags {
        let is_own = !key.to_ascii_lowercase().starts_with("aws:");
        if key.is_empty() || !sound(key, TAG_KEY_CHARS_MAX) || !sound(value, TAG_VALUE_CHARS_MAX) || !is_own {
            return Err(Code::InvalidTagParameterException
                .message(format!("The tag with the key {} is not valid.", mallee_awswire::texts::clip(key))));
        }
    }
    Ok(())
}

/// `AddTags`: over those of the same key.
///
/// # Errors
/// CloudTrail's.
pub async fn tag(cloud: &Cloud, cx: &OpContext, given: &str, tags: Tags) -> Result<(), ApiError> {
    check_tags(&tags)?;
    let row = permitted(cloud, cx, "cloudtrail:AddTags", given, Some(&tags)).await?;
    change(cloud, cx, &row.name, async |row, _| {
        row.tags.0.extend(tags);
        check_tags(&row.tags.0)
    })
    .await
    .map(drop)
}

/// `RemoveTags`: by key; a value that is given must be the tag's.
///
/// # Errors
/// CloudTrail's.
pub async fn untag(
    cloud: &Cloud,
    cx: &OpContext,
    given: &str,
    tags: BTreeMap<String, Option<String>>,
) -> Result<(), ApiError> {
    let keys: Tags = tags.keys().map(|key| (key.clone(), String::new())).collect();
    let row = permitted(cloud, cx, "cloudtrail:RemoveTags", given, Some(&keys)).await?;
    change(cloud, cx, &row.name, async |row, _| {
        row.tags.0.retain(|key, value| match tags.get(key) {
            None => true,
            Some(wanted) => wanted.as_ref().is_some_and(|wanted| wanted != value),
        });
        Ok(())
    })
    .await
    .map(drop)
}

/// `ListTags` of one trail.
///
/// # Errors
/// CloudTrail's.
pub async fn tags_of(cloud: &Cloud, cx: &OpContext, given: &str) -> Result<Tags, ApiError> {
    Ok(permitted(cloud, cx, "cloudtrail:ListTags", given, None).await?.tags.0)
}

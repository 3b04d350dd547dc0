//! Trails in CloudTrail's JSON protocol.
//! <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_CreateTrail.html>

use super::{Trail, cloudtrail};
use mallee_app::trails::objects::NewObject;
use mallee_app::trails::{ObjectService, Selector, arn, manage, public_keys};
use mallee_app::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_proto::{Kind, WireError};
use mallee_runtime::clock::from_unix_ms;
use mallee_store::TrailRow;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use time::format_description::well_known::Rfc3339;

/// Trails whose tags are listed at once (CloudTrail: 20).
const RESOURCES_MAX: usize = 20;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct Put {
    name: String,
    #[serde(rename = "S3BucketName")]
    bucket: Option<String>,
    #[serde(rename = "S3KeyPrefix")]
    prefix: Option<String>,
    include_global_service_events: Option<bool>,
    is_multi_region_trail: Option<bool>,
    enable_log_file_validation: Option<bool>,
    sns_topic_name: Option<String>,
    cloud_watch_logs_log_group_arn: Option<String>,
    cloud_watch_logs_role_arn: Option<String>,
    kms_key_id: Option<String>,
    is_organization_trail: Option<bool>,
    recursive_logging: Option<String>,
    tags_list: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Tag {
    key: String,
    value: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    #[serde(rename = "Name")]
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Describe {
    trail_name_list: Vec<String>,
    /// Trails of other regions: there are none.
    include_shadow_trails: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct Page {
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Selectors {
    trail_name: String,
    #[serde(default)]
    event_selectors: Option<Vec<Selector>>,
    #[serde(default)]
    advanced_event_selectors: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct OfTrail {
    trail_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Tagging {
    resource_id: String,
    tags_list: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Tagged {
    resource_id_list: Vec<String>,
    #[serde(default)]
    next_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct Span {
    start_time: Option<f64>,
    end_time: Option<f64>,
    next_token: Option<String>,
}

fn read<T: DeserializeOwned>(action: &str, body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(if body.is_empty() { b"{}" } else { body })
        .map_err(|e| Code::SerializationException.message(format!("The request is not one of {action}: {e}")))
}

/// Lists here have one page: nobody was given a token.
fn no_token(token: Option<&str>) -> Result<(), ApiError> {
    match token {
        None => Ok(()),
        Some(_) => Err(Code::InvalidNextTokenException.message("The token is not one of this operation.")),
    }
}

impl Put {
    /// # Errors
    /// What cannot be honoured, by name.
    fn settings(self) -> Result<(String, manage::Settings, manage::Tags), ApiError> {
        let texts = [
            ("SnsTopicName", self.sns_topic_name),
            ("CloudWatchLogsLogGroupArn", self.cloud_watch_logs_log_group_arn),
            ("CloudWatchLogsRoleArn", self.cloud_watch_logs_role_arn),
            ("KmsKeyId", self.kms_key_id),
            ("RecursiveLogging", self.recursive_logging),
        ];
        // Clients send an empty text for "none".
        let refused = texts.iter().find(|(_, value)| value.as_ref().is_some_and(|value| !value.is_empty()));
        let refused = refused.map(|(name, _)| *name);
        if let Some(name) = refused.or(self.is_organization_trail.filter(|is| *is).map(|_| "IsOrganizationTrail")) {
            let text = format!("The parameter {name} is not supported by this cloud.");
            return Err(Code::UnsupportedOperationException.message(text));
        }
        let settings = manage::Settings {
            bucket: self.bucket,
            prefix: self.prefix,
            global_events: self.include_global_service_events,
            multi_region: self.is_multi_region_trail,
            validation: self.enable_log_file_validation,
        };
        Ok((self.name, settings, tags(self.tags_list)))
    }
}

fn tags(list: Vec<Tag>) -> manage::Tags {
    list.into_iter().map(|tag| (tag.key, tag.value.unwrap_or_default())).collect()
}

/// Answers one call of a trail's operations; `None` when it is none of them.
///
/// # Errors
/// CloudTrail's.
pub(crate) async fn answer(
    cloud: &Cloud,
    cx: &OpContext,
    trail: Option<&Trail>,
    action: &str,
    body: &[u8],
) -> Result<Option<Value>, ApiError> {
    let objects = Objects(trail.and_then(Trail::objects));
    let empty = json!({});
    Ok(Some(match action {
        "CreateTrail" => {
            let (name, mut settings, tags) = read::<Put>(action, body)?.settings()?;
            settings.bucket = Some(settings.bucket.unwrap_or_default());
            let row = manage::create(cloud, cx, &objects, &name, settings, tags).await?;
            Value::Object(described(cloud, &row))
        }
        "UpdateTrail" => {
            let put: Put = read(action, body)?;
            if !put.tags_list.is_empty() {
                return Err(Code::SerializationException.message("UpdateTrail has no parameter TagsList."));
            }
            let (name, settings, _) = put.settings()?;
            let row = manage::update(cloud, cx, &objects, &name, settings).await?;
            Value::Object(described(cloud, &row))
        }
        "DeleteTrail" => {
            manage::delete(cloud, cx, &read::<Named>(action, body)?.name).await?;
            empty
        }
        "DescribeTrails" => {
            let Describe { trail_name_list, include_shadow_trails: _ } = read(action, body)?;
            let rows = manage::list(cloud, cx, "cloudtrail:DescribeTrails", &trail_name_list).await?;
            json!({ "trailList": rows.iter().map(|row| whole(cloud, row)).collect::<Vec<_>>() })
        }
        "GetTrail" => {
            let row = manage::get(cloud, cx, "cloudtrail:GetTrail", &read::<Named>(action, body)?.name).await?;
            json!({ "Trail": whole(cloud, &row) })
        }
        "ListTrails" => {
            no_token(read::<Page>(action, body)?.next_token.as_deref())?;
            let rows = manage::list(cloud, cx, "cloudtrail:ListTrails", &[]).await?;
            let region = &cloud.config().region;
            let short =
                |row: &TrailRow| json!({ "TrailARN": arn_of(cloud, row), "Name": row.name, "HomeRegion": region });
            json!({ "Trails": rows.iter().map(short).collect::<Vec<_>>() })
        }
        "GetTrailStatus" => {
            let row = manage::get(cloud, cx, "cloudtrail:GetTrailStatus", &read::<Named>(action, body)?.name).await?;
            status(&row)
        }
        "StartLogging" => {
            let written = trail.map(Trail::written).unwrap_or_default();
            manage::start(cloud, cx, &read::<Named>(action, body)?.name, written).await?;
            empty
        }
        "StopLogging" => {
            manage::stop(cloud, cx, &read::<Named>(action, body)?.name).await?;
            empty
        }
        "PutEventSelectors" => {
            let Selectors { trail_name, event_selectors, advanced_event_selectors } = read(action, body)?;
            if advanced_event_selectors.is_some_and(|selectors| !selectors.is_empty()) {
                return Err(Code::UnsupportedOperationException
                    .message("AdvancedEventSelectors is not supported by this cloud; use EventSelectors."));
            }
            let row = manage::select(cloud, cx, &trail_name, event_selectors.unwrap_or_default()).await?;
            selected(cloud, &row)
        }
        "GetEventSelectors" => {
            let name = read::<OfTrail>(action, body)?.trail_name;
            selected(cloud, &manage::get(cloud, cx, "cloudtrail:GetEventSelectors", &name).await?)
        }
        "AddTags" => {
            let Tagging { resource_id, tags_list } = read(action, body)?;
            manage::tag(cloud, cx, &resource_id, tags(tags_list)).await?;
            empty
        }
        "RemoveTags" => {
            let Tagging { resource_id, tags_list } = read(action, body)?;
            let tags: BTreeMap<_, _> = tags_list.into_iter().map(|tag| (tag.key, tag.value)).collect();
            manage::untag(cloud, cx, &resource_id, tags).await?;
            empty
        }
        "ListTags" => tags_of(cloud, cx, read(action, body)?).await?,
        "ListPublicKeys" => {
            let Span { start_time, end_time, next_token } = read(action, body)?;
            no_token(next_token.as_deref())?;
            keys(cloud, cx, start_time, end_time).await?
        }
        _ => return Ok(None),
    }))
}

/// The object store, which a cloud without a trail of its own has not: callers without the right are told that first.
#[derive(Debug)]
struct Objects(Option<Arc<dyn ObjectService>>);

impl Objects {
    fn there(&self) -> Result<&dyn ObjectService, WireError> {
        self.0.as_deref().ok_or_else(|| WireError::new(Kind::Unavailable, "there is no object store"))
    }
}

#[async_trait::async_trait]
impl ObjectService for Objects {
    async fn owner(&self, bucket: &str) -> Result<String, WireError> {
        self.there()?.owner(bucket).await
    }

    async fn put(&self, object: NewObject) -> Result<(), WireError> {
        self.there()?.put(object).await
    }
}

fn arn_of(cloud: &Cloud, row: &TrailRow) -> String {
    arn(&cloud.config().region, &row.account_id, &row.name)
}

/// As CreateTrail and UpdateTrail answer.
fn described(cloud: &Cloud, row: &TrailRow) -> Map<String, Value> {
    let mut shown = Map::new();
    let mut set = |name: &str, value: Value| drop(shown.insert(name.to_owned(), value));
    set("Name", json!(row.name));
    set("S3BucketName", json!(row.bucket));
    if let Some(prefix) = &row.prefix {
        set("S3KeyPrefix", json!(prefix));
    }
    set("IncludeGlobalServiceEvents", json!(row.global_events));
    set("IsMultiRegionTrail", json!(row.multi_region));
    set("TrailARN", json!(arn_of(cloud, row)));
    set("LogFileValidationEnabled", json!(row.validation));
    set("IsOrganizationTrail", json!(false));
    shown
}

/// As DescribeTrails and GetTrail answer.
fn whole(cloud: &Cloud, row: &TrailRow) -> Value {
    let mut shown = described(cloud, row);
    shown.insert("HomeRegion".to_owned(), json!(cloud.config().region));
    shown.insert("HasCustomEventSelectors".to_owned(), json!(row.selectors.is_some()));
    shown.insert("HasInsightSelectors".to_owned(), json!(false));
    Value::Object(shown)
}

fn status(row: &TrailRow) -> Value {
    let mut shown = Map::new();
    let text = |at_ms: Option<i64>| {
        at_ms.and_then(|at_ms| from_unix_ms(at_ms / 1000 * 1000).format(&Rfc3339).ok()).unwrap_or_default()
    };
    let mut set = |name: &str, value: Value| drop(shown.insert(name.to_owned(), value));
    set("IsLogging", json!(row.logging));
    let times = [
        ("LatestDeliveryTime", row.delivered_ms),
        ("StartLoggingTime", row.started_ms),
        ("StopLoggingTime", row.stopped_ms),
        ("LatestDigestDeliveryTime", row.digest_delivered_ms),
    ];
    for (name, at_ms) in times {
        if let Some(at_ms) = at_ms {
            set(name, json!(at_ms / 1000));
        }
    }
    for (name, error) in
        [("LatestDeliveryError", &row.delivery_error), ("LatestDigestDeliveryError", &row.digest_error)]
    {
        if let Some(error) = error {
            set(name, json!(error));
        }
    }
    // These are texts, and there when there is nothing to say.
    set("LatestDeliveryAttemptTime", json!(text(row.attempted_ms)));
    set("LatestDeliveryAttemptSucceeded", json!(text(row.delivered_ms)));
    set("LatestNotificationAttemptTime", json!(""));
    set("LatestNotificationAttemptSucceeded", json!(""));
    set("TimeLoggingStarted", json!(text(row.started_ms)));
    set("TimeLoggingStopped", json!(text(row.stopped_ms)));
    Value::Object(shown)
}

fn selected(cloud: &Cloud, row: &TrailRow) -> Value {
    json!({ "TrailARN": arn_of(cloud, row), "EventSelectors": manage::selectors_of(row) })
}

async fn tags_of(cloud: &Cloud, cx: &OpContext, asked: Tagged) -> Result<Value, ApiError> {
    let Tagged { resource_id_list, next_token } = asked;
    no_token(next_token.as_deref())?;
    if resource_id_list.is_empty() || resource_id_list.len() > RESOURCES_MAX {
        let text = format!("ResourceIdList must have 1 to {RESOURCES_MAX} ARNs.");
        return Err(Code::SerializationException.message(text));
    }
    let mut list = Vec::new();
    for id in resource_id_list {
        let tags = manage::tags_of(cloud, cx, &id).await?;
        let tags: Vec<Value> = tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
        list.push(json!({ "ResourceId": id, "TagsList": tags }));
    }
    Ok(json!({ "ResourceTagList": list }))
}

async fn keys(cloud: &Cloud, cx: &OpContext, from: Option<f64>, to: Option<f64>) -> Result<Value, ApiError> {
    let (from_ms, to_ms) = (from.map(cloudtrail::milliseconds), to.map(cloudtrail::milliseconds));
    let keys: Vec<Value> = public_keys(cloud, cx, from_ms, to_ms)
        .await?
        .into_iter()
        .map(|key| {
            json!({
                "Value": key.public_key,
                "ValidityStartTime": key.from_ms / 1000,
                "ValidityEndTime": key.to_ms / 1000,
                "Fingerprint": key.fingerprint,
            })
        })
        .collect();
    Ok(json!({ "PublicKeyList": keys }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(body: &str) -> Result<manage::Settings, Code> {
        let put: Put = serde_json::from_str(body).unwrap();
        put.settings().map(|(_, settings, _)| settings).map_err(|error| error.code())
    }

    #[test]
    fn what_is_not_honoured_is_refused_by_name() {
        let given =
            settings(r#"{"Name":"main","S3BucketName":"b","EnableLogFileValidation":true,"KmsKeyId":""}"#).unwrap();
        assert_eq!((given.bucket.as_deref(), given.validation), (Some("b"), Some(true)));
        for name in ["SnsTopicName", "CloudWatchLogsLogGroupArn", "CloudWatchLogsRoleArn", "KmsKeyId"] {
            let body = json!({ "Name": "main", (name): "x" }).to_string();
            assert_eq!(settings(&body), Err(Code::UnsupportedOperationException), "{name}");
        }
        assert_eq!(settings(r#"{"IsOrganizationTrail":true}"#), Err(Code::UnsupportedOperationException));
        assert!(serde_json::from_str::<Put>(r#"{"Colour":"red"}"#).is_err());
    }
}

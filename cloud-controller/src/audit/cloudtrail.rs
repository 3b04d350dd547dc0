//! CloudTrail's JSON protocol: `LookupEvents`; the operations of trails are in [`super::trails`].
//! <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html>

use super::{Trail, trails};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use mallee_app::audit::{Attribute, LookupPage, LookupQuery, lookup};
use mallee_app::authorize::Ask;
use mallee_app::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use serde::Deserialize;
use serde_json::{Value, json};

/// Name of the service in credential scopes.
pub(crate) const SERVICE: &str = "cloudtrail";
/// The operations that are answered.
pub const OFFERED: &[&str] = &[
    "AddTags",
    "CreateTrail",
    "DeleteTrail",
    "DescribeTrails",
    "GetEventSelectors",
    "GetTrail",
    "GetTrailStatus",
    "ListPublicKeys",
    "ListTags",
    "ListTrails",
    "LookupEvents",
    "PutEventSelectors",
    "RemoveTags",
    "StartLogging",
    "StopLogging",
    "UpdateTrail",
];
/// Events on a page at most, and when the request does not say.
const PAGE_MAX: u32 = 50;

/// The operation that a request names: `X-Amz-Target: CloudTrail_20131101.LookupEvents`.
pub(crate) fn action(headers: &HeaderMap) -> &str {
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    target.rsplit('.').next().unwrap_or_default()
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Request {
    #[serde(default)]
    lookup_attributes: Vec<LookupAttribute>,
    start_time: Option<f64>,
    end_time: Option<f64>,
    event_category: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct LookupAttribute {
    attribute_key: String,
    attribute_value: String,
}

/// Answers one authorised call.
///
/// # Errors
/// CloudTrail's.
pub(crate) async fn answer(
    cloud: &Cloud,
    cx: &OpContext,
    trail: Option<&Trail>,
    action: &str,
    body: &[u8],
) -> Result<String, ApiError> {
    match action {
        "LookupEvents" => {
            cloud.require(cx, &Ask { action: "cloudtrail:LookupEvents", resource: "*", ..Ask::default() }).await?;
            let page = lookup(cloud, cx, &query(body)?).await?;
            Ok(shown(page).to_string())
        }
        "" => Err(Code::MissingAction.error()),
        other => match trails::answer(cloud, cx, trail, other, body).await? {
            Some(reply) => Ok(reply.to_string()),
            None => Err(ApiError::unsupported_operation(other)),
        },
    }
}

fn query(body: &[u8]) -> Result<LookupQuery, ApiError> {
    let request: Request = serde_json::from_slice(if body.is_empty() { b"{}" } else { body })
        .map_err(|e| Code::SerializationException.message(format!("The request is not one of LookupEvents: {e}")))?;
    let Request { lookup_attributes, start_time, end_time, event_category, max_results, next_token } = request;
    if let Some(category) = event_category {
        return Err(Code::InvalidEventCategoryException.message(format!(
            "Event category {category} is not recorded: leave EventCategory out to look up management events."
        )));
    }
    let attribute = match lookup_attributes.as_slice() {
        [] => None,
        [one] => Some(attribute(one)?),
        _ => return Err(Code::InvalidLookupAttributesException.message("You can only use one lookup attribute.")),
    };
    let (from_ms, to_ms) = (start_time.map(milliseconds), end_time.map(milliseconds));
    if let (Some(from), Some(to)) = (from_ms, to_ms)
        && from > to
    {
        return Err(Code::InvalidTimeRangeException.message("The start time must not be after the end time."));
    }
    let limit = match max_results {
        None => PAGE_MAX,
        Some(n) => u32::try_from(n).ok().filter(|n| (1..=PAGE_MAX).contains(n)).ok_or_else(|| {
            Code::InvalidMaxResultsException.message(format!("MaxResults must be between 1 and {PAGE_MAX}."))
        })?,
    };
    let before = next_token.map(|token| open(&token)).transpose()?;
    Ok(LookupQuery { attribute, from_ms, to_ms, limit, before })
}

/// Seconds since 1970 to milliseconds; what no clock shows becomes the nearest that one does.
#[allow(clippy::cast_possible_truncation, reason = "a float saturates")]
pub(super) fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1000.0) as i64
}

fn attribute(given: &LookupAttribute) -> Result<Attribute, ApiError> {
    let value = given.attribute_value.clone();
    Ok(match given.attribute_key.as_str() {
        "EventId" => Attribute::Id(value),
        "EventName" => Attribute::Name(value),
        "EventSource" => Attribute::Source(value),
        "Username" => Attribute::Username(value),
        "AccessKeyId" => Attribute::AccessKeyId(value),
        "ResourceType" => Attribute::ResourceKind(value),
        "ResourceName" => Attribute::ResourceName(value),
        "ReadOnly" => Attribute::ReadOnly(value.parse().map_err(|_| {
            Code::InvalidLookupAttributesException.message("The value of ReadOnly must be true or false.")
        })?),
        other => {
            return Err(Code::InvalidLookupAttributesException.message(format!("{other} is not a lookup attribute.")));
        }
    })
}

fn seal((event_ms, id): &(i64, String)) -> String {
    URL_SAFE_NO_PAD.encode(format!("{event_ms} {id}"))
}

fn open(token: &str) -> Result<(i64, String), ApiError> {
    let read = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
        let (event_ms, id) = text.split_once(' ')?;
        Some((event_ms.parse().ok()?, id.to_owned()))
    };
    read().ok_or_else(|| Code::InvalidNextTokenException.message("The token is not one of LookupEvents."))
}

fn shown(page: LookupPage) -> Value {
    let events: Vec<Value> = page
        .events
        .into_iter()
        .map(|(event, about)| {
            let resources: Vec<Value> =
                about.iter().map(|r| json!({ "ResourceType": r.kind, "ResourceName": r.name })).collect();
            json!({
                "EventId": event.id,
                "EventName": event.name,
                "ReadOnly": event.read_only.to_string(),
                "AccessKeyId": event.access_key_id,
                "EventTime": event.event_ms / 1000,
                "EventSource": event.source,
                "Username": event.username,
                "Resources": resources,
                "CloudTrailEvent": event.body,
            })
        })
        .collect();
    match page.next {
        Some(next) => json!({ "Events": events, "NextToken": seal(&next) }),
        None => json!({ "Events": events }),
    }
}

/// The reply of a JSON service.
pub(crate) fn respond(outcome: Result<String, &ApiError>, request_id: &str) -> Response<Bytes> {
    let (status, body) = match outcome {
        Ok(body) => (200, body),
        Err(error) => {
            // CloudTrail's name of it.
            let code = if error.code() == Code::AccessDenied { Code::AccessDeniedException } else { error.code() };
            (error.status(), json!({ "__type": code.as_str(), "message": error.message() }).to_string())
        }
    };
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> Code {
        query(body.as_bytes()).unwrap_err().code()
    }

    #[test]
    fn a_lookup_is_read_or_refused() {
        let body = r#"{"LookupAttributes":[{"AttributeKey":"Username","AttributeValue":"ann"}],"StartTime":1.5,"MaxResults":2}"#;
        let query = query(body.as_bytes()).unwrap();
        assert_eq!(query.attribute, Some(Attribute::Username("ann".into())));
        assert_eq!((query.from_ms, query.to_ms, query.limit), (Some(1500), None, 2));
        assert_eq!(refused(r#"{"MaxResults":51}"#), Code::InvalidMaxResultsException);
        assert_eq!(refused(r#"{"NextToken":"x"}"#), Code::InvalidNextTokenException);
        assert_eq!(refused(r#"{"StartTime":2,"EndTime":1}"#), Code::InvalidTimeRangeException);
        assert_eq!(refused(r#"{"EventCategory":"insight"}"#), Code::InvalidEventCategoryException);
        assert_eq!(refused(r#"{"Colour":"red"}"#), Code::SerializationException);
        let two = r#"{"LookupAttributes":[{"AttributeKey":"EventName","AttributeValue":"a"},{"AttributeKey":"EventId","AttributeValue":"b"}]}"#;
        assert_eq!(refused(two), Code::InvalidLookupAttributesException);
    }

    #[test]
    fn a_token_leads_to_the_next_page() {
        let next = (7, "e-1".to_owned());
        assert_eq!(open(&seal(&next)).unwrap(), next);
    }
}

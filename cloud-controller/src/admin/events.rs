//! `mallee event …`: scheduled events, announced, listed and ended by the administrator.

use mallee_app::Cloud;
use mallee_app::events::{Announcement, Target};
use mallee_awswire::texts::clip;
use mallee_awswire::{ApiError, Code};
use mallee_store::{EventCode, EventState, InstanceEventRow};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

fn shown(row: &InstanceEventRow) -> Value {
    json!({
        "id": row.id.as_str(),
        "instance": row.instance_id.as_str(),
        "account": row.account_id.as_str(),
        "node": row.node_id.as_ref().map(AsRef::<str>::as_ref),
        "code": row.code.name(),
        "state": row.state.name(),
        "description": row.description,
        "not_before_ms": row.not_before_ms,
        "not_after_ms": row.not_after_ms,
        "deadline_ms": row.deadline_ms,
        "created_ms": row.created_ms,
        "ended_ms": row.ended_ms,
    })
}

fn all(rows: &[InstanceEventRow]) -> Vec<Value> {
    rows.iter().map(shown).collect()
}

/// Events still to come; with `all=true` in the query, those that ended within a week too.
pub(super) async fn list(cloud: &Cloud, query: &str) -> Result<Value, ApiError> {
    let ended_too = query.split('&').any(|part| part == "all=true");
    Ok(json!({ "events": all(&cloud.instance_events(!ended_too).await?) }))
}

/// A moment, RFC 3339; null or absent: none.
fn moment(body: &Value, key: &'static str) -> Result<Option<i64>, ApiError> {
    let wrong =
        |given: &str| ApiError::invalid_value(key, &clip(given), "A time is written like 2026-01-31T12:00:00Z.");
    match &body[key] {
        Value::Null => Ok(None),
        Value::String(text) => {
            let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| wrong(text))?;
            Ok(Some(at.unix_timestamp().saturating_mul(1000).saturating_add(i64::from(at.millisecond()))))
        }
        other => Err(wrong(&other.to_string())),
    }
}

fn target(body: &Value) -> Result<Target, ApiError> {
    match (&body["node"], &body["instances"]) {
        (Value::String(node), Value::Null) => Ok(Target::Node(node.clone())),
        (Value::Null, Value::Array(ids)) => {
            let ids: Option<Vec<String>> = ids.iter().map(|id| id.as_str().map(str::to_owned)).collect();
            ids.map(Target::Instances).ok_or_else(|| ApiError::missing_parameter("instances"))
        }
        _ => Err(ApiError::invalid_combination("An event is announced for a node or for instances.")),
    }
}

/// Announces an event: `{"node": … | "instances": […], "code": …, "not_before": …, "description": …}`, and
/// `not_after` and `deadline` where there are any. What was made, and what said the same already.
pub(super) async fn announce(cloud: &Cloud, body: &Value) -> Result<Value, ApiError> {
    let text = |key: &'static str| body[key].as_str().ok_or_else(|| ApiError::missing_parameter(key));
    let given = text("code")?;
    let code = EventCode::ALL.into_iter().find(|code| code.name() == given).ok_or_else(|| {
        let names: Vec<&str> = EventCode::ALL.iter().map(|code| code.name()).collect();
        ApiError::invalid_value("code", &clip(given), &format!("It is one of {}.", names.join(", ")))
    })?;
    let wanted = Announcement {
        target: target(body)?,
        code,
        not_before_ms: moment(body, "not_before")?.ok_or_else(|| ApiError::missing_parameter("not_before"))?,
        not_after_ms: moment(body, "not_after")?,
        deadline_ms: moment(body, "deadline")?,
        description: text("description")?.to_owned(),
    };
    let announced = cloud.announce_event(&wanted).await?;
    Ok(json!({ "made": all(&announced.made), "known": all(&announced.known) }))
}

/// Ends an event: `{"state": "completed"}` or `"canceled"`.
pub(super) async fn end(cloud: &Cloud, id: &str, body: &Value) -> Result<Value, ApiError> {
    let how = match body["state"].as_str() {
        Some("completed") => EventState::Completed,
        Some("canceled") => EventState::Canceled,
        _ => return Err(Code::InvalidParameterValue.message("The state is completed or canceled.")),
    };
    Ok(shown(&cloud.end_instance_event(id, how).await?))
}

//! `mallee explain i-…`: why an instance is where it is, or nowhere, in sentences.

use mallee_app::Cloud;
use mallee_app::cluster_link::client;
use mallee_app::fail::OrFail as _;
use mallee_awswire::{ApiError, Code};
use mallee_proto::v1::ExplainRequest;
use mallee_store::{InstanceRow, StoreError, instance_fetch, instance_placement, spot_request_fetch};
use mallee_types::{InstanceId, RunIntent};
use serde_json::{Value, json};
use std::time::Duration;
use tonic::Request;

/// Longest wait for the cluster controller.
const EXPLAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The lines of the explanation, with the raw facts beside them.
pub(super) async fn explain(cloud: &Cloud, id: &str) -> Result<Value, ApiError> {
    let id: InstanceId = mallee_app::ids::parse_id(id, Code::InvalidInstanceIdMalformed)?;
    let row = match instance_fetch(cloud.store(), &id).await {
        Err(StoreError::NotFound { .. }) => return Err(ApiError::instance_not_found(&[id.as_str()])),
        other => other.or_fail()?,
    };
    let placement = instance_placement(cloud.store(), &id).await.or_fail()?;
    let placement: Value = placement.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Value::Null);
    let mut lines = intent_lines(&row);
    lines.extend(spot_lines(cloud, &row).await?);
    lines.extend(placement_lines(&placement));
    let notes = cluster_notes(cloud, &row).await;
    lines.extend(notes.iter().map(|note| format!("cluster: {note}")));
    Ok(json!({ "id": id.as_str(), "lines": lines, "placement": placement, "cluster_notes": notes }))
}

fn intent_lines(row: &InstanceRow) -> Vec<String> {
    let wish = match row.intent {
        RunIntent::Run => "to run",
        RunIntent::Stop => "to be stopped",
        RunIntent::Terminate => "to be gone",
    };
    let node = row.node_id.as_ref().map_or("no node", AsRef::as_ref);
    let mut lines = vec![
        format!(
            "{} is {}: it is meant {wish} (generation {}, incarnation {}).",
            row.id,
            row.state.name(),
            row.generation,
            row.incarnation
        ),
        format!("It belongs to zone {} and node {node}.", row.zone),
        format!(
            "The node last reported {:?} for generation {}, network {}.",
            row.observed_phase,
            row.observed_generation,
            if row.observed_network { "applied" } else { "not applied" }
        ),
    ];
    if let Some(message) = row.state_reason_message.as_ref().filter(|m| !m.is_empty()) {
        lines.push(format!("Reason of the state: {message}."));
    }
    lines
}

/// That it gives way to others, and if it did or will: when and why.
async fn spot_lines(cloud: &Cloud, row: &InstanceRow) -> Result<Vec<String>, ApiError> {
    let Some(spot) = &row.doc.spot else { return Ok(Vec::new()) };
    let time = |ms: i64| mallee_runtime::clock::from_unix_ms(ms).to_string();
    let request = match spot_request_fetch(cloud.store(), &spot.request).await {
        Err(StoreError::NotFound { .. }) => {
            return Ok(vec![format!("It is a spot instance; its request {} is forgotten.", spot.request)]);
        }
        other => other.or_fail()?,
    };
    let mut lines = vec![format!("It is a spot instance of request {} ({}).", request.id, request.status_code)];
    let why = request.interruption.unwrap_or_default();
    match (request.interrupt_ms, request.interrupted_ms) {
        (Some(at), _) => lines.push(format!("It has its notice and is interrupted at {}: {why}.", time(at))),
        (None, Some(at)) => lines.push(format!("An instance of its request was interrupted at {}: {why}.", time(at))),
        (None, None) => {}
    }
    Ok(lines)
}

fn placement_lines(placement: &Value) -> Vec<String> {
    let Some(chosen) = placement["chosen"].as_str() else { return Vec::new() };
    let strategy = placement["strategy"].as_str().unwrap_or("?");
    let mut lines = vec![format!("The scheduler chose {chosen} (strategy {strategy}):")];
    for verdict in placement["verdicts"].as_array().into_iter().flatten() {
        let node = verdict["node"].as_str().unwrap_or("?");
        let refused = verdict["refused_by"].as_str().unwrap_or_default();
        lines.push(if refused.is_empty() {
            format!("  {node}: fits, score {}", verdict["score"].as_str().unwrap_or("?"))
        } else {
            format!("  {node}: refused by {refused}: {}", verdict["reason"].as_str().unwrap_or("?"))
        });
    }
    lines
}

async fn cluster_notes(cloud: &Cloud, row: &InstanceRow) -> Vec<String> {
    let state = cloud.zone_state(&row.zone);
    let Some((channel, _)) = state.session() else {
        return vec![state.trouble().unwrap_or_else(|| "not connected".into())];
    };
    let mut request = Request::new(ExplainRequest { instance_id: row.id.to_string() });
    request.set_timeout(EXPLAIN_TIMEOUT);
    match client(channel).explain(request).await {
        Ok(reply) => {
            let reply = reply.into_inner();
            let activity = reply.observation.map(|o| o.activity).filter(|a| !a.is_empty());
            activity.map(|a| format!("the node is at: {a}")).into_iter().chain(reply.notes).collect()
        }
        Err(status) => vec![status.message().to_owned()],
    }
}

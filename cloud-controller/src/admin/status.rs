//! `mallee status`: every service and node, as this replica knows them.

use mallee_app::cluster_link::state_word;
use mallee_app::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_proto::v1::{Capacity, NodeStatus};
use mallee_store::ImageState;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// Longest `wait` a client may ask for, in seconds.
const WAIT_SECONDS_MAX: u64 = 30;

fn capacity(capacity: Option<&Capacity>) -> Value {
    let capacity = capacity.cloned().unwrap_or_default();
    json!({ "vcpus": capacity.vcpus, "memory_mib": capacity.memory_mib, "disk_bytes": capacity.disk_bytes })
}

fn node(node: &NodeStatus) -> Value {
    json!({
        "id": node.node_id,
        "zone": node.zone,
        "state": state_word(node.state()),
        "total": capacity(node.total.as_ref()),
        "used": capacity(node.used.as_ref()),
        "hypervisor": node.hypervisor,
        "version": node.version,
        "instances": node.instances,
        "last_seen_ms": node.last_seen_ms,
        "warnings": node.warnings,
    })
}

/// Until when the client is willing to wait: `wait=N` in the query, in seconds.
fn deadline(query: &str) -> Instant {
    let wait = query.split('&').find_map(|p| p.strip_prefix("wait=")).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    Instant::now() + Duration::from_secs(wait.min(WAIT_SECONDS_MAX))
}

/// The newest image with this name; with `wait=N`, not before its import has ended or N seconds have passed.
pub(super) async fn image(cloud: &Cloud, cx: &OpContext, name: &str, query: &str) -> Result<Value, ApiError> {
    let deadline = deadline(query);
    let mut changed = cloud.watch_images();
    loop {
        let image = cloud.image_by_name(cx, name).await?;
        let image =
            image.ok_or_else(|| Code::InvalidAmiIdNotFound.message(format!("There is no image named {name}.")))?;
        let pending = image.state == ImageState::Pending;
        if !pending || tokio::time::timeout_at(deadline, changed.changed()).await.is_err() {
            let state = match image.state {
                ImageState::Pending => "pending",
                ImageState::Available => "available",
                ImageState::Failed => "failed",
                ImageState::Deregistered => "deregistered",
            };
            return Ok(json!({ "id": image.id.as_str(), "state": state, "reason": image.state_reason }));
        }
    }
}

/// The answer; with `wait=N` in the query, not before the cloud is ready or N seconds have passed.
pub(super) async fn status(cloud: &Cloud, query: &str) -> Result<Value, ApiError> {
    let deadline = deadline(query);
    for zone in cloud.zones() {
        let state = cloud.zone_state(zone);
        let mut changed = state.watch();
        while state.trouble().is_some() {
            if tokio::time::timeout_at(deadline, changed.changed()).await.is_err() {
                break;
            }
        }
    }
    Ok(snapshot(cloud).await)
}

/// One service: its state, since when (Unix milliseconds), and what is wrong with it.
fn service(role: &str, name: &str, state: &str, since_ms: i64, detail: &str) -> Value {
    json!({ "role": role, "name": name, "state": state, "since_ms": since_ms, "detail": detail })
}

const fn ready_or_away(ready: bool) -> &'static str {
    if ready { "ready" } else { "away" }
}

async fn snapshot(cloud: &Cloud) -> Value {
    let (config, started_ms) = (cloud.config(), cloud.started_ms());
    let detail = format!("region {}, {}", config.region, config.endpoint);
    let mut services = vec![service("cloud", &config.replica, "ready", started_ms, &detail)];
    let mut nodes = Vec::new();
    let mut trouble = Vec::new();
    for zone in cloud.zones() {
        let state = cloud.zone_state(zone);
        let problem = state.trouble();
        let since_ms = state.since_ms().unwrap_or(started_ms);
        let there = ready_or_away(state.session().is_some());
        services.push(service("cluster", zone.as_str(), there, since_ms, problem.as_deref().unwrap_or_default()));
        trouble.extend(problem.map(|why| format!("{zone}: {why}")));
        nodes.extend(cloud.zone_nodes(zone).await.iter().map(node));
    }
    let walrus = cloud.look_at_walrus().await;
    let detail = walrus.trouble.as_deref().unwrap_or_default();
    services.push(service("walrus", "walrus", ready_or_away(walrus.trouble.is_none()), walrus.since_ms, detail));
    let ready = trouble.len() < cloud.zones().len();
    json!({ "ready": ready, "reason": trouble.join("; "), "services": services, "nodes": nodes })
}

//! Removes what bears our mark and what no order names. Nothing is swept before the cluster has sent its orders
//! completely once in this run, and nothing before it has been nameless for the whole grace period.

use crate::context::Context;
use crate::node::Node;
use mallee_types::InstanceId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Strays are looked for at least this often.
const PERIOD_MAX: Duration = Duration::from_secs(60);
/// Never more often than this, however short the grace is.
const PERIOD_MIN: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Suspect {
    Instance(InstanceId),
    Port(String),
}

pub(crate) async fn run(node: Arc<Node>) {
    let shutdown = node.shutdown().clone();
    let mut suspects: BTreeMap<Suspect, Instant> = BTreeMap::new();
    loop {
        let rule = *node.sweep_rule.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = if rule.heard.is_some() {
            match pass(&node, &mut suspects, rule.grace).await {
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(node = %node.context().host, error, "looking for strays failed; trying again")
                }
            }
            suspects.values().map(|since| (*since + rule.grace).saturating_duration_since(Instant::now())).min()
        } else {
            None
        };
        let wait = wait.unwrap_or(PERIOD_MAX).clamp(PERIOD_MIN, PERIOD_MAX);
        tokio::select! {
            () = shutdown.stopped() => return,
            () = node.sweeper.woken() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn pass(node: &Arc<Node>, suspects: &mut BTreeMap<Suspect, Instant>, grace: Duration) -> Result<(), String> {
    let context = node.context();
    let found = strays(node).await?;
    let now = Instant::now();
    suspects.retain(|suspect, _| found.contains(suspect));
    for suspect in found {
        let since = *suspects.entry(suspect.clone()).or_insert(now);
        if now.duration_since(since) < grace {
            continue;
        }
        suspects.remove(&suspect);
        context.faults.point("node.sweep").await.map_err(|e| e.to_string())?;
        match suspect {
            Suspect::Instance(id) => {
                tracing::warn!(node = %context.host, instance = %id, "removing an instance that no order names");
                node.sweep(&id);
            }
            Suspect::Port(id) => {
                tracing::warn!(node = %context.host, interface = id, "removing a port that no order names");
                context.drivers.network.unplug(&id).await.map_err(|e| e.to_string())?;
            }
        }
    }
    context.drivers.images.evict(&context.drivers.held.images()).await.map_err(|e| e.to_string())
}

/// What is there and named by nothing.
async fn strays(node: &Node) -> Result<BTreeSet<Suspect>, String> {
    let context = node.context();
    let held = node.held();
    let mut strays: BTreeSet<Suspect> = BTreeSet::new();
    strays.extend(held.iter().filter(|(_, named)| !**named).map(|(id, _)| Suspect::Instance(id.clone())));
    for id in on_host(context).await? {
        if !held.get(&id).is_some_and(|named| *named) {
            strays.insert(Suspect::Instance(id));
        }
    }
    let inventory = context.drivers.network.inventory().await.map_err(|e| e.to_string())?;
    let wanted = wanted_ports(context, &held);
    strays.extend(inventory.ports.into_iter().filter(|id| !wanted.contains(id)).map(Suspect::Port));
    Ok(strays)
}

/// Every instance of which a domain or a file exists.
pub(crate) async fn on_host(context: &Context) -> Result<BTreeSet<InstanceId>, String> {
    let hypervisor = &context.drivers.hypervisor;
    let domains = hypervisor.domains().await.map_err(|e| e.to_string())?;
    let disks = hypervisor.disks().await.map_err(|e| e.to_string())?;
    Ok(domains.into_iter().map(|domain| domain.instance).chain(disks).collect())
}

fn wanted_ports(context: &Context, held: &std::collections::HashMap<InstanceId, bool>) -> BTreeSet<String> {
    use crate::network::MetadataSource as _;
    let mut wanted: BTreeSet<String> = context.net.borrow().ports.keys().cloned().collect();
    for id in held.keys() {
        let intent = context.drivers.held.instance(id.as_str());
        let ports = intent.iter().filter_map(|i| i.spec.as_ref()).flat_map(|spec| &spec.ports);
        wanted.extend(ports.map(|port| port.interface_id.clone()));
    }
    wanted
}

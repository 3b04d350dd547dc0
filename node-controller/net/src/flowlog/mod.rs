//! Flow logs: what interfaces sent and got, counted by the kernel.
//!
//! Counting is a table of its own beside the VPC's rules, which it neither changes nor knows. Three chains of the forward
//! hook see a packet before anything is decided, between its sender's rules and its receiver's, and at the end: of each
//! interface, what was seen and did not pass was rejected. Flows are elements of sets that the kernel makes itself, so
//! nothing runs in the packet path, and what was counted outlives the agent.
//!
//! A window ends by putting a new table beside the old one. A packet bears the parity of the table that saw it first (the
//! top bit of its mark), so that each is counted by one table only, wherever it was when the window ended. The old table is
//! read, set by set, and removed a moment later. Its name says when its window began, and comments of its sets whose the
//! devices are: nothing else is needed to tell it, whatever became of the agent, the interface or the VPC. An interface that
//! comes while a window is open is added to its table.

mod read;
mod table;

use crate::engine::KernelNetwork;
use crate::exec::{failed, inside};
use crate::model::{Model, Vpc};
use mallee_node_core::network::NetworkError;
use mallee_proto::v1::{Flow, FlowWindow};
use std::collections::BTreeMap;
use std::sync::Arc;
use table::{Begun, FLOWS_MIN, begin, join, room, take};
use tokio::sync::Mutex;
use tracing::warn;

/// Longest comment of a set, in bytes (the kernel takes 128).
const COMMENT_MAX: usize = 120;
/// Interfaces of namespaces that are gone whose last window is kept until it is told.
const LEFT_MAX: usize = 4096;
/// Whose a device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    vpc: String,
    subnet: String,
    instance: String,
    interface: String,
}

impl Owner {
    /// As a comment of a set; `None` for what does not fit there.
    fn comment(&self) -> Option<String> {
        let text = [&self.vpc, &self.subnet, &self.instance, &self.interface].map(String::as_str).join(" ");
        let plain = |b: u8| b.is_ascii_alphanumeric() || b" -_".contains(&b);
        (text.len() <= COMMENT_MAX && text.bytes().all(plain)).then_some(text)
    }

    fn parse(comment: &str) -> Option<Self> {
        let words: Vec<&str> = comment.split(' ').collect();
        let [vpc, subnet, instance, interface] = words[..] else { return None };
        let [vpc, subnet, instance, interface] = [vpc, subnet, instance, interface].map(str::to_owned);
        Some(Self { vpc, subnet, instance, interface })
    }

    fn window(self, (start_ms, end_ms): (i64, i64), lost: bool, flows: Vec<Flow>) -> FlowWindow {
        FlowWindow {
            vpc_id: self.vpc,
            subnet_id: self.subnet,
            instance_id: self.instance,
            interface_id: self.interface,
            start_s: start_ms / 1000,
            end_s: end_ms / 1000,
            lost,
            flows,
        }
    }
}

/// The interfaces of a VPC whose traffic is wanted, by device.
fn wanted(vpc: &Vpc) -> BTreeMap<String, Owner> {
    let owner = |port: &crate::model::Port| Owner {
        vpc: vpc.id.clone(),
        subnet: port.subnet.id.clone(),
        instance: port.instance_id.clone(),
        interface: port.interface_id.clone(),
    };
    let logged = vpc.ports.iter().filter(|(_, port)| port.flow_log);
    logged.map(|(device, port)| (device.clone(), owner(port))).collect()
}

/// What is to be counted in one namespace.
#[derive(Debug, Clone)]
struct Wanted {
    devices: BTreeMap<String, Owner>,
    /// What the names of all ports begin with.
    taps: String,
    /// Room in each set.
    size: usize,
}

impl Wanted {
    /// Of the VPCs of a host, that of `ns`.
    fn of(model: &Model, ns: &str, taps: String) -> Self {
        let logged = model.vpcs.values().flat_map(|vpc| vpc.ports.values()).filter(|port| port.flow_log).count();
        let devices = model.vpcs.values().find(|vpc| vpc.ns == ns).map(|vpc| wanted(vpc)).unwrap_or_default();
        Self { devices, taps, size: room(logged) }
    }
}

/// What the engine remembers of flow logs.
#[derive(Debug, Default)]
pub(crate) struct Logged {
    /// Of namespaces that are gone; told with the next window.
    left: Mutex<Vec<FlowWindow>>,
    /// Who reads the tables of a namespace holds its lock; no other is taken meanwhile but by who removes it.
    readers: Mutex<BTreeMap<String, Arc<Mutex<()>>>>,
}

impl Logged {
    async fn reader(&self, ns: &str) -> Arc<Mutex<()>> {
        Arc::clone(self.readers.lock().await.entry(ns.to_owned()).or_default())
    }
}

impl KernelNetwork {
    /// Ends the window of every VPC and begins the next: what was counted of each interface that a flow log wants.
    pub(crate) async fn end_window(&self, now_ms: i64) -> Result<Vec<FlowWindow>, NetworkError> {
        let mut out = std::mem::take(&mut *self.logged.left.lock().await);
        let names: Vec<String> = self.state.lock().await.model.vpcs.values().map(|vpc| vpc.ns.clone()).collect();
        for ns in names {
            match self.end_window_of(&ns, now_ms).await {
                Ok(windows) => out.extend(windows),
                // Its counters stay where they are for the next time.
                Err(error) => warn!(ns, %error, "the flows of a VPC could not be read"),
            }
        }
        Ok(out)
    }

    async fn end_window_of(&self, ns: &str, now_ms: i64) -> Result<Vec<FlowWindow>, NetworkError> {
        // An apply adds ports to the open table: not between what is read here of the model and the next table.
        let state = self.state.lock().await;
        if !state.model.vpcs.values().any(|vpc| vpc.ns == ns) {
            return Ok(Vec::new());
        }
        let wanted = Wanted::of(&state.model, ns, self.names.tap_start());
        if !self.features.flow_logs {
            let lost = |owner: Owner| owner.window((now_ms, now_ms), true, Vec::new());
            return Ok(wanted.devices.into_values().map(lost).collect());
        }
        let next = wanted.clone();
        let Some(begun) = inside(Some(ns), move || begin(now_ms, &next)).await? else { return Ok(Vec::new()) };
        // Without a next table ports would be added to one that is about to go: they wait.
        let state = begun.next.is_none().then_some(state);
        let windows = self.read_windows(ns, begun, wanted).await;
        drop(state);
        windows
    }

    async fn read_windows(&self, ns: &str, begun: Begun, wanted: Wanted) -> Result<Vec<FlowWindow>, NetworkError> {
        let reader = self.logged.reader(ns).await;
        let _alone = reader.lock().await;
        let broken = self.faults.point("net.flows.read").await.map_err(failed).err();
        inside(Some(ns), move || take(begun, &wanted, broken.as_ref())).await
    }

    /// Counts what logged ports of a VPC send and get from now on, if they came after its window began. The state is held.
    pub(crate) async fn join_window(&self, model: &Model, vpc: &Vpc) {
        let wanted = Wanted::of(model, &vpc.ns, self.names.tap_start());
        if !self.features.flow_logs || wanted.devices.is_empty() {
            return;
        }
        let now_ms = self.shared.clock.now_ms();
        if let Err(error) = inside(Some(&vpc.ns), move || join(now_ms, wanted)).await {
            warn!(vpc = %vpc.id, %error, "flows are counted from the next window on only");
        }
    }

    /// Keeps what a namespace that is about to go has counted. The state is held.
    pub(crate) async fn last_window(&self, ns: &str) {
        let now_ms = self.shared.clock.now_ms();
        let wanted = Wanted { devices: BTreeMap::new(), taps: self.names.tap_start(), size: FLOWS_MIN };
        let none = wanted.clone();
        let windows = match inside(Some(ns), move || begin(now_ms, &none)).await {
            Ok(None) => Ok(Vec::new()),
            Ok(Some(begun)) => self.read_windows(ns, begun, wanted).await,
            Err(error) => Err(error),
        };
        self.logged.readers.lock().await.remove(ns);
        match windows {
            Ok(windows) => {
                let mut left = self.logged.left.lock().await;
                let room = LEFT_MAX.saturating_sub(left.len());
                left.extend(windows.into_iter().take(room));
            }
            Err(error) => warn!(ns, %error, "the last flows of a VPC are lost"),
        }
    }
}

//! The simulated network: it keeps the contract of the real one (ports only of the applied view, taps before domains,
//! plugs after), and sends no packet.

use crate::config::SimFault;
use crate::host::{SimHost, SimPort, State};
use async_trait::async_trait;
use mallee_node_core::{Applied, NetworkEngine, NetworkError, NetworkInventory};
use mallee_proto::v1::{Flow, FlowWindow, NodeView, PortView};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// What real guests get: Ethernet's 1500 less VXLAN's 50.
const MTU: u32 = 1450;

/// The network of a simulated host.
#[derive(Debug, Clone)]
pub struct SimNetwork(SimHost);

impl SimNetwork {
    /// The network of this machine.
    #[must_use]
    pub const fn new(host: SimHost) -> Self {
        Self(host)
    }

    async fn call<T>(
        &self,
        method: &'static str,
        work: impl FnOnce(&SimHost) -> Result<T, NetworkError> + Send,
    ) -> Result<T, NetworkError> {
        let text = || format!("{}: {method}: simulated failure", self.0.name());
        match self.0.call(method, self.0.config().network).await {
            Some(SimFault::Fail | SimFault::Exhausted) => Err(NetworkError::Failed(text())),
            Some(SimFault::Refuse) => Err(NetworkError::Unsupported(text())),
            Some(SimFault::FailAfter) => work(&self.0).and_then(|_| Err(NetworkError::Failed(text()))),
            Some(SimFault::Delay(_) | SimFault::Hang) | None => work(&self.0),
        }
    }
}

/// TCP's number.
const TCP: u32 = 6;

impl State {
    /// What simulated guests did in a window: in every second one each asks the world for a page and gets it, and the world
    /// asks it for one and does not; in the others nothing.
    fn end_window(&mut self, now_ms: i64) -> Vec<FlowWindow> {
        let start_ms = std::mem::replace(&mut self.window_ms, now_ms);
        self.windows += 1;
        let vpcs = self.view.as_deref().map_or(&[][..], |view| view.vpcs.as_slice());
        let ports = vpcs.iter().flat_map(|vpc| vpc.ports.iter().map(|port| (&vpc.vpc_id, port)));
        let plugged = |port: &PortView| self.ports.get(&port.interface_id).is_some_and(|there| there.plugged);
        let logged = ports.filter(|(_, port)| port.flow_log && start_ms > 0 && plugged(port));
        let window = |(vpc, port): (&String, &PortView)| FlowWindow {
            vpc_id: vpc.clone(),
            subnet_id: port.subnet_id.clone(),
            instance_id: port.instance_id.clone(),
            interface_id: port.interface_id.clone(),
            start_s: start_ms / 1000,
            end_s: now_ms / 1000,
            lost: false,
            flows: if self.windows.is_multiple_of(2) { talk(port) } else { Vec::new() },
        };
        logged.map(window).collect()
    }
}

/// See [`State::end_window`].
fn talk(port: &PortView) -> Vec<Flow> {
    let own = port.private_ip.parse().map_or(0, |ip: Ipv4Addr| ip.into());
    let world = Ipv4Addr::new(198, 51, 100, 7).into();
    let flow = |ingress: bool, ports: (u32, u32), packets: u64, tcp_flags: u32, accepted: bool| Flow {
        ingress,
        accepted,
        source: if ingress { world } else { own },
        destination: if ingress { own } else { world },
        protocol: TCP,
        source_port: ports.0,
        destination_port: ports.1,
        packets,
        bytes: packets * 60,
        tcp_flags,
    };
    vec![
        flow(false, (49152, 443), 10, 3, true),
        flow(true, (443, 49152), 9, 19, true),
        flow(true, (50000, 22), 2, 2, false),
    ]
}

fn ids(view: &NodeView) -> BTreeSet<&str> {
    view.vpcs.iter().flat_map(|vpc| &vpc.ports).map(|port| port.interface_id.as_str()).collect()
}

fn is_named(view: Option<&NodeView>, port: &PortView) -> bool {
    view.is_some_and(|view| view.vpcs.iter().flat_map(|vpc| &vpc.ports).any(|p| p.interface_id == port.interface_id))
}

#[async_trait]
impl NetworkEngine for SimNetwork {
    async fn apply(&self, view: Arc<NodeView>) -> Result<Applied, NetworkError> {
        self.call("apply", |host| {
            host.with(|state| {
                let newer = |old: &Arc<NodeView>| (old.epoch, old.generation) > (view.epoch, view.generation);
                if state.view.as_ref().is_some_and(newer) {
                    return Err(NetworkError::Invalid("an older view than the applied one".to_owned()));
                }
                let named = ids(&view);
                state.ports.retain(|id, _| named.contains(id.as_str()));
                let of = |texts: &BTreeMap<String, String>| {
                    let texts = texts.iter().filter(|(id, _)| named.contains(id.as_str()));
                    texts.map(|(id, text)| (id.clone(), text.clone())).collect()
                };
                let applied = Applied { port_errors: of(&state.port_errors), waiting: of(&state.port_waits) };
                state.view = Some(Arc::clone(&view));
                Ok(applied)
            })
        })
        .await
    }

    async fn create_tap(&self, port: &PortView) -> Result<String, NetworkError> {
        self.call("create_tap", |host| {
            let tap = host.tap_name();
            host.with(|state| {
                if !is_named(state.view.as_deref(), port) {
                    return Err(NetworkError::Failed(format!("{} is not in the applied view", port.interface_id)));
                }
                let made = SimPort { tap: tap.clone(), instance: port.instance_id.clone(), plugged: false };
                state.ports.insert(port.interface_id.clone(), made);
                Ok(tap)
            })
        })
        .await
    }

    async fn plug(&self, port: &PortView) -> Result<(), NetworkError> {
        self.call("plug", |host| {
            host.with(|state| {
                if !is_named(state.view.as_deref(), port) {
                    return Err(NetworkError::Failed(format!("{} is not in the applied view", port.interface_id)));
                }
                let id = &port.interface_id;
                let there = state.ports.get_mut(id).ok_or_else(|| NetworkError::Failed(format!("{id} has no tap")))?;
                let held =
                    state.domains.iter().any(|(i, d)| *i.as_str() == there.instance && d.taps.contains(&there.tap));
                if !held {
                    return Err(NetworkError::Failed(format!("no domain holds tap {}", there.tap)));
                }
                there.plugged = true;
                Ok(())
            })
        })
        .await
    }

    async fn unplug(&self, interface_id: &str) -> Result<(), NetworkError> {
        self.call("unplug", |host| {
            host.with(|state| state.ports.remove(interface_id));
            Ok(())
        })
        .await
    }

    async fn inventory(&self) -> Result<NetworkInventory, NetworkError> {
        self.call("inventory", |host| {
            Ok(host.with(|state| {
                let named = state.view.as_deref().map(ids).unwrap_or_default();
                let stray = |id: &&String| !named.contains(id.as_str());
                NetworkInventory {
                    ports: state.ports.iter().filter(|(_, port)| port.plugged).map(|(id, _)| id.clone()).collect(),
                    strays: state.ports.keys().filter(stray).map(|id| format!("port {id}")).collect(),
                }
            }))
        })
        .await
    }

    async fn destroy_all(&self) -> Result<(), NetworkError> {
        self.call("destroy_all", |host| {
            host.with(|state| {
                state.ports.clear();
                state.view = None;
            });
            Ok(())
        })
        .await
    }

    async fn flows(&self, now_ms: i64) -> Result<Vec<FlowWindow>, NetworkError> {
        self.call("flows", |host| Ok(host.with(|state| state.end_window(now_ms)))).await
    }

    fn mtu(&self) -> u32 {
        MTU
    }
}

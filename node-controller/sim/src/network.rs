//! The simulated network: it keeps the contract of the real one (ports only of the applied view, taps before domains,
//! plugs after), and sends no packet.

use crate::config::SimFault;
use crate::host::{SimHost, SimPort};
use async_trait::async_trait;
use mallee_node_core::{Applied, NetworkEngine, NetworkError, NetworkInventory};
use mallee_proto::v1::{NodeView, PortView};
use std::collections::BTreeSet;
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
                let errors = state.port_errors.iter().filter(|(id, _)| named.contains(id.as_str()));
                let port_errors = errors.map(|(id, error)| (id.clone(), error.clone())).collect();
                state.view = Some(Arc::clone(&view));
                Ok(Applied { port_errors })
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

    fn mtu(&self) -> u32 {
        MTU
    }
}

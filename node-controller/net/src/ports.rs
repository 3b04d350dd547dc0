//! Instance ports: made in the host's namespace, moved into the VPC's once the hypervisor holds them.

use crate::config::{MTU, PortKind};
use crate::engine::{KernelNetwork, State};
use crate::exec::{delete_links, failed, inside, ip_batch};
use crate::model::{Port, Vpc};
use crate::ns;
use crate::observe;
use crate::plan::GATEWAY_MAC;
use mallee_node_core::network::{NetworkError, NetworkInventory};
use mallee_proto::v1::PortView;

fn named<'a>(state: &'a State, interface_id: &str) -> Option<(&'a Vpc, &'a Port)> {
    let ports = state.model.vpcs.values().flat_map(|vpc| vpc.ports.values().map(move |port| (&**vpc, port)));
    ports.into_iter().find(|(_, port)| port.interface_id == interface_id)
}

/// The port's VPC and itself, where the applied view names it and its VPC stands.
fn applied<'a>(state: &'a State, wire: &PortView) -> Result<(&'a Vpc, &'a Port), NetworkError> {
    let id = &wire.interface_id;
    let Some((vpc, port)) = named(state, id) else {
        let why = state.model.port_errors.get(id).map_or("the applied view does not name it", String::as_str);
        return Err(NetworkError::Invalid(format!("port {id}: {why}")));
    };
    if !wire.mac.eq_ignore_ascii_case(&port.mac.to_string()) || wire.private_ip != port.ip.to_string() {
        return Err(NetworkError::Invalid(format!("port {id}: the applied view has another address or MAC for it")));
    }
    if state.done.contains_key(&vpc.id) {
        Ok((vpc, port))
    } else {
        Err(failed(format!("port {id}: its VPC is not applied")))
    }
}

impl KernelNetwork {
    /// Deletes a device in one namespace; absent (device or namespace) is fine.
    async fn delete_in(&self, netns: Option<&str>, device: &str) -> Result<(), NetworkError> {
        let name = device.to_owned();
        inside(netns, move || if observe::has(&name) { delete_links(std::iter::once(name)) } else { Ok(()) }).await
    }

    pub(crate) async fn make_port(&self, wire: &PortView) -> Result<String, NetworkError> {
        let state = self.state.lock().await;
        let (vpc, port) = applied(&state, wire)?;
        let (device, ns, id) = (port.device.clone(), vpc.ns.clone(), port.interface_id.clone());
        self.delete_in(Some(&ns), &device).await?;
        self.delete_in(self.host(), &device).await?;
        let (name, peer, kind, mac) = (device.clone(), self.names.veth_peer(&id), self.config.port_kind, port.mac);
        inside(self.host(), move || {
            let mut lines = Vec::new();
            match kind {
                PortKind::Tap => lines.push(format!("tuntap add dev {name} mode tap")),
                PortKind::Veth => {
                    lines.push(format!("link add {name} type veth peer name {peer}"));
                    lines.push(format!("link set {peer} address {mac} mtu {MTU}"));
                }
            }
            // Down until it is in its VPC: nothing of the host may reach the guest through it.
            lines.push(format!("link set {name} address {GATEWAY_MAC} mtu {MTU} alias {id} addrgenmode none"));
            ip_batch(&lines)
        })
        .await?;
        Ok(device)
    }

    pub(crate) async fn open_port(&self, wire: &PortView) -> Result<(), NetworkError> {
        let state = self.state.lock().await;
        let (vpc, port) = applied(&state, wire)?;
        let (device, ns) = (port.device.clone(), vpc.ns.clone());
        let found = inside(self.host(), move || {
            let found = observe::has(&device);
            if found {
                ip_batch(&[format!("link set {device} netns {ns}")])?;
            }
            Ok(found)
        })
        .await?;
        let seen = self.converge_vpc(vpc).await?;
        if found || seen.links.contains_key(&port.device) {
            return Ok(());
        }
        Err(failed(format!("port {}: its tap {} is gone, make it anew", port.interface_id, port.device)))
    }

    pub(crate) async fn remove_port(&self, interface_id: &str) -> Result<(), NetworkError> {
        let state = self.state.lock().await;
        let device = self.names.tap(interface_id);
        self.delete_in(self.host(), &device).await?;
        // Where the view says, or wherever it was left.
        let places = match named(&state, interface_id) {
            Some((vpc, _)) => vec![vpc.ns.clone()],
            None => ns::list()?.into_iter().filter(|name| self.names.is_ours_ns(name)).collect(),
        };
        for place in places.into_iter().filter(|place| ns::usable(place)) {
            self.delete_in(Some(&place), &device).await?;
        }
        Ok(())
    }

    pub(crate) async fn take_inventory(&self) -> Result<NetworkInventory, NetworkError> {
        let state = self.state.lock().await;
        let mut inventory = NetworkInventory::default();
        let (tap, edge) = (self.names.tap_start(), self.names.edge_ns());
        let is_named = |name: &str| state.model.vpcs.values().any(|vpc| vpc.ports.contains_key(name));
        for name in ns::list()?.into_iter().filter(|name| self.names.is_ours_ns(name)) {
            let is_nat = |port: &Port| port.nat.as_ref() == Some(&name);
            let known = state.model.vpcs.values().any(|vpc| vpc.ns == name || vpc.ports.values().any(is_nat));
            let wanted = known || (name == edge && state.model.vpcs.values().any(|vpc| vpc.has_public()));
            if !wanted {
                inventory.strays.push(format!("namespace {name}"));
            }
            if !ns::usable(&name) {
                continue;
            }
            for link in inside(Some(&name), observe::links).await?.into_iter().filter(|l| l.name.starts_with(&tap)) {
                if !is_named(&link.name) {
                    inventory.strays.push(format!("tap {} in {name}", link.name));
                }
                if !link.ifalias.is_empty() {
                    inventory.ports.push(link.ifalias);
                }
            }
        }
        for name in inside(self.host(), observe::names).await?.into_iter().filter(|name| name.starts_with(&tap)) {
            if !is_named(&name) {
                inventory.strays.push(format!("tap {name}"));
            }
        }
        inventory.ports.sort();
        Ok(inventory)
    }
}

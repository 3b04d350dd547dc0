//! The steps of an apply that make a VPC on this host what its view says, and take away what no view names.

use super::{Done, KernelNetwork, State};
use crate::config::MTU;
use crate::delta::Delta;
use crate::exec::{bridge_batch, delete_links, inside, ip_batch, ip6_batch, sysctls};
use crate::model::{Mac, Vpc};
use crate::nft::{DROP_ALL, Rules, member_sets};
use crate::observe::{self, Observed};
use crate::plan::{diff, hop_mac, vpc_desired};
use crate::services::Services;
use crate::settings::{port_settings, router_settings};
use crate::shape::{self, Steps};
use crate::{nat, ns, peering, swap};
use mallee_node_core::network::NetworkError;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tracing::{debug, warn};

impl KernelNetwork {
    /// Everything of one VPC, safest first: namespace closed, then rules, then devices, then routes, then services. Returned
    /// are interfaces that do not stand though all else does, each with the reason: those of NAT gateways.
    pub(super) async fn apply_vpc(
        &self,
        state: &mut State,
        vpc: &Arc<Vpc>,
    ) -> Result<BTreeMap<String, NetworkError>, NetworkError> {
        let known = state.done.remove(&vpc.id);
        self.step("namespace").await?;
        let name = vpc.ns.clone();
        let made = inside(None, move || ns::ensure(&name)).await?;
        if made {
            // Sockets of a namespace that went away under us serve nobody.
            state.services.remove(&vpc.id);
        }
        self.step("rules").await?;
        let rules = Rules::of(vpc, self.features.connlimit);
        let known = known.filter(|_| !made && state.looked.is_some());
        let sure = known.as_ref().is_some_and(|done| done.vpc.vni == vpc.vni);
        let current = known.as_ref().is_some_and(|done| done.rules == rules);
        let (text, before, six) = (rules.clone(), known.map(|done| done.rules), vpc.six());
        inside(Some(&vpc.ns), move || {
            if made {
                swap::load(&Rules::plain(DROP_ALL.to_owned()), None)?;
            }
            sysctls(&router_settings(six))?;
            if current { Ok(()) } else { swap::load(&text, before.as_ref()) }
        })
        .await?;
        self.step("devices").await?;
        if self.uplinks(vpc, sure).await? {
            state.edge = None;
        }
        let failed = self.apply_nats(vpc).await;
        self.step("routes").await?;
        self.converge_vpc(vpc).await?;
        self.step("services").await?;
        match state.services.get(&vpc.id) {
            Some(services) => services.update(vpc),
            // Packets of peers pass through; nobody is here to ask anything.
            None if vpc.ports.is_empty() && !vpc.peerings.is_empty() => {}
            None => {
                let services = Services::start(vpc, &self.shared).await?;
                state.services.insert(vpc.id.clone(), services);
            }
        }
        self.join_window(&state.model, vpc).await;
        let whole = failed.is_empty();
        state.done.insert(vpc.id.clone(), Done { vpc: Arc::clone(vpc), rules, whole });
        Ok(failed)
    }

    /// What changed of a VPC that stands, where that is little. False: it takes the whole way.
    pub(super) async fn apply_difference(&self, state: &mut State, vpc: &Arc<Vpc>) -> bool {
        let Some(delta) = state.done.get(&vpc.id).filter(|done| done.whole).and_then(|done| Delta::of(&done.vpc, vpc))
        else {
            return false;
        };
        // What fails half-way, or never ends, has left nobody knows what.
        let Some(Done { rules, .. }) = state.done.remove(&vpc.id) else { return false };
        debug!(vpc = %vpc.id, ?delta, "changing");
        if let Err(error) = self.apply_delta(vpc, delta).await {
            warn!(vpc = %vpc.id, %error, "a change of a VPC failed; all of it is applied");
            return false;
        }
        if let Some(services) = state.services.get(&vpc.id) {
            services.update(vpc);
        }
        let rules = Rules { members: member_sets(vpc), ..rules };
        state.done.insert(vpc.id.clone(), Done { vpc: Arc::clone(vpc), rules, whole: true });
        true
    }

    /// The overlay device (its socket stays with the host) and the pair to the edge, made straight in the namespace.
    /// True when the edge has a new device to see to.
    async fn uplinks(&self, vpc: &Vpc, sure: bool) -> Result<bool, NetworkError> {
        let vtep = self.config.vtep.to_string();
        let (vni, port, local) = (vpc.vni, self.config.vxlan_port, vtep.clone());
        // What kind of device it is, is read only where this process has not made it.
        let (vx, right, igw) = inside(Some(&vpc.ns), move || {
            let vx = observe::has("vx");
            let fits = |l: &observe::LinkData| l.id == vni && l.local == local && l.port == port;
            let fits = |l: observe::Link| l.name == "vx" && fits(&l.linkinfo.info_data);
            let right = vx && (sure || observe::links()?.into_iter().any(fits));
            Ok((vx, right, observe::has("igw")))
        })
        .await?;
        if vx && !right {
            inside(Some(&vpc.ns), || delete_links(std::iter::once("vx".to_owned()))).await?;
        }
        if vpc.has_overlay() && !right && self.features.vxlan {
            let ns = &vpc.ns;
            let line = format!("link add vx netns {ns} type vxlan id {vni} local {vtep} dstport {port} nolearning");
            inside(self.host(), move || ip_batch(&[line])).await?;
        }
        self.hops(vpc).await?;
        let wanting = vpc.has_public() && !igw;
        if wanting {
            let (edge, link, ns) = (self.names.edge_ns(), self.names.edge_link(&vpc.id), vpc.ns.clone());
            let edge_name = edge.clone();
            inside(None, move || ns::ensure(&edge_name)).await?;
            inside(Some(&edge), move || {
                // Left over when its VPC's namespace was removed by force a moment ago.
                if observe::has(&link) {
                    delete_links(std::iter::once(link.clone()))?;
                }
                ip_batch(&[format!("link add {link} type veth peer name igw netns {ns}")])
            })
            .await?;
        }
        Ok(wanting)
    }

    /// The devices on the overlay at which packets arrive that routes lead to ports here. They go with the overlay's own.
    async fn hops(&self, vpc: &Vpc) -> Result<(), NetworkError> {
        let all: Vec<(String, Mac)> = vpc.hops().map(|(device, port)| (device.clone(), hop_mac(port.ip))).collect();
        if all.is_empty() || !self.features.hops {
            return Ok(());
        }
        self.step("hops").await?;
        inside(Some(&vpc.ns), move || {
            let mut lines = Vec::new();
            for (device, mac) in all.iter().filter(|(device, _)| !observe::has(device)) {
                lines.push(format!("link add link vx name {device} address {mac} mtu {MTU} type macvlan mode private"));
                lines.push(format!("link set {device} addrgenmode none"));
            }
            if lines.is_empty() { Ok(()) } else { ip_batch(&lines) }
        })
        .await
    }

    /// Addresses, routes, neighbours and ports of one VPC. Returns what was there before.
    pub(crate) async fn converge_vpc(&self, vpc: &Vpc) -> Result<Observed, NetworkError> {
        let (wanted, config) = (vpc.clone(), Arc::clone(&self.config));
        let (tap, hop) = (self.names.tap_start(), self.names.hop_start());
        let seen = inside(Some(&vpc.ns), move || {
            let vpc = wanted;
            let seen = observe::observe()?;
            let want = vpc_desired(&vpc, &config, &seen);
            let ours = |name: &str| name.starts_with(&tap) || name.starts_with(&hop) || name == "vx" || name == "igw";
            let plan = diff(&want, &seen, ours);
            debug!(vpc = %vpc.id, ip = plan.ip.len(), bridge = plan.bridge.len(), "converging");
            for device in want.links.keys().filter(|name| name.starts_with(&tap)) {
                sysctls(&port_settings(device))?;
            }
            delete_links(plan.delete.into_iter())?;
            ip6_batch(&plan.unled6)?;
            ip_batch(&plan.ip)?;
            ip6_batch(&plan.led6)?;
            bridge_batch(&plan.bridge)?;
            Ok(seen)
        })
        .await?;
        self.shape(vpc, &seen).await?;
        Ok(seen)
    }

    /// Limits of bandwidth, given the devices that are there.
    async fn shape(&self, vpc: &Vpc, seen: &Observed) -> Result<(), NetworkError> {
        if !self.features.shaping {
            return Ok(());
        }
        let steps = Arc::new(shape::steps(vpc, &self.names, seen));
        if steps.is_empty() {
            return Ok(());
        }
        let mut drain = steps.drain();
        for (step, job) in Steps::JOBS {
            self.step(step).await?;
            let steps = Arc::clone(&steps);
            inside(Some(&vpc.ns), move || job(&steps)).await?;
            if let Some(drain) = drain.take() {
                tokio::time::sleep(drain).await;
            }
        }
        Ok(())
    }

    /// Namespaces and taps that the model does not name.
    pub(super) async fn remove_unnamed(&self, state: &mut State) -> Result<(), NetworkError> {
        let gateways =
            state.model.vpcs.values().flat_map(|vpc| vpc.ports.values()).filter_map(|port| port.nat.as_ref());
        let keep: BTreeSet<String> = state.model.vpcs.values().map(|vpc| &vpc.ns).chain(gateways).cloned().collect();
        let gone: Vec<String> =
            state.services.keys().filter(|id| !state.model.vpcs.contains_key(*id)).cloned().collect();
        for id in gone {
            if let Some(services) = state.services.remove(&id) {
                services.stop().await;
            }
        }
        state.done.retain(|id, _| state.model.vpcs.contains_key(id));
        let edge = self.names.edge_ns();
        for name in ns::list()?.into_iter().filter(|n| self.names.is_ours_ns(n) && *n != edge && !keep.contains(n)) {
            self.remove_namespace(name).await?;
        }
        let named: BTreeSet<String> = state.model.vpcs.values().flat_map(|vpc| vpc.ports.keys().cloned()).collect();
        let start = self.names.tap_start();
        inside(self.host(), move || {
            let strays = observe::names()?.into_iter().filter(|n| n.starts_with(&start) && !named.contains(n));
            delete_links(strays)
        })
        .await
    }

    /// Devices first: the kernel ends a namespace some time later, and until then its overlay number would be taken.
    async fn remove_namespace(&self, name: String) -> Result<(), NetworkError> {
        let (start, peer) = (self.names.tap_start(), self.names.peering_start());
        let ns = name.clone();
        inside(None, move || if ns::usable(&ns) { Ok(()) } else { ns::remove(&ns) }).await?;
        let ns = name.clone();
        if !inside(None, move || Ok(ns::usable(&ns))).await? {
            return Ok(());
        }
        if self.names.is_nat_ns(&name) {
            inside(Some(&name), nat::cut).await?;
            return inside(None, move || ns::remove(&name)).await;
        }
        self.last_window(&name).await;
        inside(Some(&name), move || {
            let ours = observe::names()?.into_iter();
            let ours = ours.filter(|n| n.starts_with(&start) || n.starts_with(&peer) || n == "vx" || n == "igw");
            delete_links(ours)
        })
        .await?;
        inside(None, move || ns::remove(&name)).await
    }

    /// The pairs between VPCs: those of connections that ended go, now that no route leads over them, and new ones are made
    /// when both namespaces are as they should be.
    pub(super) async fn apply_peerings(&self, state: &State, vpcs: &BTreeSet<String>) -> Result<(), NetworkError> {
        self.step("peerings").await?;
        for vpc in vpcs.iter().filter_map(|id| state.model.vpcs.get(id)) {
            peering::remove_unnamed(vpc, &self.names).await?;
        }
        let mut fresh: BTreeSet<String> = BTreeSet::new();
        for (device, ends) in peering::pairs(&state.model, vpcs) {
            if peering::ensure_pair(&device, &ends).await? {
                fresh.extend(ends);
            }
        }
        if !fresh.is_empty() {
            self.step("paired").await?;
        }
        for vpc in state.model.vpcs.values().filter(|vpc| fresh.contains(&vpc.ns)) {
            self.converge_vpc(vpc).await?;
        }
        Ok(())
    }
}

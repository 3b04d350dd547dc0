//! Peering connections in a namespace: what comes over one, and the pairs of devices that they are.
//!
//! A packet to a peer is routed twice at the node of its sender: by the sender's table onto the pair, and in the peer's
//! namespace to the port that has the address, here or by the peer's overlay. Nothing marks it there, so no route table of
//! the peer is asked: it cannot get further, to the world or to a third VPC. Groups and ACLs of the receiver judge it where
//! the receiver is. The two ways of a flow pass through different nodes, so what only passes through a namespace is not
//! tracked there: its answers never would be.

use crate::exec::{delete_links, inside, ip_batch};
use crate::model::{Model, Vpc};
use crate::{Names, ns, observe};
use mallee_node_core::network::NetworkError;
use std::collections::{BTreeMap, BTreeSet};

/// Names of devices as a set's elements.
pub(crate) fn quoted<S: AsRef<str>>(devices: impl Iterator<Item = S>) -> String {
    devices.map(|device| format!("\"{}\"", device.as_ref())).collect::<Vec<_>>().join(", ")
}

/// The devices behind which there is no port of this namespace, as a set's elements.
pub(crate) fn outside(vpc: &Vpc) -> String {
    let mut devices = "\"vx\", \"igw\"".to_owned();
    for device in vpc.peerings.keys().chain(vpc.hops().map(|(device, _)| device)) {
        put!(devices, ", \"{device}\"");
    }
    devices
}

/// What may come from peers at all: with addresses of theirs. What is not for a port here only passes.
pub(crate) fn enters(vpc: &Vpc) -> String {
    let mut out = String::new();
    for (device, peering) in &vpc.peerings {
        let blocks: Vec<String> = peering.blocks.iter().map(ToString::to_string).collect();
        putln!(out, "\t\tiifname \"{device}\" ip saddr != {{ {} }} counter drop", blocks.join(", "));
    }
    if !vpc.peerings.is_empty() {
        let devices = quoted(vpc.peerings.keys());
        putln!(out, "\t\tiifname {{ {devices} }} ip daddr != @here notrack accept");
        putln!(out, "\t\tiifname {{ {devices} }} accept");
    }
    out
}

/// From a peer to a port on another node. Nothing else passes through.
pub(crate) fn passes(vpc: &Vpc) -> String {
    if vpc.peerings.is_empty() {
        return String::new();
    }
    format!("\t\tiifname {{ {} }} oifname \"vx\" ct state untracked accept\n", quoted(vpc.peerings.keys()))
}

/// From a peer to a port here: its groups decide.
pub(crate) fn arrives(vpc: &Vpc) -> String {
    if vpc.peerings.is_empty() {
        return String::new();
    }
    format!("\t\tiifname {{ {} }} accept\n", quoted(vpc.peerings.keys()))
}

/// The connections of these VPCs, each once: device, and the namespaces that its ends are in.
pub(crate) fn pairs(model: &Model, vpcs: &BTreeSet<String>) -> BTreeMap<String, [String; 2]> {
    let vpcs = vpcs.iter().filter_map(|id| model.vpcs.get(id));
    let ends = vpcs.flat_map(|vpc| vpc.peerings.iter().map(move |(device, peering)| (device, vpc, peering)));
    ends.map(|(device, vpc, peering)| (device.clone(), [vpc.ns.clone(), peering.peer_ns.clone()])).collect()
}

async fn has(ns: &str, device: &str) -> Result<bool, NetworkError> {
    let device = device.to_owned();
    inside(Some(ns), move || Ok(observe::has(&device))).await
}

async fn delete(ns: &str, device: &str) -> Result<(), NetworkError> {
    let device = device.to_owned();
    inside(Some(ns), move || delete_links(std::iter::once(device))).await
}

/// Makes the pair if it is not there; true if it was made, and no route leads over it yet.
pub(crate) async fn ensure_pair(device: &str, [one, other]: &[String; 2]) -> Result<bool, NetworkError> {
    for ns in [one, other] {
        let name = ns.clone();
        if !inside(None, move || Ok(ns::usable(&name))).await? {
            return Ok(false);
        }
    }
    match (has(one, device).await?, has(other, device).await?) {
        (true, true) => return Ok(false),
        // The other end was in a namespace that has gone, and may linger.
        (true, false) => delete(one, device).await?,
        (false, true) => delete(other, device).await?,
        (false, false) => {}
    }
    let line = format!("link add {device} type veth peer name {device} netns {other}");
    inside(Some(one), move || ip_batch(&[line])).await?;
    Ok(true)
}

/// Ends the pairs of a namespace that are of no connection any more. By now no route leads over them.
pub(crate) async fn remove_unnamed(vpc: &Vpc, names: &Names) -> Result<(), NetworkError> {
    let (start, wanted) = (names.peering_start(), vpc.peerings.keys().cloned().collect::<BTreeSet<_>>());
    inside(Some(&vpc.ns), move || {
        let gone = observe::names()?.into_iter().filter(|name| name.starts_with(&start) && !wanted.contains(name));
        delete_links(gone)
    })
    .await
}

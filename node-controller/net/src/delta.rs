//! What an apply does where a VPC is as it was but for who is elsewhere: members of groups, and ports of other nodes. That is
//! most of what a node hears in a large VPC, and costs what changed, not what is there: nothing is looked at, and no rule is
//! loaded again. Whatever fails, or is more than that, is left to the whole way, which then believes nothing.

use crate::engine::KernelNetwork;
use crate::exec::{bridge_batch, inside, ip_batch, nft};
use crate::model::{Vpc, Way};
use crate::nft::member_sets;
use crate::observe::{Link, Observed};
use crate::plan::{Desired, LinkWant, diff, elsewhere, nodes};
use crate::swap::elements;
use mallee_node_core::network::NetworkError;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// The change from one state of a VPC to another, in the order in which it is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Delta {
    /// For `nft`: who is a member of what.
    elements: String,
    /// For `bridge -batch`: where new nodes are.
    nodes: Vec<String>,
    /// For `ip -batch`.
    ways: Vec<String>,
    /// For `bridge -batch`: nodes that have nothing any more.
    left: Vec<String>,
}

impl Delta {
    /// `None`: it takes more.
    pub(crate) fn of(old: &Vpc, new: &Vpc) -> Option<Self> {
        if old.has_overlay() != new.has_overlay() || !old.same_here(new) {
            return None;
        }
        let mut delta = Self::default();
        let before = member_sets(old);
        for (name, now) in &member_sets(new) {
            delta.elements.push_str(&elements(name, before.get(name)?, now)?);
        }
        delta.ways(old, new)?;
        Some(delta)
    }

    fn ways(&mut self, old: &Vpc, new: &Vpc) -> Option<()> {
        if Arc::ptr_eq(&old.remotes, &new.remotes) {
            return Some(());
        }
        let gone = old.remotes.iter().filter(|(ip, at)| new.remotes.get(ip) != Some(at));
        let come = new.remotes.iter().filter(|(ip, at)| old.remotes.get(ip) != Some(at));
        let (gone, come): (Vec<_>, Vec<_>) = (gone.collect(), come.collect());
        // Where the target of a route is decides on that route.
        let targets = new.tables.values().flat_map(|ways| ways.values());
        let targets: BTreeSet<&Ipv4Addr> =
            targets.filter_map(|way| if let Way::Hop(ip) = way { Some(ip) } else { None }).collect();
        if gone.iter().chain(&come).any(|(ip, _)| targets.contains(ip)) {
            return None;
        }
        let (nodes_before, nodes) = (nodes(old), nodes(new));
        if nodes.iter().any(|(node, hop)| nodes_before.get(node).is_some_and(|was| was != hop)) {
            return None;
        }
        let (mut seen, mut want) = (Desired::default(), Desired::default());
        elsewhere(&nodes_before, gone.into_iter(), &mut seen);
        elsewhere(&nodes, come.into_iter(), &mut want);
        let up = |name: &str| (name.to_owned(), Link { flags: vec!["UP".to_owned()], ..Link::default() });
        let Desired { routes, neighbours, fdb, .. } = seen;
        let links = ["lo", "vx"].map(up).into();
        let seen = Observed { links, routes, neighbours, fdb, ..Observed::default() };
        want.links.insert("vx".to_owned(), LinkWant { mac: None, mtu: 0 });
        let plan = diff(&want, &seen, |_| false);
        self.ways = plan.ip;
        (self.nodes, self.left) = plan.bridge.into_iter().partition(|line| line.starts_with("fdb replace"));
        Some(())
    }
}

impl KernelNetwork {
    /// Makes the change in the namespace of the VPC.
    pub(crate) async fn apply_delta(&self, vpc: &Vpc, delta: Delta) -> Result<(), NetworkError> {
        let Delta { elements, nodes, ways, left } = delta;
        self.step("delta").await?;
        if !elements.is_empty() {
            inside(Some(&vpc.ns), move || nft(&elements)).await?;
        }
        self.step("delta.ways").await?;
        if !(nodes.is_empty() && ways.is_empty() && left.is_empty()) {
            inside(Some(&vpc.ns), move || {
                bridge_batch(&nodes)?;
                ip_batch(&ways)?;
                bridge_batch(&left)
            })
            .await?;
        }
        self.step("delta.done").await
    }
}

//! Peering connections: which VPCs a node must know for those that it has ports in, and what of them.

use crate::Model;
use mallee_proto::v1::{PeeringView, Vpc, VpcPeering};
use std::collections::{BTreeSet, HashMap};

/// Active connections, by id and by either VPC.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peerings {
    by_id: HashMap<String, VpcPeering>,
    by_vpc: HashMap<String, BTreeSet<String>>,
}

impl Peerings {
    /// False when one of this generation is held already.
    pub(crate) fn set(&mut self, peering: VpcPeering) -> bool {
        if self.by_id.get(&peering.id).is_some_and(|held| held.generation >= peering.generation) {
            return false;
        }
        for vpc in [&peering.requester_vpc_id, &peering.accepter_vpc_id] {
            self.by_vpc.entry(vpc.clone()).or_default().insert(peering.id.clone());
        }
        self.by_id.insert(peering.id.clone(), peering);
        true
    }

    pub(crate) fn remove(&mut self, id: &str) -> Option<VpcPeering> {
        let gone = self.by_id.remove(id)?;
        for vpc in [&gone.requester_vpc_id, &gone.accepter_vpc_id] {
            if let Some(ids) = self.by_vpc.get_mut(vpc) {
                ids.remove(id);
                if ids.is_empty() {
                    self.by_vpc.remove(vpc);
                }
            }
        }
        Some(gone)
    }

    /// Those that are objects of their own.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &String> {
        self.by_id.values().filter(|peering| !peering.transit).map(|peering| &peering.id)
    }

    /// The connections of a VPC, by id, each with the VPC at its other end.
    pub(crate) fn of(&self, vpc: &str) -> impl Iterator<Item = (&VpcPeering, &str)> {
        let own = vpc.to_owned();
        let ids = self.by_vpc.get(vpc).into_iter().flatten();
        ids.filter_map(|id| self.by_id.get(id)).map(move |peering| {
            let asked = peering.requester_vpc_id == own;
            (peering, if asked { &peering.accepter_vpc_id } else { &peering.requester_vpc_id }.as_str())
        })
    }

    fn joins(&self, one: &str, other: &str) -> bool {
        self.of(one).any(|(peering, peer)| !peering.transit && peer == other)
    }
}

/// The blocks of a VPC, its first one first.
fn blocks(vpc: &Vpc) -> Vec<String> {
    std::iter::once(&vpc.cidr).chain(&vpc.more_cidrs).cloned().collect()
}

fn known<'a>(model: &'a Model, vpc: &str) -> Option<&'a Vpc> {
    model.vpcs.get(vpc)?.vpc.as_ref()
}

/// Whether routes of a VPC lead over this connection; of IPv6 (`six`), only where both VPCs have it.
pub(crate) fn leads(model: &Model, vpc: &str, peering: &str, six: bool) -> bool {
    let fits = |peer: &Vpc| !six || !peer.ipv6_cidrs.is_empty();
    model.peerings.of(vpc).any(|(held, peer)| held.id == peering && known(model, peer).is_some_and(fits))
}

/// Whether a group's members are members to a VPC: of the same one, or of a peer. (Of one that is not known yet there is
/// nothing to tell.)
pub(crate) fn reaches(model: &Model, vpc: &str, group: &str) -> bool {
    let of = model.groups.get(group).and_then(|entry| entry.group.as_ref()).map(|group| group.vpc_id.as_str());
    of.is_none_or(|of| of == vpc || model.peerings.joins(vpc, of))
}

/// The connections of a VPC that a node needs: one of the two VPCs has ports on it, and the other is known.
pub(crate) fn views(model: &Model, node: &str, vpc: &str) -> Vec<PeeringView> {
    let has_ports = |vpc: &str| model.nodes.get(node).is_some_and(|node| node.vpcs.contains_key(vpc));
    let here = has_ports(vpc);
    let needed = model.peerings.of(vpc).filter(|(_, peer)| here || has_ports(peer));
    let six = known(model, vpc).is_some_and(|vpc| !vpc.ipv6_cidrs.is_empty());
    let view = |(peering, peer): (&VpcPeering, &str)| {
        let (peer_vpc, peer_vpc_id) = (known(model, peer)?, peer.to_owned());
        Some(PeeringView {
            id: peering.id.clone(),
            peer_vpc_id,
            peer_cidrs: blocks(peer_vpc),
            peer_ipv6_cidrs: if six { peer_vpc.ipv6_cidrs.clone() } else { Vec::new() },
        })
    };
    needed.filter_map(view).collect()
}

/// The VPCs whose public names mean private addresses in a VPC: itself, and peers that allow it, as far as they have names.
pub(crate) fn named<'a>(model: &'a Model, vpc: &'a str) -> BTreeSet<&'a str> {
    let allowed = |peering: &VpcPeering, peer: &str| {
        if peering.requester_vpc_id == peer { peering.requester_dns } else { peering.accepter_dns }
    };
    let peers = model.peerings.of(vpc).filter(|(peering, peer)| allowed(peering, peer)).map(|(_, peer)| peer);
    let all = std::iter::once(vpc).chain(peers);
    all.filter(|id| known(model, id).is_some_and(|vpc| !vpc.public_names_off)).collect()
}

//! Transit gateways. Packets do not pass a box: a route to a gateway is told as where the gateway's table leads the VPC, and
//! two VPCs of which either is led to the other meet as peers do, node by node.

use crate::Model;
use ipnet::Ipv4Net;
use mallee_proto::v1::{
    Route, RouteTable, RouteTarget, RouteView, TransitAttachment, TransitGateway, Vpc, VpcPeering, route::Target,
};
use std::collections::{BTreeMap, HashMap};

/// Gateways, by id, and the meetings that each makes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Transits {
    by_id: BTreeMap<String, TransitGateway>,
    meetings: HashMap<String, BTreeMap<String, VpcPeering>>,
}

impl Transits {
    pub(crate) fn ids(&self) -> impl Iterator<Item = &String> {
        self.by_id.keys()
    }
}

/// The name of the way between two VPCs at a gateway, the same from both.
fn meeting(gateway: &str, one: &str, other: &str) -> String {
    let (first, second) = if one < other { (one, other) } else { (other, one) };
    format!("{gateway} {first} {second}")
}

/// An attachment's table: where it leads, each destination with the attachment there, if there is one.
fn led<'a>(
    gateway: &'a TransitGateway,
    from: &TransitAttachment,
) -> impl Iterator<Item = (Ipv4Net, Option<&'a TransitAttachment>)> {
    let table = gateway.tables.iter().find(|table| table.id == from.table_id && !table.id.is_empty());
    table.into_iter().flat_map(|table| &table.routes).filter_map(|route| {
        let to = gateway.attachments.iter().find(|attachment| attachment.id == route.attachment_id);
        Some((route.destination.parse().ok()?, to))
    })
}

/// The pairs of VPCs of which one is led to the other, by name.
fn meetings(gateway: &TransitGateway) -> BTreeMap<String, VpcPeering> {
    let mut all = BTreeMap::new();
    for from in &gateway.attachments {
        for to in led(gateway, from).filter_map(|(_, to)| to).filter(|to| to.vpc_id != from.vpc_id) {
            let id = meeting(&gateway.id, &from.vpc_id, &to.vpc_id);
            let dns = from.dns && to.dns;
            all.entry(id.clone()).or_insert_with(|| VpcPeering {
                id,
                generation: gateway.generation,
                requester_vpc_id: from.vpc_id.clone(),
                accepter_vpc_id: to.vpc_id.clone(),
                requester_dns: dns,
                accepter_dns: dns,
                transit: true,
            });
        }
    }
    all
}

fn attachment<'a>(model: &'a Model, gateway: &str, vpc: &str) -> Option<(&'a TransitGateway, &'a TransitAttachment)> {
    let gateway = model.transits.by_id.get(gateway)?;
    Some((gateway, gateway.attachments.iter().find(|attachment| attachment.vpc_id == vpc)?))
}

fn view(destination: &str, peering: Option<String>) -> RouteView {
    let mut view = RouteView { destination: destination.to_owned(), ..RouteView::default() };
    match peering {
        Some(id) => {
            view.peering_id = id;
            view.set_target(RouteTarget::Peering);
        }
        None => view.set_target(RouteTarget::Blackhole),
    }
    view
}

/// What a route of a VPC's table to a transit gateway stands for. The gateway's table decides by the longest of its
/// destinations, after the VPC's own has by the longest of its: so its longer ones are told beside the route, but for those
/// that the VPC leads elsewhere by a longer one of its own.
pub(crate) fn routes(model: &Model, vpc: &Vpc, table: &RouteTable, route: &Route, gateway: &str) -> Vec<RouteView> {
    let nowhere = || vec![view(&route.destination, None)];
    let Ok(destination) = route.destination.parse::<Ipv4Net>() else { return nowhere() };
    let Some((gateway, from)) = attachment(model, gateway, &vpc.id) else { return nowhere() };
    let way = |to: Option<&TransitAttachment>| {
        let to = to.filter(|to| to.vpc_id != vpc.id && model.vpcs.get(&to.vpc_id).is_some_and(|to| to.vpc.is_some()));
        to.map(|to| meeting(&gateway.id, &vpc.id, &to.vpc_id))
    };
    let own =
        std::iter::once(&vpc.cidr).chain(&vpc.more_cidrs).chain(table.routes.iter().map(|route| &route.destination));
    let longer: Vec<Ipv4Net> = own
        .filter_map(|own| own.parse().ok())
        .filter(|own: &Ipv4Net| *own != destination && destination.contains(own))
        .collect();
    let mut beside = BTreeMap::new();
    let mut best: Option<(Ipv4Net, Option<&TransitAttachment>)> = None;
    for (block, to) in led(gateway, from) {
        if block.contains(&destination) {
            if best.is_none_or(|(held, _)| held.prefix_len() < block.prefix_len()) {
                best = Some((block, to));
            }
        } else if destination.contains(&block) && !longer.iter().any(|own| own.contains(&block)) {
            beside.insert(block, to);
        }
    }
    let first = view(&route.destination, best.and_then(|(_, to)| way(to)));
    std::iter::once(first).chain(beside.into_iter().map(|(block, to)| view(&block.to_string(), way(to)))).collect()
}

/// Whether a route of a VPC's table leads to a transit gateway, and to which.
pub(crate) fn gateway_of(route: &Route) -> Option<&String> {
    match &route.target {
        Some(Target::TransitGatewayId(id)) => Some(id),
        _ => None,
    }
}

impl Model {
    /// Adds or changes a transit gateway; an older generation than the one held changes nothing.
    pub fn set_transit_gateway(&mut self, gateway: TransitGateway) {
        if self.transits.by_id.get(&gateway.id).is_some_and(|held| held.generation >= gateway.generation) {
            return;
        }
        let (id, now) = (gateway.id.clone(), meetings(&gateway));
        let before = self.transits.by_id.insert(id.clone(), gateway.clone());
        self.meet(&id, now);
        // Where their routes lead may have changed though who meets did not.
        let gone = before.into_iter().flat_map(|before| before.attachments);
        let concerned: Vec<String> = gone.chain(gateway.attachments).map(|attachment| attachment.vpc_id).collect();
        concerned.iter().for_each(|vpc| self.touch_nodes_of_vpc(vpc));
    }

    /// Removes a transit gateway: routes to it lead nowhere.
    pub fn remove_transit_gateway(&mut self, id: &str) {
        if let Some(gone) = self.transits.by_id.remove(id) {
            self.meet(id, BTreeMap::new());
            gone.attachments.iter().for_each(|attachment| self.touch_nodes_of_vpc(&attachment.vpc_id));
        }
    }

    /// Has just these VPCs meet at a gateway.
    fn meet(&mut self, gateway: &str, now: BTreeMap<String, VpcPeering>) {
        let before = self.transits.meetings.remove(gateway).unwrap_or_default();
        for id in before.keys().filter(|id| !now.contains_key(*id)) {
            self.remove_peering(id);
        }
        for peering in now.values() {
            self.set_peering(peering.clone());
        }
        if !now.is_empty() {
            self.transits.meetings.insert(gateway.to_owned(), now);
        }
    }
}

//! Stations of a way as the components of an answer.

use super::answer::{Component, Header, Range, ShownEntry, ShownRule};
use super::evaluate::Flow;
use super::judge::{Choice, entry, rules};
use super::net::{AclEntry, GroupRule, Match, Net, Peer};
use super::ports::Ports;
use super::walk::{Spot, Step, Way};
use std::net::Ipv4Addr;

/// What packets look like on their way.
pub(super) struct Heads<'a> {
    pub(super) flow: &'a Flow<'a>,
    pub(super) protocol: u8,
    /// Ports of the destination, and of the source.
    pub(super) to: &'a Ports,
    pub(super) from: &'a Ports,
}

impl Heads<'_> {
    /// From one address to another; back: from the destination's.
    fn head(&self, source: Ipv4Addr, destination: Ipv4Addr, back: bool) -> Header {
        let (from, to) = if back { (self.to, self.from) } else { (self.from, self.to) };
        Header {
            source: Some(source),
            destination: Some(destination),
            source_ports: from.ranges().to_vec(),
            destination_ports: to.ranges().to_vec(),
            protocol: self.protocol,
        }
    }

    /// As the interfaces on the way see it.
    fn inside(&self, back: bool) -> Header {
        let Flow { source, destination, .. } = *self.flow;
        if back { self.head(destination, source, true) } else { self.head(source, destination, false) }
    }

    /// As the world sees it.
    fn outside(&self, back: bool) -> Header {
        let public = |spot: &Spot<'_>, private: Ipv4Addr| match spot {
            Spot::Interface(interface) => {
                let pair = interface.addresses.iter().find(|(address, _)| *address == private);
                pair.and_then(|(_, public)| *public).unwrap_or(private)
            }
            Spot::Gateway(_) | Spot::Peering(_) => private,
        };
        let source = public(&self.flow.from, self.flow.source);
        let destination = public(&self.flow.to, self.flow.destination);
        if back { self.head(destination, source, true) } else { self.head(source, destination, false) }
    }
}

fn ports(packets: &Match) -> Option<Range> {
    if packets.protocol == -1 {
        return None;
    }
    match Ports::of_rule(packets.from, packets.to).ranges() {
        [(0, u16::MAX)] | [] => None,
        [range, ..] => Some(*range),
    }
}

/// An entry as it is shown.
pub(super) fn shown_entry(entry: &AclEntry) -> ShownEntry {
    ShownEntry {
        number: entry.number,
        egress: entry.egress,
        allow: entry.allow,
        cidr: entry.cidr.to_string(),
        protocol: entry.packets.protocol,
        ports: ports(&entry.packets),
    }
}

fn shown_rule(rule: &GroupRule) -> ShownRule {
    let (cidr, list, group) = match &rule.peer {
        // Of a list the list is shown.
        Peer::Block(_, Some(list)) => (None, Some(list.clone()), None),
        Peer::Block(block, None) => (Some(block.to_string()), None, None),
        Peer::Group(id) => (None, None, Some(id.clone())),
    };
    let protocol = rule.packets.protocol;
    ShownRule { egress: rule.egress, cidr, list, group, protocol, ports: ports(&rule.packets) }
}

/// The components of a way, in order.
pub(super) fn components(net: &Net, choice: &Choice, way: &Way<'_>, heads: &Heads<'_>, back: bool) -> Vec<Component> {
    let port = if back { heads.from.first() } else { heads.to.first() }.unwrap_or_default();
    let last = way.steps.iter().rposition(|step| matches!(step, Step::Interface(_)));
    let first = way.steps.iter().position(|step| matches!(step, Step::Interface(_)));
    let begins = match (back, &heads.flow.from, &heads.flow.to) {
        (false, Spot::Interface(_), _) | (true, _, Spot::Interface(_)) => first,
        _ => None,
    };
    let at = |nth: usize, step: &Step<'_>| match step {
        Step::Instance(id) => Some(Component { id: (*id).to_owned(), ..Component::default() }),
        Step::Interface(interface) => {
            let begins = begins == Some(nth);
            Some(Component {
                id: interface.id.clone(),
                attached_to: interface.instance.clone(),
                subnet: Some(interface.subnet.clone()),
                vpc: Some(interface.vpc.clone()),
                outbound: begins.then(|| heads.inside(back)),
                inbound: (!begins && last == Some(nth)).then(|| heads.inside(back)),
                ..Component::default()
            })
        }
        Step::Groups { interface, egress, remote, answer } => {
            let found = rules(net, choice, interface, *egress, heads.protocol, *remote)
                .find(|(_, _, ports)| !answer && ports.has(port));
            // To an answer any of them will do: it is known.
            let id = found.as_ref().map(|(id, _, _)| *id).or_else(|| interface.groups.first())?;
            Some(Component {
                id: id.clone(),
                name: net.groups.get(id).map(|group| group.name.clone()),
                attached_to: Some(interface.id.clone()),
                vpc: Some(interface.vpc.clone()),
                rule: found.map(|(_, rule, _)| shown_rule(rule)),
                ..Component::default()
            })
        }
        Step::Acl { subnet, id, of, egress, remote } => Some(Component {
            id: (*id).to_owned(),
            subnet: Some((*of).to_owned()),
            vpc: Some(subnet.vpc.clone()),
            entry: entry(net, id, *egress, heads.protocol, *remote, port).map(shown_entry),
            ..Component::default()
        }),
        Step::Table { id, vpc, route } => Some(Component {
            id: (*id).to_owned(),
            vpc: Some((*vpc).to_owned()),
            route: Some(route.clone()),
            ..Component::default()
        }),
        Step::Peering { id, .. } => Some(Component { id: (*id).to_owned(), ..Component::default() }),
        Step::Gateway { id, vpc } => {
            let (inside, outside) = (heads.inside(back), heads.outside(back));
            // It leads out where the way does not begin with it.
            let (inbound, outbound) = if nth == 0 { (outside, inside) } else { (inside, outside) };
            Some(Component {
                id: (*id).to_owned(),
                vpc: Some((*vpc).to_owned()),
                attached_to: Some((*vpc).to_owned()),
                inbound: Some(inbound),
                outbound: Some(outbound),
                ..Component::default()
            })
        }
    };
    way.steps.iter().enumerate().filter_map(|(nth, step)| at(nth, step)).collect()
}

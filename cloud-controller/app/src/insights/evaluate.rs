//! Whether packets get from one end of a path to the other, and answers back: for each pair of addresses that there may be,
//! which ports get through at every station.

use super::answer::{Answer, Why};
use super::judge::{Choice, by_acl, by_groups, entry, rules};
use super::net::{Interface, Net, Peer};
use super::ports::Ports;
use super::render::{Heads, components, shown_entry};
use super::walk::{Leg, Spot, Step, Way};
use ipnet::Ipv4Net;
use mallee_store::InsightsPathDoc;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// Pairs of addresses that are looked at; an analysis that needs more says nothing.
pub const FLOWS_MAX: usize = 100_000;
/// An address of the world that rules are least likely to name.
const SOMEWHERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// What no packet of the world is from or to.
const NOWHERE: [Ipv4Net; 4] = [
    Ipv4Net::new_assert(Ipv4Addr::new(0, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// An end of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// One of these interfaces: of an instance, or just one.
    Interfaces(Vec<String>),
    /// The world, by this internet gateway.
    Gateway(String),
    /// The VPC beyond this peering connection.
    Peering(String),
    /// The world, by whatever internet gateway leads to it.
    World,
    /// An address that nothing has.
    Nothing,
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// Where packets come from.
    pub from: End,
    /// Where they are to go.
    pub to: End,
    /// IANA number: 6 or 17.
    pub protocol: u8,
    /// Addresses and ports.
    pub doc: InsightsPathDoc,
    /// What the way must lead through, and what not.
    pub choice: Choice,
}

/// A pair of ends with their addresses. Those of the source see `to_source`, those of the destination `to_destination`:
/// an internet gateway translates.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow<'a> {
    pub(super) from: Spot<'a>,
    pub(super) to: Spot<'a>,
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    /// Of an interface that the world sends to.
    pub(super) public: Option<Ipv4Addr>,
}

impl Question {
    /// Ports at the destination, and at the source.
    fn ports(&self) -> (Ports, Ports) {
        let doc = &self.doc;
        let filters = || doc.at_source.iter().chain(&doc.at_destination);
        let within = |all: Ports, range: Option<(u16, u16)>| match range {
            Some((first, last)) => all.and(&Ports::range(first, last)),
            None => all,
        };
        let port = doc.destination_port.map(|port| (port, port));
        let to = filters().map(|filter| filter.destination_ports).fold(within(Ports::all(), port), within);
        let from = filters().map(|filter| filter.source_ports).fold(Ports::all(), within);
        (to, from)
    }

    /// Whether the path is about packets with these addresses.
    fn is_about(&self, flow: &Flow<'_>) -> bool {
        let doc = &self.doc;
        let fits = |wanted: Option<Ipv4Addr>, seen: Ipv4Addr| wanted.is_none_or(|wanted| wanted == seen);
        let sent_to = flow.public.unwrap_or(flow.destination);
        let at_source = doc.at_source.as_ref();
        let at_destination = doc.at_destination.as_ref();
        fits(doc.source_ip, flow.source)
            && at_source.is_none_or(|f| fits(f.source_address, flow.source) && fits(f.destination_address, sent_to))
            && at_destination
                .is_none_or(|f| fits(f.source_address, flow.source) && fits(f.destination_address, flow.destination))
            && (fits(doc.destination_ip, sent_to) || fits(doc.destination_ip, flow.destination))
    }

    /// The addresses that the source, and the destination, are said to have.
    fn said(&self) -> (BTreeSet<Ipv4Addr>, BTreeSet<Ipv4Addr>) {
        let doc = &self.doc;
        let filters = || doc.at_source.iter().chain(&doc.at_destination);
        let from = doc.source_ip.into_iter().chain(filters().filter_map(|f| f.source_address));
        let to = doc.destination_ip.into_iter().chain(filters().filter_map(|f| f.destination_address));
        (from.collect(), to.collect())
    }
}

/// Addresses of the other side that an interface's rules, entries and routes tell apart: of each two neighbours, all between
/// fare alike.
fn told_apart(net: &Net, interface: &Interface, more: &[Ipv4Net]) -> BTreeSet<Ipv4Addr> {
    let rules = interface.groups.iter().filter_map(|id| net.groups.get(id)).flat_map(|group| &group.rules);
    let (mut blocks, mut out) = (more.to_vec(), BTreeSet::from([SOMEWHERE]));
    for rule in rules {
        match &rule.peer {
            Peer::Block(block, _) => blocks.push(*block),
            Peer::Group(id) => {
                let members = net.members.get(id).into_iter().flat_map(|members| &members.addresses);
                blocks.extend(members.map(|address| Ipv4Net::from(*address)));
            }
        }
    }
    let subnet = net.subnets.get(&interface.subnet);
    let entries = subnet.and_then(|subnet| net.acls.get(subnet.acl.as_ref()?)).into_iter().flatten();
    blocks.extend(entries.map(|entry| entry.cidr));
    let routes = subnet.and_then(|subnet| net.tables.get(subnet.table.as_ref()?)).into_iter().flatten();
    blocks.extend(routes.map(|route| route.destination));
    blocks.extend(net.vpcs.values().flat_map(|vpc| &vpc.blocks));
    for block in blocks.iter().chain(&NOWHERE) {
        out.insert(block.network());
        out.extend(u32::from(block.broadcast()).checked_add(1).map(Ipv4Addr::from));
    }
    out
}

/// Addresses that the other side may have, the least special first.
fn others(net: &Net, interface: &Interface, end: &End, said: &BTreeSet<Ipv4Addr>) -> Vec<Ipv4Addr> {
    let all = if said.is_empty() { told_apart(net, interface, &[]) } else { said.clone() };
    let may_be = |address: &Ipv4Addr| match end {
        End::Peering(id) => {
            // What is said is held against the connection itself.
            !said.is_empty() || net.across(id, &interface.vpc).is_none_or(|peer| net.is_in(peer, *address))
        }
        _ => {
            !NOWHERE.iter().any(|block| block.contains(address))
                && (!said.is_empty() || !net.is_in(&interface.vpc, *address))
        }
    };
    let mut all: Vec<Ipv4Addr> = all.into_iter().filter(may_be).collect();
    all.sort_by_key(|address| (*address != SOMEWHERE, *address));
    all
}

/// The gateway that a path to the world leads to: that of the interface's VPC.
fn gateway_of<'a>(net: &'a Net, interface: &Interface) -> Option<&'a str> {
    net.vpcs.get(&interface.vpc)?.gateway.as_deref()
}

fn interfaces<'a>(net: &'a Net, ids: &'a [String]) -> impl Iterator<Item = &'a Interface> + Clone {
    ids.iter().filter_map(|id| net.interfaces.get(id))
}

/// Every pair that the path may be about. `None`: there are too many.
fn flows<'a>(net: &'a Net, question: &'a Question) -> Option<Vec<Flow<'a>>> {
    let (from_said, to_said) = question.said();
    let mut out = Vec::new();
    match (&question.from, &question.to) {
        (End::Interfaces(from), End::Interfaces(to)) => {
            for (from, to) in interfaces(net, from).flat_map(|from| interfaces(net, to).map(move |to| (from, to))) {
                for (source, _) in &from.addresses {
                    let flow = |(destination, _): &(Ipv4Addr, Option<Ipv4Addr>)| Flow {
                        from: Spot::Interface(from),
                        to: Spot::Interface(to),
                        source: *source,
                        destination: *destination,
                        public: None,
                    };
                    out.extend(to.addresses.iter().map(flow).filter(|flow| question.is_about(flow)));
                }
                if out.len() > FLOWS_MAX {
                    return None;
                }
            }
        }
        (End::Interfaces(_), End::Nothing) => {}
        (End::Interfaces(from), end) => {
            for from in interfaces(net, from) {
                let to = match end {
                    End::Gateway(id) => Some(Spot::Gateway(id)),
                    End::Peering(id) => Some(Spot::Peering(id)),
                    _ => gateway_of(net, from).map(Spot::Gateway),
                };
                let to = to.unwrap_or(Spot::Gateway(""));
                let others = others(net, from, end, &to_said);
                for (source, destination) in
                    from.addresses.iter().flat_map(|(source, _)| others.iter().map(move |other| (*source, *other)))
                {
                    let flow = Flow { from: Spot::Interface(from), to, source, destination, public: None };
                    out.extend(Some(flow).filter(|flow| question.is_about(flow)));
                    if out.len() > FLOWS_MAX {
                        return None;
                    }
                }
            }
        }
        (end, End::Interfaces(to)) => {
            for to in interfaces(net, to) {
                let from = match end {
                    End::Peering(id) => Spot::Peering(id),
                    End::Gateway(id) => Spot::Gateway(id),
                    _ => continue,
                };
                let world = matches!(end, End::Gateway(_));
                let others = others(net, to, end, &from_said);
                for ((destination, public), source) in
                    to.addresses.iter().flat_map(|to| others.iter().map(move |other| (*to, *other)))
                {
                    let public = public.filter(|_| world);
                    let to = Spot::Interface(to);
                    let flow = Flow { from, to, source, destination, public };
                    out.extend(Some(flow).filter(|flow| question.is_about(flow)));
                    if out.len() > FLOWS_MAX {
                        return None;
                    }
                }
            }
        }
        _ => {}
    }
    Some(out)
}

/// Why no pair of addresses fits the path.
fn no_flow(net: &Net, question: &Question) -> Why {
    let (from_said, to_said) = question.said();
    let check = |ids: &[String], said: &BTreeSet<Ipv4Addr>, egress: bool| {
        let has = |address: &Ipv4Addr| {
            interfaces(net, ids)
                .flat_map(|interface| &interface.addresses)
                .any(|(private, public)| private == address || (!egress && public.as_ref() == Some(address)))
        };
        let foreign = said.iter().find(|address| !has(address))?;
        let first = ids.first().cloned();
        let on = first.as_ref().and_then(|id| net.interfaces.get(id)).is_none_or(|first| first.source_dest_check);
        let code = if on { "ENI_SOURCE_DEST_CHECK_RESTRICTION" } else { "ENI_ADDRESS_RESTRICTION" };
        Some(Why { egress: Some(egress), interface: first, address: Some(*foreign), ..Why::new(code) })
    };
    if let End::Interfaces(ids) = &question.from
        && let Some(why) = check(ids, &from_said, true)
    {
        return why;
    }
    if let End::Interfaces(ids) = &question.to {
        if let Some(why) = check(ids, &to_said, false) {
            return why;
        }
        let public = |address: &Ipv4Addr| {
            interfaces(net, ids).flat_map(|i| &i.addresses).any(|(_, public)| public.as_ref() == Some(address))
        };
        let address = to_said.iter().find(|address| public(address)).copied();
        if matches!(question.from, End::Interfaces(_)) && address.is_some() {
            return Why { address, interface: ids.first().cloned(), ..Why::new("IGW_NAT_REFLECTION") };
        }
        if let End::Gateway(id) = &question.from {
            let (gateway, interface) = (Some(id.clone()), ids.first().cloned());
            return Why { gateway, interface, address, ..Why::new("IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS") };
        }
    }
    let address = to_said.iter().chain(&from_said).next().copied();
    Why { address, ..Why::new("NO_POSSIBLE_DESTINATION") }
}

/// What was found of one pair.
struct Verdict<'a> {
    forward: Way<'a>,
    back: Way<'a>,
    /// Ports of the destination, and of the source, that got through.
    to: Ports,
    from: Ports,
    whys: Vec<Why>,
}

/// The ports that a station lets through, or why none of these.
fn station(net: &Net, question: &Question, step: &Step<'_>, ports: &Ports) -> Result<Ports, Box<Why>> {
    let protocol = question.protocol;
    match step {
        Step::Groups { answer: true, .. } => Ok(ports.clone()),
        Step::Groups { interface, egress, remote, .. } => {
            let passed = ports.and(&by_groups(net, &question.choice, interface, *egress, protocol, *remote));
            if !passed.is_empty() {
                return Ok(passed);
            }
            Err(Box::new(Why {
                egress: Some(*egress),
                interface: Some(interface.id.clone()),
                groups: interface.groups.clone(),
                subnet: Some(interface.subnet.clone()),
                vpc: Some(interface.vpc.clone()),
                ..Why::new("ENI_SG_RULES_MISMATCH")
            }))
        }
        Step::Acl { subnet, id, of, egress, remote } => {
            let passed = ports.and(&by_acl(net, subnet, *egress, protocol, *remote));
            if !passed.is_empty() {
                return Ok(passed);
            }
            let denies = ports.first().and_then(|port| entry(net, id, *egress, protocol, *remote, port));
            Err(Box::new(Why {
                egress: Some(*egress),
                acl: Some((*id).to_owned()),
                entry: denies.map(shown_entry),
                subnet: Some((*of).to_owned()),
                vpc: Some(subnet.vpc.clone()),
                ..Why::new("SUBNET_ACL_RESTRICTION")
            }))
        }
        Step::Instance(_) | Step::Interface(_) | Step::Table { .. } | Step::Peering { .. } | Step::Gateway { .. } => {
            Ok(ports.clone())
        }
    }
}

fn judge<'a>(net: &'a Net, question: &Question, flow: &Flow<'a>) -> Verdict<'a> {
    let Flow { from, to, source, destination, .. } = *flow;
    let forward = Leg { net, from, to, source, destination, answer: false }.walk();
    let back = Leg { net, from: to, to: from, source: destination, destination: source, answer: true }.walk();
    let (mut to, mut from) = question.ports();
    let mut whys = Vec::new();
    for (way, ports) in [(&forward, &mut to), (&back, &mut from)] {
        // What stops packets mostly stops their answers, too: it is said once.
        if !whys.is_empty() {
            break;
        }
        whys.extend(way.whys.iter().cloned());
        for step in &way.steps {
            match station(net, question, step, ports) {
                Ok(passed) => *ports = passed,
                Err(why) => whys.push(*why),
            }
        }
    }
    if to.is_empty() || from.is_empty() {
        whys.push(Why { component: None, ..Why::new("COMPONENT_FILTER_RESTRICTION") });
    }
    Verdict { forward, back, to, from, whys }
}

/// The ids that a way leads through; of groups, that whose rule lets pass.
fn passed<'a>(net: &'a Net, question: &'a Question, verdict: &'a Verdict<'a>) -> BTreeSet<&'a str> {
    let mut ids = BTreeSet::new();
    for step in &verdict.forward.steps {
        match step {
            Step::Instance(id) => ids.extend([*id]),
            Step::Interface(interface) => ids.extend([&*interface.id, &*interface.subnet, &*interface.vpc]),
            Step::Groups { interface, egress, remote, .. } => {
                let rules = rules(net, &question.choice, interface, *egress, question.protocol, *remote);
                let port = verdict.to.first().unwrap_or_default();
                ids.extend(rules.filter(|(_, _, ports)| ports.has(port)).map(|(id, _, _)| id.as_str()));
            }
            Step::Acl { id, of, .. } => ids.extend([*id, *of]),
            Step::Table { id, vpc, .. } => ids.extend([*id, *vpc]),
            Step::Peering { id, from } => ids.extend([*id, *from]),
            Step::Gateway { id, vpc } => ids.extend([*id, *vpc]),
        }
    }
    ids
}

/// Whether the way leads through all that it must, and nothing that it must not.
fn off_course(net: &Net, question: &Question, verdict: &Verdict<'_>) -> Vec<Why> {
    let ids = passed(net, question, verdict);
    let missed = question.choice.through.iter().filter(|id| !ids.contains(id.as_str()));
    // Of the groups, those that were not to be used were not.
    let met = question.choice.around.iter().filter(|id| ids.contains(id.as_str()));
    let why = |id: &String| Why { component: Some(id.clone()), ..Why::new("COMPONENT_FILTER_RESTRICTION") };
    missed.chain(met).map(why).collect()
}

fn answer(net: &Net, question: &Question, flow: &Flow<'_>, verdict: &Verdict<'_>) -> Answer {
    let heads = Heads { flow, protocol: question.protocol, to: &verdict.to, from: &verdict.from };
    Answer {
        found: verdict.whys.is_empty(),
        forward: components(net, &question.choice, &verdict.forward, &heads, false),
        back: components(net, &question.choice, &verdict.back, &heads, true),
        why: verdict.whys.clone(),
        warning: verdict.forward.warning.clone().or_else(|| verdict.back.warning.clone()),
        failed: None,
    }
}

/// Whether there is a way, with its stations; where there is none, what is in the way of the pair of addresses that comes
/// nearest to one.
#[must_use]
pub fn evaluate(net: &Net, question: &Question) -> Answer {
    let Some(flows) = flows(net, question) else {
        let failed = format!(
            "The analysis would have to look at more than {FLOWS_MAX} pairs of addresses. Give an address of the source or \
             of the destination."
        );
        return Answer { failed: Some(failed), ..Answer::default() };
    };
    let mut nearest: Option<(Flow<'_>, Verdict<'_>)> = None;
    for flow in flows {
        let mut verdict = judge(net, question, &flow);
        if verdict.whys.is_empty() {
            verdict.whys = off_course(net, question, &verdict);
        }
        if verdict.whys.is_empty() {
            return answer(net, question, &flow, &verdict);
        }
        if nearest.as_ref().is_none_or(|(_, held)| verdict.whys.len() < held.whys.len()) {
            nearest = Some((flow, verdict));
        }
    }
    match nearest {
        // Of a way that does not lead to its end there are no components, as on AWS: explanations say where it ends.
        Some((flow, verdict)) => {
            Answer { forward: Vec::new(), back: Vec::new(), ..answer(net, question, &flow, &verdict) }
        }
        None => Answer { why: vec![no_flow(net, question)], ..Answer::default() },
    }
}

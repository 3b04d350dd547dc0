//! From a view as it came to a [`Model`]. Whatever cannot be used is left out and told, port by port; a bad rule or an
//! unknown group never stops the rest.

use crate::config::NetConfig;
use crate::dhcp::DhcpOptions;
use crate::model::{AclEntry, Mac, Model, Peer, Peering, Port, Rule, Subnet, Vpc, Way, offset};
use crate::sections::Sections;
use crate::{shape, six};
use ipnet::{IpNet, Ipv4Net};
use mallee_node_core::network::NetworkError;
use mallee_proto::v1::group_rule::Peer as WirePeer;
use mallee_proto::v1::{GroupRule, NetworkAclEntry, NodeView, PortView, RouteTarget, Section, VpcView};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

/// Most private addresses of one port besides its primary one.
pub const MAX_SECONDARY: usize = 256;
/// Largest VXLAN network identifier (24 bits).
const MAX_VNI: u32 = (1 << 24) - 1;
/// Most ports of one VPC on one node; beyond this a view is refused as broken.
pub const MAX_PORTS: usize = 4096;
/// Route tables are numbered up to this: packets bear the number in their mark.
pub const MAX_TABLE: u32 = 0xfff;
/// Most routes of one table that are looked at.
pub const MAX_ROUTES: usize = 10_000;
/// Most entries of one network ACL; one of more lets nothing through.
pub const MAX_ACL_ENTRIES: usize = 1_000;
/// Most blocks of one VPC besides its first; those beyond are left out.
pub const MAX_MORE_BLOCKS: usize = 100;
/// Most peering connections of one VPC.
pub const MAX_PEERINGS: usize = 1_000;
/// Most remote interfaces of one VPC.
pub const MAX_REMOTES: usize = 200_000;

/// Addresses that have a meaning on each link only.
const LINK_LOCAL: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16);

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn is_domain(domain: &str) -> bool {
    domain.len() <= 200
        && domain
            .split('.')
            .all(|l| !l.is_empty() && l.len() <= 63 && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
}

/// Checks a view.
///
/// # Errors
/// [`NetworkError::Invalid`] when a VPC itself is unusable: its CIDR, number or id, or two VPCs with one namespace.
pub fn check(view: &NodeView, config: &NetConfig, names: &crate::Names) -> Result<Model, NetworkError> {
    check_anew(view, config, names, &mut Sections::default())
}

/// As [`check`], with what was read of sections before.
pub(crate) fn check_anew(
    view: &NodeView,
    config: &NetConfig,
    names: &crate::Names,
    read: &mut Sections,
) -> Result<Model, NetworkError> {
    let mut model = Model::default();
    read.keep_only(view);
    let sections: BTreeMap<&str, &Section> = view.sections.iter().map(|s| (s.key.as_str(), s)).collect();
    let mut vnis = BTreeSet::new();
    let mut public = BTreeSet::new();
    let here: BTreeSet<&str> = view.vpcs.iter().map(|vpc| vpc.vpc_id.as_str()).collect();
    for wire in &view.vpcs {
        let mut vpc = check_vpc(wire, config, names, &mut public, &mut model)?;
        for section in wire.sections.iter().filter_map(|key| sections.get(key.as_str())) {
            read.take(section, wire, &mut vpc, config, &mut model.warnings);
        }
        let count = vpc.remotes.len().max(vpc.remotes6.len());
        if count > MAX_REMOTES {
            return Err(NetworkError::Invalid(format!("view of {}: {count} remotes are too many", vpc.id)));
        }
        vpc.peerings = check_peerings(wire, &here, names, &mut model);
        // A route over a connection that is not there leads nowhere.
        for way in vpc.tables.values_mut().flat_map(BTreeMap::values_mut) {
            if matches!(way, Way::Peering(device) if !vpc.peerings.contains_key(device)) {
                *way = Way::Blackhole;
            }
        }
        if !vnis.insert(vpc.vni) || model.vpcs.values().any(|other| other.ns == vpc.ns) {
            return Err(NetworkError::Invalid(format!("view names {} or its VNI {} twice", vpc.id, vpc.vni)));
        }
        model.vpcs.insert(vpc.id.clone(), Arc::new(vpc));
    }
    Ok(model)
}

fn check_vpc(
    wire: &VpcView,
    config: &NetConfig,
    names: &crate::Names,
    public: &mut BTreeSet<Ipv4Addr>,
    model: &mut Model,
) -> Result<Vpc, NetworkError> {
    let invalid = |what: String| NetworkError::Invalid(format!("view of {}: {what}", wire.vpc_id));
    let cidr: Ipv4Net = wire.cidr.parse().map_err(|_| invalid(format!("{:?} is no IPv4 block", wire.cidr)))?;
    if !is_id(&wire.vpc_id) || !(1..=MAX_VNI).contains(&wire.vni) || cidr.prefix_len() > 28 {
        return Err(invalid(format!("bad id, VNI {} or block {cidr}", wire.vni)));
    }
    if wire.ports.len() > MAX_PORTS || wire.remotes.len() > MAX_REMOTES {
        return Err(invalid(format!("{} ports and {} remotes are too many", wire.ports.len(), wire.remotes.len())));
    }
    if wire.network_acls.len() > MAX_PORTS {
        return Err(invalid(format!("{} network ACLs are too many", wire.network_acls.len())));
    }
    let mut vpc = Vpc {
        id: wire.vpc_id.clone(),
        ns: names.vpc_ns(&wire.vpc_id),
        cidr: cidr.trunc(),
        more: check_blocks(wire, cidr.trunc(), model),
        vni: wire.vni,
        domain: if is_domain(&wire.dns_domain) { wire.dns_domain.clone() } else { "internal".to_owned() },
        subnets: Vec::new(),
        tables: check_tables(wire, names, model),
        acls: check_acls(wire, model),
        internet_gateway: wire.internet_gateway || !wire.routed,
        ports: BTreeMap::new(),
        devices: BTreeMap::new(),
        groups: BTreeMap::new(),
        members: BTreeMap::new(),
        remotes: Arc::default(),
        dns_off: wire.dns_off,
        public_names_off: wire.public_names_off,
        dhcp: DhcpOptions::default(),
        peerings: BTreeMap::new(),
        public_names: Arc::new(check_names(wire)),
        blocks6: six::blocks(wire, &mut model.warnings),
        devices6: BTreeMap::new(),
        members6: six::members(wire),
        remotes6: Arc::default(),
        tables6: BTreeMap::new(),
        world6: BTreeMap::new(),
    };
    vpc.tables6 = six::tables(wire, &vpc, names, &mut model.warnings);
    vpc.dhcp = match &wire.dhcp_options {
        None => DhcpOptions::usual(&vpc.domain, vpc.dns()),
        Some(set) => {
            let (options, wrong) = DhcpOptions::check(set, vpc.dns());
            model.warnings.extend(wrong.into_iter().map(|why| format!("{}: {why}", vpc.id)));
            options
        }
    };
    for subnet in &wire.subnets {
        match subnet.cidr.parse::<Ipv4Net>() {
            Ok(net) if vpc.covers(net) && net.prefix_len() <= 29 => {
                let cidr = net.trunc();
                let table = if wire.routed { subnet.route_table } else { UNROUTED };
                let table = if vpc.tables.contains_key(&table) { table } else { 0 };
                let acl = Some(&subnet.network_acl).filter(|id| !id.is_empty()).cloned();
                if let Some(id) = &acl {
                    // Through one that is not there nothing passes.
                    vpc.acls.entry(id.clone()).or_default();
                }
                let cidr6 = six::subnet(subnet, &vpc, &mut model.warnings);
                let (id, gateway) = (subnet.id.clone(), offset(cidr, 1));
                vpc.subnets.push(Subnet { id, cidr, gateway, table, acl, cidr6 });
            }
            _ => model.warnings.push(format!("{}: left out, {:?} is no block of {}", subnet.id, subnet.cidr, vpc.id)),
        }
    }
    for wire_port in &wire.ports {
        match check_port(wire_port, &vpc, config, names, public) {
            Ok((port, warning)) => {
                if let Some(warning) = warning {
                    model.port_errors.insert(wire_port.interface_id.clone(), warning);
                }
                vpc.add(port);
            }
            Err(why) => {
                model.port_errors.insert(wire_port.interface_id.clone(), why);
            }
        }
    }
    vpc.world6 = six::world(&vpc, config, &mut model.port_errors);
    for group in &wire.groups {
        let mut rules: Vec<Rule> = Vec::new();
        for rule in &group.rules {
            match check_rule(rule) {
                Some(rule) => rules.push(rule),
                None => model.warnings.push(format!("{}: rule {:?} left out, it makes no sense", group.id, rule.id)),
            }
        }
        rules.sort();
        rules.dedup();
        vpc.groups.insert(group.id.clone(), rules);
    }
    for group in &wire.members {
        let addresses: BTreeSet<Ipv4Addr> = group.addresses.iter().filter_map(|a| a.parse().ok()).collect();
        vpc.members.insert(group.group_id.clone(), Arc::new(addresses));
    }
    let mut remotes = BTreeMap::new();
    for remote in &wire.remotes {
        match place(&remote.address, &remote.vtep, &vpc, config) {
            Ok(place) => remotes.extend(place.filter(|(ip, _)| vpc.port_by_ip(*ip).is_none())),
            Err(why) => model.warnings.push(why),
        }
    }
    vpc.remotes = Arc::new(remotes);
    vpc.remotes6 = Arc::new(six::remotes(wire, &vpc, config));
    Ok(vpc)
}

/// Where an address is said to be, if that is another node; an error if it cannot be.
pub(crate) fn place(
    address: &str,
    vtep: &str,
    vpc: &Vpc,
    config: &NetConfig,
) -> Result<Option<(Ipv4Addr, Ipv4Addr)>, String> {
    match (address.parse::<Ipv4Addr>(), vtep.parse::<Ipv4Addr>()) {
        (Ok(_), Ok(at)) if at == config.vtep => Ok(None),
        // Of the other family: see `six`. A VPC that is passed through may be told without it.
        (Err(_), Ok(_)) if address.parse().is_ok_and(|ip: Ipv6Addr| !vpc.six() || vpc.covers6(ip)) => Ok(None),
        (Ok(ip), Ok(at)) if vpc.covers(ip) => Ok(Some((ip, at))),
        _ => Err(format!("remote {address:?} at {vtep:?} left out")),
    }
}

/// The VPC's blocks besides the first. What is no block, or overlaps another, or what hosts have for themselves, is left out.
fn check_blocks(wire: &VpcView, first: Ipv4Net, model: &mut Model) -> Vec<Ipv4Net> {
    let mut blocks = vec![first];
    for text in &wire.more_cidrs {
        match text.parse::<Ipv4Net>().map(|net| net.trunc()) {
            Ok(net)
                if net.prefix_len() <= 28
                    && blocks.len() <= MAX_MORE_BLOCKS
                    && !blocks.iter().chain([&LINK_LOCAL]).any(|other| other.contains(&net) || net.contains(other)) =>
            {
                blocks.push(net);
            }
            _ => model.warnings.push(format!("{}: {text:?} left out, it can be no further block", wire.vpc_id)),
        }
    }
    blocks.split_off(1)
}

/// The only table of a view of before there were route tables.
const UNROUTED: u32 = 1;

fn check_tables(wire: &VpcView, names: &crate::Names, model: &mut Model) -> BTreeMap<u32, BTreeMap<Ipv4Net, Way>> {
    if !wire.routed {
        return BTreeMap::from([(UNROUTED, BTreeMap::from([(Ipv4Net::default(), Way::Internet)]))]);
    }
    let mut tables = BTreeMap::new();
    for table in &wire.route_tables {
        if !(1..=MAX_TABLE).contains(&table.number) || table.routes.len() > MAX_ROUTES {
            let (number, routes) = (table.number, table.routes.len());
            model.warnings.push(format!("{}: table {number} of {routes} routes left out", wire.vpc_id));
            continue;
        }
        let mut ways = BTreeMap::new();
        for route in &table.routes {
            // Of what cannot be understood nothing is let out.
            let way = match route.target() {
                RouteTarget::Internet => Way::Internet,
                RouteTarget::Peering => Way::Peering(names.peering(&route.peering_id)),
                RouteTarget::Interface => route.next_hop.parse().map_or(Way::Blackhole, Way::Hop),
                RouteTarget::Unspecified | RouteTarget::Blackhole | RouteTarget::EgressOnly => Way::Blackhole,
            };
            match route.destination.parse::<Ipv4Net>() {
                Ok(to) => drop(ways.insert(to.trunc(), way)),
                Err(_) => model.warnings.push(format!("{}: no route to {:?}", wire.vpc_id, route.destination)),
            }
        }
        tables.insert(table.number, ways);
    }
    tables
}

/// Connections by device; those without the VPC at the other end, or with nothing that may come from it, are left out.
fn check_peerings(
    wire: &VpcView,
    here: &BTreeSet<&str>,
    names: &crate::Names,
    model: &mut Model,
) -> BTreeMap<String, Peering> {
    let mut peerings = BTreeMap::new();
    for peering in wire.peerings.iter().take(MAX_PEERINGS) {
        let peer = peering.peer_vpc_id.as_str();
        let blocks: Option<Vec<Ipv4Net>> =
            peering.peer_cidrs.iter().map(|cidr| cidr.parse().ok().map(|net: Ipv4Net| net.trunc())).collect();
        match blocks {
            Some(blocks) if !blocks.is_empty() && here.contains(peer) && peer != wire.vpc_id => {
                let (peer_vpc, peer_ns) = (peer.to_owned(), names.vpc_ns(peer));
                let blocks6 = six::peer_blocks(peering, wire, &mut model.warnings);
                peerings.insert(names.peering(&peering.id), Peering { peer_vpc, peer_ns, blocks, blocks6 });
            }
            _ => model.warnings.push(format!("{}: left out, it leads to {peer:?}", peering.id)),
        }
    }
    peerings
}

fn check_names(wire: &VpcView) -> BTreeMap<Ipv4Addr, Ipv4Addr> {
    let names = wire.public_names.iter().take(MAX_REMOTES);
    names.filter_map(|name| Some((name.public_ip.parse().ok()?, name.private_ip.parse().ok()?))).collect()
}

fn check_acls(wire: &VpcView, model: &mut Model) -> BTreeMap<String, Vec<AclEntry>> {
    let mut acls = BTreeMap::new();
    for acl in &wire.network_acls {
        let count = acl.entries.len();
        if count > MAX_ACL_ENTRIES {
            model.warnings.push(format!("{}: {count} entries are too many, nothing passes", acl.id));
            acls.insert(acl.id.clone(), Vec::new());
            continue;
        }
        let mut entries: Vec<&NetworkAclEntry> = acl.entries.iter().collect();
        entries.sort_by_key(|entry| entry.number);
        let mut checked = Vec::with_capacity(count);
        for entry in entries {
            match check_entry(entry) {
                Some(rule) => checked.push(AclEntry { rule, allow: entry.allow }),
                None => {
                    model.warnings.push(format!("{}: entry {} makes no sense", acl.id, entry.number));
                    if !entry.allow {
                        // Whatever it was to stop, it must not pass by a later one.
                        let all = [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()];
                        let all = all.map(|any| AclEntry { rule: everything(entry.egress, any), allow: false });
                        checked.extend(all);
                    }
                }
            }
        }
        acls.insert(acl.id.clone(), checked);
    }
    acls
}

const fn everything(egress: bool, any: IpAddr) -> Rule {
    Rule { egress, protocol: None, from: -1, to: -1, peer: Peer::Cidr(IpNet::new_assert(any, 0)) }
}

fn check_entry(wire: &NetworkAclEntry) -> Option<Rule> {
    check_rule(&GroupRule {
        id: String::new(),
        egress: wire.egress,
        protocol: wire.protocol,
        from_port: wire.from_port,
        to_port: wire.to_port,
        peer: Some(WirePeer::Cidr(wire.cidr.clone())),
    })
}

fn check_port(
    wire: &PortView,
    vpc: &Vpc,
    config: &NetConfig,
    names: &crate::Names,
    public: &mut BTreeSet<Ipv4Addr>,
) -> Result<(Port, Option<String>), String> {
    if !is_id(&wire.interface_id) {
        return Err(format!("{:?} is no interface id", wire.interface_id));
    }
    let mac = Mac::parse(&wire.mac).ok_or_else(|| format!("{:?} is no unicast MAC", wire.mac))?;
    let ip: Ipv4Addr = wire.private_ip.parse().map_err(|_| format!("{:?} is no IPv4 address", wire.private_ip))?;
    let subnet = vpc.subnets.iter().find(|s| s.id == wire.subnet_id);
    let subnet = subnet.ok_or_else(|| format!("subnet {} is not in the view", wire.subnet_id))?;
    if !subnet.cidr.contains(&ip) || ip == subnet.gateway || ip == vpc.dns() {
        return Err(format!("{ip} is not an address for instances of {}", subnet.cidr));
    }
    let same_id = || vpc.ports.get(&names.tap(&wire.interface_id));
    if let Some(other) = vpc.port_by_ip(ip).or_else(same_id).or_else(|| vpc.ports.values().find(|p| p.mac == mac)) {
        return Err(format!("{} has the same address or MAC", other.interface_id));
    }
    let mut warning = None;
    let mut shown = |text: &str, warning: &mut Option<String>| {
        let why = match text.parse::<Ipv4Addr>() {
            _ if text.is_empty() => return None,
            Ok(address) if !config.public_pool.iter().any(|pool| pool.contains(&address)) => {
                format!("public address {address} is outside this node's public pool, extend the pool")
            }
            Ok(address) if public.insert(address) => return Some(address),
            Ok(address) => format!("public address {address} is in use by another port of this node"),
            Err(_) => format!("{text:?} is no IPv4 address"),
        };
        *warning = Some(why);
        None
    };
    let public_ip = shown(&wire.public_ip, &mut warning);
    let (primary, mut secondary): (_, Vec<(Ipv4Addr, Option<Ipv4Addr>)>) = (ip, Vec::new());
    for address in &wire.secondary {
        let taken = |ip: Ipv4Addr| {
            let own = ip == primary || secondary.iter().any(|(other, _)| *other == ip);
            own || ip == subnet.gateway || ip == vpc.dns() || vpc.port_by_ip(ip).is_some()
        };
        match address.private_ip.parse::<Ipv4Addr>() {
            Ok(ip) if subnet.cidr.contains(&ip) && !taken(ip) && secondary.len() < MAX_SECONDARY => {
                secondary.push((ip, shown(&address.public_ip, &mut warning)));
            }
            _ => warning = Some(format!("its secondary address {:?} can not be its own", address.private_ip)),
        }
    }
    let ipv6 = six::addresses(wire, subnet, vpc, &mut warning);
    let drains = |ip: &Ipv4Addr| secondary.iter().any(|(own, _)| own == ip);
    let nat_draining = wire.nat_draining.iter().filter_map(|text| text.parse().ok()).filter(drains).collect();
    let port = Port {
        interface_id: wire.interface_id.clone(),
        instance_id: wire.instance_id.clone(),
        device: names.tap(&wire.interface_id),
        mac,
        ip,
        subnet: subnet.clone(),
        groups: wire.group_ids.clone(),
        public_ip,
        // What a gateway sends to instances comes from the world.
        source_dest_check: wire.source_dest_check && !wire.nat,
        hostname: wire.hostname.clone(),
        secondary,
        flow_log: wire.flow_log,
        hop: wire.routed_to.then(|| names.hop(&wire.interface_id)),
        nat: wire.nat.then(|| names.nat_ns(&wire.interface_id)),
        // The primary one never drains, and what is not its own is nothing.
        nat_draining,
        bandwidth: NonZeroU64::new(wire.bandwidth_kbps.min(shape::MAX_KBPS)),
        flows: NonZeroU32::new(wire.flows_max),
        ipv6,
    };
    Ok((port, warning))
}

fn check_rule(wire: &GroupRule) -> Option<Rule> {
    let peer = match wire.peer.as_ref()? {
        WirePeer::Cidr(cidr) => Peer::Cidr(cidr.parse::<IpNet>().ok()?.trunc()),
        WirePeer::GroupId(id) => Peer::Group(id.clone()),
    };
    let protocol = if wire.protocol == -1 { None } else { Some(u8::try_from(wire.protocol).ok()?) };
    let icmp = matches!(protocol, Some(1 | 58));
    let top = if icmp { 255 } else { 65535 };
    let range = -1..=top;
    let backward = !icmp && wire.from_port >= 0 && wire.to_port < wire.from_port;
    if !range.contains(&wire.from_port) || !range.contains(&wire.to_port) || backward {
        return None;
    }
    Some(Rule { egress: wire.egress, protocol, from: wire.from_port, to: wire.to_port, peer })
}

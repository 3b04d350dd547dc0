//! Paths and analyses as the wire has them.

use crate::common::{Look, TagMap, time};
use mallee_app::insights::{
    ANALYSIS_TAG_KIND, Component, Header, PATH_TAG_KIND, Range, ShownEntry, ShownRoute, ShownRule, Why, answer_of,
};
use mallee_awswire::ApiError;
use mallee_ec2_types::ec2::*;
use mallee_store::{InsightsAnalysisRow, InsightsFilter, InsightsPathRow};
use mallee_types::AccountId;
use std::net::Ipv4Addr;

/// The kind of a resource as its ARN names it, by what its id begins with.
const KINDS: [(&str, &str); 10] = [
    ("i-", "instance"),
    ("eni-", "network-interface"),
    ("sg-", "security-group"),
    ("acl-", "network-acl"),
    ("rtb-", "route-table"),
    ("igw-", "internet-gateway"),
    ("pcx-", "vpc-peering-connection"),
    ("subnet-", "subnet"),
    ("vpc-", "vpc"),
    ("pl-", "prefix-list"),
];

/// Whose resources are shown, and where: an analysis looks at its own account's only.
struct Whose<'a> {
    look: &'a Look<'a>,
    account: &'a AccountId,
}

impl Whose<'_> {
    fn arn(&self, id: &str) -> Option<String> {
        let (_, kind) = KINDS.iter().find(|(start, _)| id.starts_with(start))?;
        Some(self.look.arn(self.account, kind, id))
    }

    fn component(&self, id: &str) -> AnalysisComponent {
        AnalysisComponent { arn: self.arn(id), id: Some(id.to_owned()), name: None }
    }

    fn some(&self, id: Option<&String>) -> Option<AnalysisComponent> {
        id.map(|id| self.component(id))
    }
}

fn filter_range(range: Option<Range>) -> Option<FilterPortRange> {
    let (from, to) = range?;
    Some(FilterPortRange { from_port: Some(from.into()), to_port: Some(to.into()) })
}

fn path_filter(filter: Option<&InsightsFilter>) -> Option<PathFilter> {
    let filter = filter?;
    Some(PathFilter {
        destination_address: filter.destination_address.map(|address| address.to_string()),
        destination_port_range: filter_range(filter.destination_ports),
        source_address: filter.source_address.map(|address| address.to_string()),
        source_port_range: filter_range(filter.source_ports),
    })
}

pub(super) fn path(row: &InsightsPathRow, look: &Look<'_>, tags: &mut TagMap) -> NetworkInsightsPath {
    let whose = Whose { look, account: &row.account_id };
    let doc = &row.doc.0;
    NetworkInsightsPath {
        created_date: time(row.created_ms),
        destination: row.destination.clone(),
        destination_arn: row.destination.as_ref().and_then(|id| whose.arn(id)),
        destination_ip: doc.destination_ip.map(|address| address.to_string()),
        destination_port: doc.destination_port.map(i32::from),
        filter_at_destination: path_filter(doc.at_destination.as_ref()),
        filter_at_source: path_filter(doc.at_source.as_ref()),
        network_insights_path_arn: Some(look.arn(&row.account_id, PATH_TAG_KIND, row.id.as_str())),
        network_insights_path_id: Some(row.id.to_string()),
        protocol: Some(row.protocol.clone()),
        source: Some(row.source.clone()),
        source_arn: whose.arn(&row.source),
        source_ip: doc.source_ip.map(|address| address.to_string()),
        tags: tags.remove(row.id.as_str()).unwrap_or_default(),
    }
}

fn range((from, to): Range) -> PortRange {
    PortRange { from: Some(from.into()), to: Some(to.into()) }
}

/// By name where rules are given by name, else by number.
fn protocol(number: i64) -> String {
    match number {
        -1 => "all".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        other => other.to_string(),
    }
}

const fn direction(egress: bool) -> &'static str {
    if egress { "egress" } else { "ingress" }
}

fn rule(rule: &ShownRule) -> AnalysisSecurityGroupRule {
    AnalysisSecurityGroupRule {
        cidr: rule.cidr.clone(),
        direction: Some(direction(rule.egress).to_owned()),
        port_range: rule.ports.map(range),
        prefix_list_id: rule.list.clone(),
        protocol: Some(protocol(rule.protocol)),
        security_group_id: rule.group.clone(),
    }
}

fn entry(entry: &ShownEntry) -> AnalysisAclRule {
    AnalysisAclRule {
        cidr: Some(entry.cidr.clone()),
        egress: Some(entry.egress),
        port_range: entry.ports.map(range),
        protocol: Some(protocol(entry.protocol)),
        rule_action: Some(if entry.allow { "allow" } else { "deny" }.to_owned()),
        rule_number: i32::try_from(entry.number).ok(),
    }
}

fn route(route: &ShownRoute) -> AnalysisRouteTableRoute {
    let target = Some(route.target.clone());
    let is_local = route.target == "local";
    let mut shape = AnalysisRouteTableRoute {
        destination_cidr: route.list.is_none().then(|| route.cidr.clone()),
        destination_prefix_list_id: route.list.clone(),
        origin: Some(if is_local { "createroutetable" } else { "createroute" }.to_owned()),
        state: Some(if route.active { "active" } else { "blackhole" }.to_owned()),
        ..Default::default()
    };
    match route.target.split('-').next() {
        Some("pcx") => shape.vpc_peering_connection_id = target,
        Some("nat") => shape.nat_gateway_id = target,
        Some("eni") => shape.network_interface_id = target,
        Some("i") => shape.instance_id = target,
        _ => shape.gateway_id = target,
    }
    shape
}

fn header(head: &Header) -> AnalysisPacketHeader {
    let address = |address: Option<Ipv4Addr>| address.map(|address| format!("{address}/32")).into_iter().collect();
    AnalysisPacketHeader {
        destination_addresses: address(head.destination),
        destination_port_ranges: head.destination_ports.iter().copied().map(range).collect(),
        protocol: Some(head.protocol.to_string()),
        source_addresses: address(head.source),
        source_port_ranges: head.source_ports.iter().copied().map(range).collect(),
    }
}

fn component(whose: &Whose<'_>, number: usize, part: &Component) -> PathComponent {
    PathComponent {
        acl_rule: part.entry.as_ref().map(entry),
        attached_to: whose.some(part.attached_to.as_ref()),
        component: Some(AnalysisComponent { name: part.name.clone(), ..whose.component(&part.id) }),
        inbound_header: part.inbound.as_ref().map(header),
        outbound_header: part.outbound.as_ref().map(header),
        route_table_route: part.route.as_ref().map(route),
        security_group_rule: part.rule.as_ref().map(rule),
        sequence_number: i32::try_from(number).ok(),
        subnet: whose.some(part.subnet.as_ref()),
        vpc: whose.some(part.vpc.as_ref()),
        ..Default::default()
    }
}

fn components(whose: &Whose<'_>, parts: &[Component]) -> Vec<PathComponent> {
    parts.iter().enumerate().map(|(nth, part)| component(whose, nth + 1, part)).collect()
}

fn explanation(whose: &Whose<'_>, why: &Why) -> Explanation {
    Explanation {
        acl: whose.some(why.acl.as_ref()),
        acl_rule: why.entry.as_ref().map(entry),
        address: why.address.map(|address| address.to_string()),
        attached_to: whose.some(why.attached_to.as_ref()),
        component: whose.some(why.component.as_ref()),
        destination: whose.some(why.destination.as_ref()),
        direction: why.egress.map(|egress| direction(egress).to_owned()),
        explanation_code: Some(why.code.clone()),
        internet_gateway: whose.some(why.gateway.as_ref()),
        network_interface: whose.some(why.interface.as_ref()),
        route_table: whose.some(why.table.as_ref()),
        route_table_route: why.route.as_ref().map(route),
        security_groups: why.groups.iter().map(|id| whose.component(id)).collect(),
        state: why.state.clone(),
        subnet: whose.some(why.subnet.as_ref()),
        vpc: whose.some(why.vpc.as_ref()),
        vpc_peering_connection: whose.some(why.peering.as_ref()),
        ..Default::default()
    }
}

pub(super) fn analysis(
    row: &InsightsAnalysisRow,
    look: &Look<'_>,
    tags: &mut TagMap,
) -> Result<NetworkInsightsAnalysis, ApiError> {
    let answer = answer_of(row)?;
    let whose = Whose { look, account: &row.account_id };
    Ok(NetworkInsightsAnalysis {
        explanations: answer.why.iter().map(|why| explanation(&whose, why)).collect(),
        filter_in_arns: row.filter_in.0.clone(),
        filter_out_arns: row.filter_out.0.clone(),
        forward_path_components: components(&whose, &answer.forward),
        network_insights_analysis_arn: Some(look.arn(&row.account_id, ANALYSIS_TAG_KIND, row.id.as_str())),
        network_insights_analysis_id: Some(row.id.to_string()),
        network_insights_path_id: Some(row.path_id.to_string()),
        network_path_found: row.found,
        return_path_components: components(&whose, &answer.back),
        start_date: time(row.started_ms),
        status: Some(if answer.failed.is_some() { "failed" } else { "succeeded" }.to_owned()),
        status_message: answer.failed,
        tags: tags.remove(row.id.as_str()).unwrap_or_default(),
        warning_message: answer.warning,
        ..Default::default()
    })
}

//! Formats of views: what a node must know to read one. A node drops fields that it does not know, so what is left would
//! hash to something else for ever.

use crate::v1::{NodeView, PortView, RouteTarget};

/// The newest format, which nodes of this version read.
///
/// 0: as before there were formats. 1: routes to interfaces, NAT gateways. 2: sections. 3: limits of ports, several
/// addresses of a NAT gateway. 4: IPv6: blocks and addresses, what groups, members, ACLs and places say
/// of such, and where route tables lead it.
pub const FORMAT: u32 = 4;

/// Every view that says anything is of this format at least: a node that does not read it cannot be told of an instance.
pub const LEAST_FORMAT: u32 = 2;

/// The oldest format that says all of a view.
#[must_use]
pub fn format_of(view: &NodeView) -> u32 {
    // What is of IPv6 hangs on a VPC's blocks: without one nothing of it passes, whatever else is said.
    if view.vpcs.iter().any(|vpc| !vpc.ipv6_cidrs.is_empty()) {
        return 4;
    }
    let ports = || view.vpcs.iter().flat_map(|vpc| &vpc.ports);
    let of_nat = |port: &PortView| port.nat && !(port.secondary.is_empty() && port.nat_draining.is_empty());
    if ports().any(|port| port.bandwidth_kbps != 0 || port.flows_max != 0 || of_nat(port)) {
        return 3;
    }
    if !view.sections.is_empty() {
        return LEAST_FORMAT;
    }
    let mut routes = view.vpcs.iter().flat_map(|vpc| &vpc.route_tables).flat_map(|table| &table.routes);
    let of_ports = ports().any(|port| port.routed_to || port.nat);
    u32::from(of_ports || routes.any(|route| route.target() == RouteTarget::Interface))
}

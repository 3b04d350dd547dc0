//! Whether the rows of secondary addresses and attachments agree with the interfaces.

use crate::Cloud;
use crate::check::Report;
use crate::fail::OrFail as _;
use mallee_awswire::ApiError;
use mallee_store::{
    InterfaceAddressRow, InterfaceIpv6Row, InterfaceRow, PublicAddressRow, SubnetIpv6CidrRow, interface_address_list,
    interface_ipv6_list, public_address_list, subnet_ipv6_cidr_list, subnet_list_all,
};
use mallee_types::InterfaceId;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Rows read at once.
const PAGE: u32 = 1000;

/// I3: a secondary address belongs to an interface, is of its subnet, and is nobody's primary one; a public address leads
/// to a private one that its interface has. The secondary addresses there are.
pub(crate) async fn secondary(
    cloud: &Cloud,
    interfaces: &BTreeMap<InterfaceId, InterfaceRow>,
    report: &mut Report,
) -> Result<Vec<InterfaceAddressRow>, ApiError> {
    let mut rows: Vec<InterfaceAddressRow> = Vec::new();
    loop {
        let page = interface_address_list(cloud.store(), None, rows.last(), PAGE).await.or_fail()?;
        if page.is_empty() {
            break;
        }
        rows.extend(page);
    }
    let mut shown: Vec<PublicAddressRow> = Vec::new();
    loop {
        let after = shown.last().map(|row| row.address);
        let page = public_address_list(cloud.store(), None, after, PAGE).await.or_fail()?;
        if page.is_empty() {
            break;
        }
        shown.extend(page);
    }
    report.checked += rows.len();
    let subnets = subnet_list_all(cloud.store()).await.or_fail()?;
    let primary: BTreeSet<(&str, Ipv4Addr)> =
        interfaces.values().map(|interface| (interface.subnet_id.as_str(), interface.private_ip)).collect();
    for row in &rows {
        let interface = interfaces.get(&row.interface_id);
        let subnet = subnets.iter().find(|subnet| subnet.id == row.subnet_id);
        let problem = match (interface, subnet) {
            (None, _) => "belongs to an interface that is gone",
            (Some(interface), _) if interface.subnet_id != row.subnet_id => "is not of its interface's subnet",
            (_, Some(subnet)) if !subnet.cidr.contains(&row.address) => "is not in its subnet",
            _ if primary.contains(&(row.subnet_id.as_str(), row.address)) => "is a primary address too",
            _ => continue,
        };
        report.add("I3", row.address, problem);
    }
    let held: BTreeSet<(&InterfaceId, Ipv4Addr)> = rows.iter().map(|row| (&row.interface_id, row.address)).collect();
    for row in &shown {
        if let Some(private_ip) = row.private_ip.filter(|ip| !held.contains(&(&row.interface_id, *ip))) {
            report.add("I3", row.address, format!("leads to {private_ip}, which {} does not have", row.interface_id));
        }
    }
    Ok(rows)
}

/// I3: an IPv6 address belongs to an interface, and is of the IPv6 block of that one's subnet.
pub(crate) async fn ipv6(
    cloud: &Cloud,
    interfaces: &BTreeMap<InterfaceId, InterfaceRow>,
    report: &mut Report,
) -> Result<(), ApiError> {
    let blocks = subnet_ipv6_cidr_list(cloud.store(), None).await.or_fail()?;
    let blocks: BTreeMap<&str, &SubnetIpv6CidrRow> = blocks.iter().map(|block| (block.id.as_str(), block)).collect();
    let mut last: Option<InterfaceIpv6Row> = None;
    loop {
        let page = interface_ipv6_list(cloud.store(), None, last.as_ref(), PAGE).await.or_fail()?;
        report.checked += page.len();
        for row in &page {
            let problem = match (interfaces.get(&row.interface_id), blocks.get(row.subnet_cidr_id.as_str())) {
                (None, _) => "belongs to an interface that is gone",
                (_, None) => "is of a block that is gone",
                (Some(interface), Some(block)) if interface.subnet_id != block.subnet_id => {
                    "is not of its interface's subnet"
                }
                (_, Some(block)) if !block.cidr.contains(&row.address) => "is not in its block",
                _ => continue,
            };
            report.add("I3", row.address, problem);
        }
        match page.into_iter().last() {
            Some(row) => last = Some(row),
            None => return Ok(()),
        }
    }
}

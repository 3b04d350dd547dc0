//! The entries of a network ACL.

use crate::Ec2Api;
use crate::common::{choice, values_of};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use mallee_app::OpContext;
use mallee_app::acls::{ALL, EntryKey, LAST_NUMBER, LAST_NUMBER_IPV6, NewEntry, protocol_number};
use mallee_app::groups::rule::protocol_name;
use mallee_awswire::ApiError;
use mallee_ec2_types::ec2::*;
use mallee_store::NetworkAclEntryRow;
use std::str::FromStr;

const ALLOW: &str = "allow";
const DENY: &str = "deny";
/// The protocols whose entries have a type and a code.
const ICMP: [i64; 2] = [1, 58];

fn number(value: i64) -> Option<i32> {
    i32::try_from(value).ok()
}

fn shape(row: &NetworkAclEntryRow) -> NetworkAclEntry {
    let range = row.from_port.zip(row.to_port).map(|(from, to)| (number(from), number(to)));
    let (icmp, ports) = if ICMP.contains(&row.protocol) { (range, None) } else { (None, range) };
    let of_family = |six: bool| Some(row.cidr).filter(|cidr| matches!(cidr, IpNet::V6(_)) == six);
    NetworkAclEntry {
        cidr_block: of_family(false).map(|cidr| cidr.to_string()),
        egress: Some(row.egress),
        icmp_type_code: icmp.map(|(type_, code)| IcmpTypeCode { code, type_ }),
        ipv6_cidr_block: of_family(true).map(|cidr| cidr.to_string()),
        port_range: ports.map(|(from, to)| PortRange { from, to }),
        protocol: Some(row.protocol.to_string()),
        rule_action: Some(if row.allow { ALLOW } else { DENY }.to_owned()),
        rule_number: i32::try_from(row.number).ok(),
    }
}

/// The last entry of each direction, for one family.
fn last(egress: bool, six: bool) -> NetworkAclEntry {
    let number = if six { LAST_NUMBER_IPV6 } else { LAST_NUMBER };
    NetworkAclEntry {
        cidr_block: (!six).then(|| Ipv4Net::default().to_string()),
        ipv6_cidr_block: six.then(|| Ipv6Net::default().to_string()),
        egress: Some(egress),
        protocol: Some(ALL.to_string()),
        rule_action: Some(DENY.to_owned()),
        rule_number: i32::try_from(number).ok(),
        ..Default::default()
    }
}

/// Those of an ACL with the last ones: what leaves first, as EC2 shows them. `six`: its VPC has an IPv6 block.
pub(super) fn shapes(rows: &[NetworkAclEntryRow], six: bool) -> Vec<NetworkAclEntry> {
    let families = move || [false, true].into_iter().filter(move |family| six || !family);
    let side = |egress| {
        let own = rows.iter().filter(move |row| row.egress == egress).map(shape);
        own.chain(families().map(move |six| last(egress, six)))
    };
    side(true).chain(side(false)).collect()
}

/// What the filter `entry.protocol` finds: the number, and the name if there is one.
pub(super) fn protocol_values(entry: &NetworkAclEntry) -> Vec<String> {
    let mut values = values_of(&entry.protocol);
    let known = values.first().and_then(|text| text.parse().ok()).map(protocol_name);
    values.extend(known.filter(|name| Some(name) != entry.protocol.as_ref()));
    values
}

/// The parameters that say what an entry is: the same of both operations.
struct Asked {
    cidr_block: Option<String>,
    egress: Option<bool>,
    icmp_type_code: Option<IcmpTypeCode>,
    ipv6_cidr_block: Option<String>,
    port_range: Option<PortRange>,
    protocol: Option<String>,
    rule_action: Option<String>,
    rule_number: Option<i32>,
}

fn key(egress: Option<bool>, rule_number: Option<i32>) -> Result<EntryKey, ApiError> {
    let number = rule_number.ok_or_else(|| ApiError::missing_parameter("ruleNumber"))?;
    let egress = egress.ok_or_else(|| ApiError::missing_parameter("egress"))?;
    Ok(EntryKey { egress, number })
}

fn block<N: FromStr>(parameter: &str, text: &str) -> Result<N, ApiError> {
    text.parse().map_err(|_| ApiError::invalid_value(parameter, text, "This is not a valid CIDR block."))
}

impl Asked {
    fn entry(self) -> Result<NewEntry, ApiError> {
        let Self {
            cidr_block,
            egress,
            icmp_type_code,
            ipv6_cidr_block,
            port_range,
            protocol,
            rule_action,
            rule_number,
        } = self;
        let key = key(egress, rule_number)?;
        let protocol = protocol.ok_or_else(|| ApiError::missing_parameter("protocol"))?;
        let allow = choice("ruleAction", rule_action.as_deref(), &[(ALLOW, true), (DENY, false)])?;
        let cidr = match (cidr_block, ipv6_cidr_block) {
            (Some(_), Some(_)) => {
                return Err(ApiError::invalid_combination(
                    "An entry has one block: the parameters cidrBlock and ipv6CidrBlock exclude each other",
                ));
            }
            (Some(text), None) => block::<Ipv4Net>("cidrBlock", &text)?.into(),
            (None, Some(text)) => block::<Ipv6Net>("ipv6CidrBlock", &text)?.into(),
            (None, None) => return Err(ApiError::missing_parameter("cidrBlock")),
        };
        let ports = port_range.unwrap_or_default();
        let icmp = icmp_type_code.unwrap_or_default();
        Ok(NewEntry {
            key,
            allow: allow.ok_or_else(|| ApiError::missing_parameter("ruleAction"))?,
            protocol: protocol_number(&protocol)?,
            cidr,
            ports: (ports.from, ports.to),
            icmp: (icmp.type_, icmp.code),
        })
    }
}

/// Takes a request that says what an entry is apart.
macro_rules! asked {
    ($request:ident as $type:ident) => {{
        let $type {
            cidr_block,
            dry_run,
            egress,
            icmp_type_code,
            ipv6_cidr_block,
            network_acl_id,
            port_range,
            protocol,
            rule_action,
            rule_number,
        } = $request;
        let asked = Asked {
            cidr_block,
            egress,
            icmp_type_code,
            ipv6_cidr_block,
            port_range,
            protocol,
            rule_action,
            rule_number,
        };
        let acl = network_acl_id.ok_or_else(|| ApiError::missing_parameter("networkAclId"))?;
        (acl, asked.entry()?, dry_run == Some(true))
    }};
}

impl Ec2Api {
    pub(crate) async fn create_network_acl_entry(
        &self,
        cx: &OpContext,
        r: CreateNetworkAclEntryRequest,
    ) -> Result<(), ApiError> {
        let (acl, entry, dry_run) = asked!(r as CreateNetworkAclEntryRequest);
        self.cloud.create_network_acl_entry(cx, &acl, &entry, dry_run).await
    }

    pub(crate) async fn replace_network_acl_entry(
        &self,
        cx: &OpContext,
        r: ReplaceNetworkAclEntryRequest,
    ) -> Result<(), ApiError> {
        let (acl, entry, dry_run) = asked!(r as ReplaceNetworkAclEntryRequest);
        self.cloud.replace_network_acl_entry(cx, &acl, &entry, dry_run).await
    }

    pub(crate) async fn delete_network_acl_entry(
        &self,
        cx: &OpContext,
        r: DeleteNetworkAclEntryRequest,
    ) -> Result<(), ApiError> {
        let DeleteNetworkAclEntryRequest { dry_run, egress, network_acl_id, rule_number } = r;
        let acl = network_acl_id.ok_or_else(|| ApiError::missing_parameter("networkAclId"))?;
        let key = key(egress, rule_number)?;
        self.cloud.delete_network_acl_entry(cx, &acl, key, dry_run == Some(true)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_of_protocols_takes_numbers_and_names() {
        let values =
            |protocol: &str| protocol_values(&NetworkAclEntry { protocol: Some(protocol.into()), ..last(true, false) });
        assert_eq!(values("6"), ["6", "tcp"]);
        assert_eq!(values("17"), ["17", "udp"]);
        assert_eq!(values("1"), ["1", "icmp"]);
        assert_eq!((values("47"), values("-1")), (vec!["47".to_owned()], vec!["-1".to_owned()]));
    }
}

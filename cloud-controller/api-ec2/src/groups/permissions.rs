//! `IpPermissions` both ways: the wire's nested lists, and one rule per peer.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use mallee_app::groups::rule::{self, Peer, RuleSpec};
use mallee_app::groups::{Crossing, PeerClaim};
use mallee_app::ids::parse_id;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::{IpPermission, IpRange, Ipv6Range, PrefixListId as PrefixListPeer, UserIdGroupPair};
use mallee_types::{GroupId, PrefixListId};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A rule as a request gives it: a group peer may still be a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WantedRule {
    pub protocol: i32,
    pub from_port: Option<i32>,
    pub to_port: Option<i32>,
    pub peer: WantedPeer,
    pub description: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WantedPeer {
    Cidr(IpNet),
    GroupId { id: GroupId, claim: PeerClaim },
    GroupName { name: String, claim: PeerClaim },
    List(PrefixListId),
}

/// What both authorise and revoke accept besides `IpPermissions`: one permission spelled flat.
#[derive(Debug, Default)]
pub(crate) struct FlatPermission {
    pub cidr_ip: Option<String>,
    pub from_port: Option<i32>,
    pub to_port: Option<i32>,
    pub ip_protocol: Option<String>,
    pub source_group_name: Option<String>,
    pub source_group_owner: Option<String>,
}

impl FlatPermission {
    fn is_given(&self) -> bool {
        let Self { cidr_ip, from_port, to_port, ip_protocol, source_group_name, source_group_owner } = self;
        cidr_ip.is_some()
            || from_port.is_some()
            || to_port.is_some()
            || ip_protocol.is_some()
            || source_group_name.is_some()
            || source_group_owner.is_some()
    }

    fn into_permission(self) -> Result<IpPermission, ApiError> {
        let Self { cidr_ip, from_port, to_port, ip_protocol, source_group_name, source_group_owner } = self;
        // Naming a group alone allows everything from it, as in EC2-Classic.
        let ip_protocol = match (ip_protocol, &source_group_name) {
            (Some(protocol), _) => protocol,
            (None, Some(_)) => "-1".into(),
            (None, None) => return Err(ApiError::missing_parameter("ipProtocol")),
        };
        let ranges = cidr_ip.map(|cidr_ip| IpRange { cidr_ip: Some(cidr_ip), description: None });
        let pairs = source_group_name.map(|name| UserIdGroupPair {
            group_name: Some(name),
            user_id: source_group_owner,
            ..Default::default()
        });
        Ok(IpPermission {
            ip_protocol: Some(ip_protocol),
            from_port,
            to_port,
            ip_ranges: ranges.into_iter().collect(),
            user_id_group_pairs: pairs.into_iter().collect(),
            ..Default::default()
        })
    }
}

/// The rules a request names, one per peer.
pub(crate) fn wanted_rules(permissions: Vec<IpPermission>, flat: FlatPermission) -> Result<Vec<WantedRule>, ApiError> {
    let permissions = match (permissions.is_empty(), flat.is_given()) {
        (false, true) => {
            return Err(ApiError::invalid_combination(
                "The parameter ipPermissions cannot be used with a permission given by single parameters",
            ));
        }
        (true, true) => vec![flat.into_permission()?],
        (false, false) => permissions,
        (true, false) => return Ok(Vec::new()),
    };
    let mut rules = Vec::new();
    for permission in permissions {
        expand(permission, &mut rules)?;
    }
    Ok(rules)
}

fn expand(permission: IpPermission, rules: &mut Vec<WantedRule>) -> Result<(), ApiError> {
    let IpPermission { from_port, ip_protocol, ip_ranges, ipv6_ranges, prefix_list_ids, to_port, user_id_group_pairs } =
        permission;
    let protocol = rule::protocol_number(&ip_protocol.ok_or_else(|| ApiError::missing_parameter("ipProtocol"))?)?;
    let (from_port, to_port) = rule::ports(protocol, from_port, to_port)?;
    let ranges = !ip_ranges.is_empty() || !ipv6_ranges.is_empty();
    if !ranges && user_id_group_pairs.is_empty() && prefix_list_ids.is_empty() {
        return Err(Code::MissingParameter.message(
            "The request must contain at least one of the parameters ipRanges, ipv6Ranges, groups, prefixListIds",
        ));
    }
    let mut add = |peer, description: Option<String>| {
        if let Some(text) = &description {
            rule::description(text)?;
        }
        rules.push(WantedRule { protocol, from_port, to_port, peer, description });
        Ok::<(), ApiError>(())
    };
    for IpRange { cidr_ip, description } in ip_ranges {
        let text = cidr_ip.ok_or_else(|| ApiError::missing_parameter("cidrIp"))?;
        add(WantedPeer::Cidr(cidr::<Ipv4Net, Ipv4Addr>(&text)?.trunc().into()), description)?;
    }
    for Ipv6Range { cidr_ipv6, description } in ipv6_ranges {
        let text = cidr_ipv6.ok_or_else(|| ApiError::missing_parameter("cidrIpv6"))?;
        add(WantedPeer::Cidr(cidr::<Ipv6Net, Ipv6Addr>(&text)?.trunc().into()), description)?;
    }
    for PrefixListPeer { description, prefix_list_id } in prefix_list_ids {
        let id = prefix_list_id.ok_or_else(|| ApiError::missing_parameter("prefixListId"))?;
        add(WantedPeer::List(parse_id(&id, Code::InvalidPrefixListIdMalformed)?), description)?;
    }
    for pair in user_id_group_pairs {
        let UserIdGroupPair {
            description,
            group_id,
            group_name,
            peering_status: _told_by_us_only,
            user_id,
            vpc_id,
            vpc_peering_connection_id,
        } = pair;
        if vpc_id.is_some() && group_id.is_none() {
            return Err(ApiError::invalid_combination("The parameter vpcId cannot be used with a group name"));
        }
        let claim = PeerClaim { account: user_id, vpc: vpc_id, peering: vpc_peering_connection_id };
        let peer = match (group_id, group_name) {
            (Some(id), _) => {
                let id = id.parse().map_err(|_| ApiError::malformed(Code::InvalidGroupIdMalformed, &id))?;
                WantedPeer::GroupId { id, claim }
            }
            (None, Some(name)) => WantedPeer::GroupName { name, claim },
            (None, None) => return Err(ApiError::missing_parameter("groupId")),
        };
        add(peer, description)?;
    }
    Ok(())
}

/// A CIDR block of one family; a bare address is a block of its own. Host bits are to be cut off, as EC2 does.
fn cidr<N: FromStr + From<A>, A: FromStr>(text: &str) -> Result<N, ApiError> {
    let parsed = if text.contains('/') { text.parse().ok() } else { text.parse::<A>().ok().map(N::from) };
    parsed.ok_or_else(|| {
        Code::InvalidParameterValue.message(format!("CIDR block {} is malformed", mallee_awswire::texts::clip(text)))
    })
}

/// A rule with its description and owner, as it is shown.
#[derive(Debug, Clone)]
pub(crate) struct ShownRule<'a> {
    pub spec: RuleSpec,
    pub description: Option<&'a str>,
    pub peer_account: &'a str,
    /// Of a rule that names a group of another VPC.
    pub crossing: Option<&'a Crossing>,
}

/// A group that a rule names. Whose it was is not told of one that is gone.
pub(crate) fn pair(group: &GroupId, account: &str, crossing: Option<&Crossing>) -> UserIdGroupPair {
    UserIdGroupPair {
        group_id: Some(group.to_string()),
        user_id: crossing.is_none_or(|crossing| !crossing.group_gone).then(|| account.to_owned()),
        peering_status: crossing.map(|crossing| crossing.state.word().to_owned()),
        vpc_id: crossing.map(|crossing| crossing.vpc.to_string()),
        vpc_peering_connection_id: crossing.map(|crossing| crossing.peering.to_string()),
        ..Default::default()
    }
}

/// Rules of one direction as `IpPermissions`: rules with the same protocol and ports share an entry.
pub(crate) fn permissions<'a>(rules: impl IntoIterator<Item = ShownRule<'a>>) -> Vec<IpPermission> {
    let mut out: Vec<IpPermission> = Vec::new();
    for ShownRule { spec, description, peer_account, crossing } in rules {
        let protocol = rule::protocol_name(spec.protocol);
        let same = |p: &IpPermission| {
            p.ip_protocol.as_deref() == Some(protocol.as_str())
                && p.from_port == spec.from_port
                && p.to_port == spec.to_port
        };
        let at = out.iter().position(same).unwrap_or_else(|| {
            out.push(IpPermission {
                ip_protocol: Some(protocol.clone()),
                from_port: spec.from_port,
                to_port: spec.to_port,
                ..Default::default()
            });
            out.len() - 1
        });
        let description = description.map(str::to_owned);
        match &spec.peer {
            Peer::Cidr(IpNet::V4(net)) => {
                out[at].ip_ranges.push(IpRange { cidr_ip: Some(net.to_string()), description });
            }
            Peer::Cidr(IpNet::V6(net)) => {
                out[at].ipv6_ranges.push(Ipv6Range { cidr_ipv6: Some(net.to_string()), description });
            }
            Peer::List(list) => {
                let prefix_list_id = Some(list.to_string());
                out[at].prefix_list_ids.push(PrefixListPeer { description, prefix_list_id });
            }
            Peer::Group(group) => {
                let shown = UserIdGroupPair { description, ..pair(group, peer_account, crossing) };
                out[at].user_id_group_pairs.push(shown);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(from: i32, to: i32, cidrs: &[&str]) -> IpPermission {
        IpPermission {
            ip_protocol: Some("tcp".into()),
            from_port: Some(from),
            to_port: Some(to),
            ip_ranges: cidrs.iter().map(|c| IpRange { cidr_ip: Some((*c).into()), description: None }).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn one_rule_per_peer_and_back() {
        let rules = wanted_rules(vec![tcp(22, 22, &["10.0.0.1/8", "1.2.3.4"])], FlatPermission::default()).unwrap();
        let peers: Vec<_> = rules.iter().map(|r| r.peer.clone()).collect();
        let net = |t: &str| WantedPeer::Cidr(t.parse().unwrap());
        assert_eq!(peers, [net("10.0.0.0/8"), net("1.2.3.4/32")]);
        let shown = rules.iter().map(|r| {
            let WantedPeer::Cidr(net) = r.peer else { panic!() };
            let spec = RuleSpec {
                egress: false,
                protocol: r.protocol,
                from_port: r.from_port,
                to_port: r.to_port,
                peer: Peer::Cidr(net),
            };
            ShownRule { spec, description: None, peer_account: "1", crossing: None }
        });
        let back = permissions(shown);
        assert_eq!(back.len(), 1);
        assert_eq!(back[0].ip_ranges.len(), 2);
    }

    #[test]
    fn blocks_are_of_the_family_of_their_list_and_in_canonical_form() {
        let of = |four: &[&str], six: &[&str]| {
            let mut permission = tcp(1, 2, four);
            let range = |text: &&str| Ipv6Range { cidr_ipv6: Some((*text).into()), description: None };
            permission.ipv6_ranges = six.iter().map(range).collect();
            wanted_rules(vec![permission], FlatPermission::default())
        };
        let net = |t: &str| WantedPeer::Cidr(t.parse().unwrap());
        let rules = of(&["10.0.0.0/8"], &["2001:DB8:0:0::7/32", "2001:db8::1", "::/0"]).unwrap();
        let peers: Vec<_> = rules.iter().map(|rule| rule.peer.clone()).collect();
        assert_eq!(peers, [net("10.0.0.0/8"), net("2001:db8::/32"), net("2001:db8::1/128"), net("::/0")]);
        for (four, six) in [(&["::/0"][..], &[][..]), (&[], &["0.0.0.0/0"]), (&[], &["::/129"]), (&[], &["x"])] {
            assert_eq!(of(four, six).unwrap_err().code(), Code::InvalidParameterValue, "{four:?} {six:?}");
        }
        let shown = rules.iter().map(|rule| {
            let WantedPeer::Cidr(net) = rule.peer else { panic!() };
            let (protocol, from_port, to_port) = (rule.protocol, rule.from_port, rule.to_port);
            let spec = RuleSpec { egress: false, protocol, from_port, to_port, peer: Peer::Cidr(net) };
            ShownRule { spec, description: None, peer_account: "1", crossing: None }
        });
        let back = permissions(shown);
        let six: Vec<_> = back[0].ipv6_ranges.iter().filter_map(|range| range.cidr_ipv6.as_deref()).collect();
        assert_eq!((back.len(), back[0].ip_ranges.len()), (1, 1));
        assert_eq!(six, ["2001:db8::/32", "2001:db8::1/128", "::/0"]);
    }

    #[test]
    fn what_is_no_permission_is_refused() {
        assert!(wanted_rules(vec![tcp(1, 2, &["10.0.0.0/33"])], FlatPermission::default()).is_err());
        assert!(wanted_rules(vec![tcp(1, 2, &[])], FlatPermission::default()).is_err());
        let flat = FlatPermission { cidr_ip: Some("10.0.0.0/8".into()), ..Default::default() };
        assert!(wanted_rules(vec![tcp(1, 2, &["10.0.0.0/8"])], flat).is_err());
        let flat = FlatPermission { source_group_name: Some("web".into()), ..Default::default() };
        assert_eq!(wanted_rules(vec![], flat).unwrap()[0].protocol, -1);
    }
}

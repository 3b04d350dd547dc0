//! Prefix lists end here: clusters and nodes are told the blocks that rules and routes mean by them.

use ipnet::IpNet;
use mallee_proto::v1::GroupRule;
use mallee_proto::v1::group_rule::Peer;
use mallee_store::{
    FILTER_VALUES_MAX, PrefixListEntryRow, RouteDestination, RouteRow, SecurityGroupRuleRow, Store, StoreError, Tx,
    prefix_list_entries_now,
};
use mallee_types::PrefixListId;
use std::collections::{BTreeMap, BTreeSet};

/// What is in each list now.
#[derive(Debug, Default)]
pub(crate) struct Lists(BTreeMap<PrefixListId, Vec<IpNet>>);

impl Lists {
    /// Of these entries.
    pub(crate) fn of(rows: Vec<PrefixListEntryRow>) -> Self {
        let mut lists = Self::default();
        for row in rows {
            lists.0.entry(row.list_id).or_default().push(row.cidr);
        }
        lists
    }

    /// All lists.
    pub(super) async fn all(tx: &mut Tx) -> Result<Self, StoreError> {
        prefix_list_entries_now(tx, None).await.map(Self::of)
    }

    /// The lists that one group or table names; mostly none.
    pub(super) async fn named<'a>(
        store: &Store,
        lists: impl Iterator<Item = &'a PrefixListId>,
    ) -> Result<Self, StoreError> {
        let lists: BTreeSet<&PrefixListId> = lists.collect();
        let lists: Vec<PrefixListId> = lists.into_iter().cloned().collect();
        let mut rows = Vec::new();
        for some in lists.chunks(FILTER_VALUES_MAX) {
            rows.extend(prefix_list_entries_now(store, Some(some)).await?);
        }
        Ok(Self::of(rows))
    }

    fn blocks(&self, list: &PrefixListId) -> &[IpNet] {
        self.0.get(list).map_or(&[], Vec::as_slice)
    }

    /// The peers of a rule: one, or every block of its list.
    pub(crate) fn peers(&self, rule: &SecurityGroupRuleRow) -> Vec<Peer> {
        match (&rule.cidr, &rule.peer_group, &rule.prefix_list) {
            (Some(cidr), _, _) => vec![Peer::Cidr(cidr.clone())],
            (None, Some(group), _) => vec![Peer::GroupId(group.to_string())],
            (None, None, Some(list)) => self.blocks(list).iter().map(|cidr| Peer::Cidr(cidr.to_string())).collect(),
            (None, None, None) => Vec::new(),
        }
    }

    /// The routes of a table of a VPC of these blocks, by destination, those of IPv4 first. As on AWS, the route to a block counts before that
    /// of a list which has the block too (of two lists: always that of the same one), and what a list has of the VPC's
    /// own addresses is passed over.
    pub(crate) fn routes<'a>(&self, own: &[IpNet], routes: &'a [RouteRow]) -> Vec<(IpNet, &'a RouteRow)> {
        let mut out = BTreeMap::new();
        for route in routes {
            let block = match &route.destination {
                RouteDestination::Block(block) => IpNet::V4(*block),
                RouteDestination::Ipv6(block) => IpNet::V6(*block),
                RouteDestination::List(_) => continue,
            };
            out.insert(block, route);
        }
        for route in routes {
            let Some(list) = route.destination.list() else { continue };
            for block in self.blocks(list).iter().filter(|block| !own.iter().any(|own| own.contains(*block))) {
                out.entry(*block).or_insert(route);
            }
        }
        out.into_iter().collect()
    }
}

/// The id of a rule as nodes are told it: those of one list differ by their block.
pub(super) fn rule_id(rule: &SecurityGroupRuleRow, peer: &Peer) -> String {
    match (&rule.prefix_list, peer) {
        (Some(_), Peer::Cidr(cidr)) => format!("{}:{cidr}", rule.id),
        _ => rule.id.to_string(),
    }
}

/// A rule as nodes are told it: one for each peer.
pub(super) fn rules<'a>(lists: &'a Lists, rule: &'a SecurityGroupRuleRow) -> impl Iterator<Item = GroupRule> + 'a {
    let port = |port: Option<i64>| port.and_then(|p| i32::try_from(p).ok()).unwrap_or(-1);
    lists.peers(rule).into_iter().map(move |peer| GroupRule {
        id: rule_id(rule, &peer),
        egress: rule.egress,
        protocol: i32::try_from(rule.protocol).unwrap_or(-1),
        from_port: port(rule.from_port),
        to_port: port(rule.to_port),
        peer: Some(peer),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_store::TO_INTERNET_GATEWAY;
    use mallee_types::{GroupId, GroupRuleId, RouteTableId};

    fn list(n: u128) -> PrefixListId {
        PrefixListId::from_random(n)
    }

    fn lists(entries: &[(u128, &str)]) -> Lists {
        let row = |(n, cidr): &(u128, &str)| PrefixListEntryRow {
            list_id: list(*n),
            cidr: cidr.parse().unwrap(),
            since: 1,
            until: None,
            description: None,
        };
        Lists::of(entries.iter().map(row).collect())
    }

    #[test]
    fn a_route_to_a_block_counts_before_that_of_a_list() {
        let route = |destination: RouteDestination, target: &str| RouteRow {
            table_id: RouteTableId::from_random(1),
            destination,
            target_kind: TO_INTERNET_GATEWAY.into(),
            target_id: target.into(),
        };
        let block = |text: &str| text.parse::<IpNet>().unwrap();
        let to = |text: &str| match block(text) {
            IpNet::V4(block) => block.into(),
            IpNet::V6(block) => block.into(),
        };
        let own = [block("10.0.0.0/16"), block("2001:db8:1:200::/56")];
        let four = [(1, "10.0.1.0/24"), (1, "11.0.0.0/8"), (1, "12.0.0.0/8"), (2, "12.0.0.0/8"), (2, "10.0.0.0/8")];
        let six = [
            (3, "2001:db8:1:2ab::/64"),
            (3, "2001:db8:2::/48"),
            (3, "2001:db8:3::/48"),
            (4, "2001:db8:3::/48"),
            (4, "::/0"),
        ];
        let lists = lists(&[&four[..], &six[..]].concat());
        let rows = [
            route(to("11.0.0.0/8"), "static"),
            route(to("2001:db8:2::/48"), "static"),
            route(RouteDestination::List(list(1)), "first"),
            route(RouteDestination::List(list(2)), "second"),
            route(RouteDestination::List(list(3)), "third"),
            route(RouteDestination::List(list(4)), "fourth"),
        ];
        let told = lists.routes(&own, &rows);
        let told: Vec<(String, &str)> = told.iter().map(|(to, row)| (to.to_string(), row.target_id.as_str())).collect();
        let wanted = [
            ("10.0.0.0/8", "second"),
            ("11.0.0.0/8", "static"),
            ("12.0.0.0/8", "first"),
            ("::/0", "fourth"),
            ("2001:db8:2::/48", "static"),
            ("2001:db8:3::/48", "third"),
        ];
        assert_eq!(told, wanted.map(|(to, target)| (to.to_owned(), target)));
    }

    #[test]
    fn a_rule_of_a_list_is_one_for_each_block() {
        let rule = |cidr: Option<&str>, of: Option<PrefixListId>| SecurityGroupRuleRow {
            id: GroupRuleId::from_random(1),
            group_id: GroupId::from_random(1),
            account_id: "123456789012".parse().unwrap(),
            egress: false,
            protocol: 6,
            from_port: Some(22),
            to_port: Some(23),
            cidr: cidr.map(str::to_owned),
            peer_group: None,
            peer_account: None,
            description: None,
            prefix_list: of,
            peer_vpc: None,
            peering: None,
        };
        let lists = lists(&[(1, "11.0.0.0/8"), (1, "12.0.0.0/8"), (3, "2001:db8::/32")]);
        let ids = |rule: &SecurityGroupRuleRow| rules(&lists, rule).map(|rule| rule.id).collect::<Vec<_>>();
        let of_list = rule(None, Some(list(1)));
        assert_eq!(ids(&of_list), [format!("{}:11.0.0.0/8", of_list.id), format!("{}:12.0.0.0/8", of_list.id)]);
        let of_six = rule(None, Some(list(3)));
        assert_eq!(ids(&of_six), [format!("{}:2001:db8::/32", of_six.id)]);
        let (of_block, of_empty) = (rule(Some("11.0.0.0/8"), None), rule(None, Some(list(2))));
        assert_eq!(ids(&of_block), [of_block.id.to_string()], "as before there were lists");
        assert!(ids(&of_empty).is_empty());
    }
}

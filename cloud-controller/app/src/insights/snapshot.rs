//! What an analysis looks at, read in one transaction: of the rows that clusters are told, those around the ends of a path.

use super::evaluate::End;
use super::judge::Choice;
use super::net::{
    AclEntry, Down, Group, GroupRule, Interface, Match, Members, Net, Peer, Peering, Route, Subnet, Target, Vpc,
};
use crate::load::prefix_lists::Lists;
use ipnet::IpNet;
use mallee_proto::v1::group_rule;
use mallee_store::{
    FILTER_VALUES_MAX, InsightsPathDoc, InstanceFilter, InterfaceFilter, InterfaceRow, NetworkAclAssociationFilter,
    PAGE_ROWS_MAX, RouteAssociationFilter, SecurityGroupRuleRow, StoreError, SubnetRow, TO_INTERNET_GATEWAY,
    TO_VPC_PEERING, Tx, VpcPeeringFilter, VpcPeeringState, instance_list, interface_address_list,
    interface_attachment_list, interface_group_list, interface_list, internet_gateway_list,
    internet_gateway_list_attached, network_acl_association_list, network_acl_entry_list, prefix_list_entries_now,
    public_address_list, route_association_list, route_list, security_group_fetch, security_group_rules_of,
    subnet_fetch, subnet_list, vpc_blocks, vpc_fetch, vpc_peering_list, vpc_peering_list_of,
};
use mallee_types::{
    AccountId, GroupId, InstanceId, InstanceState, InterfaceId, NetworkAclId, PrefixListId, RouteTableId, SubnetId,
    VpcId,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Rows read at once: a list of values may not be longer.
const PAGE: u32 = 1000;
/// Peering connections of one VPC that are read: quotas let it have no more.
const PEERINGS_MAX: u32 = 1000;

/// A resource that a path may begin or end at.
#[derive(Debug)]
pub(super) enum Resource {
    /// An instance's interfaces, or one.
    Interfaces(Vec<InterfaceRow>),
    /// An internet gateway, and its VPC.
    Gateway(String, Option<VpcId>),
    /// A peering connection, and its VPCs.
    Peering(String, [VpcId; 2]),
}

impl Resource {
    fn end(&self) -> End {
        match self {
            Self::Interfaces(rows) => End::Interfaces(rows.iter().map(|row| row.id.to_string()).collect()),
            Self::Gateway(id, _) => End::Gateway(id.clone()),
            Self::Peering(id, _) => End::Peering(id.clone()),
        }
    }

    fn vpcs(&self) -> Vec<VpcId> {
        match self {
            Self::Interfaces(rows) => rows.iter().map(|row| row.vpc_id.clone()).collect(),
            Self::Gateway(_, vpc) => vpc.iter().cloned().collect(),
            Self::Peering(_, vpcs) => vpcs.to_vec(),
        }
    }
}

/// The account's resource of this id; none: there is none, or not of a kind that a path can have.
pub(super) async fn resource(tx: &mut Tx, account: &AccountId, id: &str) -> Result<Option<Resource>, StoreError> {
    match id.split('-').next() {
        Some("i") => {
            let Ok(id) = id.parse::<InstanceId>() else { return Ok(None) };
            let ids = std::slice::from_ref(&id);
            let filter = InstanceFilter { account: Some(account), ids: Some(ids), ..Default::default() };
            let row = instance_list(&mut *tx, filter, 1).await?.pop();
            if row.is_none_or(|row| row.state == InstanceState::Terminated) {
                return Ok(None);
            }
            let filter = InterfaceFilter { account: Some(account), instances: Some(ids), ..Default::default() };
            Ok(Some(Resource::Interfaces(interface_list(&mut *tx, filter, PAGE).await?)))
        }
        Some("eni") => {
            let Ok(id) = id.parse::<InterfaceId>() else { return Ok(None) };
            let ids = std::slice::from_ref(&id);
            let filter = InterfaceFilter { account: Some(account), ids: Some(ids), ..Default::default() };
            let rows = interface_list(&mut *tx, filter, 1).await?;
            Ok(Some(rows).filter(|rows| !rows.is_empty()).map(Resource::Interfaces))
        }
        Some("igw") => {
            let Ok(id) = id.parse() else { return Ok(None) };
            let ids = Some(std::slice::from_ref(&id));
            let row = internet_gateway_list(&mut *tx, account, ids, None, None, 1).await?.pop();
            Ok(row.map(|row| Resource::Gateway(row.id.to_string(), row.vpc_id)))
        }
        Some("pcx") => {
            let Ok(id) = id.parse() else { return Ok(None) };
            let filter = VpcPeeringFilter { ids: Some(std::slice::from_ref(&id)), ..Default::default() };
            let row = vpc_peering_list(&mut *tx, filter, 1).await?.pop().filter(|row| row.is_of(account));
            Ok(row.map(|row| Resource::Peering(row.id.to_string(), [row.requester_vpc, row.accepter_vpc])))
        }
        _ => Ok(None),
    }
}

/// A network while it is read.
struct Reader<'a> {
    tx: &'a mut Tx,
    account: &'a AccountId,
    net: Net,
}

fn found<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Ok(row) => Ok(Some(row)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Reader<'_> {
    /// The VPCs, and those at the other ends of their connections.
    async fn vpcs(&mut self, ids: &BTreeSet<VpcId>) -> Result<(), StoreError> {
        let mut all = ids.clone();
        for id in ids {
            for row in vpc_peering_list_of(&mut *self.tx, id, PEERINGS_MAX).await? {
                let vpcs = [row.requester_vpc.to_string(), row.accepter_vpc.to_string()];
                let active = row.state == VpcPeeringState::Active;
                self.net.peerings.insert(row.id.to_string(), Peering { vpcs, active });
                all.extend([row.requester_vpc, row.accepter_vpc]);
            }
        }
        for id in &all {
            let Some(row) = found(vpc_fetch(&mut *self.tx, id).await)? else { continue };
            let own = Some(std::slice::from_ref(id));
            let gateway = internet_gateway_list_attached(&mut *self.tx, own, None, 1).await?.pop();
            let vpc = Vpc {
                account: row.account_id.to_string(),
                blocks: vpc_blocks(&mut *self.tx, &row).await?,
                gateway: gateway.map(|gateway| gateway.id.to_string()),
            };
            self.net.vpcs.insert(id.to_string(), vpc);
        }
        Ok(())
    }

    /// Interfaces with their addresses and groups, and whether they are up; at most [`PAGE`] of them.
    async fn interfaces(&mut self, rows: &[InterfaceRow]) -> Result<Vec<Interface>, StoreError> {
        let ids: Vec<InterfaceId> = rows.iter().map(|row| row.id.clone()).collect();
        let (mut more, mut public, mut groups) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for row in interface_address_list(&mut *self.tx, Some(&ids), None, PAGE_ROWS_MAX).await? {
            more.entry(row.interface_id).or_insert_with(Vec::new).push(row.address);
        }
        for row in public_address_list(&mut *self.tx, Some(&ids), None, PAGE_ROWS_MAX).await? {
            public.insert((row.interface_id, row.private_ip), row.address);
        }
        for row in interface_group_list(&mut *self.tx, Some(&ids), PAGE_ROWS_MAX).await? {
            groups.entry(row.interface_id).or_insert_with(Vec::new).push(row.group_id.to_string());
        }
        let attachments = interface_attachment_list(&mut *self.tx, &ids, PAGE_ROWS_MAX).await?;
        let leaving: BTreeSet<InterfaceId> =
            attachments.into_iter().filter(|row| row.detaching).map(|row| row.interface_id).collect();
        let instances: BTreeSet<InstanceId> = rows.iter().filter_map(|row| row.instance_id.clone()).collect();
        let instances: Vec<InstanceId> = instances.into_iter().collect();
        let filter = InstanceFilter { ids: Some(&instances), ..Default::default() };
        let states: BTreeMap<InstanceId, InstanceState> =
            instance_list(&mut *self.tx, filter, PAGE).await?.into_iter().map(|row| (row.id, row.state)).collect();
        let interface = |row: &InterfaceRow| {
            let primary = (row.private_ip, public.get(&(row.id.clone(), None)).copied());
            let others = more.get(&row.id).into_iter().flatten();
            let others = others.map(|address| (*address, public.get(&(row.id.clone(), Some(*address))).copied()));
            let state = row.instance_id.as_ref().and_then(|id| states.get(id));
            let down = match state {
                None => Some(Down::Attachment),
                Some(_) if leaving.contains(&row.id) => Some(Down::Attachment),
                Some(InstanceState::Running) => None,
                Some(state) => Some(Down::Instance(state.name().to_owned())),
            };
            Interface {
                id: row.id.to_string(),
                vpc: row.vpc_id.to_string(),
                subnet: row.subnet_id.to_string(),
                instance: row.instance_id.as_ref().map(ToString::to_string),
                down,
                addresses: std::iter::once(primary).chain(others).collect(),
                groups: groups.get(&row.id).cloned().unwrap_or_default(),
                source_dest_check: row.source_dest_check,
            }
        };
        Ok(rows.iter().map(interface).collect())
    }

    /// Every interface that passes the filter.
    async fn all_interfaces(&mut self, filter: InterfaceFilter<'_>) -> Result<Vec<Interface>, StoreError> {
        let (mut out, mut after) = (Vec::new(), None);
        loop {
            let rows = interface_list(&mut *self.tx, InterfaceFilter { after: after.as_ref(), ..filter }, PAGE).await?;
            let Some(last) = rows.last() else { return Ok(out) };
            after = Some(last.id.clone());
            out.extend(self.interfaces(&rows).await?);
        }
    }

    /// The interface of the account that has a private or public address in one of these VPCs.
    async fn by_address(&mut self, vpcs: &[String], address: Ipv4Addr) -> Result<Option<Interface>, StoreError> {
        for id in vpcs {
            let Some(vpc) = self.net.vpcs.get(id).filter(|vpc| vpc.account == self.account.as_str()) else { continue };
            let inside = vpc.blocks.iter().any(|block| block.contains(&address));
            let Ok(id) = id.parse::<VpcId>() else { continue };
            let has = |interface: &Interface| {
                interface.addresses.iter().any(|(private, public)| *private == address || *public == Some(address))
            };
            if !inside {
                let filter = InterfaceFilter { vpc: Some(&id), ..Default::default() };
                if let Some(found) = self.all_interfaces(filter).await?.into_iter().find(has) {
                    return Ok(Some(found));
                }
                continue;
            }
            let subnets =
                subnet_list(&mut *self.tx, self.account, None, Some(std::slice::from_ref(&id)), None, PAGE_ROWS_MAX)
                    .await?;
            let Some(subnet) = subnets.into_iter().find(|subnet| subnet.cidr.contains(&address)) else { continue };
            let filter = InterfaceFilter { subnet: Some(&subnet.id), ..Default::default() };
            if let Some(found) = self.all_interfaces(filter).await?.into_iter().find(has) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// What an address is that a path ends at.
    async fn address(&mut self, from: &Resource, address: Ipv4Addr) -> Result<End, StoreError> {
        let own: Vec<String> = from.vpcs().iter().map(ToString::to_string).collect();
        let peers: Vec<String> = match from {
            Resource::Interfaces(_) => {
                let ids = self.net.peerings.keys();
                let peers = ids.flat_map(|id| own.iter().filter_map(|vpc| self.net.across(id, vpc)));
                peers.filter(|peer| self.net.is_in(peer, address)).map(str::to_owned).collect()
            }
            Resource::Gateway(..) | Resource::Peering(..) => Vec::new(),
        };
        let inside = own.iter().any(|vpc| self.net.is_in(vpc, address));
        if matches!(from, Resource::Interfaces(_)) && !inside && peers.is_empty() {
            return Ok(End::World);
        }
        let near = if inside || peers.is_empty() { own } else { peers };
        let Some(found) = self.by_address(&near, address).await? else { return Ok(End::Nothing) };
        let id = found.id.clone();
        self.net.interfaces.insert(id.clone(), found);
        Ok(End::Interfaces(vec![id]))
    }

    /// The subnets of the interfaces, their tables and ACLs.
    async fn subnets(&mut self) -> Result<(), StoreError> {
        let ids: BTreeSet<String> = self.net.interfaces.values().map(|interface| interface.subnet.clone()).collect();
        let mut rows: Vec<SubnetRow> = Vec::new();
        for id in ids.iter().filter_map(|id| id.parse::<SubnetId>().ok()) {
            rows.extend(found(subnet_fetch(&mut *self.tx, &id).await)?);
        }
        let (mut tables, mut acls) = (BTreeSet::new(), BTreeSet::new());
        for row in rows {
            let filter = RouteAssociationFilter { subnet: Some(&row.id), ..Default::default() };
            let own = route_association_list(&mut *self.tx, filter).await?.pop();
            let main = RouteAssociationFilter { vpc: Some(&row.vpc_id), main: true, ..Default::default() };
            let table = match own {
                Some(own) => Some(own.table_id),
                None => route_association_list(&mut *self.tx, main).await?.pop().map(|main| main.table_id),
            };
            let filter = NetworkAclAssociationFilter { subnet: Some(&row.id), ..Default::default() };
            let acl = network_acl_association_list(&mut *self.tx, filter).await?.pop().map(|row| row.acl_id);
            let subnet = Subnet {
                vpc: row.vpc_id.to_string(),
                cidr: row.cidr,
                table: table.as_ref().map(ToString::to_string),
                acl: acl.as_ref().map(ToString::to_string),
            };
            tables.extend(table.map(|table| (table, subnet.vpc.clone())));
            acls.extend(acl);
            self.net.subnets.insert(row.id.to_string(), subnet);
        }
        for (table, vpc) in tables {
            self.table(&table, &vpc).await?;
        }
        let acls: Vec<NetworkAclId> = acls.into_iter().collect();
        for some in acls.chunks(FILTER_VALUES_MAX) {
            self.net.acls.extend(some.iter().map(|id| (id.to_string(), Vec::new())));
            for row in network_acl_entry_list(&mut *self.tx, some).await? {
                // Those of IPv6 are about no packet that there is.
                let IpNet::V4(cidr) = row.cidr else { continue };
                let entry = AclEntry {
                    number: row.number,
                    egress: row.egress,
                    allow: row.allow,
                    packets: packets(row.protocol, row.from_port, row.to_port),
                    cidr,
                };
                self.net.acls.entry(row.acl_id.to_string()).or_default().push(entry);
            }
        }
        Ok(())
    }

    async fn lists(&mut self, ids: BTreeSet<PrefixListId>) -> Result<Lists, StoreError> {
        let ids: Vec<PrefixListId> = ids.into_iter().collect();
        let mut rows = Vec::new();
        for some in ids.chunks(FILTER_VALUES_MAX) {
            rows.extend(prefix_list_entries_now(&mut *self.tx, Some(some)).await?);
        }
        Ok(Lists::of(rows))
    }

    async fn table(&mut self, id: &RouteTableId, vpc: &str) -> Result<(), StoreError> {
        let rows = route_list(&mut *self.tx, std::slice::from_ref(id)).await?;
        let lists = self.lists(rows.iter().filter_map(|row| row.destination.list().cloned()).collect()).await?;
        let own = self.net.vpcs.get(vpc).map_or(&[][..], |vpc| &vpc.blocks);
        let own: Vec<IpNet> = own.iter().copied().map(IpNet::V4).collect();
        let four = lists.routes(&own, &rows).into_iter().filter_map(|(destination, row)| match destination {
            IpNet::V4(destination) => Some((destination, row)),
            // About no packet that there is.
            IpNet::V6(_) => None,
        });
        let routes = four.map(|(destination, row)| Route {
            destination,
            list: row.destination.list().map(ToString::to_string),
            target: match row.target_kind.as_str() {
                TO_INTERNET_GATEWAY => Target::Gateway(row.target_id.clone()),
                TO_VPC_PEERING => Target::Peering(row.target_id.clone()),
                _ => Target::Other(row.target_id.clone()),
            },
        });
        let routes = routes.collect();
        self.net.tables.insert(id.to_string(), routes);
        Ok(())
    }

    /// The groups of the interfaces, with who is in the groups that their rules name.
    async fn groups(&mut self) -> Result<(), StoreError> {
        let ids: BTreeSet<String> =
            self.net.interfaces.values().flat_map(|interface| &interface.groups).cloned().collect();
        let mut named = BTreeSet::new();
        for id in ids.iter().filter_map(|id| id.parse::<GroupId>().ok()) {
            let Some(row) = found(security_group_fetch(&mut *self.tx, &id).await)? else { continue };
            let rows = security_group_rules_of(&mut *self.tx, &id).await?;
            let lists = self.lists(rows.iter().filter_map(|row| row.prefix_list.clone()).collect()).await?;
            let rules: Vec<GroupRule> = rows.iter().flat_map(|row| rules(&lists, row)).collect();
            named.extend(rows.into_iter().filter_map(|row| row.peer_group));
            self.net.groups.insert(id.to_string(), Group { name: row.name, rules });
        }
        for id in named {
            let Some(row) = found(security_group_fetch(&mut *self.tx, &id).await)? else { continue };
            let filter = InterfaceFilter { group: Some(&id), ..Default::default() };
            let up = self.all_interfaces(filter).await?.into_iter().filter(|interface| interface.down.is_none());
            let addresses = up.flat_map(|interface| interface.addresses).map(|(private, _)| private).collect();
            self.net.members.insert(id.to_string(), Members { vpc: row.vpc_id.to_string(), addresses });
        }
        Ok(())
    }
}

fn packets(protocol: i64, from: Option<i64>, to: Option<i64>) -> Match {
    let port = |port: Option<i64>| port.and_then(|port| i32::try_from(port).ok()).unwrap_or(-1);
    Match { protocol, from: port(from), to: port(to) }
}

/// A rule, one for each peer. Those of IPv6 are about no packet that there is.
fn rules(lists: &Lists, row: &SecurityGroupRuleRow) -> Vec<GroupRule> {
    let rule = |peer: group_rule::Peer| {
        let peer = match peer {
            group_rule::Peer::Cidr(cidr) => {
                Peer::Block(cidr.parse().ok()?, row.prefix_list.as_ref().map(ToString::to_string))
            }
            group_rule::Peer::GroupId(id) => Peer::Group(id),
        };
        Some(GroupRule { egress: row.egress, packets: packets(row.protocol, row.from_port, row.to_port), peer })
    };
    lists.peers(row).into_iter().filter_map(rule).collect()
}

/// The address that a path without a destination ends at.
pub(super) fn destination_address(doc: &InsightsPathDoc) -> Option<Ipv4Addr> {
    let filters = doc.at_source.iter().chain(&doc.at_destination);
    doc.destination_ip.or_else(|| filters.filter_map(|filter| filter.destination_address).next())
}

/// The network around the ends of a path, and the ends.
pub(super) async fn read(
    tx: &mut Tx,
    account: &AccountId,
    from: &Resource,
    to: Option<&Resource>,
    doc: &InsightsPathDoc,
) -> Result<(Net, End, End), StoreError> {
    let mut reader = Reader { tx, account, net: Net::default() };
    let vpcs: BTreeSet<VpcId> = from.vpcs().into_iter().chain(to.into_iter().flat_map(Resource::vpcs)).collect();
    reader.vpcs(&vpcs).await?;
    for end in std::iter::once(from).chain(to) {
        if let Resource::Interfaces(rows) = end {
            let some = reader.interfaces(rows).await?;
            reader.net.interfaces.extend(some.into_iter().map(|interface| (interface.id.clone(), interface)));
        }
    }
    let end = match (to, destination_address(doc)) {
        (Some(to), _) => to.end(),
        (None, Some(address)) => reader.address(from, address).await?,
        (None, None) => End::Nothing,
    };
    // What an address led to may be in a VPC beyond a connection: who its groups may name hangs on its own ones.
    let more: BTreeSet<VpcId> = reader.net.interfaces.values().filter_map(|i| i.vpc.parse().ok()).collect();
    let more = &more - &vpcs;
    reader.vpcs(&more).await?;
    reader.subnets().await?;
    reader.groups().await?;
    Ok((reader.net, from.end(), end))
}

/// The ids that ARNs name, which their last part is.
pub(super) fn choice(through: &[String], around: &[String]) -> Choice {
    let ids = |arns: &[String]| arns.iter().filter_map(|arn| arn.rsplit('/').next()).map(str::to_owned).collect();
    Choice { through: ids(through), around: ids(around) }
}

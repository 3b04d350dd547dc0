//! What network interfaces look like, and what filters see of them.

use crate::Ec2Api;
use crate::common::{
    Chunk, Look, ROWS, dry_run, fill, filters, next_key, page, rows, time, time_text, values_of, wire_tags,
};
use crate::filter::{Filterable, tag_values};
use mallee_app::OpContext;
use mallee_app::fail::OrFail as _;
use mallee_app::ids::{parse_ids, require_all};
use mallee_app::instances::view::{InterfaceView, interface_views};
use mallee_app::interfaces::attach::MANAGED_ATTACHMENT;
use mallee_app::network::private_dns_name;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::{
    DescribeNetworkInterfacesRequest, DescribeNetworkInterfacesResult, GroupIdentifier,
    InstanceNetworkInterfaceAssociation, NetworkInterface, NetworkInterfaceAssociation, NetworkInterfaceAttachment,
    NetworkInterfaceIpv6Address, NetworkInterfacePrivateIpAddress,
};
use mallee_store::{InterfaceFilter, InterfaceKind, InterfaceRow, interface_list};
use mallee_types::{AddressId, AllocationId, InterfaceId};
use std::net::Ipv4Addr;

/// Who owns the addresses that instances get by themselves: clients tell them from elastic ones by this word.
const POOL_OWNER: &str = "amazon";
/// Interfaces completed with groups and addresses at once: with 16 groups each, their rows fit into one read.
const COMPLETED_AT_ONCE: usize = 500;

/// What DescribeNetworkInterfaces filters by; what does not exist here (operators) matches nothing.
const FILTERS: [&str; 38] = [
    "addresses.association.owner-id",
    "addresses.association.public-ip",
    "addresses.primary",
    "addresses.private-ip-address",
    "association.allocation-id",
    "association.association-id",
    "association.ip-owner-id",
    "association.public-dns-name",
    "association.public-ip",
    "attachment.attach-time",
    "attachment.attachment-id",
    "attachment.delete-on-termination",
    "attachment.device-index",
    "attachment.instance-id",
    "attachment.instance-owner-id",
    "attachment.network-card-index",
    "attachment.status",
    "availability-zone",
    "availability-zone-id",
    "description",
    "group-id",
    "group-name",
    "interface-type",
    "ipv6-addresses.ipv6-address",
    "mac-address",
    "network-interface-id",
    "operator.managed",
    "operator.principal",
    "owner-id",
    "private-dns-name",
    "private-ip-address",
    "requester-id",
    "requester-managed",
    "source-dest-check",
    "status",
    "subnet-id",
    "tag-key",
    "vpc-id",
];

/// Whose the public address of an interface is: the account's own if it is elastic.
pub(crate) fn address_owner(view: &InterfaceView) -> String {
    owner_of(view, view.elastic.as_ref())
}

fn owner_of(view: &InterfaceView, elastic: Option<&Elastic>) -> String {
    elastic.map_or_else(|| POOL_OWNER.to_owned(), |_| view.row.account_id.to_string())
}

/// Allocation and association.
type Elastic = (AllocationId, AddressId);

/// One private address of an interface.
pub(crate) struct Address<'a> {
    pub primary: bool,
    pub private_ip: Ipv4Addr,
    pub public_ip: Option<Ipv4Addr>,
    elastic: Option<&'a Elastic>,
}

impl Address<'_> {
    /// What instances show of its public address.
    pub fn of_instance(&self, view: &InterfaceView, look: Look<'_>) -> Option<InstanceNetworkInterfaceAssociation> {
        self.public_ip.map(|ip| InstanceNetworkInterfaceAssociation {
            ip_owner_id: Some(owner_of(view, self.elastic)),
            public_dns_name: Some(view.name_of(self.public_ip, look.region).unwrap_or_default()),
            public_ip: Some(ip.to_string()),
            ..Default::default()
        })
    }

    fn association(&self, view: &InterfaceView, look: Look<'_>) -> Option<NetworkInterfaceAssociation> {
        self.public_ip.map(|ip| NetworkInterfaceAssociation {
            allocation_id: self.elastic.map(|(allocation, _)| allocation.to_string()),
            association_id: self.elastic.map(|(_, association)| association.to_string()),
            ip_owner_id: Some(owner_of(view, self.elastic)),
            public_dns_name: Some(view.name_of(self.public_ip, look.region).unwrap_or_default()),
            public_ip: Some(ip.to_string()),
            ..Default::default()
        })
    }
}

/// Every private address of an interface, the primary one first.
pub(crate) fn addresses(view: &InterfaceView) -> Vec<Address<'_>> {
    let (private_ip, public_ip, elastic) = (view.row.private_ip, view.public_ip, view.elastic.as_ref());
    let others = view.secondary.iter().map(|other| Address {
        primary: false,
        private_ip: other.private_ip,
        public_ip: other.public_ip,
        elastic: other.elastic.as_ref(),
    });
    std::iter::once(Address { primary: true, private_ip, public_ip, elastic }).chain(others).collect()
}

/// The groups of an interface on the wire.
pub(crate) fn group_identifiers(view: &InterfaceView) -> Vec<GroupIdentifier> {
    let group = |(id, name): &(mallee_types::GroupId, String)| GroupIdentifier {
        group_id: Some(id.to_string()),
        group_name: Some(name.clone()),
    };
    view.groups.iter().map(group).collect()
}

/// What a filter name stands for on an interface, as DescribeNetworkInterfaces and, after `network-interface.`,
/// DescribeInstances have it.
pub(crate) fn interface_values(view: &InterfaceView, look: Look<'_>, name: &str) -> Vec<String> {
    let row = &view.row;
    let attached = row.instance_id.is_some();
    let one = |value: String| vec![value];
    let public = |f: &dyn Fn(Ipv4Addr) -> String| view.public_ip.map(f).into_iter().collect();
    let addresses =
        |f: &dyn Fn(&Address<'_>) -> Option<String>| addresses(view).iter().filter_map(f).collect::<Vec<_>>();
    let while_attached = |value: String| if attached { vec![value] } else { Vec::new() };
    let while_taken = |value: String| if row.is_taken() { vec![value] } else { Vec::new() };
    match name {
        "addresses.association.public-ip" => addresses(&|a| a.public_ip.map(|ip| ip.to_string())),
        "addresses.association.owner-id" | "addresses.association.ip-owner-id" => {
            addresses(&|a| a.public_ip.map(|_| owner_of(view, a.elastic)))
        }
        "addresses.association.allocation-id" => {
            addresses(&|a| a.elastic.map(|(allocation, _)| allocation.to_string()))
        }
        "addresses.association.association-id" => addresses(&|a| a.elastic.map(|(_, id)| id.to_string())),
        "addresses.association.public-dns-name" => addresses(&|a| view.name_of(a.public_ip, look.region)),
        "addresses.primary" => addresses(&|a| Some(a.primary.to_string())),
        "addresses.private-ip-address" => addresses(&|a| Some(a.private_ip.to_string())),
        "addresses.private-dns-name" => addresses(&|a| Some(private_dns_name(a.private_ip, look.region))),
        "association.public-ip" => public(&|ip| ip.to_string()),
        "association.ip-owner-id" => public(&|_| address_owner(view)),
        "association.allocation-id" => view.elastic.iter().map(|(allocation, _)| allocation.to_string()).collect(),
        "association.association-id" => view.elastic.iter().map(|(_, association)| association.to_string()).collect(),
        "association.public-dns-name" | "public-dns-name" => view.public_name(look.region).into_iter().collect(),
        "private-ip-address" => one(row.private_ip.to_string()),
        "private-dns-name" => one(private_dns_name(row.private_ip, look.region)),
        "attachment.attach-time" => while_taken(time_text(view.attached_ms())),
        "attachment.attachment-id" => match managed_attachment(row) {
            Some(attachment) => values_of(&attachment.attachment_id),
            None => row.attachment_id.iter().map(ToString::to_string).collect(),
        },
        "attachment.delete-on-termination" => while_taken(row.delete_on_termination.to_string()),
        "attachment.device-index" if managed(row) => one(MANAGED_INDEX.to_string()),
        "attachment.device-index" => row.device_index.iter().map(ToString::to_string).collect(),
        "attachment.instance-id" => row.instance_id.iter().map(ToString::to_string).collect(),
        "attachment.instance-owner-id" if managed(row) => one(MANAGER.into()),
        "attachment.instance-owner-id" => while_attached(row.account_id.to_string()),
        "attachment.network-card-index" => while_attached("0".into()),
        "attachment.status" if managed(row) => one("attached".into()),
        "attachment.status" => one(view.attachment_state().unwrap_or("detached").into()),
        "availability-zone" => one(row.zone.to_string()),
        "availability-zone-id" => look.zone_id(&row.zone).into_iter().collect(),
        "description" => one(row.description.clone()),
        "group-id" => view.groups.iter().map(|(id, _)| id.to_string()).collect(),
        "group-name" => view.groups.iter().map(|(_, name)| name.clone()).collect(),
        "interface-type" => one(row.kind.word().into()),
        "ipv6-address" | "ipv6-addresses.ipv6-address" => view.ipv6.iter().map(ToString::to_string).collect(),
        // None is what AWS calls primary.
        "ipv6-addresses.is-primary-ipv6" => view.ipv6.iter().map(|_| "false".to_owned()).collect(),
        "mac-address" => one(row.mac.to_string()),
        "network-interface-id" => one(row.id.to_string()),
        "operator.managed" => one("false".into()),
        "requester-id" if managed(row) => one(MANAGER.into()),
        "requester-managed" => one(managed(row).to_string()),
        "owner-id" => one(row.account_id.to_string()),
        "source-dest-check" => one(row.source_dest_check.to_string()),
        "status" => one(view.state().into()),
        "subnet-id" => one(row.subnet_id.to_string()),
        "vpc-id" => one(row.vpc_id.to_string()),
        _ => tag_values(name, view.tags.iter().map(|(key, value)| (key.as_str(), value.as_str()))),
    }
}

/// Who has interfaces that are no user's, in EC2's words.
const MANAGER: &str = "amazon-aws";
/// The place that these have.
const MANAGED_INDEX: i32 = 1;

fn managed(row: &InterfaceRow) -> bool {
    row.kind != InterfaceKind::Interface
}

/// What an interface is attached to that is no user's.
fn managed_attachment(row: &InterfaceRow) -> Option<NetworkInterfaceAttachment> {
    let (_, digits) = row.id.as_str().split_once('-').filter(|_| managed(row))?;
    Some(NetworkInterfaceAttachment {
        attach_time: time(row.created_ms),
        attachment_id: Some(format!("{MANAGED_ATTACHMENT}-{digits}")),
        delete_on_termination: Some(row.delete_on_termination),
        device_index: Some(MANAGED_INDEX),
        instance_owner_id: Some(MANAGER.to_owned()),
        network_card_index: Some(0),
        status: Some("attached".into()),
        ..Default::default()
    })
}

/// An interface with what its filters need.
struct Candidate<'a> {
    view: InterfaceView,
    look: Look<'a>,
}

impl Filterable for Candidate<'_> {
    fn values(&self, name: &str) -> Vec<String> {
        interface_values(&self.view, self.look, name)
    }
}

pub(crate) fn shape(view: &InterfaceView, look: Look<'_>) -> NetworkInterface {
    let row = &view.row;
    let addresses = addresses(view);
    let attachment = row.instance_id.as_ref().map(|instance| NetworkInterfaceAttachment {
        attach_time: time(view.attached_ms()),
        attachment_id: row.attachment_id.as_ref().map(ToString::to_string),
        delete_on_termination: Some(row.delete_on_termination),
        device_index: row.device_index.and_then(|index| i32::try_from(index).ok()),
        instance_id: Some(instance.to_string()),
        instance_owner_id: Some(row.account_id.to_string()),
        network_card_index: Some(0),
        status: view.attachment_state().map(Into::into),
        ..Default::default()
    });
    NetworkInterface {
        association: addresses.first().and_then(|primary| primary.association(view, look)),
        availability_zone: Some(row.zone.to_string()),
        availability_zone_id: look.zone_id(&row.zone),
        description: Some(row.description.clone()),
        groups: group_identifiers(view),
        interface_type: Some(row.kind.word().into()),
        ipv6_address: view.ipv6.first().map(ToString::to_string),
        ipv6_addresses: view
            .ipv6
            .iter()
            .map(|address| NetworkInterfaceIpv6Address {
                ipv6_address: Some(address.to_string()),
                is_primary_ipv6: Some(false),
                public_ipv6_dns_name: None,
            })
            .collect(),
        mac_address: Some(row.mac.to_string()),
        network_interface_id: Some(row.id.to_string()),
        owner_id: Some(row.account_id.to_string()),
        private_dns_name: Some(private_dns_name(row.private_ip, look.region)),
        private_ip_address: Some(row.private_ip.to_string()),
        private_ip_addresses: addresses
            .iter()
            .map(|address| NetworkInterfacePrivateIpAddress {
                association: address.association(view, look),
                primary: Some(address.primary),
                private_dns_name: Some(private_dns_name(address.private_ip, look.region)),
                private_ip_address: Some(address.private_ip.to_string()),
            })
            .collect(),
        requester_id: managed(row).then(|| MANAGER.to_owned()),
        requester_managed: Some(managed(row)),
        source_dest_check: Some(row.source_dest_check),
        status: Some(view.state().into()),
        attachment: attachment.or_else(|| managed_attachment(row)),
        subnet_id: Some(row.subnet_id.to_string()),
        tag_set: wire_tags(view.tags.iter().map(|(key, value)| (key.as_str(), value.as_str()))),
        vpc_id: Some(row.vpc_id.to_string()),
        ..Default::default()
    }
}

impl Ec2Api {
    pub(crate) async fn describe_network_interfaces(
        &self,
        cx: &OpContext,
        r: DescribeNetworkInterfacesRequest,
    ) -> Result<DescribeNetworkInterfacesResult, ApiError> {
        let DescribeNetworkInterfacesRequest {
            dry_run: dry,
            filters: wanted,
            include_managed_resources: _none_is_managed,
            max_results,
            network_interface_ids,
            next_token,
        } = r;
        let filters = &filters(&wanted, &FILTERS)?;
        let operation = "DescribeNetworkInterfaces";
        let page = page(operation, max_results, next_token.as_deref(), 5..=1000, &network_interface_ids)?;
        let ids: &Vec<InterfaceId> = &parse_ids(&network_interface_ids, Code::InvalidNetworkInterfaceIdMalformed)?;
        dry_run(dry)?;
        let (store, look) = (self.store(), self.look());
        if !ids.is_empty() {
            let filter = InterfaceFilter { account: Some(cx.account()), ids: Some(ids), ..Default::default() };
            let there = rows(interface_list(store, filter, ROWS).await)?;
            require_all(ids, |id| there.iter().any(|row| row.id == *id), Code::InvalidNetworkInterfaceIdNotFound)?;
        }
        let read = |after: Option<InterfaceId>| async move {
            let filter = InterfaceFilter {
                account: Some(cx.account()),
                ids: (!ids.is_empty()).then_some(ids.as_slice()),
                after: after.as_ref(),
                ..Default::default()
            };
            let rows = rows(interface_list(store, filter, ROWS).await)?;
            let next = next_key(&rows, |row| row.id.clone());
            let mut found = Vec::new();
            for some in rows.chunks(COMPLETED_AT_ONCE) {
                let views = interface_views(store, some.to_vec()).await.or_fail()?;
                let candidates = views.into_iter().map(|view| Candidate { view, look });
                found.extend(candidates.filter(|c| filters.accept(c)).map(|c| shape(&c.view, look)));
            }
            Ok(Chunk { found, next })
        };
        let key = |interface: &NetworkInterface| interface.network_interface_id.clone().unwrap_or_default();
        let (network_interfaces, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeNetworkInterfacesResult { network_interfaces, next_token })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use mallee_types::{AttachmentId, GroupId, InstanceId, MacAddress, SubnetId, VpcId};

    pub(crate) fn view() -> InterfaceView {
        InterfaceView {
            row: InterfaceRow {
                id: InterfaceId::from_random(7),
                account_id: "123456789012".parse().unwrap(),
                vpc_id: VpcId::from_random(1),
                subnet_id: SubnetId::from_random(2),
                zone: "zone-a".parse().unwrap(),
                mac: MacAddress::from_random(1),
                private_ip: "172.31.0.4".parse().unwrap(),
                instance_id: Some(InstanceId::from_random(1)),
                attachment_id: Some(AttachmentId::from_random(9)),
                device_index: Some(0),
                source_dest_check: true,
                delete_on_termination: true,
                description: String::new(),
                created_ms: 1_700_000_000_000,
                kind: InterfaceKind::Interface,
            },
            groups: vec![(GroupId::from_random(3), "web".into())],
            public_ip: Some("203.0.113.9".parse().unwrap()),
            names_public: true,
            elastic: None,
            secondary: vec![mallee_app::instances::view::SecondaryView {
                private_ip: "172.31.0.44".parse().unwrap(),
                public_ip: None,
                elastic: None,
            }],
            ipv6: vec!["2001:db8::4:7".parse().unwrap()],
            attachment: None,
            tags: vec![("Net".into(), "front".into())],
        }
    }

    #[test]
    fn what_is_shown_is_what_is_filtered() {
        let zones = vec!["zone-a".parse().unwrap()];
        let look = Look { region: "eu-1", zones: &zones };
        let view = view();
        let shown = shape(&view, look);
        let attachment = shown.attachment.clone().unwrap();
        let association = shown.association.clone().unwrap();
        let group = shown.groups[0].clone();
        for (name, value) in [
            ("association.public-ip", association.public_ip),
            ("association.public-dns-name", association.public_dns_name),
            ("association.ip-owner-id", association.ip_owner_id),
            ("attachment.attachment-id", attachment.attachment_id),
            ("attachment.instance-id", attachment.instance_id),
            ("attachment.status", attachment.status),
            ("attachment.attach-time", Some("2023-11-14T22:13:20.000Z".to_owned())),
            ("availability-zone", shown.availability_zone.clone()),
            ("availability-zone-id", shown.availability_zone_id.clone()),
            ("group-id", group.group_id),
            ("group-name", group.group_name),
            ("interface-type", shown.interface_type.clone()),
            ("ipv6-addresses.ipv6-address", shown.ipv6_address.clone()),
            ("mac-address", shown.mac_address.clone()),
            ("network-interface-id", shown.network_interface_id.clone()),
            ("private-dns-name", shown.private_dns_name.clone()),
            ("private-ip-address", shown.private_ip_address.clone()),
            ("status", shown.status.clone()),
            ("subnet-id", shown.subnet_id.clone()),
            ("tag-key", Some("Net".into())),
            ("vpc-id", shown.vpc_id.clone()),
        ] {
            assert_eq!(interface_values(&view, look, name), [value.unwrap()], "{name}");
            assert!(FILTERS.contains(&name), "{name} is not offered");
        }
        assert!(interface_values(&view, look, "association.allocation-id").is_empty());
        assert_eq!(interface_values(&view, look, "addresses.private-ip-address"), ["172.31.0.4", "172.31.0.44"]);
        assert_eq!(interface_values(&view, look, "addresses.primary"), ["true", "false"]);
        assert_eq!(shown.ipv6_addresses[0].ipv6_address.as_deref(), Some("2001:db8::4:7"));
        let listed = &shown.private_ip_addresses;
        assert_eq!((listed.len(), listed[1].primary, listed[1].association.is_none()), (2, Some(false), true));
    }

    #[test]
    fn an_elastic_ip_is_its_accounts() {
        let look = Look { region: "eu-1", zones: &[] };
        let ids = (AllocationId::from_random(4), AddressId::from_random(5));
        let view = InterfaceView { elastic: Some(ids.clone()), ..view() };
        let association = shape(&view, look).association.unwrap();
        assert_eq!(association.ip_owner_id.as_deref(), Some("123456789012"));
        assert_eq!(association.allocation_id, Some(ids.0.to_string()));
        assert_eq!(association.association_id, Some(ids.1.to_string()));
        assert_eq!(interface_values(&view, look, "association.allocation-id"), [ids.0.to_string()]);
        assert_eq!(interface_values(&view, look, "association.association-id"), [ids.1.to_string()]);
        assert_eq!(interface_values(&view, look, "association.ip-owner-id"), ["123456789012"]);
    }

    #[test]
    fn a_free_interface_is_available() {
        let mut view = view();
        view.row.instance_id = None;
        view.row.attachment_id = None;
        view.row.device_index = None;
        view.public_ip = None;
        let look = Look { region: "eu-1", zones: &[] };
        let shown = shape(&view, look);
        assert_eq!(shown.status.as_deref(), Some("available"));
        assert!(shown.attachment.is_none() && shown.association.is_none());
        assert!(interface_values(&view, look, "association.public-ip").is_empty());
        assert!(interface_values(&view, look, "attachment.attach-time").is_empty());
    }
}

//! The network interfaces of a launch. One plain new interface at index 0 says the same as the launch's own parameters.

use crate::common::{only, refuse};
use crate::interface_changes::{description as description_of, wanted_addresses};
use crate::ipv6::{Ipv6, wanted_ipv6};
use mallee_app::instances::run::LaunchInterface;
use mallee_app::interfaces::WantedAddresses;
use mallee_app::interfaces::attach::DEVICE_INDEX_MAX;
use mallee_app::interfaces::ipv6::WantedIpv6;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::InstanceNetworkInterfaceSpecification;
use std::net::Ipv4Addr;

/// Network interfaces of one launch at most: no type has more.
const INTERFACES_MAX: usize = 8;

/// What a launch says about its network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LaunchNetwork {
    pub subnet: Option<String>,
    pub group_ids: Vec<String>,
    pub group_names: Vec<String>,
    pub private_ip: Option<Ipv4Addr>,
    pub public_ip: Option<bool>,
    /// Of the one interface of a launch that says nothing of interfaces.
    pub ipv6: WantedIpv6,
    /// Empty: one plain new one.
    pub interfaces: Vec<LaunchInterface>,
}

/// An address of a request.
pub(crate) fn address(parameter: &str, text: &str) -> Result<Ipv4Addr, ApiError> {
    text.parse().map_err(|_| ApiError::invalid_value(parameter, text, "It is not an IPv4 address."))
}

/// The launch's own parameters with its interfaces folded into them.
pub(super) fn fold(
    launch: LaunchNetwork,
    wire: Vec<InstanceNetworkInterfaceSpecification>,
    ipv6: Ipv6,
) -> Result<LaunchNetwork, ApiError> {
    if wire.is_empty() {
        return Ok(with_ipv6(launch));
    }
    if wire.len() > INTERFACES_MAX {
        let text = format!("At most {INTERFACES_MAX} network interfaces can be given for a launch.");
        return Err(Code::AttachmentLimitExceeded.message(text));
    }
    let LaunchNetwork { subnet, group_ids, group_names, private_ip, ipv6: six, .. } = launch;
    let beside = |what: &str, given: bool| {
        if !given {
            return Ok(());
        }
        Err(ApiError::invalid_combination(format!(
            "Network interfaces and an instance-level {what} may not be specified on the same request"
        )))
    };
    beside("subnet ID", subnet.is_some())?;
    beside("security groups", !group_ids.is_empty() || !group_names.is_empty())?;
    beside("private address", private_ip.is_some())?;
    beside("IPv6 address", six != WantedIpv6::default())?;
    let mut public_ip = None;
    let mut interfaces = Vec::with_capacity(wire.len());
    for (at, interface) in (1..).zip(wire) {
        let (interface, public) = one(at, interface, ipv6)?;
        public_ip = public_ip.or(public);
        interfaces.push(interface);
    }
    interfaces.sort_by_key(|interface: &LaunchInterface| interface.device_index);
    if let Some(twice) = interfaces.windows(2).find(|two| two[0].device_index == two[1].device_index) {
        let index = twice[0].device_index.to_string();
        return Err(ApiError::invalid_value(
            "deviceIndex",
            &index,
            "Each network interface requires a unique device index.",
        ));
    }
    unlike(&interfaces)?;
    let several = interfaces.len() > 1;
    let Some(first) = interfaces.first().filter(|first| first.device_index == 0).cloned() else {
        return Err(ApiError::invalid_combination(
            "When specifying network interfaces, you must include a device at index 0.",
        ));
    };
    if several && public_ip == Some(true) {
        return Err(ApiError::invalid_combination(
            "The associatePublicIPAddress parameter cannot be specified when launching with multiple network interfaces.",
        ));
    }
    let plain = first.existing.is_none()
        && first.addresses == (WantedAddresses { primary: first.addresses.primary, ..Default::default() })
        && first.description.is_empty()
        && first.delete_on_termination != Some(false);
    Ok(LaunchNetwork {
        // As on EC2, no address comes by itself to one of several interfaces, or to one that exists.
        public_ip: if several || first.existing.is_some() { Some(false) } else { public_ip },
        subnet: first.subnet,
        group_ids: first.group_ids,
        group_names: Vec::new(),
        private_ip: first.addresses.primary,
        ipv6: WantedIpv6::default(),
        interfaces: if plain && !several { Vec::new() } else { interfaces },
    })
}

/// A launch that says nothing of interfaces, and something of IPv6 addresses, as if it said so of its one interface.
fn with_ipv6(launch: LaunchNetwork) -> LaunchNetwork {
    if launch.ipv6 == WantedIpv6::default() {
        return launch;
    }
    let addresses = WantedAddresses { primary: launch.private_ip, ipv6: launch.ipv6.clone(), ..Default::default() };
    let only = LaunchInterface {
        subnet: launch.subnet.clone(),
        group_ids: launch.group_ids.clone(),
        addresses,
        ..Default::default()
    };
    LaunchNetwork { interfaces: vec![only], ..launch }
}

/// Fails if two interfaces are to have the same IPv6 address.
fn unlike(interfaces: &[LaunchInterface]) -> Result<(), ApiError> {
    let mut seen = std::collections::BTreeSet::new();
    for interface in interfaces {
        if let WantedIpv6::These(addresses) = &interface.addresses.ipv6
            && let Some(twice) = addresses.iter().find(|address| !seen.insert(**address))
        {
            return Err(ApiError::invalid_value("ipv6Addresses", &twice.to_string(), "It is given twice."));
        }
    }
    Ok(())
}

/// One interface, and whether it is to have a public address.
fn one(
    at: u32,
    interface: InstanceNetworkInterfaceSpecification,
    ipv6: Ipv6,
) -> Result<(LaunchInterface, Option<bool>), ApiError> {
    let InstanceNetworkInterfaceSpecification {
        associate_carrier_ip_address,
        associate_public_ip_address,
        connection_tracking_specification,
        delete_on_termination,
        description,
        device_index,
        ena_queue_count,
        ena_srd_specification,
        groups,
        interface_type,
        ipv4_prefix_count,
        ipv4_prefixes,
        ipv6_address_count,
        ipv6_addresses,
        ipv6_prefix_count,
        ipv6_prefixes,
        network_card_index,
        network_interface_id,
        primary_ipv6,
        private_ip_address,
        private_ip_addresses,
        secondary_private_ip_address_count,
        subnet_id,
    } = interface;
    let name = |member: &str| format!("NetworkInterface.{at}.{member}");
    let index = device_index.ok_or_else(|| ApiError::missing_parameter(&name("DeviceIndex")))?;
    let device_index = u32::try_from(index).ok().filter(|index| *index <= DEVICE_INDEX_MAX).ok_or_else(|| {
        let why = format!("Valid values are 0 to {DEVICE_INDEX_MAX}.");
        ApiError::invalid_value(&name("DeviceIndex"), &index.to_string(), &why)
    })?;
    let refuse = |member: &str, given: bool| refuse(&name(member), given);
    let some = |count: Option<i32>| count.is_some_and(|count| count != 0);
    refuse("AssociateCarrierIpAddress", associate_carrier_ip_address == Some(true))?;
    refuse("ConnectionTrackingSpecification", connection_tracking_specification.is_some())?;
    refuse("EnaQueueCount", ena_queue_count.is_some())?;
    refuse("EnaSrdSpecification", ena_srd_specification.is_some())?;
    refuse("Ipv4PrefixCount", some(ipv4_prefix_count))?;
    refuse("Ipv4Prefix", !ipv4_prefixes.is_empty())?;
    refuse("Ipv6PrefixCount", some(ipv6_prefix_count))?;
    refuse("Ipv6Prefix", !ipv6_prefixes.is_empty())?;
    refuse("NetworkCardIndex", some(network_card_index))?;
    refuse("PrimaryIpv6", primary_ipv6 == Some(true))?;
    only(&name("InterfaceType"), interface_type.as_deref(), &["interface"])?;
    let count = secondary_private_ip_address_count;
    let six = wanted_ipv6(ipv6, &name(""), "Ipv6Addresses", ipv6_addresses, ipv6_address_count)?;
    let addresses = wanted_addresses(&name(""), private_ip_address, private_ip_addresses, count)?;
    let addresses = WantedAddresses { ipv6: six, ..addresses };
    let existing = network_interface_id;
    if existing.is_some() {
        let beside = |what: &str, given: bool| {
            if !given {
                return Ok(());
            }
            let text = format!("The parameter {what} cannot be specified for a network interface with an existing id.");
            Err(ApiError::invalid_combination(text))
        };
        beside("SubnetId", subnet_id.is_some())?;
        beside("SecurityGroupId", !groups.is_empty())?;
        beside("Ipv6Addresses", addresses.ipv6 != WantedIpv6::default())?;
        beside("PrivateIpAddress", addresses != WantedAddresses::default())?;
        beside("Description", description.as_ref().is_some_and(|text| !text.is_empty()))?;
        beside("AssociatePublicIpAddress", associate_public_ip_address.is_some())?;
    }
    let interface = LaunchInterface {
        device_index,
        existing,
        subnet: subnet_id,
        group_ids: groups,
        addresses,
        description: description_of(description)?,
        delete_on_termination,
    };
    Ok((interface, associate_public_ip_address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_ec2_types::ec2::PrivateIpAddressSpecification;

    fn interface() -> InstanceNetworkInterfaceSpecification {
        InstanceNetworkInterfaceSpecification {
            device_index: Some(0),
            associate_public_ip_address: Some(true),
            delete_on_termination: Some(true),
            groups: vec!["sg-1".into()],
            subnet_id: Some("subnet-1".into()),
            ..Default::default()
        }
    }

    #[test]
    fn one_new_interface_is_the_launch_itself() {
        let got = fold(LaunchNetwork::default(), vec![interface()], Ipv6::None).unwrap();
        let want = LaunchNetwork {
            subnet: Some("subnet-1".into()),
            group_ids: vec!["sg-1".into()],
            public_ip: Some(true),
            ..Default::default()
        };
        assert_eq!(got, want);
        let primary =
            PrivateIpAddressSpecification { primary: Some(true), private_ip_address: Some("10.0.0.9".into()) };
        let with = InstanceNetworkInterfaceSpecification { private_ip_addresses: vec![primary], ..interface() };
        assert_eq!(
            fold(LaunchNetwork::default(), vec![with], Ipv6::None).unwrap().private_ip,
            Some("10.0.0.9".parse().unwrap())
        );
    }

    #[test]
    fn what_is_more_than_one_plain_interface_is_kept_beside() {
        let folded = |interfaces| fold(LaunchNetwork::default(), interfaces, Ipv6::None);
        let kept = InstanceNetworkInterfaceSpecification { delete_on_termination: Some(false), ..interface() };
        let got = folded(vec![kept]).unwrap();
        assert_eq!((got.public_ip, got.interfaces[0].delete_on_termination), (Some(true), Some(false)));
        let secondary = PrivateIpAddressSpecification { primary: None, private_ip_address: Some("10.0.0.9".into()) };
        let more = InstanceNetworkInterfaceSpecification { private_ip_addresses: vec![secondary], ..interface() };
        let got = folded(vec![more]).unwrap();
        let nine: Ipv4Addr = "10.0.0.9".parse().unwrap();
        assert_eq!((got.private_ip, &got.interfaces[0].addresses.secondary), (None, &vec![nine]));
        let plain = InstanceNetworkInterfaceSpecification { associate_public_ip_address: None, ..interface() };
        let second = InstanceNetworkInterfaceSpecification { device_index: Some(1), ..plain.clone() };
        let got = folded(vec![second.clone(), plain]).unwrap();
        let order: Vec<u32> = got.interfaces.iter().map(|interface| interface.device_index).collect();
        assert_eq!((order, got.public_ip), (vec![0, 1], Some(false)), "none gets a public address by itself");
        let existing = InstanceNetworkInterfaceSpecification {
            device_index: Some(0),
            network_interface_id: Some("eni-1".into()),
            ..Default::default()
        };
        let got = folded(vec![existing, second]).unwrap();
        assert_eq!(got.interfaces[0].existing.as_deref(), Some("eni-1"));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let refused =
            |interfaces| fold(LaunchNetwork::default(), interfaces, Ipv6::None).unwrap_err().message().to_owned();
        let at = |index| InstanceNetworkInterfaceSpecification { device_index: Some(index), ..interface() };
        assert!(refused(vec![at(1)]).contains("index 0"));
        assert!(refused(vec![at(0), at(0)]).contains("unique device index"));
        assert!(refused(vec![at(-1)]).contains("DeviceIndex") && refused(vec![at(32)]).contains("DeviceIndex"));
        assert!(refused(vec![at(0), at(1)]).contains("associatePublicIPAddress"));
        let existing =
            InstanceNetworkInterfaceSpecification { network_interface_id: Some("eni-1".into()), ..interface() };
        assert!(refused(vec![existing]).contains("SubnetId"));
        let six = InstanceNetworkInterfaceSpecification { ipv6_address_count: Some(1), ..interface() };
        assert!(refused(vec![six]).contains("NetworkInterface.1.Ipv6AddressCount"));
        let launch = LaunchNetwork { subnet: Some("subnet-1".into()), ..Default::default() };
        assert_eq!(fold(launch, vec![interface()], Ipv6::None).unwrap_err().code(), Code::InvalidParameterCombination);
        let many = (0..9).map(at).collect();
        assert_eq!(fold(LaunchNetwork::default(), many, Ipv6::None).unwrap_err().code(), Code::AttachmentLimitExceeded);
    }

    #[test]
    fn ipv6_addresses_are_of_an_interface() {
        let (five, six): (std::net::Ipv6Addr, std::net::Ipv6Addr) =
            ("2001:db8::5".parse().unwrap(), "2001:db8::6".parse().unwrap());
        // What the launch says is said of its one interface.
        let launch = LaunchNetwork {
            subnet: Some("subnet-1".into()),
            group_names: vec!["web".into()],
            ipv6: WantedIpv6::Count(2),
            ..Default::default()
        };
        let got = fold(launch.clone(), Vec::new(), Ipv6::Given).unwrap();
        assert_eq!((got.group_names, got.interfaces.len()), (launch.group_names.clone(), 1));
        let only = &got.interfaces[0];
        assert_eq!((only.device_index, &only.addresses.ipv6), (0, &WantedIpv6::Count(2)));
        assert_eq!(only.subnet, launch.subnet);
        let beside = LaunchNetwork { ipv6: WantedIpv6::Count(2), ..Default::default() };
        assert_eq!(fold(beside, vec![interface()], Ipv6::Given).unwrap_err().code(), Code::InvalidParameterCombination);
        // What an interface says.
        let with = |index: i32, addresses: &[std::net::Ipv6Addr]| InstanceNetworkInterfaceSpecification {
            device_index: Some(index),
            associate_public_ip_address: None,
            ipv6_addresses: addresses
                .iter()
                .map(|ip| mallee_ec2_types::ec2::InstanceIpv6Address {
                    ipv6_address: Some(ip.to_string()),
                    is_primary_ipv6: None,
                })
                .collect(),
            ..interface()
        };
        let got = fold(LaunchNetwork::default(), vec![with(0, &[five]), with(1, &[six])], Ipv6::Given).unwrap();
        let seen: Vec<_> = got.interfaces.iter().map(|interface| interface.addresses.ipv6.clone()).collect();
        assert_eq!(seen, [WantedIpv6::These(vec![five]), WantedIpv6::These(vec![six])]);
        let twice = fold(LaunchNetwork::default(), vec![with(0, &[five]), with(1, &[five])], Ipv6::Given).unwrap_err();
        assert!(twice.message().contains("2001:db8::5"), "{}", twice.message());
        let existing = InstanceNetworkInterfaceSpecification {
            network_interface_id: Some("eni-1".into()),
            ipv6_address_count: Some(1),
            device_index: Some(0),
            ..Default::default()
        };
        let refused = fold(LaunchNetwork::default(), vec![existing], Ipv6::Given).unwrap_err();
        assert!(refused.message().contains("Ipv6Addresses"), "{}", refused.message());
    }
}

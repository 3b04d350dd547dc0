//! `NetworkInterface.1` of a launch: one new interface at index 0 says the same as the launch's own parameters.

use crate::common::{only, refuse};
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::{InstanceNetworkInterfaceSpecification, PrivateIpAddressSpecification};
use std::net::Ipv4Addr;

/// What a launch says about its network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LaunchNetwork {
    pub subnet: Option<String>,
    pub group_ids: Vec<String>,
    pub group_names: Vec<String>,
    pub private_ip: Option<Ipv4Addr>,
    pub public_ip: Option<bool>,
}

/// An address of a request.
pub(crate) fn address(parameter: &str, text: &str) -> Result<Ipv4Addr, ApiError> {
    text.parse().map_err(|_| ApiError::invalid_value(parameter, text, "It is not an IPv4 address."))
}

/// The launch's own parameters with its interface folded into them.
pub(super) fn fold(
    launch: LaunchNetwork,
    mut interfaces: Vec<InstanceNetworkInterfaceSpecification>,
) -> Result<LaunchNetwork, ApiError> {
    let Some(interface) = interfaces.pop() else { return Ok(launch) };
    if !interfaces.is_empty() {
        return Err(Code::Unsupported
            .message("This cloud gives an instance one network interface: NetworkInterface.2 is not supported."));
    }
    let LaunchNetwork { subnet, group_ids, group_names, private_ip, public_ip: _not_a_launch_parameter } = launch;
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
    one(interface)
}

fn one(interface: InstanceNetworkInterfaceSpecification) -> Result<LaunchNetwork, ApiError> {
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
    let name = |member: &str| format!("NetworkInterface.1.{member}");
    let device_index = device_index.ok_or_else(|| ApiError::missing_parameter(&name("DeviceIndex")))?;
    if device_index != 0 {
        return Err(ApiError::invalid_value(
            &name("DeviceIndex"),
            &device_index.to_string(),
            "The first network interface has device index 0.",
        ));
    }
    let refuse = |member: &str, given: bool| refuse(&name(member), given);
    let some = |count: Option<i32>| count.is_some_and(|count| count != 0);
    refuse("AssociateCarrierIpAddress", associate_carrier_ip_address == Some(true))?;
    refuse("ConnectionTrackingSpecification", connection_tracking_specification.is_some())?;
    refuse("DeleteOnTermination=false", delete_on_termination == Some(false))?;
    refuse("Description", description.is_some_and(|text| !text.is_empty()))?;
    refuse("EnaQueueCount", ena_queue_count.is_some())?;
    refuse("EnaSrdSpecification", ena_srd_specification.is_some())?;
    refuse("Ipv4PrefixCount", some(ipv4_prefix_count))?;
    refuse("Ipv4Prefix", !ipv4_prefixes.is_empty())?;
    refuse("Ipv6AddressCount", some(ipv6_address_count))?;
    refuse("Ipv6Addresses", !ipv6_addresses.is_empty())?;
    refuse("Ipv6PrefixCount", some(ipv6_prefix_count))?;
    refuse("Ipv6Prefix", !ipv6_prefixes.is_empty())?;
    refuse("NetworkCardIndex", some(network_card_index))?;
    refuse("NetworkInterfaceId", network_interface_id.is_some())?;
    refuse("PrimaryIpv6", primary_ipv6 == Some(true))?;
    refuse("SecondaryPrivateIpAddressCount", some(secondary_private_ip_address_count))?;
    only(&name("InterfaceType"), interface_type.as_deref(), &["interface"])?;
    let primary = primary_address(private_ip_addresses)?;
    let private_ip = match (private_ip_address, primary) {
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid_combination(
                "The parameter PrivateIpAddresses cannot be used with the parameter PrivateIpAddress",
            ));
        }
        (one, other) => one.or(other).map(|text| address(&name("PrivateIpAddress"), &text)).transpose()?,
    };
    Ok(LaunchNetwork {
        subnet: subnet_id,
        group_ids: groups,
        group_names: Vec::new(),
        private_ip,
        public_ip: associate_public_ip_address,
    })
}

/// The primary address of a list; secondary ones are not supported.
fn primary_address(addresses: Vec<PrivateIpAddressSpecification>) -> Result<Option<String>, ApiError> {
    let mut primary = None;
    for PrivateIpAddressSpecification { primary: is_primary, private_ip_address } in addresses {
        if is_primary != Some(true) || primary.is_some() {
            return Err(ApiError::unsupported_parameter("NetworkInterface.1.PrivateIpAddresses (secondary addresses)"));
        }
        primary =
            Some(private_ip_address.ok_or_else(|| {
                ApiError::missing_parameter("NetworkInterface.1.PrivateIpAddresses.1.PrivateIpAddress")
            })?);
    }
    Ok(primary)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let got = fold(LaunchNetwork::default(), vec![interface()]).unwrap();
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
        assert_eq!(fold(LaunchNetwork::default(), vec![with]).unwrap().private_ip, Some("10.0.0.9".parse().unwrap()));
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        let refused = |interface| fold(LaunchNetwork::default(), vec![interface]).unwrap_err();
        let existing =
            InstanceNetworkInterfaceSpecification { network_interface_id: Some("eni-1".into()), ..interface() };
        assert!(refused(existing).message().contains("NetworkInterfaceId"));
        let second = InstanceNetworkInterfaceSpecification { device_index: Some(1), ..interface() };
        assert!(refused(second).message().contains("DeviceIndex"));
        let kept = InstanceNetworkInterfaceSpecification { delete_on_termination: Some(false), ..interface() };
        assert!(refused(kept).message().contains("DeleteOnTermination"));
        let secondary = PrivateIpAddressSpecification { primary: None, private_ip_address: Some("10.0.0.9".into()) };
        let more = InstanceNetworkInterfaceSpecification { private_ip_addresses: vec![secondary], ..interface() };
        assert!(refused(more).message().contains("secondary"));
        let launch = LaunchNetwork { subnet: Some("subnet-1".into()), ..Default::default() };
        assert_eq!(fold(launch, vec![interface()]).unwrap_err().code(), Code::InvalidParameterCombination);
        assert!(fold(LaunchNetwork::default(), vec![interface(), interface()]).is_err());
    }
}

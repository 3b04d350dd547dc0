//! IPv6 addresses in requests, and those of interfaces given and taken away.

use crate::Ec2Api;
use crate::common::refuse;
use crate::interface_changes::address_count;
use mallee_app::OpContext;
use mallee_app::interfaces::ipv6::WantedIpv6;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::{
    AssignIpv6AddressesRequest, AssignIpv6AddressesResult, InstanceIpv6Address, UnassignIpv6AddressesRequest,
    UnassignIpv6AddressesResult,
};
use mallee_types::limits::ADDRESSES_PER_INTERFACE_MAX;
use std::net::Ipv6Addr;

/// Whether the cloud gives IPv6 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ipv6 {
    /// It has a pool of them.
    Given,
    /// It has none.
    None,
}

impl Ipv6 {
    /// Refuses, by name, what needs IPv6 in a cloud that gives nobody any.
    pub(crate) fn refuse(self, name: &str, given: bool) -> Result<(), ApiError> {
        refuse(name, given && self == Self::None)
    }
}

/// Addresses of a request, none twice.
fn addresses(name: &str, texts: &[String]) -> Result<Vec<Ipv6Addr>, ApiError> {
    if texts.len() > ADDRESSES_PER_INTERFACE_MAX {
        return Err(Code::PrivateIpAddressLimitExceeded.message("Number of IPv6 addresses will exceed limit."));
    }
    let mut found: Vec<Ipv6Addr> = Vec::with_capacity(texts.len());
    for text in texts {
        let address = text.parse().map_err(|_| ApiError::invalid_value(name, text, "It is not an IPv6 address."))?;
        if found.contains(&address) {
            return Err(ApiError::invalid_value(name, text, "It is given twice."));
        }
        found.push(address);
    }
    Ok(found)
}

/// The IPv6 addresses that parameters below `at` (empty, or ending in a dot) ask for; `list` is the name of their list.
pub(crate) fn wanted_ipv6(
    ipv6: Ipv6,
    at: &str,
    list: &str,
    wire: Vec<InstanceIpv6Address>,
    count: Option<i32>,
) -> Result<WantedIpv6, ApiError> {
    let (count_name, list) = (format!("{at}Ipv6AddressCount"), format!("{at}{list}"));
    ipv6.refuse(&count_name, count.is_some_and(|count| count != 0))?;
    ipv6.refuse(&list, !wire.is_empty())?;
    let mut texts = Vec::with_capacity(wire.len());
    for InstanceIpv6Address { ipv6_address, is_primary_ipv6 } in wire {
        refuse(&format!("{list}.IsPrimaryIpv6"), is_primary_ipv6 == Some(true))?;
        texts.push(ipv6_address.ok_or_else(|| ApiError::missing_parameter(&format!("{list}.Ipv6Address")))?);
    }
    match (texts.is_empty(), count) {
        (true, None) => Ok(WantedIpv6::AsSubnet),
        (true, count) => address_count(&count_name, count).map(WantedIpv6::Count),
        (false, None) => addresses(&list, &texts).map(WantedIpv6::These),
        (false, Some(_)) => {
            Err(ApiError::invalid_combination(format!("The parameter {count_name} cannot be used with {list}")))
        }
    }
}

impl Ec2Api {
    pub(crate) async fn assign_ipv6_addresses(
        &self,
        cx: &OpContext,
        r: AssignIpv6AddressesRequest,
    ) -> Result<AssignIpv6AddressesResult, ApiError> {
        let AssignIpv6AddressesRequest {
            ipv6_address_count: count,
            ipv6_addresses,
            ipv6_prefix_count,
            ipv6_prefixes,
            network_interface_id,
        } = r;
        refuse("Ipv6PrefixCount", ipv6_prefix_count.is_some_and(|count| count != 0))?;
        refuse("Ipv6Prefix", !ipv6_prefixes.is_empty())?;
        let named = if ipv6_addresses.is_empty() { "Ipv6AddressCount" } else { "Ipv6Addresses" };
        self.ipv6().refuse(named, true)?;
        let id = network_interface_id.ok_or_else(|| ApiError::missing_parameter("networkInterfaceId"))?;
        let wanted = match (ipv6_addresses.as_slice(), count) {
            ([], None) => {
                return Err(
                    Code::MissingParameter.message("Either 'Ipv6Addresses' or 'Ipv6AddressCount' must be specified")
                );
            }
            ([_, ..], Some(_)) => {
                return Err(ApiError::invalid_combination(
                    "The parameter Ipv6AddressCount cannot be used with Ipv6Addresses",
                ));
            }
            ([], Some(count)) if count < 1 => {
                return Err(ApiError::invalid_value("Ipv6AddressCount", &count.to_string(), "Minimum value is 1."));
            }
            ([], count) => WantedIpv6::Count(address_count("Ipv6AddressCount", count)?),
            (texts, None) => WantedIpv6::These(addresses("Ipv6Addresses", texts)?),
        };
        let given = self.cloud.assign_ipv6(cx, &id, &wanted).await?;
        Ok(AssignIpv6AddressesResult {
            assigned_ipv6_addresses: given.iter().map(ToString::to_string).collect(),
            assigned_ipv6_prefixes: Vec::new(),
            network_interface_id: Some(id),
        })
    }

    pub(crate) async fn unassign_ipv6_addresses(
        &self,
        cx: &OpContext,
        r: UnassignIpv6AddressesRequest,
    ) -> Result<UnassignIpv6AddressesResult, ApiError> {
        let UnassignIpv6AddressesRequest { ipv6_addresses, ipv6_prefixes, network_interface_id } = r;
        refuse("Ipv6Prefix", !ipv6_prefixes.is_empty())?;
        let id = network_interface_id.ok_or_else(|| ApiError::missing_parameter("networkInterfaceId"))?;
        if ipv6_addresses.is_empty() {
            return Err(ApiError::missing_parameter("ipv6Addresses"));
        }
        let gone = addresses("Ipv6Addresses", &ipv6_addresses)?;
        self.cloud.unassign_ipv6(cx, &id, &gone).await?;
        Ok(UnassignIpv6AddressesResult {
            network_interface_id: Some(id),
            unassigned_ipv6_addresses: gone.iter().map(ToString::to_string).collect(),
            unassigned_ipv6_prefixes: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_addresses_or_counts_them() {
        let wire = |texts: &[&str]| -> Vec<InstanceIpv6Address> {
            let one = |text: &&str| InstanceIpv6Address { ipv6_address: Some((*text).into()), is_primary_ipv6: None };
            texts.iter().map(one).collect()
        };
        let read = |texts: &[&str], count| wanted_ipv6(Ipv6::Given, "", "Ipv6Addresses", wire(texts), count);
        assert_eq!(read(&[], None).unwrap(), WantedIpv6::AsSubnet);
        assert_eq!(read(&[], Some(0)).unwrap(), WantedIpv6::Count(0), "none, whatever the subnet says");
        assert_eq!(read(&["2001:DB8::5"], None).unwrap(), WantedIpv6::These(vec!["2001:db8::5".parse().unwrap()]));
        assert_eq!(read(&["2001:db8::5", "2001:db8:0::5"], None).unwrap_err().code(), Code::InvalidParameterValue);
        assert_eq!(read(&["10.0.0.1"], None).unwrap_err().code(), Code::InvalidParameterValue);
        assert_eq!(read(&[], Some(-1)).unwrap_err().code(), Code::InvalidParameterValue);
        assert_eq!(read(&["2001:db8::5"], Some(1)).unwrap_err().code(), Code::InvalidParameterCombination);
        let primary = InstanceIpv6Address { ipv6_address: Some("::1".into()), is_primary_ipv6: Some(true) };
        let error = wanted_ipv6(Ipv6::Given, "", "Ipv6Addresses", vec![primary], None).unwrap_err();
        assert!(error.message().contains("Ipv6Addresses.IsPrimaryIpv6"), "{}", error.message());
        let error = wanted_ipv6(Ipv6::None, "NetworkInterface.1.", "Ipv6Addresses", Vec::new(), Some(1)).unwrap_err();
        assert!(error.message().contains("NetworkInterface.1.Ipv6AddressCount"), "{}", error.message());
        assert_eq!(wanted_ipv6(Ipv6::None, "", "Ipv6Addresses", Vec::new(), None).unwrap(), WantedIpv6::AsSubnet);
    }
}

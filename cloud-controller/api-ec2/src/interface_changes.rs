//! Network interfaces made and deleted, attached and detached, given addresses.

use crate::Ec2Api;
use crate::common::{only, refuse, tags_of_one};
use crate::instances::run::address;
use crate::interfaces::shape;
use crate::ipv6::wanted_ipv6;
use mallee_app::OpContext;
use mallee_app::fail::OrFail as _;
use mallee_app::instances::view::interface_views;
use mallee_app::interfaces::addresses::NewAddresses;
use mallee_app::interfaces::{NewInterface, TAG_KIND, WantedAddresses};
use mallee_app::once::Once;
use mallee_awswire::{ApiError, Code, Params};
use mallee_ec2_types::ec2::{
    AssignPrivateIpAddressesRequest, AssignPrivateIpAddressesResult, AssignedPrivateIpAddress,
    AttachNetworkInterfaceRequest, AttachNetworkInterfaceResult, CreateNetworkInterfaceRequest,
    CreateNetworkInterfaceResult, DeleteNetworkInterfaceRequest, DetachNetworkInterfaceRequest, NetworkInterface,
    PrivateIpAddressSpecification, UnassignPrivateIpAddressesRequest,
};
use mallee_types::limits::ADDRESSES_PER_INTERFACE_MAX;
use std::net::Ipv4Addr;

/// Longest description (EC2: 255 characters).
const DESCRIPTION_CHARS_MAX: usize = 255;

/// Refuses, by name, what prefixes are about.
fn refuse_others(given: [(&str, bool); 3]) -> Result<(), ApiError> {
    given.into_iter().try_for_each(|(name, given)| refuse(name, given))
}

/// A number of addresses.
pub(crate) fn address_count(name: &str, count: Option<i32>) -> Result<u32, ApiError> {
    let count = count.unwrap_or_default();
    u32::try_from(count).map_err(|_| ApiError::invalid_value(name, &count.to_string(), "Minimum value is 0."))
}

/// The private addresses that parameters below `at` (empty, or ending in a dot) ask for.
pub(crate) fn wanted_addresses(
    at: &str,
    one: Option<String>,
    list: Vec<PrivateIpAddressSpecification>,
    count: Option<i32>,
) -> Result<WantedAddresses, ApiError> {
    let more = address_count(&format!("{at}SecondaryPrivateIpAddressCount"), count)?;
    let name = format!("{at}PrivateIpAddresses");
    let mut wanted = WantedAddresses { more, ..Default::default() };
    wanted.primary = one.map(|text| address(&format!("{at}PrivateIpAddress"), &text)).transpose()?;
    for PrivateIpAddressSpecification { primary, private_ip_address } in list {
        let text =
            private_ip_address.ok_or_else(|| ApiError::missing_parameter(&format!("{name}.PrivateIpAddress")))?;
        let ip = address(&name, &text)?;
        if primary != Some(true) {
            wanted.secondary.push(ip);
        } else if wanted.primary.replace(ip).is_some_and(|other| other != ip) {
            return Err(ApiError::invalid_combination("Only one primary private IP address can be specified."));
        }
    }
    if more > 0 && !wanted.secondary.is_empty() {
        return Err(ApiError::invalid_combination(format!(
            "The parameter {at}SecondaryPrivateIpAddressCount cannot be used with secondary addresses in {name}"
        )));
    }
    let mut all: Vec<_> = wanted.primary.iter().chain(&wanted.secondary).collect();
    all.sort_unstable();
    if let Some(twice) = all.windows(2).find(|two| two[0] == two[1]) {
        return Err(ApiError::invalid_value(&name, &twice[0].to_string(), "It is given twice."));
    }
    Ok(wanted)
}

/// A description, if it is not too long.
pub(crate) fn description(text: Option<String>) -> Result<String, ApiError> {
    let text = text.unwrap_or_default();
    if text.chars().count() > DESCRIPTION_CHARS_MAX {
        let why = format!("The description has at most {DESCRIPTION_CHARS_MAX} characters.");
        return Err(ApiError::invalid_value("description", &text, &why));
    }
    Ok(text)
}

impl Ec2Api {
    pub(crate) async fn create_network_interface(
        &self,
        cx: &OpContext,
        r: CreateNetworkInterfaceRequest,
        params: &Params,
    ) -> Result<CreateNetworkInterfaceResult, ApiError> {
        let CreateNetworkInterfaceRequest {
            client_token,
            connection_tracking_specification,
            description: text,
            dry_run: dry,
            enable_primary_ipv6,
            groups,
            interface_type,
            ipv4_prefix_count,
            ipv4_prefixes,
            ipv6_address_count,
            ipv6_addresses,
            ipv6_prefix_count,
            ipv6_prefixes,
            operator,
            private_ip_address,
            private_ip_addresses,
            secondary_private_ip_address_count,
            subnet_id,
            tag_specifications,
        } = r;
        let some = |count: Option<i32>| count.is_some_and(|count| count != 0);
        refuse("ConnectionTrackingSpecification", connection_tracking_specification.is_some())?;
        refuse("EnablePrimaryIpv6", enable_primary_ipv6 == Some(true))?;
        refuse("Operator", operator.is_some())?;
        refuse_others([
            ("Ipv4PrefixCount", some(ipv4_prefix_count)),
            ("Ipv4Prefix", !ipv4_prefixes.is_empty()),
            ("Ipv6Prefix", some(ipv6_prefix_count) || !ipv6_prefixes.is_empty()),
        ])?;
        only("InterfaceType", interface_type.as_deref(), &["interface"])?;
        let count = secondary_private_ip_address_count;
        let ipv6 = wanted_ipv6(self.ipv6(), "", "Ipv6Addresses", ipv6_addresses, ipv6_address_count)?;
        let addresses = wanted_addresses("", private_ip_address, private_ip_addresses, count)?;
        let new = NewInterface {
            subnet: subnet_id.ok_or_else(|| ApiError::missing_parameter("subnetId"))?,
            addresses: WantedAddresses { ipv6, ..addresses },
            groups,
            description: description(text)?,
            tags: tags_of_one(tag_specifications, TAG_KIND)?,
        };
        let once = Once { token: client_token.clone(), params_hash: hex::encode(params.fingerprint()) };
        let row = self.cloud.create_interface(cx, &new, &once, dry == Some(true)).await?;
        let view = interface_views(self.store(), vec![row]).await.or_fail()?.pop();
        let shown = view.map(|view| {
            // While it is made it is not yet available, as EC2 tells it.
            NetworkInterface { status: Some("pending".to_owned()), ..shape(&view, self.look()) }
        });
        Ok(CreateNetworkInterfaceResult { client_token, network_interface: shown })
    }

    pub(crate) async fn delete_network_interface(
        &self,
        cx: &OpContext,
        r: DeleteNetworkInterfaceRequest,
    ) -> Result<(), ApiError> {
        let DeleteNetworkInterfaceRequest { dry_run: dry, network_interface_id } = r;
        let id = network_interface_id.ok_or_else(|| ApiError::missing_parameter("networkInterfaceId"))?;
        self.cloud.delete_interface(cx, &id, dry == Some(true)).await
    }

    pub(crate) async fn attach_network_interface(
        &self,
        cx: &OpContext,
        r: AttachNetworkInterfaceRequest,
    ) -> Result<AttachNetworkInterfaceResult, ApiError> {
        let AttachNetworkInterfaceRequest {
            device_index,
            dry_run: dry,
            ena_queue_count,
            ena_srd_specification,
            instance_id,
            network_card_index,
            network_interface_id,
        } = r;
        refuse("EnaQueueCount", ena_queue_count.is_some())?;
        refuse("EnaSrdSpecification", ena_srd_specification.is_some())?;
        refuse("NetworkCardIndex", network_card_index.is_some_and(|index| index != 0))?;
        let id = network_interface_id.ok_or_else(|| ApiError::missing_parameter("networkInterfaceId"))?;
        let instance = instance_id.ok_or_else(|| ApiError::missing_parameter("instanceId"))?;
        let index = device_index.ok_or_else(|| ApiError::missing_parameter("deviceIndex"))?;
        let index = u32::try_from(index)
            .map_err(|_| ApiError::invalid_value("deviceIndex", &index.to_string(), "Minimum value is 0."))?;
        let attachment = self.cloud.attach_interface(cx, &id, &instance, index, dry == Some(true)).await?;
        Ok(AttachNetworkInterfaceResult { attachment_id: Some(attachment.to_string()), network_card_index: Some(0) })
    }

    pub(crate) async fn detach_network_interface(
        &self,
        cx: &OpContext,
        r: DetachNetworkInterfaceRequest,
    ) -> Result<(), ApiError> {
        let DetachNetworkInterfaceRequest { attachment_id, dry_run: dry, force } = r;
        let id = attachment_id.ok_or_else(|| ApiError::missing_parameter("attachmentId"))?;
        self.cloud.detach_interface(cx, &id, force == Some(true), dry == Some(true)).await
    }

    pub(crate) async fn assign_private_ip_addresses(
        &self,
        cx: &OpContext,
        r: AssignPrivateIpAddressesRequest,
    ) -> Result<AssignPrivateIpAddressesResult, ApiError> {
        let AssignPrivateIpAddressesRequest {
            allow_reassignment,
            ipv4_prefix_count,
            ipv4_prefixes,
            network_interface_id,
            private_ip_addresses,
            secondary_private_ip_address_count: count,
        } = r;
        refuse("Ipv4PrefixCount", ipv4_prefix_count.is_some_and(|count| count != 0))?;
        refuse("Ipv4Prefix", !ipv4_prefixes.is_empty())?;
        let id = network_interface_id.ok_or_else(|| ApiError::missing_parameter("networkInterfaceId"))?;
        let new = match (private_ip_addresses.as_slice(), count) {
            ([], None) => {
                return Err(Code::MissingParameter
                    .message("Either 'PrivateIpAddresses' or 'SecondaryPrivateIpAddressCount' must be specified"));
            }
            ([_, ..], Some(_)) => {
                return Err(ApiError::invalid_combination(
                    "The parameter SecondaryPrivateIpAddressCount cannot be used with PrivateIpAddresses",
                ));
            }
            ([], Some(count)) if count < 1 => {
                let name = "SecondaryPrivateIpAddressCount";
                return Err(ApiError::invalid_value(name, &count.to_string(), "Minimum value is 1."));
            }
            ([], count) => NewAddresses::Count(address_count("SecondaryPrivateIpAddressCount", count)?),
            (texts, None) => {
                NewAddresses::These { addresses: some_addresses(texts)?, reassign: allow_reassignment == Some(true) }
            }
        };
        let given = self.cloud.assign_addresses(cx, &id, &new).await?;
        Ok(AssignPrivateIpAddressesResult {
            assigned_ipv4_prefixes: Vec::new(),
            assigned_private_ip_addresses: given
                .iter()
                .map(|ip| AssignedPrivateIpAddress { private_ip_address: Some(ip.to_string()) })
                .collect(),
            network_interface_id: Some(id),
        })
    }

    pub(crate) async fn unassign_private_ip_addresses(
        &self,
        cx: &OpContext,
        r: UnassignPrivateIpAddressesRequest,
    ) -> Result<(), ApiError> {
        let UnassignPrivateIpAddressesRequest { ipv4_prefixes, network_interface_id, private_ip_addresses } = r;
        refuse("Ipv4Prefix", !ipv4_prefixes.is_empty())?;
        let id = network_interface_id.ok_or_else(|| ApiError::missing_parameter("networkInterfaceId"))?;
        if private_ip_addresses.is_empty() {
            return Err(ApiError::missing_parameter("privateIpAddress"));
        }
        self.cloud.unassign_addresses(cx, &id, &some_addresses(&private_ip_addresses)?).await
    }
}

/// A list of addresses, none twice, no longer than an interface may have.
fn some_addresses(texts: &[String]) -> Result<Vec<Ipv4Addr>, ApiError> {
    if texts.len() > ADDRESSES_PER_INTERFACE_MAX {
        return Err(Code::PrivateIpAddressLimitExceeded.message("Number of private addresses will exceed limit."));
    }
    let mut addresses = texts.iter().map(|text| address("PrivateIpAddress", text)).collect::<Result<Vec<_>, _>>()?;
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

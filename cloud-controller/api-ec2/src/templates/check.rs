//! What is refused of a template when it is made: values that no launch could ever take. Whether what it names exists
//! is seen at the launch, as on AWS.

use super::data::Data;
use crate::common::choice;
use crate::instances::run;
use mallee_app::ids::parse_id;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::{
    LaunchTemplateInstanceMarketOptionsRequest, LaunchTemplateInstanceMetadataOptionsRequest,
    LaunchTemplateInstanceNetworkInterfaceSpecificationRequest, LaunchTemplatePlacementRequest,
    RequestLaunchTemplateData, enums,
};
use mallee_types::limits::USER_DATA_BYTES_MAX;
use mallee_types::{GroupId, ImageId, InterfaceId, SubnetId};

/// What a template may tag (EC2).
const TAGGED: [&str; 5] = ["elastic-gpu", "instance", "network-interface", "spot-instances-request", "volume"];

fn one_of(name: &str, value: Option<&str>, words: &[&str]) -> Result<(), ApiError> {
    let words: Vec<(&str, ())> = words.iter().map(|word| (*word, ())).collect();
    choice(name, value, &words).map(drop)
}

fn placement(placement: &LaunchTemplatePlacementRequest) -> Result<(), ApiError> {
    one_of("Placement.Tenancy", placement.tenancy.as_deref(), enums::TENANCY)?;
    one_of("Placement.Affinity", placement.affinity.as_deref(), &["default", "host"])?;
    if placement.group_id.is_some() && placement.group_name.is_some() {
        return Err(ApiError::invalid_combination("The parameter GroupName cannot be used with the parameter GroupId"));
    }
    match placement.partition_number {
        Some(number) if number < 1 => {
            Err(ApiError::invalid_value("Placement.PartitionNumber", &number.to_string(), "Minimum value is 1."))
        }
        _ => Ok(()),
    }
}

fn metadata(options: &LaunchTemplateInstanceMetadataOptionsRequest) -> Result<(), ApiError> {
    let switch = enums::LAUNCH_TEMPLATE_INSTANCE_METADATA_ENDPOINT_STATE;
    one_of("MetadataOptions.HttpEndpoint", options.http_endpoint.as_deref(), switch)?;
    one_of("MetadataOptions.HttpProtocolIpv6", options.http_protocol_ipv6.as_deref(), switch)?;
    one_of("MetadataOptions.InstanceMetadataTags", options.instance_metadata_tags.as_deref(), switch)?;
    let tokens = enums::LAUNCH_TEMPLATE_HTTP_TOKENS_STATE;
    one_of("MetadataOptions.HttpTokens", options.http_tokens.as_deref(), tokens)?;
    match options.http_put_response_hop_limit {
        Some(hops) if !(1..=64).contains(&hops) => Err(ApiError::invalid_value(
            "MetadataOptions.HttpPutResponseHopLimit",
            &hops.to_string(),
            "Valid values are integers from 1 to 64.",
        )),
        _ => Ok(()),
    }
}

fn market(options: &LaunchTemplateInstanceMarketOptionsRequest) -> Result<(), ApiError> {
    one_of("InstanceMarketOptions.MarketType", options.market_type.as_deref(), enums::MARKET_TYPE)?;
    let Some(spot) = &options.spot_options else { return Ok(()) };
    let behavior = spot.instance_interruption_behavior.as_deref();
    let words = enums::INSTANCE_INTERRUPTION_BEHAVIOR;
    one_of("InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior", behavior, words)?;
    let kind = spot.spot_instance_type.as_deref();
    one_of("InstanceMarketOptions.SpotOptions.SpotInstanceType", kind, enums::SPOT_INSTANCE_TYPE)?;
    match spot.max_price.as_deref() {
        Some(price) if !price.parse::<f64>().is_ok_and(|price| price.is_finite() && price > 0.0) => {
            Err(ApiError::invalid_value("InstanceMarketOptions.SpotOptions.MaxPrice", price, "It is not a price."))
        }
        _ => Ok(()),
    }
}

fn interface(interface: &LaunchTemplateInstanceNetworkInterfaceSpecificationRequest) -> Result<(), ApiError> {
    for id in &interface.groups {
        parse_id::<GroupId>(id, Code::InvalidGroupIdMalformed)?;
    }
    if let Some(id) = &interface.subnet_id {
        parse_id::<SubnetId>(id, Code::InvalidSubnetIdMalformed)?;
    }
    if let Some(id) = &interface.network_interface_id {
        parse_id::<InterfaceId>(id, Code::InvalidNetworkInterfaceIdMalformed)?;
    }
    if let Some(text) = &interface.private_ip_address {
        run::address("NetworkInterface.PrivateIpAddress", text)?;
    }
    Ok(())
}

/// Refuses values that are none.
///
/// # Errors
/// EC2's for malformed ids, words, numbers, tags and user data, and for a template that says nothing.
pub(super) fn check(data: &Data) -> Result<RequestLaunchTemplateData, ApiError> {
    let read = data.read()?;
    if *data == Data::default() {
        return Err(ApiError::missing_parameter("LaunchTemplateData"));
    }
    if let Some(id) = &read.image_id {
        parse_id::<ImageId>(id, Code::InvalidAmiIdMalformed)?;
    }
    if read.instance_type.is_some() && read.instance_requirements.is_some() {
        return Err(ApiError::invalid_combination(
            "The parameter InstanceRequirements cannot be used with the parameter InstanceType",
        ));
    }
    for id in &read.security_group_ids {
        parse_id::<GroupId>(id, Code::InvalidGroupIdMalformed)?;
    }
    let behavior = read.instance_initiated_shutdown_behavior.as_deref();
    one_of("InstanceInitiatedShutdownBehavior", behavior, enums::SHUTDOWN_BEHAVIOR)?;
    read.placement.as_ref().map_or(Ok(()), placement)?;
    read.metadata_options.as_ref().map_or(Ok(()), metadata)?;
    read.instance_market_options.as_ref().map_or(Ok(()), market)?;
    read.network_interfaces.iter().try_for_each(interface)?;
    let credits = read.credit_specification.as_ref().and_then(|credit| credit.cpu_credits.as_deref());
    one_of("CreditSpecification.CpuCredits", credits, &["standard", "unlimited"])?;
    if let Some(capacity) = &read.capacity_reservation_specification {
        let preference = capacity.capacity_reservation_preference.as_deref();
        let name = "CapacityReservationSpecification.CapacityReservationPreference";
        one_of(name, preference, enums::CAPACITY_RESERVATION_PREFERENCE)?;
    }
    for mapping in &read.block_device_mappings {
        let Some(ebs) = &mapping.ebs else { continue };
        one_of("BlockDeviceMapping.Ebs.VolumeType", ebs.volume_type.as_deref(), enums::VOLUME_TYPE)?;
        if let Some(size) = ebs.volume_size.filter(|size| *size < 1) {
            return Err(ApiError::invalid_value(
                "BlockDeviceMapping.Ebs.VolumeSize",
                &size.to_string(),
                "Minimum value is 1.",
            ));
        }
    }
    let mut kinds: Vec<&str> = Vec::new();
    for specification in &read.tag_specifications {
        let kind = specification.resource_type.as_deref().unwrap_or_default();
        if !TAGGED.contains(&kind) || kinds.contains(&kind) {
            return Err(Code::InvalidParameterValue.message(format!(
                "'{}' is not a valid taggable resource type for this operation.",
                mallee_awswire::texts::clip(kind)
            )));
        }
        kinds.push(kind);
        let tags = specification.tags.iter();
        let tags: Vec<_> =
            tags.map(|t| (t.key.clone().unwrap_or_default(), t.value.clone().unwrap_or_default())).collect();
        mallee_app::tags::validate(&tags)?;
    }
    if let Some(decoded) = run::user_data(read.user_data.clone())?
        && decoded.len() > USER_DATA_BYTES_MAX
    {
        return Err(Code::InvalidUserDataMalformed.message(format!(
            "User data is limited to {USER_DATA_BYTES_MAX} bytes; this has {} once it is decoded.",
            decoded.len()
        )));
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, value: &str) -> (Code, String) {
        let mut data = Data::default();
        data.set(name, value);
        let error = check(&data).unwrap_err();
        (error.code(), error.message().to_owned())
    }

    #[test]
    fn what_no_launch_could_take_is_refused() {
        assert_eq!(refused("ImageId", "emi-1").0, Code::InvalidAmiIdMalformed);
        assert_eq!(refused("SecurityGroupId.1", "web").0, Code::InvalidGroupIdMalformed);
        assert_eq!(refused("UserData", "#!/bin/sh").0, Code::InvalidUserDataMalformed);
        assert_eq!(refused("NetworkInterface.1.SubnetId", "net").0, Code::InvalidSubnetIdMalformed);
        for (name, value) in [
            ("Placement.Tenancy", "alone"),
            ("Placement.PartitionNumber", "0"),
            ("MetadataOptions.HttpTokens", "maybe"),
            ("MetadataOptions.HttpPutResponseHopLimit", "65"),
            ("InstanceInitiatedShutdownBehavior", "explode"),
            ("InstanceMarketOptions.SpotOptions.MaxPrice", "cheap"),
            ("BlockDeviceMapping.1.Ebs.VolumeType", "tape"),
            ("TagSpecification.1.ResourceType", "vpc"),
        ] {
            assert_eq!(refused(name, value).0, Code::InvalidParameterValue, "{name}");
        }
        assert_eq!(refused("Colour", "red").0, Code::UnknownParameter);
        assert_eq!(check(&Data::default()).unwrap_err().code(), Code::MissingParameter);
    }

    #[test]
    fn what_this_cloud_lacks_is_still_kept() {
        let mut data = Data::default();
        data.set("KernelId", "aki-1");
        data.set("InstanceMarketOptions.MarketType", "spot");
        data.set("BlockDeviceMapping.1.Ebs.VolumeType", "gp3");
        assert!(check(&data).is_ok());
    }
}

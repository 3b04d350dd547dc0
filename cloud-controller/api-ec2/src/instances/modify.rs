//! ModifyInstanceAttribute, ResetInstanceAttribute.

use super::run::user_data;
use crate::Ec2Api;
use crate::common::{choice, refuse};
use mallee_app::OpContext;
use mallee_app::instances::modify::Change;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::{
    AttributeBooleanValue, AttributeValue, EnclaveOptionsRequest, ModifyInstanceAttributeRequest,
    ResetInstanceAttributeRequest, SecureBlobAttributeValue,
};
use mallee_store::ShutdownBehavior;
use secrecy::{ExposeSecret as _, SecretString};

/// The attributes EC2 knows by name.
const ATTRIBUTES: [&str; 15] = [
    "instanceType",
    "kernel",
    "ramdisk",
    "userData",
    "disableApiTermination",
    "instanceInitiatedShutdownBehavior",
    "rootDeviceName",
    "blockDeviceMapping",
    "productCodes",
    "sourceDestCheck",
    "groupSet",
    "ebsOptimized",
    "sriovNetSupport",
    "enaSupport",
    "disableApiStop",
];

fn shutdown_behavior(value: &str) -> Result<Change, ApiError> {
    let words = [("stop", ShutdownBehavior::Stop), ("terminate", ShutdownBehavior::Terminate)];
    let found = choice("instanceInitiatedShutdownBehavior", Some(value), &words)?;
    Ok(Change::ShutdownBehavior(found.unwrap_or_default()))
}

fn instance_type(value: Option<String>) -> Result<Change, ApiError> {
    value.filter(|name| !name.is_empty()).map(Change::InstanceType).ok_or_else(|| {
        Code::InvalidParameterValue.message("Value () for parameter instanceType is invalid. It must name a type.")
    })
}

/// What a guest's network card is here: virtio, which is neither ENA nor SR-IOV.
fn ena(value: bool) -> Result<Change, ApiError> {
    refuse("EnaSupport", value)?;
    Ok(Change::Nothing)
}

/// An attribute named by `Attribute` with its `Value`.
fn named(name: &str, value: Option<&SecretString>) -> Result<Change, ApiError> {
    let text = value.map(|value| value.expose_secret().to_owned());
    let given = |text: Option<String>| text.ok_or_else(|| ApiError::missing_parameter("value"));
    let flag = |text: Option<String>| match given(text)?.as_str() {
        "true" | "True" | "1" => Ok(true),
        "false" | "False" | "0" => Ok(false),
        other => Err(ApiError::invalid_value("value", other, "It must be true or false.")),
    };
    match name {
        "instanceType" => instance_type(text),
        "userData" => user_data(value.cloned()).map(Change::UserData),
        "disableApiTermination" => flag(text).map(Change::DisableApiTermination),
        "disableApiStop" => flag(text).map(Change::DisableApiStop),
        "instanceInitiatedShutdownBehavior" => shutdown_behavior(&given(text)?),
        "sourceDestCheck" => flag(text).map(Change::SourceDestCheck),
        "ebsOptimized" => flag(text).map(Change::EbsOptimized),
        "enaSupport" => ena(flag(text)?),
        "kernel" => Err(ApiError::unsupported_parameter("Kernel")),
        "ramdisk" => Err(ApiError::unsupported_parameter("Ramdisk")),
        "sriovNetSupport" => Err(ApiError::unsupported_parameter("SriovNetSupport")),
        "groupSet" => Err(ApiError::invalid_combination("The security groups are given by the parameter GroupId")),
        "blockDeviceMapping" => {
            Err(ApiError::invalid_combination("The block devices are given by the parameter BlockDeviceMapping"))
        }
        other if ATTRIBUTES.contains(&other) => Err(Code::InvalidParameterValue.message(format!(
            "Value ({other}) for parameter attribute is invalid. This attribute cannot be modified."
        ))),
        other => Err(Code::InvalidParameterValue.message(format!(
            "Value ({}) for parameter attribute is invalid. Unknown attribute.",
            mallee_awswire::texts::clip(other)
        ))),
    }
}

/// The one change a request asks for, with the id of the instance.
fn change(r: ModifyInstanceAttributeRequest) -> Result<(String, Change, bool), ApiError> {
    let ModifyInstanceAttributeRequest {
        attribute,
        block_device_mappings,
        disable_api_stop,
        disable_api_termination,
        dry_run,
        ebs_optimized,
        ena_support,
        enclave_options,
        groups,
        instance_id,
        instance_initiated_shutdown_behavior,
        instance_type: size,
        kernel,
        ramdisk,
        source_dest_check,
        sriov_net_support,
        user_data,
        value,
    } = r;
    let mut changes: Vec<(&str, Result<Change, ApiError>)> = Vec::new();
    let unsupported = |name: &str| Err(ApiError::unsupported_parameter(name));
    if let Some(name) = &attribute {
        changes.push((name, named(name, value.as_ref())));
    } else if value.is_some() {
        return Err(ApiError::missing_parameter("attribute"));
    }
    let mut flag = |name: &'static str, value: Option<AttributeBooleanValue>, change: fn(bool) -> Change| {
        if let Some(AttributeBooleanValue { value }) = value {
            changes
                .push((name, value.map(change).ok_or_else(|| ApiError::missing_parameter(&format!("{name}.Value")))));
        }
    };
    flag("disableApiTermination", disable_api_termination, Change::DisableApiTermination);
    flag("disableApiStop", disable_api_stop, Change::DisableApiStop);
    flag("ebsOptimized", ebs_optimized, Change::EbsOptimized);
    flag("sourceDestCheck", source_dest_check, Change::SourceDestCheck);
    if let Some(AttributeBooleanValue { value }) = ena_support {
        changes.push(("enaSupport", ena(value == Some(true))));
    }
    if let Some(AttributeValue { value }) = size {
        changes.push(("instanceType", instance_type(value)));
    }
    if let Some(AttributeValue { value }) = instance_initiated_shutdown_behavior {
        changes.push(("instanceInitiatedShutdownBehavior", shutdown_behavior(&value.unwrap_or_default())));
    }
    if let Some(SecureBlobAttributeValue { value }) = user_data {
        changes.push(("userData", Ok(Change::UserData(value.filter(|data| !data.is_empty())))));
    }
    if !groups.is_empty() {
        changes.push(("groupSet", Ok(Change::Groups(groups))));
    }
    if kernel.is_some() {
        changes.push(("kernel", unsupported("Kernel")));
    }
    if ramdisk.is_some() {
        changes.push(("ramdisk", unsupported("Ramdisk")));
    }
    if sriov_net_support.is_some() {
        changes.push(("sriovNetSupport", unsupported("SriovNetSupport")));
    }
    if !block_device_mappings.is_empty() {
        // There are no volumes to say it of yet: the root disk goes with its instance.
        changes.push(("blockDeviceMapping", unsupported("BlockDeviceMapping")));
    }
    if let Some(EnclaveOptionsRequest { enabled }) = enclave_options {
        let change = if enabled == Some(true) { unsupported("EnclaveOptions") } else { Ok(Change::Nothing) };
        changes.push(("enclaveOptions", change));
    }
    if changes.len() > 1 {
        let names: Vec<&str> = changes.iter().map(|(name, _)| *name).collect();
        return Err(ApiError::invalid_combination(format!(
            "Fields for multiple attribute types specified: {}",
            names.join(", ")
        )));
    }
    let (_, change) = changes.pop().ok_or_else(|| ApiError::invalid_combination("No attributes specified."))?;
    Ok((instance_id.unwrap_or_default(), change?, dry_run == Some(true)))
}

impl Ec2Api {
    pub(crate) async fn modify_instance_attribute(
        &self,
        cx: &OpContext,
        r: ModifyInstanceAttributeRequest,
    ) -> Result<(), ApiError> {
        let (id, change, dry_run) = change(r)?;
        self.cloud.modify_instance(cx, &id, &change, dry_run).await.map(drop)
    }

    pub(crate) async fn reset_instance_attribute(
        &self,
        cx: &OpContext,
        r: ResetInstanceAttributeRequest,
    ) -> Result<(), ApiError> {
        let ResetInstanceAttributeRequest { attribute, dry_run, instance_id } = r;
        let change = match attribute.as_deref().ok_or_else(|| ApiError::missing_parameter("attribute"))? {
            "sourceDestCheck" => Change::SourceDestCheck(true),
            "kernel" => return Err(ApiError::unsupported_parameter("Attribute=kernel")),
            "ramdisk" => return Err(ApiError::unsupported_parameter("Attribute=ramdisk")),
            other => {
                return Err(Code::InvalidParameterValue.message(format!(
                    "Value ({}) for parameter attribute is invalid. Only kernel, ramdisk and sourceDestCheck can be reset.",
                    mallee_awswire::texts::clip(other)
                )));
            }
        };
        let id = instance_id.unwrap_or_default();
        self.cloud.modify_instance(cx, &id, &change, dry_run == Some(true)).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(r: ModifyInstanceAttributeRequest) -> Result<Change, ApiError> {
        change(ModifyInstanceAttributeRequest { instance_id: Some("i-12345678".into()), ..r })
            .map(|(_, change, _)| change)
    }

    #[test]
    fn both_spellings_say_the_same() {
        let by_name = |name: &str, value: &str| {
            asked(ModifyInstanceAttributeRequest {
                attribute: Some(name.into()),
                value: Some(value.into()),
                ..Default::default()
            })
        };
        assert_eq!(by_name("instanceType", "t3.micro").unwrap(), Change::InstanceType("t3.micro".into()));
        assert_eq!(by_name("disableApiStop", "true").unwrap(), Change::DisableApiStop(true));
        assert_eq!(by_name("userData", "YQ==").unwrap(), Change::UserData(Some(b"a".to_vec())));
        assert_eq!(by_name("userData", "").unwrap(), Change::UserData(None));
        assert!(by_name("disableApiStop", "maybe").is_err());
        assert!(by_name("rootDeviceName", "/dev/sda").unwrap_err().message().contains("cannot be modified"));
        assert!(by_name("colour", "x").unwrap_err().message().contains("Unknown attribute"));
        let blob = SecureBlobAttributeValue { value: Some(b"a".to_vec()) };
        let with = ModifyInstanceAttributeRequest { user_data: Some(blob), ..Default::default() };
        assert_eq!(asked(with).unwrap(), Change::UserData(Some(b"a".to_vec())));
    }

    #[test]
    fn one_attribute_a_call() {
        let none = asked(ModifyInstanceAttributeRequest::default()).unwrap_err();
        assert_eq!((none.code(), none.message()), (Code::InvalidParameterCombination, "No attributes specified."));
        let on = || Some(AttributeBooleanValue { value: Some(true) });
        let two = ModifyInstanceAttributeRequest {
            disable_api_stop: on(),
            disable_api_termination: on(),
            ..Default::default()
        };
        assert_eq!(
            asked(two).unwrap_err().message(),
            "Fields for multiple attribute types specified: disableApiTermination, disableApiStop"
        );
        let kernel = ModifyInstanceAttributeRequest {
            kernel: Some(AttributeValue { value: Some("aki-1".into()) }),
            ..Default::default()
        };
        assert!(asked(kernel).unwrap_err().message().contains("Kernel"));
    }
}

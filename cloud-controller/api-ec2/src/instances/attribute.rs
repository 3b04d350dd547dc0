//! DescribeInstanceAttribute.

use crate::Ec2Api;
use crate::common::dry_run;
use crate::interfaces::group_identifiers;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mallee_app::OpContext;
use mallee_app::fail::OrFail as _;
use mallee_app::instances::view::{InstanceView, views};
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::{
    AttributeBooleanValue, AttributeValue, DescribeInstanceAttributeRequest, EnclaveOptions, InstanceAttribute,
};
use mallee_store::{ShutdownBehavior, instance_user_data};

#[allow(clippy::unnecessary_wraps)] // It fills optional members.
const fn said(value: bool) -> Option<AttributeBooleanValue> {
    Some(AttributeBooleanValue { value: Some(value) })
}

fn text(value: impl Into<String>) -> Option<AttributeValue> {
    Some(AttributeValue { value: Some(value.into()) })
}

/// An attribute of an instance; without an interface (terminated) it has no groups.
fn attribute(view: &InstanceView, user_data: Option<&[u8]>, name: &str) -> Result<InstanceAttribute, ApiError> {
    let (row, doc) = (&view.row, &view.row.doc);
    let mut out = InstanceAttribute { instance_id: Some(row.id.to_string()), ..Default::default() };
    match name {
        "instanceType" => out.instance_type = text(row.instance_type.as_str()),
        // What these hold does not exist here: EC2 sends the element empty.
        "kernel" => out.kernel_id = Some(AttributeValue { value: None }),
        "ramdisk" => out.ramdisk_id = Some(AttributeValue { value: None }),
        "sriovNetSupport" => out.sriov_net_support = Some(AttributeValue { value: None }),
        "blockDeviceMapping" | "productCodes" => {}
        "userData" => out.user_data = Some(AttributeValue { value: user_data.map(|data| STANDARD.encode(data)) }),
        "disableApiTermination" => out.disable_api_termination = said(doc.disable_api_termination),
        "disableApiStop" => out.disable_api_stop = said(doc.disable_api_stop),
        "instanceInitiatedShutdownBehavior" => {
            out.instance_initiated_shutdown_behavior = text(match doc.shutdown_behavior {
                ShutdownBehavior::Stop => "stop",
                ShutdownBehavior::Terminate => "terminate",
            });
        }
        "rootDeviceName" => out.root_device_name = text(doc.root_device_name.as_str()),
        "sourceDestCheck" => {
            out.source_dest_check = said(view.interfaces.first().is_none_or(|i| i.row.source_dest_check))
        }
        "groupSet" => out.groups = view.interfaces.first().map(group_identifiers).unwrap_or_default(),
        "ebsOptimized" => out.ebs_optimized = said(doc.ebs_optimized),
        "enaSupport" => out.ena_support = said(false),
        "enclaveOptions" => out.enclave_options = Some(EnclaveOptions { enabled: Some(false) }),
        other => {
            return Err(Code::InvalidParameterValue.message(format!(
                "Value ({}) for parameter attribute is invalid. Unknown attribute.",
                mallee_awswire::texts::clip(other)
            )));
        }
    }
    Ok(out)
}

impl Ec2Api {
    pub(crate) async fn describe_instance_attribute(
        &self,
        cx: &OpContext,
        r: DescribeInstanceAttributeRequest,
    ) -> Result<InstanceAttribute, ApiError> {
        let DescribeInstanceAttributeRequest { attribute: name, dry_run: dry, instance_id } = r;
        let id = instance_id.unwrap_or_default();
        let rows = self.cloud.find_instances(cx, std::slice::from_ref(&id)).await?;
        let view = views(self.store(), rows).await.or_fail()?.pop();
        let view = view.ok_or_else(|| ApiError::instance_not_found(&[&id]))?;
        let user_data = instance_user_data(self.store(), &view.row.id).await.or_fail()?;
        let attribute = attribute(&view, user_data.as_deref(), &name.unwrap_or_default())?;
        dry_run(dry)?;
        Ok(attribute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instances::testing::view;

    #[test]
    fn attributes_terraform_reads() {
        let read = |name: &str| attribute(&view(), Some(b"#!/bin/sh\n"), name).unwrap();
        let text = |value: Option<AttributeValue>| value.and_then(|v| v.value);
        assert_eq!(
            text(read("instanceInitiatedShutdownBehavior").instance_initiated_shutdown_behavior).as_deref(),
            Some("stop")
        );
        let flag = |value: Option<AttributeBooleanValue>| value.and_then(|v| v.value);
        assert_eq!(flag(read("disableApiStop").disable_api_stop), Some(false));
        assert_eq!(flag(read("disableApiTermination").disable_api_termination), Some(false));
        assert_eq!(text(read("userData").user_data).as_deref(), Some("IyEvYmluL3NoCg=="));
        assert_eq!(read("groupSet").groups[0].group_name.as_deref(), Some("web"));
        assert!(attribute(&view(), None, "userData").unwrap().user_data.is_some(), "the element is there, and empty");
        assert!(attribute(&view(), None, "colour").is_err());
    }
}

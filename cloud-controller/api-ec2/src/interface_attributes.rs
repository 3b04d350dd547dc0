//! Attributes of network interfaces, attached or free.

use crate::Ec2Api;
use crate::common::{dry_run, refuse, rows};
use crate::interface_changes::description as text_of;
use crate::interfaces::shape;
use mallee_app::OpContext;
use mallee_app::fail::OrFail as _;
use mallee_app::ids::parse_id;
use mallee_app::instances::view::{InterfaceView, interface_views};
use mallee_app::interfaces::InterfaceChange;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::*;
use mallee_store::{InterfaceFilter, interface_list};
use mallee_types::InterfaceId;

impl Ec2Api {
    /// The interface of this id, if it is the account's.
    async fn interface(&self, cx: &OpContext, id: Option<&str>) -> Result<InterfaceView, ApiError> {
        let id = id.ok_or_else(|| ApiError::missing_parameter("NetworkInterfaceId"))?;
        let id: InterfaceId = parse_id(id, Code::InvalidNetworkInterfaceIdMalformed)?;
        let ids = std::slice::from_ref(&id);
        let filter = InterfaceFilter { account: Some(cx.account()), ids: Some(ids), ..Default::default() };
        let found = rows(interface_list(self.store(), filter, 1).await)?;
        let views = interface_views(self.store(), found).await.or_fail()?;
        views
            .into_iter()
            .next()
            .ok_or_else(|| ApiError::not_found(Code::InvalidNetworkInterfaceIdNotFound, &[id.as_str()]))
    }

    pub(crate) async fn describe_network_interface_attribute(
        &self,
        cx: &OpContext,
        r: DescribeNetworkInterfaceAttributeRequest,
    ) -> Result<DescribeNetworkInterfaceAttributeResult, ApiError> {
        let DescribeNetworkInterfaceAttributeRequest { attribute, dry_run: dry, network_interface_id } = r;
        let view = self.interface(cx, network_interface_id.as_deref()).await?;
        dry_run(dry)?;
        let shown = shape(&view, self.look());
        let mut out = DescribeNetworkInterfaceAttributeResult {
            network_interface_id: shown.network_interface_id,
            ..Default::default()
        };
        match attribute.as_deref().ok_or_else(|| ApiError::missing_parameter("Attribute"))? {
            "description" => out.description = Some(AttributeValue { value: shown.description }),
            "groupSet" => out.groups = shown.groups,
            "sourceDestCheck" => {
                out.source_dest_check = Some(AttributeBooleanValue { value: shown.source_dest_check });
            }
            "attachment" => out.attachment = shown.attachment,
            "associatePublicIpAddress" => out.associate_public_ip_address = Some(view.public_ip.is_some()),
            other => {
                let valid = "Valid values are description, groupSet, sourceDestCheck, attachment and \
                             associatePublicIpAddress.";
                return Err(ApiError::invalid_value("attribute", other, valid));
            }
        }
        Ok(out)
    }

    pub(crate) async fn modify_network_interface_attribute(
        &self,
        cx: &OpContext,
        r: ModifyNetworkInterfaceAttributeRequest,
    ) -> Result<(), ApiError> {
        let ModifyNetworkInterfaceAttributeRequest {
            associate_public_ip_address,
            associated_subnet_ids,
            attachment,
            connection_tracking_specification,
            description,
            dry_run: dry,
            ena_srd_specification,
            enable_primary_ipv6,
            groups,
            network_interface_id,
            source_dest_check,
        } = r;
        refuse("AssociatePublicIpAddress", associate_public_ip_address.is_some())?;
        refuse("AssociatedSubnetId", !associated_subnet_ids.is_empty())?;
        refuse("ConnectionTrackingSpecification", connection_tracking_specification.is_some())?;
        refuse("EnaSrdSpecification", ena_srd_specification.is_some())?;
        refuse("EnablePrimaryIpv6", enable_primary_ipv6 == Some(true))?;
        let id = network_interface_id.ok_or_else(|| ApiError::missing_parameter("NetworkInterfaceId"))?;
        let mut changes: Vec<InterfaceChange> = Vec::new();
        if let Some(AttributeValue { value }) = description {
            changes.push(InterfaceChange::Description(text_of(value)?));
        }
        if let Some(AttributeBooleanValue { value }) = source_dest_check {
            let on = value.ok_or_else(|| ApiError::missing_parameter("SourceDestCheck.Value"))?;
            changes.push(InterfaceChange::SourceDestCheck(on));
        }
        if !groups.is_empty() {
            changes.push(InterfaceChange::Groups(groups));
        }
        if let Some(attachment) = attachment {
            changes.push(of_attachment(attachment)?);
        }
        let change = match changes.as_slice() {
            [change] => change,
            [] => return Err(Code::InvalidParameterCombination.message("No attributes specified.")),
            _ => {
                return Err(Code::InvalidParameterCombination.message("Fields for multiple attribute types specified"));
            }
        };
        self.cloud.modify_interface(cx, &id, change, dry == Some(true)).await
    }

    pub(crate) async fn reset_network_interface_attribute(
        &self,
        cx: &OpContext,
        r: ResetNetworkInterfaceAttributeRequest,
    ) -> Result<(), ApiError> {
        let ResetNetworkInterfaceAttributeRequest { dry_run: dry, network_interface_id, source_dest_check } = r;
        // EC2 takes any word here; the SDKs' documentation says `true`.
        source_dest_check.ok_or_else(|| ApiError::missing_parameter("SourceDestCheck"))?;
        let id = network_interface_id.ok_or_else(|| ApiError::missing_parameter("NetworkInterfaceId"))?;
        self.cloud.modify_interface(cx, &id, &InterfaceChange::SourceDestCheck(true), dry == Some(true)).await
    }
}

/// What is to change of an attachment.
fn of_attachment(wanted: NetworkInterfaceAttachmentChanges) -> Result<InterfaceChange, ApiError> {
    let NetworkInterfaceAttachmentChanges {
        attachment_id,
        default_ena_queue_count,
        delete_on_termination,
        ena_queue_count,
    } = wanted;
    refuse("Attachment.DefaultEnaQueueCount", default_ena_queue_count.is_some())?;
    refuse("Attachment.EnaQueueCount", ena_queue_count.is_some())?;
    let attachment = attachment_id.ok_or_else(|| ApiError::missing_parameter("Attachment.AttachmentId"))?;
    let on = delete_on_termination.ok_or_else(|| ApiError::missing_parameter("Attachment.DeleteOnTermination"))?;
    Ok(InterfaceChange::DeleteOnTermination(attachment, on))
}

//! Attributes of network interfaces. Every interface belongs to an instance, as its first: what is changed is the
//! instance's.

use crate::Ec2Api;
use crate::common::{dry_run, refuse, rows};
use crate::interfaces::shape;
use mallee_app::OpContext;
use mallee_app::fail::OrFail as _;
use mallee_app::ids::parse_id;
use mallee_app::instances::modify::Change;
use mallee_app::instances::view::{InterfaceView, interface_views};
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::*;
use mallee_store::{InterfaceFilter, interface_list};
use mallee_types::InterfaceId;

/// Longest description (EC2: 255 characters).
const DESCRIPTION_CHARS_MAX: usize = 255;

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
        let view = self.interface(cx, network_interface_id.as_deref()).await?;
        // `None`: what was asked for is so already.
        let mut changes: Vec<Option<Change>> = Vec::new();
        if let Some(AttributeValue { value }) = description {
            let text = value.unwrap_or_default();
            if text.chars().count() > DESCRIPTION_CHARS_MAX {
                let why = format!("The description has at most {DESCRIPTION_CHARS_MAX} characters.");
                return Err(ApiError::invalid_value("description", &text, &why));
            }
            changes.push(Some(Change::InterfaceDescription(text)));
        }
        if let Some(AttributeBooleanValue { value }) = source_dest_check {
            let on = value.ok_or_else(|| ApiError::missing_parameter("SourceDestCheck.Value"))?;
            changes.push(Some(Change::SourceDestCheck(on)));
        }
        if !groups.is_empty() {
            changes.push(Some(Change::Groups(groups)));
        }
        if let Some(attachment) = attachment {
            kept(&view, attachment)?;
            changes.push(None);
        }
        let change = match changes.as_slice() {
            [Some(change)] => change,
            [None] => return dry_run(dry),
            [] => return Err(Code::InvalidParameterCombination.message("No attributes specified.")),
            _ => {
                return Err(Code::InvalidParameterCombination.message("Fields for multiple attribute types specified"));
            }
        };
        self.change_interface(cx, &view, change, dry).await
    }

    pub(crate) async fn reset_network_interface_attribute(
        &self,
        cx: &OpContext,
        r: ResetNetworkInterfaceAttributeRequest,
    ) -> Result<(), ApiError> {
        let ResetNetworkInterfaceAttributeRequest { dry_run: dry, network_interface_id, source_dest_check } = r;
        // EC2 takes any word here; the SDKs' documentation says `true`.
        source_dest_check.ok_or_else(|| ApiError::missing_parameter("SourceDestCheck"))?;
        let view = self.interface(cx, network_interface_id.as_deref()).await?;
        self.change_interface(cx, &view, &Change::SourceDestCheck(true), dry).await
    }

    async fn change_interface(
        &self,
        cx: &OpContext,
        view: &InterfaceView,
        change: &Change,
        dry: Option<bool>,
    ) -> Result<(), ApiError> {
        let Some(instance) = &view.row.instance_id else {
            // Its instance went away between the two looks.
            return Err(ApiError::not_found(Code::InvalidNetworkInterfaceIdNotFound, &[view.row.id.as_str()]));
        };
        self.cloud.modify_instance(cx, instance.as_str(), change, dry == Some(true)).await.map(drop)
    }
}

/// How an attachment may be changed: not at all, for an instance's first interface goes with it.
fn kept(view: &InterfaceView, wanted: NetworkInterfaceAttachmentChanges) -> Result<(), ApiError> {
    let NetworkInterfaceAttachmentChanges {
        attachment_id,
        default_ena_queue_count,
        delete_on_termination,
        ena_queue_count,
    } = wanted;
    refuse("Attachment.DefaultEnaQueueCount", default_ena_queue_count.is_some())?;
    refuse("Attachment.EnaQueueCount", ena_queue_count.is_some())?;
    let mine = view.row.attachment_id.as_ref().map(ToString::to_string);
    if attachment_id.is_none() || attachment_id != mine {
        let named = mallee_awswire::texts::clip(attachment_id.as_deref().unwrap_or_default());
        return Err(Code::InvalidAttachmentIdNotFound.with(&[&named]));
    }
    refuse("Attachment.DeleteOnTermination", delete_on_termination == Some(false))
}

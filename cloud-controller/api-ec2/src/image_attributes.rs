//! What an image's owner changes about it: attributes, launch permissions, deprecation, protection.

use crate::Ec2Api;
use crate::common::{dry_run, refuse};
use mallee_app::OpContext;
use mallee_app::images::attributes::ImageChange;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::*;
use mallee_store::{ImageProtection, ImageRow};
use mallee_types::AccountId;

/// The only group EC2 knows in launch permissions: everyone.
const ALL: &str = "all";

fn text(value: impl Into<String>) -> Option<AttributeValue> {
    Some(AttributeValue { value: Some(value.into()) })
}

fn empty() -> Option<AttributeValue> {
    Some(AttributeValue { value: None })
}

/// `DeregistrationProtection` as EC2 words it.
pub(crate) fn protection(row: &ImageRow, now_ms: i64) -> String {
    match row.protection {
        ImageProtection::On => "enabled-without-cooldown".into(),
        ImageProtection::Cooldown => "enabled-with-cooldown".into(),
        ImageProtection::Off => match row.protected_until_ms.filter(|until| now_ms < *until) {
            Some(until) => format!("disabled until {}", crate::common::time_text(until)),
            None => "disabled".into(),
        },
    }
}

fn account(id: &str) -> Result<AccountId, ApiError> {
    id.parse().map_err(|_| Code::InvalidAmiAttributeItemValue.with(&[&mallee_awswire::texts::clip(id), "userId"]))
}

/// Who is added, who removed, and whether everyone may.
#[derive(Debug, Default, PartialEq, Eq)]
struct Permissions {
    add: Vec<AccountId>,
    remove: Vec<AccountId>,
    public: Option<bool>,
}

impl Permissions {
    fn take(&mut self, permission: LaunchPermission, add: bool) -> Result<(), ApiError> {
        let LaunchPermission { group, organization_arn, organizational_unit_arn, user_id } = permission;
        refuse("LaunchPermission.OrganizationArn", organization_arn.is_some())?;
        refuse("LaunchPermission.OrganizationalUnitArn", organizational_unit_arn.is_some())?;
        match (group.as_deref(), user_id) {
            (Some(ALL), None) => self.public = Some(add),
            (Some(other), None) => {
                let clipped = mallee_awswire::texts::clip(other);
                return Err(Code::InvalidAmiAttributeItemValue.with(&[&clipped, "group"]));
            }
            (None, Some(id)) => (if add { &mut self.add } else { &mut self.remove }).push(account(&id)?),
            (None, None) | (Some(_), Some(_)) => {
                return Err(ApiError::invalid_combination("A launch permission names either a user or a group"));
            }
        }
        Ok(())
    }

    fn of_change(self) -> ImageChange {
        ImageChange::LaunchPermission { add: self.add, remove: self.remove, public: self.public }
    }
}

/// The one change a request asks for.
fn change(r: ModifyImageAttributeRequest) -> Result<(String, ImageChange, bool), ApiError> {
    let ModifyImageAttributeRequest {
        attribute,
        description,
        dry_run,
        image_id,
        imds_support,
        launch_permission,
        operation_type,
        organization_arns,
        organizational_unit_arns,
        product_codes,
        user_groups,
        user_ids,
        value,
    } = r;
    refuse("ImdsSupport", imds_support.is_some())?;
    refuse("OrganizationArn", !organization_arns.is_empty())?;
    refuse("OrganizationalUnitArn", !organizational_unit_arns.is_empty())?;
    refuse("ProductCode", !product_codes.is_empty())?;
    let id = image_id.unwrap_or_default();
    let dry = dry_run == Some(true);
    let flat = !user_groups.is_empty() || !user_ids.is_empty() || operation_type.is_some();
    let several = usize::from(description.is_some()) + usize::from(launch_permission.is_some() || flat);
    if several > 1 {
        return Err(ApiError::invalid_combination(
            "Fields for multiple attribute types specified: description, launchPermission",
        ));
    }
    if let Some(AttributeValue { value }) = description {
        return Ok((id, ImageChange::Description(value.unwrap_or_default()), dry));
    }
    let mut permissions = Permissions::default();
    if let Some(LaunchPermissionModifications { add, remove }) = launch_permission {
        if flat {
            return Err(ApiError::invalid_combination(
                "The parameter LaunchPermission cannot be used with OperationType, UserId and UserGroup",
            ));
        }
        for permission in add {
            permissions.take(permission, true)?;
        }
        for permission in remove {
            permissions.take(permission, false)?;
        }
        return Ok((id, permissions.of_change(), dry));
    }
    match attribute.as_deref() {
        Some("description") => {
            let value = value.ok_or_else(|| ApiError::missing_parameter("value"))?;
            return Ok((id, ImageChange::Description(value), dry));
        }
        Some("launchPermission") => {}
        None if flat => {}
        None => return Err(ApiError::invalid_combination("No attributes specified.")),
        Some(other) => {
            return Err(Code::InvalidParameterValue.message(format!(
                "Value ({}) for parameter attribute is invalid. Only description and launchPermission can be modified.",
                mallee_awswire::texts::clip(other)
            )));
        }
    }
    let add = match operation_type.as_deref() {
        Some("add") => true,
        Some("remove") => false,
        Some(other) => {
            return Err(ApiError::invalid_value("operationType", other, "Valid values are add and remove."));
        }
        None => return Err(ApiError::missing_parameter("operationType")),
    };
    let groups = user_groups.into_iter().map(|g| LaunchPermission { group: Some(g), ..Default::default() });
    let users = user_ids.into_iter().map(|u| LaunchPermission { user_id: Some(u), ..Default::default() });
    for permission in groups.chain(users) {
        permissions.take(permission, add)?;
    }
    Ok((id, permissions.of_change(), dry))
}

impl Ec2Api {
    pub(crate) async fn describe_image_attribute(
        &self,
        cx: &OpContext,
        r: DescribeImageAttributeRequest,
    ) -> Result<ImageAttribute, ApiError> {
        let DescribeImageAttributeRequest { attribute, dry_run: dry, image_id } = r;
        // Only the owner sees an image's attributes, as on EC2.
        let row = self.cloud.own_image(cx, &image_id.unwrap_or_default()).await?;
        let mut out = ImageAttribute { image_id: Some(row.id.to_string()), ..Default::default() };
        match attribute.as_deref().ok_or_else(|| ApiError::missing_parameter("attribute"))? {
            "description" => out.description = text(row.description.as_str()),
            "launchPermission" => {
                let all = row.is_public.then(|| LaunchPermission { group: Some(ALL.into()), ..Default::default() });
                let users = self.cloud.image_users(&row.id).await?.into_iter();
                let user = |id: AccountId| LaunchPermission { user_id: Some(id.to_string()), ..Default::default() };
                out.launch_permissions = all.into_iter().chain(users.map(user)).collect();
            }
            "bootMode" => out.boot_mode = text("legacy-bios"),
            "deregistrationProtection" => {
                out.deregistration_protection = text(protection(&row, self.cloud.clock().now_ms()));
            }
            // What these hold does not exist here: EC2 sends the element empty.
            "kernel" => out.kernel_id = empty(),
            "ramdisk" => out.ramdisk_id = empty(),
            "sriovNetSupport" => out.sriov_net_support = empty(),
            "tpmSupport" => out.tpm_support = empty(),
            "uefiData" => out.uefi_data = empty(),
            "imdsSupport" => out.imds_support = empty(),
            "productCodes" | "blockDeviceMapping" => {}
            other => {
                return Err(Code::InvalidParameterValue.message(format!(
                    "Value ({}) for parameter attribute is invalid. Unknown attribute.",
                    mallee_awswire::texts::clip(other)
                )));
            }
        }
        dry_run(dry)?;
        Ok(out)
    }

    pub(crate) async fn modify_image_attribute(
        &self,
        cx: &OpContext,
        r: ModifyImageAttributeRequest,
    ) -> Result<(), ApiError> {
        let (id, change, dry_run) = change(r)?;
        self.cloud.modify_image(cx, &id, &change, dry_run).await.map(drop)
    }

    pub(crate) async fn reset_image_attribute(
        &self,
        cx: &OpContext,
        r: ResetImageAttributeRequest,
    ) -> Result<(), ApiError> {
        let ResetImageAttributeRequest { attribute, dry_run, image_id } = r;
        let attribute = attribute.ok_or_else(|| ApiError::missing_parameter("attribute"))?;
        if attribute != "launchPermission" {
            let why = "Only launchPermission can be reset.";
            return Err(ApiError::invalid_value("attribute", &attribute, why));
        }
        let id = image_id.unwrap_or_default();
        let change = ImageChange::ResetLaunchPermission;
        self.cloud.modify_image(cx, &id, &change, dry_run == Some(true)).await.map(drop)
    }

    async fn image_change(
        &self,
        cx: &OpContext,
        id: Option<String>,
        change: ImageChange,
        dry: Option<bool>,
    ) -> Result<ImageRow, ApiError> {
        self.cloud.modify_image(cx, &id.unwrap_or_default(), &change, dry == Some(true)).await
    }

    pub(crate) async fn enable_image(
        &self,
        cx: &OpContext,
        r: EnableImageRequest,
    ) -> Result<EnableImageResult, ApiError> {
        let EnableImageRequest { dry_run, image_id } = r;
        self.image_change(cx, image_id, ImageChange::Enable, dry_run).await?;
        Ok(EnableImageResult { return_: Some(true) })
    }

    pub(crate) async fn disable_image(
        &self,
        cx: &OpContext,
        r: DisableImageRequest,
    ) -> Result<DisableImageResult, ApiError> {
        let DisableImageRequest { dry_run, image_id } = r;
        self.image_change(cx, image_id, ImageChange::Disable, dry_run).await?;
        Ok(DisableImageResult { return_: Some(true) })
    }

    pub(crate) async fn enable_image_deprecation(
        &self,
        cx: &OpContext,
        r: EnableImageDeprecationRequest,
    ) -> Result<EnableImageDeprecationResult, ApiError> {
        let EnableImageDeprecationRequest { deprecate_at, dry_run, image_id } = r;
        let at = deprecate_at.ok_or_else(|| ApiError::missing_parameter("DeprecateAt"))?;
        let at_ms = i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX);
        self.image_change(cx, image_id, ImageChange::Deprecation(Some(at_ms)), dry_run).await?;
        Ok(EnableImageDeprecationResult { return_: Some(true) })
    }

    pub(crate) async fn disable_image_deprecation(
        &self,
        cx: &OpContext,
        r: DisableImageDeprecationRequest,
    ) -> Result<DisableImageDeprecationResult, ApiError> {
        let DisableImageDeprecationRequest { dry_run, image_id } = r;
        self.image_change(cx, image_id, ImageChange::Deprecation(None), dry_run).await?;
        Ok(DisableImageDeprecationResult { return_: Some(true) })
    }

    pub(crate) async fn enable_image_deregistration_protection(
        &self,
        cx: &OpContext,
        r: EnableImageDeregistrationProtectionRequest,
    ) -> Result<EnableImageDeregistrationProtectionResult, ApiError> {
        let EnableImageDeregistrationProtectionRequest { dry_run, image_id, with_cooldown } = r;
        let change = ImageChange::Protect { cooldown: with_cooldown == Some(true) };
        let row = self.image_change(cx, image_id, change, dry_run).await?;
        let return_ = Some(protection(&row, self.cloud.clock().now_ms()));
        Ok(EnableImageDeregistrationProtectionResult { return_ })
    }

    pub(crate) async fn disable_image_deregistration_protection(
        &self,
        cx: &OpContext,
        r: DisableImageDeregistrationProtectionRequest,
    ) -> Result<DisableImageDeregistrationProtectionResult, ApiError> {
        let DisableImageDeregistrationProtectionRequest { dry_run, image_id } = r;
        let row = self.image_change(cx, image_id, ImageChange::Unprotect, dry_run).await?;
        let return_ = Some(protection(&row, self.cloud.clock().now_ms()));
        Ok(DisableImageDeregistrationProtectionResult { return_ })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_by_both_spellings() {
        let nested = ModifyImageAttributeRequest {
            launch_permission: Some(LaunchPermissionModifications {
                add: vec![
                    LaunchPermission { user_id: Some("000000000002".into()), ..Default::default() },
                    LaunchPermission { group: Some("all".into()), ..Default::default() },
                ],
                remove: vec![],
            }),
            ..Default::default()
        };
        let flat = ModifyImageAttributeRequest {
            attribute: Some("launchPermission".into()),
            operation_type: Some("add".into()),
            user_ids: vec!["000000000002".into()],
            user_groups: vec!["all".into()],
            ..Default::default()
        };
        let (_, first, _) = change(nested).unwrap();
        assert_eq!(change(flat).unwrap().1, first);
        let bad = ModifyImageAttributeRequest {
            operation_type: Some("add".into()),
            user_ids: vec!["bob".into()],
            ..Default::default()
        };
        let error = change(bad).unwrap_err();
        assert_eq!(error.code(), Code::InvalidAmiAttributeItemValue);
        assert_eq!(error.message(), "Invalid attribute item value \"bob\" for userId item type.");
        assert!(change(ModifyImageAttributeRequest::default()).is_err());
    }
}

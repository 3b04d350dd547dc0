//! The id-format family as EC2 answers it today: every resource has long ids, and nothing can be opted out of.

use crate::Ec2Api;
use crate::common::dry_run;
use crate::page::Page;
use mallee_app::OpContext;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::*;

/// The resource types of DescribeIdFormat (EC2's reference of it).
const RESOURCES: [&str; 29] = [
    "bundle",
    "conversion-task",
    "customer-gateway",
    "dhcp-options",
    "elastic-ip-allocation",
    "elastic-ip-association",
    "export-task",
    "flow-log",
    "image",
    "import-task",
    "instance",
    "internet-gateway",
    "network-acl",
    "network-acl-association",
    "network-interface",
    "network-interface-attachment",
    "prefix-list",
    "reservation",
    "route-table",
    "route-table-association",
    "security-group",
    "snapshot",
    "subnet",
    "subnet-cidr-block-association",
    "volume",
    "vpc",
    "vpc-cidr-block-association",
    "vpc-endpoint",
    "vpc-peering-connection",
];
/// What ModifyIdFormat takes for every resource at once.
const ALL_CURRENT: &str = "all-current";

fn format(resource: &str) -> IdFormat {
    IdFormat { deadline: None, resource: Some(resource.to_owned()), use_long_ids: Some(true) }
}

fn known(resource: &str) -> Result<(), ApiError> {
    if RESOURCES.contains(&resource) || matches!(resource, "vpn-connection" | "vpn-gateway") {
        return Ok(());
    }
    Err(Code::InvalidParameterValue
        .message(format!("Invalid value '{}' for resource.", mallee_awswire::texts::clip(resource))))
}

fn formats(resource: Option<&str>) -> Result<Vec<IdFormat>, ApiError> {
    match resource {
        Some(resource) => {
            known(resource)?;
            Ok(vec![format(resource)])
        }
        None => Ok(RESOURCES.into_iter().chain(["vpn-connection", "vpn-gateway"]).map(format).collect()),
    }
}

/// Long ids can be asked for, short ones cannot any more.
fn modify(resource: Option<&str>, use_long_ids: Option<bool>) -> Result<(), ApiError> {
    let resource = resource.ok_or_else(|| ApiError::missing_parameter("resource"))?;
    if resource != ALL_CURRENT {
        known(resource)?;
    }
    match use_long_ids {
        Some(true) => Ok(()),
        Some(false) => Err(Code::InvalidParameterValue
            .message("Value (false) for parameter useLongIds is invalid. Only long ids are made.")),
        None => Err(ApiError::missing_parameter("useLongIds")),
    }
}

/// Principals are of the caller's account: `all`, its root, a user or a role.
fn principal(cx: &OpContext, arn: Option<&str>) -> Result<(), ApiError> {
    let arn = arn.ok_or_else(|| ApiError::missing_parameter("principalArn"))?;
    let mine = format!("arn:aws:iam::{}:", cx.account());
    let kind = arn.strip_prefix(&mine).unwrap_or_default();
    if arn == "all" || kind == "root" || kind.starts_with("user/") || kind.starts_with("role/") {
        return Ok(());
    }
    Err(Code::InvalidParameterValue
        .message(format!("Invalid value '{}' for principalArn.", mallee_awswire::texts::clip(arn))))
}

impl Ec2Api {
    pub(crate) fn describe_id_format(&self, r: DescribeIdFormatRequest) -> Result<DescribeIdFormatResult, ApiError> {
        let DescribeIdFormatRequest { resource } = r;
        Ok(DescribeIdFormatResult { statuses: formats(resource.as_deref())? })
    }

    pub(crate) fn describe_identity_id_format(
        &self,
        cx: &OpContext,
        r: DescribeIdentityIdFormatRequest,
    ) -> Result<DescribeIdentityIdFormatResult, ApiError> {
        let DescribeIdentityIdFormatRequest { principal_arn, resource } = r;
        principal(cx, principal_arn.as_deref())?;
        Ok(DescribeIdentityIdFormatResult { statuses: formats(resource.as_deref())? })
    }

    pub(crate) fn describe_aggregate_id_format(
        &self,
        r: DescribeAggregateIdFormatRequest,
    ) -> Result<DescribeAggregateIdFormatResult, ApiError> {
        let DescribeAggregateIdFormatRequest { dry_run: dry } = r;
        dry_run(dry)?;
        Ok(DescribeAggregateIdFormatResult { statuses: formats(None)?, use_long_ids_aggregated: Some(true) })
    }

    /// Principals that have set a format of their own: nobody can.
    pub(crate) fn describe_principal_id_format(
        &self,
        r: DescribePrincipalIdFormatRequest,
    ) -> Result<DescribePrincipalIdFormatResult, ApiError> {
        let DescribePrincipalIdFormatRequest { dry_run: dry, max_results, next_token, resources } = r;
        resources.iter().try_for_each(|resource| known(resource))?;
        Page::new("DescribePrincipalIdFormat", max_results, next_token.as_deref(), 1..=1000)?;
        dry_run(dry)?;
        Ok(DescribePrincipalIdFormatResult::default())
    }

    pub(crate) fn modify_id_format(&self, r: ModifyIdFormatRequest) -> Result<(), ApiError> {
        let ModifyIdFormatRequest { resource, use_long_ids } = r;
        modify(resource.as_deref(), use_long_ids)
    }

    pub(crate) fn modify_identity_id_format(
        &self,
        cx: &OpContext,
        r: ModifyIdentityIdFormatRequest,
    ) -> Result<(), ApiError> {
        let ModifyIdentityIdFormatRequest { principal_arn, resource, use_long_ids } = r;
        principal(cx, principal_arn.as_deref())?;
        modify(resource.as_deref(), use_long_ids)
    }
}

//! What AWS checks in actions and resources before it stores a policy.

use crate::error::PolicyError;
use crate::policy::Version;
use crate::variable::split_fields;

/// The kinds of resources in IAM's ARNs.
const IAM_PATHS: [&str; 13] = [
    "user/",
    "federated-user/",
    "role/",
    "group/",
    "instance-profile/",
    "mfa/",
    "server-certificate/",
    "policy/",
    "sms-mfa/",
    "saml-provider/",
    "oidc-provider/",
    "report/",
    "access-report/",
];
/// Eucalyptus has accounts as resources of IAM.
const ACCOUNT_PATH: &str = "account/";

/// `service:Action`, `*` or `*:*`.
pub(super) fn check_action(action: &str) -> Result<(), PolicyError> {
    let mut parts = action.split(':');
    let vendor = parts.next().unwrap_or_default();
    match (parts.next(), parts.next()) {
        (None, _) if vendor == "*" => return Ok(()),
        (None, _) => return Err(PolicyError::NoVendor),
        (Some(_), Some(_)) => return Err(PolicyError::ManyColons),
        (Some(_), None) => {}
    }
    let valid = vendor.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
    if vendor == "*" || (valid && !vendor.is_empty()) { Ok(()) } else { Err(PolicyError::Vendor(vendor.to_owned())) }
}

/// `*` or an ARN, whose service is written out.
pub(super) fn check_resource(resource: &str, version: Version) -> Result<(), PolicyError> {
    if resource == "*" {
        return Ok(());
    }
    let fields = split_fields(resource, 6, version);
    let field = |i: usize| fields.get(i).copied();
    let (Some("arn"), Some(partition)) = (field(0), field(1)) else {
        return Err(PolicyError::NotArn(resource.to_owned()));
    };
    if partition != "aws" {
        let filled: Vec<&str> = (2..6).map(|i| field(i).unwrap_or("*")).collect();
        let resource = format!("arn:{partition}:{}", filled.join(":"));
        return Err(PolicyError::Partition { partition: partition.to_owned(), resource });
    }
    let service = field(2).filter(|service| !service.contains(['*', '?'])).ok_or(PolicyError::ResourceVendor)?;
    if service.is_empty() || (fields.len() < 6 && resource.contains("::")) {
        return Err(PolicyError::LegacyParsing);
    }
    let no_region = matches!(field(3), Some("")) && fields.len() > 4;
    let region = |service, verb| PolicyError::Region { service, resource: resource.to_owned(), verb };
    match service {
        "iam" if !no_region => Err(region("IAM resource", "cannot")),
        "s3" if !no_region => Err(region("Resource", "can not")),
        "iam" => {
            let path = field(5).unwrap_or("*");
            let known =
                path == "*" || path.starts_with(ACCOUNT_PATH) || IAM_PATHS.iter().any(|kind| path.starts_with(kind));
            if known { Ok(()) } else { Err(PolicyError::IamPath) }
        }
        _ => Ok(()),
    }
}

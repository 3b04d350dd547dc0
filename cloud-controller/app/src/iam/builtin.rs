//! Managed policies that come with the cloud, under the ARNs by which AWS knows them. Each is a file of the folder
//! `builtin`; what they allow of services that this cloud has is what AWS's own allow.

use mallee_iam::{Policy, PolicyKind};
use sha2::{Digest as _, Sha256};
use std::sync::{Arc, LazyLock};

/// What stands in the place of an account in the ARNs of these policies.
pub const OWNER: &str = "aws";
/// When they were made, as they say: 6 February 2015, when AWS introduced managed policies.
const CREATED_MS: i64 = 1_423_247_986_000;
/// Letters of unique ids: base32.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A policy of the build.
#[derive(Debug)]
pub struct BuiltIn {
    /// `ANPA…`, derived from the name.
    pub id: String,
    /// Its name.
    pub name: &'static str,
    /// `/` or `/job-function/`.
    pub path: &'static str,
    /// `arn:aws:iam::aws:policy/…`.
    pub arn: String,
    /// What it is for.
    pub description: &'static str,
    /// JSON.
    pub document: &'static str,
    /// The document, ready to be evaluated.
    pub policy: Arc<Policy>,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
}

struct Source {
    path: &'static str,
    name: &'static str,
    description: &'static str,
    document: &'static str,
}

macro_rules! sources {
    ($($path:literal $name:literal $description:literal;)*) => {
        const SOURCES: &[Source] = &[$(Source {
            path: $path,
            name: $name,
            description: $description,
            document: include_str!(concat!("builtin/", $name, ".json")),
        }),*];
    };
}

sources! {
    "/" "AWSCloudFormationFullAccess" "Provides full access to AWS CloudFormation.";
    "/" "AWSCloudFormationReadOnlyAccess" "Provides access to AWS CloudFormation via the AWS Management Console.";
    "/" "AdministratorAccess" "Provides full access to AWS services and resources.";
    "/" "AmazonEC2FullAccess" "Provides full access to Amazon EC2 via the AWS Management Console.";
    "/" "AmazonEC2ReadOnlyAccess" "Provides read only access to Amazon EC2 via the AWS Management Console.";
    "/" "AmazonS3FullAccess" "Provides full access to all buckets via the AWS Management Console.";
    "/" "AmazonS3ReadOnlyAccess" "Provides read only access to all buckets via the AWS Management Console.";
    "/" "AmazonSQSFullAccess" "Provides full access to Amazon SQS via the AWS Management Console.";
    "/" "AmazonSQSReadOnlyAccess" "Provides read only access to Amazon SQS via the AWS Management Console.";
    "/" "AmazonVPCFullAccess" "Provides full access to Amazon VPC via the AWS Management Console.";
    "/" "AmazonVPCReadOnlyAccess" "Provides read only access to Amazon VPC via the AWS Management Console.";
    "/" "AutoScalingFullAccess" "Provides full access to Auto Scaling.";
    "/" "AutoScalingReadOnlyAccess" "Provides read-only access to Auto Scaling.";
    "/" "CloudWatchFullAccess" "Provides full access to CloudWatch.";
    "/" "CloudWatchReadOnlyAccess" "Provides read only access to CloudWatch.";
    "/" "ElasticLoadBalancingFullAccess" "Provides full access to Amazon ElasticLoadBalancing, and limited access to other services necessary to provide ElasticLoadBalancing features.";
    "/" "ElasticLoadBalancingReadOnly" "Provides read only access to Amazon ElasticLoadBalancing and dependent services";
    "/" "IAMFullAccess" "Provides full access to IAM via the AWS Management Console.";
    "/" "IAMReadOnlyAccess" "Provides read only access to IAM via the AWS Management Console.";
    "/" "IAMSelfManageServiceSpecificCredentials" "Allows an IAM user to manage their own Service Specific Credentials.";
    "/" "IAMUserChangePassword" "Provides the ability for an IAM user to change their own password.";
    "/job-function/" "NetworkAdministrator" "This policy grants full access permissions to AWS services and actions required to set up and configure AWS network resources.";
    "/" "PowerUserAccess" "Provides full access to AWS services and resources, but does not allow management of Users and groups.";
    "/" "ReadOnlyAccess" "Provides read-only access to AWS services and resources.";
    "/" "SecurityAudit" "The security audit template grants access to read security configuration metadata.";
    "/job-function/" "SystemAdministrator" "Grants full access permissions necessary for resources required for application and development operations.";
    "/job-function/" "ViewOnlyAccess" "This policy grants permissions to view resources and basic metadata across all AWS services.";
}

fn id(name: &str) -> String {
    let letter = |byte: u8| BASE32.get(usize::from(byte % 32)).copied().map_or('A', char::from);
    "ANPA".chars().chain(Sha256::digest(name).into_iter().take(17).map(letter)).collect()
}

static ALL: LazyLock<Vec<BuiltIn>> = LazyLock::new(|| {
    // A document that does not read would be left out; a test reads them all.
    let read = |source: &'static Source| {
        let policy = Policy::parse(source.document, PolicyKind::BuiltIn).ok()?;
        Some(BuiltIn {
            id: id(source.name),
            name: source.name,
            path: source.path,
            arn: format!("arn:aws:iam::{OWNER}:policy{}{}", source.path, source.name),
            description: source.description,
            document: source.document.trim_end(),
            policy: Arc::new(policy),
            created_ms: CREATED_MS,
        })
    };
    let mut all: Vec<BuiltIn> = SOURCES.iter().filter_map(read).collect();
    all.sort_by(|a, b| a.arn.cmp(&b.arn));
    all
});

/// All of them, by ARN.
#[must_use]
pub fn all() -> &'static [BuiltIn] {
    &ALL
}

/// The one of this ARN.
#[must_use]
pub fn by_arn(arn: &str) -> Option<&'static BuiltIn> {
    let at = ALL.binary_search_by(|policy| policy.arn.as_str().cmp(arn)).ok()?;
    ALL.get(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_reads() {
        for source in SOURCES {
            assert!(Policy::parse(source.document, PolicyKind::BuiltIn).is_ok(), "{}", source.name);
        }
        assert_eq!(all().len(), SOURCES.len());
    }

    #[test]
    fn they_are_found_by_awss_arns() {
        assert_eq!(by_arn("arn:aws:iam::aws:policy/AdministratorAccess").map(|p| p.name), Some("AdministratorAccess"));
        let view = by_arn("arn:aws:iam::aws:policy/job-function/ViewOnlyAccess").unwrap();
        assert_eq!((view.path, view.id.len()), ("/job-function/", 21));
        assert!(by_arn("arn:aws:iam::aws:policy/Nothing").is_none());
    }
}

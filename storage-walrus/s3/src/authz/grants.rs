//! Access control lists as policies: what each permission lets its grantee do
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#permissions>).

use mallee_s3_config::{Acl, Grantee, Permission};
use serde_json::{Value, json};
use std::sync::Arc;

/// Of what a list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Bucket,
    Object,
}

const fn actions(of: Of, permission: Permission) -> &'static [&'static str] {
    match (of, permission) {
        (Of::Bucket, Permission::Read) => &["s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"],
        // Who writes an object may say to whom it grants what.
        (Of::Bucket, Permission::Write) => &["s3:PutObject", "s3:PutObjectAcl", "s3:DeleteObject"],
        (Of::Bucket, Permission::ReadAcp) => &["s3:GetBucketAcl"],
        (Of::Bucket, Permission::WriteAcp) => &["s3:PutBucketAcl"],
        (Of::Bucket, Permission::FullControl) => &[
            "s3:ListBucket",
            "s3:ListBucketVersions",
            "s3:ListBucketMultipartUploads",
            "s3:PutObject",
            "s3:PutObjectAcl",
            "s3:DeleteObject",
            "s3:GetBucketAcl",
            "s3:PutBucketAcl",
        ],
        (Of::Object, Permission::Read) => &["s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectTorrent"],
        // Nothing of an object: what it says of itself does not change.
        (Of::Object, Permission::Write) => &[],
        (Of::Object, Permission::ReadAcp) => &["s3:GetObjectAcl", "s3:GetObjectVersionAcl"],
        (Of::Object, Permission::WriteAcp) => &["s3:PutObjectAcl", "s3:PutObjectVersionAcl"],
        (Of::Object, Permission::FullControl) => &[
            "s3:GetObject",
            "s3:GetObjectVersion",
            "s3:GetObjectTorrent",
            "s3:GetObjectAcl",
            "s3:GetObjectVersionAcl",
            "s3:PutObjectAcl",
            "s3:PutObjectVersionAcl",
        ],
    }
}

fn principal(grantee: &Grantee) -> Value {
    match grantee {
        Grantee::Account(account) => json!({ "AWS": account }),
        Grantee::AllUsers | Grantee::AuthenticatedUsers => json!("*"),
        Grantee::LogDelivery => json!({ "Service": "logging.s3.amazonaws.com" }),
        Grantee::Ec2 => json!({ "Service": "ec2.amazonaws.com" }),
    }
}

/// The policy that a list is; `None`: it grants nothing. It names no resource, so that lists that say the same are the same
/// text. With `ignore_public` what it grants to the public is left out.
pub(super) fn policy(acl: &Acl, of: Of, ignore_public: bool) -> Option<Arc<str>> {
    let mut statements = Vec::new();
    for grant in acl.grants.iter().filter(|grant| !(ignore_public && grant.grantee.is_public())) {
        let actions = actions(of, grant.permission);
        if actions.is_empty() {
            continue;
        }
        let mut statement = json!({
            "Effect": "Allow", "Principal": principal(&grant.grantee), "Action": actions, "Resource": "*",
        });
        if grant.grantee == Grantee::AuthenticatedUsers
            && let Some(fields) = statement.as_object_mut()
        {
            // Whoever did not sign is nobody's user.
            let signed = json!({ "StringNotEquals": { "aws:PrincipalType": "Anonymous" } });
            fields.insert("Condition".to_owned(), signed);
        }
        statements.push(statement);
    }
    let policy = json!({ "Version": "2012-10-17", "Statement": statements });
    (!statements.is_empty()).then(|| policy.to_string().into())
}

/// What whoever began an upload may do with it in another account's bucket, which no policy need say
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html#mpuAndPermissions>). `account` is the
/// initiator's; its users need a policy of their own as well. No list grants these actions.
pub(super) fn of_initiator(account: &str) -> Arc<str> {
    let statement = json!({
        "Effect": "Allow", "Principal": { "AWS": account },
        "Action": ["s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"], "Resource": "*",
    });
    json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_iam::{Context, Inputs, Policy, PolicyKind, Principal, Request, evaluate};

    const OWNER: &str = "111111111111";
    const OTHER: &str = "222222222222";

    fn caller(who: &str) -> Principal {
        match who {
            "anonymous" => Principal::Anonymous,
            "logs" => Principal::Service { name: "logging.s3.amazonaws.com".into() },
            "ec2" => Principal::Service { name: "ec2.amazonaws.com".into() },
            account => Principal::Root { account: account.parse().expect("a number") },
        }
    }

    fn may(who: &str, action: &str, canned: &str, of: Of, ignore: bool) -> bool {
        let acl = Acl::canned(canned, OWNER, OWNER).expect("one");
        let text = policy(&acl, of, ignore);
        let grants = text.map(|text| Policy::parse(&text, PolicyKind::Resource).expect("good"));
        let principal = caller(who);
        let context = Context::of(&principal);
        let request = Request { principal: &principal, action, resource: "arn:aws:s3:::b/k", context: &context };
        let owner = OWNER.parse().expect("a number");
        let inputs = Inputs { grants: grants.as_ref(), resource_account: Some(&owner), ..Inputs::default() };
        evaluate(&request, &inputs).is_allowed()
    }

    #[test]
    fn whoever_began_an_upload_may_end_it() {
        let grants = Policy::parse(&of_initiator(OTHER), PolicyKind::Resource).expect("good");
        let may = |who: &str, action: &str| {
            let principal = caller(who);
            let context = Context::of(&principal);
            let request = Request { principal: &principal, action, resource: "arn:aws:s3:::b/k", context: &context };
            let owner = OWNER.parse().expect("a number");
            let inputs = Inputs { grants: Some(&grants), resource_account: Some(&owner), ..Inputs::default() };
            evaluate(&request, &inputs).is_allowed()
        };
        assert!(may(OTHER, "s3:AbortMultipartUpload") && may(OTHER, "s3:ListMultipartUploadParts"));
        assert!(!may(OTHER, "s3:PutObject") && !may(OTHER, "s3:DeleteObject"));
        assert!(!may("anonymous", "s3:AbortMultipartUpload") && !may("333333333333", "s3:AbortMultipartUpload"));
    }

    #[test]
    fn whom_canned_lists_let_in() {
        let bucket = [
            ("private", OTHER, "s3:ListBucket", false),
            ("private", OWNER, "s3:ListBucket", true),
            ("public-read", "anonymous", "s3:ListBucket", true),
            ("public-read", OTHER, "s3:ListBucket", true),
            ("public-read", OTHER, "s3:PutObject", false),
            ("public-read", OTHER, "s3:GetBucketAcl", false),
            ("public-read-write", "anonymous", "s3:PutObject", true),
            ("public-read-write", "anonymous", "s3:DeleteObject", true),
            ("public-read-write", "anonymous", "s3:PutBucketPolicy", false),
            ("authenticated-read", OTHER, "s3:ListBucket", true),
            ("authenticated-read", "anonymous", "s3:ListBucket", false),
            ("log-delivery-write", "logs", "s3:PutObject", true),
            ("log-delivery-write", "logs", "s3:GetBucketAcl", true),
            ("log-delivery-write", OTHER, "s3:PutObject", false),
        ];
        for (canned, who, action, is) in bucket {
            assert_eq!(may(who, action, canned, Of::Bucket, false), is, "{canned} {who} {action}");
            let still = is && (who == OWNER || who == "logs");
            assert_eq!(may(who, action, canned, Of::Bucket, true), still, "{canned} {who} {action} when ignored");
        }
        let object = [
            ("private", OTHER, "s3:GetObject", false),
            ("public-read", "anonymous", "s3:GetObject", true),
            ("public-read", "anonymous", "s3:GetObjectAcl", false),
            ("public-read-write", "anonymous", "s3:PutObject", false),
            ("authenticated-read", OTHER, "s3:GetObjectVersion", true),
            ("authenticated-read", "anonymous", "s3:GetObject", false),
            ("aws-exec-read", "ec2", "s3:GetObject", true),
            ("aws-exec-read", OTHER, "s3:GetObject", false),
        ];
        for (canned, who, action, is) in object {
            assert_eq!(may(who, action, canned, Of::Object, false), is, "{canned} {who} {action}");
        }
    }
}

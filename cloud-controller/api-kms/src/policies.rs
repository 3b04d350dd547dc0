//! The policies of keys.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html>

use crate::ask::{Asker, Conditions, Reach};
use crate::page::Page;
use crate::state::Needs;
use mallee_awswire::{ApiError, Code};
use mallee_iam::{Policy, PolicyKind};
use mallee_store::KmsKeyRow;
use mallee_types::AccountId;
use serde::Deserialize;
use serde_json::{Value, json};

/// The name of the one policy that a key has.
const NAME: &str = "default";
/// Longest document, in bytes (AWS: 32 KiB).
const POLICY_BYTES_MAX: usize = 32 * 1024;
/// A policy that lets nobody in: no account has this number.
pub(crate) const NOBODY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
    "Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"kms:DescribeKey","Resource":"*"}]}"#;

/// The policy of a key that was made without one: the account decides.
pub(crate) fn of_account(account: &AccountId) -> String {
    let document = json!({
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [{
            "Sid": "Enable IAM User Permissions",
            "Effect": "Allow",
            "Principal": { "AWS": format!("arn:aws:iam::{account}:root") },
            "Action": "kms:*",
            "Resource": "*",
        }],
    });
    format!("{document:#}")
}

/// The policy of the key with which S3 encrypts for an account: through S3, and nowhere else.
pub(crate) fn of_s3(account: &AccountId, region: &str) -> String {
    let document = json!({
        "Version": "2012-10-17",
        "Id": "auto-s3-2",
        "Statement": [
            {
                "Sid": "Allow access through S3 for all principals in the account that are authorized to use S3",
                "Effect": "Allow",
                "Principal": { "AWS": "*" },
                "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
                "Resource": "*",
                "Condition": { "StringEquals": {
                    "kms:ViaService": format!("s3.{region}.amazonaws.com"),
                    "kms:CallerAccount": account.as_str(),
                } },
            },
            {
                "Sid": "Allow direct access to key metadata to the account",
                "Effect": "Allow",
                "Principal": { "AWS": format!("arn:aws:iam::{account}:root") },
                "Action": ["kms:Describe*", "kms:Get*", "kms:List*"],
                "Resource": "*",
            },
        ],
    });
    format!("{document:#}")
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Get {
    key_id: String,
    policy_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Put {
    key_id: String,
    policy_name: Option<String>,
    policy: String,
    bypass_policy_lockout_safety_check: Option<bool>,
}

/// A list about one key.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct ListOf {
    pub(crate) key_id: String,
    pub(crate) limit: Option<i64>,
    pub(crate) marker: Option<String>,
}

fn check_name(name: Option<&str>) -> Result<(), ApiError> {
    match name {
        None | Some(NAME) => Ok(()),
        Some(_) => Err(Code::NotFoundException.message("No such policy exists")),
    }
}

/// Whether a key may have this policy: it must read, and unless the caller means it, whoever sets it must be able to set
/// another.
///
/// # Errors
/// `MalformedPolicyDocumentException`, `LimitExceededException`.
pub(crate) async fn check(asker: &Asker<'_>, row: &KmsKeyRow, bypass: bool) -> Result<(), ApiError> {
    let text = &row.policy;
    if text.len() > POLICY_BYTES_MAX {
        let text = format!("A key policy has at most {POLICY_BYTES_MAX} bytes.");
        return Err(Code::LimitExceededException.message(text));
    }
    Policy::parse(text, PolicyKind::Resource)
        .map_err(|error| Code::MalformedPolicyDocumentException.message(error.to_string()))?;
    if bypass {
        return Ok(());
    }
    let denied = Code::MalformedPolicyDocumentException
        .message("The new key policy will not allow you to update the key policy in the future.");
    asker.require("kms:PutKeyPolicy", row, None, Conditions::new()).await.map_err(|error| match error.code() {
        Code::AccessDenied => denied,
        _ => error,
    })
}

pub(crate) async fn get(asker: &Asker<'_>, asked: Get) -> Result<Value, ApiError> {
    let found = asker.permitted("kms:GetKeyPolicy", &asked.key_id, Reach::Own, Conditions::new()).await?;
    check_name(asked.policy_name.as_deref())?;
    Ok(json!({ "Policy": found.row.policy, "PolicyName": NAME }))
}

pub(crate) async fn put(asker: &Asker<'_>, asked: Put) -> Result<(), ApiError> {
    let bypass = asked.bypass_policy_lockout_safety_check.unwrap_or_default();
    let conditions = vec![("kms:BypassPolicyLockoutSafetyCheck".to_owned(), vec![bypass.to_string()])];
    let found = asker.permitted("kms:PutKeyPolicy", &asked.key_id, Reach::Own, conditions).await?;
    check_name(asked.policy_name.as_deref())?;
    check(asker, &KmsKeyRow { policy: asked.policy.clone(), ..found.row.clone() }, bypass).await?;
    asker
        .change(&found, Needs::Any, async |row, _| {
            row.policy = asked.policy;
            Ok(())
        })
        .await
        .map(drop)
}

pub(crate) async fn list(asker: &Asker<'_>, asked: ListOf) -> Result<Value, ApiError> {
    let page = Page::read(asked.limit, asked.marker.as_deref(), 100)?;
    asker.permitted("kms:ListKeyPolicies", &asked.key_id, Reach::Own, Conditions::new()).await?;
    Ok(page.of("PolicyNames", vec![NAME], |name| (*name).to_owned(), |name| json!(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_policies_read() {
        let account = "123456789012".parse().unwrap();
        for text in [of_account(&account), of_s3(&account, "eu-1"), NOBODY.to_owned()] {
            Policy::parse(&text, PolicyKind::Resource).expect("it reads");
        }
    }
}

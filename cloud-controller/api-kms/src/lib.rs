//! KMS: keys that never leave the cloud, and what is encrypted with them (service `kms`, JSON 1.1).
//! <https://docs.aws.amazon.com/kms/latest/APIReference/Welcome.html>
//!
//! Keys are symmetric (AES-256-GCM). Their material is in the database, sealed with the database's key; a ciphertext
//! names its key and material, so that those of before a rotation open ([`envelope`]). Who may is decided by the key's
//! policy and the caller's own policies together ([`ask`]).

mod aliases;
mod ask;
mod context;
mod crypt;
mod envelope;
mod ids;
mod keeper;
mod keys;
mod page;
mod policies;
mod rotation;
mod service;
mod state;
mod tags;

pub use keeper::keep_keys;
pub use service::{DataKey, Keys};

use mallee_app::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

/// Name of the service in credential scopes.
pub const SERVICE: &str = "kms";
/// Keys of an account.
pub const KEYS_MAX: u64 = 10_000;
/// Aliases of a key (AWS: 50).
pub const ALIASES_PER_KEY_MAX: usize = 50;
/// Tags of a key (AWS: 50).
pub const TAGS_MAX: usize = 50;
/// Rotations of a key on demand (AWS: 25).
pub const ON_DEMAND_ROTATIONS_MAX: usize = 25;
/// Bytes that are encrypted directly (AWS: 4,096).
pub const PLAINTEXT_BYTES_MAX: usize = 4096;
/// Bytes of a ciphertext (AWS: 6,144).
pub const CIPHERTEXT_BYTES_MAX: usize = 6144;
/// Bytes of a data key, and of what is random (AWS: 1,024).
pub const RANDOM_BYTES_MAX: usize = 1024;

/// The operations that are answered.
pub const OFFERED: &[&str] = &[
    "CancelKeyDeletion",
    "CreateAlias",
    "CreateKey",
    "Decrypt",
    "DeleteAlias",
    "DescribeKey",
    "DisableKey",
    "DisableKeyRotation",
    "EnableKey",
    "EnableKeyRotation",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateRandom",
    "GetKeyPolicy",
    "GetKeyRotationStatus",
    "ListAliases",
    "ListKeyPolicies",
    "ListKeyRotations",
    "ListKeys",
    "ListResourceTags",
    "PutKeyPolicy",
    "ReEncrypt",
    "RotateKeyOnDemand",
    "ScheduleKeyDeletion",
    "TagResource",
    "UntagResource",
    "UpdateAlias",
    "UpdateKeyDescription",
];

/// Reads the parameters of an operation.
fn read<T: DeserializeOwned>(action: &str, body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(if body.is_empty() { b"{}" } else { body })
        // The text of the error may quote the body, which may be a secret.
        .map_err(|e| {
            let at = format!("line {} column {}", e.line(), e.column());
            let why = if e.is_data() { known_part(&e.to_string()) } else { "not JSON".to_owned() };
            Code::SerializationException.message(format!("The request is not one of {action}: {why} at {at}."))
        })
}

/// Of serde's words those that name a field, and none that quote a value.
fn known_part(text: &str) -> String {
    let named = text.starts_with("unknown field") || text.starts_with("missing field");
    let end = text.find(',').or_else(|| text.find(" at line")).unwrap_or(text.len());
    if named { text.get(..end).unwrap_or_default().to_owned() } else { "a value has the wrong type".to_owned() }
}

/// `ValidationException` in AWS's words.
fn invalid(value: &str, at: &str, constraint: &str) -> ApiError {
    Code::ValidationException.message(format!(
        "1 validation error detected: Value '{}' at '{at}' failed to satisfy constraint: Member must {constraint}",
        mallee_awswire::texts::clip(value)
    ))
}

/// Refuses what this cloud does not do, by name.
fn unsupported(parameter: &str) -> ApiError {
    Code::UnsupportedOperationException.message(format!("The parameter {parameter} is not supported by this cloud."))
}

/// KMS.
#[derive(Debug, Clone)]
pub struct KmsApi {
    cloud: Arc<Cloud>,
}

impl KmsApi {
    /// Over a cloud's use cases.
    #[must_use]
    pub const fn new(cloud: Arc<Cloud>) -> Self {
        Self { cloud }
    }

    /// Answers one call of somebody who is known: the body of the reply.
    ///
    /// # Errors
    /// KMS's.
    pub async fn call(&self, cx: &OpContext, action: &str, body: &[u8]) -> Result<String, ApiError> {
        let asker = ask::Asker { cloud: &self.cloud, cx, via: None };
        Ok(answer(&asker, action, body).await?.map_or_else(String::new, |value| value.to_string()))
    }
}

/// The reply to one call; `None` where KMS answers without a body.
async fn answer(asker: &ask::Asker<'_>, action: &str, body: &[u8]) -> Result<Option<Value>, ApiError> {
    let done = |()| None;
    Ok(match action {
        "" => return Err(Code::MissingAction.error()),
        "CreateKey" => Some(keys::create(asker, read(action, body)?).await?),
        "DescribeKey" => Some(keys::describe(asker, read(action, body)?).await?),
        "ListKeys" => Some(keys::list(asker, read(action, body)?).await?),
        "EnableKey" => keys::set_enabled(asker, read(action, body)?, true).await.map(done)?,
        "DisableKey" => keys::set_enabled(asker, read(action, body)?, false).await.map(done)?,
        "UpdateKeyDescription" => keys::update_description(asker, read(action, body)?).await.map(done)?,
        "ScheduleKeyDeletion" => Some(keys::schedule_deletion(asker, read(action, body)?).await?),
        "CancelKeyDeletion" => Some(keys::cancel_deletion(asker, read(action, body)?).await?),
        "Encrypt" => Some(crypt::encrypt(asker, read(action, body)?).await?),
        "Decrypt" => Some(crypt::decrypt(asker, read(action, body)?).await?),
        "ReEncrypt" => Some(crypt::re_encrypt(asker, read(action, body)?).await?),
        "GenerateDataKey" => Some(crypt::data_key(asker, read(action, body)?, true).await?),
        "GenerateDataKeyWithoutPlaintext" => Some(crypt::data_key(asker, read(action, body)?, false).await?),
        "GenerateRandom" => Some(crypt::random(asker, read(action, body)?).await?),
        "CreateAlias" => aliases::create(asker, read(action, body)?).await.map(done)?,
        "UpdateAlias" => aliases::update(asker, read(action, body)?).await.map(done)?,
        "DeleteAlias" => aliases::delete(asker, read(action, body)?).await.map(done)?,
        "ListAliases" => Some(aliases::list(asker, read(action, body)?).await?),
        "GetKeyPolicy" => Some(policies::get(asker, read(action, body)?).await?),
        "PutKeyPolicy" => policies::put(asker, read(action, body)?).await.map(done)?,
        "ListKeyPolicies" => Some(policies::list(asker, read(action, body)?).await?),
        "EnableKeyRotation" => rotation::enable(asker, read(action, body)?).await.map(done)?,
        "DisableKeyRotation" => rotation::disable(asker, read(action, body)?).await.map(done)?,
        "GetKeyRotationStatus" => Some(rotation::status(asker, read(action, body)?).await?),
        "RotateKeyOnDemand" => Some(rotation::on_demand(asker, read(action, body)?).await?),
        "ListKeyRotations" => Some(rotation::list(asker, read(action, body)?).await?),
        "TagResource" => tags::tag(asker, read(action, body)?).await.map(done)?,
        "UntagResource" => tags::untag(asker, read(action, body)?).await.map(done)?,
        "ListResourceTags" => Some(tags::list(asker, read(action, body)?).await?),
        other => return Err(ApiError::unsupported_operation(other)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_reading_quotes_no_value() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct One {
            #[allow(dead_code)]
            plaintext: u32,
        }
        let text = |body: &str| read::<One>("Encrypt", body.as_bytes()).unwrap_err().message().to_owned();
        assert!(text(r#"{"colour":"canary"}"#).contains("unknown field `colour`"));
        for body in [r#"{"plaintext":"canary"}"#, "canary", r#"{"colour":"canary"}"#] {
            assert!(!text(body).contains("canary"), "{}", text(body));
        }
    }
}

//! `ModifyInstanceMetadataDefaults`: what an account's launches get where they say nothing of the metadata service.

use super::modify::MetadataChange;
use crate::fail::OrFail as _;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{setting_delete, setting_fetch, setting_put};
use mallee_types::AccountId;
use serde_json::{Value, json};

/// One default in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting<T> {
    /// Leave it.
    Keep,
    /// Forget it.
    Clear,
    /// This from now on.
    Set(T),
}

impl<T> Setting<T> {
    fn over(self, now: Option<T>) -> Option<T> {
        match self {
            Self::Keep => now,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }
}

/// The defaults of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultsChange {
    /// `HttpEndpoint`.
    pub enabled: Setting<bool>,
    /// `HttpTokens`.
    pub tokens_required: Setting<bool>,
    /// `HttpPutResponseHopLimit`.
    pub hop_limit: Setting<u32>,
    /// `InstanceMetadataTags`.
    pub tags: Setting<bool>,
}

/// The setting that keeps an account's defaults.
pub(crate) fn key(account: &AccountId) -> String {
    format!("metadata-defaults/{account}")
}

fn parse(text: &str) -> Option<MetadataChange> {
    let value: Value = serde_json::from_str(text).ok()?;
    let flag = |name: &str| value.get(name).and_then(Value::as_bool);
    let hops = value.get("hop_limit").and_then(Value::as_u64);
    Some(MetadataChange {
        enabled: flag("enabled"),
        tokens_required: flag("tokens_required"),
        hop_limit: hops.and_then(|n| u32::try_from(n).ok()),
        tags: flag("tags"),
    })
}

fn print(defaults: MetadataChange) -> String {
    let MetadataChange { enabled, tokens_required, hop_limit, tags } = defaults;
    json!({ "enabled": enabled, "tokens_required": tokens_required, "hop_limit": hop_limit, "tags": tags }).to_string()
}

impl Cloud {
    /// The account's defaults; what is `None` was not set.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn metadata_defaults(&self, cx: &OpContext) -> Result<MetadataChange, ApiError> {
        let text = setting_fetch(self.store(), &key(cx.account())).await.or_fail()?;
        let Some(text) = text else { return Ok(MetadataChange::default()) };
        parse(&text).ok_or_else(|| ApiError::internal(format!("the metadata defaults of {} do not read", cx.account())))
    }

    /// `ModifyInstanceMetadataDefaults`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn modify_metadata_defaults(
        &self,
        cx: &OpContext,
        change: DefaultsChange,
        dry_run: bool,
    ) -> Result<(), ApiError> {
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let key = key(cx.account());
        let mut tx = self.store().write().await.or_fail()?;
        let text = setting_fetch(&mut tx, &key).await.or_fail()?;
        let now = text.as_deref().and_then(parse).unwrap_or_default();
        let after = MetadataChange {
            enabled: change.enabled.over(now.enabled),
            tokens_required: change.tokens_required.over(now.tokens_required),
            hop_limit: change.hop_limit.over(now.hop_limit),
            tags: change.tags.over(now.tags),
        };
        if after == MetadataChange::default() {
            setting_delete(&mut tx, &key).await.or_fail()?;
        } else {
            setting_put(&mut tx, &key, &print(after)).await.or_fail()?;
        }
        tx.commit().await.or_fail()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_read_back() {
        let all = MetadataChange { enabled: Some(true), tokens_required: Some(false), hop_limit: Some(3), tags: None };
        assert_eq!(parse(&print(all)), Some(all));
        assert_eq!(Setting::Clear.over(Some(1)), None);
        assert_eq!(Setting::Keep.over(Some(1)), Some(1));
    }
}

//! Keys: made, looked at, switched, and removed.

use crate::ask::{Asker, Conditions, Found, Reach, insert};
use crate::page::Page;
use crate::policies;
use crate::state::{Needs, word};
use crate::tags::{self, Tag};
use crate::{KEYS_MAX, unsupported};
use mallee_app::fail::OrFail as _;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    Json, KmsKeyDoc, KmsKeyRow, KmsState, kms_account_lock, kms_key_count, kms_key_list, kms_material_newest,
};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Milliseconds of a day.
pub(crate) const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Days until a key goes: at least, at most, and when nobody says.
const WINDOW_DAYS: (i64, i64, i64) = (7, 30, 30);
/// Longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 8192;
/// Keys on a page when the request does not say.
const PAGE: usize = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(crate) struct Create {
    policy: Option<String>,
    description: Option<String>,
    key_usage: Option<String>,
    customer_master_key_spec: Option<String>,
    key_spec: Option<String>,
    origin: Option<String>,
    custom_key_store_id: Option<String>,
    bypass_policy_lockout_safety_check: Option<bool>,
    tags: Vec<Tag>,
    multi_region: Option<bool>,
    xks_key_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Describe {
    key_id: String,
    #[serde(default)]
    grant_tokens: Vec<String>,
}

/// A request that names a key and says nothing else.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct OfKey {
    pub(crate) key_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(crate) struct List {
    limit: Option<i64>,
    marker: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct UpdateDescription {
    key_id: String,
    description: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct ScheduleDeletion {
    key_id: String,
    pending_window_in_days: Option<i64>,
}

/// Times in JSON are seconds since 1970.
#[allow(clippy::cast_precision_loss, reason = "times are far below 2^53")]
pub(crate) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// Names a material of a key, as AWS names them: 64 hex digits.
pub(crate) fn material_id(key: &str, n: u32) -> String {
    hex::encode(Sha256::digest(format!("{key} {n}")))
}

/// There are no grants, and so no tokens of any.
///
/// # Errors
/// `InvalidGrantTokenException`.
pub(crate) fn refuse_grants(tokens: &[String]) -> Result<(), ApiError> {
    if tokens.is_empty() { Ok(()) } else { Err(Code::InvalidGrantTokenException.error()) }
}

fn check_description(text: &str) -> Result<(), ApiError> {
    if text.chars().count() > DESCRIPTION_CHARS_MAX {
        return Err(crate::invalid(text, "description", "have length less than or equal to 8192"));
    }
    Ok(())
}

/// KeyMetadata.
async fn metadata(asker: &Asker<'_>, row: &KmsKeyRow) -> Result<Value, ApiError> {
    let newest = kms_material_newest(asker.cloud.store(), &row.id).await.or_fail()?;
    let mut shown = json!({
        "AWSAccountId": row.account_id,
        "KeyId": row.id,
        "Arn": asker.arn(row),
        "CreationDate": seconds(row.created_ms),
        "Enabled": row.state == KmsState::Enabled,
        "Description": row.doc.0.description,
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": word(row.state),
        "Origin": "AWS_KMS",
        "KeyManager": if row.doc.0.service.is_empty() { "CUSTOMER" } else { "AWS" },
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "MultiRegion": false,
    });
    if let Some(members) = shown.as_object_mut() {
        if let Some(at_ms) = row.delete_ms {
            members.insert("DeletionDate".to_owned(), json!(seconds(at_ms)));
        }
        if let Some(n) = newest {
            members.insert("CurrentKeyMaterialId".to_owned(), json!(material_id(&row.id, n)));
        }
    }
    Ok(shown)
}

impl Create {
    /// Refuses by name every kind of key but the one that there is.
    fn check(&self) -> Result<(), ApiError> {
        if let (Some(a), Some(b)) = (&self.customer_master_key_spec, &self.key_spec)
            && a != b
        {
            return Err(Code::ValidationException
                .message("You cannot specify KeySpec and CustomerMasterKeySpec in the same request."));
        }
        for (name, given, only) in [
            ("KeySpec", &self.key_spec, "SYMMETRIC_DEFAULT"),
            ("CustomerMasterKeySpec", &self.customer_master_key_spec, "SYMMETRIC_DEFAULT"),
            ("KeyUsage", &self.key_usage, "ENCRYPT_DECRYPT"),
            ("Origin", &self.origin, "AWS_KMS"),
        ] {
            if let Some(given) = given.as_deref().filter(|given| *given != only) {
                let given = mallee_awswire::texts::clip(given);
                let text = format!("{name} {given} is not supported by this cloud, whose keys are {only}.");
                return Err(Code::UnsupportedOperationException.message(text));
            }
        }
        if self.multi_region == Some(true) {
            return Err(unsupported("MultiRegion"));
        }
        if self.custom_key_store_id.is_some() {
            return Err(unsupported("CustomKeyStoreId"));
        }
        if self.xks_key_id.is_some() {
            return Err(unsupported("XksKeyId"));
        }
        check_description(self.description.as_deref().unwrap_or_default())
    }
}

pub(crate) async fn create(asker: &Asker<'_>, asked: Create) -> Result<Value, ApiError> {
    asked.check()?;
    let tags = tags::read(asked.tags)?;
    let bypass = asked.bypass_policy_lockout_safety_check.unwrap_or_default();
    let mut conditions: Conditions = vec![
        ("kms:KeySpec".to_owned(), vec!["SYMMETRIC_DEFAULT".to_owned()]),
        ("kms:KeyUsage".to_owned(), vec!["ENCRYPT_DECRYPT".to_owned()]),
        ("kms:KeyOrigin".to_owned(), vec!["AWS_KMS".to_owned()]),
        ("kms:MultiRegion".to_owned(), vec!["false".to_owned()]),
        ("kms:BypassPolicyLockoutSafetyCheck".to_owned(), vec![bypass.to_string()]),
    ];
    conditions.extend(tags::conditions(&tags));
    asker.allowed("kms:CreateKey", "*", None, conditions.clone()).await?;
    if !tags.is_empty() {
        asker.allowed("kms:TagResource", "*", None, conditions).await?;
    }
    let account = asker.cx.account();
    let row = KmsKeyRow {
        id: asker.cloud.rng().uuid(),
        account_id: account.clone(),
        state: KmsState::Enabled,
        doc: Json(KmsKeyDoc { description: asked.description.unwrap_or_default(), tags, ..KmsKeyDoc::default() }),
        policy: asked.policy.unwrap_or_else(|| policies::of_account(account)),
        delete_ms: None,
        rotate_ms: None,
        created_ms: asker.cloud.clock().now_ms(),
    };
    policies::check(asker, &row, bypass).await?;
    asker.cloud.faults().point("kms.key.create").await.or_fail()?;
    let mut tx = asker.cloud.store().write().await.or_fail()?;
    kms_account_lock(&mut tx, account).await.or_fail()?;
    if kms_key_count(&mut tx, account).await.or_fail()? >= KEYS_MAX {
        return Err(Code::LimitExceededException.message(format!("An account has at most {KEYS_MAX} keys.")));
    }
    insert(&mut tx, &row).await?;
    tx.commit().await.or_fail()?;
    Ok(json!({ "KeyMetadata": metadata(asker, &row).await? }))
}

pub(crate) async fn describe(asker: &Asker<'_>, asked: Describe) -> Result<Value, ApiError> {
    refuse_grants(&asked.grant_tokens)?;
    let found = asker.permitted("kms:DescribeKey", &asked.key_id, Reach::Anywhere, Conditions::new()).await?;
    Ok(json!({ "KeyMetadata": metadata(asker, &found.row).await? }))
}

pub(crate) async fn list(asker: &Asker<'_>, asked: List) -> Result<Value, ApiError> {
    let page = Page::read(asked.limit, asked.marker.as_deref(), PAGE)?;
    asker.allowed("kms:ListKeys", "*", None, Conditions::new()).await?;
    let rows = kms_key_list(asker.cloud.store(), asker.cx.account(), &page.after, page.rows()).await.or_fail()?;
    Ok(page.shown("Keys", rows, |row| row.id.clone(), |row| json!({ "KeyId": row.id, "KeyArn": asker.arn(row) })))
}

async fn own(asker: &Asker<'_>, action: &str, given: &str) -> Result<Found, ApiError> {
    asker.permitted(action, given, Reach::Own, Conditions::new()).await
}

pub(crate) async fn set_enabled(asker: &Asker<'_>, asked: OfKey, enabled: bool) -> Result<(), ApiError> {
    let action = if enabled { "kms:EnableKey" } else { "kms:DisableKey" };
    let found = own(asker, action, &asked.key_id).await?;
    let state = if enabled { KmsState::Enabled } else { KmsState::Disabled };
    asker
        .change(&found, Needs::Alive, async |row, _| {
            row.state = state;
            Ok(())
        })
        .await
        .map(drop)
}

pub(crate) async fn update_description(asker: &Asker<'_>, asked: UpdateDescription) -> Result<(), ApiError> {
    check_description(&asked.description)?;
    let found = own(asker, "kms:UpdateKeyDescription", &asked.key_id).await?;
    asker
        .change(&found, Needs::Alive, async |row, _| {
            row.doc.0.description = asked.description;
            Ok(())
        })
        .await
        .map(drop)
}

pub(crate) async fn schedule_deletion(asker: &Asker<'_>, asked: ScheduleDeletion) -> Result<Value, ApiError> {
    let (least, most, usual) = WINDOW_DAYS;
    let days = asked.pending_window_in_days.unwrap_or(usual);
    if !(least..=most).contains(&days) {
        let text = format!("PendingWindowInDays must be between {least} and {most}.");
        return Err(Code::ValidationException.message(text));
    }
    let conditions = vec![("kms:ScheduleKeyDeletionPendingWindowInDays".to_owned(), vec![days.to_string()])];
    let found = asker.permitted("kms:ScheduleKeyDeletion", &asked.key_id, Reach::Own, conditions).await?;
    let at_ms = asker.cloud.clock().now_ms() + days * DAY_MS;
    asker
        .change(&found, Needs::Alive, async |row, _| {
            (row.state, row.delete_ms) = (KmsState::PendingDeletion, Some(at_ms));
            // What is about to go is not rotated; should that be taken back, it is when its time comes.
            Ok(())
        })
        .await?;
    Ok(json!({
        "KeyId": found.arn,
        "DeletionDate": seconds(at_ms),
        "KeyState": word(KmsState::PendingDeletion),
        "PendingWindowInDays": days,
    }))
}

pub(crate) async fn cancel_deletion(asker: &Asker<'_>, asked: OfKey) -> Result<Value, ApiError> {
    let found = own(asker, "kms:CancelKeyDeletion", &asked.key_id).await?;
    let now_ms = asker.cloud.clock().now_ms();
    asker
        .change(&found, Needs::Going, async |row, _| {
            // Its time has come: that nobody has removed it yet does not bring it back.
            if row.delete_ms.is_some_and(|at_ms| at_ms <= now_ms) {
                return Err(Code::NotFoundException.message(format!("Key '{}' does not exist", found.arn)));
            }
            (row.state, row.delete_ms) = (KmsState::Disabled, None);
            Ok(())
        })
        .await?;
    Ok(json!({ "KeyId": found.arn }))
}

//! Other names of keys. The caller must have the right both on the alias (by policies of its own) and on the key.

use crate::ask::{Asker, Conditions, Reach};
use crate::ids::{alias_arn, check_alias};
use crate::keys::seconds;
use crate::page::Page;
use crate::state::Needs;
use crate::{ALIASES_PER_KEY_MAX, ids};
use mallee_app::fail::OrFail as _;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    KmsAliasRow, kms_account_lock, kms_alias_delete, kms_alias_fetch, kms_alias_insert, kms_alias_list,
    kms_alias_list_of, kms_alias_update, kms_key_fetch,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// Aliases on a page when the request does not say.
const PAGE: usize = 50;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Put {
    alias_name: String,
    target_key_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Delete {
    alias_name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(crate) struct List {
    key_id: Option<String>,
    limit: Option<i64>,
    marker: Option<String>,
}

fn arn(asker: &Asker<'_>, name: &str) -> String {
    alias_arn(asker.region(), asker.cx.account(), name)
}

fn unknown(asker: &Asker<'_>, name: &str) -> ApiError {
    Code::NotFoundException.message(format!("Alias {} is not found.", arn(asker, name)))
}

pub(crate) async fn create(asker: &Asker<'_>, asked: Put) -> Result<(), ApiError> {
    let Put { alias_name: name, target_key_id } = asked;
    check_alias(&name)?;
    asker.allowed("kms:CreateAlias", &arn(asker, &name), None, Conditions::new()).await?;
    let key = asker.permitted("kms:CreateAlias", &target_key_id, Reach::Own, Conditions::new()).await?;
    key.check(Needs::Alive)?;
    let mut tx = asker.cloud.store().write().await.or_fail()?;
    kms_account_lock(&mut tx, asker.cx.account()).await.or_fail()?;
    if kms_alias_fetch(&mut tx, asker.cx.account(), &name).await.or_fail()?.is_some() {
        let text = format!("An alias with the name {} already exists", arn(asker, &name));
        return Err(Code::AlreadyExistsException.message(text));
    }
    check_room(kms_alias_list_of(&mut tx, &key.row.id).await.or_fail()?.len())?;
    let (account_id, now_ms) = (asker.cx.account().clone(), asker.cloud.clock().now_ms());
    let row = KmsAliasRow { account_id, name, key_id: key.row.id, created_ms: now_ms, updated_ms: now_ms };
    kms_alias_insert(&mut tx, &row).await.or_fail()?;
    tx.commit().await.or_fail()
}

fn check_room(there: usize) -> Result<(), ApiError> {
    if there >= ALIASES_PER_KEY_MAX {
        let text = format!("A key has at most {ALIASES_PER_KEY_MAX} aliases.");
        return Err(Code::LimitExceededException.message(text));
    }
    Ok(())
}

pub(crate) async fn update(asker: &Asker<'_>, asked: Put) -> Result<(), ApiError> {
    let Put { alias_name: name, target_key_id } = asked;
    check_alias(&name)?;
    asker.allowed("kms:UpdateAlias", &arn(asker, &name), None, Conditions::new()).await?;
    let key = asker.permitted("kms:UpdateAlias", &target_key_id, Reach::Own, Conditions::new()).await?;
    key.check(Needs::Alive)?;
    let account = asker.cx.account();
    let alias = kms_alias_fetch(asker.cloud.store(), account, &name).await.or_fail()?;
    let alias = alias.ok_or_else(|| unknown(asker, &name))?;
    if let Some(old) = kms_key_fetch(asker.cloud.store(), &alias.key_id).await.or_fail()? {
        asker.require("kms:UpdateAlias", &old, None, Conditions::new()).await?;
    }
    let mut tx = asker.cloud.store().write().await.or_fail()?;
    kms_account_lock(&mut tx, account).await.or_fail()?;
    // Whom the caller may take it from was asked of the key that it had.
    let there = kms_alias_fetch(&mut tx, account, &name).await.or_fail()?;
    if there.is_none_or(|there| there.key_id != alias.key_id) {
        return Err(unknown(asker, &name));
    }
    if alias.key_id != key.row.id {
        check_room(kms_alias_list_of(&mut tx, &key.row.id).await.or_fail()?.len())?;
    }
    kms_alias_update(&mut tx, account, &name, &key.row.id, asker.cloud.clock().now_ms()).await.or_fail()?;
    tx.commit().await.or_fail()
}

pub(crate) async fn delete(asker: &Asker<'_>, asked: Delete) -> Result<(), ApiError> {
    let (name, account) = (asked.alias_name, asker.cx.account());
    check_alias(&name)?;
    asker.allowed("kms:DeleteAlias", &arn(asker, &name), None, Conditions::new()).await?;
    let alias = kms_alias_fetch(asker.cloud.store(), account, &name).await.or_fail()?;
    let alias = alias.ok_or_else(|| unknown(asker, &name))?;
    if let Some(key) = kms_key_fetch(asker.cloud.store(), &alias.key_id).await.or_fail()? {
        asker.require("kms:DeleteAlias", &key, None, Conditions::new()).await?;
    }
    let mut tx = asker.cloud.store().write().await.or_fail()?;
    if !kms_alias_delete(&mut tx, account, &name).await.or_fail()? {
        return Err(unknown(asker, &name));
    }
    tx.commit().await.or_fail()
}

pub(crate) async fn list(asker: &Asker<'_>, asked: List) -> Result<Value, ApiError> {
    let page = Page::read(asked.limit, asked.marker.as_deref(), PAGE)?;
    asker.allowed("kms:ListAliases", "*", None, Conditions::new()).await?;
    let (store, account) = (asker.cloud.store(), asker.cx.account());
    let place = |row: &KmsAliasRow| row.name.clone();
    let show = |row: &KmsAliasRow| {
        json!({
            "AliasName": row.name,
            "AliasArn": arn(asker, &row.name),
            "TargetKeyId": row.key_id,
            "CreationDate": seconds(row.created_ms),
            "LastUpdatedDate": seconds(row.updated_ms),
        })
    };
    let Some(given) = asked.key_id else {
        let rows = kms_alias_list(store, account, &page.after, page.rows()).await.or_fail()?;
        return Ok(page.shown("Aliases", rows, place, show));
    };
    let id = match ids::parse(&given, asker.region())? {
        ids::Named { account: of, what: ids::What::Key(id) } if of.as_ref().is_none_or(|of| of == account) => id,
        _ => {
            return Err(
                Code::NotFoundException.message(format!("Invalid keyId '{}'", mallee_awswire::texts::clip(&given)))
            );
        }
    };
    let key = kms_key_fetch(store, &id).await.or_fail()?.filter(|row| row.account_id == *account);
    let key = key.ok_or_else(|| {
        let arn = ids::key_arn(asker.region(), account, &id);
        Code::NotFoundException.message(format!("Key '{arn}' does not exist"))
    })?;
    Ok(page.of("Aliases", kms_alias_list_of(store, &key.id).await.or_fail()?, place, show))
}

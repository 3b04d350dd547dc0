//! Users that were somewhere else before: with the access keys that their programs have, and the names by which S3 knows
//! their accounts.

use super::{base, keys};
use crate::fail::{OrFail as _, store_failure};
use crate::{Cloud, OpContext};
use mallee_awswire::texts::clip;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    AccessKeyRow, AccountRow, S3OwnerRow, Tx, UserRow, access_key_delete, access_key_insert, access_key_list,
    access_key_secret, account_by_name, s3_owner_ensure, s3_owner_fetch, user_admin, user_by_name, user_insert,
};
use secrecy::{ExposeSecret as _, SecretString};
use std::ops::RangeInclusive;

/// Letters of an access key's id (AWS: 16 to 128).
const KEY_ID: RangeInclusive<usize> = 16..=128;
/// Letters of its secret.
const SECRET: RangeInclusive<usize> = 16..=128;
/// Letters of a canonical id, of a display name, of an e-mail address.
const NAME: RangeInclusive<usize> = 1..=255;

/// Who is to be known.
#[derive(Debug, Clone, Default)]
pub struct Import {
    /// The account's name; it is made unless there is one.
    pub account: String,
    /// The user's name; none: the account's administrator. It is made unless there is one, and may nothing by itself.
    pub user: Option<String>,
    /// The id and the secret of an access key.
    pub key: Option<(String, SecretString)>,
    /// How S3 names the account.
    pub names: Option<Names>,
}

/// How S3 names an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Its canonical id, which no other account has.
    pub canonical_id: String,
    /// Its display name.
    pub display_name: String,
    /// Its e-mail address.
    pub email: Option<String>,
}

/// Who is known now.
#[derive(Debug)]
pub struct Imported {
    /// The account.
    pub account: AccountRow,
    /// The user.
    pub user: UserRow,
}

fn wrong(name: &'static str, value: &str) -> ApiError {
    ApiError::invalid_value(name, &clip(value), "It has too few or too many letters, or some that cannot be.")
}

fn check(name: &'static str, value: &str, letters: RangeInclusive<usize>, more: &str) -> Result<(), ApiError> {
    let plain = value.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
    if plain && letters.contains(&value.len()) { Ok(()) } else { Err(wrong(name, value)) }
}

impl Import {
    fn check(&self) -> Result<(), ApiError> {
        if let Some(user) = &self.user {
            check("user", user, 1..=64, "+=,.@_-")?;
        }
        if let Some((id, secret)) = &self.key {
            check("access_key_id", id, KEY_ID, "_")?;
            let secret = secret.expose_secret();
            if !SECRET.contains(&secret.len()) || !secret.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(ApiError::invalid_value(
                    "secret_access_key",
                    "…",
                    "It must have 16 to 128 visible letters.",
                ));
            }
        }
        if let Some(names) = &self.names {
            check("canonical_id", &names.canonical_id, NAME, "_.$-")?;
            let shown = |text: &str| NAME.contains(&text.len()) && !text.chars().any(char::is_control);
            if !shown(&names.display_name) {
                return Err(wrong("display_name", &names.display_name));
            }
            if let Some(email) = names.email.as_ref().filter(|email| !shown(email) || !email.contains('@')) {
                return Err(wrong("email", email));
            }
        }
        Ok(())
    }
}

impl Cloud {
    /// Makes known who is to be; what is known already stays. Only the cloud's administrator may.
    ///
    /// # Errors
    /// `AccessDenied`, `InvalidParameterValue`; `EntityAlreadyExists` when a key or a canonical id is another's, or the
    /// account has other names; `LimitExceeded`.
    pub async fn import(&self, cx: &OpContext, import: &Import) -> Result<Imported, ApiError> {
        self.require_cloud_admin(cx, "CreateAccount")?;
        import.check()?;
        let account = match account_by_name(self.store(), &import.account).await.or_fail()? {
            Some(account) => account,
            None => {
                let made = self.create_account(cx, &import.account).await?;
                if import.key.is_some() && import.user.is_none() {
                    // Nobody is told its secret.
                    let mut tx = self.iam_write(cx).await?;
                    access_key_delete(&mut tx, &made.key.id).await.or_fail()?;
                    tx.commit().await.or_fail()?;
                }
                made.account
            }
        };
        let mut tx = self.iam_write(cx).await?;
        let user = self.imported_user(&mut tx, &account, import.user.as_deref()).await?;
        if let Some((id, secret)) = &import.key {
            self.import_key(&mut tx, &user, id, secret).await?;
        }
        if let Some(names) = &import.names {
            import_names(&mut tx, &account, names).await?;
        }
        tx.commit().await.or_fail()?;
        Ok(Imported { account, user })
    }

    async fn imported_user(&self, tx: &mut Tx, account: &AccountRow, name: Option<&str>) -> Result<UserRow, ApiError> {
        let missing = || ApiError::internal("an account without an administrator");
        let Some(name) = name else {
            return user_admin(&mut *tx, &account.id).await.or_fail()?.ok_or_else(missing);
        };
        if let Some(user) = user_by_name(&mut *tx, &account.id, name).await.or_fail()? {
            return Ok(user);
        }
        let user = UserRow {
            id: self.unique_id("AIDA"),
            account_id: account.id.clone(),
            name: name.to_owned(),
            path: "/".to_owned(),
            created_ms: self.clock().now_ms(),
            is_admin: false,
        };
        user_insert(tx, &user).await.or_fail()?;
        Ok(user)
    }

    async fn import_key(&self, tx: &mut Tx, user: &UserRow, id: &str, secret: &SecretString) -> Result<(), ApiError> {
        let have = access_key_list(&mut *tx, &user.id).await.or_fail()?;
        let taken = || Code::EntityAlreadyExists.message(format!("There is an access key {} already.", clip(id)));
        if have.iter().any(|key| key.id == id) {
            let known = access_key_secret(self.store(), id).await.or_fail()?;
            return if known.expose_secret() == secret.expose_secret() { Ok(()) } else { Err(taken()) };
        }
        base::quota("AccessKeysPerUser", have.len() as u64, keys::KEYS_PER_USER_MAX)?;
        let row = AccessKeyRow {
            id: id.to_owned(),
            user_id: user.id.clone(),
            account_id: user.account_id.clone(),
            active: true,
            created_ms: self.clock().now_ms(),
        };
        let inserted = access_key_insert(tx, &row, secret).await;
        inserted.map_err(|error| if error.is_conflict("access_keys_id") { taken() } else { store_failure(error) })
    }
}

async fn import_names(tx: &mut Tx, account: &AccountRow, names: &Names) -> Result<(), ApiError> {
    let Names { canonical_id, display_name, email } = names.clone();
    let row = S3OwnerRow { account_id: account.id.clone(), canonical_id, display_name, email };
    s3_owner_ensure(tx, &row).await.map_err(|error| {
        if error.is_conflict("s3_owners_canonical_id") {
            let id = clip(&row.canonical_id);
            Code::EntityAlreadyExists.message(format!("Another account has the canonical id {id}."))
        } else {
            store_failure(error)
        }
    })?;
    match s3_owner_fetch(&mut *tx, &account.id).await.or_fail()? {
        Some(kept) if kept == row => Ok(()),
        _ => Err(Code::EntityAlreadyExists
            .message("The account has used S3 already, and is known there by other names: they are for ever.")),
    }
}

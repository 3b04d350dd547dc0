//! Access keys of users.

use super::{base, users};
use crate::fail::OrFail as _;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    AccessKeyRow, AccessKeyUseRow, StoreError, Tx, UserRow, access_key_active_set, access_key_delete, access_key_fetch,
    access_key_insert, access_key_list, access_key_use_fetch, user_fetch,
};
use secrecy::SecretString;

/// Access keys of one user (IAM: 2).
pub const KEYS_PER_USER_MAX: u64 = 2;
/// Letters of secret keys.
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Letters of a secret key.
const SECRET_LETTERS: usize = 40;
/// Letters of an access key id after its prefix: one fewer than of other unique ids.
const KEY_ID_LETTERS: usize = 20;

/// An access key and when it was last used.
#[derive(Debug, Clone)]
pub struct KeyUse {
    /// The user's name.
    pub user: UserRow,
    /// The last use, if there was one.
    pub last: Option<AccessKeyUseRow>,
}

fn not_found(id: &str) -> ApiError {
    Code::NoSuchEntity.message(format!("The Access Key with id {} cannot be found.", mallee_awswire::texts::clip(id)))
}

impl Cloud {
    /// Makes an access key for a user within a transaction; the secret is in the reply and sealed in the database.
    pub(crate) async fn make_access_key(
        &self,
        tx: &mut Tx,
        user: &UserRow,
    ) -> Result<(AccessKeyRow, SecretString), StoreError> {
        let mut id = self.unique_id("AKIA");
        id.truncate(KEY_ID_LETTERS);
        let letter = |_| {
            let at = usize::try_from(self.rng().below(BASE64.len() as u64)).unwrap_or_default();
            BASE64.get(at).copied().map_or('A', char::from)
        };
        let secret = SecretString::from((0..SECRET_LETTERS).map(letter).collect::<String>());
        let row = AccessKeyRow {
            id,
            user_id: user.id.clone(),
            account_id: user.account_id.clone(),
            active: true,
            created_ms: self.clock().now_ms(),
        };
        access_key_insert(tx, &row, &secret).await?;
        Ok((row, secret))
    }

    /// `CreateAccessKey`, for the named user or the caller.
    ///
    /// # Errors
    /// `NoSuchEntity`, `LimitExceeded`.
    pub async fn create_access_key(
        &self,
        cx: &OpContext,
        name: Option<&str>,
    ) -> Result<(UserRow, AccessKeyRow, SecretString), ApiError> {
        let user = self.user_or_self(cx, name).await?;
        let mut tx = self.iam_write(cx).await?;
        // Again in the transaction: it may be gone.
        let user = users::find(&mut tx, cx.account(), &user.name).await?;
        let have = access_key_list(&mut tx, &user.id).await.or_fail()?.len();
        base::quota("AccessKeysPerUser", have as u64, KEYS_PER_USER_MAX)?;
        let (key, secret) = self.make_access_key(&mut tx, &user).await.or_fail()?;
        tx.commit().await.or_fail()?;
        Ok((user, key, secret))
    }

    /// `ListAccessKeys`.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub async fn access_keys(
        &self,
        cx: &OpContext,
        name: Option<&str>,
    ) -> Result<(UserRow, Vec<AccessKeyRow>), ApiError> {
        let user = self.user_or_self(cx, name).await?;
        let keys = access_key_list(self.store(), &user.id).await.or_fail()?;
        Ok((user, keys))
    }

    /// `UpdateAccessKey`.
    ///
    /// # Errors
    /// `NoSuchEntity` for a user or a key of that user.
    pub async fn set_access_key_active(
        &self,
        cx: &OpContext,
        name: Option<&str>,
        id: &str,
        active: bool,
    ) -> Result<(), ApiError> {
        let user = self.user_or_self(cx, name).await?;
        let mut tx = self.iam_write(cx).await?;
        own_key(&mut tx, &user, id).await?;
        access_key_active_set(&mut tx, id, active).await.or_fail()?;
        tx.commit().await.or_fail()
    }

    /// `DeleteAccessKey`.
    ///
    /// # Errors
    /// `NoSuchEntity` for a user or a key of that user.
    pub async fn delete_access_key(&self, cx: &OpContext, name: Option<&str>, id: &str) -> Result<(), ApiError> {
        let user = self.user_or_self(cx, name).await?;
        let mut tx = self.iam_write(cx).await?;
        own_key(&mut tx, &user, id).await?;
        access_key_delete(&mut tx, id).await.or_fail()?;
        tx.commit().await.or_fail()
    }

    /// `GetAccessKeyLastUsed`, of any key of the caller's account.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub async fn access_key_last_used(&self, cx: &OpContext, id: &str) -> Result<KeyUse, ApiError> {
        let key = match access_key_fetch(self.store(), id).await {
            Ok(key) if key.account_id == *cx.account() => key,
            Ok(_) | Err(StoreError::NotFound { .. }) => return Err(not_found(id)),
            Err(error) => return Err(crate::fail::store_failure(error)),
        };
        let user = user_fetch(self.store(), &key.user_id).await.or_fail()?;
        let written = access_key_use_fetch(self.store(), id).await.or_fail()?;
        // What this replica has not written down yet is newer.
        let last = self.key_uses().last(id).or(written);
        Ok(KeyUse { user, last })
    }
}

/// The key of this id, if it is the user's.
async fn own_key(tx: &mut Tx, user: &UserRow, id: &str) -> Result<AccessKeyRow, ApiError> {
    let keys = access_key_list(tx, &user.id).await.or_fail()?;
    keys.into_iter().find(|key| key.id == id).ok_or_else(|| not_found(id))
}

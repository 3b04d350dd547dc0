//! First start: the cloud's own account, its administrator with a key pair, and the default network.

use crate::Cloud;
use mallee_store::{
    AccessKeyRow, AccountRow, StoreError, UserRow, access_key_insert, access_key_list, access_key_secret,
    account_insert, account_list, setting_put, user_insert, user_list,
};
use mallee_types::AccountId;
use secrecy::SecretString;

/// The setting that keeps the region's name.
pub const REGION_SETTING: &str = "region";
/// The administrator's user name.
const ADMIN: &str = "admin";
/// The name of the first account, whose callers administer the cloud itself (as Eucalyptus' account of its own name).
pub const CLOUD_ACCOUNT: &str = "mallee";
/// Letters of ids that IAM makes: base32.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Letters of secret keys.
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What an administrator's client needs.
#[derive(Debug, Clone)]
pub struct AdminAccess {
    /// The account.
    pub account: AccountId,
    /// The access key's id.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: SecretString,
}

fn text(cloud: &Cloud, letters: &[u8], length: usize) -> String {
    let count = letters.len() as u64;
    let pick = |_| usize::try_from(cloud.rng().below(count)).ok().and_then(|n| letters.get(n)).copied().unwrap_or(b'A');
    (0..length).map(pick).map(char::from).collect()
}

/// Makes what the first start makes, and completes what a change of configuration needs. Idempotent; a crash in the
/// middle leaves nothing, because it is one transaction.
///
/// # Errors
/// What the database says.
pub async fn bootstrap(cloud: &Cloud) -> Result<AdminAccess, StoreError> {
    let mut tx = cloud.store().write().await?;
    setting_put(&mut tx, REGION_SETTING, &cloud.config().region).await?;
    let accounts = account_list(&mut tx).await?;
    let now_ms = cloud.clock().now_ms();
    let account = match accounts.first() {
        Some(account) => account.id.clone(),
        None => {
            let id = format!("{:012}", 100_000_000_000 + cloud.rng().below(900_000_000_000));
            let id: AccountId = id.parse().map_err(|e| StoreError::Config(format!("{e}")))?;
            account_insert(&mut tx, &AccountRow { id: id.clone(), name: CLOUD_ACCOUNT.into(), created_ms: now_ms }).await?;
            let user = UserRow {
                id: format!("AIDA{}", text(cloud, BASE32, 17)),
                account_id: id.clone(),
                name: ADMIN.into(),
                path: "/".into(),
                created_ms: now_ms,
                is_admin: true,
            };
            user_insert(&mut tx, &user).await?;
            let key = AccessKeyRow {
                id: format!("AKIA{}", text(cloud, BASE32, 16)),
                user_id: user.id,
                account_id: id.clone(),
                active: true,
                created_ms: now_ms,
            };
            access_key_insert(&mut tx, &key, &SecretString::from(text(cloud, BASE64, 40))).await?;
            id
        }
    };
    for id in accounts.iter().map(|a| &a.id).chain((accounts.is_empty()).then_some(&account)) {
        cloud.ensure_default_vpc(&mut tx, id).await?;
    }
    tx.commit().await?;
    admin_access(cloud, account).await
}

async fn admin_access(cloud: &Cloud, account: AccountId) -> Result<AdminAccess, StoreError> {
    let missing = |what: &str| StoreError::NotFound { what: what.to_owned() };
    let users = user_list(cloud.store(), &account).await?;
    let admin = users.into_iter().find(|user| user.is_admin).ok_or_else(|| missing("the administrator"))?;
    let keys = access_key_list(cloud.store(), &admin.id).await?;
    let key = keys.into_iter().find(|key| key.active).ok_or_else(|| missing("an active key of the administrator"))?;
    let secret_access_key = access_key_secret(cloud.store(), &key.id).await?;
    Ok(AdminAccess { account, access_key_id: key.id, secret_access_key })
}

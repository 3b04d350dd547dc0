//! First start: the cloud's own account, its administrator with a key pair, and the default network.

use crate::Cloud;
use mallee_store::{
    StoreError, Tx, access_key_list, access_key_secret, cloud_account, cloud_account_set, setting_put, user_admin,
};
use mallee_types::AccountId;
use secrecy::SecretString;

/// The setting that keeps the region's name.
pub const REGION_SETTING: &str = "region";
/// The name that the first account has until it takes another alias (as Eucalyptus' account of its own name).
const CLOUD_ACCOUNT: &str = "mallee";

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

/// Makes what the first start makes, and completes what a change of configuration needs. Idempotent; a crash in the
/// middle leaves nothing, because it is one transaction.
///
/// # Errors
/// What the database says.
pub async fn bootstrap(cloud: &Cloud) -> Result<AdminAccess, StoreError> {
    let mut tx = cloud.store().write().await?;
    setting_put(&mut tx, REGION_SETTING, &cloud.config().region).await?;
    let account = match cloud_account(&mut tx).await? {
        Some(account) => account,
        None => {
            let made = cloud.make_account(&mut tx, CLOUD_ACCOUNT).await?;
            cloud_account_set(&mut tx, &made.account.id).await?;
            made.account.id
        }
    };
    ensure_admin_key(cloud, &mut tx, &account).await?;
    cloud.complete_default_networks(&mut tx).await?;
    tx.commit().await?;
    admin_access(cloud, account).await
}

fn missing(what: &str) -> StoreError {
    StoreError::NotFound { what: what.to_owned() }
}

/// Who starts the cloud can always administer it, even if every key of its administrator was removed.
async fn ensure_admin_key(cloud: &Cloud, tx: &mut Tx, account: &AccountId) -> Result<(), StoreError> {
    let admin = user_admin(&mut *tx, account).await?.ok_or_else(|| missing("the administrator"))?;
    if !access_key_list(&mut *tx, &admin.id).await?.iter().any(|key| key.active) {
        tracing::warn!("the cloud's administrator had no active access key; it has a new one");
        cloud.make_access_key(tx, &admin).await?;
    }
    Ok(())
}

async fn admin_access(cloud: &Cloud, account: AccountId) -> Result<AdminAccess, StoreError> {
    let admin = user_admin(cloud.store(), &account).await?.ok_or_else(|| missing("the administrator"))?;
    let keys = access_key_list(cloud.store(), &admin.id).await?;
    let key = keys.into_iter().find(|key| key.active).ok_or_else(|| missing("an active key of the administrator"))?;
    let secret_access_key = access_key_secret(cloud.store(), &key.id).await?;
    Ok(AdminAccess { account, access_key_id: key.id, secret_access_key })
}

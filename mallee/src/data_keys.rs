//! KMS for the object store of the same process.

use mallee_awswire::ApiError;
use mallee_cloud_controller::data_keys::DataKeys;
use mallee_walrus::{DataKey, KeyCaller, KeyService, SealedKey};
use std::collections::BTreeMap;

/// Keys of the cloud controller in this process.
#[derive(Debug)]
pub(crate) struct LocalKeys(pub DataKeys);

fn of(caller: &KeyCaller) -> (&str, Option<&str>) {
    (&caller.access_key_id, caller.session_token.as_deref())
}

#[async_trait::async_trait]
impl KeyService for LocalKeys {
    async fn generate(
        &self,
        caller: &KeyCaller,
        key: Option<&str>,
        context: &BTreeMap<String, String>,
    ) -> Result<SealedKey, ApiError> {
        let made = self.0.generate(of(caller), key, context).await?;
        let plain = DataKey::from_bytes(&made.plain).map_err(ApiError::internal)?;
        Ok(SealedKey { plain, sealed: made.sealed, key_arn: made.key_arn })
    }

    async fn open(
        &self,
        caller: &KeyCaller,
        sealed: &[u8],
        context: &BTreeMap<String, String>,
    ) -> Result<DataKey, ApiError> {
        let plain = self.0.open(of(caller), sealed, context).await?;
        DataKey::from_bytes(&plain).map_err(ApiError::internal)
    }
}

//! KMS for a Walrus of its own: the cloud controller's, over the Directory.

use super::directory::CloudLink;
use mallee_awswire::{ApiError, Code};
use mallee_proto::v1::{DataKeyReply, DataKeyRequest};
use mallee_walrus::{DataKey, KeyCaller, KeyService, SealedKey};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Keys from the Directory.
#[derive(Debug)]
pub(super) struct RemoteKeys(pub CloudLink);

impl RemoteKeys {
    async fn ask(
        &self,
        caller: &KeyCaller,
        context: &BTreeMap<String, String>,
        key: Option<&str>,
        sealed: &[u8],
    ) -> Result<(DataKey, DataKeyReply), ApiError> {
        let request = DataKeyRequest {
            access_key_id: caller.access_key_id.clone(),
            session_token: caller.session_token.clone().unwrap_or_default(),
            key: key.unwrap_or_default().to_owned(),
            context: context.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            sealed: sealed.to_vec(),
        };
        let mut reply = self.0.data_key(request).await.map_err(|error| {
            tracing::info!(%error, "the cloud controller did not give a data key");
            Code::ServiceUnavailable.message("The key service does not answer. Please try again.")
        })?;
        if !reply.code.is_empty() {
            let message = std::mem::take(&mut reply.message);
            let code = Code::parse(&reply.code);
            return Err(code.map_or_else(|| ApiError::internal(&reply.code), |code| code.message(message)));
        }
        let plain = Zeroizing::new(std::mem::take(&mut reply.plain));
        Ok((DataKey::from_bytes(&plain).map_err(ApiError::internal)?, reply))
    }
}

#[async_trait::async_trait]
impl KeyService for RemoteKeys {
    async fn generate(
        &self,
        caller: &KeyCaller,
        key: Option<&str>,
        context: &BTreeMap<String, String>,
    ) -> Result<SealedKey, ApiError> {
        let (plain, reply) = self.ask(caller, context, key, &[]).await?;
        Ok(SealedKey { plain, sealed: reply.sealed, key_arn: reply.key_arn })
    }

    async fn open(
        &self,
        caller: &KeyCaller,
        sealed: &[u8],
        context: &BTreeMap<String, String>,
    ) -> Result<DataKey, ApiError> {
        // Without a ciphertext a fresh key would be asked for.
        if sealed.is_empty() {
            return Err(ApiError::internal("an object whose sealed key is empty"));
        }
        Ok(self.ask(caller, context, None, sealed).await?.0)
    }
}

//! Keys for services of this cloud that encrypt for their callers: data keys, made and opened as if the caller had asked,
//! with `kms:ViaService`.

use crate::ask::{Asker, S3_ALIAS};
use crate::crypt;
use mallee_app::{Cloud, OpContext};
use mallee_awswire::ApiError;
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Bytes of a service's data keys.
const DATA_KEY_BYTES: usize = 32;

/// A data key.
pub struct DataKey {
    /// The key itself.
    pub plain: Zeroizing<Vec<u8>>,
    /// The key, sealed under [`DataKey::key_arn`].
    pub sealed: Vec<u8>,
    /// ARN of the key that seals it.
    pub key_arn: String,
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataKey").field("key_arn", &self.key_arn).finish_non_exhaustive()
    }
}

/// Data keys for one service.
#[derive(Debug, Clone)]
pub struct Keys {
    cloud: Arc<Cloud>,
    service: &'static str,
}

impl Keys {
    /// For the service of this name (`s3`).
    #[must_use]
    pub const fn new(cloud: Arc<Cloud>, service: &'static str) -> Self {
        Self { cloud, service }
    }

    fn asker<'a>(&'a self, cx: &'a OpContext) -> Asker<'a> {
        Asker { cloud: &self.cloud, cx, via: Some(self.service) }
    }

    /// A fresh data key under a key as the caller names it; under the service's own of the caller's account where none
    /// is named.
    ///
    /// # Errors
    /// KMS's.
    pub async fn generate(
        &self,
        cx: &OpContext,
        key: Option<&str>,
        context: &BTreeMap<String, String>,
    ) -> Result<DataKey, ApiError> {
        let given = key.unwrap_or(S3_ALIAS);
        let (asker, action) = (self.asker(cx), "kms:GenerateDataKey");
        let (found, _, plain, sealed) = crypt::fresh(&asker, action, given, context, DATA_KEY_BYTES, false).await?;
        Ok(DataKey { plain, sealed, key_arn: found.arn })
    }

    /// A data key that was sealed with this context.
    ///
    /// # Errors
    /// KMS's.
    pub async fn open(
        &self,
        cx: &OpContext,
        sealed: &[u8],
        context: &BTreeMap<String, String>,
    ) -> Result<Zeroizing<Vec<u8>>, ApiError> {
        Ok(crypt::opened(&self.asker(cx), sealed, context, None, false).await?.2)
    }
}

//! Data keys for the object store: made and opened by KMS as if whoever signed a request of S3 had asked it.

use crate::identity::StoreCredentials;
use mallee_api_kms::{DataKey, Keys};
use mallee_app::{Cloud, OpContext, RequestFacts};
use mallee_awswire::sigv4::KeyError;
use mallee_awswire::{ApiError, Code};
use mallee_runtime::Clock;
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The service for which keys are made: `kms:ViaService`.
const SERVICE: &str = "s3";

/// See the module.
#[derive(Debug, Clone)]
pub struct DataKeys {
    keys: Keys,
    credentials: StoreCredentials,
    clock: Clock,
}

impl DataKeys {
    /// Of this cloud.
    #[must_use]
    pub fn new(cloud: Arc<Cloud>) -> Self {
        let (credentials, clock) = (StoreCredentials::new(cloud.store().clone()), cloud.clock().clone());
        Self { keys: Keys::new(cloud, SERVICE), credentials, clock }
    }

    /// Who has the access key now: rights that ended since the request was verified do not count.
    async fn caller(&self, access_key_id: &str, token: Option<&str>) -> Result<OpContext, ApiError> {
        let holder = self.credentials.holder(access_key_id, token).await.map_err(|error| match error {
            KeyError::Unavailable(why) => Code::ServiceUnavailable.error().because(why),
            KeyError::Unknown | KeyError::Expired | KeyError::InvalidToken | KeyError::Sigv2Off => {
                Code::AccessDenied.error()
            }
        })?;
        if holder.expires_ms.is_some_and(|end| self.clock.now_ms() >= end) {
            return Err(Code::AccessDenied.message("The provided token has expired."));
        }
        let facts = RequestFacts { access_key_id: Some(access_key_id.into()), ..RequestFacts::default() };
        Ok(OpContext::new(holder.actor, "").with_facts(facts))
    }

    /// A fresh data key under this key, or that of the caller's account for S3.
    ///
    /// # Errors
    /// KMS's.
    pub async fn generate(
        &self,
        (access_key_id, token): (&str, Option<&str>),
        key: Option<&str>,
        context: &BTreeMap<String, String>,
    ) -> Result<DataKey, ApiError> {
        self.keys.generate(&self.caller(access_key_id, token).await?, key, context).await
    }

    /// The data key of a ciphertext.
    ///
    /// # Errors
    /// KMS's.
    pub async fn open(
        &self,
        (access_key_id, token): (&str, Option<&str>),
        sealed: &[u8],
        context: &BTreeMap<String, String>,
    ) -> Result<Zeroizing<Vec<u8>>, ApiError> {
        self.keys.open(&self.caller(access_key_id, token).await?, sealed, context).await
    }
}

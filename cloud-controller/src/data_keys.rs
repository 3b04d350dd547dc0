//! Data keys for the object store: made and opened by KMS as if whoever signed a request of S3 had asked it. As with AWS,
//! each is a call of KMS in the trail, by the caller, invoked by S3.

use crate::audit::{Call, Said, Trail, draft};
use crate::identity::StoreCredentials;
use mallee_api_kms::{DataKey, Keys};
use mallee_app::{Cloud, OpContext, RequestFacts};
use mallee_awswire::sigv4::KeyError;
use mallee_awswire::{ApiError, Code, server};
use mallee_runtime::Clock;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The service for which keys are made: `kms:ViaService`.
const SERVICE: &str = "s3";
/// As whom the service calls, in the trail.
const INVOKER: &str = "s3.amazonaws.com";

/// See the module.
#[derive(Debug, Clone)]
pub struct DataKeys {
    keys: Keys,
    credentials: StoreCredentials,
    clock: Clock,
    cloud: Arc<Cloud>,
    trail: Option<Arc<Trail>>,
}

impl DataKeys {
    /// Of this cloud; each is recorded in this trail.
    #[must_use]
    pub fn new(cloud: Arc<Cloud>, trail: Option<Arc<Trail>>) -> Self {
        let (credentials, clock) = (StoreCredentials::new(cloud.store().clone()), cloud.clock().clone());
        Self { keys: Keys::new(cloud.clone(), SERVICE), credentials, clock, cloud, trail }
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

    /// Records one call of KMS: by whom, if that is known, and how it ended.
    async fn record(
        &self,
        action: &str,
        access_key_id: &str,
        cx: Option<&OpContext>,
        said: Value,
        outcome: Result<&str, &ApiError>,
    ) {
        let Some(trail) = &self.trail else { return };
        let stranger = RequestFacts { access_key_id: Some(access_key_id.into()), ..RequestFacts::default() };
        let (body, id) = (said.to_string(), server::request_id(|bytes| self.cloud.rng().fill(bytes)));
        let call = Call {
            service: mallee_api_kms::SERVICE,
            action,
            said: Said::Json(body.as_bytes()),
            actor: cx.map(|cx| &cx.actor),
            facts: cx.map_or(&stranger, |cx| &cx.facts),
            request_id: &id,
        };
        let mut record = draft(&self.cloud, &call);
        record.user_identity.invoked_by = Some(INVOKER.to_owned());
        (record.source_ip_address, record.user_agent) = (INVOKER.to_owned(), INVOKER.to_owned());
        trail.record(&self.cloud, record, outcome).await;
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
        let caller = self.caller(access_key_id, token).await;
        let outcome = match &caller {
            Ok(cx) => self.keys.generate(cx, key, context).await,
            Err(error) => Err(error.clone()),
        };
        let key = outcome.as_ref().map_or(key, |made| Some(&made.key_arn));
        let said = json!({ "keyId": key, "keySpec": "AES_256", "encryptionContext": context });
        let ended = outcome.as_ref().map(|_| "");
        self.record("GenerateDataKey", access_key_id, caller.as_ref().ok(), said, ended).await;
        outcome
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
        let caller = self.caller(access_key_id, token).await;
        let outcome = match &caller {
            Ok(cx) => self.keys.open(cx, sealed, context).await,
            Err(error) => Err(error.clone()),
        };
        let said = json!({ "encryptionAlgorithm": "SYMMETRIC_DEFAULT", "encryptionContext": context });
        let ended = outcome.as_ref().map(|_| "");
        self.record("Decrypt", access_key_id, caller.as_ref().ok(), said, ended).await;
        outcome
    }
}

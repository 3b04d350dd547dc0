//! The keys that sign digests: RSA, as CloudTrail documents, sealed in the database.

use crate::authorize::Ask;
use crate::fail::OrFail as _;
use crate::keys::material::{make_rsa, rsa_der};
use crate::{Cloud, OpContext};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mallee_awswire::{ApiError, Code};
use mallee_store::{StoreError, TrailKeyRow, trail_key_insert, trail_key_list, trail_key_secret};
use md5::{Digest as _, Md5};
use ring::rsa::KeyPair;
use secrecy::{ExposeSecret as _, SecretString};

/// How long a key signs; then another is made.
const KEY_MS: i64 = 365 * 24 * 3600 * 1000;
/// What ListPublicKeys looks back when it is not told, in milliseconds.
const DEFAULT_SPAN_MS: i64 = 24 * 3600 * 1000;

/// Why nothing can be signed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignError {
    #[error("the database: {0}")]
    Store(#[from] StoreError),
    #[error("no key to sign digests: {0}")]
    Key(String),
}

/// A key that signs now.
pub(super) struct Signer {
    pub fingerprint: String,
    pair: KeyPair,
}

fn pair_of(pem: &SecretString) -> Result<KeyPair, SignError> {
    let der = rsa_der(pem.expose_secret()).ok_or_else(|| SignError::Key("it is no RSA key".to_owned()))?;
    KeyPair::from_der(&der).map_err(|error| SignError::Key(error.to_string()))
}

impl Signer {
    /// The newest key that is valid now; one is made where there is none.
    pub async fn of(cloud: &Cloud) -> Result<Self, SignError> {
        let now_ms = cloud.clock().now_ms();
        if let Some(row) = trail_key_list(cloud.store(), now_ms, now_ms).await?.pop() {
            let pair = pair_of(&trail_key_secret(cloud.store(), &row.fingerprint).await?)?;
            return Ok(Self { fingerprint: row.fingerprint, pair });
        }
        let pem = make_rsa().await.map_err(|error| SignError::Key(error.to_string()))?.private_pem;
        let pair = pair_of(&pem)?;
        let public = pair.public().as_ref();
        let row = TrailKeyRow {
            fingerprint: hex::encode(Md5::digest(public)),
            public_key: BASE64.encode(public),
            from_ms: now_ms,
            to_ms: now_ms.saturating_add(KEY_MS),
        };
        let mut tx = cloud.store().write().await?;
        trail_key_insert(&mut tx, &row, &pem).await?;
        tx.commit().await?;
        Ok(Self { fingerprint: row.fingerprint, pair })
    }

    /// SHA-256 with RSA (PKCS#1 v1.5), hex. The same text has the same signature.
    pub fn sign(&self, text: &str) -> Result<String, SignError> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        let rng = ring::rand::SystemRandom::new();
        self.pair
            .sign(&ring::signature::RSA_PKCS1_SHA256, &rng, text.as_bytes(), &mut signature)
            .map_err(|_| SignError::Key("it does not sign".to_owned()))?;
        Ok(hex::encode(signature))
    }
}

/// `ListPublicKeys`: the keys that were valid at some time between the two; the last day's unless said.
///
/// # Errors
/// `InvalidTimeRangeException`; what the database says.
pub async fn public_keys(
    cloud: &Cloud,
    cx: &OpContext,
    from_ms: Option<i64>,
    to_ms: Option<i64>,
) -> Result<Vec<TrailKeyRow>, ApiError> {
    cloud.require(cx, &Ask { action: "cloudtrail:ListPublicKeys", resource: "*", ..Ask::default() }).await?;
    let to_ms = to_ms.unwrap_or_else(|| cloud.clock().now_ms());
    let from_ms = from_ms.unwrap_or_else(|| to_ms.saturating_sub(DEFAULT_SPAN_MS));
    if from_ms > to_ms {
        return Err(Code::InvalidTimeRangeException.message("The start time must not be after the end time."));
    }
    trail_key_list(cloud.store(), from_ms, to_ms).await.or_fail()
}

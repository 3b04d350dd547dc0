//! Identity documents of instances, and the key that signs them. The cloud signs and nodes serve what they were told: no
//! node could make a document of another instance.
//!
//! One key for the cloud, made once and kept sealed in the database, so that every replica signs with the same one. What it
//! signs is told with an instance's intent.

mod document;
mod pkcs7;
mod signer;

pub use signer::Signer;

use crate::keys::material::{KeyError, make_rsa};
use crate::{Cloud, load};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mallee_proto::v1::InstanceIntent;
use mallee_runtime::{Backoff, TaskScope};
use mallee_store::{
    Store, StoreError, change_append, instance_touch_all, setting_fetch, setting_insert, text_open, text_seal,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The setting that has the key, and the name that it is sealed under.
const SETTING: &str = "instance_identity_key";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The database did not do its part.
    #[error("the database: {0}")]
    Store(#[from] StoreError),
    /// No key could be made.
    #[error("making the key: {0}")]
    Make(#[from] KeyError),
    /// What was made, or kept, is no key with its certificate.
    #[error("{0}")]
    Key(String),
}

/// What is kept, before it is sealed.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// PKCS#1, PEM.
    key: String,
    /// DER, in base64.
    certificate: String,
}

/// An intent whose document is to be signed.
pub(crate) struct Unsigned {
    pub(crate) intent: InstanceIntent,
    /// Of the instance: `x86_64`.
    pub(crate) architecture: String,
}

fn unsigned(intents: Vec<Unsigned>) -> Vec<InstanceIntent> {
    intents.into_iter().map(|unsigned| unsigned.intent).collect()
}

/// The cloud's signer, once it is known.
#[derive(Debug, Default)]
pub struct IdentityKey(OnceLock<Arc<Signer>>);

impl IdentityKey {
    /// The signer, if the cloud has its key by now.
    ///
    /// # Errors
    /// What the database says; a key that is damaged, or sealed by another seal key.
    pub async fn signer(&self, store: &Store) -> Result<Option<Arc<Signer>>, IdentityError> {
        if let Some(signer) = self.0.get() {
            return Ok(Some(Arc::clone(signer)));
        }
        let Some(text) = setting_fetch(store, SETTING).await? else { return Ok(None) };
        let damaged = || IdentityError::Key(format!("the setting {SETTING} is damaged: restore it from a backup"));
        let sealed = BASE64.decode(text).map_err(|_| damaged())?;
        // The seal key is another one, or this setting is: of a signature's want no instance is kept from its node.
        let plain = text_open(store, SETTING, &sealed).map_err(|error| IdentityError::Key(error.to_string()))?;
        let kept: Kept = serde_json::from_str(plain.expose_secret()).map_err(|_| damaged())?;
        let certificate = BASE64.decode(&kept.certificate).map_err(|_| damaged())?;
        let signer = Signer::new(&SecretString::from(kept.key), certificate)?;
        Ok(Some(Arc::clone(self.0.get_or_init(|| Arc::new(signer)))))
    }

    /// Adds the signed document to these intents. Nothing, as long as there is no key: with the key every instance gets a
    /// new generation. (So the key is looked for after the instances were read.)
    pub(crate) async fn sign(&self, store: &Store, intents: Vec<Unsigned>) -> Result<Vec<InstanceIntent>, StoreError> {
        let signer = match self.signer(store).await {
            Ok(Some(signer)) => signer,
            Ok(None) => return Ok(unsigned(intents)),
            Err(IdentityError::Store(error)) => return Err(error),
            Err(error) => {
                tracing::error!(%error, "identity documents of instances are not signed");
                return Ok(unsigned(intents));
            }
        };
        // A signature takes the better part of a millisecond.
        let work = move || -> Vec<InstanceIntent> {
            let signed = |Unsigned { mut intent, architecture }: Unsigned| {
                let document = document::of(&intent, &architecture);
                if let Some(metadata) = intent.spec.as_mut().and_then(|spec| spec.metadata.as_mut()) {
                    metadata.identity = document.and_then(|document| signer.sign(document));
                }
                intent
            };
            intents.into_iter().map(signed).collect()
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| StoreError::Config(format!("signing died: {error}")))
    }
}

impl Cloud {
    /// The certificate by which users verify what is signed, PEM; `None` while the cloud has no key yet.
    ///
    /// # Errors
    /// As [`IdentityKey::signer`].
    pub async fn identity_certificate(&self) -> Result<Option<String>, IdentityError> {
        Ok(self.identity_key().signer(self.store()).await?.map(|signer| signer.certificate_pem()))
    }
}

/// Sees to it that the cloud has its key: made at its first start, and at the first one of a version that signs. Instances
/// that are there get their documents then.
///
/// # Errors
/// What the database says; no `openssl` on this host.
pub async fn ensure_key(cloud: &Cloud) -> Result<(), IdentityError> {
    if cloud.identity_key().signer(cloud.store()).await?.is_some() {
        return Ok(());
    }
    let key = make_rsa().await?.private_pem;
    let certificate = signer::self_signed(&key, &cloud.config().region, cloud.clock().now_ms(), cloud.rng())?;
    Signer::new(&key, certificate.clone())?;
    let kept = Kept { key: key.expose_secret().to_owned(), certificate: BASE64.encode(&certificate) };
    let text = SecretString::from(serde_json::to_string(&kept).map_err(|error| IdentityError::Key(error.to_string()))?);
    let sealed = text_seal(cloud.store(), SETTING, text.expose_secret())?;
    let mut tx = cloud.store().write().await?;
    // Of several replicas one makes it.
    if setting_insert(&mut tx, SETTING, &BASE64.encode(sealed)).await? {
        for (id, zone) in instance_touch_all(&mut tx).await? {
            change_append(&mut tx, load::INSTANCE, &id, Some(&zone));
        }
    }
    tx.commit().await?;
    Ok(())
}

/// Has the key made in the background.
pub fn spawn(scope: &TaskScope, cloud: Arc<Cloud>) {
    let shutdown = scope.shutdown().clone();
    scope.spawn(async move {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(600), cloud.rng().clone());
        while !shutdown.is_stopped() {
            let Err(error) = ensure_key(&cloud).await else { return };
            tracing::warn!(%error, "no key to sign identity documents of instances; it is tried again");
            tokio::select! {
                () = shutdown.stopped() => {}
                () = tokio::time::sleep(backoff.next_delay()) => {}
            }
        }
    });
}

#[cfg(test)]
mod tests;

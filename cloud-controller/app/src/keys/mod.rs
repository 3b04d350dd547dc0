//! Key pairs: the use cases, and the key material itself.

pub(crate) mod der;
pub mod material;

use crate::fail::{OrFail as _, store_failure};
use crate::quotas::table as quotas;
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    KeyPairKind, KeyPairRow, key_pair_by_name, key_pair_delete, key_pair_insert, key_pair_list, tag_delete_of, tag_put,
};
use mallee_types::KeyPairId;
use material::{KeyError, KeyKind, NewKeyPair, PublicMaterial};
use secrecy::SecretString;

/// Longest name, in characters (EC2: 255 ASCII).
const NAME_CHARS_MAX: usize = 255;
/// EC2's resource type for tags.
pub const TAG_KIND: &str = "key-pair";

fn check_name(name: &str) -> Result<(), ApiError> {
    if name.is_empty()
        || name.trim() != name
        || name.len() > NAME_CHARS_MAX
        || !name.bytes().all(|b| (0x20..0x7f).contains(&b))
    {
        return Err(Code::InvalidParameterValue.message(format!(
            "Invalid value '{}' for keyPairNames. It should be 1 to 255 printable ASCII characters without spaces at its ends",
            mallee_awswire::texts::clip(name)
        )));
    }
    Ok(())
}

fn key_failure(error: KeyError) -> ApiError {
    match error {
        KeyError::Format => Code::InvalidKeyFormat.error(),
        KeyError::Host(why) => ApiError::internal(why),
    }
}

impl Cloud {
    /// `CreateKeyPair`. The private half is in the reply and nowhere else.
    ///
    /// # Errors
    /// `InvalidKeyPair.Duplicate`, a bad name, bad tags.
    pub async fn create_key_pair(
        &self,
        cx: &OpContext,
        name: &str,
        kind: KeyKind,
        tags: &[Tag],
        dry_run: bool,
    ) -> Result<(KeyPairRow, SecretString), ApiError> {
        self.key_pair_precheck(cx, name, tags, dry_run).await?;
        let NewKeyPair { public, private_pem } = match kind {
            KeyKind::Rsa => material::make_rsa().await.map_err(key_failure)?,
            KeyKind::Ed25519 => {
                let mut seed = zeroize::Zeroizing::new([0u8; 32]);
                self.rng().fill(&mut *seed);
                material::make_ed25519(&seed).map_err(key_failure)?
            }
        };
        Ok((self.keep_key_pair(cx, "ec2:CreateKeyPair", name, public, tags).await?, private_pem))
    }

    /// `ImportKeyPair`.
    ///
    /// # Errors
    /// `InvalidKey.Format`, `InvalidKeyPair.Duplicate`, a bad name, bad tags.
    pub async fn import_key_pair(
        &self,
        cx: &OpContext,
        name: &str,
        public_key: &[u8],
        tags: &[Tag],
        dry_run: bool,
    ) -> Result<KeyPairRow, ApiError> {
        let text = std::str::from_utf8(public_key).map_err(|_| Code::InvalidKeyFormat.error())?;
        let public = material::import(text).map_err(key_failure)?;
        self.key_pair_precheck(cx, name, tags, dry_run).await?;
        self.keep_key_pair(cx, "ec2:ImportKeyPair", name, public, tags).await
    }

    async fn key_pair_precheck(&self, cx: &OpContext, name: &str, tags: &[Tag], dry_run: bool) -> Result<(), ApiError> {
        check_name(name)?;
        tags::validate(tags)?;
        if key_pair_by_name(self.store(), cx.account(), name).await.or_fail()?.is_some() {
            return Err(Code::InvalidKeyPairDuplicate.error());
        }
        if dry_run { Err(Code::DryRunOperation.error()) } else { Ok(()) }
    }

    async fn keep_key_pair(
        &self,
        cx: &OpContext,
        action: &str,
        name: &str,
        public: PublicMaterial,
        tags: &[Tag],
    ) -> Result<KeyPairRow, ApiError> {
        let kind = match public.kind {
            KeyKind::Rsa => KeyPairKind::Rsa,
            KeyKind::Ed25519 => KeyPairKind::Ed25519,
        };
        let row = KeyPairRow {
            id: KeyPairId::from_random(self.rng().u128()),
            account_id: cx.account().clone(),
            name: name.to_owned(),
            kind,
            fingerprint: public.fingerprint,
            public_openssh: public.openssh,
            created_ms: self.clock().now_ms(),
        };
        let allowance = self.ec2_allowance(cx, action, "key-pair", &[]).await?;
        let mut tx = self.store().write().await.or_fail()?;
        allowance.take(&mut tx, &[(&quotas::KEY_PAIRS, 1)], &[row.id.to_string()]).await?;
        key_pair_insert(&mut tx, &row).await.map_err(|error| {
            if error.is_conflict("key_pairs_account_id_name") {
                Code::InvalidKeyPairDuplicate.error()
            } else {
                store_failure(error)
            }
        })?;
        tag_put(&mut tx, &tags::rows(cx.account(), TAG_KIND, row.id.as_str(), tags)).await.or_fail()?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// `DeleteKeyPair`, by name or id. What is not there is deleted already. The id of what was deleted.
    ///
    /// # Errors
    /// When neither name nor id is given, or the id is none.
    pub async fn delete_key_pair(
        &self,
        cx: &OpContext,
        name: Option<&str>,
        id: Option<&KeyPairId>,
        dry_run: bool,
    ) -> Result<Option<KeyPairId>, ApiError> {
        let names = name.map(|name| [name.to_owned()]);
        let found = key_pair_list(
            self.store(),
            cx.account(),
            id.map(std::slice::from_ref),
            names.as_ref().map(<[String; 1]>::as_slice),
            None,
            1,
        )
        .await
        .or_fail()?
        .pop();
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let Some(row) = found else { return Ok(None) };
        let mut tx = self.store().write().await.or_fail()?;
        key_pair_delete(&mut tx, cx.account(), &row.id).await.or_fail()?;
        tag_delete_of(&mut tx, row.id.as_str()).await.or_fail()?;
        tx.commit().await.or_fail()?;
        Ok(Some(row.id))
    }
}

//! Who asks, which key is meant, and whether that is allowed: by the key's policy, which must allow, and where it hands
//! the decision to the account (as the default one does) by the caller's own policies.

use crate::envelope::{MATERIAL_BYTES, Material};
use crate::ids::{self, What, alias_arn, key_arn};
use crate::policies;
use crate::state::{self, Needs};
use mallee_app::authorize::Ask;
use mallee_app::fail::OrFail as _;
use mallee_app::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_iam::{Policy, PolicyKind};
use mallee_store::{
    Json, KmsAliasRow, KmsKeyDoc, KmsKeyRow, KmsMaterialRow, KmsReason, KmsState, Tx, kms_account_lock,
    kms_alias_fetch, kms_alias_insert, kms_alias_list_of, kms_key_fetch, kms_key_insert, kms_key_locked,
    kms_key_update, kms_material_insert, kms_material_newest, kms_material_secret,
};
use mallee_types::AccountId;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

/// The alias of the key with which S3 encrypts where no other is named.
pub(crate) const S3_ALIAS: &str = "alias/aws/s3";

/// Condition keys with their values.
pub(crate) type Conditions = Vec<(String, Vec<String>)>;

/// One caller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) cloud: &'a Cloud,
    pub(crate) cx: &'a OpContext,
    /// The service that asks for the caller (`s3`).
    pub(crate) via: Option<&'a str>,
}

/// Which keys an operation takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The account's, by key id or key ARN.
    Own,
    /// Any that lets the caller in, by any name.
    Anywhere,
}

/// A key that the caller may use.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) row: KmsKeyRow,
    pub(crate) arn: String,
}

impl Found {
    /// # Errors
    /// As [`state::check`].
    pub(crate) fn check(&self, needs: Needs) -> Result<(), ApiError> {
        state::check(needs, self.row.state, &self.arn)
    }
}

impl Asker<'_> {
    pub(crate) fn region(&self) -> &str {
        &self.cloud.config().region
    }

    pub(crate) fn arn(&self, row: &KmsKeyRow) -> String {
        key_arn(self.region(), &row.account_id, &row.id)
    }

    /// The key that a request names, for a caller who may do `action` with it.
    ///
    /// # Errors
    /// `NotFoundException`, `InvalidArnException`, `AccessDenied`: who may not use a key is not told whether it is there.
    pub(crate) async fn permitted(
        &self,
        action: &str,
        given: &str,
        reach: Reach,
        more: Conditions,
    ) -> Result<Found, ApiError> {
        let named = ids::parse(given, self.region())?;
        let account = named.account.as_ref().unwrap_or_else(|| self.cx.account());
        let own = account == self.cx.account();
        if reach == Reach::Own && (!own || matches!(named.what, What::Alias(_))) {
            self.allowed(action, "*", None, Conditions::new()).await?;
            return Err(
                Code::NotFoundException.message(format!("Invalid keyId '{}'", mallee_awswire::texts::clip(given)))
            );
        }
        let store = self.cloud.store();
        let (mut row, alias, name) = match &named.what {
            What::Key(id) => {
                let row = kms_key_fetch(store, id).await.or_fail()?.filter(|row| row.account_id == *account);
                (row, None, key_arn(self.region(), account, id))
            }
            What::Alias(name) => {
                let alias = kms_alias_fetch(store, account, name).await.or_fail()?;
                let row = match alias {
                    Some(alias) => kms_key_fetch(store, &alias.key_id).await.or_fail()?,
                    None => None,
                };
                (row, Some(name.as_str()), alias_arn(self.region(), account, name))
            }
        };
        let makes = row.is_none() && own && alias == Some(S3_ALIAS);
        if makes {
            row = Some(self.s3_key());
        }
        let Some(row) = row else {
            // Of another account: as if its policy said nothing.
            let nobody = Policy::parse(policies::NOBODY, PolicyKind::Resource).map_err(ApiError::internal)?;
            let of = if own { None } else { Some((&nobody, account)) };
            self.allowed(action, &name, of, more).await?;
            let text = match named.what {
                What::Key(_) => format!("Key '{name}' does not exist"),
                What::Alias(_) => format!("Alias {name} is not found."),
            };
            return Err(Code::NotFoundException.message(text));
        };
        self.require(action, &row, alias, more).await?;
        let row = if makes { self.make_s3_key(row).await? } else { row };
        Ok(Found { arn: self.arn(&row), row })
    }

    /// Whether the caller may do this with the key.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub(crate) async fn require(
        &self,
        action: &str,
        row: &KmsKeyRow,
        alias: Option<&str>,
        mut more: Conditions,
    ) -> Result<(), ApiError> {
        let arn = self.arn(row);
        let policy = Policy::parse(&row.policy, PolicyKind::Resource).or_else(|error| {
            // A stored document that does not read lets nobody in.
            tracing::error!(key = arn, %error, "the policy of a key does not read");
            Policy::parse(policies::NOBODY, PolicyKind::Resource)
        });
        let policy = policy.map_err(ApiError::internal)?;
        let aliases = kms_alias_list_of(self.cloud.store(), &row.id).await.or_fail()?;
        more.extend(describe(row, aliases, alias));
        self.allowed(action, &arn, Some((&policy, &row.account_id)), more).await
    }

    /// Asks the evaluator: with the policy of a key and its owner, or for what has none.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub(crate) async fn allowed(
        &self,
        action: &str,
        resource: &str,
        of: Option<(&Policy, &AccountId)>,
        mut more: Conditions,
    ) -> Result<(), ApiError> {
        more.push(("kms:CallerAccount".to_owned(), vec![self.cx.account().to_string()]));
        if let Some(service) = self.via {
            more.push(("kms:ViaService".to_owned(), vec![format!("{service}.{}.amazonaws.com", self.region())]));
        }
        let keys: Vec<(&str, Vec<String>)> = more.iter().map(|(key, values)| (key.as_str(), values.clone())).collect();
        let ask = Ask {
            action,
            resource,
            keys: &keys,
            policy: of.map(|(policy, _)| policy),
            owner: of.map(|(_, owner)| owner),
            policy_must_allow: of.is_some(),
            ..Ask::default()
        };
        self.cloud.require(self.cx, &ask).await
    }

    /// Changes a key in one transaction, in which it is in the needed state.
    ///
    /// # Errors
    /// As [`state::check`]; `NotFoundException` when it went meanwhile; what `edit` says.
    pub(crate) async fn change(
        &self,
        found: &Found,
        needs: Needs,
        edit: impl AsyncFnOnce(&mut KmsKeyRow, &mut Tx) -> Result<(), ApiError>,
    ) -> Result<KmsKeyRow, ApiError> {
        self.cloud.faults().point("kms.key.change").await.or_fail()?;
        let mut tx = self.cloud.store().write().await.or_fail()?;
        let row = kms_key_locked(&mut tx, &found.row.id).await.or_fail()?;
        let gone = || Code::NotFoundException.message(format!("Key '{}' does not exist", found.arn));
        let mut row = row.ok_or_else(gone)?;
        state::check(needs, row.state, &found.arn)?;
        edit(&mut row, &mut tx).await?;
        kms_key_update(&mut tx, &row).await.or_fail()?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// The key with which S3 encrypts for the account, not made yet.
    fn s3_key(&self) -> KmsKeyRow {
        let (account, now_ms) = (self.cx.account(), self.cloud.clock().now_ms());
        let description = "Default key that protects my S3 objects when no other key is defined".to_owned();
        KmsKeyRow {
            id: self.cloud.rng().uuid(),
            account_id: account.clone(),
            state: KmsState::Enabled,
            doc: Json(KmsKeyDoc {
                description,
                service: "s3".to_owned(),
                rotation_days: Some(crate::rotation::PERIOD_DAYS),
                ..KmsKeyDoc::default()
            }),
            policy: policies::of_s3(account, self.region()),
            delete_ms: None,
            rotate_ms: Some(now_ms + i64::from(crate::rotation::PERIOD_DAYS) * crate::keys::DAY_MS),
            created_ms: now_ms,
        }
    }

    /// Makes that key, unless somebody else just did.
    async fn make_s3_key(&self, row: KmsKeyRow) -> Result<KmsKeyRow, ApiError> {
        let mut tx = self.cloud.store().write().await.or_fail()?;
        kms_account_lock(&mut tx, &row.account_id).await.or_fail()?;
        if let Some(alias) = kms_alias_fetch(&mut tx, &row.account_id, S3_ALIAS).await.or_fail()? {
            let made = kms_key_fetch(&mut tx, &alias.key_id).await.or_fail()?;
            return made.ok_or_else(|| ApiError::internal("an alias without its key"));
        }
        insert(&mut tx, &row).await?;
        let (at_ms, name) = (row.created_ms, S3_ALIAS.to_owned());
        let (account_id, key_id) = (row.account_id.clone(), row.id.clone());
        let alias = KmsAliasRow { account_id, name, key_id, created_ms: at_ms, updated_ms: at_ms };
        kms_alias_insert(&mut tx, &alias).await.or_fail()?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// The material that encrypts, and its number.
    ///
    /// # Errors
    /// `NotFoundException` when the key has gone.
    pub(crate) async fn newest_material(&self, key: &Found) -> Result<(u32, Material), ApiError> {
        let gone = || Code::NotFoundException.message(format!("Key '{}' does not exist", key.arn));
        let n = kms_material_newest(self.cloud.store(), &key.row.id).await.or_fail()?.ok_or_else(gone)?;
        Ok((n, self.material(&key.row.id, n).await?.ok_or_else(gone)?))
    }

    /// One material of a key, if it is there.
    ///
    /// # Errors
    /// What the database says.
    pub(crate) async fn material(&self, key: &str, n: u32) -> Result<Option<Material>, ApiError> {
        let Some(secret) = kms_material_secret(self.cloud.store(), key, n).await.or_fail()? else { return Ok(None) };
        let mut bytes = Zeroizing::new([0; MATERIAL_BYTES]);
        hex::decode_to_slice(secret.expose_secret(), bytes.as_mut_slice())
            .map_err(|_| ApiError::internal("a key material does not read"))?;
        Ok(Some(Material(bytes)))
    }
}

/// Makes a key with its first material.
///
/// # Errors
/// What the database says.
pub(crate) async fn insert(tx: &mut Tx, row: &KmsKeyRow) -> Result<(), ApiError> {
    kms_key_insert(tx, row).await.or_fail()?;
    add_material(tx, &row.id, 1, KmsReason::Made, row.created_ms).await
}

/// Adds fresh material to a key.
///
/// # Errors
/// What the database says.
pub(crate) async fn add_material(
    tx: &mut Tx,
    key: &str,
    n: u32,
    reason: KmsReason,
    created_ms: i64,
) -> Result<(), ApiError> {
    let mut bytes = Zeroizing::new([0; MATERIAL_BYTES]);
    tx.store().rng().fill(bytes.as_mut_slice());
    let secret = SecretString::from(hex::encode(bytes.as_slice()));
    let row = KmsMaterialRow { key_id: key.to_owned(), n, reason, created_ms };
    kms_material_insert(tx, &row, &secret).await.or_fail()
}

/// The condition keys that say what a key is like.
fn describe(row: &KmsKeyRow, aliases: Vec<KmsAliasRow>, asked: Option<&str>) -> Conditions {
    let mut keys: Conditions = vec![
        ("kms:KeySpec".to_owned(), vec!["SYMMETRIC_DEFAULT".to_owned()]),
        ("kms:KeyUsage".to_owned(), vec!["ENCRYPT_DECRYPT".to_owned()]),
        ("kms:KeyOrigin".to_owned(), vec!["AWS_KMS".to_owned()]),
        ("kms:MultiRegion".to_owned(), vec!["false".to_owned()]),
    ];
    if !aliases.is_empty() {
        keys.push(("kms:ResourceAliases".to_owned(), aliases.into_iter().map(|alias| alias.name).collect()));
    }
    if let Some(alias) = asked {
        keys.push(("kms:RequestAlias".to_owned(), vec![alias.to_owned()]));
    }
    keys.extend(row.doc.0.tags.iter().map(|(key, value)| (format!("aws:ResourceTag/{key}"), vec![value.clone()])));
    keys
}

//! The credentials that the metadata service gives to an instance.

use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use crate::value::words;
use crate::{Store, StoreError};
use mallee_types::InstanceId;
use secrecy::{ExposeSecret as _, SecretString};

/// Rows of credentials that are due, read at once.
pub const CREDENTIALS_DUE_MAX: u32 = 100;
/// Between the secret and the token of sealed credentials; neither has one.
const SEPARATOR: char = '\n';

/// What became of an instance's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CredentialsCode {
    /// There are credentials, or the profile has no role.
    Success,
    /// The profile was deleted.
    NoProfile,
    /// The role's trust policy does not let EC2 assume it.
    NotTrusted,
}

words! { CredentialsCode { Success = "success", NoProfile = "no-profile", NotTrusted = "not-trusted" } }

record! {
    /// An instance's credentials; the secret and the token are sealed.
    pub struct InstanceCredentialsRow {
        /// The instance.
        instance_id: InstanceId,
        /// Grows with every change; the store counts it.
        version: u64,
        /// Id of the instance profile; empty: it has none any more.
        profile_id: String,
        /// The profile's ARN; empty as above.
        profile_arn: String,
        /// The role's name; `None`: the profile has no role.
        role_name: Option<String>,
        /// What became of it.
        code: CredentialsCode,
        /// The session's access key id, if there is one.
        session_id: Option<String>,
        /// When this was so.
        issued_ms: i64,
        /// When the session ends; 0 without one.
        expires_ms: i64,
        /// When it is to be looked at again; `None`: when something is changed.
        renew_ms: Option<i64>,
        /// Secret and token, for [`instance_credentials_secrets`]; ignored by [`instance_credentials_put`].
        sealed: Option<Vec<u8>>,
    }
}

sql! {
    PUT = "INSERT INTO instance_credentials (instance_id, version, profile_id, profile_arn, role_name, code, session_id,
        issued_ms, expires_ms, renew_ms, sealed) VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        ON CONFLICT (instance_id) DO UPDATE SET version = instance_credentials.version + 1,
        profile_id = excluded.profile_id, profile_arn = excluded.profile_arn, role_name = excluded.role_name,
        code = excluded.code, session_id = excluded.session_id, issued_ms = excluded.issued_ms,
        expires_ms = excluded.expires_ms, renew_ms = excluded.renew_ms, sealed = excluded.sealed";
    FETCH = "SELECT instance_id, version, profile_id, profile_arn, role_name, code, session_id, issued_ms, expires_ms,
        renew_ms, sealed FROM instance_credentials WHERE instance_id = $1";
    LIST_OF = "SELECT instance_id, version, profile_id, profile_arn, role_name, code, session_id, issued_ms, expires_ms,
        renew_ms, sealed FROM instance_credentials WHERE instance_id <> ''";
    DUE = "SELECT instance_id FROM instance_credentials WHERE renew_ms <= $1 ORDER BY renew_ms LIMIT $2 + 0";
    DUE_OF_PROFILE = "UPDATE instance_credentials SET renew_ms = 0 WHERE profile_id = $1";
    DUE_OF_ROLE = "UPDATE instance_credentials SET renew_ms = 0
        WHERE profile_id IN (SELECT id FROM instance_profiles WHERE role_id = $1)";
}

/// Writes an instance's credentials, with secret and token sealed; the version grows.
pub async fn instance_credentials_put(
    tx: &mut Tx,
    row: &InstanceCredentialsRow,
    secrets: Option<(&SecretString, &SecretString)>,
) -> Result<(), StoreError> {
    let store = tx.store();
    let seal = |(secret, token): (&SecretString, &SecretString)| {
        let text = zeroize::Zeroizing::new(format!("{}{SEPARATOR}{}", secret.expose_secret(), token.expose_secret()));
        store.seal().seal(store.rng(), row.instance_id.as_str(), text.as_bytes())
    };
    let sealed: Option<Vec<u8>> = secrets.map(seal).transpose()?;
    let values = args![
        row.instance_id,
        row.profile_id,
        row.profile_arn,
        row.role_name,
        row.code,
        row.session_id,
        row.issued_ms,
        row.expires_ms,
        row.renew_ms,
        sealed
    ];
    Exec::Tx(tx).run(PUT, values).await.map(drop)
}

/// Secret and token. [`StoreError::Sealed`] when the seal key is another.
pub fn instance_credentials_secrets(
    store: &Store,
    row: &InstanceCredentialsRow,
) -> Result<Option<(SecretString, SecretString)>, StoreError> {
    let Some(sealed) = &row.sealed else { return Ok(None) };
    let text = store.seal().open(row.instance_id.as_str(), sealed)?;
    let pair = text.expose_secret().split_once(SEPARATOR);
    Ok(pair.map(|(secret, token)| (secret.into(), token.into())))
}

/// An instance's credentials, if it ever had a profile.
pub async fn instance_credentials_fetch<'a>(
    exec: impl Into<Exec<'a>>,
    instance: &InstanceId,
) -> Result<Option<InstanceCredentialsRow>, StoreError> {
    exec.into().maybe(FETCH, args![instance]).await
}

/// Those of these instances.
pub async fn instance_credentials_list_of<'a>(
    exec: impl Into<Exec<'a>>,
    instances: &[InstanceId],
) -> Result<Vec<InstanceCredentialsRow>, StoreError> {
    let select = Select::new(LIST_OF, args![]).and_in("instance_id", Some(instances))?;
    select.page(exec.into(), "instance_id", crate::PAGE_ROWS_MAX).await
}

/// Instances whose credentials are to be looked at again by now, the longest due first, at most
/// [`CREDENTIALS_DUE_MAX`].
pub async fn instance_credentials_due<'a>(
    exec: impl Into<Exec<'a>>,
    now_ms: i64,
) -> Result<Vec<InstanceId>, StoreError> {
    let rows: Vec<(InstanceId,)> = exec.into().all(DUE, args![now_ms, CREDENTIALS_DUE_MAX]).await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Has the credentials of all instances with this profile looked at at once.
pub async fn instance_credentials_due_of_profile(tx: &mut Tx, profile_id: &str) -> Result<(), StoreError> {
    Exec::Tx(tx).run(DUE_OF_PROFILE, args![profile_id]).await.map(drop)
}

/// As [`instance_credentials_due_of_profile`], of all profiles with this role.
pub async fn instance_credentials_due_of_role(tx: &mut Tx, role_id: &str) -> Result<(), StoreError> {
    Exec::Tx(tx).run(DUE_OF_ROLE, args![role_id]).await.map(drop)
}

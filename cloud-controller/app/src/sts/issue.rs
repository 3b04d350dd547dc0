//! Giving out temporary credentials.

use crate::Cloud;
use crate::fail::OrFail as _;
use mallee_awswire::ApiError;
use mallee_store::{
    Json, SESSIONS_PURGED_MAX, SessionDoc, SessionKind, SessionRow, StoreError, Tx, session_insert, session_purge,
};
use mallee_types::AccountId;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};

/// Letters of key ids: base32.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Letters of secrets and tokens.
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// What the key ids of sessions begin with.
pub const SESSION_KEY_PREFIX: &str = "ASIA";
/// Letters after it.
const KEY_LETTERS: usize = 16;
/// Letters of a secret.
const SECRET_LETTERS: usize = 40;
/// Letters of a token: 384 random bits.
const TOKEN_LETTERS: usize = 64;
/// How long an expired session is kept, so that its use is told to have expired, in milliseconds.
const KEPT_EXPIRED_MS: i64 = 24 * 3_600_000;

/// Temporary credentials.
#[derive(Debug)]
pub struct Issued {
    /// `ASIA…`.
    pub access_key_id: String,
    /// The secret.
    pub secret: SecretString,
    /// The token that has to come with each request.
    pub token: SecretString,
    /// When they end.
    pub expires_ms: i64,
}

/// A session to be.
#[derive(Debug)]
pub(crate) struct NewSession {
    pub(crate) account: AccountId,
    pub(crate) kind: SessionKind,
    pub(crate) principal_id: String,
    pub(crate) name: String,
    pub(crate) seconds: u32,
    pub(crate) doc: SessionDoc,
}

/// What the store keeps of a token.
#[must_use]
pub fn token_hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

impl Cloud {
    fn letters(&self, letters: &[u8], count: usize) -> String {
        let of = letters.len() as u64;
        let pick = |_| usize::try_from(self.rng().below(of)).ok().and_then(|n| letters.get(n)).copied();
        (0..count).filter_map(pick).map(char::from).collect()
    }

    /// Writes a session and answers its credentials, in one transaction.
    pub(super) async fn issue(&self, new: NewSession) -> Result<Issued, ApiError> {
        let mut tx = self.store().write().await.or_fail()?;
        let issued = self.issue_in(&mut tx, new).await.or_fail()?;
        tx.commit().await.or_fail()?;
        Ok(issued)
    }

    /// As [`Cloud::issue`], in the caller's transaction.
    pub(crate) async fn issue_in(&self, tx: &mut Tx, new: NewSession) -> Result<Issued, StoreError> {
        let NewSession { account, kind, principal_id, name, seconds, doc } = new;
        let issued_ms = self.clock().now_ms();
        let token = self.letters(BASE64, TOKEN_LETTERS);
        let secret = SecretString::from(self.letters(BASE64, SECRET_LETTERS));
        let row = SessionRow {
            id: format!("{SESSION_KEY_PREFIX}{}", self.letters(BASE32, KEY_LETTERS)),
            account_id: account,
            kind,
            principal_id,
            name,
            token_hash: token_hash(&token),
            issued_ms,
            expires_ms: issued_ms + i64::from(seconds) * 1000,
            doc: Json(doc),
        };
        session_insert(tx, &row, &secret).await?;
        Ok(Issued { access_key_id: row.id, secret, token: token.into(), expires_ms: row.expires_ms })
    }
}

/// Forgets sessions that expired more than a day ago.
///
/// # Errors
/// What the database says.
pub async fn purge_sessions(cloud: &Cloud) -> Result<(), StoreError> {
    let before = cloud.clock().now_ms() - KEPT_EXPIRED_MS;
    loop {
        let mut tx = cloud.store().write().await?;
        let gone = session_purge(&mut tx, before).await?;
        tx.commit().await?;
        if gone < u64::from(SESSIONS_PURGED_MAX) {
            return Ok(());
        }
    }
}

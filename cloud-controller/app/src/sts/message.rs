//! Authorization messages: why a call was refused, sealed, so that only those read it who may
//! `sts:DecodeAuthorizationMessage` in the account whose call it was.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mallee_store::{Store, StoreError, text_open, text_seal};
use mallee_types::AccountId;
use secrecy::ExposeSecret as _;

/// Longest message that is looked at (the model of STS: 10,240 characters).
const MESSAGE_CHARS_MAX: usize = 10_240;

fn name(account: &AccountId) -> String {
    format!("authorization message {account}")
}

/// Seals a message (JSON) for callers of an account.
///
/// # Errors
/// None in practice.
pub fn encode(store: &Store, account: &AccountId, json: &str) -> Result<String, StoreError> {
    Ok(URL_SAFE_NO_PAD.encode(text_seal(store, &name(account), json)?))
}

/// Opens what [`encode`] made for this account.
#[must_use]
pub fn decode(store: &Store, account: &AccountId, encoded: &str) -> Option<String> {
    if encoded.len() > MESSAGE_CHARS_MAX {
        return None;
    }
    let sealed = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    let text = text_open(store, &name(account), &sealed).ok()?;
    Some(text.expose_secret().to_owned())
}

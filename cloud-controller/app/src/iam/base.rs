//! What every use case of IAM starts from: the transaction, unique ids, paths and ARNs.

use crate::fail::OrFail as _;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{Tx, change_append};
use mallee_types::AccountId;

/// The kind of change that the log notes for an account whose IAM changed; its id is the account.
pub const IAM_CHANGE: &str = "iam";
/// Letters of unique ids: base32.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Letters of a unique id after its four-letter prefix.
const UNIQUE_ID_LETTERS: usize = 17;

/// A path as given, or `/`.
///
/// # Errors
/// `ValidationError`.
pub fn path(given: Option<String>) -> Result<String, ApiError> {
    let Some(path) = given else { return Ok("/".to_owned()) };
    let inner = path.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
    let good = path == "/" || inner.is_some_and(|i| !i.is_empty() && i.bytes().all(|b| (0x21..=0x7e).contains(&b)));
    if !good || path.len() > 512 {
        return Err(Code::ValidationError.message(
            "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.",
        ));
    }
    Ok(path)
}

/// `arn:aws:iam::ACCOUNT:KIND/path/name`.
#[must_use]
pub fn arn(account: &AccountId, kind: &str, path: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:{kind}{path}{name}")
}

/// Refuses what would be one too many, in AWS's words.
///
/// # Errors
/// `LimitExceeded`.
pub fn quota(name: &str, have: u64, max: u64) -> Result<(), ApiError> {
    if have < max {
        return Ok(());
    }
    Err(Code::LimitExceeded.message(format!("Cannot exceed quota for {name}: {max}")))
}

impl Cloud {
    /// A fresh unique id of IAM: a four-letter prefix such as `AROA`, and 17 letters.
    #[must_use]
    pub fn unique_id(&self, prefix: &str) -> String {
        let letter = |_| {
            let at = usize::try_from(self.rng().below(BASE32.len() as u64)).unwrap_or_default();
            BASE32.get(at).copied().map_or('A', char::from)
        };
        prefix.chars().chain((0..UNIQUE_ID_LETTERS).map(letter)).collect()
    }

    /// Begins a change of the caller's IAM, one at a time in an account, so that what is checked in it still holds when it
    /// is written. Whether the caller may was decided before.
    pub(crate) async fn iam_write(&self, cx: &OpContext) -> Result<Tx, ApiError> {
        let mut tx = self.store().write().await.or_fail()?;
        tx.lock(&format!("iam {}", cx.account())).await.or_fail()?;
        change_append(&mut tx, IAM_CHANGE, cx.account(), None);
        Ok(tx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_begin_and_end_with_a_slash() {
        assert_eq!(path(None).unwrap(), "/");
        for good in ["/", "/a/", "/a/b-c/"] {
            assert_eq!(path(Some(good.into())).unwrap(), good);
        }
        for bad in ["", "a", "/a", "a/", "//\u{7f}/", "/a b/"] {
            assert!(path(Some(bad.into())).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_quota_is_named() {
        assert!(quota("RolesPerAccount", 999, 1000).is_ok());
        let error = quota("RolesPerAccount", 1000, 1000).unwrap_err();
        assert_eq!(error.message(), "Cannot exceed quota for RolesPerAccount: 1000");
    }
}

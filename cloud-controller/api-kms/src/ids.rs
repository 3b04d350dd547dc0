//! How requests name keys: key id, key ARN, alias name, alias ARN. Pure.

use mallee_awswire::{ApiError, Code};
use mallee_types::AccountId;

/// How the names of aliases begin.
pub(crate) const ALIAS: &str = "alias/";
/// How the names of aliases begin that are the cloud's own.
pub(crate) const RESERVED: &str = "alias/aws/";
/// Longest name, in bytes (AWS: 2,048).
const ID_BYTES_MAX: usize = 2048;
/// Longest name of an alias, in bytes (AWS: 256).
const ALIAS_BYTES_MAX: usize = 256;

/// A key or alias as a request names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// Of which account; `None`: the caller's.
    pub(crate) account: Option<AccountId>,
    /// What.
    pub(crate) what: What,
}

/// What a name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// A key by its UUID.
    Key(String),
    /// An alias, with `alias/`.
    Alias(String),
}

/// ARN of a key.
pub(crate) fn key_arn(region: &str, account: &AccountId, id: &str) -> String {
    format!("arn:aws:kms:{region}:{account}:key/{id}")
}

/// ARN of an alias, whose name begins with `alias/`.
pub(crate) fn alias_arn(region: &str, account: &AccountId, name: &str) -> String {
    format!("arn:aws:kms:{region}:{account}:{name}")
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.char_indices().all(|(at, c)| match at {
            8 | 13 | 18 | 23 => c == '-',
            _ => c.is_ascii_digit() || ('a'..='f').contains(&c),
        })
}

fn is_alias(name: &str) -> bool {
    name.len() <= ALIAS_BYTES_MAX
        && name.strip_prefix(ALIAS).is_some_and(|rest| {
            !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric() || "/_-".contains(c))
        })
}

/// Reads the name of a key.
///
/// # Errors
/// `InvalidArnException`, `NotFoundException`, as KMS answers what can be the name of none.
pub(crate) fn parse(given: &str, region: &str) -> Result<Named, ApiError> {
    let unknown = || Code::NotFoundException.message(format!("Invalid keyId '{}'", mallee_awswire::texts::clip(given)));
    if given.is_empty() || given.len() > ID_BYTES_MAX {
        return Err(crate::invalid(given, "keyId", "have length between 1 and 2048"));
    }
    let (account, tail) = if given.starts_with("arn:") {
        let bad = || Code::InvalidArnException.with(&[&mallee_awswire::texts::clip(given)]);
        let mut parts = given.splitn(6, ':').skip(2);
        let (service, of, account, tail) = (parts.next(), parts.next(), parts.next(), parts.next().ok_or_else(bad)?);
        if service != Some(crate::SERVICE) {
            return Err(bad());
        }
        if of != Some(region) {
            return Err(Code::NotFoundException.message(format!("Invalid arn {}", of.unwrap_or_default())));
        }
        let account = account.and_then(|account| account.parse().ok()).ok_or_else(bad)?;
        match tail.strip_prefix("key/") {
            Some(id) if is_uuid(id) => return Ok(Named { account: Some(account), what: What::Key(id.to_owned()) }),
            Some(_) => return Err(unknown()),
            None => (Some(account), tail),
        }
    } else {
        (None, given)
    };
    let what = match tail {
        id if account.is_none() && is_uuid(id) => What::Key(id.to_owned()),
        name if is_alias(name) => What::Alias(name.to_owned()),
        _ => return Err(unknown()),
    };
    Ok(Named { account, what })
}

/// Whether an alias may have this name.
///
/// # Errors
/// `ValidationException`, `InvalidAliasNameException`; `NotAuthorizedException` is AWS's word for the reserved ones.
pub(crate) fn check_alias(name: &str) -> Result<(), ApiError> {
    let length = name.chars().count();
    if length == 0 || length > ALIAS_BYTES_MAX {
        return Err(crate::invalid(name, "aliasName", "have length between 1 and 256"));
    }
    if !name.starts_with(ALIAS) {
        return Err(Code::ValidationException.message("Invalid identifier"));
    }
    if name == ALIAS || !is_alias(name) {
        let text = format!("{} contains invalid characters for an alias", mallee_awswire::texts::clip(name));
        return Err(Code::ValidationException.message(text));
    }
    if name.starts_with(RESERVED) {
        return Err(Code::InvalidAliasNameException.message("Alias names that begin with alias/aws/ are reserved."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "12345678-90ab-cdef-1234-567890abcdef";

    #[test]
    fn names_of_keys() {
        let account: AccountId = "123456789012".parse().unwrap();
        let key = |account| Ok(Named { account, what: What::Key(ID.to_owned()) });
        let alias = |account, name: &str| Ok(Named { account, what: What::Alias(name.to_owned()) });
        let read = |given: &str| parse(given, "eu-1").map_err(|e| e.code());
        assert_eq!(read(ID), key(None));
        assert_eq!(read(&key_arn("eu-1", &account, ID)), key(Some(account.clone())));
        assert_eq!(read("alias/a/b"), alias(None, "alias/a/b"));
        assert_eq!(read("alias/aws/s3"), alias(None, "alias/aws/s3"));
        assert_eq!(read("arn:aws:kms:eu-1:123456789012:alias/a"), alias(Some(account), "alias/a"));
        for (bad, code) in [
            ("", Code::ValidationException),
            ("key", Code::NotFoundException),
            ("alias/", Code::NotFoundException),
            ("alias/a b", Code::NotFoundException),
            ("mrk-12345678", Code::NotFoundException),
            ("arn:aws:kms:eu-2:123456789012:alias/a", Code::NotFoundException),
            ("arn:aws:kms:eu-1:123456789012:key/x", Code::NotFoundException),
            ("arn:aws:s3:::bucket", Code::InvalidArnException),
            ("arn:aws:kms:eu-1:1:alias/a", Code::InvalidArnException),
            ("arn:aws:kms", Code::InvalidArnException),
        ] {
            assert_eq!(read(bad), Err(code), "{bad}");
        }
    }

    #[test]
    fn names_of_aliases() {
        let answer = |name: &str| check_alias(name).map_err(|e| e.code());
        assert_eq!(answer("alias/a-B_c/9"), Ok(()));
        for bad in ["", "a", "alias/", "alias/a:b", &format!("alias/{}", "x".repeat(251))] {
            assert_eq!(answer(bad), Err(Code::ValidationException), "{bad}");
        }
        assert_eq!(answer("alias/aws/mine"), Err(Code::InvalidAliasNameException));
    }
}

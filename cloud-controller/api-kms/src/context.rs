//! The encryption context: what a ciphertext is bound to, and what policies may ask for. Pure.

use mallee_awswire::{ApiError, Code};
use std::collections::BTreeMap;

/// Names and values that must be given again to decrypt.
pub(crate) type Context = BTreeMap<String, String>;

/// Bytes of all names and values (AWS: 8,192).
const CONTEXT_BYTES_MAX: usize = 8192;

/// # Errors
/// `ValidationException` for a context that is too large.
pub(crate) fn check(context: &Context) -> Result<(), ApiError> {
    let bytes: usize = context.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > CONTEXT_BYTES_MAX {
        let text = format!("The encryption context has more than {CONTEXT_BYTES_MAX} bytes.");
        return Err(Code::ValidationException.message(text));
    }
    Ok(())
}

/// The context as the bytes that are authenticated with a ciphertext: in the order of names, each text after its
/// length, so that two contexts never have the same bytes.
pub(crate) fn bytes(context: &Context) -> Vec<u8> {
    let mut out = Vec::new();
    for text in context.iter().flat_map(|(name, value)| [name, value]) {
        out.extend_from_slice(&(text.len() as u64).to_be_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    out
}

/// The condition keys of a context.
pub(crate) fn condition_keys(context: &Context) -> Vec<(String, Vec<String>)> {
    let mut keys: Vec<_> =
        context.iter().map(|(name, value)| (format!("kms:EncryptionContext:{name}"), vec![value.clone()])).collect();
    if !context.is_empty() {
        keys.push(("kms:EncryptionContextKeys".to_owned(), context.keys().cloned().collect()));
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(pairs: &[(&str, &str)]) -> Context {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn contexts_that_differ_have_other_bytes() {
        let all = [
            context(&[]),
            context(&[("a", "b")]),
            context(&[("ab", "")]),
            context(&[("a", ""), ("b", "")]),
            context(&[("", "ab")]),
            context(&[("a", "b"), ("c", "d")]),
            context(&[("a", "d"), ("c", "b")]),
        ];
        for (i, one) in all.iter().enumerate() {
            for (j, other) in all.iter().enumerate() {
                assert_eq!(bytes(one) == bytes(other), i == j, "{one:?} {other:?}");
            }
        }
        // The order in which they are given does not count.
        assert_eq!(bytes(&context(&[("c", "d"), ("a", "b")])), bytes(&context(&[("a", "b"), ("c", "d")])));
    }

    #[test]
    fn conditions_and_limits() {
        let keys = condition_keys(&context(&[("app", "x"), ("b", "y")]));
        assert_eq!(keys[0], ("kms:EncryptionContext:app".to_owned(), vec!["x".to_owned()]));
        assert_eq!(keys[2], ("kms:EncryptionContextKeys".to_owned(), vec!["app".to_owned(), "b".to_owned()]));
        assert!(condition_keys(&Context::new()).is_empty());
        assert!(check(&context(&[("a", &"x".repeat(8191))])).is_ok());
        assert!(check(&context(&[("a", &"x".repeat(8192))])).is_err());
    }
}

//! Tags of identities. Keys differ by more than case.

use crate::fail::OrFail as _;
use mallee_awswire::{ApiError, Code};
use mallee_store::{Tx, iam_tag_delete, iam_tag_fold, iam_tag_list, iam_tag_put};
use mallee_types::AccountId;
use std::collections::BTreeSet;

/// Tags of one identity (IAM: 50).
pub const TAGS_MAX: usize = 50;

/// Refuses keys that are reserved or given twice.
///
/// # Errors
/// `InvalidInput`.
pub fn check(tags: &[(String, String)]) -> Result<(), ApiError> {
    let mut seen = BTreeSet::new();
    for (key, _) in tags {
        let folded = iam_tag_fold(key);
        if folded.starts_with("aws:") {
            return Err(Code::InvalidInput.message("Tag keys starting with 'aws:' are reserved for internal use."));
        }
        if !seen.insert(folded) {
            return Err(
                Code::InvalidInput.message("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
            );
        }
    }
    Ok(())
}

/// Sets tags of an identity, over those of the same key.
///
/// # Errors
/// `InvalidInput` for bad keys, `LimitExceeded`, what the database says.
pub async fn put(tx: &mut Tx, account: &AccountId, resource: &str, tags: &[(String, String)]) -> Result<(), ApiError> {
    check(tags)?;
    let there = iam_tag_list(&mut *tx, resource).await.or_fail()?;
    let mut keys: BTreeSet<String> = there.into_iter().map(|tag| tag.folded_key).collect();
    keys.extend(tags.iter().map(|(key, _)| iam_tag_fold(key)));
    if keys.len() > TAGS_MAX {
        return Err(Code::LimitExceeded.message("The number of tags has reached the maximum limit."));
    }
    iam_tag_put(tx, account, resource, tags).await.or_fail()
}

/// Removes tags of an identity; keys that it has not are passed over.
///
/// # Errors
/// What the database says.
pub async fn remove(tx: &mut Tx, resource: &str, keys: &[String]) -> Result<(), ApiError> {
    iam_tag_delete(tx, resource, keys).await.or_fail().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart_by_more_than_case() {
        let tags = |keys: &[&str]| keys.iter().map(|key| ((*key).to_owned(), String::new())).collect::<Vec<_>>();
        assert!(check(&tags(&["a", "b"])).is_ok());
        assert!(check(&tags(&["a", "A"])).unwrap_err().message().starts_with("Duplicate tag keys"));
        assert_eq!(check(&tags(&["AWS:x"])).unwrap_err().code(), Code::InvalidInput);
    }
}

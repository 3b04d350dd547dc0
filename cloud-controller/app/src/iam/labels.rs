//! Tags of IAM's resources: case does not tell their keys apart.

use crate::fail::OrFail as _;
use mallee_awswire::{ApiError, Code};
use mallee_store::{Tx, iam_tag_fold, iam_tag_list, iam_tag_put};
use mallee_types::AccountId;

/// Tags of one resource (IAM: 50).
const TAGS_MAX: usize = 50;

/// A tag as a request gives it.
pub type Label = (String, String);

/// Checks tags as a request gives them.
///
/// # Errors
/// `InvalidInput` for keys that are reserved or given twice.
pub fn check(tags: &[Label]) -> Result<(), ApiError> {
    for (at, (key, _)) in tags.iter().enumerate() {
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Code::InvalidInput.message("Tag keys starting with 'aws:' are reserved for internal use."));
        }
        if tags.iter().take(at).any(|(other, _)| iam_tag_fold(other) == iam_tag_fold(key)) {
            return Err(
                Code::InvalidInput.message("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
            );
        }
    }
    Ok(())
}

/// Sets tags of a resource, over those of the same key.
///
/// # Errors
/// As [`check`]; `LimitExceeded`.
pub async fn put(tx: &mut Tx, account: &AccountId, resource: &str, tags: &[Label]) -> Result<(), ApiError> {
    check(tags)?;
    let new: Vec<String> = tags.iter().map(|(key, _)| iam_tag_fold(key)).collect();
    let kept = iam_tag_list(&mut *tx, resource).await.or_fail()?;
    let kept = kept.iter().filter(|tag| !new.contains(&tag.folded_key)).count();
    if kept + new.len() > TAGS_MAX {
        return Err(Code::LimitExceeded.message("The number of tags has reached the maximum limit."));
    }
    iam_tag_put(tx, account, resource, tags).await.or_fail()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart_by_more_than_case() {
        let tags = |keys: &[&str]| keys.iter().map(|k| ((*k).to_owned(), String::new())).collect::<Vec<_>>();
        assert!(check(&tags(&["a", "b"])).is_ok());
        assert!(check(&tags(&["a", "A"])).unwrap_err().message().starts_with("Duplicate tag keys"));
        assert!(check(&tags(&["AWS:x"])).is_err());
    }
}

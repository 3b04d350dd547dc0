//! Tags of IAM's resources: keys differ by more than case, and tags are kept with their resource.

use mallee_awswire::{ApiError, Code};
use mallee_store::{IamTags, Json};

/// Tags of one resource (IAM: 50).
const TAGS_MAX: usize = 50;

fn same(left: &str, right: &str) -> bool {
    left.to_lowercase() == right.to_lowercase()
}

fn check(tags: &[(String, String)]) -> Result<(), ApiError> {
    for (at, (key, _)) in tags.iter().enumerate() {
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Code::InvalidInput.message("Tag keys starting with 'aws:' are reserved for internal use."));
        }
        if tags[..at].iter().any(|(other, _)| same(other, key)) {
            return Err(Code::InvalidInput
                .message("Duplicate tag keys found. Please note that Tag keys are case insensitive."));
        }
    }
    Ok(())
}

/// The tags of a new resource.
///
/// # Errors
/// `InvalidInput` for keys that are reserved or given twice, `LimitExceeded`.
pub fn of_new(tags: Vec<(String, String)>) -> Result<IamTags, ApiError> {
    put(&Json(Vec::new()), tags)
}

/// Tags with `more` set over those of the same key, whatever its case.
///
/// # Errors
/// As [`of_new`].
pub fn put(tags: &IamTags, more: Vec<(String, String)>) -> Result<IamTags, ApiError> {
    check(&more)?;
    let mut all = tags.0.clone();
    all.retain(|(key, _)| !more.iter().any(|(other, _)| same(other, key)));
    all.extend(more);
    if all.len() > TAGS_MAX {
        return Err(Code::LimitExceeded.message("The number of tags has reached the maximum limit."));
    }
    all.sort();
    Ok(Json(all))
}

/// Tags without those of these keys, whatever their case.
#[must_use]
pub fn remove(tags: &IamTags, keys: &[String]) -> IamTags {
    Json(tags.0.iter().filter(|(key, _)| !keys.iter().any(|other| same(other, key))).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn keys_are_told_apart_by_more_than_case() {
        let first = of_new(tags(&[("b", "1"), ("A", "2")])).unwrap();
        assert_eq!(first.0, tags(&[("A", "2"), ("b", "1")]));
        assert_eq!(put(&first, tags(&[("a", "3")])).unwrap().0, tags(&[("a", "3"), ("b", "1")]));
        assert_eq!(remove(&first, &["B".into(), "zz".into()]).0, tags(&[("A", "2")]));
        assert!(of_new(tags(&[("x", ""), ("X", "")])).unwrap_err().message().starts_with("Duplicate tag keys"));
        assert!(of_new(tags(&[("AWS:x", "")])).is_err());
        let many: Vec<_> = (0..51).map(|n| (n.to_string(), String::new())).collect();
        assert_eq!(of_new(many).unwrap_err().code(), Code::LimitExceeded);
    }
}

//! Tags of keys.

use crate::TAGS_MAX;
use crate::ask::{Asker, Conditions, Reach};
use crate::page::Page;
use crate::policies::ListOf;
use crate::state::Needs;
use mallee_awswire::{ApiError, Code};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Longest key and value of a tag, in characters.
const KEY_CHARS_MAX: usize = 128;
const VALUE_CHARS_MAX: usize = 256;
/// Tags on a page when the request does not say.
const PAGE: usize = 50;

/// Tags by key.
pub(crate) type Tags = BTreeMap<String, String>;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Tag {
    tag_key: String,
    tag_value: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Put {
    key_id: String,
    tags: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Remove {
    key_id: String,
    tag_keys: Vec<String>,
}

/// Reads the tags of a request.
///
/// # Errors
/// `TagException`, `LimitExceededException`.
pub(crate) fn read(list: Vec<Tag>) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    for Tag { tag_key, tag_value } in list {
        let sound = |text: &str, max: usize| {
            text.chars().count() <= max
                && text.chars().all(|c| c.is_alphanumeric() || c.is_whitespace() || "_.:/=+@-".contains(c))
        };
        let reserved = tag_key.to_ascii_lowercase().starts_with("aws:");
        if tag_key.is_empty() || reserved || !sound(&tag_key, KEY_CHARS_MAX) || !sound(&tag_value, VALUE_CHARS_MAX) {
            let key = mallee_awswire::texts::clip(&tag_key);
            return Err(Code::TagException.message(format!("The tag with the key {key} is not valid.")));
        }
        if tags.insert(tag_key, tag_value).is_some() {
            return Err(Code::TagException.message("Duplicate tag keys are not allowed."));
        }
    }
    check_count(&tags)?;
    Ok(tags)
}

fn check_count(tags: &Tags) -> Result<(), ApiError> {
    if tags.len() > TAGS_MAX {
        return Err(Code::LimitExceededException.message(format!("A key has at most {TAGS_MAX} tags.")));
    }
    Ok(())
}

/// The condition keys of tags that a request brings.
pub(crate) fn conditions(tags: &Tags) -> Conditions {
    if tags.is_empty() {
        return Conditions::new();
    }
    let mut keys: Conditions = vec![("aws:TagKeys".to_owned(), tags.keys().cloned().collect())];
    keys.extend(tags.iter().map(|(key, value)| (format!("aws:RequestTag/{key}"), vec![value.clone()])));
    keys
}

pub(crate) async fn tag(asker: &Asker<'_>, asked: Put) -> Result<(), ApiError> {
    let tags = read(asked.tags)?;
    let found = asker.permitted("kms:TagResource", &asked.key_id, Reach::Own, conditions(&tags)).await?;
    asker
        .change(&found, Needs::Alive, async |row, _| {
            row.doc.0.tags.extend(tags);
            check_count(&row.doc.0.tags)
        })
        .await
        .map(drop)
}

pub(crate) async fn untag(asker: &Asker<'_>, asked: Remove) -> Result<(), ApiError> {
    let keys = vec![("aws:TagKeys".to_owned(), asked.tag_keys.clone())];
    let found = asker.permitted("kms:UntagResource", &asked.key_id, Reach::Own, keys).await?;
    asker
        .change(&found, Needs::Alive, async |row, _| {
            row.doc.0.tags.retain(|key, _| !asked.tag_keys.contains(key));
            Ok(())
        })
        .await
        .map(drop)
}

pub(crate) async fn list(asker: &Asker<'_>, asked: ListOf) -> Result<Value, ApiError> {
    let page = Page::read(asked.limit, asked.marker.as_deref(), PAGE)?;
    let found = asker.permitted("kms:ListResourceTags", &asked.key_id, Reach::Own, Conditions::new()).await?;
    let all: Vec<(String, String)> = found.row.doc.0.tags.into_iter().collect();
    let show = |(key, value): &(String, String)| json!({ "TagKey": key, "TagValue": value });
    Ok(page.of("Tags", all, |(key, _)| key.clone(), show))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_or_refused() {
        let tag = |key: &str, value: &str| Tag { tag_key: key.to_owned(), tag_value: value.to_owned() };
        let code = |list| read(list).map(|tags| tags.len()).map_err(|e| e.code());
        assert_eq!(code(vec![tag("a", "1"), tag("b", "")]), Ok(2));
        for bad in [tag("", "1"), tag("AWS:a", "1"), tag("a*", "1"), tag("a", &"x".repeat(257))] {
            assert_eq!(code(vec![bad]), Err(Code::TagException));
        }
        assert_eq!(code(vec![tag("a", "1"), tag("a", "2")]), Err(Code::TagException));
        let many = (0..51).map(|n| tag(&format!("k{n}"), "")).collect();
        assert_eq!(code(many), Err(Code::LimitExceededException));
    }
}

//! Session tags, and how they go on in a chain of roles.

use crate::Actor;
use mallee_awswire::{ApiError, Code};

/// Tags of one session (AWS: 50).
pub(super) const TAGS_MAX: usize = 50;

/// What a request says of tags.
#[derive(Debug, Clone, Default)]
pub struct SessionTags {
    /// Keys and values.
    pub tags: Vec<(String, String)>,
    /// Keys of those that go on when the session assumes another role.
    pub transitive: Vec<String>,
}

impl SessionTags {
    /// Checks a request's tags.
    ///
    /// # Errors
    /// `InvalidParameterValue`.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        let invalid = |text: &'static str| Err(Code::InvalidParameterValue.message(text));
        for (at, (key, _)) in self.tags.iter().enumerate() {
            if key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:")) {
                return invalid("Tag keys starting with 'aws:' are reserved for internal use.");
            }
            if self.tags.iter().take(at).any(|(other, _)| other.eq_ignore_ascii_case(key)) {
                return invalid("Duplicate tag keys found. Please note that Tag keys are case insensitive.");
            }
        }
        let is_given = |key: &String| self.tags.iter().any(|(tag, _)| tag.eq_ignore_ascii_case(key));
        if !self.transitive.iter().all(is_given) {
            return invalid("The specified transitive tag key must be included in the requested tags.");
        }
        Ok(())
    }

    /// With the transitive tags of the caller's own session.
    ///
    /// # Errors
    /// `InvalidParameterValue` for a tag that would change one of them; `LimitExceeded`.
    pub(super) fn inherit(mut self, caller: &Actor) -> Result<Self, ApiError> {
        let Some(session) = &caller.session else { return Ok(self) };
        for key in &session.transitive_tag_keys {
            if self.tags.iter().any(|(tag, _)| tag.eq_ignore_ascii_case(key)) {
                return Err(Code::InvalidParameterValue.message(
                    "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.",
                ));
            }
            let inherited = session.tags.iter().find(|(tag, _)| tag.eq_ignore_ascii_case(key));
            self.tags.extend(inherited.cloned());
            self.transitive.push(key.clone());
        }
        if self.tags.len() > TAGS_MAX {
            return Err(Code::InvalidParameterValue.message(format!("A session has at most {TAGS_MAX} tags.")));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Session;
    use std::sync::Arc;

    fn tags(pairs: &[(&str, &str)], transitive: &[&str]) -> SessionTags {
        SessionTags {
            tags: pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            transitive: transitive.iter().map(|k| (*k).to_owned()).collect(),
        }
    }

    #[test]
    fn tags_are_checked() {
        assert!(tags(&[("a", "1"), ("b", "2")], &["A"]).check().is_ok());
        assert!(tags(&[("a", "1"), ("A", "2")], &[]).check().is_err());
        assert!(tags(&[("aws:x", "1")], &[]).check().is_err());
        assert!(tags(&[("a", "1")], &["b"]).check().is_err());
    }

    #[test]
    fn transitive_tags_go_on_and_cannot_be_changed() {
        let session = Session {
            tags: vec![("team".into(), "red".into()), ("other".into(), "x".into())],
            transitive_tag_keys: vec!["Team".into()],
            ..Session::default()
        };
        let caller = Actor::root("123456789012".parse().unwrap(), false).with_session(Arc::new(session));
        let merged = tags(&[("a", "1")], &[]).inherit(&caller).unwrap();
        assert_eq!(merged.tags, [("a".into(), "1".into()), ("team".into(), "red".into())]);
        assert_eq!(merged.transitive, ["Team"]);
        assert!(tags(&[("TEAM", "blue")], &[]).inherit(&caller).is_err());
    }
}

//! What is configured of a bucket: a document per kind, or per kind and id where a kind has many.

use crate::blob::Level;
use mallee_s3_config::lifecycle::Lifecycle;
use mallee_s3_config::{Document as _, Durability, MfaDelete, kept};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most documents of one bucket, of all kinds (AWS: 1,000 inventories, and one of most others).
pub const DOCUMENTS_MAX: usize = 2000;
/// The kind whose presence says that versions of the bucket can be retained. It is never removed, and as long as it is
/// there versioning stays enabled.
pub const OBJECT_LOCK: &str = "object-lock";

/// The kind of the document that says where versions are brought: as long as it is there versioning stays enabled.
const REPLICATION: &str = "replication";

/// The documents of a bucket. Clones share them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Documents(Arc<BTreeMap<(String, String), String>>);

impl Documents {
    /// The document of a kind that has one.
    #[must_use]
    pub fn get(&self, kind: &str) -> Option<&str> {
        self.named(kind, "")
    }

    /// The document of a kind that has many.
    #[must_use]
    pub fn named(&self, kind: &str, id: &str) -> Option<&str> {
        self.0.get(&(kind.to_owned(), id.to_owned())).map(String::as_str)
    }

    /// Ids and documents of a kind, by id.
    pub fn of<'d>(&'d self, kind: &'d str) -> impl Iterator<Item = (&'d str, &'d str)> {
        let all = self.0.range((kind.to_owned(), String::new())..);
        all.take_while(move |((k, _), _)| k == kind).map(|((_, id), doc)| (id.as_str(), doc.as_str()))
    }

    /// All: kind, id and text.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.0.iter().map(|((kind, id), doc)| (kind.as_str(), id.as_str(), doc.as_str()))
    }

    /// Whether a bucket that has them may have this versioning.
    pub(crate) fn check_versioning(&self, versioning: crate::Versioning) -> Result<(), crate::Error> {
        if versioning != crate::Versioning::Enabled && self.get(OBJECT_LOCK).is_some() {
            return Err(crate::Error::State(
                "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
                    .to_owned(),
            ));
        }
        if versioning != crate::Versioning::Enabled && self.get(REPLICATION).is_some() {
            return Err(crate::Error::State(
                "A replication configuration is present on this bucket, so the versioning state cannot be changed."
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// Whether versions are deleted, and versioning is changed, only with a second factor.
    #[must_use]
    pub fn mfa_delete(&self) -> bool {
        self.get(MfaDelete::KIND).is_some()
    }

    /// Whether a bucket that has them may ask for a second factor: rules that delete have none to show.
    pub(crate) fn check_mfa_delete(&self) -> Result<(), crate::Error> {
        if self.get(Lifecycle::KIND).is_some() {
            return Err(crate::Error::State("Mfa Delete not supported on lifecycle configured bucket".to_owned()));
        }
        Ok(())
    }

    /// What an answer to a write means. What cannot be read is strict.
    #[must_use]
    pub fn level(&self) -> Level {
        match self.get(Durability::KIND).map(kept) {
            Some(Ok(Durability::Relaxed)) => Level::Relaxed,
            _ => Level::Strict,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// With a document more, in place of the one of its kind and id.
    #[must_use]
    pub fn with(mut self, kind: &str, id: &str, doc: &str) -> Self {
        Arc::make_mut(&mut self.0).insert((kind.to_owned(), id.to_owned()), doc.to_owned());
        self
    }

    /// Without a document.
    #[must_use]
    pub fn without(mut self, kind: &str, id: &str) -> Self {
        Arc::make_mut(&mut self.0).remove(&(kind.to_owned(), id.to_owned()));
        self
    }
}

//! Condition keys of a request and the request itself.

use crate::principal::Principal;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Beginnings of keys whose rest is the name of an object's tag: objects may have tags that differ by their case only.
const OF_OBJECT_TAGS: [&str; 2] = ["s3:existingobjecttag/", "s3:requestobjecttag/"];

/// A condition key as it is compared: without case, but for the names of objects' tags.
pub(crate) fn plain_key(key: &str) -> Cow<'_, str> {
    let tag = OF_OBJECT_TAGS.iter().find_map(|start| {
        let (before, tag) = key.split_at_checked(start.len())?;
        before.eq_ignore_ascii_case(start).then_some((start, tag))
    });
    match tag {
        Some((start, _)) if key.starts_with(start) => Cow::Borrowed(key),
        Some((start, tag)) => Cow::Owned(format!("{start}{tag}")),
        None if key.bytes().any(|b| b.is_ascii_uppercase()) => Cow::Owned(key.to_ascii_lowercase()),
        None => Cow::Borrowed(key),
    }
}

/// The condition keys of one request: names without case (but for those of objects' tags), each with one or many values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// Name as [`plain_key`] has it → values. A key with no values counts as absent.
    keys: BTreeMap<Box<str>, Vec<String>>,
}

impl Context {
    /// Without keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With the keys that follow from the caller (see [`Principal::describe`]).
    #[must_use]
    pub fn of(principal: &Principal) -> Self {
        let mut context = Self::new();
        principal.describe(&mut context);
        context
    }

    /// Sets a key to one value, replacing what it had.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.set_all(key, [value]);
    }

    /// Sets a key to many values, replacing what it had; none removes the key.
    pub fn set_all<V: Into<String>>(&mut self, key: &str, values: impl IntoIterator<Item = V>) {
        let values: Vec<String> = values.into_iter().map(Into::into).collect();
        let key: Box<str> = plain_key(key).into();
        if values.is_empty() {
            self.keys.remove(&key);
        } else {
            self.keys.insert(key, values);
        }
    }

    /// Adds a value to a key.
    pub fn add(&mut self, key: &str, value: impl Into<String>) {
        self.keys.entry(plain_key(key).into()).or_default().push(value.into());
    }

    /// Sets a key, for building in one expression.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.set(key, value);
        self
    }

    /// The values of a key, whatever its case; empty when it is absent.
    #[must_use]
    pub fn get(&self, key: &str) -> &[String] {
        self.lookup(&plain_key(key))
    }

    /// As [`Self::get`] for a name that [`plain_key`] made.
    pub(crate) fn lookup(&self, plain: &str) -> &[String] {
        self.keys.get(plain).map_or(&[], Vec::as_slice)
    }

    /// Names (lower-case, but for those of objects' tags) and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.keys.iter().map(|(key, values)| (key.as_ref(), values.as_slice()))
    }
}

/// One question to the evaluator.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// `service:Action`, any case.
    pub action: &'a str,
    /// ARN of the resource; `*` for actions without one (which only patterns that match everything allow, as AWS).
    pub resource: &'a str,
    /// Condition keys. Those of the principal are not filled in: see [`Context::of`].
    pub context: &'a Context,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tags_of_objects_have_case() {
        let context = Context::new().with("aws:RequestTag/Team", "a").with("AWS:requesttag/team", "b");
        assert_eq!(context.get("aws:RequestTag/TEAM"), ["b"]);
        for start in ["s3:ExistingObjectTag/", "S3:requestobjecttag/"] {
            let context = Context::new()
                .with(&format!("{start}Secret"), "yes")
                .with(&format!("{start}secret"), "no")
                .with("S3:Prefix", "p");
            let other = start.to_ascii_uppercase();
            assert_eq!(context.get(&format!("{other}Secret")), ["yes"]);
            assert_eq!(context.get(&format!("{other}secret")), ["no"]);
            assert!(context.get(&format!("{other}SECRET")).is_empty());
            assert_eq!(context.get("s3:prefix"), ["p"]);
        }
    }
}

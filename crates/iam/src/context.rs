//! Condition keys of a request and the request itself.

use crate::principal::Principal;
use std::collections::BTreeMap;

/// The condition keys of one request: names without case, each with one or many values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// Lower-case name → values. A key with no values counts as absent.
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
        let key = key.to_ascii_lowercase().into_boxed_str();
        if values.is_empty() {
            self.keys.remove(&key);
        } else {
            self.keys.insert(key, values);
        }
    }

    /// Adds a value to a key.
    pub fn add(&mut self, key: &str, value: impl Into<String>) {
        self.keys.entry(key.to_ascii_lowercase().into_boxed_str()).or_default().push(value.into());
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
        if key.bytes().any(|b| b.is_ascii_uppercase()) {
            self.lookup(&key.to_ascii_lowercase())
        } else {
            self.lookup(key)
        }
    }

    /// As [`Self::get`] for a name that is lower-case already.
    pub(crate) fn lookup(&self, lower: &str) -> &[String] {
        self.keys.get(lower).map_or(&[], Vec::as_slice)
    }

    /// Names (lower-case) and values, sorted by name.
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

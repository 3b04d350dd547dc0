//! Patterns of actions and of ARNs.

use crate::context::Context;
use crate::policy::Version;
use crate::variable::{Template, split_fields};

/// `ec2:Describe*`: without case, never with variables.
#[derive(Debug, Clone)]
pub(crate) struct ActionPattern(Template);

impl ActionPattern {
    pub(crate) fn new(text: &str) -> Self {
        Self(Template::new(text, Version::V2008, true))
    }

    pub(crate) fn matches(&self, action: &str) -> bool {
        self.0.matches(action, &Context::default(), true) == Some(true)
    }
}

/// An ARN pattern: `*`, or six fields, each matched within itself (the last one holds whatever colons follow).
#[derive(Debug, Clone)]
pub(crate) struct ResourcePattern(Option<Box<[Template; FIELDS]>>);

const FIELDS: usize = 6;

impl ResourcePattern {
    /// Compiles a pattern. Fields that are missing at the end are `*`, as AWS reads them in `Resource`.
    pub(crate) fn new(text: &str, version: Version) -> Self {
        if Template::new(text, version, true).is_everything() {
            return Self(None);
        }
        let fields = split_fields(text, FIELDS, version);
        let field = |i: usize| Template::new(fields.get(i).copied().unwrap_or("*"), version, true);
        Self(Some(Box::new([field(0), field(1), field(2), field(3), field(4), field(5)])))
    }

    /// Whether it matches an ARN (or the `*` of actions without resource); `None` when a variable has no value.
    pub(crate) fn matches(&self, arn: &str, context: &Context) -> Option<bool> {
        let Some(fields) = &self.0 else { return Some(true) };
        let mut parts = arn.splitn(FIELDS, ':');
        let mut all = true;
        // Every field that holds a variable is looked at, so that one without value is seen wherever it stands.
        for field in fields.iter() {
            let part = parts.next();
            if all || field.has_variables() {
                all &= field.matches(part.unwrap_or_default(), context, false)? && part.is_some();
            }
        }
        Some(all)
    }

    /// Whether it is one ARN.
    pub(crate) fn is_fixed(&self) -> bool {
        self.0.as_ref().is_some_and(|fields| fields.iter().all(Template::is_fixed))
    }

    pub(crate) fn each_key(&self, f: &mut dyn FnMut(&str)) {
        self.0.iter().flat_map(|fields| fields.iter()).for_each(|field| field.each_key(f));
    }
}

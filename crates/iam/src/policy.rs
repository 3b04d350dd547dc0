//! A parsed policy.

use crate::condition::Condition;
use crate::context::plain_key;
use crate::error::PolicyError;
use crate::json::Span;
use crate::pattern::{ActionPattern, ResourcePattern};
use crate::principal_pattern::PrincipalPattern;
use std::collections::BTreeSet;

/// What a document is for: decides which elements it may have and how long it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyKind {
    /// An inline policy of a user, group or role. May have the effect `Limit`.
    Inline,
    /// A managed policy (also used as permissions boundary). May have the effect `Limit`.
    Managed,
    /// A managed policy that came with the cloud: as [`PolicyKind::Managed`], without the size limit.
    BuiltIn,
    /// A policy passed to AssumeRole or GetFederationToken.
    Session,
    /// A policy of an account (Eucalyptus): `Deny` and `Limit` only.
    Account,
    /// A policy of a resource: says whom it is for.
    Resource,
    /// A role's trust policy: says who may assume it, and names no resource.
    Trust,
}

/// Longest text that is looked at, in bytes: the maximum of the request models of IAM.
pub const MAX_DOCUMENT_BYTES: usize = 131_072;
/// Most statements of a document, most values of a list.
pub const MAX_LIST: usize = 1_000;

impl PolicyKind {
    /// Most characters, white space not counted. Sums over several inline policies (2,048 a user, 5,120 a group,
    /// 10,240 a role) are the business of whoever holds them all.
    #[must_use]
    pub const fn max_size(self) -> usize {
        match self {
            Self::Inline | Self::Account => 10_240,
            Self::Managed => 6_144,
            Self::BuiltIn => MAX_DOCUMENT_BYTES,
            Self::Session => 2_048,
            Self::Resource => 20_480,
            Self::Trust => 4_096,
        }
    }

    /// Has `Principal` or `NotPrincipal`.
    #[must_use]
    pub const fn names_principals(self) -> bool {
        matches!(self, Self::Resource | Self::Trust)
    }
}

/// The version of the policy language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// `2008-10-17`, also where none is given: no variables.
    V2008,
    /// `2012-10-17`.
    V2012,
}

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Allows.
    Allow,
    /// Denies, whatever else allows.
    Deny,
    /// Eucalyptus: sets a quota; takes no part in allowing and denying.
    Limit,
}

/// A policy, ready to be evaluated: patterns and condition values are compiled.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(crate) version: Version,
    pub(crate) id: Option<String>,
    pub(crate) statements: Vec<Statement>,
    pub(crate) size: usize,
}

impl Policy {
    /// Reads a document.
    ///
    /// # Errors
    /// [`PolicyError`], whose text is AWS's.
    pub fn parse(json: &str, kind: PolicyKind) -> Result<Self, PolicyError> {
        crate::parse::policy(json, kind)
    }

    /// The version of the language.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// `Id`.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The statements in their order.
    #[must_use]
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// Characters without white space: what the size limits count.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// The condition keys that the document names in conditions and variables, as first written, sorted: what
    /// GetContextKeysForCustomPolicy answers.
    #[must_use]
    pub fn context_keys(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let mut keys = Vec::new();
        for statement in &self.statements {
            statement.each_key(&mut |key| {
                if seen.insert(plain_key(key).into_owned()) {
                    keys.push(key.to_owned());
                }
            });
        }
        keys.sort_unstable();
        keys
    }
}

/// Characters of a document without white space.
#[must_use]
pub fn policy_size(json: &str) -> usize {
    json.chars().filter(|c| !matches!(c, ' ' | '\t' | '\n' | '\r')).count()
}

/// A list and whether it is meant or excluded (`Action` and `NotAction`).
#[derive(Debug, Clone)]
pub(crate) struct Set<P> {
    pub(crate) items: Vec<P>,
    pub(crate) negated: bool,
}

/// One statement.
#[derive(Debug, Clone)]
pub struct Statement {
    pub(crate) sid: Option<String>,
    pub(crate) effect: Effect,
    pub(crate) principal: Option<Set<PrincipalPattern>>,
    pub(crate) action: Set<ActionPattern>,
    /// `None` in trust policies: the role itself.
    pub(crate) resource: Option<Set<ResourcePattern>>,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) span: Span,
}

impl Statement {
    /// `Sid`.
    #[must_use]
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// What it does.
    #[must_use]
    pub const fn effect(&self) -> Effect {
        self.effect
    }

    /// Where it stands in the document.
    #[must_use]
    pub const fn span(&self) -> Span {
        self.span
    }

    /// Calls for every condition key named, as written.
    pub(crate) fn each_key(&self, f: &mut dyn FnMut(&str)) {
        for pattern in self.resource.iter().flat_map(|set| &set.items) {
            pattern.each_key(f);
        }
        for condition in &self.conditions {
            condition.each_key(f);
        }
    }
}

//! From JSON to [`Policy`]: the grammar, strictly.

mod element;
mod resource;
mod statement;

use crate::error::{JsonError, JsonErrorKind, PolicyError};
use crate::json::{self, Node, Value};
use crate::policy::{Effect, MAX_DOCUMENT_BYTES, MAX_LIST, Policy, PolicyKind, Statement, Version, policy_size};
use std::collections::HashSet;

/// A complaint about the grammar.
fn syntax(why: impl Into<String>) -> PolicyError {
    PolicyError::Syntax { why: why.into() }
}

/// Reads a document of this kind.
pub(crate) fn policy(text: &str, kind: PolicyKind) -> Result<Policy, PolicyError> {
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(PolicyError::TooLarge { limit: kind.max_size() });
    }
    let size = policy_size(text);
    let document = json::parse(text).map_err(|why| json_error(why, kind))?;
    if size > kind.max_size() {
        return Err(PolicyError::TooLarge { limit: kind.max_size() });
    }
    let Value::Object(members) = document.value else { return Err(syntax("the document is no object")) };
    let (mut version, mut id, mut statements) = (None, None, None);
    for (key, node) in members {
        match key.as_str() {
            "Version" => version = Some(node),
            "Id" => id = Some(element::text(node, "Id")?),
            "Statement" => statements = Some(node),
            _ => return Err(syntax(format!("unknown element {key:?}"))),
        }
    }
    let version = self::version(version, kind)?;
    let statements = match statements.ok_or_else(|| missing(kind, "Statement"))? {
        Node { value: Value::List(items), .. } => items,
        node @ Node { value: Value::Object(_), .. } => vec![node],
        _ => return Err(syntax("Statement is neither object nor list")),
    };
    if statements.is_empty() || statements.len() > MAX_LIST {
        return Err(syntax("Statement has none, or too many"));
    }
    let statements =
        statements.into_iter().map(|node| statement::read(node, kind, version)).collect::<Result<Vec<_>, _>>()?;
    unique_sids(&statements)?;
    Ok(Policy { version, id, statements, size })
}

/// AWS answers broken JSON in its own words for policies that IAM stores; a repeated key is a matter of grammar there.
fn json_error(why: JsonError, kind: PolicyKind) -> PolicyError {
    match (kind, &why.kind) {
        (PolicyKind::Trust, _) | (_, JsonErrorKind::TooDeep) => PolicyError::InvalidJson { why },
        _ => syntax(why.to_string()),
    }
}

/// A field that has to be there: trust policies name it, the others answer a syntax error.
fn missing(kind: PolicyKind, field: &'static str) -> PolicyError {
    if kind == PolicyKind::Trust { PolicyError::Missing(field) } else { syntax(format!("{field} is missing")) }
}

fn version(node: Option<Node>, kind: PolicyKind) -> Result<Version, PolicyError> {
    let version = match node.map(|node| element::text(node, "Version")).transpose()?.as_deref() {
        None | Some("2008-10-17") => Version::V2008,
        Some("2012-10-17") => Version::V2012,
        Some(_) => return Err(syntax("Version is none that exists")),
    };
    if version == Version::V2008 && kind == PolicyKind::Managed {
        return Err(PolicyError::Version);
    }
    Ok(version)
}

fn unique_sids(statements: &[Statement]) -> Result<(), PolicyError> {
    let mut seen = HashSet::new();
    let mut sids = statements.iter().filter_map(Statement::sid).filter(|sid| !sid.is_empty());
    if sids.all(|sid| seen.insert(sid)) { Ok(()) } else { Err(PolicyError::DuplicateSid) }
}

/// Which effects a kind of policy may have.
const fn may_have(kind: PolicyKind, effect: Effect) -> bool {
    match effect {
        Effect::Deny => true,
        Effect::Allow => !matches!(kind, PolicyKind::Account),
        Effect::Limit => {
            matches!(kind, PolicyKind::Inline | PolicyKind::Managed | PolicyKind::BuiltIn | PolicyKind::Account)
        }
    }
}

//! The small pieces of a statement: texts, lists, principals.

use super::syntax;
use crate::error::PolicyError;
use crate::json::{Node, Value};
use crate::policy::{MAX_LIST, Set};
use crate::principal_pattern::PrincipalPattern;

/// A string.
pub(super) fn text(node: Node, what: &str) -> Result<String, PolicyError> {
    if let Value::Text(text) = node.value { Ok(text) } else { Err(syntax(format!("{what} is no string"))) }
}

/// A string or a list of strings.
pub(super) fn texts(node: Node, what: &str) -> Result<Vec<String>, PolicyError> {
    match node.value {
        Value::Text(text) => Ok(vec![text]),
        Value::List(items) if items.len() <= MAX_LIST => items.into_iter().map(|item| text(item, what)).collect(),
        _ => Err(syntax(format!("{what} is neither a string nor a list of strings"))),
    }
}

/// The values of a condition: strings, numbers or booleans, one or a list.
pub(super) fn scalars(node: Node) -> Result<Vec<String>, PolicyError> {
    let scalar = |node: Node| match node.value {
        Value::Text(text) | Value::Number(text) => Ok(text),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Null | Value::List(_) | Value::Object(_) => {
            Err(syntax("a condition's value is no string, number or boolean"))
        }
    };
    match node.value {
        Value::List(items) if items.is_empty() || items.len() > MAX_LIST => {
            Err(syntax("a condition has no values, or too many"))
        }
        Value::List(items) => items.into_iter().map(scalar).collect(),
        value => scalar(Node { value, span: node.span }).map(|text| vec![text]),
    }
}

/// `Principal` or `NotPrincipal`.
pub(super) fn principals(node: Node, negated: bool) -> Result<Set<PrincipalPattern>, PolicyError> {
    let members = match node.value {
        Value::Text(text) if text == "*" => return Ok(Set { items: vec![PrincipalPattern::Everyone], negated }),
        Value::Text(text) => return Err(PolicyError::InvalidPrincipal(format!("{text:?}"))),
        Value::Object(members) => members,
        _ => return Err(syntax("Principal is neither \"*\" nor an object")),
    };
    let mut items = Vec::new();
    for (key, node) in members {
        let read = match key.as_str() {
            "AWS" => PrincipalPattern::aws,
            "Service" => PrincipalPattern::service,
            "Federated" => PrincipalPattern::federated,
            _ => return Err(PolicyError::InvalidPrincipal(format!("{key:?}"))),
        };
        for text in texts(node, "Principal")? {
            items.push(read(&text).ok_or_else(|| PolicyError::InvalidPrincipal(format!("{key:?}:{text:?}")))?);
        }
    }
    if items.is_empty() || items.len() > MAX_LIST {
        return Err(syntax("Principal names nobody, or too many"));
    }
    Ok(Set { items, negated })
}

//! One statement.

use super::resource::{check_action, check_resource};
use super::{element, may_have, missing, syntax};
use crate::condition::{Condition, Operand, Operator};
use crate::context::plain_key;
use crate::error::PolicyError;
use crate::json::{Node, Value};
use crate::pattern::{ActionPattern, ResourcePattern};
use crate::policy::{Effect, PolicyKind, Set, Statement, Version};
use crate::principal_pattern::PrincipalPattern;
use crate::quota::QUOTA_MARK;

/// Longest `Sid` and longest name of a condition key.
const MAX_NAME: usize = 512;
/// What a trust policy may be about.
const ASSUMING: [&str; 6] = [
    "sts:AssumeRole",
    "sts:AssumeRoleWithSAML",
    "sts:AssumeRoleWithWebIdentity",
    "sts:SetContext",
    "sts:SetSourceIdentity",
    "sts:TagSession",
];

/// The elements of a statement as they stand.
#[derive(Default)]
struct Elements {
    sid: Option<Node>,
    effect: Option<Node>,
    principal: Option<Node>,
    not_principal: Option<Node>,
    action: Option<Node>,
    not_action: Option<Node>,
    resource: Option<Node>,
    not_resource: Option<Node>,
    condition: Option<Node>,
}

pub(super) fn read(node: Node, kind: PolicyKind, version: Version) -> Result<Statement, PolicyError> {
    let span = node.span;
    let Elements { sid, effect, principal, not_principal, action, not_action, resource, not_resource, condition } =
        elements(node)?;
    let effect = self::effect(effect, kind)?;
    let principal = principals(principal, not_principal, kind, effect)?;
    let action = actions(action, not_action, kind, effect)?;
    let resource = resources(resource, not_resource, kind, version)?;
    let conditions = condition.map(|node| conditions(node, version)).transpose()?.unwrap_or_default();
    if effect == Effect::Limit {
        check_limit(&conditions)?;
    }
    Ok(Statement { sid: self::sid(sid, kind)?, effect, principal, action, resource, conditions, span })
}

fn elements(node: Node) -> Result<Elements, PolicyError> {
    let Value::Object(members) = node.value else { return Err(syntax("a statement is no object")) };
    let mut found = Elements::default();
    for (key, node) in members {
        let slot = match key.as_str() {
            "Sid" => &mut found.sid,
            "Effect" => &mut found.effect,
            "Principal" => &mut found.principal,
            "NotPrincipal" => &mut found.not_principal,
            "Action" => &mut found.action,
            "NotAction" => &mut found.not_action,
            "Resource" => &mut found.resource,
            "NotResource" => &mut found.not_resource,
            "Condition" => &mut found.condition,
            _ => return Err(syntax(format!("unknown element {key:?}"))),
        };
        *slot = Some(node);
    }
    Ok(found)
}

fn effect(node: Option<Node>, kind: PolicyKind) -> Result<Effect, PolicyError> {
    let text = element::text(node.ok_or_else(|| missing(kind, "Effect"))?, "Effect")?;
    let effect = match text.as_str() {
        "Allow" => Effect::Allow,
        "Deny" => Effect::Deny,
        "Limit" => Effect::Limit,
        other if other.eq_ignore_ascii_case("allow") || other.eq_ignore_ascii_case("deny") => {
            return Err(PolicyError::LegacyParsing);
        }
        _ => return Err(syntax("Effect is none that exists")),
    };
    if may_have(kind, effect) {
        Ok(effect)
    } else {
        Err(syntax(format!("Effect {text} is not for this kind of policy")))
    }
}

fn sid(node: Option<Node>, kind: PolicyKind) -> Result<Option<String>, PolicyError> {
    let Some(node) = node else { return Ok(None) };
    let sid = element::text(node, "Sid")?;
    let valid = match kind {
        PolicyKind::Resource => !sid.chars().any(char::is_control),
        _ => sid.bytes().all(|b| b.is_ascii_alphanumeric()),
    };
    if valid && sid.len() <= MAX_NAME { Ok(Some(sid)) } else { Err(PolicyError::BadSid) }
}

fn principals(
    principal: Option<Node>,
    not_principal: Option<Node>,
    kind: PolicyKind,
    effect: Effect,
) -> Result<Option<Set<PrincipalPattern>>, PolicyError> {
    match (principal, not_principal) {
        (None, None) if kind.names_principals() => Err(PolicyError::Missing("Principal")),
        (None, None) => Ok(None),
        _ if !kind.names_principals() => Err(PolicyError::PrincipalNotAllowed),
        (Some(_), Some(_)) => Err(syntax("both Principal and NotPrincipal")),
        (Some(node), None) => element::principals(node, false).map(Some),
        (None, Some(_)) if kind == PolicyKind::Trust => Err(PolicyError::Prohibited("NotPrincipal")),
        // AWS supports it with Deny only: with Allow it would let in everyone who is not thought of.
        (None, Some(_)) if effect != Effect::Deny => Err(syntax("NotPrincipal without Deny")),
        (None, Some(node)) => element::principals(node, true).map(Some),
    }
}

fn actions(
    action: Option<Node>,
    not_action: Option<Node>,
    kind: PolicyKind,
    effect: Effect,
) -> Result<Set<ActionPattern>, PolicyError> {
    let (node, negated) = match (action, not_action) {
        (Some(_), Some(_)) => return Err(syntax("both Action and NotAction")),
        (Some(node), None) => (node, false),
        (None, Some(_)) if kind == PolicyKind::Trust => return Err(PolicyError::Prohibited("NotAction")),
        (None, Some(_)) if effect == Effect::Limit => return Err(syntax("NotAction with Limit")),
        (None, Some(node)) => (node, true),
        (None, None) if kind == PolicyKind::Trust => return Err(PolicyError::Missing("Action")),
        (None, None) => return Err(PolicyError::NoActions),
    };
    let texts = element::texts(node, "Action")?;
    if texts.is_empty() {
        return Err(if kind == PolicyKind::Trust { PolicyError::Missing("Action") } else { PolicyError::NoActions });
    }
    texts.iter().try_for_each(|text| check_action(text))?;
    let items: Vec<ActionPattern> = texts.iter().map(|text| ActionPattern::new(text)).collect();
    if kind == PolicyKind::Trust {
        let is_assuming = |(text, pattern): (&String, &ActionPattern)| {
            let of_sts = text.get(..4).is_some_and(|vendor| vendor.eq_ignore_ascii_case("sts:"));
            of_sts && ASSUMING.iter().any(|action| pattern.matches(action))
        };
        if !texts.iter().zip(&items).all(is_assuming) {
            return Err(PolicyError::NotAssumeRole);
        }
    }
    Ok(Set { items, negated })
}

fn resources(
    resource: Option<Node>,
    not_resource: Option<Node>,
    kind: PolicyKind,
    version: Version,
) -> Result<Option<Set<ResourcePattern>>, PolicyError> {
    let (node, negated) = match (resource, not_resource) {
        (Some(_), _) if kind == PolicyKind::Trust => return Err(PolicyError::Prohibited("Resource")),
        (_, Some(_)) if kind == PolicyKind::Trust => return Err(PolicyError::Prohibited("NotResource")),
        (None, None) if kind == PolicyKind::Trust => return Ok(None),
        (Some(_), Some(_)) => return Err(syntax("both Resource and NotResource")),
        (Some(node), None) => (node, false),
        (None, Some(node)) => (node, true),
        (None, None) => return Err(PolicyError::NoResources),
    };
    let texts = element::texts(node, "Resource")?;
    if texts.is_empty() {
        return Err(PolicyError::NoResources);
    }
    texts.iter().try_for_each(|text| check_resource(text, version))?;
    let items = texts.iter().map(|text| ResourcePattern::new(text, version)).collect();
    Ok(Some(Set { items, negated }))
}

fn conditions(node: Node, version: Version) -> Result<Vec<Condition>, PolicyError> {
    let Value::Object(operators) = node.value else { return Err(syntax("Condition is no object")) };
    let mut conditions = Vec::new();
    for (name, node) in operators {
        let (quantifier, operator, if_exists) =
            Operator::parse(&name).ok_or_else(|| syntax(format!("unknown operator {name:?}")))?;
        let Value::Object(keys) = node.value else { return Err(syntax("an operator's keys are no object")) };
        let mut seen = std::collections::HashSet::new();
        for (written, node) in keys {
            let key: Box<str> = plain_key(&written).into();
            // JSON sees two keys, the evaluator one: it is the same duplicate.
            if !seen.insert(key.clone()) {
                return Err(syntax(format!("condition key {written:?} twice")));
            }
            if !key.contains(':') {
                return Err(PolicyError::NoVendor);
            }
            if key.len() > MAX_NAME || key.chars().any(char::is_control) {
                return Err(syntax("a condition key is malformed"));
            }
            let operands = element::scalars(node)?
                .iter()
                .map(|text| Operand::parse(operator, text, version).ok_or_else(|| unreadable(operator, text)))
                .collect::<Result<Vec<_>, _>>()?;
            let written = written.into_boxed_str();
            conditions.push(Condition { operator, quantifier, if_exists, key, written, operands });
        }
    }
    Ok(conditions)
}

fn unreadable(operator: Operator, text: &str) -> PolicyError {
    if matches!(operator, Operator::Date(_)) {
        PolicyError::LegacyParsing
    } else {
        syntax(format!("value {text:?} is none for its operator"))
    }
}

/// A `Limit` has to say which quota it sets, as a whole number.
fn check_limit(conditions: &[Condition]) -> Result<(), PolicyError> {
    let mut quotas = conditions.iter().filter(|c| c.key.contains(QUOTA_MARK)).peekable();
    if quotas.peek().is_none() {
        return Err(syntax("Limit without a quota key"));
    }
    let valid = |condition: &Condition| {
        crate::quota::may_limit(&condition.key)
            && condition.operator == Operator::Numeric(crate::condition::Compare::LessThanEquals)
            && matches!(condition.operands.as_slice(), [operand] if operand.as_quota().is_some())
    };
    if quotas.all(valid) {
        Ok(())
    } else {
        Err(syntax("a quota wants a key that exists, NumericLessThanEquals and one whole number"))
    }
}

//! A small evaluator that reads the JSON of policies anew for every request: slow, naive, and written apart from the
//! crate, so that the two can be held against each other. It knows the operators that the generator uses.

use mallee_iam::Principal;
use serde_json::Value;
use std::collections::BTreeMap;

pub(crate) type Keys = BTreeMap<String, Vec<String>>;

/// What the evaluator is asked.
pub(crate) struct Question<'a> {
    pub(crate) principal: &'a Principal,
    pub(crate) action: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) keys: &'a Keys,
}

/// Policies by layer; `None` where a layer is not there.
#[derive(Debug, Default, Clone)]
pub(crate) struct Layers {
    pub(crate) account: Vec<Value>,
    pub(crate) identity: Vec<Value>,
    pub(crate) boundary: Option<Value>,
    pub(crate) session: Option<Vec<Value>>,
    pub(crate) resource: Option<Value>,
    /// Of the policy of the resource only denials count.
    pub(crate) denies_only: bool,
    pub(crate) grants: Option<Value>,
    pub(crate) same_account: bool,
    pub(crate) must_allow: bool,
}

/// How strongly a resource's policy speaks for the caller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    Account,
    Origin,
    Self_,
}

pub(crate) fn allowed(q: &Question<'_>, layers: &Layers) -> bool {
    let mut everything: Vec<&Value> = layers.account.iter().chain(&layers.identity).collect();
    everything.extend(&layers.boundary);
    everything.extend(layers.session.iter().flatten());
    everything.extend(&layers.resource);
    everything.extend(&layers.grants);
    if everything.iter().any(|policy| !matching(q, policy, "Deny").is_empty()) {
        return false;
    }
    let any = |policies: &[Value]| policies.iter().any(|policy| !matching(q, policy, "Allow").is_empty());
    let root = matches!(q.principal, Principal::Root { .. });
    let identity = root || any(&layers.identity);
    let boundary = layers.boundary.as_ref().is_none_or(|policy| any(std::slice::from_ref(policy)));
    let session = layers.session.as_deref().is_none_or(any);
    let of_resource = layers.resource.iter().filter(|_| !layers.denies_only).chain(&layers.grants);
    let granted = of_resource.flat_map(|policy| matching(q, policy, "Allow")).max();
    let own = identity && boundary && session;
    if q.principal.account().is_none() {
        return granted.is_some();
    }
    match (layers.same_account, granted) {
        (true, Some(Strength::Self_)) => true,
        (true, Some(Strength::Origin)) => boundary && session,
        (true, Some(Strength::Account)) | (false, Some(_)) => own,
        (true, None) => own && !layers.must_allow,
        (false, None) => false,
    }
}

fn matching(q: &Question<'_>, policy: &Value, effect: &str) -> Vec<Strength> {
    let variables = policy["Version"] == "2012-10-17";
    policy["Statement"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|s| s["Effect"] == effect)
        .filter_map(|s| statement(q, s, variables))
        .collect()
}

fn statement(q: &Question<'_>, s: &Value, variables: bool) -> Option<Strength> {
    let deny = s["Effect"] == "Deny";
    let strength = match (s.get("Principal"), s.get("NotPrincipal")) {
        (Some(element), _) => strength(q.principal, element)?,
        (_, Some(element)) => {
            if strength(q.principal, element) == Some(Strength::Self_) {
                return None;
            }
            Strength::Self_
        }
        _ => Strength::Self_,
    };
    let action = |pattern: &String| like(&pattern.to_lowercase(), &q.action.to_lowercase());
    let actions = match (s.get("Action"), s.get("NotAction")) {
        (Some(list), _) => texts(list).iter().any(action),
        (_, Some(list)) => !texts(list).iter().any(action),
        _ => panic!("no action"),
    };
    let one =
        |pattern: &String, unknown: bool| expand(q, pattern, variables).map_or(unknown, |p| arn_like(&p, q.resource));
    let resources = match (s.get("Resource"), s.get("NotResource")) {
        (Some(list), _) => texts(list).iter().any(|p| one(p, false)),
        (_, Some(list)) => !texts(list).iter().any(|p| one(p, !deny)),
        _ => true,
    };
    let conditions = s.get("Condition").and_then(Value::as_object).is_none_or(|operators| {
        operators.iter().all(|(operator, keys)| {
            keys.as_object()
                .unwrap()
                .iter()
                .all(|(key, values)| condition(q, operator, key, &texts(values), variables, deny))
        })
    });
    (actions && resources && conditions).then_some(strength)
}

fn strength(principal: &Principal, element: &Value) -> Option<Strength> {
    if element == "*" {
        return Some(Strength::Self_);
    }
    let named = |kind: &str| element.get(kind).map(texts).unwrap_or_default();
    let arn = principal.arn();
    let mut best = None;
    for text in named("AWS") {
        let found = match principal {
            _ if text == "*" || text == arn => Some(Strength::Self_),
            Principal::Role(role) if text == role.role_arn() => Some(Strength::Origin),
            Principal::Federated { issuer, .. } if text == **issuer => Some(Strength::Origin),
            _ => principal
                .account()
                .filter(|account| text.contains(account.as_ref()) && (text.len() == 12 || text.ends_with(":root")))
                .map(|_| if matches!(principal, Principal::Root { .. }) { Strength::Self_ } else { Strength::Account }),
        };
        best = best.max(found);
    }
    let other = match principal {
        Principal::Service { .. } => named("Service").contains(&arn),
        Principal::WebIdentity { .. } => named("Federated").contains(&arn),
        _ => false,
    };
    if other { Some(Strength::Self_) } else { best }
}

fn condition(q: &Question<'_>, name: &str, key: &str, wanted: &[String], variables: bool, deny: bool) -> bool {
    let values = q.keys.get(&key.to_lowercase()).cloned().unwrap_or_default();
    if name == "Null" {
        return wanted.iter().any(|w| (w == "true") == values.is_empty());
    }
    let (set, rest) = name.split_once(':').unwrap_or(("", name));
    let (base, exists) = rest.strip_suffix("IfExists").map_or((rest, false), |base| (base, true));
    let negated = base.contains("Not");
    if values.is_empty() {
        return exists || set == "ForAllValues" || (set.is_empty() && negated);
    }
    let equal = |value: &String| {
        wanted.iter().any(|w| compare(q, &base.replace("Not", ""), value, w, variables).unwrap_or(negated && !deny))
    };
    match set {
        "ForAllValues" => values.iter().all(|v| equal(v) ^ negated),
        "ForAnyValue" => values.iter().any(|v| equal(v) ^ negated),
        _ => values.iter().any(equal) ^ negated,
    }
}

fn compare(q: &Question<'_>, operator: &str, value: &str, wanted: &str, variables: bool) -> Option<bool> {
    let text = || expand(q, wanted, variables);
    // In a comparison without wildcards a star is a star.
    let plain = || text().map(|chars| chars.into_iter().map(|(c, _)| c).collect::<String>());
    let number = |t: &str| t.parse::<f64>().ok();
    let order = |f: fn(f64, f64) -> bool| number(value).zip(number(wanted)).is_some_and(|(v, w)| f(v, w));
    Some(match operator {
        "StringEquals" => plain()? == value,
        "StringEqualsIgnoreCase" => plain()?.to_lowercase() == value.to_lowercase(),
        "StringLike" => like_chars(&text()?, &value.chars().collect::<Vec<_>>()),
        "NumericEquals" => order(|v, w| v == w),
        "NumericLessThan" => order(|v, w| v < w),
        "NumericLessThanEquals" => order(|v, w| v <= w),
        "NumericGreaterThan" => order(|v, w| v > w),
        "NumericGreaterThanEquals" => order(|v, w| v >= w),
        "Bool" => {
            value.to_lowercase() == wanted.to_lowercase() && ["true", "false"].contains(&value.to_lowercase().as_str())
        }
        "IpAddress" => {
            let net: ipnet::IpNet = wanted.parse().unwrap();
            value.parse::<std::net::IpAddr>().is_ok_and(|address| net.contains(&address))
        }
        "ArnEquals" | "ArnLike" => arn_like(&text()?, value),
        other => panic!("the reference does not know {other}"),
    })
}

/// A pattern's characters, each with whether it is a wildcard.
type Pattern = Vec<(char, bool)>;

fn wild(text: &str) -> Pattern {
    text.chars().map(|c| (c, c == '*' || c == '?')).collect()
}

/// The pattern with variables put in as plain characters.
fn expand(q: &Question<'_>, text: &str, variables: bool) -> Option<Pattern> {
    let mut pattern = Pattern::new();
    let mut rest = text;
    while let Some(start) = rest.find("${").filter(|_| variables) {
        let Some(end) = rest[start..].find('}') else { break };
        pattern.extend(wild(&rest[..start]));
        let inside = &rest[start + 2..start + end];
        let value = if ["*", "?", "$"].contains(&inside) {
            inside.to_owned()
        } else {
            let (key, default) =
                inside.split_once(", ").map_or((inside, None), |(k, d)| (k, Some(d.trim_matches('\'').to_owned())));
            let values = q.keys.get(&key.to_lowercase()).cloned().unwrap_or_default();
            if values.len() == 1 { values[0].clone() } else { default? }
        };
        pattern.extend(value.chars().map(|c| (c, false)));
        rest = &rest[start + end + 1..];
    }
    pattern.extend(wild(rest));
    Some(pattern)
}

fn like(pattern: &str, text: &str) -> bool {
    like_chars(&wild(pattern), &text.chars().collect::<Vec<_>>())
}

fn like_chars(pattern: &[(char, bool)], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((('*', true), rest)) => (0..=text.len()).any(|eaten| like_chars(rest, &text[eaten..])),
        Some((('?', true), rest)) => !text.is_empty() && like_chars(rest, &text[1..]),
        Some(((c, _), rest)) => text.first() == Some(c) && like_chars(rest, &text[1..]),
    }
}

/// The generator's variables hold no colons, so fields may be told apart after they are put in.
fn arn_like(pattern: &[(char, bool)], arn: &str) -> bool {
    if pattern == [('*', true)] {
        return true;
    }
    let text: Vec<&str> = arn.splitn(6, ':').collect();
    let patterns: Vec<&[(char, bool)]> = pattern.splitn(6, |(c, _)| *c == ':').collect();
    text.len() == 6
        && patterns.len() == 6
        && patterns.iter().zip(text).all(|(p, t)| like_chars(p, &t.chars().collect::<Vec<_>>()))
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}

//! From a row and a request to the questions for the evaluator.

use crate::kind::{Kind, POLICY, Service};
use crate::path::{items, member, values};
use crate::row::{From, Key, Mode, Need, Row, Source};
use mallee_awswire::Params;
use std::borrow::Cow;

/// Which resource a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// None: `*`.
    None,
    /// Any of a kind, or one that is not made yet: `kind/*`.
    Any(Kind),
    /// An existing one by id or name.
    Existing(Kind, &'a str),
    /// One to be made with this path and name.
    Named(Kind, &'a str, &'a str),
    /// Whatever has this ARN.
    Arn(&'a str),
    /// The caller's own user.
    Own,
    /// The role of this instance profile (name or ARN).
    RoleOf(&'a str),
    /// The resource of this kind at one end of an association or attachment.
    Linked(Kind, &'a str),
}

/// One question: may the caller do this to that?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question<'a> {
    /// `service:Action`.
    pub action: String,
    /// To what.
    pub target: Target<'a>,
    /// Condition keys that the request itself gives.
    pub keys: Vec<(Cow<'static, str>, Vec<String>)>,
}

/// All that must be allowed for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan<'a> {
    /// How it is decided.
    pub mode: Mode,
    /// Every one of them must be allowed.
    pub questions: Vec<Question<'a>>,
}

/// What a row asks of a request. The request must have been read by the operation's own parser before: that every
/// parameter stands where the row looks for it is what the parser makes sure.
#[must_use]
pub fn plan<'a>(service: Service, row: &Row, params: &'a Params) -> Plan<'a> {
    let action = format!("{}:{}", service.prefix(), row.operation);
    if row.mode == Mode::Everybody {
        return Plan { mode: row.mode, questions: Vec::new() };
    }
    let specs = if service == Service::Ec2 { tag_specifications(params) } else { Vec::new() };
    let common = if service == Service::Ec2 { attribute_keys(row.operation, params) } else { Vec::new() };
    let tags = plain_tags(params);
    let mut questions = Vec::new();
    for need in row.needs {
        for target in targets(need, params) {
            let mut keys = common.clone();
            keys.extend(need.keys.iter().filter_map(|key| values_of(key, params)));
            let made = matches!(target, Target::Any(_)) && matches!(need.source, Source::New);
            if let Some((_, tags)) = specs.iter().find(|(kind, _)| made && *kind == need.kind.word) {
                keys.extend(tag_keys(tags));
            } else if need.action.is_none() && !tags.is_empty() {
                keys.extend(tag_keys(&tags));
            }
            questions.push(Question {
                action: need.action.map_or_else(|| action.clone(), str::to_owned),
                target,
                keys,
            });
        }
    }
    if questions.is_empty() {
        let mut keys = common;
        keys.extend(tag_keys(&tags));
        questions.push(Question { action, target: Target::None, keys });
    }
    // Tagging at birth is a question of its own, as on AWS.
    for (kind, tags) in specs.iter().filter(|(_, tags)| !tags.is_empty()) {
        let target = Kind::of_word(kind).map_or(Target::None, Target::Any);
        let mut keys = vec![(Cow::Borrowed("ec2:CreateAction"), vec![row.operation.to_owned()])];
        keys.extend(tag_keys(tags));
        questions.push(Question { action: "ec2:CreateTags".to_owned(), target, keys });
    }
    Plan { mode: row.mode, questions }
}

fn targets<'a>(need: &Need, params: &'a Params) -> Vec<Target<'a>> {
    let kind = need.kind;
    let existing = |value: &'a str| {
        if value.starts_with("arn:") { Target::Arn(value) } else { Target::Existing(kind, value) }
    };
    let mut found: Vec<Target<'a>> = match need.source {
        Source::New => vec![Target::Any(kind)],
        Source::At(path) => values(params, path).into_iter().filter(|v| !v.is_empty()).map(existing).collect(),
        Source::Or(path, others) => {
            let found: Vec<_> = values(params, path).into_iter().filter(|v| !v.is_empty()).map(existing).collect();
            if found.is_empty() && others.iter().all(|path| values(params, path).iter().all(|v| v.is_empty())) {
                vec![Target::Any(kind)]
            } else {
                found
            }
        }
        Source::Named(path, name) => {
            let path = path.and_then(|path| params.get(path)).unwrap_or("/");
            params.get(name).map(|name| Target::Named(kind, path, name)).into_iter().collect()
        }
        Source::AnyKind(path) => values(params, path)
            .into_iter()
            .map(|id| Kind::of_id(id).map_or(Target::None, |kind| Target::Existing(kind, id)))
            .collect(),
        Source::Own(path) => {
            vec![params.get(path).filter(|v| !v.is_empty()).map_or(Target::Own, |name| Target::Existing(kind, name))]
        }
        Source::RoleOf(path) => {
            values(params, path).into_iter().filter(|v| !v.is_empty()).map(Target::RoleOf).collect()
        }
        Source::Linked(path) => values(params, path).into_iter().map(|id| Target::Linked(kind, id)).collect(),
    };
    // A policy is named by its ARN and by nothing else; what is no ARN names none of ours.
    if kind == POLICY {
        found.iter_mut().for_each(|t| {
            if matches!(t, Target::Existing(..)) {
                *t = Target::Any(POLICY);
            }
        });
    }
    // One question per resource, however often the request names it.
    let mut seen: Vec<Target<'a>> = Vec::with_capacity(found.len());
    if found.len() > 1 {
        for target in found {
            if !seen.contains(&target) {
                seen.push(target);
            }
        }
        return seen;
    }
    found
}

fn values_of(key: &Key, params: &Params) -> Option<(Cow<'static, str>, Vec<String>)> {
    let values = match key.from {
        From::Is(value) => vec![value.to_owned()],
        From::Param(path) => values(params, path).into_iter().map(str::to_owned).collect(),
        From::ParamOr(path, otherwise) => vec![params.get(path).unwrap_or(otherwise).to_owned()],
    };
    (!values.is_empty()).then_some((Cow::Borrowed(key.name), values))
}

/// A tag or, where there is no value, its key alone.
type Tag<'a> = (&'a str, Option<&'a str>);

/// The tag specifications of a request: resource type and tags.
fn tag_specifications(params: &Params) -> Vec<(&str, Vec<Tag<'_>>)> {
    let specs = ["TagSpecification", "TagSpecifications"].into_iter().flat_map(|list| items(params, list));
    specs
        .map(|spec| {
            let kind = member(&spec, "ResourceType").unwrap_or_default();
            let tags = spec.children().filter(|child| child.name() == "Tag").flat_map(|list| list.children());
            (kind, tags.filter_map(|tag| Some((member(&tag, "Key")?, member(&tag, "Value").or(Some(""))))).collect())
        })
        .collect()
}

/// The tags that a request is itself about: CreateTags, DeleteTags, and IAM's and STS's `Tags` and `TagKeys`.
fn plain_tags(params: &Params) -> Vec<Tag<'_>> {
    let lists = ["Tag", "Tags.member"].into_iter().flat_map(|list| items(params, list));
    let mut tags: Vec<Tag<'_>> = lists.filter_map(|tag| Some((member(&tag, "Key")?, member(&tag, "Value")))).collect();
    tags.extend(values(params, "TagKeys.member.*").into_iter().map(|key| (key, None)));
    tags
}

fn tag_keys(tags: &[Tag<'_>]) -> Vec<(Cow<'static, str>, Vec<String>)> {
    let mut keys: Vec<(Cow<'static, str>, Vec<String>)> = tags
        .iter()
        .filter_map(|(key, value)| Some((Cow::Owned(format!("aws:RequestTag/{key}")), vec![(*value)?.to_owned()])))
        .collect();
    if !tags.is_empty() {
        keys.push((Cow::Borrowed("aws:TagKeys"), tags.iter().map(|(key, _)| (*key).to_owned()).collect()));
    }
    keys
}

/// Parameters of a Modify or Reset operation that name no attribute.
const NO_ATTRIBUTES: &[&str] = &["Attribute", "DryRun", "OperationType", "Value"];

/// `ec2:Attribute` and `ec2:Attribute/NAME`: which attributes an operation changes, and to what.
fn attribute_keys(operation: &str, params: &Params) -> Vec<(Cow<'static, str>, Vec<String>)> {
    if !(operation.starts_with("Modify") || operation.starts_with("Reset")) || !operation.contains("Attribute") {
        return Vec::new();
    }
    let mut names: Vec<String> = Vec::new();
    let mut keys = Vec::new();
    for node in params.root().children() {
        let name = node.name();
        if NO_ATTRIBUTES.contains(&name) || (name.ends_with("Id") && name != "GroupId") || name == "ClientToken" {
            continue;
        }
        names.push(name.to_owned());
        let value = node.own_value().or_else(|| member(&node, "Value"));
        keys.extend(value.map(|v| (Cow::Owned(format!("ec2:Attribute/{name}")), vec![v.to_owned()])));
    }
    if let Some(attribute) = params.get("Attribute") {
        // The old form names it in lower case (`instanceType`) and gives its value beside.
        let name: String =
            attribute.chars().take(1).flat_map(char::to_uppercase).chain(attribute.chars().skip(1)).collect();
        keys.extend(params.get("Value").map(|v| (Cow::Owned(format!("ec2:Attribute/{name}")), vec![v.to_owned()])));
        names.push(name);
    }
    if !names.is_empty() {
        keys.push((Cow::Borrowed("ec2:Attribute"), names));
    }
    keys
}

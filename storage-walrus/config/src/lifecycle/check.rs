//! What rules may not say, within one and together.

use super::{Expiration, Lifecycle, Rule, When};
use mallee_awswire::{ApiError, Code};
use std::collections::HashSet;

/// Most older versions that a rule may keep.
pub(super) const KEPT_MAX: u32 = 100;
/// Days before AWS lets anything go to these classes.
const MINIMUM_DAYS: &[(&str, u32)] = &[("STANDARD_IA", 30), ("ONEZONE_IA", 30)];
/// Classes to which rules may move objects. They are labels: the bytes stay where they are.
const CLASSES: &[&str] = &["STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR"];
/// Classes that AWS archives: reading would need a restore, and nothing is archived here.
const ARCHIVES: &[&str] = &["GLACIER", "DEEP_ARCHIVE"];

/// A class to which rules may move objects.
pub(super) fn class(name: &str) -> Result<String, ApiError> {
    if CLASSES.contains(&name) {
        return Ok(name.to_owned());
    }
    if ARCHIVES.contains(&name) {
        let text = format!("Transitions to the storage class {name} are not implemented: nothing is archived here.");
        return Err(Code::NotImplemented.message(text).field("Feature", name));
    }
    Err(Code::MalformedXml.error())
}

fn invalid_request(text: impl Into<String>) -> ApiError {
    Code::InvalidRequest.message(text.into())
}

fn invalid_argument(text: impl Into<String>) -> ApiError {
    Code::InvalidArgument.message(text.into())
}

pub(super) fn check(lifecycle: &Lifecycle) -> Result<(), ApiError> {
    let mut ids = HashSet::new();
    for rule in &lifecycle.rules {
        if !ids.insert(rule.id.as_str()) {
            return Err(
                invalid_argument("Rule ID must be unique. Found same ID for more than one rule").field("ID", &rule.id)
            );
        }
        self::rule(rule)?;
    }
    Ok(())
}

fn rule(rule: &Rule) -> Result<(), ApiError> {
    let idle = rule.expiration.is_none()
        && rule.noncurrent.is_none()
        && rule.abort_days.is_none()
        && rule.transitions.is_empty()
        && rule.noncurrent_transitions.is_empty();
    if idle {
        return Err(invalid_request("At least one action needs to be specified in a rule"));
    }
    if rule.abort_days.is_some() {
        if !rule.filter.tags.is_empty() {
            return Err(invalid_request("AbortIncompleteMultipartUpload cannot be specified with Tags."));
        }
        if rule.filter.names_size() {
            return Err(invalid_request("AbortIncompleteMultipartUpload cannot be specified with Object Size."));
        }
    }
    if matches!(rule.expiration, Some(Expiration::Marker(_))) {
        if !rule.filter.tags.is_empty() {
            return Err(invalid_request("ExpiredObjectDeleteMarker cannot be specified with Tags."));
        }
        if rule.filter.names_size() {
            return Err(invalid_request("ExpiredObjectDeleteMarker cannot be specified with Object Size."));
        }
    }
    times(rule)?;
    classes(rule)
}

/// Days and dates do not mix, and an object must not expire before it changes its class.
fn times(rule: &Rule) -> Result<(), ApiError> {
    let prefix = rule.filter.prefix.as_deref().unwrap_or_default();
    let expires = match rule.expiration {
        Some(Expiration::Object(when)) => Some(when),
        _ => None,
    };
    let all: Vec<When> = rule.transitions.iter().map(|t| t.when).chain(expires).collect();
    let dates = all.iter().filter(|when| matches!(when, When::Date(_))).count();
    if dates != 0 && dates != all.len() {
        return Err(invalid_request(format!(
            "Found mixed 'Date' and 'Days' based Expiration and Transition actions in lifecycle rule for prefix '{prefix}'"
        )));
    }
    for transition in &rule.transitions {
        let (what, early) = match (transition.when, expires) {
            (When::Days(transition), Some(When::Days(expiration))) => ("Days", expiration <= transition),
            (When::Date(transition), Some(When::Date(expiration))) => ("Date", expiration <= transition),
            _ => continue,
        };
        if early {
            return Err(invalid_argument(format!(
                "'{what}' in the Expiration action for prefix '{prefix}' must be greater than '{what}' in the Transition action"
            )));
        }
    }
    for transition in &rule.noncurrent_transitions {
        if rule.noncurrent.is_some_and(|expiration| expiration.days <= transition.after.days) {
            return Err(invalid_argument(format!(
                "'NoncurrentDays' in the NoncurrentVersionExpiration action for prefix '{prefix}' must be greater than \
                 'NoncurrentDays' in the NoncurrentVersionTransition action"
            )));
        }
    }
    Ok(())
}

fn classes(rule: &Rule) -> Result<(), ApiError> {
    let least = |class: &str| MINIMUM_DAYS.iter().find(|(name, _)| *name == class).map_or(0, |(_, days)| *days);
    let mut seen = HashSet::new();
    for transition in &rule.transitions {
        let (class, least) = (&transition.class, least(&transition.class));
        if matches!(transition.when, When::Days(days) if days < least) {
            return Err(invalid_argument(format!(
                "'Days' in Transition action must be greater than or equal to {least} for storageClass '{class}'"
            )));
        }
        if !seen.insert(class) {
            return Err(invalid_request(format!(
                "'StorageClass' must be different for 'Transition' actions in same 'Rule' ({class})"
            )));
        }
    }
    let mut seen = HashSet::new();
    for transition in &rule.noncurrent_transitions {
        let (class, least) = (&transition.class, least(&transition.class));
        if transition.after.days < least {
            return Err(invalid_argument(format!(
                "'NoncurrentDays' in NoncurrentVersionTransition action must be greater than or equal to {least} for \
                 storageClass '{class}'"
            )));
        }
        if !seen.insert(class) {
            return Err(invalid_request(format!(
                "'StorageClass' must be different for 'NoncurrentVersionTransition' actions in same 'Rule' ({class})"
            )));
        }
    }
    Ok(())
}

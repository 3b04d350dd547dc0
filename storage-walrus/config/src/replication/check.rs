//! What rules may not say together.

use super::{REPLICATION_RULES_MAX, Replication, ReplicationRule};
use mallee_awswire::{ApiError, Code};
use std::collections::HashSet;

/// How the ARN of a role begins.
const ROLE_START: &str = "arn:aws:iam::";

pub(super) fn check(replication: &Replication) -> Result<(), ApiError> {
    let rules = &replication.rules;
    let refused = |text: &str| Err(Code::InvalidRequest.message(text.to_owned()));
    if rules.len() > REPLICATION_RULES_MAX {
        return refused(&format!(
            "The number of replication rules must not exceed the allowed limit of {REPLICATION_RULES_MAX} rules."
        ));
    }
    if !is_role(&replication.role) {
        return Err(Code::InvalidArgument
            .message("Invalid Role ARN.")
            .field("ArgumentName", "Role")
            .field("ArgumentValue", mallee_awswire::texts::clip(&replication.role).into_owned()));
    }
    let (mut ids, mut priorities) = (HashSet::new(), HashSet::new());
    for rule in rules {
        if !ids.insert(rule.id.as_str()) {
            return Err(Code::InvalidArgument
                .message("Rule ID must be unique. Found same ID for more than one rule")
                .field("ArgumentName", "ID")
                .field("ArgumentValue", rule.id.clone()));
        }
        if rule.priority.is_some_and(|priority| !priorities.insert(priority)) {
            return refused("Found duplicate priority in the rules. Priority must be unique.");
        }
    }
    let first_form = rules.iter().filter(|rule| rule.is_first_form()).count();
    if first_form != 0 && first_form != rules.len() {
        return refused("All rules must be of one version of the replication configuration schema.");
    }
    if first_form != 0 { check_first_form(rules) } else { Ok(()) }
}

/// Of the first form all rules have one destination, and no object is about two of them.
fn check_first_form(rules: &[ReplicationRule]) -> Result<(), ApiError> {
    let mut destinations = rules.iter().map(|rule| &rule.destination.bucket);
    let first = destinations.next();
    if destinations.any(|other| Some(other) != first) {
        return Err(Code::InvalidRequest
            .message("The destination bucket must be same for all rules with this version of the schema."));
    }
    // Sorted, what begins with a prefix comes right behind it.
    let mut prefixes: Vec<&str> = rules.iter().map(|rule| rule.filter.prefix.as_deref().unwrap_or_default()).collect();
    prefixes.sort_unstable();
    match prefixes.windows(2).find(|pair| matches!(pair, [short, long] if long.starts_with(short))) {
        Some([short, long]) => {
            Err(Code::InvalidRequest.message(format!("Found overlapping prefixes '{short}' and '{long}'")))
        }
        _ => Ok(()),
    }
}

/// Whether it can be the ARN of a role: `arn:aws:iam::ACCOUNT:role/PATH/NAME`.
fn is_role(arn: &str) -> bool {
    let account = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    let Some((number, name)) = arn.strip_prefix(ROLE_START).and_then(|rest| rest.split_once(":role/")) else {
        return false;
    };
    account(number) && !name.is_empty() && name.len() <= 1024 && name.bytes().all(|b| b.is_ascii_graphic())
}

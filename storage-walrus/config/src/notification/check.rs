//! What configurations may not say together.

use super::{CONFIGURATIONS_MAX, Configuration, Notification, event};
use mallee_awswire::{ApiError, Code};
use std::collections::HashSet;

/// Bytes of a filter's value, as of a key.
pub(super) const FILTER_BYTES_MAX: usize = 1024;
/// Characters of an id.
const ID_CHARS_MAX: usize = 255;

pub(super) fn check(notification: &Notification) -> Result<(), ApiError> {
    let all = &notification.configurations;
    if all.len() > CONFIGURATIONS_MAX {
        let text = format!("A bucket can have at most {CONFIGURATIONS_MAX} notification configurations.");
        return Err(Code::InvalidArgument.message(text));
    }
    let mut ids = HashSet::new();
    for configuration in all {
        if configuration.id.chars().count() > ID_CHARS_MAX {
            return Err(Code::InvalidArgument.message("ID length should not exceed allowed limit of 255"));
        }
        if !ids.insert(configuration.id.as_str()) {
            return Err(Code::InvalidArgument.message("Same ID used for multiple configurations. IDs must be unique"));
        }
    }
    for (n, one) in all.iter().enumerate() {
        if let Some(other) = all.iter().skip(n + 1).find(|other| overlap(one, other)) {
            return Err(ambiguous(one, other));
        }
    }
    Ok(())
}

/// Whether an event of some key would be for both.
fn overlap(a: &Configuration, b: &Configuration) -> bool {
    let both = |a: &Option<String>, b: &Option<String>, within: fn(&str, &str) -> bool| match (a, b) {
        (Some(a), Some(b)) => within(a, b) || within(b, a),
        _ => true,
    };
    a.events.iter().any(|x| b.events.iter().any(|y| event::overlap(x, y)))
        && both(&a.prefix, &b.prefix, |long, short| long.starts_with(short))
        && both(&a.suffix, &b.suffix, |long, short| long.ends_with(short))
}

fn ambiguous(a: &Configuration, b: &Configuration) -> ApiError {
    let plain = |c: &Configuration| c.prefix.is_none() && c.suffix.is_none();
    if plain(a) && plain(b) {
        return Code::InvalidArgument
            .message("Configurations overlap. Configurations on the same bucket cannot share a common event type.");
    }
    Code::InvalidArgument.message(
        "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are \
         overlapping for the same event type.",
    )
}

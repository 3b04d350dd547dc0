//! Reading a rule. What can be seen in one value is checked here, what goes beyond in `check`.

use super::{Expiration, Filter, Noncurrent, NoncurrentTransition, RULE_ID_CHARS_MAX, Rule, Transition, When, check};
use crate::document::malformed;
use mallee_awswire::xml_read::Element;
use mallee_awswire::{ApiError, Code};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Its id is empty if it has none.
pub(super) fn rule(element: &Element) -> Result<Rule, ApiError> {
    let mut rule = Rule {
        id: String::new(),
        enabled: false,
        filter: Filter::default(),
        expiration: None,
        noncurrent: None,
        abort_days: None,
        transitions: Vec::new(),
        noncurrent_transitions: Vec::new(),
    };
    let (mut filter, mut status, mut old) = (None, None, None);
    for child in &element.children {
        let twice = |is: bool| if is { Err(malformed()) } else { Ok(()) };
        match child.name.as_str() {
            "ID" => rule.id.clone_from(&child.text),
            "Status" => status = Some(child.text.as_str()),
            "Prefix" => old = Some(Filter::of_prefix(&child.text)?),
            "Filter" => filter = Some(Filter::read(child)?),
            "Expiration" => {
                twice(rule.expiration.is_some())?;
                rule.expiration = Some(expiration(child)?);
            }
            "NoncurrentVersionExpiration" => {
                twice(rule.noncurrent.is_some())?;
                rule.noncurrent = Some(noncurrent(child, "NoncurrentVersionExpiration", 1)?);
            }
            "AbortIncompleteMultipartUpload" => {
                twice(rule.abort_days.is_some())?;
                let days = child.child_text("DaysAfterInitiation").ok_or_else(malformed)?;
                rule.abort_days =
                    Some(positive(days, "'DaysAfterInitiation' for AbortIncompleteMultipartUpload action")?);
            }
            "Transition" => rule.transitions.push(transition(child)?),
            "NoncurrentVersionTransition" => {
                let class = child.child_text("StorageClass").ok_or_else(malformed)?;
                let after = noncurrent(child, "NoncurrentVersionTransition", 0)?;
                let class = check::class(class)?;
                rule.noncurrent_transitions.push(NoncurrentTransition { after, class });
            }
            _ => return Err(malformed()),
        }
    }
    rule.enabled = match status {
        Some("Enabled") => true,
        Some("Disabled") => false,
        _ => return Err(malformed()),
    };
    rule.filter = match (filter, old) {
        (Some(filter), None) | (None, Some(filter)) => filter,
        // Both, or none of them: AWS wants one.
        _ => return Err(malformed()),
    };
    if rule.id.chars().count() > RULE_ID_CHARS_MAX {
        return Err(Code::InvalidArgument.message("ID length should not exceed allowed limit of 255"));
    }
    Ok(rule)
}

fn positive(text: &str, what: &str) -> Result<u32, ApiError> {
    let number: i64 = text.trim().parse().map_err(|_| malformed())?;
    match u32::try_from(number) {
        Ok(number) if (1..=i32::MAX.unsigned_abs()).contains(&number) => Ok(number),
        _ => Err(Code::InvalidArgument.message(format!("{what} must be a positive integer"))),
    }
}

fn expiration(element: &Element) -> Result<Expiration, ApiError> {
    let [only] = element.children.as_slice() else { return Err(malformed()) };
    if only.name == "ExpiredObjectDeleteMarker" {
        return match only.text.trim() {
            "true" => Ok(Expiration::Marker(true)),
            "false" => Ok(Expiration::Marker(false)),
            _ => Err(malformed()),
        };
    }
    when(only, "Expiration", 1).map(Expiration::Object)
}

/// `least`: the fewest days.
fn when(element: &Element, action: &str, least: u32) -> Result<When, ApiError> {
    match element.name.as_str() {
        "Days" if least == 0 => days_from_zero(&element.text, &format!("'Days' in {action} action")).map(When::Days),
        "Days" => positive(&element.text, &format!("'Days' for {action} action")).map(When::Days),
        "Date" => {
            let at = OffsetDateTime::parse(element.text.trim(), &Rfc3339).map_err(|e| malformed().because(e))?;
            if at.unix_timestamp().rem_euclid(86_400) != 0 || at.nanosecond() != 0 {
                return Err(Code::InvalidArgument.message("'Date' must be at midnight GMT"));
            }
            Ok(When::Date(at.unix_timestamp().saturating_mul(1000)))
        }
        _ => Err(malformed()),
    }
}

fn days_from_zero(text: &str, what: &str) -> Result<u32, ApiError> {
    let number: i64 = text.trim().parse().map_err(|_| malformed())?;
    let number = i32::try_from(number).ok().and_then(|n| u32::try_from(n).ok());
    number.ok_or_else(|| Code::InvalidArgument.message(format!("{what} must be nonnegative")))
}

fn transition(element: &Element) -> Result<Transition, ApiError> {
    let class = element.child_text("StorageClass").ok_or_else(malformed)?;
    let mut at = element.children.iter().filter(|child| child.name != "StorageClass");
    let (Some(only), None) = (at.next(), at.next()) else { return Err(malformed()) };
    // What is wrong anywhere is told before what is not done here.
    let when = when(only, "Transition", 0)?;
    Ok(Transition { when, class: check::class(class)? })
}

fn noncurrent(element: &Element, action: &str, least: u32) -> Result<Noncurrent, ApiError> {
    let known = ["NoncurrentDays", "NewerNoncurrentVersions", "StorageClass"];
    if element.children.iter().any(|child| !known.contains(&child.name.as_str())) {
        return Err(malformed());
    }
    let days = element.child_text("NoncurrentDays").ok_or_else(malformed)?;
    let days = match least {
        0 => days_from_zero(days, &format!("'NoncurrentDays' in {action} action"))?,
        _ => positive(days, &format!("'NoncurrentDays' for {action} action"))?,
    };
    let keep = match element.child_text("NewerNoncurrentVersions") {
        None => None,
        Some(text) => Some(positive(text, &format!("'NewerNoncurrentVersions' for {action} action"))?),
    };
    if keep.is_some_and(|keep| keep > check::KEPT_MAX) {
        return Err(Code::InvalidArgument.message(format!(
            "'NewerNoncurrentVersions' for {action} action must be between 1 and {}",
            check::KEPT_MAX
        )));
    }
    Ok(Noncurrent { days, keep })
}

//! What is to be done with the versions of a key. Pure.
//!
//! Where several rules have something to say, the earliest deletion wins, and deletion over a change of class
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-conflicts.html>).

use super::{Day, Expiration, Lifecycle, Noncurrent, Rule, When};
use std::collections::BTreeMap;

/// What counts of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// When it was written.
    pub written_ms: i64,
    /// It is a delete marker.
    pub marker: bool,
    /// Bytes.
    pub size: u64,
    /// Its storage class.
    pub class: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// What is to be done with a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The key is deleted: by a delete marker where the bucket is versioned.
    Expire,
    /// The version goes for good.
    Remove,
    /// It gets this class.
    Transition(String),
}

/// When something is due, and by which rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// When.
    pub at_ms: i64,
    /// The rule's id.
    pub rule: String,
}

/// Objects smaller than this change their class only by rules that name a size.
const TRANSITION_BYTES_MIN: u64 = 128 * 1024;
/// Classes in the order in which objects may pass through them.
const WATERFALL: &[&str] = &["STANDARD", "STANDARD_IA", "INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER_IR"];

/// Whether a rule may move an object from one class to another.
#[must_use]
pub fn class_may_become(from: &str, to: &str) -> bool {
    let place = |class: &str| WATERFALL.iter().position(|known| *known == class);
    match (place(from).or((from == "REDUCED_REDUNDANCY").then_some(0)), place(to)) {
        // From one zone there is no way back to several.
        (Some(from_at), Some(to_at)) => from_at < to_at && from != "ONEZONE_IA",
        _ => false,
    }
}

const fn at(when: When, written_ms: i64, day: Day) -> i64 {
    match when {
        When::Days(days) => day.due(written_ms, days),
        When::Date(ms) => ms,
    }
}

/// When a current version expires, if any rule says so: what `x-amz-expiration` tells.
#[must_use]
pub fn expiration_of(lifecycle: &Lifecycle, key: &str, version: &Version, day: Day) -> Option<Due> {
    let of = |rule: &Rule| match rule.expiration {
        Some(Expiration::Object(when)) => Some(Due { at_ms: at(when, version.written_ms, day), rule: rule.id.clone() }),
        _ => None,
    };
    let rules = lifecycle.rules.iter().filter(|rule| rule.enabled);
    rules.filter(|r| r.filter.is_about(key, version.size, &version.tags)).filter_map(of).min_by_key(|due| due.at_ms)
}

/// When an upload to a key is given up: what `x-amz-abort-date` tells.
#[must_use]
pub fn abort_due(lifecycle: &Lifecycle, key: &str, created_ms: i64, day: Day) -> Option<Due> {
    let rules = lifecycle.rules.iter().filter(|rule| rule.enabled && rule.filter.is_about_key(key));
    let of = |rule: &Rule| rule.abort_days.map(|d| Due { at_ms: day.due(created_ms, d), rule: rule.id.clone() });
    rules.filter_map(of).min_by_key(|due| due.at_ms)
}

/// Goes through the versions of one key, the newest first.
#[derive(Debug, Clone)]
pub struct Planner<'l> {
    rules: Vec<&'l Rule>,
    key: String,
    now_ms: i64,
    day: Day,
    /// When the version before was written, if there was one.
    newer_ms: Option<i64>,
    /// How many older versions have been seen.
    noncurrent: u32,
}

impl<'l> Planner<'l> {
    /// For the versions of this key.
    #[must_use]
    pub fn new(lifecycle: &'l Lifecycle, key: &str, now_ms: i64, day: Day) -> Self {
        let rules = lifecycle.rules.iter().filter(|rule| rule.enabled && rule.filter.is_about_key(key)).collect();
        Self { rules, key: key.to_owned(), now_ms, day, newer_ms: None, noncurrent: 0 }
    }

    /// What is to be done with the next version; `alone`: the key has no other.
    pub fn next(&mut self, version: &Version, alone: bool) -> Option<Action> {
        let newer_ms = self.newer_ms.replace(version.written_ms);
        match newer_ms {
            None => self.current(version, alone),
            Some(newer_ms) => {
                let newer = self.noncurrent;
                self.noncurrent = newer.saturating_add(1);
                self.noncurrent(version, newer_ms, newer)
            }
        }
    }

    /// The rules that are about a version.
    fn about<'s>(&'s self, version: &'s Version) -> impl Iterator<Item = &'l Rule> + 's {
        self.rules.iter().copied().filter(|rule| rule.filter.is_about(&self.key, version.size, &version.tags))
    }

    fn is_due(&self, when: When, version: &Version) -> bool {
        at(when, version.written_ms, self.day) <= self.now_ms
    }

    fn current(&self, version: &Version, alone: bool) -> Option<Action> {
        if version.marker {
            // With versions behind it a marker stays: without it the newest of them would be there again.
            let goes = |rule: &Rule| match rule.expiration {
                Some(Expiration::Marker(is)) => is,
                Some(Expiration::Object(when)) => self.is_due(when, version),
                None => false,
            };
            return (alone && self.about(version).any(goes)).then_some(Action::Remove);
        }
        let expires =
            |rule: &Rule| matches!(rule.expiration, Some(Expiration::Object(when)) if self.is_due(when, version));
        if self.about(version).any(expires) {
            return Some(Action::Expire);
        }
        let due = self.about(version).flat_map(|rule| {
            rule.transitions.iter().filter(|t| self.is_due(t.when, version)).map(move |t| (rule, t.class.as_str()))
        });
        transition(version, due)
    }

    /// `newer`: how many older versions of the key are newer than this one.
    fn noncurrent(&self, version: &Version, newer_ms: i64, newer: u32) -> Option<Action> {
        let is_due = |after: &Noncurrent| {
            self.day.due(newer_ms, after.days) <= self.now_ms && after.keep.is_none_or(|keep| newer >= keep)
        };
        if self.about(version).any(|rule| rule.noncurrent.as_ref().is_some_and(is_due)) {
            return Some(Action::Remove);
        }
        let due = self.about(version).flat_map(|rule| {
            let due = rule.noncurrent_transitions.iter().filter(|t| is_due(&t.after));
            due.map(move |t| (rule, t.class.as_str()))
        });
        transition(version, due)
    }
}

/// The last class on the way that the version may get.
fn transition<'r>(version: &Version, due: impl Iterator<Item = (&'r Rule, &'r str)>) -> Option<Action> {
    if version.marker {
        return None;
    }
    let large = version.size >= TRANSITION_BYTES_MIN;
    let may = due
        .filter(|(rule, class)| (large || rule.filter.names_size()) && class_may_become(&version.class, class))
        .map(|(_, class)| class);
    let last = may.max_by_key(|class| WATERFALL.iter().position(|known| known == class));
    last.map(|class| Action::Transition(class.to_owned()))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;

//! Which objects of a bucket are brought into other buckets, too
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketReplication.html>).

mod check;
mod destination;
mod read;

pub use destination::{BucketArn, Destination};

use crate::document::malformed;
use crate::lifecycle::Filter;
use crate::{Document, ids};
use mallee_awswire::xml_read::Element;
use mallee_awswire::{ApiError, Code, XmlWriter};
use std::collections::{BTreeMap, HashMap};

/// Rules of one bucket.
pub const REPLICATION_RULES_MAX: usize = 1000;

/// The replication of a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replication {
    /// ARN of the role that reads here and writes there.
    pub role: String,
    /// In the order they were given.
    pub rules: Vec<ReplicationRule>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicationRule {
    /// Unique within the bucket.
    pub id: String,
    /// Of several rules for one object and destination the one with the largest counts. `None`: a rule of the first form.
    pub priority: Option<u32>,
    /// Disabled rules are kept, and do nothing.
    pub enabled: bool,
    /// What it is about.
    pub filter: Filter,
    /// Whether delete markers go along (in the first form they always do).
    pub delete_markers: bool,
    /// Whether what is changed of a replica later is brought back; `None`: it was not said.
    pub replica_modifications: Option<bool>,
    /// It was said that objects under keys of KMS are not replicated, which is so anyway.
    pub says_no_kms: bool,
    /// It was said that what was there before is not replicated, which is so anyway.
    pub says_no_existing: bool,
    /// Where to.
    pub destination: Destination,
}

impl ReplicationRule {
    /// Whether it is of the first form, which had no filters.
    #[must_use]
    pub const fn is_first_form(&self) -> bool {
        self.priority.is_none()
    }
}

impl Replication {
    /// The rules that count for an object with these tags: one for each destination.
    #[must_use]
    pub fn of_object(&self, key: &str, tags: &BTreeMap<String, String>) -> Vec<&ReplicationRule> {
        self.counting(|rule| rule.filter.is_about(key, 0, tags))
    }

    /// The rules that bring a delete marker of this key along.
    #[must_use]
    pub fn of_marker(&self, key: &str) -> Vec<&ReplicationRule> {
        let mut rules = self.counting(|rule| !rule.filter.is_about_objects() && rule.filter.is_about_key(key));
        rules.retain(|rule| rule.delete_markers);
        rules
    }

    /// The rule that brings an object to a destination: the one that counts, else, for one whose tags have changed since,
    /// any that names the destination.
    #[must_use]
    pub fn to(
        &self,
        destination: &str,
        key: &str,
        tags: Option<&BTreeMap<String, String>>,
    ) -> Option<&ReplicationRule> {
        let is_to = |rule: &&ReplicationRule| rule.enabled && rule.destination.bucket.to_string() == destination;
        let counting = tags.map_or_else(|| self.of_marker(key), |tags| self.of_object(key, tags));
        counting.into_iter().find(is_to).or_else(|| self.rules.iter().find(is_to))
    }

    fn counting(&self, is_about: impl Fn(&ReplicationRule) -> bool) -> Vec<&ReplicationRule> {
        let mut first: HashMap<&BucketArn, usize> = HashMap::new();
        let mut found: Vec<&ReplicationRule> = Vec::new();
        for rule in self.rules.iter().filter(|rule| rule.enabled && is_about(rule)) {
            match first.get(&rule.destination.bucket).and_then(|at| found.get_mut(*at)) {
                Some(other) if other.priority < rule.priority => *other = rule,
                Some(_) => {}
                None => {
                    first.insert(&rule.destination.bucket, found.len());
                    found.push(rule);
                }
            }
        }
        found
    }
}

fn not_implemented(feature: &str) -> ApiError {
    Code::NotImplemented
        .message(format!("{feature} is not implemented by this object store."))
        .field("Feature", feature.to_owned())
}

impl Document for Replication {
    const KIND: &'static str = "replication";
    const ROOT: &'static str = "ReplicationConfiguration";
    const BYTES_MAX: usize = 2 << 20;
    const ELEMENTS_MAX: usize = 100_000;
    const MUST_HASH: bool = true;

    fn read(root: &Element) -> Result<Self, ApiError> {
        let mut this = Self::default();
        for child in &root.children {
            match child.name.as_str() {
                "Role" if this.role.is_empty() => child.text.trim().clone_into(&mut this.role),
                "Rule" => this.rules.push(read::rule(child)?),
                _ => return Err(malformed()),
            }
        }
        if this.role.is_empty() || this.rules.is_empty() {
            return Err(malformed());
        }
        ids::fill(this.rules.iter_mut().map(|rule| &mut rule.id), "rule");
        check::check(&this)?;
        Ok(this)
    }

    fn write(&self, w: &mut XmlWriter) {
        w.text("Role", &self.role);
        for rule in &self.rules {
            w.open("Rule");
            w.text("ID", &rule.id);
            if let Some(priority) = rule.priority {
                w.display("Priority", priority);
            }
            rule.filter.write(w);
            w.text("Status", status(rule.enabled));
            if rule.says_no_kms || rule.replica_modifications.is_some() {
                w.open("SourceSelectionCriteria");
                if rule.says_no_kms {
                    write_status(w, "SseKmsEncryptedObjects", false);
                }
                if let Some(is) = rule.replica_modifications {
                    write_status(w, "ReplicaModifications", is);
                }
                w.close("SourceSelectionCriteria");
            }
            if rule.says_no_existing {
                write_status(w, "ExistingObjectReplication", false);
            }
            rule.destination.write(w);
            if !rule.is_first_form() {
                write_status(w, "DeleteMarkerReplication", rule.delete_markers);
            }
            w.close("Rule");
        }
    }
}

const fn status(enabled: bool) -> &'static str {
    if enabled { "Enabled" } else { "Disabled" }
}

fn write_status(w: &mut XmlWriter, element: &str, enabled: bool) {
    w.open(element);
    w.text("Status", status(enabled));
    w.close(element);
}

#[cfg(test)]
mod tests;

//! Reading a rule. What can be seen in one value is checked here, what goes beyond in `check`.

use super::{Destination, ReplicationRule, malformed, not_implemented};
use crate::lifecycle::{Filter, RULE_ID_CHARS_MAX};
use mallee_awswire::xml_read::Element;
use mallee_awswire::{ApiError, Code};

/// Most of a priority.
const PRIORITY_MAX: u32 = i32::MAX.unsigned_abs();

/// The `Status` of an element. (What else may stand beside it says how, where it is enabled.)
pub(super) fn status(element: &Element) -> Result<bool, ApiError> {
    match element.child_text("Status").map(str::trim) {
        Some("Enabled") => Ok(true),
        Some("Disabled") => Ok(false),
        _ => Err(malformed()),
    }
}

fn invalid_request(text: &'static str) -> ApiError {
    Code::InvalidRequest.message(text)
}

pub(super) fn rule(element: &Element) -> Result<ReplicationRule, ApiError> {
    let (mut id, mut priority, mut markers, mut filter, mut old) = (String::new(), None, None, None, None);
    let (mut destination, mut says_no_existing) = (None, false);
    let (mut replica_modifications, mut says_no_kms) = (None, false);
    for child in &element.children {
        match child.name.as_str() {
            "ID" => id.clone_from(&child.text),
            "Priority" if priority.is_none() => {
                let number = child.text.trim().parse::<u32>().ok().filter(|n| *n <= PRIORITY_MAX);
                priority = Some(number.ok_or_else(malformed)?);
            }
            "Prefix" if old.is_none() => old = Some(Filter::of_prefix(&child.text)?),
            "Filter" if filter.is_none() => filter = Some(Filter::read(child)?),
            "Status" => {}
            "SourceSelectionCriteria" => {
                for criterion in &child.children {
                    match (criterion.name.as_str(), status(criterion)?) {
                        ("SseKmsEncryptedObjects", false) => says_no_kms = true,
                        ("SseKmsEncryptedObjects", true) => {
                            return Err(not_implemented("Replication of objects under keys of KMS"));
                        }
                        ("ReplicaModifications", is) => replica_modifications = Some(is),
                        _ => return Err(malformed()),
                    }
                }
            }
            "ExistingObjectReplication" => match status(child)? {
                true => return Err(not_implemented("Replication of objects that were there before")),
                false => says_no_existing = true,
            },
            "Destination" if destination.is_none() => destination = Some(Destination::read(child)?),
            "DeleteMarkerReplication" if markers.is_none() => markers = Some(status(child)?),
            _ => return Err(malformed()),
        }
    }
    let enabled = status(element)?;
    let destination = destination.ok_or_else(malformed)?;
    if id.chars().count() > RULE_ID_CHARS_MAX {
        return Err(Code::InvalidArgument.message("ID length should not exceed allowed limit of 255"));
    }
    let (filter, priority, delete_markers) = match (filter, old) {
        (Some(_), Some(_)) | (None, None) => return Err(malformed()),
        (None, Some(prefix)) => {
            if priority.is_some() || markers.is_some() {
                return Err(invalid_request(
                    "Filter must be specified for this version of Cross Region Replication configuration schema. Please \
                     refer to S3 Developer Guide for more information.",
                ));
            }
            (prefix, None, true)
        }
        (Some(filter), None) => {
            if filter.names_size() {
                return Err(malformed());
            }
            let markers = markers.ok_or_else(|| {
                invalid_request(
                    "DeleteMarkerReplication must be specified for this version of Cross Region Replication configuration \
                     schema. Please refer to S3 Developer Guide for more information.",
                )
            })?;
            if priority.is_none() {
                return Err(invalid_request(
                    "Priority must be specified for this version of Cross Region Replication configuration schema. Please \
                     refer to S3 Developer Guide for more information.",
                ));
            }
            if markers && filter.is_about_objects() {
                return Err(invalid_request(
                    "Delete marker replication is not supported if any Tag filter is specified. Please refer to S3 \
                     Developer Guide for more information.",
                ));
            }
            (filter, priority, markers)
        }
    };
    Ok(ReplicationRule {
        id,
        priority,
        enabled,
        filter,
        delete_markers,
        replica_modifications,
        says_no_kms,
        says_no_existing,
        destination,
    })
}

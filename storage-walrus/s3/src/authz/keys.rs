//! The condition keys of S3 that follow from a request.

use super::Keys;
use crate::asked::{Asked, COPY_SOURCE, Source};
use crate::headers::text;
use crate::operation::{Operation, Scope};
use crate::ops::copy;
use crate::props::lock;
use http::HeaderMap;
use mallee_awswire::sigv4::{Claim, Placement, SignatureVersion};
use mallee_objects::Tags;
use mallee_objects::crypt::Encryption;
use mallee_s3_config::Tagging;
use percent_encoding::percent_decode_str;

/// Headers whose values are those of the condition key of the same name (`s3:` before it).
const HEADERS: &[&str] = &[
    "x-amz-acl",
    "x-amz-content-sha256",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
    "x-amz-metadata-directive",
    "x-amz-object-ownership",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
    IF_MATCH,
    "if-none-match",
];
pub(super) const IF_MATCH: &str = "if-match";
const LOCK_MODE: &str = "s3:object-lock-mode";
const LOCK_UNTIL: &str = "s3:object-lock-retain-until-date";
const LOCK_DAYS: &str = "s3:object-lock-remaining-retention-days";
const LEGAL_HOLD: &str = "s3:object-lock-legal-hold";
const LOCATION: &str = "s3:LocationConstraint";
const INVENTORY_FIELDS: &str = "s3:InventoryAccessibleOptionalFields";
const CREATES: &str = "s3:ObjectCreationOperation";
const TAG_KEYS: &str = "s3:RequestObjectTagKeys";
const VERSION_ID: &str = "s3:VersionId";
const DAY_MS: i64 = 86_400_000;
/// Parameters of listings.
const OF_LISTS: &[&str] = &["prefix", "delimiter", "max-keys"];
/// Keys whose names are no header's and no parameter's.
const NAMED: &[&str] = &[
    "s3:authType",
    "s3:signatureAge",
    "s3:signatureversion",
    "s3:ResourceAccount",
    "s3:x-amz-copy-source",
    LOCK_MODE,
    LOCK_UNTIL,
    LOCK_DAYS,
    LEGAL_HOLD,
    LOCATION,
    INVENTORY_FIELDS,
    CREATES,
    TAG_KEYS,
    VERSION_ID,
];
/// Beginnings of keys that end with the name of a tag.
const TAGGED: &[&str] = &["s3:requestobjecttag/", "s3:existingobjecttag/"];
/// Tags that are looked at.
const TAGS_MAX: usize = 50;

/// Whether a condition key of S3 has a value in requests to which it applies. What a policy says of one that has none
/// would never come true: a `Deny` would be none.
pub(super) fn provides(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let short = key.strip_prefix("s3:").unwrap_or(&key);
    HEADERS.contains(&short)
        || OF_LISTS.contains(&short)
        || NAMED.iter().any(|named| named.eq_ignore_ascii_case(&key))
        || TAGGED.iter().any(|start| key.strip_prefix(start).is_some_and(|tag| !tag.is_empty()))
}

fn one(name: &str, value: impl Into<String>) -> (String, Vec<String>) {
    (name.to_owned(), vec![value.into()])
}

/// The keys of all questions of a request, asked at a time.
pub(super) fn of(asked: &Asked, headers: &HeaderMap, claim: Option<&Claim>, now_ms: i64) -> Keys {
    let mut keys = claim.map_or_else(Keys::new, |claim| of_claim(claim, now_ms));
    let operation = asked.operation();
    let row = operation.row();
    if row.scope == Scope::Bucket {
        for name in OF_LISTS {
            if let Some(value) = asked.query.get(name) {
                keys.push(one(&format!("s3:{name}"), value));
            }
        }
    }
    if row.scope == Scope::Object
        && let Some(version) = asked.query.get("versionId")
    {
        keys.push(one(VERSION_ID, version));
    }
    for name in HEADERS {
        // In a batch each object has a condition of its own: a header means none of them.
        let counts = operation != Operation::DeleteObjects || !name.starts_with("if-");
        if let Some(value) = text(headers, name).filter(|_| counts) {
            keys.push(one(&format!("s3:{name}"), value));
        }
    }
    keys.extend(of_retention(text(headers, lock::MODE), text(headers, lock::UNTIL), now_ms));
    keys.extend(text(headers, lock::LEGAL_HOLD).map(|status| one(LEGAL_HOLD, status)));
    keys.extend(creates_object(operation).map(|creates| one(CREATES, creates.to_string())));
    if let Some(Source { bucket, key, .. }) = &asked.source {
        // Policies are written with and without the slash that the header may begin with.
        let both = vec![format!("{bucket}/{key}"), format!("/{bucket}/{key}")];
        keys.push((format!("s3:{COPY_SOURCE}"), both));
    }
    // A copy that keeps its source's tags passes by those of the header.
    let tagging = text(headers, "x-amz-tagging").filter(|_| !copy::keeps_tags(asked, headers));
    if let Some(tagging) = tagging.filter(|tags| !tags.is_empty()) {
        keys.extend(of_tags(tagging.split('&').map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })));
    }
    keys
}

/// What is said of the signature. (The cloud says it too, of requests to all services; of a form only S3 knows.)
fn of_claim(claim: &Claim, now_ms: i64) -> Keys {
    let kind = match claim.placement {
        Placement::Header => "REST-HEADER",
        Placement::Query { .. } => "REST-QUERY-STRING",
        Placement::Form => "POST",
    };
    let version = match claim.version {
        SignatureVersion::V2 => "AWS",
        SignatureVersion::V4 => "AWS4-HMAC-SHA256",
    };
    let mut keys = vec![one("s3:authType", kind), one("s3:signatureversion", version)];
    if let Some(at) = claim.signed_at() {
        let age = now_ms.saturating_sub(at.unix_timestamp().saturating_mul(1000)).max(0);
        keys.push(one("s3:signatureAge", age.to_string()));
    }
    keys
}

/// Whether a write makes an object, as far as AWS asks that: parts of an upload do not, its completion does.
const fn creates_object(operation: Operation) -> Option<bool> {
    match operation {
        Operation::PutObject | Operation::PostObject | Operation::CopyObject | Operation::CompleteMultipartUpload => {
            Some(true)
        }
        Operation::CreateMultipartUpload | Operation::UploadPart | Operation::UploadPartCopy => Some(false),
        _ => None,
    }
}

/// The keys of a retention, as it is written. Days that have begun count as whole ones.
pub(super) fn of_retention(mode: Option<&str>, until: Option<&str>, now_ms: i64) -> Keys {
    let mut keys: Keys = mode.map(|mode| one(LOCK_MODE, mode)).into_iter().collect();
    // What is no date is refused by the handler.
    if let Some(until_ms) = until.and_then(lock::until) {
        let left_ms = until_ms.saturating_sub(now_ms);
        let days = left_ms.div_euclid(DAY_MS) + i64::from(left_ms.rem_euclid(DAY_MS) > 0);
        keys.push(one(LOCK_UNTIL, lock::date(until_ms)));
        keys.push(one(LOCK_DAYS, days.to_string()));
    }
    keys
}

/// The key of a legal hold.
pub(super) fn of_legal_hold(status: &str) -> Keys {
    vec![one(LEGAL_HOLD, status)]
}

/// The key of the place that a new bucket is to have.
pub(super) fn of_location(location: &str) -> Keys {
    vec![one(LOCATION, location)]
}

/// The key of the fields that an inventory is to have besides those that all have.
pub(super) fn of_inventory(fields: Vec<String>) -> Keys {
    if fields.is_empty() { Keys::new() } else { vec![(INVENTORY_FIELDS.to_owned(), fields)] }
}

/// The keys of what is written as encrypted as this says, by a request that asks for it.
pub(crate) fn of_encryption(encryption: Option<&Encryption>) -> Keys {
    let algorithm = |name| vec![one(name, "AES256")];
    match encryption {
        Some(Encryption::Store { .. }) => algorithm("s3:x-amz-server-side-encryption"),
        Some(Encryption::Customer { .. }) => algorithm("s3:x-amz-server-side-encryption-customer-algorithm"),
        Some(Encryption::Kms(sealed)) => vec![
            one("s3:x-amz-server-side-encryption", "aws:kms"),
            one("s3:x-amz-server-side-encryption-aws-kms-key-id", sealed.key.as_str()),
        ],
        None => Keys::new(),
    }
}

/// The keys of an object that a batch is to delete.
pub(super) fn of_deleted(version: Option<&str>, etag: Option<&str>) -> Keys {
    let version = version.map(|id| one(VERSION_ID, id));
    version.into_iter().chain(etag.map(|tag| one(&format!("s3:{IF_MATCH}"), tag))).collect()
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// The keys of tags that a request brings.
pub(super) fn of_tags(tags: impl Iterator<Item = (String, String)>) -> Keys {
    let tags: Vec<(String, String)> = tags.take(TAGS_MAX).collect();
    if tags.is_empty() {
        return Keys::new();
    }
    let names = tags.iter().map(|(name, _)| name.clone()).collect();
    let mut keys: Keys = vec![(TAG_KEYS.to_owned(), names)];
    keys.extend(tags.into_iter().map(|(name, value)| (format!("s3:RequestObjectTag/{name}"), vec![value])));
    keys
}

/// The keys of tags that a new bucket is to have.
pub(super) fn of_bucket_tags(tagging: &Tagging) -> Keys {
    let names: Vec<String> = tagging.tags.keys().cloned().collect();
    if names.is_empty() {
        return Keys::new();
    }
    let mut keys: Keys = vec![("aws:TagKeys".to_owned(), names)];
    keys.extend(tagging.tags.iter().map(|(name, value)| one(&format!("aws:RequestTag/{name}"), value.as_str())));
    keys
}

/// The keys of tags that an object has.
pub(crate) fn of_object_tags(tags: &Tags) -> Keys {
    tags.iter().map(|(name, value)| one(&format!("s3:ExistingObjectTag/{name}"), value.as_str())).collect()
}

#[cfg(test)]
mod tests;

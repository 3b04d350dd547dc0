//! The condition keys of S3 that follow from a request.

use super::Keys;
use crate::asked::{Asked, COPY_SOURCE, Source};
use crate::headers::text;
use crate::operation::Scope;
use http::HeaderMap;
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
    "if-match",
    "if-none-match",
];
/// Headers whose condition keys have shorter names.
const LOCKS: &[(&str, &str)] = &[
    ("x-amz-object-lock-mode", "s3:object-lock-mode"),
    ("x-amz-object-lock-retain-until-date", "s3:object-lock-retain-until-date"),
    ("x-amz-object-lock-legal-hold", "s3:object-lock-legal-hold"),
];
/// Parameters of listings.
const OF_LISTS: &[&str] = &["prefix", "delimiter", "max-keys"];
/// Tags that are looked at.
const TAGS_MAX: usize = 50;

/// The keys of all questions of a request.
pub(super) fn of(asked: &Asked, headers: &HeaderMap) -> Keys {
    let mut keys = Keys::new();
    let mut add = |name: String, value: &str| keys.push((name, vec![value.to_owned()]));
    let row = asked.operation().row();
    if row.scope == Scope::Bucket {
        for name in OF_LISTS {
            if let Some(value) = asked.query.get(name) {
                add(format!("s3:{name}"), value);
            }
        }
    }
    if row.scope == Scope::Object
        && let Some(version) = asked.query.get("versionId")
    {
        add("s3:VersionId".to_owned(), version);
    }
    for name in HEADERS {
        if let Some(value) = text(headers, name) {
            add(format!("s3:{name}"), value);
        }
    }
    for (header, key) in LOCKS {
        if let Some(value) = text(headers, header) {
            add((*key).to_owned(), value);
        }
    }
    if let Some(Source { bucket, key, .. }) = &asked.source {
        // Policies are written with and without the slash that the header may begin with.
        let both = vec![format!("{bucket}/{key}"), format!("/{bucket}/{key}")];
        keys.push((format!("s3:{COPY_SOURCE}"), both));
    }
    if let Some(tagging) = text(headers, "x-amz-tagging").filter(|tags| !tags.is_empty()) {
        keys.extend(of_tags(tagging.split('&').map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })));
    }
    keys
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
    let mut keys: Keys = vec![("s3:RequestObjectTagKeys".to_owned(), names)];
    keys.extend(tags.into_iter().map(|(name, value)| (format!("s3:RequestObjectTag/{name}"), vec![value])));
    keys
}

/// The keys of tags that an object has.
pub(crate) fn of_object_tags(tags: impl Iterator<Item = (String, String)>) -> Keys {
    tags.map(|(name, value)| (format!("s3:ExistingObjectTag/{name}"), vec![value])).collect()
}

//! What the engine stores. Times are milliseconds since 1970, sizes are bytes, keys are UTF-8 and sorted by their bytes.

use crate::blob::{BlobId, Level};
use crate::documents::Documents;
use crate::properties::Properties;
use crate::version::{VersionId, Versioning};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its number, which no other bucket ever has; 0 until it is made.
    pub id: i64,
    /// Its name, unique in the whole store.
    pub name: String,
    /// The account that owns it.
    pub account: String,
    /// The region it was created for.
    pub region: String,
    /// When.
    pub created_ms: i64,
    /// Whether older versions of its objects are kept.
    pub versioning: Versioning,
    /// Grows with every change of the bucket or of its documents.
    pub rev: u64,
    /// What is configured of it. Listings of buckets leave them out.
    pub docs: Documents,
}

impl Bucket {
    /// What an answer to a write into it means.
    #[must_use]
    pub fn level(&self) -> Level {
        self.docs.level()
    }
}

/// An account as S3 names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The account.
    pub account: String,
    /// Its canonical id, which no other account has.
    pub canonical_id: String,
    /// Its display name.
    pub display_name: String,
    /// Its e-mail address, if one is known.
    pub email: Option<String>,
}

impl Owner {
    /// The names of an account that was given no others.
    #[must_use]
    pub fn of(account: &str) -> Self {
        let hash = Sha256::digest(format!("mallee canonical {account}"));
        Self {
            account: account.to_owned(),
            canonical_id: hex::encode(hash),
            display_name: account.to_owned(),
            email: None,
        }
    }
}

/// By what an account is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerName<'a> {
    /// Its number.
    Account(&'a str),
    /// Its canonical id.
    Canonical(&'a str),
    /// Its e-mail address: more than one may have it.
    Email(&'a str),
}

/// What a bucket holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Objects that a listing shows.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// All versions, with delete markers.
    pub versions: u64,
    /// Their bytes.
    pub version_bytes: u64,
    /// Bytes of parts of uploads that are not complete.
    pub part_bytes: u64,
}

/// Headers that are stored with an object and given back with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// System headers (`cache-control`, `content-encoding`, …) in lower case, without `content-type`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub system: BTreeMap<String, String>,
    /// User metadata, names in lower case and without the `x-amz-meta-` prefix.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub user: BTreeMap<String, String>,
}

/// Checksums by algorithm name (`CRC32`, `SHA256`, …), base64, and whether they cover the whole object or its parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checksums {
    /// True for a checksum of the parts' checksums (`COMPOSITE`), false for one over the bytes (`FULL_OBJECT`).
    pub composite: bool,
    /// Algorithm to value.
    pub values: BTreeMap<String, String>,
}

impl Checksums {
    /// The text form for the metadata store: `F CRC32=… SHA1=…`; empty if there is no value.
    #[must_use]
    pub fn to_text(&self) -> String {
        if self.values.is_empty() {
            return String::new();
        }
        let mut out = String::from(if self.composite { "C" } else { "F" });
        for (name, value) in &self.values {
            out.push(' ');
            out.push_str(name);
            out.push('=');
            out.push_str(value);
        }
        out
    }

    /// Reads the text form back; words that are no `name=value` are dropped.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let mut words = text.split_ascii_whitespace();
        let composite = words.next() == Some("C");
        let values = words.filter_map(|w| w.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        Self { composite, values }
    }
}

/// Everything about an object except where its bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// The key.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
    /// Entity tag, without quotes.
    pub etag: String,
    /// When it was written.
    pub created_ms: i64,
    /// Names this very write; never repeats.
    pub write_id: String,
    /// Which version of its key it is.
    pub version: VersionId,
    /// `Content-Type`.
    pub content_type: String,
    /// Other stored headers.
    pub attributes: Attributes,
    /// Checksums that were given or computed.
    pub checksums: Checksums,
    /// What else is said of it, and may change.
    pub properties: Properties,
    /// The upload that it was completed from, so that a repeated completion finds its own result.
    pub upload: Option<String>,
}

/// Where the bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// In the metadata row.
    Inline(Bytes),
    /// In one blob.
    Blob(BlobId),
    /// In the parts of a completed upload, in order.
    Parts(Vec<Part>),
}

impl Content {
    /// The blobs referred to, one entry for each reference.
    #[must_use]
    pub fn blobs(&self) -> Vec<&BlobId> {
        match self {
            Self::Inline(_) => Vec::new(),
            Self::Blob(id) => vec![id],
            Self::Parts(parts) => parts.iter().map(|p| &p.blob).collect(),
        }
    }
}

/// An object with the place of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its description.
    pub info: ObjectInfo,
    /// Its bytes.
    pub content: Content,
}

/// A delete marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// Which version of its key it is.
    pub version: VersionId,
    /// When it was written.
    pub created_ms: i64,
}

/// What is found under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time, and nearly always the large one")]
pub enum Found {
    /// An object.
    Object(Object),
    /// A delete marker.
    Marker(Marker),
}

impl Found {
    /// The object, unless it is a marker.
    #[must_use]
    pub fn object(self) -> Option<Object> {
        match self {
            Self::Object(object) => Some(object),
            Self::Marker(_) => None,
        }
    }
}

/// One part, of an upload or of a completed object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// 1 to 10,000.
    pub number: u32,
    /// Size in bytes.
    pub size: u64,
    /// MD5 in hex (empty in parts of completed objects, where nothing reads it).
    pub etag: String,
    /// Its bytes.
    pub blob: BlobId,
    /// Checksums that were given or computed.
    pub checksums: Checksums,
    /// When it was uploaded (0 in parts of completed objects).
    pub created_ms: i64,
}

impl Part {
    /// Its checksums as a part of a completed object: of the object's own kind. A part may have another one, from which
    /// that was made up.
    #[must_use]
    pub fn checksums_within(&self, whole: &Checksums) -> Checksums {
        let mut own = Checksums { composite: whole.composite, ..self.checksums.clone() };
        own.values.retain(|name, _| whole.values.contains_key(name));
        own
    }
}

/// A row of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The key.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
    /// Entity tag, without quotes.
    pub etag: String,
    /// When it was written.
    pub created_ms: i64,
    /// Storage class.
    pub class: String,
    /// The account that owns it.
    pub owner: String,
    /// Its checksums.
    pub checksums: Checksums,
}

/// An entry of a listing with a delimiter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListEntry {
    /// An object.
    Object(Listed),
    /// A common prefix.
    Prefix(String),
}

/// A row of a listing of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedVersion {
    /// What a listing of objects would show of it (of a marker: without size, tag and checksums).
    pub listed: Listed,
    /// Which version of the key it is.
    pub version: VersionId,
    /// It is what the key stands for.
    pub latest: bool,
    /// It is a delete marker.
    pub marker: bool,
}

/// A multipart upload under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its id.
    pub id: String,
    /// The bucket.
    pub bucket: String,
    /// The key that its completion will write.
    pub key: String,
    /// Who started it.
    pub account: String,
    /// When.
    pub created_ms: i64,
    /// What the completed object will carry.
    pub doc: UploadDoc,
}

/// The part of an upload that is stored as one document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadDoc {
    /// `Content-Type`.
    pub content_type: String,
    /// Other stored headers.
    pub attributes: Attributes,
    /// The checksum algorithm announced for the parts, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum_algorithm: Option<String>,
    /// True if the completed object's checksum is the checksum of the parts' checksums.
    #[serde(default)]
    pub composite: bool,
    /// What else will be said of the object.
    #[serde(default)]
    pub properties: Properties,
}

/// A write of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutObject {
    /// Into which bucket.
    pub bucket: String,
    /// The object.
    pub object: Object,
    /// A blob of its content that has no row yet; the others must have one.
    pub new_blob: Option<(BlobId, u64)>,
    /// What has no retention of its own gets the default one of the bucket, as that is when it is written.
    pub retain_by_default: bool,
}

/// What must hold for a write to take place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    #[default]
    None,
    /// No object under the key (`If-None-Match: *`).
    Absent,
    /// An object under the key (`If-Match: *`).
    Present,
    /// The object under the key has this entity tag (`If-Match`).
    Etag(String),
}

/// A disk image in the image store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// SHA-256 of its bytes, hex.
    pub digest: String,
    /// `qcow2` or `raw`.
    pub format: String,
    /// Size of the file.
    pub size: u64,
    /// Size of the disk the guest sees.
    pub virtual_size: u64,
    /// When it was first imported.
    pub created_ms: i64,
    /// Its bytes.
    pub blob: BlobId,
    /// Who keeps it, sorted.
    pub holders: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_read_back() {
        let mut sums = Checksums { composite: true, ..Checksums::default() };
        sums.values.insert("CRC32".into(), "AAAAAA==".into());
        sums.values.insert("SHA1".into(), "x/+=".into());
        assert_eq!(Checksums::from_text(&sums.to_text()), sums);
        assert_eq!(Checksums::from_text(""), Checksums::default());
    }
}

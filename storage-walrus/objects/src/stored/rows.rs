//! Between the database's rows and the engine's values.

use crate::blob::BlobId;
use crate::documents::Documents;
use crate::error::Error;
use crate::metadata::{Deletion, Place};
use crate::model::{
    Attributes, Bucket, Checksums, Content, Listed, ListedVersion, ObjectInfo, Owner, Part, Upload, Usage,
};
use crate::properties::{LockMode, Properties, Retention, Tags};
use crate::version::{DeleteIf, Deleted, VersionId, VersionName, Versioning, Which};
use bytes::Bytes;
use mallee_store::{
    S3_COMPLIANCE, S3_GOVERNANCE, S3BucketDocRow, S3BucketRow, S3ClassUsage, S3DeleteIf, S3Deleted, S3Deletion,
    S3ListFrom, S3ListedRow, S3ListedVersionRow, S3OwnerRow, S3PartRow, S3PieceRow, S3Target, S3UploadRow, S3Usage,
    S3VersionRow, S3Versioning, S3Which, StoreError,
};
use mallee_types::AccountId;

/// Texts of an error and its causes, for the log.
pub(super) fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable(_) => Self::Uncertain(chain(&error)),
            StoreError::Full(_) => Self::Full("the database".to_owned()),
            _ => Self::Metadata(chain(&error)),
        }
    }
}

/// `None` for a row that is not there.
pub(super) fn found<T>(result: Result<T, StoreError>) -> Result<Option<T>, Error> {
    match result {
        Ok(row) => Ok(Some(row)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What a missing row means for a write that refers to blobs.
pub(super) fn or_gone<T>(result: Result<T, StoreError>) -> Result<T, Error> {
    found(result)?.ok_or(Error::Gone)
}

pub(super) fn account(text: &str) -> Result<AccountId, Error> {
    text.parse().map_err(|e: mallee_types::IdError| Error::Metadata(e.to_string()))
}

pub(super) fn blob(text: &str) -> Result<BlobId, Error> {
    BlobId::parse(text).ok_or_else(|| Error::Corrupt(format!("{text:?} is no blob id")))
}

/// The blobs that a content refers to, one entry for each reference.
pub(super) fn blob_texts(content: &Content) -> Vec<String> {
    content.blobs().into_iter().map(|id| id.as_str().to_owned()).collect()
}

pub(super) fn rows(limit: usize) -> u32 {
    u32::try_from(limit).unwrap_or(u32::MAX)
}

/// A bucket, without its documents.
pub(super) fn bucket(row: S3BucketRow) -> Bucket {
    Bucket {
        id: row.id,
        name: row.name,
        account: row.account_id.into(),
        region: row.region,
        created_ms: row.created_ms,
        versioning: match row.versioning {
            S3Versioning::Off => Versioning::Off,
            S3Versioning::Enabled => Versioning::Enabled,
            S3Versioning::Suspended => Versioning::Suspended,
        },
        rev: row.rev,
        docs: Documents::default(),
    }
}

pub(super) const fn versioning_text(versioning: Versioning) -> S3Versioning {
    match versioning {
        Versioning::Off => S3Versioning::Off,
        Versioning::Enabled => S3Versioning::Enabled,
        Versioning::Suspended => S3Versioning::Suspended,
    }
}

pub(super) fn usage(sum: S3Usage) -> Usage {
    let count = |n: i64| u64::try_from(n).unwrap_or_default();
    Usage {
        objects: count(sum.objects),
        bytes: count(sum.bytes),
        versions: count(sum.versions),
        version_bytes: count(sum.version_bytes),
        part_bytes: count(sum.part_bytes),
    }
}

/// What a bucket holds of a class, unless it is nothing.
pub(super) fn class_usage(of: S3ClassUsage) -> Option<(String, Usage)> {
    let S3ClassUsage { class, objects, bytes, versions, version_bytes, part_bytes } = of;
    let usage = usage(S3Usage { objects, bytes, versions, version_bytes, part_bytes });
    (usage != Usage::default()).then_some((class, usage))
}

pub(super) fn deletion(deletion: &Deletion) -> S3Deletion {
    let target = match deletion.delete.version {
        None => S3Target::Key,
        Some(VersionName::Null) => S3Target::Null,
        Some(VersionName::Id(id)) => S3Target::Id { rank: id.rank, vid: id.random },
    };
    let DeleteIf { etag, modified_ms, size } = deletion.delete.only_if.clone();
    S3Deletion {
        key: deletion.delete.key.clone(),
        target,
        only_if: S3DeleteIf { etag, modified_ms, size_bytes: size },
        bypass_governance: deletion.delete.bypass_governance,
        write_id: deletion.write_id.clone(),
        vid: deletion.random,
        only: deletion.only.clone(),
    }
}

pub(super) const fn deleted(done: S3Deleted) -> Deleted {
    match done {
        S3Deleted::Nothing => Deleted::Nothing,
        S3Deleted::Removed { rank, vid, marker } => {
            Deleted::Removed { version: VersionId { rank, random: vid }, marker }
        }
        S3Deleted::Marked { rank, vid } => Deleted::Marked(VersionId { rank, random: vid }),
        S3Deleted::Locked => Deleted::Locked,
        S3Deleted::Unmet => Deleted::Unmet,
    }
}

pub(super) fn listed(row: S3ListedRow) -> Listed {
    Listed {
        key: row.key.0,
        size: row.size_bytes,
        etag: row.etag,
        created_ms: row.modified_ms,
        class: row.class,
        owner: row.owner.into(),
        checksums: Checksums::from_text(&row.checksums),
    }
}

pub(super) fn listed_version(row: S3ListedVersionRow) -> ListedVersion {
    let S3ListedVersionRow { key, rank, vid, latest, marker, size_bytes, etag, modified_ms, class, owner, checksums } =
        row;
    ListedVersion {
        listed: listed(S3ListedRow { key, size_bytes, etag, modified_ms, class, owner, checksums }),
        version: VersionId { rank, random: vid },
        latest,
        marker,
    }
}

/// Everything about an object except where its bytes are.
pub(super) fn info(row: S3VersionRow) -> Result<ObjectInfo, Error> {
    let attributes: Attributes = document(&row.headers, "object's headers")?;
    let properties = properties(&row)?;
    Ok(ObjectInfo {
        key: row.key.0,
        size: row.size_bytes,
        etag: row.etag,
        created_ms: row.modified_ms,
        write_id: row.write_id,
        version: VersionId { rank: row.rank, random: row.vid },
        content_type: row.content_type,
        attributes,
        checksums: Checksums::from_text(&row.checksums),
        properties,
        upload: row.upload_id,
    })
}

fn properties(row: &S3VersionRow) -> Result<Properties, Error> {
    let retention = match (row.lock_mode.as_deref(), row.lock_until_ms) {
        (Some(S3_GOVERNANCE), Some(until_ms)) => Some(Retention { mode: LockMode::Governance, until_ms }),
        (Some(S3_COMPLIANCE), Some(until_ms)) => Some(Retention { mode: LockMode::Compliance, until_ms }),
        (None, None) => None,
        // Never read as "not locked".
        (mode, _) => return Err(Error::Corrupt(format!("the lock {mode:?} of an object"))),
    };
    Ok(Properties {
        class: row.class.clone(),
        owner: Some(row.owner.to_string()),
        tags: if row.tags.is_empty() { Tags::new() } else { document(&row.tags, "object's tags")? },
        acl: row.acl.clone(),
        retention,
        legal_hold: row.legal_hold,
        hold_known: row.hold_known,
        encryption: row.enc.clone(),
        replication: row.repl.clone(),
    })
}

/// Writes properties into a row; its owner stays where none is named.
pub(super) fn set_properties(row: &mut S3VersionRow, properties: &Properties) -> Result<(), Error> {
    let Properties { class, owner, tags, acl, retention, legal_hold, hold_known, encryption, replication } = properties;
    row.class.clone_from(class);
    if let Some(owner) = owner {
        row.owner = account(owner)?;
    }
    row.tags = if tags.is_empty() { String::new() } else { to_document(tags)? };
    row.acl.clone_from(acl);
    row.lock_mode = retention.map(|retention| match retention.mode {
        LockMode::Governance => S3_GOVERNANCE.to_owned(),
        LockMode::Compliance => S3_COMPLIANCE.to_owned(),
    });
    row.lock_until_ms = retention.map(|retention| retention.until_ms);
    row.legal_hold = *legal_hold;
    row.hold_known = *hold_known;
    row.enc.clone_from(encryption);
    row.repl.clone_from(replication);
    Ok(())
}

/// A document column.
pub(super) fn document<T: serde::de::DeserializeOwned>(text: &str, what: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|e| Error::Corrupt(format!("the {what}: {e}")))
}

pub(super) fn to_document<T: serde::Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|e| Error::Metadata(e.to_string()))
}

/// Inline bytes are kept behind their checksum: the database verifies nothing.
pub(super) fn seal_inline(data: &[u8]) -> Vec<u8> {
    let mut out = crate::blob::crc32c(data).to_le_bytes().to_vec();
    out.extend_from_slice(data);
    out
}

pub(crate) fn open_inline(mut sealed: Vec<u8>, key: &str) -> Result<Bytes, Error> {
    let damaged = || Error::Corrupt(format!("the inline bytes of {key:?} do not match their checksum"));
    if sealed.len() < 4 {
        return Err(damaged());
    }
    let data = sealed.split_off(4);
    if crate::blob::crc32c(&data).to_le_bytes() == sealed[..] { Ok(Bytes::from(data)) } else { Err(damaged()) }
}

pub(super) fn upload(row: S3UploadRow) -> Result<Upload, Error> {
    let doc = document(&row.doc, "upload")?;
    Ok(Upload {
        id: row.id,
        bucket: row.bucket,
        key: row.key.0,
        account: row.account_id.into(),
        created_ms: row.created_ms,
        doc,
    })
}

pub(super) fn part(row: S3PartRow) -> Result<Part, Error> {
    Ok(Part {
        number: row.part_number,
        size: row.size_bytes,
        etag: row.etag,
        blob: blob(&row.blob_id)?,
        checksums: Checksums::from_text(&row.checksums),
        created_ms: row.created_ms,
    })
}

pub(super) fn piece(row: S3PieceRow) -> Result<Part, Error> {
    Ok(Part {
        number: row.part_number,
        size: row.size_bytes,
        etag: String::new(),
        blob: blob(&row.blob_id)?,
        checksums: Checksums::from_text(&row.checksums),
        created_ms: 0,
    })
}

/// Where a listing goes on.
pub(super) fn place(from: Place<'_>) -> S3ListFrom<'_> {
    match from {
        Place::Start => S3ListFrom::Start,
        Place::AfterKey(key) => S3ListFrom::AfterKey(key),
        Place::AfterPrefix(prefix) => S3ListFrom::AfterPrefix(prefix),
    }
}

/// Which version is looked for.
pub(super) const fn sought(which: Which<'_>) -> S3Which<'_> {
    match which {
        Which::Latest => S3Which::Latest,
        Which::Named(VersionName::Null) => S3Which::Null,
        Which::Named(VersionName::Id(id)) => S3Which::Id { rank: id.rank, vid: id.random },
        Which::OfUpload(id) => S3Which::OfUpload(id),
    }
}

/// A document as a row.
pub(super) fn doc_row(bucket_id: i64, kind: &str, id: &str, doc: &str, updated_ms: i64) -> S3BucketDocRow {
    S3BucketDocRow { bucket_id, kind: kind.to_owned(), id: id.to_owned(), doc: doc.to_owned(), updated_ms }
}

/// An account as S3 names it.
pub(super) fn owner(row: S3OwnerRow) -> Owner {
    let S3OwnerRow { account_id, canonical_id, display_name, email } = row;
    Owner { account: account_id.into(), canonical_id, display_name, email }
}

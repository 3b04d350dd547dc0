//! Between the database's rows and the engine's values.

use crate::blob::BlobId;
use crate::error::Error;
use crate::metadata::Freed;
use crate::model::{Bucket, Checksums, Part, Upload};
use bytes::Bytes;
use mallee_store::{S3BucketRow, S3ObjectPartRow, S3PartRow, S3UploadRow, StoreError};
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

pub(super) fn blobs(texts: Vec<String>) -> Result<Freed, Error> {
    texts.iter().map(|t| blob(t)).collect()
}

pub(super) fn rows(limit: usize) -> u32 {
    u32::try_from(limit).unwrap_or(u32::MAX)
}

pub(super) fn bucket(row: S3BucketRow) -> Bucket {
    Bucket { name: row.name, account: row.account_id.into(), region: row.region, created_ms: row.created_ms }
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

pub(super) fn open_inline(mut sealed: Vec<u8>, key: &str) -> Result<Bytes, Error> {
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

pub(super) fn object_part(row: S3ObjectPartRow) -> Result<Part, Error> {
    Ok(Part {
        number: row.part_number,
        size: row.size_bytes,
        etag: String::new(),
        blob: blob(&row.blob_id)?,
        checksums: Checksums::from_text(&row.checksums),
        created_ms: 0,
    })
}

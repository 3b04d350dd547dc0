//! Writing a version within a transaction.

use super::quota;
use super::rows::{blob_texts, deleted, found, or_gone, seal_inline, set_properties, to_document};
use crate::error::Error;
use crate::events::{Change, What};
use crate::limits::Limits;
use crate::metadata::{Freed, Written};
use crate::model::{Condition, Content, PutObject};
use crate::version::{Deleted, VersionId};
use mallee_store::{
    S3BucketRow, S3Deletion, S3PieceRow, S3VersionHead, S3VersionRow, Tx, quota_hold, s3_blob_insert, s3_bucket_hold,
    s3_part_list, s3_upload_complete, s3_upload_hold, s3_version_heads, s3_version_put, s3_versions_delete,
};
use std::collections::HashSet;

/// Whether a write may take place over what is there.
fn check(condition: &Condition, newest: Option<&S3VersionHead>) -> Result<(), Error> {
    // A delete marker is no object.
    match (condition, newest.filter(|newest| !newest.marker)) {
        (Condition::None, _) | (Condition::Absent, None) | (Condition::Present, Some(_)) => Ok(()),
        (Condition::Etag(wanted), Some(old)) if *wanted == old.etag => Ok(()),
        (Condition::Etag(_) | Condition::Present, None) => Err(Error::NoObject),
        _ => Err(Error::Precondition),
    }
}

/// Where the references to the blobs of a write come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum References {
    /// They are new.
    New,
    /// The upload that is completed has them, and gives them over.
    OfUpload,
}

fn row(bucket: &S3BucketRow, put: &PutObject) -> Result<(S3VersionRow, Vec<S3PieceRow>), Error> {
    let info = &put.object.info;
    let (mut blob_id, mut inline, mut pieces) = (None, None, Vec::new());
    match &put.object.content {
        Content::Inline(data) => inline = Some(seal_inline(data)),
        Content::Blob(id) => blob_id = Some(id.as_str().to_owned()),
        Content::Parts(list) => {
            let piece = |p: &crate::model::Part| S3PieceRow {
                part_number: p.number,
                size_bytes: p.size,
                blob_id: p.blob.as_str().to_owned(),
                checksums: p.checksums.to_text(),
            };
            pieces = list.iter().map(piece).collect();
        }
    }
    let mut row = S3VersionRow {
        bucket_id: bucket.id,
        size_bytes: info.size,
        etag: info.etag.clone(),
        modified_ms: info.created_ms,
        checksums: info.checksums.to_text(),
        content_type: info.content_type.clone(),
        headers: to_document(&info.attributes)?,
        upload_id: info.upload.clone(),
        blob_id,
        pieces: u32::try_from(pieces.len()).unwrap_or(u32::MAX),
        inline,
        ..S3VersionRow::new(&info.key, bucket.account_id.clone(), &info.write_id)
    };
    set_properties(&mut row, &info.properties)?;
    Ok((row, pieces))
}

/// The bucket of a write, held until the end of the transaction.
pub(super) async fn hold(tx: &mut Tx, bucket: &str) -> Result<S3BucketRow, Error> {
    found(s3_bucket_hold(tx, bucket).await)?.ok_or(Error::NoBucket)
}

/// Writes an object into a bucket that is held, within the quotas.
pub(super) async fn put(
    tx: &mut Tx,
    bucket: &S3BucketRow,
    put: &PutObject,
    condition: &Condition,
    references: References,
    limits: Option<&Limits>,
) -> Result<Written, Error> {
    let limits = limits.filter(|limits| quota::concerns_objects(limits));
    if limits.is_some() {
        // Nobody else counts in the account until the end of the transaction.
        quota_hold(tx, &bucket.account_id).await?;
    }
    let info = &put.object.info;
    let heads = s3_version_heads(tx, bucket, &info.key).await?;
    check(condition, heads.newest.as_ref())?;
    if heads.locked(bucket.versioning, info.created_ms) {
        return Err(Error::Locked);
    }
    let mut retained = match references {
        References::New => blob_texts(&put.object.content),
        References::OfUpload => Vec::new(),
    };
    if let Some((id, size)) = &put.new_blob {
        let (new, others): (Vec<_>, Vec<_>) = retained.into_iter().partition(|blob| blob == id.as_str());
        s3_blob_insert(tx, id.as_str(), *size, new.len() as u64).await?;
        retained = others;
    }
    let (row, pieces) = row(bucket, put)?;
    let written = s3_version_put(tx, bucket, &heads, row, info.version.random, &pieces, &retained).await;
    let written = or_gone(written)?;
    if let Some(limits) = limits {
        quota::after_object(tx, bucket, limits).await?;
    }
    Ok(Written { version: VersionId { rank: written.rank, random: written.vid }, freed: written.freed })
}

/// The change that a write is.
fn created(put: &PutObject, version: VersionId) -> Change {
    let info = &put.object.info;
    let what = What::Written { size: info.size, etag: info.etag.clone() };
    Change { key: info.key.clone(), version, what }
}

/// The change that a deletion is, if it did anything.
fn removed(key: &str, done: Deleted) -> Option<Change> {
    let (version, what) = match done {
        Deleted::Removed { version, .. } => (version, What::Removed),
        Deleted::Marked(version) => (version, What::Marked),
        Deleted::Nothing | Deleted::Locked | Deleted::Unmet => return None,
    };
    Some(Change { key: key.to_owned(), version, what })
}

impl super::StoreMetadata {
    /// Writes an object.
    pub(super) async fn put_in(&self, tx: &mut Tx, new: &PutObject, condition: &Condition) -> Result<Written, Error> {
        let bucket = hold(tx, &new.bucket).await?;
        let written = put(tx, &bucket, new, condition, References::New, self.limits.as_deref()).await?;
        self.note(tx, &bucket, vec![created(new, written.version)]).await?;
        Ok(written)
    }

    /// Deletes keys and versions.
    pub(super) async fn delete_in(
        &self,
        tx: &mut Tx,
        bucket: &str,
        deletions: &[S3Deletion],
        now_ms: i64,
    ) -> Result<(Vec<Deleted>, Freed), Error> {
        let row = hold(tx, bucket).await?;
        let (done, freed) = s3_versions_delete(tx, &row, deletions, now_ms).await?;
        let done: Vec<Deleted> = done.into_iter().map(deleted).collect();
        let gone = deletions.iter().zip(&done).filter_map(|(deletion, done)| removed(&deletion.key, *done));
        self.note(tx, &row, gone.collect()).await?;
        Ok((done, freed))
    }

    /// Turns parts of an upload into an object, and ends the upload.
    pub(super) async fn complete_in(
        &self,
        tx: &mut Tx,
        upload_id: &str,
        new: &PutObject,
        condition: &Condition,
    ) -> Result<Written, Error> {
        let bucket = hold(tx, &new.bucket).await?;
        // Held: no part changes until the end of this transaction.
        found(s3_upload_hold(tx, upload_id).await)?.ok_or(Error::NoUpload)?;
        let mut kept = HashSet::new();
        if let Content::Parts(chosen) = &new.object.content {
            let current = s3_part_list(&mut *tx, upload_id, 0, u32::MAX >> 1).await?;
            let current: HashSet<_> = current.into_iter().map(|p| (p.part_number, p.blob_id)).collect();
            if chosen.iter().any(|p| !current.contains(&(p.number, p.blob.as_str().to_owned()))) {
                return Err(Error::PartChanged);
            }
            kept.extend(chosen.iter().map(|p| p.blob.as_str()));
        }
        let written = put(tx, &bucket, new, condition, References::OfUpload, self.limits.as_deref()).await?;
        self.note(tx, &bucket, vec![created(new, written.version)]).await?;
        let freed = s3_upload_complete(tx, upload_id, &kept).await?.ok_or(Error::NoUpload)?;
        Ok(Written { freed: written.freed + freed, ..written })
    }
}

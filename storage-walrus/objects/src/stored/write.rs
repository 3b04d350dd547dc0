//! Writing a version within a transaction.

use super::rows::{blob_texts, deleted, found, info, or_gone, seal_inline, set_properties, sought, to_document};
use super::{FIRST_REV, documents, quota};
use crate::error::Error;
use crate::events::{Change, What};
use crate::limits::Limits;
use crate::metadata::{Freed, Written, must_be_decided, must_be_unchanged};
use crate::model::{Condition, Content, ObjectInfo, PutObject};
use crate::properties::PropertyChange;
use crate::replica::PENDING;
use crate::retain::retain_by_default;
use crate::version::{Deleted, VersionId, Which};
use mallee_store::{
    S3BucketRow, S3Deletion, S3PieceRow, S3VersionHead, S3VersionRow, Tx, quota_hold, s3_blob_insert, s3_bucket_hold,
    s3_bucket_hold_alone, s3_part_list, s3_replication_note, s3_upload_complete, s3_upload_hold, s3_version_heads,
    s3_version_hold, s3_version_properties_set, s3_version_put, s3_versions_delete,
};
use std::borrow::Cow;
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

pub(super) fn row(bucket: &S3BucketRow, put: &PutObject) -> Result<(S3VersionRow, Vec<S3PieceRow>), Error> {
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

/// Writes an object into a bucket that is held. Whether it is within the quotas is to be asked afterwards.
pub(super) async fn put(
    tx: &mut Tx,
    bucket: &S3BucketRow,
    put: &PutObject,
    condition: &Condition,
    references: References,
    limits: Option<&Limits>,
    targets: Vec<String>,
) -> Result<Written, Error> {
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
    let (mut row, pieces) = row(bucket, put)?;
    if !targets.is_empty() {
        row.repl = Some(PENDING.to_owned());
    }
    let written = s3_version_put(tx, bucket, &heads, row, info.version.random, &pieces, &retained).await;
    let written = or_gone(written)?;
    s3_replication_note(tx, bucket.id, &info.key, (written.rank, written.vid), targets).await?;
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
    /// The bucket of a write, held until the end of the transaction: the one that the request was decided about.
    pub(super) async fn hold(&self, tx: &mut Tx, name: &str) -> Result<S3BucketRow, Error> {
        self.meant(found(s3_bucket_hold(tx, name).await)?)
    }

    /// As [`Self::hold`], for nobody else.
    pub(super) async fn hold_alone(&self, tx: &mut Tx, name: &str) -> Result<S3BucketRow, Error> {
        self.meant(found(s3_bucket_hold_alone(tx, name).await)?)
    }

    fn meant(&self, row: Option<S3BucketRow>) -> Result<S3BucketRow, Error> {
        let row = row.ok_or(Error::NoBucket)?;
        must_be_decided(&self.decided, &row.name, row.id)?;
        if self.unchanged {
            must_be_unchanged(&self.decided, row.id, row.rev)?;
        }
        Ok(row)
    }

    /// A write with the retention that its bucket, which is held, gives by default.
    async fn retained<'p>(
        &self,
        tx: &mut Tx,
        row: &S3BucketRow,
        new: &'p PutObject,
    ) -> Result<Cow<'p, PutObject>, Error> {
        let mut new = Cow::Borrowed(new);
        // A bucket that was never changed has no documents.
        if new.retain_by_default && new.object.info.properties.retention.is_none() && row.rev > FIRST_REV {
            let known = self.decided.iter().find(|bucket| bucket.id == row.id && bucket.rev == row.rev);
            let docs = match known {
                Some(bucket) => bucket.docs.clone(),
                None => documents(&mut *tx, row.id).await?,
            };
            let info = &new.object.info;
            let properties = retain_by_default(&docs, info.properties.clone(), info.created_ms)?;
            if properties.retention.is_some() {
                new.to_mut().object.info.properties = properties;
            }
        }
        Ok(new)
    }

    /// The quotas of the request that have a say in what is written.
    fn limits_of_objects(&self) -> Option<&Limits> {
        self.limits.as_deref().filter(|limits| quota::concerns_objects(limits))
    }

    /// Writes an object.
    pub(super) async fn put_in(&self, tx: &mut Tx, new: &PutObject, condition: &Condition) -> Result<Written, Error> {
        let bucket = self.hold(tx, &new.bucket).await?;
        let (new, limits) = (self.retained(tx, &bucket, new).await?, self.limits_of_objects());
        let targets = self.targets_of(tx, &bucket, &new.object.info).await?;
        let written = put(tx, &bucket, &new, condition, References::New, limits, targets).await?;
        if let Some(limits) = limits {
            quota::after_object(tx, &bucket, limits).await?;
        }
        self.note(tx, &bucket, vec![created(&new, written.version)]).await?;
        Ok(written)
    }

    /// Changes what is said of a version; `None` if there is none.
    pub(super) async fn change_in(
        &self,
        tx: &mut Tx,
        bucket: &str,
        key: &str,
        which: Which<'_>,
        change: &PropertyChange<'_>,
    ) -> Result<Option<ObjectInfo>, Error> {
        let bucket = self.hold(tx, bucket).await?;
        let held = s3_version_hold(tx, &bucket, key, sought(which)).await?;
        let Some(mut row) = held.filter(|row| !row.marker) else { return Ok(None) };
        let (before, old) = (row.clone(), info(row.clone())?);
        let properties = change(&old)?;
        set_properties(&mut row, &properties)?;
        let tags = [&old.properties.tags, &properties.tags];
        self.note_redescribed(tx, &bucket, &before, &mut row, tags).await?;
        s3_version_properties_set(tx, &row, &before.class).await?;
        self.note(tx, &bucket, self.redescribed(&before, &row)).await?;
        info(row).map(Some)
    }

    /// Deletes keys and versions.
    pub(super) async fn delete_in(
        &self,
        tx: &mut Tx,
        bucket: &str,
        deletions: &[S3Deletion],
        now_ms: i64,
    ) -> Result<(Vec<Deleted>, Freed), Error> {
        let row = self.hold(tx, bucket).await?;
        let (done, freed) = s3_versions_delete(tx, &row, deletions, now_ms).await?;
        let done: Vec<Deleted> = done.into_iter().map(deleted).collect();
        let gone = deletions.iter().zip(&done).filter_map(|(deletion, done)| removed(&deletion.key, *done));
        let gone: Vec<Change> = gone.collect();
        self.note_markers(tx, &row, &gone).await?;
        self.note(tx, &row, gone).await?;
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
        let bucket = self.hold(tx, &new.bucket).await?;
        let (new, limits) = (self.retained(tx, &bucket, new).await?, self.limits_of_objects());
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
        let targets = self.targets_of(tx, &bucket, &new.object.info).await?;
        let written = put(tx, &bucket, &new, condition, References::OfUpload, limits, targets).await?;
        self.note(tx, &bucket, vec![created(&new, written.version)]).await?;
        let freed = s3_upload_complete(tx, upload_id, &kept).await?.ok_or(Error::NoUpload)?;
        // Now that its parts do not count any more.
        if let Some(limits) = limits {
            quota::after_object(tx, &bucket, limits).await?;
        }
        Ok(Written { freed: written.freed + freed, ..written })
    }
}

//! The engine's metadata in the cloud's database.

mod buckets;
mod images;
mod quota;
mod replicate;
mod rows;
mod settle;
mod watch;
mod write;

pub(crate) use rows::open_inline;
use rows::{
    account, blob, bucket, class_usage, deletion, doc_row, found, info, listed, listed_version, or_gone, owner, part,
    piece, place, rows, sought, to_document, upload, usage, versioning_text,
};
pub(crate) use settle::settle_log;
use watch::Watched;

use crate::blob::BlobId;
use crate::documents::{DOCUMENTS_MAX, Documents};
use crate::error::Error;
use crate::limits::Limits;
use crate::metadata::{BucketCheck, Deletion, Freed, Metadata, Place, VersionPlace, Written};
use crate::model::{
    Bucket, Condition, Content, Found, Image, ListEntry, Listed, ListedVersion, Marker, Object, ObjectInfo, Owner,
    OwnerName, Part, PutObject, Upload, Usage,
};
use crate::origin::Origin;
use crate::properties::PropertyChange;
use crate::replica::{Placed, Replica};
use crate::version::{Deleted, VersionId, Versioning, Which};
use futures::FutureExt as _;
use mallee_s3_config::Document as _;
use mallee_s3_config::notification::Notification;
use mallee_store::{
    Exec, S3Entry, S3Key, S3OwnerRow, S3PartRow, S3ReplicationRow, S3UploadRow, S3VersionsFrom, Store, quota_hold,
    s3_blob_list, s3_bucket_doc_delete, s3_bucket_doc_list, s3_bucket_doc_put, s3_bucket_fetch, s3_bucket_insert,
    s3_bucket_list, s3_bucket_versioning_set, s3_entry_list, s3_garbage_delay, s3_garbage_delete, s3_garbage_list,
    s3_object_list, s3_owner_by_canonical, s3_owner_by_email, s3_owner_ensure, s3_owner_fetch, s3_part_list,
    s3_part_put, s3_piece_list, s3_upload_delete, s3_upload_fetch, s3_upload_hold, s3_upload_insert, s3_upload_list,
    s3_usage, s3_usage_by_class, s3_version_fetch, s3_version_list,
};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Rows fetched at once where all of something is wanted.
const PAGE: u32 = 1000;
/// `rev` of a new bucket.
const FIRST_REV: u64 = 1;
/// How often a transaction is begun that the database gives up for others.
const TRANSACTION_ATTEMPTS: u32 = 3;
/// How often a look-up starts over because the object was overwritten between its two queries.
const LOOKUP_ATTEMPTS: u32 = 5;

/// See the module.
#[derive(Debug, Clone)]
pub struct StoreMetadata {
    store: Store,
    /// Of the request it is for.
    limits: Option<Arc<Limits>>,
    /// Where its changes come from.
    origin: Option<Arc<Origin>>,
    watched: Watched,
    /// What the request was decided about.
    decided: Arc<[Bucket]>,
    /// They must be configured as they were then.
    unchanged: bool,
}

async fn documents(exec: impl Into<Exec<'_>>, bucket_id: i64) -> Result<Documents, Error> {
    let rows = s3_bucket_doc_list(exec, bucket_id).await?;
    Ok(rows.iter().fold(Documents::default(), |docs, row| docs.with(&row.kind, &row.id, &row.doc)))
}

fn texts(ids: &[BlobId]) -> Vec<String> {
    ids.iter().map(|id| id.as_str().to_owned()).collect()
}

/// Does a transaction again that the database gave up to let another pass.
async fn again<T, F: Future<Output = Result<T, Error>>>(mut work: impl FnMut() -> F) -> Result<T, Error> {
    for _ in 1..TRANSACTION_ATTEMPTS {
        match work().await {
            Err(Error::Undone(_)) => {}
            ended => return ended,
        }
    }
    work().await
}

impl StoreMetadata {
    /// Over an open store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self {
            store,
            limits: None,
            origin: None,
            watched: Watched::default(),
            decided: Arc::default(),
            unchanged: false,
        }
    }
}

#[async_trait::async_trait]
impl Metadata for StoreMetadata {
    fn limited(self: Arc<Self>, limits: Arc<Limits>) -> Arc<dyn Metadata> {
        Arc::new(Self { limits: Some(limits), ..Self::clone(&self) })
    }

    fn within(self: Arc<Self>, decided: Arc<[Bucket]>) -> Arc<dyn Metadata> {
        Arc::new(Self { decided, ..Self::clone(&self) })
    }

    fn unchanged(self: Arc<Self>) -> Arc<dyn Metadata> {
        Arc::new(Self { unchanged: true, ..Self::clone(&self) })
    }

    fn by(self: Arc<Self>, origin: Arc<Origin>) -> Arc<dyn Metadata> {
        Arc::new(Self { origin: Some(origin), ..Self::clone(&self) })
    }

    async fn create_bucket(&self, new: &Bucket) -> Result<(), Error> {
        let owner = account(&new.account)?;
        let mut tx = self.store.write().await?;
        if self.limits.is_some() {
            quota_hold(&mut tx, &owner).await?;
        }
        match s3_bucket_insert(&mut tx, &new.name, &owner, &new.region, new.created_ms).await {
            Ok(row) => {
                for (kind, id, doc) in new.docs.all() {
                    s3_bucket_doc_put(&mut tx, &doc_row(row.id, kind, id, doc, new.created_ms)).await?;
                }
                if new.versioning != Versioning::Off {
                    s3_bucket_versioning_set(&mut tx, &new.name, versioning_text(new.versioning)).await?;
                }
                if let Some(limits) = &self.limits {
                    quota::after_bucket(&mut tx, &row, limits).await?;
                }
                Ok(tx.commit().await?)
            }
            Err(error) if error.is_conflict("s3_buckets_name") => {
                drop(tx);
                // Deleted meanwhile: the caller may try again.
                let old = self.bucket(&new.name).await?.ok_or(Error::Gone)?;
                Err(Error::BucketExists(Box::new(old)))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn bucket(&self, name: &str) -> Result<Option<Bucket>, Error> {
        let Some(row) = found(s3_bucket_fetch(&self.store, name).await)? else { return Ok(None) };
        // A bucket that was never changed has no documents.
        let docs = if row.rev > FIRST_REV { documents(&self.store, row.id).await? } else { Documents::default() };
        Ok(Some(Bucket { docs, ..bucket(row) }))
    }

    async fn buckets(&self, owner: &str, after: &str, limit: usize) -> Result<Vec<Bucket>, Error> {
        let page = s3_bucket_list(&self.store, &account(owner)?, after, rows(limit)).await?;
        Ok(page.into_iter().map(bucket).collect())
    }

    async fn set_versioning(
        &self,
        bucket: &str,
        versioning: Versioning,
        mfa_delete: Option<bool>,
        now_ms: i64,
    ) -> Result<(), Error> {
        self.change_versioning(bucket, versioning, mfa_delete, now_ms).await
    }

    async fn set_document(
        &self,
        name: &str,
        kind: &str,
        id: &str,
        doc: Option<&str>,
        now_ms: i64,
        check: &BucketCheck<'_>,
    ) -> Result<bool, Error> {
        let mut tx = self.store.write().await?;
        let row = self.hold_alone(&mut tx, name).await?;
        let bucket_id = row.id;
        let docs = documents(&mut tx, bucket_id).await?;
        if doc.is_some() && docs.named(kind, id).is_none() && docs.len() >= DOCUMENTS_MAX {
            return Err(Error::TooMany("configurations of this bucket"));
        }
        check(&Bucket { docs, ..bucket(row) })?;
        let done = match doc {
            Some(doc) => {
                s3_bucket_doc_put(&mut tx, &doc_row(bucket_id, kind, id, doc, now_ms)).await?;
                if kind == Notification::KIND {
                    self.note_tests(&mut tx, (bucket_id, name), doc).await?;
                }
                true
            }
            None => s3_bucket_doc_delete(&mut tx, bucket_id, kind, id).await?,
        };
        tx.commit().await?;
        Ok(done)
    }

    async fn owners(&self, name: OwnerName<'_>) -> Result<Vec<Owner>, Error> {
        let rows = match name {
            OwnerName::Account(text) => s3_owner_fetch(&self.store, &account(text)?).await?.into_iter().collect(),
            OwnerName::Canonical(id) => s3_owner_by_canonical(&self.store, id).await?.into_iter().collect(),
            OwnerName::Email(email) => s3_owner_by_email(&self.store, email).await?,
        };
        Ok(rows.into_iter().map(owner).collect())
    }

    async fn ensure_owner(&self, owner: &Owner) -> Result<(), Error> {
        let Owner { account: number, canonical_id, display_name, email } = owner.clone();
        let row = S3OwnerRow { account_id: account(&number)?, canonical_id, display_name, email };
        let mut tx = self.store.write().await?;
        s3_owner_ensure(&mut tx, &row).await?;
        Ok(tx.commit().await?)
    }

    async fn usage(&self, bucket: &str) -> Result<Usage, Error> {
        let row = found(s3_bucket_fetch(&self.store, bucket).await)?.ok_or(Error::NoBucket)?;
        Ok(usage(s3_usage(&self.store, row.id).await?))
    }

    async fn usage_by_class(&self, bucket: &str) -> Result<BTreeMap<String, Usage>, Error> {
        let row = found(s3_bucket_fetch(&self.store, bucket).await)?.ok_or(Error::NoBucket)?;
        Ok(s3_usage_by_class(&self.store, row.id).await?.into_iter().filter_map(class_usage).collect())
    }

    async fn delete_bucket(&self, name: &str) -> Result<Freed, Error> {
        again(|| self.delete_bucket_once(name)).await
    }

    async fn put_object(&self, new: &PutObject, condition: &Condition) -> Result<Written, Error> {
        let (this, new, condition) = (self.clone(), new.clone(), condition.clone());
        self.store.write_grouped(move |tx| async move { this.put_in(tx, &new, &condition).await }.boxed()).await
    }

    async fn put_replica(&self, replica: &Replica) -> Result<Placed, Error> {
        let (this, replica) = (self.clone(), replica.clone());
        self.store.write_grouped(move |tx| async move { this.put_replica_in(tx, &replica).await }.boxed()).await
    }

    async fn replicated(&self, version: &S3ReplicationRow, failed: Option<&str>) -> Result<(), Error> {
        let (this, version, failed) = (self.clone(), version.clone(), failed.map(str::to_owned));
        self.store
            .write_grouped(move |tx| async move { this.replicated_in(tx, &version, failed.as_deref()).await }.boxed())
            .await
    }

    async fn object(&self, bucket: &str, id: Option<i64>, key: &str, which: Which<'_>) -> Result<Option<Found>, Error> {
        let which = sought(which);
        for _ in 0..LOOKUP_ATTEMPTS {
            let Some(mut row) = s3_version_fetch(&self.store, bucket, key, which).await? else { return Ok(None) };
            if id.is_some_and(|id| id != row.bucket_id) {
                return Err(Error::NoBucket);
            }
            if row.marker {
                let version = VersionId { rank: row.rank, random: row.vid };
                return Ok(Some(Found::Marker(Marker { version, created_ms: row.modified_ms })));
            }
            let content = match (row.inline.take(), row.blob_id.take()) {
                (Some(sealed), _) => Content::Inline(open_inline(sealed, key)?),
                (None, Some(id)) => Content::Blob(blob(&id)?),
                (None, None) => {
                    let pieces = s3_piece_list(&self.store, &row.write_id).await?;
                    if pieces.is_empty() {
                        // Overwritten since the first query; an object always has pieces, a blob or inline bytes.
                        continue;
                    }
                    Content::Parts(pieces.into_iter().map(piece).collect::<Result<_, _>>()?)
                }
            };
            return Ok(Some(Found::Object(Object { info: info(row)?, content })));
        }
        Err(Error::Gone)
    }

    async fn change_properties(
        &self,
        bucket: &str,
        key: &str,
        which: Which<'_>,
        change: &PropertyChange<'_>,
    ) -> Result<Option<ObjectInfo>, Error> {
        let mut tx = self.store.write().await?;
        let Some(changed) = self.change_in(&mut tx, bucket, key, which, change).await? else { return Ok(None) };
        tx.commit().await?;
        Ok(Some(changed))
    }

    async fn delete_objects(
        &self,
        bucket: &str,
        deletions: &[Deletion],
        now_ms: i64,
    ) -> Result<(Vec<Deleted>, Freed), Error> {
        let bucket = bucket.to_owned();
        let deletions: Vec<_> = deletions.iter().map(deletion).collect();
        let this = self.clone();
        self.store
            .write_grouped(move |tx| async move { this.delete_in(tx, &bucket, &deletions, now_ms).await }.boxed())
            .await
    }

    async fn list_objects(
        &self,
        bucket: &str,
        prefix: &str,
        from: Place<'_>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error> {
        let page = s3_object_list(&self.store, bucket, prefix, place(from), rows(limit)).await?;
        Ok(page.into_iter().map(listed).collect())
    }

    async fn list_entries(
        &self,
        bucket: &str,
        prefix: &str,
        delimiter: &str,
        from: Place<'_>,
        limit: usize,
    ) -> Result<Vec<ListEntry>, Error> {
        let page = s3_entry_list(&self.store, bucket, prefix, delimiter, place(from), rows(limit)).await?;
        let entry = |entry| match entry {
            S3Entry::Object(row) => ListEntry::Object(listed(row)),
            S3Entry::Prefix(common) => ListEntry::Prefix(common),
        };
        Ok(page.into_iter().map(entry).collect())
    }

    async fn list_versions(
        &self,
        bucket: &str,
        prefix: &str,
        from: VersionPlace<'_>,
        limit: usize,
    ) -> Result<Vec<ListedVersion>, Error> {
        let from = match from {
            VersionPlace::Keys(from) => S3VersionsFrom::Keys(place(from)),
            VersionPlace::AfterVersion(key, version) => S3VersionsFrom::AfterVersion { key, rank: version.rank },
        };
        let page = s3_version_list(&self.store, bucket, prefix, from, rows(limit)).await?;
        Ok(page.into_iter().map(listed_version).collect())
    }

    async fn create_upload(&self, new: &Upload) -> Result<(), Error> {
        let mut tx = self.store.write().await?;
        let bucket = self.hold(&mut tx, &new.bucket).await?;
        let row = S3UploadRow {
            id: new.id.clone(),
            bucket_id: bucket.id,
            bucket: bucket.name,
            key: S3Key(new.key.clone()),
            account_id: account(&new.account)?,
            created_ms: new.created_ms,
            doc: to_document(&new.doc)?,
        };
        s3_upload_insert(&mut tx, &row).await?;
        Ok(tx.commit().await?)
    }

    async fn upload(&self, id: &str) -> Result<Option<Upload>, Error> {
        found(s3_upload_fetch(&self.store, id).await)?.map(upload).transpose()
    }

    async fn list_uploads(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<(&str, &str)>,
        limit: usize,
    ) -> Result<Vec<Upload>, Error> {
        s3_upload_list(&self.store, bucket, prefix, after, rows(limit)).await?.into_iter().map(upload).collect()
    }

    async fn abort_upload(&self, id: &str) -> Result<Freed, Error> {
        let mut tx = self.store.write().await?;
        let freed = s3_upload_delete(&mut tx, id).await?.ok_or(Error::NoUpload)?;
        tx.commit().await?;
        Ok(freed)
    }

    async fn put_part(&self, upload_id: &str, part: &Part, stored: u64) -> Result<Freed, Error> {
        let row = S3PartRow {
            upload_id: upload_id.to_owned(),
            part_number: part.number,
            size_bytes: part.size,
            etag: part.etag.clone(),
            blob_id: part.blob.as_str().to_owned(),
            checksums: part.checksums.to_text(),
            created_ms: part.created_ms,
        };
        let limits = self.limits.clone();
        self.store
            .write_grouped(move |tx| {
                async move {
                    let upload = found(s3_upload_hold(tx, &row.upload_id).await)?.ok_or(Error::NoUpload)?;
                    let Some(limits) = limits.filter(|limits| quota::concerns_objects(limits)) else {
                        return Ok(s3_part_put(tx, &upload, &row, stored).await?);
                    };
                    let bucket = found(s3_bucket_fetch(&mut *tx, &upload.bucket).await)?.ok_or(Error::NoUpload)?;
                    quota_hold(tx, &bucket.account_id).await?;
                    let freed = s3_part_put(tx, &upload, &row, stored).await?;
                    quota::after_object(tx, &bucket, &limits).await?;
                    Ok(freed)
                }
                .boxed()
            })
            .await
    }

    async fn parts(&self, upload_id: &str, after: u32, limit: usize) -> Result<Vec<Part>, Error> {
        s3_part_list(&self.store, upload_id, after, rows(limit)).await?.into_iter().map(part).collect()
    }

    async fn complete_upload(&self, upload_id: &str, new: &PutObject, condition: &Condition) -> Result<Written, Error> {
        again(|| {
            let (this, id) = (self.clone(), upload_id.to_owned());
            let (new, condition) = (new.clone(), condition.clone());
            self.store.write_grouped(move |tx| async move { this.complete_in(tx, &id, &new, &condition).await }.boxed())
        })
        .await
    }

    async fn existing_blobs(&self, ids: &[BlobId]) -> Result<HashSet<BlobId>, Error> {
        let Some(last) = ids.iter().max() else { return Ok(HashSet::new()) };
        let wanted: HashSet<&BlobId> = ids.iter().collect();
        let mut known = HashSet::new();
        // All are of one shard: its rows lie together, behind its two digits.
        let mut after = last.as_str()[..2].to_owned();
        loop {
            let page = s3_blob_list(&self.store, Some(&after), PAGE).await?;
            for row in &page {
                let id = blob(&row.id)?;
                if wanted.contains(&id) {
                    known.insert(id);
                }
            }
            match page.last() {
                Some(row) if row.id.as_str() < last.as_str() => after.clone_from(&row.id),
                _ => return Ok(known),
            }
        }
    }

    async fn blob_behind(&self, id: &BlobId) -> Result<Option<BlobId>, Error> {
        let rows = s3_blob_list(&self.store, Some(id.as_str()), 1).await?;
        rows.first().map(|row| blob(&row.id)).transpose()
    }

    async fn settle_log(&self) -> Result<(), Error> {
        settle_log(&self.store).await
    }

    async fn garbage(&self, now_ms: i64, limit: usize) -> Result<Vec<BlobId>, Error> {
        let due = s3_garbage_list(&self.store, now_ms, rows(limit)).await?;
        due.iter().map(|row| blob(&row.blob_id)).collect()
    }

    async fn forget_garbage(&self, gone: &[BlobId], stuck: &[BlobId], retry_ms: i64) -> Result<(), Error> {
        let mut tx = self.store.write().await?;
        s3_garbage_delete(&mut tx, &texts(gone)).await?;
        s3_garbage_delay(&mut tx, &texts(stuck), retry_ms).await?;
        Ok(tx.commit().await?)
    }

    async fn image(&self, digest: &str) -> Result<Option<Image>, Error> {
        self.image_of(digest).await
    }

    async fn claim_image(&self, image: &Image, holder: &str, new: bool) -> Result<bool, Error> {
        self.claim(image, holder, new).await
    }

    async fn release_image(&self, digest: &str, holder: &str) -> Result<Freed, Error> {
        self.release(digest, holder).await
    }

    async fn images(&self, after: &str, limit: usize) -> Result<Vec<Image>, Error> {
        self.images_after(after, limit).await
    }
}

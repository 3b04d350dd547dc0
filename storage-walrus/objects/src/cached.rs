//! What a database that one process alone writes to has answered, kept: bucket rows and what keys stand for, so that a
//! read of what was read before asks no database.
//!
//! It is exact, and by construction: before a write begins, what it touches is taken out and marked; until the write has
//! ended, reads of that go to the database and are not kept; and what a read that began earlier brings back is not kept
//! either. So nothing kept is ever older than the last write that was acknowledged, nor than what another read showed.
//! A write that its caller gave up may still happen: its marks stay until a later write has succeeded, for the database
//! takes writes one after the other. (Several processes may share PostgreSQL: there nothing is kept; nor
//! where somebody else has the file of SQLite.)

mod kept;

use crate::blob::BlobId;
use crate::error::Error;
use crate::limits::Limits;
use crate::metadata::{BucketCheck, Deletion, Freed, Metadata, Place, VersionPlace, Written};
use crate::model::{
    Bucket, Condition, Found, Image, ListEntry, Listed, ListedVersion, ObjectInfo, Owner, OwnerName, Part, PutObject,
    Upload, Usage,
};
use crate::origin::Origin;
use crate::properties::PropertyChange;
use crate::replica::{Placed, Replica};
use crate::stored::StoreMetadata;
use crate::version::{Deleted, Versioning, Which};
use kept::{Entry, Kept, bucket_name, object_name};
use mallee_store::{S3ReplicationRow, Store};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// The metadata in a database, with what it answers kept where that can be exact.
#[must_use]
pub fn metadata_of(store: Store) -> Arc<dyn Metadata> {
    let alone = store.is_alone();
    let stored = Arc::new(StoreMetadata::new(store));
    if alone { Arc::new(CachedMetadata { inner: stored, kept: Arc::default() }) } else { stored }
}

#[derive(Debug)]
struct CachedMetadata {
    inner: Arc<dyn Metadata>,
    kept: Arc<Kept>,
}

impl CachedMetadata {
    /// Whether it is known that the bucket of a name is the one of this number. Asked after something in it was found: a
    /// bucket that is itself now was it then.
    fn is_still(&self, name: &str, id: Option<i64>) -> bool {
        let is = |id| matches!(self.kept.get(name).as_deref(), Some(Entry::Bucket(bucket)) if bucket.id == id);
        id.is_none_or(is)
    }

    /// Runs a write that touches these entries.
    async fn write<T>(&self, names: Vec<String>, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let writing = self.kept.begin(names);
        let result = work.await;
        match &result {
            Ok(_) => writing.done(true),
            // Perhaps it happens yet.
            Err(Error::Uncertain(_)) => drop(writing),
            Err(_) => writing.done(false),
        }
        result
    }
}

#[async_trait::async_trait]
impl Metadata for CachedMetadata {
    fn limited(self: Arc<Self>, limits: Arc<Limits>) -> Arc<dyn Metadata> {
        Arc::new(Self { inner: Arc::clone(&self.inner).limited(limits), kept: Arc::clone(&self.kept) })
    }

    fn within(self: Arc<Self>, decided: Arc<[Bucket]>) -> Arc<dyn Metadata> {
        Arc::new(Self { inner: Arc::clone(&self.inner).within(decided), kept: Arc::clone(&self.kept) })
    }

    fn unchanged(self: Arc<Self>) -> Arc<dyn Metadata> {
        Arc::new(Self { inner: Arc::clone(&self.inner).unchanged(), kept: Arc::clone(&self.kept) })
    }

    fn by(self: Arc<Self>, origin: Arc<Origin>) -> Arc<dyn Metadata> {
        Arc::new(Self { inner: Arc::clone(&self.inner).by(origin), kept: Arc::clone(&self.kept) })
    }

    fn forget(&self, bucket: &str, key: &str) {
        self.kept.forget(&object_name(bucket, key));
    }

    async fn create_bucket(&self, bucket: &Bucket) -> Result<(), Error> {
        self.write(vec![bucket_name(&bucket.name)], self.inner.create_bucket(bucket)).await
    }

    async fn bucket(&self, name: &str) -> Result<Option<Bucket>, Error> {
        let entry = bucket_name(name);
        if let Some(Entry::Bucket(bucket)) = self.kept.get(&entry).as_deref() {
            return Ok(Some(bucket.clone()));
        }
        let reading = self.kept.read(entry);
        let found = self.inner.bucket(name).await?;
        if let Some(bucket) = &found {
            reading.keep(|| Entry::Bucket(bucket.clone()));
        }
        Ok(found)
    }

    async fn buckets(&self, account: &str, after: &str, limit: usize) -> Result<Vec<Bucket>, Error> {
        self.inner.buckets(account, after, limit).await
    }

    async fn set_versioning(
        &self,
        bucket: &str,
        versioning: Versioning,
        mfa_delete: Option<bool>,
        now_ms: i64,
    ) -> Result<(), Error> {
        let change = self.inner.set_versioning(bucket, versioning, mfa_delete, now_ms);
        self.write(vec![bucket_name(bucket)], change).await
    }

    async fn set_document(
        &self,
        bucket: &str,
        kind: &str,
        id: &str,
        doc: Option<&str>,
        now_ms: i64,
        check: &BucketCheck<'_>,
    ) -> Result<bool, Error> {
        self.write(vec![bucket_name(bucket)], self.inner.set_document(bucket, kind, id, doc, now_ms, check)).await
    }

    async fn owners(&self, name: OwnerName<'_>) -> Result<Vec<Owner>, Error> {
        self.inner.owners(name).await
    }

    async fn ensure_owner(&self, owner: &Owner) -> Result<(), Error> {
        self.inner.ensure_owner(owner).await
    }

    async fn usage(&self, bucket: &str) -> Result<Usage, Error> {
        self.inner.usage(bucket).await
    }

    async fn usage_by_class(&self, bucket: &str) -> Result<BTreeMap<String, Usage>, Error> {
        self.inner.usage_by_class(bucket).await
    }

    async fn delete_bucket(&self, name: &str) -> Result<Freed, Error> {
        // It has no objects, or it is refused: what keys stood for is gone from here since they were deleted.
        self.write(vec![bucket_name(name)], self.inner.delete_bucket(name)).await
    }

    async fn put_object(&self, put: &PutObject, condition: &Condition) -> Result<Written, Error> {
        let names = vec![object_name(&put.bucket, &put.object.info.key)];
        self.write(names, self.inner.put_object(put, condition)).await
    }

    async fn put_replica(&self, replica: &Replica) -> Result<Placed, Error> {
        let (bucket, key) = replica.place();
        self.write(vec![object_name(bucket, key)], self.inner.put_replica(replica)).await
    }

    async fn replicated(&self, version: &S3ReplicationRow, failed: Option<&str>) -> Result<(), Error> {
        let names = vec![object_name(&version.bucket, &version.key.0)];
        self.write(names, self.inner.replicated(version, failed)).await
    }

    async fn object(&self, bucket: &str, id: Option<i64>, key: &str, which: Which<'_>) -> Result<Option<Found>, Error> {
        if which != Which::Latest {
            return self.inner.object(bucket, id, key, which).await;
        }
        let entry = object_name(bucket, key);
        if let Some(Entry::Object(found)) = self.kept.get(&entry).as_deref()
            && self.is_still(bucket, id)
        {
            return Ok(Some(found.clone()));
        }
        let reading = self.kept.read(entry);
        let found = self.inner.object(bucket, id, key, which).await?;
        if let Some(found) = &found {
            reading.keep(|| Entry::Object(found.clone()));
        }
        Ok(found)
    }

    async fn change_properties(
        &self,
        bucket: &str,
        key: &str,
        which: Which<'_>,
        change: &PropertyChange<'_>,
    ) -> Result<Option<ObjectInfo>, Error> {
        // Whichever version is meant: it may be the one that the key stands for.
        let names = vec![object_name(bucket, key)];
        self.write(names, self.inner.change_properties(bucket, key, which, change)).await
    }

    async fn delete_objects(
        &self,
        bucket: &str,
        deletions: &[Deletion],
        now_ms: i64,
    ) -> Result<(Vec<Deleted>, Freed), Error> {
        let names = deletions.iter().map(|deletion| object_name(bucket, &deletion.delete.key)).collect();
        self.write(names, self.inner.delete_objects(bucket, deletions, now_ms)).await
    }

    async fn list_objects(
        &self,
        bucket: &str,
        prefix: &str,
        from: Place<'_>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error> {
        self.inner.list_objects(bucket, prefix, from, limit).await
    }

    async fn list_entries(
        &self,
        bucket: &str,
        prefix: &str,
        delimiter: &str,
        from: Place<'_>,
        limit: usize,
    ) -> Result<Vec<ListEntry>, Error> {
        self.inner.list_entries(bucket, prefix, delimiter, from, limit).await
    }

    async fn list_versions(
        &self,
        bucket: &str,
        prefix: &str,
        from: VersionPlace<'_>,
        limit: usize,
    ) -> Result<Vec<ListedVersion>, Error> {
        self.inner.list_versions(bucket, prefix, from, limit).await
    }

    async fn create_upload(&self, upload: &Upload) -> Result<(), Error> {
        self.inner.create_upload(upload).await
    }

    async fn upload(&self, id: &str) -> Result<Option<Upload>, Error> {
        self.inner.upload(id).await
    }

    async fn list_uploads(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<(&str, &str)>,
        limit: usize,
    ) -> Result<Vec<Upload>, Error> {
        self.inner.list_uploads(bucket, prefix, after, limit).await
    }

    async fn abort_upload(&self, id: &str) -> Result<Freed, Error> {
        self.inner.abort_upload(id).await
    }

    async fn put_part(&self, upload_id: &str, part: &Part, stored: u64) -> Result<Freed, Error> {
        self.inner.put_part(upload_id, part, stored).await
    }

    async fn parts(&self, upload_id: &str, after: u32, limit: usize) -> Result<Vec<Part>, Error> {
        self.inner.parts(upload_id, after, limit).await
    }

    async fn complete_upload(&self, upload_id: &str, put: &PutObject, condition: &Condition) -> Result<Written, Error> {
        let names = vec![object_name(&put.bucket, &put.object.info.key)];
        self.write(names, self.inner.complete_upload(upload_id, put, condition)).await
    }

    async fn existing_blobs(&self, ids: &[BlobId]) -> Result<HashSet<BlobId>, Error> {
        self.inner.existing_blobs(ids).await
    }

    async fn blob_behind(&self, id: &BlobId) -> Result<Option<BlobId>, Error> {
        self.inner.blob_behind(id).await
    }

    async fn settle_log(&self) -> Result<(), Error> {
        self.inner.settle_log().await
    }

    async fn garbage(&self, now_ms: i64, limit: usize) -> Result<Vec<BlobId>, Error> {
        self.inner.garbage(now_ms, limit).await
    }

    async fn forget_garbage(&self, gone: &[BlobId], stuck: &[BlobId], retry_ms: i64) -> Result<(), Error> {
        self.inner.forget_garbage(gone, stuck, retry_ms).await
    }

    async fn image(&self, digest: &str) -> Result<Option<Image>, Error> {
        self.inner.image(digest).await
    }

    async fn claim_image(&self, image: &Image, holder: &str, new: bool) -> Result<bool, Error> {
        self.inner.claim_image(image, holder, new).await
    }

    async fn release_image(&self, digest: &str, holder: &str) -> Result<Freed, Error> {
        self.inner.release_image(digest, holder).await
    }

    async fn images(&self, after: &str, limit: usize) -> Result<Vec<Image>, Error> {
        self.inner.images(after, limit).await
    }
}

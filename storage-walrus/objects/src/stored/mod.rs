//! The engine's metadata in the cloud's database.

mod quota;
mod rows;

use rows::{
    account, blob, blobs, bucket, document, found, object_part, open_inline, or_gone, part, rows, seal_inline,
    to_document, upload,
};

use crate::blob::BlobId;
use crate::error::Error;
use crate::limits::Limits;
use crate::metadata::{Freed, Metadata, Place};
use crate::model::{Bucket, Checksums, Condition, Content, Image, Listed, Object, ObjectInfo, Part, PutObject, Upload};
use mallee_store::{
    ImageBlobRow, S3BucketRow, S3Key, S3ListFrom, S3ObjectPartRow, S3ObjectRow, S3PartRow, S3UploadRow, Store,
    StoreError, Tx, image_blob_delete_unclaimed, image_blob_fetch, image_blob_insert, image_blob_list,
    image_claim_delete, image_claim_insert, image_claim_list, quota_hold, s3_blob_insert, s3_blob_list,
    s3_bucket_delete, s3_bucket_fetch, s3_bucket_insert, s3_bucket_list, s3_object_delete, s3_object_fetch,
    s3_object_list, s3_object_parts, s3_object_put, s3_part_list, s3_part_put, s3_upload_delete, s3_upload_fetch,
    s3_upload_insert, s3_upload_list,
};
use std::collections::HashSet;
use std::sync::Arc;

/// Rows fetched at once where all of something is wanted.
const PAGE: u32 = 1000;
/// How often a look-up starts over because the object was overwritten between its two queries.
const LOOKUP_ATTEMPTS: u32 = 5;

/// See the module.
#[derive(Debug, Clone)]
pub struct StoreMetadata {
    store: Store,
    /// Of the request it is for.
    limits: Option<Arc<Limits>>,
}

/// Writes an object within a transaction.
async fn put(tx: &mut Tx, put: &PutObject, condition: &Condition) -> Result<Freed, Error> {
    let info = &put.object.info;
    found(s3_bucket_fetch(&mut *tx, &put.bucket).await)?.ok_or(Error::NoBucket)?;
    if *condition != Condition::None {
        // The same lock that the write takes: nobody writes between this look and that write.
        tx.lock(&format!("s3/{}/{}", put.bucket, info.key)).await?;
        let old = s3_object_fetch(&mut *tx, &put.bucket, &info.key).await?;
        match (condition, old) {
            (Condition::None, _) | (Condition::Absent, None) => {}
            (Condition::Etag(wanted), Some(old)) if *wanted == old.etag => {}
            (Condition::Etag(_), None) => return Err(Error::NoObject),
            _ => return Err(Error::Precondition),
        }
    }
    if let Some((id, size)) = &put.new_blob {
        s3_blob_insert(tx, id.as_str(), *size).await?;
    }
    let (mut blob_id, mut inline, mut parts) = (None, None, Vec::new());
    match &put.object.content {
        Content::Inline(data) => inline = Some(seal_inline(data)),
        Content::Blob(id) => blob_id = Some(id.as_str().to_owned()),
        Content::Parts(list) => {
            parts = list
                .iter()
                .map(|p| S3ObjectPartRow {
                    part_number: p.number,
                    size_bytes: p.size,
                    blob_id: p.blob.as_str().to_owned(),
                    checksums: p.checksums.to_text(),
                })
                .collect();
        }
    }
    let row = S3ObjectRow {
        bucket: put.bucket.clone(),
        key: S3Key(info.key.clone()),
        size_bytes: info.size,
        etag: info.etag.clone(),
        blob_id,
        inline,
        content_type: info.content_type.clone(),
        metadata: to_document(&info.attributes)?,
        checksums: info.checksums.to_text(),
        created_ms: info.created_ms,
        version: info.version.clone(),
    };
    blobs(or_gone(s3_object_put(tx, &row, &parts).await)?)
}

impl StoreMetadata {
    /// Over an open store.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self { store, limits: None }
    }

    /// [`put`], within the quotas.
    async fn put(&self, tx: &mut Tx, new: &PutObject, condition: &Condition) -> Result<Freed, Error> {
        let Some(limits) = &self.limits else { return put(tx, new, condition).await };
        let account = quota::before_object(tx, &new.bucket, limits).await?;
        let freed = put(tx, new, condition).await?;
        if let Some(account) = account {
            quota::after_object(tx, &account, &new.bucket, limits).await?;
        }
        Ok(freed)
    }

    async fn holders(&self, row: ImageBlobRow) -> Result<Image, Error> {
        let holders = image_claim_list(&self.store, &row.digest).await?;
        Ok(Image {
            blob: blob(&row.blob_id)?,
            digest: row.digest,
            format: row.format,
            size: row.size_bytes,
            virtual_size: row.virtual_size_bytes,
            created_ms: row.created_ms,
            holders,
        })
    }
}

#[async_trait::async_trait]
impl Metadata for StoreMetadata {
    fn limited(self: Arc<Self>, limits: Arc<Limits>) -> Arc<dyn Metadata> {
        Arc::new(Self { store: self.store.clone(), limits: Some(limits) })
    }

    async fn create_bucket(&self, new: &Bucket) -> Result<(), Error> {
        let row = S3BucketRow {
            name: new.name.clone(),
            account_id: account(&new.account)?,
            region: new.region.clone(),
            created_ms: new.created_ms,
        };
        let mut tx = self.store.write().await?;
        if self.limits.is_some() {
            quota_hold(&mut tx, &row.account_id).await?;
        }
        match s3_bucket_insert(&mut tx, &row).await {
            Ok(()) => {
                if let Some(limits) = &self.limits {
                    quota::after_bucket(&mut tx, &row.account_id, &row.name, limits).await?;
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
        Ok(found(s3_bucket_fetch(&self.store, name).await)?.map(bucket))
    }

    async fn buckets(&self, owner: &str, after: &str, limit: usize) -> Result<Vec<Bucket>, Error> {
        let all = s3_bucket_list(&self.store, &account(owner)?).await?;
        Ok(all.into_iter().filter(|b| b.name.as_str() > after).take(limit).map(bucket).collect())
    }

    async fn delete_bucket(&self, name: &str) -> Result<Freed, Error> {
        let mut tx = self.store.write().await?;
        if !s3_object_list(&mut tx, name, "", S3ListFrom::Start, 1).await?.is_empty() {
            return Err(Error::BucketNotEmpty);
        }
        let mut freed = Vec::new();
        loop {
            let uploads = s3_upload_list(&mut tx, name, "", None, PAGE).await?;
            if uploads.is_empty() {
                break;
            }
            for upload in uploads {
                freed.extend(s3_upload_delete(&mut tx, &upload.id).await?.unwrap_or_default());
            }
        }
        match s3_bucket_delete(&mut tx, name).await {
            Ok(true) => {}
            Ok(false) => return Err(Error::NoBucket),
            Err(StoreError::InUse) => return Err(Error::BucketNotEmpty),
            Err(error) => return Err(error.into()),
        }
        tx.commit().await?;
        blobs(freed)
    }

    async fn put_object(&self, new: &PutObject, condition: &Condition) -> Result<Freed, Error> {
        let mut tx = self.store.write().await?;
        let freed = self.put(&mut tx, new, condition).await?;
        tx.commit().await?;
        Ok(freed)
    }

    async fn object(&self, bucket: &str, key: &str) -> Result<Option<Object>, Error> {
        for _ in 0..LOOKUP_ATTEMPTS {
            let Some(row) = s3_object_fetch(&self.store, bucket, key).await? else { return Ok(None) };
            let content = match (row.inline, row.blob_id) {
                (Some(sealed), _) => Content::Inline(open_inline(sealed, key)?),
                (None, Some(id)) => Content::Blob(blob(&id)?),
                (None, None) => {
                    let parts = s3_object_parts(&self.store, &row.version).await?;
                    if parts.is_empty() {
                        // Overwritten since the first query; an object always has parts, a blob or inline bytes.
                        continue;
                    }
                    Content::Parts(parts.into_iter().map(object_part).collect::<Result<_, _>>()?)
                }
            };
            let info = ObjectInfo {
                key: row.key.0,
                size: row.size_bytes,
                etag: row.etag,
                created_ms: row.created_ms,
                version: row.version,
                content_type: row.content_type,
                attributes: document(&row.metadata, "object's headers")?,
                checksums: Checksums::from_text(&row.checksums),
            };
            return Ok(Some(Object { info, content }));
        }
        Err(Error::Gone)
    }

    async fn delete_objects(&self, bucket: &str, keys: &[String]) -> Result<Freed, Error> {
        // In one order, so that two batches cannot wait for each other's locks.
        let mut keys: Vec<&String> = keys.iter().collect();
        keys.sort_unstable();
        keys.dedup();
        let mut tx = self.store.write().await?;
        let mut freed = Vec::new();
        for key in keys {
            freed.extend(found(s3_object_delete(&mut tx, bucket, key).await)?.flatten().unwrap_or_default());
        }
        tx.commit().await?;
        blobs(freed)
    }

    async fn list_objects(
        &self,
        bucket: &str,
        prefix: &str,
        from: Place<'_>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error> {
        let from = match from {
            Place::Start => S3ListFrom::Start,
            Place::AfterKey(key) => S3ListFrom::AfterKey(key),
            Place::AfterPrefix(prefix) => S3ListFrom::AfterPrefix(prefix),
        };
        let page = s3_object_list(&self.store, bucket, prefix, from, rows(limit)).await?;
        Ok(page
            .into_iter()
            .map(|row| Listed {
                key: row.key.0,
                size: row.size_bytes,
                etag: row.etag,
                created_ms: row.created_ms,
                checksums: Checksums::from_text(&row.checksums),
            })
            .collect())
    }

    async fn create_upload(&self, new: &Upload) -> Result<(), Error> {
        let row = S3UploadRow {
            id: new.id.clone(),
            bucket: new.bucket.clone(),
            key: S3Key(new.key.clone()),
            account_id: account(&new.account)?,
            created_ms: new.created_ms,
            doc: to_document(&new.doc)?,
        };
        let mut tx = self.store.write().await?;
        match s3_upload_insert(&mut tx, &row).await {
            Ok(()) => Ok(tx.commit().await?),
            Err(StoreError::InUse) => Err(Error::NoBucket),
            Err(error) => Err(error.into()),
        }
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
        let page = s3_upload_list(&self.store, bucket, prefix, after, rows(limit)).await?;
        page.into_iter().map(upload).collect()
    }

    async fn abort_upload(&self, id: &str) -> Result<Freed, Error> {
        let mut tx = self.store.write().await?;
        let freed = s3_upload_delete(&mut tx, id).await?.ok_or(Error::NoUpload)?;
        tx.commit().await?;
        blobs(freed)
    }

    async fn put_part(&self, upload_id: &str, part: &Part, new: bool) -> Result<Freed, Error> {
        let row = S3PartRow {
            upload_id: upload_id.to_owned(),
            part_number: part.number,
            size_bytes: part.size,
            etag: part.etag.clone(),
            blob_id: part.blob.as_str().to_owned(),
            checksums: part.checksums.to_text(),
            created_ms: part.created_ms,
        };
        let mut tx = self.store.write().await?;
        if found(s3_upload_fetch(&mut tx, upload_id).await)?.is_none() {
            return Err(Error::NoUpload);
        }
        if new {
            s3_blob_insert(&mut tx, part.blob.as_str(), part.size).await?;
        }
        let freed = or_gone(s3_part_put(&mut tx, &row).await)?;
        tx.commit().await?;
        blobs(freed)
    }

    async fn parts(&self, upload_id: &str, after: u32, limit: usize) -> Result<Vec<Part>, Error> {
        let page = s3_part_list(&self.store, upload_id, after, rows(limit)).await?;
        page.into_iter().map(part).collect()
    }

    async fn complete_upload(&self, upload_id: &str, new: &PutObject, condition: &Condition) -> Result<Freed, Error> {
        let mut tx = self.store.write().await?;
        // The lock that parts are written under: none changes until the end of this transaction.
        tx.lock(&format!("s3-upload/{upload_id}")).await?;
        if found(s3_upload_fetch(&mut tx, upload_id).await)?.is_none() {
            return Err(Error::NoUpload);
        }
        if let Content::Parts(chosen) = &new.object.content {
            let current = s3_part_list(&mut tx, upload_id, 0, u32::MAX >> 1).await?;
            let current: HashSet<_> = current.into_iter().map(|p| (p.part_number, p.blob_id)).collect();
            if chosen.iter().any(|p| !current.contains(&(p.number, p.blob.as_str().to_owned()))) {
                return Err(Error::PartChanged);
            }
        }
        let mut freed = self.put(&mut tx, new, condition).await?;
        freed.extend(blobs(s3_upload_delete(&mut tx, upload_id).await?.ok_or(Error::NoUpload)?)?);
        tx.commit().await?;
        Ok(freed)
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

    async fn image(&self, digest: &str) -> Result<Option<Image>, Error> {
        match image_blob_fetch(&self.store, digest).await? {
            Some(row) => self.holders(row).await.map(Some),
            None => Ok(None),
        }
    }

    async fn claim_image(&self, image: &Image, holder: &str, new: bool) -> Result<Freed, Error> {
        let mut tx = self.store.write().await?;
        tx.lock(&format!("s3-image/{}", image.digest)).await?;
        let mut freed = Freed::new();
        if image_blob_fetch(&mut tx, &image.digest).await?.is_some() {
            freed.extend(new.then(|| image.blob.clone()));
        } else {
            if new {
                s3_blob_insert(&mut tx, image.blob.as_str(), image.size).await?;
            }
            let row = ImageBlobRow {
                digest: image.digest.clone(),
                format: image.format.clone(),
                size_bytes: image.size,
                virtual_size_bytes: image.virtual_size,
                created_ms: image.created_ms,
                blob_id: image.blob.as_str().to_owned(),
            };
            or_gone(image_blob_insert(&mut tx, &row).await)?;
        }
        image_claim_insert(&mut tx, &image.digest, holder).await?;
        tx.commit().await?;
        Ok(freed)
    }

    async fn release_image(&self, digest: &str, holder: &str) -> Result<Freed, Error> {
        let mut tx = self.store.write().await?;
        tx.lock(&format!("s3-image/{digest}")).await?;
        image_claim_delete(&mut tx, digest, holder).await?;
        let freed = image_blob_delete_unclaimed(&mut tx, digest).await?.unwrap_or_default();
        tx.commit().await?;
        blobs(freed)
    }

    async fn images(&self, after: &str, limit: usize) -> Result<Vec<Image>, Error> {
        let mut out = Vec::new();
        for row in image_blob_list(&self.store).await?.into_iter().filter(|r| r.digest.as_str() > after).take(limit) {
            out.push(self.holders(row).await?);
        }
        Ok(out)
    }
}

//! What the engine needs of a metadata store. Each method is one transaction, durable when it returns.

use crate::blob::BlobId;
use crate::error::Error;
use crate::limits::Limits;
use crate::model::{Bucket, Condition, Image, Listed, Object, Part, PutObject, Upload};
use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;

/// Blobs whose last reference went with the transaction: their rows are gone, their bytes may be deleted.
pub type Freed = Vec<BlobId>;

/// Where a listing goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// At the first key.
    Start,
    /// After this key.
    AfterKey(&'a str),
    /// After every key that begins with this.
    AfterPrefix(&'a str),
}

/// Buckets, objects, uploads, blob references and images. Two implementations: the database
/// ([`crate::StoreMetadata`]) and a reference in memory ([`crate::memory::MemoryMetadata`]), held equal by tests.
#[async_trait::async_trait]
pub trait Metadata: Send + Sync + Debug {
    /// The same store for one request with these quotas: buckets and objects that would exceed one are
    /// [`Error::Quota`].
    fn limited(self: Arc<Self>, limits: Arc<Limits>) -> Arc<dyn Metadata>;
    /// Makes a bucket; [`Error::BucketExists`] with its row if the name is taken.
    async fn create_bucket(&self, bucket: &Bucket) -> Result<(), Error>;
    /// One bucket.
    async fn bucket(&self, name: &str) -> Result<Option<Bucket>, Error>;
    /// Buckets of an account whose names sort after `after`.
    async fn buckets(&self, account: &str, after: &str, limit: usize) -> Result<Vec<Bucket>, Error>;
    /// Removes an empty bucket and its unfinished uploads; [`Error::NoBucket`], [`Error::BucketNotEmpty`].
    async fn delete_bucket(&self, name: &str) -> Result<Freed, Error>;

    /// Writes an object in place of the one under its key. [`Error::NoBucket`], [`Error::Precondition`],
    /// [`Error::NoObject`] (a wanted tag and no object), [`Error::Gone`] (a referenced blob has no row).
    async fn put_object(&self, put: &PutObject, condition: &Condition) -> Result<Freed, Error>;
    /// One object.
    async fn object(&self, bucket: &str, key: &str) -> Result<Option<Object>, Error>;
    /// Removes objects; keys that are not there are passed over.
    async fn delete_objects(&self, bucket: &str, keys: &[String]) -> Result<Freed, Error>;
    /// Objects whose key begins with `prefix`, in byte order.
    async fn list_objects(
        &self,
        bucket: &str,
        prefix: &str,
        from: Place<'_>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error>;

    /// Records an upload; [`Error::NoBucket`].
    async fn create_upload(&self, upload: &Upload) -> Result<(), Error>;
    /// One upload.
    async fn upload(&self, id: &str) -> Result<Option<Upload>, Error>;
    /// Uploads whose key begins with `prefix`, by key and id, after that pair.
    async fn list_uploads(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<(&str, &str)>,
        limit: usize,
    ) -> Result<Vec<Upload>, Error>;
    /// Removes an upload and its parts; [`Error::NoUpload`].
    async fn abort_upload(&self, id: &str) -> Result<Freed, Error>;
    /// Writes a part, in place of one of the same number. `new` tells that the blob has no row yet.
    /// [`Error::NoUpload`], [`Error::Gone`].
    async fn put_part(&self, upload_id: &str, part: &Part, new: bool) -> Result<Freed, Error>;
    /// Parts numbered above `after`.
    async fn parts(&self, upload_id: &str, after: u32, limit: usize) -> Result<Vec<Part>, Error>;
    /// Turns parts into an object and removes the upload. [`Error::NoUpload`], [`Error::PartChanged`] when a part of
    /// the content is not the upload's current one, and what [`Metadata::put_object`] answers.
    async fn complete_upload(&self, upload_id: &str, put: &PutObject, condition: &Condition) -> Result<Freed, Error>;

    /// Which of these blobs, all of one shard (the same first two digits), have a row.
    async fn existing_blobs(&self, ids: &[BlobId]) -> Result<HashSet<BlobId>, Error>;

    /// One image.
    async fn image(&self, digest: &str) -> Result<Option<Image>, Error>;
    /// Records an image, unless the digest is known, and adds `holder` to it. `new` tells that the blob has no row yet.
    /// Returns the blobs that ended unused (the given one, when the digest was known). [`Error::Gone`].
    async fn claim_image(&self, image: &Image, holder: &str, new: bool) -> Result<Freed, Error>;
    /// Drops a holder; the image goes with the last one. Unknown digests and holders are passed over.
    async fn release_image(&self, digest: &str, holder: &str) -> Result<Freed, Error>;
    /// Images with digests above `after`.
    async fn images(&self, after: &str, limit: usize) -> Result<Vec<Image>, Error>;
}

//! What the engine needs of a metadata store. Each method is one transaction, durable when it returns. Those that may
//! drop references to blobs tell how many blobs lost their last one: these are garbage from then on
//! ([`Metadata::garbage`]), also when nobody comes to use the answer.

use crate::blob::BlobId;
use crate::error::Error;
use crate::limits::Limits;
use crate::model::{
    Bucket, Condition, Found, Image, ListEntry, Listed, ListedVersion, ObjectInfo, Owner, OwnerName, Part, PutObject,
    Upload, Usage,
};
use crate::origin::Origin;
use crate::properties::PropertyChange;
use crate::replica::{Placed, Replica};
use crate::version::{Delete, Deleted, VersionId, Versioning, Which};
use mallee_store::S3ReplicationRow;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;

/// How many blobs became garbage.
pub type Freed = usize;

/// Says whether a bucket may be configured so, within the transaction that does it.
pub type BucketCheck<'c> = dyn Fn(&Bucket) -> Result<(), Error> + Send + Sync + 'c;

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

/// Where a listing of versions goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionPlace<'a> {
    /// As a listing of objects: keys come with all their versions.
    Keys(Place<'a>),
    /// After this version of a key (whether it is still there or not).
    AfterVersion(&'a str, VersionId),
}

/// [`Error::NoBucket`] if the bucket of this name is another one now than the request was decided about. (Names are given
/// again, numbers are not.)
pub(crate) fn must_be_decided(decided: &[Bucket], name: &str, id: i64) -> Result<(), Error> {
    match decided.iter().any(|bucket| bucket.name == name && bucket.id != id) {
        true => Err(Error::NoBucket),
        false => Ok(()),
    }
}

/// [`Error::Gone`] if a bucket has been configured anew since the request was decided about it.
pub(crate) fn must_be_unchanged(decided: &[Bucket], id: i64, rev: u64) -> Result<(), Error> {
    match decided.iter().any(|bucket| bucket.id == id && bucket.rev != rev) {
        true => Err(Error::Gone),
        false => Ok(()),
    }
}

/// What a write made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The new version.
    pub version: VersionId,
    /// What it freed.
    pub freed: Freed,
}

/// A deletion, with what a delete marker is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// What goes.
    pub delete: Delete,
    /// Names the writing of the marker.
    pub write_id: String,
    /// Random part of the marker's version id: positive.
    pub random: i64,
    /// Only while this writing is what is deleted, or what the key stands for; none: whatever is there.
    pub only: Option<String>,
}

/// Buckets, objects, uploads, blob references and images. Two implementations: the database
/// ([`crate::StoreMetadata`]) and a reference in memory ([`crate::memory::MemoryMetadata`]), held equal by tests.
#[async_trait::async_trait]
pub trait Metadata: Send + Sync + Debug {
    /// The same store for one request with these quotas: buckets and objects that would exceed one are
    /// [`Error::Quota`].
    fn limited(self: Arc<Self>, limits: Arc<Limits>) -> Arc<dyn Metadata>;
    /// The same store for a request that was decided about these buckets: where another bucket has a name of theirs by
    /// now, its changes find none ([`Error::NoBucket`]).
    fn within(self: Arc<Self>, decided: Arc<[Bucket]>) -> Arc<dyn Metadata>;
    /// The same store for a request that counts on what those buckets say: where one has been configured anew by now, its
    /// changes of it and of what is in it are [`Error::Gone`].
    fn unchanged(self: Arc<Self>) -> Arc<dyn Metadata>;
    /// The same store for changes that come from there.
    fn by(self: Arc<Self>, origin: Arc<Origin>) -> Arc<dyn Metadata>;
    /// Nothing that is kept of what this key stands for is used any more: its bytes were not where it said.
    fn forget(&self, _bucket: &str, _key: &str) {}
    /// Makes a bucket with its documents; [`Error::BucketExists`] with its row if the name is taken.
    async fn create_bucket(&self, bucket: &Bucket) -> Result<(), Error>;
    /// One bucket.
    async fn bucket(&self, name: &str) -> Result<Option<Bucket>, Error>;
    /// Buckets of an account whose names sort after `after`.
    async fn buckets(&self, account: &str, after: &str, limit: usize) -> Result<Vec<Bucket>, Error>;
    /// Enables or suspends versioning, and asks for a second factor from whoever deletes versions, or no more (`None`: as
    /// it was); [`Error::NoBucket`], [`Error::State`] for what the bucket's other documents do not allow.
    async fn set_versioning(
        &self,
        bucket: &str,
        versioning: Versioning,
        mfa_delete: Option<bool>,
        now_ms: i64,
    ) -> Result<(), Error>;
    /// Puts a document of a bucket, or removes it; false if there was none to remove. [`Error::NoBucket`],
    /// [`Error::TooMany`]. `check` is called within the transaction, with the bucket as it is.
    async fn set_document(
        &self,
        bucket: &str,
        kind: &str,
        id: &str,
        doc: Option<&str>,
        now_ms: i64,
        check: &BucketCheck<'_>,
    ) -> Result<bool, Error>;
    /// Accounts of a name that have used S3: none, one, or two of many.
    async fn owners(&self, name: OwnerName<'_>) -> Result<Vec<Owner>, Error>;
    /// Notes an account's names, unless it has some.
    async fn ensure_owner(&self, owner: &Owner) -> Result<(), Error>;
    /// What a bucket holds; [`Error::NoBucket`].
    async fn usage(&self, bucket: &str) -> Result<Usage, Error>;
    /// What a bucket holds of each storage class that it holds anything of (parts of uploads: of STANDARD);
    /// [`Error::NoBucket`].
    async fn usage_by_class(&self, bucket: &str) -> Result<BTreeMap<String, Usage>, Error>;
    /// Removes a bucket without any version, and its unfinished uploads; [`Error::NoBucket`], [`Error::BucketNotEmpty`].
    async fn delete_bucket(&self, name: &str) -> Result<Freed, Error>;

    /// Writes an object as the newest version of its key, in place of what the bucket's versioning does not keep.
    /// Of its version id only the random part is taken. [`Error::NoBucket`], [`Error::Precondition`],
    /// [`Error::NoObject`] (a wanted tag and no object), [`Error::Gone`] (a referenced blob has no row),
    /// [`Error::Locked`] (what it would take away is retained).
    async fn put_object(&self, put: &PutObject, condition: &Condition) -> Result<Written, Error>;
    /// Writes a version that another bucket has, under its id, unless it is there. [`Error::NoBucket`], [`Error::State`] (the
    /// bucket's versioning is not enabled, another version has the place), [`Error::Gone`].
    async fn put_replica(&self, replica: &Replica) -> Result<Placed, Error>;
    /// Forgets that a version waits to be brought to a target, unless it has changed since, and notes how that ended.
    async fn replicated(&self, version: &S3ReplicationRow, failed: Option<&str>) -> Result<(), Error>;
    /// One version of a key, or a delete marker; in the bucket of this number, if one is given, or in none
    /// ([`Error::NoBucket`] where another one has its name by now, and the key).
    async fn object(&self, bucket: &str, id: Option<i64>, key: &str, which: Which<'_>) -> Result<Option<Found>, Error>;
    /// Changes what is said of a version: its id and what was made of it; `None` if there is no such version, or it is a
    /// delete marker. [`Error::NoBucket`], and what `change` answers.
    async fn change_properties(
        &self,
        bucket: &str,
        key: &str,
        which: Which<'_>,
        change: &PropertyChange<'_>,
    ) -> Result<Option<ObjectInfo>, Error>;
    /// Deletes keys and versions, at a time; what was done, in the same order. [`Error::NoBucket`].
    async fn delete_objects(
        &self,
        bucket: &str,
        deletions: &[Deletion],
        now_ms: i64,
    ) -> Result<(Vec<Deleted>, Freed), Error>;
    /// Objects whose key begins with `prefix`, in byte order.
    async fn list_objects(
        &self,
        bucket: &str,
        prefix: &str,
        from: Place<'_>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error>;
    /// Entries of a listing with a delimiter, of keys that begin with `prefix`, in byte order: keys that have the delimiter
    /// behind the prefix are one entry for all that are alike up to it. There is a delimiter.
    async fn list_entries(
        &self,
        bucket: &str,
        prefix: &str,
        delimiter: &str,
        from: Place<'_>,
        limit: usize,
    ) -> Result<Vec<ListEntry>, Error>;
    /// Versions and delete markers of keys that begin with `prefix`, in byte order, and of a key the newest first.
    async fn list_versions(
        &self,
        bucket: &str,
        prefix: &str,
        from: VersionPlace<'_>,
        limit: usize,
    ) -> Result<Vec<ListedVersion>, Error>;

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
    /// Writes a part, whose blob of so many `stored` bytes has no row yet, in place of one of the same number.
    /// [`Error::NoUpload`].
    async fn put_part(&self, upload_id: &str, part: &Part, stored: u64) -> Result<Freed, Error>;
    /// Parts numbered above `after`.
    async fn parts(&self, upload_id: &str, after: u32, limit: usize) -> Result<Vec<Part>, Error>;
    /// Turns parts into an object and removes the upload. [`Error::NoUpload`], [`Error::PartChanged`] when a part of
    /// the content is not the upload's current one, and what [`Metadata::put_object`] answers.
    async fn complete_upload(&self, upload_id: &str, put: &PutObject, condition: &Condition) -> Result<Written, Error>;

    /// Which of these blobs, all of one shard (the same first two digits), have a row.
    async fn existing_blobs(&self, ids: &[BlobId]) -> Result<HashSet<BlobId>, Error>;
    /// Of the blobs that have a row, the first behind this one in the order of their ids.
    async fn blob_behind(&self, id: &BlobId) -> Result<Option<BlobId>, Error>;
    /// To be called between [`Metadata::existing_blobs`] or [`Metadata::blob_behind`] and the deletion of what has no row:
    /// afterwards no commit that was never answered can bring a row of an earlier write back.
    async fn settle_log(&self) -> Result<(), Error>;
    /// Blobs whose bytes may be deleted at `now_ms`, those that wait longest first.
    async fn garbage(&self, now_ms: i64, limit: usize) -> Result<Vec<BlobId>, Error>;
    /// Forgets garbage whose bytes are `gone`, and puts off until `retry_ms` what is `stuck`.
    async fn forget_garbage(&self, gone: &[BlobId], stuck: &[BlobId], retry_ms: i64) -> Result<(), Error>;

    /// One image.
    async fn image(&self, digest: &str) -> Result<Option<Image>, Error>;
    /// Records an image, unless the digest is known, and adds `holder` to it. `new` tells that the blob has no row yet.
    /// False: the digest was known, and nothing refers to a new blob. [`Error::Gone`].
    async fn claim_image(&self, image: &Image, holder: &str, new: bool) -> Result<bool, Error>;
    /// Drops a holder; the image goes with the last one. Unknown digests and holders are passed over.
    async fn release_image(&self, digest: &str, holder: &str) -> Result<Freed, Error>;
    /// Images with digests above `after`.
    async fn images(&self, after: &str, limit: usize) -> Result<Vec<Image>, Error>;
}

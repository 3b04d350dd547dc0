//! The engine: one handle over the metadata and the blobs. Every method is safe to stop dead at any point.

pub mod collect;
mod list;
pub mod multipart;
pub mod objects;
mod pins;
mod read;
pub mod replicate;
mod sink;
pub mod sweep;

pub use list::{ListQuery, Listing, VersionMarker};
pub use read::ObjectReader;
pub use sink::{Sink, Stored};

use crate::blob::{BlobId, BlobStore, BlobWriter, Level, PACKED_BYTES_MAX};
use crate::crypt::Vault;
use crate::documents::Documents;
use crate::error::Error;
use crate::limits::Limits;
use crate::metadata::{BucketCheck, Freed, Metadata};
use crate::model::{Bucket, Owner, OwnerName, Usage};
use crate::origin::Origin;
use crate::version::Versioning;
use mallee_runtime::task::Nudge;
use mallee_runtime::{Clock, Faults, Rng};
use pins::Pins;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Objects up to this many bytes live in their metadata row.
pub const INLINE_BYTES_MAX: usize = 4 * 1024;

/// Buckets, objects and uploads. Clones share everything.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) meta: Arc<dyn Metadata>,
    pub(crate) blobs: Arc<dyn BlobStore>,
    pub(crate) clock: Clock,
    pub(crate) rng: Rng,
    pub(crate) faults: Faults,
    vault: Option<Vault>,
    /// What it means that bytes were written.
    pub(crate) level: Level,
    /// How many bytes come, where that is known.
    expected: u64,
    /// Wakes whoever deletes garbage.
    pub(crate) garbage: Nudge,
    /// What is being read.
    pins: Arc<Pins>,
}

impl Engine {
    /// An engine over the two stores.
    #[must_use]
    pub fn new(meta: Arc<dyn Metadata>, blobs: Arc<dyn BlobStore>, clock: Clock, rng: Rng, faults: Faults) -> Self {
        let (garbage, pins) = (Nudge::default(), Arc::default());
        Self { meta, blobs, clock, rng, faults, vault: None, level: Level::Strict, expected: 0, garbage, pins }
    }

    /// With the key that protects data keys of objects; without it no object is encrypted.
    #[must_use]
    pub fn with_vault(self, vault: Vault) -> Self {
        Self { vault: Some(vault), ..self }
    }

    /// What seals data keys of objects.
    #[must_use]
    pub const fn vault(&self) -> Option<&Vault> {
        self.vault.as_ref()
    }

    /// The same engine for one request with these quotas.
    #[must_use]
    pub fn limited(&self, limits: Arc<Limits>) -> Self {
        Self { meta: self.meta.clone().limited(limits), ..self.clone() }
    }

    /// The same engine for a request that was decided about these buckets: in others of their names it changes nothing
    /// ([`Error::NoBucket`]).
    #[must_use]
    pub fn within(&self, decided: Arc<[Bucket]>) -> Self {
        Self { meta: self.meta.clone().within(decided), ..self.clone() }
    }

    /// The same engine for a request that counts on what those buckets say: once one has been configured anew, it changes
    /// nothing in it ([`Error::Gone`]).
    #[must_use]
    pub fn unchanged(&self) -> Self {
        Self { meta: self.meta.clone().unchanged(), ..self.clone() }
    }

    /// The same engine for writes at this level.
    #[must_use]
    pub fn at(&self, level: Level) -> Self {
        Self { level, ..self.clone() }
    }

    /// The same engine for a write of about so many bytes: where they are many, none of them wait in memory until it is
    /// known whether more come.
    #[must_use]
    pub fn expecting(&self, bytes: Option<u64>) -> Self {
        Self { expected: bytes.unwrap_or_default(), ..self.clone() }
    }

    /// Begins a blob for the bytes that are expected.
    async fn begin(&self) -> Result<Box<dyn BlobWriter>, Error> {
        match self.expected > PACKED_BYTES_MAX as u64 {
            true => self.blobs.create_large(self.level).await,
            false => self.blobs.create(self.level).await,
        }
    }

    /// Before a reference to bytes that are there already: they may have been written at a lower level than this one.
    ///
    /// # Errors
    /// A failing disk.
    pub async fn flush(&self) -> Result<(), Error> {
        match self.level {
            Level::Strict => self.blobs.flush().await,
            Level::Relaxed => Ok(()),
        }
    }

    /// The same engine for changes that come from there.
    #[must_use]
    pub fn by(&self, origin: Arc<Origin>) -> Self {
        Self { meta: self.meta.clone().by(origin), ..self.clone() }
    }

    /// Where tests make it fail.
    #[must_use]
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The clock its times come from.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The randomness its ids come from.
    #[must_use]
    pub const fn rng(&self) -> &Rng {
        &self.rng
    }

    /// Makes a bucket without any configuration.
    ///
    /// # Errors
    /// As [`Engine::create_bucket_with`].
    pub async fn create_bucket(&self, name: &str, account: &str, region: &str) -> Result<(), Error> {
        self.create_bucket_with(name, account, region, Versioning::Off, Documents::default()).await
    }

    /// Makes a bucket with these documents.
    ///
    /// # Errors
    /// [`Error::BucketExists`]; a failing store.
    pub async fn create_bucket_with(
        &self,
        name: &str,
        account: &str,
        region: &str,
        versioning: Versioning,
        docs: Documents,
    ) -> Result<(), Error> {
        self.faults.point("walrus.bucket.create").await?;
        let bucket = Bucket {
            id: 0,
            name: name.to_owned(),
            account: account.to_owned(),
            region: region.to_owned(),
            created_ms: self.clock.now_ms(),
            versioning,
            rev: 1,
            docs,
        };
        self.meta.create_bucket(&bucket).await?;
        self.faults.point("walrus.bucket.create.done").await?;
        Ok(())
    }

    /// One bucket.
    ///
    /// # Errors
    /// [`Error::NoBucket`]; a failing store.
    pub async fn bucket(&self, name: &str) -> Result<Bucket, Error> {
        self.meta.bucket(name).await?.ok_or(Error::NoBucket)
    }

    /// Buckets of an account, by name, after a name.
    ///
    /// # Errors
    /// A failing store.
    pub async fn buckets(&self, account: &str, after: &str, limit: usize) -> Result<Vec<Bucket>, Error> {
        self.meta.buckets(account, after, limit).await
    }

    /// Enables or suspends versioning. What is written afterwards goes by it.
    ///
    /// # Errors
    /// [`Error::NoBucket`], [`Error::State`] in a bucket with object lock; a failing store.
    pub async fn set_versioning(&self, bucket: &str, versioning: Versioning) -> Result<(), Error> {
        self.set_versioning_and_mfa_delete(bucket, versioning, None).await
    }

    /// As [`Engine::set_versioning`]; and from now on versions are deleted only with a second factor, or without one again
    /// (`None`: as it was).
    ///
    /// # Errors
    /// As [`Engine::set_versioning`]; [`Error::State`] in a bucket with lifecycle rules.
    pub async fn set_versioning_and_mfa_delete(
        &self,
        bucket: &str,
        versioning: Versioning,
        mfa_delete: Option<bool>,
    ) -> Result<(), Error> {
        self.faults.point("walrus.config.commit").await?;
        self.meta.set_versioning(bucket, versioning, mfa_delete, self.clock.now_ms()).await?;
        self.faults.point("walrus.config.commit.done").await?;
        Ok(())
    }

    /// Puts a document of a bucket if `check` finds nothing against it.
    ///
    /// # Errors
    /// [`Error::NoBucket`], [`Error::TooMany`], what `check` answers; a failing store.
    pub async fn set_document(
        &self,
        bucket: &str,
        kind: &str,
        id: &str,
        doc: &str,
        check: &BucketCheck<'_>,
    ) -> Result<(), Error> {
        self.faults.point("walrus.config.commit").await?;
        self.meta.set_document(bucket, kind, id, Some(doc), self.clock.now_ms(), check).await?;
        self.faults.point("walrus.config.commit.done").await?;
        Ok(())
    }

    /// Removes a document of a bucket; false if it was not there.
    ///
    /// # Errors
    /// [`Error::NoBucket`]; a failing store.
    pub async fn remove_document(&self, bucket: &str, kind: &str, id: &str) -> Result<bool, Error> {
        self.faults.point("walrus.config.commit").await?;
        let removed = self.meta.set_document(bucket, kind, id, None, self.clock.now_ms(), &|_| Ok(())).await?;
        self.faults.point("walrus.config.commit.done").await?;
        Ok(removed)
    }

    /// How S3 names an account.
    ///
    /// # Errors
    /// A failing store.
    pub async fn owner(&self, account: &str) -> Result<Owner, Error> {
        let known = self.meta.owners(OwnerName::Account(account)).await?.into_iter().next();
        Ok(known.unwrap_or_else(|| Owner::of(account)))
    }

    /// Accounts of this name that have used S3: none, one, or two of many.
    ///
    /// # Errors
    /// A failing store.
    pub async fn owners(&self, name: OwnerName<'_>) -> Result<Vec<Owner>, Error> {
        self.meta.owners(name).await
    }

    /// Notes that an account uses S3, so that others find it by its canonical id.
    ///
    /// # Errors
    /// A failing store.
    pub async fn ensure_owner(&self, account: &str) -> Result<(), Error> {
        if self.meta.owners(OwnerName::Account(account)).await?.is_empty() {
            self.faults.point("walrus.owner.commit").await?;
            self.meta.ensure_owner(&Owner::of(account)).await?;
            self.faults.point("walrus.owner.commit.done").await?;
        }
        Ok(())
    }

    /// What a bucket holds.
    ///
    /// # Errors
    /// [`Error::NoBucket`]; a failing store.
    pub async fn usage(&self, bucket: &str) -> Result<Usage, Error> {
        self.meta.usage(bucket).await
    }

    /// What a bucket holds of each storage class that it holds anything of.
    ///
    /// # Errors
    /// [`Error::NoBucket`]; a failing store.
    pub async fn usage_by_class(&self, bucket: &str) -> Result<BTreeMap<String, Usage>, Error> {
        self.meta.usage_by_class(bucket).await
    }

    /// Removes a bucket without any version, with the uploads that were never completed.
    ///
    /// # Errors
    /// [`Error::NoBucket`], [`Error::BucketNotEmpty`]; a failing store.
    pub async fn delete_bucket(&self, name: &str) -> Result<(), Error> {
        self.faults.point("walrus.bucket.delete").await?;
        let freed = self.meta.delete_bucket(name).await?;
        self.faults.point("walrus.bucket.delete.done").await?;
        self.freed(freed);
        Ok(())
    }

    /// A random 63-bit number that is not 0, for a version id.
    pub(crate) fn version_random(&self) -> i64 {
        i64::try_from(self.rng.u64() >> 1).unwrap_or_default().max(1)
    }

    /// Something became garbage: wakes whoever deletes it.
    pub(crate) fn freed(&self, freed: Freed) {
        if freed > 0 {
            self.garbage.wake();
        }
    }

    /// Deletes a blob that no row ever referred to. A failure is no error of the request: the sweep deletes what stays.
    pub(crate) async fn discard(&self, unused: Option<BlobId>) {
        if let Some(id) = unused
            && let Err(error) = self.blobs.delete(&id).await
        {
            tracing::warn!(blob = %id, %error, "an unused blob stays; the sweep will delete it");
        }
    }

    /// Ends a transaction that writes a new blob: deletes that blob when the write was refused.
    pub(crate) async fn settle<T>(&self, result: Result<T, Error>, new: Option<BlobId>) -> Result<T, Error> {
        // A lost connection may hide a commit: then the blob could be in use, and only the sweep, which asks for its
        // row, may delete it.
        if let Err(error) = &result
            && !matches!(error, Error::Uncertain(_))
        {
            self.discard(new).await;
        }
        result
    }
}

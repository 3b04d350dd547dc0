//! Import, claim, release.

use super::format::{Detected, HEAD_BYTES, Refusal, TAIL_BYTES, detect};
use crate::crypt::{AnyReader, DataKey};
use crate::engine::{Engine, ObjectReader};
use crate::error::Error;
use crate::model::{Content, Found, Image, Object};
use crate::version::Which;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// How often an import starts over because the object was overwritten while it was read.
const IMPORT_ATTEMPTS: u32 = 3;

/// Why an import failed.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The bucket or the object does not exist, or belongs to another account.
    #[error("there is no object s3://{0}")]
    NotFound(String),
    /// The object is no acceptable image.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Its bytes are encrypted with a key that is not the store's own.
    #[error("s3://{0} is encrypted with a key of its own; copy it to an object that is not")]
    Encrypted(String),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] Error),
}

/// Disk images on top of the engine.
#[derive(Debug, Clone)]
pub struct ImageStore {
    engine: Engine,
}

impl ImageStore {
    /// Over an engine.
    #[must_use]
    pub const fn new(engine: Engine) -> Self {
        Self { engine }
    }

    /// Checks an object of `account`, takes it into the store under its digest and notes `holder`. Repeating it is
    /// harmless. The bytes are shared with the object where it is one blob, and copied where it has parts, is inline or encrypted;
    /// what happens to the object afterwards does not matter.
    ///
    /// # Errors
    /// [`ImportError`].
    pub async fn import(&self, account: &str, bucket: &str, key: &str, holder: &str) -> Result<Image, ImportError> {
        let mut attempt = 1;
        loop {
            match self.try_import(account, bucket, key, holder).await {
                Err(ImportError::Engine(Error::Gone)) if attempt < IMPORT_ATTEMPTS => attempt += 1,
                other => return other,
            }
        }
    }

    async fn try_import(&self, account: &str, bucket: &str, key: &str, holder: &str) -> Result<Image, ImportError> {
        let absent = || ImportError::NotFound(format!("{bucket}/{key}"));
        // Another account's bucket reads as absent: whether it has such an object is nobody's business.
        let owner = self.engine.meta.bucket(bucket).await?.filter(|b| b.account == account).ok_or_else(absent)?;
        let found = self.engine.meta.object(&owner.name, Some(owner.id), key, Which::Latest).await?;
        let object = found.and_then(Found::object).ok_or_else(absent)?;
        let encrypted = |_| ImportError::Encrypted(format!("{bucket}/{key}"));
        let own = self.engine.own_key(&object).map_err(encrypted)?;
        let detected = self.inspect(&object, own.as_ref()).await?;
        self.engine.faults.point("walrus.image.checked").await.map_err(Error::from)?;
        let (digest, blob, new) = self.take(&object, own.as_ref()).await?;
        let image = Image {
            digest,
            format: detected.format.to_owned(),
            size: object.info.size,
            virtual_size: detected.virtual_size,
            created_ms: self.engine.clock.now_ms(),
            blob,
            holders: Vec::new(),
        };
        let new_blob = new.then(|| image.blob.clone());
        self.engine.flush().await?;
        let result = match self.engine.faults.point("walrus.image.commit").await {
            Ok(()) => self.engine.meta.claim_image(&image, holder, new).await,
            Err(fault) => Err(fault.into()),
        };
        if result.is_ok() {
            self.engine.faults.point("walrus.image.commit.done").await.map_err(Error::from)?;
        }
        let taken = self.engine.settle(result, new_blob.clone()).await?;
        self.engine.discard(new_blob.filter(|_| !taken)).await;
        Ok(image)
    }

    /// Reads both ends of an object and says what it is.
    async fn inspect(&self, object: &Object, key: Option<&DataKey>) -> Result<Detected, ImportError> {
        let size = object.info.size;
        let head = collect(self.engine.read_with(object, key, 0, size.min(HEAD_BYTES as u64)).await?).await?;
        let tail_len = size.min(TAIL_BYTES as u64);
        let tail = collect(self.engine.read_with(object, key, size - tail_len, tail_len).await?).await?;
        Ok(detect(&head, &tail, size)?)
    }

    /// The digest of an object's bytes and a blob that holds them, and whether that blob is new.
    async fn take(&self, object: &Object, key: Option<&DataKey>) -> Result<(String, crate::BlobId, bool), Error> {
        let mut hash = Sha256::new();
        let mut reader = self.engine.read_with(object, key, 0, object.info.size).await?;
        let shared = match &object.content {
            Content::Blob(id) if key.is_none() => Some(id.clone()),
            Content::Blob(_) | Content::Inline(_) | Content::Parts(_) => None,
        };
        let mut copy = shared.is_none().then(|| self.engine.blob_sink());
        while let Some(data) = reader.next().await {
            let data: Bytes = data?;
            hash.update(&data);
            if let Some(copy) = &mut copy {
                copy.write(data).await?;
            }
        }
        let digest = hex::encode(hash.finalize());
        match (shared, copy) {
            (Some(id), _) => Ok((digest, id, false)),
            (None, Some(copy)) => Ok((digest, copy.finish_blob().await?, true)),
            (None, None) => Err(Error::Gone),
        }
    }

    /// Opens an image's bytes from `offset`; `None` if there is no such image, or it is shorter.
    ///
    /// # Errors
    /// A failing store.
    pub async fn read(&self, digest: &str, offset: u64) -> Result<Option<ObjectReader>, Error> {
        let Some(image) = self.engine.meta.image(digest).await? else { return Ok(None) };
        if offset > image.size {
            return Ok(None);
        }
        match self.engine.read_blob(&image.blob, image.size, offset).await {
            Ok(reader) => Ok(Some(reader)),
            // Released meanwhile.
            Err(Error::Gone) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Drops a holder; the bytes go with the last one. Repeating it is harmless.
    ///
    /// # Errors
    /// A failing store.
    pub async fn release(&self, digest: &str, holder: &str) -> Result<(), Error> {
        self.engine.faults.point("walrus.image.release").await?;
        let freed = self.engine.meta.release_image(digest, holder).await?;
        self.engine.faults.point("walrus.image.release.done").await?;
        self.engine.freed(freed);
        Ok(())
    }

    /// Images with digests above `after`.
    ///
    /// # Errors
    /// A failing store.
    pub async fn list(&self, after: &str, limit: usize) -> Result<Vec<Image>, Error> {
        self.engine.meta.images(after, limit).await
    }
}

async fn collect(mut reader: AnyReader) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    while let Some(data) = reader.next().await {
        out.extend_from_slice(&data?);
    }
    Ok(out)
}

//! Multipart uploads. Parts are blobs; completion only lists them. Which parts fit together is the protocol's business.

use super::objects::Description;
use super::{Engine, Sink};
use crate::blob::BlobId;
use crate::error::Error;
use crate::model::{Checksums, Condition, Content, Object, ObjectInfo, Part, PutObject, Upload, UploadDoc};

/// Durable bytes of a part that nothing refers to yet.
#[derive(Debug)]
#[must_use = "bytes that are not committed stay until the sweep"]
pub struct StoredPart {
    blob: BlobId,
    /// Of the part.
    size: u64,
    /// Of the blob.
    stored: u64,
}

impl StoredPart {
    /// How many bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// With so many bytes that were encrypted.
    pub(crate) fn holding(self, plain: u64) -> Self {
        Self { size: plain, ..self }
    }
}

/// A sink for the bytes of one part.
#[derive(Debug)]
pub struct PartSink(Sink);

impl PartSink {
    /// The sink.
    pub const fn sink(&mut self) -> &mut Sink {
        &mut self.0
    }

    /// Makes the bytes durable.
    ///
    /// # Errors
    /// As [`Sink::write`].
    pub async fn finish(self) -> Result<StoredPart, Error> {
        let size = self.0.size();
        Ok(StoredPart { blob: self.0.finish_blob().await?, size, stored: size })
    }
}

impl Engine {
    /// A fresh upload id. It begins with the time, so that uploads of one key are listed in the order of their start.
    fn upload_id(&self) -> String {
        let us = self.clock.now().unix_timestamp_nanos().div_euclid(1000);
        let us = u64::try_from(us).unwrap_or_default() & 0xff_ffff_ffff_ffff;
        format!("{us:014x}{:018x}", self.rng.u128() >> 56)
    }

    /// Starts an upload and gives its id.
    ///
    /// # Errors
    /// [`Error::NoBucket`]; a failing store.
    pub async fn create_upload(&self, bucket: &str, key: &str, account: &str, doc: UploadDoc) -> Result<Upload, Error> {
        let upload = Upload {
            id: self.upload_id(),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            account: account.to_owned(),
            created_ms: self.clock.now_ms(),
            doc,
        };
        self.meta.create_upload(&upload).await?;
        Ok(upload)
    }

    /// An upload of this bucket and key.
    ///
    /// # Errors
    /// [`Error::NoUpload`]; a failing store.
    pub async fn upload(&self, bucket: &str, key: &str, id: &str) -> Result<Upload, Error> {
        let upload = self.meta.upload(id).await?.ok_or(Error::NoUpload)?;
        if upload.bucket == bucket && upload.key == key { Ok(upload) } else { Err(Error::NoUpload) }
    }

    /// A sink for one part.
    #[must_use]
    pub fn part_sink(&self) -> PartSink {
        PartSink(self.blob_sink())
    }

    /// Makes stored bytes a part of an upload, in place of an earlier one of the same number.
    ///
    /// # Errors
    /// [`Error::NoUpload`]; a failing store. The bytes are dropped then.
    pub async fn put_part(
        &self,
        upload_id: &str,
        number: u32,
        etag: String,
        checksums: Checksums,
        stored: StoredPart,
    ) -> Result<Part, Error> {
        let part =
            Part { number, size: stored.size, etag, blob: stored.blob, checksums, created_ms: self.clock.now_ms() };
        let result = match self.faults.point("walrus.part.commit").await {
            Ok(()) => self.meta.put_part(upload_id, &part, stored.stored).await,
            Err(fault) => Err(fault.into()),
        };
        if result.is_ok() {
            self.faults.point("walrus.part.commit.done").await?;
        }
        let freed = self.settle(result, Some(part.blob.clone())).await?;
        self.freed(freed);
        Ok(part)
    }

    /// Parts of an upload numbered above `after`.
    ///
    /// # Errors
    /// A failing store.
    pub async fn parts(&self, upload_id: &str, after: u32, limit: usize) -> Result<Vec<Part>, Error> {
        self.meta.parts(upload_id, after, limit).await
    }

    /// Makes the parts, in the given order, the object; the rest of the upload goes. No byte is copied.
    ///
    /// # Errors
    /// [`Error::NoUpload`], [`Error::PartChanged`], [`Error::Precondition`], [`Error::NoObject`]; a failing store.
    pub async fn complete_upload(
        &self,
        upload: &Upload,
        parts: Vec<Part>,
        etag: String,
        checksums: Checksums,
        condition: &Condition,
    ) -> Result<ObjectInfo, Error> {
        let size = parts.iter().map(|p| p.size).sum();
        let what = Description {
            bucket: upload.bucket.clone(),
            key: upload.key.clone(),
            etag,
            content_type: upload.doc.content_type.clone(),
            attributes: upload.doc.attributes.clone(),
            checksums,
            properties: upload.doc.properties.clone(),
        };
        let (bucket, mut info) = self.describe(what, size);
        info.upload = Some(upload.id.clone());
        let parts = parts.into_iter().map(|p| Part { etag: String::new(), created_ms: 0, ..p }).collect();
        let object = Object { info: info.clone(), content: Content::Parts(parts) };
        self.flush().await?;
        self.faults.point("walrus.complete.commit").await?;
        let put = PutObject { bucket, object, new_blob: None };
        let written = self.meta.complete_upload(&upload.id, &put, condition).await?;
        self.faults.point("walrus.complete.commit.done").await?;
        self.freed(written.freed);
        info.version = written.version;
        Ok(info)
    }

    /// Drops an upload and its parts.
    ///
    /// # Errors
    /// [`Error::NoUpload`]; a failing store.
    pub async fn abort_upload(&self, id: &str) -> Result<(), Error> {
        self.faults.point("walrus.abort.commit").await?;
        let freed = self.meta.abort_upload(id).await?;
        self.faults.point("walrus.abort.commit.done").await?;
        self.freed(freed);
        Ok(())
    }
}

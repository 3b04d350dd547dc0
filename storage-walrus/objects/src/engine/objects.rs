//! Writing, copying, finding and deleting objects.

use super::{Engine, Stored};
use crate::error::Error;
use crate::model::{Attributes, Checksums, Condition, Content, Object, ObjectInfo, PutObject};

/// What an object is described by when it is written.
#[derive(Debug, Clone, Default)]
pub struct Description {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// Entity tag, without quotes.
    pub etag: String,
    /// `Content-Type`.
    pub content_type: String,
    /// Other stored headers.
    pub attributes: Attributes,
    /// Checksums.
    pub checksums: Checksums,
}

impl Engine {
    /// The description with the values that every write gets afresh.
    pub(super) fn describe(&self, what: Description, size: u64) -> (String, ObjectInfo) {
        let info = ObjectInfo {
            key: what.key,
            size,
            etag: what.etag,
            created_ms: self.clock.now_ms(),
            version: format!("{:032x}", self.rng.u128()),
            content_type: what.content_type,
            attributes: what.attributes,
            checksums: what.checksums,
        };
        (what.bucket, info)
    }

    /// Makes stored bytes an object. On success it is durable and what was under the key before is gone.
    ///
    /// # Errors
    /// [`Error::NoBucket`], [`Error::Precondition`], [`Error::NoObject`]; a failing store. The bytes are dropped then.
    pub async fn put_object(
        &self,
        what: Description,
        stored: Stored,
        condition: &Condition,
    ) -> Result<ObjectInfo, Error> {
        let new_blob = stored.new_blob();
        let (bucket, info) = self.describe(what, stored.size);
        let put = PutObject { bucket, object: Object { info: info.clone(), content: stored.content }, new_blob };
        let new = put.new_blob.as_ref().map(|(id, _)| id.clone());
        let result = match self.faults.point("walrus.put.commit").await {
            Ok(()) => self.meta.put_object(&put, condition).await,
            Err(fault) => Err(fault.into()),
        };
        if result.is_ok() {
            self.faults.point("walrus.put.commit.done").await?;
        }
        self.settle(result, new).await?;
        Ok(info)
    }

    /// Makes the bytes of an object another object, without copying them.
    ///
    /// # Errors
    /// As [`Engine::put_object`]; [`Error::Gone`] when the source was overwritten or deleted meanwhile.
    pub async fn copy_object(
        &self,
        source: &Object,
        what: Description,
        condition: &Condition,
    ) -> Result<ObjectInfo, Error> {
        let (bucket, info) = self.describe(what, source.info.size);
        let object = Object { info: info.clone(), content: source.content.clone() };
        self.faults.point("walrus.copy.commit").await?;
        let freed = self.meta.put_object(&PutObject { bucket, object, new_blob: None }, condition).await?;
        self.faults.point("walrus.copy.commit.done").await?;
        self.discard(freed).await;
        Ok(info)
    }

    /// One object.
    ///
    /// # Errors
    /// [`Error::NoObject`]; a failing store. Whether the bucket exists is not looked at.
    pub async fn object(&self, bucket: &str, key: &str) -> Result<Object, Error> {
        self.meta.object(bucket, key).await?.ok_or(Error::NoObject)
    }

    /// Deletes objects in one transaction; keys without an object are passed over.
    ///
    /// # Errors
    /// A failing store.
    pub async fn delete_objects(&self, bucket: &str, keys: &[String]) -> Result<(), Error> {
        self.faults.point("walrus.delete.commit").await?;
        let freed = self.meta.delete_objects(bucket, keys).await?;
        self.faults.point("walrus.delete.commit.done").await?;
        self.discard(freed).await;
        Ok(())
    }

    /// True if the object's bytes are shared parts (its entity tag is then no MD5).
    #[must_use]
    pub const fn is_composed(object: &Object) -> bool {
        matches!(object.content, Content::Parts(_))
    }
}

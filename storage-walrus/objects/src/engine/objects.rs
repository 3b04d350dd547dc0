//! Writing, copying, finding and deleting objects.

use super::{Engine, Stored};
use crate::crypt::plain_size;
use crate::error::Error;
use crate::metadata::Deletion;
use crate::model::{Attributes, Bucket, Checksums, Condition, Content, Found, Object, ObjectInfo, PutObject};
use crate::properties::{Properties, PropertyChange};
use crate::version::{Delete, Deleted, VersionId, Which};

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
    /// What else is said of it.
    pub properties: Properties,
    /// Without a retention of its own it gets the default one of the bucket.
    pub retain_by_default: bool,
}

impl Engine {
    /// The description with the values that every write gets afresh.
    pub(super) fn describe(&self, what: Description, size: u64) -> (String, ObjectInfo) {
        let info = ObjectInfo {
            key: what.key,
            size,
            etag: what.etag,
            created_ms: self.clock.now_ms(),
            write_id: self.write_id(),
            version: VersionId { rank: 0, random: self.version_random() },
            content_type: what.content_type,
            attributes: what.attributes,
            checksums: what.checksums,
            properties: what.properties,
            upload: None,
        };
        (what.bucket, info)
    }

    pub(super) fn write_id(&self) -> String {
        format!("{:032x}", self.rng.u128())
    }

    /// Makes stored bytes an object. On success it is durable, and what was under the key before is gone or, where the
    /// bucket is versioned, an older version.
    ///
    /// # Errors
    /// [`Error::NoBucket`], [`Error::Precondition`], [`Error::NoObject`]; a failing store. The bytes are dropped then.
    pub async fn put_object(
        &self,
        what: Description,
        stored: Stored,
        condition: &Condition,
    ) -> Result<ObjectInfo, Error> {
        if matches!(stored.content, Content::Inline(_)) {
            self.blobs.room()?;
        }
        let new_blob = stored.new_blob();
        let size = match what.properties.encryption {
            None => stored.size,
            Some(_) => plain_size(stored.size),
        };
        let retain_by_default = what.retain_by_default;
        let (bucket, mut info) = self.describe(what, size);
        let object = Object { info: info.clone(), content: stored.content };
        let put = PutObject { bucket, object, new_blob, retain_by_default };
        let new = put.new_blob.as_ref().map(|(id, _)| id.clone());
        let result = match self.faults.point("walrus.put.commit").await {
            Ok(()) => self.meta.put_object(&put, condition).await,
            Err(fault) => Err(fault.into()),
        };
        if result.is_ok() {
            self.faults.point("walrus.put.commit.done").await?;
        }
        let written = self.settle(result, new).await?;
        self.freed(written.freed);
        info.version = written.version;
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
        let retain_by_default = what.retain_by_default;
        let (bucket, mut info) = self.describe(what, source.info.size);
        let object = Object { info: info.clone(), content: source.content.clone() };
        self.flush().await?;
        self.faults.point("walrus.copy.commit").await?;
        let written =
            self.meta.put_object(&PutObject { bucket, object, new_blob: None, retain_by_default }, condition).await?;
        self.faults.point("walrus.copy.commit.done").await?;
        self.freed(written.freed);
        info.version = written.version;
        Ok(info)
    }

    /// The object that a key stands for.
    ///
    /// # Errors
    /// [`Error::NoObject`]; a failing store. Whether the bucket exists is not looked at.
    pub async fn object(&self, bucket: &str, key: &str) -> Result<Object, Error> {
        self.find(bucket, key, Which::Latest).await?.and_then(Found::object).ok_or(Error::NoObject)
    }

    /// One version of a key, or a delete marker; `None` if there is none.
    ///
    /// # Errors
    /// A failing store. Whether the bucket exists is not looked at.
    pub async fn find(&self, bucket: &str, key: &str, which: Which<'_>) -> Result<Option<Found>, Error> {
        self.meta.object(bucket, None, key, which).await
    }

    /// As [`Engine::find`], in this very bucket, whatever has its name by now.
    ///
    /// # Errors
    /// [`Error::NoBucket`]; a failing store.
    pub async fn find_in(&self, bucket: &Bucket, key: &str, which: Which<'_>) -> Result<Option<Found>, Error> {
        self.meta.object(&bucket.name, Some(bucket.id), key, which).await
    }

    /// The bytes of a version were not where its row said ([`Error::Gone`]): the next look-up of the key, before which
    /// this is called, asks the database.
    pub fn forget(&self, bucket: &str, key: &str) {
        self.meta.forget(bucket, key);
    }

    /// Changes what is said of a version, or of the object that the key stands for; what was made of it, `None` if there
    /// is no such object.
    ///
    /// # Errors
    /// [`Error::NoBucket`], what `change` answers; a failing store.
    pub async fn change_properties(
        &self,
        bucket: &str,
        key: &str,
        which: Which<'_>,
        change: &PropertyChange<'_>,
    ) -> Result<Option<ObjectInfo>, Error> {
        self.faults.point("walrus.properties.commit").await?;
        let changed = self.meta.change_properties(bucket, key, which, change).await?;
        self.faults.point("walrus.properties.commit.done").await?;
        Ok(changed)
    }

    /// Deletes keys and versions in one transaction; what was done of each, in the same order.
    ///
    /// # Errors
    /// [`Error::NoBucket`]; a failing store.
    pub async fn delete_objects(&self, bucket: &str, deletes: Vec<Delete>) -> Result<Vec<Deleted>, Error> {
        let random = |delete| self.deletion(delete, None);
        let deletions: Vec<Deletion> = deletes.into_iter().map(random).collect();
        self.delete_all(bucket, &deletions).await
    }

    /// As [`Engine::delete_objects`], each only while it is still about this writing of the key.
    ///
    /// # Errors
    /// As [`Engine::delete_objects`].
    pub async fn delete_written(&self, bucket: &str, deletes: Vec<(Delete, String)>) -> Result<Vec<Deleted>, Error> {
        let only = |(delete, write_id)| self.deletion(delete, Some(write_id));
        let deletions: Vec<Deletion> = deletes.into_iter().map(only).collect();
        self.delete_all(bucket, &deletions).await
    }

    fn deletion(&self, delete: Delete, only: Option<String>) -> Deletion {
        Deletion { delete, write_id: self.write_id(), random: self.version_random(), only }
    }

    async fn delete_all(&self, bucket: &str, deletions: &[Deletion]) -> Result<Vec<Deleted>, Error> {
        if deletions.is_empty() {
            return Ok(Vec::new());
        }
        self.faults.point("walrus.delete.commit").await?;
        let (deleted, freed) = self.meta.delete_objects(bucket, deletions, self.clock.now_ms()).await?;
        self.faults.point("walrus.delete.commit.done").await?;
        self.freed(freed);
        Ok(deleted)
    }

    /// True if the object's bytes are shared parts (its entity tag is then no MD5).
    #[must_use]
    pub const fn is_composed(object: &Object) -> bool {
        matches!(object.content, Content::Parts(_))
    }
}

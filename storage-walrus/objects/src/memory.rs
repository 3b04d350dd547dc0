//! Metadata in memory: the reference the database is held against in tests, and the store of a simulated cloud.
//! Nothing survives the process.

use crate::blob::BlobId;
use crate::error::Error;
use crate::limits::Limits;
use crate::metadata::{Freed, Metadata, Place};
use crate::model::{Bucket, Condition, Content, Image, Listed, Object, Part, PutObject, Upload};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See the module.
#[derive(Debug, Default)]
pub struct MemoryMetadata(Mutex<State>);

#[derive(Debug, Default, Clone)]
struct State {
    buckets: BTreeMap<String, Bucket>,
    objects: BTreeMap<(String, String), Object>,
    uploads: BTreeMap<String, (Upload, BTreeMap<u32, Part>)>,
    images: BTreeMap<String, Image>,
    /// Blob to its number of references.
    blobs: HashMap<BlobId, u64>,
}

impl State {
    fn add(&mut self, blobs: &[&BlobId], new: Option<&BlobId>) -> Result<(), Error> {
        for blob in blobs {
            match self.blobs.get_mut(*blob) {
                Some(refs) => *refs += 1,
                None if new == Some(*blob) => {
                    self.blobs.insert((*blob).clone(), 1);
                }
                None => return Err(Error::Gone),
            }
        }
        Ok(())
    }

    fn drop_refs(&mut self, blobs: &[&BlobId]) -> Freed {
        let mut freed = Freed::new();
        for blob in blobs {
            if let Some(refs) = self.blobs.get_mut(*blob) {
                *refs -= 1;
                if *refs == 0 {
                    self.blobs.remove(*blob);
                    freed.push((*blob).clone());
                }
            }
        }
        freed
    }

    fn put(&mut self, put: &PutObject, condition: &Condition) -> Result<Freed, Error> {
        if !self.buckets.contains_key(&put.bucket) {
            return Err(Error::NoBucket);
        }
        let place = (put.bucket.clone(), put.object.info.key.clone());
        let old = self.objects.get(&place).cloned();
        match (condition, &old) {
            (Condition::None, _) | (Condition::Absent, None) => {}
            (Condition::Etag(wanted), Some(old)) if *wanted == old.info.etag => {}
            (Condition::Etag(_), None) => return Err(Error::NoObject),
            _ => return Err(Error::Precondition),
        }
        self.add(&put.object.content.blobs(), put.new_blob.as_ref().map(|(id, _)| id))?;
        self.objects.insert(place, put.object.clone());
        Ok(old.map_or_else(Vec::new, |old| self.drop_refs(&old.content.blobs())))
    }

    fn drop_upload(&mut self, id: &str) -> Option<Freed> {
        let (_, parts) = self.uploads.remove(id)?;
        Some(self.drop_refs(&parts.values().map(|p| &p.blob).collect::<Vec<_>>()))
    }
}

impl MemoryMetadata {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One transaction: what it did is undone when it fails.
    fn transaction<T>(&self, work: impl FnOnce(&mut State) -> Result<T, Error>) -> Result<T, Error> {
        let mut state = self.state();
        let before = state.clone();
        let result = work(&mut state);
        if result.is_err() {
            *state = before;
        }
        result
    }
}

fn is_after(key: &str, place: Place<'_>) -> bool {
    match place {
        Place::Start => true,
        Place::AfterKey(after) => key > after,
        Place::AfterPrefix(passed) => key > passed && !key.starts_with(passed),
    }
}

#[async_trait::async_trait]
impl Metadata for MemoryMetadata {
    /// Quotas are the database's: this one has none.
    fn limited(self: Arc<Self>, _: Arc<Limits>) -> Arc<dyn Metadata> {
        self
    }

    async fn create_bucket(&self, bucket: &Bucket) -> Result<(), Error> {
        let mut state = self.state();
        if let Some(old) = state.buckets.get(&bucket.name) {
            return Err(Error::BucketExists(Box::new(old.clone())));
        }
        state.buckets.insert(bucket.name.clone(), bucket.clone());
        Ok(())
    }

    async fn bucket(&self, name: &str) -> Result<Option<Bucket>, Error> {
        Ok(self.state().buckets.get(name).cloned())
    }

    async fn buckets(&self, account: &str, after: &str, limit: usize) -> Result<Vec<Bucket>, Error> {
        let state = self.state();
        let mine = state.buckets.values().filter(|b| b.account == account && b.name.as_str() > after);
        Ok(mine.take(limit).cloned().collect())
    }

    async fn delete_bucket(&self, name: &str) -> Result<Freed, Error> {
        let mut state = self.state();
        if !state.buckets.contains_key(name) {
            return Err(Error::NoBucket);
        }
        if state.objects.keys().any(|(bucket, _)| bucket == name) {
            return Err(Error::BucketNotEmpty);
        }
        let uploads: Vec<_> =
            state.uploads.values().filter(|(u, _)| u.bucket == name).map(|(u, _)| u.id.clone()).collect();
        let freed = uploads.iter().filter_map(|id| state.drop_upload(id)).flatten().collect();
        state.buckets.remove(name);
        Ok(freed)
    }

    async fn put_object(&self, put: &PutObject, condition: &Condition) -> Result<Freed, Error> {
        self.transaction(|state| state.put(put, condition))
    }

    async fn object(&self, bucket: &str, key: &str) -> Result<Option<Object>, Error> {
        Ok(self.state().objects.get(&(bucket.to_owned(), key.to_owned())).cloned())
    }

    async fn delete_objects(&self, bucket: &str, keys: &[String]) -> Result<Freed, Error> {
        let mut state = self.state();
        let mut freed = Freed::new();
        for key in keys {
            if let Some(old) = state.objects.remove(&(bucket.to_owned(), key.clone())) {
                freed.extend(state.drop_refs(&old.content.blobs()));
            }
        }
        Ok(freed)
    }

    async fn list_objects(
        &self,
        bucket: &str,
        prefix: &str,
        from: Place<'_>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error> {
        let state = self.state();
        let wanted = |b: &str, key: &str| b == bucket && key.starts_with(prefix) && is_after(key, from);
        let mine = state.objects.iter().filter(|((b, key), _)| wanted(b, key));
        Ok(mine
            .take(limit)
            .map(|((_, key), object)| Listed {
                key: key.clone(),
                size: object.info.size,
                etag: object.info.etag.clone(),
                created_ms: object.info.created_ms,
                checksums: object.info.checksums.clone(),
            })
            .collect())
    }

    async fn create_upload(&self, upload: &Upload) -> Result<(), Error> {
        let mut state = self.state();
        if !state.buckets.contains_key(&upload.bucket) {
            return Err(Error::NoBucket);
        }
        state.uploads.insert(upload.id.clone(), (upload.clone(), BTreeMap::new()));
        Ok(())
    }

    async fn upload(&self, id: &str) -> Result<Option<Upload>, Error> {
        Ok(self.state().uploads.get(id).map(|(upload, _)| upload.clone()))
    }

    async fn list_uploads(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<(&str, &str)>,
        limit: usize,
    ) -> Result<Vec<Upload>, Error> {
        let state = self.state();
        let mut mine: Vec<_> = state
            .uploads
            .values()
            .map(|(upload, _)| upload)
            .filter(|u| u.bucket == bucket && u.key.starts_with(prefix))
            .filter(|u| after.is_none_or(|after| (u.key.as_str(), u.id.as_str()) > after))
            .cloned()
            .collect();
        mine.sort_by(|a, b| (&a.key, &a.id).cmp(&(&b.key, &b.id)));
        mine.truncate(limit);
        Ok(mine)
    }

    async fn abort_upload(&self, id: &str) -> Result<Freed, Error> {
        self.state().drop_upload(id).ok_or(Error::NoUpload)
    }

    async fn put_part(&self, upload_id: &str, part: &Part, new: bool) -> Result<Freed, Error> {
        self.transaction(|state| {
            if !state.uploads.contains_key(upload_id) {
                return Err(Error::NoUpload);
            }
            state.add(&[&part.blob], new.then_some(&part.blob))?;
            let old = state.uploads.get_mut(upload_id).and_then(|(_, parts)| parts.insert(part.number, part.clone()));
            Ok(old.map_or_else(Vec::new, |old| state.drop_refs(&[&old.blob])))
        })
    }

    async fn parts(&self, upload_id: &str, after: u32, limit: usize) -> Result<Vec<Part>, Error> {
        let state = self.state();
        let parts = state.uploads.get(upload_id).map(|(_, parts)| parts);
        Ok(parts.into_iter().flat_map(|p| p.values()).filter(|p| p.number > after).take(limit).cloned().collect())
    }

    async fn complete_upload(&self, upload_id: &str, put: &PutObject, condition: &Condition) -> Result<Freed, Error> {
        self.transaction(|state| {
            let (_, parts) = state.uploads.get(upload_id).ok_or(Error::NoUpload)?;
            if let Content::Parts(chosen) = &put.object.content
                && chosen.iter().any(|c| parts.get(&c.number).is_none_or(|p| p.blob != c.blob))
            {
                return Err(Error::PartChanged);
            }
            let mut freed = state.put(put, condition)?;
            freed.extend(state.drop_upload(upload_id).unwrap_or_default());
            Ok(freed)
        })
    }

    async fn existing_blobs(&self, ids: &[BlobId]) -> Result<HashSet<BlobId>, Error> {
        let state = self.state();
        Ok(ids.iter().filter(|id| state.blobs.contains_key(*id)).cloned().collect())
    }

    async fn image(&self, digest: &str) -> Result<Option<Image>, Error> {
        Ok(self.state().images.get(digest).cloned())
    }

    async fn claim_image(&self, image: &Image, holder: &str, new: bool) -> Result<Freed, Error> {
        self.transaction(|state| {
            let mut freed = Freed::new();
            if !state.images.contains_key(&image.digest) {
                state.add(&[&image.blob], new.then_some(&image.blob))?;
                state.images.insert(image.digest.clone(), Image { holders: Vec::new(), ..image.clone() });
            } else if new {
                freed.push(image.blob.clone());
            }
            if let Some(stored) = state.images.get_mut(&image.digest)
                && let Err(at) = stored.holders.binary_search_by(|h| h.as_str().cmp(holder))
            {
                stored.holders.insert(at, holder.to_owned());
            }
            Ok(freed)
        })
    }

    async fn release_image(&self, digest: &str, holder: &str) -> Result<Freed, Error> {
        let mut state = self.state();
        let Some(image) = state.images.get_mut(digest) else { return Ok(Freed::new()) };
        image.holders.retain(|h| h != holder);
        if !image.holders.is_empty() {
            return Ok(Freed::new());
        }
        let blob = image.blob.clone();
        state.images.remove(digest);
        Ok(state.drop_refs(&[&blob]))
    }

    async fn images(&self, after: &str, limit: usize) -> Result<Vec<Image>, Error> {
        Ok(self.state().images.values().filter(|i| i.digest.as_str() > after).take(limit).cloned().collect())
    }
}

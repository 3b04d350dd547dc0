//! Metadata in memory: the reference the database is held against in tests, and the store of a simulated cloud.
//! Nothing survives the process.

mod state;

use state::{State, listed, size, version};

use crate::blob::BlobId;
use crate::documents::DOCUMENTS_MAX;
use crate::error::Error;
use crate::limits::Limits;
use crate::metadata::{
    BucketCheck, Deletion, Freed, Metadata, Place, VersionPlace, Written, must_be_decided, must_be_unchanged,
};
use crate::model::{
    Bucket, Condition, Content, Found, Image, ListEntry, Listed, ListedVersion, ObjectInfo, Owner, OwnerName, Part,
    PutObject, Upload, Usage,
};
use crate::origin::Origin;
use crate::properties::{Properties, PropertyChange, STANDARD};
use crate::replica::{Placed, Replica};
use crate::version::{Deleted, Versioning, Which};
use mallee_s3_config::{Document as _, MfaDelete, text};
use mallee_store::S3ReplicationRow;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See the module.
#[derive(Debug, Default)]
pub struct MemoryMetadata {
    state: Arc<Mutex<State>>,
    /// What a request was decided about.
    decided: Arc<[Bucket]>,
    /// They must be configured as they were then.
    unchanged: bool,
}

impl MemoryMetadata {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// [`Error::NoBucket`] if there is none, or another one than was decided about; [`Error::Gone`] if that matters and it
    /// was configured anew.
    fn must_be(&self, state: &State, name: &str) -> Result<(), Error> {
        let bucket = state.buckets.get(name).ok_or(Error::NoBucket)?;
        must_be_decided(&self.decided, name, bucket.id)?;
        if self.unchanged {
            must_be_unchanged(&self.decided, bucket.id, bucket.rev)?;
        }
        Ok(())
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

    fn within(self: Arc<Self>, decided: Arc<[Bucket]>) -> Arc<dyn Metadata> {
        Arc::new(Self { state: Arc::clone(&self.state), decided, unchanged: self.unchanged })
    }

    fn unchanged(self: Arc<Self>) -> Arc<dyn Metadata> {
        Arc::new(Self { state: Arc::clone(&self.state), decided: Arc::clone(&self.decided), unchanged: true })
    }

    /// It tells nobody of changes.
    fn by(self: Arc<Self>, _: Arc<Origin>) -> Arc<dyn Metadata> {
        self
    }

    async fn create_bucket(&self, bucket: &Bucket) -> Result<(), Error> {
        let mut state = self.state();
        if let Some(old) = state.buckets.get(&bucket.name) {
            return Err(Error::BucketExists(Box::new(old.clone())));
        }
        state.last_bucket += 1;
        let id = state.last_bucket;
        state.buckets.insert(bucket.name.clone(), Bucket { id, rev: 1, ..bucket.clone() });
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

    async fn set_versioning(
        &self,
        bucket: &str,
        versioning: Versioning,
        mfa_delete: Option<bool>,
        _: i64,
    ) -> Result<(), Error> {
        let mut state = self.state();
        self.must_be(&state, bucket)?;
        let bucket = state.buckets.get_mut(bucket).ok_or(Error::NoBucket)?;
        bucket.docs.check_versioning(versioning)?;
        if mfa_delete == Some(true) {
            bucket.docs.check_mfa_delete()?;
        }
        bucket.versioning = versioning;
        let docs = bucket.docs.clone();
        bucket.docs = match mfa_delete {
            None => docs,
            Some(true) => docs.with(MfaDelete::KIND, "", &text(&MfaDelete)),
            Some(false) => docs.without(MfaDelete::KIND, ""),
        };
        bucket.rev += 1;
        Ok(())
    }

    async fn set_document(
        &self,
        bucket: &str,
        kind: &str,
        id: &str,
        doc: Option<&str>,
        _: i64,
        check: &BucketCheck<'_>,
    ) -> Result<bool, Error> {
        let mut state = self.state();
        self.must_be(&state, bucket)?;
        let bucket = state.buckets.get_mut(bucket).ok_or(Error::NoBucket)?;
        let there = bucket.docs.named(kind, id).is_some();
        if doc.is_some() && !there && bucket.docs.len() >= DOCUMENTS_MAX {
            return Err(Error::TooMany("configurations of this bucket"));
        }
        check(bucket)?;
        let docs = bucket.docs.clone();
        bucket.docs = match doc {
            Some(doc) => docs.with(kind, id, doc),
            None if !there => return Ok(false),
            None => docs.without(kind, id),
        };
        bucket.rev += 1;
        Ok(true)
    }

    async fn owners(&self, name: OwnerName<'_>) -> Result<Vec<Owner>, Error> {
        let is = |owner: &&Owner| match name {
            OwnerName::Account(account) => owner.account == account,
            OwnerName::Canonical(id) => owner.canonical_id == id,
            OwnerName::Email(email) => owner.email.as_deref() == Some(email),
        };
        Ok(self.state().owners.values().filter(is).take(2).cloned().collect())
    }

    async fn ensure_owner(&self, owner: &Owner) -> Result<(), Error> {
        self.state().owners.entry(owner.account.clone()).or_insert_with(|| owner.clone());
        Ok(())
    }

    async fn usage(&self, bucket: &str) -> Result<Usage, Error> {
        let classes = self.usage_by_class(bucket).await?;
        Ok(classes.into_values().fold(Usage::default(), |sum, of| Usage {
            objects: sum.objects + of.objects,
            bytes: sum.bytes + of.bytes,
            versions: sum.versions + of.versions,
            version_bytes: sum.version_bytes + of.version_bytes,
            part_bytes: sum.part_bytes + of.part_bytes,
        }))
    }

    async fn usage_by_class(&self, bucket: &str) -> Result<BTreeMap<String, Usage>, Error> {
        let state = self.state();
        state.versioning(bucket)?;
        let mut classes: BTreeMap<String, Usage> = BTreeMap::new();
        for (key, versions) in state.of_bucket(bucket) {
            for (n, found) in versions.iter().enumerate() {
                let usage = classes.entry(listed(key, found, "").class).or_default();
                usage.versions += 1;
                usage.version_bytes += size(found);
                if n == 0 && matches!(found, Found::Object(_)) {
                    usage.objects += 1;
                    usage.bytes += size(found);
                }
            }
        }
        let uploads = state.uploads.values().filter(|(upload, _)| upload.bucket == bucket);
        let part_bytes: u64 = uploads.flat_map(|(_, parts)| parts.values()).map(|part| part.size).sum();
        if part_bytes > 0 {
            classes.entry(STANDARD.to_owned()).or_default().part_bytes = part_bytes;
        }
        Ok(classes)
    }

    async fn delete_bucket(&self, name: &str) -> Result<Freed, Error> {
        let mut state = self.state();
        self.must_be(&state, name)?;
        if state.of_bucket(name).next().is_some() {
            return Err(Error::BucketNotEmpty);
        }
        let uploads: Vec<_> =
            state.uploads.values().filter(|(u, _)| u.bucket == name).map(|(u, _)| u.id.clone()).collect();
        let freed = uploads.iter().filter_map(|id| state.drop_upload(id)).sum();
        state.buckets.remove(name);
        Ok(freed)
    }

    async fn put_object(&self, put: &PutObject, condition: &Condition) -> Result<Written, Error> {
        self.transaction(|state| {
            self.must_be(state, &put.bucket)?;
            state.put(put, condition)
        })
    }

    async fn put_replica(&self, replica: &Replica) -> Result<Placed, Error> {
        self.transaction(|state| {
            self.must_be(state, replica.place().0)?;
            state.place(replica)
        })
    }

    /// Nothing waits here: who writes is told nothing of where it goes.
    async fn replicated(&self, _: &S3ReplicationRow, _: Option<&str>) -> Result<(), Error> {
        Ok(())
    }

    async fn object(&self, bucket: &str, id: Option<i64>, key: &str, which: Which<'_>) -> Result<Option<Found>, Error> {
        let state = self.state();
        let found = state.find(bucket, key, which);
        let is_meant = id.is_none_or(|id| state.buckets.get(bucket).is_some_and(|bucket| bucket.id == id));
        if found.is_some() && !is_meant { Err(Error::NoBucket) } else { Ok(found) }
    }

    async fn change_properties(
        &self,
        bucket: &str,
        key: &str,
        which: Which<'_>,
        change: &PropertyChange<'_>,
    ) -> Result<Option<ObjectInfo>, Error> {
        self.transaction(|state| {
            self.must_be(state, bucket)?;
            let Some(wanted) = state.find(bucket, key, which).map(|found| version(&found)) else { return Ok(None) };
            let versions = state.keys.get_mut(&(bucket.to_owned(), key.to_owned()));
            let found = versions.and_then(|all| all.iter_mut().find(|found| version(found) == wanted));
            let Some(Found::Object(object)) = found else { return Ok(None) };
            let owner = object.info.properties.owner.clone();
            let changed = change(&object.info)?;
            object.info.properties = Properties { owner: changed.owner.clone().or(owner), ..changed };
            Ok(Some(object.info.clone()))
        })
    }

    async fn delete_objects(
        &self,
        bucket: &str,
        deletions: &[Deletion],
        now_ms: i64,
    ) -> Result<(Vec<Deleted>, Freed), Error> {
        self.transaction(|state| {
            self.must_be(state, bucket)?;
            let (mut done, mut all) = (Vec::new(), 0);
            for deletion in deletions {
                let (deleted, freed) = state.delete(bucket, deletion, now_ms)?;
                done.push(deleted);
                all += freed;
            }
            Ok((done, all))
        })
    }

    async fn list_objects(
        &self,
        bucket: &str,
        prefix: &str,
        from: Place<'_>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error> {
        let state = self.state();
        let mine = state.of_bucket(bucket).filter(|(key, _)| key.starts_with(prefix) && is_after(key, from));
        let shown = mine.filter_map(|(key, versions)| match versions.first() {
            Some(object @ Found::Object(_)) => Some(listed(key, object, "")),
            _ => None,
        });
        Ok(shown.take(limit).collect())
    }

    async fn list_entries(
        &self,
        bucket: &str,
        prefix: &str,
        delimiter: &str,
        from: Place<'_>,
        limit: usize,
    ) -> Result<Vec<ListEntry>, Error> {
        let mut entries = Vec::new();
        for row in self.list_objects(bucket, prefix, from, usize::MAX).await? {
            let entry = match row.key[prefix.len()..].find(delimiter) {
                Some(at) => ListEntry::Prefix(row.key[..prefix.len() + at + delimiter.len()].to_owned()),
                None => ListEntry::Object(row),
            };
            if entries.last() != Some(&entry) {
                entries.push(entry);
            }
        }
        entries.truncate(limit);
        Ok(entries)
    }

    async fn list_versions(
        &self,
        bucket: &str,
        prefix: &str,
        from: VersionPlace<'_>,
        limit: usize,
    ) -> Result<Vec<ListedVersion>, Error> {
        let state = self.state();
        let mine = state.of_bucket(bucket).filter(|(key, _)| key.starts_with(prefix));
        let owner = state.buckets.get(bucket).map(|bucket| bucket.account.clone()).unwrap_or_default();
        let rows = mine.flat_map(|(key, versions)| {
            versions.iter().enumerate().map(|(n, found)| ListedVersion {
                listed: listed(key, found, &owner),
                version: version(found),
                latest: n == 0,
                marker: matches!(found, Found::Marker(_)),
            })
        });
        let after = |row: &ListedVersion| match from {
            VersionPlace::Keys(place) => is_after(&row.listed.key, place),
            VersionPlace::AfterVersion(key, version) => {
                (row.listed.key.as_str(), row.version.rank) > (key, version.rank)
            }
        };
        Ok(rows.filter(after).take(limit).collect())
    }

    async fn create_upload(&self, upload: &Upload) -> Result<(), Error> {
        let mut state = self.state();
        self.must_be(&state, &upload.bucket)?;
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

    async fn put_part(&self, upload_id: &str, part: &Part, _: u64) -> Result<Freed, Error> {
        self.transaction(|state| {
            if !state.uploads.contains_key(upload_id) {
                return Err(Error::NoUpload);
            }
            state.add(&[&part.blob], Some(&part.blob))?;
            let old = state.uploads.get_mut(upload_id).and_then(|(_, parts)| parts.insert(part.number, part.clone()));
            Ok(old.map_or(0, |old| state.drop_refs(&[&old.blob])))
        })
    }

    async fn parts(&self, upload_id: &str, after: u32, limit: usize) -> Result<Vec<Part>, Error> {
        let state = self.state();
        let parts = state.uploads.get(upload_id).map(|(_, parts)| parts);
        Ok(parts.into_iter().flat_map(|p| p.values()).filter(|p| p.number > after).take(limit).cloned().collect())
    }

    async fn complete_upload(&self, upload_id: &str, put: &PutObject, condition: &Condition) -> Result<Written, Error> {
        self.transaction(|state| {
            self.must_be(state, &put.bucket)?;
            let (_, parts) = state.uploads.get(upload_id).ok_or(Error::NoUpload)?;
            if let Content::Parts(chosen) = &put.object.content
                && chosen.iter().any(|c| parts.get(&c.number).is_none_or(|p| p.blob != c.blob))
            {
                return Err(Error::PartChanged);
            }
            let written = state.put(put, condition)?;
            let freed = written.freed + state.drop_upload(upload_id).unwrap_or_default();
            Ok(Written { freed, ..written })
        })
    }

    async fn existing_blobs(&self, ids: &[BlobId]) -> Result<HashSet<BlobId>, Error> {
        let state = self.state();
        Ok(ids.iter().filter(|id| state.blobs.contains_key(*id)).cloned().collect())
    }

    async fn blob_behind(&self, id: &BlobId) -> Result<Option<BlobId>, Error> {
        Ok(self.state().blobs.keys().filter(|blob| *blob > id).min().cloned())
    }

    async fn settle_log(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn garbage(&self, now_ms: i64, limit: usize) -> Result<Vec<BlobId>, Error> {
        let state = self.state();
        let due = state.garbage.iter().filter(|(_, due_ms)| **due_ms <= now_ms);
        Ok(due.take(limit).map(|(id, _)| id.clone()).collect())
    }

    async fn forget_garbage(&self, gone: &[BlobId], stuck: &[BlobId], retry_ms: i64) -> Result<(), Error> {
        let mut state = self.state();
        state.garbage.retain(|id, _| !gone.contains(id));
        for id in stuck {
            state.garbage.entry(id.clone()).and_modify(|due_ms| *due_ms = retry_ms);
        }
        Ok(())
    }

    async fn image(&self, digest: &str) -> Result<Option<Image>, Error> {
        Ok(self.state().images.get(digest).cloned())
    }

    async fn claim_image(&self, image: &Image, holder: &str, new: bool) -> Result<bool, Error> {
        self.transaction(|state| {
            let unknown = !state.images.contains_key(&image.digest);
            if unknown {
                state.add(&[&image.blob], new.then_some(&image.blob))?;
                state.images.insert(image.digest.clone(), Image { holders: Vec::new(), ..image.clone() });
            }
            if let Some(stored) = state.images.get_mut(&image.digest)
                && let Err(at) = stored.holders.binary_search_by(|h| h.as_str().cmp(holder))
            {
                stored.holders.insert(at, holder.to_owned());
            }
            Ok(unknown)
        })
    }

    async fn release_image(&self, digest: &str, holder: &str) -> Result<Freed, Error> {
        let mut state = self.state();
        let Some(image) = state.images.get_mut(digest) else { return Ok(0) };
        image.holders.retain(|h| h != holder);
        if !image.holders.is_empty() {
            return Ok(0);
        }
        let blob = image.blob.clone();
        state.images.remove(digest);
        Ok(state.drop_refs(&[&blob]))
    }

    async fn images(&self, after: &str, limit: usize) -> Result<Vec<Image>, Error> {
        Ok(self.state().images.values().filter(|i| i.digest.as_str() > after).take(limit).cloned().collect())
    }
}

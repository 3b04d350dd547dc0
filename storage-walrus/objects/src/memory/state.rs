//! The state, and what changes it: S3's rules in their plainest form.

use crate::blob::BlobId;
use crate::error::Error;
use crate::metadata::{Deletion, Freed, Written};
use crate::model::{Bucket, Condition, Found, Image, Listed, Marker, Object, Owner, Part, PutObject, Upload};
use crate::version::{Delete, DeleteIf, Deleted, VersionId, VersionName, Versioning, Which};
use std::collections::{BTreeMap, HashMap};

#[derive(Debug, Default, Clone)]
pub(super) struct State {
    pub(super) buckets: BTreeMap<String, Bucket>,
    /// By account.
    pub(super) owners: BTreeMap<String, Owner>,
    /// Number of the last bucket that was made.
    pub(super) last_bucket: i64,
    /// Versions by bucket and key, the newest first; none is empty.
    pub(super) keys: BTreeMap<(String, String), Vec<Found>>,
    pub(super) uploads: BTreeMap<String, (Upload, BTreeMap<u32, Part>)>,
    pub(super) images: BTreeMap<String, Image>,
    /// Blob to its number of references.
    pub(super) blobs: HashMap<BlobId, u64>,
    /// Blob to when it may be deleted.
    pub(super) garbage: BTreeMap<BlobId, i64>,
}

pub(super) const fn version(found: &Found) -> VersionId {
    match found {
        Found::Object(object) => object.info.version,
        Found::Marker(marker) => marker.version,
    }
}

/// What a version adds to the bytes of its bucket.
pub(super) const fn size(found: &Found) -> u64 {
    match found {
        Found::Object(object) => object.info.size,
        Found::Marker(_) => 0,
    }
}

/// Whether a version must not go. Delete markers always may.
fn locked(found: &Found, now_ms: i64, bypass: bool) -> bool {
    matches!(found, Found::Object(object) if object.info.properties.locked(now_ms, bypass))
}

/// Whether a version is what a deletion is to be of.
fn meant(only_if: &DeleteIf, found: &Found) -> bool {
    let row = listed("", found, "");
    let second = |ms: i64| ms.div_euclid(1000);
    only_if.etag.as_deref().is_none_or(|etag| etag == "*" || etag == row.etag)
        && only_if.modified_ms.is_none_or(|ms| second(ms) == second(row.created_ms))
        && only_if.size.is_none_or(|size| size == row.size)
}

impl State {
    pub(super) fn add(&mut self, blobs: &[&BlobId], new: Option<&BlobId>) -> Result<(), Error> {
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

    pub(super) fn drop_refs(&mut self, blobs: &[&BlobId]) -> Freed {
        let mut freed = 0;
        for blob in blobs {
            if let Some(refs) = self.blobs.get_mut(*blob) {
                *refs -= 1;
                if *refs == 0 {
                    self.blobs.remove(*blob);
                    self.garbage.insert((*blob).clone(), i64::MIN);
                    freed += 1;
                }
            }
        }
        freed
    }

    pub(super) fn drop_version(&mut self, found: &Found) -> Freed {
        match found {
            Found::Object(object) => self.drop_refs(&object.content.blobs()),
            Found::Marker(_) => 0,
        }
    }

    pub(super) fn versioning(&self, bucket: &str) -> Result<Versioning, Error> {
        self.buckets.get(bucket).map(|b| b.versioning).ok_or(Error::NoBucket)
    }

    /// Makes a version the newest of its key; in what stays behind of the others is what versioning keeps.
    pub(super) fn write(&mut self, bucket: &str, key: &str, mut new: Found, now_ms: i64) -> Result<Written, Error> {
        let versioning = self.versioning(bucket)?;
        let place = (bucket.to_owned(), key.to_owned());
        let old = self.keys.get(&place).cloned().unwrap_or_default();
        let (kept, dropped): (Vec<Found>, Vec<Found>) = old.into_iter().partition(|found| match versioning {
            Versioning::Off => false,
            Versioning::Enabled => true,
            Versioning::Suspended => !version(found).is_null(),
        });
        if dropped.iter().any(|found| locked(found, now_ms, false)) {
            return Err(Error::Locked);
        }
        let newest = kept.first().into_iter().chain(&dropped).map(|found| version(found).rank).min();
        let by_time = -(now_ms.max(1) * 1000);
        let id = match &mut new {
            Found::Object(object) => &mut object.info.version,
            Found::Marker(marker) => &mut marker.version,
        };
        id.rank = match versioning {
            Versioning::Off => 0,
            Versioning::Enabled | Versioning::Suspended => newest.map_or(by_time, |newest| by_time.min(newest - 1)),
        };
        if versioning != Versioning::Enabled {
            id.random = 0;
        }
        let id = *id;
        self.keys.insert(place, [new].into_iter().chain(kept).collect());
        let freed = dropped.iter().map(|found| self.drop_version(found)).sum();
        Ok(Written { version: id, freed })
    }

    pub(super) fn put(&mut self, put: &PutObject, condition: &Condition) -> Result<Written, Error> {
        self.versioning(&put.bucket)?;
        let info = &put.object.info;
        let old = self.find(&put.bucket, &info.key, Which::Latest).and_then(Found::object);
        match (condition, &old) {
            (Condition::None, _) | (Condition::Absent, None) | (Condition::Present, Some(_)) => {}
            (Condition::Etag(wanted), Some(old)) if *wanted == old.info.etag => {}
            (Condition::Etag(_) | Condition::Present, None) => return Err(Error::NoObject),
            _ => return Err(Error::Precondition),
        }
        self.add(&put.object.content.blobs(), put.new_blob.as_ref().map(|(id, _)| id))?;
        let mut object = put.object.clone();
        let owner = self.buckets.get(&put.bucket).map(|bucket| bucket.account.clone());
        object.info.properties.owner = object.info.properties.owner.or(owner);
        self.write(&put.bucket, &info.key, Found::Object(object), info.created_ms)
    }

    pub(super) fn find(&self, bucket: &str, key: &str, which: Which<'_>) -> Option<Found> {
        let versions = self.keys.get(&(bucket.to_owned(), key.to_owned()))?;
        let wanted = |found: &&Found| match which {
            Which::Latest => true,
            Which::Named(VersionName::Null) => version(found).is_null(),
            Which::Named(VersionName::Id(id)) => version(found) == id,
            Which::OfUpload(id) => matches!(found, Found::Object(o) if o.info.upload.as_deref() == Some(id)),
        };
        versions.iter().find(wanted).cloned()
    }

    pub(super) fn delete(&mut self, bucket: &str, deletion: &Deletion, now_ms: i64) -> Result<(Deleted, Freed), Error> {
        let (key, place) = (&deletion.delete.key, (bucket.to_owned(), deletion.delete.key.clone()));
        if let Some(only) = &deletion.only {
            let there = self.find(bucket, key, Which::from(deletion.delete.version));
            if there.and_then(Found::object).is_none_or(|object| object.info.write_id != *only) {
                return Ok((Deleted::Nothing, 0));
            }
        }
        let Delete { version: named, only_if, bypass_governance, .. } = &deletion.delete;
        match self.find(bucket, key, Which::from(*named)) {
            None if *only_if != DeleteIf::default() => return Ok((Deleted::Nothing, 0)),
            Some(found) if !meant(only_if, &found) => return Ok((Deleted::Unmet, 0)),
            _ => {}
        }
        let which = match *named {
            None if self.versioning(bucket)? != Versioning::Off => {
                let marker = Marker { version: VersionId { rank: 0, random: deletion.random }, created_ms: now_ms };
                return match self.write(bucket, key, Found::Marker(marker), now_ms) {
                    Ok(written) => Ok((Deleted::Marked(written.version), written.freed)),
                    Err(Error::Locked) => Ok((Deleted::Locked, 0)),
                    Err(error) => Err(error),
                };
            }
            name => Which::from(name),
        };
        let Some(gone) = self.find(bucket, key, which) else { return Ok((Deleted::Nothing, 0)) };
        if locked(&gone, now_ms, *bypass_governance && named.is_some()) {
            return Ok((Deleted::Locked, 0));
        }
        if let Some(versions) = self.keys.get_mut(&place) {
            versions.retain(|found| version(found) != version(&gone));
            if versions.is_empty() {
                self.keys.remove(&place);
            }
        }
        let removed = Deleted::Removed { version: version(&gone), marker: matches!(gone, Found::Marker(_)) };
        Ok((removed, self.drop_version(&gone)))
    }

    pub(super) fn drop_upload(&mut self, id: &str) -> Option<Freed> {
        let (_, parts) = self.uploads.remove(id)?;
        Some(self.drop_refs(&parts.values().map(|p| &p.blob).collect::<Vec<_>>()))
    }

    pub(super) fn of_bucket<'s>(&'s self, bucket: &'s str) -> impl Iterator<Item = (&'s String, &'s Vec<Found>)> {
        self.keys.iter().filter(move |((b, _), _)| b == bucket).map(|((_, key), versions)| (key, versions))
    }
}

/// `owner`: of a delete marker.
pub(super) fn listed(key: &str, found: &Found, owner: &str) -> Listed {
    match found {
        Found::Object(Object { info, .. }) => Listed {
            key: key.to_owned(),
            size: info.size,
            etag: info.etag.clone(),
            created_ms: info.created_ms,
            class: info.properties.class.clone(),
            owner: info.properties.owner.clone().unwrap_or_default(),
            checksums: info.checksums.clone(),
        },
        Found::Marker(marker) => Listed {
            key: key.to_owned(),
            size: 0,
            etag: String::new(),
            created_ms: marker.created_ms,
            class: crate::properties::STANDARD.to_owned(),
            owner: owner.to_owned(),
            checksums: crate::model::Checksums::default(),
        },
    }
}

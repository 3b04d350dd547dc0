//! What each write looks up of its bucket's configuration, to note in the same transaction what is to be told of it.

use super::{FIRST_REV, documents};
use crate::error::Error;
use crate::events::{Change, Place, Told, What, tests, told};
use crate::origin::Origin;
use crate::version::VersionId;
use mallee_s3_config::Document as _;
use mallee_s3_config::notification::Notification;
use mallee_store::{S3BucketRow, S3Message, S3VersionRow, S3Versioning, Tx, s3_outbox_insert};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Buckets whose configuration is kept read.
const KEPT_MAX: usize = 4096;

/// The configurations of buckets, read: by the bucket's number, for one `rev` of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Watched(Arc<Mutex<HashMap<i64, Known>>>);

/// A `rev`, and what the bucket notifies of then.
type Known = (u64, Option<Arc<Notification>>);

impl Watched {
    /// What a bucket that is held notifies of.
    async fn notification(&self, tx: &mut Tx, row: &S3BucketRow) -> Result<Option<Arc<Notification>>, Error> {
        // A bucket that was never changed has no configuration.
        if row.rev == FIRST_REV {
            return Ok(None);
        }
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&row.id).cloned();
        if let Some((rev, notification)) = known
            && rev == row.rev
        {
            return Ok(notification);
        }
        let docs = documents(tx, row.id).await?;
        let found = docs.get(Notification::KIND).map(read).transpose()?.map(Arc::new);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(row.id, (row.rev, found.clone()));
        Ok(found)
    }
}

fn read(text: &str) -> Result<Notification, Error> {
    mallee_s3_config::kept(text).map_err(|error| Error::Corrupt(error.cause().unwrap_or_default().to_owned()))
}

fn messages(told: Vec<Told>) -> Vec<S3Message> {
    told.into_iter().map(|Told { target, key, doc }| S3Message { target, key, doc }).collect()
}

impl super::StoreMetadata {
    /// Notes what is to be told of changes in a bucket that is held.
    pub(super) async fn note(&self, tx: &mut Tx, row: &S3BucketRow, changes: Vec<Change>) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        let Some(notification) = self.watched.notification(tx, row).await? else { return Ok(()) };
        let owner = row.account_id.to_string();
        let place = Place {
            bucket: &row.name,
            owner: &owner,
            region: &row.region,
            versioned: row.versioning != S3Versioning::Off,
        };
        let internal;
        let origin = match &self.origin {
            Some(origin) => origin.as_ref(),
            None => {
                internal = Origin::internal("", String::new());
                &internal
            }
        };
        let now_ms = tx.now_ms();
        let all = changes.iter().flat_map(|change| told(&notification, place, change, origin, now_ms)).collect();
        Ok(s3_outbox_insert(tx, row.id, messages(all)).await?)
    }

    /// Notes that the targets of a new configuration are to be told of it.
    pub(super) async fn note_tests(&self, tx: &mut Tx, row: (i64, &str), doc: &str) -> Result<(), Error> {
        let request_id = self.origin.as_ref().map(|origin| origin.request_id.as_str()).unwrap_or_default();
        let all = tests(&read(doc)?, row.1, request_id, tx.now_ms());
        Ok(s3_outbox_insert(tx, row.0, messages(all)).await?)
    }

    /// The changes that a change of a version's properties is.
    pub(super) fn redescribed(&self, before: &S3VersionRow, after: &S3VersionRow) -> Vec<Change> {
        let operation = self.origin.as_ref().map_or("", |origin| origin.operation);
        let (size, etag) = (after.size_bytes, after.etag.clone());
        let what = match operation {
            "PutObjectTagging" => What::Tagged { cleared: false, size, etag },
            "DeleteObjectTagging" => What::Tagged { cleared: true, size, etag },
            // AWS tells of a list that is another one than before.
            "PutObjectAcl" if before.acl != after.acl => What::Acl { size, etag },
            _ if before.class != after.class => What::Class { size, etag, class: after.class.clone() },
            _ => return Vec::new(),
        };
        let version = VersionId { rank: after.rank, random: after.vid };
        vec![Change { key: after.key.0.clone(), version, what }]
    }
}

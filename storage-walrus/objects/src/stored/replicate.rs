//! What each write notes in its own transaction for those who bring it into other buckets; and writing what they bring.

use super::rows::{blob_texts, found};
use super::write;
use super::{StoreMetadata, quota};
use crate::crypt::Encryption;
use crate::error::Error;
use crate::events::{Change, What};
use crate::model::{Content, ObjectInfo};
use crate::origin::{LIFECYCLE, REPLICATION};
use crate::properties::Tags;
use crate::replica::{COMPLETED, FAILED, PENDING, Placed, REPLICA, Replica};
use crate::version::VersionId;
use mallee_s3_config::ReplicationRule;
use mallee_store::{
    S3BucketRow, S3Placed, S3ReplicationRow, S3VersionRow, S3Versioning, S3Which, Tx, quota_hold, s3_bucket_hold,
    s3_replica_put, s3_replication_done, s3_replication_note, s3_replication_state, s3_version_hold,
};

fn targets(rules: &[&ReplicationRule]) -> Vec<String> {
    rules.iter().map(|rule| rule.destination.bucket.to_string()).collect()
}

/// Whether what is encrypted so can be brought elsewhere: keys of KMS are not given to those who do it.
fn may_go(encryption: Option<&str>) -> Result<bool, Error> {
    Ok(!matches!(Encryption::from_text(encryption)?, Some(Encryption::Kms(_))))
}

impl StoreMetadata {
    fn operation(&self) -> &str {
        self.origin.as_ref().map_or("", |origin| origin.operation)
    }

    /// Where a new object is to be brought. What was brought here itself goes no further.
    pub(super) async fn targets_of(
        &self,
        tx: &mut Tx,
        bucket: &S3BucketRow,
        info: &ObjectInfo,
    ) -> Result<Vec<String>, Error> {
        if self.operation() == REPLICATION || bucket.versioning != S3Versioning::Enabled {
            return Ok(Vec::new());
        }
        match self.watched.replication(tx, bucket).await? {
            Some(rules) if may_go(info.properties.encryption.as_deref())? => {
                Ok(targets(&rules.of_object(&info.key, &info.properties.tags)))
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Notes delete markers that are to be brought elsewhere. What a lifecycle deletes stays elsewhere.
    pub(super) async fn note_markers(
        &self,
        tx: &mut Tx,
        bucket: &S3BucketRow,
        changes: &[Change],
    ) -> Result<(), Error> {
        if matches!(self.operation(), REPLICATION | LIFECYCLE) || bucket.versioning != S3Versioning::Enabled {
            return Ok(());
        }
        let Some(rules) = self.watched.replication(tx, bucket).await? else { return Ok(()) };
        for change in changes.iter().filter(|change| change.what == What::Marked) {
            let place = (change.version.rank, change.version.random);
            s3_replication_note(tx, bucket.id, &change.key, place, targets(&rules.of_marker(&change.key))).await?;
        }
        Ok(())
    }

    /// Notes a version whose tags, list or locks are about to change, and that was or is to be brought elsewhere; a replica
    /// where a rule brings back what is changed of replicas. Of a version that waits its row says so. `tags`: those that it
    /// had, and has.
    pub(super) async fn note_redescribed(
        &self,
        tx: &mut Tx,
        bucket: &S3BucketRow,
        before: &S3VersionRow,
        after: &mut S3VersionRow,
        tags: [&Tags; 2],
    ) -> Result<(), Error> {
        let same = before.tags == after.tags
            && before.acl == after.acl
            && before.lock_mode == after.lock_mode
            && before.lock_until_ms == after.lock_until_ms
            && before.legal_hold == after.legal_hold;
        let Some(state) = before.repl.as_deref() else { return Ok(()) };
        if same
            || after.vid == 0
            || matches!(self.operation(), REPLICATION | LIFECYCLE)
            || !may_go(after.enc.as_deref())?
        {
            return Ok(());
        }
        let Some(rules) = self.watched.replication(tx, bucket).await? else { return Ok(()) };
        let is_replica = state == REPLICA;
        // Where it was brought for the tags that it had it stays.
        let mut rules: Vec<&ReplicationRule> =
            tags.iter().flat_map(|tags| rules.of_object(&after.key.0, tags)).collect();
        rules.retain(|rule| !is_replica || rule.replica_modifications == Some(true));
        if rules.is_empty() {
            return Ok(());
        }
        if !is_replica {
            after.repl = Some(PENDING.to_owned());
        }
        let mut targets = targets(&rules);
        targets.sort_unstable();
        targets.dedup();
        Ok(s3_replication_note(tx, bucket.id, &after.key.0, (after.rank, after.vid), targets).await?)
    }

    /// Writes what another bucket has.
    pub(super) async fn put_replica_in(&self, tx: &mut Tx, replica: &Replica) -> Result<Placed, Error> {
        let (name, key) = replica.place();
        let bucket = self.hold(tx, name).await?;
        if bucket.versioning != S3Versioning::Enabled {
            return Err(Error::State("The destination bucket has no versioning enabled.".to_owned()));
        }
        let limits = self.limits.as_deref().filter(|limits| quota::concerns_objects(limits));
        if limits.is_some() {
            quota_hold(tx, &bucket.account_id).await?;
        }
        let (row, pieces, retained, new_blob) = match replica {
            Replica::Object(put) => {
                let (row, pieces) = write::row(&bucket, put)?;
                let new_blob = put.new_blob.as_ref().map(|(id, size)| (id.as_str(), *size));
                let retained = if new_blob.is_some() { Vec::new() } else { blob_texts(&put.object.content) };
                if new_blob.is_some() && !matches!(put.object.content, Content::Blob(_)) {
                    return Err(Error::Metadata("a replica with a new blob that is not its content".to_owned()));
                }
                let version = put.object.info.version;
                (S3VersionRow { rank: version.rank, vid: version.random, ..row }, pieces, retained, new_blob)
            }
            Replica::Marker { marker, write_id, .. } => {
                let row = S3VersionRow {
                    rank: marker.version.rank,
                    vid: marker.version.random,
                    marker: true,
                    modified_ms: marker.created_ms,
                    ..S3VersionRow::new(key, bucket.account_id.clone(), write_id)
                };
                (row, Vec::new(), Vec::new(), None)
            }
        };
        let version = VersionId { rank: row.rank, random: row.vid };
        let what = match row.marker {
            true => What::Marked,
            false => What::Written { size: row.size_bytes, etag: row.etag.clone() },
        };
        let placed = s3_replica_put(tx, &bucket, row, &pieces, &retained, new_blob).await;
        match super::or_gone(placed)? {
            S3Placed::Written => {}
            S3Placed::There => return Ok(Placed::There),
            S3Placed::Taken => {
                return Err(Error::State("Another version has the place of this one in the destination.".to_owned()));
            }
        }
        if let Some(limits) = limits {
            quota::after_object(tx, &bucket, limits).await?;
        }
        self.note(tx, &bucket, vec![Change { key: key.to_owned(), version, what }]).await?;
        Ok(Placed::Written)
    }

    /// Forgets a version that was brought to a target, or could not be, and says so of it.
    pub(super) async fn replicated_in(
        &self,
        tx: &mut Tx,
        version: &S3ReplicationRow,
        failed: Option<&str>,
    ) -> Result<(), Error> {
        // With the bucket its versions went, and what waited.
        let Some(bucket) = found(s3_bucket_hold(tx, &version.bucket).await)? else { return Ok(()) };
        let which = S3Which::Id { rank: version.rank, vid: version.vid };
        let row = s3_version_hold(tx, &bucket, &version.key.0, which).await?;
        let Some(left) = s3_replication_done(tx, version).await? else { return Ok(()) };
        let Some(row) = row else { return Ok(()) };
        match failed {
            Some(_) => s3_replication_state(tx, version, FAILED).await?,
            None if left == 0 => s3_replication_state(tx, version, COMPLETED).await?,
            None => {}
        }
        if let Some(why) = failed {
            let what = What::NotReplicated {
                size: row.size_bytes,
                etag: row.etag,
                target: version.target.clone(),
                why: why.to_owned(),
                marker: row.marker,
            };
            let id = VersionId { rank: version.rank, random: version.vid };
            self.note(tx, &bucket, vec![Change { key: version.key.0.clone(), version: id, what }]).await?;
        }
        Ok(())
    }
}

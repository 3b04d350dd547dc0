//! The background task that puts an account's records into its bucket.
//!
//! Each replica delivers what its own journal has. Before an object is written, its key and the part of the journal that
//! it holds are noted in the database (the *plan*); when it is written, the place in the journal moves on. A crash in
//! between writes the same object again: under the same key, so that no record is there twice.

use super::file;
use super::gather::Gathered;
use super::objects::{NewObject, ObjectService};
use super::selectors::{Selector, Wanted};
use super::{STOP_GRACE_MS, digest};
use crate::Cloud;
use mallee_audit::{Position, read};
use mallee_proto::{Kind, WireError};
use mallee_store::{
    StoreError, TrailDeliveryRow, TrailFileRow, TrailRow, trail_delivered, trail_delivery_delete, trail_delivery_list,
    trail_delivery_put, trail_fetch, trail_file_put, trail_list_all, trail_tried,
};
use mallee_types::AccountId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Records and bytes read from the journal at once.
const READ_RECORDS: usize = 500;
const READ_BYTES: u64 = 8 * 1024 * 1024;
/// Reads of one pass: a trail that is far behind catches up in several.
const READS_MAX: usize = 100;
/// Records of all trails that are held in memory, in bytes; then they are delivered before their time.
const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a bucket that refused is left alone, in milliseconds.
const RETRY_MS: i64 = 30 * 1000;
/// How often the place of a trail without records is noted, in milliseconds.
const NOTE_MS: i64 = 5 * 60 * 1000;

/// A trail: its account and name.
pub(super) type TrailKey = (AccountId, String);

/// Why a pass ended early.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The database.
    #[error("the database: {0}")]
    Store(#[from] StoreError),
    /// The journal's files.
    #[error("the audit trail cannot be read: {0}")]
    Journal(String),
    /// A test made the step fail.
    #[error(transparent)]
    Fault(#[from] mallee_runtime::FaultError),
}

/// The object that is under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Plan {
    /// The end of the part of the journal that it holds.
    to: String,
    bucket: String,
    key: String,
    wanted: Wanted,
}

/// Buckets that refused what is to be delivered, and until when each is left alone, by trail.
#[derive(Debug, Default)]
pub(super) struct Retries(BTreeMap<TrailKey, (String, i64)>);

impl Retries {
    /// Whether the bucket of a trail is left alone still. Another bucket than the one that refused is not.
    pub(super) fn waits(&self, trail: &TrailRow, now_ms: i64) -> bool {
        let key = (trail.account_id.clone(), trail.name.clone());
        self.0.get(&key).is_some_and(|(bucket, until)| *bucket == trail.bucket && now_ms < *until)
    }

    /// The bucket of a trail refused.
    pub(super) fn refused(&mut self, trail: &TrailRow, now_ms: i64) {
        let until = now_ms.saturating_add(RETRY_MS);
        self.0.insert((trail.account_id.clone(), trail.name.clone()), (trail.bucket.clone(), until));
    }

    /// The bucket of a trail took what it got.
    pub(super) fn taken(&mut self, trail: &TrailRow) {
        self.0.remove(&(trail.account_id.clone(), trail.name.clone()));
    }
}

/// What one replica has read and not yet delivered.
#[derive(Debug)]
pub struct Deliverer {
    directory: PathBuf,
    /// Where trails begin that this replica did not see start: nothing of them is before.
    begin: Position,
    /// When the pass before this one began, in milliseconds since 1970.
    passed_ms: i64,
    gathered: BTreeMap<TrailKey, Gathered>,
    retries: Retries,
    digest_retries: Retries,
    noted_ms: i64,
}

/// What a trail wants of a replica's records.
fn wanted(trail: &TrailRow, row: &TrailDeliveryRow) -> Wanted {
    let selectors = trail.selectors.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let over = trail.stopped_ms.map(|stopped| stopped.saturating_add(STOP_GRACE_MS));
    Wanted {
        account: trail.account_id.clone(),
        global_events: trail.global_events,
        selectors: selectors.unwrap_or_else(|| vec![Selector::default()]),
        since_ms: row.since_ms,
        until_ms: over.filter(|_| !trail.logging),
        gap: over.zip(trail.started_ms).filter(|_| trail.logging),
    }
}

/// S3's code for what went wrong, as GetTrailStatus shows it.
pub(super) const fn s3_code(error: &WireError) -> &'static str {
    match error.kind {
        Kind::NotFound => "NoSuchBucket",
        Kind::Invalid | Kind::Forbidden => "AccessDenied",
        Kind::Unavailable | Kind::Capacity => "ServiceUnavailable",
        _ => "InternalError",
    }
}

impl Deliverer {
    /// For the journal in this directory, which is written so far.
    #[must_use]
    pub const fn new(directory: PathBuf, written: Position) -> Self {
        Self {
            directory,
            // What other replicas have started before this one has read may stand in the newest segment.
            begin: Position { segment: written.segment, offset: 0 },
            passed_ms: i64::MAX,
            gathered: BTreeMap::new(),
            retries: Retries(BTreeMap::new()),
            digest_retries: Retries(BTreeMap::new()),
            noted_ms: 0,
        }
    }

    /// One pass. Idempotent.
    ///
    /// # Errors
    /// What ends the pass; the next one goes on from the same place.
    pub async fn pass(
        &mut self,
        cloud: &Cloud,
        objects: &dyn ObjectService,
        written: Position,
    ) -> Result<(), DeliverError> {
        let now_ms = cloud.clock().now_ms();
        let trails: BTreeMap<TrailKey, TrailRow> = trail_list_all(cloud.store())
            .await?
            .into_iter()
            .map(|trail| ((trail.account_id.clone(), trail.name.clone()), trail))
            .collect();
        for kept in [&mut self.retries, &mut self.digest_retries] {
            kept.0.retain(|key, _| trails.contains_key(key));
        }
        self.gathered.retain(|key, _| trails.contains_key(key));
        let rows = self.rows(cloud, &trails).await?;
        for (key, row) in &rows {
            let Some(trail) = trails.get(key) else { continue };
            if row.plan.is_some() {
                self.gathered.remove(key);
                self.go_on(cloud, objects, trail, row, None, now_ms).await?;
            } else {
                self.expect(key, trail, row);
            }
        }
        self.read(written).await?;
        for (key, row) in rows.iter().filter(|(_, row)| row.plan.is_none()) {
            let Some(trail) = trails.get(key) else { continue };
            self.settle(cloud, objects, trail, row, written, now_ms).await?;
        }
        if now_ms.saturating_sub(self.noted_ms) >= NOTE_MS {
            self.noted_ms = now_ms;
        }
        self.begin = written;
        self.passed_ms = now_ms;
        digest::pass(cloud, objects, &mut self.digest_retries).await
    }

    /// How far this replica is with each trail; a place for those that were started elsewhere.
    async fn rows(
        &self,
        cloud: &Cloud,
        trails: &BTreeMap<TrailKey, TrailRow>,
    ) -> Result<BTreeMap<TrailKey, TrailDeliveryRow>, DeliverError> {
        let replica = &cloud.config().replica;
        let mut rows: BTreeMap<TrailKey, TrailDeliveryRow> = trail_delivery_list(cloud.store(), replica)
            .await?
            .into_iter()
            .map(|row| ((row.account_id.clone(), row.trail.clone()), row))
            .collect();
        for (key, trail) in trails {
            let is_wanted = trail.logging || trail.stopped_ms.is_some_and(|stopped| stopped >= self.passed_ms);
            if !is_wanted || rows.contains_key(key) {
                continue;
            }
            let row = TrailDeliveryRow {
                account_id: trail.account_id.clone(),
                trail: trail.name.clone(),
                replica: replica.clone(),
                position: self.begin.to_string(),
                since_ms: trail.started_ms.unwrap_or(trail.created_ms),
                plan: None,
            };
            let mut tx = cloud.store().write().await?;
            if trail_fetch(&mut tx, &trail.account_id, &trail.name).await?.is_some() {
                trail_delivery_put(&mut tx, &row).await?;
                tx.commit().await?;
                rows.insert(key.clone(), row);
            }
        }
        Ok(rows)
    }

    /// Has records read for a trail from the place where it is.
    fn expect(&mut self, key: &TrailKey, trail: &TrailRow, row: &TrailDeliveryRow) {
        let wanted = wanted(trail, row);
        match self.gathered.get_mut(key) {
            // What was read by other selectors is delivered first.
            Some(gathered) if gathered.lines.is_empty() || gathered.wanted.same_kinds(&wanted) => {
                gathered.wanted = wanted;
            }
            Some(_) => {}
            None => {
                let at = row.position.parse().unwrap_or(self.begin);
                self.gathered.insert(key.clone(), Gathered::new(wanted, at));
            }
        }
    }

    fn held(&self) -> usize {
        self.gathered.values().map(Gathered::bytes).sum()
    }

    /// Reads on for every trail that has room. Trails that are at the same place, as most are, share the reading.
    async fn read(&mut self, written: Position) -> Result<(), DeliverError> {
        for _ in 0..READS_MAX {
            if self.held() >= HELD_BYTES_MAX {
                break;
            }
            let open = self.gathered.values().filter(|g| !g.is_full() && g.at < written);
            let Some(from) = open.map(|g| g.at).min() else { break };
            let directory = self.directory.clone();
            let work = move || read::walk(&directory, from, READ_RECORDS, READ_BYTES);
            let (records, to) = blocking(work).await?;
            if to == from {
                break;
            }
            for gathered in self.gathered.values_mut().filter(|g| !g.is_full() && g.at == from) {
                for (record, after) in &records {
                    if gathered.is_full() {
                        break;
                    }
                    gathered.offer(record, *after);
                }
                if !gathered.is_full() {
                    gathered.at = to;
                }
            }
        }
        Ok(())
    }

    /// Delivers what is due; notes the place where nothing is.
    async fn settle(
        &mut self,
        cloud: &Cloud,
        objects: &dyn ObjectService,
        trail: &TrailRow,
        row: &TrailDeliveryRow,
        written: Position,
        now_ms: i64,
    ) -> Result<(), DeliverError> {
        let key = (trail.account_id.clone(), trail.name.clone());
        let over_full = self.held() >= HELD_BYTES_MAX;
        let Some(gathered) = self.gathered.get(&key) else { return Ok(()) };
        // A record may be a moment on its way into the journal.
        let is_over = |until: i64| now_ms > until.saturating_add(STOP_GRACE_MS);
        let ends = wanted(trail, row).until_ms.is_some_and(is_over) && gathered.at >= written;
        let changed = !gathered.wanted.same_kinds(&wanted(trail, row));
        if gathered.lines.is_empty() {
            if ends {
                let mut tx = cloud.store().write().await?;
                trail_delivery_delete(&mut tx, &trail.account_id, &trail.name, &row.replica).await?;
                tx.commit().await?;
                self.gathered.remove(&key);
            } else if now_ms.saturating_sub(self.noted_ms) >= NOTE_MS && gathered.at.to_string() != row.position {
                note(cloud, &TrailDeliveryRow { position: gathered.at.to_string(), ..row.clone() }).await?;
            }
            return Ok(());
        }
        if !(gathered.is_due(now_ms) || ends || changed || over_full) {
            return Ok(());
        }
        let region = &cloud.config().region;
        let unique = file::unique(cloud.rng());
        let plan = Plan {
            to: gathered.at.to_string(),
            bucket: trail.bucket.clone(),
            key: file::log_key(trail.prefix.as_deref(), &trail.account_id, region, now_ms, &unique),
            wanted: gathered.wanted.clone(),
        };
        let planned = TrailDeliveryRow { plan: serde_json::to_string(&plan).ok(), ..row.clone() };
        if !note(cloud, &planned).await? {
            return Ok(());
        }
        cloud.faults().point("cloud.trail.planned").await?;
        let gathered = self.gathered.remove(&key);
        self.go_on(cloud, objects, trail, &planned, gathered, now_ms).await
    }

    /// Writes the object that is planned. Without what was gathered for it, that is read again.
    async fn go_on(
        &mut self,
        cloud: &Cloud,
        objects: &dyn ObjectService,
        trail: &TrailRow,
        row: &TrailDeliveryRow,
        gathered: Option<Gathered>,
        now_ms: i64,
    ) -> Result<(), DeliverError> {
        if self.retries.waits(trail, now_ms) {
            return Ok(());
        }
        let plan: Option<Plan> = row.plan.as_deref().and_then(|text| serde_json::from_str(text).ok());
        // A trail that was pointed at another bucket is not held up by the old one.
        let Some(plan) = plan.filter(|plan| plan.bucket == trail.bucket) else {
            note(cloud, &TrailDeliveryRow { plan: None, ..row.clone() }).await?;
            return Ok(());
        };
        let gathered = match gathered {
            Some(gathered) => gathered,
            None => self.again(row, &plan).await?,
        };
        let (oldest_ms, newest_ms) = gathered.span();
        let mut written = None;
        if !gathered.lines.is_empty() {
            let (text, data) = blocking(move || {
                let text = file::text(&gathered.lines);
                file::gzip(&text).map(|data| (text, data))
            })
            .await?;
            cloud.faults().point("cloud.trail.put").await?;
            let object = NewObject {
                content_type: super::objects::JSON,
                account: trail.account_id.clone(),
                bucket: plan.bucket.clone(),
                key: plan.key.clone(),
                data,
                metadata: Vec::new(),
            };
            if let Err(error) = objects.put(object).await {
                tracing::warn!(trail = trail.name, account = %trail.account_id, %error, "audit records wait for their bucket");
                self.retries.refused(trail, now_ms);
                let mut tx = cloud.store().write().await?;
                trail_tried(&mut tx, &trail.account_id, &trail.name, now_ms, s3_code(&error)).await?;
                tx.commit().await?;
                return Ok(());
            }
            cloud.faults().point("cloud.trail.delivered").await?;
            written = Some(TrailFileRow {
                account_id: trail.account_id.clone(),
                trail: trail.name.clone(),
                bucket: plan.bucket,
                object: plan.key,
                hash: hex::encode(Sha256::digest(text.as_bytes())),
                oldest_ms,
                newest_ms,
            });
        }
        self.retries.taken(trail);
        let mut tx = cloud.store().write().await?;
        // Deleted meanwhile: what it has written stays in the bucket.
        let Some(trail) = trail_fetch(&mut tx, &trail.account_id, &trail.name).await? else { return Ok(()) };
        trail_delivery_put(&mut tx, &TrailDeliveryRow { position: plan.to, plan: None, ..row.clone() }).await?;
        if let Some(file) = written {
            trail_delivered(&mut tx, &trail.account_id, &trail.name, now_ms).await?;
            if trail.digest_from_ms.is_some() {
                trail_file_put(&mut tx, &file).await?;
            }
        }
        tx.commit().await?;
        Ok(cloud.faults().point("cloud.trail.noted").await?)
    }

    /// What the plan says, read anew from the journal.
    async fn again(&self, row: &TrailDeliveryRow, plan: &Plan) -> Result<Gathered, DeliverError> {
        let odd = |what: &str| DeliverError::Journal(format!("{what} is no place in the journal"));
        let from: Position = row.position.parse().map_err(|_| odd(&row.position))?;
        let end: Position = plan.to.parse().map_err(|_| odd(&plan.to))?;
        let (directory, mut gathered) = (self.directory.clone(), Gathered::new(plan.wanted.clone(), from));
        blocking(move || {
            while gathered.at < end {
                let (records, to) = read::walk(&directory, gathered.at, READ_RECORDS, READ_BYTES)?;
                if to == gathered.at {
                    break;
                }
                for (record, after) in records.iter().filter(|(_, after)| *after <= end) {
                    gathered.offer(record, *after);
                }
                gathered.at = to;
            }
            Ok(gathered)
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, DeliverError> {
    let journal = |error: &dyn std::fmt::Display| DeliverError::Journal(error.to_string());
    tokio::task::spawn_blocking(work).await.map_err(|e| journal(&e))?.map_err(|e| journal(&e))
}

/// Writes how far a replica is; false when the trail is gone.
async fn note(cloud: &Cloud, row: &TrailDeliveryRow) -> Result<bool, StoreError> {
    let mut tx = cloud.store().write().await?;
    if trail_fetch(&mut tx, &row.account_id, &row.trail).await?.is_none() {
        return Ok(false);
    }
    trail_delivery_put(&mut tx, row).await?;
    tx.commit().await?;
    Ok(true)
}

//! The rules of one bucket.

use super::{Expirer, State};
use crate::Error;
use mallee_objects::{
    Bucket, Delete, Deleted, Error as EngineError, ListQuery, ObjectInfo, Properties, VersionId, VersionName, Which,
};
use mallee_s3::transition;
use mallee_s3_config::lifecycle::{Action, Lifecycle, Planner, Version, abort_due};
use mallee_s3_config::{Document as _, kept};
use mallee_store::{S3AgingRow, s3_aging_list};

/// Versions looked at between two notes of where the round is.
const PAGE: u32 = 1000;
/// Uploads looked at at once.
const UPLOADS: usize = 1000;

/// What is to be done with versions of a page.
#[derive(Debug, Default)]
struct Work {
    deletes: Vec<(Delete, String)>,
    moves: Vec<(String, VersionName, String, String)>,
}

fn version(row: &S3AgingRow) -> Version {
    // Tags that cannot be read are none that a rule asks for.
    let tags = if row.tags.is_empty() { None } else { serde_json::from_str(&row.tags).ok() };
    Version {
        written_ms: row.modified_ms,
        marker: row.marker,
        size: row.size_bytes,
        class: row.class.clone(),
        tags: tags.unwrap_or_default(),
    }
}

fn name(row: &S3AgingRow) -> VersionName {
    VersionId::of_parts(row.rank, row.vid).into()
}

impl Expirer {
    /// Carries out the rules of a bucket from a key on.
    pub(super) async fn bucket(&self, bucket: &str, begin: String, state: &mut State) -> Result<(), Error> {
        let found = match self.engine.bucket(bucket).await {
            Ok(found) => found,
            // Deleted since it was listed.
            Err(EngineError::NoBucket) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let Some(text) = found.docs.get(Lifecycle::KIND) else { return Ok(()) };
        let lifecycle: Lifecycle = match kept(text) {
            Ok(lifecycle) => lifecycle,
            Err(error) => {
                let cause = error.cause().unwrap_or_default();
                tracing::error!(bucket, cause, "lifecycle rules cannot be read; nothing of the bucket expires");
                return Ok(());
            }
        };
        let enabled = || lifecycle.rules.iter().filter(|rule| rule.enabled);
        if begin.is_empty() && enabled().any(|rule| rule.abort_days.is_some()) {
            self.uploads(&found, &lifecycle, state).await?;
        }
        let about_versions = enabled().any(|rule| {
            rule.expiration.is_some()
                || rule.noncurrent.is_some()
                || !rule.transitions.is_empty()
                || !rule.noncurrent_transitions.is_empty()
        });
        if !about_versions {
            return Ok(());
        }
        self.versions(&found, &lifecycle, begin, state).await
    }

    async fn versions(
        &self,
        bucket: &Bucket,
        lifecycle: &Lifecycle,
        begin: String,
        state: &mut State,
    ) -> Result<(), Error> {
        let now_ms = self.engine.clock().now_ms();
        let mut after = (begin, i64::MIN);
        // The first version of the key that is being looked at waits until it is known whether it has others.
        let mut waiting: Option<S3AgingRow> = None;
        let mut planner: Option<(String, Planner<'_>)> = None;
        loop {
            let page = s3_aging_list(&self.store, bucket.id, (&after.0, after.1), PAGE).await?;
            let ended = page.len() < PAGE as usize;
            let mut work = Work::default();
            for row in page {
                after = (row.key.0.clone(), row.rank);
                state.outcome.seen += 1;
                if planner.as_ref().is_none_or(|(key, _)| *key != row.key.0) {
                    if let (Some((_, planner)), Some(first)) = (&mut planner, waiting.take()) {
                        self.decide(planner.next(&version(&first), true), &first, now_ms, &mut work, state);
                    }
                    planner = Some((row.key.0.clone(), Planner::new(lifecycle, &row.key.0, now_ms, self.day)));
                    waiting = Some(row);
                    continue;
                }
                let Some((_, planner)) = &mut planner else { continue };
                if let Some(first) = waiting.take() {
                    self.decide(planner.next(&version(&first), false), &first, now_ms, &mut work, state);
                }
                self.decide(planner.next(&version(&row), false), &row, now_ms, &mut work, state);
            }
            if ended && let (Some((_, planner)), Some(first)) = (&mut planner, waiting.take()) {
                self.decide(planner.next(&version(&first), true), &first, now_ms, &mut work, state);
            }
            self.carry_out(bucket, work, state).await?;
            if ended {
                return Ok(());
            }
            // At the beginning of the key: what is older than a version decides nothing, what is newer does.
            state.at = Some((bucket.name.clone(), after.0.clone()));
            self.note(state).await?;
        }
    }

    fn decide(&self, action: Option<Action>, row: &S3AgingRow, now_ms: i64, work: &mut Work, state: &mut State) {
        let delete = |version| (Delete::of(row.key.0.clone(), version), row.write_id.clone());
        match action {
            None => {}
            Some(Action::Expire) => work.deletes.push(delete(None)),
            Some(Action::Remove) if row.legal_hold || row.lock_until_ms.is_some_and(|until| until > now_ms) => {
                state.outcome.locked += 1;
            }
            Some(Action::Remove) => work.deletes.push(delete(Some(name(row)))),
            Some(Action::Transition(class)) => {
                work.moves.push((row.key.0.clone(), name(row), row.write_id.clone(), class));
            }
        }
    }

    async fn carry_out(&self, bucket: &Bucket, work: Work, state: &mut State) -> Result<(), Error> {
        if !work.deletes.is_empty() {
            self.lead.still().await?;
            let about: Vec<(String, Option<VersionName>)> =
                work.deletes.iter().map(|(delete, _)| (delete.key.clone(), delete.version)).collect();
            let done = match self.engine.delete_written(&bucket.name, work.deletes).await {
                Err(EngineError::NoBucket) => return Ok(()),
                other => other?,
            };
            for ((key, version), done) in about.into_iter().zip(done) {
                match done {
                    Deleted::Marked(_) | Deleted::Removed { .. } if version.is_none() => {
                        state.outcome.expired += 1;
                        let marked = matches!(done, Deleted::Marked(_));
                        let operation = if marked { "S3.CREATE.DELETEMARKER" } else { "S3.EXPIRE.OBJECT" };
                        self.log.rule(&self.engine, bucket, operation, &key, None).await?;
                    }
                    Deleted::Removed { version, .. } => {
                        state.outcome.removed += 1;
                        let version = Some(version.to_string());
                        self.log.rule(&self.engine, bucket, "S3.EXPIRE.OBJECT", &key, version).await?;
                    }
                    Deleted::Locked => state.outcome.locked += 1,
                    // Somebody else was faster.
                    _ => {}
                }
            }
        }
        for (key, version, write_id, class) in work.moves {
            self.lead.still().await?;
            let change = |info: &ObjectInfo| {
                if info.write_id != write_id {
                    return Err(EngineError::Precondition);
                }
                Ok(Properties { class: class.clone(), ..info.properties.clone() })
            };
            match self.engine.change_properties(&bucket.name, &key, Which::Named(version), &change).await {
                Ok(Some(_)) => {
                    state.outcome.moved += 1;
                    self.log.rule(&self.engine, bucket, transition(&class), &key, None).await?;
                }
                Ok(None) | Err(EngineError::Precondition | EngineError::NoBucket) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn uploads(&self, bucket: &Bucket, lifecycle: &Lifecycle, state: &mut State) -> Result<(), Error> {
        let now_ms = self.engine.clock().now_ms();
        let (mut query, mut after_id) = (ListQuery { limit: UPLOADS, ..ListQuery::default() }, String::new());
        loop {
            let page = self.engine.list_uploads(&bucket.name, &query, &after_id).await?;
            for upload in &page.items {
                let due = abort_due(lifecycle, &upload.key, upload.created_ms, self.day);
                if due.is_none_or(|due| due.at_ms > now_ms) {
                    continue;
                }
                self.lead.still().await?;
                match self.engine.abort_upload(&upload.id).await {
                    Ok(()) => {
                        state.outcome.aborted += 1;
                        self.log.rule(&self.engine, bucket, "S3.DELETE.UPLOAD", &upload.key, None).await?;
                    }
                    Err(EngineError::NoUpload) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            match page.items.last().filter(|_| page.truncated) {
                Some(last) => (query.after, after_id) = (Some(last.key.clone()), last.id.clone()),
                None => return Ok(()),
            }
        }
    }
}

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
/// How often a round begins anew in a bucket because its rules were changed meanwhile. (Then it is left to the next day.)
const CHANGES_MAX: u32 = 100;

/// A bucket with the rules that it had.
struct Ruled {
    bucket: Bucket,
    rules: Lifecycle,
}

/// How going through a bucket ended.
enum Passed {
    /// It has other rules now, or is another one: it goes on from this key.
    Changed(String),
    /// All was looked at.
    Through,
}

/// What is to be done with versions of a page.
#[derive(Debug, Default)]
struct Work {
    deletes: Vec<(Delete, String)>,
    moves: Vec<(String, VersionName, String, String)>,
    /// Versions that a lock keeps.
    locked: u64,
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

/// Notes what is to be done with a version.
fn decide(action: Option<Action>, row: &S3AgingRow, now_ms: i64, work: &mut Work) {
    let delete = |version| (Delete::of(row.key.0.clone(), version), row.write_id.clone());
    match action {
        None => {}
        Some(Action::Expire) => work.deletes.push(delete(None)),
        Some(Action::Remove) if row.legal_hold || row.lock_until_ms.is_some_and(|until| until > now_ms) => {
            work.locked += 1;
        }
        Some(Action::Remove) => work.deletes.push(delete(Some(name(row)))),
        Some(Action::Transition(class)) => {
            work.moves.push((row.key.0.clone(), name(row), row.write_id.clone(), class));
        }
    }
}

impl Expirer {
    /// Carries out the rules of a bucket from a key on.
    pub(super) async fn bucket(&self, bucket: &str, begin: String, state: &mut State) -> Result<(), Error> {
        let mut begin = begin;
        for _ in 0..CHANGES_MAX {
            let Some(ruled) = self.ruled(bucket).await? else { return Ok(()) };
            match self.by_rules(&ruled, begin, state).await? {
                Passed::Changed(key) => begin = key,
                Passed::Through => return Ok(()),
            }
        }
        tracing::warn!(bucket, "lifecycle rules change too often; the rest of the bucket is left to the next day");
        Ok(())
    }

    /// A bucket with its rules, if it has any.
    async fn ruled(&self, name: &str) -> Result<Option<Ruled>, Error> {
        let bucket = match self.engine.bucket(name).await {
            Ok(found) => found,
            // Deleted since it was listed.
            Err(EngineError::NoBucket) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Some(text) = bucket.docs.get(Lifecycle::KIND) else { return Ok(None) };
        match kept(text) {
            Ok(rules) => Ok(Some(Ruled { bucket, rules })),
            Err(error) => {
                let cause = error.cause().unwrap_or_default();
                tracing::error!(bucket = name, cause, "lifecycle rules cannot be read; nothing of the bucket expires");
                Ok(None)
            }
        }
    }

    /// Whether the rules are still those that something was decided by.
    async fn holds(&self, ruled: &Ruled) -> Result<bool, Error> {
        let now = |bucket: &Bucket| (bucket.id, bucket.docs.get(Lifecycle::KIND).map(str::to_owned));
        match self.engine.bucket(&ruled.bucket.name).await {
            Ok(found) => Ok(now(&found) == now(&ruled.bucket)),
            Err(EngineError::NoBucket) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn by_rules(&self, ruled: &Ruled, begin: String, state: &mut State) -> Result<Passed, Error> {
        let enabled = || ruled.rules.rules.iter().filter(|rule| rule.enabled);
        if begin.is_empty()
            && enabled().any(|rule| rule.abort_days.is_some())
            && let Passed::Changed(from) = self.uploads(ruled, state).await?
        {
            return Ok(Passed::Changed(from));
        }
        let about_versions = enabled().any(|rule| {
            rule.expiration.is_some()
                || rule.noncurrent.is_some()
                || !rule.transitions.is_empty()
                || !rule.noncurrent_transitions.is_empty()
        });
        if !about_versions {
            return Ok(Passed::Through);
        }
        self.versions(ruled, begin, state).await
    }

    async fn versions(&self, ruled: &Ruled, begin: String, state: &mut State) -> Result<Passed, Error> {
        let now_ms = self.engine.clock().now_ms();
        let mut after = (begin, i64::MIN);
        // The first version of the key that is being looked at waits until it is known whether it has others.
        let mut waiting: Option<S3AgingRow> = None;
        let mut planner: Option<(String, Planner<'_>)> = None;
        loop {
            let from = after.0.clone();
            let page = s3_aging_list(&self.store, ruled.bucket.id, (&after.0, after.1), PAGE).await?;
            let ended = page.len() < PAGE as usize;
            let mut work = Work::default();
            for row in page {
                after = (row.key.0.clone(), row.rank);
                state.outcome.seen += 1;
                if planner.as_ref().is_none_or(|(key, _)| *key != row.key.0) {
                    if let (Some((_, planner)), Some(first)) = (&mut planner, waiting.take()) {
                        decide(planner.next(&version(&first), true), &first, now_ms, &mut work);
                    }
                    planner = Some((row.key.0.clone(), Planner::new(&ruled.rules, &row.key.0, now_ms, self.day)));
                    waiting = Some(row);
                    continue;
                }
                let Some((_, planner)) = &mut planner else { continue };
                if let Some(first) = waiting.take() {
                    decide(planner.next(&version(&first), false), &first, now_ms, &mut work);
                }
                decide(planner.next(&version(&row), false), &row, now_ms, &mut work);
            }
            if ended && let (Some((_, planner)), Some(first)) = (&mut planner, waiting.take()) {
                decide(planner.next(&version(&first), true), &first, now_ms, &mut work);
            }
            if !self.holds(ruled).await? {
                return Ok(Passed::Changed(from));
            }
            self.carry_out(&ruled.bucket, work, state).await?;
            if ended {
                return Ok(Passed::Through);
            }
            // At the beginning of the key: what is older than a version decides nothing, what is newer does.
            state.at = Some((ruled.bucket.name.clone(), after.0.clone()));
            self.note(state).await?;
        }
    }

    async fn carry_out(&self, bucket: &Bucket, work: Work, state: &mut State) -> Result<(), Error> {
        state.outcome.locked += work.locked;
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

    async fn uploads(&self, ruled: &Ruled, state: &mut State) -> Result<Passed, Error> {
        let now_ms = self.engine.clock().now_ms();
        let (mut query, mut after_id) = (ListQuery { limit: UPLOADS, ..ListQuery::default() }, String::new());
        loop {
            let page = self.engine.list_uploads(&ruled.bucket.name, &query, &after_id).await?;
            if !self.holds(ruled).await? {
                return Ok(Passed::Changed(String::new()));
            }
            for upload in &page.items {
                let due = abort_due(&ruled.rules, &upload.key, upload.created_ms, self.day);
                if due.is_none_or(|due| due.at_ms > now_ms) {
                    continue;
                }
                self.lead.still().await?;
                match self.engine.abort_upload(&upload.id).await {
                    Ok(()) => {
                        state.outcome.aborted += 1;
                        self.log.rule(&self.engine, &ruled.bucket, "S3.DELETE.UPLOAD", &upload.key, None).await?;
                    }
                    Err(EngineError::NoUpload) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            match page.items.last().filter(|_| page.truncated) {
                Some(last) => (query.after, after_id) = (Some(last.key.clone()), last.id.clone()),
                None => return Ok(Passed::Through),
            }
        }
    }
}

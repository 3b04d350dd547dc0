//! Carries out lifecycle rules: once a day, after midnight UTC, for there all their times lie.
//!
//! A round goes through the buckets by name and through each by key. Where it is is noted after each page, at the
//! beginning of a key, so that another process goes on there.

mod bucket;

use crate::Error;
use crate::lead::Lead;
use mallee_objects::{Engine, LIFECYCLE, Origin};
use mallee_s3::AccessLog;
use mallee_s3_config::Document as _;
use mallee_s3_config::lifecycle::{Day, Lifecycle};
use mallee_store::{Store, s3_configured_list, s3_job_fetch, s3_job_put};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The name of the job, and of its lease.
const JOB: &str = "s3/lifecycle";
/// Buckets looked for at once.
const BUCKETS: u32 = 100;

/// What a round did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Versions and delete markers looked at.
    pub seen: u64,
    /// Keys that expired.
    pub expired: u64,
    /// Versions and delete markers that went for good.
    pub removed: u64,
    /// Versions that got another class.
    pub moved: u64,
    /// Uploads that were given up.
    pub aborted: u64,
    /// Versions that a lock keeps.
    pub locked: u64,
}

/// Where the rounds are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// The last day whose round has ended.
    #[serde(default)]
    done: Option<i64>,
    /// The bucket that the round is at, with the key it goes on with.
    #[serde(default)]
    at: Option<(String, String)>,
    /// What the round has done.
    #[serde(default)]
    outcome: Outcome,
}

/// Carries out lifecycle rules. Clones share everything.
#[derive(Debug, Clone)]
pub struct Expirer {
    engine: Engine,
    store: Store,
    day: Day,
    lead: Lead,
    log: AccessLog,
}

impl Expirer {
    /// Over an engine and the database of its metadata.
    #[must_use]
    pub fn new(engine: &Engine, store: &Store, day: Day) -> Self {
        let origin = Origin::internal(LIFECYCLE, format!("{:016X}", engine.rng().u64()));
        let lead = Lead::new(store, JOB, engine.rng());
        Self { engine: engine.by(Arc::new(origin)), store: store.clone(), day, lead, log: AccessLog::default() }
    }

    /// Records what is done in the logs of the buckets' requests.
    #[must_use]
    pub fn with_log(self, log: AccessLog) -> Self {
        Self { log, ..self }
    }

    /// Does the round of the day, unless it is done, or another process does it; what it did.
    ///
    /// # Errors
    /// A failing store. What was done stays done, and the next round goes on behind it.
    pub async fn run(&self) -> Result<Option<Outcome>, Error> {
        let today = self.engine.clock().now_ms().div_euclid(self.day.ms());
        if self.state().await?.done.is_some_and(|done| done >= today) || !self.lead.held().await? {
            return Ok(None);
        }
        // Anew: the one who held the lease before may have gone on.
        let mut state = self.state().await?;
        if state.done.is_some_and(|done| done >= today) {
            return Ok(None);
        }
        let mut from = String::new();
        if let Some((name, key)) = state.at.take() {
            self.bucket(&name, key, &mut state).await?;
            from = name;
        }
        loop {
            let names = s3_configured_list(&self.store, Lifecycle::KIND, &from, BUCKETS).await?;
            let Some(last) = names.last().cloned() else { break };
            for name in &names {
                self.bucket(name, String::new(), &mut state).await?;
            }
            from = last;
        }
        let outcome = state.outcome;
        self.note(&State { done: Some(today), ..State::default() }).await?;
        if outcome.expired + outcome.removed + outcome.moved + outcome.aborted + outcome.locked > 0 {
            let Outcome { seen, expired, removed, moved, aborted, locked } = outcome;
            tracing::info!(seen, expired, removed, moved, aborted, locked, "lifecycle rules were carried out");
        }
        Ok(Some(outcome))
    }

    async fn state(&self) -> Result<State, Error> {
        let text = s3_job_fetch(&self.store, JOB).await?;
        // What cannot be read is of another release: the round begins anew, which does no harm.
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    async fn note(&self, state: &State) -> Result<(), Error> {
        self.lead.still().await?;
        self.engine.faults().point("walrus.lifecycle.note").await?;
        let mut tx = self.store.write().await?;
        s3_job_put(&mut tx, JOB, &serde_json::to_string(state).unwrap_or_default()).await?;
        tx.commit().await?;
        Ok(())
    }
}

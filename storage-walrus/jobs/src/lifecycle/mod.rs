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
    /// How long the days are that the numbers of days here count. (Another length, other numbers.)
    #[serde(default)]
    day_ms: i64,
    /// The last day whose round has ended.
    #[serde(default)]
    done: Option<i64>,
    /// The day whose round is under way.
    #[serde(default)]
    day: Option<i64>,
    /// The bucket that the round is at, with the key it goes on with.
    #[serde(default)]
    at: Option<(String, String)>,
    /// What the round has done.
    #[serde(default)]
    outcome: Outcome,
}

impl State {
    /// Whether the round of a day is done.
    fn is_done(&self, day: Day, today: i64) -> bool {
        self.day_ms == day.ms() && self.done == Some(today)
    }

    /// Whether it is about the round of a day, which is under way.
    fn is_at(&self, day: Day, today: i64) -> bool {
        self.day_ms == day.ms() && self.day == Some(today)
    }
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
        if self.state().await?.is_done(self.day, today) || !self.lead.held().await? {
            return Ok(None);
        }
        // Anew: the one who held the lease before may have gone on.
        let mut state = self.state().await?;
        if state.is_done(self.day, today) {
            return Ok(None);
        }
        if let Some(done) = state.done.filter(|done| state.day_ms == self.day.ms() && *done > today) {
            tracing::warn!(done, today, "lifecycle rules were carried out for days to come: the clock was ahead");
        }
        if state.at.is_some() && !state.is_at(self.day, today) {
            // A round of another day was left before its end. What it passed may be due since: today's comes after it.
            self.round(&mut state).await?;
            said(&state.outcome);
            state = State::default();
            self.note(&state).await?;
        }
        state.day_ms = self.day.ms();
        state.day = Some(today);
        self.round(&mut state).await?;
        self.note(&State { day_ms: self.day.ms(), done: Some(today), ..State::default() }).await?;
        said(&state.outcome);
        Ok(Some(state.outcome))
    }

    /// Goes through the buckets from where a round is to its end.
    async fn round(&self, state: &mut State) -> Result<(), Error> {
        let mut from = String::new();
        if let Some((name, key)) = state.at.take() {
            self.bucket(&name, key, state).await?;
            from = name;
        }
        loop {
            let names = s3_configured_list(&self.store, Lifecycle::KIND, &from, BUCKETS).await?;
            let Some(last) = names.last().cloned() else { return Ok(()) };
            for name in &names {
                self.bucket(name, String::new(), state).await?;
            }
            from = last;
        }
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

/// Tells of a round that did anything.
fn said(outcome: &Outcome) {
    let Outcome { seen, expired, removed, moved, aborted, locked } = *outcome;
    if expired + removed + moved + aborted + locked > 0 {
        tracing::info!(seen, expired, removed, moved, aborted, locked, "lifecycle rules were carried out");
    }
}

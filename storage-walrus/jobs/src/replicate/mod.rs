//! Brings versions into other buckets: from the list that the transactions of their writing made.
//!
//! Each version is brought at least once, those of a key in their order; what was brought twice is as if it was brought
//! once, for a version keeps its id. What may not be brought is given up at once, what cannot be brought now is tried again
//! for some days.

mod pass;

use crate::Error;
use crate::lead::Lead;
use crate::lines::{self, End, Lines, millis, retry_after};
use mallee_objects::{Engine, Origin, REPLICATION};
use mallee_runtime::Shutdown;
use mallee_store::{S3ReplicationRow, Store, s3_replication_delay, s3_replication_targets, s3_replication_waiting};
use pass::{KeyId, Pass, key_of};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long it is tried to bring a version, before it has failed.
pub const REPLICATION_AGE_MAX: Duration = Duration::from_secs(4 * 24 * 3600);
/// Keys whose versions are brought at a time.
const AT_ONCE: usize = 8;
/// Longest time until it is seen what was noted while all else that waited is being brought.
const LOOK: Duration = Duration::from_secs(1);
/// How long nothing new is begun after as many failures in a row as are at work at a time: it is rather the target.
const REST: Duration = Duration::from_secs(10);
/// Targets that are served at a time; what is beyond has its turn at the next look.
const TARGETS_MAX: usize = 1000;
/// Time between two looks at the lease while a version is brought.
const PROLONGED: Duration = Duration::from_secs(5);
/// Time between two words about what waits.
const TOLD: Duration = Duration::from_secs(60);

/// Why a version was not brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It may not be, or cannot: trying again changes nothing.
    Refused(String),
    /// It could not be, now.
    Later(String),
}

/// Who brings one version where it is to be.
#[async_trait::async_trait]
pub trait Carrier: Send + Sync + 'static {
    /// Brings it. A version that is gone needs nothing.
    ///
    /// # Errors
    /// [`Failure`].
    async fn carry(&self, version: &S3ReplicationRow) -> Result<(), Failure>;
}

/// Brings versions. Clones share the lease.
#[derive(Clone)]
pub struct Replicator {
    engine: Engine,
    store: Store,
    carrier: Arc<dyn Carrier>,
    lead: Lead,
    told: Arc<Mutex<Option<Instant>>>,
    /// The last target that was seen.
    after: Arc<Mutex<String>>,
}

impl std::fmt::Debug for Replicator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replicator").field("lead", &self.lead).finish_non_exhaustive()
    }
}

/// How it went with the keys of a target.
#[derive(Debug, Default)]
struct Ends {
    /// Something was brought.
    any: bool,
    /// What could not be, since something was brought.
    silent: usize,
    rests_until: Option<Instant>,
}

impl Ends {
    fn note(&mut self, end: End) {
        match end {
            End::Done => *self = Self { any: true, ..Self::default() },
            End::Silent => self.silent = self.silent.saturating_add(1),
        }
        if self.silent >= AT_ONCE {
            self.rests_until = Some(Instant::now() + REST);
        }
    }

    fn rests(&self) -> bool {
        self.rests_until.is_some_and(|until| until > Instant::now())
    }

    /// How it went in the end.
    fn end(&self) -> End {
        if self.rests() || (self.silent > 0 && !self.any) { End::Silent } else { End::Done }
    }
}

/// What is done for a target.
struct Line<'a> {
    target: &'a str,
    /// Tasks of their own: what they hold of the database must not wait for what is asked of it here.
    at_work: JoinSet<(KeyId, Result<End, Error>)>,
    /// The keys at work.
    keys: HashSet<KeyId>,
    pass: Pass,
    ends: Ends,
}

impl<'a> Line<'a> {
    fn new(target: &'a str, now_ms: i64) -> Self {
        let (at_work, keys) = (JoinSet::new(), HashSet::new());
        Self { target, at_work, keys, pass: Pass::new(now_ms), ends: Ends::default() }
    }

    /// Notes how it went with a key.
    fn note(&mut self, key: KeyId, end: End) {
        self.ends.note(end);
        self.keys.remove(&key);
        if end == End::Silent {
            self.pass.leave(key);
        }
    }
}

impl Replicator {
    /// Over an engine and the database of its metadata.
    #[must_use]
    pub fn new(engine: &Engine, store: &Store, carrier: Arc<dyn Carrier>) -> Self {
        let lead = Lead::new(store, "s3/replicate", engine.rng());
        let engine = engine.by(Arc::new(Origin::internal(REPLICATION, String::new())));
        Self { engine, store: store.clone(), carrier, lead, told: Arc::default(), after: Arc::default() }
    }

    /// Brings versions until it is stopped.
    pub async fn run(&self, shutdown: &Shutdown) {
        lines::run(self, self.engine.rng(), shutdown).await;
    }

    /// Brings what is due to every target, once.
    ///
    /// # Errors
    /// A failing database.
    pub async fn round(&self) -> Result<(), Error> {
        for target in self.waiting().await? {
            self.serve(&target).await?;
        }
        Ok(())
    }

    /// Says what waits, now and then.
    async fn tell(&self) -> Result<(), Error> {
        {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.is_some_and(|at| at.elapsed() < TOLD) {
                return Ok(());
            }
            *told = Some(Instant::now());
        }
        for (target, waiting) in s3_replication_waiting(&self.store).await? {
            tracing::debug!(target_arn = target, waiting, "versions wait to be replicated");
        }
        Ok(())
    }

    /// Begins with as many keys as may be at work.
    async fn begin(&self, line: &mut Line<'_>) -> Result<(), Error> {
        while line.at_work.len() < AT_ONCE && !line.ends.rests() {
            let Some(versions) = line.pass.next(&self.store, line.target, &line.keys).await? else { break };
            let Some(key) = versions.first().map(key_of) else { continue };
            line.keys.insert(key.clone());
            let this = self.clone();
            line.at_work.spawn(async move { (key, this.carry(versions).await) });
        }
        Ok(())
    }

    /// Brings a version, and keeps the lease for as long as that takes: nobody else begins with it meanwhile.
    async fn bring(&self, version: &S3ReplicationRow) -> Result<Result<(), Failure>, Error> {
        let mut carried = self.carrier.carry(version);
        loop {
            match tokio::time::timeout(PROLONGED, &mut carried).await {
                Ok(done) => return Ok(done),
                Err(_) => self.lead.still().await?,
            }
        }
    }

    /// Brings versions of one key, in their order; whether the last could be.
    async fn carry(&self, versions: Vec<S3ReplicationRow>) -> Result<End, Error> {
        for version in versions {
            self.engine.faults().point("walrus.replicate.carry").await?;
            let carried = self.bring(&version).await?;
            self.engine.faults().point("walrus.replicate.carried").await?;
            let now_ms = self.engine.clock().now_ms();
            let (bucket, key, target) = (&version.bucket, &version.key.0, &version.target);
            match carried {
                Ok(()) => self.engine.replicated(&version, None).await?,
                Err(Failure::Later(why)) if now_ms.saturating_sub(version.made_ms) < millis(REPLICATION_AGE_MAX) => {
                    tracing::info!(bucket, key, target_arn = target, tries = version.tries, why, "replication waits");
                    let due_ms = now_ms.saturating_add(millis(retry_after(version.tries)));
                    let mut tx = self.store.write().await?;
                    s3_replication_delay(&mut tx, version.id, due_ms).await?;
                    tx.commit().await?;
                    return Ok(End::Silent);
                }
                Err(Failure::Refused(why) | Failure::Later(why)) => {
                    tracing::warn!(
                        bucket,
                        key,
                        target_arn = target,
                        why,
                        "a version was not replicated: it has failed"
                    );
                    self.engine.replicated(&version, Some(&why)).await?;
                }
            }
        }
        Ok(End::Done)
    }
}

impl Lines for Replicator {
    const WHAT: &'static str = "replication";

    async fn waiting(&self) -> Result<Vec<String>, Error> {
        let after = self.after.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let targets = s3_replication_targets(&self.store, &after, TARGETS_MAX).await?;
        if targets.is_empty() || !self.lead.held().await? {
            return Ok(Vec::new());
        }
        *self.after.lock().unwrap_or_else(PoisonError::into_inner) = targets.last().cloned().unwrap_or_default();
        self.tell().await?;
        Ok(targets)
    }

    async fn serve(&self, target: &str) -> Result<End, Error> {
        let mut line = Line::new(target, self.engine.clock().now_ms());
        // What fails here hangs on one statement to the database, what is under way may have been for hours: that comes to
        // its end, and nothing more is begun. Who lost the lease ends at once: another has begun.
        let mut stopped: Option<Result<End, Error>> = None;
        loop {
            let held = self.lead.still().await;
            let begun = match held {
                Ok(()) if stopped.is_none() => self.begin(&mut line).await,
                held => held,
            };
            match begun {
                Ok(()) => {}
                Err(Error::Lost) => return Err(Error::Lost),
                Err(error) => _ = stopped.get_or_insert(Err(error)),
            }
            if line.at_work.is_empty() {
                if let Some(stopped) = stopped {
                    return stopped;
                }
                if line.ends.rests() || !line.pass.found {
                    return Ok(line.ends.end());
                }
                line.pass = Pass::new(self.engine.clock().now_ms());
                continue;
            }
            // What is noted while a large object is brought need not wait for it.
            match tokio::time::timeout(LOOK, line.at_work.join_next()).await {
                Ok(Some(Ok((key, Ok(end))))) => line.note(key, end),
                Ok(Some(Ok((_, Err(Error::Lost))))) => return Err(Error::Lost),
                Ok(Some(Ok((_, Err(error))))) => _ = stopped.get_or_insert(Err(error)),
                // It panicked.
                Ok(Some(Err(_))) => _ = stopped.get_or_insert(Ok(End::Silent)),
                Ok(None) | Err(_) => {}
            }
            if line.pass.over {
                line.pass = Pass::new(self.engine.clock().now_ms());
            }
        }
    }
}

//! The scrub: reads every blob again and again, at a pace that leaves the disk to others, and notes what is damaged.
//! Where it stands is kept in the database, so that a restart goes on from there.

mod rows;

use crate::blob::{BlobId, BlobStore};
use crate::check::verify_blob;
use crate::error::Error;
use mallee_runtime::{Clock, Faults};
use mallee_store::Store;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Time between the beginnings of two passes.
pub const SCRUB_PERIOD: Duration = Duration::from_secs(7 * 24 * 3600);
/// Bytes read in a second.
pub const SCRUB_BYTES_PER_SECOND: u64 = 16 << 20;
/// Blobs, and bytes, after which it notes where it stands.
const PORTION_BLOBS: u32 = 256;
const PORTION_BYTES: u64 = 256 << 20;

/// How long a process leads the scrub after each portion: longer than one takes.
const LEASE: Duration = Duration::from_secs(30 * 60);

/// Where the scrub stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubState {
    /// Number of the pass, from 1.
    pub pass: u64,
    /// When it began, in milliseconds since 1970.
    pub started_ms: i64,
    /// When it ended; `None`: it is under way.
    pub ended_ms: Option<i64>,
    /// The last blob that was looked at.
    pub after: Option<String>,
    /// Blobs looked at in this pass.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that were damaged or missing.
    pub damaged: u64,
}

/// How to scrub.
#[derive(Debug, Clone, Copy)]
pub struct ScrubPace {
    /// Time between the beginnings of two passes.
    pub period: Duration,
    /// Bytes read in a second; 0: as fast as the disk gives them.
    pub bytes_per_second: u64,
}

impl Default for ScrubPace {
    fn default() -> Self {
        Self { period: SCRUB_PERIOD, bytes_per_second: SCRUB_BYTES_PER_SECOND }
    }
}

/// Scrubs the blobs of one store. Clones share everything.
#[derive(Debug, Clone)]
pub struct Scrub {
    store: Store,
    blobs: Arc<dyn BlobStore>,
    clock: Clock,
    faults: Faults,
    pace: ScrubPace,
    /// Names this one among those that share the database.
    holder: Arc<str>,
}

/// Whether there is more to do at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The pass goes on.
    Portion,
    /// None is due.
    Rest,
}

impl Scrub {
    /// Over a store and the blobs that belong to it.
    #[must_use]
    pub fn new(store: Store, blobs: Arc<dyn BlobStore>, clock: Clock, faults: Faults, pace: ScrubPace) -> Self {
        let holder = format!("{:032x}", store.rng().u128()).into();
        Self { store, blobs, clock, faults, pace, holder }
    }

    /// Progress of the pass under way, or the outcome of the last one.
    ///
    /// # Errors
    /// A failing database.
    pub async fn state(&self) -> Result<ScrubState, Error> {
        state(&self.store).await
    }

    /// Scrubs a portion, if a pass is due or under way, and no other process over the same database does.
    ///
    /// # Errors
    /// A failing database, or blobs that cannot be asked for. The portion is then done again.
    pub async fn portion(&self) -> Result<Next, Error> {
        let mut state = self.state().await?;
        let now_ms = self.clock.now_ms();
        if state.pass == 0 || state.ended_ms.is_some() {
            if !self.is_due(&state, now_ms) {
                return Ok(Next::Rest);
            }
            state = ScrubState { pass: state.pass + 1, started_ms: now_ms, ..ScrubState::default() };
        }
        if self.store.is_shared() && !rows::lead(&self.store, &self.holder, LEASE).await? {
            return Ok(Next::Rest);
        }
        let portion = rows::blobs(&self.store, state.after.as_deref(), PORTION_BLOBS).await?;
        let end = state.bytes + PORTION_BYTES;
        for (id, size) in &portion {
            self.look_at(id, *size, &mut state).await?;
            if state.bytes >= end {
                break;
            }
        }
        if portion.is_empty() {
            rows::clear_damage(&self.store).await?;
            state.ended_ms = Some(self.clock.now_ms());
            let ScrubState { pass, blobs, bytes, damaged, .. } = state;
            tracing::info!(pass, blobs, bytes, damaged, "scrub: a pass ended");
        }
        self.faults.point("walrus.scrub.note").await?;
        rows::set_state(&self.store, &state).await?;
        self.faults.point("walrus.scrub.note.done").await?;
        Ok(if portion.is_empty() { Next::Rest } else { Next::Portion })
    }

    fn is_due(&self, state: &ScrubState, now_ms: i64) -> bool {
        let period_ms = i64::try_from(self.pace.period.as_millis()).unwrap_or(i64::MAX);
        // A clock that was set back does not put it off: no pass ends in the future.
        let future = state.ended_ms.is_some_and(|ended_ms| ended_ms > now_ms);
        state.pass == 0 || future || now_ms >= state.started_ms.saturating_add(period_ms)
    }

    async fn look_at(&self, id: &BlobId, size: u64, state: &mut ScrubState) -> Result<(), Error> {
        let began = std::time::Instant::now();
        let damage = match verify_blob(&*self.blobs, id, size).await {
            Ok(()) => None,
            // Perhaps it was deleted since it was listed.
            Err(Error::Gone) => {
                // Nothing is there where another database's blobs are, or a file system is not mounted.
                self.blobs.must_own().await?;
                rows::is_known(&self.store, id).await?.then(|| "its file is not there".to_owned())
            }
            Err(Error::Corrupt(what)) => Some(what),
            Err(Error::Io { what, source }) if !self.blobs.is_remote() => Some(format!("{what}: {source}")),
            Err(error) => return Err(error),
        };
        if let Some(what) = &damage {
            state.damaged += 1;
            tracing::error!(blob = %id, damage = %what, "scrub: a blob is damaged; `mallee walrus check` names its objects");
        }
        rows::note(&self.store, id, damage.as_deref()).await?;
        state.after = Some(id.as_str().to_owned());
        state.blobs += 1;
        state.bytes += size;
        if let Some(wanted_ms) = size.saturating_mul(1000).checked_div(self.pace.bytes_per_second) {
            tokio::time::sleep(Duration::from_millis(wanted_ms).saturating_sub(began.elapsed())).await;
        }
        Ok(())
    }
}

/// Where the scrub of a store stands.
///
/// # Errors
/// A failing database.
pub async fn state(store: &Store) -> Result<ScrubState, Error> {
    rows::state(store).await
}

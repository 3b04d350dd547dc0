//! Calls of S3 that a Walrus of its own tells of: what it is about to do, and what came of it. What it never tells the end
//! of is recorded as abandoned. It may tell the end to another replica than the beginning, or to one that was started
//! meanwhile: that one records the outcome, and says that another record of the call may say less.

use super::{Trail, s3};
use mallee_app::Cloud;
use mallee_audit::{JournalError, Record, UNKNOWN_CODE, read};
use mallee_awswire::ApiError;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Calls under way; more are refused.
const LENT_MAX: usize = 4096;
/// How long one may take, in milliseconds: its body is read before it begins.
const LENT_MS_MAX: i64 = 10 * 60 * 1000;
/// Calls that are remembered to have ended: their ends may be told again for some minutes.
const ENDED_MAX: usize = 4096;

/// Bytes of the end of a trail in which ends are looked for when it is opened: some minutes, and more of them than are
/// remembered, unless the cloud is very busy.
const TAIL_BYTES: u64 = 16 * 1024 * 1024;

/// Calls that a Walrus of its own tells of.
#[derive(Debug, Default)]
pub(super) struct Lent(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Those under way, by request id: their records so far, and when they were begun.
    open: HashMap<String, (Vec<Record>, i64)>,
    /// Those whose end is being written.
    ending: HashSet<String>,
    /// Those whose end was written.
    ended: HashSet<String>,
    /// The same, the oldest first.
    order: VecDeque<String>,
}

impl State {
    /// Remembers that the end of a call was written; false: it was before.
    fn end(&mut self, request_id: &str) -> bool {
        if !self.ended.insert(request_id.to_owned()) {
            return false;
        }
        self.order.push_back(request_id.to_owned());
        if self.order.len() > ENDED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ended.remove(&oldest);
        }
        true
    }

    fn forget_end(&mut self, request_id: &str) {
        self.ended.remove(request_id);
        self.order.retain(|id| id != request_id);
    }

    fn open(&mut self, drafts: Vec<Record>) {
        if let Some(first) = drafts.first() {
            let (id, begun_ms) = (first.request_id.clone(), first.event_ms);
            self.open.insert(id, (drafts, begun_ms));
        }
    }
}

impl Lent {
    /// Of the trail in this directory: ends that are in it may be told again, where who was told had no time to answer.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let mut state = State::default();
        let of_s3 = |record: &Record| record.event_source == s3::SOURCE;
        for record in read::tail(directory, TAIL_BYTES)?.into_iter().filter(of_s3) {
            if record.error_code.as_deref() != Some(UNKNOWN_CODE) {
                state.end(&record.request_id);
            } else if state.ended.contains(&record.request_id) {
                // Of two records the one was written, and the other not.
                state.forget_end(&record.request_id);
            }
        }
        Ok(Self(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out a call that takes too long, if there is one.
    fn late(&self, now_ms: i64) -> Option<Vec<Record>> {
        let mut state = self.state();
        let is_late = |at: i64| now_ms.saturating_sub(at) > LENT_MS_MAX;
        let mut open = state.open.iter();
        let id = open.find(|(id, (_, at))| is_late(*at) && !state.ending.contains(*id)).map(|(id, _)| id.clone())?;
        state.open.remove(&id).map(|(drafts, _)| drafts)
    }

    /// Writes the end of a call, once: who tells of it while that is done has to tell again, for it may fail.
    async fn end<F, W>(&self, request_id: &str, told: Vec<Record>, write: F) -> Result<(), JournalError>
    where
        F: FnOnce(Vec<Record>) -> W,
        W: Future<Output = Result<(), JournalError>>,
    {
        let (noted, _ending) = {
            let mut state = self.state();
            if state.ended.contains(request_id) {
                return Ok(());
            }
            if !state.ending.insert(request_id.to_owned()) {
                return Err(JournalError::Io("another who told of it is not answered yet".to_owned()));
            }
            let noted = state.open.get(request_id).map(|(drafts, _)| drafts.clone());
            (noted, Ending { lent: self, request_id })
        };
        let drafts = match noted {
            // Who it was, is what was known at the beginning; whose a new bucket is, is known now.
            Some(noted) => match told.first() {
                Some(now) => noted.into_iter().map(|one| Record { resources: now.resources.clone(), ..one }).collect(),
                None => noted,
            },
            None => told.into_iter().map(Record::updated).collect(),
        };
        write(drafts).await?;
        let mut state = self.state();
        state.open.remove(request_id);
        state.end(request_id);
        Ok(())
    }

    /// Writes what is to be said of calls whose end was never told, one after the other. What cannot be written is kept.
    async fn give_up<F, W>(&self, now_ms: i64, write: F) -> Result<(), JournalError>
    where
        F: Fn(Vec<Record>) -> W,
        W: Future<Output = Result<(), JournalError>>,
    {
        while let Some(drafts) = self.late(now_ms) {
            let written = write(drafts.iter().cloned().map(Record::abandoned).collect()).await;
            if written.is_err() {
                self.state().open(drafts);
                return written;
            }
            let request_id = drafts.first().map(|draft| draft.request_id.as_str());
            tracing::warn!(request_id, "the end of a call of S3 was never told: the trail says so");
        }
        Ok(())
    }
}

/// A call whose end is being written. Dropped, it is no more.
struct Ending<'a> {
    lent: &'a Lent,
    request_id: &'a str,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.lent.state().ending.remove(self.request_id);
    }
}

impl Trail {
    /// Notes a call that is about to be done. Told twice, it is one.
    ///
    /// # Errors
    /// When it could not be written, or too many are under way.
    pub(crate) fn lend(&self, drafts: Vec<Record>) -> Result<(), JournalError> {
        let mut lent = self.lent.state();
        if lent.open.len() >= LENT_MAX {
            return Err(JournalError::Io(format!("more than {LENT_MAX} calls of S3 are under way")));
        }
        self.journal.begin_all(&drafts)?;
        lent.open(drafts);
        Ok(())
    }

    /// What was noted of such a call; none when it has its records already.
    pub(crate) fn take_back(&self, request_id: &str) -> Option<Vec<Record>> {
        self.lent.state().open.remove(request_id).map(|(drafts, _)| drafts)
    }

    /// Records the end of such a call; `told` is what is said of it now. Told twice, it is recorded once.
    ///
    /// # Errors
    /// When it could not be written, or is being: it is to be told again.
    pub(crate) async fn end_lent(
        &self,
        cloud: &Cloud,
        request_id: &str,
        told: Vec<Record>,
        error: Option<&ApiError>,
    ) -> Result<(), JournalError> {
        let write = async |drafts| self.write(cloud, drafts, error.map_or(Ok(""), Err)).await;
        self.lent.end(request_id, told, write).await
    }

    /// Records calls whose end was never told.
    ///
    /// # Errors
    /// When a record could not be written.
    pub(super) async fn give_up_lent(&self, now_ms: i64) -> Result<(), JournalError> {
        self.lent.give_up(now_ms, async |records| self.journal.append_all(&records).await).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::s3::tests::{World, said};
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const CALLER: Option<&str> = Some("000000000002");

    /// When all that was begun until now takes too long.
    fn later(world: &World) -> i64 {
        world.cloud.clock().now_ms() + LENT_MS_MAX + 1
    }

    #[tokio::test]
    async fn what_walrus_began_has_one_record() {
        let world = World::new().await;
        let begun_ms = world.cloud.clock().now_ms();
        for id in ["ended", "lost"] {
            world.trail.lend(world.records(id, None, true)).unwrap();
        }
        world.trail.give_up_lent(begun_ms + LENT_MS_MAX).await.unwrap();
        for _ in 0..2 {
            let told = world.records("ended", None, true);
            world.trail.end_lent(&world.cloud, "ended", told, None).await.unwrap();
        }
        world.trail.give_up_lent(later(&world)).await.unwrap();
        assert_eq!(world.trail.take_back("lost"), None);
        let World { dir, trail, .. } = world;
        drop(trail);
        // What was given up is closed: the next start has nothing to say of it.
        drop(Trail::open(dir.path()).await.unwrap());
        let found = said(dir.path());
        let told: Vec<_> = found.iter().map(|r| (r.request_id.as_str(), r.error_code.as_deref())).collect();
        assert_eq!(told, [("ended", None), ("lost", Some(UNKNOWN_CODE))]);
        let record = &found[0];
        assert_eq!((record.event_source.as_str(), record.read_only), ("s3.amazonaws.com", false));
        assert_eq!(record.recipient_account_id, "000000000001");
        assert_eq!(record.resources[0].arn.as_deref(), Some("arn:aws:s3:::b"));
        assert_eq!(record.additional_event_data["SignatureVersion"], "SigV2");
        assert_eq!((record.user_identity.kind.as_str(), &record.addendum), ("Unknown", &None));
    }

    #[tokio::test]
    async fn who_it_was_is_what_was_known_at_the_beginning() {
        let world = World::new().await;
        world.trail.lend(world.records("r", CALLER, true)).unwrap();
        // Its key has been deleted since.
        world.trail.end_lent(&world.cloud, "r", world.records("r", None, true), None).await.unwrap();
        let kinds: Vec<_> = said(world.dir.path()).into_iter().map(|record| record.user_identity.kind).collect();
        assert_eq!(kinds, ["Root", "AWSAccount"]);
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_not_given_up_for_ever() {
        let world = World::new().await;
        for id in ["a", "b", "c"] {
            world.trail.lend(world.records(id, CALLER, true)).unwrap();
        }
        let writes = AtomicUsize::new(0);
        let once = async |records: Vec<Record>| match writes.fetch_add(1, Ordering::Relaxed) {
            1 => Err(JournalError::Io("the disk is full".to_owned())),
            _ => world.trail.journal.append_all(&records).await,
        };
        let late = later(&world);
        assert!(world.trail.lent.give_up(late, once).await.is_err());
        assert_eq!(said(world.dir.path()).len(), 2, "one of them, for both accounts");
        world.trail.lent.give_up(late, once).await.unwrap();
        let mut told: Vec<_> =
            said(world.dir.path()).into_iter().map(|r| (r.request_id, r.recipient_account_id)).collect();
        told.sort();
        told.dedup();
        assert_eq!(told.len(), 6, "{told:?}");
    }

    #[tokio::test]
    async fn an_end_is_written_once_it_is_written() {
        let world = World::new().await;
        let World { cloud, trail, dir, .. } = &world;
        let told = || world.records("r", CALLER, true);
        let tell = async || trail.end_lent(cloud, "r", told(), None).await;
        trail.lend(told()).unwrap();
        let (fail, fails) = tokio::sync::oneshot::channel::<()>();
        let first = trail.lent.end("r", told(), async |_| {
            fails.await.unwrap();
            Err(JournalError::Io("the disk is full".to_owned()))
        });
        let mut first = std::pin::pin!(first);
        tokio::select! {
            biased;
            _ = &mut first => panic!("it hangs"),
            () = std::future::ready(()) => {}
        }
        tell().await.unwrap_err();
        trail.give_up_lent(later(&world)).await.unwrap();
        assert_eq!(said(dir.path()), [], "nor is it given up meanwhile");
        fail.send(()).unwrap();
        first.await.unwrap_err();
        for _ in 0..2 {
            tell().await.unwrap();
        }
        let found = said(dir.path());
        assert_eq!(found.len(), 2, "one for each account");
        assert!(found.iter().all(|record| record.addendum.is_none() && record.error_code.is_none()), "{found:?}");
        assert_eq!(trail.take_back("r"), None);
    }

    #[test]
    fn only_so_many_ends_are_remembered() {
        let mut state = State::default();
        assert!((0..=ENDED_MAX).all(|n| state.end(&n.to_string())));
        assert_eq!((state.ended.len(), state.order.len()), (ENDED_MAX, ENDED_MAX));
        assert!(!state.end("1") && state.end("0"));
    }
}

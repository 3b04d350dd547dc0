//! Records that wait for their delivery.

use super::line::Record;
use mallee_objects::{Bucket, Engine, Error};
use mallee_runtime::task::Nudge;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of all records that wait; beyond it they are dropped.
const WAITING_BYTES_MAX: usize = 16 << 20;
/// What a record takes besides its text.
const RECORD_BYTES: usize = 64;
/// Accounts whose names are kept in mind; beyond it the memory begins anew.
const NAMES_MAX: usize = 10_000;
/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// A bucket, as it was logged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source {
    pub(super) bucket: String,
    pub(super) account: String,
    pub(super) region: String,
    /// The document that said where to.
    pub(super) logging: String,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Its day, since 1970.
    pub(super) day: i64,
    pub(super) text: String,
}

#[derive(Debug, Default)]
struct Waiting {
    records: BTreeMap<Source, Vec<Line>>,
    bytes: usize,
    /// Records that were dropped since they were last told of.
    dropped: u64,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: Mutex<Waiting>,
    /// Canonical ids of accounts.
    names: Mutex<HashMap<String, String>>,
    nudge: Nudge,
    /// Held by each request whose record is not made yet.
    open: Arc<()>,
}

/// The records that wait for their delivery. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct AccessLog(Arc<Inner>);

fn size(lines: &[Line]) -> usize {
    lines.iter().map(|line| line.text.len() + RECORD_BYTES).sum()
}

impl AccessLog {
    /// Records that a rule of a bucket's lifecycle was carried out, if the bucket's requests are recorded. `version`: the
    /// one that it was about.
    ///
    /// # Errors
    /// A failing store.
    pub async fn rule(
        &self,
        engine: &Engine,
        bucket: &Bucket,
        operation: impl Into<Cow<'static, str>>,
        key: &str,
        version: Option<String>,
    ) -> Result<(), Error> {
        self.own(engine, bucket, "AmazonS3", operation.into(), key, version, None).await
    }

    /// Records what a service of the store itself did.
    #[allow(clippy::too_many_arguments, reason = "they are the fields of a record")]
    pub(crate) async fn own(
        &self,
        engine: &Engine,
        bucket: &Bucket,
        requester: &str,
        operation: Cow<'static, str>,
        key: &str,
        version: Option<String>,
        size: Option<u64>,
    ) -> Result<(), Error> {
        let Some(logging) = super::of(bucket) else { return Ok(()) };
        let record = Record {
            owner: self.canonical(engine, &bucket.account).await?,
            bucket: bucket.name.clone(),
            time_ms: engine.clock().now_ms(),
            requester: Some(requester.to_owned()),
            request_id: format!("{:016X}", engine.rng().u64()),
            operation,
            key: Some(key.to_owned()),
            version,
            size,
            ..Record::default()
        };
        self.add(bucket, logging, &record);
        Ok(())
    }

    /// The canonical id of an account.
    pub(super) async fn canonical(&self, engine: &Engine, account: &str) -> Result<String, Error> {
        let names = || self.0.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names().get(account) {
            return Ok(known.clone());
        }
        let id = engine.owner(account).await?.canonical_id;
        let mut names = names();
        if names.len() >= NAMES_MAX {
            names.clear();
        }
        names.insert(account.to_owned(), id.clone());
        Ok(id)
    }

    /// Adds a record of a bucket that is logged so.
    pub(super) fn add(&self, bucket: &Bucket, logging: &str, record: &Record) {
        let source = Source {
            bucket: bucket.name.clone(),
            account: bucket.account.clone(),
            region: bucket.region.clone(),
            logging: logging.to_owned(),
        };
        self.keep(source, vec![Line { day: record.time_ms.div_euclid(DAY_MS), text: record.line() }]);
    }

    /// Keeps records, as far as there is room.
    pub(super) fn keep(&self, source: Source, lines: Vec<Line>) {
        let mut waiting = self.waiting();
        let size = size(&lines);
        let first = !waiting.records.contains_key(&source);
        let source_size = if first { source.logging.len() + RECORD_BYTES } else { 0 };
        if waiting.bytes + size + source_size > WAITING_BYTES_MAX {
            waiting.dropped += u64::try_from(lines.len()).unwrap_or(u64::MAX);
            return;
        }
        waiting.bytes += size + source_size;
        waiting.records.entry(source).or_default().extend(lines);
        if waiting.bytes > WAITING_BYTES_MAX / 4 {
            self.0.nudge.wake();
        }
    }

    /// Takes everything that waits, and how many records were dropped since the last time.
    pub(super) fn take(&self) -> (BTreeMap<Source, Vec<Line>>, u64) {
        let waiting = std::mem::take(&mut *self.waiting());
        (waiting.records, waiting.dropped)
    }

    /// Whether anything waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting().records.is_empty()
    }

    /// Held by a request until its record is made.
    pub(super) fn hold(&self) -> Arc<()> {
        self.0.open.clone()
    }

    /// Whether requests are under way.
    pub(super) fn is_held(&self) -> bool {
        Arc::strong_count(&self.0.open) > 1
    }

    /// Woken when much waits.
    pub(super) fn nudge(&self) -> &Nudge {
        &self.0.nudge
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded() {
        let log = AccessLog::default();
        let source = |bucket: &str| Source {
            bucket: bucket.into(),
            account: "a".into(),
            region: "r".into(),
            logging: "<x/>".into(),
        };
        let line = |text: String| Line { day: 1, text };
        assert!(log.is_empty());
        for n in 0..20_000 {
            log.keep(source(if n % 2 == 0 { "even" } else { "odd" }), vec![line("x".repeat(2000))]);
        }
        let (records, dropped) = log.take();
        let kept: usize = records.values().map(Vec::len).sum();
        assert_eq!(kept as u64 + dropped, 20_000);
        assert!(records.values().map(|lines| size(lines)).sum::<usize>() <= WAITING_BYTES_MAX);
        assert!(kept > 7000 && log.is_empty() && log.take().1 == 0);
        log.keep(source("b"), vec![line("y".into())]);
        assert_eq!(log.take().0.into_iter().next(), Some((source("b"), vec![line("y".into())])));
        assert!(!log.is_held());
        let held = log.hold();
        assert!(log.is_held());
        drop(held);
    }
}

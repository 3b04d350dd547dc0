//! One look through what waits for a target: from what was noted first to what was noted last, key by key, without the keys
//! whose versions are being brought.

use crate::Error;
use mallee_store::{S3ReplicationRow, Store, s3_replication_due};
use std::collections::{HashSet, VecDeque};

/// Versions taken at once.
const BATCH: u32 = 64;
/// Versions of keys at work that are looked at in one pass: what waits behind more of them waits until they are fewer.
const PASSED_OVER_MAX: usize = 4096;

/// A key: the number of its bucket, and its name.
pub(super) type KeyId = (i64, String);

pub(super) fn key_of(row: &S3ReplicationRow) -> KeyId {
    (row.bucket_id, row.key.0.clone())
}

/// Versions by key, in their order.
fn by_key(batch: Vec<S3ReplicationRow>) -> Vec<Vec<S3ReplicationRow>> {
    let mut groups: Vec<Vec<S3ReplicationRow>> = Vec::new();
    for row in batch {
        let is_of = |group: &&mut Vec<S3ReplicationRow>| {
            group.first().is_some_and(|first| first.bucket_id == row.bucket_id && first.key == row.key)
        };
        match groups.iter_mut().find(is_of) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// When it began. What becomes due meanwhile is for the next pass: its key's later versions may be still to come in this
    /// one.
    now_ms: i64,
    /// The last version that was looked at.
    after: i64,
    taken: VecDeque<Vec<S3ReplicationRow>>,
    /// Keys that wait for the next pass: an earlier version of theirs does.
    left: HashSet<KeyId>,
    passed_over: usize,
    /// Something was found.
    pub(super) found: bool,
    /// There is nothing behind what was looked at.
    pub(super) over: bool,
}

impl Pass {
    /// From what was noted first.
    pub(super) fn new(now_ms: i64) -> Self {
        Self { now_ms, ..Self::default() }
    }

    /// Leaves a key to the next pass.
    pub(super) fn leave(&mut self, key: KeyId) {
        self.left.insert(key);
    }

    /// Versions of one key, in their order, that might be brought when the pass began; none at the end.
    ///
    /// # Errors
    /// A failing database.
    pub(super) async fn next(
        &mut self,
        store: &Store,
        target: &str,
        at_work: &HashSet<KeyId>,
    ) -> Result<Option<Vec<S3ReplicationRow>>, Error> {
        loop {
            if let Some(group) = self.taken.pop_front() {
                self.found = true;
                return Ok(Some(group));
            }
            if self.over {
                return Ok(None);
            }
            let batch = s3_replication_due(store, target, self.now_ms, self.after, BATCH).await?;
            match batch.last() {
                Some(last) => self.after = last.id,
                None => self.over = true,
            }
            for group in by_key(batch) {
                match group.first().map(key_of) {
                    Some(key) if at_work.contains(&key) || self.left.contains(&key) => {
                        self.passed_over += group.len();
                        self.left.insert(key);
                    }
                    _ => self.taken.push_back(group),
                }
            }
            self.over |= self.passed_over >= PASSED_OVER_MAX;
        }
    }
}

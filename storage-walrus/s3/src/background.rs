//! What requests must know of the background work: how long a day of its rules is, and whom it can notify.

use mallee_awswire::ApiError;
use mallee_objects::Bucket;
use mallee_s3_config::lifecycle::{Day, Lifecycle};
use mallee_s3_config::notification::{Service, TargetArn};
use mallee_s3_config::{Document as _, kept};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Buckets whose rules are kept read.
const KEPT_MAX: usize = 4096;

/// See the module.
#[derive(Debug, Default)]
pub struct Background {
    day: Day,
    targets: HashSet<(Service, String)>,
    /// Rules by the bucket's number, for one `rev` of it.
    rules: Mutex<HashMap<i64, (u64, Arc<Lifecycle>)>>,
}

impl Background {
    /// With days of this length, and these targets of notifications.
    pub fn new(day: Day, targets: impl IntoIterator<Item = (Service, String)>) -> Self {
        Self { day, targets: targets.into_iter().collect(), rules: Mutex::default() }
    }

    /// How long a day of lifecycle rules is.
    pub(crate) const fn day(&self) -> Day {
        self.day
    }

    /// Whether an administrator has declared a target.
    pub(crate) fn knows(&self, target: &TargetArn) -> bool {
        self.targets.contains(&(target.service, target.name.clone()))
    }

    /// The lifecycle rules of a bucket, if it has any.
    pub(crate) fn lifecycle(&self, bucket: &Bucket) -> Result<Option<Arc<Lifecycle>>, ApiError> {
        let Some(text) = bucket.docs.get(Lifecycle::KIND) else { return Ok(None) };
        let known = self.rules.lock().unwrap_or_else(PoisonError::into_inner).get(&bucket.id).cloned();
        if let Some((rev, rules)) = known
            && rev == bucket.rev
        {
            return Ok(Some(rules));
        }
        let rules = Arc::new(kept::<Lifecycle>(text)?);
        let mut all = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT_MAX {
            all.clear();
        }
        all.insert(bucket.id, (bucket.rev, rules.clone()));
        Ok(Some(rules))
    }
}

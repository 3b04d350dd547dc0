//! When access keys were last used: noted in memory at each signed request, written down by a background task, so that
//! a request costs no write. A crash forgets what was not written yet.

use crate::Cloud;
use mallee_store::{AccessKeyUseRow, StoreError, access_key_use_put};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Keys whose use waits to be written, at most; beyond it the uses of further keys are not noted until then.
const PENDING_MAX: usize = 10_000;

/// Uses that are not written down yet.
#[derive(Debug, Default)]
pub struct KeyUses(Mutex<HashMap<String, AccessKeyUseRow>>);

impl KeyUses {
    /// Notes a use.
    pub fn note(&self, key_id: &str, service: &str, region: &str, now_ms: i64) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(row) = pending.get_mut(key_id) {
            row.used_ms = row.used_ms.max(now_ms);
            if row.service != service {
                service.clone_into(&mut row.service);
            }
            if row.region != region {
                region.clone_into(&mut row.region);
            }
        } else if pending.len() < PENDING_MAX {
            let (service, region) = (service.to_owned(), region.to_owned());
            let row = AccessKeyUseRow { key_id: key_id.to_owned(), used_ms: now_ms, service, region };
            pending.insert(key_id.to_owned(), row);
        }
    }

    /// The use of a key that is not written down yet.
    #[must_use]
    pub fn last(&self, key_id: &str) -> Option<AccessKeyUseRow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key_id).cloned()
    }

    /// All that is not written down yet.
    #[must_use]
    pub fn pending(&self) -> Vec<AccessKeyUseRow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Forgets what has been written, unless it was used again meanwhile.
    fn written(&self, rows: &[AccessKeyUseRow]) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            if pending.get(&row.key_id).is_some_and(|now| now == row) {
                pending.remove(&row.key_id);
            }
        }
    }
}

/// Writes down what was used since the last time. Idempotent.
///
/// # Errors
/// What the database says; nothing is forgotten then.
pub async fn write_key_uses(cloud: &Cloud) -> Result<(), StoreError> {
    let rows = cloud.key_uses().pending();
    if rows.is_empty() {
        return Ok(());
    }
    let mut tx = cloud.store().write().await?;
    access_key_use_put(&mut tx, &rows).await?;
    tx.commit().await?;
    cloud.key_uses().written(&rows);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_during_the_writing_stays() {
        let uses = KeyUses::default();
        uses.note("A", "ec2", "r", 1);
        uses.note("B", "ec2", "r", 1);
        let rows = uses.pending();
        uses.note("A", "s3", "r", 2);
        uses.written(&rows);
        assert_eq!(uses.last("A").map(|row| (row.used_ms, row.service)), Some((2, "s3".to_owned())));
        assert_eq!(uses.last("B"), None);
    }

    #[test]
    fn memory_is_bounded() {
        let uses = KeyUses::default();
        for n in 0..=PENDING_MAX {
            uses.note(&n.to_string(), "ec2", "r", 1);
        }
        assert_eq!(uses.pending().len(), PENDING_MAX);
    }
}

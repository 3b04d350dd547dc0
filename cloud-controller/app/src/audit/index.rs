//! From the trail's files to the index. How far a replica's trail is indexed is written in the same transaction as the
//! events, so that each is indexed once, whatever happens.

use crate::Cloud;
use mallee_audit::{Position, Record, read};
use mallee_store::{
    AuditEventRow, AuditResourceRow, Store, StoreError, audit_insert, audit_purge, setting_fetch, setting_put,
};
use mallee_types::AccountId;
use std::path::{Path, PathBuf};

/// Records indexed by one transaction: the writers of calls wait no longer than that.
const BATCH: usize = 500;
/// How long events can be looked up, in milliseconds: 90 days, as CloudTrail's event history. The files stay.
const KEPT_MS: i64 = 90 * 24 * 3600 * 1000;

/// Indexes what was written since the last time.
///
/// # Errors
/// When the database or the files cannot be read or written; the next run goes on from the same place.
pub async fn index(cloud: &Cloud, directory: &Path) -> Result<(), StoreError> {
    let (store, key) = (cloud.store(), format!("audit.indexed.{}", cloud.config().replica));
    loop {
        let from: Position = setting_fetch(store, &key).await?.and_then(|text| text.parse().ok()).unwrap_or_default();
        let path = PathBuf::from(directory);
        let read = tokio::task::spawn_blocking(move || read::since(&path, from, BATCH)).await;
        let (records, to) = read.map_err(|e| unreadable(&e))?.map_err(|e| unreadable(&e))?;
        if to == from {
            return Ok(());
        }
        let (events, resources) = rows(&records);
        let mut tx = store.write().await?;
        audit_insert(&mut tx, &events, &resources).await?;
        setting_put(&mut tx, &key, &to.to_string()).await?;
        tx.commit().await?;
        if records.len() < BATCH {
            return Ok(());
        }
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("the audit trail cannot be read: {error}").into())
}

/// Records that name no account (nobody was recognised) are in the files only: no account may look them up.
fn rows(records: &[Record]) -> (Vec<AuditEventRow>, Vec<AuditResourceRow>) {
    let (mut events, mut resources) = (Vec::new(), Vec::new());
    for record in records {
        let Ok(account) = record.recipient_account_id.parse::<AccountId>() else { continue };
        let Ok(body) = serde_json::to_string(record) else { continue };
        let who = &record.user_identity;
        events.push(AuditEventRow {
            id: record.event_id.clone(),
            account_id: account.clone(),
            event_ms: record.event_ms,
            name: record.event_name.clone(),
            source: record.event_source.clone(),
            username: who.user_name.clone().unwrap_or_default(),
            access_key_id: who.access_key_id.clone().unwrap_or_default(),
            read_only: record.read_only,
            body,
        });
        resources.extend(record.resources.iter().map(|resource| AuditResourceRow {
            event_id: record.event_id.clone(),
            account_id: account.clone(),
            kind: resource.kind.clone(),
            name: resource.name.clone(),
        }));
    }
    (events, resources)
}

/// Forgets events that are too old to be looked up.
///
/// # Errors
/// What the database says.
pub async fn forget(store: &Store, now_ms: i64) -> Result<(), StoreError> {
    while audit_purge(store, now_ms.saturating_sub(KEPT_MS)).await? > 0 {}
    Ok(())
}

//! What makes a sweep safe from commits that were never answered.

use crate::error::Error;
use mallee_store::{Store, setting_put};

/// Where the database notes that a sweep is about to delete files, and when.
const SWEEP_NOTE: &str = "walrus/sweep";

/// Writes and commits a little. A commit that could not be synced is undone for all who ask, but may still stand in
/// SQLite's log, and would count if the process died now; what is written here is written over it.
pub(crate) async fn settle_log(store: &Store) -> Result<(), Error> {
    let mut tx = store.write().await?;
    let now_ms = tx.now_ms();
    setting_put(&mut tx, SWEEP_NOTE, &now_ms.to_string()).await?;
    Ok(tx.commit().await?)
}

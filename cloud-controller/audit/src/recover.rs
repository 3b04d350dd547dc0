//! At the start: the calls that were under way when the process ended get their records.

use crate::journal::{Writer, json};
use crate::open_calls::{self, Left};
use crate::{Position, Record, read};
use std::collections::HashSet;
use std::io;
use std::path::Path;

/// Records read at once, and bytes of their lines.
const READ_RECORDS: usize = 1000;
const READ_BYTES: u64 = 16 * 1024 * 1024;
/// Records written at once.
const WRITE_RECORDS: usize = 256;

/// Writes a record for each call that was left open and has none. Killed at any byte and repeated, it writes each once:
/// what is written stands in the trail, where the next look finds it.
pub(crate) fn recover(directory: &Path, writer: &mut Writer) -> io::Result<()> {
    let mut left = open_calls::left(directory)?;
    if left.is_empty() {
        return Ok(());
    }
    let recorded = recorded(directory, &left)?;
    left.retain(|call| !recorded.contains(&of(&call.record)));
    for calls in left.chunks(WRITE_RECORDS) {
        let texts: Result<Vec<String>, _> = calls.iter().map(|call| json(&call.record.clone().abandoned())).collect();
        writer.add(&texts.map_err(io::Error::other)?)?;
    }
    if !left.is_empty() {
        tracing::warn!(calls = left.len(), "the service stopped during these calls: the audit trail says so");
    }
    Ok(())
}

/// The call that a record is of, and the account that is told of it.
fn of(record: &Record) -> (String, String) {
    (record.request_id.clone(), record.recipient_account_id.clone())
}

/// Which of the calls have their records: those were written after the call was begun.
fn recorded(directory: &Path, left: &[Left]) -> io::Result<HashSet<(String, String)>> {
    let ids: HashSet<(String, String)> = left.iter().map(|call| of(&call.record)).collect();
    let mut at: Position = left.iter().map(|call| call.after).min().unwrap_or_default();
    let mut found = HashSet::new();
    loop {
        let (records, end) = read::walk(directory, at, READ_RECORDS, READ_BYTES)?;
        let theirs = records.iter().map(|(record, _)| of(record)).filter(|id| ids.contains(id));
        found.extend(theirs);
        if end == at {
            return Ok(found);
        }
        at = end;
    }
}

//! Records on their way from the journal's files to a bucket.

use super::file;
use super::selectors::Wanted;
use mallee_audit::{Position, Record};

/// A file is delivered once its text has so many bytes.
pub(super) const FILE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// A record is delivered after so long, in milliseconds (CloudTrail: about five minutes).
pub(super) const FILE_AGE_MS_MAX: i64 = 5 * 60 * 1000;

/// What was read for one trail and is not yet delivered.
#[derive(Debug, Clone)]
pub(super) struct Gathered {
    /// What the trail wants.
    pub wanted: Wanted,
    /// Read so far.
    pub at: Position,
    /// The records, in the journal's order.
    pub lines: Vec<String>,
    bytes: usize,
    /// When the oldest was made, in milliseconds since 1970.
    oldest_ms: i64,
    newest_ms: i64,
}

impl Gathered {
    pub const fn new(wanted: Wanted, at: Position) -> Self {
        Self { wanted, at, lines: Vec::new(), bytes: 0, oldest_ms: i64::MAX, newest_ms: i64::MIN }
    }

    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Times of the oldest and the newest record.
    pub const fn span(&self) -> (i64, i64) {
        (self.oldest_ms, self.newest_ms)
    }

    pub const fn is_full(&self) -> bool {
        self.bytes >= FILE_BYTES_MAX
    }

    /// Reads one record of the journal; `after` is the place behind it.
    pub fn offer(&mut self, record: &Record, after: Position) {
        self.at = after;
        if !self.wanted.takes(record) {
            return;
        }
        match file::line(record) {
            Ok(line) => {
                self.bytes += line.len();
                self.lines.push(line);
                self.oldest_ms = self.oldest_ms.min(record.event_ms);
                self.newest_ms = self.newest_ms.max(record.event_ms);
            }
            Err(error) => tracing::error!(%error, event = record.event_id, "an audit record has no JSON form"),
        }
    }

    /// Whether a file is to be made of it now.
    pub fn is_due(&self, now_ms: i64) -> bool {
        !self.lines.is_empty() && (self.is_full() || now_ms.saturating_sub(self.oldest_ms) >= FILE_AGE_MS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trails::selectors::tests::{record, wanted};

    const fn at(offset: u64) -> Position {
        Position { segment: 1, offset }
    }

    #[test]
    fn a_file_is_due_by_age_and_by_size() {
        let mut gathered = Gathered::new(wanted(), at(0));
        gathered.offer(&record("a", 9, true), at(5));
        assert_eq!((gathered.lines.len(), gathered.at), (0, at(5)), "what is not wanted is passed over");
        assert!(!gathered.is_due(i64::MAX));
        gathered.offer(&record("b", 10, true), at(6));
        gathered.offer(&record("c", 20, true), at(7));
        assert_eq!((gathered.span(), gathered.at), ((10, 20), at(7)));
        assert!(!gathered.is_due(10 + FILE_AGE_MS_MAX - 1) && gathered.is_due(10 + FILE_AGE_MS_MAX));
        let large = Record { user_agent: "x".repeat(FILE_BYTES_MAX), ..record("d", 30, true) };
        gathered.offer(&large, at(8));
        assert!(gathered.is_full() && gathered.is_due(30));
    }
}

//! The chain: each line names the hash of the line before it and ends in its own.
//!
//! ```text
//! {"sequence":7,"previous":"<64 hex>","record":{…},"hash":"<64 hex>"}
//! ```
//!
//! The hash is SHA-256 of all that stands before `,"hash":`. Whoever keeps the newest hash elsewhere can tell whether
//! anything before it was changed; without it, a rewritten chain is only as safe as the files are.

use sha2::{Digest as _, Sha256};

/// What the first line of a chain names as its predecessor.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// `,"hash":"<64 hex>"}`.
const TAIL_BYTES: usize = 75;

/// The newest line of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its number; the first line has 1.
    pub sequence: u64,
    /// Its hash, or [`GENESIS`].
    pub hash: String,
}

impl Default for Head {
    fn default() -> Self {
        Self { sequence: 0, hash: GENESIS.to_owned() }
    }
}

/// A line that does not belong where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// It is not a line of this form.
    #[error("line is not of the audit trail's form")]
    Form,
    /// Its text and its hash do not agree.
    #[error("record {0} was changed: its hash is another")]
    Changed(u64),
    /// It does not follow the line before it.
    #[error("record {found} does not follow record {after}: records are missing, moved or rewritten")]
    Order {
        /// The line before.
        after: u64,
        /// This line.
        found: u64,
    },
}

impl Head {
    /// Appends a record (JSON in one line), and gives the line with its newline.
    pub fn link(&mut self, record: &str) -> String {
        let sequence = self.sequence + 1;
        let mut line = format!("{{\"sequence\":{sequence},\"previous\":\"{}\",\"record\":{record}", self.hash);
        let hash = hex::encode(Sha256::digest(line.as_bytes()));
        line.push_str(&format!(",\"hash\":\"{hash}\"}}\n"));
        *self = Self { sequence, hash };
        line
    }

    /// Checks that a line (without its newline) is the next one, and gives its record's JSON.
    ///
    /// # Errors
    /// [`Broken`]
    pub fn follow<'a>(&mut self, line: &'a str) -> Result<&'a str, Broken> {
        let parsed = Line::parse(line).ok_or(Broken::Form)?;
        if hex::encode(Sha256::digest(parsed.hashed.as_bytes())) != parsed.hash {
            return Err(Broken::Changed(parsed.sequence));
        }
        if parsed.previous != self.hash || parsed.sequence != self.sequence + 1 {
            return Err(Broken::Order { after: self.sequence, found: parsed.sequence });
        }
        *self = Self { sequence: parsed.sequence, hash: parsed.hash.to_owned() };
        Ok(parsed.record)
    }
}

/// The pieces of a line.
struct Line<'a> {
    sequence: u64,
    previous: &'a str,
    record: &'a str,
    hashed: &'a str,
    hash: &'a str,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (hashed, tail) = line.split_at_checked(line.len().checked_sub(TAIL_BYTES)?)?;
        let hash = tail.strip_prefix(",\"hash\":\"")?.strip_suffix("\"}")?;
        let (sequence, rest) = hashed.strip_prefix("{\"sequence\":")?.split_once(",\"previous\":\"")?;
        let (previous, record) = rest.split_once("\",\"record\":")?;
        Some(Self { sequence: sequence.parse().ok()?, previous, record, hashed, hash })
    }
}

/// The record's JSON and the head that a line makes, without looking at what stands before it.
pub(crate) fn peek(line: &str) -> Option<(Head, &str)> {
    let line = Line::parse(line)?;
    Some((Head { sequence: line.sequence, hash: line.hash.to_owned() }, line.record))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(records: &[&str]) -> Vec<String> {
        let mut head = Head::default();
        records.iter().map(|r| head.link(r).trim_end().to_owned()).collect()
    }

    #[test]
    fn a_chain_is_followed_from_its_beginning() {
        let mut head = Head::default();
        let records = [r#"{"a":1}"#, r#"{"b":"\",\"record\":"}"#, "{}"];
        for (line, record) in lines(&records).iter().zip(records) {
            assert_eq!(head.follow(line).unwrap(), record);
        }
        assert_eq!(head.sequence, 3);
    }

    #[test]
    fn a_missing_a_moved_and_a_changed_record_show() {
        let good = lines(&["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"]);
        let mut head = Head::default();
        head.follow(&good[0]).unwrap();
        assert_eq!(head.clone().follow(&good[2]), Err(Broken::Order { after: 1, found: 3 }));
        assert_eq!(head.clone().follow(&good[0]), Err(Broken::Order { after: 1, found: 1 }));
        assert_eq!(head.follow(&good[1].replace("\"n\":2", "\"n\":9")), Err(Broken::Changed(2)));
    }

    proptest! {
        #[test]
        fn any_changed_byte_shows(at in 0usize..400, to in 0x20u8..0x7f) {
            let line = lines(&["{\"eventName\":\"RunInstances\",\"userAgent\":\"x\"}"]).remove(0);
            let at = at % line.len();
            let mut bytes = line.clone().into_bytes();
            prop_assume!(bytes[at] != to);
            bytes[at] = to;
            let changed = String::from_utf8(bytes).unwrap();
            prop_assert!(Head::default().follow(&changed).is_err());
        }
    }
}

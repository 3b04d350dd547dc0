//! What is delivered: names and contents of files.
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-examples.html>

use flate2::Compression;
use flate2::write::GzEncoder;
use mallee_audit::Record;
use mallee_runtime::Rng;
use mallee_runtime::clock::from_unix_ms;
use mallee_types::AccountId;
use std::io::{self, Write as _};
use time::OffsetDateTime;

/// Letters of the part of a name that makes it unique.
const UNIQUE_CHARS: usize = 16;
const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

fn day(at: OffsetDateTime) -> String {
    format!("{:04}/{:02}/{:02}", at.year(), u8::from(at.month()), at.day())
}

fn date(at: OffsetDateTime) -> String {
    format!("{:04}{:02}{:02}", at.year(), u8::from(at.month()), at.day())
}

fn before(prefix: Option<&str>) -> String {
    prefix.filter(|prefix| !prefix.is_empty()).map(|prefix| format!("{prefix}/")).unwrap_or_default()
}

/// The key of a file of records.
pub(super) fn log_key(prefix: Option<&str>, account: &AccountId, region: &str, at_ms: i64, unique: &str) -> String {
    let at = from_unix_ms(at_ms);
    format!(
        "{}AWSLogs/{account}/CloudTrail/{region}/{}/{account}_CloudTrail_{region}_{}T{:02}{:02}Z_{unique}.json.gz",
        before(prefix),
        day(at),
        date(at),
        at.hour(),
        at.minute(),
    )
}

/// The key of a digest that ends at this time.
pub(super) fn digest_key(prefix: Option<&str>, account: &AccountId, region: &str, trail: &str, end_ms: i64) -> String {
    let at = from_unix_ms(end_ms);
    format!(
        "{}AWSLogs/{account}/CloudTrail-Digest/{region}/{}/{account}_CloudTrail-Digest_{region}_{trail}_{region}_\
         {}T{:02}{:02}{:02}Z.json.gz",
        before(prefix),
        day(at),
        date(at),
        at.hour(),
        at.minute(),
        at.second(),
    )
}

/// What makes a file's name unique.
pub(super) fn unique(rng: &Rng) -> String {
    let mut bytes = [0; UNIQUE_CHARS];
    rng.fill(&mut bytes);
    bytes.iter().map(|b| char::from(LETTERS[usize::from(*b) % LETTERS.len()])).collect()
}

/// A record as a file has it: without what is kept for the order of events only.
///
/// # Errors
/// When it has no JSON form.
pub(super) fn line(record: &Record) -> serde_json::Result<String> {
    let mut value = serde_json::to_value(record)?;
    if let Some(members) = value.as_object_mut() {
        members.remove("eventMs");
    }
    serde_json::to_string(&value)
}

/// The text of a file of records.
pub(super) fn text(lines: &[String]) -> String {
    format!("{{\"Records\":[{}]}}", lines.join(","))
}

/// Always the same bytes for the same text.
///
/// # Errors
/// None: it is written to memory.
pub(super) fn gzip(text: &str) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes())?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trails::selectors::tests::record;
    use std::io::Read as _;

    #[test]
    fn keys_are_cloudtrails() {
        let account: AccountId = "000000000001".parse().unwrap();
        let at_ms = 1_795_268_399_000;
        assert_eq!(
            log_key(None, &account, "local", at_ms, "ABC"),
            "AWSLogs/000000000001/CloudTrail/local/2026/11/21/000000000001_CloudTrail_local_20261121T1339Z_ABC.json.gz"
        );
        assert_eq!(
            digest_key(Some("p"), &account, "local", "main", at_ms),
            "p/AWSLogs/000000000001/CloudTrail-Digest/local/2026/11/21/\
             000000000001_CloudTrail-Digest_local_main_local_20261121T133959Z.json.gz"
        );
        let rng = Rng::seeded(1);
        assert!(unique(&rng).len() == 16 && unique(&rng) != unique(&rng));
    }

    #[test]
    fn a_file_reads_back() {
        let lines = vec![line(&record("a", 1, true)).unwrap(), line(&record("b", 2, true)).unwrap()];
        let text = text(&lines);
        let bytes = gzip(&text).unwrap();
        assert_eq!(bytes, gzip(&text).unwrap());
        let mut read = String::new();
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut read).unwrap();
        let value: serde_json::Value = serde_json::from_str(&read).unwrap();
        assert_eq!(value["Records"][1]["eventName"], "b");
        assert!(value["Records"][0].get("eventMs").is_none());
    }
}

//! A row of a list: every value in quotation marks, the key percent-encoded, as AWS writes them.

use mallee_awswire::sigv4::uri_encode;
use mallee_objects::crypt::Encryption;
use mallee_objects::{Checksums, VersionId};
use mallee_runtime::clock::from_unix_ms;
use mallee_s3_config::inventory::{Field, Inventory};
use mallee_store::{S3_COMPLIANCE, S3_GOVERNANCE, S3InventoryRow};

/// A time as lists have it.
fn time(ms: i64) -> String {
    let at = from_unix_ms(ms);
    let (month, ms) = (u8::from(at.month()), at.millisecond());
    format!(
        "{:04}-{month:02}-{:02}T{:02}:{:02}:{:02}.{ms:03}Z",
        at.year(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

fn value(line: &mut String, value: &str) {
    if !line.is_empty() {
        line.push(',');
    }
    line.push('"');
    line.extend(value.chars().flat_map(|c| std::iter::repeat_n(c, if c == '"' { 2 } else { 1 })));
    line.push('"');
}

const fn truth(is: bool) -> &'static str {
    if is { "true" } else { "false" }
}

/// The values of a row. `versioned`: ids are told; `owner`: the canonical id of its owner.
pub(super) fn line(inventory: &Inventory, bucket: &str, row: &S3InventoryRow, versioned: bool, owner: &str) -> String {
    let mut line = String::with_capacity(200);
    value(&mut line, bucket);
    let mut key = String::new();
    uri_encode(&mut key, row.key.0.as_bytes(), true);
    value(&mut line, &key);
    if inventory.all_versions {
        let version = VersionId::of_parts(row.rank, row.vid);
        let id = if versioned && !version.is_null() { version.to_string() } else { String::new() };
        value(&mut line, &id);
        value(&mut line, truth(row.latest));
        value(&mut line, truth(row.marker));
    }
    let encryption = Encryption::from_text(row.enc.as_deref()).ok().flatten();
    for field in &inventory.fields {
        let text = match field {
            Field::LastModifiedDate => time(row.modified_ms),
            Field::ObjectOwner => owner.to_owned(),
            // Of a marker there is nothing else.
            _ if row.marker => String::new(),
            Field::Size => row.size_bytes.to_string(),
            Field::ETag => row.etag.clone(),
            Field::StorageClass => row.class.clone(),
            Field::IsMultipartUploaded => truth(row.pieces > 0).to_owned(),
            Field::ReplicationStatus => row.repl.clone().unwrap_or_default(),
            Field::EncryptionStatus => match &encryption {
                None => "NOT-SSE",
                Some(Encryption::Store { .. }) => "SSE-S3",
                Some(Encryption::Kms(_)) => "SSE-KMS",
                Some(Encryption::Customer { .. }) => "SSE-C",
            }
            .to_owned(),
            Field::ObjectLockRetainUntilDate => row.lock_until_ms.map(time).unwrap_or_default(),
            Field::ObjectLockMode => match row.lock_mode.as_deref() {
                Some(S3_COMPLIANCE) => "COMPLIANCE",
                Some(S3_GOVERNANCE) => "GOVERNANCE",
                _ => "",
            }
            .to_owned(),
            Field::ObjectLockLegalHoldStatus => if row.legal_hold { "ON" } else { "OFF" }.to_owned(),
            Field::BucketKeyStatus => match &encryption {
                Some(Encryption::Kms(kms)) if kms.bucket_key => "ENABLED",
                _ => "DISABLED",
            }
            .to_owned(),
            Field::ChecksumAlgorithm => {
                let names: Vec<String> = Checksums::from_text(&row.checksums).values.into_keys().collect();
                names.join("|")
            }
        };
        value(&mut line, &text);
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_s3_config::inventory::{Destination, Frequency};
    use mallee_store::S3Key;

    fn row(key: &str) -> S3InventoryRow {
        S3InventoryRow {
            key: S3Key(key.to_owned()),
            rank: 0,
            vid: 0,
            latest: true,
            marker: false,
            size_bytes: 5,
            etag: "e-2".into(),
            modified_ms: 1_549_411_238_007,
            class: "STANDARD_IA".into(),
            owner: "111111111111".parse().expect("a number"),
            checksums: "F CRC32=a SHA256=b".into(),
            lock_mode: Some(S3_GOVERNANCE.into()),
            lock_until_ms: Some(1_549_411_239_000),
            legal_hold: true,
            enc: None,
            repl: None,
            pieces: 2,
        }
    }

    fn inventory(all_versions: bool, fields: &[Field]) -> Inventory {
        Inventory {
            id: "x".into(),
            enabled: true,
            to: Destination { bucket: "to".into(), account: None, prefix: None, encrypted: false },
            prefix: None,
            all_versions,
            fields: fields.to_vec(),
            frequency: Frequency::Daily,
        }
    }

    #[test]
    fn rows() {
        let plain = line(&inventory(false, &[]), "b", &row("a b/\"c\",\u{e9}"), false, "o");
        assert_eq!(plain, "\"b\",\"a%20b/%22c%22%2C%C3%A9\"\n");
        let full = line(&inventory(true, Field::ALL), "b", &row("k"), true, "o");
        assert_eq!(
            full,
            "\"b\",\"k\",\"\",\"true\",\"false\",\"5\",\"2019-02-06T00:00:38.007Z\",\"e-2\",\"STANDARD_IA\",\"true\",\"\",\
             \"NOT-SSE\",\"2019-02-06T00:00:39.000Z\",\"GOVERNANCE\",\"ON\",\"DISABLED\",\"CRC32|SHA256\",\"o\"\n"
        );
        let marker = S3InventoryRow { marker: true, rank: -5, vid: 7, ..row("k") };
        let line = line(&inventory(true, Field::ALL), "b", &marker, true, "o");
        let values: Vec<&str> = line.trim_end().split(',').collect();
        assert_eq!(values.len(), inventory(true, Field::ALL).columns().len());
        assert!(
            values[2].len() > 4 && values[4] == "\"true\"" && values[5] == "\"\"" && values[17] == "\"o\"",
            "{line}"
        );
    }
}

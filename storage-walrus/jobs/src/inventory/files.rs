//! The files of a list: data, and those that tell which data there are.

use flate2::Compression;
use flate2::write::GzEncoder;
use mallee_runtime::clock::from_unix_ms;
use mallee_s3_config::inventory::Inventory;
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use std::io::{self, Write as _};

/// A data file that was delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DataFile {
    pub(super) key: String,
    pub(super) size: u64,
    /// Hex.
    pub(super) md5: String,
}

/// Rows on their way into a data file.
#[derive(Debug)]
pub(super) struct Data {
    gzip: GzEncoder<Vec<u8>>,
    pub(super) rows: u64,
}

impl Data {
    pub(super) fn new() -> Self {
        Self { gzip: GzEncoder::new(Vec::new(), Compression::default()), rows: 0 }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// None in practice: it goes to memory.
    pub(super) fn add(&mut self, line: &str) -> io::Result<()> {
        self.rows += 1;
        self.gzip.write_all(line.as_bytes())
    }

    /// Bytes so far (some are still to be compressed).
    pub(super) fn size(&self) -> usize {
        self.gzip.get_ref().len()
    }

    /// The file.
    ///
    /// # Errors
    /// As [`Data::add`].
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        self.gzip.finish()
    }
}

/// The MD5 of a file, hex.
pub(super) fn md5(data: &[u8]) -> String {
    hex::encode(Md5::digest(data))
}

/// `2019-02-06T00-00Z` and `2019-02-06-00-00`.
pub(super) fn dates(begun_ms: i64) -> (String, String) {
    let at = from_unix_ms(begun_ms);
    let date = format!("{:04}-{:02}-{:02}", at.year(), u8::from(at.month()), at.day());
    let time = format!("{:02}-{:02}", at.hour(), at.minute());
    (format!("{date}T{time}Z"), format!("{date}-{time}"))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    source_bucket: &'a str,
    destination_bucket: String,
    version: &'a str,
    creation_timestamp: String,
    file_format: &'a str,
    file_schema: String,
    files: Vec<ManifestFile<'a>>,
}

#[derive(Serialize)]
struct ManifestFile<'a> {
    key: &'a str,
    size: u64,
    #[serde(rename = "MD5checksum")]
    md5: &'a str,
}

/// `manifest.json`.
pub(super) fn manifest(inventory: &Inventory, source: &str, begun_ms: i64, files: &[DataFile]) -> Vec<u8> {
    let manifest = Manifest {
        source_bucket: source,
        destination_bucket: format!("arn:aws:s3:::{}", inventory.to.bucket),
        // AWS's, of the form of this document.
        version: "2016-11-30",
        creation_timestamp: begun_ms.to_string(),
        file_format: "CSV",
        file_schema: inventory.columns().join(", "),
        files: files.iter().map(|DataFile { key, size, md5 }| ManifestFile { key, size: *size, md5 }).collect(),
    };
    serde_json::to_vec_pretty(&manifest).unwrap_or_default()
}

/// `symlink.txt`: what Hive reads.
pub(super) fn symlink(inventory: &Inventory, files: &[DataFile]) -> Vec<u8> {
    let bucket = &inventory.to.bucket;
    files.iter().map(|file| format!("s3://{bucket}/{}\n", file.key)).collect::<String>().into_bytes()
}

/// A random id as AWS's data files have them.
pub(super) fn uuid(random: u128) -> String {
    let hex = format!("{random:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_s3_config::inventory::{Destination, Field, Frequency};
    use std::io::Read as _;

    #[test]
    fn files() {
        let inventory = Inventory {
            id: "x".into(),
            enabled: true,
            to: Destination { bucket: "to".into(), account: None, prefix: None, encrypted: false },
            prefix: None,
            all_versions: false,
            fields: vec![Field::Size],
            frequency: Frequency::Daily,
        };
        let files = [DataFile { key: "from/x/data/u.csv.gz".into(), size: 7, md5: "abc".into() }];
        let manifest: serde_json::Value =
            serde_json::from_slice(&manifest(&inventory, "from", 1_549_411_238_007, &files)).expect("JSON");
        let wanted = serde_json::json!({
            "sourceBucket": "from",
            "destinationBucket": "arn:aws:s3:::to",
            "version": "2016-11-30",
            "creationTimestamp": "1549411238007",
            "fileFormat": "CSV",
            "fileSchema": "Bucket, Key, Size",
            "files": [{"key": "from/x/data/u.csv.gz", "size": 7, "MD5checksum": "abc"}],
        });
        assert_eq!(manifest, wanted);
        assert_eq!(symlink(&inventory, &files), b"s3://to/from/x/data/u.csv.gz\n");
        assert_eq!(dates(1_549_411_238_007), ("2019-02-06T00-00Z".into(), "2019-02-06-00-00".into()));
        assert_eq!(uuid(0xAB), "00000000-0000-0000-0000-0000000000ab");
        assert_eq!(md5(b""), "d41d8cd98f00b204e9800998ecf8427e");
    }

    #[test]
    fn data() {
        let mut data = Data::new();
        for _ in 0..1000 {
            data.add("\"b\",\"k\"\n").expect("memory");
        }
        assert_eq!(data.rows, 1000);
        let file = data.finish().expect("memory");
        let mut text = String::new();
        flate2::read::GzDecoder::new(file.as_slice()).read_to_string(&mut text).expect("gzip");
        assert!(text.lines().count() == 1000 && file.len() < 200);
    }
}

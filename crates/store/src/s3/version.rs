//! Versions of objects. A version's bytes are in its row (small ones), in one blob, or in one blob per piece.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::value::{Arg, FromColumn, Row, ToArg};
use mallee_types::AccountId;

/// An object's key: UTF-8, stored and sorted as bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct S3Key(pub String);

impl ToArg for S3Key {
    const NULL: Arg = Arg::Bytes(None);
    fn to_arg(&self) -> Arg {
        self.0.as_bytes().to_arg()
    }
}
impl FromColumn for S3Key {
    fn maybe(row: Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
        let Some(bytes) = row.bytes(at)? else { return Ok(None) };
        String::from_utf8(bytes)
            .map(|key| Some(Self(key)))
            .map_err(|e| StoreError::corrupt(format!("column {at}: {e}")))
    }
}

record! {
    /// A version of an object, or a delete marker.
    pub struct S3VersionRow {
        /// Its bucket's number.
        bucket_id: i64,
        /// Its key.
        key: S3Key,
        /// Its place among the key's versions, the smallest first; 0 in a bucket that was never versioned.
        rank: i64,
        /// Of its id: 0 for the version called null, else random.
        vid: i64,
        /// It is what the key stands for.
        latest: bool,
        /// It says that the key was deleted.
        marker: bool,
        /// Unique to this writing of the key.
        write_id: String,
        /// Its size.
        size_bytes: u64,
        /// Without quotes.
        etag: String,
        /// When it was written.
        modified_ms: i64,
        /// Its storage class.
        class: String,
        /// Whose it is.
        owner: AccountId,
        /// Its checksums, as text.
        checksums: String,
        /// As given.
        content_type: String,
        /// The headers to give back, JSON.
        headers: String,
        /// Its tags, JSON; empty for none.
        tags: String,
        /// Who else may use it, as text; none: its owner's alone.
        acl: Option<String>,
        /// How it is retained, if it is.
        lock_mode: Option<String>,
        /// Until when it is retained.
        lock_until_ms: Option<i64>,
        /// It is on legal hold.
        legal_hold: bool,
        /// Somebody has said whether it is.
        hold_known: bool,
        /// How its bytes are encrypted, JSON; none: they are not.
        enc: Option<String>,
        /// State of its replication, if a rule asks for one.
        repl: Option<String>,
        /// The upload that it was completed from.
        upload_id: Option<String>,
        /// Where the bytes are, if they are in one file.
        blob_id: Option<String>,
        /// In how many pieces they are, if they were uploaded in parts.
        pieces: u32,
        /// The bytes, if they are few.
        inline: Option<Vec<u8>>,
    }
}

impl S3VersionRow {
    /// A version without bytes, of which nothing is said.
    #[must_use]
    pub fn new(key: &str, owner: AccountId, write_id: &str) -> Self {
        Self {
            bucket_id: 0,
            key: S3Key(key.to_owned()),
            rank: 0,
            vid: 0,
            latest: true,
            marker: false,
            write_id: write_id.to_owned(),
            size_bytes: 0,
            etag: String::new(),
            modified_ms: 0,
            class: super::STANDARD_CLASS.to_owned(),
            owner,
            checksums: String::new(),
            content_type: String::new(),
            headers: "{}".to_owned(),
            tags: String::new(),
            acl: None,
            lock_mode: None,
            lock_until_ms: None,
            legal_hold: false,
            hold_known: false,
            enc: None,
            repl: None,
            upload_id: None,
            blob_id: None,
            pieces: 0,
            inline: None,
        }
    }
}

macro_rules! columns {
    () => {
        "bucket_id, key, rank, vid, latest, marker, write_id, size_bytes, etag, modified_ms, class, owner, checksums, \
         content_type, headers, tags, acl, lock_mode, lock_until_ms, legal_hold, hold_known, enc, repl, upload_id, \
         blob_id, pieces, inline"
    };
}

/// The rows of a key of the bucket named `$1`.
macro_rules! of_key {
    ($tail:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM s3_versions WHERE bucket_id = (SELECT id FROM s3_buckets WHERE name = $1) AND key = $2 ",
            $tail
        )
    };
}

sql! {
    LATEST = of_key!("ORDER BY rank LIMIT 1");
    ONE = of_key!("AND rank = $3 AND vid = $4");
    OLD_NULL = of_key!("AND vid = 0 AND NOT latest");
    OF_UPLOAD = of_key!("AND upload_id = $3 ORDER BY rank LIMIT 1");
    /// Over the row of the same rank, if there is one.
    PUT = concat!(
        "INSERT INTO s3_versions (", columns!(), ")
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
        $24, $25, $26, $27)
        ON CONFLICT (bucket_id, key, rank) DO UPDATE SET vid = excluded.vid, latest = excluded.latest,
        marker = excluded.marker, write_id = excluded.write_id, size_bytes = excluded.size_bytes, etag = excluded.etag,
        modified_ms = excluded.modified_ms, class = excluded.class, owner = excluded.owner,
        checksums = excluded.checksums, content_type = excluded.content_type, headers = excluded.headers,
        tags = excluded.tags, acl = excluded.acl, lock_mode = excluded.lock_mode,
        lock_until_ms = excluded.lock_until_ms, legal_hold = excluded.legal_hold,
        hold_known = excluded.hold_known, enc = excluded.enc,
        repl = excluded.repl, upload_id = excluded.upload_id, blob_id = excluded.blob_id, pieces = excluded.pieces, inline = excluded.inline"
    );
}

/// Which version of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum S3Which<'a> {
    /// The newest.
    Latest,
    /// The one called null.
    Null,
    /// The one of this id.
    Id {
        /// Its rank.
        rank: i64,
        /// Its random part.
        vid: i64,
    },
    /// The newest that was completed from this upload.
    OfUpload(&'a str),
}

/// A version of a key; `None` if there is none (whether the bucket exists is not looked at).
pub async fn s3_version_fetch<'a>(
    exec: impl Into<Exec<'a>>,
    bucket: &str,
    key: &str,
    which: S3Which<'_>,
) -> Result<Option<S3VersionRow>, StoreError> {
    let mut exec = exec.into();
    match which {
        S3Which::Latest => exec.maybe(LATEST, args![bucket, key.as_bytes()]).await,
        S3Which::Id { rank, vid } => exec.maybe(ONE, args![bucket, key.as_bytes(), rank, vid]).await,
        S3Which::OfUpload(id) => exec.maybe(OF_UPLOAD, args![bucket, key.as_bytes(), id]).await,
        S3Which::Null => {
            let newest: Option<S3VersionRow> = exec.again().maybe(LATEST, args![bucket, key.as_bytes()]).await?;
            match newest {
                Some(newest) if newest.vid != 0 => exec.maybe(OLD_NULL, args![bucket, key.as_bytes()]).await,
                other => Ok(other),
            }
        }
    }
}

/// Writes a row over the one of its rank. Nothing in it can be refused: its bucket is held.
pub(super) async fn put(tx: &mut crate::tx::Tx, row: &S3VersionRow) -> Result<(), StoreError> {
    tx.later(PUT, row.args()).await
}

//! The check: every row against every other, every row against its file, every file against its row; and what can be
//! mended without loss, mended. While it runs nothing else may use the directory or the database.
//!
//! Its findings have three weights. Leftovers are no mistakes: what a process that was killed leaves, and what the sweep
//! and the collector delete by themselves. What is wrong should never be, and can be mended. What is lost cannot.

mod bytes;
mod files;
mod repair;
mod rows;

pub use bytes::verify_blob;

use crate::blob::{FileBlobs, PackId};
use crate::error::Error;
use mallee_store::Store;
use std::fmt;

/// Most findings of one kind that are told; there may be more, which the next check finds.
pub const FINDINGS_MAX: u32 = 1000;
/// How often a repair looks again at what its mending has brought to light.
const ROUNDS_MAX: u32 = 4;
/// Objects named of a blob that several share.
const HOLDERS_TOLD: u32 = 3;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Of no harm: it goes by itself.
    Leftover,
    /// A mistake that a repair mends.
    Wrong,
    /// Bytes or rows that are gone or damaged.
    Lost,
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leftover => "leftover",
            Self::Wrong => "wrong",
            Self::Lost => "lost",
        })
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How much it weighs.
    pub weight: Weight,
    /// What it is, in one line.
    pub text: String,
    mend: Option<Mend>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.weight, self.text)
    }
}

/// What a repair does about a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mend {
    /// Sets the references of a blob to what was counted.
    Refs(mallee_store::S3RefsWrong),
    /// Gives a blob, whose file is there and whole, its row back.
    Row { id: String, size: u64, refs: i64 },
    /// Takes a blob that is in use off the garbage.
    Garbage(String),
    /// Marks the newest version of a key.
    Latest { bucket_id: i64, key: String },
    /// Drops pieces without a version.
    Pieces(String),
    /// Counts a bucket anew.
    Usage(i64),
    /// Deletes a file that nothing refers to.
    File(String),
    /// Drops the versions whose bytes were in a blob, from buckets of the relaxed level.
    Relaxed(String),
    /// Deletes a pack of which nothing is in use.
    Pack(PackId),
    /// Deletes what unfinished writes left.
    Unfinished,
    /// Forgets damage that is none any more.
    Damage(String),
}

/// What a check found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// In the order of looking.
    pub findings: Vec<Finding>,
    /// Blobs that have a row.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Report {
    /// Whether nothing is wrong or lost; leftovers do not count.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.weight == Weight::Leftover)
    }

    fn add(&mut self, weight: Weight, mend: Option<Mend>, text: impl Into<String>) {
        self.findings.push(Finding { weight, text: text.into(), mend });
    }
}

/// Checks one directory with its database.
#[derive(Debug, Clone)]
pub struct Checker {
    store: Store,
    blobs: FileBlobs,
    /// Whether every byte is read and held against its checksum; else only sizes and footers are.
    every_byte: bool,
}

impl Checker {
    /// A checker; with `every_byte` it reads all that is stored, which takes as long as that takes.
    #[must_use]
    pub const fn new(store: Store, blobs: FileBlobs, every_byte: bool) -> Self {
        Self { store, blobs, every_byte }
    }

    /// Looks, and changes nothing (but for noting which blobs are damaged).
    ///
    /// # Errors
    /// A database that does not answer, a disk that cannot be read.
    pub async fn check(&self) -> Result<Report, Error> {
        let mut report = Report::default();
        rows::check(&self.store, &mut report).await?;
        files::check(self, &mut report).await?;
        bytes::check_inline(&self.store, &mut report).await?;
        Ok(report)
    }

    /// Looks and mends until nothing is left that can be mended: what was found at first, and what is left.
    ///
    /// # Errors
    /// As [`Checker::check`].
    pub async fn repair(&self) -> Result<(Report, Report), Error> {
        let first = self.check().await?;
        let mut left = first.clone();
        for _ in 0..ROUNDS_MAX {
            let mends: Vec<Mend> = left.findings.iter().filter_map(|finding| finding.mend.clone()).collect();
            if mends.is_empty() {
                break;
            }
            repair::mend(&self.store, &self.blobs, &mends).await?;
            left = self.check().await?;
        }
        Ok((first, left))
    }
}

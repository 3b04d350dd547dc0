//! Blobs: bytes that are written once, read often, and deleted. Small ones lie in packs, larger ones in files of their
//! own; the trait is what another store implements.

mod buffers;
mod file_reader;
mod file_writer;
mod files;
mod format;
mod owner;
mod pack;
mod small_writer;
mod threads;
mod unsynced;

pub use buffers::{Buffer, PIECE_BYTES};
pub use files::{FileBlobs, RESERVE_BYTES};
pub use format::{BLOCK_BYTES, crc32c, footer, footer_len, parse_footer};
pub use owner::{OWNER_FILE, directory_has, directory_is_empty, directory_owner, set_directory_owner};
pub use pack::{PACK_BYTES, PackId};
pub use unsynced::SYNC_PERIOD;

use crate::error::Error;
use crate::metadata::Metadata;
use bytes::Bytes;
use futures::future::BoxFuture;
use std::fmt::{self, Debug};
use std::time::Duration;

/// Bytes handed to the kernel in one write: fewer where many uploads have to share [`WRITE_BYTES`].
pub const WRITE_STEP_BYTES: usize = 2 * BLOCK_BYTES;
/// Bytes of all uploads that are on their way to the kernel; as many more may be waiting for it.
pub const WRITE_BYTES: usize = 32 * BLOCK_BYTES;
/// Most bytes one [`BlobReader::read`] gives.
pub const READ_STEP_BYTES: usize = 2 * BLOCK_BYTES;

/// Blobs up to this many bytes lie in packs.
pub const PACKED_BYTES_MAX: usize = 2 * BLOCK_BYTES;

/// Hex digits of the name of a pack, in the id of a blob that lies in one.
const PACK_DIGITS: usize = 23;

/// The name of a blob. Of a file of its own: 32 lower-case hex digits. Of one that lies in a pack: the 23 digits of the
/// pack's name, `p`, and 8 digits for its name in there.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobId(Box<str>);

impl BlobId {
    /// A fresh id.
    #[must_use]
    pub fn from_random(random: u128) -> Self {
        Self(format!("{random:032x}").into())
    }

    /// Reads an id; `None` if it is not one (a foreign file, a damaged row).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let fits = |(at, b): (usize, u8)| hex(b) || at == PACK_DIGITS && b == b'p';
        (text.len() == 32 && text.bytes().enumerate().all(fits)).then(|| Self(text.into()))
    }

    /// The id of a blob in a pack.
    fn packed(pack: PackId, name: u32) -> Self {
        Self(format!("{pack}p{name:08x}").into())
    }

    /// The pack it lies in, and its name in there; `None`: it is a file of its own.
    pub(crate) fn place(&self) -> Option<(PackId, u32)> {
        let (pack, name) = self.0.split_once('p')?;
        Some((PackId::parse(pack)?, u32::from_str_radix(name, 16).ok()?))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an answer to a write of bytes means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// That they are on the disk.
    #[default]
    Strict,
    /// That they are with the kernel, and will be on the disk within [`SYNC_PERIOD`].
    Relaxed,
}

/// A store of blobs.
#[async_trait::async_trait]
pub trait BlobStore: Send + Sync + Debug {
    /// Begins a blob. Nothing is visible before [`BlobWriter::finish`]; dropping the writer leaves nothing.
    async fn create(&self, level: Level) -> Result<Box<dyn BlobWriter>, Error>;
    /// As [`BlobStore::create`], of what is known to be more than [`PACKED_BYTES_MAX`] bytes.
    async fn create_large(&self, level: Level) -> Result<Box<dyn BlobWriter>, Error> {
        self.create(level).await
    }
    /// Syncs what was written at [`Level::Relaxed`] until now.
    async fn flush(&self) -> Result<(), Error> {
        Ok(())
    }
    /// [`Error::Full`] when new bytes should not be taken, also where they would not become a blob.
    fn room(&self) -> Result<(), Error>;
    /// Opens a blob of the size its row tells. [`Error::Gone`] if it is not there, [`Error::Corrupt`] if it is not whole.
    async fn open(&self, id: &BlobId, size: u64) -> Result<Box<dyn BlobReader>, Error>;
    /// Deletes a blob; one that is not there is no error. Open readers go on.
    async fn delete(&self, id: &BlobId) -> Result<(), Error>;
    /// Names of blobs of one of [`BlobStore::shards`] that were written at least `age` ago.
    async fn list(&self, shard: usize, age: Duration) -> Result<Vec<BlobId>, Error>;
    /// [`Error::State`] when what is here is of another database than this process's: then nothing here may be taken for
    /// garbage, nor what is not here for lost.
    async fn must_own(&self) -> Result<(), Error> {
        Ok(())
    }
    /// In how many portions the names are listed.
    fn shards(&self) -> usize;
    /// Removes what unfinished writers of an earlier process left; only while nothing else writes. Returns how many.
    async fn discard_unfinished(&self) -> Result<u64, Error>;
    /// Gives back room that deleted blobs still take, if there is much of it: a bounded piece of that work. True: there
    /// is more to do. `rows` are asked about places where it cannot be read which blobs lie there; without them, what has
    /// such a place stays.
    async fn compact(&self, _rows: Option<&dyn Metadata>) -> Result<bool, Error> {
        Ok(false)
    }
    /// Whether it is in another place, that may not be reached: an error of its is then no damage.
    fn is_remote(&self) -> bool {
        false
    }
    /// How long a blob that lost its last reference must stay: readers elsewhere may be in the middle of it.
    fn delete_grace(&self) -> Duration {
        Duration::ZERO
    }
}

/// A blob being written.
#[async_trait::async_trait]
pub trait BlobWriter: Send + Debug {
    /// Adds bytes.
    async fn write(&mut self, data: Bytes) -> Result<(), Error>;
    /// Makes the blob as durable as the level says, and gives its name. After an error nothing is left.
    async fn finish(self: Box<Self>) -> Result<BlobId, Error>;
}

/// A blob being read.
pub trait BlobReader: Send + Sync + Debug {
    /// Starts reading, at once, up to `len` bytes from `offset`; the future gives at least one byte and at most
    /// [`READ_STEP_BYTES`], all verified. `offset` must lie within the blob.
    fn read(&self, offset: u64, len: u64) -> BoxFuture<'static, Result<Bytes, Error>>;
}

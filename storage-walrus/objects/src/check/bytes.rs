//! Bytes against their checksums.

use super::{Report, Weight};
use crate::blob::{BlobId, BlobStore};
use crate::error::Error;
use crate::stored::open_inline;
use mallee_store::Store;

/// Rows with inline bytes read at once.
const PAGE: u32 = 500;

/// Reads a whole blob.
///
/// # Errors
/// [`Error::Gone`], [`Error::Corrupt`]; a disk that does not answer.
pub async fn verify_blob(blobs: &dyn BlobStore, id: &BlobId, size: u64) -> Result<(), Error> {
    let reader = blobs.open(id, size).await?;
    let mut at = 0;
    while at < size {
        at += reader.read(at, size - at).await?.len() as u64;
    }
    Ok(())
}

/// Checks the bytes that stand in rows.
pub(super) async fn check_inline(store: &Store, report: &mut Report) -> Result<(), Error> {
    let mut last = None;
    loop {
        let page = mallee_store::s3_inline_list(store, last.as_ref(), PAGE).await?;
        for row in &page {
            let name = format!("{}/{}", row.bucket, row.key.0.escape_debug());
            match open_inline(row.inline.clone(), &row.key.0) {
                Ok(data) if row.enc.is_some() || data.len() as u64 == row.size_bytes => {}
                Ok(data) => {
                    let text =
                        format!("{name}: {} bytes in its row, where it should have {}", data.len(), row.size_bytes);
                    report.add(Weight::Lost, None, text);
                }
                Err(_) => {
                    report.add(Weight::Lost, None, format!("{name}: the bytes in its row do not match their checksum"))
                }
            }
        }
        last = page.into_iter().next_back();
        if last.is_none() {
            return Ok(());
        }
    }
}

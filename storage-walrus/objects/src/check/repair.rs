//! Mending what a check found. Each mending is one transaction or one file, and may be done twice.

use super::Mend;
use crate::blob::{BlobId, BlobStore as _, FileBlobs};
use crate::error::Error;
use mallee_store::{
    Store, Tx, s3_blob_insert, s3_damage_delete, s3_mend_garbage, s3_mend_latest, s3_mend_pieces, s3_mend_refs,
    s3_mend_usage,
};

/// Mends in the given order.
pub(super) async fn mend(store: &Store, blobs: &FileBlobs, mends: &[Mend]) -> Result<(), Error> {
    for mend in mends {
        match mend {
            Mend::Unfinished => {
                blobs.discard_unfinished().await?;
            }
            Mend::File(id) => {
                if let Some(id) = BlobId::parse(id) {
                    // A commit whose sync failed may stand in the log of the database: writing over it ends that. Only
                    // then is it sure that no row will ever ask for the file.
                    settle_log(store).await?;
                    blobs.set_aside(&id).await?;
                }
            }
            rows => {
                let mut tx = store.write().await?;
                mend_rows(&mut tx, rows).await?;
                tx.commit().await?;
            }
        }
    }
    Ok(())
}

async fn mend_rows(tx: &mut Tx, mend: &Mend) -> Result<(), Error> {
    match mend {
        Mend::Refs(wrong) => s3_mend_refs(tx, wrong).await?,
        Mend::Row { id, size, refs } => s3_blob_insert(tx, id, *size, u64::try_from(*refs).unwrap_or_default()).await?,
        Mend::Garbage(id) => s3_mend_garbage(tx, id).await?,
        Mend::Latest { bucket_id, key } => s3_mend_latest(tx, *bucket_id, key).await?,
        Mend::Pieces(write_id) => s3_mend_pieces(tx, write_id).await?,
        Mend::Usage(bucket_id) => s3_mend_usage(tx, *bucket_id).await?,
        Mend::Damage(id) => {
            s3_damage_delete(tx, id).await?;
        }
        Mend::File(_) | Mend::Unfinished => {}
    }
    Ok(())
}

/// See [`crate::metadata::Metadata::settle_log`].
async fn settle_log(store: &Store) -> Result<(), Error> {
    crate::stored::settle_log(store).await
}

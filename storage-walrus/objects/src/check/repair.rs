//! Mending what a check found. Each mending is one transaction or one file, and may be done twice.

use super::Mend;
use super::files::relaxed_holders;
use crate::blob::{BlobId, BlobStore as _, FileBlobs};
use crate::error::Error;
use mallee_store::{
    S3DeleteIf, S3Deletion, S3Target, S3VersionName, Store, Tx, s3_blob_insert, s3_bucket_hold, s3_damage_delete,
    s3_mend_garbage, s3_mend_latest, s3_mend_pieces, s3_mend_refs, s3_mend_usage, s3_versions_delete,
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
                    blobs.delete(&id).await?;
                }
            }
            Mend::Pack(pack) => {
                settle_log(store).await?;
                blobs.remove_pack(*pack).await?;
            }
            Mend::Relaxed(id) => drop_versions(store, id).await?,
            rows => {
                let mut tx = store.write().await?;
                mend_rows(&mut tx, rows).await?;
                tx.commit().await?;
            }
        }
    }
    Ok(())
}

/// Drops what a power failure has taken the bytes of. (A version that is locked stays, and stays lost.)
async fn drop_versions(store: &Store, id: &str) -> Result<(), Error> {
    for S3VersionName { bucket, key, rank, vid, .. } in relaxed_holders(store, id).await? {
        let mut tx = store.write().await?;
        let (row, now_ms) = (s3_bucket_hold(&mut tx, &bucket).await?, tx.now_ms());
        let deletion = S3Deletion {
            key: key.0,
            target: if vid == 0 { S3Target::Null } else { S3Target::Id { rank, vid } },
            only_if: S3DeleteIf::default(),
            bypass_governance: false,
            // No marker is written.
            write_id: String::new(),
            vid: 1,
            only: None,
        };
        s3_versions_delete(&mut tx, &row, &[deletion], now_ms).await?;
        tx.commit().await?;
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
        Mend::File(_) | Mend::Pack(_) | Mend::Relaxed(_) | Mend::Unfinished => {}
    }
    Ok(())
}

/// See [`crate::metadata::Metadata::settle_log`].
async fn settle_log(store: &Store) -> Result<(), Error> {
    crate::stored::settle_log(store).await
}

//! Disk images by content: one stored file per digest, kept while someone claims it.

use super::blob::{s3_blobs_release, s3_blobs_retain};
use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::tx::Tx;

record! {
    /// A disk image that was checked.
    pub struct ImageBlobRow {
        /// SHA-256 of its bytes, hex.
        digest: String,
        /// `qcow2` or `raw`.
        format: String,
        /// Stored bytes.
        size_bytes: u64,
        /// Bytes of the disk it unfolds to.
        virtual_size_bytes: u64,
        /// When it was imported.
        created_ms: i64,
        /// Where its bytes are.
        blob_id: String,
    }
}

sql! {
    INSERT = "INSERT INTO image_blobs (digest, format, size_bytes, virtual_size_bytes, created_ms, blob_id)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (digest) DO NOTHING";
    FETCH = "SELECT digest, format, size_bytes, virtual_size_bytes, created_ms, blob_id FROM image_blobs WHERE digest = $1";
    LIST = "SELECT digest, format, size_bytes, virtual_size_bytes, created_ms, blob_id FROM image_blobs ORDER BY digest";
    UNCLAIMED = "DELETE FROM image_blobs WHERE digest = $1
        AND NOT EXISTS (SELECT 1 FROM image_claims c WHERE c.digest = image_blobs.digest) RETURNING blob_id";
    CLAIM = "INSERT INTO image_claims (digest, holder) VALUES ($1, $2) ON CONFLICT (digest, holder) DO NOTHING";
    UNCLAIM = "DELETE FROM image_claims WHERE digest = $1 AND holder = $2";
    CLAIMS = "SELECT holder FROM image_claims WHERE digest = $1 ORDER BY holder";
}

/// Records an image and refers to its blob; false if the digest is known (nothing is changed then: the new blob is not
/// referred to).
pub async fn image_blob_insert(tx: &mut Tx, row: &ImageBlobRow) -> Result<bool, StoreError> {
    if Exec::Tx(tx).run(INSERT, row.args()).await? == 0 {
        return Ok(false);
    }
    s3_blobs_retain(tx, std::slice::from_ref(&row.blob_id)).await?;
    Ok(true)
}

/// The image of this digest.
pub async fn image_blob_fetch<'a>(exec: impl Into<Exec<'a>>, digest: &str) -> Result<Option<ImageBlobRow>, StoreError> {
    exec.into().maybe(FETCH, args![digest]).await
}

/// Every image, by digest.
pub async fn image_blob_list<'a>(exec: impl Into<Exec<'a>>) -> Result<Vec<ImageBlobRow>, StoreError> {
    exec.into().all(LIST, vec![]).await
}

/// Forgets an image nobody claims. `None`: it is claimed, or not there; else how many blobs became garbage.
pub async fn image_blob_delete_unclaimed(tx: &mut Tx, digest: &str) -> Result<Option<usize>, StoreError> {
    let gone = Exec::Tx(tx).maybe::<(String,)>(UNCLAIMED, args![digest]).await?;
    let Some((blob,)) = gone else { return Ok(None) };
    s3_blobs_release(tx, &[blob]).await.map(Some)
}

/// `holder` (for example an image id) needs the image; [`StoreError::InUse`] when the image is not there.
pub async fn image_claim_insert(tx: &mut Tx, digest: &str, holder: &str) -> Result<(), StoreError> {
    Exec::Tx(tx).run(CLAIM, args![digest, holder]).await.map(drop)
}

/// `holder` needs it no more; true if it did.
pub async fn image_claim_delete(tx: &mut Tx, digest: &str, holder: &str) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(UNCLAIM, args![digest, holder]).await? > 0)
}

/// Who needs the image.
pub async fn image_claim_list<'a>(exec: impl Into<Exec<'a>>, digest: &str) -> Result<Vec<String>, StoreError> {
    Ok(exec.into().all::<(String,)>(CLAIMS, args![digest]).await?.into_iter().map(|(holder,)| holder).collect())
}

//! Images of machines: blobs by their digest, each kept as long as somebody claims it.

use super::StoreMetadata;
use super::rows::{blob, or_gone};
use crate::error::Error;
use crate::metadata::Freed;
use crate::model::Image;
use mallee_store::{
    ImageBlobRow, image_blob_delete_unclaimed, image_blob_fetch, image_blob_insert, image_blob_list,
    image_claim_delete, image_claim_insert, image_claim_list, s3_blob_insert,
};

impl StoreMetadata {
    async fn holders(&self, row: ImageBlobRow) -> Result<Image, Error> {
        let holders = image_claim_list(&self.store, &row.digest).await?;
        Ok(Image {
            blob: blob(&row.blob_id)?,
            digest: row.digest,
            format: row.format,
            size: row.size_bytes,
            virtual_size: row.virtual_size_bytes,
            created_ms: row.created_ms,
            holders,
        })
    }

    pub(super) async fn image_of(&self, digest: &str) -> Result<Option<Image>, Error> {
        match image_blob_fetch(&self.store, digest).await? {
            Some(row) => self.holders(row).await.map(Some),
            None => Ok(None),
        }
    }

    pub(super) async fn claim(&self, image: &Image, holder: &str, new: bool) -> Result<bool, Error> {
        let mut tx = self.store.write().await?;
        tx.lock(&format!("s3-image/{}", image.digest)).await?;
        let unknown = image_blob_fetch(&mut tx, &image.digest).await?.is_none();
        if unknown {
            if new {
                s3_blob_insert(&mut tx, image.blob.as_str(), image.size, 0).await?;
            }
            let row = ImageBlobRow {
                digest: image.digest.clone(),
                format: image.format.clone(),
                size_bytes: image.size,
                virtual_size_bytes: image.virtual_size,
                created_ms: image.created_ms,
                blob_id: image.blob.as_str().to_owned(),
            };
            or_gone(image_blob_insert(&mut tx, &row).await)?;
        }
        image_claim_insert(&mut tx, &image.digest, holder).await?;
        tx.commit().await?;
        Ok(unknown)
    }

    pub(super) async fn release(&self, digest: &str, holder: &str) -> Result<Freed, Error> {
        let mut tx = self.store.write().await?;
        tx.lock(&format!("s3-image/{digest}")).await?;
        image_claim_delete(&mut tx, digest, holder).await?;
        let freed = image_blob_delete_unclaimed(&mut tx, digest).await?.unwrap_or_default();
        tx.commit().await?;
        Ok(freed)
    }

    pub(super) async fn images_after(&self, after: &str, limit: usize) -> Result<Vec<Image>, Error> {
        let mut out = Vec::new();
        for row in image_blob_list(&self.store).await?.into_iter().filter(|r| r.digest.as_str() > after).take(limit) {
            out.push(self.holders(row).await?);
        }
        Ok(out)
    }
}

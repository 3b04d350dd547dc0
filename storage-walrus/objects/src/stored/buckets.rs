//! Changes of buckets themselves.

use super::rows::{doc_row, versioning_text};
use super::{PAGE, StoreMetadata, documents};
use crate::error::Error;
use crate::metadata::Freed;
use crate::version::Versioning;
use mallee_s3_config::{Document as _, MfaDelete, text};
use mallee_store::{
    S3ListFrom, S3VersionsFrom, StoreError, s3_bucket_delete, s3_bucket_doc_delete, s3_bucket_doc_put,
    s3_bucket_versioning_set, s3_upload_delete, s3_upload_list, s3_version_list,
};

impl StoreMetadata {
    /// Deletes a bucket that has no versions, with its uploads: how many blobs that frees.
    pub(super) async fn delete_bucket_once(&self, name: &str) -> Result<Freed, Error> {
        let mut tx = self.store.write().await?;
        // First of all, as everybody locks it who writes into it.
        self.hold_alone(&mut tx, name).await?;
        let anything = S3VersionsFrom::Keys(S3ListFrom::Start);
        if !s3_version_list(&mut tx, name, "", anything, 1).await?.is_empty() {
            return Err(Error::BucketNotEmpty);
        }
        let mut freed = 0;
        loop {
            let uploads = s3_upload_list(&mut tx, name, "", None, PAGE).await?;
            if uploads.is_empty() {
                break;
            }
            for upload in uploads {
                freed += s3_upload_delete(&mut tx, &upload.id).await?.unwrap_or_default();
            }
        }
        match s3_bucket_delete(&mut tx, name).await {
            Ok(true) => {}
            Ok(false) => return Err(Error::NoBucket),
            Err(StoreError::InUse) => return Err(Error::BucketNotEmpty),
            Err(error) => return Err(error.into()),
        }
        tx.commit().await?;
        Ok(freed)
    }
    /// See [`crate::Metadata::set_versioning`].
    pub(super) async fn change_versioning(
        &self,
        bucket: &str,
        versioning: Versioning,
        mfa_delete: Option<bool>,
        now_ms: i64,
    ) -> Result<(), Error> {
        let mut tx = self.store.write().await?;
        let row = self.hold_alone(&mut tx, bucket).await?;
        let docs = documents(&mut tx, row.id).await?;
        docs.check_versioning(versioning)?;
        match mfa_delete {
            None => {}
            Some(true) => {
                docs.check_mfa_delete()?;
                let doc = doc_row(row.id, MfaDelete::KIND, "", &text(&MfaDelete), now_ms);
                s3_bucket_doc_put(&mut tx, &doc).await?;
            }
            Some(false) => {
                s3_bucket_doc_delete(&mut tx, row.id, MfaDelete::KIND, "").await?;
            }
        }
        if !s3_bucket_versioning_set(&mut tx, bucket, versioning_text(versioning)).await? {
            return Err(Error::NoBucket);
        }
        Ok(tx.commit().await?)
    }
}

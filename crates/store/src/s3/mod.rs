//! Walrus's metadata: buckets, objects, uploads, and the stored files ("blobs") they refer to.
//!
//! A blob's references are counted in the transaction that makes or removes them. Whatever drops the last reference
//! returns the blob's id: after the commit its file is garbage and may be unlinked. A file without a row is garbage too
//! (a crash between the two), once it is older than any running upload.

pub(crate) mod blob;
pub(crate) mod bucket;
pub(crate) mod image;
pub(crate) mod listing;
pub(crate) mod object;
pub(crate) mod upload;

pub use blob::{S3BlobRow, s3_blob_fetch, s3_blob_insert, s3_blob_list, s3_blob_release, s3_blob_retain};
pub use bucket::{
    S3BucketRow, s3_bucket_bytes, s3_bucket_delete, s3_bucket_fetch, s3_bucket_insert, s3_bucket_list,
    s3_bucket_objects,
};
pub use image::{
    ImageBlobRow, image_blob_delete_unclaimed, image_blob_fetch, image_blob_insert, image_blob_list,
    image_claim_delete, image_claim_insert, image_claim_list,
};
pub use listing::{S3ListFrom, S3ListedRow, prefix_successor, s3_object_list};
pub use object::{
    S3Key, S3ObjectPartRow, S3ObjectRow, s3_object_delete, s3_object_fetch, s3_object_parts, s3_object_put,
};
pub use upload::{
    S3PartRow, S3UploadRow, s3_part_list, s3_part_put, s3_upload_delete, s3_upload_fetch, s3_upload_insert,
    s3_upload_list, s3_upload_list_stale,
};

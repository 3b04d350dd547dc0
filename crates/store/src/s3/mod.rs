//! Walrus's metadata: buckets and their documents, versions of objects, uploads, and the stored files ("blobs") they
//! refer to.
//!
//! A blob's references are counted in the transaction that makes or removes them. Whatever drops the last reference
//! removes the blob's row and leaves one in `s3_garbage`, until somebody has deleted the bytes. A file without a row in
//! either table is garbage too (a crash before its commit), once it is older than any running upload.
//!
//! What a bucket holds is counted along (`s3_usage`): each function below that changes it does so by itself.
//!
//! Locks, in the order they are taken: the bucket ([`s3_bucket_hold`]), uploads, keys (ascending), blobs, counters.

pub(crate) mod blob;
pub(crate) mod bucket;
pub(crate) mod bucket_doc;
pub(crate) mod check;
pub(crate) mod damage;
pub(crate) mod garbage;
pub(crate) mod image;
pub(crate) mod inventory;
pub(crate) mod jobs;
pub(crate) mod listing;
pub(crate) mod listing_rolled;
pub(crate) mod listing_versions;
pub(crate) mod outbox;
pub(crate) mod owner;
pub(crate) mod part;
pub(crate) mod pieces;
pub(crate) mod properties;
pub(crate) mod replica;
pub(crate) mod replication;
pub(crate) mod upload;
pub(crate) mod usage;
pub(crate) mod version;
pub(crate) mod version_plan;
pub(crate) mod version_write;

pub use blob::{S3BlobRow, s3_blob_fetch, s3_blob_insert, s3_blob_list, s3_blobs_release, s3_blobs_retain};
pub use bucket::{
    S3BucketRow, S3Versioning, s3_bucket_delete, s3_bucket_fetch, s3_bucket_hold, s3_bucket_hold_alone,
    s3_bucket_insert, s3_bucket_list, s3_bucket_versioning_set,
};
pub use bucket_doc::{S3BucketDocRow, s3_bucket_doc_delete, s3_bucket_doc_list, s3_bucket_doc_put};
pub use check::{
    S3InlineRow, S3PiecesWrong, S3RefsWrong, S3RowMissing, S3SizeWrong, S3VersionName, s3_blob_holders,
    s3_check_content, s3_check_file, s3_check_garbage, s3_check_latest, s3_check_pieces, s3_check_pieces_lost,
    s3_check_ranks, s3_check_refs, s3_check_rows, s3_check_sizes, s3_check_usage, s3_garbage_among, s3_inline_list,
    s3_mend_garbage, s3_mend_latest, s3_mend_pieces, s3_mend_refs, s3_mend_usage,
};
pub use damage::{
    S3DamageRow, s3_damage_clear, s3_damage_count, s3_damage_delete, s3_damage_fetch, s3_damage_list, s3_damage_put,
};
pub use garbage::{S3GarbageRow, s3_garbage_delay, s3_garbage_delete, s3_garbage_list, s3_garbage_sum};
pub use image::{
    ImageBlobRow, image_blob_delete_unclaimed, image_blob_fetch, image_blob_insert, image_blob_list,
    image_claim_delete, image_claim_insert, image_claim_list,
};
pub use inventory::{S3InventoryRow, s3_inventory_list};
pub use jobs::{S3AgingRow, s3_aging_list, s3_configured_list, s3_job_fetch, s3_job_put};
pub use listing::{S3ListFrom, S3ListedRow, prefix_successor, s3_object_list};
pub use listing_rolled::{S3Entry, s3_entry_list};
pub use listing_versions::{S3ListedVersionRow, S3VersionsFrom, s3_version_list};
pub use outbox::{
    S3Message, S3OutboxRow, s3_outbox_delay, s3_outbox_done, s3_outbox_due, s3_outbox_expire, s3_outbox_insert,
    s3_outbox_targets, s3_outbox_trim, s3_outbox_waiting,
};
pub use owner::{S3OwnerRow, s3_owner_by_canonical, s3_owner_by_email, s3_owner_ensure, s3_owner_fetch};
pub use part::{S3PartRow, s3_part_list, s3_part_put};
pub use pieces::{S3PieceRow, s3_piece_list};
pub use properties::{s3_version_hold, s3_version_properties_set};
pub use replica::{S3Placed, s3_replica_put};
pub use replication::{
    S3ReplicationRow, s3_replication_delay, s3_replication_done, s3_replication_due, s3_replication_note,
    s3_replication_state, s3_replication_targets, s3_replication_waiting,
};
pub use upload::{
    S3UploadRow, s3_upload_complete, s3_upload_delete, s3_upload_fetch, s3_upload_hold, s3_upload_insert,
    s3_upload_list,
};
pub use usage::{
    S3AccountUsage, S3BucketUsage, S3ClassUsage, S3Usage, s3_usage, s3_usage_by_class, s3_usage_of_accounts,
    s3_usage_of_buckets, s3_usage_whole,
};
pub use version::{S3Key, S3VersionRow, S3Which, s3_version_fetch};
pub use version_plan::{
    S3_COMPLIANCE, S3_GOVERNANCE, S3Change, S3DeleteIf, S3VersionHead, plan_delete, plan_replica, plan_write,
};
pub use version_write::{
    S3Deleted, S3Deletion, S3Heads, S3Target, S3Written, s3_version_heads, s3_version_put, s3_versions_delete,
};

/// The storage class of everything that names none.
pub const STANDARD_CLASS: &str = "STANDARD";

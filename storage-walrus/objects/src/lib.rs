//! The object engine of Walrus: buckets, objects and multipart uploads over two stores — metadata (transactions) and blobs
//! (bytes with a checksum per block) — and the image store that keeps disk images by their content.
//!
//! The order of every write is: bytes to a temporary file, `fdatasync`, rename, `fsync` of the directory (of few bytes: to
//! the end of a pack, `fdatasync`), and the metadata commit last. Whatever dies in between leaves at most a file, or a
//! record in a pack, without a row, which the sweep removes. What loses its last
//! reference is noted in the transaction that drops it, and deleted behind it (`engine::collect`). Keys are never
//! file names. Nothing here knows HTTP.

pub mod blob;
mod cached;
pub mod check;
pub mod crypt;
mod delivery;
mod documents;
pub mod engine;
pub mod error;
mod events;
pub mod images;
pub mod limits;
pub mod memory;
pub mod metadata;
pub mod model;
mod origin;
mod parcel;
mod properties;
mod replica;
mod retain;
pub mod scrub;
pub mod stored;
mod usage;
mod version;

pub use blob::{
    BlobId, BlobReader, BlobStore, BlobWriter, Buffer, FileBlobs, Level, PACK_BYTES, PACKED_BYTES_MAX, RESERVE_BYTES,
    SYNC_PERIOD,
};
pub use cached::metadata_of;
pub use delivery::{OBJECT_BYTES_MAX, ObjectsService};
pub use documents::{DOCUMENTS_MAX, Documents, OBJECT_LOCK};
pub use engine::collect::COLLECT_RETRY;
pub use engine::multipart::{PartSink, StoredPart};
pub use engine::objects::Description;
pub use engine::replicate::ReplicaBytes;
pub use engine::sweep::{ORPHAN_GRACE, SweepReport};
pub use engine::{Engine, ListQuery, Listing, ObjectReader, Sink, Stored, VersionMarker};
pub use error::Error;
pub use events::message;
pub use limits::{Limit, Limited, Limits};
pub use metadata::{BucketCheck, Deletion, Metadata, Place, VersionPlace, Written};
pub use model::{
    Attributes, Bucket, Checksums, Condition, Content, Found, Image, ListEntry, Listed, ListedVersion, Marker, Object,
    ObjectInfo, Owner, OwnerName, Part, PutObject, Upload, UploadDoc, Usage,
};
pub use origin::{LIFECYCLE, Origin, REPLICATION};
pub use parcel::Parcel;
pub use properties::{LockMode, Properties, PropertyChange, Retention, STANDARD, Tags};
pub use replica::{COMPLETED, FAILED, PENDING, Placed, REPLICA, Replica};
pub use retain::retain_by_default;
pub use stored::StoreMetadata;
pub use usage::USAGE_ROWS_MAX;
pub use version::{Delete, DeleteIf, Deleted, VersionId, VersionName, Versioning, Which};

//! What can be configured of a bucket, as S3 has it: one document per file, each with its reader, its checks and its
//! writer. Pure. The documents are kept as the text that [`text`] makes of them, so that what a client reads back is
//! what was understood of what it wrote.

mod acl;
mod cors;
mod document;
mod durability;
mod encryption;
mod ids;
pub mod inventory;
pub mod lifecycle;
mod logging;
mod mfa_delete;
pub mod notification;
mod object_lock;
mod ownership;
mod payment;
mod public_access;
mod replication;
mod storage_class;
mod tagging;
mod website;

pub use acl::{Acl, EC2_CANONICAL_ID, GRANTS_MAX, Grant, Grantee, Permission};
pub use cors::{CORS_RULES_MAX, Cors, CorsRule};
pub use document::{Document, XMLNS, kept, parse, text, whole};
pub use durability::Durability;
pub use encryption::{BucketEncryption, DefaultEncryption};
pub use logging::{LogDate, LogGrant, LogGrantee, LogKeys, LogTarget, Logging};
pub use mfa_delete::MfaDelete;
pub use object_lock::{DefaultRetention, ObjectLock, Period, RetentionMode};
pub use ownership::{Ownership, OwnershipControls};
pub use payment::RequestPayment;
pub use public_access::PublicAccessBlock;
pub use replication::{BucketArn, Destination, REPLICATION_RULES_MAX, Replication, ReplicationRule};
pub use storage_class::{STORAGE_CLASSES, check_storage_class};
pub use tagging::{OBJECT_TAGS_MAX, TAG_KEY_CHARS_MAX, TAG_VALUE_CHARS_MAX, Tagging, check_object_tags, check_tag};
pub use website::{NewKey, Pages, ROUTING_RULES_MAX, Redirect, RoutingRule, Website};

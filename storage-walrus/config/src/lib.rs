//! What can be configured of a bucket, as S3 has it: one document per file, each with its reader, its checks and its
//! writer. Pure. The documents are kept as the text that [`text`] makes of them, so that what a client reads back is
//! what was understood of what it wrote.

mod document;
mod object_lock;
mod storage_class;
mod tagging;

pub use document::{Document, XMLNS, kept, parse, text, whole};
pub use object_lock::{DefaultRetention, ObjectLock, Period, RetentionMode};
pub use storage_class::{STORAGE_CLASSES, check_storage_class};
pub use tagging::{OBJECT_TAGS_MAX, TAG_KEY_CHARS_MAX, TAG_VALUE_CHARS_MAX, Tagging, check_object_tags, check_tag};

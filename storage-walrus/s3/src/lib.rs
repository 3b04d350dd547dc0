//! The S3 protocol over the object engine: authentication, routing, AWS's headers, errors and XML.
//!
//! Requests are authenticated here and nowhere else, because their bodies are read as a stream and part of the
//! signature (body hash, chunk signatures, trailers) is known only while they are read. Nothing of an upload is visible
//! before all of it is verified.
//!
//! A request is read into one [`Asked`], which is decided (`authz`, by the policies that the [`Authority`] knows and those
//! of the bucket) and which is then run: what is checked and what is done cannot differ.
//!
//! [`router`] is mounted under a front door that has told S3 requests from others; the listener must set `TCP_NODELAY`
//! (without it small replies wait 40 ms for the client's delayed acknowledgement).

mod access_log;
mod acl;
mod asked;
pub mod auth;
mod authz;
mod background;
mod body;
mod call;
pub mod checksum;
mod conditions;
mod cors;
mod deliver;
mod dispatch;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzz;
mod headers;
mod kms;
mod metrics;
mod names;
mod operation;
mod ops;
mod owners;
mod post;
mod props;
mod range;
mod replica;
mod reply;
mod service;
mod sse;
mod target;
mod trail;
mod website;

pub use access_log::{AccessLog, spawn_log_delivery, transition};
pub use asked::Asked;
pub use auth::{ANONYMOUS_ACCOUNT, Authority, Caller, Identified, Identity, S3_SERVICE, SecondFactor};
pub use authz::{Case, Judgement, Keys, NewBuckets, Question, Resource};
pub use background::Background;
pub use deliver::{Sender, Undelivered};
pub use kms::{KeyCaller, KeyService, SealedKey};
/// The engine that is served.
pub use mallee_objects as objects;
pub use mallee_objects::crypt::DataKey;
pub use mallee_objects::{Limit, Limited, Limits};
pub use metrics::Metrics;
pub use names::{check_bucket_name, check_key};
pub use operation::{Operation, Row, Scope, When};
pub use replica::{PeerAnswer, PeerBody, PeerRequest, PeerTraits, Peers, ToReplicate, Unreplicated};
pub use service::{S3, S3Config, router};
pub use trail::Event;

/// Largest object of one PUT, largest part, largest copy source of one request, in bytes (AWS: 5 GiB).
pub const PUT_BYTES_MAX: u64 = 5 << 30;
/// Smallest part of an upload, the last one excepted (AWS: 5 MiB).
pub const PART_BYTES_MIN: u64 = 5 << 20;
/// Largest object composed of parts (AWS: 5 TiB until 2025).
pub const OBJECT_BYTES_MAX: u64 = 5 << 40;
/// Parts of one upload.
pub const PARTS_MAX: u32 = 10_000;
/// Keys one DeleteObjects may name.
pub const DELETE_KEYS_MAX: usize = 1000;
/// Entries on one page of any listing.
pub const LIST_ENTRIES_MAX: usize = 1000;
/// Buckets on one page.
pub const LIST_BUCKETS_MAX: usize = 10_000;
/// Bytes of a key in UTF-8.
pub const KEY_BYTES_MAX: usize = 1024;
/// Bytes of all user metadata of an object, names and values.
pub const METADATA_BYTES_MAX: usize = 2048;
/// Bytes of the XML of a CreateBucket.
pub const CREATE_BUCKET_XML_BYTES_MAX: usize = 64 * 1024;
/// Bytes of the XML of a configuration that is a few words.
pub const SMALL_XML_BYTES_MAX: usize = 64 * 1024;
/// Bytes of the XML of a DeleteObjects.
pub const DELETE_XML_BYTES_MAX: usize = 2 << 20;
/// Bytes of the XML of a CompleteMultipartUpload.
pub const COMPLETE_XML_BYTES_MAX: usize = 4 << 20;
/// Bytes of the fields of a form before its file (AWS: 20 KB).
pub const FORM_FIELDS_BYTES_MAX: usize = 20 * 1024;
/// Seconds without a byte of the body after which a request is given up.
pub const BODY_IDLE_SECONDS: u64 = 60;
/// Bytes of a body that must come in that time: 1 KiB a second.
pub const BODY_PACE_BYTES: usize = 60 * 1024;

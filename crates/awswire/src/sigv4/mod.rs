//! Verification of AWS Signature Version 4: in the `Authorization` header, in the query string, and of chunked uploads.
//!
//! The verifier never sees a secret key: a [`CredentialSource`] (a table, or a remote identity service) gives a signing key
//! that is good for one day, region and service. Everything that arrives is distrusted: strict syntax, no duplicates, `host` and
//! every `x-amz-*` header signed, the body's hash computed here, and comparison in constant time.

mod canonical;
mod fault;
mod key;
mod parse;
mod post;
mod stream;
mod verify;

pub use canonical::{PathRules, canonical_query, uri_encode};
pub use fault::Fault;
pub use key::{CredentialSource, KeyError, KeyQuery, ResolvedKey, SigningKey, derive_signing_key};
pub use parse::{Claim, MAX_PRESIGN_SECONDS, Placement, SignatureVersion};
pub(crate) use parse::{compact, in_query, single, timestamp};
pub use post::{PolicySeal, SignedPolicy};
pub use stream::{
    ChunkContext, ChunkError, ChunkEvent, ChunkKind, ChunkVerifier, MAX_CHUNK_LINE_BYTES, MAX_TRAILER_BYTES,
};
pub use verify::{Authenticated, Body, Payload, RegionPolicy, SignedRequest, Verifier, VerifierConfig};
pub(crate) use verify::{is_instruction, parse_hash};

/// SHA-256 of nothing, in hex.
pub const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// Greatest difference between a request's time and ours, in seconds.
pub const CLOCK_WINDOW_SECONDS: i64 = 15 * 60;

pub(crate) fn sha256(data: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, data).as_ref());
    out
}

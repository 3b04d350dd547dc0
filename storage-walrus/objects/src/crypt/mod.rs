//! Encryption of the bytes of objects, above the blobs: what is in a row or a file is ciphertext, and the formats of both
//! know nothing of it.
//!
//! Every write has a stream of its own: 32 random bytes, then chunks of AES-256-GCM under a key that is derived from the
//! object's data key, those bytes and the number of the part. The nonce is the chunk's index, used once under that key;
//! index and finality are authenticated, so that chunks that were changed, moved or cut off are told. Sizes in rows of
//! objects and parts are plain, those in rows of blobs stored: [`layout`] has both.

mod cipher;
mod key;
mod layout;
mod reader;
mod sink;

pub use key::{CustomerKey, DataKey, Encryption, KmsSealed, Vault};
pub use layout::{plain_size, stored_size};
pub use reader::{AnyReader, PlainReader};
pub use sink::{AnyPart, AnySink, SealedPart, SealedSink};

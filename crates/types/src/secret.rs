//! Texts that must not be printed: re-exports so that every crate uses the same redacting types.

pub use secrecy::{ExposeSecret, SecretBox, SecretSlice, SecretString};

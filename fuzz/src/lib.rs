//! What the fuzz targets run, a module each. `storage-walrus/s3/tests/fuzz.rs` runs the same over the seeds, in the
//! normal tests.

pub mod chunk;
#[cfg(feature = "s3")]
pub mod form;
pub mod lines;
pub mod policy;
#[cfg(feature = "s3")]
pub mod request;
pub mod signature;
#[cfg(feature = "s3")]
pub mod xml;

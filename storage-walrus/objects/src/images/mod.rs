//! The image store: disk images by the SHA-256 of their bytes, kept as long as someone holds a claim.

pub mod format;
mod qcow2;
mod service;
mod store;

pub use format::{Detected, Refusal, VIRTUAL_BYTES_MAX, detect};
pub use service::ImagesService;
pub use store::{ImageStore, ImportError};

//! What the node asks of its image cache.

use async_trait::async_trait;
use mallee_proto::v1::Image;
use std::fmt;
use std::path::PathBuf;

/// An image that is on this host, whole and checked against its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedImage {
    /// Hex SHA-256.
    pub digest: String,
    /// The file; read-only, shared by every overlay over it.
    pub path: PathBuf,
    /// `qcow2` or `raw`.
    pub format: String,
}

/// Why an image is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Walrus does not hold it (any more).
    #[error("image {0} does not exist in the image store")]
    NotFound(String),
    /// What arrived does not hash to the digest.
    #[error("image {0} arrived damaged")]
    Damaged(String),
    /// The disk is full.
    #[error("no room for the image: {0}")]
    Full(String),
    /// Trying again can help.
    #[error("image not fetched: {0}")]
    Unavailable(String),
}

/// Images on this host, by digest.
#[async_trait]
pub trait ImageStore: Send + Sync + fmt::Debug {
    /// Brings the image here unless it is here; concurrent calls for one digest fetch it once.
    async fn ensure(&self, image: &Image) -> Result<CachedImage, ImageError>;

    /// The digests held, for placement.
    async fn held(&self) -> Vec<String>;

    /// Drops least recently used images that none of `in_use` names, down to the cache's size limit.
    async fn evict(&self, in_use: &[String]) -> Result<(), ImageError>;
}

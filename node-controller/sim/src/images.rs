//! The simulated image cache: digests without bytes.

use crate::config::SimFault;
use crate::host::SimHost;
use async_trait::async_trait;
use mallee_node_core::{CachedImage, ImageError, ImageStore};
use mallee_proto::v1::Image;
use std::path::PathBuf;

/// Digests weigh nothing, so their number is the limit: above it the idle ones go.
const IMAGES_MAX: usize = 256;

/// Images of a simulated host.
#[derive(Debug, Clone)]
pub struct SimImages(SimHost);

impl SimImages {
    /// The images of this machine.
    #[must_use]
    pub const fn new(host: SimHost) -> Self {
        Self(host)
    }

    async fn fetch(&self, digest: &str) -> Result<(), ImageError> {
        let text = || format!("{}: ensure: simulated failure", self.0.name());
        match self.0.call("ensure", self.0.config().image_fetch).await {
            Some(SimFault::Fail) => return Err(ImageError::Unavailable(text())),
            Some(SimFault::Refuse) => return Err(ImageError::NotFound(digest.to_owned())),
            Some(SimFault::Exhausted) => return Err(ImageError::Full(text())),
            Some(SimFault::FailAfter | SimFault::Delay(_) | SimFault::Hang) | None => {}
        }
        self.0.with(|state| {
            if state.missing_images.contains(digest) {
                return Err(ImageError::NotFound(digest.to_owned()));
            }
            state.images.insert(digest.to_owned());
            Ok(())
        })
    }
}

#[async_trait]
impl ImageStore for SimImages {
    async fn ensure(&self, image: &Image) -> Result<CachedImage, ImageError> {
        if !self.0.with(|state| state.images.contains(&image.digest)) {
            self.fetch(&image.digest).await?;
        }
        let path = PathBuf::from(format!("/simulated/images/{}", image.digest));
        Ok(CachedImage { digest: image.digest.clone(), path, format: image.format.clone() })
    }

    async fn held(&self) -> Vec<String> {
        self.0.with(|state| state.images.iter().cloned().collect())
    }

    async fn evict(&self, in_use: &[String]) -> Result<(), ImageError> {
        self.0.with(|state| {
            if state.images.len() > IMAGES_MAX {
                state.images.retain(|digest| in_use.contains(digest));
            }
        });
        Ok(())
    }
}

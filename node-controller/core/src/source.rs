//! Images from Walrus, over gRPC.

use crate::cache::{ImageBytes, ImageSource};
use crate::images::ImageError;
use crate::session::Connector;
use async_trait::async_trait;
use futures::StreamExt as _;
use mallee_proto::v1::ReadImageRequest;
use mallee_proto::v1::images_client::ImagesClient;
use mallee_proto::{Kind, WireError};
use mallee_types::limits::GRPC_MESSAGE_BYTES_MAX;
use std::sync::Arc;

/// Reads images through the `Images` service; dials anew for each download.
#[derive(Debug)]
pub struct GrpcImageSource(Arc<dyn Connector>);

impl GrpcImageSource {
    /// Reaches Walrus through `connector`.
    #[must_use]
    pub fn new(connector: Arc<dyn Connector>) -> Self {
        Self(connector)
    }
}

fn image_error(digest: &str, status: tonic::Status) -> ImageError {
    let error = WireError::from(status);
    match error.kind {
        Kind::NotFound => ImageError::NotFound(digest.to_owned()),
        _ => ImageError::Unavailable(error.message),
    }
}

#[async_trait]
impl ImageSource for GrpcImageSource {
    async fn read(&self, digest: &str, offset: u64) -> Result<ImageBytes, ImageError> {
        let channel = self.0.connect().await.map_err(|e| ImageError::Unavailable(e.to_string()))?;
        let mut client = ImagesClient::new(channel).max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX);
        let request = ReadImageRequest { digest: digest.to_owned(), offset };
        let stream = client.read(request).await.map_err(|status| image_error(digest, status))?.into_inner();
        let digest = digest.to_owned();
        Ok(stream.map(move |chunk| chunk.map(|c| c.data).map_err(|s| image_error(&digest, s))).boxed())
    }
}

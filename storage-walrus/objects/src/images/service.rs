//! The gRPC face of the image store.

use super::store::{ImageStore, ImportError};
use crate::error::Error;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use mallee_proto::v1::images_server::{Images, ImagesServer};
use mallee_proto::v1::{
    ImageChunk, ImportImageReply, ImportImageRequest, ListImagesReply, ListImagesRequest, ReadImageRequest,
    ReleaseImageReply, ReleaseImageRequest, StoredImage,
};
use mallee_proto::{Kind, WireError};
use tonic::{Request, Response, Status};

/// Images per query while a list is put together.
const LIST_PAGE: usize = 500;
/// Most images one reply of `List` carries; more than that is an error rather than a list that looks complete.
const LIST_IMAGES_MAX: usize = 50_000;
/// Longest holder name.
const HOLDER_BYTES_MAX: usize = 255;

/// Serves `Images`.
#[derive(Debug, Clone)]
pub struct ImagesService {
    store: ImageStore,
}

impl ImagesService {
    /// Over an image store.
    #[must_use]
    pub const fn new(store: ImageStore) -> Self {
        Self { store }
    }

    /// As a tonic service.
    #[must_use]
    pub fn into_server(self) -> ImagesServer<Self> {
        ImagesServer::new(self)
    }
}

fn engine_error(error: &Error) -> WireError {
    let kind = match error {
        Error::NoBucket | Error::NoObject | Error::NoUpload => Kind::NotFound,
        Error::Full(_) => Kind::Capacity,
        Error::Gone | Error::Undone(_) | Error::Uncertain(_) | Error::Fault(_) => Kind::Unavailable,
        _ => Kind::Internal,
    };
    WireError::new(kind, format!("walrus: {error}"))
}

fn import_error(error: &ImportError) -> WireError {
    match error {
        ImportError::NotFound(_) => {
            let text = error.to_string();
            WireError::new(Kind::NotFound, text.clone()).for_tenant("InvalidManifest", text)
        }
        ImportError::Refused(refusal) => {
            WireError::new(Kind::Invalid, refusal.to_string()).for_tenant("InvalidManifest", refusal.to_string())
        }
        ImportError::Encrypted(_) => WireError::new(Kind::Invalid, error.to_string()),
        ImportError::Engine(error) => engine_error(error),
    }
}

fn check_holder(holder: &str) -> Result<(), WireError> {
    if holder.is_empty() || holder.len() > HOLDER_BYTES_MAX {
        return Err(WireError::new(Kind::Invalid, format!("the holder must have 1 to {HOLDER_BYTES_MAX} bytes")));
    }
    Ok(())
}

#[tonic::async_trait]
impl Images for ImagesService {
    async fn import(&self, request: Request<ImportImageRequest>) -> Result<Response<ImportImageReply>, Status> {
        let ImportImageRequest { account_id, bucket, key, holder } = request.into_inner();
        check_holder(&holder)?;
        let image = self.store.import(&account_id, &bucket, &key, &holder).await.map_err(|e| import_error(&e))?;
        Ok(Response::new(ImportImageReply {
            digest: image.digest,
            format: image.format,
            size_bytes: image.size,
            virtual_size_bytes: image.virtual_size,
        }))
    }

    type ReadStream = BoxStream<'static, Result<ImageChunk, Status>>;

    async fn read(&self, request: Request<ReadImageRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let ReadImageRequest { digest, offset } = request.into_inner();
        let reader = self.store.read(&digest, offset).await.map_err(|e| engine_error(&e))?;
        let reader = reader.ok_or_else(|| {
            WireError::new(Kind::NotFound, format!("there is no image {digest} with bytes at {offset}"))
        })?;
        let chunks =
            reader.into_stream().map_ok(|data| ImageChunk { data }).map_err(|error| Status::from(engine_error(&error)));
        Ok(Response::new(chunks.boxed()))
    }

    async fn release(&self, request: Request<ReleaseImageRequest>) -> Result<Response<ReleaseImageReply>, Status> {
        let ReleaseImageRequest { digest, holder } = request.into_inner();
        self.store.release(&digest, &holder).await.map_err(|e| engine_error(&e))?;
        Ok(Response::new(ReleaseImageReply {}))
    }

    async fn list(&self, request: Request<ListImagesRequest>) -> Result<Response<ListImagesReply>, Status> {
        let ListImagesRequest {} = request.into_inner();
        let mut images: Vec<StoredImage> = Vec::new();
        loop {
            let after = images.last().map(|i| i.digest.clone()).unwrap_or_default();
            let page = self.store.list(&after, LIST_PAGE).await.map_err(|e| engine_error(&e))?;
            let complete = page.len() < LIST_PAGE;
            images.extend(page.into_iter().map(|i| StoredImage {
                digest: i.digest,
                holders: i.holders,
                size_bytes: i.size,
            }));
            if images.len() > LIST_IMAGES_MAX {
                let text = format!("more than {LIST_IMAGES_MAX} images are stored, too many for one reply");
                return Err(WireError::new(Kind::Capacity, text).into());
            }
            if complete {
                return Ok(Response::new(ListImagesReply { images }));
            }
        }
    }
}

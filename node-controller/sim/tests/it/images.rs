//! The file cache fed by a Walrus played here, over real gRPC.

use mallee_node_core::{ConnectError, Connector, FileImageCache, GrpcImageSource, ImageError, ImageStore as _};
use mallee_proto::v1::images_server::{Images, ImagesServer};
use mallee_proto::v1::{
    Image, ImageChunk, ImportImageReply, ImportImageRequest, ListImagesReply, ListImagesRequest, ReadImageRequest,
    ReleaseImageReply, ReleaseImageRequest,
};
use mallee_proto::{Kind, WireError};
use mallee_runtime::{Clock, Faults};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// SHA-256 of 300,000 bytes of "m".
const DIGEST: &str = "26dc1ab068cbe7e5c3de7d0ec9c33df725686021d1c2f560a569bb662a2187cb";
const BYTES: usize = 300_000;

#[derive(Debug)]
struct Walrus;

#[tonic::async_trait]
impl Images for Walrus {
    type ReadStream = tokio_stream::Iter<std::vec::IntoIter<Result<ImageChunk, Status>>>;

    async fn read(&self, request: Request<ReadImageRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let request = request.into_inner();
        if request.digest != DIGEST {
            return Err(WireError::new(Kind::NotFound, "no such image").into());
        }
        let rest = vec![b'm'; BYTES - usize::try_from(request.offset).unwrap()];
        let chunks: Vec<_> = rest.chunks(64 * 1024).map(|c| Ok(ImageChunk { data: c.to_vec().into() })).collect();
        Ok(Response::new(tokio_stream::iter(chunks)))
    }

    async fn import(&self, _: Request<ImportImageRequest>) -> Result<Response<ImportImageReply>, Status> {
        Err(Status::unimplemented("import"))
    }

    async fn release(&self, _: Request<ReleaseImageRequest>) -> Result<Response<ReleaseImageReply>, Status> {
        Err(Status::unimplemented("release"))
    }

    async fn list(&self, _: Request<ListImagesRequest>) -> Result<Response<ListImagesReply>, Status> {
        Err(Status::unimplemented("list"))
    }
}

#[derive(Debug)]
struct InMemory;

#[tonic::async_trait]
impl Connector for InMemory {
    async fn connect(&self) -> Result<tonic::transport::Channel, ConnectError> {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let incoming = tokio_stream::iter([Ok::<_, std::io::Error>(theirs)]);
        let server = tonic::transport::Server::builder().add_service(ImagesServer::new(Walrus));
        tokio::spawn(server.serve_with_incoming(incoming));
        let mut ours = Some(hyper_util::rt::TokioIo::new(ours));
        let dial = tower::service_fn(move |_: tonic::transport::Uri| {
            let stream = ours.take().ok_or_else(|| std::io::Error::other("one connection only"));
            async move { stream }
        });
        let endpoint = tonic::transport::Endpoint::from_static("http://walrus");
        endpoint.connect_with_connector(dial).await.map_err(|e| ConnectError(e.to_string()))
    }
}

#[tokio::test]
async fn an_image_comes_over_grpc_checked_and_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let source = Arc::new(GrpcImageSource::new(Arc::new(InMemory)));
    let cache = FileImageCache::open(dir.path().into(), 1 << 20, source, Clock::system(), Faults::none()).unwrap();
    let size_bytes = BYTES as u64;
    let image = Image { digest: DIGEST.into(), format: "raw".into(), size_bytes, virtual_size_bytes: size_bytes };
    std::fs::write(dir.path().join(format!("{DIGEST}.part")), vec![b'm'; 100_000]).unwrap();
    let held = cache.ensure(&image).await.unwrap();
    assert_eq!(std::fs::read(&held.path).unwrap(), vec![b'm'; BYTES]);
    let other = Image { digest: "0".repeat(64), ..image };
    assert_eq!(cache.ensure(&other).await, Err(ImageError::NotFound("0".repeat(64))));
}

//! Walrus's image service as the cloud controller uses it.

use async_trait::async_trait;
use mallee_proto::v1::images_client::ImagesClient;
use mallee_proto::v1::objects_client::ObjectsClient;
use mallee_proto::v1::{
    CountBucketsRequest, ImportImageReply, ImportImageRequest, ReadImageRequest, ReleaseImageRequest, UsageReply,
    UsageRequest,
};
use mallee_proto::{Kind, WireError};
use mallee_types::{AccountId, ImageId};
use std::fmt;
use std::time::Duration;
use tonic::Request;
use tonic::transport::Channel;

/// Longest import: a large image is hashed once.
const IMPORT_TIMEOUT: Duration = Duration::from_secs(900);
/// Longest wait for a release, or for a count.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for a sign of life.
const REACH_TIMEOUT: Duration = Duration::from_secs(3);
/// The digest of no image.
const NO_DIGEST: &str = "none";

/// Checks, keeps and drops image content.
#[async_trait]
pub trait ImageService: Send + Sync + fmt::Debug {
    /// Checks the object and keeps its bytes for `holder`. Idempotent.
    async fn import(
        &self,
        account: &AccountId,
        bucket: &str,
        key: &str,
        holder: &ImageId,
    ) -> Result<ImportImageReply, WireError>;

    /// Gives up the claim of `holder`. Idempotent.
    async fn release(&self, digest: &str, holder: &ImageId) -> Result<(), WireError>;

    /// Whether Walrus answers; an error says what is wrong.
    async fn reach(&self) -> Result<(), WireError>;

    /// How many buckets an account has (of very many: a thousand). Without an object store: none.
    async fn buckets(&self, _account: &AccountId) -> Result<u32, WireError> {
        Ok(0)
    }

    /// What accounts, buckets or classes hold, a page at a time. `NotFound`: there is no such bucket.
    async fn usage(&self, _asked: UsageRequest) -> Result<UsageReply, WireError> {
        Ok(UsageReply::default())
    }
}

/// Makes a channel to Walrus.
#[async_trait]
pub trait WalrusConnector: Send + Sync + fmt::Debug {
    /// A channel; an error says what is wrong.
    async fn connect(&self) -> Result<Channel, WireError>;
}

/// The image service over gRPC.
#[derive(Debug)]
pub struct RemoteImages<C>(pub C);

#[async_trait]
impl<C: WalrusConnector> ImageService for RemoteImages<C> {
    async fn import(
        &self,
        account: &AccountId,
        bucket: &str,
        key: &str,
        holder: &ImageId,
    ) -> Result<ImportImageReply, WireError> {
        let mut client = ImagesClient::new(self.0.connect().await?);
        let mut request = Request::new(ImportImageRequest {
            account_id: account.to_string(),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            holder: holder.to_string(),
        });
        request.set_timeout(IMPORT_TIMEOUT);
        Ok(client.import(request).await.map_err(WireError::from)?.into_inner())
    }

    async fn release(&self, digest: &str, holder: &ImageId) -> Result<(), WireError> {
        let mut client = ImagesClient::new(self.0.connect().await?);
        let mut request = Request::new(ReleaseImageRequest { digest: digest.to_owned(), holder: holder.to_string() });
        request.set_timeout(RELEASE_TIMEOUT);
        client.release(request).await.map_err(WireError::from)?;
        Ok(())
    }

    async fn reach(&self) -> Result<(), WireError> {
        let late = || WireError::new(Kind::Unavailable, "walrus does not answer");
        // A channel to a process that is gone may still look good: only an answer counts, and be it that there is no such
        // image.
        let ask = async {
            let mut client = ImagesClient::new(self.0.connect().await?);
            let request = ReadImageRequest { digest: NO_DIGEST.to_owned(), offset: 0 };
            match client.read(request).await.map_err(WireError::from) {
                Err(error) if error.kind == Kind::Unavailable => Err(error),
                Ok(_) | Err(_) => Ok(()),
            }
        };
        tokio::time::timeout(REACH_TIMEOUT, ask).await.map_err(|_| late())?
    }

    async fn buckets(&self, account: &AccountId) -> Result<u32, WireError> {
        let mut client = ObjectsClient::new(self.0.connect().await?);
        let mut request = Request::new(CountBucketsRequest { account_id: account.to_string() });
        request.set_timeout(RELEASE_TIMEOUT);
        Ok(client.count_buckets(request).await.map_err(WireError::from)?.into_inner().buckets)
    }

    async fn usage(&self, asked: UsageRequest) -> Result<UsageReply, WireError> {
        let mut client = ObjectsClient::new(self.0.connect().await?);
        let mut request = Request::new(asked);
        request.set_timeout(RELEASE_TIMEOUT);
        Ok(client.usage(request).await.map_err(WireError::from)?.into_inner())
    }
}

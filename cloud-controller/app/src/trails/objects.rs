//! Walrus's object service as the cloud controller uses it: objects that the cloud itself keeps in buckets.

use crate::images::WalrusConnector;
use async_trait::async_trait;
use mallee_proto::WireError;
use mallee_proto::v1::objects_client::ObjectsClient;
use mallee_proto::v1::{BucketRequest, PutObjectRequest};
use mallee_types::AccountId;
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;
use tonic::Request;

/// Longest wait for an answer about a bucket.
const BUCKET_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for an object to be written.
const PUT_TIMEOUT: Duration = Duration::from_secs(60);

/// What files of JSON are, when they are unpacked.
pub(crate) const JSON: &str = "application/json";

/// An object to be written, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewObject {
    /// The bucket must be this account's.
    pub account: AccountId,
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// Of what is packed.
    pub content_type: &'static str,
    /// Packed by gzip.
    pub data: Vec<u8>,
    /// User metadata.
    pub metadata: Vec<(&'static str, String)>,
}

/// Writes objects into buckets of accounts.
#[async_trait]
pub trait ObjectService: Send + Sync + fmt::Debug {
    /// The account that owns a bucket; `NotFound` when there is none of that name.
    async fn owner(&self, bucket: &str) -> Result<String, WireError>;

    /// Writes an object over what is there. Idempotent. `NotFound`: the bucket is gone; `Invalid`: it is another
    /// account's.
    async fn put(&self, object: NewObject) -> Result<(), WireError>;
}

/// The object service over gRPC.
#[derive(Debug)]
pub struct RemoteObjects<C>(pub C);

#[async_trait]
impl<C: WalrusConnector> ObjectService for RemoteObjects<C> {
    async fn owner(&self, bucket: &str) -> Result<String, WireError> {
        let mut client = ObjectsClient::new(self.0.connect().await?);
        let mut request = Request::new(BucketRequest { bucket: bucket.to_owned() });
        request.set_timeout(BUCKET_TIMEOUT);
        Ok(client.bucket(request).await.map_err(WireError::from)?.into_inner().account_id)
    }

    async fn put(&self, object: NewObject) -> Result<(), WireError> {
        let NewObject { account, bucket, key, content_type, data, metadata } = object;
        let mut client = ObjectsClient::new(self.0.connect().await?);
        let metadata: HashMap<String, String> =
            metadata.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let mut request = Request::new(PutObjectRequest {
            account_id: account.to_string(),
            bucket,
            key,
            content_type: content_type.to_owned(),
            content_encoding: "gzip".to_owned(),
            metadata,
            data,
        });
        request.set_timeout(PUT_TIMEOUT);
        client.put(request).await.map_err(WireError::from)?;
        Ok(())
    }
}

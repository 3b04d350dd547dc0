//! What the cloud itself puts into buckets of accounts (audit files), and what it asks about them, over gRPC.

use crate::engine::Engine;
use crate::error::Error;
use crate::model::Bucket;
use crate::parcel::Parcel;
use bytes::Bytes;
use mallee_proto::v1::objects_server::{Objects, ObjectsServer};
use mallee_proto::v1::{
    BucketReply, BucketRequest, CountBucketsReply, CountBucketsRequest, PutObjectReply, PutObjectRequest, UsageReply,
    UsageRequest,
};
use mallee_proto::{Kind, WireError};
use mallee_store::Store;
use tonic::{Request, Response, Status};

/// Buckets that are counted.
const BUCKETS_MAX: usize = 1000;
/// Largest object taken, in bytes: one message carries it.
pub const OBJECT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What a message has beside the object.
const MESSAGE_REST_BYTES: usize = 64 * 1024;
/// Longest key, in bytes, as S3 has it.
const KEY_BYTES_MAX: usize = 1024;

/// Serves `Objects`.
#[derive(Debug, Clone)]
pub struct ObjectsService {
    engine: Engine,
    store: Store,
    encrypt_all: bool,
}

impl ObjectsService {
    /// Over an engine, and the database of its metadata.
    #[must_use]
    pub const fn new(engine: Engine, store: Store) -> Self {
        Self { engine, store, encrypt_all: false }
    }

    /// Encrypts what it puts also where the bucket does not say so, or only where it does.
    #[must_use]
    pub fn encrypting(self, encrypt_all: bool) -> Self {
        Self { encrypt_all, ..self }
    }

    /// As a tonic service.
    #[must_use]
    pub fn into_server(self) -> ObjectsServer<Self> {
        ObjectsServer::new(self).max_decoding_message_size(OBJECT_BYTES_MAX + MESSAGE_REST_BYTES)
    }

    async fn found(&self, name: &str) -> Result<Bucket, WireError> {
        self.engine.bucket(name).await.map_err(|e| engine_error(&e))
    }
}

fn engine_error(error: &Error) -> WireError {
    let kind = match error {
        Error::NoBucket | Error::NoObject | Error::NoUpload => Kind::NotFound,
        Error::Full(_) => Kind::Capacity,
        Error::Gone | Error::Undone(_) | Error::Uncertain(_) | Error::Fault(_) => Kind::Unavailable,
        Error::State(_) => Kind::Invalid,
        _ => Kind::Internal,
    };
    WireError::new(kind, format!("walrus: {error}"))
}

fn invalid(text: String) -> WireError {
    WireError::new(Kind::Invalid, text)
}

#[tonic::async_trait]
impl Objects for ObjectsService {
    async fn bucket(&self, request: Request<BucketRequest>) -> Result<Response<BucketReply>, Status> {
        let bucket = self.found(&request.into_inner().bucket).await?;
        Ok(Response::new(BucketReply { account_id: bucket.account }))
    }

    async fn count_buckets(
        &self,
        request: Request<CountBucketsRequest>,
    ) -> Result<Response<CountBucketsReply>, Status> {
        let found = self.engine.buckets(&request.into_inner().account_id, "", BUCKETS_MAX).await;
        let buckets = found.map_err(|e| engine_error(&e))?.len();
        Ok(Response::new(CountBucketsReply { buckets: u32::try_from(buckets).unwrap_or(u32::MAX) }))
    }

    async fn usage(&self, request: Request<UsageRequest>) -> Result<Response<UsageReply>, Status> {
        let found = crate::usage::usage(&self.store, &request.into_inner()).await;
        Ok(Response::new(found.map_err(|e| engine_error(&e))?))
    }

    async fn put(&self, request: Request<PutObjectRequest>) -> Result<Response<PutObjectReply>, Status> {
        let PutObjectRequest { account_id, bucket, key, content_type, content_encoding, metadata, data } =
            request.into_inner();
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(invalid(format!("a key has 1 to {KEY_BYTES_MAX} bytes")).into());
        }
        if data.len() > OBJECT_BYTES_MAX {
            return Err(invalid(format!("the object has more than {OBJECT_BYTES_MAX} bytes")).into());
        }
        let within = self.found(&bucket).await?;
        if within.account != account_id {
            return Err(invalid(format!("the bucket {bucket} is not one of account {account_id}")).into());
        }
        let parcel = Parcel {
            key,
            content_type,
            content_encoding: Some(content_encoding).filter(|encoding| !encoding.is_empty()),
            metadata: metadata.into_iter().collect(),
            acl: None,
            encrypted: self.encrypt_all,
            data: Bytes::from(data),
        };
        self.engine.deliver(&within, parcel).await.map_err(|e| engine_error(&e))?;
        Ok(Response::new(PutObjectReply {}))
    }
}

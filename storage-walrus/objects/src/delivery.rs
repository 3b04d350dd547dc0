//! What the cloud itself puts into buckets of accounts (audit files), over gRPC.

use crate::crypt::DataKey;
use crate::engine::Engine;
use crate::engine::objects::Description;
use crate::error::Error;
use crate::model::{Attributes, Bucket, Checksums, Condition};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, checksum};
use mallee_proto::v1::objects_server::{Objects, ObjectsServer};
use mallee_proto::v1::{
    BucketReply, BucketRequest, CountBucketsReply, CountBucketsRequest, PutObjectReply, PutObjectRequest,
};
use mallee_proto::{Kind, WireError};
use md5::{Digest as _, Md5};
use tonic::{Request, Response, Status};

/// The document that says how objects of a bucket are encrypted by default.
const ENCRYPTION: &str = "encryption";
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
}

impl ObjectsService {
    /// Over an engine.
    #[must_use]
    pub const fn new(engine: Engine) -> Self {
        Self { engine }
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
        let data = Bytes::from(data);
        let crc = checksum(CrcAlgorithm::Crc64Nvme, &data).to_be_bytes();
        let encoding = Some(content_encoding).filter(|encoding| !encoding.is_empty());
        let what = Description {
            bucket,
            key,
            etag: hex::encode(Md5::digest(&data)),
            content_type,
            attributes: Attributes {
                system: encoding.into_iter().map(|encoding| ("content-encoding".to_owned(), encoding)).collect(),
                user: metadata.into_iter().collect(),
            },
            checksums: Checksums {
                composite: false,
                values: [("CRC64NVME".to_owned(), BASE64.encode(crc))].into_iter().collect(),
            },
            retain_by_default: true,
            ..Description::default()
        };
        // A bucket whose objects are encrypted by default gets what the cloud puts into it encrypted, with the store's key:
        // nobody's right to another key is at hand here.
        let mut key = None;
        let mut what = what;
        if let Some(vault) = self.engine.vault().filter(|_| within.docs.get(ENCRYPTION).is_some()) {
            let made = DataKey::random(self.engine.rng());
            let kept = vault.seal(self.engine.rng(), &made).and_then(|sealed| sealed.to_text());
            what.properties.encryption = Some(kept.map_err(|e| engine_error(&e))?);
            key = Some(made);
        }
        let mut sink = self.engine.sink_with(key.as_ref()).map_err(|e| engine_error(&e))?;
        sink.write(data).await.map_err(|e| engine_error(&e))?;
        let stored = sink.finish().await.map_err(|e| engine_error(&e))?;
        self.engine.put_object(what, stored, &Condition::default()).await.map_err(|e| engine_error(&e))?;
        Ok(Response::new(PutObjectReply {}))
    }
}

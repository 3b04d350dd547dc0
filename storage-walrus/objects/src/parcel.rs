//! What the store or the cloud itself puts into a bucket: whole, small, and by nobody's request.

use crate::crypt::DataKey;
use crate::engine::Engine;
use crate::engine::objects::Description;
use crate::error::Error;
use crate::model::{Attributes, Bucket, Checksums, Condition, ObjectInfo};
use crate::properties::Properties;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, checksum};
use mallee_s3_config::{BucketEncryption, Document as _};
use md5::{Digest as _, Md5};
use std::collections::BTreeMap;

/// An object to be.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// The key.
    pub key: String,
    /// `Content-Type`.
    pub content_type: String,
    /// `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// User metadata.
    pub metadata: BTreeMap<String, String>,
    /// Its access control list, as the protocol keeps it; none: the bucket's owner has it alone.
    pub acl: Option<String>,
    /// It is encrypted also where the bucket does not say so.
    pub encrypted: bool,
    /// The bytes: they are in memory.
    pub data: Bytes,
}

impl Engine {
    /// Makes a parcel an object of a bucket, which its owner owns, retained and encrypted as the bucket says. (Encrypted
    /// with the store's key: nobody's right to another key is at hand.)
    ///
    /// # Errors
    /// As [`Engine::put_object`]; [`Error::NoBucket`] also where another bucket has taken the name of this one.
    pub async fn deliver(&self, within: &Bucket, parcel: Parcel) -> Result<ObjectInfo, Error> {
        let Parcel { key, content_type, content_encoding, metadata, acl, encrypted, data } = parcel;
        let properties = Properties { acl, ..Properties::default() };
        let crc = checksum(CrcAlgorithm::Crc64Nvme, &data).to_be_bytes();
        let mut what = Description {
            bucket: within.name.clone(),
            key,
            etag: hex::encode(Md5::digest(&data)),
            content_type,
            attributes: Attributes {
                system: content_encoding.into_iter().map(|coding| ("content-encoding".to_owned(), coding)).collect(),
                user: metadata,
            },
            checksums: Checksums {
                composite: false,
                values: [("CRC64NVME".to_owned(), BASE64.encode(crc))].into_iter().collect(),
            },
            properties,
            retain_by_default: true,
        };
        let mut sealed_by = None;
        let wanted = encrypted || within.docs.get(BucketEncryption::KIND).is_some();
        if let Some(vault) = self.vault().filter(|_| wanted) {
            let made = DataKey::random(self.rng());
            what.properties.encryption = Some(vault.seal(self.rng(), &made)?.to_text()?);
            sealed_by = Some(made);
        }
        let mut sink = self.sink_with(sealed_by.as_ref())?;
        sink.write(data).await?;
        let stored = sink.finish().await?;
        self.within([within.clone()].into()).put_object(what, stored, &Condition::default()).await
    }
}

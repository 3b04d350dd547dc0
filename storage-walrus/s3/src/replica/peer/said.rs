//! What another object store is told of an object besides its bytes, and the bytes themselves.

use super::super::{Plan, Unreplicated, refused};
use super::Peer;
use crate::checksum::{Algorithm, Hasher};
use crate::headers::META;
use crate::ops::put::DEFAULT_CHECKSUM;
use crate::props::{STORAGE_CLASS, lock, tags};
use crate::service::S3;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use http::header::CONTENT_TYPE;
use mallee_objects::crypt::{AnyReader, DataKey, Encryption};
use mallee_objects::{Error, Object, ObjectInfo, STANDARD};
use std::sync::Arc;

/// The header by which a store is asked to encrypt an object.
const ENCRYPT: (&str, &str) = ("x-amz-server-side-encryption", "AES256");

/// The bytes of an object, as its clients have them.
pub(super) struct Source<'a> {
    s3: &'a S3,
    object: &'a Object,
    key: Option<Arc<DataKey>>,
}

impl<'a> Source<'a> {
    /// Of an object that this store can read by itself.
    ///
    /// # Errors
    /// [`Unreplicated::Refused`] for one under a client's key, or under one of KMS.
    pub(super) fn open(s3: &'a S3, object: &'a Object) -> Result<Self, Unreplicated> {
        let key = match Encryption::from_text(object.info.properties.encryption.as_deref())? {
            None => None,
            Some(Encryption::Store { id, dek }) => {
                let vault = s3.engine().vault().ok_or_else(|| refused("there is no key to decrypt with"))?;
                Some(Arc::new(vault.open(&id, &dek)?))
            }
            Some(Encryption::Kms(_) | Encryption::Customer { .. }) => {
                return Err(refused(
                    "objects under keys of clients or of KMS are not replicated into other object stores",
                ));
            }
        };
        Ok(Self { s3, object, key })
    }

    /// Some of the bytes.
    ///
    /// # Errors
    /// [`Unreplicated::Later`] when the object was deleted meanwhile, or cannot be read.
    pub(super) async fn read(
        &self,
        offset: u64,
        len: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Unreplicated> {
        match self.s3.engine().read_with(self.object, self.key.as_deref(), offset, len).await {
            Ok(AnyReader::Stored(reader)) => Ok(reader.into_stream().boxed()),
            Ok(AnyReader::Plain(reader)) => Ok(reader.into_stream().boxed()),
            Err(error) => Err(error.into()),
        }
    }

    /// A checksum of the object as a header: one that is known, else one that is made.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub(super) async fn checksum(&self) -> Result<(&'static str, String), Unreplicated> {
        let known = &self.object.info.checksums;
        let found = known.values.iter().find_map(|(name, value)| Some((Algorithm::parse(name)?, value.clone())));
        if let Some((algorithm, value)) = found.filter(|_| !known.composite) {
            return Ok((algorithm.header(), value));
        }
        let mut hasher = Hasher::new(DEFAULT_CHECKSUM);
        let mut data = self.read(0, self.object.info.size).await?;
        while let Some(data) = data.next().await {
            hasher.update(&data?);
        }
        Ok((DEFAULT_CHECKSUM.header(), hasher.finish()))
    }
}

impl Peer<'_> {
    /// What is said of an object in headers that any store knows. `with_tags`: its tags, too.
    pub(super) fn said(
        &self,
        plan: &Plan<'_>,
        info: &ObjectInfo,
        with_tags: bool,
        now_ms: i64,
    ) -> Vec<(String, String)> {
        let mut headers = vec![(CONTENT_TYPE.as_str().to_owned(), info.content_type.clone())];
        let system = info.attributes.system.iter().map(|(name, value)| (name.clone(), value.clone()));
        let user = info.attributes.user.iter().map(|(name, value)| (format!("{META}{name}"), value.clone()));
        headers.extend(system.chain(user));
        let mut add = |name: &str, value: String| headers.push((name.to_owned(), value));
        let class = plan.rule.destination.class.as_ref().unwrap_or(&info.properties.class);
        if class != STANDARD {
            add(STORAGE_CLASS, class.clone());
        }
        // A Mallee leaves tags alone of which nothing is said.
        if with_tags && (self.traits.is_mallee || !info.properties.tags.is_empty()) {
            add(tags::TAGGING, tags::header(&info.properties.tags));
        }
        if info.properties.encryption.is_some() && !self.traits.encrypts_itself {
            add(ENCRYPT.0, ENCRYPT.1.to_owned());
        }
        for (name, value) in lock::headers(&info.properties, now_ms) {
            add(name, value);
        }
        headers
    }
}

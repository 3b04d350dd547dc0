//! What is said of an object besides its bytes and the headers it is given back with: tags, storage class, lock. Read
//! from the headers of what writes it, told by the headers of what reads it, and changed by operations of their own.

pub(crate) mod lock;
pub(crate) mod tags;

use crate::call::Call;
use crate::error::engine;
use crate::headers::text;
use crate::names::check_key;
use crate::ops::get::READ_ATTEMPTS;
use crate::reply::{self, Reply};
use http::HeaderMap;
use http::header::HeaderName;
use mallee_awswire::{ApiError, Code};
use mallee_objects::{Bucket, Error, ObjectInfo, Properties, PropertyChange, STANDARD, Tags, VersionName};
use mallee_s3_config::check_storage_class;

/// The header that names a storage class.
pub(crate) const STORAGE_CLASS: &str = "x-amz-storage-class";

/// What the headers of a write say.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// Tags; none: nothing is said of them.
    pub(crate) tags: Option<Tags>,
    /// Storage class, if one is named.
    pub(crate) class: Option<String>,
    /// Lock.
    pub(crate) lock: lock::Given,
}

impl Given {
    /// Reads the headers of a write, at a time.
    ///
    /// # Errors
    /// What S3 answers to values that cannot be.
    pub(crate) fn read(headers: &HeaderMap, now_ms: i64) -> Result<Self, ApiError> {
        let class = match text(headers, STORAGE_CLASS) {
            None | Some("") => None,
            Some(class) => {
                check_storage_class(class)?;
                Some(class.to_owned())
            }
        };
        Ok(Self { tags: tags::given(headers)?, class, lock: lock::Given::read(headers, now_ms)? })
    }

    /// The properties of an object written into this bucket, without what the bucket has by default
    /// ([`lock::by_default`]).
    ///
    /// # Errors
    /// `InvalidRequest` for a lock in a bucket without object lock.
    pub(crate) fn properties(&self, bucket: &Bucket) -> Result<Properties, ApiError> {
        self.lock.check(bucket)?;
        Ok(Properties {
            class: self.class.clone().unwrap_or_else(|| STANDARD.to_owned()),
            tags: self.tags.clone().unwrap_or_default(),
            retention: self.lock.retention,
            legal_hold: self.lock.legal_hold.unwrap_or_default(),
            hold_known: self.lock.legal_hold.is_some(),
            ..Properties::default()
        })
    }
}

/// Tells of an object that is read.
pub(crate) fn describe(response: &mut Reply, properties: &Properties) {
    if properties.class != STANDARD {
        reply::set(response, HeaderName::from_static(STORAGE_CLASS), &properties.class);
    }
    tags::describe(response, &properties.tags);
    lock::describe(response, properties);
}

/// Changes what is said of the version that the request names.
///
/// # Errors
/// As [`Call::object`], and what `change` answers.
pub(crate) async fn change(
    call: &Call,
    bucket: &Bucket,
    key: &str,
    version: Option<VersionName>,
    change: &PropertyChange<'_>,
) -> Result<ObjectInfo, ApiError> {
    check_key(key)?;
    let store = call.s3.engine();
    // Asked within the transaction: what was decided is about this very object.
    let change = |info: &ObjectInfo| if call.is_decided(Some(info)) { change(info) } else { Err(Error::Gone) };
    let mut attempt = 1;
    loop {
        match store.change_properties(&bucket.name, key, version.into(), &change).await {
            Ok(Some(info)) => return Ok(info),
            Ok(None) => {
                // There is none: this says why. What appeared a moment ago was not changed.
                call.object(bucket, key, version).await?;
                return Err(Code::OperationAborted.error());
            }
            Err(Error::Gone) if attempt < READ_ATTEMPTS => {
                store.forget(&bucket.name, key);
                call.decide_again().await?;
                attempt += 1;
            }
            Err(error) => return Err(engine(error)),
        }
    }
}

//! PutObject.

use crate::body::{Announced, Incoming, Received};
use crate::call::{Call, shown_version};
use crate::checksum::Algorithm;
use crate::conditions;
use crate::error::engine;
use crate::headers;
use crate::names::check_key;
use crate::ops::acl;
use crate::ops::lifecycle;
use crate::props::Given;
use crate::replica::incoming::{Incoming as Replica, refuse_conditions, writer as replica_writer};
use crate::reply::{self, Reply};
use crate::sse::{self, Sealing};
use crate::{OBJECT_BYTES_MAX, PUT_BYTES_MAX};
use http::StatusCode;
use mallee_awswire::{ApiError, Code};
use mallee_objects::{Checksums, Condition, Description, Error, Properties, REPLICA};

/// The checksum that is computed where none is announced, as AWS does.
pub(crate) const DEFAULT_CHECKSUM: Algorithm = Algorithm::Crc64Nvme;

/// The announced checksum of a body, or the default one.
pub(crate) fn first_checksum(received: &Received) -> Checksums {
    let mut checksums = Checksums::default();
    if let Some((algorithm, value)) = received.checksums.first() {
        checksums.values.insert(algorithm.name().to_owned(), value.clone());
    }
    checksums
}

/// A failed conditional write, with the condition named.
pub(crate) fn conditional(error: Error, condition: &Condition, key: &str) -> ApiError {
    match error {
        Error::Precondition => engine(error).field("Condition", conditions::name(condition)),
        other => engine(other).field("Key", key),
    }
}

/// PUT /bucket/key
pub(crate) async fn put(mut call: Call, bucket: String, key: String) -> Result<Reply, ApiError> {
    let announced = Announced::read(&call)?;
    let extra = announced.algorithm().is_none().then_some(DEFAULT_CHECKSUM);
    let replica = Replica::read(&call.headers)?;
    let limit = if matches!(replica, Some(Replica::Version(_))) { OBJECT_BYTES_MAX } else { PUT_BYTES_MAX };
    let mut incoming = Incoming::object(&mut call, &announced, extra, limit)?;
    check_key(&key)?;
    let (content_type, attributes) = headers::stored(&call.headers)?;
    let condition = conditions::write(&call.headers)?;
    refuse_conditions(replica.as_ref(), condition != Condition::None)?;
    let given = Given::read(&call.headers, call.s3.engine().clock().now_ms())?;
    if given.lock.says() && announced.algorithm().is_none() && !call.headers.contains_key("content-md5") {
        let text = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters";
        return Err(Code::InvalidRequest.message(text));
    }
    let asked = call.encryption()?;
    let bucket = call.bucket(&bucket).await?;
    let properties = acl::of_new_object(&call, &bucket, given.properties(&bucket)?).await?;
    let sealing = sse::plan(&call, &bucket, &key, &asked).await?;
    let properties = Properties { encryption: sealing.as_ref().map(Sealing::text).transpose()?, ..properties };
    let properties = match &replica {
        Some(_) => Properties { replication: Some(REPLICA.to_owned()), ..properties },
        None => properties,
    };
    let store = match &replica {
        Some(_) => replica_writer(&call).at(bucket.level()),
        None => call.s3.engine().at(bucket.level()),
    };
    let store = store.expecting(incoming.length());
    let mut sink = store.sink_with(sealing.as_ref().map(|sealing| &sealing.key)).map_err(engine)?;
    while let Some(data) = incoming.next().await? {
        sink.write(data).await.map_err(engine)?;
    }
    let received = incoming.finish();
    let what = Description {
        bucket: bucket.name.clone(),
        key: key.clone(),
        etag: sse::etag(sealing.as_ref().map(|sealing| &sealing.encryption), &received.md5, store.rng()),
        content_type,
        attributes,
        checksums: first_checksum(&received),
        properties,
        retain_by_default: true,
    };
    let stored = sink.finish().await.map_err(engine)?;
    let info = match replica {
        Some(Replica::Version(version)) => version.put(&call, &bucket, what, stored).await?,
        Some(Replica::Plain) | None => {
            store.put_object(what, stored, &condition).await.map_err(|e| conditional(e, &condition, &key))?
        }
    };
    let mut response = reply::empty(StatusCode::OK);
    reply::set_etag(&mut response, &info.etag);
    reply::set_checksums(&mut response, &info.checksums);
    reply::set_version(&mut response, shown_version(&bucket, info.version));
    sse::describe(&mut response, sealing.as_ref().map(|sealing| &sealing.encryption));
    if let sse::Asked::Customer(customer) = &asked {
        sse::describe_customer(&mut response, Some(customer));
    }
    lifecycle::set_expiration(&mut response, &call, &bucket, &info)?;
    Ok(response)
}

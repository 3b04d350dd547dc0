//! UploadPart and UploadPartCopy.

use crate::asked::Source;
use crate::body::{Announced, Incoming};
use crate::call::Call;
use crate::checksum::{Algorithm, Hasher};
use crate::error::{engine, invalid_argument, not_implemented};
use crate::headers::text;
use crate::ops::copy;
use crate::ops::get::READ_ATTEMPTS;
use crate::ops::put::DEFAULT_CHECKSUM;
use crate::ops::uploads::upload_id;
use crate::range;
use crate::reply::{self, Reply, document};
use crate::sse::{self, Side};
use crate::{PARTS_MAX, PUT_BYTES_MAX};
use http::StatusCode;
use mallee_awswire::{ApiError, Code};
use mallee_objects::crypt::{DataKey, Encryption};
use mallee_objects::{Checksums, Error, Object, Part, Upload};
use mallee_runtime::clock::from_unix_ms;
use md5::{Digest as _, Md5};

fn part_number(call: &Call) -> Result<u32, ApiError> {
    let text = call.asked.query.get("partNumber").unwrap_or_default();
    match text.parse::<u32>() {
        Ok(number) if (1..=PARTS_MAX).contains(&number) => Ok(number),
        _ => Err(invalid_argument("Part number must be an integer between 1 and 10000, inclusive", "partNumber", text)),
    }
}

async fn find_upload(call: &Call, bucket: &str, key: &str) -> Result<Upload, ApiError> {
    let found = call.s3.engine().upload(bucket, key, upload_id(call)).await;
    found.map_err(|e| engine(e).field("UploadId", upload_id(call)))
}

/// How the upload's bytes are encrypted.
pub(crate) fn encryption_of(upload: &Upload) -> Result<Option<Encryption>, ApiError> {
    Encryption::from_text(upload.doc.properties.encryption.as_deref()).map_err(engine)
}

/// PUT /bucket/key?partNumber&uploadId
pub(crate) async fn upload(mut call: Call, bucket: String, key: String) -> Result<Reply, ApiError> {
    if call.headers.contains_key("if-none-match") || call.headers.contains_key("if-match") {
        return Err(not_implemented("A condition on a part"));
    }
    sse::refuse_method(&call.headers)?;
    let customer = call.customer(Side::Own)?;
    let number = part_number(&call)?;
    let announced = Announced::read(&call)?;
    let level = call.bucket(&bucket).await?.level();
    let upload = find_upload(&call, &bucket, &key).await?;
    let wanted = upload.doc.checksum_algorithm.as_deref().and_then(Algorithm::parse);
    // Of a checksum of the whole the parts' can be left to the store; of one of parts they are what the client vouches for.
    let left = announced.algorithm().is_none() && !upload.doc.composite;
    if let Some(wanted) = wanted.filter(|w| announced.algorithm() != Some(*w) && !left) {
        return Err(Code::InvalidRequest.message(format!(
            "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
            wanted.name().to_ascii_lowercase(),
            announced.algorithm().map_or_else(|| "null".to_owned(), |a| a.name().to_ascii_lowercase())
        )));
    }
    let encryption = encryption_of(&upload)?;
    let data_key = sse::part_key(&call, encryption.as_ref(), customer.as_ref()).await?;
    // Without a plan the whole object gets AWS's default, put together from the parts.
    let extra = wanted.map_or(Some(DEFAULT_CHECKSUM), |wanted| left.then_some(wanted));
    let mut incoming = Incoming::object(&mut call, &announced, extra, PUT_BYTES_MAX)?;
    let store = call.s3.engine().at(level).expecting(incoming.length());
    let mut part = store.part_with(data_key.as_ref(), number).map_err(engine)?;
    while let Some(data) = incoming.next().await? {
        part.write(data).await.map_err(engine)?;
    }
    let received = incoming.finish();
    let mut checksums = Checksums::default();
    for (algorithm, value) in &received.checksums {
        checksums.values.insert(algorithm.name().to_owned(), value.clone());
    }
    let stored = part.finish().await.map_err(engine)?;
    let etag = sse::etag(encryption.as_ref(), &received.md5, store.rng());
    let part = store.put_part(&upload.id, number, etag, checksums, stored).await.map_err(engine)?;
    let mut response = reply::empty(StatusCode::OK);
    reply::set_etag(&mut response, &part.etag);
    let mut told = Checksums::default();
    if let Some((algorithm, value)) = received.checksums.first() {
        told.values.insert(algorithm.name().to_owned(), value.clone());
    }
    reply::set_checksums(&mut response, &told);
    response.headers_mut().remove("x-amz-checksum-type");
    sse::describe(&mut response, encryption.as_ref());
    sse::describe_customer(&mut response, customer.as_ref());
    Ok(response)
}

/// PUT /bucket/key?partNumber&uploadId with `x-amz-copy-source`
pub(crate) async fn upload_copy(call: Call, bucket: String, key: String) -> Result<Reply, ApiError> {
    sse::refuse_method(&call.headers)?;
    let (customer, source_customer) = (call.customer(Side::Own)?, call.customer(Side::CopySource)?);
    let number = part_number(&call)?;
    let Source { bucket: from_bucket, key: from_key, .. } = call.source()?;
    let from = call.bucket(from_bucket).await?;
    call.bucket(&bucket).await?;
    let version = copy::source_version(&call, &from)?;
    let upload = find_upload(&call, &bucket, &key).await?;
    let encryption = encryption_of(&upload)?;
    let to_key = sse::part_key(&call, encryption.as_ref(), customer.as_ref()).await?;
    let mut attempt = 1;
    let (part, copied) = loop {
        let object = copy::source(&call, &from, from_key, version).await?;
        let (offset, len) = match text(&call.headers, "x-amz-copy-source-range") {
            Some(range) => range::parse_copy(range, object.info.size)?,
            None => (0, object.info.size),
        };
        if len > PUT_BYTES_MAX {
            return Err(Code::InvalidRequest.message(format!(
                "The specified copy source is larger than the maximum allowable size for a copy source: {PUT_BYTES_MAX}"
            )));
        }
        let stored = copy::encryption_of(&object)?;
        let read_key = sse::key_of(&call, stored.as_ref(), source_customer.as_ref()).await?;
        let keys = Keys { from: read_key.as_ref(), to: to_key.as_ref(), encryption: encryption.as_ref() };
        match copy_range(&call, &upload, number, (&object, offset, len), keys).await {
            Ok(part) => break (part, object.info.version),
            Err(Error::Gone) if attempt < READ_ATTEMPTS => {
                call.s3.engine().forget(&from.name, from_key);
                attempt += 1;
            }
            Err(error) => return Err(engine(error)),
        }
    };
    let mut w = document("CopyPartResult");
    w.text("ETag", &reply::quoted(&part.etag));
    w.timestamp("LastModified", from_unix_ms(part.created_ms));
    if upload.doc.checksum_algorithm.is_some() {
        reply::write_checksums(&mut w, &part.checksums);
    }
    w.close("CopyPartResult");
    let mut response = reply::xml(w);
    copy::set_source_version(&mut response, &from, copied);
    sse::describe(&mut response, encryption.as_ref());
    sse::describe_customer(&mut response, customer.as_ref());
    Ok(response)
}

/// What decrypts the source of a part, and what encrypts the part.
#[derive(Clone, Copy)]
struct Keys<'a> {
    from: Option<&'a DataKey>,
    to: Option<&'a DataKey>,
    encryption: Option<&'a Encryption>,
}

async fn copy_range(
    call: &Call,
    upload: &Upload,
    number: u32,
    (from, offset, len): (&Object, u64, u64),
    keys: Keys<'_>,
) -> Result<Part, Error> {
    let store = call.s3.engine();
    let algorithm = upload.doc.checksum_algorithm.as_deref().and_then(Algorithm::parse).unwrap_or(DEFAULT_CHECKSUM);
    let (mut md5, mut hasher) = (Md5::new(), Hasher::new(algorithm));
    let mut reader = store.read_with(from, keys.from, offset, len).await?;
    let mut sink = store.part_with(keys.to, number)?;
    while let Some(data) = reader.next().await {
        let data = data?;
        md5.update(&data);
        hasher.update(&data);
        sink.write(data).await?;
    }
    let stored = sink.finish().await?;
    let mut checksums = Checksums::default();
    checksums.values.insert(algorithm.name().to_owned(), hasher.finish());
    let etag = sse::etag(keys.encryption, &md5.finalize(), store.rng());
    store.put_part(&upload.id, number, etag, checksums, stored).await
}

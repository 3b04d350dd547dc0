//! GetObject and HeadObject.

use crate::call::{Call, shown_version};
use crate::conditions::{self, Verdict};
use crate::error::{engine, invalid_argument};
use crate::headers::{describe, refuse_overrides, text};
use crate::ops::{lifecycle, replication};
use crate::range;
use crate::reply::{self, Reply};
use crate::sse::{self, Customer, Side};
use axum::body::Body;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderName};
use mallee_awswire::{ApiError, Code};
use mallee_objects::crypt::{AnyReader, Encryption};
use mallee_objects::{Bucket, Checksums, Content, Error, Object};

/// How often a read starts over because the object was overwritten between look-up and opening.
pub(crate) const READ_ATTEMPTS: u32 = 5;

/// What part of an object is wanted.
struct Wanted {
    offset: u64,
    len: u64,
    partial: bool,
    parts: Option<usize>,
}

/// The bytes of a part of a composed object, or of the whole as part 1.
fn part_range(object: &Object, number: u64) -> Result<Wanted, ApiError> {
    let outside = || Code::InvalidPartNumber.error().field("PartNumberRequested", number.to_string());
    let Content::Parts(parts) = &object.content else {
        return if number == 1 {
            Ok(Wanted { offset: 0, len: object.info.size, partial: true, parts: None })
        } else {
            Err(outside())
        };
    };
    let at = usize::try_from(number - 1).map_err(|_| outside())?;
    let part = parts.get(at).ok_or_else(outside)?;
    let offset = parts[..at].iter().map(|p| p.size).sum();
    Ok(Wanted { offset, len: part.size, partial: true, parts: Some(parts.len()) })
}

fn wanted(call: &Call, object: &Object) -> Result<Wanted, ApiError> {
    let size = object.info.size;
    let range = text(&call.headers, "range");
    if let Some(number) = call.asked.query.number("partNumber")? {
        if range.is_some() {
            return Err(Code::InvalidRequest.message("Cannot specify both Range header and partNumber query parameter"));
        }
        if !(1..=u64::from(crate::PARTS_MAX)).contains(&number) {
            return Err(invalid_argument(
                "Part number must be an integer between 1 and 10000, inclusive",
                "partNumber",
                &number.to_string(),
            ));
        }
        return part_range(object, number);
    }
    let whole = Wanted { offset: 0, len: size, partial: false, parts: None };
    let Some(range) = range.filter(|_| conditions::range_counts(&call.headers, &object.info)) else { return Ok(whole) };
    Ok(match range::parse(range, size)? {
        Some((offset, len)) => Wanted { offset, len, partial: true, parts: None },
        None => whole,
    })
}

/// The checksums of just these bytes: of the whole or of a part. With another range they would make clients compare them with
/// something else.
fn checksums_of(object: &Object, wanted: &Wanted) -> Checksums {
    let whole = &object.info.checksums;
    if wanted.parts.is_none() && wanted.offset == 0 && wanted.len == object.info.size {
        return whole.clone();
    }
    let Content::Parts(parts) = &object.content else { return Checksums::default() };
    let mut start = 0;
    for part in parts.iter().take_while(|_| !whole.values.is_empty()) {
        if (start, part.size) == (wanted.offset, wanted.len) {
            return part.checksums_within(whole);
        }
        if start >= wanted.offset {
            break;
        }
        start += part.size;
    }
    Checksums::default()
}

/// GET, HEAD /bucket/key
pub(crate) async fn get(call: Call, bucket: String, key: String) -> Result<Reply, ApiError> {
    sse::refuse_method(&call.headers)?;
    if call.access.claim.is_none() {
        refuse_overrides(&call.asked.query)?;
    }
    let customer = call.customer(Side::Own)?;
    let bucket = call.bucket(&bucket).await?;
    let version = call.version(&bucket)?;
    let (mut attempt, mut missed) = (1, None);
    loop {
        let object = call.object(&bucket, &key, version).await?;
        match serve(&call, &bucket, &object, customer.as_ref()).await? {
            Ok(response) => return Ok(response),
            Err(Error::Gone) if missed.as_ref() == Some(&object.info.write_id) => {
                // Nobody has overwritten it: its bytes are lost.
                return Err(engine(Error::Corrupt(format!("the bytes of {}/{key} are not there", bucket.name))));
            }
            Err(Error::Gone) if attempt < READ_ATTEMPTS => {
                call.s3.engine().forget(&bucket.name, &key);
                missed = Some(object.info.write_id);
                attempt += 1;
            }
            Err(error) => return Err(engine(error)),
        }
    }
}

async fn serve(
    call: &Call,
    bucket: &Bucket,
    object: &Object,
    customer: Option<&Customer>,
) -> Result<Result<Reply, Error>, ApiError> {
    let info = &object.info;
    let encryption = Encryption::from_text(info.properties.encryption.as_deref()).map_err(engine)?;
    sse::check_customer(encryption.as_ref(), customer)?;
    if conditions::read(&call.headers, info)? == Verdict::NotModified {
        let mut response = reply::empty(StatusCode::NOT_MODIFIED);
        reply::set_etag(&mut response, &info.etag);
        reply::set_modified(&mut response, info.created_ms);
        reply::set_version(&mut response, shown_version(bucket, info.version));
        return Ok(Ok(response));
    }
    let wanted = wanted(call, object)?;
    let shown = call.shown(bucket, info).await?;
    let mut response = if call.head {
        Reply::new(Body::empty())
    } else {
        let key = sse::key_of(call, encryption.as_ref(), customer).await?;
        match call.s3.engine().read_with(object, key.as_ref(), wanted.offset, wanted.len).await {
            Ok(AnyReader::Stored(reader)) => Reply::new(Body::from_stream(reader.into_stream())),
            Ok(AnyReader::Plain(reader)) => Reply::new(Body::from_stream(reader.into_stream())),
            Err(error) => return Ok(Err(error)),
        }
    };
    describe(&mut response, &shown, &call.asked.query)?;
    sse::describe(&mut response, encryption.as_ref());
    sse::describe_customer(&mut response, customer);
    reply::set_version(&mut response, shown_version(bucket, info.version));
    replication::set_status(&mut response, info);
    if call.asked.query.get("versionId").is_none() {
        lifecycle::set_expiration(&mut response, call, bucket, info)?;
    }
    reply::set(&mut response, CONTENT_LENGTH, &wanted.len.to_string());
    if wanted.partial {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        if wanted.len > 0 {
            let last = wanted.offset + wanted.len - 1;
            reply::set(&mut response, CONTENT_RANGE, &format!("bytes {}-{last}/{}", wanted.offset, info.size));
        }
    }
    if let Some(parts) = wanted.parts {
        reply::set(&mut response, HeaderName::from_static("x-amz-mp-parts-count"), &parts.to_string());
    }
    if text(&call.headers, "x-amz-checksum-mode").is_some_and(|m| m.eq_ignore_ascii_case("ENABLED")) {
        reply::set_checksums(&mut response, &checksums_of(object, &wanted));
    }
    Ok(Ok(response))
}

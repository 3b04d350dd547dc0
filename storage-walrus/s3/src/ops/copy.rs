//! CopyObject, and what UploadPartCopy shares with it.

use crate::PUT_BYTES_MAX;
use crate::asked::{COPY_SOURCE, Source};
use crate::call::{Call, shown_version, version_name};
use crate::checksum::{Algorithm, Hasher};
use crate::conditions;
use crate::error::invalid_argument;
use crate::headers::{self, WEBSITE_REDIRECT, text};
use crate::names::check_key;
use crate::ops::get::READ_ATTEMPTS;
use crate::ops::put::conditional;
use crate::props::{Given, lock};
use crate::reply::{self, Reply, document};
use http::header::HeaderName;
use mallee_awswire::{ApiError, Code};
use mallee_objects::{Attributes, Bucket, Checksums, Description, Error, Object, Properties};
use mallee_objects::{VersionId, VersionName, Versioning};
use mallee_runtime::clock::from_unix_ms;

/// The version of the source that a copy names.
pub(crate) fn source_version(call: &Call, bucket: &Bucket) -> Result<Option<VersionName>, ApiError> {
    let version = call.source()?.version.as_deref();
    version.map(|id| version_name(bucket, id, COPY_SOURCE)).transpose()
}

/// Looks up the source and checks the conditions on it.
pub(crate) async fn source(
    call: &Call,
    bucket: &Bucket,
    key: &str,
    version: Option<VersionName>,
) -> Result<Object, ApiError> {
    let found = call.object(bucket, key, version).await;
    let object = found.map_err(|error| match (error.code(), version) {
        (Code::MethodNotAllowed, Some(_)) => Code::InvalidRequest
            .message("The source of a copy request may not specifically refer to a delete marker by version id."),
        // What it says of the marker is about the target of a request.
        (Code::NoSuchKey, None) => Code::NoSuchKey.error().field("Key", key),
        _ => error,
    })?;
    conditions::copy_source(&call.headers, &object.info)?;
    Ok(object)
}

/// Tells which version was copied.
pub(crate) fn set_source_version(response: &mut Reply, bucket: &Bucket, version: VersionId) {
    if let Some(id) = shown_version(bucket, version) {
        reply::set(response, HeaderName::from_static("x-amz-copy-source-version-id"), &id);
    }
}

/// PUT /bucket/key with `x-amz-copy-source`
pub(crate) async fn copy(call: Call, bucket: String, key: String) -> Result<Reply, ApiError> {
    check_key(&key)?;
    let Source { bucket: from_bucket, key: from_key, .. } = call.source()?;
    let replace = match text(&call.headers, "x-amz-metadata-directive") {
        None | Some("COPY") => false,
        Some("REPLACE") => true,
        Some(other) => return Err(invalid_argument("Unknown metadata directive.", "x-amz-metadata-directive", other)),
    };
    let algorithm = match text(&call.headers, "x-amz-checksum-algorithm") {
        None => None,
        Some(name) => Some(Algorithm::parse(name).ok_or_else(|| {
            Code::InvalidRequest.message("Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
        })?),
    };
    let condition = conditions::write(&call.headers)?;
    let (content_type, attributes) = headers::stored(&call.headers)?;
    let given = Given::read(&call.headers, call.s3.engine().clock().now_ms())?;
    let retag = match text(&call.headers, "x-amz-tagging-directive") {
        None | Some("COPY") => false,
        Some("REPLACE") => true,
        Some(other) => return Err(invalid_argument("Unknown tagging directive.", "x-amz-tagging-directive", other)),
    };
    let redirect = attributes.system.get(WEBSITE_REDIRECT);
    let changes =
        replace || retag || given.class.is_some() || given.lock.says() || redirect.is_some() || algorithm.is_some();
    let from = call.source_bucket(from_bucket).await?;
    let to = call.bucket(&bucket).await?;
    let properties = given.properties(&to)?;
    let version = source_version(&call, &from)?;
    // An older version may become the newest again.
    let older = version.is_some() && from.versioning != Versioning::Off;
    let mut attempt = 1;
    let (info, copied) = loop {
        let object = source(&call, &from, from_key, version).await?;
        if object.info.size > PUT_BYTES_MAX {
            return Err(Code::InvalidRequest.message(format!(
                "The specified copy source is larger than the maximum allowable size for a copy source: {PUT_BYTES_MAX}"
            )));
        }
        if !changes && !older && *from_bucket == bucket && *from_key == key {
            return Err(Code::InvalidRequest.message(
                "This copy request is illegal because it is trying to copy an object to itself without changing the object's \
                 metadata, storage class, website redirect location or encryption attributes.",
            ));
        }
        let what = Description {
            bucket: bucket.clone(),
            key: key.clone(),
            etag: object.info.etag.clone(),
            content_type: if replace { content_type.clone() } else { object.info.content_type.clone() },
            attributes: if replace { attributes.clone() } else { kept(&object, redirect) },
            checksums: Checksums::default(),
            properties: lock::by_default(&to, tagged(&properties, &object, retag), call.s3.engine().clock().now_ms())?,
        };
        let result = match checksums(&call, &object, algorithm).await {
            Ok(checksums) => call.s3.engine().copy_object(&object, Description { checksums, ..what }, &condition).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(info) => break (info, object.info.version),
            // The source was overwritten between look-up and commit: copy what is there now.
            Err(Error::Gone) if attempt < READ_ATTEMPTS => {
                call.s3.engine().forget(&from.name, from_key);
                attempt += 1;
            }
            Err(error) => return Err(conditional(error, &condition, &key)),
        }
    };
    let mut w = document("CopyObjectResult");
    w.text("ETag", &reply::quoted(&info.etag));
    w.timestamp("LastModified", from_unix_ms(info.created_ms));
    if !info.checksums.values.is_empty() {
        w.text("ChecksumType", reply::checksum_type(&info.checksums));
    }
    reply::write_checksums(&mut w, &info.checksums);
    w.close("CopyObjectResult");
    let mut response = reply::xml(w);
    reply::set_version(&mut response, shown_version(&to, info.version));
    set_source_version(&mut response, &from, copied);
    Ok(response)
}

/// The headers of the source, but where a website would send its readers: that is told anew.
fn kept(source: &Object, redirect: Option<&String>) -> Attributes {
    let mut attributes = source.info.attributes.clone();
    attributes.system.remove(WEBSITE_REDIRECT);
    attributes.system.extend(redirect.map(|to| (WEBSITE_REDIRECT.to_owned(), to.clone())));
    attributes
}

/// The properties of the copy, with the source's tags unless others are to take their place.
fn tagged(properties: &Properties, source: &Object, retag: bool) -> Properties {
    let tags = if retag { &properties.tags } else { &source.info.properties.tags };
    Properties { tags: tags.clone(), ..properties.clone() }
}

/// The checksums of the copy: the source's, unless another algorithm is asked for.
async fn checksums(call: &Call, object: &Object, algorithm: Option<Algorithm>) -> Result<Checksums, Error> {
    let had = &object.info.checksums;
    let Some(algorithm) = algorithm.filter(|a| had.composite || !had.values.contains_key(a.name())) else {
        return Ok(had.clone());
    };
    let mut hasher = Hasher::new(algorithm);
    let mut reader = call.s3.engine().read(object, 0, object.info.size).await?;
    while let Some(data) = reader.next().await {
        hasher.update(&data?);
    }
    let mut out = Checksums::default();
    out.values.insert(algorithm.name().to_owned(), hasher.finish());
    Ok(out)
}

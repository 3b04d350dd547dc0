//! CopyObject, and what UploadPartCopy shares with it.

use crate::PUT_BYTES_MAX;
use crate::call::Call;
use crate::checksum::{Algorithm, Hasher};
use crate::conditions;
use crate::error::invalid_argument;
use crate::headers::{self, text};
use crate::names::check_key;
use crate::ops::get::READ_ATTEMPTS;
use crate::ops::put::conditional;
use crate::reply::{self, Reply, document};
use mallee_awswire::{ApiError, Code};
use mallee_objects::{Checksums, Description, Error, Object};
use mallee_runtime::clock::from_unix_ms;
use percent_encoding::percent_decode_str;

/// The bucket and key that `x-amz-copy-source` names: `[/]bucket/key[?versionId=null]`, percent-encoded.
pub(crate) fn source_name(call: &Call) -> Result<(String, String), ApiError> {
    let header = text(&call.headers, "x-amz-copy-source").unwrap_or_default();
    let wrong = || {
        invalid_argument(
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
            "x-amz-copy-source",
            header,
        )
    };
    let (path, version) = match header.split_once("?versionId=") {
        Some((path, version)) => (path, Some(version)),
        None => (header, None),
    };
    if version.is_some_and(|v| v != "null") {
        return Err(invalid_argument("Invalid version id specified", "x-amz-copy-source", header));
    }
    let path = percent_decode_str(path).decode_utf8().map_err(|_| wrong())?;
    let path = path.strip_prefix('/').unwrap_or(&path);
    let (bucket, key) = path.split_once('/').filter(|(b, k)| !b.is_empty() && !k.is_empty()).ok_or_else(wrong)?;
    if bucket.starts_with("arn:") {
        return Err(crate::error::not_implemented("Access points as copy source"));
    }
    Ok((bucket.to_owned(), key.to_owned()))
}

/// Looks up the source and checks the conditions on it.
pub(crate) async fn source(call: &Call, bucket: &str, key: &str) -> Result<Object, ApiError> {
    let object = call.object(bucket, key).await?;
    conditions::copy_source(&call.headers, &object.info)?;
    Ok(object)
}

/// PUT /bucket/key with `x-amz-copy-source`
pub(crate) async fn copy(call: Call, bucket: String, key: String) -> Result<Reply, ApiError> {
    check_key(&key)?;
    let (from_bucket, from_key) = source_name(&call)?;
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
    call.source_bucket(&from_bucket).await?;
    call.bucket(&bucket).await?;
    let mut attempt = 1;
    let info = loop {
        let object = source(&call, &from_bucket, &from_key).await?;
        if object.info.size > PUT_BYTES_MAX {
            return Err(Code::InvalidRequest.message(format!(
                "The specified copy source is larger than the maximum allowable size for a copy source: {PUT_BYTES_MAX}"
            )));
        }
        if !replace && from_bucket == bucket && from_key == key && text(&call.headers, "x-amz-storage-class").is_none()
        {
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
            attributes: if replace { attributes.clone() } else { object.info.attributes.clone() },
            checksums: Checksums::default(),
        };
        let result = match checksums(&call, &object, algorithm).await {
            Ok(checksums) => call.s3.engine().copy_object(&object, Description { checksums, ..what }, &condition).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(info) => break info,
            // The source was overwritten between look-up and commit: copy what is there now.
            Err(Error::Gone) if attempt < READ_ATTEMPTS => attempt += 1,
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
    Ok(reply::xml(w))
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

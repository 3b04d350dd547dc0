//! Multipart uploads: create, abort, list uploads, list parts.

use crate::call::Call;
use crate::checksum::Algorithm;
use crate::error::{engine, not_implemented};
use crate::headers::{self, text};
use crate::names::check_key;
use crate::ops::acl;
use crate::ops::lifecycle;
use crate::ops::list::{Encoding, common_prefixes, page_size};
use crate::owners::Owners;
use crate::props::Given;
use crate::replica::incoming::Incoming;
use crate::reply::{self, Reply, document};
use crate::sse::{self, Sealing};
use http::StatusCode;
use http::header::HeaderName;
use mallee_awswire::{ApiError, Code};
use mallee_objects::{Bucket, ListQuery, Properties, REPLICA, Upload, UploadDoc};
use mallee_runtime::clock::from_unix_ms;

/// The checksum algorithm and type that CreateMultipartUpload asks for.
fn checksum_plan(call: &Call) -> Result<(Option<Algorithm>, bool), ApiError> {
    let algorithm = Algorithm::asked(&call.headers)?;
    let kind = text(&call.headers, "x-amz-checksum-type");
    let composite = match (algorithm, kind) {
        (None, None) => false,
        (None, Some(_)) => {
            return Err(Code::InvalidRequest
                .message("The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."));
        }
        (Some(algorithm), None) => algorithm != Algorithm::Crc64Nvme,
        (Some(algorithm), Some(kind)) => match (kind, algorithm) {
            ("FULL_OBJECT", a) if a.is_crc() => false,
            ("COMPOSITE", a) if a != Algorithm::Crc64Nvme => true,
            ("FULL_OBJECT" | "COMPOSITE", a) => {
                return Err(Code::InvalidRequest.message(format!(
                    "The {kind} checksum type cannot be used with the {} checksum algorithm.",
                    a.name().to_ascii_lowercase()
                )));
            }
            _ => return Err(Code::InvalidRequest.message("Value for x-amz-checksum-type header is invalid.")),
        },
    };
    Ok((algorithm, composite))
}

/// POST /bucket/key?uploads
pub(crate) async fn create(call: Call, bucket: String, key: String) -> Result<Reply, ApiError> {
    check_key(&key)?;
    let (content_type, attributes) = headers::stored(&call.headers)?;
    let (algorithm, composite) = checksum_plan(&call)?;
    let replica = match Incoming::read(&call.headers)? {
        Some(Incoming::Version(_)) => return Err(not_implemented("An upload of a replica that keeps its version")),
        replica => replica.is_some(),
    };
    let given = Given::read(&call.headers, call.s3.engine().clock().now_ms())?;
    let asked = call.encryption()?;
    let within = call.bucket(&bucket).await?;
    let properties = acl::of_new_object(&call, &within, given.properties(&within)?).await?;
    let sealing = sse::plan(&call, &within, &key, &asked).await?;
    let encryption = sealing.as_ref().map(Sealing::text).transpose()?;
    let properties = Properties { encryption, replication: replica.then(|| REPLICA.to_owned()), ..properties };
    let doc = UploadDoc {
        content_type,
        attributes,
        checksum_algorithm: algorithm.map(|a| a.name().to_owned()),
        composite,
        properties,
    };
    let upload = call.s3.engine().create_upload(&bucket, &key, &call.caller.account, doc).await.map_err(engine)?;
    let mut w = document("InitiateMultipartUploadResult");
    w.text("Bucket", &bucket);
    w.exact_text("Key", &key);
    w.text("UploadId", &upload.id);
    w.close("InitiateMultipartUploadResult");
    let mut response = reply::xml(w);
    lifecycle::set_abort_date(&mut response, &call, &within, &upload)?;
    if let Some(algorithm) = algorithm {
        reply::set(&mut response, HeaderName::from_static("x-amz-checksum-algorithm"), algorithm.name());
        let kind = if composite { "COMPOSITE" } else { "FULL_OBJECT" };
        reply::set(&mut response, HeaderName::from_static("x-amz-checksum-type"), kind);
    }
    sse::describe(&mut response, sealing.as_ref().map(|sealing| &sealing.encryption));
    if let sse::Asked::Customer(customer) = &asked {
        sse::describe_customer(&mut response, Some(customer));
    }
    Ok(response)
}

/// Whose the object will be.
fn owner_of<'a>(bucket: &'a Bucket, upload: &'a Upload) -> &'a str {
    upload.doc.properties.owner.as_deref().unwrap_or(&bucket.account)
}

/// The id of the upload that a request names.
pub(crate) fn upload_id(call: &Call) -> &str {
    call.asked.query.get("uploadId").unwrap_or_default()
}

/// DELETE /bucket/key?uploadId
pub(crate) async fn abort(call: Call, bucket: String, key: String) -> Result<Reply, ApiError> {
    call.bucket(&bucket).await?;
    let missing = |e| engine(e).field("UploadId", upload_id(&call));
    let upload = call.s3.engine().upload(&bucket, &key, upload_id(&call)).await.map_err(missing)?;
    call.s3.engine().abort_upload(&upload.id).await.map_err(missing)?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// GET /bucket?uploads
pub(crate) async fn list(call: Call, bucket: String) -> Result<Reply, ApiError> {
    let limit = page_size(&call, "max-uploads")?;
    let encoding = Encoding::read(&call)?;
    let bucket = call.bucket(&bucket).await?;
    let key_marker = call.asked.query.value("key-marker");
    // Without a key marker the id marker means nothing.
    let id_marker = call.asked.query.value("upload-id-marker").filter(|_| key_marker.is_some()).unwrap_or_default();
    let query = ListQuery {
        prefix: call.asked.query.value("prefix").unwrap_or_default().to_owned(),
        delimiter: call.asked.query.value("delimiter").map(str::to_owned),
        after: key_marker.map(str::to_owned),
        limit,
    };
    let page = call.s3.engine().list_uploads(&bucket.name, &query, id_marker).await.map_err(engine)?;
    call.still(&bucket).await?;
    let mut w = document("ListMultipartUploadsResult");
    w.text("Bucket", &bucket.name);
    encoding.text(&mut w, "KeyMarker", key_marker.unwrap_or_default());
    w.text("UploadIdMarker", id_marker);
    if page.truncated {
        let last = page.last.as_deref().unwrap_or_default();
        encoding.text(&mut w, "NextKeyMarker", last);
        // Behind a common prefix there is no upload to go on from.
        let id = page.items.last().filter(|u| u.key == last).map(|u| u.id.as_str());
        w.text("NextUploadIdMarker", id.unwrap_or_default());
    }
    encoding.text(&mut w, "Prefix", &query.prefix);
    if let Some(delimiter) = &query.delimiter {
        encoding.text(&mut w, "Delimiter", delimiter);
    }
    encoding.name(&mut w);
    w.display("MaxUploads", limit);
    w.display("IsTruncated", page.truncated);
    let named = page.items.iter().flat_map(|upload| [upload.account.as_str(), owner_of(&bucket, upload)]);
    let owners = Owners::of(&call.s3, named.collect()).await?;
    for upload in &page.items {
        w.open("Upload");
        encoding.text(&mut w, "Key", &upload.key);
        w.text("UploadId", &upload.id);
        owners.write(&mut w, "Initiator", &upload.account);
        owners.write(&mut w, "Owner", owner_of(&bucket, upload));
        w.text("StorageClass", &upload.doc.properties.class);
        w.timestamp("Initiated", from_unix_ms(upload.created_ms));
        if let Some(algorithm) = &upload.doc.checksum_algorithm {
            w.text("ChecksumAlgorithm", algorithm);
            w.text("ChecksumType", if upload.doc.composite { "COMPOSITE" } else { "FULL_OBJECT" });
        }
        w.close("Upload");
    }
    common_prefixes(&mut w, &page.prefixes, encoding);
    w.close("ListMultipartUploadsResult");
    Ok(reply::xml(w))
}

/// GET /bucket/key?uploadId
pub(crate) async fn list_parts(call: Call, bucket: String, key: String) -> Result<Reply, ApiError> {
    let limit = page_size(&call, "max-parts")?;
    let encoding = Encoding::read(&call)?;
    let after = call.asked.query.number("part-number-marker")?.unwrap_or_default();
    let bucket = call.bucket(&bucket).await?;
    let missing = |e| engine(e).field("UploadId", upload_id(&call));
    let upload = call.s3.engine().upload(&bucket.name, &key, upload_id(&call)).await.map_err(missing)?;
    let first = u32::try_from(after).unwrap_or(u32::MAX);
    let mut parts = call.s3.engine().parts(&upload.id, first, limit + 1).await.map_err(engine)?;
    call.still(&bucket).await?;
    let truncated = parts.len() > limit;
    parts.truncate(limit);
    let mut w = document("ListPartsResult");
    w.text("Bucket", &bucket.name);
    encoding.text(&mut w, "Key", &key);
    w.text("UploadId", &upload.id);
    let owner = owner_of(&bucket, &upload);
    let owners = Owners::of(&call.s3, vec![upload.account.as_str(), owner]).await?;
    owners.write(&mut w, "Initiator", &upload.account);
    owners.write(&mut w, "Owner", owner);
    w.text("StorageClass", &upload.doc.properties.class);
    w.display("PartNumberMarker", after);
    if let (true, Some(last)) = (truncated, parts.last()) {
        w.display("NextPartNumberMarker", last.number);
    }
    w.display("MaxParts", limit);
    w.display("IsTruncated", truncated);
    if let Some(algorithm) = &upload.doc.checksum_algorithm {
        w.text("ChecksumAlgorithm", algorithm);
        w.text("ChecksumType", if upload.doc.composite { "COMPOSITE" } else { "FULL_OBJECT" });
    }
    for part in &parts {
        w.open("Part");
        w.display("PartNumber", part.number);
        w.timestamp("LastModified", from_unix_ms(part.created_ms));
        w.text("ETag", &reply::quoted(&part.etag));
        w.display("Size", part.size);
        reply::write_checksums(&mut w, &part.checksums);
        w.close("Part");
    }
    w.close("ListPartsResult");
    let mut response = reply::xml(w);
    lifecycle::set_abort_date(&mut response, &call, &bucket, &upload)?;
    Ok(response)
}

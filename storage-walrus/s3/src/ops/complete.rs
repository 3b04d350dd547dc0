//! CompleteMultipartUpload: every check on the list of parts, then one transaction that copies nothing.

use crate::body::read_small;
use crate::call::{Call, shown_version};
use crate::checksum::Algorithm;
use crate::conditions::{self, bare};
use crate::error::engine;
use crate::headers::text;
use crate::ops::lifecycle;
use crate::ops::parts::encryption_of;
use crate::ops::put::{DEFAULT_CHECKSUM, conditional};
use crate::ops::uploads::upload_id;
use crate::replica::incoming::writer as replica_writer;
use crate::reply::{self, Reply, document};
use crate::sse::{self, Side};
use crate::target::address;
use crate::{COMPLETE_XML_BYTES_MAX, OBJECT_BYTES_MAX, PART_BYTES_MIN, PARTS_MAX};
use mallee_awswire::xml_read::{Element, XmlLimits};
use mallee_awswire::{ApiError, Code};
use mallee_objects::crypt::Encryption;
use mallee_objects::{Checksums, Error, Found, ObjectInfo, Part, Upload, UploadDoc, Which};
use md5::{Digest as _, Md5};
use std::collections::HashMap;

/// A part as the client names it.
struct Named {
    number: u32,
    etag: String,
    checksums: Vec<(Algorithm, String)>,
}

const LIMITS: XmlLimits = XmlLimits { bytes: COMPLETE_XML_BYTES_MAX, depth: 8, elements: 80_000 };

fn parse(body: &[u8]) -> Result<Vec<Named>, ApiError> {
    let malformed = || Code::MalformedXml.error();
    let root = Element::parse(body, LIMITS).map_err(|e| malformed().because(e))?;
    if root.name != "CompleteMultipartUpload" {
        return Err(malformed());
    }
    let mut parts: Vec<Named> = Vec::new();
    for element in &root.children {
        if element.name != "Part" {
            return Err(malformed());
        }
        let number =
            element.child_text("PartNumber").and_then(|n| n.trim().parse::<u32>().ok()).ok_or_else(malformed)?;
        let etag = bare(element.child_text("ETag").ok_or_else(malformed)?).to_owned();
        let of = |a: Algorithm| element.child_text(a.element()).map(|value| (a, value.trim().to_owned()));
        parts.push(Named { number, etag, checksums: Algorithm::ALL.into_iter().filter_map(of).collect() });
    }
    if parts.is_empty() || parts.len() > PARTS_MAX as usize {
        return Err(malformed());
    }
    if !parts.is_sorted_by(|a, b| a.number < b.number) {
        return Err(Code::InvalidPartOrder.error());
    }
    Ok(parts)
}

/// For the fuzz targets.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_any(body: &[u8]) {
    drop(parse(body));
}

/// Whether each part is named with its checksum, as what a checksum of parts is made of.
fn check_named(named: &[Named], doc: &UploadDoc) -> Result<(), ApiError> {
    let planned = doc.checksum_algorithm.as_deref().and_then(Algorithm::parse);
    let Some(algorithm) = planned.filter(|_| doc.composite) else { return Ok(()) };
    let Some(part) = named.iter().find(|part| !part.checksums.iter().any(|(given, _)| *given == algorithm)) else {
        return Ok(());
    };
    Err(Code::InvalidRequest.message(format!(
        "The upload was created using a {} checksum. The complete request must include the checksum for each part. It \
         was missing for part {} in the request.",
        algorithm.name().to_ascii_lowercase(),
        part.number
    )))
}

/// Finds the named parts among the uploaded ones and checks what is said of them.
fn choose(named: &[Named], uploaded: Vec<Part>, upload: &Upload) -> Result<Vec<Part>, ApiError> {
    let mut uploaded: HashMap<u32, Part> = uploaded.into_iter().map(|p| (p.number, p)).collect();
    let mut chosen = Vec::with_capacity(named.len());
    for want in named {
        let invalid = || {
            Code::InvalidPart
                .error()
                .field("UploadId", upload.id.clone())
                .field("PartNumber", want.number.to_string())
                .field("ETag", mallee_awswire::texts::clip(&want.etag).into_owned())
        };
        let part = uploaded.remove(&want.number).filter(|p| p.etag == want.etag).ok_or_else(invalid)?;
        if want.checksums.iter().any(|(a, value)| part.checksums.values.get(a.name()) != Some(value)) {
            return Err(invalid());
        }
        chosen.push(part);
    }
    for part in &chosen[..chosen.len().saturating_sub(1)] {
        if part.size < PART_BYTES_MIN {
            return Err(Code::EntityTooSmall
                .error()
                .field("ProposedSize", part.size.to_string())
                .field("MinSizeAllowed", PART_BYTES_MIN.to_string())
                .field("PartNumber", part.number.to_string())
                .field("ETag", part.etag.clone()));
        }
    }
    Ok(chosen)
}

/// The entity tag: MD5 of the parts' MD5s, and their number.
fn composed_etag(parts: &[Part]) -> Result<String, ApiError> {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(hex::decode(&part.etag).map_err(ApiError::internal)?);
    }
    Ok(format!("{}-{}", hex::encode(md5.finalize()), parts.len()))
}

/// The checksum of the object, and whether it is the one the client says.
fn object_checksums(call: &Call, upload: &Upload, parts: &[Part]) -> Result<Checksums, ApiError> {
    let planned = upload.doc.checksum_algorithm.as_deref().and_then(Algorithm::parse);
    let algorithm = planned.unwrap_or(DEFAULT_CHECKSUM);
    let composite = planned.is_some() && upload.doc.composite;
    let kind = if composite { "COMPOSITE" } else { "FULL_OBJECT" };
    if let Some(claimed) = text(&call.headers, "x-amz-checksum-type")
        && claimed != kind
    {
        return Err(Code::InvalidRequest.message(format!(
            "The upload was created using the {kind} checksum mode. The complete request must use the same checksum mode."
        )));
    }
    let of = |part: &Part| part.checksums.values.get(algorithm.name()).cloned();
    let Some(values) = parts.iter().map(of).collect::<Option<Vec<String>>>() else {
        return Err(ApiError::internal("a part has no checksum"));
    };
    let value = if composite {
        algorithm.composite(values.iter().map(String::as_str))
    } else {
        algorithm.combined(values.iter().map(String::as_str).zip(parts.iter().map(|p| p.size)))
    };
    let value = value.ok_or_else(|| ApiError::internal("checksums of parts do not go together"))?;
    for other in Algorithm::ALL {
        let Some(claimed) = text(&call.headers, other.header()) else { continue };
        if other != algorithm {
            return Err(Code::InvalidRequest.message(format!(
                "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
                algorithm.name().to_ascii_lowercase(),
                other.name().to_ascii_lowercase()
            )));
        }
        // Some clients leave out the number of parts.
        if claimed != value && Some(claimed) != value.rsplit_once('-').filter(|_| composite).map(|(v, _)| v) {
            return Err(Code::BadDigest
                .message(format!("The {} you specified did not match the calculated checksum.", other.name())));
        }
    }
    let mut out = Checksums { composite, ..Checksums::default() };
    out.values.insert(algorithm.name().to_owned(), value);
    Ok(out)
}

/// POST /bucket/key?uploadId
pub(crate) async fn complete(mut call: Call, bucket: String, key: String) -> Result<Reply, ApiError> {
    sse::refuse_method(&call.headers)?;
    let customer = call.customer(Side::Own)?;
    let within = call.bucket(&bucket).await?;
    let condition = conditions::write(&call.headers)?;
    // A checksum header is that of the object here, not of this body.
    let body = read_small(&mut call, COMPLETE_XML_BYTES_MAX, false, false).await?;
    let named = parse(&body)?;
    let store = call.s3.engine();
    let info = match store.upload(&bucket, &key, upload_id(&call)).await {
        Ok(upload) => {
            if customer.is_some() {
                sse::same_customer(encryption_of(&upload)?.as_ref(), customer.as_ref())?;
            }
            let uploaded = store.parts(&upload.id, 0, PARTS_MAX as usize).await.map_err(engine)?;
            check_named(&named, &upload.doc)?;
            let parts = choose(&named, uploaded, &upload)?;
            let size: u64 = parts.iter().map(|p| p.size).sum();
            if size > OBJECT_BYTES_MAX {
                return Err(Code::EntityTooLarge.error().field("ProposedSize", size.to_string()));
            }
            if text(&call.headers, "x-amz-mp-object-size").is_some_and(|s| s.parse::<u64>() != Ok(size)) {
                return Err(Code::InvalidRequest
                    .message("The provided 'x-amz-mp-object-size' header does not match what was computed."));
            }
            let etag = composed_etag(&parts)?;
            let checksums = object_checksums(&call, &upload, &parts)?;
            // What a replication began is its.
            let store = match upload.doc.properties.replication {
                Some(_) => replica_writer(&call),
                None => store.clone(),
            };
            let done = store.complete_upload(&upload, parts, etag, checksums, &condition).await;
            match done {
                Err(Error::NoUpload) => repeated(&call, &bucket, &key).await?,
                other => other.map_err(|e| conditional(e, &condition, &key))?,
            }
        }
        Err(Error::NoUpload) => repeated(&call, &bucket, &key).await?,
        Err(error) => return Err(engine(error)),
    };
    let mut w = document("CompleteMultipartUploadResult");
    let location = address(&call.access.head, &call.s3.config().domains, &bucket, &key);
    w.text("Location", &location);
    w.text("Bucket", &bucket);
    w.exact_text("Key", &key);
    w.text("ETag", &reply::quoted(&info.etag));
    reply::write_checksums(&mut w, &info.checksums);
    if !info.checksums.values.is_empty() {
        w.text("ChecksumType", reply::checksum_type(&info.checksums));
    }
    w.close("CompleteMultipartUploadResult");
    let mut response = reply::xml(w);
    reply::set_version(&mut response, shown_version(&within, info.version));
    let encryption = Encryption::from_text(info.properties.encryption.as_deref()).map_err(engine)?;
    sse::describe(&mut response, encryption.as_ref());
    lifecycle::set_expiration(&mut response, &call, &within, &info)?;
    Ok(response)
}

/// A completion that was done already (its reply was lost, the client asks again) finds its result while the version
/// that it wrote is there.
async fn repeated(call: &Call, bucket: &str, key: &str) -> Result<ObjectInfo, ApiError> {
    let id = upload_id(call);
    match call.s3.engine().find(bucket, key, Which::OfUpload(id)).await.map_err(engine)? {
        Some(Found::Object(object)) => Ok(object.info),
        Some(Found::Marker(_)) | None => Err(Code::NoSuchUpload.error().field("UploadId", id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(body: &str) -> Result<usize, Code> {
        parse(format!("<CompleteMultipartUpload>{body}</CompleteMultipartUpload>").as_bytes())
            .map(|p| p.len())
            .map_err(|e| e.code())
    }

    #[test]
    fn bodies() {
        let part = |n: u32| format!("<Part><PartNumber>{n}</PartNumber><ETag>\"e\"</ETag></Part>");
        assert_eq!(code(&format!("{}{}", part(1), part(3))), Ok(2));
        assert_eq!(code(&format!("{}{}", part(3), part(1))), Err(Code::InvalidPartOrder));
        assert_eq!(code(&format!("{}{}", part(1), part(1))), Err(Code::InvalidPartOrder));
        assert_eq!(code(""), Err(Code::MalformedXml));
        assert_eq!(code("<Part><PartNumber>1</PartNumber></Part>"), Err(Code::MalformedXml));
        let with = |n: u32| {
            format!("<Part><PartNumber>{n}</PartNumber><ETag>e</ETag><ChecksumSHA256>c</ChecksumSHA256></Part>")
        };
        let doc = |algorithm: Option<&str>, composite| UploadDoc {
            checksum_algorithm: algorithm.map(str::to_owned),
            composite,
            ..UploadDoc::default()
        };
        let check = |parts: &str, doc| {
            let named = parse(format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>").as_bytes());
            check_named(&named.expect("reads"), &doc).map_err(|e| e.to_string())
        };
        assert_eq!(check(&part(1), doc(None, false)), Ok(()));
        assert_eq!(check(&part(1), doc(Some("CRC32"), false)), Ok(()));
        assert_eq!(check(&with(1), doc(Some("SHA256"), true)), Ok(()));
        let refused = check(&(with(1) + &part(2)), doc(Some("SHA256"), true)).expect_err("one has none");
        assert!(refused.contains("using a sha256 checksum") && refused.contains("for part 2 in"), "{refused}");
        assert!(check(&with(1), doc(Some("CRC32"), true)).is_err(), "of another algorithm");
        let all: String = (1..=10_000).map(part).collect();
        assert_eq!(code(&all), Ok(10_000));
        assert_eq!(code(&format!("{all}{}", part(10_001))), Err(Code::MalformedXml));
    }
}

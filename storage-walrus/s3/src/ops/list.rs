//! ListObjects and ListObjectsV2.

use crate::LIST_ENTRIES_MAX;
use crate::call::Call;
use crate::error::{engine, invalid_argument};
use crate::owners::Owners;
use crate::reply::{self, Reply, document};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mallee_awswire::sigv4::uri_encode;
use mallee_awswire::texts::clip;
use mallee_awswire::{ApiError, XmlWriter};
use mallee_objects::{ListQuery, Listing};
use mallee_runtime::clock::from_unix_ms;

/// How names are written: as they are, or percent-encoded (for keys that XML cannot carry).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Encoding(bool);

impl Encoding {
    pub(crate) fn read(call: &Call) -> Result<Self, ApiError> {
        match call.asked.query.value("encoding-type") {
            None => Ok(Self(false)),
            Some("url") => Ok(Self(true)),
            Some(other) => {
                Err(invalid_argument("Invalid Encoding Method specified in Request", "encoding-type", other))
            }
        }
    }

    pub(crate) fn text(self, w: &mut XmlWriter, element: &str, value: &str) {
        if self.0 {
            let mut encoded = String::with_capacity(value.len());
            uri_encode(&mut encoded, value.as_bytes(), true);
            w.text(element, &encoded);
        } else {
            w.exact_text(element, value);
        }
    }

    pub(crate) fn name(self, w: &mut XmlWriter) {
        if self.0 {
            w.text("EncodingType", "url");
        }
    }
}

/// A page size parameter; larger values are cut, as AWS does.
pub(crate) fn page_size(call: &Call, name: &str) -> Result<usize, ApiError> {
    let asked = call.asked.query.number(name)?;
    Ok(asked.map_or(LIST_ENTRIES_MAX, |n| usize::try_from(n).unwrap_or(LIST_ENTRIES_MAX).min(LIST_ENTRIES_MAX)))
}

/// Checks which other facts of objects are wanted: of those that need a restore, how far that is. None here does, so
/// that nothing is told.
pub(crate) fn check_optional(call: &Call) -> Result<(), ApiError> {
    const NAME: &str = "x-amz-optional-object-attributes";
    let given = call.headers.get_all(NAME).iter().filter_map(|value| value.to_str().ok());
    match given.flat_map(|value| value.split(',')).map(str::trim).find(|name| !matches!(*name, "" | "RestoreStatus")) {
        None => Ok(()),
        Some(other) => Err(invalid_argument("Invalid attribute name specified", NAME, other)),
    }
}

fn contents(w: &mut XmlWriter, page: &Listing, encoding: Encoding, owners: Option<&Owners>) {
    for object in &page.items {
        w.open("Contents");
        encoding.text(w, "Key", &object.key);
        w.timestamp("LastModified", from_unix_ms(object.created_ms));
        w.text("ETag", &reply::quoted(&object.etag));
        for algorithm in object.checksums.values.keys() {
            w.text("ChecksumAlgorithm", algorithm);
        }
        if !object.checksums.values.is_empty() {
            w.text("ChecksumType", reply::checksum_type(&object.checksums));
        }
        w.display("Size", object.size);
        if let Some(owners) = owners {
            owners.write(w, "Owner", &object.owner);
        }
        w.text("StorageClass", &object.class);
        w.close("Contents");
    }
}

/// Writes the common prefixes.
pub(crate) fn common_prefixes(w: &mut XmlWriter, prefixes: &[String], encoding: Encoding) {
    for prefix in prefixes {
        w.open("CommonPrefixes");
        encoding.text(w, "Prefix", prefix);
        w.close("CommonPrefixes");
    }
}

/// GET /bucket
pub(crate) async fn v1(call: Call, bucket: String) -> Result<Reply, ApiError> {
    let limit = page_size(&call, "max-keys")?;
    let encoding = Encoding::read(&call)?;
    check_optional(&call)?;
    let bucket = call.bucket(&bucket).await?;
    let marker = call.asked.query.value("marker").unwrap_or_default();
    let query = ListQuery {
        prefix: call.asked.query.value("prefix").unwrap_or_default().to_owned(),
        delimiter: call.asked.query.value("delimiter").map(str::to_owned),
        after: (!marker.is_empty()).then(|| marker.to_owned()),
        limit,
    };
    let page = call.s3.engine().list_objects(&bucket.name, &query).await.map_err(engine)?;
    call.still(&bucket).await?;
    let mut w = document("ListBucketResult");
    w.text("Name", &bucket.name);
    encoding.text(&mut w, "Prefix", &query.prefix);
    encoding.text(&mut w, "Marker", marker);
    if let (true, Some(_), Some(last)) = (page.truncated, &query.delimiter, &page.last) {
        encoding.text(&mut w, "NextMarker", last);
    }
    w.display("MaxKeys", limit);
    if let Some(delimiter) = &query.delimiter {
        encoding.text(&mut w, "Delimiter", delimiter);
    }
    encoding.name(&mut w);
    w.display("IsTruncated", page.truncated);
    let owners = Owners::of(&call.s3, page.items.iter().map(|object| object.owner.as_str()).collect()).await?;
    contents(&mut w, &page, encoding, Some(&owners));
    common_prefixes(&mut w, &page.prefixes, encoding);
    w.close("ListBucketResult");
    Ok(reply::xml(w))
}

/// GET /bucket?list-type=2
pub(crate) async fn v2(call: Call, bucket: String) -> Result<Reply, ApiError> {
    let limit = page_size(&call, "max-keys")?;
    let encoding = Encoding::read(&call)?;
    check_optional(&call)?;
    let token = match call.asked.query.get("continuation-token") {
        None => None,
        Some(token) => {
            let last =
                URL_SAFE_NO_PAD.decode(token).ok().and_then(|b| String::from_utf8(b).ok()).filter(|l| !l.is_empty());
            let wrong =
                || invalid_argument("The continuation token provided is incorrect", "continuation-token", token);
            Some((token, last.ok_or_else(wrong)?))
        }
    };
    let bucket = call.bucket(&bucket).await?;
    let start_after = call.asked.query.value("start-after");
    let query = ListQuery {
        prefix: call.asked.query.value("prefix").unwrap_or_default().to_owned(),
        delimiter: call.asked.query.value("delimiter").map(str::to_owned),
        after: token.as_ref().map(|(_, last)| last.clone()).or_else(|| start_after.map(str::to_owned)),
        limit,
    };
    let page = call.s3.engine().list_objects(&bucket.name, &query).await.map_err(engine)?;
    call.still(&bucket).await?;
    let mut w = document("ListBucketResult");
    w.text("Name", &bucket.name);
    encoding.text(&mut w, "Prefix", &query.prefix);
    if let Some((token, _)) = &token {
        w.text("ContinuationToken", &clip(token));
    }
    if let (true, Some(last)) = (page.truncated, &page.last) {
        w.text("NextContinuationToken", &URL_SAFE_NO_PAD.encode(last));
    }
    if let Some(start_after) = start_after {
        encoding.text(&mut w, "StartAfter", start_after);
    }
    w.display("KeyCount", page.items.len() + page.prefixes.len());
    w.display("MaxKeys", limit);
    if let Some(delimiter) = &query.delimiter {
        encoding.text(&mut w, "Delimiter", delimiter);
    }
    encoding.name(&mut w);
    w.display("IsTruncated", page.truncated);
    let owners = match call.asked.query.get("fetch-owner") {
        Some(asked) if asked.eq_ignore_ascii_case("true") => {
            Some(Owners::of(&call.s3, page.items.iter().map(|object| object.owner.as_str()).collect()).await?)
        }
        _ => None,
    };
    contents(&mut w, &page, encoding, owners.as_ref());
    common_prefixes(&mut w, &page.prefixes, encoding);
    w.close("ListBucketResult");
    Ok(reply::xml(w))
}

//! ListObjectVersions.

use crate::call::Call;
use crate::error::{engine, invalid_argument};
use crate::ops::list::{Encoding, check_optional, common_prefixes, page_size};
use crate::owners::Owners;
use crate::reply::{self, Reply, document};
use mallee_awswire::{ApiError, XmlWriter};
use mallee_objects::{ListQuery, ListedVersion, Listing, VersionMarker};
use mallee_runtime::clock::from_unix_ms;

/// After which version of the key marker's key the page begins.
fn marker(call: &Call) -> Result<Option<VersionMarker>, ApiError> {
    const NAME: &str = "version-id-marker";
    let Some(text) = call.asked.query.value(NAME) else { return Ok(None) };
    if call.asked.query.value("key-marker").is_none() {
        return Err(invalid_argument("A version-id marker cannot be specified without a key marker.", NAME, text));
    }
    let wrong = || invalid_argument("Invalid version id specified", NAME, text);
    VersionMarker::parse(text).map(Some).ok_or_else(wrong)
}

fn entries(w: &mut XmlWriter, page: &Listing<ListedVersion>, encoding: Encoding, owners: &Owners) {
    for row in &page.items {
        let (listed, element) = (&row.listed, if row.marker { "DeleteMarker" } else { "Version" });
        w.open(element);
        encoding.text(w, "Key", &listed.key);
        w.text("VersionId", &row.version.to_string());
        w.display("IsLatest", row.latest);
        w.timestamp("LastModified", from_unix_ms(listed.created_ms));
        if !row.marker {
            w.text("ETag", &reply::quoted(&listed.etag));
            for algorithm in listed.checksums.values.keys() {
                w.text("ChecksumAlgorithm", algorithm);
            }
            if !listed.checksums.values.is_empty() {
                w.text("ChecksumType", reply::checksum_type(&listed.checksums));
            }
            w.display("Size", listed.size);
        }
        owners.write(w, "Owner", &listed.owner);
        if !row.marker {
            w.text("StorageClass", &listed.class);
        }
        w.close(element);
    }
}

/// GET /bucket?versions
pub(crate) async fn list(call: Call, bucket: String) -> Result<Reply, ApiError> {
    let limit = page_size(&call, "max-keys")?;
    let encoding = Encoding::read(&call)?;
    check_optional(&call)?;
    let after = marker(&call)?;
    let bucket = call.bucket(&bucket).await?;
    let parameter = |name: &str| call.asked.query.value(name);
    let key_marker = parameter("key-marker");
    let query = ListQuery {
        prefix: parameter("prefix").unwrap_or_default().to_owned(),
        delimiter: parameter("delimiter").map(str::to_owned),
        after: key_marker.map(str::to_owned),
        limit,
    };
    let page = call.s3.engine().list_versions(&bucket.name, &query, after).await.map_err(engine)?;
    call.still(&bucket).await?;
    let mut w = document("ListVersionsResult");
    w.text("Name", &bucket.name);
    encoding.text(&mut w, "Prefix", &query.prefix);
    encoding.text(&mut w, "KeyMarker", key_marker.unwrap_or_default());
    w.text("VersionIdMarker", parameter("version-id-marker").unwrap_or_default());
    if page.truncated {
        let last = page.last.as_deref().unwrap_or_default();
        encoding.text(&mut w, "NextKeyMarker", last);
        // Behind a common prefix there is no version to go on from. Of a null version its place is told, which stays
        // what it is when that version goes.
        if let Some(row) = page.items.last().filter(|row| row.listed.key == last) {
            w.text("NextVersionIdMarker", &row.version.mark());
        }
    }
    w.display("MaxKeys", limit);
    if let Some(delimiter) = &query.delimiter {
        encoding.text(&mut w, "Delimiter", delimiter);
    }
    encoding.name(&mut w);
    w.display("IsTruncated", page.truncated);
    let owners = Owners::of(&call.s3, page.items.iter().map(|row| row.listed.owner.as_str()).collect()).await?;
    entries(&mut w, &page, encoding, &owners);
    common_prefixes(&mut w, &page.prefixes, encoding);
    w.close("ListVersionsResult");
    Ok(reply::xml(w))
}

//! GetObjectAttributes.

use crate::call::{Call, shown_version};
use crate::error::invalid_argument;
use crate::headers::text;
use crate::ops::copy::encryption_of;
use crate::reply::{self, Reply, document};
use crate::sse::{self, Side};
use crate::{LIST_ENTRIES_MAX, PARTS_MAX};
use http::HeaderMap;
use mallee_awswire::{ApiError, Code, XmlWriter};
use mallee_objects::{Checksums, Content, Part};

const ATTRIBUTES: &str = "x-amz-object-attributes";
const MAX_PARTS: &str = "x-amz-max-parts";
const MARKER: &str = "x-amz-part-number-marker";

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attribute {
    Etag,
    Checksum,
    ObjectParts,
    StorageClass,
    ObjectSize,
}

const NAMES: &[(&str, Attribute)] = &[
    ("ETag", Attribute::Etag),
    ("Checksum", Attribute::Checksum),
    ("ObjectParts", Attribute::ObjectParts),
    ("StorageClass", Attribute::StorageClass),
    ("ObjectSize", Attribute::ObjectSize),
];

/// What the headers ask for.
fn asked(headers: &HeaderMap) -> Result<Vec<Attribute>, ApiError> {
    let mut asked = Vec::new();
    let values = headers.get_all(ATTRIBUTES).iter().filter_map(|value| value.to_str().ok());
    for name in values.flat_map(|value| value.split(',')).map(str::trim).filter(|name| !name.is_empty()) {
        let known = NAMES.iter().find(|(known, _)| *known == name).map(|(_, attribute)| *attribute);
        let attribute = known.ok_or_else(|| invalid_argument("Invalid attribute name specified.", ATTRIBUTES, name))?;
        if !asked.contains(&attribute) {
            asked.push(attribute);
        }
    }
    if asked.is_empty() {
        return Err(Code::InvalidRequest.message(
            "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty",
        ));
    }
    Ok(asked)
}

/// A number among the headers.
fn number(headers: &HeaderMap, name: &str, max: u32) -> Result<Option<u32>, ApiError> {
    let Some(value) = text(headers, name) else { return Ok(None) };
    let wrong = || invalid_argument(format!("{name} must be an integer between 0 and {max}"), name, value);
    value.parse::<u32>().ok().filter(|n| *n <= i32::MAX.unsigned_abs()).map(Some).ok_or_else(wrong)
}

/// Which of an object's parts are told: how many at most, after which number.
struct Page {
    limit: usize,
    after: u32,
}

/// The parts of a page, and whether others follow.
fn page<'p>(parts: &'p [Part], page: &Page) -> (Vec<&'p Part>, bool) {
    let mut rest: Vec<&Part> = parts.iter().filter(|part| part.number > page.after).take(page.limit + 1).collect();
    let more = rest.len() > page.limit;
    rest.truncate(page.limit);
    (rest, more)
}

fn write_parts(w: &mut XmlWriter, parts: &[Part], wanted: &Page, of: &Checksums) {
    let (told, more) = page(parts, wanted);
    w.open("ObjectParts");
    w.display("IsTruncated", more);
    w.display("MaxParts", wanted.limit);
    w.display("NextPartNumberMarker", told.last().map_or(wanted.after, |part| part.number));
    w.display("PartNumberMarker", wanted.after);
    for part in told {
        w.open("Part");
        w.display("PartNumber", part.number);
        w.display("Size", part.size);
        reply::write_checksums(w, &part.checksums_within(of));
        w.close("Part");
    }
    w.display("PartsCount", parts.len());
    w.close("ObjectParts");
}

/// GET /bucket/key?attributes
pub(crate) async fn get(call: Call, bucket: String, key: String) -> Result<Reply, ApiError> {
    let asked = asked(&call.headers)?;
    let limit = number(&call.headers, MAX_PARTS, PARTS_MAX)?;
    let limit = limit.and_then(|n| usize::try_from(n).ok()).map_or(LIST_ENTRIES_MAX, |n| n.min(LIST_ENTRIES_MAX));
    let wanted = Page { limit, after: number(&call.headers, MARKER, PARTS_MAX)?.unwrap_or_default() };
    let customer = call.customer(Side::Own)?;
    let bucket = call.bucket(&bucket).await?;
    let version = call.version(&bucket)?;
    let object = call.object(&bucket, &key, version).await?;
    sse::check_customer(encryption_of(&object)?.as_ref(), customer.as_ref())?;
    let info = &object.info;
    let mut w = document("GetObjectAttributesResponse");
    let asks = |attribute| asked.contains(&attribute);
    if asks(Attribute::Etag) {
        w.text("ETag", &info.etag);
    }
    if asks(Attribute::Checksum) && !info.checksums.values.is_empty() {
        w.open("Checksum");
        reply::write_checksums(&mut w, &info.checksums);
        w.text("ChecksumType", reply::checksum_type(&info.checksums));
        w.close("Checksum");
    }
    if let (true, Content::Parts(parts)) = (asks(Attribute::ObjectParts), &object.content) {
        write_parts(&mut w, parts, &wanted, &info.checksums);
    }
    if asks(Attribute::StorageClass) {
        w.text("StorageClass", &info.properties.class);
    }
    if asks(Attribute::ObjectSize) {
        w.display("ObjectSize", info.size);
    }
    w.close("GetObjectAttributesResponse");
    let mut response = reply::xml(w);
    reply::set_modified(&mut response, info.created_ms);
    reply::set_version(&mut response, shown_version(&bucket, info.version));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use mallee_objects::BlobId;

    #[test]
    fn what_is_asked() {
        let read = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(ATTRIBUTES, HeaderValue::from_static(value));
            }
            asked(&headers).map_err(|error| error.code())
        };
        let all = [Attribute::ObjectSize, Attribute::Etag, Attribute::Checksum];
        assert_eq!(read(&["ObjectSize, ETag,", "Checksum,ETag"]), Ok(all.to_vec()));
        assert_eq!(read(&[]), Err(Code::InvalidRequest));
        assert_eq!(read(&[" , "]), Err(Code::InvalidRequest));
        assert_eq!(read(&["etag"]), Err(Code::InvalidArgument));
    }

    #[test]
    fn pages_of_parts() {
        let part = |number| Part {
            number,
            size: 1,
            etag: String::new(),
            blob: BlobId::parse(&"0".repeat(32)).expect("an id"),
            checksums: Checksums::default(),
            created_ms: 0,
        };
        let parts = [part(1), part(3), part(7)];
        let told = |limit, after| {
            let (told, more) = page(&parts, &Page { limit, after });
            (told.iter().map(|part| part.number).collect::<Vec<_>>(), more)
        };
        assert_eq!(told(2, 0), (vec![1, 3], true));
        assert_eq!(told(2, 2), (vec![3, 7], false));
        assert_eq!(told(2, 7), (vec![], false));
        assert_eq!(told(0, 0), (vec![], true));
    }
}

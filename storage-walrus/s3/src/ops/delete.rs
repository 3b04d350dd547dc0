//! DeleteObject and DeleteObjects.

use crate::body::read_small;
use crate::call::Call;
use crate::error::{engine, not_implemented};
use crate::names::check_key;
use crate::reply::{self, Reply, document};
use crate::{DELETE_KEYS_MAX, DELETE_XML_BYTES_MAX};
use http::StatusCode;
use mallee_awswire::xml_read::{Element, XmlLimits};
use mallee_awswire::{ApiError, Code};
use mallee_objects::Delete;

/// DELETE /bucket/key
pub(crate) async fn one(call: Call, bucket: String, key: String) -> Result<Reply, ApiError> {
    for name in ["if-match", "x-amz-if-match-last-modified-time", "x-amz-if-match-size"] {
        if call.headers.contains_key(name) {
            return Err(not_implemented("Conditional deletes").field("Header", name));
        }
    }
    check_key(&key)?;
    call.bucket(&bucket).await?;
    call.s3.engine().delete_objects(&bucket, vec![Delete::key(key)]).await.map_err(engine)?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// A key of a batch, and why it cannot be deleted, if so.
type Wanted = (String, Result<(), ApiError>);

/// The keys and whether only errors are wanted.
fn parse(body: &[u8]) -> Result<(Vec<Wanted>, bool), ApiError> {
    let malformed = || Code::MalformedXml.error();
    let root = Element::parse(body, XmlLimits::bytes(DELETE_XML_BYTES_MAX)).map_err(|e| malformed().because(e))?;
    if root.name != "Delete" {
        return Err(malformed());
    }
    let quiet = root.child_text("Quiet").is_some_and(|q| q.trim() == "true");
    let mut keys = Vec::new();
    for object in root.all("Object") {
        let key = object.child_text("Key").filter(|k| !k.is_empty()).ok_or_else(malformed)?;
        let mut verdict = check_key(key);
        for child in &object.children {
            match (child.name.as_str(), child.text.as_str()) {
                ("Key", _) | ("VersionId", "" | "null") => {}
                ("VersionId", _) => verdict = Err(Code::NoSuchVersion.error()),
                ("ETag" | "LastModifiedTime" | "Size", _) => verdict = Err(not_implemented("Conditional deletes")),
                _ => return Err(malformed()),
            }
        }
        keys.push((key.to_owned(), verdict));
    }
    if keys.is_empty() || keys.len() > DELETE_KEYS_MAX {
        return Err(malformed());
    }
    Ok((keys, quiet))
}

/// POST /bucket?delete
pub(crate) async fn batch(mut call: Call, bucket: String) -> Result<Reply, ApiError> {
    call.bucket(&bucket).await?;
    let body = read_small(&mut call, DELETE_XML_BYTES_MAX, true, true).await?;
    let (keys, quiet) = parse(&body)?;
    let wanted = keys.iter().filter(|(_, v)| v.is_ok()).map(|(k, _)| Delete::key(k.as_str())).collect();
    call.s3.engine().delete_objects(&bucket, wanted).await.map_err(engine)?;
    let mut w = document("DeleteResult");
    for (key, verdict) in &keys {
        match verdict {
            Ok(()) if quiet => {}
            Ok(()) => {
                w.open("Deleted");
                w.text("Key", key);
                w.close("Deleted");
            }
            Err(error) => {
                w.open("Error");
                w.text("Key", key);
                w.text("Code", error.code().as_str());
                w.text("Message", error.message());
                w.close("Error");
            }
        }
    }
    w.close("DeleteResult");
    Ok(reply::xml(w))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies() {
        let object = "<Object><Key>a&amp;b</Key></Object>";
        let body = |inner: &str| parse(format!("<Delete>{inner}</Delete>").as_bytes());
        let (keys, quiet) = body(&format!("{object}<Quiet>true</Quiet>")).expect("good");
        assert!(quiet && keys.len() == 1 && keys[0].0 == "a&b");
        assert!(body(&object.repeat(1000)).is_ok());
        assert_eq!(body(&object.repeat(1001)).expect_err("too many").code(), Code::MalformedXml);
        assert!(body("").is_err());
        assert!(body("<Object><Key></Key></Object>").is_err());
        assert!(body("<Object><Key>a</Key><Bad/></Object>").is_err());
        let (keys, _) = body("<Object><Key>a</Key><VersionId>x</VersionId></Object>").expect("good");
        assert!(keys[0].1.is_err());
    }
}

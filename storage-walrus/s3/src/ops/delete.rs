//! DeleteObject and DeleteObjects.

use crate::access_log::Trace;
use crate::authz::Doomed;
use crate::body::read_small;
use crate::call::{Call, shown_name, shown_version, version_name};
use crate::conditions::{self, bare, date_ms};
use crate::error::engine;
use crate::names::check_key;
use crate::ops::get::READ_ATTEMPTS;
use crate::ops::second_factor::Factor;
use crate::props::lock;
use crate::replica::incoming::{Incoming, refuse_conditions, writer as replica_writer};
use crate::reply::{self, DELETE_MARKER, Reply, document};
use crate::{DELETE_KEYS_MAX, DELETE_XML_BYTES_MAX};
use http::StatusCode;
use http::header::HeaderName;
use mallee_awswire::xml_read::{Element, XmlLimits};
use mallee_awswire::{ApiError, Code, XmlWriter};
use mallee_objects::{Bucket, Delete, DeleteIf, Deleted, Error, VersionName};

/// DELETE /bucket/key
pub(crate) async fn one(mut call: Call, bucket: String, key: String) -> Result<Reply, ApiError> {
    let only_if = conditions::delete(&call.headers)?;
    let condition = conditions::delete_name(&only_if);
    check_key(&key)?;
    let mut bucket = call.bucket(&bucket).await?;
    let mut version = call.version(&bucket)?;
    let replica = Incoming::read(&call.headers)?;
    refuse_conditions(replica.as_ref(), only_if != DeleteIf::default())?;
    if replica.is_some() {
        // What is deleted in one store is not in others.
        call.refuse_version()?;
    }
    let is_replica = replica.is_some();
    if let Some(Incoming::Version(replica)) = replica {
        let id = replica.mark(&call, &bucket, &key).await?;
        let mut response = reply::empty(StatusCode::NO_CONTENT);
        reply::set_version(&mut response, Some(id.to_string()));
        reply::set(&mut response, HeaderName::from_static(DELETE_MARKER), "true");
        return Ok(response);
    }
    let bypass_governance = lock::bypass(&call.headers);
    let (mut factor, mut attempt) = (Factor::default(), 1);
    let deleted = loop {
        let mut store = if is_replica { replica_writer(&call) } else { call.s3.engine().clone() };
        if version.is_some() {
            if bucket.docs.mfa_delete() {
                factor.require(&call).await?;
            }
            store = factor.store(&store);
        }
        let delete = Delete { key: key.clone(), version, only_if: only_if.clone(), bypass_governance };
        match store.delete_objects(&bucket.name, vec![delete]).await {
            Ok(deleted) => break deleted,
            Err(Error::Gone) if attempt < READ_ATTEMPTS => {
                bucket = call.look_again(&bucket).await?;
                version = call.version(&bucket)?;
                attempt += 1;
            }
            Err(error) => return Err(engine(error)),
        }
    };
    let mut response = reply::empty(StatusCode::NO_CONTENT);
    let (id, marker) = match deleted.first() {
        Some(Deleted::Marked(id)) => (Some(id.to_string()), true),
        Some(Deleted::Removed { version: id, marker }) => (version.and_then(|_| shown_version(&bucket, *id)), *marker),
        // What is not there is deleted.
        Some(Deleted::Locked) => return Err(engine(Error::Locked)),
        Some(Deleted::Unmet) => return Err(engine(Error::Precondition).field("Condition", condition)),
        Some(Deleted::Nothing) | None => (version.and_then(|name| told(&bucket, name)), false),
    };
    reply::set_version(&mut response, id);
    if marker {
        reply::set(&mut response, HeaderName::from_static(DELETE_MARKER), "true");
    }
    Ok(response)
}

/// The name of a version that is not there, where clients are told of versions.
fn told(bucket: &Bucket, name: VersionName) -> Option<String> {
    (bucket.versioning != mallee_objects::Versioning::Off).then(|| shown_name(name))
}

/// A key of a batch.
#[derive(Debug)]
struct Wanted {
    key: String,
    /// The version it names.
    version: Option<String>,
    /// What must hold of it.
    only_if: DeleteIf,
    /// The entity tag among that, as it is written.
    tag: Option<String>,
    /// Why it cannot be deleted, if so.
    verdict: Result<(), ApiError>,
}

/// For the fuzz targets.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_any(body: &[u8]) {
    drop(parse(body));
}

impl Wanted {
    /// What its right is asked about.
    fn asked(&self) -> Doomed<'_> {
        let DeleteIf { etag, modified_ms, size } = &self.only_if;
        let looks = etag.as_deref().is_some_and(|tag| tag != "*") || modified_ms.is_some() || size.is_some();
        Doomed { key: &self.key, version: self.version.as_deref(), etag: self.tag.as_deref(), looks }
    }
}

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
        let version = object.child_text("VersionId").filter(|id| !id.is_empty()).map(str::to_owned);
        for child in &object.children {
            if !matches!(child.name.as_str(), "Key" | "VersionId" | "ETag" | "LastModifiedTime" | "Size") {
                return Err(malformed());
            }
        }
        let only_if = DeleteIf {
            etag: object.child_text("ETag").map(|tag| bare(tag).to_owned()),
            modified_ms: object
                .child_text("LastModifiedTime")
                .map(|at| date_ms(at).ok_or_else(malformed))
                .transpose()?,
            size: object.child_text("Size").map(|size| size.trim().parse().map_err(|_| malformed())).transpose()?,
        };
        let tag = object.child_text("ETag").map(|tag| tag.trim().to_owned());
        keys.push(Wanted { key: key.to_owned(), version, only_if, tag, verdict: check_key(key) });
    }
    if keys.is_empty() || keys.len() > DELETE_KEYS_MAX {
        return Err(malformed());
    }
    Ok((keys, quiet))
}

/// Deletes what of a batch may be deleted: what came of each key, in their order, or what the engine says of all.
///
/// # Errors
/// `AccessDenied` where the second factor is missing that the bucket asks for.
async fn delete_all(
    call: &Call,
    bucket: &Bucket,
    keys: &[Wanted],
    factor: &mut Factor,
) -> Result<Result<Vec<Result<Deleted, ApiError>>, Error>, ApiError> {
    let batch: Vec<Doomed<'_>> = keys.iter().map(Wanted::asked).collect();
    // First of all: who may nothing learns nothing of the bucket, and spends no code.
    let refused = call.refused_keys(bucket, &batch).await?;
    let names_versions = keys.iter().zip(&refused).any(|(wanted, no)| wanted.version.is_some() && no.is_none());
    let mut store = call.s3.engine().clone();
    if names_versions {
        // As AWS has it: all of them, or none.
        if bucket.docs.mfa_delete() {
            factor.require(call).await?;
        }
        store = factor.store(&store);
    }
    let bypass_governance = lock::bypass(&call.headers);
    let (mut deletes, mut verdicts) = (Vec::with_capacity(keys.len()), Vec::with_capacity(keys.len()));
    for (wanted, refused) in keys.iter().zip(refused) {
        let version = wanted.version.as_deref().map(|id| version_name(bucket, id, "VersionId")).transpose();
        verdicts.push(match (refused, &wanted.verdict, version) {
            (Some(refused), ..) => Err(refused),
            (None, Err(why), _) => Err(why.clone()),
            // In a batch it is one of the keys that there is not.
            (None, Ok(()), Err(_)) => Err(Code::NoSuchVersion.error()),
            (None, Ok(()), Ok(version)) => {
                let (key, only_if) = (wanted.key.clone(), wanted.only_if.clone());
                deletes.push(Delete { key, version, only_if, bypass_governance });
                Ok(())
            }
        });
    }
    let mut deleted = match store.delete_objects(&bucket.name, deletes).await {
        Ok(deleted) => deleted.into_iter(),
        Err(error) => return Ok(Err(error)),
    };
    let results = verdicts.into_iter().map(|verdict| {
        verdict.and_then(|()| match deleted.next().unwrap_or(Deleted::Nothing) {
            Deleted::Locked => Err(engine(Error::Locked)),
            Deleted::Unmet => Err(engine(Error::Precondition)),
            done => Ok(done),
        })
    });
    Ok(Ok(results.collect()))
}

/// POST /bucket?delete
pub(crate) async fn batch(mut call: Call, bucket: String) -> Result<Reply, ApiError> {
    let mut bucket = call.bucket(&bucket).await?;
    let body = read_small(&mut call, DELETE_XML_BYTES_MAX, true, true).await?;
    let (keys, quiet) = parse(&body)?;
    let (mut factor, mut attempt) = (Factor::default(), 1);
    let results = loop {
        match delete_all(&call, &bucket, &keys, &mut factor).await? {
            Ok(results) => break results,
            Err(Error::Gone) if attempt < READ_ATTEMPTS => {
                bucket = call.look_again(&bucket).await?;
                attempt += 1;
            }
            Err(error) => return Err(engine(error)),
        }
    };
    let trace = Trace::of(&call.access.head).filter(|trace| trace.is_wanted());
    let mut w = document("DeleteResult");
    for (wanted, result) in keys.iter().zip(results) {
        if let Some(trace) = trace {
            let error = result.as_ref().err().map(|error: &ApiError| (error.code().as_str(), error.status()));
            trace.batch(&wanted.key, wanted.version.as_deref(), error);
        }
        match result {
            Ok(done) if !quiet => write_deleted(&mut w, wanted, done),
            Ok(_) => {}
            Err(error) => {
                w.open("Error");
                w.exact_text("Key", &wanted.key);
                if let Some(id) = &wanted.version {
                    w.text("VersionId", &mallee_awswire::texts::clip(id));
                }
                w.text("Code", error.code().as_str());
                w.text("Message", error.message());
                w.close("Error");
            }
        }
    }
    w.close("DeleteResult");
    Ok(reply::xml(w))
}

fn write_deleted(w: &mut XmlWriter, wanted: &Wanted, done: Deleted) {
    w.open("Deleted");
    w.exact_text("Key", &wanted.key);
    if let Some(id) = &wanted.version {
        w.text("VersionId", id);
    }
    if let Deleted::Marked(id) | Deleted::Removed { version: id, marker: true } = done {
        w.text("DeleteMarker", "true");
        w.text("DeleteMarkerVersionId", &id.to_string());
    }
    w.close("Deleted");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies() {
        let object = "<Object><Key>a&amp;b</Key></Object>";
        let body = |inner: &str| parse(format!("<Delete>{inner}</Delete>").as_bytes());
        let (keys, quiet) = body(&format!("{object}<Quiet>true</Quiet>")).expect("good");
        assert!(quiet && keys.len() == 1 && keys[0].key == "a&b");
        assert!(body(&object.repeat(1000)).is_ok());
        assert_eq!(body(&object.repeat(1001)).expect_err("too many").code(), Code::MalformedXml);
        assert!(body("").is_err());
        assert!(body("<Object><Key></Key></Object>").is_err());
        assert!(body("<Object><Key>a</Key><Bad/></Object>").is_err());
        let (keys, _) = body("<Object><Key>a</Key><VersionId>x</VersionId></Object>").expect("good");
        assert_eq!(keys[0].version.as_deref(), Some("x"));
        let conditions = "<ETag>\"e\"</ETag><LastModifiedTime>1970-01-01T00:00:05Z</LastModifiedTime><Size>7</Size>";
        let (keys, _) = body(&format!("<Object><Key>a</Key>{conditions}</Object>")).expect("good");
        assert_eq!(keys[0].only_if, DeleteIf { etag: Some("e".to_owned()), modified_ms: Some(5000), size: Some(7) });
        assert!(body("<Object><Key>a</Key><Size>-1</Size></Object>").is_err());
        assert!(body("<Object><Key>a</Key><LastModifiedTime>then</LastModifiedTime></Object>").is_err());
        let (keys, _) = body("<Object><Key>a</Key><VersionId/></Object>").expect("good");
        assert!(keys[0].version.is_none() && keys[0].verdict.is_ok());
    }
}

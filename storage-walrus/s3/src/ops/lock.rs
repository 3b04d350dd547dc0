//! Retention and legal hold of versions, and whether a bucket can have them.

use crate::SMALL_XML_BYTES_MAX;
use crate::body::read_small;
use crate::call::Call;
use crate::error::engine;
use crate::ops::config;
use crate::props::{self, lock};
use crate::reply::{self, Reply, document};
use http::StatusCode;
use mallee_awswire::xml_read::{Element, XmlLimits};
use mallee_awswire::{ApiError, Code};
use mallee_objects::{Bucket, Error, ObjectInfo, Properties, Retention, Versioning};
use mallee_s3_config::{Document as _, ObjectLock, RetentionMode, text};

/// GET /bucket?object-lock
pub(crate) async fn get_configuration(call: Call, bucket: String) -> Result<Reply, ApiError> {
    config::get::<ObjectLock>(call, bucket, Code::ObjectLockConfigurationNotFoundError).await
}

/// PUT /bucket?object-lock
pub(crate) async fn put_configuration(mut call: Call, bucket: String) -> Result<Reply, ApiError> {
    call.bucket(&bucket).await?;
    let lock: ObjectLock = config::from_body(&mut call).await?;
    let check = |bucket: &Bucket| match bucket.versioning {
        Versioning::Enabled => Ok(()),
        Versioning::Off | Versioning::Suspended => Err(Error::State(
            "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration".to_owned(),
        )),
    };
    let put = call.s3.engine().set_document(&bucket, ObjectLock::KIND, "", &text(&lock), &check).await;
    put.map_err(|error| engine(error).field("BucketName", bucket))?;
    Ok(reply::empty(StatusCode::OK))
}

/// The only root of a small body.
fn root(body: &[u8], name: &str) -> Result<Element, ApiError> {
    let malformed = || Code::MalformedXml.error();
    let root = Element::parse(body, XmlLimits::bytes(SMALL_XML_BYTES_MAX)).map_err(|e| malformed().because(e))?;
    if root.name == name { Ok(root) } else { Err(malformed()) }
}

/// The retention that a body asks for; `None`: an empty one, which ends it.
fn parse_retention(body: &[u8]) -> Result<Option<Retention>, ApiError> {
    let malformed = || Code::MalformedXml.error();
    let root = root(body, "Retention")?;
    if root.children.iter().any(|child| !matches!(child.name.as_str(), "Mode" | "RetainUntilDate")) {
        return Err(malformed());
    }
    match (root.child_text("Mode"), root.child_text("RetainUntilDate")) {
        (None, None) => Ok(None),
        (Some(mode), Some(date)) => {
            let mode = RetentionMode::parse(mode.trim()).ok_or_else(malformed)?;
            let until_ms = lock::until(date).ok_or_else(malformed)?;
            Ok(Some(Retention { mode: lock::kept_mode(mode), until_ms }))
        }
        _ => Err(malformed()),
    }
}

fn parse_legal_hold(body: &[u8]) -> Result<bool, ApiError> {
    let malformed = || Code::MalformedXml.error();
    let root = root(body, "LegalHold")?;
    match root.children.as_slice() {
        [status] if status.name == "Status" => lock::legal_hold(status.text.trim()).ok_or_else(malformed),
        _ => Err(malformed()),
    }
}

/// For the fuzz targets.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_any(body: &[u8]) {
    drop(parse_retention(body));
    drop(parse_legal_hold(body));
}

/// The version that the request names, in a bucket with object lock.
async fn locked(call: &Call, bucket: &str, key: &str) -> Result<Properties, ApiError> {
    let bucket = call.bucket(bucket).await?;
    lock::check_enabled(&bucket)?;
    let version = call.version(&bucket)?;
    Ok(call.object(&bucket, key, version).await?.info.properties)
}

/// GET /bucket/key?retention
pub(crate) async fn get_retention(call: Call, bucket: String, key: String) -> Result<Reply, ApiError> {
    let none = || Code::NoSuchObjectLockConfiguration.error().field("Key", key.clone());
    let retention = locked(&call, &bucket, &key).await?.retention.ok_or_else(none)?;
    let mut w = document("Retention");
    w.text("Mode", lock::mode_name(retention.mode));
    w.text("RetainUntilDate", &lock::date(retention.until_ms));
    w.close("Retention");
    Ok(reply::xml(w))
}

/// GET /bucket/key?legal-hold
pub(crate) async fn get_legal_hold(call: Call, bucket: String, key: String) -> Result<Reply, ApiError> {
    let Properties { legal_hold: held, hold_known, .. } = locked(&call, &bucket, &key).await?;
    if !(held || hold_known) {
        return Err(Code::NoSuchObjectLockConfiguration.error().field("Key", key));
    }
    let mut w = document("LegalHold");
    w.text("Status", if held { "ON" } else { "OFF" });
    w.close("LegalHold");
    Ok(reply::xml(w))
}

/// PUT /bucket/key?retention
pub(crate) async fn put_retention(mut call: Call, bucket: String, key: String) -> Result<Reply, ApiError> {
    let bucket = call.bucket(&bucket).await?;
    lock::check_enabled(&bucket)?;
    let version = call.version(&bucket)?;
    let retention = parse_retention(&read_small(&mut call, SMALL_XML_BYTES_MAX, true, true).await?)?;
    let now_ms = call.s3.engine().clock().now_ms();
    lock::check_future(retention, now_ms)?;
    let bypass = lock::bypass(&call.headers);
    // Asked within the transaction: two that lengthen it cannot shorten it.
    let change = |info: &ObjectInfo| {
        let old = info.properties.retention;
        if !Retention::may_change(old, retention, now_ms, bypass) {
            return Err(Error::Locked);
        }
        Ok(Properties { retention, ..info.properties.clone() })
    };
    props::change(&call, &bucket, &key, version, &change).await?;
    Ok(reply::empty(StatusCode::OK))
}

/// PUT /bucket/key?legal-hold
pub(crate) async fn put_legal_hold(mut call: Call, bucket: String, key: String) -> Result<Reply, ApiError> {
    let bucket = call.bucket(&bucket).await?;
    lock::check_enabled(&bucket)?;
    let version = call.version(&bucket)?;
    let legal_hold = parse_legal_hold(&read_small(&mut call, SMALL_XML_BYTES_MAX, true, true).await?)?;
    let change = |info: &ObjectInfo| Ok(Properties { legal_hold, hold_known: true, ..info.properties.clone() });
    props::change(&call, &bucket, &key, version, &change).await?;
    Ok(reply::empty(StatusCode::OK))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_objects::LockMode;

    #[test]
    fn retentions() {
        let read =
            |inner: &str| parse_retention(format!("<Retention>{inner}</Retention>").as_bytes()).map_err(|e| e.code());
        let good = "<Mode>GOVERNANCE</Mode><RetainUntilDate>1970-01-01T00:00:02Z</RetainUntilDate>";
        assert_eq!(read(good), Ok(Some(Retention { mode: LockMode::Governance, until_ms: 2000 })));
        assert_eq!(read(""), Ok(None));
        for bad in [
            "<Mode>GOVERNANCE</Mode>",
            "<RetainUntilDate>1970-01-01T00:00:02Z</RetainUntilDate>",
            "<Mode>abc</Mode><RetainUntilDate>1970-01-01T00:00:02Z</RetainUntilDate>",
            "<Mode>GOVERNANCE</Mode><RetainUntilDate>tomorrow</RetainUntilDate>",
            "<Days>1</Days>",
        ] {
            assert_eq!(read(bad), Err(Code::MalformedXml), "{bad}");
        }
    }

    #[test]
    fn legal_holds() {
        let read =
            |inner: &str| parse_legal_hold(format!("<LegalHold>{inner}</LegalHold>").as_bytes()).map_err(|e| e.code());
        assert_eq!(read("<Status>ON</Status>"), Ok(true));
        assert_eq!(read("<Status>OFF</Status>"), Ok(false));
        for bad in ["", "<Status>abc</Status>", "<Status>ON</Status><Status>OFF</Status>", "<Mode>ON</Mode>"] {
            assert_eq!(read(bad), Err(Code::MalformedXml), "{bad}");
        }
    }
}

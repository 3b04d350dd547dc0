//! GetBucketVersioning and PutBucketVersioning.

use crate::SMALL_XML_BYTES_MAX;
use crate::body::read_small;
use crate::call::Call;
use crate::error::engine;
use crate::ops::get::READ_ATTEMPTS;
use crate::ops::second_factor::Factor;
use crate::reply::{self, Reply, document};
use http::StatusCode;
use mallee_awswire::xml_read::{Element, XmlLimits};
use mallee_awswire::{ApiError, Code};
use mallee_objects::{Error, Versioning};

/// GET /bucket?versioning
pub(crate) async fn get(call: Call, bucket: String) -> Result<Reply, ApiError> {
    let bucket = call.bucket(&bucket).await?;
    let mut w = document("VersioningConfiguration");
    match bucket.versioning {
        // Never set: nothing is said.
        Versioning::Off => {}
        Versioning::Enabled => w.text("Status", "Enabled"),
        Versioning::Suspended => w.text("Status", "Suspended"),
    }
    if bucket.docs.mfa_delete() {
        w.text("MfaDelete", "Enabled");
    }
    w.close("VersioningConfiguration");
    Ok(reply::xml(w))
}

/// What is asked: the versioning, and whether versions are to be deleted only with a second factor.
fn parse(body: &[u8]) -> Result<(Versioning, Option<bool>), ApiError> {
    let malformed = || Code::MalformedXml.error();
    let root = Element::parse(body, XmlLimits::bytes(SMALL_XML_BYTES_MAX)).map_err(|e| malformed().because(e))?;
    if root.name != "VersioningConfiguration" {
        return Err(malformed());
    }
    let (mut status, mut mfa_delete) = (None, None);
    for child in &root.children {
        let text = child.text.trim();
        match (child.name.as_str(), text) {
            ("Status", "Enabled") if status.is_none() => status = Some(Versioning::Enabled),
            ("Status", "Suspended") if status.is_none() => status = Some(Versioning::Suspended),
            ("MfaDelete", "Enabled") if mfa_delete.is_none() => mfa_delete = Some(true),
            ("MfaDelete", "Disabled") if mfa_delete.is_none() => mfa_delete = Some(false),
            _ => return Err(malformed()),
        }
    }
    let status = status.ok_or_else(|| {
        Code::IllegalVersioningConfigurationException.message("The Versioning element must be specified")
    })?;
    Ok((status, mfa_delete))
}

/// For the fuzz targets.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_any(body: &[u8]) {
    drop(parse(body));
}

/// PUT /bucket?versioning
pub(crate) async fn put(mut call: Call, bucket: String) -> Result<Reply, ApiError> {
    let mut found = call.bucket(&bucket).await?;
    let body = read_small(&mut call, SMALL_XML_BYTES_MAX, true, false).await?;
    let (versioning, mfa_delete) = parse(&body)?;
    let mut factor = Factor::default();
    // With a factor, too, it counts what the bucket said: that makes it the root user's to change or not.
    call.s3 = call.s3.unchanged();
    let mut attempt = 1;
    loop {
        let before = found.docs.mfa_delete();
        if mfa_delete.is_some_and(|after| after != before) && !call.caller.is_root_of(&found.account) {
            let text = "MFA delete is changed only by the root user of the account that owns the bucket.";
            return Err(Code::AccessDenied.message(text));
        }
        if before || mfa_delete == Some(true) {
            factor.require(&call).await?;
        }
        match call.s3.engine().set_versioning_and_mfa_delete(&bucket, versioning, mfa_delete).await {
            Ok(()) => return Ok(reply::empty(StatusCode::OK)),
            Err(Error::Gone) if attempt < READ_ATTEMPTS => {
                found = call.look_again(&found).await?;
                attempt += 1;
            }
            Err(error) => return Err(engine(error).field("BucketName", bucket)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies() {
        let body = |inner: &str| {
            parse(format!("<VersioningConfiguration>{inner}</VersioningConfiguration>").as_bytes())
                .map_err(|error| error.code())
        };
        assert_eq!(body("<Status>Enabled</Status>"), Ok((Versioning::Enabled, None)));
        assert_eq!(
            body("<MfaDelete>Disabled</MfaDelete><Status>Suspended</Status>"),
            Ok((Versioning::Suspended, Some(false)))
        );
        let both = body("<Status>Enabled</Status><MfaDelete>Enabled</MfaDelete>");
        assert_eq!(both, Ok((Versioning::Enabled, Some(true))));
        assert_eq!(body(""), Err(Code::IllegalVersioningConfigurationException));
        for bad in ["<Status>enabled</Status>", "<Status/>", "<Other/>", "<MfaDelete>x</MfaDelete>"] {
            assert_eq!(body(bad), Err(Code::MalformedXml), "{bad}");
        }
        assert_eq!(parse(b"<Versioning/>").map_err(|e| e.code()), Err(Code::MalformedXml));
    }
}

//! GetBucketVersioning and PutBucketVersioning.

use crate::SMALL_XML_BYTES_MAX;
use crate::body::read_small;
use crate::call::Call;
use crate::error::{engine, not_implemented};
use crate::reply::{self, Reply, document};
use http::StatusCode;
use mallee_awswire::xml_read::{Element, XmlLimits};
use mallee_awswire::{ApiError, Code};
use mallee_objects::Versioning;

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
    w.close("VersioningConfiguration");
    Ok(reply::xml(w))
}

fn parse(body: &[u8]) -> Result<Versioning, ApiError> {
    let malformed = || Code::MalformedXml.error();
    let root = Element::parse(body, XmlLimits::bytes(SMALL_XML_BYTES_MAX)).map_err(|e| malformed().because(e))?;
    if root.name != "VersioningConfiguration" {
        return Err(malformed());
    }
    let mut status = None;
    for child in &root.children {
        let text = child.text.trim();
        match (child.name.as_str(), text) {
            ("Status", "Enabled") if status.is_none() => status = Some(Versioning::Enabled),
            ("Status", "Suspended") if status.is_none() => status = Some(Versioning::Suspended),
            // What is the case anyway.
            ("MfaDelete", "Disabled") => {}
            ("MfaDelete", "Enabled") => return Err(not_implemented("MFA delete")),
            _ => return Err(malformed()),
        }
    }
    status.ok_or_else(|| {
        Code::IllegalVersioningConfigurationException.message("The Versioning element must be specified")
    })
}

/// PUT /bucket?versioning
pub(crate) async fn put(mut call: Call, bucket: String) -> Result<Reply, ApiError> {
    call.bucket(&bucket).await?;
    let body = read_small(&mut call, SMALL_XML_BYTES_MAX, true, false).await?;
    let versioning = parse(&body)?;
    let set = call.s3.engine().set_versioning(&bucket, versioning).await;
    set.map_err(|e| engine(e).field("BucketName", bucket))?;
    Ok(reply::empty(StatusCode::OK))
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
        assert_eq!(body("<Status>Enabled</Status>"), Ok(Versioning::Enabled));
        assert_eq!(body("<MfaDelete>Disabled</MfaDelete><Status>Suspended</Status>"), Ok(Versioning::Suspended));
        assert_eq!(body("<Status>Enabled</Status><MfaDelete>Enabled</MfaDelete>"), Err(Code::NotImplemented));
        assert_eq!(body(""), Err(Code::IllegalVersioningConfigurationException));
        for bad in ["<Status>enabled</Status>", "<Status/>", "<Other/>", "<MfaDelete>x</MfaDelete>"] {
            assert_eq!(body(bad), Err(Code::MalformedXml), "{bad}");
        }
        assert_eq!(parse(b"<Versioning/>").map_err(|e| e.code()), Err(Code::MalformedXml));
    }
}

//! What another object store answers, and whether asking again may help.

use super::super::{Unreplicated, refused};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use mallee_awswire::texts::clip;
use mallee_awswire::xml_read::{Element, XmlLimits};

/// Bytes of an answer that are looked at.
const BYTES_MAX: usize = 64 * 1024;
/// Errors that are none of the request's own, whatever their status is.
const PASSING: &[&str] = &[
    // What arrived was not what was sent.
    "BadDigest",
    "IncompleteBody",
    "InternalError",
    "OperationAborted",
    "RequestTimeTooSkewed",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    // The bucket is somewhere else, for now.
    "TemporaryRedirect",
    // Of an upload in parts: it begins again.
    "NoSuchUpload",
];

/// An answer of another object store.
#[derive(Debug, Clone)]
pub struct PeerAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, or as much of it as is read.
    pub body: Bytes,
}

impl PeerAnswer {
    /// A header, as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
    }

    fn root(&self) -> Option<Element> {
        Element::parse(&self.body, XmlLimits::bytes(BYTES_MAX)).ok()
    }

    /// The name of the body's root.
    pub(super) fn root_name(&self) -> Option<String> {
        self.root().map(|root| root.name)
    }

    /// The text of an element below the root of the body.
    pub(super) fn element(&self, name: &str) -> Option<String> {
        self.root()?.child_text(name).map(|text| text.trim().to_owned())
    }

    /// The answer itself, if the request was taken. An error may also stand in the body of a success, as that of the end of
    /// an upload.
    pub(super) fn taken(self, store: &str) -> Result<Self, Unreplicated> {
        let root = self.root().filter(|root| root.name == "Error");
        if self.status.is_success() && root.is_none() {
            return Ok(self);
        }
        let text = |name| root.as_ref().and_then(|root| root.child_text(name)).unwrap_or_default().trim().to_owned();
        let (code, message) = (text("Code"), text("Message"));
        let why = format!("the object store {store} answered {} {}: {}", self.status, clip(&code), clip(&message));
        let why = why.trim_end_matches([' ', ':']).to_owned();
        let server = self.status.is_server_error() && self.status != StatusCode::NOT_IMPLEMENTED;
        let busy = matches!(
            self.status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TEMPORARY_REDIRECT
        );
        match server || busy || PASSING.contains(&code.as_str()) {
            true => Err(Unreplicated::Later(why)),
            false => Err(refused(why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(status: u16, body: &'static str) -> Result<(), Unreplicated> {
        let status = StatusCode::from_u16(status).expect("a status");
        let answer = PeerAnswer { status, headers: HeaderMap::new(), body: Bytes::from_static(body.as_bytes()) };
        answer.taken("far").map(drop)
    }

    #[test]
    fn what_passes_and_what_does_not() {
        let refused = |text: &str| Err(Unreplicated::Refused(text.to_owned()));
        let later = |text: &str| Err(Unreplicated::Later(text.to_owned()));
        let store = "the object store far answered";
        assert_eq!(taken(200, ""), Ok(()));
        assert_eq!(taken(204, "no XML <"), Ok(()));
        let denied = "<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code><Message>No.</Message></Error>";
        assert_eq!(taken(403, denied), refused(&format!("{store} 403 Forbidden AccessDenied: No.")));
        assert_eq!(taken(403, ""), refused(&format!("{store} 403 Forbidden")));
        assert_eq!(taken(404, "<html>"), refused(&format!("{store} 404 Not Found")));
        assert_eq!(taken(301, ""), refused(&format!("{store} 301 Moved Permanently")));
        assert_eq!(taken(501, ""), refused(&format!("{store} 501 Not Implemented")));
        assert_eq!(taken(500, ""), later(&format!("{store} 500 Internal Server Error")));
        assert_eq!(taken(429, ""), later(&format!("{store} 429 Too Many Requests")));
        let skewed = "<Error><Code>RequestTimeTooSkewed</Code></Error>";
        assert_eq!(taken(403, skewed), later(&format!("{store} 403 Forbidden RequestTimeTooSkewed")));
        for passing in ["BadDigest", "IncompleteBody"] {
            let body: &'static str = format!("<Error><Code>{passing}</Code></Error>").leak();
            assert_eq!(taken(400, body), later(&format!("{store} 400 Bad Request {passing}")));
        }
        assert_eq!(taken(307, ""), later(&format!("{store} 307 Temporary Redirect")));
        let inside = "<Error><Code>InternalError</Code><Message>Again.</Message></Error>";
        assert_eq!(taken(200, inside), later(&format!("{store} 200 OK InternalError: Again.")));
    }
}

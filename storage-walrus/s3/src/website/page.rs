//! Errors as pages.

use crate::access_log::ErrorCode;
use crate::reply::{self, Reply};
use axum::body::Body;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{Response, StatusCode};
use mallee_awswire::ApiError;
use mallee_awswire::xml::escape;

/// The reply to an error. `document` is what reading the site's error document came to, if it has one.
pub(super) fn error(
    error: &ApiError,
    document: Option<Result<Reply, ApiError>>,
    request_id: &str,
    is_head: bool,
) -> Reply {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (mut reply, failed) = match document {
        Some(Ok(document)) => (document, None),
        Some(Err(failed)) => (Response::new(Body::empty()), Some(failed)),
        None => (Response::new(Body::empty()), None),
    };
    // The document has a type of its own.
    if !reply.headers().contains_key(CONTENT_TYPE) {
        reply::set(&mut reply, CONTENT_TYPE, "text/html; charset=utf-8");
        if !is_head {
            *reply.body_mut() = Body::from(html(error, failed.as_ref(), status, request_id));
        }
    }
    *reply.status_mut() = status;
    reply.extensions_mut().insert(ErrorCode(error.code().as_str()));
    reply::set(&mut reply, HeaderName::from_static("x-amz-error-code"), error.code().as_str());
    reply::set(&mut reply, HeaderName::from_static("x-amz-error-message"), error.message());
    for (name, value) in error.fields() {
        if let Ok(name) = HeaderName::try_from(format!("x-amz-error-detail-{name}")) {
            reply::set(&mut reply, name, value);
        }
    }
    reply
}

fn html(error: &ApiError, failed: Option<&ApiError>, status: StatusCode, request_id: &str) -> String {
    let title = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
    let mut text = format!("<html>\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n<ul>\n");
    list(&mut text, error);
    item(&mut text, "RequestId", request_id);
    item(&mut text, "HostId", request_id);
    text.push_str("</ul>\n");
    if let Some(failed) = failed {
        text.push_str("<h3>An Error Occurred While Attempting to Retrieve a Custom Error Document</h3>\n<ul>\n");
        list(&mut text, failed);
        text.push_str("</ul>\n");
    }
    text.push_str("<hr/>\n</body>\n</html>\n");
    text
}

fn list(text: &mut String, error: &ApiError) {
    item(text, "Code", error.code().as_str());
    item(text, "Message", error.message());
    for (name, value) in error.fields() {
        item(text, name, value);
    }
}

/// Names are ours, values may be anybody's.
fn item(text: &mut String, name: &str, value: &str) {
    text.push_str("<li>");
    text.push_str(name);
    text.push_str(": ");
    escape(text, value);
    text.push_str("</li>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_awswire::Code;

    #[test]
    fn what_a_visitor_wrote_is_no_markup() {
        let error = Code::NoSuchKey.error().field("Key", "<script>alert(1)</script>");
        let page = html(&error, Some(&Code::AccessDenied.error()), StatusCode::NOT_FOUND, "id");
        assert!(page.contains("<li>Key: &lt;script") && !page.contains("<script"), "{page}");
        assert!(page.contains("<title>404 Not Found</title>") && page.contains("Custom Error Document"), "{page}");
    }
}

//! PostObject: what browsers send of a form (<https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html>). Its
//! fields become the headers of a PUT, its file the body, and the rest is as with any other PUT.

mod fields;
mod form;
mod policy;

use crate::PUT_BYTES_MAX;
use crate::asked::Asked;
use crate::auth::{Caller, Identified};
use crate::authz::Access;
use crate::call::{Call, Known};
use crate::dispatch::dispatch;
use crate::error::invalid_argument;
use crate::headers::text;
use crate::operation::Operation;
use crate::reply::{self, Reply};
use crate::service::S3;
use crate::target::{Target, address};
use axum::body::Body;
use fields::Fields;
use form::Form;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LOCATION};
use http::request::Parts;
use http::{Method, StatusCode, Uri};
use mallee_awswire::server::Service;
use mallee_awswire::sigv4::{Body as SignedBody, Fault, Payload, SignedRequest, uri_encode};
use mallee_awswire::{ApiError, Code, Flavour, XmlWriter};
use policy::Policy;
use std::sync::Arc;

/// Whether a request is a form: a POST to a bucket that names no other operation.
pub(crate) fn is_form(head: &Parts, domains: &[String]) -> bool {
    head.method == Method::POST
        && Asked::read(head, domains).is_ok_and(|asked| asked.operation() == Operation::PostObject)
}

/// Answers a form.
///
/// # Errors
/// What is wrong with the form, its policy or its signature; then what PutObject answers.
pub(crate) async fn answer(s3: &S3, head: Arc<Parts>, body: Body) -> Result<Reply, ApiError> {
    let Target::Bucket(bucket) = Target::of(&head, &s3.config().domains)? else {
        return Err(Code::MethodNotAllowed.error());
    };
    let boundary = text(&head.headers, CONTENT_TYPE.as_str()).and_then(form::boundary);
    let boundary = boundary.ok_or_else(|| {
        let condition = "Bucket POST must be of the enclosure-type multipart/form-data";
        Code::PreconditionFailed.error().field("Condition", condition)
    })?;
    if let Some(value) = text(&head.headers, AUTHORIZATION.as_str()) {
        let kind = value.split(' ').next().unwrap_or_default();
        return Err(invalid_argument(
            "Only one auth mechanism allowed; a form is signed by its fields.",
            "Authorization",
            kind,
        ));
    }
    let mut form = Form::new(body, &boundary);
    let fields = form.fields().await?;
    let now = s3.engine().clock().now();
    let key = fields.key()?.to_owned();
    let (identity, claim, range) = match fields.signed()? {
        None => (s3.nobody(), None, 0..=PUT_BYTES_MAX),
        Some(signed) => {
            let request = SignedRequest::new(&head, SignedBody::Policy(&signed), &Service::S3);
            let identified = s3.authority().identify(&request, now).await;
            let identified = identified.and_then(|known| known.ok_or(Fault::Missing));
            let Identified { identity, claim, .. } = identified.map_err(|fault| fault.to_api(Flavour::S3))?;
            let range = Policy::read(signed.policy)?.check(&fields, &bucket, now)?;
            (identity, Some(claim), *range.start()..=PUT_BYTES_MAX.min(*range.end()))
        }
    };
    if let Some(caller) = identity.caller() {
        s3.know(caller).await?;
    }
    let headers = fields.headers(&head.headers)?;
    let region = claim.as_ref().map(|claim| claim.region.clone()).filter(|region| !region.is_empty());
    let known = Known {
        caller: identity.caller().cloned().unwrap_or_else(Caller::anonymous),
        region: region.unwrap_or_else(|| s3.config().region.clone()),
        asked: Arc::new(Asked::of_object(Operation::PostObject, bucket.clone(), key.clone(), &headers)),
        headers,
        payload: Payload::Unsigned,
        head: false,
        access: Arc::new(Access { identity, head: head.clone(), claim }),
    };
    let mut call = Call::new(s3.clone(), known, Body::from_stream(form.into_file(range)));
    call.authorize().await?;
    let stored = dispatch(call).await?;
    let address = address(&head, &s3.config().domains, &bucket, &key);
    Ok(said(stored, &fields, &address, &bucket, &key))
}

/// The reply to a form: as it wants it.
fn said(mut reply: Reply, fields: &Fields, address: &str, bucket: &str, key: &str) -> Reply {
    let etag = reply.headers().get(ETAG).and_then(|etag| etag.to_str().ok()).unwrap_or_default().to_owned();
    reply::set(&mut reply, LOCATION, address);
    let wanted = fields.get("success_action_redirect").or_else(|| fields.get("redirect"));
    if let Some(to) = wanted.and_then(|to| redirect(to, bucket, key, &etag)) {
        *reply.status_mut() = StatusCode::SEE_OTHER;
        reply::set(&mut reply, LOCATION, &to);
        return reply;
    }
    match fields.get("success_action_status") {
        Some("200") => {}
        Some("201") => {
            let mut w = XmlWriter::document();
            w.open("PostResponse");
            w.text("Location", address);
            w.text("Bucket", bucket);
            w.text("Key", key);
            w.text("ETag", &etag);
            w.close("PostResponse");
            *reply.status_mut() = StatusCode::CREATED;
            reply.headers_mut().remove(CONTENT_LENGTH);
            reply::set(&mut reply, CONTENT_TYPE, "application/xml");
            *reply.body_mut() = Body::from(w.finish());
        }
        _ => {
            *reply.status_mut() = StatusCode::NO_CONTENT;
            reply.headers_mut().remove(CONTENT_LENGTH);
        }
    }
    reply
}

/// Where a form sends its browser afterwards; none if that is no address.
fn redirect(to: &str, bucket: &str, key: &str, etag: &str) -> Option<String> {
    let uri: Uri = to.parse().ok()?;
    uri.authority().filter(|_| matches!(uri.scheme_str(), Some("http" | "https")))?;
    let mut to = to.split('#').next().unwrap_or_default().to_owned();
    let mut before = if uri.query().is_some() { "&" } else { "?" };
    for (name, value) in [("bucket", bucket), ("key", key), ("etag", etag)] {
        to.extend([before, name, "="]);
        uri_encode(&mut to, value.as_bytes(), false);
        before = "&";
    }
    Some(to)
}

/// For the fuzz targets: a form's fields by name, and its file.
#[cfg(feature = "fuzzing")]
pub(crate) async fn read_any(
    content_type: &str,
    pieces: Vec<bytes::Bytes>,
) -> Result<(Vec<String>, Vec<u8>), ApiError> {
    use futures::TryStreamExt as _;

    let boundary = form::boundary(content_type).ok_or_else(|| Code::PreconditionFailed.error())?;
    let pieces = pieces.into_iter().map(Ok::<_, std::convert::Infallible>);
    let mut form = Form::new(Body::from_stream(futures::stream::iter(pieces)), &boundary);
    let fields = form.fields().await?;
    let names = fields.names().map(str::to_owned).collect();
    drop(fields.key());
    drop(fields.headers(&http::HeaderMap::new()));
    if let Ok(Some(signed)) = fields.signed() {
        drop(Policy::read(signed.policy));
    }
    let file = form.into_file(0..=u64::MAX);
    let whole = file.try_fold(Vec::new(), |mut whole, piece| async move {
        whole.extend_from_slice(&piece);
        Ok(whole)
    });
    Ok((names, whole.await?))
}

/// For the fuzz targets: a policy, and what it says of fields.
#[cfg(feature = "fuzzing")]
pub(crate) fn policy_of_any(text: &str, given: &[(String, String)], now: time::OffsetDateTime) -> Result<(), ApiError> {
    let mut fields = Fields::default();
    for (name, value) in given {
        fields.add(name, value)?;
    }
    Policy::read(text)?.check(&fields, "bucket", now).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_browsers_go_afterwards() {
        let to = |text| redirect(text, "b", "a k", "\"e\"");
        assert_eq!(to("http://h/x").as_deref(), Some("http://h/x?bucket=b&key=a%20k&etag=%22e%22"));
        assert_eq!(to("https://h/?q=1").as_deref(), Some("https://h/?q=1&bucket=b&key=a%20k&etag=%22e%22"));
        for bad in ["", "/x", "javascript:alert(1)", "ftp://h/", "http://h/\r\nx: y"] {
            assert_eq!(to(bad), None, "{bad}");
        }
    }
}

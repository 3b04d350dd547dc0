//! Query requests: the signature is among the parameters, and all parameters are signed.

use super::{Said, Stamp, Unproved, host, time};
use crate::server::Service;
use crate::sigv4::{Body, Fault, Payload, Placement, SignedRequest, canonical_query};
use http::header::AUTHORIZATION;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

const NAMES: [&str; 7] =
    ["AWSAccessKeyId", "Expires", "SecurityToken", "Signature", "SignatureMethod", "SignatureVersion", "Timestamp"];
/// The services that have ever taken it. A body that is not a form would not be signed: JSON stays out.
const SERVICES: [Service; 3] = [Service::Ec2, Service::Iam, Service::Sts];

fn name(part: &str) -> Cow<'_, str> {
    percent_decode_str(part.split('=').next().unwrap_or_default()).decode_utf8_lossy()
}

fn body<'a>(req: &SignedRequest<'a>) -> Option<&'a str> {
    match req.body {
        Body::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
        Body::Stream | Body::Policy(_) => None,
    }
}

fn parts<'a>(req: &SignedRequest<'a>) -> impl Iterator<Item = &'a str> {
    req.query.split('&').chain(body(req).unwrap_or_default().split('&')).filter(|part| !part.is_empty())
}

pub(super) fn is_signed(req: &SignedRequest<'_>) -> bool {
    let decides = |part: &str| matches!(&*name(part), "AWSAccessKeyId" | "SignatureVersion");
    // What has the header is of version 4; there these are parameters like others, and are signed.
    !req.headers.contains_key(AUTHORIZATION) && parts(req).any(decides)
}

pub(super) fn read(req: &SignedRequest<'_>) -> Result<Unproved, Fault> {
    if !SERVICES.iter().any(|service| service.name() == req.service) {
        return Err(Fault::Old(format!("Signature version 2 is not accepted by the service {}", req.service)));
    }
    let Some(body) = body(req) else {
        return Err(Fault::Old("The request body is not UTF-8".to_owned()));
    };
    let mut found: [Option<String>; 7] = Default::default();
    for part in parts(req) {
        let name = name(part);
        let Some(i) = NAMES.iter().position(|n| *n == name) else { continue };
        let value = part.split_once('=').map_or("", |(_, value)| value).replace('+', "%20");
        let value = percent_decode_str(&value).decode_utf8();
        let value = value.map_err(|_| Fault::Old(format!("{} is not UTF-8", NAMES[i])))?;
        if found[i].replace(value.into_owned()).is_some() {
            return Err(Fault::Duplicate(NAMES[i]));
        }
    }
    let [key, expires, session_token, signature, method, version, timestamp] = found;
    let missing = |name: &str| Fault::Old(format!("Request must contain the parameter {name}"));
    let key = key.ok_or_else(|| missing("AWSAccessKeyId"))?;
    let signature = signature.ok_or_else(|| missing("Signature"))?;
    match version.as_deref() {
        Some("2") => {}
        None => return Err(missing("SignatureVersion")),
        Some(_) => return Err(Fault::Old("SignatureVersion must be 2".to_owned())),
    }
    // In base64, without counting what it decodes to: the length of the text is the method's.
    let length = match method.as_deref() {
        Some("HmacSHA256") => 44,
        Some("HmacSHA1") => 28,
        None => return Err(missing("SignatureMethod")),
        Some(_) => return Err(Fault::Old("SignatureMethod must be HmacSHA256 or HmacSHA1".to_owned())),
    };
    if signature.len() != length {
        return Err(Fault::Old("The signature is not of its SignatureMethod".to_owned()));
    }
    let read = |name: &str, text: &str| {
        let text = crate::texts::clip(text);
        time::iso(&text).ok_or_else(|| Fault::Old(format!("{name} must be in ISO-8601 format, not '{text}'")))
    };
    let time = match (&timestamp, &expires) {
        (Some(at), None) => Stamp::Signed(read("Timestamp", at)?),
        (None, Some(end)) => Stamp::Ends(read("Expires", end)?),
        _ => return Err(Fault::Old("Request must contain exactly one of Timestamp and Expires".to_owned())),
    };
    let string_to_sign = format!(
        "{}\n{}\n{}\n{}",
        req.method,
        host(req)?.to_ascii_lowercase(),
        if req.path.is_empty() { "/" } else { req.path },
        canonical_query(&[req.query, body].join("&"), "Signature")
    );
    let in_query = req.query.split('&').any(|part| name(part) == "Signature");
    let placement = if in_query { Placement::Query { expires: 0 } } else { Placement::Header };
    Said { access_key_id: &key, session_token, signature: &signature, time, placement }.with(
        req,
        vec![string_to_sign],
        Payload::Verified,
    )
}

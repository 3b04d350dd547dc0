//! S3 requests: `Authorization: AWS KEY:SIGNATURE`, or `AWSAccessKeyId`, `Expires` and `Signature` in the query string.

use super::{Said, Stamp, Unproved, time};
use crate::sigv4::{Fault, Payload, Placement, SignedRequest, is_instruction, parse_hash, single};
use http::header::AUTHORIZATION;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Parameters that are signed.
const SIGNED: &[&str] = &[
    "accelerate",
    "acl",
    "analytics",
    "cors",
    "defaultObjectAcl",
    "delete",
    "inventory",
    "lifecycle",
    "location",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "partNumber",
    "policy",
    "replication",
    "requestPayment",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "select",
    "select-type",
    "storageClass",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
];
/// Parameters that are not, and that change no more than which part of a list is given. Any other is refused: whoever
/// sees a request could add it.
const UNSIGNED: &[&str] = &[
    "AWSAccessKeyId",
    "Expires",
    "Signature",
    "bucket-region",
    "content-md5",
    "content-type",
    "continuation-token",
    "delimiter",
    "encoding-type",
    "fetch-owner",
    "key-marker",
    "list-type",
    "marker",
    "max-buckets",
    "max-keys",
    "max-parts",
    "max-uploads",
    "part-number-marker",
    "prefix",
    "start-after",
    "upload-id-marker",
    "version-id-marker",
    "x-amz-security-token",
    "x-id",
];
const TOKEN: &str = "x-amz-security-token";

fn decode(text: &str) -> Result<Cow<'_, str>, Fault> {
    percent_decode_str(text).decode_utf8().map_err(|_| Fault::Old("A parameter is not UTF-8".to_owned()))
}

fn pairs<'a>(req: &SignedRequest<'a>) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
    let parts = req.query.split('&').filter(|part| !part.is_empty());
    parts.map(|part| part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value))))
}

fn in_header<'a>(req: &SignedRequest<'a>) -> Option<&'a str> {
    req.headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("AWS ")
}

fn in_query(req: &SignedRequest<'_>) -> bool {
    pairs(req).any(|(name, _)| name == "AWSAccessKeyId")
}

pub(super) fn is_signed(req: &SignedRequest<'_>) -> bool {
    in_header(req).is_some() || in_query(req)
}

pub(super) fn read(req: &SignedRequest<'_>) -> Result<Unproved, Fault> {
    single(req.headers, "authorization")?;
    // Version 2 signs no headers but AWS's: whoever sees a request could add them.
    if let Some(name) = req.headers.keys().find(|name| is_instruction(name.as_str())) {
        return Err(Fault::Unsigned(name.as_str().to_owned()));
    }
    let header_token = single(req.headers, TOKEN)?.map(str::to_owned);
    match (in_header(req), in_query(req)) {
        (Some(_), true) => Err(super::two_signatures()),
        (None, true) if req.headers.contains_key(AUTHORIZATION) => Err(super::two_signatures()),
        (Some(text), false) => {
            let Some((access_key_id, signature)) = text.split_once(':') else {
                let text = "AWS authorization header is invalid. Expected AwsAccessKeyId:signature";
                return Err(Fault::Old(text.to_owned()));
            };
            let (date, stamp) = match (single(req.headers, "x-amz-date")?, single(req.headers, "date")?) {
                (Some(text), _) => ("", text),
                (None, Some(text)) => (text, text),
                (None, None) => return Err(no_date()),
            };
            let time = Stamp::Signed(time::http(stamp).ok_or_else(no_date)?);
            let strings = strings_to_sign(req, date, None)?;
            let placement = Placement::Header;
            let said = Said { access_key_id, session_token: header_token, signature, time, placement };
            said.with(req, strings, payload(req)?)
        }
        (None, _) => {
            let (mut key, mut expires, mut signature, mut token) = (None, None, None, None);
            for (name, value) in pairs(req) {
                let (slot, name) = match name {
                    "AWSAccessKeyId" => (&mut key, "AWSAccessKeyId"),
                    "Expires" => (&mut expires, "Expires"),
                    "Signature" => (&mut signature, "Signature"),
                    TOKEN => (&mut token, TOKEN),
                    _ => continue,
                };
                if slot.replace(decode(value.unwrap_or_default())?).is_some() {
                    return Err(Fault::Duplicate(name));
                }
            }
            let (Some(key), Some(expires), Some(signature)) = (key, expires, signature) else {
                let text = "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters";
                return Err(Fault::Old(text.to_owned()));
            };
            if token.is_some() && header_token.is_some() {
                return Err(Fault::Duplicate(TOKEN));
            }
            let end = time::epoch(&expires).ok_or_else(|| {
                let text = crate::texts::clip(&expires);
                Fault::Old(format!("Invalid date (should be seconds since epoch): {text}"))
            })?;
            let strings = strings_to_sign(req, &expires, token.as_deref())?;
            let session_token = token.map(Cow::into_owned).or(header_token);
            let said = Said {
                access_key_id: &key,
                session_token,
                signature: &signature,
                time: Stamp::Ends(end),
                placement: Placement::Query { expires: 0 },
            };
            said.with(req, strings, payload(req)?)
        }
    }
}

fn no_date() -> Fault {
    Fault::Old("AWS authentication requires a valid Date or x-amz-date header".to_owned())
}

/// The ways to write the resource that clients have: a bucket's path with a slash at its end, though the request has
/// none, and without what only names the service. They mean the same.
fn resources(req: &SignedRequest<'_>) -> Vec<String> {
    if let Some(bucket) = req.host_bucket {
        return vec![format!("/{bucket}{}", req.path)];
    }
    let prefix = crate::server::route(req.path, req.query, req.headers, None).prefix;
    let (whole, rest) = (req.path, req.path.get(prefix..).unwrap_or_default());
    let mut ways = vec![whole.to_owned()];
    if prefix > 0 {
        ways.push(rest.to_owned());
    }
    let is_bucket = rest.len() > 1 && rest.rfind('/') == Some(0);
    for at in 0..ways.len() {
        if ways[at].is_empty() {
            ways[at].push('/');
        } else if is_bucket {
            ways.push(format!("{}/", ways[at]));
        }
    }
    ways
}

/// `date` is the line of the time; a token in the query string is signed as if it were a header.
fn strings_to_sign(req: &SignedRequest<'_>, date: &str, token: Option<&str>) -> Result<Vec<String>, Fault> {
    let mut headers: BTreeMap<&str, String> = BTreeMap::new();
    for name in req.headers.keys().map(http::HeaderName::as_str).filter(|name| name.starts_with("x-amz-")) {
        let mut values = Vec::new();
        for value in req.headers.get_all(name) {
            let value = std::str::from_utf8(value.as_bytes());
            values.push(value.map_err(|_| Fault::Old(format!("The header '{name}' is not UTF-8")))?.trim());
        }
        headers.insert(name, values.join(","));
    }
    if let Some(token) = token {
        headers.insert(TOKEN, token.to_owned());
    }
    let md5 = single(req.headers, "content-md5")?.unwrap_or_default().trim();
    let content_type = single(req.headers, "content-type")?.unwrap_or_default().trim();
    let mut before = format!("{}\n{md5}\n{content_type}\n{date}\n", req.method);
    for (name, value) in headers {
        before.extend([name, ":", &value, "\n"]);
    }
    let mut signed = Vec::new();
    for (name, value) in pairs(req) {
        if SIGNED.contains(&name) {
            signed.push((name, value.map(decode).transpose()?));
        } else if !UNSIGNED.contains(&name) {
            let name = crate::texts::clip(name);
            return Err(Fault::Old(format!("Signature version 2 does not cover the parameter '{name}'")));
        }
    }
    signed.sort_by_key(|(name, _)| *name);
    let mut after = String::new();
    for (i, (name, value)) in signed.into_iter().enumerate() {
        after.extend([if i == 0 { "?" } else { "&" }, name]);
        if let Some(value) = value {
            after.extend(["=", &value]);
        }
    }
    Ok(resources(req).into_iter().map(|resource| format!("{before}{resource}{after}")).collect())
}

/// The signature says nothing of the body, but its sender may have, in a signed header.
fn payload(req: &SignedRequest<'_>) -> Result<Payload, Fault> {
    match single(req.headers, "x-amz-content-sha256")? {
        None | Some("UNSIGNED-PAYLOAD") => Ok(Payload::Unsigned),
        Some(hash) => parse_hash(hash).map(Payload::Sha256),
    }
}

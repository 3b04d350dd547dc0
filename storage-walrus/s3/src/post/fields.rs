//! The fields of a form, and what a `PUT` of its file would have as headers.

use crate::FORM_FIELDS_BYTES_MAX;
use crate::error::invalid_argument;
use crate::headers::text as header_text;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use mallee_awswire::sigv4::{PolicySeal, SignedPolicy, uri_encode};
use mallee_awswire::{ApiError, Code};
use mallee_s3_config::{Tagging, parse};
use std::collections::BTreeMap;

/// What stands for the name of the file that the user chose.
const FILENAME: &str = "${filename}";
/// Fields of the signature.
const OF_SIGNATURE: &[&str] =
    &["x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature", "x-amz-security-token"];
/// Fields that are headers of the object, besides those that begin with `x-amz-`.
const HEADERS: &[&str] = &[
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-md5",
    "content-type",
    "expires",
];
/// Headers of the request itself that count for the file too.
const PASSED: &[&str] = &["x-amz-expected-bucket-owner", "x-amz-request-payer"];

/// The fields of a form by their names in lower case.
#[derive(Debug, Default)]
pub(super) struct Fields(BTreeMap<String, String>);

impl Fields {
    /// Adds a field.
    ///
    /// # Errors
    /// `InvalidArgument` when it is there already.
    pub(super) fn add(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        let key = name.to_ascii_lowercase();
        if self.0.insert(key, value.to_owned()).is_some() {
            return Err(invalid_argument("POST requires exactly one value of each field.", name, value));
        }
        Ok(())
    }

    /// Puts the file's name where fields leave room for it: without the folders that some browsers tell.
    ///
    /// # Errors
    /// `MaxPostPreDataLengthExceededError` where fields would grow beyond what a form may have: a long name in a
    /// thousand places is not made.
    pub(super) fn set_filename(&mut self, filename: &str) -> Result<(), ApiError> {
        let name = filename.rsplit(['/', '\\']).next().unwrap_or_default();
        let mut grown: usize = 0;
        for (field, value) in &mut self.0 {
            let places = value.matches(FILENAME).count();
            // What is signed stays as it is.
            if field == "policy" || places == 0 {
                continue;
            }
            grown = grown.saturating_add(value.len()).saturating_add(places.saturating_mul(name.len()));
            if grown > FORM_FIELDS_BYTES_MAX {
                return Err(Code::MaxPostPreDataLengthExceededError.error());
            }
            *value = value.replace(FILENAME, name);
        }
        Ok(())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn need(&self, field: &str, name: &str) -> Result<&str, ApiError> {
        let text = format!(
            "Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the fields."
        );
        self.get(field).ok_or_else(|| invalid_argument(text, name, ""))
    }

    /// The key of the object.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub(super) fn key(&self) -> Result<&str, ApiError> {
        match self.need("key", "key")? {
            "" => Err(invalid_argument("User key must have a length greater than 0.", "key", "")),
            key => Ok(key),
        }
    }

    /// The policy and its signature; none of a form that nobody signed.
    ///
    /// # Errors
    /// `InvalidArgument` for half a signature.
    pub(super) fn signed(&self) -> Result<Option<SignedPolicy<'_>>, ApiError> {
        let is_v4 = ["x-amz-algorithm", "x-amz-credential", "x-amz-signature"].iter().any(|f| self.get(f).is_some());
        let is_v2 = self.get("awsaccesskeyid").is_some() || self.get("signature").is_some();
        if !is_v4 && !is_v2 && self.get("policy").is_none() {
            return Ok(None);
        }
        if is_v4 && is_v2 {
            let text = "Only one auth mechanism allowed; there is more than one signature";
            return Err(invalid_argument(text, "signature", ""));
        }
        let policy = self.need("policy", "policy")?;
        let seal = if is_v4 {
            PolicySeal::V4 {
                algorithm: self.need("x-amz-algorithm", "X-Amz-Algorithm")?,
                credential: self.need("x-amz-credential", "X-Amz-Credential")?,
                date: self.need("x-amz-date", "X-Amz-Date")?,
                signature: self.need("x-amz-signature", "X-Amz-Signature")?,
            }
        } else {
            PolicySeal::V2 {
                access_key_id: self.need("awsaccesskeyid", "AWSAccessKeyId")?,
                signature: self.need("signature", "Signature")?,
            }
        };
        Ok(Some(SignedPolicy { policy, seal, session_token: self.get("x-amz-security-token") }))
    }

    /// The headers that a `PUT` of the file would have.
    ///
    /// # Errors
    /// `InvalidArgument` for what no header can be; `MalformedXML` and the like of tags.
    pub(super) fn headers(&self, request: &HeaderMap) -> Result<HeaderMap, ApiError> {
        let mut headers = HeaderMap::new();
        let mut set = |name: &str, value: &str| {
            let wrong = || invalid_argument("A form field cannot have this value.", name, value);
            let header = HeaderName::try_from(name).map_err(|_| wrong())?;
            headers.insert(header, HeaderValue::from_bytes(value.as_bytes()).map_err(|_| wrong())?);
            Ok::<_, ApiError>(())
        };
        for (name, value) in &self.0 {
            match name.as_str() {
                "acl" => set("x-amz-acl", value)?,
                "tagging" => set("x-amz-tagging", &tagging(value)?)?,
                // They would make another request of it, or say how its body travels.
                "x-amz-copy-source" | "x-amz-trailer" | "x-amz-decoded-content-length" | "x-amz-content-sha256" => {
                    return Err(invalid_argument("A form cannot have this field.", name, value));
                }
                _ if OF_SIGNATURE.contains(&name.as_str()) => {}
                _ if name.starts_with("x-amz-") || HEADERS.contains(&name.as_str()) => set(name, value)?,
                _ => {}
            }
        }
        for name in PASSED {
            if let Some(value) = header_text(request, name) {
                set(name, value)?;
            }
        }
        Ok(headers)
    }
}

/// Tags as the header has them.
fn tagging(xml: &str) -> Result<String, ApiError> {
    let Tagging { tags } = parse(xml.as_bytes()).map_err(|error| match error.code() {
        Code::MalformedXml => Code::MalformedXml.error(),
        _ => error,
    })?;
    let mut text = String::new();
    for (name, value) in &tags {
        if !text.is_empty() {
            text.push('&');
        }
        uri_encode(&mut text, name.as_bytes(), false);
        text.push('=');
        uri_encode(&mut text, value.as_bytes(), false);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A form's fields are in its policy, but its own headers are in no signature; and of those of ours it has none.
    #[test]
    fn a_form_brings_no_headers_of_replicas() {
        let names = ["", "-version", "-time", "-etag", "-list", "-change"].map(|end| format!("x-mallee-replica{end}"));
        let (mut fields, mut request) = (Fields::default(), HeaderMap::new());
        fields.add("x-amz-meta-a", "b").expect("a field");
        for name in &names {
            fields.add(name, "x").expect("a field");
            request.insert(HeaderName::try_from(name).expect("a name"), HeaderValue::from_static("x"));
        }
        request.insert("x-amz-acl", HeaderValue::from_static("public-read"));
        let headers = fields.headers(&request).expect("headers");
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-amz-meta-a"]);
        assert!(!crate::replica::incoming::is_replica(&headers));
    }
}

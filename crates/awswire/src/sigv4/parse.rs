//! The signature's own fields, from the `Authorization` header or from the query string.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use time::{Date, Month, OffsetDateTime, Time};

use super::fault::Fault;

/// Longest life of a presigned URL, in seconds (seven days).
pub const MAX_PRESIGN_SECONDS: u32 = 604_800;
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Longest `Authorization` header read, in bytes.
const MAX_AUTHORIZATION_BYTES: usize = 8_192;

/// Where the signature stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// In the `Authorization` header.
    Header,
    /// In the query string, good for so many seconds from its date.
    Query {
        /// `X-Amz-Expires`
        expires: u32,
    },
    /// In the fields of a form, whose policy it is of.
    Form,
}

/// Which signature it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureVersion {
    /// [Version 2](crate::sigv2): it has no scope and no region.
    V2,
    /// Version 4.
    V4,
}

/// What a request says of its own signature; nothing of it is proved yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Which signature it is.
    pub version: SignatureVersion,
    /// Access key id.
    pub access_key_id: String,
    /// Day of the scope, `YYYYMMDD`; empty in version 2.
    pub date: String,
    /// Region of the scope; empty in version 2.
    pub region: String,
    /// Service of the scope.
    pub service: String,
    /// Names of the signed headers: lower case, sorted, joined with `;`.
    pub signed_headers: String,
    /// The signature; one of 20 bytes, which version 2 has, is followed by zeros.
    pub signature: [u8; 32],
    /// The request's time; of a request of version 2 that says only when it ends, that.
    pub timestamp: OffsetDateTime,
    /// That as it was written, `YYYYMMDDTHHMMSSZ`; empty where only the end is told.
    pub timestamp_text: String,
    /// Session token.
    pub session_token: Option<String>,
    /// Header, query or form.
    pub placement: Placement,
}

impl Claim {
    /// `DATE/REGION/SERVICE/aws4_request`
    #[must_use]
    pub fn scope(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.date, self.region, self.service)
    }

    /// The claim of a signed policy document.
    pub(super) fn of_policy(credential: &str, date: &str, signature: &str, token: Option<&str>) -> Result<Self, Fault> {
        claim(credential, "host", signature, date, token.map(str::to_owned), Placement::Form)
    }

    /// When it was signed, as far as it says so.
    #[must_use]
    pub fn signed_at(&self) -> Option<OffsetDateTime> {
        (!self.timestamp_text.is_empty()).then_some(self.timestamp)
    }

    /// Reads the claim of a request; `Ok(None)` if it carries no signature at all.
    ///
    /// # Errors
    /// [`Fault`] for anything but exactly one well-formed signature.
    pub fn read(headers: &HeaderMap, query: &str) -> Result<Option<Self>, Fault> {
        match (headers.contains_key(AUTHORIZATION), in_query(query)) {
            (false, false) => Ok(None),
            (true, true) => Err(Fault::Query(
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter or the Authorization header should be specified"
                    .to_owned(),
            )),
            (true, false) => from_header(headers).map(Some),
            (false, true) => from_query(query).map(Some),
        }
    }
}

/// Whether the query string has a signature of version 4.
pub(crate) fn in_query(query: &str) -> bool {
    query.split('&').any(|p| matches!(&*raw_name(p), "X-Amz-Signature" | "X-Amz-Algorithm" | "X-Amz-Credential"))
}

fn raw_name(part: &str) -> Cow<'_, str> {
    let name = part.split('=').next().unwrap_or_default();
    percent_encoding::percent_decode_str(name).decode_utf8_lossy()
}

/// The one value of a header; `None` if absent.
pub(crate) fn single<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>, Fault> {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        return Err(Fault::Duplicate(name));
    }
    first
        .map(|v| v.to_str().map_err(|_| Fault::Incomplete(format!("the header '{name}' has invalid characters"))))
        .transpose()
}

fn from_header(headers: &HeaderMap) -> Result<Claim, Fault> {
    let text = single(headers, "authorization")?.unwrap_or_default();
    if text.len() > MAX_AUTHORIZATION_BYTES {
        return Err(Fault::Incomplete("the Authorization header is too long".to_owned()));
    }
    let Some(rest) = text.strip_prefix(ALGORITHM).and_then(|r| r.strip_prefix(' ')) else {
        return Err(Fault::Incomplete("Unsupported AWS 'algorithm': only AWS4-HMAC-SHA256 is accepted.".to_owned()));
    };
    let (mut credential, mut signed, mut signature) = (None, None, None);
    for part in rest.split(',') {
        let part = part.trim_matches(' ');
        let (name, value) = part.split_once('=').ok_or_else(|| incomplete("a valid Key=Value pair", text))?;
        let slot = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed,
            "Signature" => &mut signature,
            _ => {
                return Err(Fault::Incomplete("the Authorization header has an unknown part".to_owned()));
            }
        };
        if slot.replace(value).is_some() {
            return Err(Fault::Incomplete("the Authorization header has a part twice".to_owned()));
        }
    }
    let credential = credential.ok_or_else(|| incomplete("'Credential' parameter", text))?;
    let signature = signature.ok_or_else(|| incomplete("'Signature' parameter", text))?;
    let signed = signed.ok_or_else(|| incomplete("'SignedHeaders' parameter", text))?;
    let date = match single(headers, "x-amz-date")? {
        Some(date) => Cow::Borrowed(date),
        None => match single(headers, "date")? {
            Some(date) => http_date(date)?,
            None => {
                return Err(Fault::Incomplete(
                    "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.".to_owned(),
                ));
            }
        },
    };
    let token = single(headers, "x-amz-security-token")?.map(str::to_owned);
    claim(credential, signed, signature, &date, token, Placement::Header)
}

fn incomplete(what: &str, header: &str) -> Fault {
    // The header holds no secret, but a signature is nobody's business in a log.
    let shown = header.split("Signature=").next().unwrap_or_default();
    Fault::Incomplete(format!("Authorization header requires {what}. Authorization={shown}"))
}

/// `Date` in the form of HTTP, as some old clients send it; the string to sign has it in the compact form.
fn http_date(text: &str) -> Result<Cow<'_, str>, Fault> {
    if timestamp(text).is_some() {
        return Ok(Cow::Borrowed(text));
    }
    OffsetDateTime::parse(text, &time::format_description::well_known::Rfc2822)
        .map(|t| Cow::Owned(compact(t)))
        .map_err(|_| Fault::Incomplete("Date must be in ISO-8601 'basic format' or in RFC 1123 form.".to_owned()))
}

fn from_query(query: &str) -> Result<Claim, Fault> {
    const NAMES: [&str; 7] = [
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-Security-Token",
        "X-Amz-Signature",
        "X-Amz-SignedHeaders",
    ];
    let mut found: [Option<String>; 7] = Default::default();
    for part in query.split('&') {
        let name = raw_name(part);
        let Some(i) = NAMES.iter().position(|n| *n == name) else {
            continue;
        };
        let value = part.split_once('=').map_or("", |(_, v)| v).replace('+', "%20");
        let value = percent_encoding::percent_decode_str(&value)
            .decode_utf8()
            .map_err(|_| Fault::Query(format!("{} is not UTF-8", NAMES[i])))?
            .into_owned();
        if found[i].replace(value).is_some() {
            return Err(Fault::Duplicate(NAMES[i]));
        }
    }
    let [algorithm, credential, date, expires, token, signature, signed] = found;
    let (Some(algorithm), Some(credential), Some(date), Some(expires), Some(signature), Some(signed)) =
        (algorithm, credential, date, expires, signature, signed)
    else {
        return Err(Fault::Query(
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
                .to_owned(),
        ));
    };
    if algorithm != ALGORITHM {
        return Err(Fault::Query("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"".to_owned()));
    }
    if expires.strip_prefix('-').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit())) {
        return Err(Fault::Query("X-Amz-Expires must be non-negative".to_owned()));
    }
    let digits = !expires.is_empty() && expires.len() <= 10 && expires.bytes().all(|b| b.is_ascii_digit());
    let expires: u32 = match expires.parse() {
        Ok(n) if digits => n,
        _ => return Err(Fault::Query("X-Amz-Expires should be a number".to_owned())),
    };
    if expires == 0 {
        return Err(Fault::Query("X-Amz-Expires must be positive".to_owned()));
    }
    if expires > MAX_PRESIGN_SECONDS {
        return Err(Fault::Query(format!(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than {MAX_PRESIGN_SECONDS} seconds"
        )));
    }
    claim(&credential, &signed, &signature, &date, token, Placement::Query { expires })
}

fn claim(
    credential: &str,
    signed: &str,
    signature: &str,
    date: &str,
    session_token: Option<String>,
    placement: Placement,
) -> Result<Claim, Fault> {
    let scope = |text: String| match placement {
        Placement::Header => Fault::Scope(text),
        Placement::Query { .. } | Placement::Form => Fault::Query(text),
    };
    let parts: Vec<&str> = credential.split('/').collect();
    let [key, day, region, service, terminator] = parts[..] else {
        return Err(scope(format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{}'",
            crate::texts::clip(credential)
        )));
    };
    let plain = |s: &str| {
        !s.is_empty() && s.len() <= 128 && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    if !plain(key) || !plain(region) || !plain(service) {
        return Err(scope("Credential has an element that is empty or has invalid characters".to_owned()));
    }
    if terminator != "aws4_request" {
        return Err(scope(format!(
            "Credential should be scoped with a valid terminator: 'aws4_request', not '{}'.",
            crate::texts::clip(terminator)
        )));
    }
    let Some(at) = timestamp(date) else {
        return Err(scope(format!(
            "Date must be in ISO-8601 'basic format'. Got '{}'. See http://en.wikipedia.org/wiki/ISO_8601",
            crate::texts::clip(date)
        )));
    };
    if day != &date[..8] {
        return Err(scope(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' != '{}', from '{date}'.",
            crate::texts::clip(day),
            &date[..8]
        )));
    }
    let names: Vec<&str> = signed.split(';').collect();
    let sorted = names.windows(2).all(|w| w[0] < w[1]);
    let lower = names.iter().all(|n| {
        !n.is_empty() && n.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase() && b != b':' && b != b',')
    });
    if !sorted || !lower {
        return Err(Fault::Incomplete("SignedHeaders must be lower-case names, sorted and each once".to_owned()));
    }
    let mut bytes = [0; 32];
    let lower_hex = signature.len() == 64 && signature.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !lower_hex || hex::decode_to_slice(signature, &mut bytes).is_err() {
        return Err(Fault::Incomplete("Signature must be 64 lower-case hexadecimal digits".to_owned()));
    }
    Ok(Claim {
        version: SignatureVersion::V4,
        access_key_id: key.to_owned(),
        date: day.to_owned(),
        region: region.to_owned(),
        service: service.to_owned(),
        signed_headers: signed.to_owned(),
        signature: bytes,
        timestamp: at,
        timestamp_text: date.to_owned(),
        session_token,
        placement,
    })
}

/// `YYYYMMDDTHHMMSSZ`, exactly.
pub(crate) fn timestamp(text: &str) -> Option<OffsetDateTime> {
    let b = text.as_bytes();
    if b.len() != 16 || b[8] != b'T' || b[15] != b'Z' {
        return None;
    }
    let digits = |range: std::ops::Range<usize>| {
        b[range].iter().try_fold(0u16, |n, d| d.is_ascii_digit().then(|| n * 10 + u16::from(d - b'0')))
    };
    let small = |range| digits(range).and_then(|n| u8::try_from(n).ok());
    let date =
        Date::from_calendar_date(i32::from(digits(0..4)?), Month::try_from(small(4..6)?).ok()?, small(6..8)?).ok()?;
    let time = Time::from_hms(small(9..11)?, small(11..13)?, small(13..15)?).ok()?;
    Some(date.with_time(time).assume_utc())
}

/// A time as `YYYYMMDDTHHMMSSZ`.
pub(crate) fn compact(t: OffsetDateTime) -> String {
    let t = t.to_offset(time::UtcOffset::UTC);
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        t.year(),
        u8::from(t.month()),
        t.day(),
        t.hour(),
        t.minute(),
        t.second()
    )
}

//! Verification of AWS Signature Version 2, which old clients still send: of Query requests, and of S3 requests in the
//! `Authorization` header and in the query string.
//!
//! It is weaker than version 4 (no body hash, a key for everything and for ever), so a [`CredentialSource`] takes it only
//! when it was switched on. The verifier sees no secret here either: the source, which has it, says whether a signature is
//! right. What version 2 does not sign is refused where it would change what a request does.
//!
//! [`CredentialSource`]: crate::sigv4::CredentialSource

mod query;
mod s3;
mod time;

use crate::server::Service;
use crate::sigv4::{Claim, Fault, Payload, Placement, SignatureVersion, SignedRequest};
use ::time::{Duration, OffsetDateTime};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use secrecy::{ExposeSecret as _, SecretString};

/// Bytes of an HMAC-SHA1 and of an HMAC-SHA256.
pub const SIGNATURE_BYTES: [usize; 2] = [20, 32];
/// Longest life of a request that says itself when it ends, in seconds: as of a presigned URL of version 4.
const EXPIRES_SECONDS_MAX: i64 = 604_800;
/// Longest access key id, in bytes.
const KEY_ID_BYTES_MAX: usize = 128;

/// What a [`CredentialSource`](crate::sigv4::CredentialSource) is asked.
#[derive(Debug, Clone, Copy)]
pub struct SignatureQuery<'a> {
    /// Access key id from the request.
    pub access_key_id: &'a str,
    /// Session token from the request, if it carries one.
    pub session_token: Option<&'a str>,
    /// The service that the request is for.
    pub service: &'a str,
    /// What must have been signed.
    pub string_to_sign: &'a str,
    /// The signature: an HMAC-SHA1 if it has 20 bytes, an HMAC-SHA256 if it has 32.
    pub signature: &'a [u8],
}

/// Who signed.
#[derive(Debug, Clone)]
pub struct Signatory<P> {
    /// Whose key it is.
    pub principal: P,
    /// End of the session, for temporary credentials.
    pub expires_at: Option<OffsetDateTime>,
}

/// Whether a signature is this secret's over this text. Takes the same time wherever they differ.
#[must_use]
pub fn is_right(secret: &SecretString, string_to_sign: &str, signature: &[u8]) -> bool {
    let algorithm = match signature.len() {
        20 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        32 => hmac::HMAC_SHA256,
        _ => return false,
    };
    let key = hmac::Key::new(algorithm, secret.expose_secret().as_bytes());
    hmac::verify(&key, string_to_sign.as_bytes(), signature).is_ok()
}

/// Whether a request is signed by version 2, well or not.
#[must_use]
pub fn is_signed(req: &SignedRequest<'_>) -> bool {
    if is_s3(req) { s3::is_signed(req) } else { query::is_signed(req) }
}

fn is_s3(req: &SignedRequest<'_>) -> bool {
    req.service == Service::S3.name()
}

/// A request's signature, not proved yet.
pub(crate) struct Unproved {
    pub claim: Claim,
    pub signature: Vec<u8>,
    /// The ways to write what is signed; one must be right. At least one, at most four.
    pub strings_to_sign: Vec<String>,
    pub payload: Payload,
    time: Stamp,
}

/// What a request says of its time.
#[derive(Clone, Copy)]
enum Stamp {
    Signed(OffsetDateTime),
    Ends(OffsetDateTime),
}

impl Unproved {
    /// Reads a request that [`is_signed`].
    pub(crate) fn read(req: &SignedRequest<'_>) -> Result<Self, Fault> {
        if crate::sigv4::in_query(req.query) {
            return Err(two_signatures());
        }
        if is_s3(req) { s3::read(req) } else { query::read(req) }
    }

    /// Whether it is of now.
    pub(crate) fn check_clock(&self, now: OffsetDateTime) -> Result<(), Fault> {
        let window = Duration::seconds(crate::sigv4::CLOCK_WINDOW_SECONDS);
        match self.time {
            Stamp::Signed(at) if (now - at).abs() > window => Err(Fault::Skewed { at, now }),
            Stamp::Ends(at) if now > at => Err(Fault::Expired { at, now }),
            Stamp::Ends(at) if at - now > Duration::seconds(EXPIRES_SECONDS_MAX) => {
                Err(Fault::Old(format!("Expires must be at most {EXPIRES_SECONDS_MAX} seconds from now")))
            }
            Stamp::Signed(_) | Stamp::Ends(_) => Ok(()),
        }
    }
}

/// The signature of a policy document, not proved yet; when it ends is the policy's to say.
pub(crate) fn of_policy(
    req: &SignedRequest<'_>,
    access_key_id: &str,
    signature: &str,
    session_token: Option<String>,
    policy: &str,
    now: OffsetDateTime,
) -> Result<Unproved, Fault> {
    let said = Said { access_key_id, session_token, signature, time: Stamp::Ends(now), placement: Placement::Form };
    said.with(req, vec![policy.to_owned()], Payload::Unsigned)
}

/// The parts of a claim that both forms have.
struct Said<'a> {
    access_key_id: &'a str,
    session_token: Option<String>,
    signature: &'a str,
    time: Stamp,
    placement: Placement,
}

impl Said<'_> {
    fn with(self, req: &SignedRequest<'_>, strings_to_sign: Vec<String>, payload: Payload) -> Result<Unproved, Fault> {
        let id = self.access_key_id;
        if id.is_empty() || id.len() > KEY_ID_BYTES_MAX || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(Fault::Old("The access key id is empty or has invalid characters".to_owned()));
        }
        let signature = STANDARD.decode(self.signature).ok().filter(|s| SIGNATURE_BYTES.contains(&s.len()));
        let signature = signature.ok_or_else(|| Fault::Old("The signature is not base64 of an HMAC".to_owned()))?;
        let mut padded = [0; 32];
        padded[..signature.len()].copy_from_slice(&signature);
        let (at, timestamp_text) = match self.time {
            Stamp::Signed(at) => (at, crate::sigv4::compact(at)),
            Stamp::Ends(at) => (at, String::new()),
        };
        let claim = Claim {
            version: SignatureVersion::V2,
            access_key_id: id.to_owned(),
            date: String::new(),
            region: String::new(),
            service: req.service.to_owned(),
            signed_headers: String::new(),
            signature: padded,
            timestamp: at,
            timestamp_text,
            session_token: self.session_token,
            placement: self.placement,
        };
        Ok(Unproved { claim, signature, strings_to_sign, payload, time: self.time })
    }
}

fn two_signatures() -> Fault {
    Fault::Query("Only one auth mechanism allowed; there is more than one signature".to_owned())
}

/// A host as it was signed.
fn host<'a>(req: &SignedRequest<'a>) -> Result<&'a str, Fault> {
    let header = crate::sigv4::single(req.headers, "host")?;
    header.or(req.authority).ok_or_else(|| Fault::Old("The header Host is missing".to_owned()))
}

//! Public keys as providers publish them, and signatures made with them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use serde::Deserialize;

/// Keys of one provider that are looked at.
pub(crate) const KEYS_MAX: usize = 100;

/// Algorithms of signatures: asymmetric ones only.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Algorithm {
    Rsa(&'static RsaParameters, &'static str),
    Ec(&'static str, &'static str),
}

impl Algorithm {
    /// The algorithm that a header names.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rsa(&signature::RSA_PKCS1_2048_8192_SHA256, "RS256"),
            "RS384" => Self::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384, "RS384"),
            "RS512" => Self::Rsa(&signature::RSA_PKCS1_2048_8192_SHA512, "RS512"),
            "PS256" => Self::Rsa(&signature::RSA_PSS_2048_8192_SHA256, "PS256"),
            "PS384" => Self::Rsa(&signature::RSA_PSS_2048_8192_SHA384, "PS384"),
            "PS512" => Self::Rsa(&signature::RSA_PSS_2048_8192_SHA512, "PS512"),
            "ES256" => Self::Ec("P-256", "ES256"),
            "ES384" => Self::Ec("P-384", "ES384"),
            _ => return None,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Rsa(_, name) | Self::Ec(_, name) => name,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

/// A provider's keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeySet(Vec<Jwk>);

impl KeySet {
    /// Reads a JWKS document; keys that do not read are left out. `None` when it is none.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let document: Document = serde_json::from_slice(bytes).ok()?;
        let read = |value| serde_json::from_value::<Jwk>(value).ok();
        let signs = |key: &Jwk| key.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
        Some(Self(document.keys.into_iter().take(KEYS_MAX).filter_map(read).filter(signs).collect()))
    }

    /// Whether it has a key that the header may mean.
    pub(crate) fn has(&self, kid: Option<&str>, algorithm: Algorithm) -> bool {
        self.candidates(kid, algorithm).next().is_some()
    }

    fn candidates<'a>(&'a self, kid: Option<&'a str>, algorithm: Algorithm) -> impl Iterator<Item = &'a Jwk> {
        let fits = move |key: &&Jwk| {
            let named = kid.is_none() || key.kid.as_deref() == kid;
            let kind = match algorithm {
                Algorithm::Rsa(..) => key.kty == "RSA",
                Algorithm::Ec(curve, _) => key.kty == "EC" && key.crv.as_deref() == Some(curve),
            };
            named && kind && key.alg.as_deref().is_none_or(|alg| alg == algorithm.name())
        };
        self.0.iter().filter(fits)
    }

    /// Whether one of the keys that the header may mean has signed the message.
    pub(crate) fn verifies(&self, kid: Option<&str>, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.candidates(kid, algorithm).any(|key| key.verifies(algorithm, message, signature).unwrap_or(false))
    }
}

fn bytes(text: Option<&String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?.trim_end_matches('=')).ok()
}

/// A coordinate with its leading zeros.
fn padded(coordinate: &[u8], size: usize) -> Option<Vec<u8>> {
    let missing = size.checked_sub(coordinate.len())?;
    Some([vec![0; missing].as_slice(), coordinate].concat())
}

impl Jwk {
    fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Option<bool> {
        match algorithm {
            Algorithm::Rsa(parameters, _) => {
                let (n, e) = (bytes(self.n.as_ref())?, bytes(self.e.as_ref())?);
                // ring takes numbers without leading zeros.
                let plain = |number: &[u8]| number.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
                let key = RsaPublicKeyComponents { n: plain(&n), e: plain(&e) };
                Some(key.verify(parameters, message, signature).is_ok())
            }
            Algorithm::Ec(curve, _) => {
                let (size, algorithm): (usize, &'static dyn VerificationAlgorithm) = match curve {
                    "P-256" => (32, &signature::ECDSA_P256_SHA256_FIXED),
                    _ => (48, &signature::ECDSA_P384_SHA384_FIXED),
                };
                let (x, y) = (padded(&bytes(self.x.as_ref())?, size)?, padded(&bytes(self.y.as_ref())?, size)?);
                let point = [&[4][..], &x, &y].concat();
                Some(UnparsedPublicKey::new(algorithm, point).verify(message, signature).is_ok())
            }
        }
    }
}

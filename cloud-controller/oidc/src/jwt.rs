//! A token: read, verified, and its claims held against the clock.

use crate::jwk::{Algorithm, KeySet};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

/// How far the clocks of a provider and of this cloud may be apart, in seconds.
const SKEW_SECONDS: i64 = 300;
/// Longest token (the model of STS: 20,000 characters).
const TOKEN_CHARS_MAX: usize = 20_000;
/// Values of one claim that are looked at.
const VALUES_MAX: usize = 100;

/// Why a token is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// It is no token, or of a kind that is not verified.
    #[error("the token is not a valid JWT")]
    Malformed,
    /// A claim is missing or of the wrong kind.
    #[error("the claim {0} is missing")]
    Missing(&'static str),
    /// Its time is over: now and its end, in seconds since 1970.
    #[error("the token expired at {end}, and it is {now}")]
    Expired {
        /// Now.
        now: i64,
        /// Its end.
        end: i64,
    },
    /// It is of the future.
    #[error("the token is not valid yet")]
    Early,
    /// None of the provider's keys has signed it.
    #[error("no key of the provider has signed the token")]
    Signature,
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// A token that was read, and is not verified yet.
#[derive(Debug, Clone)]
pub struct Token {
    algorithm: Algorithm,
    kid: Option<String>,
    signed: String,
    signature: Vec<u8>,
    claims: Map<String, Value>,
}

/// What a verified token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Who it is about.
    pub subject: String,
    /// Whom it is for.
    pub audiences: Vec<String>,
    /// The party it was given to.
    pub authorized_party: Option<String>,
    /// How the subject proved who it is.
    pub methods: Vec<String>,
    /// Everything it says.
    pub all: Map<String, Value>,
}

fn object<T: serde::de::DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(list)) => list.iter().take(VALUES_MAX).filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

impl Token {
    /// Reads a token in its compact form.
    ///
    /// # Errors
    /// [`JwtError::Malformed`], also for tokens without a signature of an asymmetric kind.
    pub fn parse(text: &str) -> Result<Self, JwtError> {
        if text.len() > TOKEN_CHARS_MAX {
            return Err(JwtError::Malformed);
        }
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(JwtError::Malformed);
        };
        let read: Header = object(header).ok_or(JwtError::Malformed)?;
        // Extensions that must be understood, and are not.
        if read.crit.is_some() {
            return Err(JwtError::Malformed);
        }
        Ok(Self {
            algorithm: Algorithm::named(&read.alg).ok_or(JwtError::Malformed)?,
            kid: read.kid,
            signed: format!("{header}.{payload}"),
            signature: URL_SAFE_NO_PAD.decode(signature).map_err(|_| JwtError::Malformed)?,
            claims: object(payload).ok_or(JwtError::Malformed)?,
        })
    }

    /// Who says to have made it; nothing of it is proved.
    ///
    /// # Errors
    /// [`JwtError::Missing`].
    pub fn issuer(&self) -> Result<&str, JwtError> {
        self.claims.get("iss").and_then(Value::as_str).ok_or(JwtError::Missing("iss"))
    }

    pub(crate) fn is_known_to(&self, keys: &KeySet) -> bool {
        keys.has(self.kid.as_deref(), self.algorithm)
    }

    /// What it says, if one of these keys has signed it and its time is now (seconds since 1970).
    pub(crate) fn verify(self, keys: &KeySet, now: i64) -> Result<Claims, JwtError> {
        if !keys.verifies(self.kid.as_deref(), self.algorithm, self.signed.as_bytes(), &self.signature) {
            return Err(JwtError::Signature);
        }
        #[allow(clippy::cast_possible_truncation, reason = "a float saturates, and so far times do not reach")]
        let moment = |name: &str| self.claims.get(name).and_then(Value::as_f64).map(|seconds| seconds as i64);
        let end = moment("exp").ok_or(JwtError::Missing("exp"))?;
        let made = moment("iat").ok_or(JwtError::Missing("iat"))?;
        if now >= end.saturating_add(SKEW_SECONDS) {
            return Err(JwtError::Expired { now, end });
        }
        let begin = moment("nbf").unwrap_or(made).max(made);
        if begin > now.saturating_add(SKEW_SECONDS) {
            return Err(JwtError::Early);
        }
        let text = |name: &str| self.claims.get(name).and_then(Value::as_str).map(str::to_owned);
        let subject = text("sub").filter(|subject| !subject.is_empty()).ok_or(JwtError::Missing("sub"))?;
        let audiences = texts(self.claims.get("aud"));
        if audiences.is_empty() {
            return Err(JwtError::Missing("aud"));
        }
        Ok(Claims {
            subject,
            audiences,
            authorized_party: text("azp"),
            methods: texts(self.claims.get("amr")),
            all: self.claims,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use serde_json::json;

    const NOW: i64 = 1_700_000_000;

    fn encode(bytes: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    struct Issuer(EcdsaKeyPair);

    impl Issuer {
        fn new() -> Self {
            let rng = SystemRandom::new();
            let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
            Self(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &rng).unwrap())
        }

        fn keys(&self, change: impl FnOnce(&mut Value)) -> KeySet {
            let point = self.0.public_key().as_ref();
            let mut key = json!({"kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig", "alg": "ES256",
                "x": encode(&point[1..33]), "y": encode(&point[33..])});
            change(&mut key);
            let document = json!({"keys": [{"kty": "oct", "k": "AA"}, 5, key]});
            KeySet::parse(document.to_string().as_bytes()).unwrap()
        }

        fn token(&self, header: &Value, claims: &Value) -> String {
            let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
            let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            format!("{signed}.{}", encode(signature.as_ref()))
        }
    }

    fn claims(change: Value) -> Value {
        let mut claims = json!({"iss": "https://id.example", "sub": "s", "aud": "c", "exp": NOW + 60, "iat": NOW - 60});
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }

    #[test]
    fn a_good_token_is_believed() {
        let issuer = Issuer::new();
        let claims = claims(json!({"aud": ["a", "b"], "azp": "a", "amr": ["pwd", "mfa"], "x": 1}));
        let token = Token::parse(&issuer.token(&json!({"alg": "ES256", "kid": "k1"}), &claims)).unwrap();
        assert_eq!(token.issuer().unwrap(), "https://id.example");
        let keys = issuer.keys(|_| {});
        assert!(token.is_known_to(&keys));
        let said = token.verify(&keys, NOW).unwrap();
        assert_eq!((said.subject.as_str(), said.authorized_party.as_deref()), ("s", Some("a")));
        assert_eq!((said.audiences, said.methods), (vec!["a".into(), "b".into()], vec!["pwd".into(), "mfa".into()]));
    }

    #[test]
    fn others_are_not() {
        let issuer = Issuer::new();
        let header = json!({"alg": "ES256", "kid": "k1"});
        let good = issuer.token(&header, &claims(json!({})));
        let verify = |text: &str, keys: &KeySet| Token::parse(text).and_then(|token| token.verify(keys, NOW));
        let keys = issuer.keys(|_| {});
        assert!(verify(&good, &keys).is_ok());
        // Keys: another's, of another kind, for another purpose, of another name.
        assert_eq!(verify(&good, &Issuer::new().keys(|_| {})), Err(JwtError::Signature));
        for (name, value) in [("use", "enc"), ("alg", "ES384"), ("crv", "P-384"), ("kid", "k2"), ("kty", "RSA")] {
            let keys = issuer.keys(|key| key[name] = value.into());
            assert_eq!(verify(&good, &keys), Err(JwtError::Signature), "{name}");
        }
        // Changed, cut off, without a signature, of symmetric or unknown kinds.
        let (head, rest) = good.split_once('.').unwrap();
        let changed = encode(claims(json!({"sub": "other"})).to_string());
        let signature = rest.split_once('.').unwrap().1;
        assert_eq!(verify(&format!("{head}.{changed}.{signature}"), &keys), Err(JwtError::Signature));
        for alg in ["none", "HS256", "ES512", "EdDSA", ""] {
            let text = issuer.token(&json!({"alg": alg}), &claims(json!({})));
            assert_eq!(Token::parse(&text).unwrap_err(), JwtError::Malformed, "{alg}");
        }
        let critical = issuer.token(&json!({"alg": "ES256", "crit": ["x"]}), &claims(json!({})));
        for bad in ["", "a.b.c", head, &format!("{good}.x"), &critical, &"a".repeat(20_001)] {
            assert_eq!(Token::parse(bad).unwrap_err(), JwtError::Malformed, "{bad}");
        }
        // Claims.
        let with = |change| verify(&issuer.token(&header, &claims(change)), &keys);
        assert!(matches!(with(json!({"exp": NOW - 301})), Err(JwtError::Expired { .. })));
        assert!(with(json!({"exp": NOW - 299})).is_ok(), "clocks differ");
        assert_eq!(with(json!({"nbf": NOW + 301})), Err(JwtError::Early));
        assert_eq!(with(json!({"iat": NOW + 301, "exp": NOW + 999})), Err(JwtError::Early));
        for name in ["exp", "iat", "sub", "aud"] {
            assert_eq!(with(json!({name: null})), Err(JwtError::Missing(name)));
        }
    }
}

//! Key pairs as bytes: making them, reading imported ones, and AWS's four ways of fingerprinting.
//!
//! Fingerprints (EC2 user guide, "Verify the fingerprint of your key pair"):
//! RSA made here: SHA-1 of the private key as PKCS#8 DER, hex with colons; RSA imported: MD5 of the public key as
//! SubjectPublicKeyInfo DER, hex with colons; ED25519: SHA-256 of the OpenSSH public key blob, base64.

use super::der;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::Md5;
use ring::signature::KeyPair as _;
use secrecy::SecretString;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{LineEnding, PrivateKey, PublicKey};
use std::process::Stdio;
use std::time::Duration;

/// RSA key size in bits (EC2 makes 2048).
const RSA_BITS: &str = "2048";
/// Longest wait for `openssl genrsa`.
const GENRSA_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest imported public key, in bytes (EC2: 2048-character limit on the decoded material of other kinds is lower).
pub const PUBLIC_KEY_BYTES_MAX: usize = 16 * 1024;

/// The two kinds EC2 knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// 2048-bit RSA.
    Rsa,
    /// Ed25519.
    Ed25519,
}

impl KeyKind {
    /// EC2's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::Ed25519 => "ed25519",
        }
    }
}

/// The public half with its fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicMaterial {
    /// The kind.
    pub kind: KeyKind,
    /// One line: algorithm, base64, no comment.
    pub openssh: String,
    /// AWS's fingerprint.
    pub fingerprint: String,
}

/// A fresh pair. The private half is shown to the user once and kept nowhere.
#[derive(Debug)]
pub struct NewKeyPair {
    /// The public half.
    pub public: PublicMaterial,
    /// PEM: PKCS#1 for RSA, OpenSSH for ED25519.
    pub private_pem: SecretString,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The imported text is no public key that SSH knows.
    #[error("not an OpenSSH, RFC 4716 or PEM public key of kind RSA or ED25519")]
    Format,
    /// The host could not make one; names why.
    #[error("{0}")]
    Host(String),
}

fn colons(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":")
}

/// Makes an Ed25519 pair from 32 random bytes.
///
/// # Errors
/// [`KeyError::Host`] if the encoder fails.
pub fn make_ed25519(seed: &[u8; 32]) -> Result<NewKeyPair, KeyError> {
    let pair = KeypairData::from(Ed25519Keypair::from_seed(seed));
    let private = PrivateKey::new(pair, "").map_err(|e| KeyError::Host(e.to_string()))?;
    let pem = private.to_openssh(LineEnding::LF).map_err(|e| KeyError::Host(e.to_string()))?;
    let public = describe(private.public_key(), None)?;
    Ok(NewKeyPair { public, private_pem: SecretString::from(pem.to_string()) })
}

/// Makes an RSA pair with the host's `openssl` (ring makes none, and the `rsa` crate is banned for its open
/// advisory). The private key goes through a pipe, never through a file.
///
/// # Errors
/// [`KeyError::Host`] when `openssl` is missing or fails.
pub async fn make_rsa() -> Result<NewKeyPair, KeyError> {
    let child = tokio::process::Command::new("openssl")
        .args(["genrsa", "-traditional", RSA_BITS])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(GENRSA_TIMEOUT, child)
        .await
        .map_err(|_| KeyError::Host("openssl genrsa took too long".into()))?
        .map_err(|e| KeyError::Host(format!("cannot run openssl ({e}); install the package openssl")))?;
    let pem = String::from_utf8(output.stdout).map_err(|_| KeyError::Host("openssl wrote no text".into()))?;
    let pkcs1 = der::from_pem(&pem, "RSA PRIVATE KEY").ok_or_else(|| KeyError::Host("openssl wrote no key".into()))?;
    let pair = ring::rsa::KeyPair::from_der(&pkcs1).map_err(|e| KeyError::Host(format!("openssl's key: {e}")))?;
    let (n, e) =
        der::rsa_public(pair.public_key().as_ref()).ok_or_else(|| KeyError::Host("openssl's key is odd".into()))?;
    let openssh = openssh_rsa(n, e);
    let fingerprint = colons(&Sha1::digest(der::pkcs8_of_rsa(&pkcs1)));
    // Make sure that what is handed out is what SSH reads.
    PublicKey::from_openssh(&openssh).map_err(|e| KeyError::Host(e.to_string()))?;
    let public = PublicMaterial { kind: KeyKind::Rsa, openssh, fingerprint };
    Ok(NewKeyPair { public, private_pem: SecretString::from(pem) })
}

/// The PKCS#1 DER in the PEM of a private key that [`make_rsa`] made.
pub(crate) fn rsa_der(pem: &str) -> Option<Vec<u8>> {
    der::from_pem(pem, "RSA PRIVATE KEY")
}

fn openssh_rsa(n: &[u8], e: &[u8]) -> String {
    let mut blob = Vec::new();
    for part in [b"ssh-rsa".to_vec(), der::unsigned(e), der::unsigned(n)] {
        blob.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        blob.extend_from_slice(&part);
    }
    format!("ssh-rsa {}", BASE64.encode(blob))
}

/// Reads an imported public key: OpenSSH one-line, RFC 4716 (`---- BEGIN SSH2 …`), or PEM `PUBLIC KEY` (RSA).
///
/// # Errors
/// [`KeyError::Format`] for anything else.
pub fn import(text: &str) -> Result<PublicMaterial, KeyError> {
    if text.len() > PUBLIC_KEY_BYTES_MAX {
        return Err(KeyError::Format);
    }
    let text = text.trim();
    if let Some(body) = text.strip_prefix("---- BEGIN SSH2 PUBLIC KEY ----") {
        return import_rfc4716(body);
    }
    if let Some(spki) = der::from_pem(text, "PUBLIC KEY") {
        let (n, e) = der::rsa_of_spki(&spki).ok_or(KeyError::Format)?;
        return import(&openssh_rsa(n, e));
    }
    let line = text.lines().next().filter(|_| text.lines().count() == 1).ok_or(KeyError::Format)?;
    let key = PublicKey::from_openssh(line).map_err(|_| KeyError::Format)?;
    let spki = key.key_data().rsa().map(|rsa| {
        let n = rsa.n.as_positive_bytes().unwrap_or_default();
        let e = rsa.e.as_positive_bytes().unwrap_or_default();
        der::spki_of_rsa(n, e)
    });
    describe(&key, spki.as_deref())
}

fn import_rfc4716(body: &str) -> Result<PublicMaterial, KeyError> {
    let body = body.split("---- END SSH2 PUBLIC KEY ----").next().ok_or(KeyError::Format)?;
    let mut base64 = String::new();
    let mut continued = false;
    for line in body.lines().map(str::trim) {
        let header = continued || line.contains(':');
        continued = header && line.ends_with('\\');
        if !header {
            base64.push_str(line);
        }
    }
    let blob = BASE64.decode(&base64).map_err(|_| KeyError::Format)?;
    let length = blob.first_chunk::<4>().map(|b| u32::from_be_bytes(*b) as usize).ok_or(KeyError::Format)?;
    let name = blob.get(4..4 + length.min(64)).and_then(|b| std::str::from_utf8(b).ok()).ok_or(KeyError::Format)?;
    import(&format!("{name} {base64}"))
}

fn describe(key: &PublicKey, imported_rsa_spki: Option<&[u8]>) -> Result<PublicMaterial, KeyError> {
    let mut key = key.clone();
    key.set_comment("");
    let openssh = key.to_openssh().map_err(|_| KeyError::Format)?.trim().to_owned();
    let data = key.key_data();
    if let Some(spki) = imported_rsa_spki {
        return Ok(PublicMaterial { kind: KeyKind::Rsa, openssh, fingerprint: colons(&Md5::digest(spki)) });
    }
    if data.ed25519().is_none() {
        return Err(KeyError::Format);
    }
    let blob = key.to_bytes().map_err(|_| KeyError::Format)?;
    Ok(PublicMaterial { kind: KeyKind::Ed25519, openssh, fingerprint: BASE64.encode(Sha256::digest(blob)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    /// What `ssh-keygen` and `openssl` say of the same key is the truth.
    fn run(program: &str, args: &[&str], input: &str) -> Vec<u8> {
        use std::io::Write as _;
        let mut child = std::process::Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{program} is needed for this test: {e}"));
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{program} {args:?}");
        output.stdout
    }

    #[tokio::test]
    async fn an_rsa_pair_has_the_fingerprint_that_openssl_computes() {
        let pair = make_rsa().await.unwrap();
        let pem = pair.private_pem.expose_secret();
        assert!(pem.starts_with("-----BEGIN RSA PRIVATE KEY-----"));
        let pkcs8 = run("openssl", &["pkcs8", "-topk8", "-nocrypt", "-outform", "DER"], pem);
        assert_eq!(pair.public.fingerprint, colons(&Sha1::digest(&pkcs8)));
        let imported = import(&pair.public.openssh).unwrap();
        assert_eq!(imported.openssh, pair.public.openssh);
        let spki = run("openssl", &["rsa", "-pubout", "-outform", "DER"], pem);
        assert_eq!(imported.fingerprint, colons(&Md5::digest(&spki)));
        let spki_pem = String::from_utf8(run("openssl", &["rsa", "-pubout"], pem)).unwrap();
        assert_eq!(import(&spki_pem).unwrap(), imported);
    }

    #[test]
    fn an_ed25519_pair_is_what_ssh_keygen_reads() {
        let pair = make_ed25519(&[7; 32]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        std::fs::write(&path, pair.private_pem.expose_secret()).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let public = run("ssh-keygen", &["-y", "-f", path.to_str().unwrap()], "");
        assert_eq!(String::from_utf8(public).unwrap().trim(), pair.public.openssh);
        let line = run("ssh-keygen", &["-l", "-E", "sha256", "-f", path.to_str().unwrap()], "");
        let line = String::from_utf8(line).unwrap();
        let want = line.split_whitespace().nth(1).unwrap().trim_start_matches("SHA256:").to_owned();
        assert_eq!(pair.public.fingerprint.trim_end_matches('='), want);
        let rfc = run("ssh-keygen", &["-e", "-m", "RFC4716", "-f", path.to_str().unwrap()], "");
        assert_eq!(import(&String::from_utf8(rfc).unwrap()).unwrap().openssh, pair.public.openssh);
    }

    #[test]
    fn nonsense_is_no_key() {
        for bad in [
            "",
            "hello",
            "ssh-rsa",
            "ssh-rsa AAAA",
            "ssh-dss AAAAB3NzaC1kc3M=",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        ] {
            assert!(import(bad).is_err(), "{bad:?}");
        }
    }
}

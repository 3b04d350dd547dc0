//! Other object stores that versions are brought into: what the operator has declared, by name.

mod patience;
mod send;

use crate::dial::Trust;
use http::Uri;
use mallee_s3::{PeerAnswer, PeerRequest, PeerTraits, Unreplicated};
use mallee_s3_config::notification::is_name;
use patience::Patience;
use secrecy::SecretString;
use send::Idle;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

/// Most bytes of a file with a secret, or with certificates.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Longest secret.
const SECRET_BYTES_MAX: usize = 1024;
/// Others than the owner of a file.
const OTHERS: u32 = 0o077;
/// Where buckets are that say nothing else.
const REGION: &str = "us-east-1";

/// Another object store.
#[derive(Debug)]
struct Peer {
    /// Its endpoint: an `http` or `https` URL without a path.
    url: Uri,
    /// The key by which it is written to.
    access_key_id: String,
    /// The secret of the key.
    secret: SecretString,
    /// The region that requests are signed for.
    region: String,
    /// Whose certificates count, if not those that this host trusts.
    trust: Option<Trust>,
    traits: PeerTraits,
    patience: Patience,
    idle: Idle,
}

/// Those that were declared. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Peers(Arc<BTreeMap<String, Peer>>);

impl Peers {
    /// From declarations `NAME=URL,kind=mallee|s3,key=ACCESS_KEY_ID,secret-file=FILE` with, behind these, any of
    /// `region=NAME`, `ca=FILE`, `account=ID` (once for each) and `sse=bucket`.
    ///
    /// # Errors
    /// One line that says which declaration is wrong.
    pub fn declared(declarations: &[String]) -> Result<Self, String> {
        let mut by_name = BTreeMap::new();
        for text in declarations {
            let wrong = |why: String| format!("{text:?} declares no other object store: {why}");
            let (name, rest) = text.split_once('=').ok_or_else(|| wrong("it is not NAME=URL,…".to_owned()))?;
            if !is_name(name) {
                return Err(wrong("names have letters, digits, '-', '_' and '.', at most 80 in all".to_owned()));
            }
            let peer = Peer::read(rest).map_err(wrong)?;
            if by_name.insert(name.to_owned(), peer).is_some() {
                return Err(wrong("the name is declared already".to_owned()));
            }
        }
        Ok(Self(Arc::new(by_name)))
    }
}

impl Peer {
    fn read(text: &str) -> Result<Self, String> {
        let mut words = text.split(',');
        let url = endpoint(words.next().unwrap_or_default())?;
        let (mut kind, mut key, mut secret, mut region, mut trust) = (None, None, None, None, None);
        let mut traits = PeerTraits::default();
        for word in words {
            let (name, value) = word.split_once('=').ok_or_else(|| format!("{word:?} is not NAME=VALUE"))?;
            let again = match name {
                "kind" => kind.replace(is_mallee(value)?).is_some(),
                "key" => key.replace(access_key(value)?).is_some(),
                "secret-file" => secret.replace(read_secret(value)?).is_some(),
                "region" if !value.is_empty() => region.replace(value.to_owned()).is_some(),
                "ca" => trust.replace(read_trust(value)?).is_some(),
                "sse" if value == "bucket" => std::mem::replace(&mut traits.encrypts_itself, true),
                "account" if value.len() == 12 && value.bytes().all(|b| b.is_ascii_digit()) => {
                    traits.accounts.push(value.to_owned());
                    false
                }
                _ => return Err(format!("{word:?} says nothing of an object store")),
            };
            if again {
                return Err(format!("{name} is said twice"));
            }
        }
        traits.is_mallee = kind.ok_or("it needs kind=mallee, or kind=s3 for any other")?;
        if traits.encrypts_itself && traits.is_mallee {
            return Err("sse=bucket is for stores that are no Mallee".to_owned());
        }
        Ok(Self {
            url,
            access_key_id: key.ok_or("it needs key=ACCESS_KEY_ID")?,
            secret: secret.ok_or("it needs secret-file=FILE")?,
            region: region.unwrap_or_else(|| REGION.to_owned()),
            trust,
            traits,
            patience: Patience::default(),
            idle: Idle::default(),
        })
    }
}

fn endpoint(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|_| format!("{text:?} is no URL"))?;
    let host = url.authority().is_some_and(|a| !a.host().is_empty() && !a.as_str().contains('@'));
    if !matches!(url.scheme_str(), Some("http" | "https")) || !host || url.path() != "/" || url.query().is_some() {
        return Err("it needs an http or https URL with a host, and without a user or path".to_owned());
    }
    Ok(url)
}

fn is_mallee(kind: &str) -> Result<bool, String> {
    match kind {
        "mallee" => Ok(true),
        "s3" => Ok(false),
        _ => Err(format!("there is no kind {kind:?}, only mallee and s3")),
    }
}

fn access_key(id: &str) -> Result<String, String> {
    match !id.is_empty() && id.bytes().all(|b| b.is_ascii_graphic() && b != b'/') {
        true => Ok(id.to_owned()),
        false => Err(format!("{id:?} is no access key")),
    }
}

fn read_file(path: &str, private: bool) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("{path}: {error}");
    let file = File::open(path).map_err(failed)?;
    if private && file.metadata().map_err(failed)?.permissions().mode() & OTHERS != 0 {
        return Err(format!("{path} can be read by others: run chmod 600 {path}, and replace the key if it leaked"));
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn read_secret(path: &str) -> Result<SecretString, String> {
    let text = SecretString::from(read_file(path, true)?);
    let secret = secrecy::ExposeSecret::expose_secret(&text).trim();
    match (1..=SECRET_BYTES_MAX).contains(&secret.len()) && secret.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(secret.into()),
        false => Err(format!("{path} holds no secret")),
    }
}

fn read_trust(path: &str) -> Result<Trust, String> {
    Trust::of_pem(read_file(path, false)?.as_bytes()).map_err(|error| format!("{path}: {error}"))
}

#[async_trait::async_trait]
impl mallee_s3::Peers for Peers {
    fn find(&self, name: &str) -> Option<PeerTraits> {
        self.0.get(name).map(|peer| peer.traits.clone())
    }

    async fn send(&self, name: &str, request: PeerRequest) -> Result<PeerAnswer, Unreplicated> {
        match self.0.get(name) {
            Some(peer) => peer.send(name, request).await,
            None => Err(Unreplicated::Refused(format!("the object store {name} is not declared here"))),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs::{self, Permissions};

    #[test]
    fn declarations() {
        let dir = tempfile::tempdir().unwrap();
        let (file, open) = (dir.path().join("secret"), dir.path().join("open"));
        for (path, mode) in [(&file, 0o600), (&open, 0o640)] {
            fs::write(path, "hidden\n").unwrap();
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        let (file, open) = (file.display().to_string(), open.display().to_string());
        let read = |text: &str| Peers::declared(&[text.replace("FILE", &file).replace("OPEN", &open)]);
        let all = "key=AKIA,secret-file=FILE";
        let peers = read(&format!("far=https://s3.example:9000,kind=mallee,{all}")).unwrap();
        let far = &peers.0["far"];
        assert!(far.traits.is_mallee && far.region == REGION && far.url.host() == Some("s3.example"));
        assert!(!format!("{peers:?}").contains("hidden"), "a secret is not shown");
        let peers =
            read(&format!("x=http://h,kind=s3,{all},region=eu,sse=bucket,account=111111111111,account=222222222222"));
        let accounts = vec!["111111111111".to_owned(), "222222222222".to_owned()];
        let traits = PeerTraits { is_mallee: false, encrypts_itself: true, accounts };
        let peers = peers.unwrap();
        assert_eq!((&peers.0["x"].traits, peers.0["x"].region.as_str()), (&traits, "eu"));
        for (bad, why) in [
            ("far".to_owned(), "NAME=URL"),
            (format!("f r=https://h,kind=s3,{all}"), "names have"),
            (format!("far=https://h,{all}"), "kind=mallee"),
            (format!("far=https://h,kind=minio,{all}"), "no kind"),
            ("far=https://h,kind=s3,secret-file=FILE".to_owned(), "key=ACCESS_KEY_ID"),
            ("far=https://h,kind=s3,key=A".to_owned(), "secret-file=FILE"),
            ("far=https://h,kind=s3,key=A,secret-file=FILEx".to_owned(), "No such file"),
            ("far=https://h,kind=s3,key=A,secret-file=OPEN".to_owned(), "chmod 600"),
            (format!("far=https://h,kind=s3,{all},ca=FILE"), "no certificate"),
            (format!("far=https://h,kind=s3,{all},ca="), "No such file"),
            (format!("far=https://h/path,kind=s3,{all}"), "without a user or path"),
            (format!("far=https://u@h,kind=s3,{all}"), "without a user or path"),
            (format!("far=ftp://h,kind=s3,{all}"), "without a user or path"),
            (format!("far=https://h,kind=s3,{all},odd"), "NAME=VALUE"),
            (format!("far=https://h,kind=s3,{all},odd=1"), "says nothing"),
            (format!("far=https://h,kind=s3,{all},account=1"), "says nothing"),
            (format!("far=https://h,kind=s3,{all},kind=s3"), "said twice"),
            (format!("far=https://h,kind=mallee,{all},sse=bucket"), "no Mallee"),
        ] {
            let refused = read(&bad).unwrap_err();
            assert!(refused.contains(why) && !refused.contains("hidden"), "{bad}: {refused}");
        }
        let twice = format!("far=https://h,kind=s3,key=A,secret-file={file}");
        assert!(Peers::declared(&[twice.clone(), twice]).unwrap_err().contains("already"));
    }
}

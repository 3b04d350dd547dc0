//! Providers, their keys, and what is remembered of them.

use crate::fetch::{FetchError, Rules, authority, fetch};
use crate::jwk::KeySet;
use crate::jwt::{Claims, JwtError, Token};
use crate::trust::Trust;
use moka::sync::Cache;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Providers whose keys are remembered.
const PROVIDERS_MAX: u64 = 1_000;
/// How long keys are used.
const KEYS_TTL: Duration = Duration::from_secs(600);
/// How long after keys were fetched a token of an unknown key has them fetched again; how long a failure is remembered.
const REFETCH_AFTER: Duration = Duration::from_secs(20);
/// Providers asked at the same time, and how long a caller waits for its turn.
const FETCHES_MAX: usize = 16;
const TURN_TIMEOUT: Duration = Duration::from_secs(5);

/// A provider as an account has registered it.
#[derive(Debug, Clone, Copy)]
pub struct Provider<'a> {
    /// Host and path, without the scheme.
    pub url: &'a str,
    /// SHA-1 of certificates it may show, hex.
    pub thumbprints: &'a [String],
}

/// Why a token of a provider is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The provider's keys were not had.
    #[error(transparent)]
    Keys(#[from] FetchError),
    /// The token is bad.
    #[error(transparent)]
    Token(#[from] JwtError),
}

/// What was had of a provider, and when.
#[derive(Debug, Clone)]
struct Remembered {
    keys: Result<Arc<KeySet>, FetchError>,
    /// When they were last asked for.
    since: Instant,
    /// When they were had.
    had: Instant,
}

/// Fetches and remembers providers' keys.
#[derive(Debug)]
pub struct Providers {
    private: RwLock<BTreeSet<String>>,
    known: Cache<String, Remembered>,
    fetches: Semaphore,
}

impl Default for Providers {
    fn default() -> Self {
        Self {
            private: RwLock::default(),
            known: Cache::builder().max_capacity(PROVIDERS_MAX).time_to_live(KEYS_TTL).build(),
            fetches: Semaphore::new(FETCHES_MAX),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Providers {
    /// Lets providers at these hosts (`HOST` or `HOST:PORT`, as they stand in their URLs) be at private addresses.
    pub fn allow_private(&self, hosts: impl IntoIterator<Item = String>) {
        let mut private = self.private.write().unwrap_or_else(PoisonError::into_inner);
        private.extend(hosts.into_iter().map(|host| host.to_ascii_lowercase()));
    }

    /// What a token of this provider says.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn verify(&self, provider: Provider<'_>, token: Token, now: i64) -> Result<Claims, Refusal> {
        let mut name = provider.url.to_owned();
        for thumbprint in provider.thumbprints {
            name.push(' ');
            name.push_str(thumbprint);
        }
        let before = self.known.get(&name);
        let remembered = before.clone().filter(|remembered| match &remembered.keys {
            // The provider may have a new key.
            Ok(keys) if remembered.had.elapsed() < KEYS_TTL => {
                token.is_known_to(keys) || remembered.since.elapsed() < REFETCH_AFTER
            }
            Ok(_) => false,
            Err(_) => remembered.since.elapsed() < REFETCH_AFTER,
        });
        let keys = match remembered {
            Some(remembered) => remembered.keys,
            None => {
                let _turn = self.turn().await?;
                let found = self.fetch_keys(provider).await.map(Arc::new);
                let since = Instant::now();
                // Anybody can send a token of an unknown key: a provider that is away meanwhile keeps the keys it had.
                let kept = before.filter(|before| before.keys.is_ok() && before.had.elapsed() < KEYS_TTL);
                let now = match (found, kept) {
                    (Err(_), Some(kept)) => Remembered { since, ..kept },
                    (keys, _) => Remembered { keys, since, had: since },
                };
                self.known.insert(name, now.clone());
                now.keys
            }
        };
        Ok(token.verify(&*keys?, now)?)
    }

    /// One of a few places; that there was none says nothing of the provider, and is not remembered.
    async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, FetchError> {
        let busy = || FetchError::Unreachable("too many providers are being asked".to_owned());
        let turn = tokio::time::timeout(TURN_TIMEOUT, self.fetches.acquire()).await;
        turn.map_err(|_| busy())?.map_err(|_| busy())
    }

    fn rules(&self, url: &str, trust: &Arc<Trust>) -> Result<Rules, FetchError> {
        let (_, authority) = authority(url)?;
        let name = authority.as_str().to_ascii_lowercase();
        let private = self.private.read().unwrap_or_else(PoisonError::into_inner).contains(&name);
        Ok(Rules { private, trust: trust.clone() })
    }

    async fn fetch_keys(&self, provider: Provider<'_>) -> Result<KeySet, FetchError> {
        let trust = Arc::new(Trust::new(provider.thumbprints));
        let issuer = format!("https://{}", provider.url);
        let url = format!("{issuer}/.well-known/openid-configuration");
        let document = fetch(&url, &self.rules(&url, &trust)?).await?;
        let refused = |why: &str| FetchError::Refused(format!("{url} {why}"));
        let found: Discovery = serde_json::from_slice(&document).map_err(|_| refused("is no discovery document"))?;
        if found.issuer.trim_end_matches('/') != issuer {
            return Err(refused("is of another issuer"));
        }
        // Another host perhaps: it is checked as the first was.
        let document = fetch(&found.jwks_uri, &self.rules(&found.jwks_uri, &trust)?).await?;
        KeySet::parse(&document).ok_or_else(|| FetchError::Refused(format!("{} holds no keys", found.jwks_uri)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(url: &str, private: &[&str]) -> FetchError {
        let providers = Providers::default();
        providers.allow_private(private.iter().map(|host| (*host).to_owned()));
        providers.fetch_keys(Provider { url, thumbprints: &[] }).await.unwrap_err()
    }

    #[tokio::test]
    async fn nothing_inside_is_reached() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in
            ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433"]
        {
            let error = refused(&format!("{host}:{port}"), &[]).await;
            let FetchError::Refused(why) = &error else { panic!("{host}: {error}") };
            assert!(why.contains("is not public"), "{host}: {why}");
        }
        let connected = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(connected.is_err(), "nobody has connected");
        // What the operator named is reached, at the port that was named only.
        let named = format!("127.0.0.1:{port}");
        let private = [named.as_str()];
        let (error, ()) = tokio::join!(refused(&named, &private), async { drop(listener.accept().await) });
        assert!(matches!(error, FetchError::Unreachable(_)), "no TLS there: {error}");
        assert!(matches!(refused(&named, &["127.0.0.1"]).await, FetchError::Refused(_)));
    }

    #[test]
    fn only_https_is_asked() {
        for bad in ["http://id.example", "file:///etc/passwd", "https://", "https://u:p@id.example/", "id.example", ""]
        {
            assert!(matches!(authority(bad), Err(FetchError::Refused(_))), "{bad}");
        }
        assert_eq!(authority("https://id.example:8443/x").unwrap().1.as_str(), "id.example:8443");
    }
}

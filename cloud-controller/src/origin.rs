//! Where a request came from, told by the front door to a Walrus of its own: only the door saw it. The word is sealed with
//! the database's key, is for one request, and is good for a minute; clients never see one, and what they send in its
//! place is taken away or does not open.

use http::Uri;
use http::header::AUTHORIZATION;
use mallee_store::{Store, StoreError, text_open, text_seal};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use std::net::IpAddr;

/// The header in which it goes to Walrus.
pub const HEADER: &str = "x-mallee-from";
/// How long one is good, in milliseconds: clocks of replicas may differ by seconds.
const LIFE_MS: i64 = 60_000;
const NAME: &str = "s3 origin";
/// Longest one, in bytes.
const BYTES_MAX: usize = 1024;

/// What one is bound to: the request's method, target and signature.
#[must_use]
pub fn digest(method: &http::Method, uri: &Uri, headers: &http::HeaderMap) -> String {
    let mut hash = Sha256::new();
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let signature = headers.get(AUTHORIZATION).map_or(b"".as_slice(), |value| value.as_bytes());
    for text in [method.as_str().as_bytes(), target.as_bytes(), signature] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hex::encode(hash.finalize())
}

/// The word for a request of this digest, which came from this address.
///
/// # Errors
/// None in practice.
pub fn seal(store: &Store, from: IpAddr, digest: &str, now_ms: i64) -> Result<String, StoreError> {
    Ok(hex::encode(text_seal(store, NAME, &format!("{from} {digest} {now_ms}"))?))
}

/// What Walrus says of a request that it asks about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said<'a> {
    /// The word that came with it; empty: none.
    pub word: &'a str,
    pub digest: &'a str,
    /// Who connected to Walrus.
    pub peer: Option<IpAddr>,
    /// How long ago its head came, by Walrus's clock, which may differ from ours.
    pub waited_ms: i64,
}

/// Where a request came from: the word says so, or where there is none its connection. A word is as old as it was when the
/// head of the request came: bodies may take long, and are sometimes read before anybody is asked.
///
/// # Errors
/// For a word that does not open, or not any more: then the connection says nothing, it is the front door's.
pub(crate) fn source(store: &Store, said: Said<'_>, now_ms: i64) -> Result<Option<IpAddr>, NotOurs> {
    let Said { word, digest, peer, waited_ms } = said;
    if word.is_empty() {
        return Ok(peer);
    }
    open(store, word, digest, now_ms.saturating_sub(waited_ms.max(0))).map(Some).ok_or(NotOurs)
}

/// A word that says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody can tell any more where the request came from")]
pub(crate) struct NotOurs;

/// Where a request of this digest came from; `None`: nobody said so.
fn open(store: &Store, sealed: &str, digest: &str, now_ms: i64) -> Option<IpAddr> {
    if sealed.is_empty() || sealed.len() > BYTES_MAX {
        return None;
    }
    let text = hex::decode(sealed).ok().and_then(|sealed| text_open(store, NAME, &sealed).ok())?;
    let mut words = text.expose_secret().split(' ');
    let (from, bound) = (words.next()?.parse().ok()?, words.next()?);
    let made: i64 = words.next()?.parse().ok()?;
    (bound == digest && (now_ms - made).abs() <= LIFE_MS).then_some(from)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where something is not as it should be")]
mod tests {
    use super::*;
    use http::{HeaderMap, Method};
    use mallee_store::test_support::TestDb;

    #[tokio::test]
    async fn a_word_is_for_one_request_and_one_minute() {
        let store = TestDb::sqlite().await.open().await;
        let from: IpAddr = "192.0.2.7".parse().unwrap();
        let mut headers = HeaderMap::new();
        let uri = Uri::from_static("http://h/b/k?x=1");
        let bound = digest(&Method::GET, &uri, &headers);
        let word = seal(&store, from, &bound, 1_000_000).unwrap();
        assert_eq!(open(&store, &word, &bound, 1_030_000), Some(from));
        assert_eq!(open(&store, &word, &bound, 1_061_000), None);
        headers.insert(AUTHORIZATION, "AWS4-HMAC-SHA256 …".parse().unwrap());
        for other in [
            digest(&Method::PUT, &uri, &HeaderMap::new()),
            digest(&Method::GET, &Uri::from_static("http://h/b/l?x=1"), &HeaderMap::new()),
            digest(&Method::GET, &uri, &headers),
        ] {
            assert_eq!(open(&store, &word, &other, 1_000_000), None);
        }
        assert_eq!(open(&store, "", &bound, 1_000_000), None);
        // The body took an hour: the word is as old as it was when the head came.
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        let said = Said { word: &word, digest: &bound, peer: Some(peer), waited_ms: 3_600_000 };
        assert_eq!(source(&store, said, 1_000_100 + 3_600_000), Ok(Some(from)));
        // An old word is none: nothing takes its place, least of all the front door's own address.
        for waited_ms in [0, 100, -3_600_000] {
            assert_eq!(source(&store, Said { waited_ms, ..said }, 1_061_100), Err(NotOurs));
        }
        let said = Said { waited_ms: 100, ..said };
        assert_eq!(source(&store, Said { word: "00", ..said }, 1_000_100), Err(NotOurs));
        assert_eq!(source(&store, Said { digest: "another", ..said }, 1_000_100), Err(NotOurs));
        assert_eq!(source(&store, Said { word: "", ..said }, 1_000_100), Ok(Some(peer)), "who came to Walrus itself");
        assert_eq!(open(&store, &"00".repeat(60), &bound, 1_000_000), None);
    }
}

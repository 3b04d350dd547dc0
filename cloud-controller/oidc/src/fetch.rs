//! One document from a provider.

use crate::trust::{Trust, Trusted};
use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::uri::Authority;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mallee_types::is_public;
use rustls_pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Longest time for a document, with all that it takes.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for a connection to one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Largest document, in bytes.
const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// Addresses of one name that are looked at.
const ADDRESSES_MAX: usize = 16;
const HTTPS_PORT: u16 = 443;

/// Why a document was not had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// It may not be asked for, or what came is not what it has to be. Trying again does not help.
    #[error("{0}")]
    Refused(String),
    /// The provider's certificate is neither publicly trusted nor one of those registered.
    #[error("the certificate of {0} matches no registered thumbprint")]
    Untrusted(String),
    /// The provider could not be reached, or did not answer in time.
    #[error("{0}")]
    Unreachable(String),
}

/// What connections may do.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// The authority (`HOST` or `HOST:PORT`) is one that the operator has named: it may be at a private address.
    pub private: bool,
    /// Certificates that may be shown.
    pub trust: Arc<Trust>,
}

/// Fetches a document of JSON.
pub(crate) async fn fetch(url: &str, rules: &Rules) -> Result<Bytes, FetchError> {
    let late = |_| FetchError::Unreachable(format!("{url} did not answer within {FETCH_TIMEOUT:?}"));
    tokio::time::timeout(FETCH_TIMEOUT, fetch_now(url, rules)).await.map_err(late)?
}

/// The authority of a URL that may be asked for.
pub(crate) fn authority(url: &str) -> Result<(Uri, Authority), FetchError> {
    let refused = |why: &str| FetchError::Refused(format!("{url} {why}"));
    let uri: Uri = url.parse().map_err(|_| refused("is no URL"))?;
    if uri.scheme_str() != Some("https") {
        return Err(refused("is not https"));
    }
    let authority = uri.authority().cloned().ok_or_else(|| refused("names no host"))?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(refused("has more than host and port"));
    }
    Ok((uri, authority))
}

async fn fetch_now(url: &str, rules: &Rules) -> Result<Bytes, FetchError> {
    let (uri, authority) = authority(url)?;
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    let port = authority.port_u16().unwrap_or(HTTPS_PORT);
    let addresses = resolve(&host, port, rules.private).await?;
    let stream = connect(&host, &addresses).await?;
    let trusted = Trusted::new(rules.trust.clone());
    let name = ServerName::try_from(host.clone())
        .map_err(|_| FetchError::Refused(format!("{host} is no name for a certificate")))?;
    let tls = TlsConnector::from(Arc::new(trusted.config().map_err(|e| FetchError::Refused(e.to_string()))?));
    let stream = tls.connect(name, stream).await.map_err(|error| {
        if trusted.has_refused() {
            return FetchError::Untrusted(host.clone());
        }
        FetchError::Unreachable(format!("{host} does not speak TLS: {error}"))
    })?;
    let broken = |error: hyper::Error| FetchError::Unreachable(format!("{host}: {error}"));
    let (mut sender, connection) = http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.map_err(broken)?;
    let target = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::builder()
        .method(Method::GET)
        .uri(target)
        .header(HOST, authority.as_str())
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, "mallee")
        .body(Empty::new())
        .map_err(|error| FetchError::Refused(error.to_string()))?;
    let exchange = async {
        let reply = sender.send_request(request).await.map_err(broken)?;
        match reply.status() {
            StatusCode::OK => {}
            // Where a redirect leads is the choice of whoever answers: it is not followed.
            status if status.is_redirection() => {
                return Err(FetchError::Refused(format!("{url} redirects elsewhere, which is not followed")));
            }
            status if status.is_server_error() => {
                return Err(FetchError::Unreachable(format!("{url} answered {status}")));
            }
            status => return Err(FetchError::Refused(format!("{url} answered {status}"))),
        }
        let body = Limited::new(reply.into_body(), DOCUMENT_BYTES_MAX).collect().await;
        let body = body.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                FetchError::Refused(format!("{url} is larger than {DOCUMENT_BYTES_MAX} bytes"))
            } else {
                FetchError::Unreachable(format!("{url} broke off: {error}"))
            }
        })?;
        Ok(body.to_bytes())
    };
    tokio::pin!(exchange);
    tokio::select! {
        outcome = &mut exchange => outcome,
        // A server that closes after its reply: what has come is still there to be read.
        _ = connection => exchange.await,
    }
}

/// The addresses of a name. One that is not public is enough to refuse it: a name with two faces is nobody's friend.
async fn resolve(host: &str, port: u16, private: bool) -> Result<Vec<SocketAddr>, FetchError> {
    let found = tokio::net::lookup_host((host, port)).await;
    let found = found.map_err(|error| FetchError::Unreachable(format!("{host} does not resolve: {error}")))?;
    let addresses: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
    if addresses.is_empty() {
        return Err(FetchError::Unreachable(format!("{host} has no address")));
    }
    if !private && !addresses.iter().all(|address| is_public(address.ip())) {
        return Err(FetchError::Refused(format!("{host} is at an address that is not public")));
    }
    Ok(addresses)
}

async fn connect(host: &str, addresses: &[SocketAddr]) -> Result<TcpStream, FetchError> {
    let mut last = FetchError::Unreachable(format!("{host} cannot be reached"));
    for address in addresses {
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = FetchError::Unreachable(format!("{host}: {error}")),
            Err(_) => last = FetchError::Unreachable(format!("{host} cannot be reached in time")),
        }
    }
    Err(last)
}

//! Sending one message over HTTP: to addresses that may be connected to, without following anybody elsewhere. The
//! connection is kept for the next message.

use super::Target;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use mallee_s3_config::notification::Service;
use mallee_types::is_public;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// Longest time for a message, with all that it takes.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for a connection to one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of a reply that are read; what it says counts for nothing.
const REPLY_BYTES_MAX: usize = 64 * 1024;
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 16;

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The target answered, and did not take it.
    #[error("{0}")]
    Refused(String),
    /// The target could not be reached or did not answer in time, or may not be asked.
    #[error("{0}")]
    Unreachable(String),
}

/// The way to a target.
#[derive(Debug)]
pub(super) struct Wire {
    service: Service,
    url: Uri,
    private: bool,
    open: Option<Open>,
}

/// A connection that stands.
#[derive(Debug)]
struct Open {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn unreachable(why: impl std::fmt::Display) -> SendError {
    SendError::Unreachable(why.to_string())
}

impl Wire {
    pub(super) fn new(target: &Target, private: bool) -> Self {
        Self { service: target.service, url: target.url.clone(), private, open: None }
    }

    /// Sends a message, which was taken if the answer is one of success.
    pub(super) async fn send(&mut self, text: String) -> Result<(), SendError> {
        let sent = tokio::time::timeout(SEND_TIMEOUT, self.send_now(text)).await;
        let sent = sent.unwrap_or_else(|_| Err(unreachable(format!("no answer within {SEND_TIMEOUT:?}"))));
        if sent.is_err() {
            self.open = None;
        }
        sent
    }

    async fn send_now(&mut self, text: String) -> Result<(), SendError> {
        let request = self.request(text)?;
        // A connection that the target has closed meanwhile is made anew.
        let stands = match &mut self.open {
            Some(open) => open.sender.ready().await.is_ok(),
            None => false,
        };
        if !stands {
            self.open = Some(connect(&self.url, self.private).await?);
        }
        let Some(open) = &mut self.open else { return Err(unreachable("no connection")) };
        let reply = open.sender.send_request(request).await.map_err(unreachable)?;
        let status = reply.status();
        let body = Limited::new(reply.into_body(), REPLY_BYTES_MAX).collect().await;
        if body.is_err() {
            self.open = None;
        }
        if status.is_success() {
            return Ok(());
        }
        if status.is_redirection() {
            // Where it leads is the choice of whoever answers.
            return Err(SendError::Refused(format!("it redirects elsewhere ({status}), which is not followed")));
        }
        Err(SendError::Refused(format!("it answered {status}")))
    }

    fn request(&self, text: String) -> Result<Request<Full<Bytes>>, SendError> {
        let (form, body) = match self.service {
            Service::Sns => ("application/json", text),
            Service::Sqs => {
                let text = utf8_percent_encode(&text, NON_ALPHANUMERIC);
                let body = format!("Action=SendMessage&Version=2012-11-05&MessageBody={text}");
                ("application/x-www-form-urlencoded", body)
            }
        };
        let host = self.url.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(HOST, host)
            .header(CONTENT_TYPE, form)
            .header(USER_AGENT, "mallee")
            .body(Full::new(Bytes::from(body)))
            .map_err(unreachable)
    }
}

async fn connect(url: &Uri, private: bool) -> Result<Open, SendError> {
    let tls = url.scheme_str() == Some("https");
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let addresses = resolve(&host, port, private).await?;
    let stream = open(&host, &addresses).await?;
    if tls {
        let name = ServerName::try_from(host).map_err(unreachable)?;
        let connector = TlsConnector::from(client_config()?);
        return shake(connector.connect(name, stream).await.map_err(unreachable)?).await;
    }
    shake(stream).await
}

async fn shake<S>(stream: S) -> Result<Open, SendError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(unreachable)?;
    // How it ends is seen by whoever sends.
    let driver = tokio::spawn(async move { drop(connection.await) });
    Ok(Open { sender, driver })
}

/// The addresses of a name. One that is not public is enough to refuse it.
async fn resolve(host: &str, port: u16, private: bool) -> Result<Vec<SocketAddr>, SendError> {
    let found = tokio::net::lookup_host((host, port)).await;
    let found = found.map_err(|error| unreachable(format!("{host} does not resolve: {error}")))?;
    let addresses: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
    if addresses.is_empty() {
        return Err(unreachable(format!("{host} has no address")));
    }
    if !private && !addresses.iter().all(|address| is_public(address.ip())) {
        return Err(unreachable(format!("{host} is at an address that is not public, which is not allowed here")));
    }
    Ok(addresses)
}

async fn open(host: &str, addresses: &[SocketAddr]) -> Result<TcpStream, SendError> {
    let mut last = unreachable(format!("{host} cannot be reached"));
    for address in addresses {
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).map_err(unreachable)?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = unreachable(format!("{host}: {error}")),
            Err(_) => last = unreachable(format!("{host} cannot be reached in time")),
        }
    }
    Err(last)
}

/// Trusts whom this host trusts.
fn client_config() -> Result<Arc<ClientConfig>, SendError> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(config.clone());
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(unreachable)?;
    let config = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
    Ok(CONFIG.get_or_init(|| config).clone())
}

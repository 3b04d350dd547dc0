//! Connections to where work is sent: to addresses that may be connected to, and nowhere else.

use http::Uri;
use hyper::body::Body;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use mallee_types::is_public;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// Longest wait for a connection to one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 16;

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct CannotDial(String);

fn cannot(why: impl std::fmt::Display) -> CannotDial {
    CannotDial(why.to_string())
}

/// A connection that stands.
#[derive(Debug)]
pub(crate) struct Open<B> {
    pub(crate) sender: SendRequest<B>,
    driver: JoinHandle<()>,
}

impl<B> Drop for Open<B> {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Connects to the host of a URL. `private`: it may be at an address that is not public. `trust`: whose certificates count,
/// if not those that this host trusts.
pub(crate) async fn connect<B>(url: &Uri, private: bool, trust: Option<&Trust>) -> Result<Open<B>, CannotDial>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let tls = url.scheme_str() == Some("https");
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let addresses = resolve(&host, port, private).await?;
    let stream = open(&host, &addresses).await?;
    if tls {
        let name = ServerName::try_from(host.clone()).map_err(cannot)?;
        let Trust(config) = trust.map_or_else(Trust::of_host, |trust| Ok(trust.clone()))?;
        let connector = TlsConnector::from(config);
        let stream = connector.connect(name, stream).await.map_err(|error| cannot(format!("{host}: {error}")))?;
        return shake(stream).await;
    }
    shake(stream).await
}

async fn shake<S, B>(stream: S) -> Result<Open<B>, CannotDial>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(cannot)?;
    // How it ends is seen by whoever sends.
    let driver = tokio::spawn(async move { drop(connection.await) });
    Ok(Open { sender, driver })
}

/// The addresses of a name. One that is not public is enough to refuse it.
async fn resolve(host: &str, port: u16, private: bool) -> Result<Vec<SocketAddr>, CannotDial> {
    let found = tokio::net::lookup_host((host, port)).await;
    let found = found.map_err(|error| cannot(format!("{host} does not resolve: {error}")))?;
    let addresses: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
    if addresses.is_empty() {
        return Err(cannot(format!("{host} has no address")));
    }
    if !private && !addresses.iter().all(|address| is_public(address.ip())) {
        return Err(cannot(format!("{host} is at an address that is not public, which is not allowed here")));
    }
    Ok(addresses)
}

async fn open(host: &str, addresses: &[SocketAddr]) -> Result<TcpStream, CannotDial> {
    let mut last = cannot(format!("{host} cannot be reached"));
    for address in addresses {
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).map_err(cannot)?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = cannot(format!("{host}: {error}")),
            Err(_) => last = cannot(format!("{host} cannot be reached in time")),
        }
    }
    Err(last)
}

/// Whose certificates count.
#[derive(Debug, Clone)]
pub(crate) struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Those that these roots have signed.
    fn of(roots: RootCertStore) -> Result<Self, CannotDial> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(cannot)?;
        Ok(Self(Arc::new(builder.with_root_certificates(roots).with_no_client_auth())))
    }

    /// Those of whom this host trusts.
    fn of_host() -> Result<Self, CannotDial> {
        static TRUST: OnceLock<Trust> = OnceLock::new();
        if let Some(trust) = TRUST.get() {
            return Ok(trust.clone());
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let trust = Self::of(roots)?;
        Ok(TRUST.get_or_init(|| trust).clone())
    }

    /// Those of the certificate authorities in a text in PEM, and of nobody else.
    pub(crate) fn of_pem(text: &[u8]) -> Result<Self, CannotDial> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(text) {
            roots.add(certificate.map_err(cannot)?).map_err(cannot)?;
        }
        if roots.is_empty() {
            return Err(cannot("there is no certificate in it"));
        }
        Self::of(roots)
    }
}

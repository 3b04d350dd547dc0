//! The accepting end over TCP: TLS 1.3 with client certificates, as a stream of connections for tonic.

use crate::{CredentialStore, Identity, PeerInfo, PkiError, tls};
use mallee_runtime::Shutdown;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tonic::transport::server::Connected;

/// How long a client may take to finish its handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes at a time on one port; further clients wait in the kernel's queue.
const HANDSHAKES_MAX: usize = 1024;
/// Pause after the kernel refused to accept (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Whether clients must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// No handshake without one.
    Required,
    /// A client without one gets through, with no identity; a wrong one is still refused.
    Optional,
}

/// Accepts certificates of our CA that name a daemon of our cloud.
#[derive(Debug)]
struct ClientVerifier {
    chain: Arc<dyn ClientCertVerifier>,
    cloud: String,
}

impl ClientCertVerifier for ClientVerifier {
    fn offer_client_auth(&self) -> bool {
        self.chain.offer_client_auth()
    }
    fn client_auth_mandatory(&self) -> bool {
        self.chain.client_auth_mandatory()
    }
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        match tls::identity_of(end_entity) {
            Some(identity) if identity.cloud == self.cloud => Ok(verified),
            _ => Err(tls::refusal(tls::Refusal("it names no daemon of this cloud".to_owned()))),
        }
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

fn server_config(store: &CredentialStore, auth: ClientAuth) -> Result<ServerConfig, PkiError> {
    let credentials = store.current();
    let roots = Arc::new(tls::roots(credentials.ca())?);
    let builder = WebPkiClientVerifier::builder_with_provider(roots, tls::provider());
    let builder = match auth {
        ClientAuth::Required => builder,
        ClientAuth::Optional => builder.allow_unauthenticated(),
    };
    let chain = builder.build().map_err(|error| PkiError::Crypto(error.to_string()))?;
    let verifier = ClientVerifier { chain, cloud: credentials.identity().cloud.clone() };
    let time = Arc::new(tls::ClockTime(store.clock().clone()));
    let mut config = ServerConfig::builder_with_details(tls::provider(), time)
        .with_protocol_versions(tls::VERSIONS)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(store.clone()));
    config.alpn_protocols = vec![tls::ALPN.to_vec()];
    // A resumed session would carry on an identity whose certificate has expired since.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// An accepted connection; its [`PeerInfo`] carries the identity that the client's certificate proved.
#[derive(Debug)]
pub struct TlsConn {
    stream: Box<TlsStream<TcpStream>>,
    peer: PeerInfo,
}

impl TlsConn {
    /// Who is at the other end; none only where [`ClientAuth::Optional`] lets clients through without a certificate.
    #[must_use]
    pub const fn identity(&self) -> Option<&Identity> {
        self.peer.identity.as_ref()
    }
}

impl Connected for TlsConn {
    type ConnectInfo = PeerInfo;
    fn connect_info(&self) -> PeerInfo {
        self.peer.clone()
    }
}

impl AsyncRead for TlsConn {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsConn {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

async fn handshake(acceptor: TlsAcceptor, tcp: TcpStream, from: SocketAddr) -> Option<TlsConn> {
    let outcome = async {
        tcp.set_nodelay(true)?;
        let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(tcp)).await??;
        let peer_certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        // The verifier has read the same certificate already: one without an identity does not come this far.
        let identity = match peer_certificate {
            Some(certificate) => Some(tls::identity_of(certificate).ok_or(io::ErrorKind::InvalidData)?),
            None => None,
        };
        Ok::<_, io::Error>(TlsConn { stream: Box::new(stream), peer: PeerInfo { identity } })
    };
    match outcome.await {
        Ok(conn) => Some(conn),
        Err(error) => {
            tracing::info!(%from, %error, "refused a connection");
            None
        }
    }
}

/// Connections of a port whose handshake is done, for tonic's `serve_with_incoming_shutdown`. Handshakes run beside
/// each other, and stop with the stream. It ends at shutdown.
#[must_use = "a stream accepts only while it is polled"]
pub struct TlsIncoming {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<Option<TlsConn>>,
    pause: Option<Pin<Box<Sleep>>>,
    /// Ready at shutdown; none afterwards.
    stopped: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl std::fmt::Debug for TlsIncoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsIncoming")
            .field("listener", &self.listener)
            .field("handshakes", &self.handshakes.len())
            .finish_non_exhaustive()
    }
}

impl TlsIncoming {
    /// Connections of `listener`, with the certificate that the store holds at each handshake.
    ///
    /// # Errors
    /// [`PkiError::Crypto`] when the CA's certificate is not usable.
    pub fn new(
        listener: TcpListener,
        store: CredentialStore,
        auth: ClientAuth,
        shutdown: &Shutdown,
    ) -> Result<Self, PkiError> {
        let acceptor = TlsAcceptor::from(Arc::new(server_config(&store, auth)?));
        let shutdown = shutdown.clone();
        let stopped: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move { shutdown.stopped().await });
        Ok(Self { listener, acceptor, handshakes: JoinSet::new(), pause: None, stopped: Some(stopped) })
    }
}

impl Stream for TlsIncoming {
    type Item = io::Result<TlsConn>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            let Some(stopped) = this.stopped.as_mut() else {
                return Poll::Ready(None);
            };
            if stopped.as_mut().poll(cx).is_ready() {
                this.stopped = None;
                this.handshakes.abort_all();
                continue;
            }
            match this.handshakes.poll_join_next(cx) {
                Poll::Ready(Some(Ok(Some(conn)))) => return Poll::Ready(Some(Ok(conn))),
                Poll::Ready(Some(_)) => continue,
                Poll::Ready(None) | Poll::Pending => {}
            }
            if let Some(pause) = this.pause.as_mut() {
                if pause.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                this.pause = None;
            }
            if this.handshakes.len() >= HANDSHAKES_MAX {
                return Poll::Pending;
            }
            match this.listener.poll_accept(cx) {
                Poll::Ready(Ok((tcp, from))) => {
                    this.handshakes.spawn(handshake(this.acceptor.clone(), tcp, from));
                }
                Poll::Ready(Err(error)) => {
                    tracing::warn!(%error, "cannot accept connections for now");
                    this.pause = Some(Box::pin(tokio::time::sleep(ACCEPT_PAUSE)));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

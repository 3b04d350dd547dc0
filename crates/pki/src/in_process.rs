//! gRPC between tiers of one process: in-memory pipes instead of sockets, the same services, the same identities.

use crate::{Gate, Identity};
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc;
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint};

/// Bytes in flight in each direction of a pipe.
const PIPE_BYTES: usize = 256 * 1024;
/// Connections that may wait to be accepted.
const BACKLOG_MAX: usize = 1024;

/// Who is at the other end of a connection, for handlers.
#[derive(Debug, Clone, Default)]
pub struct PeerInfo {
    /// The verified identity; none on a connection without a certificate.
    pub identity: Option<Identity>,
}

/// The accepting end of one connection.
#[derive(Debug)]
pub struct Pipe {
    stream: DuplexStream,
    peer: PeerInfo,
}

impl Connected for Pipe {
    type ConnectInfo = PeerInfo;
    fn connect_info(&self) -> PeerInfo {
        self.peer.clone()
    }
}

impl AsyncRead for Pipe {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Pipe {
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

/// The accepting side: a stream of connections for `serve_with_incoming`.
pub type Incoming = tokio_stream::wrappers::ReceiverStream<io::Result<Pipe>>;

/// The calling side. Clones reach the same server; each caller states who it is, once, at wiring time.
#[derive(Debug, Clone)]
pub struct Dialler {
    accept: mpsc::Sender<io::Result<Pipe>>,
    gate: Gate,
}

/// A listening end and the dialler that reaches it.
#[must_use]
pub fn in_process() -> (Dialler, Incoming) {
    let (accept, incoming) = mpsc::channel(BACKLOG_MAX);
    (Dialler { accept, gate: Gate::default() }, Incoming::new(incoming))
}

impl Dialler {
    /// The same server, reached through this gate.
    #[must_use]
    pub fn through(&self, gate: Gate) -> Self {
        Self { accept: self.accept.clone(), gate }
    }

    /// A channel on which every call comes from `identity`. It connects at once; if the server is gone, that is the
    /// error.
    ///
    /// # Errors
    /// When nobody accepts any more.
    pub async fn connect(&self, identity: &Identity) -> Result<Channel, tonic::transport::Error> {
        let (accept, gate) = (self.accept.clone(), self.gate.clone());
        let peer = PeerInfo { identity: Some(identity.clone()) };
        let connector = tower::service_fn(move |_: http::Uri| {
            let (accept, gate, peer) = (accept.clone(), gate.clone(), peer.clone());
            async move {
                let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
                let ours = gate.pass(ours)?;
                let gone = || io::Error::new(io::ErrorKind::ConnectionRefused, "the tier in this process has stopped");
                accept.send(Ok(Pipe { stream: theirs, peer })).await.map_err(|_| gone())?;
                Ok::<_, io::Error>(TokioIo::new(ours))
            }
        });
        // The address is never looked at.
        Endpoint::from_static("http://in-process.invalid").connect_with_connector(connector).await
    }
}

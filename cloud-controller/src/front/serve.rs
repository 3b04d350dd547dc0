//! The accept loop: `TCP_NODELAY` on every socket, bounded in connections, HTTP/1.1 and HTTP/2, graceful at the end.

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use mallee_runtime::Shutdown;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

/// Connections open at once; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 4096;
/// Longest time for a client to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long open requests may take to end.
const DRAIN: Duration = Duration::from_secs(4);

/// Who is at the other end of a connection, with each of its requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) std::net::IpAddr);

/// Serves the router until the signal.
pub async fn serve(listener: TcpListener, router: axum::Router, shutdown: Shutdown) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http2().timer(TokioTimer::new());
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = shutdown.stopped() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: waiting is all that helps.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let router = router.clone();
        let service = TowerToHyperService::new(tower::service_fn(move |mut request: http::Request<_>| {
            request.extensions_mut().insert(Peer(peer.ip()));
            router.clone().oneshot(request)
        }));
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A client that goes away in the middle is its own affair.
            drop(connection.await);
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::info!("some requests were still open when the cloud controller stopped");
    }
}

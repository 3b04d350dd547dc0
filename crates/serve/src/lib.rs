//! The accept loop of every HTTP port: `TCP_NODELAY` on every socket, bounded in connections, HTTP/1.1 and HTTP/2, clients
//! that must take what they asked for, graceful at the end.

mod pace;

pub use pace::{PACE_BYTES, PACE_TIME};

use http::header::{CONNECTION, EXPECT, HeaderValue};
use http::{Request, Response, Version};
use hyper::body::{Body as _, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use mallee_runtime::TaskScope;
use pace::Paced;
use std::convert::Infallible;
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

/// Most bytes of one connection that are buffered either way: of an upload what is read at once, of a download what
/// waits to be taken. (The head of a request must fit; the kernel has buffers of its own.)
const BUFFER_BYTES: usize = 128 * 1024;

/// Who is at the other end of a connection, with each of its requests.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub std::net::IpAddr);

/// Runs what a connection splits off (HTTP/2 streams) in the scope of the server.
#[derive(Debug, Clone)]
struct InScope(TaskScope);

impl<F> hyper::rt::Executor<F> for InScope
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(async move { drop(task.await) });
    }
}

/// Serves the router until the signal of the scope. Connections are tasks of the scope: they end with it, and when it is
/// killed they are dropped where they stand.
pub async fn serve(listener: TcpListener, router: axum::Router, scope: TaskScope) {
    let shutdown = scope.shutdown().clone();
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let mut builder = Builder::new(InScope(scope.clone()));
    let http1 = &mut builder.http1();
    http1.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(BUFFER_BYTES);
    // Who has sent all of a request may close that side, and still wants its answer.
    http1.half_close(true);
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
        let service = TowerToHyperService::new(tower::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer.ip()));
            answer(router.clone(), request)
        }));
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(Paced::new(stream)), service).into_owned();
        let connection = graceful.watch(connection);
        scope.spawn(async move {
            // A client that goes away in the middle is its own affair.
            drop(connection.await);
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::info!("some requests were still open when the server stopped");
    }
}

/// Answers a request. Where the client waits for `100 Continue` and gets the reply instead (there was no body to ask for,
/// or it was refused), the connection ends with it: botocore up to 1.43, the AWS CLI's too, takes such a reply for that of
/// the next request on the connection as well.
async fn answer(router: axum::Router, request: Request<Incoming>) -> Result<Response<axum::body::Body>, Infallible> {
    let expects = request.version() == Version::HTTP_11 && request.headers().contains_key(EXPECT);
    let empty = request.body().is_end_stream();
    let mut response = router.oneshot(request).await?;
    if expects && (empty || !response.status().is_success()) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_runtime::Shutdown;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::sync::Notify;

    /// A request that never ends, on a server; told when it has arrived.
    async fn held() -> (TaskScope, TcpStream, Arc<()>) {
        let scope = TaskScope::new(&Shutdown::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (arrived, alive) = (Arc::new(Notify::new()), Arc::new(()));
        let handler = {
            let (arrived, alive) = (arrived.clone(), alive.clone());
            move || {
                let (arrived, alive) = (arrived.clone(), alive.clone());
                async move {
                    arrived.notify_one();
                    std::future::pending::<()>().await;
                    drop(alive);
                }
            }
        };
        scope.spawn(serve(listener, axum::Router::new().fallback(handler), scope.clone()));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        arrived.notified().await;
        (scope, client, alive)
    }

    #[tokio::test]
    async fn a_killed_scope_takes_its_connections_with_it() {
        let (scope, mut client, alive) = held().await;
        let requests = Arc::strong_count(&alive);
        scope.kill().await;
        assert!(Arc::strong_count(&alive) < requests, "the request lives on");
        let mut rest = Vec::new();
        // An end or a reset: in any case it is over.
        drop(client.read_to_end(&mut rest).await);
        assert_eq!(rest, b"");
    }

    /// Sends a request that waits for `100 Continue`, and gives all that comes back until the connection ends or is quiet.
    async fn expecting(path: &str, length: usize) -> (String, bool) {
        let scope = TaskScope::new(&Shutdown::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().route("/", axum::routing::put(|body: String| async move { body }));
        scope.spawn(serve(listener, router, scope.clone()));
        let mut client = TcpStream::connect(address).await.unwrap();
        let head =
            format!("PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        let (mut told, mut buffer, mut sent) = (String::new(), [0; 4096], false);
        let ended = loop {
            match tokio::time::timeout(Duration::from_millis(500), client.read(&mut buffer)).await {
                Err(_) => break false,
                Ok(read) => match read.unwrap_or(0) {
                    0 => break true,
                    n => told.push_str(std::str::from_utf8(&buffer[..n]).unwrap()),
                },
            }
            if told.contains("100 Continue") && !sent {
                client.write_all(&vec![b'x'; length]).await.unwrap();
                sent = true;
            }
        };
        scope.kill().await;
        (told, ended)
    }

    #[tokio::test]
    async fn who_waits_in_vain_for_continue_gets_a_last_reply() {
        let (told, ended) = expecting("/", 4).await;
        assert!(told.starts_with("HTTP/1.1 100 Continue") && told.ends_with("xxxx") && !ended, "{told}");
        assert!(!told.contains("connection: close"), "{told}");
        for (path, length, status) in [("/", 0, "200 OK"), ("/absent", 4, "404 Not Found")] {
            let (told, ended) = expecting(path, length).await;
            assert!(told.starts_with(&format!("HTTP/1.1 {status}")) && ended, "{told}");
            assert!(told.contains("connection: close"), "{told}");
        }
    }
}

//! The accept loop of every HTTP port: `TCP_NODELAY` on every socket, bounded in connections, HTTP/1.1 and HTTP/2, clients
//! that must take what they asked for, graceful at the end.

mod pace;
mod watch;

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
use socket2::{SockRef, TcpKeepalive};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;
use watch::{Times, Watch};

/// Connections open at once; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 4096;
/// Longest time for a client to send the head of a request; of the first one, from its connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time without any request on a connection of HTTP/2. (On HTTP/1.1 it is [`HEAD_TIMEOUT`].)
const IDLE_TIMEOUT: Duration = Duration::from_secs(180);
/// How often a connection of HTTP/2 is asked whether it is still there, and how long it may take to answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Requests at once on one connection of HTTP/2.
const STREAMS_MAX: u32 = 64;
/// A socket that was silent for so long is asked whether its other end is there: so often, and so many times.
const KEEPALIVE_TIME: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 4;
/// How long open requests may take to end.
const DRAIN: Duration = Duration::from_secs(4);

/// Most bytes of one connection that are buffered either way: of an upload what is read at once, of a download what
/// waits to be taken. (The head of a request must fit; the kernel has buffers of its own.)
const BUFFER_BYTES: usize = 128 * 1024;
/// The same where there are more than so many connections already: larger steps cost less, and memory is bounded.
const MANY_BUFFER_BYTES: usize = 32 * 1024;
const MANY: usize = 16;

/// Who is at the other end of a connection, with each of its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    serve_within(listener, router, scope, Times { head: HEAD_TIMEOUT, idle: IDLE_TIMEOUT, pace: PACE_TIME }).await;
}

/// What is to be known of every socket.
fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_TIME).with_interval(KEEPALIVE_INTERVAL);
    SockRef::from(stream).set_tcp_keepalive(&keepalive.with_retries(KEEPALIVE_RETRIES))?;
    stream.set_nodelay(true)
}

async fn serve_within(listener: TcpListener, router: axum::Router, scope: TaskScope, times: Times) {
    let shutdown = scope.shutdown().clone();
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let mut builder = Builder::new(InScope(scope.clone()));
    let http1 = &mut builder.http1();
    http1.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    // Who has sent all of a request may close that side, and still wants its answer.
    http1.half_close(true);
    let http2 = &mut builder.http2();
    http2.timer(TokioTimer::new()).keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_TIMEOUT);
    http2.max_concurrent_streams(STREAMS_MAX).max_send_buf_size(BUFFER_BYTES);
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
        if prepare(&stream).is_err() {
            continue;
        }
        let few = CONNECTIONS_MAX.saturating_sub(room.available_permits()) <= MANY;
        builder.http1().max_buf_size(if few { BUFFER_BYTES } else { MANY_BUFFER_BYTES });
        let (router, watch) = (router.clone(), Arc::new(Watch::new()));
        let watched = Arc::clone(&watch);
        let service = TowerToHyperService::new(tower::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer.ip()));
            let (router, watched) = (router.clone(), Arc::clone(&watched));
            async move {
                watched.asked();
                if request.version() != Version::HTTP_2 {
                    return answer(router, request).await;
                }
                let stream = watched.stream();
                let response = answer(router, request).await?;
                Ok(response.map(|body| axum::body::Body::new(stream.reply(body))))
            }
        }));
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(Paced::new(stream)), service).into_owned();
        let connection = graceful.watch(connection);
        scope.spawn(async move {
            // A client that goes away in the middle is its own affair.
            tokio::select! {
                ended = connection => drop(ended),
                why = watch.over(times) => tracing::debug!(peer = %peer.ip(), why, "a connection is ended"),
            }
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
    use tokio::sync::Notify;

    const SHORT: Duration = Duration::from_millis(400);
    /// Far longer than anything that is waited for here.
    const LONG: Duration = Duration::from_secs(60);

    /// A server of endless replies with these times.
    async fn endless(times: Times) -> (TaskScope, TcpStream) {
        let scope = TaskScope::new(&Shutdown::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let body = || async {
            let zeros = hyper::body::Bytes::from_static(&[0; 100_000]);
            axum::body::Body::from_stream(futures::stream::repeat(Ok::<_, Infallible>(zeros)))
        };
        let router = axum::Router::new().route("/endless", axum::routing::get(body)).fallback(|| async { "done" });
        scope.spawn(serve_within(listener, router, scope.clone(), times));
        (scope, TcpStream::connect(address).await.unwrap())
    }

    #[tokio::test]
    async fn who_sends_no_request_is_left() {
        let start = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        for sent in ["", "P", "PRI * HT", start, "GET / HT"] {
            let (scope, mut client) = endless(Times { head: SHORT, idle: LONG, pace: LONG }).await;
            client.write_all(sent.as_bytes()).await.unwrap();
            let mut rest = Vec::new();
            let ended = tokio::time::timeout(LONG / 6, client.read_to_end(&mut rest)).await;
            assert!(ended.is_ok(), "{sent:?} holds a connection");
            scope.kill().await;
        }
    }

    /// A client of HTTP/2 that asks for this, and takes so many bytes of the reply; whether the server left it.
    async fn over_http2(times: Times, path: &str, take: usize) -> bool {
        use futures::TryStreamExt as _;
        let (scope, client) = endless(times).await;
        let mut builder = hyper::client::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
        builder.initial_stream_window_size(4096).initial_connection_window_size(1 << 20);
        let (mut sender, connection) = builder.handshake(TokioIo::new(client)).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = Request::get(format!("http://h{path}")).body(axum::body::Body::empty()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let mut body = axum::body::Body::new(response.into_body()).into_data_stream();
        let mut taken = 0;
        let taking = async {
            while taken < take {
                match body.try_next().await {
                    Ok(Some(data)) => taken += data.len(),
                    _ => break,
                }
            }
            std::future::pending::<()>().await;
        };
        let left = tokio::select! {
            _ = connection => true,
            () = taking => false,
            () = tokio::time::sleep(SHORT * 8) => false,
        };
        drop(sender);
        scope.kill().await;
        left
    }

    #[tokio::test]
    async fn who_takes_nothing_over_http2_is_left() {
        let times = Times { head: SHORT / 4, idle: LONG, pace: SHORT };
        assert!(over_http2(times, "/endless", 0).await, "its window is never opened");
        assert!(!over_http2(times, "/endless", usize::MAX).await, "it takes what comes");
    }

    #[tokio::test]
    async fn an_idle_connection_of_http2_is_ended() {
        let (head, pace) = (SHORT / 4, LONG);
        assert!(over_http2(Times { head, idle: SHORT, pace }, "/", 100).await);
        assert!(!over_http2(Times { head, idle: LONG, pace }, "/", 100).await);
        assert!(!over_http2(Times { head, idle: SHORT, pace }, "/endless", usize::MAX).await, "a reply is under way");
    }

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

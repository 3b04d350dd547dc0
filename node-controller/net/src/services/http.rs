//! The metadata service on 169.254.169.254: IMDSv2, and IMDSv1 where the instance's options allow it.

use super::token::MAX_TTL_SECONDS;
use super::tree::{VERSIONS, tree};
use super::{Gate, Served};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, SERVER};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mallee_proto::v1::MetadataOptions;
use socket2::SockRef;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tracing::debug;

/// Connections of one VPC, and of one instance.
const MAX_CONNECTIONS: (usize, usize) = (512, 32);
/// Longest request head, bytes, and most headers.
const MAX_HEAD: usize = 16 << 10;
const MAX_HEADERS: usize = 64;
/// How long a request head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest life of a connection.
const CONNECTION_LIFE: Duration = Duration::from_secs(60);
/// Hops an ordinary answer may take.
const DEFAULT_TTL: u32 = 64;

const TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
const TOKEN_TTL: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// An answer before it is put on the wire.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: StatusCode,
    body: Vec<u8>,
    /// Set on a token: its life in seconds.
    token_ttl: Option<u32>,
    content_type: &'static str,
}

impl Answer {
    fn ok(body: Vec<u8>) -> Self {
        Self { status: StatusCode::OK, body, token_ttl: None, content_type: "text/plain" }
    }

    fn error(status: StatusCode) -> Self {
        let title = format!("{} - {}", status.as_u16(), status.canonical_reason().unwrap_or("Error"));
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"en\" lang=\"en\">\n \
             <head>\n  <title>{title}</title>\n </head>\n <body>\n  <h1>{title}</h1>\n </body>\n</html>\n"
        );
        Self { status, body: body.into_bytes(), token_ttl: None, content_type: "text/html" }
    }
}

impl Served {
    /// What the source is told. The second part is the hop limit of the answer.
    fn respond(&self, source: Ipv4Addr, head: &Parts) -> (Answer, u32) {
        let vpc = self.vpc();
        let Some(port) = vpc.port_by_ip(source) else { return (Answer::error(StatusCode::NOT_FOUND), DEFAULT_TTL) };
        let Some(intent) = self.shared.metadata.instance(&port.instance_id) else {
            return (Answer::error(StatusCode::SERVICE_UNAVAILABLE), DEFAULT_TTL);
        };
        self.shared.metadata.heard(&port.instance_id);
        let options = intent.spec.as_ref().and_then(|spec| spec.metadata.as_ref()).and_then(|m| m.options);
        // Without options the safer of the two ways holds.
        let options = options.unwrap_or(MetadataOptions {
            endpoint_enabled: true,
            tokens_required: true,
            hop_limit: 1,
            instance_tags: false,
        });
        if !options.endpoint_enabled {
            return (Answer::error(StatusCode::FORBIDDEN), DEFAULT_TTL);
        }
        let path = head.uri.path();
        if head.method == Method::PUT {
            let hops = options.hop_limit.clamp(1, DEFAULT_TTL);
            return (self.put_token(&intent.id, path, head), hops);
        }
        if head.method != Method::GET && head.method != Method::HEAD
            || path.trim_end_matches('/') == "/latest/api/token"
        {
            return (Answer::error(StatusCode::METHOD_NOT_ALLOWED), DEFAULT_TTL);
        }
        let good =
            |token: &HeaderValue| self.shared.tokens.good(token.as_bytes(), &intent.id, self.shared.clock.now_ms());
        let authorised = head.headers.get(TOKEN).map_or(!options.tokens_required, good);
        if !authorised {
            return (Answer::error(StatusCode::UNAUTHORIZED), DEFAULT_TTL);
        }
        let found = match path.trim_start_matches('/').split_once('/') {
            None if path.trim_matches('/').is_empty() => Some(versions()),
            None => version(path.trim_start_matches('/')).then(|| tree(&intent, &vpc, port).body()),
            Some((first, rest)) if version(first) => tree(&intent, &vpc, port).at(rest).map(super::tree::Node::body),
            Some(_) => None,
        };
        (found.map_or_else(|| Answer::error(StatusCode::NOT_FOUND), Answer::ok), DEFAULT_TTL)
    }

    fn put_token(&self, instance_id: &str, path: &str, head: &Parts) -> Answer {
        if path != "/latest/api/token" {
            return Answer::error(StatusCode::METHOD_NOT_ALLOWED);
        }
        // A proxy that passes on what strangers ask of it must not be able to fetch a token.
        if head.headers.contains_key(FORWARDED_FOR) {
            return Answer::error(StatusCode::FORBIDDEN);
        }
        let ttl = head.headers.get(TOKEN_TTL).and_then(|v| v.to_str().ok()).and_then(|v| v.trim().parse::<u32>().ok());
        let Some(ttl) = ttl.filter(|ttl| (1..=MAX_TTL_SECONDS).contains(ttl)) else {
            return Answer::error(StatusCode::BAD_REQUEST);
        };
        let until = self.shared.clock.now_ms() + i64::from(ttl) * 1000;
        let token = self.shared.tokens.issue(instance_id, until);
        Answer { token_ttl: Some(ttl), ..Answer::ok(token.into_bytes()) }
    }
}

fn version(first: &str) -> bool {
    first == "latest" || VERSIONS.contains(&first)
}

fn versions() -> Vec<u8> {
    let mut lines = VERSIONS.to_vec();
    lines.push("latest");
    lines.join("\n").into_bytes()
}

fn response(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    headers.insert(SERVER, HeaderValue::from_static("EC2ws"));
    if let Some(ttl) = answer.token_ttl {
        headers.insert(TOKEN_TTL, HeaderValue::from(ttl));
    }
    if answer.status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// Serves one VPC until its task is ended; then its connections end too.
pub(super) async fn serve(listener: TcpListener, served: Arc<Served>) {
    let gate = Gate::new(MAX_CONNECTIONS.0, MAX_CONNECTIONS.1);
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let (stream, from) = match listener.accept().await {
            Ok((stream, SocketAddr::V4(from))) => (stream, *from.ip()),
            _ => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(pass) = gate.enter(from) else { continue };
        let served = Arc::clone(&served);
        tasks.spawn(async move {
            let _pass = pass;
            if let Err(error) = talk(stream, from, served).await {
                debug!(%from, %error, "metadata connection");
            }
        });
    }
}

async fn talk(
    stream: TcpStream,
    from: Ipv4Addr,
    served: Arc<Served>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    // A second handle to the socket, to set the hop limit of an answer after hyper has taken the first.
    let socket: Arc<OwnedFd> = Arc::new(stream.as_fd().try_clone_to_owned()?);
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let (head, _body) = request.into_parts();
        let (answer, hops) = served.respond(from, &head);
        let limited = SockRef::from(&*socket).set_ttl_v4(hops);
        // An answer that should not travel far is not sent at all when that cannot be had.
        let answer = if limited.is_ok() { answer } else { Answer::error(StatusCode::INTERNAL_SERVER_ERROR) };
        debug!(%from, method = %head.method, path = head.uri.path(), status = answer.status.as_u16(), "metadata");
        async move { Ok::<_, Infallible>(response(answer)) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD).max_headers(MAX_HEADERS);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::time::timeout(CONNECTION_LIFE, connection).await??;
    Ok(())
}

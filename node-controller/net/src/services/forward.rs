//! Names outside the cloud: questions go on, as they are but under an id and port of ours, to the host's resolvers.

use crate::config::NetConfig;
use crate::exec::{failed, inside};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::timeout;

/// How long one resolver is waited for; the guest asks again after five seconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most resolvers tried.
const MAX_UPSTREAMS: usize = 3;
/// Longest UDP answer taken.
const MAX_ANSWER: usize = 4096;
/// Most stray packets looked at while waiting for an answer.
const MAX_STRAYS: usize = 16;

/// Asks the host's resolvers, from the host's namespace.
#[derive(Debug)]
pub(super) struct Forwarder {
    config: Arc<NetConfig>,
}

impl Forwarder {
    pub(super) fn new(config: Arc<NetConfig>) -> Self {
        Self { config }
    }

    async fn upstreams(&self) -> Vec<SocketAddr> {
        if !self.config.dns_upstreams.is_empty() {
            return self.config.dns_upstreams.iter().copied().take(MAX_UPSTREAMS).collect();
        }
        // Read each time: a laptop changes its resolvers when it changes networks, and the file is tiny.
        let text = tokio::fs::read_to_string("/etc/resolv.conf").await.unwrap_or_default();
        let servers =
            text.lines().filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse::<IpAddr>().ok());
        servers.map(|ip| SocketAddr::new(ip, 53)).take(MAX_UPSTREAMS).collect()
    }

    /// The answer to `query` with the query's own id; `None`: no resolver answered.
    pub(super) async fn ask(&self, query: &[u8], tcp: bool, id: u16) -> Option<Vec<u8>> {
        let mut sent = query.to_vec();
        sent.get_mut(..2)?.copy_from_slice(&id.to_be_bytes());
        for upstream in self.upstreams().await {
            let asked =
                async { if tcp { self.by_tcp(&sent, upstream).await } else { self.by_udp(&sent, upstream).await } };
            if let Ok(Some(mut answer)) = timeout(PATIENCE, asked).await {
                answer.get_mut(..2)?.copy_from_slice(query.get(..2)?);
                return Some(answer);
            }
        }
        None
    }

    async fn by_udp(&self, query: &[u8], upstream: SocketAddr) -> Option<Vec<u8>> {
        let local: IpAddr =
            if upstream.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let bind = move || {
            let socket = std::net::UdpSocket::bind((local, 0)).map_err(failed)?;
            socket.set_nonblocking(true).map_err(failed)?;
            Ok(socket)
        };
        let socket = match self.config.host_netns.as_deref() {
            Some(host) => inside(Some(host), bind).await.ok()?,
            None => bind().ok()?,
        };
        let socket = UdpSocket::from_std(socket).ok()?;
        socket.connect(upstream).await.ok()?;
        socket.send(query).await.ok()?;
        let mut buffer = vec![0; MAX_ANSWER];
        for _ in 0..MAX_STRAYS {
            let len = socket.recv(&mut buffer).await.ok()?;
            if len >= 12 && buffer[..2] == query[..2] {
                buffer.truncate(len);
                return Some(buffer);
            }
        }
        None
    }

    async fn by_tcp(&self, query: &[u8], upstream: SocketAddr) -> Option<Vec<u8>> {
        let v4 = upstream.is_ipv4();
        let make = move || if v4 { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(failed);
        let runtime = tokio::runtime::Handle::current();
        let socket = match self.config.host_netns.as_deref() {
            Some(host) => {
                inside(Some(host), move || {
                    let _in_runtime = runtime.enter();
                    make()
                })
                .await
            }
            None => make(),
        };
        let mut stream = socket.ok()?.connect(upstream).await.ok()?;
        let mut framed = u16::try_from(query.len()).ok()?.to_be_bytes().to_vec();
        framed.extend_from_slice(query);
        stream.write_all(&framed).await.ok()?;
        let len = stream.read_u16().await.ok()?;
        let mut answer = vec![0; usize::from(len)];
        stream.read_exact(&mut answer).await.ok()?;
        (answer.len() >= 12 && answer[..2] == query[..2]).then_some(answer)
    }
}

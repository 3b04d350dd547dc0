//! The VPC's resolver: instance names from the model, everything else from the host's resolvers.

use super::{Gate, Served};
use crate::model::{Port, Vpc};
use crate::nft::METADATA_IP;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;
use tracing::debug;

/// Longest question taken.
const MAX_QUERY: usize = 4096;
/// Questions of one VPC, and of one source, on their way to the host's resolvers at once.
const MAX_FORWARDS: (usize, usize) = (256, 32);
/// TCP connections of one VPC, and of one source.
const MAX_CONNECTIONS: (usize, usize) = (128, 8);
/// How long a TCP client may take between questions, and in all how many it may ask on one connection.
const TCP_IDLE: Duration = Duration::from_secs(10);
const MAX_PER_CONNECTION: usize = 64;
/// Seconds an answer of ours may be kept: an address that moves to another instance is known within this.
const TTL: u32 = 60;

/// What to do with a question.
#[derive(Debug)]
pub(super) enum Answer {
    /// This is the answer.
    Reply(Box<Message>),
    /// Not ours to answer.
    Forward,
    /// Not even a question.
    Drop,
}

/// An instance's name without its domain.
pub(super) fn host_name(port: &Port) -> String {
    let [a, b, c, d] = port.ip.octets();
    let plain = |name: &str| {
        !name.is_empty()
            && name.len() <= 63
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !name.starts_with('-')
    };
    // The view may give it with the domain; a host name is its first part.
    let first = port.hostname.split('.').next().unwrap_or_default();
    if plain(first) { first.to_owned() } else { format!("ip-{a}-{b}-{c}-{d}") }
}

/// `ip-10-0-0-1` to its address.
fn plain_name(label: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = label.strip_prefix("ip-")?.split('-').collect();
    let bytes: Vec<u8> = parts.iter().filter_map(|part| part.parse().ok()).collect();
    (parts.len() == 4).then(|| <[u8; 4]>::try_from(bytes).ok().map(Ipv4Addr::from)).flatten()
}

fn address_of(vpc: &Vpc, label: &str) -> Option<Ipv4Addr> {
    if label == "instance-data" {
        return Some(METADATA_IP);
    }
    let named = vpc.ports.values().find(|port| host_name(port).eq_ignore_ascii_case(label)).map(|port| port.ip);
    named.or_else(|| plain_name(label).filter(|ip| vpc.knows(*ip)))
}

fn name_of(vpc: &Vpc, ip: Ipv4Addr) -> Option<String> {
    let [a, b, c, d] = ip.octets();
    match vpc.port_by_ip(ip) {
        Some(port) => Some(host_name(port)),
        None => vpc.knows(ip).then(|| format!("ip-{a}-{b}-{c}-{d}")),
    }
}

/// Decides on a question. `public` tells the private address behind an instance's public name.
pub(super) fn answer(vpc: &Vpc, bytes: &[u8], public: impl Fn(&str) -> Option<Ipv4Addr>) -> Answer {
    let Ok(request) = Message::from_vec(bytes) else { return Answer::Drop };
    let head = request.metadata;
    if head.message_type != MessageType::Query {
        return Answer::Drop;
    }
    let mut reply = Message::response(head.id, head.op_code);
    reply.metadata.recursion_desired = head.recursion_desired;
    reply.metadata.recursion_available = true;
    let [query] = request.queries.as_slice() else {
        reply.metadata.response_code = ResponseCode::FormErr;
        return Answer::Reply(Box::new(reply));
    };
    reply.queries.push(query.clone());
    if head.op_code != OpCode::Query {
        reply.metadata.response_code = ResponseCode::NotImp;
        return Answer::Reply(Box::new(reply));
    }
    match local(vpc, query, public) {
        None => return Answer::Forward,
        Some(Local::Unknown) => reply.metadata.response_code = ResponseCode::NXDomain,
        Some(Local::Known(data)) => {
            reply.answers.extend(data.map(|data| Record::from_rdata(query.name.clone(), TTL, data)))
        }
    }
    reply.metadata.authoritative = true;
    Answer::Reply(Box::new(reply))
}

enum Local {
    Unknown,
    /// The name exists; with data if there is any of the type asked for.
    Known(Option<RData>),
}

fn local(vpc: &Vpc, query: &Query, public: impl Fn(&str) -> Option<Ipv4Addr>) -> Option<Local> {
    if query.query_class != DNSClass::IN {
        return None;
    }
    let wants = |kind: RecordType| query.query_type == kind || query.query_type == RecordType::ANY;
    let text = query.name.to_ascii().to_ascii_lowercase();
    let text = text.trim_end_matches('.');
    let host = |ip: Ipv4Addr| Local::Known(wants(RecordType::A).then_some(RData::A(A(ip))));
    if text.ends_with(".in-addr.arpa") {
        let net = query.name.parse_arpa_name().ok()?;
        let IpAddr::V4(ip) = net.addr() else { return None };
        if net.prefix_len() != 32 || !vpc.cidr.contains(&ip) {
            return None;
        }
        let name = name_of(vpc, ip).and_then(|name| Name::from_ascii(format!("{name}.{}.", vpc.domain)).ok());
        return Some(
            name.map_or(Local::Unknown, |name| Local::Known(wants(RecordType::PTR).then_some(RData::PTR(PTR(name))))),
        );
    }
    if let Some(label) = text.strip_suffix(&vpc.domain.to_ascii_lowercase()).and_then(|rest| rest.strip_suffix('.')) {
        return Some(address_of(vpc, label).map_or(Local::Unknown, host));
    }
    public(text).map(host)
}

impl Served {
    /// The answer to one question; `None`: none, as in a VPC without a resolver.
    async fn resolve(&self, query: &[u8], source: Ipv4Addr, gate: &Gate, tcp: bool) -> Option<Vec<u8>> {
        let vpc = self.vpc();
        if vpc.dns_off {
            return None;
        }
        let public = |name: &str| {
            let of = |port: &Port| self.shared.metadata.instance(&port.instance_id)?.spec.as_ref()?.metadata.clone();
            let public = |port: &&Port| {
                !vpc.public_names_off
                    && port.public_ip.is_some()
                    && of(port).is_some_and(|m| m.public_hostname.eq_ignore_ascii_case(name))
            };
            vpc.ports.values().find(public).map(|port| port.ip)
        };
        let limit = if tcp { usize::from(u16::MAX) } else { udp_limit(query) };
        match answer(&vpc, query, public) {
            Answer::Drop => None,
            Answer::Reply(reply) => {
                let bytes = reply.to_vec().ok()?;
                if bytes.len() > limit { reply.truncate().to_vec().ok() } else { Some(bytes) }
            }
            Answer::Forward => {
                let _pass = gate.enter(source)?;
                let id = u16::try_from(self.shared.rng.below(1 << 16)).unwrap_or(0);
                if let Some(answer) = self.shared.forwarder.ask(query, tcp, id).await {
                    return Some(answer);
                }
                debug!(vpc = %vpc.id, "no resolver answered");
                let request = Message::from_vec(query).ok()?;
                let mut reply = Message::error_msg(request.metadata.id, OpCode::Query, ResponseCode::ServFail);
                reply.queries = request.queries;
                reply.to_vec().ok()
            }
        }
    }
}

fn udp_limit(query: &[u8]) -> usize {
    let size = Message::from_vec(query).map_or(512, |m| usize::from(m.max_payload()));
    size.clamp(512, MAX_QUERY)
}

/// Serves UDP on one address.
pub(super) async fn serve_udp(socket: UdpSocket, served: Arc<Served>) {
    let socket = Arc::new(socket);
    let gate = Gate::new(MAX_FORWARDS.0, MAX_FORWARDS.1);
    let asking = Gate::new(MAX_FORWARDS.0 * 2, MAX_FORWARDS.1 * 2);
    let mut buffer = vec![0; MAX_QUERY];
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let Ok((len, SocketAddr::V4(from))) = socket.recv_from(&mut buffer).await else { continue };
        // Too much at once is dropped, as UDP does; the guest asks again.
        let Some(pass) = asking.enter(*from.ip()) else { continue };
        let (query, socket, served, gate) =
            (buffer[..len].to_vec(), Arc::clone(&socket), Arc::clone(&served), gate.clone());
        tasks.spawn(async move {
            let _pass = pass;
            if let Some(answer) = served.resolve(&query, *from.ip(), &gate, false).await
                && let Err(error) = socket.send_to(&answer, from).await
            {
                debug!(%error, "dns answer not sent");
            }
        });
    }
}

/// Serves TCP on one address.
pub(super) async fn serve_tcp(listener: TcpListener, served: Arc<Served>) {
    let gate = Gate::new(MAX_FORWARDS.0, MAX_FORWARDS.1);
    let connections = Gate::new(MAX_CONNECTIONS.0, MAX_CONNECTIONS.1);
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
        let Some(pass) = connections.enter(from) else { continue };
        let (served, gate) = (Arc::clone(&served), gate.clone());
        tasks.spawn(async move {
            let _pass = pass;
            // A client that breaks off has had its say.
            drop(talk(stream, from, &served, &gate).await);
        });
    }
}

async fn talk(mut stream: TcpStream, from: Ipv4Addr, served: &Served, gate: &Gate) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    for _ in 0..MAX_PER_CONNECTION {
        let len = usize::from(timeout(TCP_IDLE, stream.read_u16()).await??);
        if len > MAX_QUERY {
            break;
        }
        let mut query = vec![0; len];
        timeout(TCP_IDLE, stream.read_exact(&mut query)).await??;
        let Some(answer) = served.resolve(&query, from, gate, true).await else { break };
        let Ok(len) = u16::try_from(answer.len()) else { break };
        timeout(TCP_IDLE, stream.write_all(&[len.to_be_bytes().as_slice(), &answer].concat())).await??;
    }
    Ok(())
}

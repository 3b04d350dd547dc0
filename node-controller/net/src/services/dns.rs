//! The VPC's resolver: instance names from the model, everything else from the host's resolvers.

use super::{Gate, Served};
use crate::model::{Port, Vpc};
use crate::nft::METADATA_IP;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use ipnet::Ipv4Net;
use mallee_proto::v1::InstanceIntent;
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

/// `ec2-203-0-113-5` to what it means here: the private address behind it, if it is of this VPC, or of a peer that allows it;
/// else, of the cloud's public addresses, itself: what everybody else's names mean.
fn public_address(vpc: &Vpc, label: &str, pool: &[Ipv4Net]) -> Option<Ipv4Addr> {
    let public = plain_name(&format!("ip-{}", label.strip_prefix("ec2-")?))?;
    let meant = vpc.public_names.get(&public).copied();
    meant.or_else(|| pool.iter().any(|block| block.contains(&public)).then_some(public))
}

fn private_address(vpc: &Vpc, label: &str) -> Option<Ipv4Addr> {
    if label == "instance-data" {
        return Some(METADATA_IP);
    }
    let named = vpc.ports.values().find(|port| host_name(port).eq_ignore_ascii_case(label)).map(|port| port.ip);
    named.or_else(|| plain_name(label).filter(|ip| vpc.knows(*ip)))
}

/// The private address of a port that has this public name.
fn named_address(intent: &InstanceIntent, port: &Port, name: &str) -> Option<Ipv4Addr> {
    let spec = intent.spec.as_ref()?;
    let wire = spec.ports.iter().find(|wire| wire.interface_id == port.interface_id)?;
    let first = spec.metadata.as_ref().filter(|_| wire.device_index == 0).map(|m| m.public_hostname.as_str());
    let primary = first.unwrap_or(&wire.public_hostname);
    if port.public_ip.is_some() && primary.eq_ignore_ascii_case(name) {
        return Some(port.ip);
    }
    let other = wire.secondary.iter().find(|other| other.public_hostname.eq_ignore_ascii_case(name))?;
    let ip = other.private_ip.parse().ok()?;
    port.secondary.iter().any(|(own, public)| *own == ip && public.is_some()).then_some(ip)
}

fn name_of(vpc: &Vpc, ip: Ipv4Addr) -> Option<String> {
    let [a, b, c, d] = ip.octets();
    match vpc.port_by_ip(ip) {
        Some(port) if port.ip == ip => Some(host_name(port)),
        _ => vpc.knows(ip).then(|| format!("ip-{a}-{b}-{c}-{d}")),
    }
}

/// Decides on a question. `public` tells the private address behind an instance's public name; `pool` has the cloud's public
/// addresses.
pub(super) fn answer(vpc: &Vpc, bytes: &[u8], public: impl Fn(&str) -> Option<Ipv4Addr>, pool: &[Ipv4Net]) -> Answer {
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
    match local(vpc, query, public, pool) {
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

fn local(vpc: &Vpc, query: &Query, public: impl Fn(&str) -> Option<Ipv4Addr>, pool: &[Ipv4Net]) -> Option<Local> {
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
        if net.prefix_len() != 32 || !vpc.covers(ip) {
            return None;
        }
        let name = name_of(vpc, ip).and_then(|name| Name::from_ascii(format!("{name}.{}.", vpc.domain)).ok());
        return Some(
            name.map_or(Local::Unknown, |name| Local::Known(wants(RecordType::PTR).then_some(RData::PTR(PTR(name))))),
        );
    }
    if let Some(label) = text.strip_suffix(&vpc.domain.to_ascii_lowercase()).and_then(|rest| rest.strip_suffix('.')) {
        // Public names are in the same domain.
        let address = private_address(vpc, label).or_else(|| public(text)).or_else(|| public_address(vpc, label, pool));
        return Some(address.map_or(Local::Unknown, host));
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
            let ports = vpc.ports.values().filter(|port| !vpc.public_names_off && port.has_public());
            let mut of = ports.filter_map(|port| {
                let intent = self.shared.metadata.instance(&port.instance_id)?;
                named_address(&intent, port, name)
            });
            of.next()
        };
        let limit = if tcp { usize::from(u16::MAX) } else { udp_limit(query) };
        match answer(&vpc, query, public, &self.shared.public_pool) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::samples::vpc;

    /// The address that a question is answered with.
    fn asked(vpc: &Vpc, name: &str) -> Option<Ipv4Addr> {
        let mut query = Query::new();
        query.set_name(Name::from_ascii(name).unwrap());
        query.set_query_type(RecordType::A);
        match local(vpc, &query, |_| None, &["203.0.113.0/24".parse().unwrap()]) {
            Some(Local::Known(Some(RData::A(A(address))))) => Some(address),
            _ => None,
        }
    }

    #[test]
    fn public_names_mean_the_private_address_inside_and_the_public_one_elsewhere() {
        let mut vpc = vpc();
        let name = "ec2-203-0-113-5.local.compute.internal.";
        assert_eq!(asked(&vpc, name), Some("203.0.113.5".parse().unwrap()));
        Arc::make_mut(&mut vpc.public_names).insert("203.0.113.5".parse().unwrap(), "10.9.0.4".parse().unwrap());
        assert_eq!(asked(&vpc, name), Some("10.9.0.4".parse().unwrap()));
        assert_eq!(asked(&vpc, "ec2-198-51-100-6.local.compute.internal."), None, "it is none of the cloud's");
        assert_eq!(asked(&vpc, "ip-10-9-0-4.local.compute.internal."), None, "private names are the VPC's own");
    }
}

//! A host in a namespace, an engine on it, and guests that are namespaces at the far end of veth ports. Nothing touches
//! the machine's own namespace.

use mallee_net::{KernelNetwork, Names, NetConfig, PortKind};
use mallee_node_core::network::{MetadataSource, NetworkEngine as _};
use mallee_proto::v1::group_rule::Peer;
use mallee_proto::v1::{
    GroupMembers, GroupRule, GroupView, InstanceIntent, InstanceSpec, Metadata, MetadataOptions, NetworkAclEntry,
    NetworkAclView, NodeView, Port, PortView, Remote, RouteTableView, RouteTarget, RouteView, SshKey, SubnetView,
    VpcView,
};
use mallee_runtime::{Clock, Faults, Rng};
use nix::sched::{CloneFlags, setns};
use std::collections::BTreeMap;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

static COUNT: AtomicU32 = AtomicU32::new(0);

#[derive(Debug, Default)]
pub struct Instances(Mutex<BTreeMap<String, Arc<InstanceIntent>>>);

impl Instances {
    pub fn set(&self, intent: InstanceIntent) {
        self.0.lock().unwrap().insert(intent.id.clone(), Arc::new(intent));
    }
}

impl MetadataSource for Instances {
    fn instance(&self, id: &str) -> Option<Arc<InstanceIntent>> {
        self.0.lock().unwrap().get(id).cloned()
    }

    fn heard(&self, _: &str) {}
}

/// Runs a job in a namespace, on a thread of its own.
pub fn within<T: Send>(ns: &str, job: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                setns(File::open(format!("/run/netns/{ns}")).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
                job()
            })
            .join()
            .unwrap()
    })
}

pub fn sh(ns: Option<&str>, line: &str) -> Output {
    let mut command = match ns {
        Some(ns) => {
            let mut c = Command::new("nsenter");
            c.arg(format!("--net=/run/netns/{ns}")).args(["sh", "-c", line]);
            c
        }
        None => {
            let mut c = Command::new("sh");
            c.args(["-c", line]);
            c
        }
    };
    command.stdin(Stdio::null()).output().unwrap()
}

pub fn ok(ns: Option<&str>, line: &str) -> String {
    let out = sh(ns, line);
    assert!(
        out.status.success(),
        "{line} in {ns:?}: {} {}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8_lossy(&out.stdout).into_owned()
}

pub struct Lab {
    pub prefix: String,
    pub host: String,
    pub names: Names,
    pub config: NetConfig,
    pub engine: Option<KernelNetwork>,
    pub instances: Arc<Instances>,
    pub faults: Faults,
    pub clock: Clock,
    pub guests: Vec<String>,
    generation: u64,
    stop: Arc<AtomicBool>,
}

pub const POOL: &str = "203.0.113.0/24";

impl Lab {
    pub fn new() -> Self {
        Self::with_vtep("192.0.2.1")
    }

    pub fn with_vtep(vtep: &str) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "the network tests make namespaces: run them as root");
        let prefix = format!("nt{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let host = format!("{prefix}-host");
        ok(None, &format!("ip netns add {host} && ip -n {host} link set lo up"));
        let mut config = NetConfig::new(vtep.parse().unwrap());
        config.name_prefix.clone_from(&prefix);
        config.host_netns = Some(host.clone());
        config.port_kind = PortKind::Veth;
        config.public_pool = vec![POOL.parse().unwrap()];
        let mut lab = Self {
            names: Names::new(&prefix),
            prefix,
            host,
            config,
            engine: None,
            instances: Arc::default(),
            faults: Faults::recording(),
            clock: Clock::system(),
            guests: Vec::new(),
            generation: 0,
            stop: Arc::default(),
        };
        lab.restart();
        lab
    }

    /// A new engine over what the old one left, as after a restart of the daemon.
    pub fn restart(&mut self) {
        self.engine = None;
        let source: Arc<dyn MetadataSource> = self.instances.clone();
        let engine =
            KernelNetwork::with(self.config.clone(), source, self.clock.clone(), Rng::seeded(7), self.faults.clone());
        self.engine = Some(engine.unwrap());
    }

    pub fn engine(&self) -> &KernelNetwork {
        self.engine.as_ref().unwrap()
    }

    pub fn view(&mut self, vpcs: Vec<VpcView>) -> Arc<NodeView> {
        self.generation += 1;
        Arc::new(NodeView { epoch: 1, generation: self.generation, vpcs, ..NodeView::default() })
    }

    pub async fn apply(&mut self, vpcs: Vec<VpcView>) {
        let view = self.view(vpcs);
        let applied = self.engine().apply(view).await.unwrap();
        assert_eq!(applied.port_errors, BTreeMap::new());
    }

    /// Makes the port, gives its far end to a namespace, opens it, and sets the guest's address by hand.
    pub async fn launch(&mut self, port: &PortView) -> String {
        let guest = self.boot(port).await;
        let (ip, gateway) = (&port.private_ip, gateway(port));
        ok(Some(&guest), &format!("ip addr add {ip}/24 dev eth0 && ip route add default via {gateway}"));
        guest
    }

    /// As `launch`, but leaves the guest without an address.
    pub async fn boot(&mut self, port: &PortView) -> String {
        let tap = self.engine().create_tap(port).await.unwrap();
        assert!(tap.len() <= 15);
        let guest = format!("{}-g{}", self.prefix, self.guests.len());
        let peer = self.names.veth_peer(&port.interface_id);
        ok(None, &format!("ip netns add {guest} && ip -n {} link set {peer} netns {guest}", self.host));
        ok(Some(&guest), &format!("ip link set lo up; ip link set {peer} name eth0; ip link set eth0 up"));
        self.guests.push(guest.clone());
        self.engine().plug(port).await.unwrap();
        guest
    }

    /// A TCP server in a namespace that says who connects, until the lab ends.
    pub fn tcp_server(&self, ns: &str, port: u16) {
        // Of both families.
        let listener = within(ns, || TcpListener::bind(("::", port)).unwrap());
        listener.set_nonblocking(true).unwrap();
        let stop = Arc::clone(&self.stop);
        std::thread::spawn(move || {
            use std::io::Write as _;
            while !stop.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((mut stream, from)) => {
                        let _ = stream.write_all(from.ip().to_canonical().to_string().as_bytes());
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(5)),
                }
            }
        });
    }

    /// A UDP server that sends everything back, until the lab ends.
    pub fn udp_echo(&self, ns: &str, port: u16) {
        let socket = within(ns, || UdpSocket::bind(("0.0.0.0", port)).unwrap());
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let stop = Arc::clone(&self.stop);
        std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while !stop.load(Ordering::Relaxed) {
                if let Ok((len, from)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(&buffer[..len], from);
                }
            }
        });
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.engine = None;
        for entry in std::fs::read_dir("/run/netns").unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if name.starts_with(&format!("{}-", self.prefix)) {
                sh(None, &format!("ip netns delete {name}"));
            }
        }
    }
}

/// One network for two hosts, with these addresses there.
pub fn wire(hosts: [(&str, Ipv4Addr); 2]) {
    let [(one, _), (other, _)] = hosts;
    ok(None, &format!("ip -n {one} link add u0 type veth peer name u0 netns {other}"));
    for (host, address) in hosts {
        ok(Some(host), &format!("ip addr add {address}/24 dev u0; ip link set u0 up"));
    }
}

/// A client of a UDP echo server that sends again and again, and notes what does not come back.
pub struct Pinger {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<(u32, Vec<u32>)>,
}

impl Pinger {
    pub fn start(ns: &str, to: &str) -> Self {
        let client = within(ns, || UdpSocket::bind("0.0.0.0:0").unwrap());
        client.connect(to).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (mut sent, mut lost) = (0u32, Vec::new());
            while !stopped.load(Ordering::Relaxed) {
                client.send(&sent.to_be_bytes()).unwrap();
                sent += 1;
                let mut answer = [0; 4];
                let came = client.recv(&mut answer).is_ok_and(|len| len == 4) && answer == (sent - 1).to_be_bytes();
                if !came {
                    lost.push(sent - 1);
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            (sent, lost)
        });
        Self { stop, thread }
    }

    /// How many were sent, and which were lost.
    pub fn stop(self) -> (u32, Vec<u32>) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Whether a TCP connection succeeds, and what the server says.
pub fn connect(ns: &str, to: &str, port: u16) -> Option<String> {
    let to: SocketAddr = format!("{to}:{port}").parse().unwrap();
    within(ns, || {
        use std::io::Read as _;
        let mut stream = TcpStream::connect_timeout(&to, Duration::from_millis(700)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text)
    })
}

/// As [`connect`], tried for some seconds: on a busy machine the first packet may be too early or too late.
pub fn reached(ns: &str, to: &str, port: u16) -> bool {
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        if connect(ns, to, port).is_some() {
            return true;
        }
    }
    false
}

pub fn ping(ns: &str, to: &str) -> bool {
    sh(Some(ns), &format!("busybox ping -c 1 -W 1 {to}")).status.success()
}

/// Sends a datagram from a source address (of the namespace's own) and says whether `receiver` gets it.
pub fn delivers(sender: &str, source: &str, receiver: &str, to: &str) -> bool {
    let socket = within(receiver, || UdpSocket::bind(("0.0.0.0", 9999)).unwrap());
    socket.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
    let (source, to): (Ipv4Addr, Ipv4Addr) = (source.parse().unwrap(), to.parse().unwrap());
    within(sender, || UdpSocket::bind((source, 0)).unwrap().send_to(b"x", (to, 9999)).unwrap());
    socket.recv_from(&mut [0; 16]).is_ok()
}

pub fn gateway(port: &PortView) -> String {
    let ip: Ipv4Addr = port.private_ip.parse().unwrap();
    let [a, b, c, _] = ip.octets();
    format!("{a}.{b}.{c}.1")
}

/// The `n`th interface of a VPC: address `10.0.<subnet>.<n>`.
pub fn port(vpc: &str, subnet: u8, n: u8, groups: &[&str]) -> PortView {
    PortView {
        interface_id: format!("eni-{vpc}-{subnet}-{n}"),
        instance_id: format!("i-{vpc}-{subnet}-{n}"),
        incarnation: 1,
        mac: format!("02:aa:{:02x}:00:{subnet:02x}:{n:02x}", vpc.len()),
        private_ip: format!("10.0.{subnet}.{n}"),
        subnet_id: format!("subnet-{vpc}-{subnet}"),
        group_ids: groups.iter().map(|g| (*g).to_owned()).collect(),
        source_dest_check: true,
        ..Default::default()
    }
}

pub fn vpc(id: &str, vni: u32, ports: &[PortView]) -> VpcView {
    VpcView {
        vpc_id: format!("vpc-{id}"),
        cidr: "10.0.0.0/16".to_owned(),
        vni,
        dns_domain: "zone1.internal".to_owned(),
        subnets: [0, 1].map(|n| subnet(id, n, 1)).to_vec(),
        ports: ports.to_vec(),
        groups: vec![open("sg-open")],
        route_tables: vec![route_table(1, &[("0.0.0.0/0", RouteTarget::Internet)])],
        internet_gateway: true,
        routed: true,
        ..Default::default()
    }
}

pub fn subnet(vpc: &str, n: u8, route_table: u32) -> SubnetView {
    SubnetView { id: format!("subnet-{vpc}-{n}"), cidr: format!("10.0.{n}.0/24"), route_table, ..SubnetView::default() }
}

/// An entry of a network ACL: packets of this protocol and these ports from or to everybody.
pub fn acl_entry(egress: bool, number: u32, allow: bool, protocol: i32, from: i32, to: i32) -> NetworkAclEntry {
    let cidr = "0.0.0.0/0".to_owned();
    NetworkAclEntry { number, egress, allow, protocol, cidr, from_port: from, to_port: to }
}

/// A VPC whose first subnet has an ACL of these entries.
pub fn guarded(view: VpcView, entries: &[NetworkAclEntry]) -> VpcView {
    let mut view = view;
    view.subnets[0].network_acl = "acl-1".to_owned();
    view.network_acls = vec![NetworkAclView { id: "acl-1".to_owned(), entries: entries.to_vec() }];
    view
}

pub fn route_table(number: u32, routes: &[(&str, RouteTarget)]) -> RouteTableView {
    let route = |(to, target): &(&str, RouteTarget)| RouteView {
        destination: (*to).to_owned(),
        target: (*target).into(),
        ..Default::default()
    };
    RouteTableView { number, routes: routes.iter().map(route).collect(), ..Default::default() }
}

pub fn rule(egress: bool, protocol: i32, from: i32, to: i32, peer: Peer) -> GroupRule {
    GroupRule { id: "sgr-1".to_owned(), egress, protocol, from_port: from, to_port: to, peer: Some(peer) }
}

pub fn cidr(text: &str) -> Peer {
    Peer::Cidr(text.to_owned())
}

pub fn all_out() -> GroupRule {
    rule(true, -1, -1, -1, cidr("0.0.0.0/0"))
}

/// Everything in and out.
pub fn open(id: &str) -> GroupView {
    GroupView { id: id.to_owned(), rules: vec![all_out(), rule(false, -1, -1, -1, cidr("0.0.0.0/0"))] }
}

pub fn group(id: &str, rules: Vec<GroupRule>) -> GroupView {
    GroupView { id: id.to_owned(), rules }
}

pub fn members(id: &str, addresses: &[&str]) -> GroupMembers {
    GroupMembers { group_id: id.to_owned(), addresses: addresses.iter().map(|a| (*a).to_owned()).collect() }
}

pub fn remote(address: &str, vtep: &str) -> Remote {
    Remote { address: address.to_owned(), vtep: vtep.to_owned() }
}

/// An instance's intent that fits the port.
pub fn intent(port: &PortView, tokens_required: bool) -> InstanceIntent {
    let wire = Port {
        interface_id: port.interface_id.clone(),
        mac: port.mac.clone(),
        private_ip: port.private_ip.clone(),
        vpc_id: "vpc-a".to_owned(),
        subnet_id: port.subnet_id.clone(),
        group_ids: port.group_ids.clone(),
        ..Default::default()
    };
    let metadata = Metadata {
        image_id: "ami-1".to_owned(),
        reservation_id: "r-1".to_owned(),
        region: "region1".to_owned(),
        zone: "region1a".to_owned(),
        public_hostname: format!("ec2-{}.region1.example", port.public_ip.replace('.', "-")),
        keys: vec![SshKey { name: "mine".to_owned(), openssh: "ssh-ed25519 AAAA test".to_owned() }],
        user_data: b"#!/bin/sh\necho \xff\x00 hi\n".to_vec(),
        group_names: vec!["default".to_owned()],
        group_ids: port.group_ids.clone(),
        launch_time_ms: 1_700_000_000_000,
        options: Some(MetadataOptions { endpoint_enabled: true, tokens_required, hop_limit: 1, instance_tags: true }),
        tags: [("Name".to_owned(), "web one".to_owned())].into(),
        ..Default::default()
    };
    let spec = InstanceSpec {
        instance_type: "m1.small".to_owned(),
        ports: vec![wire],
        metadata: Some(metadata),
        ..Default::default()
    };
    InstanceIntent {
        id: port.instance_id.clone(),
        account_id: "000000000001".to_owned(),
        spec: Some(spec),
        ..Default::default()
    }
}

//! What the network of one node costs: a change of one of ten thousand, the start of an agent, and TCP between nodes. Prints
//! a line per figure; `cargo xtask bench --only network` reads them. Needs root; everything is in namespaces of its own.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::let_underscore_must_use,
    dead_code,
    missing_docs,
    reason = "a bench, read by xtask, with what the kernel tests have"
)]

#[path = "../tests/kernel/crowd.rs"]
mod crowd;
#[path = "../tests/kernel/lab.rs"]
mod lab;

use crowd::{Took, crowd, one_of_ten_thousand, start};
use lab::{Lab, ok, port, within};
use mallee_proto::v1::{PortView, Remote, VpcView};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

const CHANGES: u32 = 50;
/// Starts of an agent.
const STARTS: usize = 5;
/// Rounds of the three ways from one node to the other, in turn.
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
const TCP_PORT: u16 = 5001;
const UNDERLAY: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];

fn say(name: &str, took: Took) {
    println!("{name}-wall {:.3}", took.wall.as_secs_f64() * 1000.0);
    println!("{name}-cpu {:.3}", took.cpu.as_secs_f64() * 1000.0);
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Gigabits per second of one TCP flow between two namespaces.
fn tcp(from: &str, to: &str, address: &str) -> f64 {
    let listener = within(to, || TcpListener::bind((Ipv4Addr::UNSPECIFIED, TCP_PORT)).unwrap());
    let taken = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (begun, mut bytes, mut buffer) = (Instant::now(), 0, vec![0; 256 << 10]);
        while let Ok(len @ 1..) = stream.read(&mut buffer) {
            bytes += len;
        }
        bytes as f64 * 8.0 / begun.elapsed().as_secs_f64() / 1e9
    });
    let to: SocketAddr = format!("{address}:{TCP_PORT}").parse().unwrap();
    let mut stream = within(from, || TcpStream::connect(to).unwrap());
    let (begun, block) = (Instant::now(), vec![0; 256 << 10]);
    while begun.elapsed() < ROUND {
        stream.write_all(&block).unwrap();
    }
    drop(stream);
    taken.join().unwrap()
}

/// Two hosts with a VXLAN between them, and nothing else.
struct Bare([String; 2]);

impl Bare {
    fn new(prefix: &str) -> Self {
        // The lab takes away whatever begins like its own.
        let hosts = [0, 1].map(|n| format!("{prefix}-bare{n}"));
        for host in &hosts {
            ok(None, &format!("ip netns add {host} && ip -n {host} link set lo up"));
        }
        lab::wire([(hosts[0].as_str(), UNDERLAY[0]), (hosts[1].as_str(), UNDERLAY[1])]);
        for (n, host) in hosts.iter().enumerate() {
            let (own, other) = (UNDERLAY[n], UNDERLAY[1 - n]);
            let vx = format!("ip link add vx type vxlan id 7 local {own} remote {other} dstport 4789");
            ok(Some(host), &format!("{vx} && ip addr add 10.9.0.{}/24 dev vx && ip link set vx mtu 1450 up", n + 1));
        }
        Self(hosts)
    }
}

/// A VPC with one instance here and one at the other node, and rules of every kind.
fn pair(own: &PortView, other: &PortView, at: Ipv4Addr) -> VpcView {
    let mut view = crowd(std::slice::from_ref(own), 0, 1).vpcs.remove(0);
    view.sections.clear();
    view.members = vec![lab::members("sg-x", &[&own.private_ip, &other.private_ip])];
    view.remotes = vec![Remote { address: other.private_ip.clone(), vtep: at.to_string() }];
    for n in 0..40 {
        view.groups[0].rules.insert(0, lab::rule(n % 2 == 0, 6, 8000 + n, 8000 + n, lab::cidr("198.51.100.0/24")));
    }
    let entry = |n: u32| lab::acl_entry(n.is_multiple_of(2), n, n > 18, if n > 18 { -1 } else { 6 }, 9000, 9000);
    lab::guarded(view, &(1..=20).map(entry).collect::<Vec<_>>())
}

async fn ways() -> [f64; 3] {
    let mut labs = UNDERLAY.map(|vtep| Lab::with_vtep(&vtep.to_string()));
    lab::wire([(labs[0].host.as_str(), UNDERLAY[0]), (labs[1].host.as_str(), UNDERLAY[1])]);
    let ports = [port("a", 0, 11, &["sg-x"]), port("a", 1, 12, &["sg-x"])];
    let views = [pair(&ports[0], &ports[1], UNDERLAY[1]), pair(&ports[1], &ports[0], UNDERLAY[0])];
    let mut guests = Vec::new();
    for (n, lab) in labs.iter_mut().enumerate() {
        lab.apply(vec![views[n].clone()]).await;
        guests.push(lab.launch(&ports[n]).await);
    }
    let bare = Bare::new(&labs[0].prefix);
    let mut figures = [vec![], vec![], vec![]];
    for _ in 0..ROUNDS {
        figures[0].push(tcp(&guests[0], &guests[1], &ports[1].private_ip));
        let spaces = labs.each_ref().map(|lab| lab.names.vpc_ns("vpc-a"));
        let rules = spaces.each_ref().map(|ns| ok(Some(ns), "nft list ruleset"));
        spaces.iter().for_each(|ns| drop(ok(Some(ns), "nft flush ruleset")));
        figures[1].push(tcp(&guests[0], &guests[1], &ports[1].private_ip));
        for (ns, rules) in spaces.iter().zip(rules) {
            within(ns, || {
                let file = std::env::temp_dir().join(format!("{ns}.nft"));
                std::fs::write(&file, rules).unwrap();
                ok(Some(ns), &format!("nft -f {} && rm {}", file.display(), file.display()));
            });
        }
        figures[2].push(tcp(&bare.0[0], &bare.0[1], "10.9.0.2"));
    }
    figures.map(median)
}

#[tokio::main]
async fn main() {
    let (alone, whole) = one_of_ten_thousand(&mut Lab::new(), CHANGES).await;
    say("one-member", alone);
    say("one-member-whole", whole);
    let mut lost = 0;
    for (name, vpcs, instances) in [("start", 1, 200), ("start-vpcs", 20, 10)] {
        let mut walls = Vec::new();
        for _ in 0..STARTS {
            let (took, _, missed) = start(&mut Lab::new(), vpcs, instances).await;
            walls.push(took.wall.as_secs_f64() * 1000.0);
            lost += missed.len();
        }
        println!("{name} {:.1}", median(walls));
    }
    println!("start-lost {lost}");
    let [rules, none, bare] = ways().await;
    println!("tcp-rules {rules:.3}\ntcp-no-rules {none:.3}\ntcp-bare {bare:.3}");
}

//! A VPC of ten thousand instances as one node sees it, and what the node pays for a change of it. Also for `examples/engine.rs`.

use crate::lab::*;
use mallee_node_core::network::NetworkEngine as _;
use mallee_proto::v1::group_rule::Peer;
use mallee_proto::v1::{NodeView, PortView, Section, SectionItem, VpcView};
use mallee_proto::view;
use std::time::{Duration, Instant};

/// Instances of the VPC on other nodes, all members of one group.
pub const OTHERS: u32 = 10_000;
/// Other nodes.
const NODES: u32 = 100;
/// Ticks of the kernel's clocks of CPU time, in a second.
const TICKS: u64 = 100;

/// What something took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Took {
    pub wall: Duration,
    /// Of this process and the tools it ran.
    pub cpu: Duration,
}

impl Took {
    pub async fn by<T>(job: impl Future<Output = T>) -> (T, Self) {
        let (begun, before) = (Instant::now(), cpu());
        let came = job.await;
        (came, Self { wall: begun.elapsed(), cpu: cpu() - before })
    }

    pub fn each(self, times: u32) -> Self {
        Self { wall: self.wall / times, cpu: self.cpu / times }
    }
}

/// CPU time of this process and of its children that have ended.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    // The third of all fields comes first here; these are the 14th to the 17th.
    let ticks: u64 = fields.split(' ').skip(11).take(4).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 1000 / TICKS)
}

fn section(key: String, items: impl Iterator<Item = (String, String)>) -> Section {
    let mut all: Vec<(String, String)> = items.collect();
    all.sort();
    let mut encoded = Vec::new();
    for (address, vtep) in all {
        view::push(&mut encoded, &SectionItem { address, vtep, gone: false });
    }
    Section { key, items: encoded.into(), ..Section::default() }
}

/// Ports on this node, in the group of all.
pub fn ports(count: u8) -> Vec<PortView> {
    (0..count).map(|n| port("a", 0, 10 + n, &["sg-x"])).collect()
}

/// The VPC as it is told, with so many on other nodes. `rule`: a port that one of the group's rules names.
pub fn crowd(ports: &[PortView], others: u32, rule_port: i32) -> NodeView {
    let mut vpc: VpcView = vpc("a", 100, ports);
    let members = rule(false, -1, -1, -1, Peer::GroupId("sg-x".to_owned()));
    let other = rule(false, 6, rule_port, rule_port, cidr("0.0.0.0/0"));
    vpc.groups.push(group("sg-x", vec![all_out(), members, other]));
    let address = |n: u32| format!("10.0.{}.{}", 16 + n / 250, 2 + n % 250);
    let own = || ports.iter().map(|port| port.private_ip.clone());
    let places = (0..others).map(|n| (address(n), format!("192.0.2.{}", 2 + n % NODES)));
    let places = places.chain(own().map(|ip| (ip, "192.0.2.1".to_owned())));
    let sections = vec![
        section(view::places_of(&vpc.vpc_id), places),
        section(view::members_of("sg-x"), own().chain((0..others).map(address)).map(|ip| (ip, String::new()))),
    ];
    vpc.sections = sections.iter().map(|section| section.key.clone()).collect();
    NodeView { vpcs: vec![vpc], sections, ..NodeView::default() }
}

/// Applies a view as the next one.
pub async fn apply(lab: &mut Lab, view: &NodeView) {
    let next = lab.view(Vec::new());
    let next = NodeView { epoch: next.epoch, generation: next.generation, ..view.clone() };
    assert!(lab.engine().apply(next.into()).await.unwrap().port_errors.is_empty());
}

/// Ports without guests.
async fn plug(lab: &Lab, ports: &[PortView]) {
    for port in ports {
        lab.engine().create_tap(port).await.unwrap();
        lab.engine().plug(port).await.unwrap();
    }
}

/// An agent starts on a node with so many VPCs of so many instances, two of which speak with each other meanwhile; with what
/// it took, what they sent, and what of it was lost.
pub async fn start(lab: &mut Lab, vpcs: u8, instances: u8) -> (Took, u32, Vec<u32>) {
    let of = |n: u8| {
        let id = format!("a{n}");
        let ports: Vec<PortView> = (0..instances).map(|n| port(&id, 0, 10 + n, &["sg-open"])).collect();
        vpc(&id, 100 + u32::from(n), &ports)
    };
    let view = NodeView { vpcs: (0..vpcs).map(of).collect(), ..NodeView::default() };
    apply(lab, &view).await;
    let ports: Vec<PortView> = view.vpcs.iter().flat_map(|vpc| vpc.ports.clone()).collect();
    let (pair, rest) = ports.split_at(2);
    let (one, other) = (lab.launch(&pair[0]).await, lab.launch(&pair[1]).await);
    plug(lab, rest).await;
    lab.udp_echo(&other, 7);
    let pinger = Pinger::start(&one, &format!("{}:7", pair[1].private_ip));
    lab.engine = None;
    let ((), took) = Took::by(async {
        lab.restart();
        apply(lab, &view).await;
    })
    .await;
    let (sent, lost) = pinger.stop();
    (took, sent, lost)
}

/// One of ten thousand comes or goes, so often: by the change alone, and with a rule that changes as well, the whole way.
pub async fn one_of_ten_thousand(lab: &mut Lab, times: u32) -> (Took, Took) {
    let ports = ports(20);
    let view = |others, rule_port| crowd(&ports, others, rule_port);
    let (alone, whole) = ([view(OTHERS, 1), view(OTHERS + 1, 1)], [view(OTHERS, 2), view(OTHERS + 1, 3)]);
    apply(lab, &alone[0]).await;
    plug(lab, &ports).await;
    let mut took = Vec::new();
    for views in [&alone, &whole] {
        apply(lab, &views[0]).await;
        let rounds = async {
            for n in 0..times {
                apply(lab, &views[(n as usize + 1) % 2]).await;
            }
        };
        took.push(Took::by(rounds).await.1.each(times));
    }
    (took[0], took[1])
}

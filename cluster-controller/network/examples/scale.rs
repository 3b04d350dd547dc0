//! What a large VPC costs: 10,000 instances on 100 nodes, all in one security group that names itself. Prints a line per
//! figure; `cargo xtask bench --only network` reads them.
#![allow(clippy::print_stdout, clippy::expect_used, reason = "a bench, read by xtask")]

use mallee_network::{Model, Told, compile};
use mallee_proto::v1::{
    GroupRule, InstanceIntent, InstanceSpec, NodeView, Port, RouteTable, RunIntent, SecurityGroup, Subnet, Vpc,
    group_rule::Peer,
};
use mallee_proto::view;
use prost::Message as _;
use std::time::Instant;

const NODES: u32 = 100;
const INSTANCES: u32 = 10_000;
const TIMES: usize = 9;

fn instance(n: u32, generation: u64, groups: &[&str]) -> InstanceIntent {
    let port = Port {
        interface_id: format!("eni-{n:017x}"),
        mac: format!("02:00:00:00:{:02x}:{:02x}", n >> 8, n & 255),
        private_ip: format!("10.0.{}.{}", 16 + (n >> 8), n & 255),
        vpc_id: "vpc-1".into(),
        subnet_id: "subnet-1".into(),
        group_ids: groups.iter().map(|group| (*group).to_owned()).collect(),
        source_dest_check: true,
        ..Port::default()
    };
    InstanceIntent {
        id: format!("i-{n:017x}"),
        generation,
        incarnation: 1,
        node_id: format!("n{}", n % NODES),
        intent: RunIntent::Run.into(),
        spec: Some(InstanceSpec { ports: vec![port], ..InstanceSpec::default() }),
        ..InstanceIntent::default()
    }
}

fn model() -> Model {
    let mut model = Model::default();
    let vpc_id = "vpc-1".to_owned();
    model.set_vpc(Vpc {
        id: vpc_id.clone(),
        generation: 1,
        cidr: "10.0.0.0/16".into(),
        vni: 5000,
        main_route_table_id: "rtb-1".into(),
        ..Vpc::default()
    });
    let (id, cidr) = ("subnet-1".into(), "10.0.0.0/16".into());
    model.set_subnet(Subnet { id, generation: 1, vpc_id: vpc_id.clone(), cidr, ..Subnet::default() });
    let id = "rtb-1".into();
    model.set_route_table(RouteTable { id, generation: 1, vpc_id: vpc_id.clone(), number: 1, routes: vec![] });
    for group in ["sg-1", "sg-2"] {
        let rule = GroupRule {
            id: format!("sgr-{group}"),
            protocol: -1,
            from_port: -1,
            to_port: -1,
            peer: Some(Peer::GroupId("sg-1".into())),
            ..GroupRule::default()
        };
        model.set_group(SecurityGroup {
            id: group.into(),
            generation: 1,
            vpc_id: vpc_id.clone(),
            name: group.into(),
            rules: vec![rule],
        });
    }
    for n in 0..NODES {
        model.set_node(&format!("n{n}"), &format!("192.0.2.{n}"));
    }
    for n in 0..INSTANCES {
        model.set_instance(&instance(n, 1, &["sg-1"]), true);
    }
    model
}

/// The median of several runs, in milliseconds.
fn median(name: &str, mut run: impl FnMut(usize) -> f64) {
    let mut times: Vec<f64> = (0..TIMES).map(&mut run).collect();
    times.sort_by(f64::total_cmp);
    println!("{name} {:.3}", times[TIMES / 2]);
}

fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let out = work();
    (start.elapsed().as_secs_f64() * 1e3, out)
}

fn main() {
    let mut model = model();
    let mut nodes: Vec<(String, Told, NodeView)> =
        (0..NODES).map(|n| (format!("n{n}"), Told::default(), NodeView::default())).collect();
    median("compile", |_| {
        // One that has nothing ready.
        let fresh = model.clone();
        timed(|| compile(&fresh, "n0")).0
    });
    let whole = NodeView { epoch: 1, generation: 1, ..compile(&model, "n0") };
    let first = view::whole(&whole);
    median("first", |_| timed(|| view::apply(&NodeView::default(), &first).expect("it fits")).0);
    for (name, told, held) in &mut nodes {
        let update = told.learn_all(&model, name, 1).expect("the first view");
        *held = view::apply(held, &update).expect("it fits");
    }
    drop((model.take_touched_nodes(), model.take_learning_nodes()));
    let (mut tell, mut take, mut local, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for round in 0..TIMES {
        // One instance leaves the group, or comes back.
        let groups = if round % 2 == 0 { ["sg-1", "sg-2"] } else { ["sg-1", "sg-1"] };
        let changed = instance(7, 2 + round as u64, &groups[1..]);
        model.set_instance(&changed, true);
        let (own, update) = timed(|| nodes[7].1.learn_local(&model, "n7", 1));
        local.push(own);
        if let Some(update) = update {
            nodes[7].2 = view::apply(&nodes[7].2, &update).expect("it fits");
        }
        let (mut told_ms, mut applied_ms) = (0.0, 0.0);
        for (name, told, held) in &mut nodes {
            let (ms, update) = timed(|| told.learn_all(&model, name, 1));
            told_ms += ms;
            let Some(update) = update else { continue };
            bytes = update.encoded_len();
            let (ms, next) = timed(|| view::apply(held, &update).expect("it fits"));
            applied_ms += ms;
            *held = next;
        }
        tell.push(told_ms);
        take.push(applied_ms / f64::from(NODES));
    }
    println!("bytes {bytes}");
    median("own-node", |n| local[n]);
    median("tell-all-nodes", |n| tell[n]);
    median("take-per-node", |n| take[n]);
}

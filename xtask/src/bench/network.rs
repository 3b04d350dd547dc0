//! The network compiler at 10,000 instances, and the network of one node in its kernel: examples of their crates do the work
//! and are timed from inside.

use super::Bench;
use super::report::{Row, Table};
use crate::tree;
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeMap;
use std::process::Command;

/// Name in the example's output, what it is, and the aim in milliseconds.
const FIGURES: [(&str, &str, f64); 4] = [
    ("compile", "one node's view of a VPC with 10,000 instances, compiled whole", 50.0),
    ("own-node", "the update for a node when one of its own instances changes", 1.0),
    ("tell-all-nodes", "one member of a group of 10,000 changes: the updates for all of 100 nodes", 100.0),
    ("take-per-node", "the same, at a node: the update checked and put into its view", 10.0),
];

pub(super) fn run(_: &Bench) -> Result<Table> {
    let mut rows = compiler(&example("mallee-network", "scale")?)?;
    rows.extend(engine(&example("mallee-net", "engine")?)?);
    Ok(Table { name: "network", rows })
}

/// What an example says, by name.
struct Said(BTreeMap<String, f64>);

impl Said {
    fn figure(&self, name: &str) -> Result<f64> {
        self.0.get(name).copied().with_context(|| format!("the example says nothing of {name}"))
    }
}

/// Runs an example in the profile that users get.
fn example(package: &str, name: &str) -> Result<Said> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut example = Command::new(cargo);
    example.args(["run", "--release", "--quiet", "--package", package, "--example", name]);
    let out = example.current_dir(tree::root()?).output()?;
    ensure!(out.status.success(), "the example {name} failed: {}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout)?;
    let said = text.lines().filter_map(|line| line.split_once(' '));
    Ok(Said(said.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()))
}

fn compiler(said: &Said) -> Result<Vec<Row>> {
    let (first, bytes) = (said.figure("first")?, said.figure("bytes")?);
    let row = |(name, what, aim): (&str, &str, f64)| {
        let ms = said.figure(name)?;
        let beside = match name {
            "tell-all-nodes" => format!("{bytes:.0} bytes to each node"),
            _ => format!("{:.2} times taking that view whole, each of its items hashed ({first:.2} ms)", ms / first),
        };
        Ok(at_most(what, ms, aim, beside))
    };
    FIGURES.into_iter().map(row).collect()
}

/// One node's engine. What else runs on the machine shows in the time that passes, and little in CPU time.
fn engine(said: &Said) -> Result<Vec<Row>> {
    let figure = |name: &str| said.figure(name);
    let (cpu, whole) = (figure("one-member-cpu")?, figure("one-member-whole-cpu")?);
    let change = format!(
        "with a rule that changes as well {whole:.1} ms; from the view to the kernel {:.1} ms and {:.1} ms",
        figure("one-member-wall")?,
        figure("one-member-whole-wall")?
    );
    let lost = figure("start-lost")?;
    let start = |what: &str, name: &str| {
        let row = at_most(what, figure(name)?, 1000.0, format!("{lost:.0} packets lost between two of them"));
        Ok::<Row, anyhow::Error>(Row { met: row.met.map(|met| met && lost == 0.0), ..row })
    };
    let (rules, none, bare) = (figure("tcp-rules")?, figure("tcp-no-rules")?, figure("tcp-bare")?);
    let tcp = |what: &str, other: f64, aim: f64| Row {
        what: what.to_owned(),
        figure: format!("{:.2}", rules / other),
        aim: format!("≥ {aim}"),
        met: Some(rules / other >= aim),
        beside: format!("{rules:.1} Gbit/s beside {other:.1} Gbit/s, in turn"),
    };
    Ok(vec![
        at_most("one of 10,000 members comes or goes: CPU of its node, with the tools it runs", cpu, 10.0, change),
        start("the network of an agent that starts with 200 instances in one VPC", "start")?,
        start("the same with 20 VPCs of 10 instances", "start-vpcs")?,
        tcp("one TCP flow between instances of two nodes, with groups and ACLs beside no rules at all", none, 0.9),
        tcp("the same beside a bare VXLAN between the hosts", bare, 0.8),
    ])
}

fn at_most(what: &str, ms: f64, aim: f64, beside: String) -> Row {
    Row {
        what: what.to_owned(),
        figure: format!("{ms:.2} ms"),
        aim: format!("≤ {aim} ms"),
        met: Some(ms <= aim),
        beside,
    }
}

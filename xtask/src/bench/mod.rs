//! `cargo xtask bench`: the budgets of the design, measured, and docs/performance.md.
//!
//! Each group starts a cloud of its own from the release binary, loads it over its real port, measures something real
//! beside it in the same run, and replaces its own table on the page; the words around the tables are written by hand.

mod authorize;
mod client;
mod cloud;
mod describe;
mod guest;
mod idle;
mod launches;
mod load;
mod network;
mod process;
mod report;
mod s3;
mod scale;

use crate::tree;
use anyhow::{Context as _, Result, ensure};
use report::Table;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The page, from the root of the tree.
const PAGE: &str = "docs/performance.md";
/// Where clouds keep their state: a directory on a disk (not in memory), which QEMU's user may enter.
const SCRATCH: &str = "/var/tmp";

/// A group of measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Group {
    /// From RunInstances to the guest's first process, beside bare virsh. Needs root and libvirt.
    Guest,
    /// Launches per second to running on simulated nodes.
    Launches,
    /// DescribeInstances.
    Describe,
    /// Signature and policies before every call.
    Authorize,
    /// Descriptions at a hundred thousand instances beside the same at a thousand.
    Scale,
    /// Memory and CPU of a cloud that nobody uses. Needs root and libvirt for the real one.
    Idle,
    /// The network compiler at ten thousand instances, and the network of one node in its kernel. Needs root.
    Network,
    /// S3 beside nginx and radosgw: reads, writes, listings, memory. Needs nginx with its DAV module, and what the client
    /// tests need.
    S3,
}

const ALL: &[Group] = &[
    Group::Guest,
    Group::Launches,
    Group::Describe,
    Group::Authorize,
    Group::Scale,
    Group::Idle,
    Group::Network,
    Group::S3,
];

/// What `xtask bench` is asked.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Measure only these groups (default: all).
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Group>,
    /// The binary to measure (default: build target/release/mallee and take it).
    #[arg(long)]
    binary: Option<PathBuf>,
    /// The disk of the guest (default: target/tiny.qcow2; built by deploy/images/tiny/build).
    #[arg(long)]
    image: Option<PathBuf>,
    /// Of group s3 measure only what has one of these texts in its name, and only print it.
    #[arg(long, value_delimiter = ',')]
    part: Vec<String>,
    /// Print only; leave docs/performance.md as it is.
    #[arg(long)]
    dry_run: bool,
}

/// What the groups share.
#[derive(Debug)]
pub(crate) struct Bench {
    binary: PathBuf,
    image: PathBuf,
    /// Where clouds keep their state while they are measured.
    scratch: PathBuf,
    /// Of a group with many figures, which ones; empty for all.
    parts: Vec<String>,
}

impl Bench {
    /// Whether a figure is to be measured.
    fn wants(&self, name: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|part| name.contains(part.as_str()))
    }

    /// Builds an example of the store, which fills databases, in the profile of what is measured.
    fn filler(&self, name: &str) -> Result<PathBuf> {
        let root = tree::root()?;
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let release = self.binary.starts_with(root.join("target/release"));
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--package", "mallee-store", "--example", name]);
        if release {
            build.arg("--release");
        }
        ensure!(build.current_dir(&root).status()?.success(), "building the loader failed");
        Ok(root.join("target").join(if release { "release" } else { "debug" }).join("examples").join(name))
    }
}

/// Measures, prints, and writes the page.
#[allow(clippy::print_stdout, reason = "the report of a task")]
pub fn run(args: &Args) -> Result<()> {
    let root = tree::root()?;
    let binary = match &args.binary {
        Some(binary) => binary.canonicalize().with_context(|| format!("no binary at {}", binary.display()))?,
        None => build(&root)?,
    };
    let bench = Bench {
        binary,
        image: args.image.clone().unwrap_or_else(|| root.join("target/tiny.qcow2")),
        scratch: Path::new(SCRATCH).join(format!("mallee-bench-{}", std::process::id())),
        parts: args.part.clone(),
    };
    // Fails if it is there: nobody else's directory is used.
    std::fs::create_dir(&bench.scratch).with_context(|| format!("making {}", bench.scratch.display()))?;
    for group in if args.only.is_empty() { ALL } else { &args.only } {
        let table = match group {
            Group::Guest => guest::run(&bench),
            Group::Launches => launches::run(&bench),
            Group::Describe => describe::run(&bench),
            Group::Authorize => authorize::run(&bench),
            Group::Scale => scale::run(&bench),
            Group::Idle => idle::run(&bench),
            Group::Network => network::run(&bench),
            Group::S3 => s3::run(&bench),
        };
        let table: Table = table.with_context(|| format!("measuring {group:?}"))?;
        println!("{}", table.text());
        if !args.dry_run && args.part.is_empty() {
            report::write(&root.join(PAGE), &table)?;
        }
    }
    // Kept after a failure, for its logs.
    Ok(std::fs::remove_dir_all(&bench.scratch)?)
}

/// Builds what is measured: the binary a user gets.
fn build(root: &Path) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let done = Command::new(cargo).args(["build", "--release", "--package", "mallee"]).current_dir(root).status()?;
    ensure!(done.success(), "the release build failed");
    Ok(root.join("target/release/mallee"))
}

/// Waits. The bench has threads, and no runtime whose workers it could block.
#[allow(clippy::disallowed_methods, reason = "no async runtime here")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// The middle of some measurements; of an even count the upper one. Zero of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert!((median(vec![9.0, 1.0, 5.0]) - 5.0).abs() < f64::EPSILON);
        assert!(median(Vec::new()).abs() < f64::EPSILON);
    }
}

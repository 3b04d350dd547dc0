//! `mallee down`: stops the controllers; with `--destroy`, removes everything Mallee made on the host.

use crate::state::{StateDir, holder};
use anyhow::{Context as _, Result, bail};
use mallee_libvirt::{LibvirtConfig, LibvirtHypervisor};
use mallee_net::{KernelNetwork, NetConfig};
use mallee_node_core::{HeldInstances, Hypervisor as _, NetworkEngine as _};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for the controllers to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// `mallee down`.
#[derive(Debug, Clone, clap::Args)]
pub struct DownArgs {
    /// Also remove every instance, network and file that Mallee made on this host, and its state. There is no way back.
    #[arg(long)]
    pub destroy: bool,
}

/// Stops the cloud of this state directory.
///
/// # Errors
/// One line that says what to do.
pub async fn down(state: &Path, args: &DownArgs) -> Result<()> {
    match holder(state)? {
        Some(pid) => stop(state, pid).await?,
        None if !args.destroy => bail!("no cloud with state in {} is running", state.display()),
        None => {}
    }
    if args.destroy { destroy(state).await } else { Ok(()) }
}

async fn stop(state: &Path, pid: i32) -> Result<()> {
    kill(Pid::from_raw(pid), Signal::SIGTERM).with_context(|| format!("cannot stop process {pid}; are you root?"))?;
    let deadline = tokio::time::Instant::now() + STOP_TIMEOUT;
    while holder(state)?.is_some() {
        if tokio::time::Instant::now() >= deadline {
            bail!("process {pid} did not end within {} seconds; end it with `kill -9 {pid}`", STOP_TIMEOUT.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn destroy(state: &Path) -> Result<()> {
    if !state.exists() {
        return Ok(());
    }
    // Held to the end, so that nobody starts on a half-removed directory.
    let dir = StateDir::take(state)?;
    let node = dir.join("node");
    if node.exists() {
        let hypervisor =
            LibvirtHypervisor::connect(LibvirtConfig::new(&node)).await.context("the instances were not removed")?;
        let domains = hypervisor.domains().await?.into_iter().map(|domain| domain.instance);
        for id in domains.chain(hypervisor.disks().await?) {
            hypervisor.remove(&id).await.with_context(|| format!("{id} was not removed"))?;
        }
        let config = NetConfig::new(Ipv4Addr::LOCALHOST);
        let network =
            KernelNetwork::new(config, Arc::new(HeldInstances::default())).context("the network was not removed")?;
        network.destroy_all().await.context("the network was not removed")?;
    }
    std::fs::remove_dir_all(state).with_context(|| format!("cannot remove {}", state.display()))
}

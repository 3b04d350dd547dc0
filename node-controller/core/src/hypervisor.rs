//! What the node asks of a hypervisor: domains and their root disks, nothing else.
//!
//! Every method is idempotent: asked twice, or asked after a crash in the middle, it ends in the same state.
//! A driver never touches a domain or file that does not bear Mallee's mark (name prefix and metadata).

use crate::picture::Picture;
use async_trait::async_trait;
use mallee_types::{Incarnation, InstanceId, MacAddress};
use std::fmt;
use std::path::PathBuf;
use tokio::sync::broadcast;

/// What the host can give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// For people, for example `libvirt 9.0.0, QEMU 7.2.0 (TCG: no vmx or svm)`.
    pub description: String,
    /// Virtual CPUs that may be handed out (real ones times the driver's overcommit).
    pub vcpus: u32,
    /// Memory that may be handed out, in MiB.
    pub memory_mib: u64,
    /// Disk that may be handed out, in bytes.
    pub disk_bytes: u64,
    /// What an operator should know (no KVM, …).
    pub warnings: Vec<String>,
}

/// One network card of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NicSpec {
    /// The tap device, made by the network engine in the hypervisor's own namespace before the domain starts.
    pub tap: String,
    /// The card's address.
    pub mac: MacAddress,
    /// The largest packet the network carries, in bytes.
    pub mtu: u32,
}

/// Everything needed to start a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainSpec {
    /// The instance.
    pub instance: InstanceId,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// The image under the root disk.
    pub image: CachedImageRef,
    /// Size of the root disk in bytes (at least the image's virtual size).
    pub root_disk_bytes: u64,
    /// Network cards in order of device index.
    pub nics: Vec<NicSpec>,
}

/// A cached image as a driver needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedImageRef {
    /// Hex SHA-256 of the file.
    pub digest: String,
    /// The file.
    pub path: PathBuf,
    /// `qcow2` or `raw`.
    pub format: String,
}

/// Whether a domain executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainState {
    /// Defined, started, and held before its first (or next) instruction.
    Paused,
    /// Executing.
    Running,
    /// Off. `crashed`: not by order and not by the guest's own power-off.
    Off {
        /// The domain died rather than ended.
        crashed: bool,
    },
}

/// A domain of ours as the hypervisor holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainRecord {
    /// The instance, from the domain's metadata.
    pub instance: InstanceId,
    /// Its incarnation, from the domain's metadata.
    pub incarnation: Incarnation,
    /// What it does.
    pub state: DomainState,
    /// The driver itself knows that the guest has used its network since it booted. A driver that only runs domains
    /// says no: the network's services tell.
    pub heard: bool,
    /// The network cards it holds, by their addresses.
    pub nics: Vec<MacAddress>,
}

/// Something happened to a domain of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainEvent {
    /// The domain's state may have changed: look.
    Changed(InstanceId),
    /// The machine was reset, by its guest or by order, and boots again.
    Rebooted(InstanceId),
    /// Events may have been lost (the hypervisor's daemon restarted): look at everything.
    Resync,
}

/// Why a driver could not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HypervisorError {
    /// The hypervisor does not answer; trying again can help.
    #[error("hypervisor unavailable: {0}")]
    Unavailable(String),
    /// This instance cannot be run here as asked; trying again cannot help.
    #[error("{0}")]
    Refused(String),
    /// The host is out of something; names what.
    #[error("host exhausted: {0}")]
    Exhausted(String),
    /// Anything else; trying again may help.
    #[error("{0}")]
    Failed(String),
}

/// Domains and their root disks on one host.
#[async_trait]
pub trait Hypervisor: Send + Sync + fmt::Debug {
    /// What the host can give.
    async fn facts(&self) -> Result<HostFacts, HypervisorError>;

    /// Every domain that bears our mark.
    async fn domains(&self) -> Result<Vec<DomainRecord>, HypervisorError>;

    /// One domain of ours; `None` when there is none.
    async fn domain(&self, id: &InstanceId) -> Result<Option<DomainRecord>, HypervisorError>;

    /// Makes the root disk (a copy-on-write overlay over the cached image) unless it exists. Survives stop and start.
    async fn prepare_disk(&self, spec: &DomainSpec) -> Result<(), HypervisorError>;

    /// Defines and starts the domain, held before its first instruction. If the same incarnation is already
    /// started, does nothing; an older incarnation is removed first; a newer one is an error.
    async fn start_paused(&self, spec: &DomainSpec) -> Result<(), HypervisorError>;

    /// Lets a paused domain execute.
    async fn resume(&self, id: &InstanceId) -> Result<(), HypervisorError>;

    /// Gives a domain that is on one more network card. It has one of this address already: fine. Off: an error.
    async fn attach_nic(&self, id: &InstanceId, nic: &NicSpec) -> Result<(), HypervisorError>;

    /// Takes a network card out of a domain that is on. Gone already, or off: fine. Its guest must let it go: one that
    /// has not done so in a while is an error, and asking again asks it again.
    async fn detach_nic(&self, id: &InstanceId, mac: MacAddress) -> Result<(), HypervisorError>;

    /// Presses the power button (the guest may take its time, or ignore it).
    async fn shutdown(&self, id: &InstanceId) -> Result<(), HypervisorError>;

    /// Pulls the plug. Off already: fine. The domain's definition may go; its disk stays.
    async fn power_off(&self, id: &InstanceId) -> Result<(), HypervisorError>;

    /// Asks the guest to reboot (it may take its time, or ignore it). When it has ended what it runs, the machine is
    /// reset, and [`DomainEvent::Rebooted`] tells it.
    async fn reboot(&self, id: &InstanceId) -> Result<(), HypervisorError>;

    /// Presses the reset button.
    async fn reset(&self, id: &InstanceId) -> Result<(), HypervisorError>;

    /// Removes domain (off first), root disk, console log and every other trace. Absent already: fine.
    async fn remove(&self, id: &InstanceId) -> Result<(), HypervisorError>;

    /// Instances of which files (disk, console) exist, domain or not: what a sweep must look at.
    async fn disks(&self) -> Result<Vec<InstanceId>, HypervisorError>;

    /// The last bytes the guest wrote to its serial console (at most `limits::CONSOLE_BYTES_MAX`).
    async fn console(&self, id: &InstanceId) -> Result<Vec<u8>, HypervisorError>;

    /// A picture of the guest's screen. Off, or without a screen: `Refused`.
    async fn screenshot(&self, id: &InstanceId) -> Result<Picture, HypervisorError>;

    /// Gives the guest a non-maskable interrupt. Off: `Refused`.
    async fn interrupt(&self, id: &InstanceId) -> Result<(), HypervisorError>;

    /// Events from now on. A receiver that lags must treat it as [`DomainEvent::Resync`].
    fn subscribe(&self) -> broadcast::Receiver<DomainEvent>;
}

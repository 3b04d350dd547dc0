//! What an operator may set.

use std::path::PathBuf;

/// How guests execute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Accelerator {
    /// KVM where the CPU really has it (vmx or svm, and `/dev/kvm`), else emulation.
    #[default]
    Auto,
    /// KVM; refused where the host has none.
    Kvm,
    /// Software emulation (QEMU's TCG).
    Emulation,
}

/// Settings of the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibvirtConfig {
    /// A local QEMU connection: `qemu:///system`, with `?socket=PATH` for a libvirtd of one's own.
    pub uri: String,
    /// Absolute; disks and consoles live in `instances/` below it. QEMU's user must be able to enter it.
    pub state_dir: PathBuf,
    /// How guests execute.
    pub accelerator: Accelerator,
    /// Virtual CPUs handed out for each real one.
    pub vcpu_overcommit: u32,
    /// Memory kept for the host and for QEMU itself, in MiB.
    pub memory_reserve_mib: u64,
    /// Memory handed out, in per cent of what is left after the reserve.
    pub memory_overcommit_percent: u32,
    /// Disk kept free, in bytes.
    pub disk_reserve_bytes: u64,
    /// Disk handed out, in per cent of what is left after the reserve (overlays are thin).
    pub disk_overcommit_percent: u32,
}

impl LibvirtConfig {
    /// `qemu:///system` with its files below `state_dir`; 16 virtual CPUs for each real one, 1 GiB of memory and of
    /// disk kept for the host, memory not overcommitted, disk four times.
    #[must_use]
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            uri: "qemu:///system".to_owned(),
            state_dir: state_dir.into(),
            accelerator: Accelerator::Auto,
            vcpu_overcommit: 16,
            memory_reserve_mib: 1024,
            memory_overcommit_percent: 100,
            disk_reserve_bytes: 1 << 30,
            disk_overcommit_percent: 400,
        }
    }
}

//! What the host can give: pure sums over what was read, and the readings.

use crate::config::{Accelerator, LibvirtConfig};
use mallee_node_core::{HostFacts, HypervisorError};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

const KVM_DEVICE: &str = "/dev/kvm";
const CPU_INFO: &str = "/proc/cpuinfo";

/// Whether guests run on KVM, and what an operator should know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acceleration {
    pub(crate) kvm: bool,
    /// For the description, for example `TCG: no vmx or svm`.
    pub(crate) why: String,
    pub(crate) warnings: Vec<String>,
}

/// Looks at this host.
pub(crate) fn detect(wish: Accelerator) -> Result<Acceleration, HypervisorError> {
    let cpu_info = std::fs::read_to_string(CPU_INFO).unwrap_or_default();
    decide(wish, Path::new(KVM_DEVICE).exists(), &cpu_info)
}

/// KVM only where the CPU has it: on some virtual machines `/dev/kvm` exists and guests hang on it, and libvirt's
/// capabilities advertise it all the same.
fn decide(wish: Accelerator, device: bool, cpu_info: &str) -> Result<Acceleration, HypervisorError> {
    let cpu = cpu_info
        .lines()
        .filter(|line| line.starts_with("flags"))
        .any(|line| line.split_ascii_whitespace().any(|flag| matches!(flag, "vmx" | "svm")));
    let missing = match (cpu, device) {
        (true, true) => None,
        (false, _) => Some("no vmx or svm"),
        (true, false) => Some("no /dev/kvm"),
    };
    let emulation = |why: String, warnings| Ok(Acceleration { kvm: false, why: format!("TCG: {why}"), warnings });
    match (wish, missing) {
        (Accelerator::Auto | Accelerator::Kvm, None) => {
            Ok(Acceleration { kvm: true, why: "KVM".into(), warnings: vec![] })
        }
        (Accelerator::Kvm, Some(missing)) => Err(HypervisorError::Refused(format!(
            "KVM was asked for, but this host has {missing}: enable virtualisation in the firmware, or choose emulation"
        ))),
        (Accelerator::Emulation, _) => emulation("as configured".into(), vec![]),
        (Accelerator::Auto, Some(missing)) => {
            let mut warnings = vec![format!("no KVM ({missing}): guests run in software emulation, many times slower")];
            if device {
                warnings.push(
                    "/dev/kvm exists though the CPU cannot use it, and makes libvirtd probe QEMU at every start (seconds \
                     each): hide it from libvirtd"
                        .into(),
                );
            }
            emulation(missing.into(), warnings)
        }
    }
}

/// What was read of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Readings {
    /// libvirt's encoding: major * 1,000,000 + minor * 1,000 + release.
    pub(crate) libvirt: u32,
    /// The same, of QEMU.
    pub(crate) qemu: u32,
    pub(crate) cpus: u32,
    pub(crate) memory_kib: u64,
    /// Free for us on the file system of the state directory, in bytes.
    pub(crate) disk_free: u64,
    /// Already taken there by our disks, in bytes.
    pub(crate) disk_ours: u64,
}

/// The sums.
pub(crate) fn facts(config: &LibvirtConfig, acceleration: &Acceleration, read: &Readings) -> HostFacts {
    let percent =
        |value: u64, percent: u32| u64::try_from(u128::from(value) * u128::from(percent) / 100).unwrap_or(u64::MAX);
    let version = |v: u32| format!("{}.{}.{}", v / 1_000_000, v / 1000 % 1000, v % 1000);
    let memory = (read.memory_kib / 1024).saturating_sub(config.memory_reserve_mib);
    let disk = read.disk_free.saturating_add(read.disk_ours).saturating_sub(config.disk_reserve_bytes);
    let mut warnings = acceleration.warnings.clone();
    warnings.extend(closed_directory(&config.state_dir));
    HostFacts {
        description: format!("libvirt {}, QEMU {} ({})", version(read.libvirt), version(read.qemu), acceleration.why),
        vcpus: read.cpus.saturating_mul(config.vcpu_overcommit),
        memory_mib: percent(memory, config.memory_overcommit_percent),
        disk_bytes: percent(disk, config.disk_overcommit_percent),
        warnings,
    }
}

/// A directory on the way that QEMU's own user cannot enter.
fn closed_directory(state_dir: &Path) -> Option<String> {
    let closed =
        state_dir.ancestors().find(|dir| std::fs::metadata(dir).is_ok_and(|m| m.permissions().mode() & 0o001 == 0))?;
    Some(format!("QEMU runs as a user of its own and cannot enter {0}: chmod o+x {0}", closed.display()))
}

/// Bytes free for us on the file system of `path`.
pub(crate) fn disk_free(path: &Path) -> Result<u64, HypervisorError> {
    let stat = nix::sys::statvfs::statvfs(path).map_err(|error| {
        HypervisorError::Failed(format!("cannot read the free space of {}: {error}", path.display()))
    })?;
    Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTEL: &str = "processor : 0\nflags\t\t: fpu vme vmx sse2\n";
    const AMD: &str = "flags\t\t: fpu svm\n";
    /// `vmx flags` is a line of its own on Intel, and `vmxfoo` is no flag; neither counts.
    const GUEST: &str = "processor : 0\nvmx flags : vnmi\nflags\t\t: fpu vme vmxfoo sse2\n";

    #[test]
    fn kvm_needs_the_device_and_the_cpu() {
        use Accelerator as A;
        let kvm = |wish, device, cpu| decide(wish, device, cpu).map(|a| a.kvm).ok();
        assert_eq!(kvm(A::Auto, true, INTEL), Some(true));
        assert_eq!(kvm(A::Auto, true, AMD), Some(true));
        assert_eq!(kvm(A::Auto, false, INTEL), Some(false));
        assert_eq!(kvm(A::Auto, true, GUEST), Some(false));
        assert_eq!(kvm(A::Auto, true, ""), Some(false));
        assert_eq!(kvm(A::Emulation, true, INTEL), Some(false));
        assert_eq!(kvm(A::Kvm, true, INTEL), Some(true));
        assert_eq!(kvm(A::Kvm, true, GUEST), None);
        assert_eq!(decide(A::Auto, true, GUEST).unwrap().warnings.len(), 2);
        assert_eq!(decide(A::Auto, false, GUEST).unwrap().warnings.len(), 1);
    }

    #[test]
    fn the_sums_follow_the_settings_and_never_wrap() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let config = LibvirtConfig::new(dir.path());
        let acceleration = decide(Accelerator::Auto, false, "").unwrap();
        let read = Readings {
            libvirt: 9_000_000,
            qemu: 7_002_022,
            cpus: 2,
            memory_kib: 4 << 20,
            disk_free: 10 << 30,
            disk_ours: 1 << 30,
        };
        let facts = super::facts(&config, &acceleration, &read);
        assert_eq!(facts.description, "libvirt 9.0.0, QEMU 7.2.22 (TCG: no vmx or svm)");
        assert_eq!((facts.vcpus, facts.memory_mib, facts.disk_bytes), (32, 3072, 40 << 30));
        assert_eq!(facts.warnings.len(), 1);
        let tiny = Readings { memory_kib: 1, disk_free: 1, disk_ours: 0, ..read };
        let facts = super::facts(&config, &acceleration, &tiny);
        assert_eq!((facts.memory_mib, facts.disk_bytes), (0, 0));
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(super::facts(&config, &acceleration, &tiny).warnings[1].contains("chmod o+x"));
    }
}

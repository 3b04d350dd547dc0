//! The instance types Mallee offers: sizes that libvirt can give on any host, under AWS's names.

/// One size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceType {
    /// AWS's name.
    pub name: &'static str,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Root disk in GiB (the smallest size; a larger image gets a larger disk).
    pub root_disk_gib: u64,
    /// Burstable (the T families): shown to clients, no credits are counted.
    pub burstable: bool,
    /// Current generation, by AWS's list.
    pub current_generation: bool,
    /// Network interfaces an instance may have: AWS's figure, at most as many as a node can plug in (8).
    pub interfaces: u32,
    /// Private IPv4 addresses of each of them, the primary one included.
    pub addresses_per_interface: u32,
    /// What passes each way, in Mbit/s, where the cloud limits that: AWS's baseline. 0: AWS has no figure, so there is no
    /// limit.
    pub network_mbps: u32,
}

const fn size(
    name: &'static str,
    vcpus: u32,
    memory_mib: u64,
    root_disk_gib: u64,
    interfaces: u32,
    addresses_per_interface: u32,
    network_mbps: u32,
) -> InstanceType {
    let burstable = name.as_bytes()[0] == b't';
    let current_generation = name.as_bytes()[1] != b'1' && name.as_bytes()[1] != b'2' && name.as_bytes()[1] != b'4'
        || (burstable && name.as_bytes()[1] == b'2');
    InstanceType {
        name,
        vcpus,
        memory_mib,
        root_disk_gib,
        burstable,
        current_generation,
        interfaces,
        addresses_per_interface,
        network_mbps,
    }
}

/// Every type, smallest first within its family. vCPU and memory are AWS's own figures; t3.nano, the
/// smallest, is what the tests start.
pub const INSTANCE_TYPES: &[InstanceType] = &[
    size("t2.nano", 1, 512, 8, 2, 2, 0),
    size("t2.micro", 1, 1024, 8, 2, 2, 0),
    size("t2.small", 1, 2048, 10, 3, 4, 0),
    size("t2.medium", 2, 4096, 10, 3, 6, 0),
    size("t2.large", 2, 8192, 20, 3, 12, 0),
    size("t3.nano", 2, 512, 8, 2, 2, 32),
    size("t3.micro", 2, 1024, 8, 2, 2, 64),
    size("t3.small", 2, 2048, 10, 3, 4, 128),
    size("t3.medium", 2, 4096, 10, 3, 6, 256),
    size("t3.large", 2, 8192, 20, 3, 12, 512),
    size("t3.xlarge", 4, 16384, 20, 4, 15, 1024),
    size("t3.2xlarge", 8, 32768, 40, 4, 15, 2048),
    size("m1.small", 1, 1740, 10, 2, 4, 0),
    size("m1.medium", 1, 3840, 10, 2, 6, 0),
    size("m1.large", 2, 7680, 20, 3, 10, 0),
    size("m5.large", 2, 8192, 20, 3, 10, 750),
    size("m5.xlarge", 4, 16384, 40, 4, 15, 1250),
    size("m5.2xlarge", 8, 32768, 40, 4, 15, 2500),
    size("m5.4xlarge", 16, 65536, 80, 8, 30, 5000),
    size("m5.8xlarge", 32, 131_072, 80, 8, 30, 10_000),
    size("m5.12xlarge", 48, 196_608, 80, 8, 30, 12_000),
    size("m5.16xlarge", 64, 262_144, 80, 8, 50, 20_000),
    size("c5.large", 2, 4096, 20, 3, 10, 750),
    size("c5.xlarge", 4, 8192, 20, 4, 15, 1250),
    size("c5.2xlarge", 8, 16384, 40, 4, 15, 2500),
    size("c5.4xlarge", 16, 32768, 40, 8, 30, 5000),
    size("c5.9xlarge", 36, 73728, 80, 8, 30, 12_000),
    size("r5.large", 2, 16384, 20, 3, 10, 750),
    size("r5.xlarge", 4, 32768, 20, 4, 15, 1250),
    size("r5.2xlarge", 8, 65536, 40, 4, 15, 2500),
    size("r5.4xlarge", 16, 131_072, 40, 8, 30, 5000),
];

/// The type with this name.
#[must_use]
pub fn instance_type(name: &str) -> Option<&'static InstanceType> {
    INSTANCE_TYPES.iter().find(|t| t.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_sizes_sane() {
        let names: HashSet<_> = INSTANCE_TYPES.iter().map(|t| t.name).collect();
        assert_eq!(names.len(), INSTANCE_TYPES.len());
        assert!(INSTANCE_TYPES.iter().all(|t| t.vcpus > 0 && t.memory_mib >= 512 && t.root_disk_gib > 0));
        assert!(INSTANCE_TYPES.iter().all(|t| (2..=8).contains(&t.interfaces) && t.addresses_per_interface >= 2));
        assert!(instance_type("t3.nano").is_some_and(|t| t.burstable && t.current_generation));
        assert!(instance_type("m1.small").is_some_and(|t| !t.burstable && !t.current_generation));
    }
}

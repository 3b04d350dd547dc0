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
}

const fn size(name: &'static str, vcpus: u32, memory_mib: u64, root_disk_gib: u64) -> InstanceType {
    let burstable = name.as_bytes()[0] == b't';
    let current_generation = name.as_bytes()[1] != b'1' && name.as_bytes()[1] != b'2' && name.as_bytes()[1] != b'4'
        || (burstable && name.as_bytes()[1] == b'2');
    InstanceType { name, vcpus, memory_mib, root_disk_gib, burstable, current_generation }
}

/// Every type, smallest first within its family. vCPU and memory are AWS's own figures; t3.nano, the
/// smallest, is what the tests start.
pub const INSTANCE_TYPES: &[InstanceType] = &[
    size("t2.nano", 1, 512, 8),
    size("t2.micro", 1, 1024, 8),
    size("t2.small", 1, 2048, 10),
    size("t2.medium", 2, 4096, 10),
    size("t2.large", 2, 8192, 20),
    size("t3.nano", 2, 512, 8),
    size("t3.micro", 2, 1024, 8),
    size("t3.small", 2, 2048, 10),
    size("t3.medium", 2, 4096, 10),
    size("t3.large", 2, 8192, 20),
    size("t3.xlarge", 4, 16384, 20),
    size("t3.2xlarge", 8, 32768, 40),
    size("m1.small", 1, 1740, 10),
    size("m1.medium", 1, 3840, 10),
    size("m1.large", 2, 7680, 20),
    size("m5.large", 2, 8192, 20),
    size("m5.xlarge", 4, 16384, 40),
    size("m5.2xlarge", 8, 32768, 40),
    size("m5.4xlarge", 16, 65536, 80),
    size("m5.8xlarge", 32, 131_072, 80),
    size("m5.12xlarge", 48, 196_608, 80),
    size("m5.16xlarge", 64, 262_144, 80),
    size("c5.large", 2, 4096, 20),
    size("c5.xlarge", 4, 8192, 20),
    size("c5.2xlarge", 8, 16384, 40),
    size("c5.4xlarge", 16, 32768, 40),
    size("c5.9xlarge", 36, 73728, 80),
    size("r5.large", 2, 16384, 20),
    size("r5.xlarge", 4, 32768, 20),
    size("r5.2xlarge", 8, 65536, 40),
    size("r5.4xlarge", 16, 131_072, 40),
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
        assert!(instance_type("t3.nano").is_some_and(|t| t.burstable && t.current_generation));
        assert!(instance_type("m1.small").is_some_and(|t| !t.burstable && !t.current_generation));
    }
}

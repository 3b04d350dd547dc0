//! Named limits that more than one tier must agree on. A limit of one tier stands in that tier.

/// User data, decoded, in bytes (AWS: 16 KB).
pub const USER_DATA_BYTES_MAX: usize = 16 * 1024;
/// Instances one RunInstances call may ask for.
pub const RUN_INSTANCES_COUNT_MAX: u32 = 1000;
/// Security groups on one interface.
pub const GROUPS_PER_INTERFACE_MAX: usize = 16;
/// Private IPv4 addresses of one interface, the primary one included, whatever it is attached to: as many as the type with
/// most allows.
pub const ADDRESSES_PER_INTERFACE_MAX: usize = 50;
/// Rules in one security group, each direction counted by itself.
pub const RULES_PER_GROUP_MAX: usize = 1000;
/// Tags on one resource (AWS: 50).
pub const TAGS_PER_RESOURCE_MAX: usize = 50;
/// Console bytes kept and returned (AWS: the last 64 KiB).
pub const CONSOLE_BYTES_MAX: usize = 64 * 1024;
/// Seconds a terminated instance stays visible (AWS: about an hour).
pub const TERMINATED_VISIBLE_SECONDS: i64 = 3600;
/// Seconds a guest gets to power itself off before the node pulls the plug.
pub const SHUTDOWN_GRACE_SECONDS: u64 = 60;
/// Largest gRPC message between our daemons, in bytes.
pub const GRPC_MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

//! What the ledger keeps of one instance.

use mallee_proto::v1::InstanceIntent;

/// The last order and what must survive a crash of the node controller. Encoded as a protobuf message, so that an older
/// or newer node controller reads it too.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Record {
    /// The highest intent taken.
    #[prost(message, optional, tag = "1")]
    pub intent: Option<InstanceIntent>,
    /// The domain was let run (written before it is): found off without a crash, the guest did it.
    #[prost(bool, tag = "2")]
    pub started: bool,
    /// How many reboots are done.
    #[prost(uint64, tag = "3")]
    pub reboot_done: u64,
    /// The generation at which the guest powered itself off while it should run; 0 = it did not.
    #[prost(uint64, tag = "4")]
    pub guest_off_generation: u64,
    /// The generation at which the node gave up; 0 = it did not.
    #[prost(uint64, tag = "5")]
    pub failed_generation: u64,
    /// Why (a `StateReason` code).
    #[prost(string, tag = "6")]
    pub failed_code: String,
    /// Why, in words.
    #[prost(string, tag = "7")]
    pub failed_message: String,
    /// Nothing is left on the host; kept until the cluster says that it knows.
    #[prost(bool, tag = "8")]
    pub gone: bool,
}

//! The part of an instance that no query looks into, kept as one JSON document. New fields get a serde default, so
//! that older rows read.

use crate::StoreError;
use crate::placement_group::PlacementStrategy;
use crate::spot_request::InterruptionBehavior;
use crate::value::{Arg, FromColumn, Row, ToArg};
use mallee_types::{CapacityReservationId, HostId, PlacementGroupId, SpotRequestId};
use serde::{Deserialize, Serialize};

/// The disk image an instance was launched from, as it was then.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageRef {
    /// SHA-256 of the bytes, hex.
    pub digest: String,
    /// `qcow2` or `raw`.
    pub format: String,
    /// Stored bytes.
    pub size_bytes: u64,
    /// Bytes of the disk it unfolds to.
    pub virtual_size_bytes: u64,
}

/// How the instance may reach the metadata service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MetadataOptions {
    /// Answers at all.
    pub enabled: bool,
    /// Only to requests with a session token (IMDSv2).
    pub tokens_required: bool,
    /// IP hops a token reply may take.
    pub hop_limit: u32,
    /// Shows the instance's tags.
    pub tags: bool,
}

impl Default for MetadataOptions {
    fn default() -> Self {
        Self { enabled: true, tokens_required: false, hop_limit: 1, tags: false }
    }
}

/// What happens when the guest powers itself off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShutdownBehavior {
    /// It is stopped.
    #[default]
    Stop,
    /// It is terminated.
    Terminate,
}

/// What a burstable type does when its CPU credits are used up, on AWS. Here no guest is throttled or billed either way:
/// the choice is kept and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CpuCredits {
    /// It slows down to its baseline.
    Standard,
    /// It goes on, for a surcharge.
    Unlimited,
}

/// The placement group an instance is in, as far as its placement is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMembership {
    /// `pg-…`.
    pub id: PlacementGroupId,
    /// The group's name.
    pub name: String,
    /// How it places.
    pub strategy: PlacementStrategy,
    /// 0 unless the strategy is `Partition`.
    pub partition_count: u32,
    /// The instance's, from 1; 0: none, or not chosen yet.
    pub partition: u32,
}

/// What makes an instance a spot instance: it may be interrupted, after a notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpotMembership {
    /// `sir-…`: the request it fulfils.
    pub request: SpotRequestId,
    /// The request opens again when the instance is gone.
    pub persistent: bool,
    /// What an interruption does to it.
    pub behavior: InterruptionBehavior,
    /// The notice it was given.
    #[serde(default)]
    pub notice: Option<SpotNotice>,
}

/// The notice of an interruption, as the guest reads it from the metadata service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpotNotice {
    /// When the instance is interrupted, in milliseconds since 1970.
    pub at_ms: i64,
}

/// Everything else about an instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceDoc {
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Memory.
    pub memory_mib: u64,
    /// Size of the root disk.
    pub root_disk_bytes: u64,
    /// The image it was made from.
    pub image: ImageRef,
    /// For example `x86_64`.
    pub architecture: String,
    /// For example `/dev/vda`.
    pub root_device_name: String,
    /// The guest's name.
    pub hostname: String,
    /// The key the guest lets in, one line as in `authorized_keys`.
    pub public_openssh: Option<String>,
    /// The metadata service's behaviour.
    pub metadata: MetadataOptions,
    /// What a power-off from inside means.
    pub shutdown_behavior: ShutdownBehavior,
    /// `TerminateInstances` is refused.
    pub disable_api_termination: bool,
    /// `StopInstances` is refused.
    pub disable_api_stop: bool,
    /// Detailed monitoring was asked for.
    pub monitoring: bool,
    /// As asked for; shown only.
    pub ebs_optimized: bool,
    /// As asked for, of a burstable type; `None`: as AWS has it for the type.
    pub credits: Option<CpuCredits>,
    /// As asked for: `default`, `dedicated`, `host`.
    pub tenancy: String,
    /// With the tenancy `host`: where it is.
    pub host: Option<HostId>,
    /// With the tenancy `host`: it is started on that host only.
    pub host_affinity: bool,
    /// It has reached `running` once: a failed start then ends stopped, not terminated.
    pub has_run: bool,
    /// The guest has used its network since it last booted, as its node heard.
    pub guest_heard: bool,
    /// When it last began to boot, in milliseconds since 1970; 0: before this was noted.
    pub booted_ms: i64,
    /// Interfaces come to it or leave it, and its node has not said that it is done.
    pub interfaces_pending: bool,
    /// It gets a public address of the pool whenever it is started.
    pub auto_public_ip: bool,
    /// The wish about capacity reservations (`open`, `none`, `capacity-reservations-only`).
    pub capacity_preference: Option<String>,
    /// The one reservation it is to run in.
    pub capacity_target: Option<CapacityReservationId>,
    /// The reservation whose slot it uses, or used when it last ran.
    pub capacity_reservation: Option<CapacityReservationId>,
    /// Its placement group.
    pub group: Option<GroupMembership>,
    /// Set on a spot instance.
    pub spot: Option<SpotMembership>,
    /// Most that passes each of its interfaces each way, in kbit/s; 0: no limit.
    pub bandwidth_kbps: u64,
    /// Who asked: the ARN.
    pub requester: String,
    /// Whatever later versions keep.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

impl ToArg for InstanceDoc {
    const NULL: Arg = Arg::Text(None);
    fn to_arg(&self) -> Arg {
        // A struct of plain fields with text keys always serialises.
        Arg::Text(Some(serde_json::to_string(self).unwrap_or_default()))
    }
}

impl FromColumn for InstanceDoc {
    fn maybe(row: Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
        let Some(text) = row.text(at)? else { return Ok(None) };
        serde_json::from_str(text).map(Some).map_err(|e| StoreError::corrupt(format!("column {at}: {e}")))
    }
}

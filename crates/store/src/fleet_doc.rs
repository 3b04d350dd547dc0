//! The parts of fleets and of their launches that no query looks into, kept as JSON. New fields get a serde default,
//! so that older rows read. Units of capacity are counted in thousandths: they may be fractions, and sums stay exact.

use mallee_types::{InstanceId, LaunchTemplateId};
use serde::{Deserialize, Serialize};

/// How a fleet chooses among its pools.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FleetStrategy {
    /// What takes least first.
    #[default]
    LowestPrice,
    /// By the caller's priorities.
    Prioritized,
    /// Evenly over all.
    Diversified,
    /// Where there is most room first.
    CapacityOptimized,
    /// As before, of those with the same room by the caller's priorities.
    CapacityOptimizedPrioritized,
    /// Where there is room, of those what takes least.
    PriceCapacityOptimized,
}

/// How on-demand or spot capacity is filled.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FleetOptions {
    /// The order of pools.
    pub strategy: FleetStrategy,
    /// Pools over which `LowestPrice` spreads; 0: it does not.
    pub pools: u32,
    /// All instances are of one type.
    pub single_type: bool,
    /// All instances are in one zone.
    pub single_zone: bool,
    /// Less than this (in thousandths of a unit) is nothing.
    pub least: u64,
    /// It was less, and was given back.
    pub given_back: bool,
}

/// One kind of instance that a fleet may launch, in one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetCandidate {
    /// Which of the request's configurations it is of, from 0.
    pub config: u32,
    /// Which of that configuration's overrides; `None`: it has none.
    pub over: Option<u32>,
    /// The template.
    pub template: LaunchTemplateId,
    /// The template's version, resolved when the fleet was told: what was authorised is what is launched.
    pub version: u64,
    /// What the launch says over the template: parameters of RunInstances.
    pub launch: Vec<(String, String)>,
    /// The subnet, which a template's network interfaces take too.
    pub subnet: Option<String>,
    /// The size.
    pub instance_type: String,
    /// The zone, where it is known.
    pub zone: Option<String>,
    /// What one instance counts, in thousandths of a unit.
    pub weight: u64,
    /// The caller's priority, in thousandths; low comes first, none comes last.
    pub priority: Option<u64>,
    /// What one instance takes of a machine: the price where nothing has one.
    pub cost: u64,
}

/// Everything else about a fleet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FleetDoc {
    /// The request as it was given (and modified), to be shown.
    pub request: Vec<(String, String)>,
    /// The user or role that made it, whose own quotas bind its launches: the cloud controller's JSON.
    pub maker: Option<serde_json::Value>,
    /// What may be launched.
    pub candidates: Vec<FleetCandidate>,
    /// On-demand capacity wanted, in thousandths of a unit.
    pub on_demand: u64,
    /// Spot capacity wanted, in thousandths of a unit.
    pub spot: u64,
    /// How on-demand capacity is filled.
    pub on_demand_options: FleetOptions,
    /// How spot capacity is filled.
    pub spot_options: FleetOptions,
    /// What is over the target is terminated.
    pub terminate_excess: bool,
    /// What runs is terminated when the fleet expires.
    pub terminate_expired: bool,
    /// Impaired instances are replaced.
    pub replace_unhealthy: bool,
    /// Nothing is launched before.
    pub valid_from_ms: Option<i64>,
    /// Nothing is launched after.
    pub valid_until_ms: Option<i64>,
    /// For the instances of an instant fleet.
    pub instance_tags: Vec<(String, String)>,
    /// For their interfaces.
    pub interface_tags: Vec<(String, String)>,
    /// What runs, in thousandths of a unit, as the keeper last counted.
    pub fulfilled: u64,
    /// Of that, on demand.
    pub fulfilled_on_demand: u64,
    /// `ActivityStatus`; empty: none yet.
    pub activity: String,
    /// After failures, no launch before this.
    pub retry_ms: i64,
    /// Failures in a row.
    pub failures: u32,
    /// Members that are impaired, and since when.
    pub impaired: Vec<(InstanceId, i64)>,
}

/// What one launch of a fleet asks for, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetLaunchDoc {
    /// What is launched.
    pub candidate: FleetCandidate,
    /// As spot instances.
    pub spot: bool,
    /// Fewer is failure.
    pub count_min: u32,
    /// More is not wanted.
    pub count: u32,
    /// What was launched.
    pub instances: Vec<InstanceId>,
    /// The subnet it was launched in.
    pub subnet: Option<String>,
    /// The zone it was launched in.
    pub zone: Option<String>,
    /// Code and words of the refusal.
    pub error: Option<(String, String)>,
}

//! What a fleet's options and targets mean.

use super::candidates::Unit;
use crate::common::{choice, only, refuse};
use mallee_app::fleets::CAPACITY_MAX;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::{OnDemandOptionsRequest, SpotOptionsRequest, TargetCapacitySpecificationRequest};
use mallee_store::{FleetDoc, FleetKind, FleetOptions, FleetStrategy};

/// Most that `MinTargetCapacity` may be (EC2).
const MIN_TARGET_MAX: i32 = 1_000;
const SPOT_STRATEGIES: [(&str, FleetStrategy); 5] = [
    ("lowest-price", FleetStrategy::LowestPrice),
    ("diversified", FleetStrategy::Diversified),
    ("capacity-optimized", FleetStrategy::CapacityOptimized),
    ("capacity-optimized-prioritized", FleetStrategy::CapacityOptimizedPrioritized),
    ("price-capacity-optimized", FleetStrategy::PriceCapacityOptimized),
];
const ON_DEMAND_STRATEGIES: [(&str, FleetStrategy); 2] =
    [("lowest-price", FleetStrategy::LowestPrice), ("prioritized", FleetStrategy::Prioritized)];
const UNITS: [(&str, Unit); 3] = [("units", Unit::Units), ("vcpu", Unit::Vcpus), ("memory-mib", Unit::MemoryMib)];
/// The most units of memory that a fleet may want: those of its most units of a GiB.
const MEMORY_MIB_MAX: u64 = CAPACITY_MAX * 1024;

fn invalid(text: impl Into<String>) -> ApiError {
    Code::InvalidFleetConfig.message(text.into())
}

/// The three that only an instant fleet can promise.
fn promises(
    name: &str,
    kind: FleetKind,
    single_type: Option<bool>,
    single_zone: Option<bool>,
    least: Option<i32>,
) -> Result<(bool, bool, u64), ApiError> {
    let (single_type, single_zone) = (single_type == Some(true), single_zone == Some(true));
    if kind != FleetKind::Instant && (single_type || single_zone || least.is_some_and(|least| least > 0)) {
        return Err(invalid(format!(
            "{name}.SingleInstanceType, SingleAvailabilityZone and MinTargetCapacity are supported only for fleets of type instant"
        )));
    }
    let least = least.unwrap_or(0);
    if !(0..=MIN_TARGET_MAX).contains(&least) {
        let why = format!("Valid values are 0 to {MIN_TARGET_MAX}.");
        return Err(ApiError::invalid_value(&format!("{name}.MinTargetCapacity"), &least.to_string(), &why));
    }
    if least > 0 && !single_type && !single_zone {
        return Err(invalid(format!("{name}.MinTargetCapacity needs SingleAvailabilityZone or SingleInstanceType")));
    }
    Ok((single_type, single_zone, u64::from(least.unsigned_abs()) * 1_000))
}

/// How on-demand capacity is filled.
pub(super) fn on_demand(options: Option<OnDemandOptionsRequest>, kind: FleetKind) -> Result<FleetOptions, ApiError> {
    let OnDemandOptionsRequest {
        allocation_strategy,
        capacity_reservation_options,
        max_total_price,
        min_target_capacity,
        single_availability_zone,
        single_instance_type,
    } = options.unwrap_or_default();
    let reserved = capacity_reservation_options.is_some_and(|options| options.usage_strategy.is_some());
    refuse("OnDemandOptions.CapacityReservationOptions", reserved)?;
    refuse("OnDemandOptions.MaxTotalPrice", max_total_price.is_some())?;
    let name = "OnDemandOptions";
    let (single_type, single_zone, least) =
        promises(name, kind, single_instance_type, single_availability_zone, min_target_capacity)?;
    let strategy = choice("OnDemandOptions.AllocationStrategy", allocation_strategy.as_deref(), &ON_DEMAND_STRATEGIES)?;
    Ok(FleetOptions {
        strategy: strategy.unwrap_or_default(),
        pools: 0,
        single_type,
        single_zone,
        least,
        given_back: false,
    })
}

/// How spot capacity is filled.
pub(super) fn spot(options: Option<SpotOptionsRequest>, kind: FleetKind) -> Result<FleetOptions, ApiError> {
    let SpotOptionsRequest {
        allocation_strategy,
        instance_interruption_behavior,
        instance_pools_to_use_count,
        maintenance_strategies,
        max_total_price,
        min_target_capacity,
        single_availability_zone,
        single_instance_type,
    } = options.unwrap_or_default();
    // What is only stopped would come back by itself, beside what has replaced it.
    only("SpotOptions.InstanceInterruptionBehavior", instance_interruption_behavior.as_deref(), &["terminate"])?;
    let rebalances = maintenance_strategies.is_some_and(|strategies| strategies.capacity_rebalance.is_some());
    refuse("SpotOptions.MaintenanceStrategies", rebalances)?;
    refuse("SpotOptions.MaxTotalPrice", max_total_price.is_some())?;
    let name = "SpotOptions";
    let (single_type, single_zone, least) =
        promises(name, kind, single_instance_type, single_availability_zone, min_target_capacity)?;
    let strategy = choice("SpotOptions.AllocationStrategy", allocation_strategy.as_deref(), &SPOT_STRATEGIES)?;
    let strategy = strategy.unwrap_or_default();
    let pools = instance_pools_to_use_count.unwrap_or(1);
    let pools = u32::try_from(pools).ok().filter(|pools| *pools > 0).ok_or_else(|| {
        ApiError::invalid_value("SpotOptions.InstancePoolsToUseCount", &pools.to_string(), "Minimum value is 1.")
    })?;
    if instance_pools_to_use_count.is_some() && strategy != FleetStrategy::LowestPrice {
        return Err(invalid("InstancePoolsToUseCount is supported only with the allocation strategy lowest-price"));
    }
    Ok(FleetOptions { strategy, pools, single_type, single_zone, least, given_back: false })
}

/// Reads the target into the wish; its unit.
pub(super) fn target(doc: &mut FleetDoc, target: TargetCapacitySpecificationRequest) -> Result<Unit, ApiError> {
    let TargetCapacitySpecificationRequest {
        default_target_capacity_type,
        on_demand_target_capacity,
        spot_target_capacity,
        target_capacity_unit_type,
        total_target_capacity,
    } = target;
    let unit = choice("TargetCapacityUnitType", target_capacity_unit_type.as_deref(), &UNITS)?.unwrap_or(Unit::Units);
    let most = if unit == Unit::MemoryMib { MEMORY_MIB_MAX } else { CAPACITY_MAX };
    let read = |name: &str, value: Option<i32>| -> Result<u64, ApiError> {
        let Some(value) = value else { return Ok(0) };
        u64::try_from(value)
            .ok()
            .filter(|value| *value <= most)
            .ok_or_else(|| ApiError::invalid_value(name, &value.to_string(), &format!("Valid values are 0 to {most}.")))
    };
    let total = total_target_capacity
        .ok_or_else(|| ApiError::missing_parameter("TargetCapacitySpecification.TotalTargetCapacity"))?;
    let total = read("TotalTargetCapacity", Some(total))?;
    let on_demand = read("OnDemandTargetCapacity", on_demand_target_capacity)?;
    let spot = read("SpotTargetCapacity", spot_target_capacity)?;
    let kind = default_target_capacity_type.as_deref();
    only("TargetCapacitySpecification.DefaultTargetCapacityType", kind, &["on-demand", "spot"])?;
    let Some(rest) = total.checked_sub(on_demand + spot) else {
        return Err(Code::InvalidParameterValue.message(
            "The sum of OnDemandTargetCapacity and SpotTargetCapacity must not be above TotalTargetCapacity",
        ));
    };
    let (more_on_demand, more_spot) = if kind == Some("spot") { (0, rest) } else { (rest, 0) };
    doc.on_demand = (on_demand + more_on_demand) * 1_000;
    doc.spot = (spot + more_spot) * 1_000;
    for (options, target, name) in
        [(&doc.on_demand_options, doc.on_demand, "OnDemandOptions"), (&doc.spot_options, doc.spot, "SpotOptions")]
    {
        if options.least > target {
            return Err(invalid(format!("{name}.MinTargetCapacity is above the target capacity")));
        }
    }
    Ok(unit)
}

/// A modification's target with what it leaves open as it was: the default type and the unit.
pub(super) fn completed(
    mut target: TargetCapacitySpecificationRequest,
    was: TargetCapacitySpecificationRequest,
) -> Result<TargetCapacitySpecificationRequest, ApiError> {
    target.default_target_capacity_type = target.default_target_capacity_type.or(was.default_target_capacity_type);
    if target.target_capacity_unit_type.is_some() && target.target_capacity_unit_type != was.target_capacity_unit_type {
        return Err(invalid("TargetCapacityUnitType cannot be changed"));
    }
    target.target_capacity_unit_type = was.target_capacity_unit_type;
    Ok(target)
}

/// The target of a modification in the request that is shown.
pub(super) fn replace_target(request: &mut Vec<(String, String)>, given: &[(String, String)]) {
    const HEAD: &str = "TargetCapacitySpecification.";
    const STAYS: [&str; 2] = ["DefaultTargetCapacityType", "TargetCapacityUnitType"];
    let new = || given.iter().filter(|(name, _)| name.starts_with(HEAD));
    request.retain(|(name, _)| match name.strip_prefix(HEAD) {
        None => true,
        Some(part) => STAYS.contains(&part) && !new().any(|(other, _)| other == name),
    });
    request.extend(new().cloned());
}

/// The word of a strategy.
pub(super) fn strategy(strategy: FleetStrategy) -> &'static str {
    let mut all = SPOT_STRATEGIES.iter().chain(&ON_DEMAND_STRATEGIES);
    all.find(|(_, other)| *other == strategy).map_or("lowest-price", |(word, _)| word)
}

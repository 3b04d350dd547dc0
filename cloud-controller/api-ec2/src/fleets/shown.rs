//! Fleets as EC2 shows them.

use super::options::strategy;
use super::request_of;
use crate::Ec2Api;
use crate::common::time;
use crate::templates::shown::Shown as _;
use mallee_app::OpContext;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::{
    CreateFleetError, CreateFleetInstance, CreateFleetRequest, CreateFleetResult, DescribeFleetError,
    DescribeFleetsInstances, FleetData, FleetLaunchTemplateConfig, FleetLaunchTemplateConfigRequest,
    FleetLaunchTemplateOverrides, FleetLaunchTemplateOverridesRequest, FleetLaunchTemplateSpecification,
    FleetLaunchTemplateSpecificationRequest, LaunchTemplateAndOverridesResponse, OnDemandOptions, PlacementResponse,
    SpotOptions, Tag, TargetCapacitySpecification,
};
use mallee_store::{
    FleetDoc, FleetKind, FleetLaunchDoc, FleetLaunchRow, FleetLaunchState, FleetOptions, FleetRow, FleetState,
};

/// The word of a state.
pub(super) const fn state(state: FleetState) -> &'static str {
    match state {
        FleetState::Submitted => "submitted",
        FleetState::Active => "active",
        FleetState::Modifying => "modifying",
        FleetState::DeletedRunning => "deleted_running",
        FleetState::DeletedTerminating => "deleted_terminating",
        FleetState::Deleted => "deleted",
        FleetState::Failed => "failed",
    }
}

#[allow(clippy::cast_precision_loss, reason = "capacities are far below what a float holds exactly")]
fn units(thousandths: u64) -> f64 {
    thousandths as f64 / 1000.0
}

fn whole(thousandths: u64) -> Option<i32> {
    i32::try_from(thousandths / 1000).ok()
}

fn lifecycle(doc: &FleetLaunchDoc) -> Option<String> {
    Some(if doc.spot { "spot" } else { "on-demand" }.to_owned())
}

fn overrides(over: FleetLaunchTemplateOverridesRequest) -> FleetLaunchTemplateOverrides {
    FleetLaunchTemplateOverrides {
        availability_zone: over.availability_zone,
        availability_zone_id: over.availability_zone_id,
        // Refused when it is asked for.
        block_device_mappings: Vec::new(),
        image_id: over.image_id,
        instance_requirements: over.instance_requirements.shown(),
        instance_type: over.instance_type,
        max_price: over.max_price,
        placement: over.placement.map(|placement| PlacementResponse { group_name: placement.group_name }),
        priority: over.priority,
        subnet_id: over.subnet_id,
        weighted_capacity: over.weighted_capacity,
    }
}

fn config(config: FleetLaunchTemplateConfigRequest) -> FleetLaunchTemplateConfig {
    let FleetLaunchTemplateConfigRequest { launch_template_specification, overrides: given } = config;
    let specification = |given: FleetLaunchTemplateSpecificationRequest| FleetLaunchTemplateSpecification {
        launch_template_id: given.launch_template_id,
        launch_template_name: given.launch_template_name,
        version: Some(given.version.unwrap_or_else(|| "$Default".to_owned())),
    };
    FleetLaunchTemplateConfig {
        launch_template_specification: launch_template_specification.map(specification),
        overrides: given.into_iter().map(overrides).collect(),
    }
}

/// What a launch was of: the version that was taken, and the type and place in the words of its override.
fn origin(request: &CreateFleetRequest, doc: &FleetLaunchDoc) -> LaunchTemplateAndOverridesResponse {
    let candidate = &doc.candidate;
    let config = request.launch_template_configs.get(candidate.config as usize);
    let given = candidate.over.and_then(|over| config?.overrides.get(over as usize)).cloned();
    let mut over = overrides(given.unwrap_or_default());
    over.instance_type = Some(candidate.instance_type.clone());
    over.instance_requirements = None;
    if over.availability_zone_id.is_none() {
        over.availability_zone.clone_from(&candidate.zone);
    }
    if candidate.subnet.is_some() {
        over.subnet_id.clone_from(&candidate.subnet);
    }
    LaunchTemplateAndOverridesResponse {
        launch_template_specification: Some(FleetLaunchTemplateSpecification {
            launch_template_id: Some(candidate.template.to_string()),
            launch_template_name: None,
            version: Some(candidate.version.to_string()),
        }),
        overrides: Some(over),
    }
}

/// The refusal of a launch, or of that part of it for which there was no room.
fn refusal(doc: &FleetLaunchDoc) -> Option<(String, String)> {
    if doc.error.is_some() {
        return doc.error.clone();
    }
    let (made, asked) = (doc.instances.len(), doc.count as usize);
    let code = Code::InsufficientInstanceCapacity;
    (made > 0 && made < asked).then(|| {
        let zone = doc.zone.as_deref().unwrap_or_default();
        let what = &doc.candidate.instance_type;
        (code.as_str().to_owned(), format!("There was room for {made} of {asked} {what} instances in {zone}."))
    })
}

/// Launches that were refused, each refusal once.
fn refusals(launches: &[FleetLaunchRow]) -> Vec<(&FleetLaunchDoc, (String, String))> {
    let mut out: Vec<(&FleetLaunchDoc, (String, String))> = Vec::new();
    for launch in launches {
        let doc = &launch.doc.0;
        let Some(refusal) = refusal(doc) else { continue };
        let again = out
            .iter()
            .any(|(other, why)| *why == refusal && other.candidate == doc.candidate && other.spot == doc.spot);
        if !again {
            out.push((doc, refusal));
        }
    }
    out
}

/// Launches that made instances which were not given back.
fn kept<'a>(row: &FleetRow, launches: &'a [FleetLaunchRow]) -> Vec<(&'a FleetLaunchDoc, Vec<String>)> {
    let doc = &row.doc.0;
    let is_kept = |spot: bool| !(if spot { &doc.spot_options } else { &doc.on_demand_options }).given_back;
    let made = launches.iter().filter(|launch| launch.state == FleetLaunchState::Launched);
    let docs = made.map(|launch| &launch.doc.0).filter(|doc| is_kept(doc.spot));
    docs.map(|doc| (doc, doc.instances.iter().map(ToString::to_string).collect())).collect()
}

fn on_demand_options(options: &FleetOptions) -> OnDemandOptions {
    OnDemandOptions {
        allocation_strategy: Some(strategy(options.strategy).to_owned()),
        capacity_reservation_options: None,
        max_total_price: None,
        min_target_capacity: whole(options.least).filter(|least| *least > 0),
        single_availability_zone: Some(options.single_zone).filter(|single| *single),
        single_instance_type: Some(options.single_type).filter(|single| *single),
    }
}

fn spot_options(options: &FleetOptions) -> SpotOptions {
    let pools = i32::try_from(options.pools).ok();
    SpotOptions {
        allocation_strategy: Some(strategy(options.strategy).to_owned()),
        instance_interruption_behavior: Some("terminate".to_owned()),
        instance_pools_to_use_count: pools.filter(|_| strategy(options.strategy) == "lowest-price"),
        maintenance_strategies: None,
        max_total_price: None,
        min_target_capacity: whole(options.least).filter(|least| *least > 0),
        single_availability_zone: Some(options.single_zone).filter(|single| *single),
        single_instance_type: Some(options.single_type).filter(|single| *single),
    }
}

fn target(request: &CreateFleetRequest, doc: &FleetDoc) -> TargetCapacitySpecification {
    let given = request.target_capacity_specification.clone().unwrap_or_default();
    TargetCapacitySpecification {
        default_target_capacity_type: Some(
            given.default_target_capacity_type.unwrap_or_else(|| "on-demand".to_owned()),
        ),
        on_demand_target_capacity: Some(given.on_demand_target_capacity.unwrap_or(0)),
        spot_target_capacity: Some(given.spot_target_capacity.unwrap_or(0)),
        target_capacity_unit_type: given.target_capacity_unit_type,
        total_target_capacity: whole(doc.on_demand + doc.spot),
    }
}

impl Ec2Api {
    /// CreateFleet's reply about an instant fleet.
    pub(super) async fn launched(&self, cx: &OpContext, row: &FleetRow) -> Result<CreateFleetResult, ApiError> {
        // As it is after the launches.
        let row = &self.cloud.find_fleet(cx, row.id.as_str()).await?;
        let launches = self.cloud.fleet_launches(row).await?;
        let request = request_of(row)?;
        let look = self.look();
        let instances = kept(row, &launches).into_iter().map(|(doc, instance_ids)| CreateFleetInstance {
            availability_zone: doc.zone.clone(),
            availability_zone_id: doc.zone.as_ref().and_then(|zone| look.zone_id(&zone.parse().ok()?)),
            instance_ids,
            instance_type: Some(doc.candidate.instance_type.clone()),
            launch_template_and_overrides: Some(origin(&request, doc)),
            lifecycle: lifecycle(doc),
            platform: None,
            subnet_id: doc.subnet.clone(),
        });
        let errors = refusals(&launches).into_iter().map(|(doc, (code, message))| CreateFleetError {
            error_code: Some(code),
            error_message: Some(message),
            launch_template_and_overrides: Some(origin(&request, doc)),
            lifecycle: lifecycle(doc),
        });
        Ok(CreateFleetResult {
            errors: errors.collect(),
            fleet_id: Some(row.id.to_string()),
            instances: instances.collect(),
        })
    }

    /// A fleet with its tags.
    pub(super) async fn fleet_shown(&self, row: &FleetRow, tags: Vec<Tag>) -> Result<FleetData, ApiError> {
        let mut request = request_of(row)?;
        let doc = &row.doc.0;
        let (mut errors, mut instances) = (Vec::new(), Vec::new());
        if row.kind == FleetKind::Instant {
            let launches = self.cloud.fleet_launches(row).await?;
            instances.extend(kept(row, &launches).into_iter().map(|(doc, instance_ids)| DescribeFleetsInstances {
                instance_ids,
                instance_type: Some(doc.candidate.instance_type.clone()),
                launch_template_and_overrides: Some(origin(&request, doc)),
                lifecycle: lifecycle(doc),
                platform: None,
            }));
            errors.extend(refusals(&launches).into_iter().map(|(doc, (code, message))| DescribeFleetError {
                error_code: Some(code),
                error_message: Some(message),
                launch_template_and_overrides: Some(origin(&request, doc)),
                lifecycle: lifecycle(doc),
            }));
        }
        let policy = if doc.terminate_excess { "termination" } else { "no-termination" };
        let kind = super::KINDS.iter().find(|(_, kind)| *kind == row.kind).map(|(word, _)| (*word).to_owned());
        Ok(FleetData {
            activity_status: Some(doc.activity.clone()).filter(|activity| !activity.is_empty()),
            client_token: row.client_token.clone(),
            context: None,
            create_time: time(row.created_ms),
            errors,
            excess_capacity_termination_policy: Some(policy.to_owned()),
            fleet_id: Some(row.id.to_string()),
            fleet_state: Some(state(row.state).to_owned()),
            fulfilled_capacity: Some(units(doc.fulfilled)),
            fulfilled_on_demand_capacity: Some(units(doc.fulfilled_on_demand)),
            instances,
            on_demand_options: Some(on_demand_options(&doc.on_demand_options)),
            replace_unhealthy_instances: Some(doc.replace_unhealthy),
            reserved_capacity_options: None,
            spot_options: Some(spot_options(&doc.spot_options)),
            tags,
            target_capacity_specification: Some(target(&request, doc)),
            launch_template_configs: std::mem::take(&mut request.launch_template_configs)
                .into_iter()
                .map(config)
                .collect(),
            terminate_instances_with_expiration: Some(doc.terminate_expired),
            type_: kind,
            valid_from: doc.valid_from_ms.and_then(time),
            valid_until: doc.valid_until_ms.and_then(time),
        })
    }
}

//! From the configurations of a fleet to what it may launch: templates are found and their versions pinned,
//! requirements become types, places become pools, and the caller is asked for the right to launch each of them, now.
//! The keeper launches nothing else later.

use super::parts::{Parts, requirements};
use crate::Ec2Api;
use crate::instances::run;
use crate::templates::data::Data;
use mallee_app::OpContext;
use mallee_app::authorize::Service;
use mallee_app::instances::modify::MetadataChange;
use mallee_app::launch_templates::TemplateRef;
use mallee_awswire::{ApiError, Code, FromQuery as _, Params};
use mallee_ec2_types::ec2::{
    FleetLaunchTemplateConfigRequest, FleetLaunchTemplateOverridesRequest, FleetLaunchTemplateSpecificationRequest,
    RunInstancesRequest,
};
use mallee_store::{FleetCandidate, FleetKind, LaunchTemplateRow, LaunchTemplateVersionRow};
use mallee_types::ZoneName;
use mallee_types::instance_type::InstanceType;

/// Configurations of a fleet (EC2: 50).
const CONFIGS_MAX: usize = 50;
/// Overrides over all configurations (EC2: 300).
const OVERRIDES_MAX: usize = 300;
/// Pools of a fleet, each a type in a place.
const POOLS_MAX: usize = 1_000;
/// EC2's type when a launch names none.
const INSTANCE_TYPE: &str = "m1.small";

/// The unit of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Instances, or what the weights say.
    Units,
    Vcpus,
    MemoryMib,
}

/// What all candidates of a request have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    pub kind: FleetKind,
    pub unit: Unit,
    /// Which capacity there is to be, for which the right is asked.
    pub on_demand: bool,
    pub spot: bool,
    pub instance_tags: &'a [(String, String)],
    pub interface_tags: &'a [(String, String)],
}

fn invalid(text: impl Into<String>) -> ApiError {
    Code::InvalidFleetConfig.message(text.into())
}

/// A place to launch in.
#[derive(Debug, Clone, Default)]
struct Place {
    subnet: Option<String>,
    zone: Option<ZoneName>,
    /// Whether the zone has to be said.
    said: bool,
}

impl Ec2Api {
    /// Every pool of the configurations.
    pub(super) async fn candidates(
        &self,
        cx: &OpContext,
        configs: Vec<FleetLaunchTemplateConfigRequest>,
        wish: Wish<'_>,
    ) -> Result<Vec<FleetCandidate>, ApiError> {
        if configs.len() > CONFIGS_MAX {
            return Err(invalid(format!("A fleet has at most {CONFIGS_MAX} launch template configurations")));
        }
        if configs.iter().map(|config| config.overrides.len()).sum::<usize>() > OVERRIDES_MAX {
            return Err(invalid(format!("A fleet has at most {OVERRIDES_MAX} overrides")));
        }
        let sizes = self.cloud.sizes().await?;
        let mut out = Vec::new();
        for (index, config) in (0u32..).zip(configs) {
            let FleetLaunchTemplateConfigRequest { launch_template_specification, overrides } = config;
            let specification = launch_template_specification
                .ok_or_else(|| ApiError::missing_parameter("LaunchTemplateConfigs.LaunchTemplateSpecification"))?;
            let (template, version) = self.pinned(cx, specification).await?;
            let data = Data::from_text(&version.data)?;
            let mut given: Vec<(Option<u32>, FleetLaunchTemplateOverridesRequest)> =
                (0u32..).zip(overrides).map(|(at, over)| (Some(at), over)).collect();
            if given.is_empty() {
                given.push((None, FleetLaunchTemplateOverridesRequest::default()));
            }
            for (over, request) in given {
                let parts = self.parts(request, wish.kind)?;
                let by_attributes = parts.requirements.is_some() || data.says_requirements();
                if wish.unit != Unit::Units && !by_attributes {
                    return Err(invalid("TargetCapacityUnitType can be given only with InstanceRequirements"));
                }
                for place in self.places(cx, &parts, &data, wish.kind).await? {
                    for size in types(&parts, &data, &sizes)? {
                        let candidate =
                            candidate(index, over, (&template, &version), &parts, &place, &size, wish.unit)?;
                        self.may_launch(cx, &data, &candidate, wish).await?;
                        out.push(candidate);
                    }
                }
                if out.len() > POOLS_MAX {
                    return Err(invalid(format!("A fleet has at most {POOLS_MAX} pools of instances")));
                }
            }
        }
        if out.is_empty() {
            return Err(invalid("No instance type has the attributes that the fleet requires"));
        }
        Ok(out)
    }

    /// The template and its version as they are now.
    async fn pinned(
        &self,
        cx: &OpContext,
        specification: FleetLaunchTemplateSpecificationRequest,
    ) -> Result<(LaunchTemplateRow, LaunchTemplateVersionRow), ApiError> {
        let FleetLaunchTemplateSpecificationRequest {
            launch_template_id: id,
            launch_template_name: name,
            launch_template_specification_user_data,
            version,
        } = specification;
        let user_data = "LaunchTemplateSpecification.LaunchTemplateSpecificationUserData";
        crate::common::refuse(user_data, launch_template_specification_user_data.is_some())?;
        let template = self.cloud.find_launch_template(cx, &TemplateRef { id, name }).await?;
        let version = self.cloud.launch_template_version(&template, version.as_deref()).await?;
        Ok((template, version))
    }

    /// Where an override launches: its subnets, its zone, what the template says, or else each zone.
    async fn places(
        &self,
        cx: &OpContext,
        parts: &Parts,
        data: &Data,
        kind: FleetKind,
    ) -> Result<Vec<Place>, ApiError> {
        if !parts.subnets.is_empty() {
            if kind == FleetKind::Instant && parts.subnets.len() > 1 {
                return Err(invalid("An override of an instant fleet has one subnet"));
            }
            let mut out = Vec::with_capacity(parts.subnets.len());
            for id in &parts.subnets {
                let zone = self.cloud.find_subnet(cx, id).await?.zone;
                if parts.zone.as_ref().is_some_and(|wanted| *wanted != zone) {
                    return Err(invalid(format!("The subnet {id} is not in the Availability Zone of its override")));
                }
                out.push(Place { subnet: Some(id.clone()), zone: Some(zone), said: false });
            }
            return Ok(out);
        }
        if let Some(zone) = &parts.zone {
            return Ok(vec![Place { subnet: None, zone: Some(zone.clone()), said: true }]);
        }
        let template = data.read()?;
        let of_interface = template.network_interfaces.into_iter().find_map(|interface| interface.subnet_id);
        if let Some(subnet) = of_interface {
            let zone = self.cloud.find_subnet(cx, &subnet).await?.zone;
            return Ok(vec![Place { subnet: None, zone: Some(zone), said: false }]);
        }
        if let Some(placement) = template.placement
            && (placement.availability_zone.is_some() || placement.availability_zone_id.is_some())
        {
            let zone = self.zone_of(placement.availability_zone, placement.availability_zone_id)?;
            return Ok(vec![Place { subnet: None, zone, said: false }]);
        }
        let zones = self.cloud.zones();
        let each = |zone: &ZoneName| Place { subnet: None, zone: Some(zone.clone()), said: zones.len() > 1 };
        Ok(zones.iter().map(each).collect())
    }

    /// As for new candidates: more of what a fleet may launch is asked of whoever wants more.
    pub(super) async fn may_still_launch(
        &self,
        cx: &OpContext,
        candidates: &[FleetCandidate],
        wish: Wish<'_>,
    ) -> Result<(), ApiError> {
        for candidate in candidates {
            let reference = TemplateRef { id: Some(candidate.template.to_string()), name: None };
            let template = self.cloud.find_launch_template(cx, &reference).await?;
            let version = self.cloud.launch_template_version(&template, Some(&candidate.version.to_string())).await?;
            self.may_launch(cx, &Data::from_text(&version.data)?, candidate, wish).await?;
        }
        Ok(())
    }

    /// A launch of the candidate is one that this cloud honours and the caller may make.
    async fn may_launch(
        &self,
        cx: &OpContext,
        data: &Data,
        candidate: &FleetCandidate,
        wish: Wish<'_>,
    ) -> Result<(), ApiError> {
        for spot in [false, true] {
            if !(if spot { wish.spot } else { wish.on_demand }) {
                continue;
            }
            let merged = launch_params(
                data.clone(),
                candidate,
                &Said {
                    spot,
                    counts: (1, 1),
                    token: None,
                    instance_tags: wish.instance_tags,
                    interface_tags: wish.interface_tags,
                },
            )?;
            let request = RunInstancesRequest::from_query(merged.root())?;
            run::run_request(request, String::new(), self.look(), self.ipv6(), MetadataChange::default())?;
            self.cloud.authorize(cx, Service::Ec2, "RunInstances", &merged).await?;
        }
        Ok(())
    }
}

/// The types of an override: its own, those with its attributes, or the template's.
fn types(parts: &Parts, data: &Data, sizes: &[InstanceType]) -> Result<Vec<InstanceType>, ApiError> {
    let named = |name: &str| {
        let found = sizes.iter().find(|size| size.name == name).copied();
        found.map(|size| vec![size]).ok_or_else(|| {
            Code::InvalidParameterValue
                .message(format!("Invalid value '{}' for InstanceType.", mallee_awswire::texts::clip(name)))
        })
    };
    if let Some(name) = &parts.instance_type {
        return named(name);
    }
    if let Some(wanted) = &parts.requirements {
        return requirements(wanted.clone(), sizes);
    }
    let template = data.read()?;
    match (template.instance_type, template.instance_requirements) {
        (Some(name), _) => named(&name),
        (None, Some(wanted)) => requirements(wanted, sizes),
        (None, None) => named(INSTANCE_TYPE),
    }
}

fn candidate(
    config: u32,
    over: Option<u32>,
    (template, version): (&LaunchTemplateRow, &LaunchTemplateVersionRow),
    parts: &Parts,
    place: &Place,
    size: &InstanceType,
    unit: Unit,
) -> Result<FleetCandidate, ApiError> {
    let mut launch = parts.launch.clone();
    launch.push(("InstanceType".into(), size.name.into()));
    if let Some(zone) = place.zone.as_ref().filter(|_| place.said) {
        launch.push(("Placement.AvailabilityZone".into(), zone.to_string()));
    }
    let weight = match (unit, parts.weight) {
        (_, Some(weight)) => weight,
        (Unit::Units, None) => 1_000,
        (Unit::Vcpus, None) => u64::from(size.vcpus) * 1_000,
        (Unit::MemoryMib, None) => size.memory_mib * 1_000,
    };
    if weight == 0 {
        return Err(invalid("WeightedCapacity must be above zero"));
    }
    Ok(FleetCandidate {
        config,
        over,
        template: template.id.clone(),
        version: version.version,
        launch,
        subnet: place.subnet.clone(),
        instance_type: size.name.to_owned(),
        zone: place.zone.as_ref().map(ToString::to_string),
        weight,
        priority: parts.priority,
        // A vCPU and 4 GiB of memory cost the same: what a general-purpose type has of each.
        cost: u64::from(size.vcpus) * 4_096 + size.memory_mib,
    })
}

/// What a launch says besides its candidate.
#[derive(Debug)]
pub(super) struct Said<'a> {
    pub spot: bool,
    /// Least and most instances.
    pub counts: (u32, u32),
    pub token: Option<String>,
    pub instance_tags: &'a [(String, String)],
    pub interface_tags: &'a [(String, String)],
}

/// RunInstances, from the template and the candidate.
pub(super) fn launch_params(mut data: Data, candidate: &FleetCandidate, said: &Said<'_>) -> Result<Params, ApiError> {
    if data.says("InstanceMarketOptions") {
        return Err(invalid(format!(
            "The launch template {} must not say InstanceMarketOptions: the fleet decides what is launched as Spot Instances",
            candidate.template
        )));
    }
    let mut own: Vec<(String, String)> = candidate.launch.clone();
    if let Some(subnet) = &candidate.subnet
        && !data.place_interface(subnet)
    {
        own.push(("SubnetId".into(), subnet.clone()));
    }
    own.push(("MinCount".into(), said.counts.0.to_string()));
    own.push(("MaxCount".into(), said.counts.1.to_string()));
    own.extend(said.token.iter().map(|token| ("ClientToken".to_owned(), token.clone())));
    let kinds = [("instance", said.instance_tags), ("network-interface", said.interface_tags)];
    for (at, (kind, tags)) in (1..).zip(kinds.into_iter().filter(|(_, tags)| !tags.is_empty())) {
        own.push((format!("TagSpecification.{at}.ResourceType"), kind.to_owned()));
        for (n, (key, value)) in (1..).zip(tags) {
            own.push((format!("TagSpecification.{at}.Tag.{n}.Key"), key.clone()));
            own.push((format!("TagSpecification.{at}.Tag.{n}.Value"), value.clone()));
        }
    }
    // What only spot instances have: a price that on-demand ones of the same override do not care for.
    own.retain(|(name, _)| said.spot || name != MAX_PRICE);
    if said.spot {
        own.push(("InstanceMarketOptions.MarketType".into(), "spot".into()));
        own.push(("InstanceMarketOptions.SpotOptions.SpotInstanceType".into(), "one-time".into()));
    }
    data.launch(&Params::from_pairs(own.iter().map(|(name, value)| (name.as_str(), value.as_str())))?)
}

/// The most that a spot instance of an override may cost.
pub(super) const MAX_PRICE: &str = "InstanceMarketOptions.SpotOptions.MaxPrice";

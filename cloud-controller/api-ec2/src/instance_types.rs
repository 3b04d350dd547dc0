//! Types by requirements, and what the cloud's administrator does with types: two operations that Eucalyptus added to
//! EC2, which no model has: `ModifyInstanceTypeAttribute` and, for its capacity view,
//! `DescribeInstanceTypeCapacity`.

use crate::Ec2Api;
use crate::common::{dry_run, page, refuse};
use mallee_app::OpContext;
use mallee_app::instances::types::TypeChange;
use mallee_awswire::xml::XmlWriter;
use mallee_awswire::{ApiError, Code, Params};
use mallee_ec2_types::ec2::*;
use mallee_types::instance_type::InstanceType;

/// The operations of this file that no model has.
pub const EXTENSIONS: [&str; 2] = ["DescribeInstanceTypeCapacity", "ModifyInstanceTypeAttribute"];
/// The namespace of their replies.
const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";
/// Parameters of every request.
const COMMON: [&str; 3] = ["Action", "Version", "DryRun"];

/// Refuses parameters that the operation does not have. Those of the signature are gone by now.
fn known(params: &Params, names: &[&str]) -> Result<(), ApiError> {
    let given = params.iter().map(|(name, _)| name);
    for name in given {
        let aws = name.starts_with("X-Amz-") || name.starts_with("AWSAccessKeyId") || name.starts_with("Signature");
        if !aws && !COMMON.contains(&name) && !names.contains(&name) {
            return Err(Code::UnknownParameter.with(&[&mallee_awswire::texts::clip(name)]));
        }
    }
    Ok(())
}

fn number<T: std::str::FromStr>(params: &Params, name: &str) -> Result<Option<T>, ApiError> {
    let Some(text) = params.get(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| ApiError::invalid_value(name, text, "It must be a whole number."))
}

fn flag(params: &Params, name: &str) -> Result<bool, ApiError> {
    match params.get(name) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(ApiError::invalid_value(name, other, "It must be true or false.")),
    }
}

fn write_type(w: &mut XmlWriter, element: &str, size: &InstanceType) {
    w.open(element);
    w.text("name", size.name);
    w.display("cpu", size.vcpus);
    w.display("memory", size.memory_mib);
    w.display("disk", size.root_disk_gib);
    w.close(element);
}

fn reply(action: &str, cx: &OpContext, body: impl FnOnce(&mut XmlWriter)) -> String {
    let mut w = XmlWriter::document();
    let root = format!("{action}Response");
    w.open_ns(&root, NAMESPACE);
    w.text("requestId", &cx.request_id);
    body(&mut w);
    w.close(&root);
    w.finish()
}

/// Whether a range holds a figure; what is not given is no bound.
fn within<T: PartialOrd>(value: T, min: Option<T>, max: Option<T>) -> bool {
    min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max)
}

/// EC2's "included", "required", "excluded", by default excluded.
fn wanted(name: &str, word: Option<&str>, is: bool) -> Result<bool, ApiError> {
    match word.unwrap_or("excluded") {
        "included" => Ok(true),
        "required" => Ok(is),
        "excluded" => Ok(!is),
        other => Err(ApiError::invalid_value(name, other, "Valid values are included, required and excluded.")),
    }
}

/// `t3.*` and the like.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail),
    }
}

fn whole(value: u64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

#[allow(clippy::cast_precision_loss, reason = "sizes of memory and disks are far below what a float holds exactly")]
const fn real(value: u64) -> f64 {
    value as f64
}

/// A test of one type, from the requirements. Features that no type here has are refused where they are required.
pub(crate) fn requirement(
    r: InstanceRequirementsRequest,
) -> Result<impl Fn(&InstanceType) -> Result<bool, ApiError>, ApiError> {
    let InstanceRequirementsRequest {
        accelerator_count,
        accelerator_manufacturers,
        accelerator_names,
        accelerator_total_memory_mi_b,
        accelerator_types,
        allowed_instance_types: allowed,
        bare_metal,
        baseline_ebs_bandwidth_mbps,
        baseline_performance_factors,
        burstable_performance,
        cpu_manufacturers,
        excluded_instance_types: excluded,
        instance_generations: generations,
        local_storage,
        local_storage_types,
        max_spot_price_as_percentage_of_optimal_on_demand_price,
        memory_gi_b_per_v_cpu,
        memory_mi_b,
        network_bandwidth_gbps,
        network_interface_count,
        on_demand_max_price_percentage_over_lowest_price,
        require_encryption_in_transit,
        require_hibernate_support,
        spot_max_price_percentage_over_lowest_price,
        total_local_storage_gb,
        v_cpu_count,
    } = r;
    let accelerators = accelerator_count.as_ref().is_some_and(|count| count.max != Some(0))
        || !accelerator_manufacturers.is_empty()
        || !accelerator_names.is_empty()
        || accelerator_total_memory_mi_b.is_some()
        || !accelerator_types.is_empty();
    refuse("InstanceRequirements.BaselineEbsBandwidthMbps", baseline_ebs_bandwidth_mbps.is_some())?;
    refuse("InstanceRequirements.BaselinePerformanceFactors", baseline_performance_factors.is_some())?;
    refuse("InstanceRequirements.CpuManufacturers", !cpu_manufacturers.is_empty())?;
    refuse("InstanceRequirements.NetworkBandwidthGbps", network_bandwidth_gbps.is_some())?;
    refuse("InstanceRequirements.LocalStorageTypes", !local_storage_types.is_empty())?;
    // There are no prices, so no price is over another.
    let _no_prices = (
        max_spot_price_as_percentage_of_optimal_on_demand_price,
        on_demand_max_price_percentage_over_lowest_price,
        spot_max_price_percentage_over_lowest_price,
    );
    if !allowed.is_empty() && !excluded.is_empty() {
        return Err(ApiError::invalid_combination(
            "AllowedInstanceTypes and ExcludedInstanceTypes cannot be used in the same request",
        ));
    }
    let memory = memory_mi_b.ok_or_else(|| ApiError::missing_parameter("InstanceRequirements.MemoryMiB"))?;
    let vcpus = v_cpu_count.ok_or_else(|| ApiError::missing_parameter("InstanceRequirements.VCpuCount"))?;
    if memory.min.is_none() || vcpus.min.is_none() {
        return Err(ApiError::missing_parameter("InstanceRequirements.MemoryMiB.Min and VCpuCount.Min"));
    }
    for generation in &generations {
        if generation != "current" && generation != "previous" {
            let why = "Valid values are current and previous.";
            return Err(ApiError::invalid_value("InstanceGenerations", generation, why));
        }
    }
    let impossible =
        accelerators || require_encryption_in_transit == Some(true) || require_hibernate_support == Some(true);
    let per_cpu = memory_gi_b_per_v_cpu;
    Ok(move |size: &InstanceType| {
        let gib_per_cpu = real(size.memory_mib) / 1024.0 / f64::from(size.vcpus.max(1));
        let generation = if size.current_generation { "current" } else { "previous" };
        Ok(!impossible
            && within(whole(u64::from(size.vcpus)), vcpus.min, vcpus.max)
            && within(whole(size.memory_mib), memory.min, memory.max)
            && per_cpu.as_ref().is_none_or(|range| within(gib_per_cpu, range.min, range.max))
            && network_interface_count
                .as_ref()
                .is_none_or(|range| within(whole(size.interfaces.into()), range.min, range.max))
            && total_local_storage_gb
                .as_ref()
                .is_none_or(|range| within(real(size.root_disk_gib), range.min, range.max))
            && (generations.is_empty() || generations.iter().any(|g| g == generation))
            && wanted("BurstablePerformance", burstable_performance.as_deref(), size.burstable)?
            && wanted("BareMetal", bare_metal.as_deref(), false)?
            && wanted("LocalStorage", local_storage.as_deref().or(Some("included")), true)?
            && (allowed.is_empty() || allowed.iter().any(|pattern| matches(pattern, size.name)))
            && !excluded.iter().any(|pattern| matches(pattern, size.name)))
    })
}

impl Ec2Api {
    /// An operation of [`EXTENSIONS`]; `None`: the action is none of them.
    pub(crate) async fn extension(
        &self,
        cx: &OpContext,
        action: &str,
        params: &Params,
    ) -> Option<Result<String, ApiError>> {
        match action {
            "ModifyInstanceTypeAttribute" => Some(self.modify_type(cx, action, params).await),
            "DescribeInstanceTypeCapacity" => Some(self.type_capacity(cx, action, params).await),
            _ => None,
        }
    }

    async fn modify_type(&self, cx: &OpContext, action: &str, params: &Params) -> Result<String, ApiError> {
        known(params, &["Name", "Cpu", "Memory", "Disk", "Reset"])?;
        let name = params.get("Name").ok_or_else(|| ApiError::missing_parameter("Name"))?;
        let change = TypeChange {
            vcpus: number(params, "Cpu")?,
            memory_mib: number(params, "Memory")?,
            root_disk_gib: number(params, "Disk")?,
            reset: flag(params, "Reset")?,
        };
        let (before, after) = self.cloud.modify_type(cx, name, change, flag(params, "DryRun")?).await?;
        Ok(reply(action, cx, |w| {
            write_type(w, "previousInstanceType", &before);
            write_type(w, "instanceType", &after);
        }))
    }

    async fn type_capacity(&self, cx: &OpContext, action: &str, params: &Params) -> Result<String, ApiError> {
        known(params, &["InstanceType", "AvailabilityZone"])?;
        dry_run(Some(flag(params, "DryRun")?))?;
        let mut capacities = self.cloud.type_capacity(cx).await?;
        if let Some(name) = params.get("InstanceType") {
            self.cloud.size_named(name).await?;
            capacities.retain(|capacity| capacity.size.name == name);
        }
        if let Some(zone) = params.get("AvailabilityZone") {
            capacities.retain(|capacity| capacity.zone.as_str() == zone);
        }
        Ok(reply(action, cx, |w| {
            w.open("capacitySet");
            for capacity in &capacities {
                w.open("item");
                write_type(w, "instanceType", &capacity.size);
                w.text("availabilityZone", capacity.zone.as_str());
                w.display("max", capacity.maximum);
                w.display("available", capacity.available);
                w.close("item");
            }
            w.close("capacitySet");
        }))
    }

    pub(crate) async fn get_instance_types_from_requirements(
        &self,
        r: GetInstanceTypesFromInstanceRequirementsRequest,
    ) -> Result<GetInstanceTypesFromInstanceRequirementsResult, ApiError> {
        let GetInstanceTypesFromInstanceRequirementsRequest {
            architecture_types,
            context,
            dry_run: dry,
            instance_requirements,
            max_results,
            next_token,
            virtualization_types,
        } = r;
        refuse("Context", context.is_some())?;
        if architecture_types.is_empty() {
            return Err(ApiError::missing_parameter("ArchitectureType"));
        }
        if virtualization_types.is_empty() {
            return Err(ApiError::missing_parameter("VirtualizationType"));
        }
        let operation = "GetInstanceTypesFromInstanceRequirements";
        let page = page(operation, max_results, next_token.as_deref(), 1..=1000, &[])?;
        let requirements = instance_requirements.ok_or_else(|| ApiError::missing_parameter("InstanceRequirements"))?;
        let fits = requirement(requirements)?;
        dry_run(dry)?;
        let possible =
            architecture_types.iter().any(|a| a == "x86_64") && virtualization_types.iter().any(|v| v == "hvm");
        let mut names = Vec::new();
        for size in self.cloud.sizes().await? {
            if fits(&size)? && possible {
                names.push(size.name.to_owned());
            }
        }
        names.sort_unstable();
        let (names, next_token) = page.cut(names, Clone::clone);
        let shape = |name| InstanceTypeInfoFromInstanceRequirements { instance_type: Some(name) };
        Ok(GetInstanceTypesFromInstanceRequirementsResult {
            instance_types: names.into_iter().map(shape).collect(),
            next_token,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_types::instance_type::INSTANCE_TYPES;

    fn names(r: InstanceRequirementsRequest) -> Vec<&'static str> {
        let fits = requirement(r).unwrap();
        INSTANCE_TYPES.iter().filter(|size| fits(size).unwrap()).map(|size| size.name).collect()
    }

    fn base(memory: i32, vcpus: i32) -> InstanceRequirementsRequest {
        InstanceRequirementsRequest {
            memory_mi_b: Some(MemoryMiBRequest { min: Some(memory), max: None }),
            v_cpu_count: Some(VCpuCountRangeRequest { min: Some(vcpus), max: Some(4) }),
            ..Default::default()
        }
    }

    #[test]
    fn types_are_told_by_their_figures() {
        assert_eq!(names(base(32768, 4)), ["r5.xlarge"]);
        let burstable =
            InstanceRequirementsRequest { burstable_performance: Some("required".into()), ..base(16384, 4) };
        assert_eq!(names(burstable), ["t3.xlarge"]);
        let allowed = InstanceRequirementsRequest { allowed_instance_types: vec!["c5.*".into()], ..base(0, 2) };
        assert_eq!(names(allowed), ["c5.large", "c5.xlarge"]);
        let gpu = InstanceRequirementsRequest { accelerator_types: vec!["gpu".into()], ..base(0, 0) };
        assert!(names(gpu).is_empty());
        assert!(requirement(InstanceRequirementsRequest::default()).is_err());
        assert!(matches("t3.*", "t3.nano") && matches("*", "x") && !matches("t3.*", "t2.nano"));
    }
}

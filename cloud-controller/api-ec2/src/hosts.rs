//! Dedicated hosts.

use crate::Ec2Api;
use crate::common::{
    Chunk, Look, ROWS, TagMap, choice, fill, filters, next_key, only, page, refuse, rows, tag_filter_values,
    tags_of_one, tags_on, time, values_of,
};
use crate::filter::Filterable;
use mallee_app::OpContext;
use mallee_app::capacity::{HOST_TAG_KIND, HostSizes, HostWish, NewHosts, family, takes};
use mallee_app::ids::{parse_id, parse_ids, require_all};
use mallee_app::once::Once;
use mallee_awswire::{ApiError, Code, Params};
use mallee_ec2_types::ec2::*;
use mallee_store::{HostFilter, HostRow, HostState, InstanceRow, host_list};
use mallee_types::HostId;
use mallee_types::instance_type::InstanceType;
use std::collections::BTreeMap;

/// What DescribeHosts filters by.
const FILTERS: [&str; 8] = [
    "auto-placement",
    "availability-zone",
    "availability-zone-id",
    "client-token",
    "host-reservation-id",
    "instance-type",
    "state",
    "tag-key",
];
/// Page sizes.
const PAGE_SIZES: std::ops::RangeInclusive<i32> = 5..=500;
const SWITCH: [(&str, bool); 2] = [("on", true), ("off", false)];

impl Filterable for Host {
    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "auto-placement" => values_of(&self.auto_placement),
            "availability-zone" => values_of(&self.availability_zone),
            "availability-zone-id" => values_of(&self.availability_zone_id),
            "client-token" => values_of(&self.client_token),
            "host-reservation-id" => values_of(&self.host_reservation_id),
            "instance-type" => self.host_properties.iter().flat_map(|p| values_of(&p.instance_type)).collect(),
            "state" => values_of(&self.state),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

fn number(count: impl TryInto<i32>) -> Option<i32> {
    Some(count.try_into().unwrap_or(i32::MAX))
}

/// What is left of a host beside what runs on it, and beside the disks that are on it.
#[derive(Debug, Clone, Copy)]
struct Left {
    vcpus: u32,
    memory_mib: u64,
    disk_bytes: u64,
}

impl Left {
    const fn all(row: &HostRow) -> Self {
        Self { vcpus: row.vcpus, memory_mib: row.memory_mib, disk_bytes: row.disk_bytes }
    }

    fn without(self, instance: &InstanceRow) -> Self {
        let doc = &instance.doc;
        let runs = instance.state != mallee_types::InstanceState::Stopped;
        Self {
            vcpus: self.vcpus.saturating_sub(if runs { doc.vcpus } else { 0 }),
            memory_mib: self.memory_mib.saturating_sub(if runs { doc.memory_mib } else { 0 }),
            disk_bytes: self.disk_bytes.saturating_sub(doc.root_disk_bytes),
        }
    }

    fn fits(self, size: &InstanceType) -> u64 {
        let by_cpu = u64::from(self.vcpus / size.vcpus.max(1));
        let by_disk = self.disk_bytes / (size.root_disk_gib << 30).max(1);
        by_cpu.min(self.memory_mib / size.memory_mib.max(1)).min(by_disk)
    }
}

fn shape(row: HostRow, on: &[InstanceRow], sizes: &[InstanceType], tags: &mut TagMap, look: Look<'_>) -> Host {
    let (all, left) = (Left::all(&row), on.iter().fold(Left::all(&row), |left, one| left.without(one)));
    let capacity = sizes.iter().filter(|size| takes(&row, size.name)).map(|size| InstanceCapacity {
        available_capacity: number(left.fits(size)),
        instance_type: Some(size.name.to_owned()),
        total_capacity: number(all.fits(size)),
    });
    let of_family = row.instance_type.as_deref().map(|name| family(name).to_owned()).or(row.instance_family.clone());
    let available = row.state == HostState::Available;
    let on_off = |on: bool| Some(if on { "on" } else { "off" }.to_owned());
    Host {
        allocation_time: time(row.created_ms),
        allows_multiple_instance_types: on_off(row.instance_type.is_none()),
        auto_placement: on_off(row.auto_placement),
        availability_zone: Some(row.zone.to_string()),
        availability_zone_id: look.zone_id(&row.zone),
        available_capacity: available.then(|| AvailableCapacity {
            available_instance_capacity: capacity.collect(),
            available_v_cpus: number(left.vcpus),
        }),
        client_token: row.client_token.clone(),
        // Root disks are on the host: nothing could be recovered elsewhere, and nothing is moved away.
        host_maintenance: Some("off".to_owned()),
        host_recovery: Some("off".to_owned()),
        host_properties: Some(HostProperties {
            cores: number(row.vcpus),
            instance_family: of_family,
            instance_type: row.instance_type.clone(),
            sockets: Some(1),
            total_v_cpus: number(row.vcpus),
        }),
        instances: on
            .iter()
            .map(|instance| HostInstance {
                instance_id: Some(instance.id.to_string()),
                instance_type: Some(instance.instance_type.clone()),
                owner_id: Some(instance.account_id.to_string()),
            })
            .collect(),
        member_of_service_linked_resource_group: Some(false),
        owner_id: Some(row.account_id.to_string()),
        release_time: row.released_ms.and_then(time),
        state: Some(if available { "available" } else { "released" }.to_owned()),
        tags: tags.remove(row.id.as_str()).unwrap_or_default(),
        host_id: Some(row.id.to_string()),
        ..Default::default()
    }
}

/// What a host takes, of a request that names a type or a family.
fn sizes(instance_type: Option<String>, instance_family: Option<String>) -> Result<Option<HostSizes>, ApiError> {
    match (instance_type, instance_family) {
        (Some(_), Some(_)) => Err(ApiError::invalid_combination(
            "The parameter InstanceFamily cannot be used with the parameter InstanceType",
        )),
        (Some(name), None) => Ok(Some(HostSizes::Type(name))),
        (None, Some(name)) => Ok(Some(HostSizes::Family(name))),
        (None, None) => Ok(None),
    }
}

fn unsuccessful(id: &str, error: &ApiError) -> UnsuccessfulItem {
    UnsuccessfulItem {
        error: Some(UnsuccessfulItemError {
            code: Some(error.code().as_str().to_owned()),
            message: Some(error.message().to_owned()),
        }),
        resource_id: Some(id.to_owned()),
    }
}

/// The tenancy of a launch, and the host it names.
pub(crate) fn tenancy(
    tenancy: Option<&str>,
    host_id: Option<&str>,
    affinity: Option<&str>,
) -> Result<(String, HostWish), ApiError> {
    let words = [("default", "default"), ("dedicated", "dedicated"), ("host", "host")];
    let asked = choice("Placement.Tenancy", tenancy, &words)?;
    let id: Option<HostId> = host_id.map(|id| parse_id(id, Code::InvalidHostIdMalformed)).transpose()?;
    let affinity = choice("Placement.Affinity", affinity, &[("default", false), ("host", true)])?;
    // Who names a host means one.
    let tenancy = asked.unwrap_or(if id.is_some() { "host" } else { "default" });
    if tenancy != "host" && (id.is_some() || affinity == Some(true)) {
        return Err(ApiError::invalid_combination(
            "The parameters HostId and Affinity can only be used with the tenancy 'host'",
        ));
    }
    Ok((tenancy.to_owned(), HostWish { id, affinity: affinity.unwrap_or(false) }))
}

impl Ec2Api {
    pub(crate) async fn allocate_hosts(
        &self,
        cx: &OpContext,
        r: AllocateHostsRequest,
        params: &Params,
    ) -> Result<AllocateHostsResult, ApiError> {
        let AllocateHostsRequest {
            asset_ids,
            auto_placement,
            availability_zone,
            availability_zone_id,
            client_token,
            cpu_options,
            host_maintenance,
            host_recovery,
            instance_family,
            instance_type,
            outpost_arn,
            quantity,
            tag_specifications,
        } = r;
        refuse("AssetId", !asset_ids.is_empty())?;
        refuse("CpuOptions", cpu_options.is_some())?;
        refuse("OutpostArn", outpost_arn.is_some())?;
        only("HostMaintenance", host_maintenance.as_deref(), &["off"])?;
        only("HostRecovery", host_recovery.as_deref(), &["off"])?;
        let quantity = quantity.unwrap_or(1);
        let new = NewHosts {
            sizes: sizes(instance_type, instance_family)?.ok_or_else(|| ApiError::missing_parameter("InstanceType"))?,
            quantity: u32::try_from(quantity)
                .map_err(|_| ApiError::invalid_value("quantity", &quantity.to_string(), "Minimum value is 1."))?,
            zone: self.named_zone(availability_zone, availability_zone_id)?,
            auto_placement: choice("AutoPlacement", auto_placement.as_deref(), &SWITCH)?.unwrap_or(true),
            tags: tags_of_one(tag_specifications, HOST_TAG_KIND)?,
            once: Once { token: client_token, params_hash: hex::encode(params.fingerprint()) },
        };
        let ids = self.cloud.allocate_hosts(cx, new).await?;
        Ok(AllocateHostsResult { host_ids: ids.iter().map(ToString::to_string).collect() })
    }

    pub(crate) async fn describe_hosts(
        &self,
        cx: &OpContext,
        r: DescribeHostsRequest,
    ) -> Result<DescribeHostsResult, ApiError> {
        let DescribeHostsRequest { filter, host_ids, max_results, next_token } = r;
        let filters = &filters(&filter, &FILTERS)?;
        let page = page("DescribeHosts", max_results, next_token.as_deref(), PAGE_SIZES, &host_ids)?;
        let ids: &Vec<HostId> = &parse_ids(&host_ids, Code::InvalidHostIdMalformed)?;
        let sizes = &self.cloud.sizes().await?;
        let some_ids = (!ids.is_empty()).then_some(ids.as_slice());
        let read = |after: Option<HostId>| async move {
            let filter =
                HostFilter { account: Some(cx.account()), ids: some_ids, after: after.as_ref(), ..Default::default() };
            let list = rows(host_list(self.store(), filter, ROWS).await)?;
            let next = next_key(&list, |row| row.id.clone());
            if let Some(ids) = some_ids {
                require_all(ids, |id| list.iter().any(|row| row.id == *id), Code::InvalidHostIdNotFound)?;
            }
            let found: Vec<HostId> = list.iter().map(|row| row.id.clone()).collect();
            let mut on: BTreeMap<HostId, Vec<InstanceRow>> = BTreeMap::new();
            for (host, instance) in self.cloud.host_instances(&found).await? {
                on.entry(host).or_default().push(instance);
            }
            let mut tags = tags_on(self.store(), cx.account(), found.iter().map(ToString::to_string)).await?;
            let found = list.into_iter().map(|row| {
                let on = on.remove(&row.id).unwrap_or_default();
                shape(row, &on, sizes, &mut tags, self.look())
            });
            Ok(Chunk { found: found.filter(|one| filters.accept(one)).collect(), next })
        };
        let key = |one: &Host| one.host_id.clone().unwrap_or_default();
        let (hosts, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeHostsResult { hosts, next_token })
    }

    pub(crate) async fn modify_hosts(
        &self,
        cx: &OpContext,
        r: ModifyHostsRequest,
    ) -> Result<ModifyHostsResult, ApiError> {
        let ModifyHostsRequest {
            auto_placement,
            host_ids,
            host_maintenance,
            host_recovery,
            instance_family,
            instance_type,
        } = r;
        only("HostMaintenance", host_maintenance.as_deref(), &["off"])?;
        only("HostRecovery", host_recovery.as_deref(), &["off"])?;
        let auto_placement = choice("AutoPlacement", auto_placement.as_deref(), &SWITCH)?;
        let sizes = sizes(instance_type, instance_family)?;
        let ids: Vec<HostId> = required(&host_ids)?;
        let mut result = ModifyHostsResult::default();
        for id in &ids {
            match self.cloud.modify_host(cx, id.as_str(), auto_placement, sizes.as_ref()).await {
                Ok(()) => result.successful.push(id.to_string()),
                Err(error) if error.status() < 500 => result.unsuccessful.push(unsuccessful(id.as_str(), &error)),
                Err(error) => return Err(error),
            }
        }
        Ok(result)
    }

    pub(crate) async fn release_hosts(
        &self,
        cx: &OpContext,
        r: ReleaseHostsRequest,
    ) -> Result<ReleaseHostsResult, ApiError> {
        let ReleaseHostsRequest { host_ids } = r;
        let mut result = ReleaseHostsResult::default();
        for id in required(&host_ids)? {
            match self.cloud.release_host(cx, id.as_str()).await {
                Ok(()) => result.successful.push(id.to_string()),
                Err(error) if error.status() < 500 => result.unsuccessful.push(unsuccessful(id.as_str(), &error)),
                Err(error) => return Err(error),
            }
        }
        Ok(result)
    }
}

fn required(ids: &[String]) -> Result<Vec<HostId>, ApiError> {
    if ids.is_empty() {
        return Err(ApiError::missing_parameter("HostId"));
    }
    parse_ids(ids, Code::InvalidHostIdMalformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_names_a_host_means_one() {
        let id = "h-0123456789abcdef0";
        assert_eq!(tenancy(None, None, None).unwrap(), ("default".into(), HostWish::default()));
        let (asked, wish) = tenancy(None, Some(id), Some("host")).unwrap();
        assert_eq!((asked.as_str(), wish.affinity, wish.id.unwrap().as_str()), ("host", true, id));
        assert_eq!(tenancy(Some("dedicated"), None, Some("default")).unwrap().0, "dedicated");
        assert!(tenancy(Some("default"), Some(id), None).is_err());
        assert!(tenancy(Some("dedicated"), None, Some("host")).is_err());
        assert!(tenancy(Some("alone"), None, None).is_err());
        assert_eq!(tenancy(None, Some("h-1"), None).unwrap_err().code(), Code::InvalidHostIdMalformed);
    }
}

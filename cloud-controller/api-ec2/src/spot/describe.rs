//! DescribeSpotInstanceRequests.

use super::market::{BEHAVIORS, KINDS, word};
use crate::Ec2Api;
use crate::common::{
    Chunk, Look, ROWS, TagMap, dry_run, fill, filters, next_key, page, rows, tag_filter_values, tags_on, time,
    time_text, values_of,
};
use crate::filter::Filterable;
use mallee_app::OpContext;
use mallee_app::ids::require_all;
use mallee_app::instances::run::{LaunchInterface, RunRequest};
use mallee_app::interfaces::ipv6::WantedIpv6;
use mallee_app::spot::Wanted;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::*;
use mallee_store::{SpotRequestRow, SpotState, spot_request_list};
use mallee_types::SpotRequestId;
use time::OffsetDateTime;

/// What DescribeSpotInstanceRequests filters by.
const FILTERS: [&str; 39] = [
    "availability-zone-group",
    "create-time",
    "fault-code",
    "fault-message",
    "instance-id",
    "launch-group",
    "launch.block-device-mapping.delete-on-termination",
    "launch.block-device-mapping.device-name",
    "launch.block-device-mapping.snapshot-id",
    "launch.block-device-mapping.volume-size",
    "launch.block-device-mapping.volume-type",
    "launch.group-id",
    "launch.group-name",
    "launch.image-id",
    "launch.instance-type",
    "launch.kernel-id",
    "launch.key-name",
    "launch.monitoring-enabled",
    "launch.ramdisk-id",
    "launched-availability-zone",
    "launched-availability-zone-id",
    "network-interface.addresses.primary",
    "network-interface.delete-on-termination",
    "network-interface.description",
    "network-interface.device-index",
    "network-interface.group-id",
    "network-interface.network-interface-id",
    "network-interface.private-ip-address",
    "network-interface.subnet-id",
    "product-description",
    "spot-instance-request-id",
    "spot-price",
    "state",
    "status-code",
    "status-message",
    "tag-key",
    "type",
    "valid-from",
    "valid-until",
];

pub(super) const PRODUCT: &str = "Linux/UNIX";

const STATES: [(&str, SpotState); 6] = [
    ("open", SpotState::Open),
    ("active", SpotState::Active),
    ("disabled", SpotState::Disabled),
    ("closed", SpotState::Closed),
    ("cancelled", SpotState::Cancelled),
    ("failed", SpotState::Failed),
];

fn text_of(time: Option<OffsetDateTime>) -> Vec<String> {
    let ms = time.and_then(|t| i64::try_from(t.unix_timestamp_nanos() / 1_000_000).ok());
    ms.map(time_text).into_iter().collect()
}

impl Filterable for SpotInstanceRequest {
    fn values(&self, name: &str) -> Vec<String> {
        let launch = self.launch_specification.iter();
        let interfaces = self.launch_specification.iter().flat_map(|l| &l.network_interfaces);
        match name {
            "create-time" => text_of(self.create_time),
            "fault-code" => self.fault.iter().flat_map(|fault| values_of(&fault.code)).collect(),
            "fault-message" => self.fault.iter().flat_map(|fault| values_of(&fault.message)).collect(),
            "instance-id" => values_of(&self.instance_id),
            "launch.group-id" => launch.flat_map(|l| &l.security_groups).flat_map(|g| values_of(&g.group_id)).collect(),
            "launch.group-name" => {
                launch.flat_map(|l| &l.security_groups).flat_map(|g| values_of(&g.group_name)).collect()
            }
            "launch.image-id" => launch.flat_map(|l| values_of(&l.image_id)).collect(),
            "launch.instance-type" => launch.flat_map(|l| values_of(&l.instance_type)).collect(),
            "launch.key-name" => launch.flat_map(|l| values_of(&l.key_name)).collect(),
            "launch.monitoring-enabled" => {
                launch.filter_map(|l| l.monitoring.as_ref()).flat_map(|m| values_of(&m.enabled)).collect()
            }
            "launched-availability-zone" => values_of(&self.launched_availability_zone),
            "launched-availability-zone-id" => values_of(&self.launched_availability_zone_id),
            "network-interface.device-index" => interfaces.flat_map(|i| values_of(&i.device_index)).collect(),
            "network-interface.group-id" => interfaces.flat_map(|i| i.groups.clone()).collect(),
            "network-interface.private-ip-address" => {
                interfaces.flat_map(|i| values_of(&i.private_ip_address)).collect()
            }
            "network-interface.subnet-id" => interfaces.flat_map(|i| values_of(&i.subnet_id)).collect(),
            "product-description" => values_of(&self.product_description),
            "spot-instance-request-id" => values_of(&self.spot_instance_request_id),
            "spot-price" => values_of(&self.spot_price),
            "state" => values_of(&self.state),
            "status-code" => self.status.iter().flat_map(|status| values_of(&status.code)).collect(),
            "status-message" => self.status.iter().flat_map(|status| values_of(&status.message)).collect(),
            "type" => values_of(&self.type_),
            "valid-from" => text_of(self.valid_from),
            "valid-until" => text_of(self.valid_until),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

fn ipv6_address(ip: &std::net::Ipv6Addr) -> InstanceIpv6Address {
    InstanceIpv6Address { ipv6_address: Some(ip.to_string()), is_primary_ipv6: None }
}

/// One of several interfaces of a launch, or one with more to say than the launch itself has.
fn interface(wanted: &LaunchInterface) -> InstanceNetworkInterfaceSpecification {
    let all = wanted.addresses.primary.iter().map(|ip| (ip, true));
    let all = all.chain(wanted.addresses.secondary.iter().map(|ip| (ip, false)));
    let address = |(ip, primary): (&std::net::Ipv4Addr, bool)| PrivateIpAddressSpecification {
        primary: Some(primary),
        private_ip_address: Some(ip.to_string()),
    };
    let (ipv6_address_count, ipv6_addresses) = match &wanted.addresses.ipv6 {
        WantedIpv6::AsSubnet => (None, Vec::new()),
        WantedIpv6::Count(count) => (i32::try_from(*count).ok(), Vec::new()),
        WantedIpv6::These(addresses) => (None, addresses.iter().map(ipv6_address).collect()),
    };
    InstanceNetworkInterfaceSpecification {
        delete_on_termination: Some(wanted.delete_on_termination.unwrap_or(wanted.existing.is_none())),
        description: Some(wanted.description.clone()).filter(|text| !text.is_empty()),
        device_index: i32::try_from(wanted.device_index).ok(),
        groups: wanted.group_ids.clone(),
        ipv6_address_count,
        ipv6_addresses,
        network_interface_id: wanted.existing.clone(),
        private_ip_addresses: all.map(address).collect(),
        secondary_private_ip_address_count: i32::try_from(wanted.addresses.more).ok().filter(|count| *count > 0),
        subnet_id: wanted.subnet.clone(),
        ..Default::default()
    }
}

/// The launch of a request, without its user data: nobody needs to read that here.
fn specification(launch: RunRequest) -> LaunchSpecification {
    let several: Vec<_> = launch.interfaces.iter().map(interface).collect();
    let by_interface = launch.public_ip.is_some() || launch.private_ip.is_some();
    let one = (by_interface && several.is_empty()).then(|| InstanceNetworkInterfaceSpecification {
        associate_public_ip_address: launch.public_ip,
        delete_on_termination: Some(true),
        device_index: Some(0),
        groups: launch.group_ids.clone(),
        private_ip_address: launch.private_ip.map(|ip| ip.to_string()),
        subnet_id: launch.subnet.clone(),
        ..Default::default()
    });
    let ids = launch.group_ids.into_iter().map(|id| GroupIdentifier { group_id: Some(id), group_name: None });
    let names = launch.group_names.into_iter().map(|name| GroupIdentifier { group_id: None, group_name: Some(name) });
    LaunchSpecification {
        ebs_optimized: Some(launch.ebs_optimized),
        iam_instance_profile: launch
            .profile
            .map(|profile| IamInstanceProfileSpecification { arn: profile.arn, name: profile.name }),
        image_id: Some(launch.image.to_string()),
        instance_type: Some(launch.instance_type),
        key_name: launch.key_name,
        monitoring: Some(RunInstancesMonitoringEnabled { enabled: Some(launch.monitoring), ..Default::default() }),
        network_interfaces: one.into_iter().chain(several).collect(),
        placement: Some(SpotPlacement {
            availability_zone: launch.zone,
            group_name: launch.group.name,
            tenancy: Some(launch.tenancy),
            ..Default::default()
        }),
        security_groups: if by_interface { Vec::new() } else { ids.chain(names).collect() },
        subnet_id: launch.subnet.filter(|_| !by_interface),
        ..Default::default()
    }
}

/// A request on the wire.
pub(super) fn shape(row: &SpotRequestRow, tags: &mut TagMap, look: Look<'_>) -> Result<SpotInstanceRequest, ApiError> {
    let fault = (row.state == SpotState::Failed).then(|| SpotInstanceStateFault {
        code: Some(row.status_code.clone()),
        message: Some(row.status_message.clone()),
    });
    Ok(SpotInstanceRequest {
        create_time: time(row.created_ms),
        fault,
        instance_id: row.instance_id.as_ref().map(ToString::to_string),
        instance_interruption_behavior: word(&BEHAVIORS, &row.behavior),
        launch_specification: Some(specification(Wanted::of(row)?.launch)),
        launched_availability_zone: row.zone.as_ref().map(ToString::to_string),
        launched_availability_zone_id: row.zone.as_ref().and_then(|zone| look.zone_id(zone)),
        product_description: Some(PRODUCT.to_owned()),
        spot_instance_request_id: Some(row.id.to_string()),
        spot_price: row.max_price.clone(),
        state: word(&STATES, &row.state),
        status: Some(SpotInstanceStatus {
            code: Some(row.status_code.clone()),
            message: Some(row.status_message.clone()),
            update_time: time(row.status_ms),
        }),
        tags: tags.remove(row.id.as_str()).unwrap_or_default(),
        type_: word(&KINDS, &row.kind),
        valid_from: row.valid_from_ms.and_then(time),
        valid_until: row.valid_until_ms.and_then(time),
        ..Default::default()
    })
}

impl Ec2Api {
    pub(crate) async fn describe_spot_instance_requests(
        &self,
        cx: &OpContext,
        r: DescribeSpotInstanceRequestsRequest,
    ) -> Result<DescribeSpotInstanceRequestsResult, ApiError> {
        let DescribeSpotInstanceRequestsRequest {
            dry_run: dry,
            filters: wanted,
            max_results,
            next_token,
            spot_instance_request_ids: ids,
        } = r;
        let filters = &filters(&wanted, &FILTERS)?;
        let page = page("DescribeSpotInstanceRequests", max_results, next_token.as_deref(), 5..=1000, &ids)?;
        let malformed = Code::InvalidSpotInstanceRequestIdMalformed;
        let ids: &Vec<SpotRequestId> = &mallee_app::ids::parse_ids(&ids, malformed)?;
        dry_run(dry)?;
        let some_ids = (!ids.is_empty()).then_some(ids.as_slice());
        if let Some(ids) = some_ids {
            let found = rows(spot_request_list(self.store(), Some(cx.account()), some_ids, None, ROWS).await)?;
            let missing = Code::InvalidSpotInstanceRequestIdNotFound;
            require_all(ids, |id| found.iter().any(|row| row.id == *id), missing)?;
        }
        let read = |after: Option<SpotRequestId>| async move {
            let list = spot_request_list(self.store(), Some(cx.account()), some_ids, after.as_ref(), ROWS).await;
            let list = rows(list)?;
            let next = next_key(&list, |row| row.id.clone());
            let mut tags = tags_on(self.store(), cx.account(), list.iter().map(|row| row.id.to_string())).await?;
            let shapes = list.iter().map(|row| shape(row, &mut tags, self.look()));
            let shapes: Vec<SpotInstanceRequest> = shapes.collect::<Result<_, _>>()?;
            Ok(Chunk { found: shapes.into_iter().filter(|shape| filters.accept(shape)).collect(), next })
        };
        let key = |shape: &SpotInstanceRequest| shape.spot_instance_request_id.clone().unwrap_or_default();
        let (spot_instance_requests, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeSpotInstanceRequestsResult { next_token, spot_instance_requests })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_word_and_every_filter_its_name_once() {
        let words: std::collections::HashSet<_> = STATES.iter().map(|(word, _)| word).collect();
        assert!(enums::SPOT_INSTANCE_STATE.iter().all(|word| words.contains(word)) && words.len() == STATES.len());
        let names: std::collections::HashSet<_> = FILTERS.iter().collect();
        assert_eq!(names.len(), FILTERS.len());
    }

    #[test]
    fn what_is_shown_is_what_is_filtered() {
        let request = SpotInstanceRequest {
            create_time: time(1_700_000_000_000),
            launch_specification: Some(LaunchSpecification {
                image_id: Some("ami-1".into()),
                monitoring: Some(RunInstancesMonitoringEnabled { enabled: Some(false), ..Default::default() }),
                network_interfaces: vec![InstanceNetworkInterfaceSpecification {
                    groups: vec!["sg-1".into()],
                    ..Default::default()
                }],
                ..Default::default()
            }),
            status: Some(SpotInstanceStatus { code: Some("fulfilled".into()), ..Default::default() }),
            ..Default::default()
        };
        for (name, value) in [
            ("create-time", "2023-11-14T22:13:20.000Z"),
            ("launch.image-id", "ami-1"),
            ("launch.monitoring-enabled", "false"),
            ("network-interface.group-id", "sg-1"),
            ("status-code", "fulfilled"),
        ] {
            assert!(FILTERS.contains(&name), "{name}");
            assert_eq!(request.values(name), [value], "{name}");
        }
        for name in ["launch.kernel-id", "availability-zone-group", "fault-code", "valid-until", "instance-id"] {
            assert!(FILTERS.contains(&name) && request.values(name).is_empty(), "{name}");
        }
    }
}

//! GetLaunchTemplateData: the template that would launch an instance like one that is there.

use crate::Ec2Api;
use crate::capacity::shown_wish;
use crate::common::{dry_run, time, wire_tags};
use crate::instances::credits;
use crate::spot::market;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mallee_app::OpContext;
use mallee_app::authorize::Service;
use mallee_app::fail::OrFail as _;
use mallee_app::instances::view::{InstanceView, views};
use mallee_awswire::{ApiError, Params};
use mallee_ec2_types::ec2::*;
use mallee_store::{ShutdownBehavior, SpotKind, SpotRequestRow, instance_user_data, spot_request_list};

impl Ec2Api {
    pub(crate) async fn get_launch_template_data(
        &self,
        cx: &OpContext,
        r: GetLaunchTemplateDataRequest,
    ) -> Result<GetLaunchTemplateDataResult, ApiError> {
        let GetLaunchTemplateDataRequest { dry_run: dry, instance_id } = r;
        let id = instance_id.unwrap_or_default();
        // As on AWS, who asks must be allowed what else would tell this: the user data among it.
        let also = async |operation: &str, params: &Params| {
            self.cloud.authorize(cx, Service::Ec2, operation, params).await.map(drop)
        };
        also("DescribeInstanceAttribute", &Params::from_pairs([("InstanceId", id.as_str())])?).await?;
        let rows = self.cloud.find_instances(cx, std::slice::from_ref(&id)).await?;
        let view = views(self.store(), rows).await.or_fail()?.pop();
        let view = view.ok_or_else(|| ApiError::instance_not_found(&[&id]))?;
        let nothing = Params::from_pairs([] as [(&str, &str); 0])?;
        let spot = match &view.row.doc.spot {
            None => None,
            Some(spot) => {
                also("DescribeSpotInstanceRequests", &nothing).await?;
                let ids = Some(std::slice::from_ref(&spot.request));
                spot_request_list(self.store(), Some(cx.account()), ids, None, 1).await.or_fail()?.pop()
            }
        };
        if credits::is_burstable(&view.row) {
            also("DescribeInstanceCreditSpecifications", &nothing).await?;
        }
        let user_data = instance_user_data(self.store(), &view.row.id).await.or_fail()?;
        dry_run(dry)?;
        let data = template_of(&view, spot.as_ref(), user_data.as_deref());
        Ok(GetLaunchTemplateDataResult { launch_template_data: Some(data) })
    }
}

/// How a spot instance was asked for; of a request that is forgotten, what its instance still knows.
fn market_of(view: &InstanceView, request: Option<&SpotRequestRow>) -> Option<LaunchTemplateInstanceMarketOptions> {
    let spot = view.row.doc.spot.as_ref()?;
    let kind = if spot.persistent { SpotKind::Persistent } else { SpotKind::OneTime };
    // A launch of one instance once takes no end of its request.
    let until = request.filter(|_| spot.persistent).and_then(|request| request.valid_until_ms);
    Some(LaunchTemplateInstanceMarketOptions {
        market_type: Some("spot".to_owned()),
        spot_options: Some(LaunchTemplateSpotMarketOptions {
            block_duration_minutes: None,
            instance_interruption_behavior: market::word(&market::BEHAVIORS, &spot.behavior),
            max_price: request.and_then(|request| request.max_price.clone()),
            spot_instance_type: market::word(&market::KINDS, &kind),
            valid_until: until.and_then(time),
        }),
    })
}

fn placement_of(view: &InstanceView) -> LaunchTemplatePlacement {
    let (row, doc) = (&view.row, &view.row.doc);
    let partition = doc.group.as_ref().map(|group| group.partition).filter(|number| *number > 0);
    LaunchTemplatePlacement {
        affinity: doc.host.as_ref().map(|_| if doc.host_affinity { "host" } else { "default" }.to_owned()),
        availability_zone: Some(row.zone.to_string()),
        group_name: doc.group.as_ref().map(|group| group.name.clone()),
        host_id: doc.host.as_ref().map(ToString::to_string),
        partition_number: partition.and_then(|number| i32::try_from(number).ok()),
        tenancy: Some(doc.tenancy.clone()).filter(|tenancy| !tenancy.is_empty()),
        ..Default::default()
    }
}

/// What would launch an instance like this one. What only it can have (its addresses, its interface) is left out.
fn template_of(
    view: &InstanceView,
    spot: Option<&SpotRequestRow>,
    user_data: Option<&[u8]>,
) -> ResponseLaunchTemplateData {
    let (row, doc) = (&view.row, &view.row.doc);
    let switch = |on: bool| Some(if on { "enabled" } else { "disabled" }.to_owned());
    let interfaces = view.interfaces.iter().map(|interface| LaunchTemplateInstanceNetworkInterfaceSpecification {
        // Said of the only one; of several none may have one.
        associate_public_ip_address: (view.interfaces.len() == 1).then_some(doc.auto_public_ip),
        delete_on_termination: Some(interface.row.delete_on_termination),
        description: Some(interface.row.description.clone()).filter(|text| !text.is_empty()),
        device_index: interface.row.device_index.and_then(|index| i32::try_from(index).ok()),
        ipv6_address_count: i32::try_from(interface.ipv6.len()).ok().filter(|count| *count > 0),
        secondary_private_ip_address_count: i32::try_from(interface.secondary.len()).ok().filter(|count| *count > 0),
        groups: interface.groups.iter().map(|(id, _)| id.to_string()).collect(),
        interface_type: Some("interface".to_owned()),
        network_card_index: Some(0),
        subnet_id: Some(interface.row.subnet_id.to_string()),
        ..Default::default()
    });
    let own = view.tags.iter().filter(|(key, _)| !key.starts_with("aws:"));
    let tags = wire_tags(own.map(|(key, value)| (key.as_str(), value.as_str())));
    let tagged =
        (!tags.is_empty()).then(|| LaunchTemplateTagSpecification { resource_type: Some("instance".to_owned()), tags });
    let (capacity_reservation_preference, capacity_reservation_target) = shown_wish(doc);
    let profile = view.profile.as_ref();
    ResponseLaunchTemplateData {
        capacity_reservation_specification: Some(LaunchTemplateCapacityReservationSpecificationResponse {
            capacity_reservation_preference,
            capacity_reservation_target,
        }),
        cpu_options: Some(LaunchTemplateCpuOptions {
            core_count: i32::try_from(doc.vcpus).ok(),
            threads_per_core: Some(1),
            ..Default::default()
        }),
        credit_specification: credits::is_burstable(row)
            .then(|| CreditSpecification { cpu_credits: Some(credits::shown(row).to_owned()) }),
        disable_api_stop: Some(doc.disable_api_stop),
        disable_api_termination: Some(doc.disable_api_termination),
        ebs_optimized: Some(doc.ebs_optimized),
        enclave_options: Some(LaunchTemplateEnclaveOptions { enabled: Some(false) }),
        hibernation_options: Some(LaunchTemplateHibernationOptions { configured: Some(false) }),
        iam_instance_profile: profile.map(|profile| LaunchTemplateIamInstanceProfileSpecification {
            arn: Some(profile.profile_arn.clone()),
            name: None,
        }),
        image_id: Some(row.image_id.to_string()),
        instance_initiated_shutdown_behavior: Some(
            match doc.shutdown_behavior {
                ShutdownBehavior::Stop => "stop",
                ShutdownBehavior::Terminate => "terminate",
            }
            .to_owned(),
        ),
        instance_market_options: market_of(view, spot),
        instance_type: Some(row.instance_type.clone()),
        key_name: row.key_name.clone(),
        maintenance_options: Some(LaunchTemplateInstanceMaintenanceOptions {
            auto_recovery: Some("default".to_owned()),
        }),
        metadata_options: Some(LaunchTemplateInstanceMetadataOptions {
            http_endpoint: switch(doc.metadata.enabled),
            http_protocol_ipv6: switch(false),
            http_put_response_hop_limit: i32::try_from(doc.metadata.hop_limit).ok(),
            http_tokens: Some(if doc.metadata.tokens_required { "required" } else { "optional" }.to_owned()),
            instance_metadata_tags: switch(doc.metadata.tags),
            state: Some("applied".to_owned()),
        }),
        monitoring: Some(LaunchTemplatesMonitoring { enabled: Some(doc.monitoring), ..Default::default() }),
        network_interfaces: interfaces.collect(),
        placement: Some(placement_of(view)),
        private_dns_name_options: Some(LaunchTemplatePrivateDnsNameOptions {
            enable_resource_name_dns_a_record: Some(false),
            enable_resource_name_dns_aaaa_record: Some(false),
            hostname_type: Some("ip-name".to_owned()),
        }),
        tag_specifications: tagged.into_iter().collect(),
        user_data: user_data.map(|data| STANDARD.encode(data).into()),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instances::testing::view;
    use mallee_store::{CpuCredits, InterruptionBehavior, SpotMembership};
    use mallee_types::{CapacityReservationId, HostId, SpotRequestId};

    #[test]
    fn where_an_instance_is_and_how_it_was_asked_for_is_told() {
        let plain = template_of(&view(), None, None);
        let capacity = plain.capacity_reservation_specification.unwrap();
        assert_eq!(capacity.capacity_reservation_preference.as_deref(), Some("open"));
        assert!(plain.instance_market_options.is_none());
        let placement = plain.placement.unwrap();
        assert_eq!(
            (placement.tenancy.as_deref(), placement.host_id, placement.affinity),
            (Some("default"), None, None)
        );
        assert_eq!(plain.credit_specification.unwrap().cpu_credits.as_deref(), Some("unlimited"));

        let mut on_host = view();
        on_host.row.doc.tenancy = "host".into();
        on_host.row.doc.host = Some(HostId::from_random(1));
        on_host.row.doc.host_affinity = true;
        on_host.row.doc.credits = Some(CpuCredits::Standard);
        let told = template_of(&on_host, None, None);
        let placement = told.placement.unwrap();
        assert_eq!((placement.tenancy.as_deref(), placement.affinity.as_deref()), (Some("host"), Some("host")));
        assert_eq!(placement.host_id, Some(HostId::from_random(1).to_string()));
        assert_eq!(told.credit_specification.unwrap().cpu_credits.as_deref(), Some("standard"));

        let mut reserved = view();
        reserved.row.doc.capacity_target = Some(CapacityReservationId::from_random(2));
        let capacity = template_of(&reserved, None, None).capacity_reservation_specification.unwrap();
        let target = capacity.capacity_reservation_target.unwrap().capacity_reservation_id;
        assert_eq!(target, Some(CapacityReservationId::from_random(2).to_string()));
        assert_eq!(capacity.capacity_reservation_preference, None, "one or the other");
    }

    #[test]
    fn a_spot_instance_tells_its_options_also_when_its_request_is_forgotten() {
        let mut spot = view();
        spot.row.doc.spot = Some(SpotMembership {
            request: SpotRequestId::from_random(3),
            persistent: true,
            behavior: InterruptionBehavior::Stop,
            notice: None,
        });
        let market = template_of(&spot, None, None).instance_market_options.unwrap();
        let options = market.spot_options.unwrap();
        assert_eq!(market.market_type.as_deref(), Some("spot"));
        assert_eq!(options.spot_instance_type.as_deref(), Some("persistent"));
        assert_eq!(options.instance_interruption_behavior.as_deref(), Some("stop"));
    }
}

//! RunInstances: from the wire's request to the use case's.

use super::describe::reservations;
pub(crate) use super::network::address;
use super::network::{LaunchNetwork, fold};
use super::{options, shape};
use crate::Ec2Api;
use crate::common::{Look, choice, refuse, tags_for};
use crate::ipv6::{Ipv6, wanted_ipv6};
use crate::profiles;
use crate::spot::market;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use mallee_app::OpContext;
use mallee_app::ids::parse_id;
use mallee_app::instances::modify::MetadataChange;
use mallee_app::instances::run::RunRequest;
use mallee_awswire::{ApiError, Code, Params};
use mallee_ec2_types::ec2::{Reservation, RunInstancesMonitoringEnabled, RunInstancesRequest};
use mallee_store::ShutdownBehavior;
use mallee_types::instance_type::instance_type;
use secrecy::{ExposeSecret as _, SecretString};

/// EC2's type when a launch names none.
const INSTANCE_TYPE: &str = "m1.small";

/// Decodes user data; some clients wrap its lines or leave the padding off.
pub(crate) fn user_data(text: Option<SecretString>) -> Result<Option<Vec<u8>>, ApiError> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let Some(text) = text else { return Ok(None) };
    let plain: String = text.expose_secret().chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let data = LENIENT.decode(plain).map_err(|_| Code::InvalidUserDataMalformed.error())?;
    Ok(Some(data).filter(|data| !data.is_empty()))
}

fn count(name: &str, value: Option<i32>) -> Result<u32, ApiError> {
    let value = value.ok_or_else(|| ApiError::missing_parameter(name))?;
    u32::try_from(value).map_err(|_| ApiError::invalid_value(name, &value.to_string(), "Minimum value is 1."))
}

/// A launch as the use case takes it.
pub(crate) fn run_request(
    r: RunInstancesRequest,
    params_hash: String,
    look: Look<'_>,
    ipv6: Ipv6,
    defaults: MetadataChange,
) -> Result<RunRequest, ApiError> {
    let RunInstancesRequest {
        additional_info,
        block_device_mappings,
        capacity_reservation_specification: capacity,
        client_token,
        cpu_options,
        credit_specification: credit,
        disable_api_stop,
        disable_api_termination,
        dry_run,
        ebs_optimized,
        elastic_gpu_specification,
        elastic_inference_accelerators,
        enable_primary_ipv6,
        enclave_options: enclave,
        hibernation_options: hibernation,
        iam_instance_profile,
        image_id,
        instance_initiated_shutdown_behavior,
        instance_market_options,
        instance_type: type_name,
        ipv6_address_count,
        ipv6_addresses,
        kernel_id,
        key_name,
        // Its parameters have been filled in: `filled_in`.
        launch_template: _,
        license_specifications,
        maintenance_options: maintenance,
        max_count,
        metadata_options,
        min_count,
        monitoring,
        network_interfaces,
        network_performance_options: performance,
        operator,
        placement,
        private_dns_name_options: dns,
        private_ip_address,
        ramdisk_id,
        secondary_interfaces,
        security_group_ids: group_ids,
        security_groups: group_names,
        subnet_id: subnet,
        tag_specifications,
        user_data: encoded,
    } = r;
    refuse("AdditionalInfo", additional_info.is_some())?;
    refuse("BlockDeviceMapping", !block_device_mappings.is_empty())?;
    refuse("ElasticGpuSpecification", !elastic_gpu_specification.is_empty())?;
    refuse("ElasticInferenceAccelerator", !elastic_inference_accelerators.is_empty())?;
    refuse("EnablePrimaryIpv6", enable_primary_ipv6 == Some(true))?;
    let six = wanted_ipv6(ipv6, "", "Ipv6Address", ipv6_addresses, ipv6_address_count)?;
    refuse("KernelId", kernel_id.is_some())?;
    refuse("LicenseSpecification", !license_specifications.is_empty())?;
    refuse("Operator", operator.is_some())?;
    refuse("RamdiskId", ramdisk_id.is_some())?;
    refuse("SecondaryInterface", !secondary_interfaces.is_empty())?;
    let type_name = type_name.unwrap_or_else(|| INSTANCE_TYPE.to_owned());
    let (capacity_preference, capacity_target) = crate::capacity::wish(capacity)?;
    let credits = options::credits(credit, instance_type(&type_name))?;
    options::fixed(options::Fixed { dns, enclave, hibernation, maintenance, performance })?;
    let core_count = options::cpu(cpu_options)?;
    let behaviors = [("stop", ShutdownBehavior::Stop), ("terminate", ShutdownBehavior::Terminate)];
    let behavior = instance_initiated_shutdown_behavior.as_deref();
    let mut spot = market::options(instance_market_options)?;
    let asked = choice("InstanceInitiatedShutdownBehavior", behavior, &behaviors)?;
    let shutdown_behavior = market::shutdown(spot.as_ref(), asked)?;
    let RunInstancesMonitoringEnabled { enabled: monitoring, metric_category_ids } = monitoring.unwrap_or_default();
    refuse("Monitoring.MetricCategoryId", !metric_category_ids.is_empty())?;
    let private_ip = private_ip_address.map(|text| address("PrivateIpAddress", &text)).transpose()?;
    let launch = LaunchNetwork { subnet, group_ids, group_names, private_ip, ipv6: six, ..Default::default() };
    let LaunchNetwork { subnet, group_ids, group_names, private_ip, public_ip, interfaces, .. } =
        fold(launch, network_interfaces, ipv6)?;
    let (mut instance_tags, mut interface_tags) = (Vec::new(), Vec::new());
    let kinds = ["instance", "network-interface", "volume", mallee_app::spot::TAG_KIND];
    for (kind, tags) in tags_for(tag_specifications, &kinds)? {
        match kind.as_str() {
            "instance" => instance_tags = tags,
            "network-interface" => interface_tags = tags,
            mallee_app::spot::TAG_KIND => match &mut spot {
                Some(spot) => spot.tags = tags,
                None => return Err(market::tags_without_spot()),
            },
            // Of the volumes that the launch makes: it makes none, but what is written is checked.
            _ => mallee_app::tags::validate(&tags)?,
        }
    }
    let options::Whereabouts { zone, group, tenancy, host } = options::placement(placement, look)?;
    let image_id = image_id.ok_or_else(|| ApiError::missing_parameter("ImageId"))?;
    let request = RunRequest {
        image: parse_id(&image_id, Code::InvalidAmiIdMalformed)?,
        instance_type: type_name,
        min_count: count("MinCount", min_count)?,
        max_count: count("MaxCount", max_count)?,
        key_name,
        group_ids,
        group_names,
        subnet,
        zone,
        private_ip,
        public_ip,
        user_data: user_data(encoded)?,
        client_token,
        params_hash,
        shutdown_behavior,
        disable_api_termination: disable_api_termination == Some(true),
        disable_api_stop: disable_api_stop == Some(true),
        monitoring: monitoring == Some(true),
        ebs_optimized: ebs_optimized == Some(true),
        credits,
        core_count,
        capacity_preference,
        capacity_target,
        profile: iam_instance_profile.map(profiles::reference),
        metadata: options::metadata(metadata_options, defaults)?,
        tenancy,
        host,
        group,
        spot,
        instance_tags,
        system_tags: Vec::new(),
        fleet: None,
        interface_tags,
        interfaces,
        dry_run: dry_run == Some(true),
    };
    // Here too, so that a template that asks for it is warned of.
    request.check_combination()?;
    Ok(request)
}

impl Ec2Api {
    pub(crate) async fn run_instances(
        &self,
        cx: &OpContext,
        r: RunInstancesRequest,
        params: &Params,
    ) -> Result<Reservation, ApiError> {
        let look = self.look();
        let params_hash = hex::encode(params.fingerprint());
        // Before the template is looked at: it may have changed, or gone, since the first call.
        let before = self.cloud.launched_before(cx, r.client_token.as_deref(), &params_hash).await?;
        let (reservation, views) = match before {
            Some(done) => done,
            None => {
                let (r, system_tags) = match r.launch_template.clone() {
                    Some(template) => self.filled_in(cx, &template, params).await?,
                    None => (r, Vec::new()),
                };
                let defaults = self.cloud.metadata_defaults(cx).await?;
                let request = RunRequest { system_tags, ..run_request(r, params_hash, look, self.ipv6(), defaults)? };
                self.cloud.run_instances(cx, request).await?
            }
        };
        let instances = views.iter().map(|view| (reservation.clone(), shape::instance(view, look))).collect();
        // A repeated launch whose instances are forgotten already has none left to show.
        Ok(reservations(cx.account(), instances).pop().unwrap_or_else(|| Reservation {
            owner_id: Some(cx.account().to_string()),
            reservation_id: Some(reservation.to_string()),
            ..Default::default()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_ec2_types::ec2::{
        BlockDeviceMapping, CapacityReservationSpecification, CapacityReservationTarget, InstanceMarketOptionsRequest,
        Placement, Tag, TagSpecification,
    };

    const LOOK: Look<'_> = Look { region: "eu-1", zones: &[] };

    fn base() -> RunInstancesRequest {
        RunInstancesRequest {
            image_id: Some("ami-00000000000000001".into()),
            min_count: Some(1),
            max_count: Some(2),
            ..Default::default()
        }
    }

    fn run(r: RunInstancesRequest) -> Result<RunRequest, ApiError> {
        run_request(r, "hash".into(), LOOK, Ipv6::None, MetadataChange::default())
    }

    #[test]
    fn a_plain_launch_gets_ec2s_defaults() {
        let got = run(base()).unwrap();
        assert_eq!((got.instance_type.as_str(), got.min_count, got.max_count), ("m1.small", 1, 2));
        assert_eq!((got.shutdown_behavior, got.tenancy.as_str()), (ShutdownBehavior::Stop, "default"));
        assert!(got.metadata.tokens_required && !got.monitoring && !got.dry_run && got.public_ip.is_none());
    }

    #[test]
    fn user_data_is_decoded() {
        let with = |text: &str| run(RunInstancesRequest { user_data: Some(text.into()), ..base() });
        assert_eq!(with("IyEv\nYmlu").unwrap().user_data.as_deref(), Some(b"#!/bin".as_slice()));
        assert_eq!(with("YQ").unwrap().user_data.as_deref(), Some(b"a".as_slice()));
        assert_eq!(with("").unwrap().user_data, None);
        assert_eq!(with("#!/bin/sh").unwrap_err().code(), Code::InvalidUserDataMalformed);
    }

    #[test]
    fn tags_go_to_what_is_made() {
        let tags = |kind: &str, key: &str| TagSpecification {
            resource_type: Some(kind.into()),
            tags: vec![Tag { key: Some(key.into()), value: None }],
        };
        let specifications = vec![tags("instance", "a"), tags("network-interface", "b"), tags("volume", "c")];
        let got = run(RunInstancesRequest { tag_specifications: specifications, ..base() }).unwrap();
        assert_eq!(got.instance_tags, [("a".to_owned(), String::new())]);
        assert_eq!(got.interface_tags, [("b".to_owned(), String::new())]);
        assert!(run(RunInstancesRequest { tag_specifications: vec![tags("snapshot", "a")], ..base() }).is_err());
    }

    #[test]
    fn what_is_wrong_or_not_offered_is_named() {
        let refused = |r| run(r).unwrap_err().message().to_owned();
        let mappings = vec![BlockDeviceMapping::default()];
        assert!(
            refused(RunInstancesRequest { block_device_mappings: mappings, ..base() }).contains("BlockDeviceMapping")
        );
        assert!(refused(RunInstancesRequest { kernel_id: Some("aki-1".into()), ..base() }).contains("KernelId"));
        assert!(refused(RunInstancesRequest { image_id: None, ..base() }).contains("ImageId"));
        assert!(refused(RunInstancesRequest { min_count: Some(-1), ..base() }).contains("(-1) for parameter MinCount"));
        assert_eq!(
            refused(RunInstancesRequest { image_id: Some("emi-1".into()), ..base() }),
            "Invalid id: \"emi-1\" (expecting \"ami-...\")"
        );
    }

    #[test]
    fn what_cannot_be_together_is_refused() {
        let on_host = || Some(Placement { host_id: Some("h-00000000000000001".into()), ..Default::default() });
        let spot = || Some(InstanceMarketOptionsRequest { market_type: Some("spot".into()), spot_options: None });
        let refused = |r| {
            let error = run(r).unwrap_err();
            assert_eq!(error.code(), Code::InvalidParameterCombination, "{}", error.message());
            error.message().to_owned()
        };
        let both = RunInstancesRequest { placement: on_host(), instance_market_options: spot(), ..base() };
        assert_eq!(refused(both), "The 'host' tenancy is not supported for Spot Instances.");
        for market in [spot(), None] {
            let placement = if market.is_some() { None } else { on_host() };
            let target = CapacityReservationTarget {
                capacity_reservation_id: Some("cr-00000000000000001".into()),
                capacity_reservation_resource_group_arn: None,
            };
            let only = "capacity-reservations-only".to_owned();
            for (preference, target) in [(None, Some(target)), (Some(only), None)] {
                let wish = CapacityReservationSpecification {
                    capacity_reservation_preference: preference,
                    capacity_reservation_target: target,
                };
                let r = RunInstancesRequest {
                    capacity_reservation_specification: Some(wish),
                    instance_market_options: market.clone(),
                    placement: placement.clone(),
                    ..base()
                };
                assert!(refused(r).starts_with("Capacity Reservations can't be used with"));
            }
        }
        let protected =
            RunInstancesRequest { disable_api_termination: Some(true), instance_market_options: spot(), ..base() };
        assert!(refused(protected).contains("termination protection"));
        let fine = RunInstancesRequest {
            capacity_reservation_specification: Some(CapacityReservationSpecification {
                capacity_reservation_preference: Some("open".into()),
                capacity_reservation_target: None,
            }),
            disable_api_termination: Some(false),
            instance_market_options: spot(),
            ..base()
        };
        assert!(run(fine).is_ok(), "what clients always send");
    }

    #[test]
    fn addresses_are_addresses() {
        let refused = |r| run(r).unwrap_err().message().to_owned();
        let address = RunInstancesRequest { private_ip_address: Some("10.0.0".into()), ..base() };
        assert!(refused(address).contains("PrivateIpAddress"));
    }
}

//! RequestSpotInstances and CancelSpotInstanceRequests.

use super::describe::shape;
use super::market;
use crate::Ec2Api;
use crate::common::{TagMap, choice, refuse, tags_of_one, tags_on};
use crate::instances::run::run_request;
use mallee_app::OpContext;
use mallee_app::instances::run::RunRequest;
use mallee_app::once::Once;
use mallee_app::spot::{NewSpotRequests, SpotOptions, TAG_KIND};
use mallee_awswire::{ApiError, Params};
use mallee_ec2_types::ec2::{
    CancelSpotInstanceRequestsRequest, CancelSpotInstanceRequestsResult, CancelledSpotInstanceRequest, Placement,
    RequestSpotInstancesRequest, RequestSpotInstancesResult, RequestSpotLaunchSpecification, RunInstancesRequest,
    SpotPlacement,
};
use mallee_store::SpotState;

/// The launch of one instance, as RunInstances would be told of it: what it cannot honour is refused there.
fn launch(specification: RequestSpotLaunchSpecification) -> Result<RunInstancesRequest, ApiError> {
    let RequestSpotLaunchSpecification {
        addressing_type,
        block_device_mappings,
        ebs_optimized,
        iam_instance_profile,
        image_id,
        instance_type,
        kernel_id,
        key_name,
        monitoring,
        network_interfaces,
        placement,
        ramdisk_id,
        security_group_ids,
        security_groups,
        subnet_id,
        user_data,
    } = specification;
    refuse("LaunchSpecification.AddressingType", addressing_type.is_some())?;
    let placement = placement.map(|SpotPlacement { availability_zone, availability_zone_id, group_name, tenancy }| {
        Placement { availability_zone, availability_zone_id, group_name, tenancy, ..Default::default() }
    });
    Ok(RunInstancesRequest {
        block_device_mappings,
        ebs_optimized,
        iam_instance_profile,
        image_id,
        instance_type,
        kernel_id,
        key_name,
        max_count: Some(1),
        min_count: Some(1),
        monitoring,
        network_interfaces,
        placement,
        ramdisk_id,
        security_group_ids,
        security_groups,
        subnet_id,
        user_data,
        ..Default::default()
    })
}

impl Ec2Api {
    pub(crate) async fn request_spot_instances(
        &self,
        cx: &OpContext,
        r: RequestSpotInstancesRequest,
        params: &Params,
    ) -> Result<RequestSpotInstancesResult, ApiError> {
        let RequestSpotInstancesRequest {
            availability_zone_group,
            block_duration_minutes,
            client_token,
            dry_run,
            instance_count,
            instance_interruption_behavior,
            launch_group,
            launch_specification,
            spot_price,
            tag_specifications,
            type_,
            valid_from,
            valid_until,
        } = r;
        refuse("AvailabilityZoneGroup", availability_zone_group.is_some())?;
        refuse("BlockDurationMinutes", block_duration_minutes.is_some())?;
        refuse("LaunchGroup", launch_group.is_some())?;
        let specification = launch_specification.ok_or_else(|| ApiError::missing_parameter("LaunchSpecification"))?;
        let kind = choice("Type", type_.as_deref(), &market::KINDS)?.unwrap_or_default();
        let behavior = instance_interruption_behavior.as_deref();
        let spot = SpotOptions {
            max_price: market::price("SpotPrice", spot_price.as_deref())?,
            kind,
            behavior: market::behavior("InstanceInterruptionBehavior", behavior, kind)?,
            valid_until_ms: valid_until.map(market::stored),
            tags: tags_of_one(tag_specifications, TAG_KIND)?,
            fulfils: None,
        };
        let count = instance_count.unwrap_or(1);
        let count = u32::try_from(count)
            .map_err(|_| ApiError::invalid_value("InstanceCount", &count.to_string(), "It must be at least 1."))?;
        let defaults = self.cloud.metadata_defaults(cx).await?;
        let launch = run_request(launch(specification)?, String::new(), self.look(), self.ipv6(), defaults)?;
        let shutdown_behavior = market::shutdown(Some(&spot), None)?;
        let launch = RunRequest { shutdown_behavior, spot: Some(spot), ..launch };
        let new = NewSpotRequests { launch, count, valid_from_ms: valid_from.map(market::stored) };
        let once = Once { token: client_token, params_hash: hex::encode(params.fingerprint()) };
        let rows = self.cloud.request_spot_instances(cx, new, &once, dry_run == Some(true)).await?;
        let mut tags: TagMap = tags_on(self.store(), cx.account(), rows.iter().map(|row| row.id.to_string())).await?;
        let shown = rows.iter().map(|row| shape(row, &mut tags, self.look()));
        Ok(RequestSpotInstancesResult { spot_instance_requests: shown.collect::<Result<_, _>>()? })
    }

    pub(crate) async fn cancel_spot_instance_requests(
        &self,
        cx: &OpContext,
        r: CancelSpotInstanceRequestsRequest,
    ) -> Result<CancelSpotInstanceRequestsResult, ApiError> {
        let CancelSpotInstanceRequestsRequest { dry_run, spot_instance_request_ids: ids } = r;
        let rows = self.cloud.cancel_spot_requests(cx, &ids, dry_run == Some(true)).await?;
        let cancelled = rows.iter().map(|row| CancelledSpotInstanceRequest {
            spot_instance_request_id: Some(row.id.to_string()),
            // What had ended before stays as it ended; of a failed one EC2 has no word here but this.
            state: Some(if row.state == SpotState::Cancelled { "cancelled" } else { "closed" }.to_owned()),
        });
        Ok(CancelSpotInstanceRequestsResult { cancelled_spot_instance_requests: cancelled.collect() })
    }
}

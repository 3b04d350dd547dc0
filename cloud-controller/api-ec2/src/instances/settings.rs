//! Settings of single instances that have operations of their own: the metadata service, monitoring, placement,
//! maintenance, CPU options, credits.

use super::options::hop_limit;
use super::shape::metadata_options;
use crate::Ec2Api;
use crate::common::{choice, dry_run, only, refuse};
use mallee_app::OpContext;
use mallee_app::instances::metadata_defaults::{DefaultsChange, Setting};
use mallee_app::instances::modify::{Change, MetadataChange};
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::*;

const SWITCH: [(&str, bool); 2] = [("enabled", true), ("disabled", false)];
const TOKENS: [(&str, bool); 2] = [("required", true), ("optional", false)];

fn monitorings(rows: &[mallee_store::InstanceRow], on: bool) -> Vec<InstanceMonitoring> {
    let state = if on { "enabled" } else { "disabled" };
    let one = |row: &mallee_store::InstanceRow| InstanceMonitoring {
        instance_id: Some(row.id.to_string()),
        monitoring: Some(Monitoring { state: Some(state.into()), ..Default::default() }),
    };
    rows.iter().map(one).collect()
}

/// A default as a request gives it; `no-preference` forgets it.
fn default_of(name: &str, value: Option<&str>, words: &[(&str, bool)]) -> Result<Setting<bool>, ApiError> {
    match value {
        None => Ok(Setting::Keep),
        Some("no-preference") => Ok(Setting::Clear),
        Some(value) => Ok(choice(name, Some(value), words)?.map_or(Setting::Keep, Setting::Set)),
    }
}

impl Ec2Api {
    pub(crate) async fn modify_instance_metadata_options(
        &self,
        cx: &OpContext,
        r: ModifyInstanceMetadataOptionsRequest,
    ) -> Result<ModifyInstanceMetadataOptionsResult, ApiError> {
        let ModifyInstanceMetadataOptionsRequest {
            dry_run,
            http_endpoint,
            http_protocol_ipv6,
            http_put_response_hop_limit,
            http_tokens,
            instance_id,
            instance_metadata_tags,
        } = r;
        only("HttpProtocolIpv6", http_protocol_ipv6.as_deref(), &["disabled"])?;
        let change = MetadataChange {
            enabled: choice("HttpEndpoint", http_endpoint.as_deref(), &SWITCH)?,
            tokens_required: choice("HttpTokens", http_tokens.as_deref(), &TOKENS)?,
            hop_limit: http_put_response_hop_limit.map(|n| hop_limit("HttpPutResponseHopLimit", n)).transpose()?,
            tags: choice("InstanceMetadataTags", instance_metadata_tags.as_deref(), &SWITCH)?,
        };
        let id = instance_id.unwrap_or_default();
        if change == MetadataChange::default() && http_protocol_ipv6.is_none() {
            return Err(Code::InvalidParameterCombination.message("No metadata option specified."));
        }
        let row = self.cloud.modify_instance(cx, &id, &Change::Metadata(change), dry_run == Some(true)).await?;
        Ok(ModifyInstanceMetadataOptionsResult {
            instance_id: Some(row.id.to_string()),
            instance_metadata_options: Some(metadata_options(&row)),
        })
    }

    pub(crate) async fn get_instance_metadata_defaults(
        &self,
        cx: &OpContext,
        r: GetInstanceMetadataDefaultsRequest,
    ) -> Result<GetInstanceMetadataDefaultsResult, ApiError> {
        let GetInstanceMetadataDefaultsRequest { dry_run: dry } = r;
        dry_run(dry)?;
        let MetadataChange { enabled, tokens_required, hop_limit, tags } = self.cloud.metadata_defaults(cx).await?;
        let word = |value: Option<bool>, words: &[(&str, bool); 2]| {
            words.iter().find(|(_, meaning)| Some(*meaning) == value).map(|(word, _)| (*word).to_owned())
        };
        let account_level = InstanceMetadataDefaultsResponse {
            http_endpoint: word(enabled, &SWITCH),
            http_put_response_hop_limit: hop_limit.and_then(|n| i32::try_from(n).ok()),
            http_tokens: word(tokens_required, &TOKENS),
            instance_metadata_tags: word(tags, &SWITCH),
            managed_by: Some("account".into()),
            ..Default::default()
        };
        Ok(GetInstanceMetadataDefaultsResult { account_level: Some(account_level) })
    }

    pub(crate) async fn modify_instance_metadata_defaults(
        &self,
        cx: &OpContext,
        r: ModifyInstanceMetadataDefaultsRequest,
    ) -> Result<ModifyInstanceMetadataDefaultsResult, ApiError> {
        let ModifyInstanceMetadataDefaultsRequest {
            dry_run,
            http_endpoint,
            http_put_response_hop_limit,
            http_tokens,
            http_tokens_enforced,
            instance_metadata_tags,
        } = r;
        only("HttpTokensEnforced", http_tokens_enforced.as_deref(), &["disabled", "no-preference"])?;
        let change = DefaultsChange {
            enabled: default_of("HttpEndpoint", http_endpoint.as_deref(), &SWITCH)?,
            tokens_required: default_of("HttpTokens", http_tokens.as_deref(), &TOKENS)?,
            hop_limit: match http_put_response_hop_limit {
                None => Setting::Keep,
                // EC2's way to say "no preference" with a number.
                Some(-1) => Setting::Clear,
                Some(n) => Setting::Set(hop_limit("HttpPutResponseHopLimit", n)?),
            },
            tags: default_of("InstanceMetadataTags", instance_metadata_tags.as_deref(), &SWITCH)?,
        };
        self.cloud.modify_metadata_defaults(cx, change, dry_run == Some(true)).await?;
        Ok(ModifyInstanceMetadataDefaultsResult { return_: Some(true) })
    }

    pub(crate) async fn monitor_instances(
        &self,
        cx: &OpContext,
        r: MonitorInstancesRequest,
    ) -> Result<MonitorInstancesResult, ApiError> {
        let MonitorInstancesRequest { dry_run, instance_ids, metric_category_ids } = r;
        refuse("MetricCategoryId", !metric_category_ids.is_empty())?;
        let change = Change::Monitoring(true);
        let rows = self.cloud.modify_instances(cx, &instance_ids, &change, dry_run == Some(true)).await?;
        Ok(MonitorInstancesResult { instance_monitorings: monitorings(&rows, true) })
    }

    pub(crate) async fn unmonitor_instances(
        &self,
        cx: &OpContext,
        r: UnmonitorInstancesRequest,
    ) -> Result<UnmonitorInstancesResult, ApiError> {
        let UnmonitorInstancesRequest { dry_run, instance_ids, metric_category_ids } = r;
        refuse("MetricCategoryId", !metric_category_ids.is_empty())?;
        let change = Change::Monitoring(false);
        let rows = self.cloud.modify_instances(cx, &instance_ids, &change, dry_run == Some(true)).await?;
        Ok(UnmonitorInstancesResult { instance_monitorings: monitorings(&rows, false) })
    }

    pub(crate) async fn modify_instance_maintenance_options(
        &self,
        cx: &OpContext,
        r: ModifyInstanceMaintenanceOptionsRequest,
    ) -> Result<ModifyInstanceMaintenanceOptionsResult, ApiError> {
        let ModifyInstanceMaintenanceOptionsRequest { auto_recovery, dry_run: dry, instance_id, reboot_migration } = r;
        // A node always brings a crashed guest back.
        only("AutoRecovery", auto_recovery.as_deref(), &["default"])?;
        only("RebootMigration", reboot_migration.as_deref(), &["disabled"])?;
        let id = instance_id.unwrap_or_default();
        self.cloud.find_instances(cx, std::slice::from_ref(&id)).await?;
        dry_run(dry)?;
        Ok(ModifyInstanceMaintenanceOptionsResult { auto_recovery, instance_id: Some(id), reboot_migration })
    }

    pub(crate) async fn modify_instance_cpu_options(
        &self,
        cx: &OpContext,
        r: ModifyInstanceCpuOptionsRequest,
    ) -> Result<ModifyInstanceCpuOptionsResult, ApiError> {
        let ModifyInstanceCpuOptionsRequest {
            core_count,
            dry_run,
            instance_id,
            nested_virtualization,
            threads_per_core,
        } = r;
        only("NestedVirtualization", nested_virtualization.as_deref(), &["disabled"])?;
        let id = instance_id.unwrap_or_default();
        let row = self.cloud.find_instances(cx, std::slice::from_ref(&id)).await?.pop();
        let cores = row.and_then(|row| i32::try_from(row.doc.vcpus).ok());
        refuse("CoreCount", core_count.is_some() && core_count != cores)?;
        refuse("ThreadsPerCore", threads_per_core.is_some_and(|threads| threads != 1))?;
        self.cloud.modify_instance(cx, &id, &Change::Nothing, dry_run == Some(true)).await?;
        Ok(ModifyInstanceCpuOptionsResult {
            core_count: cores,
            instance_id: Some(id),
            nested_virtualization,
            threads_per_core: Some(1),
        })
    }
}

//! Flow logs: what interfaces send and get, recorded in a bucket.

use crate::Ec2Api;
use crate::common::{
    Chunk, ROWS, TagMap, choice, dry_run, fill, filters, next_key, only, page, refuse, rows, tag_filter_values,
    tags_of_one, tags_on, time, values_of,
};
use crate::filter::Filterable;
use mallee_app::OpContext;
use mallee_app::flow_logs::{DEFAULT_FORMAT, Destination, LoggedKind, NewFlowLogs, Refused, TAG_KIND, parse_format};
use mallee_app::ids::{parse_ids, require_all};
use mallee_app::once::Once;
use mallee_awswire::{ApiError, Code, Params};
use mallee_ec2_types::ec2::*;
use mallee_store::{FlowLogFilter, FlowLogRow, flow_log_list};
use mallee_types::FlowLogId;

/// What DescribeFlowLogs filters by, besides tags.
const FILTERS: [&str; 7] = [
    "deliver-log-status",
    "flow-log-id",
    "log-destination-type",
    "log-group-name",
    "resource-id",
    "tag-key",
    "traffic-type",
];
/// A page may have so many.
const PAGE_SIZES: std::ops::RangeInclusive<i32> = 1..=1000;
/// The kind of destination that there is, and those of AWS that there are not.
const S3: &str = "s3";
const NOWHERE: [&str; 2] = ["cloud-watch-logs", "kinesis-data-firehose"];
/// Longest windows that can be asked for, in seconds. As on AWS's newer hosts, none is longer than a minute.
const INTERVALS: [i32; 2] = [60, 600];
const USUAL_INTERVAL: i32 = 600;
/// How files are written.
const PLAIN_TEXT: &str = "plain-text";

impl Filterable for FlowLog {
    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "deliver-log-status" => values_of(&self.deliver_logs_status),
            "flow-log-id" => values_of(&self.flow_log_id),
            "log-destination-type" => values_of(&self.log_destination_type),
            // None has one.
            "log-group-name" => Vec::new(),
            "resource-id" => values_of(&self.resource_id),
            "traffic-type" => values_of(&self.traffic_type),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

fn shape(row: &FlowLogRow, tags: &mut TagMap) -> FlowLog {
    let failed = row.error.as_ref().filter(|error| !error.is_empty());
    FlowLog {
        creation_time: time(row.created_ms),
        deliver_logs_error_message: failed.cloned(),
        deliver_logs_status: Some(if failed.is_some() { "FAILED" } else { "SUCCESS" }.to_owned()),
        destination_options: Some(DestinationOptionsResponse {
            file_format: Some(PLAIN_TEXT.to_owned()),
            hive_compatible_partitions: Some(row.hive),
            per_hour_partition: Some(row.per_hour),
        }),
        flow_log_id: Some(row.id.to_string()),
        flow_log_status: Some("ACTIVE".to_owned()),
        log_destination: Some(Destination::arn(&row.bucket, &row.prefix)),
        log_destination_type: Some(S3.to_owned()),
        log_format: Some(row.format.clone()),
        max_aggregation_interval: i32::try_from(row.interval_s).ok(),
        resource_id: Some(row.resource_id.clone()),
        tags: tags.remove(row.id.as_str()).unwrap_or_default(),
        traffic_type: Some(row.traffic.clone()),
        ..Default::default()
    }
}

fn unsuccessful(refused: Vec<Refused>) -> Vec<UnsuccessfulItem> {
    let item = |(id, error): Refused| UnsuccessfulItem {
        error: Some(UnsuccessfulItemError {
            code: Some(error.code().as_str().to_owned()),
            message: Some(error.message().to_owned()),
        }),
        resource_id: Some(id),
    };
    refused.into_iter().map(item).collect()
}

/// Only a bucket can be a destination.
fn destination(kind: Option<&str>, group: Option<&str>, arn: Option<&str>) -> Result<Destination, ApiError> {
    // AWS's default is its log service.
    let kind = kind.unwrap_or(NOWHERE[0]);
    if NOWHERE.contains(&kind) {
        return Err(Code::Unsupported.message(format!(
            "Flow logs cannot be delivered to {kind}: this cloud has no such service. Use the log destination type s3."
        )));
    }
    choice("LogDestinationType", Some(kind), &[(S3, ())])?;
    if group.is_some() {
        return Err(Code::InvalidParameterCombination.message("LogGroupName cannot be given with the destination s3."));
    }
    Destination::parse(arn.ok_or_else(|| ApiError::missing_parameter("LogDestination"))?)
}

fn interval(asked: Option<i32>) -> Result<u32, ApiError> {
    let seconds = asked.unwrap_or(USUAL_INTERVAL);
    if !INTERVALS.contains(&seconds) {
        return Err(ApiError::invalid_value(
            "MaxAggregationInterval",
            &seconds.to_string(),
            "Valid values are: 60, 600.",
        ));
    }
    Ok(seconds.unsigned_abs())
}

impl Ec2Api {
    pub(crate) async fn create_flow_logs(
        &self,
        cx: &OpContext,
        r: CreateFlowLogsRequest,
        params: &Params,
    ) -> Result<CreateFlowLogsResult, ApiError> {
        let CreateFlowLogsRequest {
            client_token,
            deliver_cross_account_role,
            deliver_logs_permission_arn,
            destination_options,
            dry_run,
            log_destination,
            log_destination_type,
            log_format,
            log_group_name,
            max_aggregation_interval,
            resource_ids,
            resource_type,
            tag_field_specifications,
            tag_specifications,
            traffic_type,
        } = r;
        let destination =
            destination(log_destination_type.as_deref(), log_group_name.as_deref(), log_destination.as_deref())?;
        refuse("DeliverCrossAccountRole", deliver_cross_account_role.is_some())?;
        // Said of the log service only; AWS refuses it with a bucket, too.
        refuse("DeliverLogsPermissionArn", deliver_logs_permission_arn.is_some())?;
        refuse("TagFieldSpecification", !tag_field_specifications.is_empty())?;
        let DestinationOptionsRequest { file_format, hive_compatible_partitions, per_hour_partition } =
            destination_options.unwrap_or_default();
        only("DestinationOptions.FileFormat", file_format.as_deref(), &[PLAIN_TEXT])?;
        let kinds =
            [("VPC", LoggedKind::Vpc), ("Subnet", LoggedKind::Subnet), ("NetworkInterface", LoggedKind::Interface)];
        let kind = resource_type.ok_or_else(|| ApiError::missing_parameter("ResourceType"))?;
        if kind.starts_with("TransitGateway") || kind == "RegionalNatGateway" {
            only("ResourceType", Some(&kind), &kinds.map(|(word, _)| word))?;
        }
        let kind =
            choice("ResourceType", Some(&kind), &kinds)?.ok_or_else(|| ApiError::missing_parameter("ResourceType"))?;
        let traffic = choice(
            "TrafficType",
            traffic_type.as_deref(),
            &[("ACCEPT", "ACCEPT"), ("REJECT", "REJECT"), ("ALL", "ALL")],
        )?
        .ok_or_else(|| ApiError::missing_parameter("TrafficType"))?;
        let format = log_format.unwrap_or_else(|| DEFAULT_FORMAT.to_owned());
        parse_format(&format)?;
        let new = NewFlowLogs {
            kind,
            resources: resource_ids,
            traffic,
            destination,
            format,
            interval_s: interval(max_aggregation_interval)?,
            hive: hive_compatible_partitions == Some(true),
            per_hour: per_hour_partition == Some(true),
            tags: tags_of_one(tag_specifications, TAG_KIND)?,
        };
        let once = Once { token: client_token.clone(), params_hash: hex::encode(params.fingerprint()) };
        let (made, refused) = self.cloud.create_flow_logs(cx, &new, &once, dry_run == Some(true)).await?;
        Ok(CreateFlowLogsResult {
            client_token,
            flow_log_ids: made.iter().map(ToString::to_string).collect(),
            unsuccessful: unsuccessful(refused),
        })
    }

    pub(crate) async fn delete_flow_logs(
        &self,
        cx: &OpContext,
        r: DeleteFlowLogsRequest,
    ) -> Result<DeleteFlowLogsResult, ApiError> {
        let DeleteFlowLogsRequest { dry_run, flow_log_ids } = r;
        if flow_log_ids.is_empty() {
            return Err(ApiError::missing_parameter("FlowLogId"));
        }
        let ids: Vec<FlowLogId> = parse_ids(&flow_log_ids, Code::InvalidFlowLogIdMalformed)?;
        let refused = self.cloud.delete_flow_logs(cx, &ids, dry_run == Some(true)).await?;
        Ok(DeleteFlowLogsResult { unsuccessful: unsuccessful(refused) })
    }

    pub(crate) async fn describe_flow_logs(
        &self,
        cx: &OpContext,
        r: DescribeFlowLogsRequest,
    ) -> Result<DescribeFlowLogsResult, ApiError> {
        let DescribeFlowLogsRequest { dry_run: dry, filter, flow_log_ids, max_results, next_token } = r;
        let filters = &filters(&filter, &FILTERS)?;
        let page = page("DescribeFlowLogs", max_results, next_token.as_deref(), PAGE_SIZES, &flow_log_ids)?;
        let ids: &Vec<FlowLogId> = &parse_ids(&flow_log_ids, Code::InvalidFlowLogIdMalformed)?;
        dry_run(dry)?;
        let some_ids = (!ids.is_empty()).then_some(ids.as_slice());
        let read = |after: Option<FlowLogId>| async move {
            let (account, after) = (Some(cx.account()), after.as_ref());
            let filter = FlowLogFilter { account, ids: some_ids, after, ..Default::default() };
            let list = rows(flow_log_list(self.store(), filter, ROWS).await)?;
            let next = next_key(&list, |row| row.id.clone());
            require_all(ids, |id| list.iter().any(|row| row.id == *id), Code::InvalidFlowLogIdNotFound)?;
            let mut tags = tags_on(self.store(), cx.account(), list.iter().map(|row| row.id.to_string())).await?;
            let shapes = list.iter().map(|row| shape(row, &mut tags));
            Ok(Chunk { found: shapes.filter(|log| filters.accept(log)).collect(), next })
        };
        let key = |log: &FlowLog| log.flow_log_id.clone().unwrap_or_default();
        let (flow_logs, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeFlowLogsResult { flow_logs, next_token })
    }
}

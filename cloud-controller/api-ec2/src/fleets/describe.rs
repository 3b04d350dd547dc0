//! DescribeFleets, DescribeFleetInstances, DescribeFleetHistory.

use crate::Ec2Api;
use crate::common::{Chunk, ROWS, choice, dry_run, fill, filters, next_key, rows, tags_on, time, values_of};
use crate::filter::Filterable;
use crate::instances::impaired;
use crate::page::Page;
use mallee_app::OpContext;
use mallee_app::fleets::KEPT_MS;
use mallee_app::ids::{parse_ids, require_all};
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::{
    ActiveInstance, DescribeFleetHistoryRequest, DescribeFleetHistoryResult, DescribeFleetInstancesRequest,
    DescribeFleetInstancesResult, DescribeFleetsRequest, DescribeFleetsResult, EventInformation, FleetData,
    HistoryRecordEntry,
};
use mallee_store::{FleetEventKind, FleetEventRow, fleet_list};
use mallee_types::FleetId;

/// What DescribeFleets filters by.
const FILTERS: [&str; 5] =
    ["activity-status", "excess-capacity-termination-policy", "fleet-state", "replace-unhealthy-instances", "type"];
const EVENTS: [(&str, FleetEventKind); 3] = [
    ("instance-change", FleetEventKind::Instance),
    ("fleet-change", FleetEventKind::Fleet),
    ("service-error", FleetEventKind::Error),
];
/// Items of a page, at most.
const PAGE: std::ops::RangeInclusive<i32> = 1..=1000;

impl Filterable for FleetData {
    fn values(&self, name: &str) -> Vec<String> {
        match name {
            // EC2's documentation writes the values with a dash, its replies with a line below.
            "activity-status" => {
                self.activity_status.iter().flat_map(|status| [status.clone(), status.replace('_', "-")]).collect()
            }
            "excess-capacity-termination-policy" => {
                let policy = self.excess_capacity_termination_policy.clone().unwrap_or_default();
                vec![(policy == "termination").to_string(), policy]
            }
            "fleet-state" => values_of(&self.fleet_state),
            "replace-unhealthy-instances" => values_of(&self.replace_unhealthy_instances),
            "type" => values_of(&self.type_),
            _ => Vec::new(),
        }
    }
}

impl Filterable for ActiveInstance {
    fn values(&self, name: &str) -> Vec<String> {
        if name == "instance-type" { values_of(&self.instance_type) } else { Vec::new() }
    }
}

fn event(row: FleetEventRow) -> HistoryRecordEntry {
    HistoryRecordEntry {
        event_information: Some(EventInformation {
            event_description: Some(row.description),
            event_sub_type: Some(row.sub_kind),
            instance_id: row.instance_id.map(|id| id.to_string()),
        }),
        event_type: EVENTS.iter().find(|(_, kind)| *kind == row.kind).map(|(word, _)| (*word).to_owned()),
        timestamp: time(row.at_ms),
    }
}

impl Ec2Api {
    pub(crate) async fn describe_fleets(
        &self,
        cx: &OpContext,
        r: DescribeFleetsRequest,
    ) -> Result<DescribeFleetsResult, ApiError> {
        let DescribeFleetsRequest { dry_run: dry, filters: wanted, fleet_ids, max_results, next_token } = r;
        let filters = &filters(&wanted, &FILTERS)?;
        let page = Page::new("DescribeFleets", max_results, next_token.as_deref(), PAGE)?;
        let ids: &Vec<FleetId> = &parse_ids(&fleet_ids, Code::InvalidFleetIdMalformed)?;
        dry_run(dry)?;
        let some_ids = (!ids.is_empty()).then_some(ids.as_slice());
        if some_ids.is_some() {
            let list = rows(fleet_list(self.store(), cx.account(), some_ids, None, ROWS).await)?;
            require_all(ids, |id| list.iter().any(|row| row.id == *id), Code::InvalidFleetIdNotFound)?;
        }
        let read = |after: Option<FleetId>| async move {
            let list = rows(fleet_list(self.store(), cx.account(), some_ids, after.as_ref(), ROWS).await)?;
            let next = next_key(&list, |row| row.id.clone());
            let mut tags = tags_on(self.store(), cx.account(), list.iter().map(|row| row.id.to_string())).await?;
            let mut found = Vec::new();
            for row in &list {
                let shown = self.fleet_shown(row, tags.remove(row.id.as_str()).unwrap_or_default()).await?;
                if filters.accept(&shown) {
                    found.push(shown);
                }
            }
            Ok(Chunk { found, next })
        };
        let key = |fleet: &FleetData| fleet.fleet_id.clone().unwrap_or_default();
        let (fleets, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeFleetsResult { fleets, next_token })
    }

    pub(crate) async fn describe_fleet_instances(
        &self,
        cx: &OpContext,
        r: DescribeFleetInstancesRequest,
    ) -> Result<DescribeFleetInstancesResult, ApiError> {
        let DescribeFleetInstancesRequest { dry_run: dry, filters: wanted, fleet_id, max_results, next_token } = r;
        let filters = filters(&wanted, &["instance-type"])?;
        let page = Page::new("DescribeFleetInstances", max_results, next_token.as_deref(), PAGE)?;
        let (fleet, list) = self.cloud.fleet_instances(cx, &fleet_id.unwrap_or_default()).await?;
        dry_run(dry)?;
        let impaired = impaired(&self.cloud, &list);
        let shape = |row: &mallee_store::InstanceRow| ActiveInstance {
            instance_health: Some(if impaired.contains(&row.id) { "unhealthy" } else { "healthy" }.to_owned()),
            instance_id: Some(row.id.to_string()),
            instance_type: Some(row.instance_type.clone()),
            spot_instance_request_id: row.doc.spot.as_ref().map(|spot| spot.request.to_string()),
        };
        let found = list.iter().map(shape).filter(|instance| filters.accept(instance));
        let (active_instances, next_token) =
            page.cut(found, |instance| instance.instance_id.clone().unwrap_or_default());
        Ok(DescribeFleetInstancesResult { active_instances, fleet_id: Some(fleet.id.to_string()), next_token })
    }

    pub(crate) async fn describe_fleet_history(
        &self,
        cx: &OpContext,
        r: DescribeFleetHistoryRequest,
    ) -> Result<DescribeFleetHistoryResult, ApiError> {
        let DescribeFleetHistoryRequest { dry_run: dry, event_type, fleet_id, max_results, next_token, start_time } = r;
        let kind = choice("EventType", event_type.as_deref(), &EVENTS)?;
        let start = start_time.ok_or_else(|| ApiError::missing_parameter("StartTime"))?;
        let now_ms = self.cloud.clock().now_ms();
        let from_ms = super::stored(start).max(now_ms.saturating_sub(KEPT_MS));
        let page = Page::new("DescribeFleetHistory", max_results, next_token.as_deref(), PAGE)?;
        let id = &fleet_id.unwrap_or_default();
        let fleet = self.cloud.find_fleet(cx, id).await?;
        dry_run(dry)?;
        let read = |after: Option<u64>| async move {
            let (_, found) = self.cloud.fleet_events(cx, id, kind, from_ms, after, ROWS).await?;
            let next = next_key(&found, |row| row.seq);
            Ok(Chunk { found, next })
        };
        // Numbers of one length are in the order of their texts.
        let (events, next_token) =
            fill(&page, page.after()?, read, |row: &FleetEventRow| format!("{:020}", row.seq)).await?;
        Ok(DescribeFleetHistoryResult {
            fleet_id: Some(fleet.id.to_string()),
            history_records: events.into_iter().map(event).collect(),
            last_evaluated_time: time(now_ms).filter(|_| next_token.is_none()),
            next_token,
            start_time: Some(start),
        })
    }
}

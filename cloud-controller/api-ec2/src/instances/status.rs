//! DescribeInstanceStatus: what the nodes last said, as EC2's two checks, and the events that are scheduled.

use super::events::{shown, unix_ms};
use super::search::Lookup;
use super::shape::state;
use crate::Ec2Api;
use crate::common::{Chunk, Look, Reach, dry_run, fill, filters, page, rows as read_rows, time_text, values_of};
use crate::filter::Filterable;
use mallee_app::events::events_of;
use mallee_app::fail::OrFail as _;
use mallee_app::ids::parse_ids;
use mallee_app::{Cloud, OpContext, ZoneState};
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::{
    DescribeInstanceStatusRequest, DescribeInstanceStatusResult, InstanceStatus, InstanceStatusDetails,
    InstanceStatusEvent, InstanceStatusSummary,
};
use mallee_proto::v1::NodeState;
use mallee_store::{InstanceEventRow, InstanceRow, InstanceTerm, instance_list};
use mallee_types::{DomainPhase, InstanceId, InstanceState, ZoneName};
use std::collections::{BTreeMap, BTreeSet};
use time::OffsetDateTime;

/// What DescribeInstanceStatus filters by; there are no volumes to check.
const FILTERS: [&str; 18] = [
    "attached-ebs-status.status",
    "availability-zone",
    "availability-zone-id",
    "event.code",
    "event.description",
    "event.instance-event-id",
    "event.not-after",
    "event.not-before",
    "event.not-before-deadline",
    "instance-id",
    "instance-state-code",
    "instance-state-name",
    "instance-status.reachability",
    "instance-status.status",
    "operator.managed",
    "operator.principal",
    "system-status.reachability",
    "system-status.status",
];

/// What is heard of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NodeHealth {
    /// It reports, and has told all it holds.
    Ready,
    /// Its cluster has lost it.
    Offline,
    /// Nobody can say: it has just come back, or the cluster is not connected.
    Unknown,
}

/// What a check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Ok,
    Initializing,
    Impaired,
    InsufficientData,
    NotApplicable,
}

impl Check {
    const fn status(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Initializing => "initializing",
            Self::Impaired => "impaired",
            Self::InsufficientData => "insufficient-data",
            Self::NotApplicable => "not-applicable",
        }
    }

    const fn reachability(self) -> Option<&'static str> {
        match self {
            Self::Ok => Some("passed"),
            Self::Initializing => Some("initializing"),
            Self::Impaired => Some("failed"),
            Self::InsufficientData => Some("insufficient-data"),
            Self::NotApplicable => None,
        }
    }

    fn summary(self) -> InstanceStatusSummary {
        let detail = |status: &str| InstanceStatusDetails {
            name: Some("reachability".into()),
            status: Some(status.into()),
            impaired_since: None,
        };
        InstanceStatusSummary {
            status: Some(self.status().into()),
            details: self.reachability().into_iter().map(detail).collect(),
        }
    }
}

/// How long a guest may take to be heard after it began to boot, in milliseconds.
const BOOT_MS_MAX: i64 = 5 * 60_000;

/// The system's and the instance's check. The system is the node and the instance's network on it. The instance is the
/// guest: its domain runs, and since it booted it has used its network (it took its address or read its metadata).
fn checks(row: &InstanceRow, node: NodeHealth, now_ms: i64) -> (Check, Check) {
    if row.state != InstanceState::Running {
        return (Check::NotApplicable, Check::NotApplicable);
    }
    match node {
        NodeHealth::Unknown => return (Check::InsufficientData, Check::InsufficientData),
        NodeHealth::Offline => return (Check::Impaired, Check::InsufficientData),
        NodeHealth::Ready => {}
    }
    if row.observed_incarnation != row.incarnation {
        return (Check::Ok, Check::Initializing);
    }
    match row.observed_phase {
        DomainPhase::Running if !row.observed_network => (Check::Impaired, Check::Impaired),
        DomainPhase::Running if row.observed_reboot_seq < row.reboot_seq => (Check::Ok, Check::Initializing),
        DomainPhase::Running if row.doc.guest_heard => (Check::Ok, Check::Ok),
        DomainPhase::Running if now_ms.saturating_sub(row.doc.booted_ms) < BOOT_MS_MAX => {
            (Check::Ok, Check::Initializing)
        }
        DomainPhase::Running => (Check::Ok, Check::Impaired),
        // The node brings the domain back; the instance stays `running` meanwhile.
        DomainPhase::Absent
        | DomainPhase::Preparing
        | DomainPhase::Stopping
        | DomainPhase::Stopped
        | DomainPhase::Failed => (Check::Ok, Check::Impaired),
    }
}

/// The nodes of all zones, as they are when the call is answered.
struct Nodes(BTreeMap<ZoneName, Option<BTreeMap<String, NodeHealth>>>);

impl Nodes {
    fn of_zone(state: &ZoneState) -> Option<BTreeMap<String, NodeHealth>> {
        state.session()?;
        let health = |node: mallee_proto::v1::NodeStatus| {
            let health = match node.state() {
                NodeState::Ready => NodeHealth::Ready,
                NodeState::Offline => NodeHealth::Offline,
                NodeState::WarmingUp | NodeState::Unspecified => NodeHealth::Unknown,
            };
            (node.node_id, health)
        };
        Some(state.nodes().into_iter().map(health).collect())
    }

    fn health(&self, row: &InstanceRow) -> NodeHealth {
        let zone = self.0.get(&row.zone).and_then(Option::as_ref);
        let node = row.node_id.as_ref().and_then(|id| zone?.get(id.as_str()));
        node.copied().unwrap_or(NodeHealth::Unknown)
    }
}

/// Those of these instances of which a check fails now.
pub(crate) fn impaired(cloud: &Cloud, rows: &[InstanceRow]) -> BTreeSet<InstanceId> {
    let zones = cloud.zones().iter();
    let nodes = Nodes(zones.map(|zone| (zone.clone(), Nodes::of_zone(&cloud.zone_state(zone)))).collect());
    let fails = |row: &&InstanceRow| {
        let (system, instance) = checks(row, nodes.health(row), cloud.clock().now_ms());
        system == Check::Impaired || instance == Check::Impaired
    };
    rows.iter().filter(fails).map(|row| row.id.clone()).collect()
}

fn shape(
    row: &InstanceRow,
    events: &[InstanceEventRow],
    node: NodeHealth,
    look: Look<'_>,
    now_ms: i64,
) -> InstanceStatus {
    let (system, instance) = checks(row, node, now_ms);
    InstanceStatus {
        availability_zone: Some(row.zone.to_string()),
        availability_zone_id: look.zone_id(&row.zone),
        events: events.iter().map(shown).collect(),
        instance_id: Some(row.id.to_string()),
        instance_state: Some(state(row.state)),
        instance_status: Some(instance.summary()),
        system_status: Some(system.summary()),
        ..Default::default()
    }
}

impl Filterable for InstanceStatus {
    fn values(&self, name: &str) -> Vec<String> {
        let status =
            |summary: &Option<InstanceStatusSummary>| summary.iter().flat_map(|s| values_of(&s.status)).collect();
        let reachability = |summary: &Option<InstanceStatusSummary>| {
            summary.iter().flat_map(|s| &s.details).flat_map(|d| values_of(&d.status)).collect()
        };
        let event =
            |value: &dyn Fn(&InstanceStatusEvent) -> Option<String>| self.events.iter().filter_map(value).collect();
        let time = |at: Option<OffsetDateTime>| at.map(|at| time_text(unix_ms(at)));
        match name {
            "availability-zone" => values_of(&self.availability_zone),
            "availability-zone-id" => values_of(&self.availability_zone_id),
            "event.code" => event(&|event| event.code.clone()),
            "event.description" => event(&|event| event.description.clone()),
            "event.instance-event-id" => event(&|event| event.instance_event_id.clone()),
            "event.not-after" => event(&|event| time(event.not_after)),
            "event.not-before" => event(&|event| time(event.not_before)),
            "event.not-before-deadline" => event(&|event| time(event.not_before_deadline)),
            "instance-id" => values_of(&self.instance_id),
            "instance-state-code" => self.instance_state.iter().flat_map(|s| values_of(&s.code)).collect(),
            "instance-state-name" => self.instance_state.iter().flat_map(|s| values_of(&s.name)).collect(),
            "instance-status.reachability" => reachability(&self.instance_status),
            "instance-status.status" => status(&self.instance_status),
            "operator.managed" => vec!["false".into()],
            "system-status.reachability" => reachability(&self.system_status),
            "system-status.status" => status(&self.system_status),
            _ => Vec::new(),
        }
    }
}

impl Ec2Api {
    pub(crate) async fn describe_instance_status(
        &self,
        cx: &OpContext,
        r: DescribeInstanceStatusRequest,
    ) -> Result<DescribeInstanceStatusResult, ApiError> {
        let DescribeInstanceStatusRequest {
            dry_run: dry,
            filters: wanted,
            include_all_instances,
            include_managed_resources: _none_is_managed,
            instance_ids,
            max_results,
            next_token,
        } = r;
        let filters = &filters(&wanted, &FILTERS)?;
        let page = page("DescribeInstanceStatus", max_results, next_token.as_deref(), 5..=1000, &instance_ids)?;
        let ids: Vec<InstanceId> = parse_ids(&instance_ids, Code::InvalidInstanceIdMalformed)?;
        dry_run(dry)?;
        self.require_instances(cx, &ids).await?;
        let mut lookup = Lookup::new(ids, filters);
        let running_only = include_all_instances != Some(true);
        if running_only && lookup.ids.is_none() {
            lookup.terms.push(InstanceTerm::States(vec![InstanceState::Running]));
        }
        let zones = self.cloud.zones().iter();
        let nodes = &Nodes(zones.map(|zone| (zone.clone(), Nodes::of_zone(&self.cloud.zone_state(zone)))).collect());
        let (store, look, lookup) = (self.store(), self.look(), &lookup);
        let now_ms = self.cloud.clock().now_ms();
        let mut reach = Reach::new(&page);
        let read = |after: Option<InstanceId>| {
            let count = reach.next();
            async move {
                let step = lookup.step(store, cx.account(), after, count).await?;
                let mut rows = read_rows(instance_list(store, step.filter(cx.account()), step.rows()).await)?;
                let next = step.next(&rows, |row| row.id.clone());
                // A filter for another state then finds nothing, as on EC2.
                rows.retain(|row| !running_only || row.state == InstanceState::Running);
                let ids: Vec<InstanceId> = rows.iter().map(|row| row.id.clone()).collect();
                let events = events_of(store, &ids).await.or_fail()?;
                let of = |row: &InstanceRow| events.get(&row.id).map(Vec::as_slice).unwrap_or_default();
                let shapes = rows.iter().map(|row| shape(row, of(row), nodes.health(row), look, now_ms));
                Ok(Chunk { found: shapes.filter(|status| filters.accept(status)).collect(), next })
            }
        };
        let key = |status: &InstanceStatus| status.instance_id.clone().unwrap_or_default();
        let (instance_statuses, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeInstanceStatusResult { instance_statuses, next_token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instances::testing::view;
    use mallee_store::{EventCode, EventState};
    use mallee_types::Incarnation;

    const NOW_MS: i64 = 1_700_000_002_000;

    #[test]
    fn the_checks_say_what_is_known() {
        let ok = view().row;
        let with = |change: &dyn Fn(&mut InstanceRow)| {
            let mut row = ok.clone();
            change(&mut row);
            row
        };
        let table = [
            ("all is well", ok.clone(), NodeHealth::Ready, (Check::Ok, Check::Ok)),
            (
                "not heard yet",
                with(&|r| r.doc.guest_heard = false),
                NodeHealth::Ready,
                (Check::Ok, Check::Initializing),
            ),
            (
                "never heard",
                with(&|r| {
                    r.doc.guest_heard = false;
                    r.doc.booted_ms = NOW_MS - BOOT_MS_MAX;
                }),
                NodeHealth::Ready,
                (Check::Ok, Check::Impaired),
            ),
            ("node gone", ok.clone(), NodeHealth::Offline, (Check::Impaired, Check::InsufficientData)),
            ("nobody can say", ok.clone(), NodeHealth::Unknown, (Check::InsufficientData, Check::InsufficientData)),
            (
                "no network",
                with(&|r| r.observed_network = false),
                NodeHealth::Ready,
                (Check::Impaired, Check::Impaired),
            ),
            ("reboot under way", with(&|r| r.reboot_seq = 1), NodeHealth::Ready, (Check::Ok, Check::Initializing)),
            (
                "restarted by its node",
                with(&|r| r.observed_phase = DomainPhase::Preparing),
                NodeHealth::Ready,
                (Check::Ok, Check::Impaired),
            ),
            (
                "a new life not heard of yet",
                with(&|r| r.incarnation = Incarnation(2)),
                NodeHealth::Ready,
                (Check::Ok, Check::Initializing),
            ),
            (
                "stopped",
                with(&|r| r.state = InstanceState::Stopped),
                NodeHealth::Ready,
                (Check::NotApplicable, Check::NotApplicable),
            ),
        ];
        for (what, row, node, want) in table {
            assert_eq!(checks(&row, node, NOW_MS), want, "{what}");
        }
    }

    #[test]
    fn waiters_and_filters_read_the_same() {
        let event = InstanceEventRow {
            id: "instance-event-0d59937288b749b32".parse().unwrap(),
            account_id: view().row.account_id,
            instance_id: view().row.id,
            node_id: None,
            code: EventCode::SystemReboot,
            state: EventState::Completed,
            description: "a new kernel".into(),
            not_before_ms: 1_410_801_320_000,
            not_after_ms: Some(1_410_801_320_500),
            deadline_ms: Some(1_410_887_720_000),
            reboot_seq: 0,
            created_ms: 1,
            ended_ms: Some(2),
        };
        let shown = shape(&view().row, &[event], NodeHealth::Ready, Look { region: "eu-1", zones: &[] }, NOW_MS);
        for (name, value) in [
            ("availability-zone", "zone-a"),
            ("event.code", "system-reboot"),
            ("event.description", "[Completed] a new kernel"),
            ("event.instance-event-id", "instance-event-0d59937288b749b32"),
            ("event.not-after", "2014-09-15T17:15:20.500Z"),
            ("event.not-before", "2014-09-15T17:15:20.000Z"),
            ("event.not-before-deadline", "2014-09-16T17:15:20.000Z"),
            ("instance-state-name", "running"),
            ("instance-state-code", "16"),
            ("instance-status.status", "ok"),
            ("instance-status.reachability", "passed"),
            ("system-status.status", "ok"),
            ("system-status.reachability", "passed"),
        ] {
            assert_eq!(shown.values(name), [value], "{name}");
            assert!(FILTERS.contains(&name));
        }
        let none = Nodes(BTreeMap::new());
        assert_eq!(none.health(&view().row), NodeHealth::Unknown);
    }
}

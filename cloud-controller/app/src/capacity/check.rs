//! The checker's part: what cluster controllers keep is what the rows say is kept, and no slot is used twice.

use crate::Cloud;
use crate::check::Report;
use crate::cluster_link::client;
use crate::fail::{OrFail as _, wire_failure};
use mallee_awswire::ApiError;
use mallee_proto::WireError;
use mallee_proto::v1::{CapacityReservation, ClusterStatusRequest};
use mallee_store::{
    CapacityFilter, CapacityReservationRow, CapacityState, HostFilter, HostRow, HostState, capacity_list,
    capacity_used, host_list,
};
use mallee_types::{NodeId, ZoneName};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tonic::Request;

/// The invariant of this checker.
const KEPT: &str = "I14";
/// Rows read at once.
const PAGE: u32 = 1000;
/// Longest wait for a zone.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Compares a zone's cluster with the rows. The cluster is asked first: what it heard by then the rows know.
pub(crate) async fn check_kept(cloud: &Cloud, zone: &ZoneName, report: &mut Report) -> Result<(), ApiError> {
    // That it is not connected is told by others.
    let Some((channel, _)) = cloud.zone_state(zone).session() else { return Ok(()) };
    let mut request = Request::new(ClusterStatusRequest {});
    request.set_timeout(TIMEOUT);
    let told = client(channel).status(request).await.map_err(|s| wire_failure(WireError::from(s)))?.into_inner();
    let rows = reservations(cloud, zone).await?;
    let mut seen = BTreeSet::new();
    for held in &told.capacity {
        match rows.iter().find(|row| row.id.as_str() == held.id) {
            Some(row) => compare(row, held, report),
            None => report.add(KEPT, &held.id, format!("{zone} holds room for it, and no active reservation says so")),
        }
        seen.insert(held.id.as_str());
    }
    for row in rows.iter().filter(|row| !seen.contains(row.id.as_str())) {
        report.add(KEPT, &row.id, format!("{zone} holds no room for it"));
    }
    let ids: Vec<_> = rows.iter().map(|row| row.id.clone()).collect();
    let used = capacity_used(cloud.store(), &ids).await.or_fail()?;
    for row in &rows {
        for (node, used) in used.get(&row.id).into_iter().flatten() {
            let slots = row.slots.0.get(node).copied().unwrap_or_default();
            if *used > slots {
                report.add(KEPT, &row.id, format!("{used} instances use its {slots} slots on {node}"));
            }
        }
    }
    let hosts = hosts(cloud, zone).await?;
    let wanted: BTreeMap<&str, &str> = hosts.iter().map(|row| (row.id.as_str(), row.node_id.as_str())).collect();
    let has: BTreeMap<&str, &str> = told.hosts.iter().map(|host| (host.id.as_str(), host.node_id.as_str())).collect();
    for (id, node) in &wanted {
        if has.get(id) != Some(node) {
            report.add(KEPT, id, format!("{zone} does not keep {node} as this host"));
        }
    }
    for (id, node) in has.iter().filter(|(id, _)| !wanted.contains_key(*id)) {
        report.add(KEPT, id, format!("{zone} keeps {node} as this host, and nobody has it"));
    }
    report.checked += rows.len() + hosts.len();
    Ok(())
}

fn compare(row: &CapacityReservationRow, held: &CapacityReservation, report: &mut Report) {
    let slots = held.slots.iter().filter_map(|slots| Some((slots.node_id.parse::<NodeId>().ok()?, slots.count)));
    let slots: BTreeMap<NodeId, u32> = slots.collect();
    if slots != row.slots.0 || held.generation != row.generation.0 {
        let problem = format!(
            "{} holds generation {} with {slots:?}, the row has generation {} with {:?}",
            row.zone, held.generation, row.generation, row.slots.0
        );
        report.add(KEPT, &row.id, problem);
    }
}

async fn reservations(cloud: &Cloud, zone: &ZoneName) -> Result<Vec<CapacityReservationRow>, ApiError> {
    let mut rows: Vec<CapacityReservationRow> = Vec::new();
    loop {
        let after = rows.last().map(|row| row.id.clone());
        let filter = CapacityFilter {
            state: Some(CapacityState::Active),
            zone: Some(zone),
            after: after.as_ref(),
            ..Default::default()
        };
        let page = capacity_list(cloud.store(), filter, PAGE).await.or_fail()?;
        if page.is_empty() {
            return Ok(rows);
        }
        rows.extend(page);
    }
}

async fn hosts(cloud: &Cloud, zone: &ZoneName) -> Result<Vec<HostRow>, ApiError> {
    let mut rows: Vec<HostRow> = Vec::new();
    loop {
        let after = rows.last().map(|row| row.id.clone());
        let filter = HostFilter {
            state: Some(HostState::Available),
            zone: Some(zone),
            after: after.as_ref(),
            ..Default::default()
        };
        let page = host_list(cloud.store(), filter, PAGE).await.or_fail()?;
        if page.is_empty() {
            return Ok(rows);
        }
        rows.extend(page);
    }
}

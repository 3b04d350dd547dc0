//! Does the world match the database? Intent, observation and host truth of every resource, compared: the invariants
//! of `design/reliability.md` A5 that this cloud's resources have. The fault tests use this same checker.

use crate::cluster_link::client;
use crate::fail::{OrFail as _, wire_failure};
use crate::{Cloud, load};
use mallee_awswire::ApiError;
use mallee_proto::WireError;
use mallee_proto::v1::{InventoryRequest, NodeInventory};
use mallee_store::{
    InstanceFilter, InstanceRow, InterfaceFilter, InterfaceRow, change_append, instance_list, interface_list,
    private_address_count, subnet_list_all,
};
use mallee_types::{InstanceId, InstanceState, InterfaceId, NodeId, RunIntent};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tonic::Request;

/// Rows read at once.
const PAGE: u32 = 1000;
/// Longest wait for the inventories of a zone.
const INVENTORY_TIMEOUT: Duration = Duration::from_secs(30);
/// What differs only while things are on their way is gone when looked at again after this long.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Looks at what differs, in all: what stays the same through them is a finding.
const LOOKS: usize = 3;
/// A transitional state that lasts longer is limbo, in milliseconds.
const TRANSITION_MS_MAX: i64 = 30 * 60 * 1000;

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which invariant (`I1` … of design/reliability.md A5).
    pub invariant: &'static str,
    /// What it is about.
    pub subject: String,
    /// What is wrong, naming the host.
    pub problem: String,
    /// It was mended, or told to its owner, which mends it.
    pub repaired: bool,
}

/// The outcome of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Resources looked at.
    pub checked: usize,
    /// What differs.
    pub findings: Vec<Finding>,
}

impl Report {
    pub(crate) fn add(&mut self, invariant: &'static str, subject: impl ToString, problem: impl Into<String>) {
        let problem = problem.into();
        self.findings.push(Finding { invariant, subject: subject.to_string(), problem, repaired: false });
    }
}

/// What the database holds.
struct Books {
    instances: BTreeMap<InstanceId, InstanceRow>,
    interfaces: BTreeMap<InterfaceId, InterfaceRow>,
}

/// Compares everything; with `repair`, has each owner of a difference look again. Nodes, messages and rows do not stand
/// still meanwhile: only what differs in the same way each time it is looked at is told.
///
/// # Errors
/// When the database or a connected cluster controller does not answer.
pub async fn check(cloud: &Cloud, repair: bool) -> Result<Report, ApiError> {
    let (mut report, mut books) = look(cloud).await?;
    for _ in 1..LOOKS {
        if report.findings.is_empty() {
            break;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        let (again, newer) = look(cloud).await?;
        let lasting = report.findings.into_iter().filter(|finding| again.findings.contains(finding));
        report = Report { findings: lasting.collect(), checked: again.checked };
        books = newer;
    }
    if repair {
        self_repair(cloud, &books, &mut report).await?;
    }
    Ok(report)
}

/// One look, with what differs only because it is on its way: for those who wait until nothing differs.
///
/// # Errors
/// As [`check`].
pub async fn look_once(cloud: &Cloud) -> Result<Report, ApiError> {
    Ok(look(cloud).await?.0)
}

/// One comparison. The nodes are asked first: what they did by then the rows may know, not the other way round.
async fn look(cloud: &Cloud) -> Result<(Report, Books), ApiError> {
    let mut report = Report::default();
    let mut nodes = Vec::new();
    for zone in cloud.zones() {
        let Some((channel, _)) = cloud.zone_state(zone).session() else {
            report.add("I1", zone, "its cluster controller is not connected: its nodes cannot be compared");
            continue;
        };
        let mut request = Request::new(InventoryRequest {});
        request.set_timeout(INVENTORY_TIMEOUT);
        let reply = client(channel).inventory(request).await.map_err(|s| wire_failure(WireError::from(s)))?;
        nodes.extend(reply.into_inner().nodes);
    }
    for zone in cloud.zones() {
        crate::capacity::check::check_kept(cloud, zone, &mut report).await?;
    }
    let books = read_books(cloud).await?;
    report.checked += books.instances.len() + books.interfaces.len();
    check_rows(cloud, &books, &mut report);
    check_addresses(cloud, &books, &mut report).await?;
    let (vpcs, network) = crate::network::check::differences(cloud, books.interfaces.values()).await?;
    report.checked += vpcs;
    for (subject, problem) in network {
        report.add("I3", subject, problem);
    }
    let gateways = crate::nat_gateways::check::differences(cloud, &books.interfaces).await?;
    report.checked += gateways.checked;
    for (invariant, subject, problem) in gateways.wrong {
        report.add(invariant, subject, problem);
    }
    let (tables, wrong) = crate::routes::check::differences(cloud, &books.interfaces, &gateways.vpcs).await?;
    report.checked += tables;
    for (subject, problem) in wrong {
        report.add("I3", subject, problem);
    }
    let (lists, wrong) = crate::prefix_lists::check::differences(cloud).await?;
    report.checked += lists;
    for (subject, problem) in wrong {
        report.add("I3", subject, problem);
    }
    let (active, wrong) = crate::peerings::check::differences(cloud).await?;
    report.checked += active;
    for (subject, problem) in wrong {
        report.add("I3", subject, problem);
    }
    let (joined, wrong) = crate::transit::check::differences(cloud).await?;
    report.checked += joined;
    for (subject, problem) in wrong {
        report.add("I3", subject, problem);
    }
    let (logs, wrong) = crate::flow_logs::check::differences(cloud).await.or_fail()?;
    report.checked += logs;
    for (subject, problem) in wrong {
        report.add("I3", subject, problem);
    }
    let (paths, wrong) = crate::insights::check::differences(cloud).await.or_fail()?;
    report.checked += paths;
    for (subject, problem) in wrong {
        report.add("I3", subject, problem);
    }
    let (spot, requests) = crate::spot::differences(cloud, &books.instances).await?;
    report.checked += requests;
    for (subject, problem) in spot {
        report.add("I9", subject, problem);
    }
    for (id, problem) in crate::fleets::check::differences(cloud, &books.instances.keys().collect()).await? {
        report.add("I8", id, problem);
    }
    for node in &nodes {
        check_node(&books, &gateways.ports, node, &mut report);
        check_view(node, &mut report);
    }
    Ok((report, books))
}

/// I6: the network a node has applied, its security-group rules with it, is the one compiled for it.
fn check_view(node: &NodeInventory, report: &mut Report) {
    let comparable = !node.wanted_view_hash.is_empty();
    report.checked += usize::from(comparable);
    if comparable && node.view_hash != node.wanted_view_hash {
        let problem = if node.view_hash.is_empty() {
            "has applied no view of its network, though one was compiled".to_owned()
        } else {
            format!(
                "the view of its network that is applied (generation {}) is not the compiled one",
                node.view_generation
            )
        };
        report.add("I6", &node.node_id, problem);
    }
}

async fn read_books(cloud: &Cloud) -> Result<Books, ApiError> {
    let mut books = Books { instances: BTreeMap::new(), interfaces: BTreeMap::new() };
    loop {
        let after = books.instances.keys().next_back().cloned();
        let filter = InstanceFilter { after: after.as_ref(), ..Default::default() };
        let page = instance_list(cloud.store(), filter, PAGE).await.or_fail()?;
        if page.is_empty() {
            break;
        }
        books.instances.extend(page.into_iter().map(|row| (row.id.clone(), row)));
    }
    loop {
        let after = books.interfaces.keys().next_back().cloned();
        let filter = InterfaceFilter { after: after.as_ref(), ..Default::default() };
        let page = interface_list(cloud.store(), filter, PAGE).await.or_fail()?;
        if page.is_empty() {
            break;
        }
        books.interfaces.extend(page.into_iter().map(|row| (row.id.clone(), row)));
    }
    Ok(books)
}

/// I9 and I10: states follow from intents, and none lasts for ever.
fn check_rows(cloud: &Cloud, books: &Books, report: &mut Report) {
    let now_ms = cloud.clock().now_ms();
    for row in books.instances.values() {
        let legal: &[InstanceState] = match (row.intent, row.released) {
            (RunIntent::Run, false) => &[InstanceState::Pending, InstanceState::Running],
            (RunIntent::Stop, false) => &[InstanceState::Stopping, InstanceState::Stopped],
            (RunIntent::Terminate, false) => &[InstanceState::ShuttingDown],
            (RunIntent::Terminate, true) => &[InstanceState::Terminated],
            (RunIntent::Run | RunIntent::Stop, true) => &[],
        };
        if !legal.contains(&row.state) {
            report.add(
                "I9",
                &row.id,
                format!("is {} though it is meant to {:?} (released: {})", row.state.name(), row.intent, row.released),
            );
        }
        let passing =
            matches!(row.state, InstanceState::Pending | InstanceState::Stopping | InstanceState::ShuttingDown);
        if passing && now_ms - row.state_changed_ms > TRANSITION_MS_MAX {
            let node = row.node_id.as_ref().map_or("no node", AsRef::as_ref);
            report.add("I10", &row.id, format!("has been {} on {node} for more than 30 minutes", row.state.name()));
        }
    }
}

/// I3: addresses and interfaces that are taken are those that are referred to.
async fn check_addresses(cloud: &Cloud, books: &Books, report: &mut Report) -> Result<(), ApiError> {
    let mut in_subnet: BTreeMap<String, u64> = BTreeMap::new();
    for interface in books.interfaces.values() {
        *in_subnet.entry(interface.subnet_id.to_string()).or_default() += 1;
        match interface.instance_id.as_ref().map(|id| books.instances.get(id)) {
            Some(Some(row)) if !row.released => {}
            Some(_) => report.add("I3", &interface.id, "belongs to an instance that is gone"),
            // It is free.
            None => {}
        }
    }
    for row in crate::interfaces::check::secondary(cloud, &books.interfaces, report).await? {
        *in_subnet.entry(row.subnet_id.to_string()).or_default() += 1;
    }
    crate::interfaces::check::ipv6(cloud, &books.interfaces, report).await?;
    for subnet in subnet_list_all(cloud.store()).await.or_fail()? {
        let taken = private_address_count(cloud.store(), &subnet.id).await.or_fail()?;
        let used = in_subnet.get(subnet.id.as_str()).copied().unwrap_or_default();
        if taken != used {
            report.add("I3", &subnet.id, format!("{taken} addresses are taken, {used} are used by interfaces"));
        }
        report.checked += 1;
    }
    crate::addresses::check::check_public(cloud, |id| books.interfaces.contains_key(id), report).await?;
    for row in books.instances.values().filter(|row| !row.released) {
        let mut own = books.interfaces.values().filter(|i| i.instance_id.as_ref() == Some(&row.id));
        if !own.any(|interface| interface.device_index == Some(0)) {
            report.add("I3", &row.id, "has no primary interface");
        }
    }
    Ok(())
}

/// I1, I3, I4: what a node holds is what the database says it holds.
fn check_node(books: &Books, gateways: &BTreeMap<InterfaceId, NodeId>, node: &NodeInventory, report: &mut Report) {
    let mine = |id: &str| {
        let row = id.parse().ok().and_then(|id: InstanceId| books.instances.get(&id))?;
        (!row.released && row.node_id.as_ref().is_some_and(|n| n.as_str() == node.node_id)).then_some(row)
    };
    let mut running = BTreeSet::new();
    for domain in &node.domains {
        report.checked += 1;
        let Some(row) = mine(&domain.instance_id) else {
            report.add(
                "I1",
                &domain.instance_id,
                format!("{} holds a domain of an instance that is not its own", node.node_id),
            );
            continue;
        };
        if domain.incarnation != row.incarnation.0 {
            let problem = format!(
                "{} holds incarnation {}, the current one is {}",
                node.node_id, domain.incarnation, row.incarnation
            );
            report.add("I1", &row.id, problem);
        }
        if domain.running && row.state == InstanceState::Stopped {
            report.add("I1", &row.id, format!("runs on {} though it is stopped", node.node_id));
        }
        if domain.running && !running.insert(domain.instance_id.clone()) {
            report.add("I1", &row.id, format!("runs twice on {}", node.node_id));
        }
    }
    for row in books.instances.values() {
        let here = row.node_id.as_ref().is_some_and(|n| n.as_str() == node.node_id);
        if here && row.state == InstanceState::Running && !running.contains(row.id.as_str()) {
            report.add("I1", &row.id, format!("is running, but {} holds no running domain of it", node.node_id));
        }
    }
    for disk in node.disks.iter().filter(|disk| mine(disk).is_none()) {
        report.add("I4", disk, format!("{} keeps files of an instance that is not its own", node.node_id));
    }
    for port in &node.ports {
        report.checked += 1;
        let id = port.parse::<InterfaceId>().ok();
        if id.as_ref().and_then(|id| gateways.get(id)).is_some_and(|on| on.as_str() == node.node_id) {
            continue;
        }
        let interface = id.and_then(|id| books.interfaces.get(&id));
        if interface.and_then(|i| i.instance_id.as_ref()).and_then(|id| mine(id.as_str())).is_none() {
            report.add("I3", port, format!("{} holds a port of an interface that is not its own", node.node_id));
        }
    }
    for stray in &node.strays {
        report.add("I4", stray, format!("{} holds it, and nothing names it", node.node_id));
    }
}

/// Every mismatch of an instance is mended by telling its intent again: receivers converge. What only a sweep can
/// mend is left to the sweep and stays listed.
async fn self_repair(cloud: &Cloud, books: &Books, report: &mut Report) -> Result<(), ApiError> {
    let mut tx = cloud.store().write().await.or_fail()?;
    let mut told = 0;
    for finding in &mut report.findings {
        let row = finding.subject.parse().ok().and_then(|id: InstanceId| books.instances.get(&id));
        if let Some(row) = row {
            change_append(&mut tx, load::INSTANCE, &row.id, Some(&row.zone));
            finding.repaired = true;
            told += 1;
        }
    }
    if told > 0 { tx.commit().await.or_fail() } else { tx.rollback().await.or_fail() }
}

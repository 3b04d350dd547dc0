//! Does everything agree? The checker that users have (`mallee check`), and beside it what only a test can see: the
//! hosts themselves, compared with what the database says they should be.

use crate::cloud::TestCloud;
use mallee_app::{Cloud, check, load};
use mallee_network::{Model, compile};
use mallee_proto::v1::intent_change::Object;
use mallee_proto::v1::{Capacity, NodeStatus};
use mallee_proto::view;
use mallee_store::{
    CapacityFilter, CapacityReservationRow, CapacityState, InstanceEventRow, InstanceFilter, InstanceRow,
    InterfaceFilter, SpotRequestRow, capacity_list, instance_list, interface_list, private_address_count,
    public_address_list, spot_request_list, subnet_list_all,
};
use mallee_types::{InstanceId, InstanceState};
use std::collections::BTreeMap;

/// Rows read at once.
const PAGE: u32 = 1000;

/// Rows of a cloud that should be none when nothing lives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// Instances that the node has not let go of.
    pub instances: usize,
    /// Interfaces.
    pub interfaces: usize,
    /// Private addresses taken.
    pub private: u64,
    /// Public addresses taken.
    pub public: usize,
}

pub(crate) async fn instances(cloud: &Cloud) -> Vec<InstanceRow> {
    let mut out: Vec<InstanceRow> = Vec::new();
    loop {
        let after = out.last().map(|row| row.id.clone());
        let filter = InstanceFilter { after: after.as_ref(), ..Default::default() };
        let page = instance_list(cloud.store(), filter, PAGE).await.expect("the database answers");
        if page.is_empty() {
            return out;
        }
        out.extend(page);
    }
}

async fn count(cloud: &Cloud) -> Rows {
    let store = cloud.store();
    let mut private = 0;
    for subnet in subnet_list_all(store).await.expect("the database answers") {
        private += private_address_count(store, &subnet.id).await.expect("the database answers");
    }
    Rows {
        instances: instances(cloud).await.iter().filter(|row| !row.released).count(),
        interfaces: interface_list(store, InterfaceFilter::default(), PAGE).await.expect("the database answers").len(),
        private,
        public: public_address_list(store, None, None, PAGE).await.expect("the database answers").len(),
    }
}

async fn nodes(cloud: &Cloud) -> Vec<NodeStatus> {
    let mut out = Vec::new();
    for zone in cloud.zones() {
        out.extend(cloud.zone_nodes(zone).await);
    }
    out
}

async fn reservations(cloud: &Cloud) -> Vec<CapacityReservationRow> {
    let filter = CapacityFilter { state: Some(CapacityState::Active), ..Default::default() };
    capacity_list(cloud.store(), filter, PAGE).await.expect("the database answers")
}

/// What the reservations hold of a node beside the instances that use them.
fn kept(reservations: &[CapacityReservationRow], here: &[&InstanceRow], node: &str) -> Capacity {
    let mut sum = Capacity::default();
    for row in reservations {
        let slots = row.slots.0.iter().find(|(on, _)| on.as_str() == node).map_or(0, |(_, count)| *count);
        let users: Vec<_> = here.iter().filter(|i| i.doc.capacity_reservation.as_ref() == Some(&row.id)).collect();
        let running = users.iter().filter(|i| i.state != InstanceState::Stopped).count();
        let open = u64::from(slots).saturating_sub(running as u64);
        sum.vcpus += row.vcpus * u32::try_from(open).expect("few slots");
        sum.memory_mib += row.memory_mib * open;
        sum.disk_bytes += row.disk_bytes * u64::from(slots).saturating_sub(users.len() as u64);
    }
    sum
}

/// I5: what the cluster has booked of each node is the sum of the rows on it, and of what reservations hold.
async fn wrong_books(app: &Cloud, rows: &[InstanceRow]) -> Vec<String> {
    let mut found = Vec::new();
    let reservations = reservations(app).await;
    for node in nodes(app).await {
        let here =
            || rows.iter().filter(|r| !r.released && r.node_id.as_ref().is_some_and(|n| n.as_str() == node.node_id));
        let up = || here().filter(|row| row.state != InstanceState::Stopped);
        let kept = kept(&reservations, &here().collect::<Vec<_>>(), &node.node_id);
        let sum = Capacity {
            vcpus: kept.vcpus + up().map(|row| row.doc.vcpus).sum::<u32>(),
            memory_mib: kept.memory_mib + up().map(|row| row.doc.memory_mib).sum::<u64>(),
            disk_bytes: kept.disk_bytes + here().map(|row| row.doc.root_disk_bytes).sum::<u64>(),
        };
        let booked = node.used.unwrap_or_default();
        if booked != sum || node.instances as usize != here().count() {
            let (booked_count, count) = (node.instances, here().count());
            found.push(format!(
                "I5 {}: {booked:?} booked for {booked_count}, rows make {sum:?} for {count}",
                node.node_id
            ));
        }
    }
    found
}

/// The network as the database wants it, live ports only; each host by its name and where it receives tunnelled packets.
///
/// # Panics
/// When the database does not answer.
pub async fn wanted_network(cloud: &Cloud, hosts: &[(String, String)]) -> Model {
    let mut model = Model::default();
    for (host, vtep) in hosts {
        model.set_node(host, vtep);
    }
    for zone in cloud.zones() {
        let mut pages = load::Snapshot::new(zone.clone());
        while let Some(objects) = pages.next(cloud.store(), cloud.identity_key()).await.expect("the database answers") {
            for object in objects {
                match object {
                    Object::Vpc(vpc) => model.set_vpc(vpc),
                    Object::Subnet(subnet) => model.set_subnet(subnet),
                    Object::RouteTable(table) => model.set_route_table(table),
                    Object::NetworkAcl(acl) => model.set_network_acl(acl),
                    Object::VpcPeering(peering) => model.set_peering(peering),
                    Object::FlowLog(log) => model.set_flow_log(log),
                    Object::NatGateway(gateway) => model.set_nat_gateway(gateway),
                    Object::TransitGateway(gateway) => model.set_transit_gateway(gateway),
                    Object::Group(group) => model.set_group(group),
                    Object::Instance(intent) => {
                        let live = intent.intent() == mallee_proto::v1::RunIntent::Run;
                        model.set_instance(&intent, live);
                    }
                    Object::Capacity(_)
                    | Object::Host(_)
                    | Object::PeerInstance(_)
                    | Object::PeerNode(_)
                    | Object::Removed(_) => {}
                }
            }
        }
    }
    model
}

impl TestCloud {
    /// Every difference between the database, the cluster's books and the hosts. For a cloud at rest.
    pub async fn differences(&self) -> Vec<String> {
        let (app, hosts) = (self.app(), self.hosts.clone());
        self.process().run(async move { differences(&app, &hosts).await }).await
    }

    /// Every request for a spot instance.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn spot_requests(&self) -> Vec<SpotRequestRow> {
        let app = self.app();
        let list = async move { spot_request_list(app.store(), None, None, None, PAGE).await };
        self.process().run(list).await.expect("the database answers")
    }

    /// Every scheduled event, with those that have ended.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn events(&self) -> Vec<InstanceEventRow> {
        let app = self.app();
        self.process().run(async move { app.instance_events(false).await }).await.expect("the database answers")
    }

    /// Forgets what has been gone for long, as the background task does every minute.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn purge(&self) {
        let app = self.app();
        self.process()
            .run(async move { mallee_app::instances::purge::purge(&app).await })
            .await
            .expect("the database answers");
    }

    /// Waits until nothing moves any more and every invariant of A5 that this cloud's resources have holds.
    ///
    /// # Panics
    /// When that does not come to be, with what is wrong.
    pub async fn sound(&mut self) {
        self.until("the cloud is at rest and every invariant holds", async |cloud| {
            let found = cloud.differences().await;
            if found.is_empty() { Ok(()) } else { Err(found.join("; ")) }
        })
        .await;
    }

    /// Waits until the cloud equals the empty one: no row, no address, no port, no domain, no file, no record (I13).
    ///
    /// # Panics
    /// When something is left.
    pub async fn empty(&mut self) {
        self.until("nothing is left", async |cloud| {
            let app = cloud.app();
            let rows = cloud.process().run(async move { count(&app).await }).await;
            if rows == Rows::default() { Ok(()) } else { Err(format!("{rows:?} in the database")) }
        })
        .await;
        self.sound().await;
        self.until("nothing is left on the hosts", async |cloud| {
            let mut left = Vec::new();
            for host in &cloud.hosts {
                left.extend(host.leftovers().into_iter().map(|what| format!("{}: {what}", host.name())));
                let records = host.ledger_disk().names();
                let records = records.into_iter().filter(|name| name.starts_with("instances/"));
                left.extend(records.map(|name| format!("{}: ledger {name}{}", host.name(), last_order(host, &name))));
            }
            if left.is_empty() { Ok(()) } else { Err(left.join("; ")) }
        })
        .await;
    }
}

/// The last order of a record, by its name in the ledger.
fn last_order(host: &mallee_sim::SimHost, name: &str) -> String {
    let id = name.strip_prefix("instances/").and_then(|id| id.parse().ok());
    id.and_then(|id| host.ledger_disk().intent(&id)).map_or_else(String::new, |intent| {
        format!(" ({:?}, generation {}, incarnation {})", intent.intent(), intent.generation, intent.incarnation)
    })
}

async fn differences(app: &Cloud, hosts: &[mallee_sim::SimHost]) -> Vec<String> {
    let mut found = Vec::new();
    let rows = instances(app).await;
    for row in &rows {
        let at_rest = matches!(row.state, InstanceState::Running | InstanceState::Stopped | InstanceState::Terminated);
        if !at_rest {
            found.push(format!("{} is {}", row.id, row.state.name()));
        }
    }
    match check::look_once(app).await {
        Ok(report) => {
            found.extend(report.findings.iter().map(|f| format!("{} {}: {}", f.invariant, f.subject, f.problem)))
        }
        Err(error) => found.push(format!("the checker failed: {error:?}")),
    }
    found.extend(double_runs(&rows, hosts));
    found.extend(wrong_books(app, &rows).await);
    found.extend(wrong_networks(app, hosts).await);
    found
}

/// I1, seen from the hosts: what runs is what the rows say runs, each once.
fn double_runs(rows: &[InstanceRow], hosts: &[mallee_sim::SimHost]) -> Vec<String> {
    let mut running: BTreeMap<InstanceId, Vec<String>> = BTreeMap::new();
    for host in hosts {
        for id in host.running() {
            running.entry(id).or_default().push(host.name().to_owned());
        }
    }
    let mut found = Vec::new();
    for row in rows.iter().filter(|row| row.state == InstanceState::Running) {
        match running.remove(&row.id).as_deref() {
            Some([host]) if row.node_id.as_ref().is_some_and(|node| node.as_str() == host) => {}
            other => found.push(format!("I1 {}: is running, and runs on {other:?}", row.id)),
        }
    }
    found.extend(running.into_iter().map(|(id, hosts)| format!("I1 {id}: runs on {hosts:?}, and no row says so")));
    found
}

/// I6, seen from the hosts: ports, groups, rules and remote addresses are those that the database wants.
async fn wrong_networks(app: &Cloud, hosts: &[mallee_sim::SimHost]) -> Vec<String> {
    let vteps: Vec<(String, String)> = nodes(app).await.into_iter().map(|node| (node.node_id, node.vtep)).collect();
    let model = wanted_network(app, &vteps).await;
    let mut found = Vec::new();
    for host in hosts {
        let wanted = view::listed(&compile(&model, host.name())).into_owned().vpcs;
        let held = host.view().map(|view| view.vpcs.clone()).unwrap_or_default();
        if wanted != held {
            found.push(format!("I6 {}: its network is {held:?}, not {wanted:?}", host.name()));
        }
        // Nobody plugs those of NAT gateways.
        let ports = wanted.iter().flat_map(|vpc| &vpc.ports).filter(|port| !port.nat).count();
        if host.plugged().len() != ports {
            found.push(format!("I6 {}: {} ports are plugged, {ports} should be", host.name(), host.plugged().len()));
        }
    }
    found
}

//! Intent down: a snapshot when the cluster has none, then every change in order.

use super::{ROUND_GAP, push, store_error};
use crate::Cloud;
use crate::load::{self, Wanted};
use mallee_proto::WireError;
use mallee_proto::v1::cloud_to_cluster::Message as Down;
use mallee_proto::v1::intent_change::Object;
use mallee_proto::v1::{CloudToCluster, IntentChange, SnapshotBegin, SnapshotEnd};
use mallee_runtime::Pace;
use mallee_store::{changes_bounds, changes_since};
use mallee_types::ZoneName;
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::mpsc;

/// Changes read at once.
const CHANGES_PAGE: u32 = 500;

/// Sends everything the cluster must know and does not, for ever.
pub(super) async fn push_intent(
    cloud: &Cloud,
    zone: &ZoneName,
    applied: u64,
    send: &mpsc::Sender<CloudToCluster>,
) -> Result<(), WireError> {
    // Watch before reading, so that nothing that commits in between is missed.
    let mut changed = cloud.store().watch_changes();
    let (oldest, newest) = changes_bounds(cloud.store()).await.map_err(store_error)?;
    let resumable = applied > 0 && applied <= newest && applied + 1 >= oldest;
    let mut seq = if resumable { applied } else { snapshot(cloud, zone, newest, send).await? };
    let mut pace = Pace::new(ROUND_GAP);
    loop {
        pace.round().await;
        changed.borrow_and_update();
        loop {
            let changes = changes_since(cloud.store(), seq, CHANGES_PAGE).await.map_err(store_error)?;
            let Some(last) = changes.last().map(|change| change.seq) else { break };
            let mine = changes
                .into_iter()
                .filter(|change| change.zone.as_ref().is_none_or(|of| of == zone) || load::of_all_zones(&change.kind));
            let wanted =
                by_object(mine.filter_map(|change| Some((Wanted::parse(&change.kind, &change.id)?, change.seq))));
            for (at, object) in objects_in_order(cloud, zone, &wanted).await? {
                send_object(send, at, object).await?;
            }
            seq = last;
        }
        cloud
            .faults()
            .point("cloud.link.pushed")
            .await
            .map_err(|e| WireError::new(mallee_proto::Kind::Unavailable, e.to_string()))?;
        if changed.changed().await.is_err() {
            return Ok(());
        }
    }
}

/// The first and the newest of the changes of an object that were read at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Changes {
    first: u64,
    newest: u64,
}

fn by_object(changes: impl Iterator<Item = (Wanted, u64)>) -> BTreeMap<Wanted, Changes> {
    let mut found = BTreeMap::new();
    for (wanted, seq) in changes {
        found.entry(wanted).or_insert(Changes { first: seq, newest: seq }).newest = seq;
    }
    found
}

/// At which of its changes an object is told, as it is by now: at the newest. What a subnet refers to is there at its
/// first change and goes at its last, so that no subnet names a network ACL that is not known: nothing would pass it. (Told
/// before its newest change, it is told again to a cluster that resumes in between.) So it is with a VPC of several blocks of
/// which there are `subnets` to tell: it got the block that a subnet is in before the subnet was made.
fn place(object: &Object, changes: Changes, subnets: &BTreeSet<String>) -> u64 {
    match object {
        Object::RouteTable(_) | Object::NetworkAcl(_) => changes.first,
        Object::Vpc(vpc) if !(vpc.more_cidrs.is_empty() && vpc.ipv6_cidrs.is_empty()) && subnets.contains(&vpc.id) => {
            changes.first
        }
        _ => changes.newest,
    }
}

/// The VPCs of the subnets among these.
fn vpcs_of_subnets(objects: &[Object]) -> BTreeSet<String> {
    let subnets = objects.iter().filter_map(|object| match object {
        Object::Subnet(subnet) => Some(subnet.vpc_id.clone()),
        _ => None,
    });
    subnets.collect()
}

/// The objects in the order of their places: the cluster takes an object only if its place is after all those it has
/// applied, and resumes from there, so two objects must never share one.
async fn objects_in_order(
    cloud: &Cloud,
    zone: &ZoneName,
    changes: &BTreeMap<Wanted, Changes>,
) -> Result<Vec<(u64, Object)>, WireError> {
    let wanted = changes.keys().cloned().collect();
    let objects = load::objects(cloud.store(), cloud.identity_key(), zone, &wanted).await.map_err(store_error)?;
    let subnets = vpcs_of_subnets(&objects);
    let at = |object: &Object| Some(place(object, *changes.get(&Wanted::of(object)?)?, &subnets));
    let mut placed: Vec<(u64, Object)> =
        objects.into_iter().filter_map(|object| Some((at(&object)?, object))).collect();
    placed.sort_by_key(|(at, _)| *at);
    Ok(placed)
}

async fn snapshot(
    cloud: &Cloud,
    zone: &ZoneName,
    newest: u64,
    send: &mpsc::Sender<CloudToCluster>,
) -> Result<u64, WireError> {
    // Zero means "no snapshot yet" on the wire, so an empty log still counts from one.
    let seq = newest.max(1);
    push(send, Down::SnapshotBegin(SnapshotBegin { seq })).await?;
    let mut pages = load::Snapshot::new(zone.clone());
    while let Some(objects) = pages.next(cloud.store(), cloud.identity_key()).await.map_err(store_error)? {
        for object in objects {
            send_object(send, seq, object).await?;
        }
    }
    push(send, Down::SnapshotEnd(SnapshotEnd { seq })).await?;
    Ok(newest)
}

async fn send_object(send: &mpsc::Sender<CloudToCluster>, seq: u64, object: Object) -> Result<(), WireError> {
    push(send, Down::Change(IntentChange { seq, object: Some(object) })).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_proto::v1::{NetworkAcl, ObjectKind, Removed, Subnet, Vpc};

    #[test]
    fn no_subnet_is_told_while_its_network_acl_is_not_known() {
        let (acl, subnet) = ("acl-00000000000000001".to_owned(), "subnet-00000000000000001".to_owned());
        let (named, naming) = (load::NETWORK_ACL, load::SUBNET);
        let told = |changes: &[(&str, &String, u64)], objects: [Object; 2]| {
            let parsed = |(kind, id, seq): &(&str, &String, u64)| (Wanted::parse(kind, id).unwrap(), *seq);
            let changes = by_object(changes.iter().map(parsed));
            objects.map(|object| place(&object, changes[&Wanted::of(&object).unwrap()], &BTreeSet::new()))
        };
        let is = Object::NetworkAcl(NetworkAcl { id: acl.clone(), ..Default::default() });
        let gone = Object::Removed(Removed { kind: ObjectKind::NetworkAcl.into(), id: acl.clone() });
        let has = Object::Subnet(Subnet { id: subnet.clone(), ..Default::default() });
        // Made, given to the subnet, changed; changed, taken from it, deleted.
        let changes = [(named, &acl, 1), (naming, &subnet, 2), (named, &acl, 3)];
        assert_eq!(told(&changes, [is, has.clone()]), [1, 2]);
        assert_eq!(told(&changes, [gone, has]), [3, 2]);
    }

    #[test]
    fn no_subnet_is_told_before_the_block_that_it_is_in() {
        let (id, subnet) = ("vpc-00000000000000001".to_owned(), "subnet-00000000000000001".to_owned());
        // It gets a block, then a subnet in it, then a gateway.
        let log = [(load::VPC, &id, 4), (load::SUBNET, &subnet, 5), (load::VPC, &id, 6)];
        let changes = by_object(log.iter().map(|(kind, id, seq)| (Wanted::parse(kind, id).unwrap(), *seq)));
        let told = |more: &[&str], with_subnet: bool| {
            let more_cidrs = more.iter().map(|block| (*block).to_owned()).collect();
            let vpc = Object::Vpc(Vpc { id: id.clone(), more_cidrs, ..Default::default() });
            let subnet = Object::Subnet(Subnet { id: subnet.clone(), vpc_id: id.clone(), ..Default::default() });
            let objects = if with_subnet { vec![vpc, subnet] } else { vec![vpc] };
            let subnets = vpcs_of_subnets(&objects);
            let at = |object: &Object| place(object, changes[&Wanted::of(object).unwrap()], &subnets);
            objects.iter().map(at).collect::<Vec<_>>()
        };
        assert_eq!(told(&["10.1.0.0/16"], true), [4, 5]);
        assert_eq!(told(&["10.1.0.0/16"], false), [6]);
        assert_eq!(told(&[], true), [6, 5], "of one block, as ever");
    }
}

//! What a cluster controller is told when it has nothing yet, while users go on.

use crate::fixture::Fixture;
use mallee_app::load::Snapshot;
use mallee_proto::v1::intent_change::Object;
use mallee_store::test_support::TestDb;
use mallee_store::{security_group_fetch, subnet_fetch};
use mallee_types::{GroupId, SubnetId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

mallee_store::store_test_suite!(a_snapshot_is_of_one_moment);

/// How often the users' objects change while snapshots are taken.
const CHANGES: usize = 60;

/// By generation: the subnet's network ACL, and how many rules a group has.
#[derive(Debug, Default)]
struct Seen {
    acl: BTreeMap<u64, String>,
    rules: BTreeMap<u64, usize>,
}

async fn a_snapshot_is_of_one_moment(db: TestDb) {
    let f = Arc::new(Fixture::on(db).await);
    let subnet = f.texts("DescribeSubnets", &[], "subnetId").await.remove(0);
    let vpc = f.texts("DescribeVpcs", &[], "vpcId").await.remove(0);
    let open = f.texts("DescribeNetworkAcls", &[], "networkAclId").await.remove(0);
    let closed = f.texts("CreateNetworkAcl", &[("VpcId", vpc.as_str())], "networkAclId").await.remove(0);
    let list = [("PrefixListName", "l"), ("MaxEntries", "5"), ("AddressFamily", "IPv4")];
    let list = f.texts("CreateManagedPrefixList", &list, "prefixListId").await.remove(0);
    let group = [("GroupName", "g"), ("GroupDescription", "d")];
    let group = f.texts("CreateSecurityGroup", &group, "groupId").await.remove(0);
    let rule = [
        ("GroupId", group.as_str()),
        ("IpPermissions.1.IpProtocol", "-1"),
        ("IpPermissions.1.PrefixListIds.1.PrefixListId", list.as_str()),
    ];
    f.call("AuthorizeSecurityGroupIngress", &rule).await.unwrap();

    let done = Arc::new(AtomicBool::new(false));
    let snapshots = tokio::spawn(taken(Arc::clone(&f), subnet.clone(), group.clone(), Arc::clone(&done)));
    let mut truth = Seen::default();
    let (subnet_id, group_id): (SubnetId, GroupId) = (subnet.parse().unwrap(), group.parse().unwrap());
    let mut association = association_of(&f, &subnet).await;
    // The egress rule that every group begins with counts.
    truth.acl.insert(subnet_fetch(&f.store, &subnet_id).await.unwrap().generation.0, open.clone());
    truth.rules.insert(security_group_fetch(&f.store, &group_id).await.unwrap().generation.0, 1);
    for n in 0..CHANGES {
        let (acl, change) = if n % 2 == 0 { (&closed, "AddEntry") } else { (&open, "RemoveEntry") };
        let params = [("AssociationId", association.as_str()), ("NetworkAclId", acl.as_str())];
        association = f.texts("ReplaceNetworkAclAssociation", &params, "newAssociationId").await.remove(0);
        let generation = subnet_fetch(&f.store, &subnet_id).await.unwrap().generation.0;
        truth.acl.insert(generation, acl.clone());
        let entry = format!("{change}.1.Cidr");
        let version = (n + 1).to_string();
        let params = [("PrefixListId", list.as_str()), (entry.as_str(), "10.0.0.0/8"), ("CurrentVersion", &version)];
        f.call("ModifyManagedPrefixList", &params).await.unwrap();
        let generation = security_group_fetch(&f.store, &group_id).await.unwrap().generation.0;
        truth.rules.insert(generation, if n % 2 == 0 { 2 } else { 1 });
    }
    done.store(true, Ordering::Relaxed);
    let (seen, count) = snapshots.await.unwrap();
    assert!(count > 3 && seen.acl.len() > 1, "{count} snapshots saw {} generations", seen.acl.len());
    for (generation, acl) in &seen.acl {
        assert_eq!(truth.acl.get(generation), Some(acl), "the subnet of generation {generation}");
    }
    for (generation, rules) in &seen.rules {
        assert_eq!(truth.rules.get(generation), Some(rules), "the group of generation {generation}");
    }
}

async fn association_of(f: &Fixture, subnet: &str) -> String {
    let filter = [("Filter.1.Name", "association.subnet-id"), ("Filter.1.Value.1", subnet)];
    f.texts("DescribeNetworkAcls", &filter, "networkAclAssociationId").await.remove(0)
}

/// Takes snapshots of the network until all is done; what they said, and how many there were.
async fn taken(f: Arc<Fixture>, subnet: String, group: String, done: Arc<AtomicBool>) -> (Seen, usize) {
    let (mut seen, mut count) = (Seen::default(), 0);
    while !done.load(Ordering::Relaxed) {
        let mut pages = Snapshot::new("local-1a".parse().unwrap());
        for object in pages.next(&f.store, f.cloud.identity_key()).await.unwrap().unwrap() {
            match object {
                Object::Subnet(row) if row.id == subnet => drop(seen.acl.insert(row.generation, row.network_acl_id)),
                Object::Group(row) if row.id == group => drop(seen.rules.insert(row.generation, row.rules.len())),
                _ => {}
            }
        }
        count += 1;
    }
    (seen, count)
}

//! Prefix lists: whom they are shown to, what they count in groups and tables, and changes that come at once.

use crate::fixture::Fixture;
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::{GroupId, RouteTableId};
use std::sync::Arc;

mallee_store::store_test_suite!(
    a_list_counts_by_its_size,
    changes_that_come_at_once_are_all_there,
    the_pages_of_a_listing_are_of_one_version,
    only_its_account_sees_a_list
);

async fn allow(f: &Fixture, code: &str, value: u64) {
    let mut tx = f.store.write().await.unwrap();
    let account_id = f.cx.account().clone();
    let row = QuotaSettingRow { account_id, service: "vpc".into(), code: code.into(), value, set_ms: 1 };
    quota_setting_put(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
}

async fn list(f: &Fixture, size: u32) -> String {
    let size = size.to_string();
    let params = [("PrefixListName", "of tests"), ("MaxEntries", size.as_str()), ("AddressFamily", "IPv4")];
    f.texts("CreateManagedPrefixList", &params, "prefixListId").await.remove(0)
}

fn rule<'a>(group: &'a str, list: &'a str, port: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("GroupId", group),
        ("IpPermissions.1.IpProtocol", "tcp"),
        ("IpPermissions.1.FromPort", port),
        ("IpPermissions.1.ToPort", port),
        ("IpPermissions.1.PrefixListIds.1.PrefixListId", list),
    ]
}

/// A group of the default VPC, its main table and its gateway.
async fn places(f: &Fixture) -> (String, String, String) {
    let params = [("GroupName", "g"), ("GroupDescription", "d")];
    let group = f.texts("CreateSecurityGroup", &params, "groupId").await.remove(0);
    let table = f.texts("DescribeRouteTables", &[], "routeTableId").await.remove(0);
    let gateway = f.texts("DescribeInternetGateways", &[], "internetGatewayId").await.remove(0);
    (group, table, gateway)
}

async fn generations(f: &Fixture, group: &str, table: &str) -> (u64, u64) {
    let group: GroupId = group.parse().unwrap();
    let tables: [RouteTableId; 1] = [table.parse().unwrap()];
    let filter = RouteTableFilter { ids: Some(&tables), ..Default::default() };
    let table = route_table_list(&f.store, filter, 1).await.unwrap().remove(0);
    (security_group_fetch(&f.store, &group).await.unwrap().generation.0, table.generation.0)
}

async fn a_list_counts_by_its_size(db: TestDb) {
    let f = Fixture::on(db).await;
    let (group, table, gateway) = places(&f).await;
    let (ten, five) = (list(&f, 10).await, list(&f, 5).await);
    allow(&f, "L-0EA8095F", 15).await;
    // The main table has one route already.
    allow(&f, "L-93826ACB", 16).await;
    f.call("AuthorizeSecurityGroupIngress", &rule(&group, &ten, "22")).await.unwrap();
    f.call("AuthorizeSecurityGroupIngress", &rule(&group, &five, "22")).await.unwrap();
    let more = f.error("AuthorizeSecurityGroupIngress", &rule(&group, &five, "23")).await;
    assert_eq!(more.0, "RulesPerSecurityGroupLimitExceeded");
    f.call("AuthorizeSecurityGroupEgress", &rule(&group, &five, "23")).await.unwrap();
    let route = |list| [("RouteTableId", table.as_str()), ("DestinationPrefixListId", list), ("GatewayId", &gateway)];
    f.call("CreateRoute", &route(ten.as_str())).await.unwrap();
    assert_eq!(f.error("CreateRoute", &route(ten.as_str())).await.0, "RouteAlreadyExists");
    f.call("CreateRoute", &route(five.as_str())).await.unwrap();
    let own = [("RouteTableId", table.as_str()), ("DestinationCidrBlock", "8.0.0.0/8"), ("GatewayId", &gateway)];
    assert_eq!(f.error("CreateRoute", &own).await.0, "RouteLimitExceeded");

    // A list does not grow beyond what refers to it bears; nothing is left of the attempt.
    let grow = |list, size| [("PrefixListId", list), ("MaxEntries", size)];
    let too_large = f.error("ModifyManagedPrefixList", &grow(five.as_str(), "6")).await;
    assert_eq!(too_large.0, "RulesPerSecurityGroupLimitExceeded");
    let ids = [("PrefixListId.1", five.as_str())];
    assert_eq!(f.texts("DescribeManagedPrefixLists", &ids, "maxEntries").await, ["5"]);
    f.call("ModifyManagedPrefixList", &grow(ten.as_str(), "9")).await.unwrap();
    assert_eq!(f.error("ModifyManagedPrefixList", &grow(five.as_str(), "7")).await.0, too_large.0);
    f.call("ModifyManagedPrefixList", &grow(five.as_str(), "6")).await.unwrap();

    let before = generations(&f, &group, &table).await;
    let rename = [("PrefixListId", five.as_str()), ("PrefixListName", "other")];
    f.call("ModifyManagedPrefixList", &rename).await.unwrap();
    assert_eq!(generations(&f, &group, &table).await, before, "a name is nobody's news");
    let add = [("PrefixListId", five.as_str()), ("AddEntry.1.Cidr", "9.0.0.0/8"), ("CurrentVersion", "1")];
    f.call("ModifyManagedPrefixList", &add).await.unwrap();
    let after = generations(&f, &group, &table).await;
    assert_eq!(after, (before.0 + 1, before.1 + 1), "entries are, and are told once");
    assert_eq!(f.error("ModifyManagedPrefixList", &add).await.0, "PrefixListVersionMismatch");
    assert_eq!(generations(&f, &group, &table).await, after);
    assert_eq!(f.error("DeleteManagedPrefixList", &ids_of(&five)).await.0, "DependencyViolation");
    f.call("DeleteRoute", &route(five.as_str())[..2]).await.unwrap();
    assert_eq!(f.error("DeleteManagedPrefixList", &ids_of(&five)).await.0, "DependencyViolation");
    f.call("RevokeSecurityGroupIngress", &rule(&group, &five, "22")).await.unwrap();
    f.call("RevokeSecurityGroupEgress", &rule(&group, &five, "23")).await.unwrap();
    assert_eq!(f.texts("DeleteManagedPrefixList", &ids_of(&five), "state").await, ["delete-complete"]);
}

fn ids_of(list: &str) -> [(&str, &str); 1] {
    [("PrefixListId", list)]
}

async fn changes_that_come_at_once_are_all_there(db: TestDb) {
    let f = Arc::new(Fixture::on(db).await);
    let (group, table, _) = places(&f).await;
    let id = list(&f, 100).await;
    let before = generations(&f, &group, &table).await.0;
    // Eight rules and eight entries at once: each that is let in is there, and the group heard of it.
    let calls: Vec<_> = (0..16)
        .map(|n: u32| {
            let (f, id, group) = (Arc::clone(&f), id.clone(), group.clone());
            tokio::spawn(async move {
                let (cidr, port) = (format!("10.{n}.0.0/16"), (1000 + n).to_string());
                if n.is_multiple_of(2) {
                    f.call("ModifyManagedPrefixList", &[("PrefixListId", &id), ("AddEntry.1.Cidr", &cidr)]).await
                } else {
                    f.call("AuthorizeSecurityGroupIngress", &rule(&group, &id, &port)).await
                }
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let blocks = f.texts("GetManagedPrefixListEntries", &ids_of(&id), "cidr").await;
    let even: std::collections::BTreeSet<String> = (0..16).step_by(2).map(|n| format!("10.{n}.0.0/16")).collect();
    assert_eq!(blocks.into_iter().collect::<std::collections::BTreeSet<_>>(), even);
    assert_eq!(f.texts("DescribeManagedPrefixLists", &[], "version").await, ["9"]);
    let of_list = [("Filter.1.Name", "ip-permission.prefix-list-id"), ("Filter.1.Value.1", id.as_str())];
    assert_eq!(f.texts("DescribeSecurityGroups", &of_list, "groupId").await, [group.as_str()]);
    let uses = prefix_list_uses(&f.store, &id.parse().unwrap()).await.unwrap();
    assert_eq!((uses.groups.len(), uses.tables.len()), (1, 0));
    let told = generations(&f, &group, &table).await.0 - before;
    assert!((8..=16).contains(&told), "{told}");
    // Of changes that expect the same version, one is made.
    let calls: Vec<_> = (0..8)
        .map(|n: u32| {
            let (f, id) = (Arc::clone(&f), id.clone());
            tokio::spawn(async move {
                let cidr = format!("11.{n}.0.0/16");
                let params = [("PrefixListId", id.as_str()), ("AddEntry.1.Cidr", &cidr), ("CurrentVersion", "9")];
                f.call("ModifyManagedPrefixList", &params).await.map(drop).map_err(|error| error.code().as_str())
            })
        })
        .collect();
    let mut made = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(()) => made += 1,
            Err(code) => assert_eq!(code, "PrefixListVersionMismatch"),
        }
    }
    assert_eq!(made, 1);
}

async fn the_pages_of_a_listing_are_of_one_version(db: TestDb) {
    let f = Fixture::on(db).await;
    let id = list(&f, 10).await;
    let mut entries = vec![("PrefixListId".to_owned(), id.clone())];
    entries.extend((1..=4).map(|n| (format!("AddEntry.{n}.Cidr"), format!("10.{n}.0.0/16"))));
    let entries: Vec<(&str, &str)> = entries.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    f.call("ModifyManagedPrefixList", &entries).await.unwrap();
    let begin = [("PrefixListId", id.as_str()), ("MaxResults", "3")];
    let first = f.texts("GetManagedPrefixListEntries", &begin, "cidr").await;
    let token = f.texts("GetManagedPrefixListEntries", &begin, "nextToken").await.remove(0);
    // Meanwhile the last one goes and another comes.
    let swap = [
        ("PrefixListId", id.as_str()),
        ("RemoveEntry.1.Cidr", "10.4.0.0/16"),
        ("AddEntry.1.Cidr", "10.5.0.0/16"),
        ("CurrentVersion", "2"),
    ];
    f.call("ModifyManagedPrefixList", &swap).await.unwrap();
    let rest = [("PrefixListId", id.as_str()), ("NextToken", token.as_str())];
    let rest = f.texts("GetManagedPrefixListEntries", &rest, "cidr").await;
    assert_eq!([first, rest].concat(), [1, 2, 3, 4].map(|n| format!("10.{n}.0.0/16")));
}

async fn only_its_account_sees_a_list(db: TestDb) {
    let f = Fixture::on(db).await;
    let id = list(&f, 5).await;
    let add = [("PrefixListId", id.as_str()), ("AddEntry.1.Cidr", "10.0.0.0/16")];
    let restore = [("PrefixListId", id.as_str()), ("PreviousVersion", "1"), ("CurrentVersion", "1")];
    for (action, params) in [("ModifyManagedPrefixList", &add[..]), ("RestoreManagedPrefixListVersion", &restore)] {
        assert_eq!(f.error_as(&f.other, action, params).await.0, "InvalidPrefixListID.NotFound", "{action}");
    }
    let by_id = [("PrefixListId.1", id.as_str())];
    assert_eq!(f.texts("DescribeManagedPrefixLists", &by_id, "prefixListId").await, [id.as_str()]);
    let unknown = f.error_as(&f.other, "DescribeManagedPrefixLists", &by_id).await;
    assert_eq!(unknown, ("InvalidPrefixListID.NotFound", format!("The prefix list ID '{id}' does not exist")));
    for action in ["GetManagedPrefixListEntries", "GetManagedPrefixListAssociations", "DeleteManagedPrefixList"] {
        assert_eq!(f.error_as(&f.other, action, &ids_of(&id)).await.0, "InvalidPrefixListID.NotFound", "{action}");
    }
    let of_services = f.error("DescribePrefixLists", &by_id).await;
    assert_eq!(of_services.0, "InvalidPrefixListId.NotFound");
    assert_eq!(f.texts("DescribePrefixLists", &[], "prefixListId").await, [""; 0]);
}

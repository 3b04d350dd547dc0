//! Prefix lists, their versions, and what refers to them.

use crate::seed::{account, group, world};
use ipnet::{IpNet, Ipv4Net};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;
use sqlx::{AssertSqlSafe, Connection as _};

mallee_store::store_test_suite!(
    a_list_has_versions,
    a_list_of_ipv6_reads_as_it_was_written,
    lists_of_before_are_of_ipv4,
    what_refers_to_a_list_keeps_it,
    rules_and_routes_of_before_stay_as_they_are
);

fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

fn list(n: u128) -> PrefixListRow {
    PrefixListRow {
        id: PrefixListId::from_random(n),
        account_id: account(),
        name: "of tests".into(),
        max_entries: 10,
        version: 1,
        state: PrefixListState::Created,
        created_ms: 1,
        family: PrefixListFamily::Ipv4,
    }
}

fn block(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn entry(list: &PrefixListRow, cidr: &str, since: i64, description: Option<&str>) -> PrefixListEntryRow {
    PrefixListEntryRow {
        list_id: list.id.clone(),
        cidr: block(cidr),
        since,
        until: None,
        description: description.map(str::to_owned),
    }
}

async fn blocks(store: &Store, list: &PrefixListRow, version: i64) -> Vec<(String, Option<String>)> {
    let rows = prefix_list_entries(store, &list.id, version, None, 10).await.unwrap();
    rows.into_iter().map(|row| (row.cidr.to_string(), row.description)).collect()
}

async fn a_list_has_versions(db: TestDb) {
    let store = db.open().await;
    world(&store, "172.31.0.0/20").await;
    let (first, second) = (list(1), list(2));
    let mut tx = store.write().await.unwrap();
    prefix_list_hold(&mut tx, &first.id).await.unwrap();
    prefix_list_insert(&mut tx, &first).await.unwrap();
    prefix_list_insert(&mut tx, &second).await.unwrap();
    let of_first = [entry(&first, "10.0.0.0/8", 1, Some("a")), entry(&first, "11.0.0.0/8", 1, None)];
    prefix_list_entries_insert(&mut tx, &of_first).await.unwrap();
    prefix_list_entries_insert(&mut tx, &[entry(&second, "10.0.0.0/8", 1, None)]).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.write().await.unwrap();
    let twice = prefix_list_entries_insert(&mut tx, &[entry(&first, "10.0.0.0/8", 2, None)]).await.unwrap_err();
    assert!(twice.is_conflict("prefix_list_entries_list_id_cidr"), "{twice:?}");
    drop(tx);
    // Version 2: one entry goes; version 3: it comes back with another description.
    let mut tx = store.write().await.unwrap();
    assert_eq!(prefix_list_entries_end(&mut tx, &first.id, 2, &[block("10.0.0.0/8")]).await.unwrap(), 1);
    prefix_list_entries_insert(&mut tx, &[entry(&first, "10.0.0.0/8", 3, Some("b"))]).await.unwrap();
    let later = PrefixListRow { version: 3, state: PrefixListState::Modified, ..first.clone() };
    assert!(prefix_list_update(&mut tx, &later).await.unwrap());
    assert!(!prefix_list_update(&mut tx, &list(9)).await.unwrap());
    tx.commit().await.unwrap();
    let text = |cidr: &str, of: Option<&str>| (cidr.to_owned(), of.map(str::to_owned));
    assert_eq!(blocks(&store, &first, 1).await, [text("10.0.0.0/8", Some("a")), text("11.0.0.0/8", None)]);
    assert_eq!(blocks(&store, &first, 2).await, [text("11.0.0.0/8", None)]);
    assert_eq!(blocks(&store, &first, 3).await, [text("10.0.0.0/8", Some("b")), text("11.0.0.0/8", None)]);
    let rest = prefix_list_entries(&store, &first.id, 3, Some(&block("10.0.0.0/8")), 10).await.unwrap();
    assert_eq!(rest, [of_first[1].clone()]);
    assert_eq!(prefix_list_entries_now(&store, None).await.unwrap().len(), 3);
    let now = prefix_list_entries_now(&store, Some(&[second.id.clone()])).await.unwrap();
    assert_eq!(now, [entry(&second, "10.0.0.0/8", 1, None)]);
    let filter = PrefixListFilter { account: Some(&account()), after: Some(&first.id), ..Default::default() };
    assert_eq!(prefix_list_list(&store, filter, 9).await.unwrap(), [second.clone()]);
    // What was only in versions before the second is forgotten.
    let mut tx = store.write().await.unwrap();
    prefix_list_entries_forget(&mut tx, &first.id, 2).await.unwrap();
    assert!(prefix_list_delete(&mut tx, &second.id).await.unwrap());
    assert!(!prefix_list_delete(&mut tx, &second.id).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(blocks(&store, &first, 1).await, [text("11.0.0.0/8", None)]);
    assert_eq!(prefix_list_entries_now(&store, None).await.unwrap().len(), 2, "entries go with their list");
    assert_eq!(quota_use(&store, Counted::PrefixLists, &account(), None).await.unwrap(), 1);
}

async fn what_refers_to_a_list_keeps_it(db: TestDb) {
    let store = db.open().await;
    let (vpc, _) = world(&store, "172.31.0.0/20").await;
    let (list, web) = (list(1), group(&vpc, 1, "web"));
    let mut tx = store.write().await.unwrap();
    prefix_list_insert(&mut tx, &list).await.unwrap();
    security_group_insert(&mut tx, &web).await.unwrap();
    let table = RouteTableRow {
        id: RouteTableId::from_random(1),
        account_id: account(),
        vpc_id: vpc.id.clone(),
        number: route_table_number(&mut tx, &vpc.id).await.unwrap(),
        generation: Generation(1),
        created_ms: 1,
    };
    route_table_insert(&mut tx, &table).await.unwrap();
    let rule = |n: u128, list: Option<&PrefixListRow>| SecurityGroupRuleRow {
        id: GroupRuleId::from_random(n),
        group_id: web.id.clone(),
        account_id: account(),
        egress: false,
        protocol: -1,
        from_port: None,
        to_port: None,
        cidr: list.is_none().then(|| "10.0.0.0/8".to_owned()),
        peer_group: None,
        peer_account: None,
        description: None,
        prefix_list: list.map(|list| list.id.clone()),
        peer_vpc: None,
        peering: None,
    };
    let route = |destination: RouteDestination| RouteRow {
        table_id: table.id.clone(),
        destination,
        target_kind: TO_INTERNET_GATEWAY.into(),
        target_id: "igw-1".into(),
    };
    security_group_rule_insert(&mut tx, &rule(1, Some(&list))).await.unwrap();
    security_group_rule_insert(&mut tx, &rule(2, None)).await.unwrap();
    let (to_block, to_list) = (route(net("10.0.0.0/8").into()), route(RouteDestination::List(list.id.clone())));
    route_insert(&mut tx, &to_list).await.unwrap();
    route_insert(&mut tx, &to_block).await.unwrap();
    tx.commit().await.unwrap();
    let wanted = PrefixListUses { groups: vec![web.id.clone()], tables: vec![table.id.clone()] };
    assert_eq!(prefix_list_uses(&store, &list.id).await.unwrap(), wanted);
    let ids = [table.id.clone()];
    assert_eq!(route_list(&store, &ids).await.unwrap(), [to_block, to_list.clone()]);
    assert_eq!(security_group_rules_of(&store, &web.id).await.unwrap()[0].prefix_list, Some(list.id.clone()));
    let mut tx = store.write().await.unwrap();
    let twice = security_group_rule_insert(&mut tx, &rule(3, Some(&list))).await.unwrap_err();
    assert!(twice.is_conflict(RULE_DUPLICATE));
    drop(tx);
    let mut tx = store.write().await.unwrap();
    let twice = route_insert(&mut tx, &to_list).await.unwrap_err();
    assert!(twice.is_conflict("routes_table_id_destination"));
    drop(tx);
    let stays = async || {
        let mut tx = store.write().await.unwrap();
        match prefix_list_delete(&mut tx, &list.id).await {
            Ok(_) => matches!(tx.commit().await, Err(StoreError::InUse)),
            Err(error) => matches!(error, StoreError::InUse),
        }
    };
    assert!(stays().await);
    let mut tx = store.write().await.unwrap();
    assert!(security_group_rule_delete(&mut tx, &web.id, &rule(1, None).id).await.unwrap());
    tx.commit().await.unwrap();
    assert!(stays().await, "the route is still there");
    let mut tx = store.write().await.unwrap();
    assert!(route_delete(&mut tx, &table.id, &to_list.destination).await.unwrap());
    assert!(prefix_list_delete(&mut tx, &list.id).await.unwrap());
    tx.commit().await.unwrap();
}

async fn a_list_of_ipv6_reads_as_it_was_written(db: TestDb) {
    let store = db.open().await;
    world(&store, "172.31.0.0/20").await;
    let six = PrefixListRow { family: PrefixListFamily::Ipv6, ..list(1) };
    let blocks = ["2001:db8::/32", "2001:db8:a::/48", "::/0", "::ffff:0:0/96"];
    let mut tx = store.write().await.unwrap();
    prefix_list_insert(&mut tx, &six).await.unwrap();
    let rows = blocks.map(|cidr| entry(&six, cidr, 1, None));
    prefix_list_entries_insert(&mut tx, &rows).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(prefix_list_list(&store, PrefixListFilter::default(), 9).await.unwrap(), [six.clone()]);
    // By the text of their blocks, and so are the pages cut, on each database.
    assert_eq!(prefix_list_entries(&store, &six.id, 1, None, 9).await.unwrap(), rows);
    let rest = prefix_list_entries(&store, &six.id, 1, Some(&block("2001:db8::/32")), 9).await.unwrap();
    assert_eq!(rest, rows[1..]);
    let mut tx = store.write().await.unwrap();
    assert_eq!(prefix_list_entries_end(&mut tx, &six.id, 2, &[block("::/0")]).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(prefix_list_entries_now(&store, Some(&[six.id])).await.unwrap().len(), 3);
}

/// The last step of before lists had a family.
const OF_IPV4_ONLY: i64 = 57;

async fn lists_of_before_are_of_ipv4(db: TestDb) {
    db.migrate_to(OF_IPV4_ONLY).await;
    let before = list(1);
    let text = format!(
        "INSERT INTO prefix_lists (id, account_id, name, max_entries, version, state, created_ms)
            VALUES ('{}', '{}', 'of tests', 10, 1, 'create-complete', 1);",
        before.id,
        account()
    );
    run(&db, text).await;
    let store = db.open().await;
    assert_eq!(prefix_list_list(&store, PrefixListFilter::default(), 9).await.unwrap(), [before]);
}

async fn run(db: &TestDb, text: String) {
    if db.is_postgres() {
        let mut conn = sqlx::PgConnection::connect(&db.url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut conn).await.unwrap();
    } else {
        let mut conn = sqlx::SqliteConnection::connect(&db.url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut conn).await.unwrap();
    }
}

/// The last step of before there were lists that rules and routes need.
const OLDER: i64 = 40;

async fn rules_and_routes_of_before_stay_as_they_are(db: TestDb) {
    db.migrate_to(OLDER).await;
    let (yes, account) = (if db.is_postgres() { "TRUE" } else { "1" }, account());
    let text = format!(
        "INSERT INTO vpcs (id, account_id, cidr, vni, is_default, generation, created_ms)
            VALUES ('vpc-0123456789abcdef0', '{account}', '172.31.0.0/16', 4096, {yes}, 3, 7);
        INSERT INTO security_groups (id, account_id, vpc_id, name, description, generation, created_ms)
            VALUES ('sg-0123456789abcdef0', '{account}', 'vpc-0123456789abcdef0', 'default', 'd', 1, 7);
        INSERT INTO security_group_rules (id, group_id, account_id, egress, protocol, cidr)
            VALUES ('sgr-0123456789abcdef0', 'sg-0123456789abcdef0', '{account}', {yes}, -1, '0.0.0.0/0');
        INSERT INTO route_tables (id, account_id, vpc_id, number, generation, created_ms)
            VALUES ('rtb-0123456789abcdef0', '{account}', 'vpc-0123456789abcdef0', 1, 1, 7);
        INSERT INTO routes (table_id, destination, target_kind, target_id)
            VALUES ('rtb-0123456789abcdef0', '0.0.0.0/0', 'internet-gateway', 'igw-1');"
    );
    run(&db, text).await;
    let store = db.open().await;
    let rules = security_group_rule_list_all(&store).await.unwrap();
    let [rule] = rules.as_slice() else { panic!("{rules:?}") };
    assert_eq!((rule.cidr.as_deref(), &rule.prefix_list), (Some("0.0.0.0/0"), &None));
    let table: RouteTableId = "rtb-0123456789abcdef0".parse().unwrap();
    let routes = route_list(&store, &[table]).await.unwrap();
    assert_eq!((routes.len(), &routes[0].destination), (1, &net("0.0.0.0/0").into()));
    let mut tx = store.write().await.unwrap();
    let twice = SecurityGroupRuleRow { id: GroupRuleId::from_random(2), ..rule.clone() };
    assert!(security_group_rule_insert(&mut tx, &twice).await.unwrap_err().is_conflict(RULE_DUPLICATE));
}

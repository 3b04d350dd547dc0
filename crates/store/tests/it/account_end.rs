//! The end of an account: what is in the way is said, and nothing of it is left in any table.

use crate::seed::{account, world, zone};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;
use sqlx::{Connection as _, Row as _};

mallee_store::store_test_suite!(nothing_of_an_account_is_left, tokens_live_as_long_as_what_they_made);

/// Tables that keep an account's number for good: what it did.
const AUDIT: [&str; 2] = ["audit_events", "audit_resources"];

fn reservation(ended_ms: Option<i64>) -> CapacityReservationRow {
    CapacityReservationRow {
        id: CapacityReservationId::from_random(1),
        account_id: account(),
        zone: zone(),
        state: CapacityState::Active,
        generation: Generation(1),
        instance_type: "m1.small".into(),
        platform: "Linux/UNIX".into(),
        tenancy: "default".into(),
        match_criteria: "open".into(),
        vcpus: 1,
        memory_mib: 512,
        disk_bytes: 1 << 30,
        slots: Json([("n-1".parse().unwrap(), 2)].into()),
        ebs_optimized: false,
        ephemeral_storage: true,
        created_ms: 5,
        end_ms: None,
        ended_ms,
    }
}

fn host() -> HostRow {
    HostRow {
        id: HostId::from_random(1),
        account_id: account(),
        zone: zone(),
        node_id: "n-1".parse().unwrap(),
        state: HostState::Available,
        generation: Generation(1),
        instance_type: Some("m1.small".into()),
        instance_family: None,
        auto_placement: true,
        client_token: Some("hosts".into()),
        vcpus: 1,
        memory_mib: 1,
        disk_bytes: 1,
        created_ms: 5,
        released_ms: None,
    }
}

fn fleet() -> FleetRow {
    FleetRow {
        id: FleetId::from_random(1),
        account_id: account(),
        kind: FleetKind::Maintain,
        state: FleetState::Active,
        version: 1,
        is_open: true,
        created_by: "arn".into(),
        created_ms: 5,
        deleted_ms: None,
        client_token: Some("fleet".into()),
        attempts: 0,
        doc: Json(FleetDoc::default()),
    }
}

fn route_table(vpc: &VpcRow, number: u32) -> RouteTableRow {
    RouteTableRow {
        id: RouteTableId::from_random(number.into()),
        account_id: account(),
        vpc_id: vpc.id.clone(),
        number,
        generation: Generation(1),
        created_ms: 5,
    }
}

fn gateway(n: u128, vpc: Option<&VpcRow>) -> InternetGatewayRow {
    InternetGatewayRow {
        id: InternetGatewayId::from_random(n),
        account_id: account(),
        vpc_id: vpc.map(|vpc| vpc.id.clone()),
        created_ms: 5,
    }
}

fn template() -> LaunchTemplateRow {
    LaunchTemplateRow {
        id: LaunchTemplateId::from_random(1),
        account_id: account(),
        name: "web".into(),
        created_by: "arn".into(),
        created_ms: 5,
        default_version: 1,
        last_version: 1,
    }
}

/// Where the account is still named.
async fn traces(db: &TestDb) -> Vec<String> {
    let mut found = Vec::new();
    let tables = "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) p
        WHERE m.type = 'table' AND p.name = 'account_id'";
    if db.is_postgres() {
        let tables = "SELECT table_name::text FROM information_schema.columns
            WHERE table_schema = 'public' AND column_name = 'account_id'";
        let mut conn = sqlx::PgConnection::connect(&db.url).await.unwrap();
        for row in sqlx::query(tables).fetch_all(&mut conn).await.unwrap() {
            let table: String = row.get(0);
            let count = format!("SELECT COUNT(*) FROM {table} WHERE account_id = '{}'", account());
            let rows: i64 = sqlx::query(sqlx::AssertSqlSafe(count)).fetch_one(&mut conn).await.unwrap().get(0);
            found.extend((rows > 0).then_some(table));
        }
    } else {
        let mut conn = sqlx::SqliteConnection::connect(&db.url).await.unwrap();
        for row in sqlx::query(tables).fetch_all(&mut conn).await.unwrap() {
            let table: String = row.get(0);
            let count = format!("SELECT COUNT(*) FROM {table} WHERE account_id = '{}'", account());
            let rows: i64 = sqlx::query(sqlx::AssertSqlSafe(count)).fetch_one(&mut conn).await.unwrap().get(0);
            found.extend((rows > 0).then_some(table));
        }
    }
    found.retain(|table| !AUDIT.contains(&table.as_str()));
    found.sort();
    found
}

async fn nothing_of_an_account_is_left(db: TestDb) {
    let store = db.open().await;
    let (vpc, subnet) = world(&store, "172.31.0.0/20").await;
    let other: AccountId = "000000000002".parse().unwrap();
    let user = UserRow {
        id: "AIDAANN".into(),
        account_id: account(),
        name: "ann".into(),
        path: "/".into(),
        created_ms: 1,
        is_admin: false,
    };
    let key = KeyPairRow {
        id: KeyPairId::from_random(1),
        account_id: account(),
        name: "k".into(),
        kind: KeyPairKind::Ed25519,
        fingerprint: "f".into(),
        public_openssh: "ssh-ed25519 A".into(),
        created_ms: 1,
    };
    let group = PlacementGroupRow {
        id: PlacementGroupId::from_random(1),
        account_id: account(),
        name: "apart".into(),
        strategy: PlacementStrategy::Spread,
        partition_count: 0,
        spread_level: "rack".into(),
        created_ms: 5,
    };
    let image = crate::resources::image(&other, 1);
    let (mut reservation, mut host, mut fleet) = (reservation(None), host(), fleet());
    let mut tx = store.write().await.unwrap();
    account_insert(&mut tx, &AccountRow { id: other.clone(), name: "second".into(), created_ms: 1 }).await.unwrap();
    user_insert(&mut tx, &user).await.unwrap();
    key_pair_insert(&mut tx, &key).await.unwrap();
    creators_put(&mut tx, &user.id, &[key.id.to_string(), "AIDABOB".into()]).await.unwrap();
    launch_template_insert(&mut tx, &template()).await.unwrap();
    placement_group_insert(&mut tx, &group).await.unwrap();
    // Beside what a default VPC has: a main table and an attached gateway.
    let second = SubnetRow {
        id: SubnetId::from_random(2),
        cidr: "172.31.16.0/20".parse().unwrap(),
        is_default: false,
        ..subnet.clone()
    };
    subnet_insert(&mut tx, &second).await.unwrap();
    let (main, table) = (route_table(&vpc, 1), route_table(&vpc, 2));
    route_table_insert(&mut tx, &main).await.unwrap();
    route_table_insert(&mut tx, &table).await.unwrap();
    let association = RouteAssociationRow {
        id: RouteAssociationId::from_random(1),
        table_id: main.id.clone(),
        vpc_id: vpc.id.clone(),
        subnet_id: None,
    };
    route_association_insert(&mut tx, &association).await.unwrap();
    let acl = |n: u128| NetworkAclRow {
        id: NetworkAclId::from_random(n),
        account_id: account(),
        vpc_id: vpc.id.clone(),
        is_default: n == 1,
        generation: Generation(1),
        created_ms: 1,
    };
    network_acl_insert(&mut tx, &acl(1)).await.unwrap();
    network_acl_insert(&mut tx, &acl(2)).await.unwrap();
    let (attached, lone) = (gateway(1, Some(&vpc)), gateway(2, None));
    internet_gateway_insert(&mut tx, &attached).await.unwrap();
    internet_gateway_insert(&mut tx, &lone).await.unwrap();
    for set in [crate::dhcp_options::options(1, true), crate::dhcp_options::options(2, false)] {
        assert!(dhcp_options_insert(&mut tx, &set).await.unwrap());
    }
    capacity_insert(&mut tx, &reservation).await.unwrap();
    host_insert(&mut tx, &host).await.unwrap();
    fleet_insert(&mut tx, &fleet).await.unwrap();
    let log = crate::flow_logs::log(&vpc, 1, vpc.id.as_str());
    flow_log_insert(&mut tx, &log).await.unwrap();
    flow_log_tails_put(&mut tx, vpc.id.as_str(), 5, 0).await.unwrap();
    flow_log_delete(&mut tx, &log.id).await.unwrap();
    let eni = crate::seed::interface(&subnet, 9, "172.31.0.9".parse().unwrap());
    let nat = crate::nat_gateways::failed(2, &crate::nat_gateways::gateway(1, &eni, 1));
    nat_gateway_insert(&mut tx, &nat).await.unwrap();
    let transit = crate::transit::gateway(1);
    transit_gateway_insert(&mut tx, &transit).await.unwrap();
    let transit_table = crate::transit::table(1, &transit);
    transit_table_insert(&mut tx, &transit_table).await.unwrap();
    let left = crate::transit::attachment(1, &transit, &vpc.id, Some(&transit_table));
    transit_attachment_insert(&mut tx, &left).await.unwrap();
    transit_attachment_end(&mut tx, &left.id, 6).await.unwrap();
    image_insert(&mut tx, &image).await.unwrap();
    image_permission_put(&mut tx, &image.id, &[account()]).await.unwrap();
    client_token_claim(&mut tx, &account(), "CreateFleet", "fleet", "h").await.unwrap();
    let set = QuotaSettingRow { account_id: account(), service: "ec2".into(), code: "x".into(), value: 1, set_ms: 1 };
    quota_setting_put(&mut tx, &set).await.unwrap();
    tx.commit().await.unwrap();

    let mut tx = store.write().await.unwrap();
    let ways = account_leftovers(&mut tx, &account()).await.unwrap();
    assert_eq!(ways, ["1 fleets that are not over", "1 capacity reservations that are not over", "1 dedicated hosts"]);
    let belongings = account_belongings(&mut tx, &account()).await.unwrap();
    let network = [
        "1 subnets beside the default ones",
        "1 route tables beside the main ones",
        "1 network ACLs beside the default ones",
        "1 internet gateways that are not attached",
        "1 DHCP option sets beside the default one",
        "1 transit gateways",
    ];
    assert_eq!(belongings[..4], ["1 users", "1 key pairs", "1 launch templates", "1 placement groups"]);
    assert_eq!(belongings[4..], network);
    (reservation.state, reservation.ended_ms) = (CapacityState::Cancelled, Some(7));
    capacity_update(&mut tx, &reservation).await.unwrap();
    (host.state, host.released_ms) = (HostState::Released, Some(7));
    host_update(&mut tx, &host).await.unwrap();
    (fleet.state, fleet.is_open, fleet.deleted_ms) = (FleetState::Deleted, false, Some(7));
    fleet_update(&mut tx, &mut fleet).await.unwrap();
    assert!(account_leftovers(&mut tx, &account()).await.unwrap().is_empty());
    route_association_main_delete(&mut tx, &vpc.id).await.unwrap();
    for table in [&main, &table] {
        assert!(route_table_delete(&mut tx, &table.id).await.unwrap());
    }
    for n in [1, 2] {
        assert!(network_acl_delete(&mut tx, &acl(n).id).await.unwrap());
    }
    assert!(internet_gateway_detach(&mut tx, &attached.id, &vpc.id).await.unwrap());
    for gateway in [&attached, &lone] {
        assert!(internet_gateway_delete(&mut tx, &gateway.id).await.unwrap());
    }
    for subnet in [&subnet, &second] {
        subnet_delete(&mut tx, &subnet.id).await.unwrap();
    }
    vpc_delete(&mut tx, &vpc.id).await.unwrap();
    account_wipe(&mut tx, &account()).await.unwrap();
    account_delete(&mut tx, &account()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(traces(&db).await, Vec::<String>::new());
    let mut tx = store.write().await.unwrap();
    assert!(account_belongings(&mut tx, &other).await.unwrap().is_empty());
    assert_eq!(image_fetch(&mut tx, &image.id).await.unwrap(), image, "another account's image stays");
}

async fn tokens_live_as_long_as_what_they_made(db: TestDb) {
    let store = db.open().await;
    world(&store, "172.31.0.0/20").await;
    let mut tx = store.write().await.unwrap();
    launch_template_insert(&mut tx, &template()).await.unwrap();
    fleet_insert(&mut tx, &fleet()).await.unwrap();
    host_insert(&mut tx, &host()).await.unwrap();
    capacity_insert(&mut tx, &reservation(None)).await.unwrap();
    let host = host();
    let made = [
        ("CreateLaunchTemplate", "template", template().id.to_string(), true),
        ("CreateFleet", "fleet", fleet().id.to_string(), true),
        ("AllocateHosts", "hosts", format!("{},{}", HostId::from_random(9), host.id), true),
        ("CreateCapacityReservation", "slots", reservation(None).id.to_string(), true),
        ("CreateFleet", "gone", FleetId::from_random(77).to_string(), false),
        ("RunInstances", "gone", ReservationId::from_random(1).to_string(), false),
        ("RequestSpotInstances", "gone", SpotRequestId::from_random(1).to_string(), false),
        ("ModifyLaunchTemplate", "changed", template().id.to_string(), false),
    ];
    for (operation, token, result, _) in &made {
        client_token_claim(&mut tx, &account(), operation, token, "h").await.unwrap();
        client_token_result_set(&mut tx, &account(), operation, token, result).await.unwrap();
    }
    tx.commit().await.unwrap();
    let used_ms = store.clock().now_ms();
    db.clock.shift_ms(1_000);
    let mut tx = store.write().await.unwrap();
    let old = client_token_old(&mut tx, used_ms + 1, 100).await.unwrap();
    assert_eq!(old.len(), made.len());
    for (operation, token, _, is_alive) in &made {
        let of = old.iter().find(|old| old.operation == *operation && old.token == *token).unwrap();
        assert_eq!(of.is_alive, *is_alive, "{of:?}");
        if of.is_alive {
            client_token_renew(&mut tx, of).await.unwrap();
        }
    }
    // Just before what they made is forgotten.
    client_token_renew_of(&mut tx, &account(), "RunInstances", made[5].2.as_str()).await.unwrap();
    let left = client_token_old(&mut tx, used_ms + 1, 100).await.unwrap();
    let mut left: Vec<&str> = left.iter().map(|old| old.operation.as_str()).collect();
    left.sort_unstable();
    assert_eq!(left, ["CreateFleet", "ModifyLaunchTemplate", "RequestSpotInstances"]);
}

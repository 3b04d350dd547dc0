//! How the databases answer what is asked often: from an index, whatever the number of rows. SQLite's plans do not depend
//! on the rows; PostgreSQL's are looked at over twenty thousand of them.

use crate::seed::{instance, world};
use mallee_store::registry::SQL_BOTH;
use mallee_store::test_support::TestDb;
use mallee_store::{Store, TagRow, instance_insert, tag_put};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

/// A text of the registry as it is run: what follows it, and the index it is to be answered from.
struct Case {
    file: &'static str,
    name: &'static str,
    tail: &'static str,
    /// SQLite's words: of each table it reads, the index and what is looked up there.
    sqlite: &'static [&'static str],
    /// Indexes of PostgreSQL, any of which will do.
    postgres: &'static [&'static str],
    /// Whether rows may be sorted: where few are found.
    sorts: bool,
}

const fn case(
    name: &'static str,
    tail: &'static str,
    sqlite: &'static [&'static str],
    postgres: &'static [&'static str],
) -> Case {
    Case { file: "instance_search.rs", name, tail, sqlite, postgres, sorts: false }
}

const CASES: &[Case] = &[
    case("OF_STATE", "", &["INDEX instances_by_use (account_id=? AND state=? AND id>?)"], &["instances_by_use"]),
    case(
        "OF_TYPE",
        "",
        &["INDEX instances_by_type (account_id=? AND instance_type=? AND id>?)"],
        &["instances_by_type"],
    ),
    case("OF_IMAGE", "", &["INDEX instances_by_image (image_id=? AND account_id=? AND id>?)"], &["instances_by_image"]),
    case("OF_KEY", "", &["INDEX instances_by_key (account_id=? AND key_name=? AND id>?)"], &["instances_by_key"]),
    case(
        "OF_SUBNET",
        "",
        &["INDEX instances_by_subnet (subnet_id=? AND account_id=? AND id>?)"],
        &["instances_by_subnet"],
    ),
    case(
        "OF_TAG",
        "",
        &["INDEX tags_by_value (account_id=? AND key=? AND value=? AND resource_id>? AND resource_id<?)"],
        &["tags_by_value"],
    ),
    case("OF_TAG_KEY", "", &["INDEX tags_by_value (account_id=? AND key=?)"], &["tags_by_value"]),
    case("SUBNETS_OF_VPC", "", &["INDEX subnets_vpc_id_cidr (vpc_id=?)"], &[]),
    case(
        "OF_RESERVATIONS",
        " AND reservation_id IN ($1,$2) LIMIT $3 + 0",
        &["INDEX instances_by_reservation (reservation_id=?)"],
        &["instances_by_reservation"],
    ),
    case(
        "OF_PRIVATE_IPS",
        " AND private_ip IN ($2,$3) LIMIT $4 + 0",
        &[
            "INDEX interfaces_subnet_id_private_ip (subnet_id=? AND private_ip=?)",
            "INDEX subnets_by_account (account_id=?)",
        ],
        &["interfaces_subnet_id_private_ip"],
    ),
    case(
        "OF_PUBLIC_IPS",
        " AND p.address IN ($1,$2) LIMIT $3 + 0",
        &[
            "SEARCH p USING INDEX sqlite_autoindex_public_addresses_1 (address=?)",
            "i USING INDEX sqlite_autoindex_interfaces_1 (id=?)",
        ],
        &[],
    ),
    case(
        "OF_INTERFACES",
        " AND id IN ($1,$2) LIMIT $3 + 0",
        &["INDEX sqlite_autoindex_interfaces_1 (id=?)"],
        &["interfaces_id"],
    ),
    case("OF_INTERFACES", " AND mac IN ($1,$2) LIMIT $3 + 0", &["INDEX interfaces_mac (mac=?)"], &["interfaces_mac"]),
    case(
        "OF_GROUPS",
        " AND m.group_id IN ($1,$2) LIMIT $3 + 0",
        &["INDEX interface_groups_by_group (group_id=?)", "i USING INDEX sqlite_autoindex_interfaces_1 (id=?)"],
        &[],
    ),
    case(
        "OF_GROUP_NAMES",
        " AND g.name IN ($2,$3) LIMIT $4 + 0",
        &[
            "INDEX security_groups_by_account (account_id=?)",
            "INDEX interface_groups_by_group (group_id=?)",
            "i USING INDEX sqlite_autoindex_interfaces_1 (id=?)",
        ],
        &[],
    ),
    case(
        "OF_PROFILES",
        " AND profile_arn IN ($1,$2) LIMIT $3 + 0",
        &["INDEX profile_associations_by_arn (profile_arn=?)"],
        &[],
    ),
    case(
        "OF_PROFILES",
        " AND profile_id IN ($1,$2) LIMIT $3 + 0",
        &["INDEX profile_associations_by_profile (profile_id=?)"],
        &[],
    ),
    // What was found is read; lists longer than a few go to SQLite as JSON.
    Case {
        file: "instance.rs",
        name: "VERSIONS_ACCOUNT",
        tail: " AND id IN ($2,$3) ORDER BY id LIMIT $4 + 0",
        sqlite: &["PRIMARY KEY (instance_id=?)", "INDEX sqlite_autoindex_instances_1 (id=?)"],
        postgres: &["instances_by_account", "instances_id"],
        sorts: true,
    },
    Case {
        file: "instance.rs",
        name: "VERSIONS_ACCOUNT",
        tail: " AND id IN (SELECT value FROM json_each($2)) ORDER BY id LIMIT $3 + 0",
        sqlite: &["PRIMARY KEY (instance_id=?)", "(account_id=? AND id=?)"],
        postgres: &[],
        sorts: true,
    },
    Case {
        file: "instance.rs",
        name: "LIST_ACCOUNT",
        tail: " AND id IN (SELECT value FROM json_each($2)) ORDER BY id LIMIT $3 + 0",
        sqlite: &["INDEX instances_by_account (account_id=? AND id=?)"],
        postgres: &[],
        sorts: false,
    },
    // A page of all.
    Case {
        file: "instance.rs",
        name: "VERSIONS_ACCOUNT",
        tail: " AND id > $2 ORDER BY id LIMIT $3 + 0",
        sqlite: &["INDEX instances_by_account (account_id=? AND id>?)", "PRIMARY KEY (instance_id=?)"],
        postgres: &["instances_by_account", "instances_id"],
        sorts: false,
    },
    // What every cluster controller is told, and what is done in the background.
    Case {
        file: "instance.rs",
        name: "LIST_ANY",
        tail: " AND NOT released AND id > $1 AND zone = $2 ORDER BY id LIMIT $3 + 0",
        sqlite: &["INDEX instances_by_zone (zone=? AND id>?)"],
        postgres: &[],
        sorts: false,
    },
    Case {
        file: "instance.rs",
        name: "LIST_PURGE",
        tail: "",
        sqlite: &["INDEX instances_by_terminated (terminated_ms>? AND terminated_ms<?)"],
        postgres: &["instances_by_terminated"],
        sorts: false,
    },
    Case {
        file: "instance.rs",
        name: "IMAGE_USER",
        tail: "",
        sqlite: &["INDEX instances_by_image (image_id=?)"],
        postgres: &[],
        sorts: false,
    },
    // Quotas count in the index; sums read the rows of instances that take room besides.
    Case {
        file: "quota_use.rs",
        name: "INSTANCES",
        tail: "",
        sqlite: &["COVERING INDEX instances_by_use (account_id=?"],
        postgres: &[],
        sorts: false,
    },
    Case {
        file: "quota_use.rs",
        name: "VCPUS",
        tail: "",
        sqlite: &["INDEX instances_by_use (account_id=? AND state=?)"],
        postgres: &[],
        sorts: false,
    },
    Case {
        file: "tag.rs",
        name: "LIST",
        tail: " AND (resource_id, key) > ($2, $3) ORDER BY resource_id, key LIMIT $4 + 0",
        sqlite: &["INDEX tags_by_account (account_id=? AND (resource_id,key)>(?,?))"],
        postgres: &[],
        sorts: false,
    },
    Case {
        file: "tag.rs",
        name: "LIST",
        tail: " AND (key || '') IN ($2,$3) ORDER BY resource_id, key LIMIT $4 + 0",
        sqlite: &["INDEX tags_by_account (account_id=?)"],
        postgres: &[],
        sorts: false,
    },
    Case {
        file: "tag.rs",
        name: "LIST",
        tail: " AND resource_id IN ($2,$3) ORDER BY resource_id, key LIMIT $4 + 0",
        sqlite: &["INDEX tags_by_account (account_id=? AND resource_id=?)"],
        postgres: &["tags_by_account", "tags_resource_id_key_account_id"],
        sorts: false,
    },
];

fn text(case: &Case) -> String {
    let texts = SQL_BOTH.iter().find(|(file, _)| *file == case.file).unwrap().1;
    let (_, text) = texts.iter().find(|(name, _)| *name == case.name).unwrap();
    format!("{text}{}", case.tail)
}

#[tokio::test]
async fn sqlite_answers_from_indexes() {
    let db = TestDb::sqlite().await;
    let store = db.open().await;
    let mut conn = sqlx::SqliteConnection::connect(&db.url).await.unwrap();
    let mut wrong = Vec::new();
    for case in CASES {
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", text(case)));
        let rows = sqlx::query(explain).fetch_all(&mut conn).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get::<String, _>("detail")).collect();
        let plan = plan.join("\n");
        let scans = plan.lines().any(|line| line.starts_with("SCAN") && !line.contains("json_each"));
        let sorts = !case.sorts && plan.contains("TEMP B-TREE");
        if scans || sorts || !case.sqlite.iter().all(|index| plan.contains(index)) {
            wrong.push(format!("{} {}\n{plan}", case.name, case.tail));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    store.close().await;
}

/// Instances over which PostgreSQL plans.
const ROWS: u32 = 20_000;
/// The columns of an instance that differ.
const COPIED: &str =
    "account_id, launch_index, zone, instance_type, image_id, vpc_id, subnet_id, key_name, intent, generation,
    incarnation, reboot_seq, observed_phase, observed_generation, observed_incarnation, observed_network,
    observed_reboot_seq, state, transition_reason, released, launch_ms, state_changed_ms, doc";

async fn fill(store: &Store, conn: &mut sqlx::PgConnection) {
    let (_, subnet) = world(store, "172.31.0.0/20").await;
    let row = instance(&subnet, 0xf_ffff);
    let tag = TagRow {
        resource_id: row.id.to_string(),
        key: "Name".into(),
        value: "web".into(),
        resource_type: "instance".into(),
        account_id: row.account_id.clone(),
    };
    let mut tx = store.write().await.unwrap();
    instance_insert(&mut tx, &row, None).await.unwrap();
    tag_put(&mut tx, &[tag]).await.unwrap();
    tx.commit().await.unwrap();
    let copies = format!(
        "INSERT INTO instances (id, reservation_id, {COPIED})
        SELECT 'i-' || lpad(to_hex(n), 17, '0'), 'r-' || lpad(to_hex(n / 10), 17, '0'), {COPIED}
        FROM instances, generate_series(1, {ROWS}) n"
    );
    let statements = [
        copies,
        format!(
            "INSERT INTO tags (resource_id, key, value, resource_type, account_id)
            SELECT 'i-' || lpad(to_hex(n), 17, '0'), key, 'web-' || n, resource_type, account_id
            FROM tags, generate_series(1, {ROWS}) n"
        ),
        format!(
            "INSERT INTO interfaces (id, account_id, vpc_id, subnet_id, zone, mac, private_ip, instance_id,
                source_dest_check, delete_on_termination, description, created_ms)
            SELECT 'eni-' || n, account_id, vpc_id, id, zone, 'mac-' || n, 'ip-' || n, 'i-' || lpad(to_hex(n), 17, '0'),
                TRUE, TRUE, '', 1
            FROM subnets, generate_series(1, {ROWS}) n"
        ),
        "ANALYZE".to_owned(),
    ];
    for statement in statements {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *conn).await.unwrap();
    }
}

/// A text with values that few rows have, in the place of its parameters.
fn with_values(text: &str) -> String {
    let tail = text.rsplit_once("LIMIT").map_or("", |(_, tail)| tail);
    let mut out = text.to_owned();
    for at in (1..=6).rev() {
        let parameter = format!("${at}");
        let value = if tail.contains(&parameter) { "100" } else { "'i-00000000000000007'" };
        out = out.replace(&parameter, value);
    }
    out.replace("account_id = 'i-00000000000000007'", "account_id = '000000000001'")
        .replace("key = 'i-00000000000000007'", "key = 'Name'")
        .replace("terminated_ms < 'i-00000000000000007'", "terminated_ms < 7")
}

#[tokio::test]
async fn postgresql_answers_from_the_same_indexes() {
    let db = TestDb::postgres().await;
    let store = db.open().await;
    let mut conn = sqlx::PgConnection::connect(&db.url).await.unwrap();
    fill(&store, &mut conn).await;
    let mut wrong = Vec::new();
    for case in CASES.iter().filter(|case| !case.postgres.is_empty() && case.name != "OF_TAG_KEY") {
        let explain = AssertSqlSafe(format!("EXPLAIN {}", with_values(&text(case))));
        let rows = sqlx::query(explain).fetch_all(&mut conn).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get::<String, _>(0)).collect();
        let plan = plan.join("\n");
        if plan.contains("Seq Scan on in") || !case.postgres.iter().any(|index| plan.contains(index)) {
            wrong.push(format!("{} {}\n{plan}", case.name, case.tail));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    store.close().await;
}

//! The two schemas are one, and every SQL text is good on both databases.

use mallee_store::registry::{SQL_BOTH, SQL_POSTGRES, SQL_SQLITE, SqlFile};
use mallee_store::test_support::TestDb;
use mallee_store::{Exec, Store};
use sqlx::{Connection as _, Row as _};
use std::collections::{BTreeMap, BTreeSet};

async fn prepare(store: &Store, files: &[SqlFile]) -> usize {
    let mut count = 0;
    for (file, texts) in files {
        for (name, text) in *texts {
            let outcome = Exec::from(store).prepare(text).await;
            assert!(outcome.is_ok(), "{file} {name}: {outcome:?}\n{text}");
            count += 1;
        }
    }
    count
}

#[tokio::test]
async fn every_text_prepares_on_sqlite() {
    let db = TestDb::sqlite().await;
    let store = db.open().await;
    assert!(prepare(&store, SQL_BOTH).await > 100);
    assert!(prepare(&store, SQL_SQLITE).await > 0);
}

#[tokio::test]
async fn every_text_prepares_on_postgres() {
    let db = TestDb::postgres().await;
    let store = db.open().await;
    assert!(prepare(&store, SQL_BOTH).await > 100);
    assert!(prepare(&store, SQL_POSTGRES).await > 0);
}

/// Files of the crate that hold SQL texts, by reading the source.
fn files_with_sql(folder: &std::path::Path, prefix: &str, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            files_with_sql(&path, &format!("{prefix}{name}/"), found);
        } else if std::fs::read_to_string(&path).unwrap().lines().any(|line| line.trim_start().starts_with("sql! {")) {
            found.insert(format!("{prefix}{name}"));
        }
    }
}

#[test]
fn the_registry_holds_every_file_with_sql() {
    let mut found = BTreeSet::new();
    files_with_sql(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut found);
    let registered: BTreeSet<String> = SQL_BOTH.iter().map(|(file, _)| (*file).to_owned()).collect();
    assert_eq!(found, registered);
}

type Columns = BTreeMap<(String, String), (String, bool)>;

async fn sqlite_columns(db: &TestDb) -> Columns {
    let mut conn = sqlx::SqliteConnection::connect(&db.url).await.unwrap();
    let rows = sqlx::query(
        "SELECT m.name, p.name, p.type, p.\"notnull\" FROM sqlite_master m JOIN pragma_table_xinfo(m.name) p
         WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE '_sqlx%'",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    let word = |ty: &str| match ty {
        "TEXT" => "text",
        "INTEGER" => "integer",
        "BLOB" => "bytes",
        other => panic!("a column of type {other}"),
    };
    rows.iter()
        .map(|r| {
            let name: String = r.get(1);
            // An INTEGER PRIMARY KEY is never null, though SQLite does not say so.
            let required = r.get::<i64, _>(3) == 1 || name == "seq";
            ((r.get(0), name), (word(&r.get::<String, _>(2)).to_owned(), required))
        })
        .collect()
}

async fn postgres_columns(db: &TestDb) -> Columns {
    let mut conn = sqlx::PgConnection::connect(&db.url).await.unwrap();
    let rows = sqlx::query(
        "SELECT table_name::text, column_name::text, data_type::text, is_nullable::text, collation_name::text
         FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE '\\_sqlx%'",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    let word = |ty: &str| match ty {
        "text" => "text",
        "bigint" | "boolean" => "integer",
        "bytea" => "bytes",
        other => panic!("a column of type {other}"),
    };
    rows.iter()
        .map(|r| {
            let ty: String = r.get(2);
            if ty == "text" {
                assert_eq!(r.get::<Option<String>, _>(4).as_deref(), Some("C"), "text sorts as bytes");
            }
            ((r.get(0), r.get(1)), (word(&ty).to_owned(), r.get::<String, _>(3) == "NO"))
        })
        .collect()
}

#[tokio::test]
async fn both_schemas_have_the_same_columns() {
    let (sqlite, postgres) = (TestDb::sqlite().await, TestDb::postgres().await);
    sqlite.open().await;
    postgres.open().await;
    let (left, right) = (sqlite_columns(&sqlite).await, postgres_columns(&postgres).await);
    assert!(left.len() > 150);
    assert_eq!(left, right);
}

/// Names of unique indexes and primary keys, but for the log's number.
#[tokio::test]
async fn constraint_names_follow_the_rule_on_postgres() {
    let db = TestDb::postgres().await;
    db.open().await;
    let mut conn = sqlx::PgConnection::connect(&db.url).await.unwrap();
    let rows = sqlx::query(
        "SELECT i.relname::text, t.relname::text, COALESCE(string_agg(a.attname::text, '_' ORDER BY k.n), '')
         FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
         JOIN pg_namespace s ON s.oid = t.relnamespace
         CROSS JOIN LATERAL unnest(x.indkey::int2[]) WITH ORDINALITY k(attnum, n)
         LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum AND k.attnum > 0
         WHERE x.indisunique AND s.nspname = 'public' AND t.relname NOT LIKE '\\_sqlx%'
         AND x.indexprs IS NULL GROUP BY 1, 2",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    assert!(rows.len() > 40);
    for row in rows {
        let (index, table, columns): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        assert_eq!(index, format!("{table}_{columns}"));
    }
}

mallee_store::store_test_suite!(opens_twice, refuses_foreign_urls);

async fn opens_twice(db: TestDb) {
    let first = db.open().await;
    let second = db.open().await;
    assert_eq!(first.is_shared(), second.is_shared());
}

async fn refuses_foreign_urls(db: TestDb) {
    let store = db.open().await;
    for url in ["mysql://x", "sqlite::memory:", "sqlite:", "/tmp/x"] {
        let config = mallee_store::StoreConfig::new(url);
        let seal = mallee_store::SealKey::random(&db.rng).unwrap();
        let outcome = Store::open(config, store.clock().clone(), db.rng.clone(), seal).await;
        assert!(matches!(outcome, Err(mallee_store::StoreError::Config(_))), "{url}: {outcome:?}");
    }
}

//! Fresh stores for tests, on both databases.
//!
//! A test takes a [`TestDb`] and opens it as often as it likes: each handle is a replica of the cloud controller.
//! [`store_test_suite!`](crate::store_test_suite) makes each test run on both. PostgreSQL is started once per run of
//! nextest, else once per test binary (postgres.rs); where it is not installed the tests fail.

#![allow(clippy::expect_used, reason = "a test that cannot have its database fails with the reason")]

mod postgres;

use crate::{SealKey, Store, StoreConfig};
use mallee_runtime::{Clock, Rng};
use std::sync::Arc;

/// Connections a test's handle opens at most; the test server takes 400 in all.
const CONNECTIONS_MAX: u32 = 6;

/// A fresh, empty database; its file goes with the last clone.
#[derive(Debug, Clone)]
pub struct TestDb {
    /// Where it is.
    pub url: String,
    /// The clock of every handle.
    pub clock: Clock,
    /// The randomness of every handle.
    pub rng: Rng,
    seal: SealKey,
    _folder: Option<Arc<tempfile::TempDir>>,
}

impl TestDb {
    fn new(url: String, folder: Option<tempfile::TempDir>) -> Self {
        let rng = Rng::seeded(1);
        let seal = SealKey::random(&rng).expect("a seal key of random bytes");
        Self { url, clock: Clock::system(), rng, seal, _folder: folder.map(Arc::new) }
    }

    /// A fresh SQLite file.
    ///
    /// # Panics
    /// When there is no room for one.
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        Self::new(format!("sqlite:{}", folder.path().join("mallee.db").display()), Some(folder))
    }

    /// A fresh database of the test server.
    ///
    /// # Panics
    /// When PostgreSQL cannot be started; the message says what to do.
    pub async fn postgres() -> Self {
        Self::new(postgres::fresh_database().await, None)
    }

    /// Opens it.
    ///
    /// # Panics
    /// When it does not open.
    pub async fn open(&self) -> Store {
        let mut config = StoreConfig::new(&self.url);
        config.connections_max = CONNECTIONS_MAX;
        let opened = Store::open(config, self.clock.clone(), self.rng.clone(), self.seal.clone()).await;
        opened.expect("the test database opens")
    }

    /// Brings the fresh database to where an older build had it: all steps up to this one, and no row.
    ///
    /// # Panics
    /// When a step does not run.
    pub async fn migrate_to(&self, last: i64) {
        use sqlx::Connection as _;
        let steps = if self.is_postgres() { crate::migrations::postgres() } else { crate::migrations::sqlite() };
        let older = steps.iter().filter(|step| step.version <= last).cloned().collect();
        let older = sqlx::migrate::Migrator::with_migrations(older);
        let ran = if self.is_postgres() {
            older.run(&mut sqlx::PgConnection::connect(&self.url).await.expect("the server answers")).await
        } else {
            let options: sqlx::sqlite::SqliteConnectOptions = self.url.parse().expect("a path");
            let options = options.create_if_missing(true);
            older.run(&mut sqlx::SqliteConnection::connect_with(&options).await.expect("the file opens")).await
        };
        ran.expect("the older steps run");
    }

    /// Runs a statement past the store's own queries: for damage that they would not make.
    ///
    /// # Panics
    /// When the database refuses it.
    pub async fn damage(&self, statement: &'static str) {
        use sqlx::{Connection as _, Executor as _};
        let touched = if self.is_postgres() {
            let mut conn = sqlx::PgConnection::connect(&self.url).await.expect("the server answers");
            conn.execute(statement).await.expect("the statement runs").rows_affected()
        } else {
            let mut conn = sqlx::SqliteConnection::connect(&self.url).await.expect("the file opens");
            conn.execute(statement).await.expect("the statement runs").rows_affected()
        };
        assert!(touched > 0, "{statement}: touched nothing");
    }

    /// Whether several handles may write at once.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres")
    }
}

/// Runs each of these `async fn(TestDb)` on SQLite and on PostgreSQL.
#[macro_export]
macro_rules! store_test_suite {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test($crate::test_support::TestDb::sqlite().await).await })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test($crate::test_support::TestDb::postgres().await).await })*
        }
    };
}

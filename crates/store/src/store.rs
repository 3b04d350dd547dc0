//! The open database: pools, migrations, the clock and randomness that queries use.

use crate::change::IDENTITY_CHANGE;
use crate::group::Group;
use crate::seal::SealKey;
use crate::tx::{Tx, TxConn};
use crate::{StoreError, dialect, migrations};
use mallee_runtime::{Clock, Rng};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Sqlite, Transaction};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How to open a store.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// `sqlite:PATH` (made if it is not there) or `postgres://…`.
    pub url: String,
    /// Connections that read at the same time (SQLite), or connections in all (PostgreSQL).
    pub connections_max: u32,
    /// How long an operation waits for a connection, hence for the writers before it.
    pub wait_max: Duration,
    /// Make the file of an embedded database if it is not there.
    pub make: bool,
}

/// Readers of the embedded database; each keeps [`SQLITE_READ_CACHE_KIB`] at most.
const SQLITE_READERS: u32 = 4;
const PG_CONNECTIONS: u32 = 16;
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Page caches, so that an idle cloud stays small (whole budget: 80 MiB).
const SQLITE_WRITE_CACHE_KIB: u32 = 4096;
const SQLITE_READ_CACHE_KIB: u32 = 2048;
/// Rows that a connection of SQLite reads ahead of us: fewer switches between its thread and ours.
const ROWS_BUFFERED: usize = 512;
const STATEMENTS_CACHED: usize = 400;
/// A pooled reader or PostgreSQL connection that nobody needed for so long is closed.
const IDLE_MAX: Duration = Duration::from_secs(300);
const LISTEN_RETRY: Duration = Duration::from_secs(1);

impl StoreConfig {
    /// The defaults for this URL.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        let url = url.into();
        let connections_max = if url.starts_with("sqlite:") { SQLITE_READERS } else { PG_CONNECTIONS };
        Self { url, connections_max, wait_max: WAIT_MAX, make: true }
    }

    /// Of a database that must be there.
    #[must_use]
    pub fn existing(self) -> Self {
        Self { make: false, ..self }
    }
}

#[derive(Debug)]
pub(crate) enum Pools {
    /// One connection writes; its pool's queue is fair, so there is never a busy error.
    Sqlite {
        read: SqlitePool,
        write: SqlitePool,
        /// Says to others that the file is in use, until the store is closed; none: it was in use already.
        alone: Mutex<Option<File>>,
    },
    Pg(PgPool),
}

#[derive(Debug)]
struct Inner {
    pools: Pools,
    clock: Clock,
    rng: Rng,
    seal: SealKey,
    changes: watch::Sender<u64>,
    identities: Arc<AtomicU64>,
    listener: Option<tokio::task::AbortHandle>,
    group: Group,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.abort();
        }
    }
}

/// The database of the cloud. Clones are handles on the same store.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

/// Locks the file beside a database that says that it is in use; `None` if it is.
fn lock_file(database: &Path, make: bool) -> Result<Option<File>, StoreError> {
    let failed = |what: &str, path: &Path, error: std::io::Error| {
        StoreError::Config(format!("cannot {what} {}: {error}", path.display()))
    };
    if !make && !database.is_file() {
        return Err(StoreError::Config(format!("there is no database {}", database.display())));
    }
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| failed("open", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed("lock", &path, error)),
    }
}

async fn open_sqlite(path: PathBuf, config: &StoreConfig) -> Result<Pools, StoreError> {
    if path.as_os_str().is_empty() || path.as_os_str() == ":memory:" {
        return Err(StoreError::Config("the database needs a file: give sqlite:PATH".to_owned()));
    }
    let alone = Mutex::new(lock_file(&path, config.make)?);
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(config.make)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(config.wait_max)
        .row_buffer_size(ROWS_BUFFERED)
        .statement_cache_capacity(STATEMENTS_CACHED)
        .disable_statement_logging();
    let write = SqlitePoolOptions::new()
        .max_connections(1)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(config.wait_max)
        .test_before_acquire(false)
        .connect_with(options.clone().pragma("cache_size", format!("-{SQLITE_WRITE_CACHE_KIB}")))
        .await?;
    migrations::sqlite().run(&write).await?;
    let read = SqlitePoolOptions::new()
        .max_connections(config.connections_max)
        .idle_timeout(IDLE_MAX)
        .max_lifetime(None)
        .acquire_timeout(config.wait_max)
        .test_before_acquire(false)
        .connect_with(options.pragma("cache_size", format!("-{SQLITE_READ_CACHE_KIB}")).pragma("query_only", "ON"))
        .await?;
    Ok(Pools::Sqlite { read, write, alone })
}

/// Begins on a connection of this pool. After a full disk or an I/O error SQLite ends a transaction by itself; the driver
/// then fails to roll it back, and would refuse every later one on that connection: such a connection is replaced.
async fn begin_sqlite(pool: &SqlitePool, begin: &'static str) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
    for _ in 0..SQLITE_READERS {
        match pool.begin_with(begin).await {
            Err(sqlx::Error::InvalidSavePointStatement | sqlx::Error::WorkerCrashed) => {
                tracing::warn!("a connection to the database is replaced: its last transaction ended in an error");
                drop(pool.acquire().await?.detach());
            }
            begun => return begun,
        }
    }
    pool.begin_with(begin).await
}

async fn open_pg(config: &StoreConfig) -> Result<Pools, StoreError> {
    let options: PgConnectOptions = config.url.parse()?;
    let options =
        options.application_name("mallee").statement_cache_capacity(STATEMENTS_CACHED).disable_statement_logging();
    let pool = PgPoolOptions::new()
        .max_connections(config.connections_max)
        .idle_timeout(IDLE_MAX)
        .acquire_timeout(config.wait_max)
        .connect_with(options)
        .await?;
    // The migrator takes an advisory lock, so replicas that start together migrate once.
    migrations::postgres().run(&pool).await?;
    Ok(Pools::Pg(pool))
}

/// Wakes this replica when another commits changes; after a lost connection it looks by itself.
async fn listen(pool: PgPool, changes: watch::Sender<u64>, identities: Arc<AtomicU64>) {
    loop {
        if let Err(error) = listen_once(&pool, &changes, &identities).await {
            tracing::warn!(%error, "lost the change notifications of the database; listening again");
        }
        tokio::time::sleep(LISTEN_RETRY).await;
    }
}

async fn listen_once(pool: &PgPool, changes: &watch::Sender<u64>, identities: &AtomicU64) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(dialect::CHANGES_CHANNEL).await?;
    let newest: i64 = sqlx::query_scalar(crate::change::NEWEST).fetch_one(pool).await?;
    bump(changes, u64::try_from(newest).unwrap_or_default());
    // What came while nobody listened may have been one of them.
    identities.fetch_add(1, Ordering::SeqCst);
    // `try_recv` says `None` when the connection was lost: whatever came meanwhile is found by asking again.
    while let Some(notification) = listener.try_recv().await? {
        let (seq, about) = notification.payload().split_once(' ').unwrap_or((notification.payload(), ""));
        if about == IDENTITY_CHANGE {
            identities.fetch_add(1, Ordering::SeqCst);
        }
        bump(changes, seq.parse().unwrap_or_default());
    }
    Ok(())
}

fn bump(changes: &watch::Sender<u64>, seq: u64) {
    changes.send_if_modified(|newest| {
        let newer = seq > *newest;
        *newest = seq.max(*newest);
        newer
    });
}

impl Store {
    /// Opens the database, making it and bringing its tables up to date as needed.
    ///
    /// # Errors
    /// [`StoreError::Config`] for a URL that names no database we know, [`StoreError::Unavailable`] or
    /// [`StoreError::Database`] when it does not open.
    pub async fn open(config: StoreConfig, clock: Clock, rng: Rng, seal: SealKey) -> Result<Self, StoreError> {
        let pools = if let Some(path) = config.url.strip_prefix("sqlite:") {
            open_sqlite(PathBuf::from(path), &config).await?
        } else if config.url.starts_with("postgres://") || config.url.starts_with("postgresql://") {
            open_pg(&config).await?
        } else {
            return Err(StoreError::Config("the database url must be sqlite:PATH or postgres://…".to_owned()));
        };
        let (changes, identities) = (watch::Sender::new(0), Arc::new(AtomicU64::new(0)));
        let listener = match &pools {
            Pools::Sqlite { .. } => None,
            Pools::Pg(pool) => {
                Some(tokio::spawn(listen(pool.clone(), changes.clone(), identities.clone())).abort_handle())
            }
        };
        let store =
            Self(Arc::new(Inner { pools, clock, rng, seal, changes, identities, listener, group: Group::default() }));
        let newest = crate::change::changes_bounds(&store).await?.1;
        store.changes_bump(newest);
        Ok(store)
    }

    /// Begins a transaction that may write. In SQLite it waits for the writers before it, in order.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when no connection comes free in time.
    pub async fn write(&self) -> Result<Tx, StoreError> {
        let conn = match &self.0.pools {
            Pools::Sqlite { write, .. } => TxConn::Sqlite(begin_sqlite(write, "BEGIN IMMEDIATE").await?),
            Pools::Pg(pool) => TxConn::Pg(pool.begin().await?),
        };
        Ok(Tx::new(self.clone(), conn))
    }

    /// Begins a transaction that only reads: all its queries see one moment, and it stands in no writer's way.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when no connection comes free in time.
    pub async fn read(&self) -> Result<Tx, StoreError> {
        let conn = match &self.0.pools {
            Pools::Sqlite { read, .. } => TxConn::Sqlite(begin_sqlite(read, "BEGIN").await?),
            Pools::Pg(pool) => TxConn::Pg(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?),
        };
        Ok(Tx::new(self.clone(), conn))
    }

    /// The number of the newest change, updated after each commit that noted changes (on PostgreSQL: by any replica).
    #[must_use]
    pub fn watch_changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// A number that grows with every committed change of identities (users, keys, roles, policies) by any replica. What
    /// was read of them before it grew is to be read again.
    #[must_use]
    pub fn identity_version(&self) -> u64 {
        self.0.identities.load(Ordering::SeqCst)
    }

    pub(crate) fn identities_bump(&self) {
        self.0.identities.fetch_add(1, Ordering::SeqCst);
    }

    /// The store's clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The store's randomness.
    #[must_use]
    pub fn rng(&self) -> &Rng {
        &self.0.rng
    }

    /// Whether more than one replica may use this database (PostgreSQL).
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.0.pools, Pools::Pg(_))
    }

    /// Whether nobody but this store writes to its database: what it has answered may be kept.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        match &self.0.pools {
            Pools::Sqlite { alone, .. } => alone.lock().unwrap_or_else(PoisonError::into_inner).is_some(),
            Pools::Pg(_) => false,
        }
    }

    /// Waits for what runs and closes every connection (tests, orderly shutdown).
    pub async fn close(&self) {
        if let Some(listener) = &self.0.listener {
            listener.abort();
        }
        match &self.0.pools {
            Pools::Sqlite { read, write, alone } => {
                read.close().await;
                write.close().await;
                drop(alone.lock().unwrap_or_else(PoisonError::into_inner).take());
            }
            Pools::Pg(pool) => pool.close().await,
        }
    }

    pub(crate) fn pools(&self) -> &Pools {
        &self.0.pools
    }

    pub(crate) fn group(&self) -> &Group {
        &self.0.group
    }

    pub(crate) fn seal(&self) -> &SealKey {
        &self.0.seal
    }

    pub(crate) fn changes_bump(&self, seq: u64) {
        bump(&self.0.changes, seq);
    }
}

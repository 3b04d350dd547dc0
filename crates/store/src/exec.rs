//! Where a query runs: inside a transaction, or straight on the store. Each query function is written once and
//! takes either.

use crate::dialect::PgPrelude;
use crate::store::{Pools, Store};
use crate::tx::{Tx, TxConn};
use crate::value::{Arg, Record, Row, pg_arguments, sqlite_arguments};
use crate::{StoreError, dialect};
use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

/// The executor of a query: `&mut Tx` or `&Store` (both convert into it).
#[derive(Debug)]
pub enum Exec<'a> {
    /// In a transaction: sees its own writes.
    Tx(&'a mut Tx),
    /// On a connection of its own: sees what is committed.
    Store(&'a Store),
}

impl<'a> From<&'a mut Tx> for Exec<'a> {
    fn from(tx: &'a mut Tx) -> Self {
        Self::Tx(tx)
    }
}
impl<'a> From<&'a Store> for Exec<'a> {
    fn from(store: &'a Store) -> Self {
        Self::Store(store)
    }
}

/// A query's text: a constant of the registry, or one that select.rs or later.rs put together from constants.
#[derive(Debug)]
pub(crate) enum Text {
    Constant(&'static str),
    Built(String),
}
impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self::Constant(text)
    }
}
impl Text {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Constant(text) => text,
            Self::Built(text) => text,
        }
    }

    /// Built texts hold only our own constants and parameter numbers, never a value (their makers are select.rs and
    /// later.rs).
    fn into_sql(self) -> SqlStr {
        match self {
            Self::Constant(text) => text.into_sql_str(),
            Self::Built(text) => AssertSqlSafe(text).into_sql_str(),
        }
    }
}

/// Expands the body once per database and executor: `$conn` is the connection, `$args` its arguments, `$row` the
/// constructor of [`Row`].
macro_rules! on {
    ($exec:expr, $args:ident, |$conn:ident, $row:ident| $body:expr) => {
        match $exec {
            Exec::Tx(tx) => match tx.conn()? {
                TxConn::Sqlite(transaction) => {
                    let ($conn, $args) = (&mut **transaction, sqlite_arguments($args)?);
                    #[allow(unused)]
                    use Row::Sqlite as $row;
                    $body
                }
                TxConn::Pg(transaction) => {
                    let ($conn, $args) = (&mut **transaction, pg_arguments($args)?);
                    #[allow(unused)]
                    use Row::Pg as $row;
                    $body
                }
            },
            Exec::Store(store) => match store.pools() {
                Pools::Sqlite { read, .. } => {
                    let (mut pooled, $args) = (read.acquire().await?, sqlite_arguments($args)?);
                    let $conn = &mut *pooled;
                    #[allow(unused)]
                    use Row::Sqlite as $row;
                    $body
                }
                Pools::Pg(pool) => {
                    let (mut pooled, $args) = (pool.acquire().await?, pg_arguments($args)?);
                    let $conn = &mut *pooled;
                    #[allow(unused)]
                    use Row::Pg as $row;
                    $body
                }
            },
        }
    };
}

impl Exec<'_> {
    /// The same executor for one of several queries.
    #[must_use]
    pub const fn again(&mut self) -> Exec<'_> {
        match self {
            Self::Tx(tx) => Exec::Tx(tx),
            Self::Store(store) => Exec::Store(store),
        }
    }

    /// Whether the query goes to SQLite.
    pub(crate) fn is_sqlite(&self) -> bool {
        match self {
            Self::Tx(tx) => tx.is_sqlite(),
            Self::Store(store) => matches!(store.pools(), Pools::Sqlite { .. }),
        }
    }

    /// What waits in the transaction ([`Tx::later`]) is run before this query: by SQLite together with it.
    async fn after_later(&mut self, text: Text, args: Vec<Arg>) -> Result<(Text, Vec<Arg>), StoreError> {
        match self {
            Self::Tx(tx) if tx.is_sqlite() => Ok(tx.later.before(text, args)),
            Self::Tx(tx) => tx.run_later().await.map(|()| (text, args)),
            Self::Store(_) => Ok((text, args)),
        }
    }

    /// A statement that failed ends its transaction on both databases (PostgreSQL does so by itself, and then even
    /// says that the commit succeeded).
    fn settle<T>(self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let (Self::Tx(tx), Err(_)) = (self, &result) {
            tx.spoil();
        }
        result
    }

    /// Every row.
    pub(crate) async fn all<R: Record>(mut self, text: impl Into<Text>, args: Vec<Arg>) -> Result<Vec<R>, StoreError> {
        let (text, args) = self.after_later(text.into(), args).await?;
        let result = self.again().all_rows(text.into_sql(), args).await;
        self.settle(result)
    }

    async fn all_rows<R: Record>(self, sql: SqlStr, args: Vec<Arg>) -> Result<Vec<R>, StoreError> {
        on!(self, args, |conn, wrap| {
            let rows = sqlx::query_with(sql, args).fetch_all(conn).await?;
            rows.iter().map(|row| R::read(wrap(row))).collect()
        })
    }

    /// The only row, if there is one.
    pub(crate) async fn maybe<R: Record>(
        mut self,
        text: impl Into<Text>,
        args: Vec<Arg>,
    ) -> Result<Option<R>, StoreError> {
        let (text, args) = self.after_later(text.into(), args).await?;
        let result = self.again().maybe_row(text.into_sql(), args).await;
        self.settle(result)
    }

    async fn maybe_row<R: Record>(self, sql: SqlStr, args: Vec<Arg>) -> Result<Option<R>, StoreError> {
        on!(self, args, |conn, wrap| {
            let row = sqlx::query_with(sql, args).fetch_optional(conn).await?;
            row.map(|row| R::read(wrap(&row))).transpose()
        })
    }

    /// The only row; none is [`StoreError::NotFound`] with `what`.
    pub(crate) async fn one<R: Record>(
        self,
        text: impl Into<Text>,
        args: Vec<Arg>,
        what: impl std::fmt::Display,
    ) -> Result<R, StoreError> {
        self.maybe(text, args).await?.ok_or_else(|| StoreError::not_found(what))
    }

    /// Runs a statement; how many rows it touched.
    pub(crate) async fn run(mut self, text: impl Into<Text>, args: Vec<Arg>) -> Result<u64, StoreError> {
        // Not in one with what waits: the rows touched would be counted together.
        if let Self::Tx(tx) = &mut self {
            tx.run_later().await?;
        }
        self.run_now(text.into(), args).await
    }

    /// As [`Exec::run`], whatever waits in the transaction.
    pub(crate) async fn run_now(mut self, text: Text, args: Vec<Arg>) -> Result<u64, StoreError> {
        let result = self.again().run_statement(text.into_sql(), args).await;
        self.settle(result)
    }

    async fn run_statement(self, sql: SqlStr, args: Vec<Arg>) -> Result<u64, StoreError> {
        on!(self, args, |conn, wrap| Ok(sqlx::query_with(sql, args).execute(conn).await?.rows_affected()))
    }

    /// Prepares a text without running it (the registry's test).
    ///
    /// # Errors
    /// What the database says of the text.
    pub async fn prepare(self, text: &'static str) -> Result<(), StoreError> {
        use sqlx::Executor as _;
        let (sql, args) = (text.into_sql_str(), Vec::new());
        on!(self, args, |conn, wrap| {
            let _ = args;
            conn.prepare(sql).await?;
            Ok(())
        })
    }
}

impl Tx {
    /// Serialises transactions that take the same lock, until this one ends. In SQLite there is one writer anyway.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database cannot give it.
    pub async fn lock(&mut self, name: &str) -> Result<(), StoreError> {
        self.take(dialect::PG_LOCK, name).await
    }

    /// As [`Tx::lock`], but any number of transactions may hold it that take it this way.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database cannot give it.
    pub async fn lock_shared(&mut self, name: &str) -> Result<(), StoreError> {
        self.take(dialect::PG_LOCK_SHARED, name).await
    }

    async fn take(&mut self, text: &'static str, name: &str) -> Result<(), StoreError> {
        if matches!(self.conn()?, TxConn::Pg(_)) {
            let key = dialect::lock_key(name);
            Exec::Tx(self).maybe::<PgPrelude>(text, crate::macros::args![key]).await?;
        }
        Ok(())
    }
}

//! What can go wrong in the store, told apart only as far as callers act differently on it.

use sqlx::error::ErrorKind;

/// A failed store operation.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The row does not exist.
    #[error("no such row: {what}")]
    NotFound {
        /// Which row was looked for.
        what: String,
    },
    /// A unique index or primary key refused the row. The name is `<table>_<columns joined by _>` on both databases.
    #[error("the row breaks the constraint {constraint}")]
    Conflict {
        /// The constraint's name, for example `key_pairs_account_id_name`.
        constraint: String,
    },
    /// A foreign key refused: the row is still referred to, or refers to a row that is not there.
    #[error("the row is in use, or names a row that does not exist")]
    InUse,
    /// The row was changed by someone else since it was read: read it again and decide again.
    #[error("{what} was changed by someone else")]
    Stale {
        /// Which row.
        what: String,
    },
    /// Nothing is left in a pool (addresses, network identifiers).
    #[error("{what} is exhausted")]
    Exhausted {
        /// Which pool.
        what: String,
    },
    /// An earlier statement of this transaction failed: nothing of it is written.
    #[error("an earlier statement of this transaction failed")]
    Aborted,
    /// A value cannot be stored (for example a NUL character in a text on PostgreSQL).
    #[error("the value cannot be stored")]
    Invalid(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database did not answer, or gave up the transaction to let another pass: worth a retry.
    #[error("the database is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The transaction did not begin, or the database gave it up to let another pass: certainly nothing of it is written,
    /// and it is worth a retry.
    #[error("the database gave a transaction up")]
    Undone(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A stored value does not read as what it should be.
    #[error("a stored value is not readable: {what}")]
    Corrupt {
        /// Which column of which query, and why.
        what: String,
    },
    /// A sealed secret does not open: the seal key is not the one it was sealed with.
    #[error("a sealed secret does not open with this seal key; restore the key file of this state directory")]
    Sealed,
    /// The store was opened with a configuration it cannot use.
    #[error("{0}")]
    Config(String),
    /// No room on the database's disk: nothing was written.
    #[error("the disk that holds the database is full")]
    Full(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Anything else the database said.
    #[error("the database refused an operation")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// Whether the same transaction may succeed when tried again from its start.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Undone(_) | Self::Stale { .. })
    }

    /// Whether this is a violation of the named constraint.
    #[must_use]
    pub fn is_conflict(&self, name: &str) -> bool {
        matches!(self, Self::Conflict { constraint } if constraint == name)
    }

    pub(crate) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::NotFound { what: what.to_string() }
    }

    pub(crate) fn stale(what: impl std::fmt::Display) -> Self {
        Self::Stale { what: what.to_string() }
    }

    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into() }
    }
}

/// PostgreSQL: serialization failure, deadlock, lock not available. The transaction is undone, whenever they come.
const PG_UNDONE_CODES: [&str; 3] = ["40001", "40P01", "55P03"];
/// PostgreSQL: shutting down, starting up, too many connections.
const PG_RETRY_CODES: [&str; 4] = ["57P01", "57P02", "57P03", "53300"];
/// PostgreSQL: data exceptions (class 22), for example a text it cannot keep.
const PG_DATA_CLASS: &str = "22";
/// SQLite's primary codes BUSY and LOCKED, as decimal extended codes start with them.
const SQLITE_BUSY_CODES: [u32; 2] = [5, 6];
/// SQLite's primary code FULL, and PostgreSQL's DISK_FULL.
const FULL_CODES: [&str; 2] = ["13", "53100"];

/// `UNIQUE constraint failed: key_pairs.account_id, key_pairs.name` → `key_pairs_account_id_name`.
fn constraint_of_sqlite(message: &str) -> String {
    let Some((_, columns)) = message.split_once("constraint failed: ") else {
        return message.to_owned();
    };
    if let Some(name) = columns.strip_prefix("index '") {
        return name.trim_end_matches('\'').to_owned();
    }
    let mut name = String::new();
    for (nth, column) in columns.split(", ").enumerate() {
        let (table, column) = column.split_once('.').unwrap_or(("", column));
        if nth == 0 {
            name.push_str(table);
        }
        name.push('_');
        name.push_str(column);
    }
    name
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        let sqlx::Error::Database(database) = &error else {
            return match error {
                E::Io(_) | E::Tls(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed | E::BeginFailed => {
                    Self::Unavailable(Box::new(error))
                }
                E::Encode(_) => Self::Invalid(Box::new(error)),
                E::Configuration(ref why) => Self::Config(format!("cannot use this database url: {why}")),
                other => Self::Database(Box::new(other)),
            };
        };
        let code = database.code().unwrap_or_default().into_owned();
        match database.kind() {
            ErrorKind::UniqueViolation => {
                let constraint = match database.constraint() {
                    Some(name) => name.to_owned(),
                    None => constraint_of_sqlite(database.message()),
                };
                Self::Conflict { constraint }
            }
            ErrorKind::ForeignKeyViolation => Self::InUse,
            _ if FULL_CODES.contains(&code.as_str()) => Self::Full(Box::new(error)),
            _ if PG_UNDONE_CODES.contains(&code.as_str()) => Self::Undone(Box::new(error)),
            _ if PG_RETRY_CODES.contains(&code.as_str()) => Self::Unavailable(Box::new(error)),
            _ if code.len() == 5 && code.starts_with(PG_DATA_CLASS) => Self::Invalid(Box::new(error)),
            _ if code.parse::<u32>().is_ok_and(|c| code.len() < 5 && SQLITE_BUSY_CODES.contains(&(c & 0xff))) => {
                Self::Unavailable(Box::new(error))
            }
            _ => Self::Database(Box::new(error)),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::Execute(inner) => inner.into(),
            sqlx::migrate::MigrateError::VersionMissing(version) => Self::Config(format!(
                "the database has migration {version}, which this build does not know: use the newer build"
            )),
            sqlx::migrate::MigrateError::VersionMismatch(version) => Self::Config(format!(
                "migration {version} was applied with another text: use the build that made this database"
            )),
            other => Self::Database(Box::new(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::constraint_of_sqlite;

    #[test]
    fn sqlite_messages_give_the_constraints_name() {
        for (message, name) in [
            ("UNIQUE constraint failed: vpcs.vni", "vpcs_vni"),
            ("UNIQUE constraint failed: key_pairs.account_id, key_pairs.name", "key_pairs_account_id_name"),
            ("UNIQUE constraint failed: index 'security_group_rules_tuple'", "security_group_rules_tuple"),
        ] {
            assert_eq!(constraint_of_sqlite(message), name);
        }
    }
}

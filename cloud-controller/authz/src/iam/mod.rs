//! IAM's rows.

mod account;
mod policies;
mod providers;
mod roles;
mod users;

use crate::row::Row;

/// All of them.
pub(crate) const TABLES: &[&[Row]] = &[users::ROWS, roles::ROWS, policies::ROWS, providers::ROWS, account::ROWS];

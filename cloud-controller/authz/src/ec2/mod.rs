//! EC2's rows, one file per family of resources.

mod gateways;
mod images;
mod instances;
mod launch;
mod lists;
mod network;
mod storage;

use crate::row::Row;

/// All of them.
pub(crate) const TABLES: &[&[Row]] =
    &[instances::ROWS, launch::ROWS, images::ROWS, network::ROWS, gateways::ROWS, storage::ROWS, lists::ROWS];

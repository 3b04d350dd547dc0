//! The audit trail's index in the database: made from the files, asked by `LookupEvents`.

mod index;
mod lookup;

pub use index::{forget, index};
pub use lookup::{Attribute, LookupPage, LookupQuery, lookup};

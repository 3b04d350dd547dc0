//! Durability, shown: a server that is killed, whose disk fails, fills up or loses what was not synced, and whose files
//! are damaged. What it acknowledged is there afterwards, whole; what it did not acknowledge is there whole or not at
//! all; and nothing is left behind. `docs/operations.md` says how to run the long forms.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, reason = "the clients are threads of their own, and wait as such")]

mod client;
mod faults;
mod full;
mod history;
mod kill;
mod relaxed;
mod replay;
mod rest;
mod server;
mod value;

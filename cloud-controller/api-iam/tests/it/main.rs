//! IAM over a real database: what a client sees, as XML.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it should be")]

mod accounts;
mod credentials;
mod fixture;
mod policies;
mod roles;
mod users;

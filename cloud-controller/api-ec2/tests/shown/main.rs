//! Instances as they are described, on both databases.

#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it should be")]

mod found;
mod kept;
mod world;

//! The background work over a database: stopped at every point, and taken over by another process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod lifecycle;
mod notify;
mod replicate;
mod world;

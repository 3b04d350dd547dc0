//! The engine's tests, on both databases.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cloned_ref_to_slice_refs,
    clippy::manual_is_multiple_of,
    reason = "a test fails by panicking, and reads better plain"
)]

mod engine;
mod survive;

//! The one binary: every tier in one process (`mallee up`), one tier alone, and the commands that ask a running cloud.

pub mod blobs;
mod data_keys;
pub mod down;
pub mod flows;
pub mod metrics;
pub mod pool_v6;
pub mod s3_hosts;
pub mod s3_jobs;
pub mod state;
pub mod switches;
pub mod tier;
pub mod up;

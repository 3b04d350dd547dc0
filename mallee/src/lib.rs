//! The one binary: every tier in one process (`mallee up`), one tier alone, and the commands that ask a running cloud.

mod data_keys;
pub mod down;
pub mod state;
pub mod switches;
pub mod tier;
pub mod up;

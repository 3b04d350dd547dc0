//! Instances: launch, change, describe, status, attributes, console.

mod attribute;
mod change;
mod describe;
mod filters;
mod network;
mod options;
pub(crate) mod run;
mod shape;
mod status;
#[cfg(test)]
mod testing;

//! Instances: launch, change, describe, status, attributes, console.

mod attribute;
mod change;
mod describe;
mod filters;
mod network;
mod options;
mod run;
mod shape;
mod shown;
mod status;
#[cfg(test)]
mod testing;

pub(crate) use shown::ShownCache;

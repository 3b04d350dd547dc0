//! Instances: launch, change, describe, status, attributes, console.

mod attribute;
mod change;
mod console;
pub(crate) mod credits;
mod describe;
mod events;
mod filters;
mod image_metadata;
mod modify;
mod network;
mod options;
pub(crate) mod run;
mod search;
mod settings;
mod shape;
mod shown;
mod status;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use shown::ShownCache;
pub(crate) use status::impaired;

//! Instances: launching, changing, observing, describing, forgetting.

pub mod apply;
pub mod ask;
pub mod console;
pub mod credentials;
pub mod identity;
pub mod lifecycle;
pub mod metadata_defaults;
pub mod modify;
pub mod observe;
mod placement;
pub mod profile;
pub mod purge;
pub mod run;
pub mod types;
pub mod view;

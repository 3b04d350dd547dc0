//! Instances: launching, changing, observing, describing, forgetting.

pub mod apply;
pub mod console;
pub mod lifecycle;
pub mod observe;
mod placement;
pub mod purge;
pub mod run;
pub mod view;

//! Instances: launching, changing, observing, describing, forgetting.

pub mod apply;
pub mod console;
pub mod lifecycle;
pub mod observe;
pub mod profile;
pub mod purge;
pub mod run;
pub mod view;

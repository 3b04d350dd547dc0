//! The whole cloud, from the HTTP port to the simulated hosts: its life, and what becomes of it when anything fails.

mod crew;
mod drivers;
mod fleets;
mod hosts;
mod lifecycle;
mod partition;
mod placement;
mod points;
mod processes;
mod random;
mod storm;
mod strays;
mod templates;

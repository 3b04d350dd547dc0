//! The whole cloud, from the HTTP port to the simulated hosts: its life, and what becomes of it when anything fails.

mod accounts;
mod capacity;
mod crew;
mod dedicated;
mod dhcp_options;
mod drivers;
mod events;
mod fleets;
mod hosts;
mod lifecycle;
mod meetings;
mod partition;
mod placement;
mod points;
mod processes;
mod quotas;
mod random;
mod roles;
mod routes;
mod sdk;
mod spot;
mod storm;
mod strays;
mod templates;
mod tokens;
mod trail;

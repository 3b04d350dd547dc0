//! Spot instances: requests, their prices, and the market options of a launch.

mod describe;
pub(crate) mod market;
mod prices;
mod request;

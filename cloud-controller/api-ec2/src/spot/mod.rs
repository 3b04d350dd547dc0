//! Spot instances: requests, their prices, and the market options of a launch.

pub(crate) mod market;

//! Attributes of instances, images and types, ids, rules of groups: what a client sees, as XML, with two accounts where
//! permissions matter.

#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it should be")]

mod addresses;
mod dhcp_options;
mod egress_only;
mod fixture;
mod flow_logs;
mod identity;
mod insights;
mod instances;
mod interface_ipv6;
mod interfaces;
mod ipv6_rules;
mod launch_interfaces;
mod nat_addresses;
mod nat_gateways;
mod network_acls;
mod others;
mod prefix_lists;
mod prefix_lists_ipv6;
mod routes;
mod snapshots;
mod subnet_ipv6;
mod transit;
mod vpc_blocks;
mod vpc_ipv6;
mod vpc_peerings;
mod vpcs;

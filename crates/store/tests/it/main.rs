//! The store's tests; each runs on SQLite and on PostgreSQL.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cloned_ref_to_slice_refs,
    clippy::manual_is_multiple_of,
    reason = "a test fails by panicking, and reads better plain"
)]

mod account_end;
mod addresses;
mod alone;
mod audit;
mod capacity;
mod changes;
mod dhcp_options;
mod elastic_ips;
mod events;
mod flow_logs;
mod groups;
mod iam;
mod identity;
mod insights;
mod instances;
mod interface_ipv6;
mod interfaces;
mod later;
mod launch_templates;
mod nat_gateways;
mod network_acls;
mod placement_groups;
mod plans;
mod prefix_lists;
mod quotas;
mod races;
mod resources;
mod routes;
mod s3;
mod s3_migration;
mod s3_support;
mod s3_usage;
mod s3_versions;
mod schema;
mod seed;
mod sessions;
mod spot;
mod subnet_ipv6_cidrs;
mod transit;
mod vpc_cidrs;
mod vpc_ipv6_cidrs;
mod vpc_peerings;
mod vpcs;

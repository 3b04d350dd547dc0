//! The steps that bring a database's tables up to date, in order. A step that has been released is never edited: a
//! change is a new step, one file in each of `migrations/sqlite` and `migrations/postgres` and one line here.

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

macro_rules! steps {
    ($($version:literal $name:literal;)*) => {
        /// The steps of a SQLite database.
        pub(crate) fn sqlite() -> Migrator {
            migrator(vec![$(step($version, $name, include_str!(concat!("../migrations/sqlite/", $name, ".sql")))),*])
        }
        /// The steps of a PostgreSQL database.
        pub(crate) fn postgres() -> Migrator {
            migrator(vec![$(step($version, $name, include_str!(concat!("../migrations/postgres/", $name, ".sql")))),*])
        }
    };
}

steps! {
    1 "0001_initial";
    2 "0002_iam";
    3 "0003_identity";
    4 "0004_launch";
    5 "0005_attributes";
    7 "0007_instance_versions";
    8 "0008_sessions";
    10 "0010_audit";
    11 "0011_capacity";
    12 "0012_spot";
    13 "0013_fleet";
    14 "0014_quota";
    15 "0015_sts";
    16 "0016_trail";
    17 "0017_events";
    18 "0018_search";
    19 "0019_s3";
    20 "0020_s3_owners";
    21 "0021_kms";
    22 "0022_s3_jobs";
    23 "0023_damage";
    25 "0025_s3_replication";
    26 "0026_hold_known";
    29 "0029_outbox_due";
    40 "0040_vpc";
    41 "0041_network_acl";
    42 "0042_dhcp_options";
    43 "0043_vpc_cidrs";
    44 "0044_prefix_lists";
    45 "0045_interfaces";
    46 "0046_groups_over_peerings";
    47 "0047_vpc_peering";
    48 "0048_flow_logs";
    49 "0049_nat_gateways";
    50 "0050_vpc_ipv6_cidrs";
    51 "0051_subnet_ipv6_cidrs";
    52 "0052_interface_ipv6_addresses";
    53 "0053_insights";
    54 "0054_nat_addresses";
    55 "0055_flow_log_tails";
    56 "0056_transit";
    57 "0057_egress_only_gateways";
    60 "0060_prefix_list_family";
}

fn step(version: i64, name: &'static str, text: &'static str) -> Migration {
    // The name after its number.
    let description = name.split_once('_').map_or(name, |(_, rest)| rest);
    Migration::new(version, description.into(), MigrationType::Simple, text.into_sql_str(), false)
}

fn migrator(steps: Vec<Migration>) -> Migrator {
    Migrator::with_migrations(steps)
}

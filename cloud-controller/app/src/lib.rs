//! The cloud controller's use cases: what an API call means, without the wire.
//!
//! [`Cloud`] is what every use case works on; [`OpContext`] says for whom. A mutating use case is one transaction.

pub mod acls;
pub mod addresses;
pub mod audit;
pub mod authorize;
pub mod bootstrap;
pub mod capacity;
pub mod check;
mod cloud;
pub mod cluster_link;
mod context;
pub mod dhcp;
pub mod events;
pub mod fail;
pub mod fleets;
pub mod flow_logs;
pub mod groups;
pub mod iam;
pub mod ids;
pub mod images;
pub mod insights;
pub mod instances;
pub mod interfaces;
pub mod keeper;
pub mod keys;
pub mod launch_templates;
pub mod load;
pub mod nat_gateways;
pub mod network;
pub mod once;
pub mod operation;
pub mod peerings;
pub mod placement_groups;
pub mod prefix_lists;
pub mod quotas;
pub mod routes;
pub mod spot;
pub mod sts;
pub mod tags;
#[cfg(feature = "test-support")]
pub mod test_support;
pub mod trails;
pub mod transit;
pub mod usage;
mod zone;

pub use cloud::{Cloud, CloudConfig, Parts, ZONE_ID_PREFIX};
pub use context::{Actor, Maker, OpContext, RequestFacts, Session};
pub use zone::ZoneState;

//! EC2's handlers: from the wire's requests to use cases and back.
//!
//! One file per resource. A handler takes its request apart without `..`, so that every parameter is either honoured
//! or refused by name; [`OFFERED`] lists what this cloud offers, every other operation of the API is refused as such.

mod addresses;
mod capacity;
mod catalog;
mod common;
mod dhcp_options;
mod dispatch;
mod egress_only_gateways;
pub mod filter;
mod fleets;
mod flow_logs;
mod groups;
mod hosts;
mod id_format;
mod image_attributes;
mod images;
mod insights;
mod instance_types;
mod instances;
mod interface_attributes;
mod interface_changes;
mod interfaces;
mod internet_gateways;
mod ipv6;
mod keys;
mod nat_addresses;
mod nat_gateways;
mod network_acls;
pub mod page;
mod placement_groups;
mod prefix_lists;
mod profiles;
mod route_tables;
mod spot;
mod subnets;
mod tags;
mod templates;
mod transit;
mod vpc_peerings;
mod vpcs;

pub use dispatch::OFFERED;
pub use instance_types::EXTENSIONS;

use common::Look;
use instances::ShownCache;
use ipv6::Ipv6;
use mallee_app::authorize::Service;
use mallee_app::{Cloud, OpContext};
use mallee_awswire::{ApiError, Params};
use mallee_ec2_types::ec2::Ec2Request;
use mallee_store::Store;
use std::sync::Arc;

/// The EC2 service over a cloud.
#[derive(Debug, Clone)]
pub struct Ec2Api {
    cloud: Arc<Cloud>,
    /// Instances as they were shown last.
    shown: Arc<ShownCache>,
}

impl Ec2Api {
    /// The service.
    #[must_use]
    pub fn new(cloud: Arc<Cloud>) -> Self {
        Self { cloud, shown: Arc::default() }
    }

    /// Answers one call: the whole XML reply.
    ///
    /// # Errors
    /// EC2's, in EC2's words.
    pub async fn call(&self, cx: &OpContext, action: &str, params: &Params) -> Result<String, ApiError> {
        if let Some(answer) = Box::pin(self.extension(cx, action, params)).await {
            return answer;
        }
        let request = Ec2Request::parse(action, params)?;
        self.cloud.authorize(cx, Service::Ec2, action, params).await?;
        // Boxed: the future of all handlers is as large as the largest.
        Box::pin(dispatch::dispatch(self, cx, params, request)).await
    }

    fn store(&self) -> &Store {
        self.cloud.store()
    }

    /// Whether this cloud gives IPv6 addresses.
    fn ipv6(&self) -> Ipv6 {
        if self.cloud.config().public_pool_v6.is_some() { Ipv6::Given } else { Ipv6::None }
    }

    fn look(&self) -> Look<'_> {
        Look { region: &self.cloud.config().region, zones: self.cloud.zones() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_may_move_between_threads() {
        fn is_send<T: Send>(_: impl FnOnce(&'static Ec2Api, &'static OpContext, &'static Params) -> T) {}
        is_send(|api, cx, params| api.call(cx, "DescribeInstances", params));
    }
}

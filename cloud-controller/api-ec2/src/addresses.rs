//! Elastic addresses. None can be allocated yet, so no account has any: descriptions are truly empty.

use crate::Ec2Api;
use crate::common::{dry_run, filters};
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::{DescribeAddressesRequest, DescribeAddressesResult};
use std::net::Ipv4Addr;

/// What DescribeAddresses filters by.
const FILTERS: [&str; 10] = [
    "allocation-id",
    "association-id",
    "instance-id",
    "network-border-group",
    "network-interface-id",
    "network-interface-owner-id",
    "private-ip-address",
    "public-ip",
    "tag-key",
    "domain",
];

impl Ec2Api {
    #[allow(clippy::unused_self, reason = "all handlers have one shape")]
    pub(crate) fn describe_addresses(&self, r: DescribeAddressesRequest) -> Result<DescribeAddressesResult, ApiError> {
        let DescribeAddressesRequest { allocation_ids, dry_run: dry, filters: wanted, public_ips } = r;
        filters(&wanted, &FILTERS)?;
        dry_run(dry)?;
        if let Some(address) = public_ips.first() {
            return Err(match address.parse::<Ipv4Addr>() {
                Ok(_) => Code::InvalidAddressNotFound.with(&[address]),
                Err(_) => Code::InvalidAddressMalformed.with(&[address]),
            });
        }
        match allocation_ids.first() {
            Some(id) => Err(Code::InvalidAllocationIdNotFound.with(&[id])),
            None => Ok(DescribeAddressesResult { addresses: Vec::new() }),
        }
    }
}

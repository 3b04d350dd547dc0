//! VPCs and their subnets: looking them up, and the names that their addresses have.

pub(crate) mod blocks;
pub(crate) mod check;
mod default;
mod ipv6;
mod make;
mod subnet_ipv6;
mod subnets;
mod vpcs;

pub use blocks::{TakenBlock, first_association};
pub use subnet_ipv6::SubnetChange;
pub use subnets::NewSubnet;
pub use vpcs::VpcChange;

use crate::fail::OrFail as _;
use crate::{Cloud, OpContext};
use ipnet::Ipv4Net;
use mallee_awswire::{ApiError, Code};
use mallee_store::{SubnetRow, VpcRow, subnet_default, subnet_list, vpc_default, vpc_list};
use mallee_types::{SubnetId, VpcId, ZoneName};
use std::net::Ipv4Addr;

/// EC2's resource type for tags of a VPC.
pub const TAG_KIND: &str = "vpc";
/// EC2's resource type for tags of a subnet.
pub const SUBNET_TAG_KIND: &str = "subnet";

/// The zones for which accounts had their default networks made, in the database's settings.
const DEFAULT_ZONES_SETTING: &str = "default_network_zones";
/// Blocks of VPCs and subnets have from so many leading bits to so many, as on AWS.
const PREFIXES: std::ops::RangeInclusive<u8> = 16..=28;
/// Addresses that mean something else to every host, so that no VPC can have them.
const RESERVED: [Ipv4Net; 4] = [
    Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 8),
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 3),
];

fn overlap(one: &Ipv4Net, other: &Ipv4Net) -> bool {
    one.contains(other) || other.contains(one)
}

/// A block as a request gives it, in its canonical form.
fn block(parameter: &str, text: &str, out_of_range: Code) -> Result<Ipv4Net, ApiError> {
    let clipped = mallee_awswire::texts::clip(text);
    let net: Ipv4Net = text.parse().map_err(|_| {
        Code::InvalidParameterValue
            .message(format!("Value ({clipped}) for parameter {parameter} is invalid. This is not a valid CIDR block."))
    })?;
    if !PREFIXES.contains(&net.prefix_len()) {
        return Err(out_of_range.with(&[&clipped]));
    }
    Ok(net.trunc())
}

/// The name that DNS gives instances of a region: `ip-10-0-0-1.REGION.compute.internal`.
#[must_use]
pub fn dns_domain(region: &str) -> String {
    format!("{region}.compute.internal")
}

/// An address's private name.
#[must_use]
pub fn private_dns_name(address: Ipv4Addr, region: &str) -> String {
    let [a, b, c, d] = address.octets();
    format!("ip-{a}-{b}-{c}-{d}.{}", dns_domain(region))
}

/// A public address's name.
#[must_use]
pub fn public_dns_name(address: Ipv4Addr, region: &str) -> String {
    let [a, b, c, d] = address.octets();
    format!("ec2-{a}-{b}-{c}-{d}.{region}.compute.internal")
}

impl Cloud {
    /// The account's default VPC.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn default_vpc(&self, cx: &OpContext) -> Result<Option<VpcRow>, ApiError> {
        vpc_default(self.store(), cx.account()).await.or_fail()
    }

    pub(crate) async fn require_default_vpc(&self, cx: &OpContext) -> Result<VpcRow, ApiError> {
        self.default_vpc(cx).await?.ok_or_else(|| {
            Code::VpcIdNotSpecified
                .message("No default VPC for this user. GroupName is only supported for EC2-Classic and default VPC.")
        })
    }

    /// The VPC of this id.
    ///
    /// # Errors
    /// EC2's for an id that is none, and for a VPC that is not there.
    pub async fn find_vpc(&self, cx: &OpContext, id: &str) -> Result<VpcRow, ApiError> {
        let id: VpcId = crate::ids::parse_id(id, Code::InvalidVpcIdMalformed)?;
        let found =
            vpc_list(self.store(), cx.account(), Some(std::slice::from_ref(&id)), None, 1).await.or_fail()?.pop();
        found.ok_or_else(|| Code::InvalidVpcIdNotFound.with(&[id.as_str()]))
    }

    /// The subnet of this id.
    ///
    /// # Errors
    /// EC2's for an id that is none, and for a subnet that is not there.
    pub async fn find_subnet(&self, cx: &OpContext, id: &str) -> Result<SubnetRow, ApiError> {
        let id: SubnetId = crate::ids::parse_id(id, Code::InvalidSubnetIdMalformed)?;
        let ids = Some(std::slice::from_ref(&id));
        let found = subnet_list(self.store(), cx.account(), ids, None, None, 1).await.or_fail()?.pop();
        found.ok_or_else(|| Code::InvalidSubnetIdNotFound.with(&[id.as_str()]))
    }

    /// The account's default subnet in a zone.
    ///
    /// # Errors
    /// `MissingInput` when there is none, `VPCIdNotSpecified` without a default VPC.
    pub(crate) async fn require_default_subnet(&self, cx: &OpContext, zone: &ZoneName) -> Result<SubnetRow, ApiError> {
        self.require_default_vpc(cx).await?;
        subnet_default(self.store(), cx.account(), zone).await.or_fail()?.ok_or_else(|| {
            Code::MissingInput
                .message(format!("No default subnet for availability zone '{zone}'. Please specify a subnet."))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_canonical_and_of_some_sizes() {
        let read = |text: &str| block("cidrBlock", text, Code::InvalidVpcRange);
        assert_eq!(read("100.68.0.18/18").unwrap(), "100.68.0.0/18".parse().unwrap());
        assert_eq!(read("10.0.0.0/15").unwrap_err().message(), "The CIDR '10.0.0.0/15' is invalid.");
        assert_eq!(read("10.0.0.0/29").unwrap_err().code(), Code::InvalidVpcRange);
        for text in ["", "10.0.0.0", "10.0.0.0/33", "fd00::/56", "x"] {
            assert_eq!(read(text).unwrap_err().code(), Code::InvalidParameterValue, "{text}");
        }
    }

    #[test]
    fn blocks_overlap_whichever_is_the_larger() {
        let net = |text: &str| -> Ipv4Net { text.parse().unwrap() };
        assert!(overlap(&net("10.0.0.0/16"), &net("10.0.255.0/24")));
        assert!(overlap(&net("10.0.255.0/24"), &net("10.0.0.0/16")));
        assert!(!overlap(&net("10.0.0.0/24"), &net("10.0.1.0/24")));
    }
}

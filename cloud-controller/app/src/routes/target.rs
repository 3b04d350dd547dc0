//! Where routes may lead, by what they are for.

use mallee_awswire::{ApiError, Code};
use mallee_store::RouteDestination;
use mallee_types::PrefixListId;
use std::collections::BTreeSet;

/// Where a route is to lead.
#[derive(Debug, Clone)]
pub enum RouteTarget {
    /// To the world, by this gateway.
    InternetGateway(String),
    /// To the world, for what the VPC begins, by this gateway: of IPv6 only.
    EgressOnlyGateway(String),
    /// To the VPC at the other end of this peering connection.
    Peering(String),
    /// To the instance that this interface is attached to.
    Interface(String),
    /// To the world, or to other networks, by this NAT gateway.
    NatGateway(String),
    /// To where the tables of this transit gateway lead the VPC.
    TransitGateway(String),
    /// To this instance, by its only interface.
    Instance(String),
    /// To the VPC itself, as its own blocks always do.
    Local,
}

impl RouteTarget {
    /// Whether it may take the place of a local route, or of a part of one.
    pub(super) const fn is_within(&self) -> bool {
        match self {
            Self::Interface(_) | Self::Instance(_) | Self::NatGateway(_) => true,
            Self::InternetGateway(_)
            | Self::EgressOnlyGateway(_)
            | Self::Peering(_)
            | Self::TransitGateway(_)
            | Self::Local => false,
        }
    }

    /// Whether it takes packets for such a destination at all.
    pub(super) fn fits(&self, to: &Led) -> Result<(), ApiError> {
        match self {
            Self::EgressOnlyGateway(_) if !to.six => Err(Code::InvalidParameterValue.message(
                "An egress-only internet gateway leads IPv6 only: give the parameter destinationIpv6CidrBlock, or \
                 destinationPrefixListId of a prefix list of IPv6.",
            )),
            Self::Interface(_) | Self::Instance(_) | Self::NatGateway(_) | Self::TransitGateway(_) if to.six => {
                Err(ApiError::unsupported_parameter(match to.destination.list() {
                    Some(_) => "DestinationPrefixListId of a prefix list of IPv6 for this kind of target",
                    None => "DestinationIpv6CidrBlock for this kind of target",
                }))
            }
            _ => Ok(()),
        }
    }
}

/// What a route is for.
pub(super) struct Led {
    /// In its canonical form.
    pub(super) destination: RouteDestination,
    /// Of IPv6. What a prefix list is of, it is for ever.
    pub(super) six: bool,
}

impl Led {
    /// The lists that are to be held for it.
    pub(super) fn lists(&self) -> BTreeSet<PrefixListId> {
        self.destination.list().cloned().into_iter().collect()
    }
}

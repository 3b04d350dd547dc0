//! EC2-style ids as newtypes: a kind's prefix, a dash, 17 (or, from old clients, 8) lower-case hex digits.

use std::fmt;
use std::str::FromStr;

/// Why a text is no id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid id {text:?} (expecting \"{prefix}-...\")")]
pub struct IdError {
    /// What was given (cut to a length that is safe to log).
    pub text: String,
    /// The prefix the kind wants, without the dash.
    pub prefix: &'static str,
}

/// Longest id text that is looked at; longer ones are refused unread.
pub const ID_TEXT_MAX: usize = 64;

fn hex_tail_is_valid(tail: &str) -> bool {
    matches!(tail.len(), 8 | 17) && tail.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The prefix of this kind, without the dash.
            pub const PREFIX: &'static str = $prefix;

            /// Makes a fresh 17-digit id from 68 random bits (the upper 60 of `random` are ignored).
            #[must_use]
            pub fn from_random(random: u128) -> Self {
                Self(format!("{}-{:017x}", $prefix, random & ((1u128 << 68) - 1)).into())
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str { &self.0 }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                match text.strip_prefix(concat!($prefix, "-")) {
                    Some(tail) if hex_tail_is_valid(tail) => Ok(Self(text.into())),
                    _ => Err(IdError { text: text.chars().take(ID_TEXT_MAX).collect(), prefix: $prefix }),
                }
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> { text.parse() }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String { id.0.into() }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str { &self.0 }
        }
    )*};
}

ids! {
    /// A virtual machine.
    InstanceId = "i";
    /// The set of instances one RunInstances call made.
    ReservationId = "r";
    /// A registered image.
    ImageId = "ami";
    /// A key pair.
    KeyPairId = "key";
    /// A security group.
    GroupId = "sg";
    /// One rule of a security group.
    GroupRuleId = "sgr";
    /// A virtual private cloud.
    VpcId = "vpc";
    /// A VPC's having a block of addresses.
    VpcCidrAssociationId = "vpc-cidr-assoc";
    /// A subnet of a VPC.
    SubnetId = "subnet";
    /// A subnet's having an IPv6 block.
    SubnetCidrAssociationId = "subnet-cidr-assoc";
    /// A way between a VPC and the world.
    InternetGatewayId = "igw";
    /// A way of IPv6 from a VPC to the world, by which the world begins nothing.
    EgressOnlyGatewayId = "eigw";
    /// A flow log.
    FlowLogId = "fl";
    /// A path to analyse for reachability.
    InsightsPathId = "nip";
    /// An analysis of such a path.
    InsightsAnalysisId = "nia";
    /// A set of DHCP options.
    DhcpOptionsId = "dopt";
    /// A route table.
    RouteTableId = "rtb";
    /// A NAT gateway.
    NatGatewayId = "nat";
    /// A VPC peering connection.
    VpcPeeringId = "pcx";
    /// A transit gateway.
    TransitGatewayId = "tgw";
    /// A VPC's being attached to a transit gateway.
    TransitAttachmentId = "tgw-attach";
    /// A route table of a transit gateway.
    TransitTableId = "tgw-rtb";
    /// A prefix list.
    PrefixListId = "pl";
    /// A subnet's having a route table, or a VPC's main one.
    RouteAssociationId = "rtbassoc";
    /// A network ACL.
    NetworkAclId = "acl";
    /// A subnet's having a network ACL.
    NetworkAclAssociationId = "aclassoc";
    /// A network interface.
    InterfaceId = "eni";
    /// An instance's having an instance profile.
    ProfileAssociationId = "iip-assoc";
    /// The attachment of a network interface to an instance.
    AttachmentId = "eni-attach";
    /// An elastic IP address allocation.
    AllocationId = "eipalloc";
    /// The association of an address with an interface.
    AddressId = "eipassoc";
    /// A launch template.
    LaunchTemplateId = "lt";
    /// A placement group.
    PlacementGroupId = "pg";
    /// A reservation of capacity for instances still to come.
    CapacityReservationId = "cr";
    /// A dedicated host.
    HostId = "h";
    /// A fleet of instances.
    FleetId = "fleet";
    /// A request for a spot instance.
    SpotRequestId = "sir";
    /// A scheduled event of an instance.
    InstanceEventId = "instance-event";
    /// A volume.
    VolumeId = "vol";
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $max:literal, $what:literal, $ok:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);
        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str { &self.0 }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let ok: fn(&str) -> bool = $ok;
                if text.len() <= $max && ok(text) { Ok(Self(text.into())) }
                else { Err(IdError { text: text.chars().take(ID_TEXT_MAX).collect(), prefix: $what }) }
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> { text.parse() }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String { id.0.into() }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str { &self.0 }
        }
    )*};
}

fn is_dns_label_like(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

names! {
    /// An account: 12 digits.
    AccountId, 12, "account (12 digits)", |t| t.len() == 12 && t.bytes().all(|b| b.is_ascii_digit());
    /// A node's name in the cluster: lower-case letters, digits, dash, dot.
    NodeId, 63, "node name", is_dns_label_like;
    /// An availability zone, for example `local-1a`.
    ZoneName, 32, "availability zone", is_dns_label_like;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_written() {
        let id = InstanceId::from_random(u128::MAX);
        assert_eq!(id.as_str(), "i-fffffffffffffffff");
        assert_eq!(id.as_str().parse::<InstanceId>(), Ok(id));
        assert!("i-0123abcd".parse::<InstanceId>().is_ok());
    }

    #[test]
    fn a_foreign_or_broken_id_is_refused() {
        for bad in ["", "i-", "i-xyz", "vol-0123abcd", "i-0123ABCD", "i-0123abc", "i-0123abcd\0", "eni-attach-0123abcd"]
        {
            assert!(bad.parse::<InstanceId>().is_err(), "{bad:?} was taken");
        }
        assert!("12345678901".parse::<AccountId>().is_err());
        assert!("Node".parse::<NodeId>().is_err());
        assert!("node-1.rack-2".parse::<NodeId>().is_ok());
    }
}

//! Names of everything we make. A name is a pure function of the prefix and an id, so that a restarted daemon finds
//! its things again, and everything ours can be told from what is not.

use ring::digest::{SHA256, digest};

/// Hex digits of an id's hash in a device or namespace name (40 bits).
const ID_HEX: usize = 10;
/// Longest prefix: a namespace name stays short enough to read.
pub const MAX_PREFIX: usize = 32;

fn hash(text: &str, digits: usize) -> String {
    let mut hex = hex::encode(digest(&SHA256, text.as_bytes()));
    hex.truncate(digits);
    hex
}

fn is_hash(text: &str) -> bool {
    text.len() == ID_HEX && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Makes names with one prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    prefix: String,
    tag: String,
}

impl Names {
    /// Names for a cloud with this prefix.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), tag: hash(prefix, 2) }
    }

    /// The namespace of a VPC.
    #[must_use]
    pub fn vpc_ns(&self, vpc_id: &str) -> String {
        format!("{}-{}", self.prefix, hash(vpc_id, ID_HEX))
    }

    /// The namespace between the VPCs and the host.
    #[must_use]
    pub fn edge_ns(&self) -> String {
        format!("{}-edge", self.prefix)
    }

    /// The namespace of the NAT gateway behind an interface.
    #[must_use]
    pub fn nat_ns(&self, interface_id: &str) -> String {
        format!("{}-n{}", self.prefix, hash(interface_id, ID_HEX))
    }

    fn own<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix('-'))
    }

    /// Whether a namespace is one of ours.
    #[must_use]
    pub fn is_ours_ns(&self, name: &str) -> bool {
        self.is_nat_ns(name) || self.own(name).is_some_and(|rest| rest == "edge" || is_hash(rest))
    }

    /// Whether it is that of a NAT gateway of ours.
    #[must_use]
    pub fn is_nat_ns(&self, name: &str) -> bool {
        self.own(name).and_then(|rest| rest.strip_prefix('n')).is_some_and(is_hash)
    }

    /// The port of an interface (14 characters; the kernel allows 15).
    #[must_use]
    pub fn tap(&self, interface_id: &str) -> String {
        format!("{}{}", self.tap_start(), hash(interface_id, ID_HEX))
    }

    /// What every port's name starts with: `mt` and two digits of the prefix's hash.
    #[must_use]
    pub fn tap_start(&self) -> String {
        format!("mt{}", self.tag)
    }

    /// The guest's end of a veth port ([`crate::PortKind::Veth`]).
    #[must_use]
    pub fn veth_peer(&self, interface_id: &str) -> String {
        format!("mg{}{}", self.tag, hash(interface_id, ID_HEX))
    }

    /// What every veth peer's name starts with.
    #[must_use]
    pub fn veth_peer_start(&self) -> String {
        format!("mg{}", self.tag)
    }

    /// The host's end of the one pair between host and edge.
    #[must_use]
    pub fn host_link(&self) -> String {
        format!("mup{}", self.tag)
    }

    /// The edge's end of a VPC's pair (the other end is `igw`).
    #[must_use]
    pub fn edge_link(&self, vpc_id: &str) -> String {
        format!("v{}", hash(vpc_id, ID_HEX))
    }

    /// Both ends of a peering connection's pair, each in the namespace of a VPC.
    #[must_use]
    pub fn peering(&self, peering_id: &str) -> String {
        format!("{}{}", self.peering_start(), hash(peering_id, ID_HEX))
    }

    /// What every such name starts with.
    #[must_use]
    pub fn peering_start(&self) -> String {
        format!("mp{}", self.tag)
    }

    /// The device on the overlay at which packets arrive that routes lead to this interface.
    #[must_use]
    pub fn hop(&self, interface_id: &str) -> String {
        format!("{}{}", self.hop_start(), hash(interface_id, ID_HEX))
    }

    /// What every such name starts with.
    #[must_use]
    pub fn hop_start(&self) -> String {
        format!("mh{}", self.tag)
    }

    /// The devices through which passes what comes by a port, and what goes out by it, where its bandwidth is limited.
    #[must_use]
    pub fn shapers(&self, tap: &str) -> [String; 2] {
        let rest = tap.strip_prefix(&self.tap_start()).unwrap_or(tap);
        self.shaper_starts().map(|start| format!("{start}{rest}"))
    }

    /// What every such name starts with.
    #[must_use]
    pub fn shaper_starts(&self) -> [String; 2] {
        ["mi", "mo"].map(|start| format!("{start}{}", self.tag))
    }

    /// The one table in the host's namespace.
    #[must_use]
    pub fn host_table(&self) -> String {
        self.prefix.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
    }
}

/// A short, safe name for use inside a rule set: the id itself where it is plain, its hash otherwise.
#[must_use]
pub fn rule_name(id: &str) -> String {
    let plain = !id.is_empty()
        && id.len() <= 40
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if plain { id.replace('-', "_") } else { format!("x{}", hash(id, 16)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_kernel_and_tell_clouds_apart() {
        let (a, b) = (Names::new("mallee"), Names::new("mallee2"));
        assert!(a.tap("eni-0123456789abcdef0").len() <= 15);
        assert_ne!(a.tap_start(), b.tap_start());
        assert!(a.is_ours_ns(&a.vpc_ns("vpc-1")) && a.is_ours_ns(&a.edge_ns()));
        assert!(
            a.is_ours_ns(&a.nat_ns("eni-1")) && a.is_nat_ns(&a.nat_ns("eni-1")) && !a.is_nat_ns(&a.vpc_ns("vpc-1"))
        );
        assert!(!a.is_ours_ns(&b.vpc_ns("vpc-1")) && !a.is_ours_ns("mallee-mine") && !a.is_ours_ns("mallee"));
    }

    #[test]
    fn a_hostile_id_cannot_leave_its_place_in_a_rule_set() {
        let name = rule_name("sg-1 } drop; {");
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric()), "{name}");
    }
}

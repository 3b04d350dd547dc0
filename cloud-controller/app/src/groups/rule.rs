//! One security-group rule as a value: validation and EC2's wording, without a store.

use ipnet::IpNet;
use mallee_awswire::{ApiError, Code};
use mallee_types::{GroupId, PrefixListId};

/// Longest rule or group description (EC2: 255).
pub const DESCRIPTION_CHARS_MAX: usize = 255;

/// ICMP's protocol number.
const ICMP: i32 = 1;
/// TCP's.
const TCP: i32 = 6;
/// UDP's.
const UDP: i32 = 17;
/// ICMPv6's.
const ICMPV6: i32 = 58;

/// Who is on the other side.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Peer {
    /// Addresses of one family. A rule about a family that the group's VPC has no block of is about no packet.
    Cidr(IpNet),
    /// Members of a security group.
    Group(GroupId),
    /// The addresses of a prefix list, whatever they are by then.
    List(PrefixListId),
}

/// What a rule allows. Two rules that allow the same are the same, whatever their descriptions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RuleSpec {
    /// From the group's members (else: to them).
    pub egress: bool,
    /// IANA number; -1 = all.
    pub protocol: i32,
    /// First port, or ICMP type; `None` where the protocol has no ports. -1 = all ICMP types.
    pub from_port: Option<i32>,
    /// Last port, or ICMP code.
    pub to_port: Option<i32>,
    /// The other side.
    pub peer: Peer,
}

/// The number of a protocol given as name or number.
///
/// # Errors
/// `InvalidPermission.Malformed` with EC2's text.
pub fn protocol_number(text: &str) -> Result<i32, ApiError> {
    match text.to_ascii_lowercase().as_str() {
        "tcp" => Ok(TCP),
        "udp" => Ok(UDP),
        "icmp" => Ok(ICMP),
        "icmpv6" => Ok(ICMPV6),
        "all" => Ok(-1),
        other => other.parse().ok().filter(|n| (-1..=255).contains(n)).ok_or_else(|| {
            Code::InvalidPermissionMalformed.message(format!(
                "Unsupported IP protocol \"{}\" - supported: [tcp, udp, icmp, icmpv6] or a protocol number",
                mallee_awswire::texts::clip(text)
            ))
        }),
    }
}

/// EC2 shows these protocols by name, the others by number.
#[must_use]
pub fn protocol_name(number: i32) -> String {
    match number {
        TCP => "tcp".into(),
        UDP => "udp".into(),
        ICMP => "icmp".into(),
        ICMPV6 => "icmpv6".into(),
        other => other.to_string(),
    }
}

/// Checks ports against the protocol and gives them as they are kept: none for "all" and for protocols without ports.
///
/// # Errors
/// `InvalidParameterValue` with EC2's text.
pub fn ports(protocol: i32, from: Option<i32>, to: Option<i32>) -> Result<(Option<i32>, Option<i32>), ApiError> {
    match protocol {
        TCP | UDP => {
            let (Some(from), Some(to)) = (from, to) else {
                return Err(Code::InvalidParameterValue.message(format!(
                    "Invalid value 'Must specify both from and to ports with {}.' for portRange.",
                    protocol_name(protocol).to_uppercase()
                )));
            };
            if !(0..=65535).contains(&from) || !(0..=65535).contains(&to) || from > to {
                return Err(Code::InvalidParameterValue.message(format!(
                    "Invalid value '{from}-{to}' for portRange. {} ports must be in the range [0,65535], from not above to.",
                    protocol_name(protocol).to_uppercase()
                )));
            }
            Ok((Some(from), Some(to)))
        }
        ICMP | ICMPV6 => {
            let (kind, code) = (from.unwrap_or(-1), to.unwrap_or(-1));
            if !(-1..=255).contains(&kind) || !(-1..=255).contains(&code) || (kind == -1 && code != -1) {
                return Err(Code::InvalidParameterValue
                    .message(format!("ICMP code ({code}) or type ({kind}) out of range [-1,255]")));
            }
            Ok((Some(kind), Some(code)))
        }
        _ => Ok((None, None)),
    }
}

impl RuleSpec {
    /// The rule in EC2's words, as its error texts show it.
    #[must_use]
    pub fn describe(&self) -> String {
        let peer = match &self.peer {
            Peer::Cidr(cidr) => cidr.to_string(),
            Peer::Group(group) => group.to_string(),
            Peer::List(list) => list.to_string(),
        };
        let protocol = if self.protocol == -1 { "ALL".to_owned() } else { protocol_name(self.protocol).to_uppercase() };
        match (self.from_port, self.to_port) {
            (Some(from), Some(to)) => format!("peer: {peer}, {protocol}, from port: {from}, to port: {to}, ALLOW"),
            _ => format!("peer: {peer}, {protocol}, ALLOW"),
        }
    }
}

/// Checks a description: EC2 allows letters, digits, spaces and `._-:/()#,@[]+=&;{}!$*`.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn description(text: &str) -> Result<(), ApiError> {
    let ok = |c: char| c.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(c);
    if text.chars().count() <= DESCRIPTION_CHARS_MAX && text.chars().all(ok) {
        return Ok(());
    }
    Err(Code::InvalidParameterValue.message(
        "Invalid rule description. Valid descriptions are strings less than 256 characters from the following set:  \
         a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_by_name_and_number() {
        assert_eq!(protocol_number("TCP").unwrap(), 6);
        assert_eq!(protocol_number("-1").unwrap(), -1);
        assert_eq!(protocol_number("50").unwrap(), 50);
        assert_eq!(protocol_name(17), "udp");
        assert_eq!(protocol_name(-1), "-1");
        for bad in ["", "256", "-2", "http", "6x"] {
            assert!(protocol_number(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ports_follow_the_protocol() {
        assert_eq!(ports(6, Some(22), Some(22)).unwrap(), (Some(22), Some(22)));
        assert_eq!(ports(-1, Some(1), Some(2)).unwrap(), (None, None), "EC2 drops ports of -1");
        assert_eq!(ports(1, None, None).unwrap(), (Some(-1), Some(-1)));
        assert!(ports(6, None, Some(1)).is_err());
        assert!(ports(17, Some(2), Some(1)).is_err());
        assert!(ports(6, Some(0), Some(65536)).is_err());
        assert!(ports(1, Some(-1), Some(0)).is_err());
    }
}

//! What guests of a VPC are told by DHCP besides their address, as its option set has it.

use dhcproto::Name;
use mallee_proto::v1::DhcpOptions as Wire;
use std::net::Ipv4Addr;

/// What a DHCP option takes, in bytes.
const OPTION_BYTES_MAX: usize = 255;
/// The word for the VPC's own resolver.
const PROVIDED_DNS: &str = "AmazonProvidedDNS";

/// What is empty, or absent, is not told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DhcpOptions {
    /// As the user gave it: one domain, or several with spaces between them.
    pub domain_name: Option<String>,
    /// Its domains, if there are several.
    pub search: Vec<Name>,
    /// Resolvers.
    pub resolvers: Vec<Ipv4Addr>,
    /// Time servers.
    pub time_servers: Vec<Ipv4Addr>,
    /// NetBIOS name servers.
    pub netbios_servers: Vec<Ipv4Addr>,
    /// RFC 2132's node type.
    pub netbios_node_type: Option<u8>,
}

impl DhcpOptions {
    /// Of a VPC whose view names no set: its domain, and its own resolver.
    #[must_use]
    pub fn usual(domain: &str, resolver: Ipv4Addr) -> Self {
        Self { domain_name: Some(domain.to_owned()), resolvers: vec![resolver], ..Self::default() }
    }

    /// As a view has it. What makes no sense is left out, and told.
    #[must_use]
    pub fn check(wire: &Wire, resolver: Ipv4Addr) -> (Self, Vec<String>) {
        let mut wrong = Vec::new();
        let mut read = |texts: &[String]| -> Vec<Ipv4Addr> {
            let mut usable = Vec::new();
            for text in texts {
                match text.parse() {
                    _ if text == PROVIDED_DNS => usable.push(resolver),
                    Ok(ip) => usable.push(ip),
                    Err(_) => wrong.push(format!("dhcp server {text:?} is no address")),
                }
            }
            usable
        };
        let mut options = Self {
            resolvers: read(&wire.domain_name_servers),
            time_servers: read(&wire.ntp_servers),
            netbios_servers: read(&wire.netbios_name_servers),
            netbios_node_type: u8::try_from(wire.netbios_node_type).ok().filter(|kind| *kind > 0),
            ..Self::default()
        };
        let names: Result<Vec<Name>, _> = wire.domain_name.split(' ').map(Name::from_ascii).collect();
        match names {
            _ if wire.domain_name.is_empty() => {}
            Ok(names) if wire.domain_name.len() <= OPTION_BYTES_MAX => {
                options.domain_name = Some(wire.domain_name.clone());
                options.search = if names.len() > 1 { names } else { Vec::new() };
            }
            _ => wrong.push(format!("dhcp domain name {:?} is none", wire.domain_name)),
        }
        (options, wrong)
    }
}

//! What an option set may say, in the words of the API.

use super::PROVIDED_DNS;
use mallee_awswire::ApiError;
use mallee_store::DhcpOptionsDoc;
use std::net::Ipv4Addr;

/// Servers of one kind (EC2: 4).
const SERVERS_MAX: usize = 4;
/// What an option takes on the wire, in bytes. Domain names are told as labels, too (option 119), two bytes longer each.
const OPTION_BYTES_MAX: usize = 255;
const LABEL_BYTES_MAX: usize = 63;
/// RFC 2132's node types: of these, EC2 recommends 2.
const NODE_TYPES: [u8; 4] = [1, 2, 4, 8];

/// One option as the API has it: its name, and what it says.
pub type DhcpSetting = (String, Vec<String>);

fn invalid(key: &str, value: &str, why: &str) -> ApiError {
    ApiError::invalid_value(key, value, why)
}

/// `None` when the option was told before.
fn once<T>(key: &str, slot: &mut Option<T>, value: T) -> Result<(), ApiError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(invalid("key", key, "The option is given more than once.")),
    }
}

/// Several may stand in one value, with commas between them.
fn listed(key: &str, values: &[String]) -> Result<Vec<String>, ApiError> {
    let all: Vec<String> = values.iter().flat_map(|value| value.split(',')).map(|one| one.trim().to_owned()).collect();
    if all.is_empty() {
        return Err(invalid(key, "", "The option needs a value."));
    }
    if all.len() > SERVERS_MAX {
        return Err(invalid(key, &all.join(","), &format!("At most {SERVERS_MAX} servers can be given.")));
    }
    Ok(all)
}

/// An address at which a server can be.
fn address(key: &str, text: &str) -> Result<Ipv4Addr, ApiError> {
    if text.contains(':') {
        return Err(ApiError::unsupported_parameter(&format!("{key} with an IPv6 address")));
    }
    let usable = |ip: &Ipv4Addr| !ip.is_unspecified() && !ip.is_broadcast() && !ip.is_multicast();
    text.parse().ok().filter(usable).ok_or_else(|| invalid(key, text, "Invalid IPv4 address."))
}

fn addresses(key: &str, values: &[String]) -> Result<Vec<Ipv4Addr>, ApiError> {
    listed(key, values)?.iter().map(|text| address(key, text)).collect()
}

fn resolvers(key: &str, values: &[String]) -> Result<Vec<String>, ApiError> {
    let all = listed(key, values)?;
    for text in &all {
        if text != PROVIDED_DNS {
            address(key, text)?;
        }
    }
    Ok(all)
}

fn one<'a>(key: &str, values: &'a [String]) -> Result<&'a str, ApiError> {
    match values {
        [value] => Ok(value.trim()),
        _ => Err(invalid(key, &values.join(","), "The option has exactly one value.")),
    }
}

fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        !label.is_empty() && label.len() <= LABEL_BYTES_MAX && label.bytes().all(plain)
    };
    name.strip_suffix('.').unwrap_or(name).split('.').all(label)
}

fn domain(key: &str, values: &[String]) -> Result<String, ApiError> {
    let text = one(key, values)?;
    let names: Vec<&str> = text.split_whitespace().collect();
    if names.is_empty() || !names.iter().all(|name| is_name(name)) {
        return Err(invalid(key, text, "Invalid domain name."));
    }
    if names.iter().map(|name| name.len() + 2).sum::<usize>() > OPTION_BYTES_MAX {
        return Err(invalid(key, text, &format!("The domain names take more than {OPTION_BYTES_MAX} bytes.")));
    }
    Ok(names.join(" "))
}

fn node_type(key: &str, values: &[String]) -> Result<u8, ApiError> {
    let text = one(key, values)?;
    let known = text.parse().ok().filter(|number| NODE_TYPES.contains(number));
    known.ok_or_else(|| invalid(key, text, "Valid values are: 1, 2, 4, 8."))
}

/// The set that a request asks for.
///
/// # Errors
/// `MissingParameter` without any option; `InvalidParameterValue` for an option that there is not, is given twice, or says
/// what it cannot; `UnsupportedOperation` for what needs IPv6.
pub fn doc(given: &[DhcpSetting]) -> Result<DhcpOptionsDoc, ApiError> {
    if given.is_empty() {
        return Err(ApiError::missing_parameter("dhcpConfiguration"));
    }
    let (mut name, mut dns, mut ntp, mut netbios, mut kind) = (None, None, None, None, None);
    for (key, values) in given {
        match key.as_str() {
            "domain-name" => once(key, &mut name, domain(key, values)?)?,
            "domain-name-servers" => once(key, &mut dns, resolvers(key, values)?)?,
            "ntp-servers" => once(key, &mut ntp, addresses(key, values)?)?,
            "netbios-name-servers" => once(key, &mut netbios, addresses(key, values)?)?,
            "netbios-node-type" => once(key, &mut kind, node_type(key, values)?)?,
            "ipv6-address-preferred-lease-time" => return Err(ApiError::unsupported_parameter(key)),
            other => {
                let why = "Valid options are: domain-name, domain-name-servers, ntp-servers, netbios-name-servers, \
                           netbios-node-type.";
                return Err(invalid("key", other, why));
            }
        }
    }
    Ok(DhcpOptionsDoc {
        domain_name: name,
        domain_name_servers: dns.unwrap_or_default(),
        ntp_servers: ntp.unwrap_or_default(),
        netbios_name_servers: netbios.unwrap_or_default(),
        netbios_node_type: kind,
    })
}

/// A set as the API shows it.
#[must_use]
pub fn settings(doc: &DhcpOptionsDoc) -> Vec<DhcpSetting> {
    let texts = |list: &[Ipv4Addr]| list.iter().map(ToString::to_string).collect();
    let all: [(&str, Vec<String>); 5] = [
        ("domain-name", doc.domain_name.iter().cloned().collect()),
        ("domain-name-servers", doc.domain_name_servers.clone()),
        ("ntp-servers", texts(&doc.ntp_servers)),
        ("netbios-name-servers", texts(&doc.netbios_name_servers)),
        ("netbios-node-type", doc.netbios_node_type.iter().map(ToString::to_string).collect()),
    ];
    all.into_iter().filter(|(_, values)| !values.is_empty()).map(|(key, values)| (key.to_owned(), values)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_awswire::Code;

    fn asked(given: &[(&str, &[&str])]) -> Result<DhcpOptionsDoc, ApiError> {
        let owned = |(key, values): &(&str, &[&str])| {
            ((*key).to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
        };
        doc(&given.iter().map(owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_set_says_what_it_was_asked_to() {
        let all: [(&str, &[&str]); 5] = [
            ("domain-name", &["a.example b.example"]),
            ("domain-name-servers", &["10.0.0.9,10.0.0.10", "AmazonProvidedDNS"]),
            ("ntp-servers", &["10.0.0.11"]),
            ("netbios-name-servers", &["10.0.0.12", "10.0.0.13"]),
            ("netbios-node-type", &["2"]),
        ];
        let made = asked(&all).unwrap();
        assert_eq!(made.domain_name_servers, ["10.0.0.9", "10.0.0.10", "AmazonProvidedDNS"]);
        let shown = settings(&made);
        let keys: Vec<&str> = shown.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, all.map(|(key, _)| key));
        assert_eq!(doc(&shown).unwrap(), made, "what is shown makes the same set");
        assert_eq!(settings(&asked(&[("ntp-servers", &["10.0.0.1"])]).unwrap()).len(), 1);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let long = format!("{0}.{0}.{0}.{0}", "a".repeat(63));
        for (key, values) in [
            ("domain-name", &["a b", "c"][..]),
            ("domain-name", &[]),
            ("domain-name", &["a..b"]),
            ("domain-name", &["exa$mple"]),
            ("domain-name", &[long.as_str()]),
            ("domain-name-servers", &["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"]),
            ("domain-name-servers", &["amazonprovideddns"]),
            ("domain-name-servers", &[]),
            ("ntp-servers", &["AmazonProvidedDNS"]),
            ("ntp-servers", &["0.0.0.0"]),
            ("netbios-name-servers", &["224.0.0.1"]),
            ("netbios-node-type", &["3"]),
            ("netbios-node-type", &["1", "2"]),
            ("hostname", &["x"]),
        ] {
            let error = asked(&[(key, values)]).unwrap_err();
            assert_eq!(error.code(), Code::InvalidParameterValue, "{key} {values:?}");
        }
        let twice: [(&str, &[&str]); 2] = [("domain-name", &["a"]), ("domain-name", &["a"])];
        assert_eq!(asked(&twice).unwrap_err().code(), Code::InvalidParameterValue);
        assert_eq!(asked(&[]).unwrap_err().code(), Code::MissingParameter);
        for (key, value) in [("ipv6-address-preferred-lease-time", "140"), ("domain-name-servers", "fd00::1")] {
            assert!(asked(&[(key, &[value])]).unwrap_err().message().contains(key), "{key}");
        }
    }
}

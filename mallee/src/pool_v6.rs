//! The option that says where IPv6 blocks of VPCs come from.

use ipnet::Ipv6Net;
use std::str::FromStr;

/// The default: addresses that no network routes (RFC 4193), so that IPv6 works between instances, and to the world from behind
/// their host, wherever the cloud runs.
pub const DEFAULT_PUBLIC_POOL_V6: &str = "fd6d:616c:6c65::/48";
/// A VPC has a block of so many bits, as on AWS, and a pool 65,536 of them at most.
const PREFIXES: std::ops::RangeInclusive<u8> = 40..=56;

/// A block of /40 to /56, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolV6(pub Option<Ipv6Net>);

impl FromStr for PoolV6 {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let net: Ipv6Net =
            text.parse().map_err(|_| "say an IPv6 block, for example 2001:db8:1::/48, or none".to_owned())?;
        if !PREFIXES.contains(&net.prefix_len()) {
            return Err("the block is of /40 to /56: each VPC gets a /56 of it".to_owned());
        }
        if net.trunc() != net {
            return Err(format!("it has bits beyond its prefix; {} is meant?", net.trunc()));
        }
        let first = net.network().segments()[0];
        if first == 0 || first & 0xffc0 == 0xfe80 || first & 0xff00 == 0xff00 {
            return Err("instances cannot have addresses of it: they mean something else to every system".to_owned());
        }
        Ok(Self(Some(net)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_a_block_that_vpcs_can_have_parts_of() {
        let pool = |text: &str| text.parse::<PoolV6>();
        assert_eq!(pool("none"), Ok(PoolV6(None)));
        for good in [DEFAULT_PUBLIC_POOL_V6, "2001:db8::/40", "2001:db8:0:100::/56"] {
            assert_eq!(pool(good), Ok(PoolV6(Some(good.parse().unwrap()))));
        }
        for bad in ["", "x", "10.0.0.0/8", "2001:db8::", "2001:db8::/39", "2001:db8::/57", "2001:db8::1/48"] {
            assert!(pool(bad).is_err(), "{bad}");
        }
        for taken in ["::/48", "fe80::/48", "ff02::/48"] {
            assert!(pool(taken).is_err(), "{taken}");
        }
    }
}

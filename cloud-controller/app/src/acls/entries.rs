//! The entries of an ACL.

use super::{ALL, LAST_NUMBER};
use crate::fail::{OrFail as _, store_failure};
use crate::groups::rule;
use crate::quotas::{table as quotas, within};
use crate::{Cloud, OpContext, load};
use ipnet::IpNet;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    NetworkAclEntryRow, NetworkAclRow, StoreError, Tx, change_append, network_acl_entry_delete,
    network_acl_entry_insert, network_acl_entry_list, network_acl_entry_replace, network_acl_touch,
};

/// Numbers that an entry may have; those from [`LAST_NUMBER`] on are EC2's own.
pub const NUMBERS: std::ops::RangeInclusive<i32> = 1..=32766;
/// The protocols that have types and codes.
const ICMP: i64 = 1;
const ICMPV6: i64 = 58;
/// Those that have ports.
const WITH_PORTS: [i64; 2] = [6, 17];

/// Which entry of an ACL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryKey {
    /// About what leaves the subnet, else about what enters it.
    pub egress: bool,
    /// Its number.
    pub number: i32,
}

/// An entry as a request gives it.
#[derive(Debug, Clone)]
pub struct NewEntry {
    /// Which.
    pub key: EntryKey,
    /// Allow, else deny.
    pub allow: bool,
    /// By [`protocol_number`].
    pub protocol: i64,
    /// The other side.
    pub cidr: IpNet,
    /// First and last port.
    pub ports: (Option<i32>, Option<i32>),
    /// Type and code of ICMP.
    pub icmp: (Option<i32>, Option<i32>),
}

/// The number of a protocol given as name or number.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn protocol_number(text: &str) -> Result<i64, ApiError> {
    rule::protocol_number(text)
        .map(i64::from)
        .map_err(|_| ApiError::invalid_value("protocol", text, "It must be the number of an IP protocol, or -1."))
}

impl EntryKey {
    /// The number as it is kept.
    fn number(self) -> Result<u32, ApiError> {
        let text = || format!("The rule number must be between {} and {}.", NUMBERS.start(), NUMBERS.end());
        let number = Some(self.number).filter(|number| NUMBERS.contains(number));
        number
            .and_then(|number| u32::try_from(number).ok())
            .ok_or_else(|| ApiError::invalid_value("ruleNumber", &self.number.to_string(), &text()))
    }
}

fn both(values: (Option<i32>, Option<i32>), names: [&str; 2]) -> Result<(i64, i64), ApiError> {
    let from = values.0.ok_or_else(|| ApiError::missing_parameter(names[0]))?;
    let to = values.1.ok_or_else(|| ApiError::missing_parameter(names[1]))?;
    Ok((from.into(), to.into()))
}

impl NewEntry {
    /// Its ports, or ICMP type and code. Of other protocols whatever is given is left aside, as EC2 does: its clients
    /// send ports with everything. (ICMPv6, 58, has types with IPv6 blocks only: with an IPv4 block EC2 means all of them,
    /// "regardless of any that you specify".)
    fn range(&self) -> Result<(Option<i64>, Option<i64>), ApiError> {
        if WITH_PORTS.contains(&self.protocol) {
            let (from, to) = both(self.ports, ["portRange.from", "portRange.to"])?;
            if from < 0 || to > i64::from(u16::MAX) || from > to {
                let why = "Ports are from 0 to 65535, and the first is not above the last.";
                return Err(ApiError::invalid_value("portRange", &format!("{from}-{to}"), why));
            }
            return Ok((Some(from), Some(to)));
        }
        if self.protocol == ICMP || (self.protocol == ICMPV6 && matches!(self.cidr, IpNet::V6(_))) {
            let (kind, code) = both(self.icmp, ["icmpTypeCode.type", "icmpTypeCode.code"])?;
            let range = ALL..=i64::from(u8::MAX);
            if !range.contains(&kind) || !range.contains(&code) || (kind == ALL && code != ALL) {
                let why = "Type and code are from 0 to 255, or -1 for all; all types have all codes.";
                return Err(ApiError::invalid_value("icmpTypeCode", &format!("{kind}/{code}"), why));
            }
            return Ok((Some(kind), Some(code)));
        }
        Ok((None, None))
    }

    fn row(&self, acl: &NetworkAclRow) -> Result<NetworkAclEntryRow, ApiError> {
        let (from_port, to_port) = self.range()?;
        Ok(NetworkAclEntryRow {
            acl_id: acl.id.clone(),
            egress: self.key.egress,
            number: self.key.number()?,
            allow: self.allow,
            protocol: self.protocol,
            cidr: self.cidr.trunc(),
            from_port,
            to_port,
        })
    }
}

/// First in the transaction: whoever else changes the ACL waits, and counts what this call adds.
async fn hold(tx: &mut Tx, acl: &NetworkAclRow) -> Result<(), ApiError> {
    network_acl_touch(tx, &acl.id).await.map_err(|error| match error {
        // Another call has just deleted it.
        StoreError::NotFound { .. } => Code::InvalidNetworkAclIdNotFound.with(&[acl.id.as_str()]),
        other => store_failure(other),
    })?;
    change_append(tx, load::NETWORK_ACL, &acl.id, None);
    Ok(())
}

fn no_entry(number: u32, acl: &NetworkAclRow) -> ApiError {
    Code::InvalidNetworkAclEntryNotFound.with(&[&number.to_string(), acl.id.as_str()])
}

impl Cloud {
    /// `CreateNetworkAclEntry`.
    ///
    /// # Errors
    /// `NetworkAclEntryAlreadyExists`, `NetworkAclEntryLimitExceeded`; `MissingParameter` and `InvalidParameterValue` for
    /// a number, ports or types that no entry has.
    pub async fn create_network_acl_entry(
        &self,
        cx: &OpContext,
        acl: &str,
        new: &NewEntry,
        dry_run: bool,
    ) -> Result<(), ApiError> {
        let acl = self.find_network_acl(cx, acl).await?;
        let row = new.row(&acl)?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        hold(&mut tx, &acl).await?;
        let there = network_acl_entry_list(&mut tx, std::slice::from_ref(&acl.id)).await.or_fail()?;
        let there: Vec<_> = there.into_iter().filter(|entry| entry.egress == row.egress).collect();
        if there.iter().any(|entry| entry.number == row.number) {
            return Err(Code::NetworkAclEntryAlreadyExists.with(&[&row.number.to_string()]));
        }
        within(&mut tx, cx.account(), &quotas::RULES_PER_NETWORK_ACL, there.len() + 1).await?;
        network_acl_entry_insert(&mut tx, &row).await.or_fail()?;
        tx.commit().await.or_fail()
    }

    /// `ReplaceNetworkAclEntry`.
    ///
    /// # Errors
    /// `InvalidNetworkAclEntry.NotFound` where there is none of this direction and number; else as
    /// [`Cloud::create_network_acl_entry`].
    pub async fn replace_network_acl_entry(
        &self,
        cx: &OpContext,
        acl: &str,
        new: &NewEntry,
        dry_run: bool,
    ) -> Result<(), ApiError> {
        let acl = self.find_network_acl(cx, acl).await?;
        let row = new.row(&acl)?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        hold(&mut tx, &acl).await?;
        if !network_acl_entry_replace(&mut tx, &row).await.or_fail()? {
            return Err(no_entry(row.number, &acl));
        }
        tx.commit().await.or_fail()
    }

    /// `DeleteNetworkAclEntry`.
    ///
    /// # Errors
    /// `InvalidNetworkAclEntry.NotFound`; `InvalidParameterValue` for a number that no entry has, and for the last one.
    pub async fn delete_network_acl_entry(
        &self,
        cx: &OpContext,
        acl: &str,
        key: EntryKey,
        dry_run: bool,
    ) -> Result<(), ApiError> {
        let acl = self.find_network_acl(cx, acl).await?;
        if u32::try_from(key.number) == Ok(LAST_NUMBER) {
            let why = "The last entry of a network ACL cannot be removed.";
            return Err(ApiError::invalid_value("ruleNumber", &key.number.to_string(), why));
        }
        let number = key.number()?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        hold(&mut tx, &acl).await?;
        if !network_acl_entry_delete(&mut tx, &acl.id, key.egress, number).await.or_fail()? {
            return Err(no_entry(number, &acl));
        }
        tx.commit().await.or_fail()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(protocol: i64, ports: [Option<i32>; 2], icmp: [Option<i32>; 2]) -> NewEntry {
        NewEntry {
            key: EntryKey { egress: false, number: 1 },
            allow: true,
            protocol,
            cidr: "0.0.0.0/0".parse().unwrap(),
            ports: ports.into(),
            icmp: icmp.into(),
        }
    }

    #[test]
    fn only_tcp_and_udp_have_ports_and_only_icmp_has_types() {
        let ports = |protocol, from, to| entry(protocol, [from, to], [None, None]).range();
        for protocol in WITH_PORTS {
            assert_eq!(ports(protocol, Some(0), Some(65535)).unwrap(), (Some(0), Some(65535)));
            assert_eq!(ports(protocol, Some(80), None).unwrap_err().code(), Code::MissingParameter);
            assert_eq!(ports(protocol, None, None).unwrap_err().code(), Code::MissingParameter);
            for (from, to) in [(-1, -1), (-1, 5), (0, 65536), (9, 8)] {
                assert_eq!(ports(protocol, Some(from), Some(to)).unwrap_err().code(), Code::InvalidParameterValue);
            }
        }
        for protocol in [ALL, 47, 58] {
            assert_eq!(ports(protocol, Some(0), Some(0)).unwrap(), (None, None), "{protocol}");
        }
        assert_eq!(entry(58, [None, None], [Some(128), Some(0)]).range().unwrap(), (None, None), "as EC2, with IPv4");
        let six = |kind, code| NewEntry { cidr: "::/0".parse().unwrap(), ..entry(58, [None, None], [kind, code]) };
        assert_eq!(six(Some(128), Some(0)).range().unwrap(), (Some(128), Some(0)));
        assert_eq!(six(None, Some(0)).range().unwrap_err().code(), Code::MissingParameter);
        let icmp = |kind, code| entry(ICMP, [Some(0), Some(0)], [kind, code]).range();
        assert_eq!(icmp(Some(8), Some(-1)).unwrap(), (Some(8), Some(-1)));
        assert_eq!(icmp(Some(-1), Some(-1)).unwrap(), (Some(-1), Some(-1)));
        assert_eq!(icmp(Some(8), None).unwrap_err().code(), Code::MissingParameter);
        for (kind, code) in [(-1, 0), (256, 0), (8, 256), (-2, -1)] {
            assert_eq!(icmp(Some(kind), Some(code)).unwrap_err().code(), Code::InvalidParameterValue);
        }
    }

    #[test]
    fn protocols_are_numbers_or_names_and_numbers_have_bounds() {
        for (text, number) in [("-1", -1), ("all", -1), ("6", 6), ("tcp", 6), ("UDP", 17), ("icmp", 1), ("255", 255)] {
            assert_eq!(protocol_number(text).unwrap(), number, "{text}");
        }
        for text in ["256", "-2", "", "http"] {
            assert_eq!(protocol_number(text).unwrap_err().code(), Code::InvalidParameterValue, "{text}");
        }
        let key = |number| EntryKey { egress: true, number }.number();
        assert_eq!((key(1).unwrap(), key(32766).unwrap()), (1, 32766));
        for number in [i32::MIN, 0, 32767, 65535] {
            assert_eq!(key(number).unwrap_err().code(), Code::InvalidParameterValue, "{number}");
        }
    }
}

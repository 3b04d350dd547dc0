//! Reads what a guest's DHCPv6 message asks. Of options that the answer does not depend on nothing is read but their length:
//! the library's reader takes all of them apart, as deep as they are nested, and counts on their being long enough.

use dhcproto::v6::{DhcpOption, DhcpOptions, IAAddr, IANA, IAPD, IATA, Message, OptionCode};
use std::net::Ipv6Addr;

/// Most options of a message, or of one association in it.
const MAX_OPTIONS: usize = 64;
/// Longest name of a client or a server (RFC 8415, 11.1).
const MAX_DUID: usize = 130;

/// The message; `None`: it is none, or says more than it has bytes for.
pub(super) fn read(bytes: &[u8]) -> Option<Message> {
    let ([kind, x, y, z], rest) = bytes.split_first_chunk()?;
    let mut message = Message::new_with_id((*kind).into(), [*x, *y, *z]);
    for (code, value) in options(rest)? {
        let option = match code {
            OptionCode::ClientId | OptionCode::ServerId if value.len() > MAX_DUID => return None,
            OptionCode::ClientId => DhcpOption::ClientId(value.to_vec()),
            OptionCode::ServerId => DhcpOption::ServerId(value.to_vec()),
            OptionCode::RapidCommit => DhcpOption::RapidCommit,
            OptionCode::IANA => {
                let (id, opts) = association::<8>(value)?;
                DhcpOption::IANA(IANA { id, t1: 0, t2: 0, opts })
            }
            OptionCode::IATA => {
                let (id, opts) = association::<0>(value)?;
                DhcpOption::IATA(IATA { id, opts })
            }
            OptionCode::IAPD => {
                let (id, opts) = association::<8>(value)?;
                DhcpOption::IAPD(IAPD { id, t1: 0, t2: 0, opts })
            }
            _ => continue,
        };
        message.opts_mut().insert(option);
    }
    Some(message)
}

/// Options with their codes.
fn options(mut bytes: &[u8]) -> Option<Vec<(OptionCode, &[u8])>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let ([a, b, c, d], rest) = bytes.split_first_chunk()?;
        let (value, rest) = rest.split_at_checked(u16::from_be_bytes([*c, *d]).into())?;
        if all.len() == MAX_OPTIONS {
            return None;
        }
        all.push((u16::from_be_bytes([*a, *b]).into(), value));
        bytes = rest;
    }
    Some(all)
}

/// An identity association: its number, so many bytes of times, and the addresses that it names.
fn association<const TIMES: usize>(value: &[u8]) -> Option<(u32, DhcpOptions)> {
    let (id, rest) = value.split_first_chunk()?;
    let (_, rest) = rest.split_first_chunk::<TIMES>()?;
    let mut addresses = DhcpOptions::new();
    for (code, value) in options(rest)? {
        if matches!(code, OptionCode::IAAddr) {
            let (ip, _) = value.split_first_chunk::<16>()?;
            let (addr, opts) = (Ipv6Addr::from(*ip), DhcpOptions::new());
            addresses.insert(DhcpOption::IAAddr(IAAddr { addr, preferred_life: 0, valid_life: 0, opts }));
        }
    }
    Some((u32::from_be_bytes(*id), addresses))
}

//! Numbers, dates, booleans and addresses as conditions write them.

use ipnet::IpNet;
use std::cmp::Ordering;
use std::net::{IpAddr, Ipv6Addr};
use time::{Date, Month, Time, UtcOffset};

/// Longest number or date that is read, in characters.
const MAX_SCALAR: usize = 64;
/// Nanoseconds of a second.
const NANOS: i128 = 1_000_000_000;

/// An exact decimal number: a request's number is as long as its sender likes, and rounding could allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    /// Digits before the point, without leading zeros.
    whole: Box<str>,
    /// Digits behind the point, without trailing zeros.
    fraction: Box<str>,
}

impl Decimal {
    /// `[+-]digits[.digits]`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (digits, ""),
        };
        let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || text.len() > MAX_SCALAR || !is_number(whole) || !is_number(fraction) {
            return None;
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let zero = whole.is_empty() && fraction.is_empty();
        Some(Self { negative: negative && !zero, whole: whole.into(), fraction: fraction.into() })
    }

    /// The number, if it is whole and not negative.
    pub(crate) fn as_u64(&self) -> Option<u64> {
        match (self.negative, self.fraction.is_empty(), self.whole.is_empty()) {
            (false, true, true) => Some(0),
            (false, true, false) => self.whole.parse().ok(),
            _ => None,
        }
    }

    fn magnitude(&self, other: &Self) -> Ordering {
        (self.whole.len().cmp(&other.whole.len()))
            .then_with(|| self.whole.cmp(&other.whole))
            .then_with(|| self.fraction.cmp(&other.fraction))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.magnitude(other),
            (true, true) => other.magnitude(self),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `true` or `false`, any case.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// An address or a CIDR block (host bits are masked, as AWS does). IPv4 inside IPv6 is IPv4.
pub(crate) fn parse_net(text: &str) -> Option<IpNet> {
    let net = match text.parse::<IpNet>() {
        Ok(net) => net.trunc(),
        Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    Some(match net {
        IpNet::V6(v6) if v6.prefix_len() == 128 => IpNet::from(unmapped(v6.addr())),
        other => other,
    })
}

fn unmapped(address: Ipv6Addr) -> IpAddr {
    address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4)
}

/// A W3C date (`2026`, `2026-01`, `2026-01-31`, `2026-01-31T10:00Z`, with seconds and fractions, offsets) or seconds since
/// 1970; answers nanoseconds since 1970.
pub(crate) fn parse_date(text: &str) -> Option<i128> {
    if text.len() > MAX_SCALAR || !text.is_ascii() {
        return None;
    }
    let (date, time) = text.split_once(['T', 't']).map_or((text, None), |(date, time)| (date, Some(time)));
    let mut parts = date.split('-');
    let year = parts.next()?;
    if time.is_none() && year.len() != 4 || year.is_empty() {
        return epoch(text);
    }
    let year = i32::try_from(digits(year, 4)?).ok()?;
    let month = parts.next().map_or(Some(1), |m| digits(m, 2))?;
    let day = parts.next().map_or(Some(1), |d| digits(d, 2))?;
    if parts.next().is_some() || (time.is_some() && date.len() != 10) {
        return None;
    }
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = Date::from_calendar_date(year, month, u8::try_from(day).ok()?).ok()?;
    let (clock, nanos, offset) = time.map_or(Some((Time::MIDNIGHT, 0, UtcOffset::UTC)), clock)?;
    let moment = date.with_time(clock).assume_utc().unix_timestamp() - i64::from(offset.whole_seconds());
    Some(i128::from(moment) * NANOS + i128::from(nanos))
}

/// Exactly `width` digits.
fn digits(text: &str, width: usize) -> Option<u32> {
    (text.len() == width && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// Whole or fractional seconds since 1970.
fn epoch(text: &str) -> Option<i128> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let negative = seconds.starts_with('-');
    let unsigned = seconds.strip_prefix('-').unwrap_or(seconds);
    if unsigned.is_empty() || unsigned.len() > 12 || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanos = unsigned.parse::<i128>().ok()? * NANOS + i128::from(fraction_nanos(fraction)?);
    Some(if negative { -nanos } else { nanos })
}

/// Digits behind a point as nanoseconds; further digits are cut.
fn fraction_nanos(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.bytes().chain(std::iter::repeat(b'0')).take(9).try_fold(0_u32, |n, b| Some(n * 10 + u32::from(b - b'0')))
}

/// `hh:mm[:ss[.fraction]](Z|±hh:mm|±hhmm)`.
fn clock(text: &str) -> Option<(Time, u32, UtcOffset)> {
    let zone = text.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = text.split_at_checked(zone)?;
    let (time, fraction) = time.split_once('.').map_or((time, "0"), |(time, fraction)| (time, fraction));
    let mut parts = time.split(':');
    let two = |part: Option<&str>| part.and_then(|p| digits(p, 2)).and_then(|n| u8::try_from(n).ok());
    let (hour, minute) = (two(parts.next())?, two(parts.next())?);
    let second = match parts.next() {
        Some(second) => two(Some(second))?,
        None if fraction != "0" => return None,
        None => 0,
    };
    if parts.next().is_some() {
        return None;
    }
    // A leap second is the second after.
    let (second, leap) = if second == 60 { (59, 1_000_000_000) } else { (second, 0) };
    let time = Time::from_hms(hour, minute, second).ok()?;
    Some((time, fraction_nanos(fraction)? + leap, offset(zone)?))
}

fn offset(text: &str) -> Option<UtcOffset> {
    if text.eq_ignore_ascii_case("z") {
        return Some(UtcOffset::UTC);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let rest = text.get(1..)?;
    let (hours, minutes) = rest.split_once(':').or_else(|| rest.split_at_checked(2))?;
    let (hours, minutes) = (i8::try_from(digits(hours, 2)?).ok()?, i8::try_from(digits(minutes, 2)?).ok()?);
    UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact() {
        let n = |text| Decimal::parse(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(n("010.50"), n("10.5"));
        assert_eq!(n("-0"), n("0.0"));
        assert!(n("9007199254740993") > n("9007199254740992"));
        assert!(n("-2") < n("-1.5") && n("-1.5") < n("0") && n("0.05") < n("0.5") && n("9") < n("10"));
        assert_eq!(n("7").as_u64(), Some(7));
        for bad in ["", "-", ".5", "5.", "1e3", "0x1", "1 ", "١", "1.2.3", &"1".repeat(65)] {
            assert_eq!(Decimal::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn dates_in_every_form() {
        let base = 1_767_225_600 * NANOS;
        for text in [
            "2026",
            "2026-01",
            "2026-01-01",
            "2026-01-01T00:00Z",
            "2026-01-01T00:00:00Z",
            "2026-01-01T02:00:00+02:00",
            "2025-12-31T19:00:00-0500",
            "1767225600",
            "2026-01-01T00:00:00.000Z",
            "1767225600.0",
            "2025-12-31T23:59:60Z",
        ] {
            assert_eq!(parse_date(text), Some(base), "{text}");
        }
        assert_eq!(parse_date("2026-01-01T00:00:00.25Z"), Some(base + NANOS / 4));
        for bad in [
            "",
            "x",
            "2026-13",
            "2026-02-30",
            "2026-01-01T00:00",
            "2026-01-01T25:00Z",
            "2026-01T00:00Z",
            "1-1-1",
            "20 26",
        ] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn addresses() {
        let net = |text| parse_net(text).unwrap_or_else(|| panic!("{text}"));
        assert!(net("10.1.2.3/8").contains(&net("10.255.0.1")));
        assert!(net("10.0.0.0/8").contains(&net("::ffff:10.0.0.1")));
        assert!(!net("::/0").contains(&net("10.0.0.1")));
        assert!(parse_net("10.0.0.0/33").is_none() && parse_net("10.0.0").is_none() && parse_net("*").is_none());
    }
}

//! What an hour of a spot instance costs: what the administrator has set, or nothing. There is no market: a price
//! holds back requests that offer less; it never interrupts.

use crate::Cloud;
use crate::fail::OrFail as _;
use mallee_awswire::ApiError;
use mallee_store::{SpotPriceRow, spot_price_list, spot_price_put};
use mallee_types::instance_type::{INSTANCE_TYPES, instance_type};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Decimal places that a price keeps.
const PLACES: usize = 6;
/// One dollar.
const DOLLAR: u64 = 1_000_000;
/// The most an hour may cost, in dollars.
const DOLLARS_MAX: u64 = 1_000_000;

/// US dollars an hour, in millionths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Price(u64);

/// A text that is no price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a price is a decimal number of dollars from 0 to {DOLLARS_MAX}, with up to {PLACES} places")]
pub struct PriceError;

impl FromStr for Price {
    type Err = PriceError;

    fn from_str(text: &str) -> Result<Self, PriceError> {
        if !text.bytes().any(|b| b.is_ascii_digit()) {
            return Err(PriceError);
        }
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str, max: usize| {
            let fine = !text.is_empty() && text.len() <= max && text.bytes().all(|b| b.is_ascii_digit());
            if fine { text.parse::<u64>().map_err(|_| PriceError) } else { Err(PriceError) }
        };
        // Clients write more places than anyone pays: noughts.
        let part = part.trim_end_matches('0');
        let part = if part.is_empty() { "0" } else { part };
        let whole = digits(if whole.is_empty() { "0" } else { whole }, 7)?;
        let mut millionths = digits(part, PLACES)?;
        for _ in part.len()..PLACES {
            millionths *= 10;
        }
        if whole > DOLLARS_MAX { Err(PriceError) } else { Ok(Self(whole * DOLLAR + millionths)) }
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / DOLLAR, self.0 % DOLLAR)
    }
}

impl Price {
    /// Costs nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// In millionths of a dollar.
    #[must_use]
    pub const fn millionths(self) -> u64 {
        self.0
    }
}

/// A type's price from some time on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricePoint {
    /// AWS's name of the type.
    pub instance_type: String,
    /// From when, in milliseconds since 1970.
    pub from_ms: i64,
    /// An hour.
    pub price: Price,
}

/// The prices of one type that held at some time from `start_ms` to `end_ms`, the newest first. Before the first that
/// was set an hour cost nothing.
fn during(set: &[(i64, Price)], start_ms: i64, end_ms: i64) -> Vec<(i64, Price)> {
    let first = set.iter().rposition(|(from, _)| *from <= start_ms);
    let mut held: Vec<(i64, Price)> = set.get(first.unwrap_or(0)..).unwrap_or_default().to_vec();
    if first.is_none() {
        held.insert(0, (0, Price::default()));
    }
    held.retain(|(from, _)| *from <= end_ms);
    held.reverse();
    held
}

impl Cloud {
    /// What an hour of a type costs now.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn spot_price(&self, name: &str) -> Result<Price, ApiError> {
        let now_ms = self.clock().now_ms();
        let points = self.spot_prices(&[name.to_owned()], now_ms, now_ms).await?;
        Ok(points.first().map(|point| point.price).unwrap_or_default())
    }

    /// The prices of these types (of none: all) that held from `start_ms` to `end_ms`: by type, the newest first.
    ///
    /// # Errors
    /// When the database does not answer, or holds what is no price.
    pub async fn spot_prices(&self, types: &[String], start_ms: i64, end_ms: i64) -> Result<Vec<PricePoint>, ApiError> {
        let mut set: BTreeMap<String, Vec<(i64, Price)>> = BTreeMap::new();
        for SpotPriceRow { instance_type, from_ms, price } in spot_price_list(self.store()).await.or_fail()? {
            let price = price.parse().map_err(ApiError::internal)?;
            set.entry(instance_type).or_default().push((from_ms, price));
        }
        let mut points = Vec::new();
        for size in INSTANCE_TYPES.iter().filter(|size| types.is_empty() || types.iter().any(|t| t == size.name)) {
            let of_type = set.get(size.name).map(Vec::as_slice).unwrap_or_default();
            points.extend(during(of_type, start_ms, end_ms).into_iter().map(|(from_ms, price)| PricePoint {
                instance_type: size.name.to_owned(),
                from_ms,
                price,
            }));
        }
        Ok(points)
    }

    /// Sets what an hour of a type costs from now on.
    ///
    /// # Errors
    /// `InvalidParameterValue` for a type that is none.
    pub async fn set_spot_price(&self, name: &str, price: Price) -> Result<(), ApiError> {
        if instance_type(name).is_none() {
            return Err(ApiError::invalid_value("InstanceType", name, "There is no such instance type."));
        }
        let row =
            SpotPriceRow { instance_type: name.to_owned(), from_ms: self.clock().now_ms(), price: price.to_string() };
        self.faults().point("cloud.spot.price").await.or_fail()?;
        let mut tx = self.store().write().await.or_fail()?;
        spot_price_put(&mut tx, &row).await.or_fail()?;
        tx.commit().await.or_fail()?;
        self.spot_nudge().wake();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_decimal_numbers() {
        for (text, shown) in [
            ("0.05", "0.050000"),
            ("1", "1.000000"),
            (".5", "0.500000"),
            ("0.0031000000", "0.003100"),
            ("12.", "12.000000"),
        ] {
            assert_eq!(text.parse::<Price>().unwrap().to_string(), shown, "{text}");
        }
        for text in ["", ".", "-1", "cheap", "1e3", "0.0000001", "1.2.3", "99999999", "0x1", "1 "] {
            assert!(text.parse::<Price>().is_err(), "{text:?}");
        }
        assert!("0.2".parse::<Price>().unwrap() > "0.19".parse().unwrap());
    }

    #[test]
    fn history_begins_with_what_held_at_its_start() {
        let price = |text: &str| text.parse::<Price>().unwrap();
        let set = [(100, price("1")), (200, price("2")), (300, price("3"))];
        assert_eq!(during(&set, 150, 250), [(200, price("2")), (100, price("1"))]);
        assert_eq!(during(&set, 200, 200), [(200, price("2"))]);
        assert_eq!(during(&set, 50, 100), [(100, price("1")), (0, Price::default())]);
        assert_eq!(during(&set, 0, 10), [(0, Price::default())]);
        assert_eq!(during(&[], 0, 10), [(0, Price::default())]);
        assert_eq!(during(&set, 400, 500), [(300, price("3"))]);
    }
}

//! Decoding of leaves and lists; structures are generated.

use base64::Engine as _;
use secrecy::SecretString;
use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime, PrimitiveDateTime};

use super::Node;
use crate::error::ApiError;

/// A type that decodes itself from a node of the parameter tree; implemented by generated structures and by leaves.
pub trait FromQuery: Sized {
    /// Decodes.
    ///
    /// # Errors
    /// `UnknownParameter`, `MissingParameter`, `InvalidParameterValue`, each naming the full parameter.
    fn from_query(node: Node<'_>) -> Result<Self, ApiError>;
}

/// Short forms that the generated code calls.
#[derive(Debug)]
pub struct Leaf;

impl Leaf {
    /// A flattened list, `Name.1`.
    ///
    /// # Errors
    /// See [`FromQuery::from_query`].
    pub fn flat<T: FromQuery>(node: Node<'_>) -> Result<Vec<T>, ApiError> {
        node.items()?.into_iter().map(T::from_query).collect()
    }

    /// A list with a member level, `Name.member.1`.
    ///
    /// # Errors
    /// See [`FromQuery::from_query`].
    pub fn wrapped<T: FromQuery>(node: Node<'_>, member: &str) -> Result<Vec<T>, ApiError> {
        let mut list = Vec::new();
        for child in node.members()? {
            if child.name() != member {
                return Err(child.unknown());
            }
            list = Self::flat(child)?;
        }
        Ok(list)
    }

    /// A map, `Name.entry.1.key` and `Name.entry.1.value`, in the order of its indexes.
    ///
    /// # Errors
    /// See [`FromQuery::from_query`].
    pub fn map<T: FromQuery>(node: Node<'_>, key: &str, value: &str) -> Result<Vec<(String, T)>, ApiError> {
        let mut map = Vec::new();
        for child in node.members()? {
            if child.name() != "entry" {
                return Err(child.unknown());
            }
            for item in child.items()? {
                let (mut k, mut v) = (None, None);
                for part in item.members()? {
                    match part.name() {
                        name if name == key => k = Some(String::from_query(part)?),
                        name if name == value => v = Some(T::from_query(part)?),
                        _ => return Err(part.unknown()),
                    }
                }
                map.push((k.ok_or_else(|| item.missing(key))?, v.ok_or_else(|| item.missing(value))?));
            }
        }
        Ok(map)
    }
}

impl FromQuery for String {
    fn from_query(node: Node<'_>) -> Result<Self, ApiError> {
        node.scalar().map(str::to_owned)
    }
}

impl FromQuery for SecretString {
    fn from_query(node: Node<'_>) -> Result<Self, ApiError> {
        node.scalar().map(SecretString::from)
    }
}

impl FromQuery for bool {
    fn from_query(node: Node<'_>) -> Result<Self, ApiError> {
        let text = node.scalar()?;
        // Old clients send True and FALSE.
        if text.eq_ignore_ascii_case("true") || text == "1" {
            Ok(true)
        } else if text.eq_ignore_ascii_case("false") || text == "0" {
            Ok(false)
        } else {
            Err(node.invalid("Expected true or false."))
        }
    }
}

macro_rules! number {
    ($($t:ty, $what:literal;)*) => {$(
        impl FromQuery for $t {
            fn from_query(node: Node<'_>) -> Result<Self, ApiError> {
                node.scalar()?.parse().map_err(|_| node.invalid(concat!("Expected ", $what, ".")))
            }
        }
    )*};
}
number! { i32, "an integer of 32 bits"; i64, "an integer of 64 bits"; }

macro_rules! float {
    ($($t:ty),*) => {$(
        impl FromQuery for $t {
            fn from_query(node: Node<'_>) -> Result<Self, ApiError> {
                match node.scalar()?.parse::<$t>() {
                    Ok(n) if n.is_finite() => Ok(n),
                    _ => Err(node.invalid("Expected a number.")),
                }
            }
        }
    )*};
}
float!(f32, f64);

/// Base64, with or without padding, line breaks allowed.
impl FromQuery for Vec<u8> {
    fn from_query(node: Node<'_>) -> Result<Self, ApiError> {
        let text = node.scalar()?;
        let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        base64::engine::general_purpose::STANDARD_NO_PAD
            .decode(text.trim_end_matches('='))
            .map_err(|_| ApiError::invalid_value(node.path(), "", "Expected base64 data."))
    }
}

impl FromQuery for OffsetDateTime {
    fn from_query(node: Node<'_>) -> Result<Self, ApiError> {
        parse_timestamp(node.scalar()?)
            .ok_or_else(|| node.invalid("Expected an ISO 8601 date and time, such as 2026-01-02T03:04:05Z."))
    }
}

/// ISO 8601 with or without fraction, zone (default UTC) and time of day.
fn parse_timestamp(text: &str) -> Option<OffsetDateTime> {
    let text = text.trim();
    if let Ok(t) = OffsetDateTime::parse(text, &Rfc3339) {
        return Some(t.to_offset(time::UtcOffset::UTC));
    }
    let plain = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute][optional [:[second][optional [.[subsecond]]]]]"
    );
    if let Ok(t) = PrimitiveDateTime::parse(text.trim_end_matches('Z'), plain) {
        return Some(t.assume_utc());
    }
    let day = time::macros::format_description!("[year]-[month]-[day]");
    Date::parse(text, day).ok().map(|d| d.midnight().assume_utc())
}

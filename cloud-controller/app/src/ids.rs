//! Ids out of requests: the form is checked before anything is looked up, and all ids at once.

use mallee_awswire::{ApiError, Code};
use std::str::FromStr;

/// Ids one request may name (EC2: 1000).
pub const IDS_MAX: usize = 1000;

/// Parses ids of one kind; `malformed` is the kind's error.
///
/// # Errors
/// `malformed` for the first id that is none, `InvalidParameterValue` for too many.
pub fn parse_ids<T: FromStr + Ord>(texts: &[String], malformed: Code) -> Result<Vec<T>, ApiError> {
    if texts.len() > IDS_MAX {
        return Err(Code::InvalidParameterValue.message(format!("At most {IDS_MAX} ids can be given in one request.")));
    }
    let mut ids = texts.iter().map(|text| parse_id(text, malformed)).collect::<Result<Vec<T>, _>>()?;
    ids.sort();
    ids.dedup();
    Ok(ids)
}

/// Parses one id.
///
/// # Errors
/// `malformed`.
pub fn parse_id<T: FromStr>(text: &str, malformed: Code) -> Result<T, ApiError> {
    text.parse().map_err(|_| ApiError::malformed(malformed, &mallee_awswire::texts::clip(text)))
}

/// Fails with `not_found` if an id of `wanted` is not among `found`.
///
/// # Errors
/// `not_found`, naming every missing id.
pub fn require_all<T: AsRef<str>>(wanted: &[T], found: impl Fn(&T) -> bool, not_found: Code) -> Result<(), ApiError> {
    let missing: Vec<&str> = wanted.iter().filter(|id| !found(id)).map(AsRef::as_ref).collect();
    if missing.is_empty() { Ok(()) } else { Err(ApiError::not_found(not_found, &missing)) }
}

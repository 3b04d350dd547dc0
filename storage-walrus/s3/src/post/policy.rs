//! The policy of a form: until when it is good, and what its fields and its file may be
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html>).

use super::fields::Fields;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mallee_awswire::{ApiError, Code};
use serde_json::Value;
use std::ops::RangeInclusive;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Conditions of one policy.
const CONDITIONS_MAX: usize = 1000;
/// Fields that no condition has to name.
const FREE: &[&str] = &["awsaccesskeyid", "file", "policy", "signature", "x-amz-signature"];
/// What the fields begin with that are nobody's.
const IGNORED: &str = "x-ignore-";

/// What must be so.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Equal { field: String, value: String },
    Begins { field: String, start: String },
    Length(RangeInclusive<u64>),
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policy {
    expiration: OffsetDateTime,
    conditions: Vec<Condition>,
}

fn invalid(why: &str) -> ApiError {
    Code::InvalidPolicyDocument.message(format!("Invalid Policy: {why}"))
}

fn failed(why: &str) -> ApiError {
    Code::AccessDenied.message(format!("Invalid according to Policy: {why}"))
}

impl Condition {
    fn read(value: &Value) -> Result<Self, ApiError> {
        match value {
            Value::Object(pairs) => {
                let mut pairs = pairs.iter();
                let (Some((field, value)), None) = (pairs.next(), pairs.next()) else {
                    let text = "Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.";
                    return Err(invalid(text));
                };
                let value =
                    value.as_str().ok_or_else(|| invalid("Invalid Simple-Condition: value must be a string."))?;
                Ok(Self::Equal { field: field.to_ascii_lowercase(), value: value.to_owned() })
            }
            Value::Array(words) => Self::read_words(words),
            _ => Err(invalid("Invalid Condition: a condition must be an object or a list.")),
        }
    }

    fn read_words(words: &[Value]) -> Result<Self, ApiError> {
        let [operator, first, second] = words else {
            return Err(invalid("Invalid Condition: wrong number of arguments."));
        };
        let operator = operator.as_str().unwrap_or_default().to_ascii_lowercase();
        if operator == "content-length-range" {
            let wrong = || invalid("Invalid content-length-range: the bounds must be whole numbers.");
            let number = |value: &Value| {
                let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
                number.ok_or_else(wrong)
            };
            return Ok(Self::Length(number(first)?..=number(second)?));
        }
        let (Some(field), Some(value)) = (first.as_str(), second.as_str()) else {
            return Err(invalid("Invalid Condition: its arguments must be strings."));
        };
        let Some(field) = field.strip_prefix('$').filter(|field| !field.is_empty()) else {
            return Err(invalid("Invalid Condition: a field must begin with '$'."));
        };
        let (field, value) = (field.to_ascii_lowercase(), value.to_owned());
        match operator.as_str() {
            "eq" => Ok(Self::Equal { field, value }),
            "starts-with" => Ok(Self::Begins { field, start: value }),
            _ => Err(invalid("Invalid Condition: unknown operation.")),
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::Equal { field, .. } | Self::Begins { field, .. } => Some(field),
            Self::Length(_) => None,
        }
    }

    /// Whether a field's value is as it must be; `None`: the field is not there.
    fn holds(&self, found: Option<&str>) -> bool {
        match self {
            Self::Equal { value, .. } => found == Some(value),
            // Of a list of types each must be.
            Self::Begins { field, start } if field == "content-type" => {
                found.unwrap_or_default().split(',').all(|kind| kind.trim_start().starts_with(start.as_str()))
            }
            Self::Begins { start, .. } => found.unwrap_or_default().starts_with(start.as_str()),
            Self::Length(_) => true,
        }
    }

    /// As AWS writes it.
    fn shown(&self) -> String {
        let (operator, field, value) = match self {
            Self::Equal { field, value } => ("eq", field, value),
            Self::Begins { field, start } => ("starts-with", field, start),
            Self::Length(range) => return format!("[\"content-length-range\", {}, {}]", range.start(), range.end()),
        };
        let quoted = |text: &str| Value::from(text).to_string();
        format!("[{}, {}, {}]", quoted(operator), quoted(&format!("${field}")), quoted(value))
    }
}

impl Policy {
    /// Reads the policy of a form, base64 as it came.
    ///
    /// # Errors
    /// `InvalidPolicyDocument`.
    pub(super) fn read(text: &str) -> Result<Self, ApiError> {
        // Tools break long lines.
        let text: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        let json = STANDARD.decode(text).map_err(|_| invalid("Invalid Base64."))?;
        let value: Value = serde_json::from_slice(&json).map_err(|_| invalid("Invalid JSON."))?;
        let members = value.as_object().ok_or_else(|| invalid("Invalid JSON."))?;
        if let Some(other) = members.keys().find(|key| !["expiration", "conditions"].contains(&key.as_str())) {
            let other = mallee_awswire::texts::clip(other);
            return Err(invalid(&format!("Unexpected: '{other}'.")));
        }
        let expiration = members.get("expiration").ok_or_else(|| invalid("Policy missing expiration."))?;
        // RFC 3339 allows more than the one form of ISO 8601 that policies are written in: a space, another zone.
        let expiration =
            expiration.as_str().filter(|text| text.as_bytes().get(10) == Some(&b'T') && text.ends_with('Z'));
        let expiration = expiration.and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
        let expiration = expiration.ok_or_else(|| invalid("Invalid 'expiration' value."))?;
        let conditions = members.get("conditions").ok_or_else(|| invalid("Policy missing conditions."))?;
        let conditions = conditions.as_array().ok_or_else(|| invalid("Conditions must be a list."))?;
        if conditions.len() > CONDITIONS_MAX {
            return Err(invalid("There are too many conditions."));
        }
        let conditions = conditions.iter().map(Condition::read).collect::<Result<_, _>>()?;
        Ok(Self { expiration, conditions })
    }

    /// Checks a form to a bucket, and says how many bytes its file may have.
    ///
    /// # Errors
    /// `AccessDenied`, which names what does not hold.
    pub(super) fn check(
        &self,
        fields: &Fields,
        bucket: &str,
        now: OffsetDateTime,
    ) -> Result<RangeInclusive<u64>, ApiError> {
        if now >= self.expiration {
            return Err(failed("Policy expired."));
        }
        let value = |field: &str| if field == "bucket" { Some(bucket) } else { fields.get(field) };
        let (mut least, mut most) = (0, u64::MAX);
        for condition in &self.conditions {
            if let Condition::Length(range) = condition {
                (least, most) = (least.max(*range.start()), most.min(*range.end()));
            }
            if !condition.holds(condition.field().and_then(value)) {
                return Err(failed(&format!("Policy Condition failed: {}", condition.shown())));
            }
        }
        let named = |name: &str| self.conditions.iter().any(|condition| condition.field() == Some(name));
        let extra = |name: &&str| !FREE.contains(name) && !name.starts_with(IGNORED) && !named(name);
        // Where the form is sent is part of it, whether a field says so or not: one that is for another bucket is none here.
        let here = ["bucket"].into_iter().filter(|name| fields.get(name).is_none());
        let extra: Vec<_> = here.chain(fields.names()).filter(extra).collect();
        if extra.is_empty() {
            Ok(least..=most)
        } else {
            Err(failed(&format!("Extra input fields: {}", extra.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests;

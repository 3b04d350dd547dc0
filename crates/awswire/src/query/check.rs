//! The model's constraints, checked in the words of each protocol.

use super::Node;
use crate::codes::Code;
use crate::error::ApiError;
use crate::texts::clip;

/// Character ranges of a model pattern that is one class, and the pattern as the error text shows it.
type Class<'c> = (&'c [(char, char)], &'c str);

/// Members that are secrets though the model does not say so: they are not repeated.
const CODES: [&str; 3] = ["AuthenticationCode1", "AuthenticationCode2", "TokenCode"];

impl<'a> Node<'a> {
    /// The child of this name, if any parameter lies there.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<Node<'a>> {
        self.children().find(|c| c.name() == name)
    }

    /// IAM's and STS's error for a required member that is absent.
    #[must_use]
    pub fn null(&self, member: &str) -> ApiError {
        Code::ValidationError.message(format!(
            "1 validation error detected: Value null at '{}' failed to satisfy constraint: Member must not be null",
            self.lower_path(member)
        ))
    }

    /// EC2: a number within bounds.
    ///
    /// # Errors
    /// `InvalidParameterValue`.
    pub fn check_range(
        &self,
        member: &str,
        value: Option<i32>,
        min: Option<i64>,
        max: Option<i64>,
    ) -> Result<(), ApiError> {
        let Some(v) = value.map(i64::from) else {
            return Ok(());
        };
        let why = match (min, max) {
            (Some(min), _) if v < min => {
                format!("Expecting a value greater than or equal to {min}.")
            }
            (_, Some(max)) if v > max => format!("Expecting a value less than or equal to {max}."),
            _ => return Ok(()),
        };
        let shown = lower_first(&self.path_of(member));
        Err(Code::InvalidParameterValue.message(format!("Value ( {v} ) for parameter {shown} is invalid. {why}")))
    }

    /// Query: a number within bounds.
    ///
    /// # Errors
    /// `ValidationError`.
    pub fn check_number(
        &self,
        member: &str,
        value: Option<i32>,
        min: Option<i64>,
        max: Option<i64>,
    ) -> Result<(), ApiError> {
        let Some(v) = value.map(i64::from) else {
            return Ok(());
        };
        match (min, max) {
            (Some(min), _) if v < min => {
                Err(self.violated(member, &v.to_string(), &format!("have value greater than or equal to {min}")))
            }
            (_, Some(max)) if v > max => {
                Err(self.violated(member, &v.to_string(), &format!("have value less than or equal to {max}")))
            }
            _ => Ok(()),
        }
    }

    /// Query: a text within lengths (in characters) and of certain characters; `secret` values are not repeated.
    ///
    /// # Errors
    /// `ValidationError`.
    pub fn check_text(
        &self,
        member: &str,
        value: Option<&str>,
        min: Option<usize>,
        max: Option<usize>,
        class: Option<Class<'_>>,
        secret: bool,
    ) -> Result<(), ApiError> {
        let Some(v) = value else { return Ok(()) };
        let length = v.chars().count();
        let shown = if secret || CODES.contains(&member) { "***" } else { v };
        if let Some(min) = min.filter(|min| length < *min) {
            return Err(self.violated(member, shown, &format!("have length greater than or equal to {min}")));
        }
        if let Some(max) = max.filter(|max| length > *max) {
            return Err(self.violated(member, shown, &format!("have length less than or equal to {max}")));
        }
        match class {
            Some((ranges, pattern)) if !v.chars().all(|c| ranges.iter().any(|(lo, hi)| (*lo..=*hi).contains(&c))) => {
                Err(self.violated(member, shown, &format!("satisfy regular expression pattern: {pattern}")))
            }
            _ => Ok(()),
        }
    }

    /// Query: a value of an enum.
    ///
    /// # Errors
    /// `ValidationError`.
    pub fn check_enum(&self, member: &str, value: Option<&str>, values: &[&str]) -> Result<(), ApiError> {
        match value {
            Some(v) if !values.contains(&v) => {
                Err(self.violated(member, v, &format!("satisfy enum value set: [{}]", values.join(", "))))
            }
            _ => Ok(()),
        }
    }

    /// Query: a list that is not too long.
    ///
    /// # Errors
    /// `ValidationError`.
    pub fn check_count(&self, member: &str, count: usize, max: Option<usize>) -> Result<(), ApiError> {
        match max {
            Some(max) if count > max => Err(self.violated(
                member,
                &format!("[{count} items]"),
                &format!("have length less than or equal to {max}"),
            )),
            _ => Ok(()),
        }
    }

    fn violated(&self, member: &str, value: &str, must: &str) -> ApiError {
        Code::ValidationError.message(format!(
            "1 validation error detected: Value '{}' at '{}' failed to satisfy constraint: Member must {must}",
            clip(value),
            self.lower_path(member)
        ))
    }

    fn lower_path(&self, member: &str) -> String {
        self.path_of(member).split('.').map(lower_first).collect::<Vec<_>>().join(".")
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

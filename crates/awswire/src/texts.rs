//! Constructors for the errors that handlers raise most, in AWS's exact words.

use crate::codes::Code;
use crate::error::ApiError;

impl ApiError {
    /// `InvalidInstanceID.NotFound`; AWS uses the plural for several ids.
    #[must_use]
    pub fn instance_not_found(ids: &[&str]) -> Self {
        Self::not_found(Code::InvalidInstanceIdNotFound, ids)
    }

    /// An `Invalid….NotFound` error for one or several ids, with AWS's plural wording where it has one.
    ///
    /// `The instance ID 'i-1' does not exist` becomes `The instance IDs 'i-1, i-2' do not exist`.
    #[must_use]
    pub fn not_found(code: Code, ids: &[&str]) -> Self {
        if ids.len() < 2 {
            return code.with(ids);
        }
        let joined = ids.join(", ");
        let text = code.text(&[&joined]);
        let text = text.replacen(" ID '", " IDs '", 1).replacen(" id '", " ids '", 1).replacen(
            " does not exist",
            " do not exist",
            1,
        );
        code.message(text)
    }

    /// `Invalid….Malformed` for an id that is not of the form the code's template names.
    #[must_use]
    pub fn malformed(code: Code, id: &str) -> Self {
        code.with(&[id])
    }

    /// `MissingParameter`: "The request must contain the parameter X".
    #[must_use]
    pub fn missing_parameter(name: &str) -> Self {
        Code::MissingParameter.with(&[name])
    }

    /// `UnknownParameter`: "The parameter X is not recognized".
    #[must_use]
    pub fn unknown_parameter(name: &str) -> Self {
        Code::UnknownParameter.with(&[name])
    }

    /// `InvalidParameterValue`: "Value (V) for parameter P is invalid. WHY".
    #[must_use]
    pub fn invalid_value(parameter: &str, value: &str, why: &str) -> Self {
        Code::InvalidParameterValue.with(&[&clip(value), parameter, why])
    }

    /// `InvalidParameterCombination` with its own text.
    #[must_use]
    pub fn invalid_combination(text: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Code::InvalidParameterCombination.message(text)
    }

    /// `InvalidParameterValue`: "The filter 'x' is invalid", as AWS says it.
    #[must_use]
    pub fn invalid_filter(name: &str) -> Self {
        Code::InvalidParameterValue.message(format!("The filter '{}' is invalid", clip(name)))
    }

    /// A parameter that AWS knows and this cloud does not honour: refused by name.
    #[must_use]
    pub fn unsupported_parameter(name: &str) -> Self {
        Code::Unsupported.message(format!("The parameter {name} is not supported by this cloud."))
    }

    /// An operation that AWS knows and this cloud does not offer.
    #[must_use]
    pub fn unsupported_operation(action: &str) -> Self {
        Code::UnsupportedOperation.with(&[action])
    }

    /// `InvalidAction`: an operation that no version of the API has.
    #[must_use]
    pub fn invalid_action(action: &str) -> Self {
        Code::InvalidAction.with(&[&clip(action)])
    }

    /// `DependencyViolation`: "resource X has a dependent object".
    #[must_use]
    pub fn dependency_violation(resource: &str) -> Self {
        Code::DependencyViolation.with(&[resource])
    }

    /// `UnauthorizedOperation` with AWS's explanation of who may not do what.
    #[must_use]
    pub fn unauthorized(principal_arn: &str, action: &str, resource: &str, reason: &str) -> Self {
        Code::UnauthorizedOperation.message(format!(
            "You are not authorized to perform this operation. User: {principal_arn} is not authorized to perform: \
             {action} on resource: {resource} because {reason}"
        ))
    }

    /// `AccessDenied` in the words of IAM and STS.
    #[must_use]
    pub fn access_denied(principal_arn: &str, action: &str, resource: &str, reason: &str) -> Self {
        Code::AccessDenied.message(format!(
            "User: {principal_arn} is not authorized to perform: {action} on resource: {resource} because {reason}"
        ))
    }

    /// IAM's `NoSuchEntity`: "The user with name bob cannot be found."
    #[must_use]
    pub fn no_such_entity(kind: &str, name: &str) -> Self {
        Code::NoSuchEntity.message(format!("The {kind} with name {} cannot be found.", clip(name)))
    }

    /// IAM's `EntityAlreadyExists`: "User with name bob already exists."
    #[must_use]
    pub fn entity_already_exists(kind: &str, name: &str) -> Self {
        Code::EntityAlreadyExists.message(format!("{kind} with name {} already exists.", clip(name)))
    }
}

/// Longest part of a caller's value that an error text repeats, in bytes.
pub const MAX_ECHO_BYTES: usize = 256;

/// A caller's value cut to [`MAX_ECHO_BYTES`], so that an error is never larger than the request.
#[must_use]
pub fn clip(value: &str) -> std::borrow::Cow<'_, str> {
    if value.len() <= MAX_ECHO_BYTES {
        return value.into();
    }
    let mut end = MAX_ECHO_BYTES;
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &value[..end]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_awss() {
        assert_eq!(ApiError::instance_not_found(&["i-1"]).message(), "The instance ID 'i-1' does not exist");
        assert_eq!(ApiError::instance_not_found(&["i-1", "i-2"]).message(), "The instance IDs 'i-1, i-2' do not exist");
        assert_eq!(
            ApiError::not_found(Code::InvalidAmiIdNotFound, &["ami-1"]).message(),
            "The image id '[ami-1]' does not exist"
        );
        assert_eq!(
            ApiError::malformed(Code::InvalidInstanceIdMalformed, "x").message(),
            "Invalid id: \"x\" (expecting \"i-...\")"
        );
        assert_eq!(ApiError::missing_parameter("ImageId").message(), "The request must contain the parameter ImageId");
        assert_eq!(ApiError::unknown_parameter("Foo").message(), "The parameter Foo is not recognized");
    }

    #[test]
    fn long_values_are_cut_on_a_character() {
        assert!(clip(&"é".repeat(500)).len() < 300);
    }
}

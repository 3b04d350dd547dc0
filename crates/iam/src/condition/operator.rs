//! The names of the operators.

use super::Quantifier;
use std::cmp::Ordering;

/// An operator without its prefix and suffix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operator {
    StringEquals,
    StringNotEquals,
    StringEqualsIgnoreCase,
    StringNotEqualsIgnoreCase,
    StringLike,
    StringNotLike,
    Numeric(Compare),
    Date(Compare),
    Bool,
    BinaryEquals,
    IpAddress,
    NotIpAddress,
    /// `ArnEquals` and `ArnLike`: AWS treats them alike.
    Arn,
    /// `ArnNotEquals` and `ArnNotLike`.
    NotArn,
    Null,
}

/// How two values of an order are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Compare {
    Equals,
    NotEquals,
    LessThan,
    LessThanEquals,
    GreaterThan,
    GreaterThanEquals,
}

impl Compare {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "Equals" => Self::Equals,
            "NotEquals" => Self::NotEquals,
            "LessThan" => Self::LessThan,
            "LessThanEquals" => Self::LessThanEquals,
            "GreaterThan" => Self::GreaterThan,
            "GreaterThanEquals" => Self::GreaterThanEquals,
            _ => return None,
        })
    }

    /// Whether `value ? operand` holds, given how they compare; `NotEquals` answers for `Equals` (the negation is the
    /// condition's).
    pub(crate) const fn admits(self, order: Ordering) -> bool {
        match self {
            Self::Equals | Self::NotEquals => order.is_eq(),
            Self::LessThan => order.is_lt(),
            Self::LessThanEquals => order.is_le(),
            Self::GreaterThan => order.is_gt(),
            Self::GreaterThanEquals => order.is_ge(),
        }
    }
}

impl Operator {
    fn parse_bare(text: &str) -> Option<Self> {
        Some(match text {
            "StringEquals" => Self::StringEquals,
            "StringNotEquals" => Self::StringNotEquals,
            "StringEqualsIgnoreCase" => Self::StringEqualsIgnoreCase,
            "StringNotEqualsIgnoreCase" => Self::StringNotEqualsIgnoreCase,
            "StringLike" => Self::StringLike,
            "StringNotLike" => Self::StringNotLike,
            "Bool" => Self::Bool,
            "BinaryEquals" => Self::BinaryEquals,
            "IpAddress" => Self::IpAddress,
            "NotIpAddress" => Self::NotIpAddress,
            "ArnEquals" | "ArnLike" => Self::Arn,
            "ArnNotEquals" | "ArnNotLike" => Self::NotArn,
            "Null" => Self::Null,
            other => match (other.strip_prefix("Numeric"), other.strip_prefix("Date")) {
                (Some(compare), _) => Self::Numeric(Compare::parse(compare)?),
                (_, Some(compare)) => Self::Date(Compare::parse(compare)?),
                _ => return None,
            },
        })
    }

    /// Reads `ForAnyValue:StringLikeIfExists`.
    pub(crate) fn parse(text: &str) -> Option<(Quantifier, Self, bool)> {
        let (quantifier, rest) = match text.split_once(':') {
            None => (Quantifier::Single, text),
            Some(("ForAllValues", rest)) => (Quantifier::All, rest),
            Some(("ForAnyValue", rest)) => (Quantifier::Any, rest),
            Some(_) => return None,
        };
        let (bare, if_exists) = rest.strip_suffix("IfExists").map_or((rest, false), |bare| (bare, true));
        let operator = Self::parse_bare(bare)?;
        // Whether a key exists is all that Null asks, so neither prefix nor suffix means anything with it.
        if operator == Self::Null && (if_exists || quantifier != Quantifier::Single) {
            return None;
        }
        Some((quantifier, operator, if_exists))
    }

    /// Whether it holds where its positive twin does not.
    pub(crate) const fn is_negated(self) -> bool {
        matches!(
            self,
            Self::StringNotEquals
                | Self::StringNotEqualsIgnoreCase
                | Self::StringNotLike
                | Self::Numeric(Compare::NotEquals)
                | Self::Date(Compare::NotEquals)
                | Self::NotIpAddress
                | Self::NotArn
        )
    }
}

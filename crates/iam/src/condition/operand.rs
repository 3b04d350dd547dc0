//! What stands on the policy's side of a condition, read once.

use super::operator::Operator;
use super::scalar::{Decimal, parse_bool, parse_date, parse_net};
use crate::context::Context;
use crate::pattern::ResourcePattern;
use crate::policy::Version;
use crate::variable::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;

/// A value of a condition.
#[derive(Debug, Clone)]
pub(crate) enum Operand {
    Text(Template),
    Arn(ResourcePattern),
    Number(Decimal),
    /// Nanoseconds since 1970.
    Date(i128),
    Bool(bool),
    Binary(Vec<u8>),
    Net(IpNet),
}

impl Operand {
    /// Reads a value as its operator takes it; `None` when it cannot be read so.
    pub(crate) fn parse(operator: Operator, text: &str, version: Version) -> Option<Self> {
        Some(match operator {
            Operator::StringEquals
            | Operator::StringNotEquals
            | Operator::StringEqualsIgnoreCase
            | Operator::StringNotEqualsIgnoreCase => Self::Text(Template::new(text, version, false)),
            Operator::StringLike | Operator::StringNotLike => Self::Text(Template::new(text, version, true)),
            Operator::Numeric(_) => Self::Number(Decimal::parse(text)?),
            Operator::Date(_) => Self::Date(parse_date(text)?),
            Operator::Bool | Operator::Null => Self::Bool(parse_bool(text)?),
            Operator::BinaryEquals => Self::Binary(STANDARD.decode(text).ok()?),
            Operator::IpAddress | Operator::NotIpAddress => Self::Net(parse_net(text)?),
            Operator::Arn | Operator::NotArn => Self::Arn(ResourcePattern::new(text, version)),
        })
    }

    /// Whether a value of the request matches, the operator's negation left aside; `None` when a variable has no value.
    /// A value that cannot be read as its operator wants matches nothing.
    pub(crate) fn matches(&self, operator: Operator, value: &str, context: &Context) -> Option<bool> {
        Some(match (self, operator) {
            (Self::Text(template), Operator::StringLike | Operator::StringNotLike) => {
                return template.matches(value, context, false);
            }
            (Self::Text(template), Operator::StringEqualsIgnoreCase | Operator::StringNotEqualsIgnoreCase) => {
                same_without_case(&template.text(context)?, value)
            }
            (Self::Text(template), _) => template.text(context)? == value,
            (Self::Arn(pattern), _) => return pattern.matches(value, context),
            (Self::Number(number), Operator::Numeric(compare)) => {
                Decimal::parse(value).is_some_and(|value| compare.admits(value.cmp(number)))
            }
            (Self::Date(date), Operator::Date(compare)) => {
                parse_date(value).is_some_and(|value| compare.admits(value.cmp(date)))
            }
            (Self::Bool(wanted), _) => parse_bool(value) == Some(*wanted),
            (Self::Binary(wanted), _) => STANDARD.decode(value).is_ok_and(|value| value == *wanted),
            (Self::Net(net), _) => parse_net(value).is_some_and(|value| net.contains(&value)),
            (Self::Number(_) | Self::Date(_), _) => false,
        })
    }

    /// Calls for the key of every variable, as written.
    pub(crate) fn each_key(&self, f: &mut dyn FnMut(&str)) {
        match self {
            Self::Text(template) => template.each_key(f),
            Self::Arn(pattern) => pattern.each_key(f),
            Self::Number(_) | Self::Date(_) | Self::Bool(_) | Self::Binary(_) | Self::Net(_) => {}
        }
    }

    /// Whether it is one value: a text without wildcards and variables.
    pub(crate) fn is_fixed(&self) -> bool {
        match self {
            Self::Text(template) => template.is_fixed(),
            Self::Arn(pattern) => pattern.is_fixed(),
            Self::Number(_) | Self::Date(_) | Self::Bool(_) | Self::Binary(_) => true,
            Self::Net(_) => false,
        }
    }

    /// The number as a quota, if it is a whole one.
    pub(crate) fn as_quota(&self) -> Option<u64> {
        if let Self::Number(number) = self { number.as_u64() } else { None }
    }
}

fn same_without_case(a: &str, b: &str) -> bool {
    if a.is_ascii() && b.is_ascii() { a.eq_ignore_ascii_case(b) } else { a.to_lowercase() == b.to_lowercase() }
}

//! The names of those who are told.

use std::fmt;

/// How somebody is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Service {
    /// A queue: a message is sent to it.
    #[default]
    Sqs,
    /// A topic: a webhook gets a POST.
    Sns,
}

/// `arn:aws:sqs:REGION:ACCOUNT:NAME`, or `sns`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TargetArn {
    /// How it is told.
    pub service: Service,
    /// The region.
    pub region: String,
    /// The account: 12 digits.
    pub account: String,
    /// The name under which an administrator declared it.
    pub name: String,
}

impl TargetArn {
    /// Reads an ARN; `None` for what is none of a queue or topic.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let mut next = || parts.next();
        if (next()?, next()?) != ("arn", "aws") {
            return None;
        }
        let service = match next()? {
            "sqs" => Service::Sqs,
            "sns" => Service::Sns,
            _ => return None,
        };
        let (region, account, name) = (next()?, next()?, next()?);
        let good = account.len() == 12
            && account.bytes().all(|b| b.is_ascii_digit())
            && !region.is_empty()
            && is_name(name)
            && parts.next().is_none();
        good.then(|| Self { service, region: region.to_owned(), account: account.to_owned(), name: name.to_owned() })
    }
}

/// Whether something may be declared under this name.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=80).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

impl fmt::Display for TargetArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let service = match self.service {
            Service::Sqs => "sqs",
            Service::Sns => "sns",
        };
        write!(f, "arn:aws:{service}:{}:{}:{}", self.region, self.account, self.name)
    }
}

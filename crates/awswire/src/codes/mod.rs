//! The one error-code table: code, HTTP status, whether a retry may help, and AWS's wording.
//!
//! Every error that an API of this cloud can answer is a row here; [`Code`] has no other values, so a code
//! that is not in the table cannot be sent. `{}` in a template is filled in order by [`Code::with`].
//! Wordings are AWS's own where clients are known to read them; statuses follow AWS (throttling is 503,
//! because botocore's legacy mode retries `RequestLimitExceeded` with no other status).

#[macro_use]
mod define;
mod table;

pub use table::Code;

/// What the table says about one code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeRow {
    /// The code as it goes on the wire.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// True if the same request may succeed later.
    pub retriable: bool,
    /// Message with `{}` for each argument.
    pub template: &'static str,
}

impl Code {
    /// The code as it goes on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().code
    }

    /// The code whose wire form is `text`, if the table has it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|c| c.as_str() == text)
    }

    /// HTTP status of this code.
    #[must_use]
    pub fn status(self) -> u16 {
        self.row().status
    }

    /// True if the same request may succeed later.
    #[must_use]
    pub fn retriable(self) -> bool {
        self.row().retriable
    }

    /// The template with its `{}` filled in order; missing arguments leave nothing, extra ones are dropped.
    #[must_use]
    pub fn text(self, args: &[&str]) -> String {
        let template = self.row().template;
        let mut out = String::with_capacity(template.len() + 32);
        let mut args = args.iter();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{}") {
            out.push_str(before);
            out.push_str(args.next().copied().unwrap_or_default());
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::Code;
    use std::collections::HashSet;

    #[test]
    fn every_code_is_unique_and_parses_back() {
        let mut seen = HashSet::new();
        for &code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{} twice", code.as_str());
            assert_eq!(Code::parse(code.as_str()), Some(code));
            assert!((300..600).contains(&code.status()), "{}", code.as_str());
            assert!(!code.row().template.is_empty());
        }
    }

    #[test]
    fn templates_fill_in_order() {
        assert_eq!(Code::InvalidAmiIdMalformed.text(&["x"]), "Invalid id: \"x\" (expecting \"ami-...\")");
        assert_eq!(
            Code::InvalidGroupDuplicate.text(&["web", "vpc-1"]),
            "The security group 'web' already exists for VPC 'vpc-1'"
        );
    }
}

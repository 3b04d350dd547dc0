//! Object lock of a bucket: that its versions can be retained, and how those are that say nothing of it
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectLockConfiguration.html>).

use crate::Document;
use crate::document::malformed;
use mallee_awswire::xml_read::Element;
use mallee_awswire::{ApiError, Code, XmlWriter};

/// Longest retention by default, in days and in years.
const DAYS_MAX: u32 = 36_500;
const YEARS_MAX: u32 = 100;
/// Days of a year, as AWS counts them.
const YEAR_DAYS: u32 = 365;

/// Who may pass a retention by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetentionMode {
    /// Whoever has the right to.
    Governance,
    /// Nobody.
    Compliance,
}

impl RetentionMode {
    /// Reads its name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Governance, Self::Compliance].into_iter().find(|mode| mode.name() == text)
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }
}

/// How long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// In days.
    Days(u32),
    /// In years.
    Years(u32),
}

/// The retention of versions that are written without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultRetention {
    /// Who may pass it by.
    pub mode: RetentionMode,
    /// How long after its writing a version is retained.
    pub period: Period,
}

impl DefaultRetention {
    /// The same in days.
    #[must_use]
    pub const fn days(&self) -> u32 {
        match self.period {
            Period::Days(days) => days,
            Period::Years(years) => years * YEAR_DAYS,
        }
    }
}

/// The document. That it is there says that object lock is enabled; it never is disabled again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectLock {
    /// The retention by default, if there is one.
    pub default: Option<DefaultRetention>,
}

/// The only children of an element, by name; `None` where one of them is missing.
fn children<'e, const N: usize>(of: &'e Element, names: [&str; N]) -> Result<[Option<&'e Element>; N], ApiError> {
    let mut found = [None; N];
    for child in &of.children {
        let at = names.iter().position(|name| *name == child.name).and_then(|at| found.get_mut(at));
        match at {
            Some(slot @ None) => *slot = Some(child),
            _ => return Err(malformed()),
        }
    }
    Ok(found)
}

fn number(element: &Element, max: u32) -> Result<u32, ApiError> {
    let number = element.text.trim().parse::<i64>().map_err(|_| malformed())?;
    let wrong = |text: &str| Code::InvalidRetentionPeriod.message(text.to_owned());
    if number <= 0 {
        return Err(wrong("Default retention period must be a positive integer value."));
    }
    u32::try_from(number).ok().filter(|n| *n <= max).ok_or_else(|| wrong("Default retention period is too large."))
}

fn default_retention(rule: &Element) -> Result<DefaultRetention, ApiError> {
    let [retention] = children(rule, ["DefaultRetention"])?;
    let [mode, days, years] = children(retention.ok_or_else(malformed)?, ["Mode", "Days", "Years"])?;
    let mode = mode.and_then(|mode| RetentionMode::parse(mode.text.trim())).ok_or_else(malformed)?;
    let period = match (days, years) {
        (Some(days), None) => Period::Days(number(days, DAYS_MAX)?),
        (None, Some(years)) => Period::Years(number(years, YEARS_MAX)?),
        _ => return Err(malformed()),
    };
    Ok(DefaultRetention { mode, period })
}

impl Document for ObjectLock {
    const KIND: &'static str = "object-lock";
    const ROOT: &'static str = "ObjectLockConfiguration";
    const MUST_HASH: bool = true;

    fn read(root: &Element) -> Result<Self, ApiError> {
        let [enabled, rule] = children(root, ["ObjectLockEnabled", "Rule"])?;
        if enabled.is_none_or(|enabled| enabled.text.trim() != "Enabled") {
            return Err(malformed());
        }
        Ok(Self { default: rule.map(default_retention).transpose()? })
    }

    fn write(&self, w: &mut XmlWriter) {
        w.text("ObjectLockEnabled", "Enabled");
        let Some(DefaultRetention { mode, period }) = &self.default else { return };
        w.open("Rule");
        w.open("DefaultRetention");
        w.text("Mode", mode.name());
        match period {
            Period::Days(days) => w.display("Days", days),
            Period::Years(years) => w.display("Years", years),
        }
        w.close("DefaultRetention");
        w.close("Rule");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kept, parse, text};

    fn read(inner: &str) -> Result<ObjectLock, Code> {
        let body = format!("<ObjectLockConfiguration>{inner}</ObjectLockConfiguration>");
        parse(body.as_bytes()).map_err(|error| error.code())
    }

    fn rule(inner: &str) -> String {
        format!(
            "<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>{inner}</DefaultRetention></Rule>"
        )
    }

    #[test]
    fn bodies() {
        assert_eq!(read("<ObjectLockEnabled>Enabled</ObjectLockEnabled>"), Ok(ObjectLock { default: None }));
        let two_years = read(&rule("<Mode>COMPLIANCE</Mode><Years>2</Years>")).expect("good");
        assert_eq!(
            two_years.default.map(|default| (default.mode, default.days())),
            Some((RetentionMode::Compliance, 730))
        );
        assert_eq!(kept::<ObjectLock>(&text(&two_years)).expect("kept"), two_years);
        let days = read(&rule("<Days>36500</Days><Mode>GOVERNANCE</Mode>")).expect("good");
        assert_eq!(days.default.map(|default| default.period), Some(Period::Days(36_500)));
        for (bad, code) in [
            (String::new(), Code::MalformedXml),
            ("<ObjectLockEnabled>Disabled</ObjectLockEnabled>".to_owned(), Code::MalformedXml),
            ("<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule/>".to_owned(), Code::MalformedXml),
            (rule("<Mode>GOVERNANCE</Mode>"), Code::MalformedXml),
            (rule("<Mode>governance</Mode><Days>1</Days>"), Code::MalformedXml),
            (rule("<Mode>GOVERNANCE</Mode><Days>1</Days><Years>1</Years>"), Code::MalformedXml),
            (rule("<Mode>GOVERNANCE</Mode><Days>1</Days><Days>1</Days>"), Code::MalformedXml),
            (rule("<Mode>GOVERNANCE</Mode><Days>x</Days>"), Code::MalformedXml),
            (rule("<Mode>GOVERNANCE</Mode><Days>0</Days>"), Code::InvalidRetentionPeriod),
            (rule("<Mode>GOVERNANCE</Mode><Years>-1</Years>"), Code::InvalidRetentionPeriod),
            (rule("<Mode>GOVERNANCE</Mode><Days>36501</Days>"), Code::InvalidRetentionPeriod),
            (rule("<Mode>GOVERNANCE</Mode><Years>4294967297</Years>"), Code::InvalidRetentionPeriod),
        ] {
            assert_eq!(read(&bad), Err(code), "{bad}");
        }
    }
}

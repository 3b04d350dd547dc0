//! What is said of a version besides its name and bytes, and may change after its writing.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The storage class of everything that names none.
pub const STANDARD: &str = "STANDARD";

/// Tags by key.
pub type Tags = BTreeMap<String, String>;

/// How a version is kept from being deleted until a time
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockMode {
    /// Whoever has the right to may pass it by.
    Governance,
    /// Nobody may.
    Compliance,
}

/// A retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Who may end it.
    pub mode: LockMode,
    /// Until when, in milliseconds since 1970.
    pub until_ms: i64,
}

impl Retention {
    /// Whether it is over.
    #[must_use]
    pub const fn over(self, now_ms: i64) -> bool {
        self.until_ms <= now_ms
    }

    /// Whether a retention may take the place of another (`None`: of or by none). Who may not pass governance by
    /// (`bypass`) can only make it longer; compliance can be passed by nobody.
    #[must_use]
    pub fn may_change(old: Option<Self>, new: Option<Self>, now_ms: i64, bypass: bool) -> bool {
        match old.filter(|old| !old.over(now_ms)) {
            None => true,
            Some(old) if old.mode == LockMode::Governance && bypass => true,
            Some(old) => new.is_some_and(|new| new.mode == old.mode && new.until_ms >= old.until_ms),
        }
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Properties {
    /// Storage class.
    #[serde(default = "standard", skip_serializing_if = "is_standard")]
    pub class: String,
    /// The account that owns it; none: the bucket's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Access control list, as the protocol keeps it; none: the owner has full control, nobody else any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl: Option<String>,
    /// Retention, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// Legal hold: kept from being deleted until it is lifted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub legal_hold: bool,
    /// Somebody has said whether it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hold_known: bool,
    /// How the bytes are encrypted, JSON; none: they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<String>,
    /// State of its replication (`PENDING`, …), if a rule asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication: Option<String>,
}

impl Default for Properties {
    fn default() -> Self {
        Self {
            class: standard(),
            owner: None,
            tags: Tags::new(),
            acl: None,
            retention: None,
            legal_hold: false,
            hold_known: false,
            encryption: None,
            replication: None,
        }
    }
}

impl Properties {
    /// Whether a version that has them must not go at this time.
    #[must_use]
    pub fn locked(&self, now_ms: i64, bypass: bool) -> bool {
        let retained = self
            .retention
            .is_some_and(|retention| !(retention.over(now_ms) || bypass && retention.mode == LockMode::Governance));
        self.legal_hold || retained
    }
}

fn standard() -> String {
    STANDARD.to_owned()
}

fn is_standard(class: &str) -> bool {
    class == STANDARD
}

/// Makes the new properties of a version from those it has, or says why it cannot have them. It is called within a
/// transaction that nobody else changes the version in.
pub type PropertyChange<'c> = dyn Fn(&crate::ObjectInfo) -> Result<Properties, crate::Error> + Send + Sync + 'c;

#[cfg(test)]
mod tests {
    use super::LockMode::{Compliance, Governance};
    use super::*;

    /// Old and new retention, whether governance may be passed by: may it change, at 100 ms?
    #[test]
    fn changes_of_retentions() {
        let (g, c) = (|until_ms| Some((Governance, until_ms)), |until_ms| Some((Compliance, until_ms)));
        for (old, new, bypass, allowed) in [
            (None, g(200), false, true),
            (None, c(200), false, true),
            (None, None, false, true),
            (g(200), g(200), false, true),
            (g(200), g(201), false, true),
            (g(200), g(199), false, false),
            (g(200), c(300), false, false),
            (g(200), None, false, false),
            (g(200), g(199), true, true),
            (g(200), c(199), true, true),
            (g(200), None, true, true),
            (g(100), None, false, true),
            (c(200), c(201), false, true),
            (c(200), c(199), true, false),
            (c(200), g(300), true, false),
            (c(200), None, true, false),
            (c(100), g(150), false, true),
        ] {
            let made = |pair: Option<(LockMode, i64)>| pair.map(|(mode, until_ms)| Retention { mode, until_ms });
            let told = Retention::may_change(made(old), made(new), 100, bypass);
            assert_eq!(told, allowed, "{old:?} to {new:?}, bypass {bypass}");
        }
    }

    #[test]
    fn locks() {
        let with = |retention, legal_hold| Properties { retention, legal_hold, ..Properties::default() };
        let until = |mode, until_ms| Some(Retention { mode, until_ms });
        assert!(!with(None, false).locked(100, false) && with(None, true).locked(100, true));
        assert!(with(until(Governance, 101), false).locked(100, false));
        assert!(!with(until(Governance, 101), false).locked(100, true));
        assert!(with(until(Compliance, 101), false).locked(100, true));
        assert!(!with(until(Compliance, 100), false).locked(100, false));
    }
}

//! The retention that versions have that are written without one, as their bucket has it.

use crate::documents::{Documents, OBJECT_LOCK};
use crate::error::Error;
use crate::properties::{LockMode, Properties, Retention};
use mallee_s3_config::{ObjectLock, RetentionMode, kept};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The properties of a version that is written at this time: where it has no retention, the bucket's default one.
///
/// # Errors
/// [`Error::Corrupt`]: what is kept of the bucket cannot be read.
pub fn retain_by_default(docs: &Documents, properties: Properties, now_ms: i64) -> Result<Properties, Error> {
    let Some(text) = docs.get(OBJECT_LOCK).filter(|_| properties.retention.is_none()) else {
        return Ok(properties);
    };
    let lock: ObjectLock = kept(text).map_err(|error| Error::Corrupt(error.to_string()))?;
    let retention = lock.default.map(|default| Retention {
        mode: match default.mode {
            RetentionMode::Governance => LockMode::Governance,
            RetentionMode::Compliance => LockMode::Compliance,
        },
        until_ms: now_ms.saturating_add(i64::from(default.days()).saturating_mul(DAY_MS)),
    });
    Ok(Properties { retention, ..properties })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_s3_config::{DefaultRetention, Document as _, Period, text};

    #[test]
    fn what_says_nothing_is_retained_as_the_bucket_says() {
        let bucket = |doc: Option<&str>| {
            doc.map_or_else(Documents::default, |doc| Documents::default().with(ObjectLock::KIND, "", doc))
        };
        let retained = |docs: &Documents, properties| retain_by_default(docs, properties, 1000).map(|p| p.retention);
        let default = DefaultRetention { mode: RetentionMode::Compliance, period: Period::Days(2) };
        let (none, two_days) = (text(&ObjectLock::default()), text(&ObjectLock { default: Some(default) }));
        assert!(matches!(retained(&bucket(None), Properties::default()), Ok(None)));
        assert!(matches!(retained(&bucket(Some(&none)), Properties::default()), Ok(None)));
        let given = retained(&bucket(Some(&two_days)), Properties::default()).expect("readable");
        assert_eq!(given, Some(Retention { mode: LockMode::Compliance, until_ms: 1000 + 2 * DAY_MS }));
        let own = Some(Retention { mode: LockMode::Governance, until_ms: 5 });
        let kept = retained(&bucket(Some(&two_days)), Properties { retention: own, ..Properties::default() });
        assert_eq!(kept.expect("readable"), own);
        assert!(retained(&bucket(Some("x")), Properties::default()).is_err());
    }
}

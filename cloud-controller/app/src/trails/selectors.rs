//! Which records a trail wants.

use mallee_audit::Record;
use mallee_awswire::{ApiError, Code};
use mallee_types::AccountId;
use serde::{Deserialize, Serialize};

/// Selectors of one trail (CloudTrail: 5).
const SELECTORS_MAX: usize = 5;
/// Sources that may be left out (CloudTrail's list); nothing here comes from them.
const EXCLUDABLE: [&str; 2] = ["kms.amazonaws.com", "rdsdata.amazonaws.com"];
/// Services whose records are not of one region.
const GLOBAL: [&str; 2] = ["iam.amazonaws.com", "sts.amazonaws.com"];

/// Reads, writes, or both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadWriteType {
    /// Calls that only looked.
    ReadOnly,
    /// The others.
    WriteOnly,
    /// Every call.
    #[default]
    All,
}

/// Data events that a selector asks for: none can be had.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct DataResource {
    /// The kind.
    #[serde(rename = "Type")]
    pub kind: String,
    /// ARNs.
    pub values: Vec<String>,
}

/// A basic event selector, in CloudTrail's own form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct Selector {
    /// Reads, writes, or both.
    pub read_write_type: ReadWriteType,
    /// Calls of the control plane.
    pub include_management_events: bool,
    /// Always empty.
    pub data_resources: Vec<DataResource>,
    /// Services left out.
    pub exclude_management_event_sources: Vec<String>,
}

impl Default for Selector {
    fn default() -> Self {
        Self {
            read_write_type: ReadWriteType::All,
            include_management_events: true,
            data_resources: Vec::new(),
            exclude_management_event_sources: Vec::new(),
        }
    }
}

impl Selector {
    fn takes(&self, record: &Record) -> bool {
        let kind = match self.read_write_type {
            ReadWriteType::All => true,
            ReadWriteType::ReadOnly => record.read_only,
            ReadWriteType::WriteOnly => !record.read_only,
        };
        kind && self.include_management_events && !self.exclude_management_event_sources.contains(&record.event_source)
    }
}

/// # Errors
/// `InvalidEventSelectorsException` for what cannot be honoured.
pub(super) fn check(selectors: &[Selector]) -> Result<(), ApiError> {
    let invalid = |why: String| Err(Code::InvalidEventSelectorsException.message(why));
    if selectors.is_empty() || selectors.len() > SELECTORS_MAX {
        return invalid(format!("A trail has 1 to {SELECTORS_MAX} event selectors."));
    }
    for selector in selectors {
        if !selector.data_resources.is_empty() {
            return invalid("DataResources is not supported by this cloud: data events are not recorded.".to_owned());
        }
        if !selector.include_management_events {
            return invalid("An event selector must include management events: nothing else is recorded.".to_owned());
        }
        let odd =
            selector.exclude_management_event_sources.iter().find(|source| !EXCLUDABLE.contains(&source.as_str()));
        if let Some(odd) = odd {
            return invalid(format!("The event source {odd} cannot be excluded."));
        }
    }
    Ok(())
}

/// Which records of a journal go to a trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wanted {
    pub account: AccountId,
    pub global_events: bool,
    pub selectors: Vec<Selector>,
    /// Not from before.
    pub since_ms: i64,
    /// Not from after: logging was stopped.
    pub until_ms: Option<i64>,
    /// Not from between: logging was stopped and started again.
    pub gap: Option<(i64, i64)>,
}

impl Wanted {
    pub fn takes(&self, record: &Record) -> bool {
        let at = record.event_ms;
        record.recipient_account_id == self.account.as_str()
            && at >= self.since_ms
            && self.until_ms.is_none_or(|until| at <= until)
            && !self.gap.is_some_and(|(from, to)| from < at && at < to)
            && (self.global_events || !GLOBAL.contains(&record.event_source.as_str()))
            && self.selectors.iter().any(|selector| selector.takes(record))
    }

    /// Whether both take the same kinds of records; the times are left out of account.
    pub fn same_kinds(&self, other: &Self) -> bool {
        self.global_events == other.global_events && self.selectors == other.selectors
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use mallee_audit::{EVENT_VERSION, UserIdentity};

    pub fn record(name: &str, at: i64, read_only: bool) -> Record {
        Record {
            event_version: EVENT_VERSION.into(),
            user_identity: UserIdentity { kind: "IAMUser".into(), ..UserIdentity::default() },
            event_time: "2026-11-21T12:00:00Z".into(),
            event_ms: at,
            event_source: "ec2.amazonaws.com".into(),
            event_name: name.into(),
            aws_region: "local".into(),
            source_ip_address: "127.0.0.1".into(),
            user_agent: "test".into(),
            request_parameters: serde_json::Value::Null,
            response_elements: serde_json::Value::Null,
            additional_event_data: serde_json::Value::Null,
            error_code: None,
            error_message: None,
            request_id: "r".into(),
            event_id: format!("e-{name}"),
            shared_event_id: None,
            read_only,
            resources: vec![],
            event_type: "AwsApiCall".into(),
            management_event: true,
            recipient_account_id: "000000000001".into(),
            event_category: "Management".into(),
            addendum: None,
        }
    }

    pub fn wanted() -> Wanted {
        Wanted {
            account: "000000000001".parse().unwrap(),
            global_events: true,
            selectors: vec![Selector::default()],
            since_ms: 10,
            until_ms: None,
            gap: None,
        }
    }

    #[test]
    fn accounts_times_and_kinds_decide() {
        let all = wanted();
        assert!(all.takes(&record("a", 10, true)) && !all.takes(&record("a", 9, true)));
        let other = Wanted { account: "000000000002".parse().unwrap(), ..wanted() };
        assert!(!other.takes(&record("a", 10, true)));
        let stopped = Wanted { until_ms: Some(20), ..wanted() };
        assert!(stopped.takes(&record("a", 20, false)) && !stopped.takes(&record("a", 21, false)));
        let again = Wanted { gap: Some((20, 30)), ..wanted() };
        assert!([10, 20, 30].into_iter().all(|at| again.takes(&record("a", at, false))));
        assert!(!again.takes(&record("a", 25, false)));
        let writes = Selector { read_write_type: ReadWriteType::WriteOnly, ..Selector::default() };
        let writes = Wanted { selectors: vec![writes], ..wanted() };
        assert!(writes.takes(&record("a", 10, false)) && !writes.takes(&record("a", 10, true)));
        let regional = Wanted { global_events: false, ..wanted() };
        let user = Record { event_source: "iam.amazonaws.com".into(), ..record("CreateUser", 10, false) };
        assert!(all.takes(&user) && !regional.takes(&user) && !regional.same_kinds(&all));
    }

    #[test]
    fn what_is_not_recorded_cannot_be_selected() {
        check(&[Selector::default()]).unwrap();
        let data: Selector =
            serde_json::from_str(r#"{"DataResources":[{"Type":"AWS::S3::Object","Values":["arn:aws:s3"]}]}"#).unwrap();
        for bad in [
            vec![],
            vec![data],
            vec![Selector { include_management_events: false, ..Selector::default() }],
            vec![Selector {
                exclude_management_event_sources: vec!["ec2.amazonaws.com".into()],
                ..Selector::default()
            }],
            vec![Selector::default(); 6],
        ] {
            assert_eq!(check(&bad).unwrap_err().code(), Code::InvalidEventSelectorsException);
        }
    }
}

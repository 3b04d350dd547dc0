//! CloudTrail's record of one call.
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html>

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The version of CloudTrail's shape that records have.
pub const EVENT_VERSION: &str = "1.11";

/// Who made a call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UserIdentity {
    /// `Root`, `IAMUser`, `AssumedRole`, `FederatedUser`, or `Unknown` where no signature was verified.
    #[serde(rename = "type")]
    pub kind: String,
    /// IAM's unique id; with the session's name for sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<String>,
    /// Full ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    /// The caller's account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// The key that signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// The user's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
    /// Of temporary credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_context: Option<SessionContext>,
    /// The service that called in the caller's name (`s3.amazonaws.com`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoked_by: Option<String>,
}

/// Where temporary credentials come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionContext {
    /// The role or user that issued them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_issuer: Option<SessionIssuer>,
    /// `creationDate` and `mfaAuthenticated`, as texts.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
}

/// The issuer of temporary credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionIssuer {
    /// `Role` or `IAMUser`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Unique id.
    pub principal_id: String,
    /// Full ARN.
    pub arn: String,
    /// Its account.
    pub account_id: String,
    /// Its name.
    pub user_name: String,
}

/// Something a call was about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Resource {
    /// CloudFormation's name of its kind (`AWS::EC2::Instance`).
    #[serde(rename = "type")]
    pub kind: String,
    /// Its id, name or ARN.
    #[serde(rename = "resourceName")]
    pub name: String,
    /// Its ARN, where the service names one.
    #[serde(rename = "ARN", skip_serializing_if = "Option::is_none", default)]
    pub arn: Option<String>,
    /// Whose it is, where the service says so.
    #[serde(rename = "accountId", skip_serializing_if = "Option::is_none", default)]
    pub account_id: Option<String>,
}

/// The error of a call whose outcome nobody recorded.
pub const UNKNOWN_CODE: &str = "OutcomeUnknown";
const UNKNOWN_TEXT: &str = "The service stopped during this call, before its outcome was recorded. Whether the call took \
                            effect is not known.";

/// One call. Times are UTC, to the second, as CloudTrail has them; `event_ms` is kept for the order of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// [`EVENT_VERSION`].
    pub event_version: String,
    /// Who.
    pub user_identity: UserIdentity,
    /// When, RFC 3339.
    pub event_time: String,
    /// When, in milliseconds since 1970.
    pub event_ms: i64,
    /// The service: `ec2.amazonaws.com`.
    pub event_source: String,
    /// The operation.
    pub event_name: String,
    /// The region that answered.
    pub aws_region: String,
    /// From where.
    #[serde(rename = "sourceIPAddress")]
    pub source_ip_address: String,
    /// With what; may be empty.
    pub user_agent: String,
    /// The parameters, without secrets; see [`crate::parameters`].
    pub request_parameters: Value,
    /// Always null: replies are not kept.
    pub response_elements: Value,
    /// What else the service tells of the request.
    #[serde(skip_serializing_if = "Value::is_null", default)]
    pub additional_event_data: Value,
    /// The error that was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// Its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// The request id that the caller saw.
    #[serde(rename = "requestID")]
    pub request_id: String,
    /// Unique.
    #[serde(rename = "eventID")]
    pub event_id: String,
    /// The same in the records that two accounts have of one call.
    #[serde(rename = "sharedEventID", skip_serializing_if = "Option::is_none", default)]
    pub shared_event_id: Option<String>,
    /// It only looked.
    pub read_only: bool,
    /// What it was about.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub resources: Vec<Resource>,
    /// `AwsApiCall`.
    pub event_type: String,
    /// True: object reads and writes are not recorded here.
    pub management_event: bool,
    /// The account whose resources the call was about.
    pub recipient_account_id: String,
    /// `Management`.
    pub event_category: String,
    /// That another record of this call may say less.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub addendum: Option<Addendum>,
}

/// Why a record follows another one of the same call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Addendum {
    /// `UPDATED_DATA`.
    pub reason: String,
    /// Which fields, separated by commas.
    pub updated_fields: String,
    /// The request id of that call.
    #[serde(rename = "originalRequestID")]
    pub original_request_id: String,
}

impl Record {
    /// The outcome of a call whose beginning was noted elsewhere, where its record may say that it is not known.
    #[must_use]
    pub fn updated(self) -> Self {
        let addendum = Addendum {
            reason: "UPDATED_DATA".to_owned(),
            updated_fields: "errorCode,errorMessage".to_owned(),
            original_request_id: self.request_id.clone(),
        };
        Self { addendum: Some(addendum), ..self }
    }

    /// The record of a call that was begun, and whose end nobody wrote down: the service stopped meanwhile.
    #[must_use]
    pub fn abandoned(self) -> Self {
        Self { error_code: Some(UNKNOWN_CODE.to_owned()), error_message: Some(UNKNOWN_TEXT.to_owned()), ..self }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A record of a call of this name.
    pub(crate) fn record(name: &str) -> Record {
        Record {
            event_version: EVENT_VERSION.into(),
            user_identity: UserIdentity { kind: "IAMUser".into(), ..UserIdentity::default() },
            event_time: "2026-11-21T12:00:00Z".into(),
            event_ms: 1,
            event_source: "ec2.amazonaws.com".into(),
            event_name: name.into(),
            aws_region: "local".into(),
            source_ip_address: "127.0.0.1".into(),
            user_agent: "test".into(),
            request_parameters: Value::Null,
            response_elements: Value::Null,
            additional_event_data: Value::Null,
            error_code: None,
            error_message: None,
            request_id: name.into(),
            event_id: format!("e-{name}"),
            shared_event_id: None,
            read_only: false,
            resources: vec![],
            event_type: "AwsApiCall".into(),
            management_event: true,
            recipient_account_id: "000000000001".into(),
            event_category: "Management".into(),
            addendum: None,
        }
    }
}

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
}

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
}

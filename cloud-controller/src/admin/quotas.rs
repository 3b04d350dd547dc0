//! `mallee quota …`: the quotas of accounts, set by the administrator, and requests for more.

use mallee_app::Cloud;
use mallee_app::quotas::requests::{QuotaView, known_quota};
use mallee_awswire::{ApiError, Code};
use mallee_store::{QuotaRequestRow, QuotaRequestStatus};
use serde_json::{Value, json};

/// Open requests shown at most.
const REQUESTS_MAX: u32 = 1_000;

fn shown(view: &QuotaView) -> Value {
    json!({
        "service": view.quota.service,
        "code": view.quota.code,
        "name": view.quota.name,
        "value": view.value,
        "default": view.quota.default,
        "is_set": view.is_set,
        "used": view.used,
        "adjustable": view.quota.adjustable,
        "key": view.quota.key,
    })
}

/// Every quota of an account, and how much of it is in use.
pub(super) async fn list(cloud: &Cloud, given: &str) -> Result<Value, ApiError> {
    let account = cloud.account_named(given).await?;
    let views = cloud.quotas_of(&account, None, true).await?;
    Ok(json!({ "account": account.as_str(), "quotas": views.iter().map(shown).collect::<Vec<_>>() }))
}

/// Sets a quota: `{"service": …, "code": …, "value": N}`; without a value it is the usual one again.
pub(super) async fn set(cloud: &Cloud, given: &str, body: &Value) -> Result<Value, ApiError> {
    let account = cloud.account_named(given).await?;
    let text = |name: &str| body[name].as_str().ok_or_else(|| ApiError::missing_parameter(name));
    let quota = known_quota(text("service")?, text("code")?)?;
    let value = match &body["value"] {
        Value::Null => None,
        value => Some(value.as_u64().ok_or_else(|| {
            Code::InvalidParameterValue.message("The value of a quota is a whole number that is not negative.")
        })?),
    };
    cloud.set_quota(&account, quota, value).await?;
    list(cloud, account.as_str()).await
}

fn request(row: &QuotaRequestRow) -> Value {
    json!({
        "id": row.id,
        "account": row.account_id.as_str(),
        "service": row.service,
        "code": row.code,
        "desired": row.desired,
        "status": row.status.word(),
        "requester": row.requester,
        "created_ms": row.created_ms,
    })
}

/// The open requests of all accounts.
pub(super) async fn requests(cloud: &Cloud) -> Result<Value, ApiError> {
    let open = Some(QuotaRequestStatus::Pending);
    let rows = cloud.quota_requests(None, (None, None), open, None, REQUESTS_MAX).await?;
    Ok(json!({ "requests": rows.iter().map(request).collect::<Vec<_>>() }))
}

/// Decides a request: `{"grant": true}` or `false`.
pub(super) async fn decide(cloud: &Cloud, id: &str, body: &Value) -> Result<Value, ApiError> {
    let grant = body["grant"].as_bool().ok_or_else(|| ApiError::missing_parameter("grant"))?;
    Ok(request(&cloud.decide_quota_request(id, grant).await?))
}

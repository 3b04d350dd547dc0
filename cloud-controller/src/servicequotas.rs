//! Service Quotas: its JSON protocol, the quotas of the caller's account, and requests for more.
//! <https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/Welcome.html>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mallee_app::authorize::Ask;
use mallee_app::quotas::requests::{QuotaView, known_quota, known_service};
use mallee_app::quotas::table::{self, Quota};
use mallee_app::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{QuotaRequestRow, QuotaRequestStatus};
use mallee_types::AccountId;
use serde::Deserialize;
use serde_json::{Value, json};

/// Name of the service in credential scopes.
pub(crate) const SERVICE: &str = "servicequotas";
/// Entries on a page at most, and when the request does not say.
const PAGE_MAX: usize = 100;
/// Values are whole numbers up to so much.
const VALUE_MAX: f64 = 1e15;

/// The parameters of all operations; which of them one takes, its code says.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct Request {
    service_code: Option<String>,
    quota_code: Option<String>,
    request_id: Option<String>,
    desired_value: Option<f64>,
    status: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
    quota_applied_at_level: Option<String>,
    quota_requested_at_level: Option<String>,
    context_id: Option<String>,
    support_case_allowed: Option<bool>,
}

fn illegal(why: impl Into<std::borrow::Cow<'static, str>>) -> ApiError {
    Code::IllegalArgumentException.message(why)
}

impl Request {
    fn read(body: &[u8]) -> Result<Self, ApiError> {
        let request: Self = serde_json::from_slice(if body.is_empty() { b"{}" } else { body })
            .map_err(|e| Code::SerializationException.message(format!("The request does not read: {e}")))?;
        if request.context_id.is_some() {
            return Err(illegal("ContextId: no quota of this cloud is one of a single resource."));
        }
        for level in [&request.quota_applied_at_level, &request.quota_requested_at_level].into_iter().flatten() {
            match level.as_str() {
                "ACCOUNT" | "ALL" => {}
                _ => return Err(illegal("Quotas of this cloud are applied at the level ACCOUNT.")),
            }
        }
        Ok(request)
    }

    fn service(&self) -> Result<&str, ApiError> {
        let code = self.service_code.as_deref().ok_or_else(|| illegal("ServiceCode is required."))?;
        known_service(code).map(|service| service.code)
    }

    fn quota(&self) -> Result<&'static Quota, ApiError> {
        let code = self.quota_code.as_deref().ok_or_else(|| illegal("QuotaCode is required."))?;
        known_quota(self.service()?, code)
    }

    fn desired(&self) -> Result<u64, ApiError> {
        let value = self.desired_value.ok_or_else(|| illegal("DesiredValue is required."))?;
        if !(0.0..=VALUE_MAX).contains(&value) || value.fract() != 0.0 {
            return Err(illegal("DesiredValue must be a whole number that is not negative."));
        }
        // Nobody opens a support case here.
        let _ = self.support_case_allowed;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, positive and bounded")]
        Ok(value as u64)
    }

    /// `None`: any. `Err` for words that are none; the inner `None`: one that no request of this cloud ever has.
    fn status(&self) -> Result<Option<Option<QuotaRequestStatus>>, ApiError> {
        Ok(match self.status.as_deref() {
            None => None,
            Some("PENDING") => Some(Some(QuotaRequestStatus::Pending)),
            Some("APPROVED") => Some(Some(QuotaRequestStatus::Approved)),
            Some("DENIED") => Some(Some(QuotaRequestStatus::Denied)),
            Some("CASE_OPENED" | "CASE_CLOSED" | "NOT_APPROVED" | "INVALID_REQUEST") => Some(None),
            Some(_) => return Err(illegal("Status is none that exists.")),
        })
    }

    /// Entries on a page, and the key after which it begins.
    fn page(&self) -> Result<(usize, Option<String>), ApiError> {
        let limit = match self.max_results {
            None => PAGE_MAX,
            Some(n) => usize::try_from(n)
                .ok()
                .filter(|n| (1..=PAGE_MAX).contains(n))
                .ok_or_else(|| illegal(format!("MaxResults must be between 1 and {PAGE_MAX}.")))?,
        };
        let open = |token: &String| {
            let bytes = STANDARD.decode(token).ok()?;
            String::from_utf8(bytes).ok()
        };
        let invalid = || Code::InvalidPaginationTokenException.error();
        Ok((limit, self.next_token.as_ref().map(|token| open(token).ok_or_else(invalid)).transpose()?))
    }
}

/// One page of what is sorted by `key`.
fn cut<T>(items: Vec<T>, limit: usize, after: Option<&str>, key: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
    let mut items: Vec<T> =
        items.into_iter().filter(|item| after.is_none_or(|after| key(item).as_str() > after)).collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| STANDARD.encode(key(last)));
    (items, next)
}

fn paged(name: &str, (items, next): (Vec<Value>, Option<String>)) -> Value {
    match next {
        Some(next) => json!({ name: items, "NextToken": next }),
        None => json!({ name: items }),
    }
}

/// Answers one call.
///
/// # Errors
/// Service Quotas'.
pub(crate) async fn answer(cloud: &Cloud, cx: &OpContext, action: &str, body: &[u8]) -> Result<String, ApiError> {
    let known = [
        "GetAWSDefaultServiceQuota",
        "GetRequestedServiceQuotaChange",
        "GetServiceQuota",
        "ListAWSDefaultServiceQuotas",
        "ListRequestedServiceQuotaChangeHistory",
        "ListRequestedServiceQuotaChangeHistoryByQuota",
        "ListServiceQuotas",
        "ListServices",
        "RequestServiceQuotaIncrease",
    ];
    if action.is_empty() {
        return Err(Code::MissingAction.error());
    }
    if !known.contains(&action) {
        return Err(ApiError::unsupported_operation(action));
    }
    let request = Request::read(body)?;
    require(cloud, cx, action, &request).await?;
    let shower = Shower { region: &cloud.config().region, account: cx.account() };
    let value = match action {
        "ListServices" => services(&request)?,
        "GetServiceQuota" => {
            let quota = request.quota()?;
            let value = cloud.quota_of(cx.account(), quota).await?;
            json!({ "Quota": shower.quota(quota, value) })
        }
        "GetAWSDefaultServiceQuota" => {
            let quota = request.quota()?;
            json!({ "Quota": shower.quota(quota, quota.default) })
        }
        "ListServiceQuotas" | "ListAWSDefaultServiceQuotas" => {
            let views = cloud.quotas_of(cx.account(), Some(request.service()?), false).await?;
            let wanted = |view: &QuotaView| request.quota_code.as_deref().is_none_or(|code| view.quota.code == code);
            let (limit, after) = request.page()?;
            let views = views.into_iter().filter(wanted).collect();
            let (page, next) = cut(views, limit, after.as_deref(), |view| view.quota.code.to_owned());
            let usual = action == "ListAWSDefaultServiceQuotas";
            let show = |view: QuotaView| shower.quota(view.quota, if usual { view.quota.default } else { view.value });
            paged("Quotas", (page.into_iter().map(show).collect(), next))
        }
        "RequestServiceQuotaIncrease" => {
            let row = cloud.request_quota(cx, request.quota()?, request.desired()?).await?;
            json!({ "RequestedQuota": shower.request(&row)? })
        }
        "GetRequestedServiceQuotaChange" => {
            let id = request.request_id.as_deref().ok_or_else(|| illegal("RequestId is required."))?;
            json!({ "RequestedQuota": shower.request(&cloud.quota_request(Some(cx.account()), id).await?)? })
        }
        _ => history(cloud, cx, action, &request, &shower).await?,
    };
    Ok(value.to_string())
}

/// The action is a question of policies; that of a quota is asked about its ARN.
async fn require(cloud: &Cloud, cx: &OpContext, action: &str, request: &Request) -> Result<(), ApiError> {
    let named = match (action, &request.service_code, &request.quota_code) {
        ("RequestServiceQuotaIncrease", Some(service), Some(code)) => table::find(service, code),
        _ => None,
    };
    let resource = named.map_or_else(|| "*".to_owned(), |quota| arn(&cloud.config().region, cx.account(), quota));
    let ask = Ask { action: &format!("servicequotas:{action}"), resource: &resource, ..Ask::default() };
    // The service's own name of the error, which SDKs know.
    cloud.require(cx, &ask).await.map_err(|error| match error.code() {
        Code::AccessDenied => Code::AccessDeniedException.message(error.message().to_owned()),
        _ => error,
    })
}

fn services(request: &Request) -> Result<Value, ApiError> {
    let (limit, after) = request.page()?;
    let (page, next) = cut(table::SERVICES.iter().collect(), limit, after.as_deref(), |s| s.code.to_owned());
    let show = |s: &table::QuotaService| json!({ "ServiceCode": s.code, "ServiceName": s.name });
    Ok(paged("Services", (page.into_iter().map(show).collect(), next)))
}

async fn history(
    cloud: &Cloud,
    cx: &OpContext,
    action: &str,
    request: &Request,
    shower: &Shower<'_>,
) -> Result<Value, ApiError> {
    let (limit, after) = request.page()?;
    let service = request.service_code.as_deref().map(known_service).transpose()?.map(|service| service.code);
    let code = if action.ends_with("ByQuota") { Some(request.quota()?.code) } else { None };
    let status = match request.status()? {
        Some(None) => return Ok(json!({ "RequestedQuotas": [] })),
        Some(some) => some,
        None => None,
    };
    let rows = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let found = cloud.quota_requests(Some(cx.account()), (service, code), status, after.as_deref(), rows).await?;
    let (page, next) = cut(found, limit, None, |row| row.id.clone());
    let shown = page.iter().map(|row| shower.request(row)).collect::<Result<Vec<_>, _>>()?;
    Ok(paged("RequestedQuotas", (shown, next)))
}

fn arn(region: &str, account: &AccountId, quota: &Quota) -> String {
    let region = if quota.is_global() { "" } else { region };
    format!("arn:aws:servicequotas:{region}:{account}:{}/{}", quota.service, quota.code)
}

/// How things of an account are shown.
struct Shower<'a> {
    region: &'a str,
    account: &'a AccountId,
}

impl Shower<'_> {
    /// A quota with its value; without one it is shown without: there is as much as there is.
    fn quota(&self, quota: &Quota, value: Option<u64>) -> Value {
        let mut shown = json!({
            "ServiceCode": quota.service,
            "ServiceName": table::service(quota.service).map_or(quota.service, |service| service.name),
            "QuotaArn": arn(self.region, self.account, quota),
            "QuotaCode": quota.code,
            "QuotaName": quota.name,
            "Unit": "None",
            "Adjustable": quota.adjustable,
            "GlobalQuota": quota.is_global(),
            "QuotaAppliedAtLevel": "ACCOUNT",
        });
        if let (Some(value), Some(members)) = (value, shown.as_object_mut()) {
            members.insert("Value".to_owned(), json!(to_double(value)));
        }
        shown
    }

    fn request(&self, row: &QuotaRequestRow) -> Result<Value, ApiError> {
        let quota = known_quota(&row.service, &row.code)?;
        let requester = json!({ "accountId": self.account.as_str(), "callerArn": row.requester }).to_string();
        Ok(json!({
            "Id": row.id,
            "RequestType": "AutomaticManagement",
            "ServiceCode": row.service,
            "ServiceName": table::service(&row.service).map_or(row.service.as_str(), |service| service.name),
            "QuotaCode": row.code,
            "QuotaName": quota.name,
            "DesiredValue": to_double(row.desired),
            "Status": row.status.word(),
            "Created": row.created_ms / 1000,
            "LastUpdated": row.updated_ms / 1000,
            "Requester": requester,
            "QuotaArn": arn(self.region, self.account, quota),
            "GlobalQuota": quota.is_global(),
            "Unit": "None",
            "QuotaRequestedAtLevel": "ACCOUNT",
        }))
    }
}

/// AWS's values are doubles.
#[allow(clippy::cast_precision_loss, reason = "values are far below 2^53")]
fn to_double(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Request, Code> {
        Request::read(body.as_bytes()).map_err(|error| error.code())
    }

    #[test]
    fn requests_are_read_or_refused_by_name() {
        let request = read(r#"{"ServiceCode":"ec2","QuotaCode":"L-1216C47A","DesiredValue":12.0}"#).unwrap();
        assert_eq!((request.quota().unwrap().name, request.desired().unwrap()), (table::VCPUS.name, 12));
        let code = |body: &str| read(body).and_then(|r| r.quota().map_err(|e| e.code())).unwrap_err();
        assert_eq!(code(r#"{"ServiceCode":"lambda","QuotaCode":"L-1"}"#), Code::NoSuchResourceException);
        assert_eq!(code(r#"{"ServiceCode":"ec2","QuotaCode":"L-1"}"#), Code::NoSuchResourceException);
        assert_eq!(code(r#"{"QuotaCode":"L-1"}"#), Code::IllegalArgumentException);
        assert_eq!(code(r#"{"Colour":"red"}"#), Code::SerializationException);
        assert_eq!(code(r#"{"ContextId":"x"}"#), Code::IllegalArgumentException);
        assert_eq!(code(r#"{"QuotaAppliedAtLevel":"RESOURCE"}"#), Code::IllegalArgumentException);
        for value in ["-1", "1.5", "1e30"] {
            let request = read(&format!(r#"{{"DesiredValue":{value}}}"#)).unwrap();
            assert_eq!(request.desired().unwrap_err().code(), Code::IllegalArgumentException, "{value}");
        }
        let page = |body: &str| read(body).unwrap().page().map_err(|error| error.code());
        assert_eq!(page(r#"{"MaxResults":101}"#).unwrap_err(), Code::IllegalArgumentException);
        assert_eq!(page(r#"{"NextToken":"!"}"#).unwrap_err(), Code::InvalidPaginationTokenException);
    }

    #[test]
    fn a_list_is_cut_into_pages() {
        let items = || vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let (page, next) = cut(items(), 2, None, Clone::clone);
        assert_eq!(page, ["a", "b"]);
        let request = Request { next_token: next, max_results: Some(2), ..Request::default() };
        let (limit, after) = request.page().unwrap();
        let (page, next) = cut(items(), limit, after.as_deref(), Clone::clone);
        assert_eq!((page, next), (vec!["c".to_owned()], None));
    }
}

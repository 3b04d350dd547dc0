//! What Service Quotas shows, requests for more, and the administrator who grants them.

use super::set_for;
use super::table::{self, Quota, Use};
use crate::fail::{OrFail as _, store_failure};
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    QuotaRequestRow, QuotaRequestStatus, QuotaSettingRow, StoreError, account_fetch, quota_hold, quota_request_fetch,
    quota_request_insert, quota_request_list, quota_request_settle, quota_setting_clear, quota_setting_fetch,
    quota_setting_list, quota_setting_put, quota_use,
};
use mallee_types::AccountId;

/// Highest value that may be asked for or set: all of them can be summed up.
pub const VALUE_MAX: u64 = 1_000_000_000;
/// The conflict of a second open request.
const OPEN_REQUEST: &str = "quota_requests_account_id_service_code";

/// A quota of an account as it is shown.
#[derive(Debug, Clone, Copy)]
pub struct QuotaView {
    /// The quota.
    pub quota: &'static Quota,
    /// Its value for the account; none: as much as there is.
    pub value: Option<u64>,
    /// Somebody set it.
    pub is_set: bool,
    /// How much is in use, in the quota's unit, rounded up; none: it is one of each resource.
    pub used: Option<u64>,
}

/// The quota of these codes.
///
/// # Errors
/// `NoSuchResourceException`.
pub fn known_quota(service: &str, code: &str) -> Result<&'static Quota, ApiError> {
    known_service(service)?;
    let missing =
        || Code::NoSuchResourceException.message("The request failed because the specified quota does not exist.");
    table::find(service, code).ok_or_else(missing)
}

/// The service of this code.
///
/// # Errors
/// `NoSuchResourceException`.
pub fn known_service(code: &str) -> Result<&'static table::QuotaService, ApiError> {
    let missing =
        || Code::NoSuchResourceException.message("The request failed because the specified service does not exist.");
    table::service(code).ok_or_else(missing)
}

fn illegal(why: impl Into<std::borrow::Cow<'static, str>>) -> ApiError {
    Code::IllegalArgumentException.message(why)
}

fn no_request(id: &str) -> ApiError {
    let text = format!("There is no open request {}.", mallee_awswire::texts::clip(id));
    Code::NoSuchResourceException.message(text)
}

fn check_value(quota: &Quota, value: u64) -> Result<(), ApiError> {
    if !quota.adjustable {
        return Err(illegal(format!("The quota {}/{} is not adjustable.", quota.service, quota.code)));
    }
    let most = quota.most.unwrap_or(VALUE_MAX);
    if value > most {
        return Err(illegal(format!("The value of this quota is at most {most}.")));
    }
    Ok(())
}

impl Cloud {
    /// The quotas of an account, by service and code: all, or one service's. With `counted`, how much is in use.
    ///
    /// # Errors
    /// What the database says.
    pub async fn quotas_of(
        &self,
        account: &AccountId,
        service: Option<&str>,
        counted: bool,
    ) -> Result<Vec<QuotaView>, ApiError> {
        let mut tx = self.store().read().await.or_fail()?;
        let settings = quota_setting_list(&mut tx, account).await.or_fail()?;
        let mut quotas: Vec<&'static Quota> =
            table::ALL.iter().copied().filter(|quota| service.is_none_or(|service| quota.service == service)).collect();
        quotas.sort_unstable_by_key(|quota| (quota.service, quota.code));
        let mut views = Vec::with_capacity(quotas.len());
        for quota in quotas {
            let set = set_for(&settings, quota);
            let used = match quota.used {
                Use::Sum(rows, scale) if counted => {
                    Some(quota_use(&mut tx, rows, account, None).await.or_fail()?.div_ceil(scale))
                }
                Use::Sum(..) | Use::Each => None,
            };
            views.push(QuotaView { quota, value: set.or(quota.default), is_set: set.is_some(), used });
        }
        tx.rollback().await.or_fail()?;
        Ok(views)
    }

    /// The value of a quota of an account; none: as much as there is.
    ///
    /// # Errors
    /// What the database says.
    pub async fn quota_of(&self, account: &AccountId, quota: &Quota) -> Result<Option<u64>, ApiError> {
        super::quota_value(self.store(), account, quota).await.or_fail()
    }

    /// `RequestServiceQuotaIncrease`: kept until an administrator decides.
    ///
    /// # Errors
    /// `IllegalArgumentException`, `ResourceAlreadyExistsException` while another request for it is open.
    pub async fn request_quota(
        &self,
        cx: &OpContext,
        quota: &'static Quota,
        desired: u64,
    ) -> Result<QuotaRequestRow, ApiError> {
        check_value(quota, desired)?;
        let mut tx = self.store().write().await.or_fail()?;
        quota_hold(&mut tx, cx.account()).await.or_fail()?;
        let set = quota_setting_fetch(&mut tx, cx.account(), quota.service, quota.code).await.or_fail()?;
        match set.or(quota.default) {
            None => return Err(illegal("There is no limit to this quota.")),
            Some(now) if desired <= now => {
                return Err(illegal(format!(
                    "The desired value {desired} must be greater than the current value {now} of the quota."
                )));
            }
            Some(_) => {}
        }
        let now_ms = self.clock().now_ms();
        let row = QuotaRequestRow {
            id: self.rng().uuid().replace('-', ""),
            account_id: cx.account().clone(),
            service: quota.service.to_owned(),
            code: quota.code.to_owned(),
            desired,
            status: QuotaRequestStatus::Pending,
            requester: cx.actor.arn.to_string(),
            created_ms: now_ms,
            updated_ms: now_ms,
        };
        quota_request_insert(&mut tx, &row).await.map_err(|error| {
            if error.is_conflict(OPEN_REQUEST) {
                Code::ResourceAlreadyExistsException
                    .message("Only one open service quota increase request is allowed per quota.")
            } else {
                store_failure(error)
            }
        })?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// The request of this id: the account's own, or with `None` anybody's.
    ///
    /// # Errors
    /// `NoSuchResourceException`.
    pub async fn quota_request(&self, account: Option<&AccountId>, id: &str) -> Result<QuotaRequestRow, ApiError> {
        match quota_request_fetch(self.store(), id).await {
            Ok(row) if account.is_none_or(|account| row.account_id == *account) => Ok(row),
            Ok(_) | Err(StoreError::NotFound { .. }) => Err(no_request(id)),
            Err(error) => Err(store_failure(error)),
        }
    }

    /// Requests by id, after `after`; what is given must hold.
    ///
    /// # Errors
    /// What the database says.
    pub async fn quota_requests(
        &self,
        account: Option<&AccountId>,
        about: (Option<&str>, Option<&str>),
        status: Option<QuotaRequestStatus>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<QuotaRequestRow>, ApiError> {
        quota_request_list(self.store(), account, about.0, about.1, status, after, limit).await.or_fail()
    }

    /// The administrator sets a quota of an account; `None`: it is the usual one again.
    ///
    /// # Errors
    /// `IllegalArgumentException`, `NoSuchResourceException` for an account that is not there.
    pub async fn set_quota(
        &self,
        account: &AccountId,
        quota: &'static Quota,
        value: Option<u64>,
    ) -> Result<(), ApiError> {
        check_value(quota, value.unwrap_or_default())?;
        let mut tx = self.store().write().await.or_fail()?;
        match account_fetch(&mut tx, account).await {
            Err(StoreError::NotFound { .. }) => {
                return Err(Code::NoSuchResourceException.message(format!("There is no account {account}.")));
            }
            other => other.or_fail()?,
        };
        // Whoever counts now goes by the old value, whoever comes later by the new one.
        quota_hold(&mut tx, account).await.or_fail()?;
        match value {
            Some(value) => {
                let row = QuotaSettingRow {
                    account_id: account.clone(),
                    service: quota.service.to_owned(),
                    code: quota.code.to_owned(),
                    value,
                    set_ms: self.clock().now_ms(),
                };
                quota_setting_put(&mut tx, &row).await.or_fail()?;
            }
            None => {
                quota_setting_clear(&mut tx, account, quota.service, quota.code).await.or_fail()?;
            }
        }
        tx.commit().await.or_fail()
    }

    /// The administrator decides an open request; a granted one sets the quota in the same transaction.
    ///
    /// # Errors
    /// `NoSuchResourceException` where no request of this id is open.
    pub async fn decide_quota_request(&self, id: &str, grant: bool) -> Result<QuotaRequestRow, ApiError> {
        let row = self.quota_request(None, id).await?;
        let quota = known_quota(&row.service, &row.code)?;
        let mut tx = self.store().write().await.or_fail()?;
        quota_hold(&mut tx, &row.account_id).await.or_fail()?;
        let status = if grant { QuotaRequestStatus::Approved } else { QuotaRequestStatus::Denied };
        if !quota_request_settle(&mut tx, id, status).await.or_fail()? {
            return Err(no_request(id));
        }
        if grant {
            let set = QuotaSettingRow {
                account_id: row.account_id.clone(),
                service: quota.service.to_owned(),
                code: quota.code.to_owned(),
                value: row.desired,
                set_ms: self.clock().now_ms(),
            };
            quota_setting_put(&mut tx, &set).await.or_fail()?;
        }
        self.faults().point("cloud.quota.before-commit").await.or_fail()?;
        tx.commit().await.or_fail()?;
        self.quota_request(None, id).await
    }
}

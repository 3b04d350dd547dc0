//! Quotas that an administrator set for accounts, and requests for more.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use crate::value::words;
use mallee_types::AccountId;

/// What became of a request for a higher quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaRequestStatus {
    /// Nobody decided yet.
    Pending,
    /// Granted.
    Approved,
    /// Refused.
    Denied,
}
words! { QuotaRequestStatus { Pending = "PENDING", Approved = "APPROVED", Denied = "DENIED" } }

impl QuotaRequestStatus {
    /// AWS's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Approved => "APPROVED",
            Self::Denied => "DENIED",
        }
    }
}

record! {
    /// A quota of an account that is not the usual one.
    pub struct QuotaSettingRow {
        /// Whose.
        account_id: AccountId,
        /// AWS's code of the service.
        service: String,
        /// AWS's code of the quota.
        code: String,
        /// The quota, in its own unit.
        value: u64,
        /// When it was set.
        set_ms: i64,
    }

    /// A request for a higher quota.
    pub struct QuotaRequestRow {
        /// Unique.
        id: String,
        /// Whose quota.
        account_id: AccountId,
        /// AWS's code of the service.
        service: String,
        /// AWS's code of the quota.
        code: String,
        /// The quota that is wanted.
        desired: u64,
        /// What became of it.
        status: QuotaRequestStatus,
        /// ARN of who asked.
        requester: String,
        /// When it was made.
        created_ms: i64,
        /// When it last changed.
        updated_ms: i64,
    }
}

sql! {
    SETTING_PUT = "INSERT INTO quota_settings (account_id, service, code, value, set_ms) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (account_id, service, code) DO UPDATE SET value = excluded.value, set_ms = excluded.set_ms";
    SETTING_CLEAR = "DELETE FROM quota_settings WHERE account_id = $1 AND service = $2 AND code = $3";
    SETTING_FETCH = "SELECT value FROM quota_settings WHERE account_id = $1 AND service = $2 AND code = $3";
    SETTINGS = "SELECT account_id, service, code, value, set_ms FROM quota_settings
        WHERE account_id = $1 ORDER BY service, code";
    REQUEST_INSERT = "INSERT INTO quota_requests (id, account_id, service, code, desired, status, requester, created_ms,
        updated_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    REQUEST_FETCH = "SELECT id, account_id, service, code, desired, status, requester, created_ms, updated_ms
        FROM quota_requests WHERE id = $1";
    REQUESTS = "SELECT id, account_id, service, code, desired, status, requester, created_ms, updated_ms
        FROM quota_requests WHERE 1 = 1";
    REQUEST_SETTLE = "UPDATE quota_requests SET status = $2, updated_ms = $3 WHERE id = $1 AND status = 'PENDING'";
}

/// Lets one transaction at a time count and create in an account, until it ends: what it counts stays true while it
/// creates.
///
/// # Errors
/// As [`Tx::lock`].
pub async fn quota_hold(tx: &mut Tx, account: &AccountId) -> Result<(), StoreError> {
    tx.lock(&format!("quota {account}")).await
}

/// Sets a quota of an account, over the one that was set.
pub async fn quota_setting_put(tx: &mut Tx, row: &QuotaSettingRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(SETTING_PUT, row.args()).await.map(drop)
}

/// The account has the usual quota again; true if another one was set.
pub async fn quota_setting_clear(
    tx: &mut Tx,
    account: &AccountId,
    service: &str,
    code: &str,
) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(SETTING_CLEAR, args![account, service, code]).await? > 0)
}

/// The quota that was set for an account, if one was.
pub async fn quota_setting_fetch<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    service: &str,
    code: &str,
) -> Result<Option<u64>, StoreError> {
    let found = exec.into().maybe::<(u64,)>(SETTING_FETCH, args![account, service, code]).await?;
    Ok(found.map(|(value,)| value))
}

/// Every quota that was set for an account.
pub async fn quota_setting_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
) -> Result<Vec<QuotaSettingRow>, StoreError> {
    exec.into().all(SETTINGS, args![account]).await
}

/// Keeps a request. Conflict: `quota_requests_account_id_service_code` while another one for this quota is open.
pub async fn quota_request_insert(tx: &mut Tx, row: &QuotaRequestRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(REQUEST_INSERT, row.args()).await.map(drop)
}

/// The request of this id.
pub async fn quota_request_fetch<'a>(exec: impl Into<Exec<'a>>, id: &str) -> Result<QuotaRequestRow, StoreError> {
    exec.into().one(REQUEST_FETCH, args![id], id).await
}

/// Requests by id, after `after`; what is given must hold.
pub async fn quota_request_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: Option<&AccountId>,
    service: Option<&str>,
    code: Option<&str>,
    status: Option<QuotaRequestStatus>,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<QuotaRequestRow>, StoreError> {
    let select = Select::new(REQUESTS, vec![])
        .and("account_id =", account)
        .and("service =", service)
        .and("code =", code)
        .and("status =", status)
        .and("id >", after);
    select.page(exec.into(), "id", limit).await
}

/// Decides an open request; false if there is none of this id that is open.
pub async fn quota_request_settle(tx: &mut Tx, id: &str, status: QuotaRequestStatus) -> Result<bool, StoreError> {
    let now_ms = tx.now_ms();
    Ok(Exec::Tx(tx).run(REQUEST_SETTLE, args![id, status, now_ms]).await? > 0)
}

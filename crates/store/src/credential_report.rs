//! Credential reports: the last of each account.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::tx::Tx;
use mallee_types::AccountId;

record! {
    /// A report.
    pub struct CredentialReportRow {
        /// Of which account.
        account_id: AccountId,
        /// CSV.
        content: String,
        /// When it was made.
        created_ms: i64,
    }
}

sql! {
    PUT = "INSERT INTO credential_reports (account_id, content, created_ms) VALUES ($1, $2, $3)
        ON CONFLICT (account_id) DO UPDATE SET content = excluded.content, created_ms = excluded.created_ms";
    FETCH = "SELECT account_id, content, created_ms FROM credential_reports WHERE account_id = $1";
}

/// Keeps a report in place of the account's last one.
pub async fn credential_report_put(tx: &mut Tx, row: &CredentialReportRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(PUT, row.args()).await.map(drop)
}

/// The account's last report.
pub async fn credential_report_fetch<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
) -> Result<Option<CredentialReportRow>, StoreError> {
    exec.into().maybe(FETCH, args![account]).await
}

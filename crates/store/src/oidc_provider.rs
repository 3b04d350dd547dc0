//! OpenID Connect providers an account believes.

use crate::StoreError;
use crate::exec::Exec;
use crate::json::TextList;
use crate::macros::{args, record, sql};
use crate::role::found;
use crate::tx::Tx;
use mallee_types::AccountId;

record! {
    /// A provider.
    pub struct OidcProviderRow {
        /// Whose.
        account_id: AccountId,
        /// Host and path, without the scheme; unique in the account.
        url: String,
        /// Audiences it may speak for.
        client_ids: TextList,
        /// SHA-1 of certificates it may show, hex.
        thumbprints: TextList,
        /// When it was made.
        created_ms: i64,
    }
}

sql! {
    INSERT = "INSERT INTO oidc_providers (account_id, url, client_ids, thumbprints, created_ms)
        VALUES ($1, $2, $3, $4, $5)";
    FETCH = "SELECT account_id, url, client_ids, thumbprints, created_ms FROM oidc_providers
        WHERE account_id = $1 AND url = $2";
    LIST = "SELECT account_id, url, client_ids, thumbprints, created_ms FROM oidc_providers WHERE account_id = $1
        ORDER BY url";
    UPDATE = "UPDATE oidc_providers SET client_ids = $3, thumbprints = $4 WHERE account_id = $1 AND url = $2";
    DELETE = "DELETE FROM oidc_providers WHERE account_id = $1 AND url = $2";
}

/// Makes a provider. Conflict: `oidc_providers_account_id_url`.
pub async fn oidc_provider_insert(tx: &mut Tx, row: &OidcProviderRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// The account's provider of this URL without its scheme.
pub async fn oidc_provider_fetch<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    url: &str,
) -> Result<Option<OidcProviderRow>, StoreError> {
    exec.into().maybe(FETCH, args![account, url]).await
}

/// An account's providers, by URL.
pub async fn oidc_provider_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
) -> Result<Vec<OidcProviderRow>, StoreError> {
    exec.into().all(LIST, args![account]).await
}

/// Writes what can be changed: audiences and thumbprints.
pub async fn oidc_provider_update(tx: &mut Tx, row: &OidcProviderRow) -> Result<(), StoreError> {
    let values = args![row.account_id, row.url, row.client_ids, row.thumbprints];
    found(Exec::Tx(tx).run(UPDATE, values).await?, &row.url)
}

/// Removes a provider; true if it was there.
pub async fn oidc_provider_delete(tx: &mut Tx, account: &AccountId, url: &str) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![account, url]).await? > 0)
}

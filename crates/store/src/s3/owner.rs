//! How S3 names accounts.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::tx::Tx;
use mallee_types::AccountId;

record! {
    /// An account as S3 names it.
    pub struct S3OwnerRow {
        /// The account.
        account_id: AccountId,
        /// Its canonical id, which no other account has.
        canonical_id: String,
        /// Its display name.
        display_name: String,
        /// Its e-mail address, if one is known.
        email: Option<String>,
    }
}

sql! {
    FETCH = "SELECT account_id, canonical_id, display_name, email FROM s3_owners WHERE account_id = $1";
    BY_CANONICAL = "SELECT account_id, canonical_id, display_name, email FROM s3_owners WHERE canonical_id = $1";
    BY_EMAIL = "SELECT account_id, canonical_id, display_name, email FROM s3_owners WHERE email = $1
        ORDER BY account_id LIMIT 2";
    ENSURE = "INSERT INTO s3_owners (account_id, canonical_id, display_name, email) VALUES ($1, $2, $3, $4)
        ON CONFLICT (account_id) DO NOTHING";
}

/// An account's names; `None`: it never used S3.
pub async fn s3_owner_fetch<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
) -> Result<Option<S3OwnerRow>, StoreError> {
    exec.into().maybe(FETCH, args![account]).await
}

/// The account of a canonical id.
pub async fn s3_owner_by_canonical<'a>(
    exec: impl Into<Exec<'a>>,
    canonical_id: &str,
) -> Result<Option<S3OwnerRow>, StoreError> {
    exec.into().maybe(BY_CANONICAL, args![canonical_id]).await
}

/// Accounts of an e-mail address: none, one, or two of many.
pub async fn s3_owner_by_email<'a>(exec: impl Into<Exec<'a>>, email: &str) -> Result<Vec<S3OwnerRow>, StoreError> {
    exec.into().all(BY_EMAIL, args![email]).await
}

/// Writes an account's names unless it has some. Conflict: `s3_owners_canonical_id`.
pub async fn s3_owner_ensure(tx: &mut Tx, row: &S3OwnerRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(ENSURE, row.args()).await.map(drop)
}

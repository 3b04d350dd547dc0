//! Client tokens: a repeated call gives the result of the first. Claimed in the same transaction as the call's writes,
//! so of two calls at once one waits and then sees the other's result.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, sql};
use crate::tx::Tx;
use mallee_types::AccountId;

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientTokenClaim {
    /// The first call with this token: do it, then record the result ([`client_token_result_set`]) before the commit.
    New,
    /// Done before with the same parameters: this was the result.
    Repeat(String),
    /// Used before with other parameters (`IdempotentParameterMismatch`).
    Mismatch,
}

sql! {
    CLAIM = "INSERT INTO client_tokens (account_id, operation, token, params_hash, created_ms, result)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (account_id, operation, token) DO NOTHING";
    FETCH = "SELECT params_hash, result FROM client_tokens WHERE account_id = $1 AND operation = $2 AND token = $3";
    RESULT = "UPDATE client_tokens SET result = $4 WHERE account_id = $1 AND operation = $2 AND token = $3";
    PURGE = "DELETE FROM client_tokens WHERE created_ms < $1";
}

/// Claims a token for a call with these parameters.
pub async fn client_token_claim(
    tx: &mut Tx,
    account: &AccountId,
    operation: &str,
    token: &str,
    params_hash: &str,
) -> Result<ClientTokenClaim, StoreError> {
    claim(tx, [account.as_str(), operation, token, params_hash], None).await
}

/// As [`client_token_claim`] for a call whose result is known before it is done: no other is recorded.
pub async fn client_token_claim_with(
    tx: &mut Tx,
    account: &AccountId,
    operation: &str,
    token: &str,
    params_hash: &str,
    result: &str,
) -> Result<ClientTokenClaim, StoreError> {
    claim(tx, [account.as_str(), operation, token, params_hash], Some(result)).await
}

async fn claim(
    tx: &mut Tx,
    [account, operation, token, params_hash]: [&str; 4],
    result: Option<&str>,
) -> Result<ClientTokenClaim, StoreError> {
    let now_ms = tx.now_ms();
    if Exec::Tx(tx).run(CLAIM, args![account, operation, token, params_hash, now_ms, result]).await? > 0 {
        return Ok(ClientTokenClaim::New);
    }
    let key = args![account, operation, token];
    match Exec::Tx(tx).maybe::<(String, Option<String>)>(FETCH, key).await? {
        Some((hash, Some(result))) if hash == params_hash => Ok(ClientTokenClaim::Repeat(result)),
        Some((hash, _)) if hash != params_hash => Ok(ClientTokenClaim::Mismatch),
        // A call that committed no result did nothing worth repeating; one purged this moment is as good as new.
        _ => Ok(ClientTokenClaim::New),
    }
}

/// What an earlier call with this token left, without claiming it: the hash of its parameters and its result.
pub async fn client_token_peek<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    operation: &str,
    token: &str,
) -> Result<Option<(String, Option<String>)>, StoreError> {
    exec.into().maybe::<(String, Option<String>)>(FETCH, args![account, operation, token]).await
}

/// Records the result of the call that claimed the token.
///
/// # Errors
/// [`StoreError::NotFound`] when the token was not claimed.
pub async fn client_token_result_set(
    tx: &mut Tx,
    account: &AccountId,
    operation: &str,
    token: &str,
    result: &str,
) -> Result<(), StoreError> {
    match Exec::Tx(tx).run(RESULT, args![account, operation, token, result]).await? {
        0 => Err(StoreError::not_found(format_args!("client token of {operation}"))),
        _ => Ok(()),
    }
}

/// Forgets tokens older than this; how many went.
pub async fn client_token_purge(tx: &mut Tx, before_ms: i64) -> Result<u64, StoreError> {
    Exec::Tx(tx).run(PURGE, args![before_ms]).await
}

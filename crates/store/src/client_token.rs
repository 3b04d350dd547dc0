//! Client tokens: a repeated call gives the result of the first. Claimed in the same transaction as the call's writes,
//! so of two calls at once one waits and then sees the other's result. They are kept for as long as what was made is
//! known, and a while after.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::tx::Tx;
use mallee_types::{AccountId, InstanceId};

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
    // What a token stands for and whether it is still known. Ids of one kind are equally long and hold no wildcards.
    OLD = "SELECT t.account_id, t.operation, t.token, CASE t.operation
        WHEN 'RunInstances' THEN EXISTS (SELECT 1 FROM instances i WHERE i.reservation_id = t.result)
        WHEN 'RequestSpotInstances' THEN EXISTS (SELECT 1 FROM spot_requests s
            WHERE s.account_id = t.account_id AND t.result LIKE '%' || s.id || '%')
        WHEN 'CreateFleet' THEN EXISTS (SELECT 1 FROM fleets f WHERE f.id = t.result)
        WHEN 'CreateCapacityReservation' THEN EXISTS (SELECT 1 FROM capacity_reservations c WHERE c.id = t.result)
        WHEN 'AllocateHosts' THEN EXISTS (SELECT 1 FROM dedicated_hosts h
            WHERE h.account_id = t.account_id AND h.client_token = t.token)
        WHEN 'CreateLaunchTemplate' THEN EXISTS (SELECT 1 FROM launch_templates l WHERE l.id = t.result)
        ELSE 1 = 0 END
        FROM client_tokens t WHERE t.created_ms < $1 ORDER BY t.created_ms LIMIT $2 + 0";
    RENEW = "UPDATE client_tokens SET created_ms = $4 WHERE account_id = $1 AND operation = $2 AND token = $3";
    RENEW_OF_INSTANCE = "UPDATE client_tokens SET created_ms = $2 WHERE operation = 'RunInstances'
        AND (account_id, token) IN (SELECT account_id, client_token FROM instances WHERE id = $1)";
    RENEW_OF = "UPDATE client_tokens SET created_ms = $4
        WHERE account_id = $1 AND operation = $2 AND result LIKE '%' || $3 || '%'";
    FORGET = "DELETE FROM client_tokens WHERE account_id = $1 AND operation = $2 AND token = $3";
}

record! {
    /// A token that was used long ago.
    pub struct OldClientToken {
        /// Whose.
        account_id: AccountId,
        /// Of which operation.
        operation: String,
        /// The token.
        token: String,
        /// What the call made is still known: the token's time has not begun to run out.
        is_alive: bool,
    }
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

/// Tokens that were used, or were renewed, before `before_ms`; the oldest first.
pub async fn client_token_old<'a>(
    exec: impl Into<Exec<'a>>,
    before_ms: i64,
    limit: u32,
) -> Result<Vec<OldClientToken>, StoreError> {
    exec.into().all(OLD, args![before_ms, limit]).await
}

/// A token counts as used now.
pub async fn client_token_renew(tx: &mut Tx, old: &OldClientToken) -> Result<(), StoreError> {
    let now_ms = tx.now_ms();
    Exec::Tx(tx).run(RENEW, args![old.account_id, old.operation, old.token, now_ms]).await.map(drop)
}

/// The token with which an instance was launched counts as used now: to be called before the instance is forgotten.
pub async fn client_token_renew_of_instance(tx: &mut Tx, id: &InstanceId) -> Result<(), StoreError> {
    let now_ms = tx.now_ms();
    Exec::Tx(tx).run(RENEW_OF_INSTANCE, args![id, now_ms]).await.map(drop)
}

/// The token whose call of this operation made this resource counts as used now: to be called before the resource is
/// forgotten.
pub async fn client_token_renew_of(
    tx: &mut Tx,
    account: &AccountId,
    operation: &str,
    resource: &str,
) -> Result<(), StoreError> {
    let now_ms = tx.now_ms();
    Exec::Tx(tx).run(RENEW_OF, args![account, operation, resource, now_ms]).await.map(drop)
}

/// Forgets a token.
pub async fn client_token_forget(tx: &mut Tx, old: &OldClientToken) -> Result<(), StoreError> {
    Exec::Tx(tx).run(FORGET, args![old.account_id, old.operation, old.token]).await.map(drop)
}

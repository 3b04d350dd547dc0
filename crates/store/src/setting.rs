//! Settings of the whole cloud: small texts by key.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, sql};
use crate::tx::Tx;

sql! {
    FETCH = "SELECT value FROM settings WHERE key = $1";
    LIST = "SELECT key, value FROM settings ORDER BY key";
    PUT = "INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    INSERT = "INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING";
    DELETE = "DELETE FROM settings WHERE key = $1";
}

/// The value of a setting, if it is set.
pub async fn setting_fetch<'a>(exec: impl Into<Exec<'a>>, key: &str) -> Result<Option<String>, StoreError> {
    Ok(exec.into().maybe::<(String,)>(FETCH, args![key]).await?.map(|(value,)| value))
}

/// Every setting, by key.
pub async fn setting_list<'a>(exec: impl Into<Exec<'a>>) -> Result<Vec<(String, String)>, StoreError> {
    exec.into().all(LIST, vec![]).await
}

/// Sets it.
pub async fn setting_put(tx: &mut Tx, key: &str, value: &str) -> Result<(), StoreError> {
    Exec::Tx(tx).run(PUT, args![key, value]).await.map(drop)
}

/// Sets it if it is not set; true if it was not. For what the first start decides once.
pub async fn setting_insert(tx: &mut Tx, key: &str, value: &str) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(INSERT, args![key, value]).await? > 0)
}

/// Forgets it; true if it was set.
pub async fn setting_delete(tx: &mut Tx, key: &str) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![key]).await? > 0)
}

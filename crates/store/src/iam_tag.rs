//! Tags of identities: users, roles, policies, instance profiles and the like. The case of keys is kept, and does not
//! tell two keys apart.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::{Select, insert_rows};
use crate::tx::Tx;
use mallee_types::AccountId;

record! {
    /// One tag of one identity.
    pub struct IamTagRow {
        /// The identity's unique id.
        resource_id: String,
        /// The key without case ([`iam_tag_fold`]).
        folded_key: String,
        /// The key as it was given.
        key: String,
        /// The value; may be empty.
        value: String,
        /// The identity's account.
        account_id: AccountId,
    }
}

sql! {
    LIST = "SELECT resource_id, folded_key, key, value, account_id FROM iam_tags WHERE resource_id = $1
        ORDER BY folded_key";
    LIST_MANY = "SELECT resource_id, folded_key, key, value, account_id FROM iam_tags WHERE account_id = $1";
    DELETE = "DELETE FROM iam_tags WHERE resource_id = $1";
}

/// What tells two keys apart.
#[must_use]
pub fn iam_tag_fold(key: &str) -> String {
    key.to_lowercase()
}

/// Sets tags, over those of the same key.
pub async fn iam_tag_put(
    tx: &mut Tx,
    account: &AccountId,
    resource: &str,
    tags: &[(String, String)],
) -> Result<(), StoreError> {
    // One statement must not touch a row twice: of equal keys the last counts.
    let mut last = std::collections::BTreeMap::new();
    for (key, value) in tags {
        let row = IamTagRow {
            resource_id: resource.to_owned(),
            folded_key: iam_tag_fold(key),
            key: key.clone(),
            value: value.clone(),
            account_id: account.clone(),
        };
        last.insert(row.folded_key.clone(), row.args());
    }
    let head = "INSERT INTO iam_tags (resource_id, folded_key, key, value, account_id) VALUES ";
    let tail = " ON CONFLICT (resource_id, folded_key) DO UPDATE SET key = excluded.key, value = excluded.value";
    insert_rows(Exec::Tx(tx), head, tail, last.into_values().collect()).await.map(drop)
}

/// The tags of one identity, by key.
pub async fn iam_tag_list<'a>(exec: impl Into<Exec<'a>>, resource: &str) -> Result<Vec<IamTagRow>, StoreError> {
    exec.into().all(LIST, args![resource]).await
}

/// The tags of these identities of an account, by identity and key; at most [`crate::IAM_PRINCIPALS_MAX`] of them.
pub async fn iam_tag_list_of<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    resources: &[String],
) -> Result<Vec<IamTagRow>, StoreError> {
    let select = Select::new(LIST_MANY, args![account]).and_in("resource_id", Some(resources))?;
    select.page(exec.into(), "resource_id, folded_key", crate::PAGE_ROWS_MAX).await
}

/// Removes the tags of these keys, in any case; how many went.
pub async fn iam_tag_delete(tx: &mut Tx, resource: &str, keys: &[String]) -> Result<u64, StoreError> {
    let folded: Vec<String> = keys.iter().map(|key| iam_tag_fold(key)).collect();
    Select::new(DELETE, args![resource]).and_in("folded_key", Some(&folded))?.run(Exec::Tx(tx)).await
}

/// Removes all tags of an identity that goes away.
pub async fn iam_tag_delete_of(tx: &mut Tx, resource: &str) -> Result<u64, StoreError> {
    Exec::Tx(tx).run(DELETE, args![resource]).await
}

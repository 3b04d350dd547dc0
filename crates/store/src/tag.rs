//! Tags of any resource.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::{Select, insert_rows_later};
use crate::tx::Tx;
use crate::value::ToArg as _;
use mallee_types::AccountId;

record! {
    /// One tag of one resource.
    pub struct TagRow {
        /// The resource.
        resource_id: String,
        /// The key, unique on the resource.
        key: String,
        /// The value; may be empty.
        value: String,
        /// AWS's word, for example `instance`.
        resource_type: String,
        /// The resource's account.
        account_id: AccountId,
    }
}

sql! {
    LIST = "SELECT resource_id, key, value, resource_type, account_id FROM tags WHERE account_id = $1";
    LIST_OF = "SELECT resource_id, key, value, resource_type, account_id FROM tags WHERE resource_id = $1 ORDER BY key";
    // Those of the cloud itself do not count against a limit.
    COUNT = "SELECT COUNT(*) FROM tags WHERE resource_id = $1 AND account_id = $2 AND key NOT LIKE 'aws:%'";
    DELETE = "DELETE FROM tags WHERE account_id = $1 AND key NOT LIKE 'aws:%'";
    DELETE_OF = "DELETE FROM tags WHERE resource_id = $1";
}

/// Sets tags, over those of the same key.
pub async fn tag_put(tx: &mut Tx, tags: &[TagRow]) -> Result<(), StoreError> {
    // One statement must not touch a row twice: of equal keys the last counts.
    let mut last = std::collections::BTreeMap::new();
    for tag in tags {
        last.insert((&tag.resource_id, &tag.key, &tag.account_id), tag);
    }
    let head = "INSERT INTO tags (resource_id, key, value, resource_type, account_id) VALUES ";
    let tail = " ON CONFLICT (resource_id, key, account_id) DO UPDATE SET value = excluded.value";
    insert_rows_later(tx, head, tail, last.into_values().map(TagRow::args).collect()).await
}

/// Which tags of an account.
#[derive(Debug, Default, Clone, Copy)]
pub struct TagFilter<'a> {
    /// Only of these resources.
    pub resources: Option<&'a [String]>,
    /// Only with these keys.
    pub keys: Option<&'a [String]>,
    /// Only with these values.
    pub values: Option<&'a [String]>,
    /// Only of resources of these types.
    pub types: Option<&'a [String]>,
    /// Only those after this resource and key.
    pub after: Option<(&'a str, &'a str)>,
}

/// The account's tags, by resource and key.
pub async fn tag_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    filter: TagFilter<'_>,
    limit: u32,
) -> Result<Vec<TagRow>, StoreError> {
    let mut select = Select::new(LIST, args![account]);
    if let Some((resource, key)) = filter.after {
        select = select.and_pair("(resource_id, key) >", resource.to_arg(), key.to_arg());
    }
    let select = select
        .and_in("resource_id", filter.resources)?
        // As an expression, so that no index on keys is taken: its rows would all have to be sorted for each page.
        .and_in("(key || '')", filter.keys)?
        .and_in("value", filter.values)?
        .and_in("resource_type", filter.types)?;
    select.page(exec.into(), "resource_id, key", limit).await
}

/// The tags of one resource, by key.
pub async fn tag_list_of<'a>(exec: impl Into<Exec<'a>>, resource: &str) -> Result<Vec<TagRow>, StoreError> {
    exec.into().all(LIST_OF, args![resource]).await
}

/// How many tags a resource has of an account, without those of the cloud itself (`aws:…`).
pub async fn tag_count<'a>(exec: impl Into<Exec<'a>>, account: &AccountId, resource: &str) -> Result<u64, StoreError> {
    Ok(exec.into().one::<(u64,)>(COUNT, args![resource, account], resource).await?.0)
}

/// Removes the tags with this key, and if given this value, from these resources of the account; all keys if none is
/// given. Those of the cloud itself (`aws:…`) stay.
pub async fn tag_delete(
    tx: &mut Tx,
    account: &AccountId,
    resources: &[String],
    key: Option<&str>,
    value: Option<&str>,
) -> Result<u64, StoreError> {
    let select = Select::new(DELETE, args![account]).and("key =", key).and("value =", value);
    select.and_in("resource_id", Some(resources))?.run(Exec::Tx(tx)).await
}

/// Removes all tags of a resource that goes away.
pub async fn tag_delete_of(tx: &mut Tx, resource: &str) -> Result<u64, StoreError> {
    Exec::Tx(tx).run(DELETE_OF, args![resource]).await
}

//! `mallee usage`: what accounts and buckets hold in the object store.

use mallee_app::Cloud;
use mallee_awswire::texts::clip;
use mallee_awswire::{ApiError, Params};
use mallee_proto::v1::{Usage, UsageBy, UsageReply, UsageRequest};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// Rows on one page.
const ROWS_MAX: u32 = 1000;

/// What is the same of accounts, buckets and classes.
fn counts(row: &Usage) -> Map<String, Value> {
    let counts = [
        ("objects", row.objects),
        ("bytes", row.bytes),
        ("versions", row.versions),
        ("version_bytes", row.version_bytes),
        ("part_bytes", row.part_bytes),
    ];
    counts.into_iter().map(|(name, count)| (name.to_owned(), json!(count))).collect()
}

/// The rows of a page, accounts with their names. An account that is no more has none.
async fn shown(cloud: &Cloud, by: UsageBy, rows: &[Usage]) -> Vec<Value> {
    let mut names: HashMap<&str, Option<String>> = HashMap::new();
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        let account = row.account_id.as_str();
        if !names.contains_key(account) {
            names.insert(account, cloud.account_name(account).await);
        }
        let mut shown = counts(row);
        shown.insert("account".to_owned(), json!(account));
        shown.insert("account_name".to_owned(), json!(names.get(account)));
        if by == UsageBy::Bucket {
            shown.insert("bucket".to_owned(), json!(row.name));
            shown.insert("created_ms".to_owned(), json!(row.created_ms));
        } else {
            shown.insert("buckets".to_owned(), json!(row.buckets));
        }
        out.push(Value::Object(shown));
    }
    out
}

/// A page: `by=account` (as without it) or `by=bucket`, of which `account=NUMBER or NAME` takes those of one account;
/// `after=` the `next` of the page before, at most `limit=` rows.
pub(super) async fn list(cloud: &Cloud, query: &str) -> Result<Value, ApiError> {
    let params = Params::parse(query, b"")?;
    let by = match params.get("by") {
        None | Some("account") => UsageBy::Account,
        Some("bucket") => UsageBy::Bucket,
        Some(other) => return Err(ApiError::invalid_value("by", &clip(other), "It is account or bucket.")),
    };
    let account_id = match params.get("account") {
        None => String::new(),
        Some(_) if by == UsageBy::Account => {
            return Err(ApiError::invalid_combination("An account is named for a list of its buckets: say by=bucket."));
        }
        Some(given) => cloud.account_named(given).await?.to_string(),
    };
    let limit = match params.get("limit") {
        None => ROWS_MAX,
        Some(given) => given.parse().ok().filter(|n| (1..=ROWS_MAX).contains(n)).ok_or_else(|| {
            ApiError::invalid_value("limit", &clip(given), &format!("It is a number from 1 to {ROWS_MAX}."))
        })?,
    };
    let after = params.get("after").unwrap_or_default().to_owned();
    let asked = UsageRequest { by: by.into(), account_id, bucket: String::new(), after, limit };
    let UsageReply { rows, more } = cloud.s3_usage(asked).await?;
    let next = rows.last().filter(|_| more).map(|row| row.name.clone());
    let name = if by == UsageBy::Bucket { "buckets" } else { "accounts" };
    Ok(json!({ name: shown(cloud, by, &rows).await, "next": next }))
}

/// What a bucket holds of each storage class.
pub(super) async fn bucket(cloud: &Cloud, name: &str) -> Result<Value, ApiError> {
    let asked = UsageRequest { by: UsageBy::Class.into(), bucket: name.to_owned(), ..UsageRequest::default() };
    let rows = cloud.s3_usage(asked).await?.rows;
    let classes = rows.iter().map(|row| {
        let mut shown = counts(row);
        shown.insert("class".to_owned(), json!(row.name));
        Value::Object(shown)
    });
    Ok(json!({ "bucket": name, "classes": classes.collect::<Vec<_>>() }))
}

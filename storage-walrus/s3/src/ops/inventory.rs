//! Inventories of a bucket: many, each with an id.

use crate::call::Call;
use crate::error::{engine, invalid_argument};
use crate::ops::config;
use crate::reply::{self, Reply, document};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use mallee_awswire::{ApiError, Code};
use mallee_objects::{Bucket, Documents, Error};
use mallee_s3_config::inventory::{INVENTORIES_MAX, Inventory};
use mallee_s3_config::{Document, kept, text};

/// Configurations on a page, as AWS has it.
const PAGE: usize = 100;

fn id(call: &Call) -> Result<String, ApiError> {
    let id = call.asked.query.value("id");
    id.map(str::to_owned).ok_or_else(|| invalid_argument("Missing required parameter: id", "id", ""))
}

fn absent(bucket: &str) -> ApiError {
    Code::NoSuchConfiguration.error().field("BucketName", bucket)
}

/// GET /bucket?inventory&id=ID
pub(crate) async fn get(call: Call, bucket: String) -> Result<Reply, ApiError> {
    let id = id(&call)?;
    let found = call.bucket(&bucket).await?;
    let inventory = found.docs.named(Inventory::KIND, &id).ok_or_else(|| absent(&bucket))?;
    Ok(reply::xml(mallee_s3_config::whole(&kept::<Inventory>(inventory)?)))
}

/// PUT /bucket?inventory&id=ID
pub(crate) async fn put(mut call: Call, bucket: String) -> Result<Reply, ApiError> {
    let id = id(&call)?;
    let source = call.bucket(&bucket).await?;
    let inventory: Inventory = config::from_body(&mut call).await?;
    if inventory.id != id {
        return Err(invalid_argument(
            "The inventory id in the document does not match the one of the request",
            "id",
            &id,
        ));
    }
    let refused = |text: &'static str| Code::InvalidS3DestinationBucket.message(text);
    let to = match call.s3.engine().bucket(&inventory.to.bucket).await {
        Ok(to) => to,
        Err(Error::NoBucket) => return Err(refused("Destination bucket does not exist.")),
        Err(error) => return Err(engine(error)),
    };
    if to.region != source.region {
        return Err(refused("The destination bucket must be in the same region as the source bucket."));
    }
    if inventory.to.account.as_ref().is_some_and(|account| *account != to.account) {
        return Err(refused("The destination bucket does not belong to the account that was named."));
    }
    // Counted within the transaction.
    let check = |found: &Bucket| match is_full(&found.docs, &id) {
        true => Err(Error::TooMany("inventory configurations")),
        false => Ok(()),
    };
    match call.s3.engine().set_document(&bucket, Inventory::KIND, &id, &text(&inventory), &check).await {
        Ok(()) => Ok(reply::empty(StatusCode::OK)),
        Err(Error::TooMany(_)) => Err(Code::TooManyConfigurations.error()),
        Err(error) => Err(engine(error).field("BucketName", bucket)),
    }
}

fn is_full(docs: &Documents, id: &str) -> bool {
    docs.named(Inventory::KIND, id).is_none() && docs.of(Inventory::KIND).count() >= INVENTORIES_MAX
}

/// DELETE /bucket?inventory&id=ID
pub(crate) async fn delete(call: Call, bucket: String) -> Result<Reply, ApiError> {
    let id = id(&call)?;
    if call.bucket(&bucket).await?.docs.named(Inventory::KIND, &id).is_none() {
        return Err(absent(&bucket));
    }
    let removed = call.s3.engine().remove_document(&bucket, Inventory::KIND, &id).await;
    removed.map_err(|e| engine(e).field("BucketName", bucket))?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// GET /bucket?inventory
pub(crate) async fn list(call: Call, bucket: String) -> Result<Reply, ApiError> {
    let found = call.bucket(&bucket).await?;
    let token = call.asked.query.value("continuation-token");
    let after = token.map(|token| read_token(token).ok_or_else(|| wrong_token(token))).transpose()?;
    let all = found.docs.of(Inventory::KIND).filter(|(id, _)| after.as_deref().is_none_or(|after| *id > after));
    let page: Vec<(&str, &str)> = all.take(PAGE + 1).collect();
    let truncated = page.len() > PAGE;
    let mut w = document("ListInventoryConfigurationsResult");
    if let Some(token) = token {
        w.text("ContinuationToken", token);
    }
    for (_, inventory) in page.iter().take(PAGE) {
        w.open(Inventory::ROOT);
        kept::<Inventory>(inventory)?.write(&mut w);
        w.close(Inventory::ROOT);
    }
    w.display("IsTruncated", truncated);
    if let (true, Some((last, _))) = (truncated, page.get(PAGE - 1)) {
        w.text("NextContinuationToken", &URL_SAFE_NO_PAD.encode(last));
    }
    w.close("ListInventoryConfigurationsResult");
    Ok(reply::xml(w))
}

fn read_token(token: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()
}

fn wrong_token(token: &str) -> ApiError {
    invalid_argument("The continuation token provided is incorrect", "continuation-token", token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_so_many() {
        let mut docs = Documents::default();
        for n in 0..INVENTORIES_MAX {
            assert!(!is_full(&docs, "new"));
            docs = docs.with(Inventory::KIND, &n.to_string(), "x");
        }
        assert!(is_full(&docs, "new") && !is_full(&docs, "7"));
    }

    #[test]
    fn tokens() {
        assert_eq!(read_token(&URL_SAFE_NO_PAD.encode("a.b")).as_deref(), Some("a.b"));
        assert_eq!(read_token("!"), None);
        assert_eq!(wrong_token("!").code(), Code::InvalidArgument);
    }
}

//! The condition keys that are in the bodies of requests.

use super::{Keys, keys};
use crate::body::read_small;
use crate::call::Call;
use crate::operation::Operation;
use crate::ops::buckets;
use crate::{CREATE_BUCKET_XML_BYTES_MAX, SMALL_XML_BYTES_MAX};
use mallee_awswire::ApiError;
use mallee_awswire::xml_read::{Element, XmlLimits};
use mallee_s3_config::Document as _;
use mallee_s3_config::inventory::Inventory;
use std::sync::Arc;

impl Call {
    /// The condition keys that are in the body: it is read here, verified, and kept for the handler. Whether it asks for
    /// a right more is noted. What the handler will refuse has no keys.
    pub(super) async fn keys_of_body(&mut self, now_ms: i64) -> Result<Keys, ApiError> {
        let limit = match self.asked.operation() {
            Operation::CreateBucket => CREATE_BUCKET_XML_BYTES_MAX,
            Operation::PutObjectTagging | Operation::PutObjectRetention | Operation::PutObjectLegalHold => {
                SMALL_XML_BYTES_MAX
            }
            Operation::PutBucketInventoryConfiguration => Inventory::BYTES_MAX,
            _ => return Ok(Keys::new()),
        };
        let body = read_small(self, limit, true, false).await?;
        let keys = if self.asked.operation() == Operation::CreateBucket {
            let (location, tagging) = buckets::asked_for(&body)?;
            let mut keys = location.map_or_else(Keys::new, |location| keys::of_location(&location));
            if let Some(tagging) = tagging {
                self.asked = Arc::new(self.asked.with("s3:TagResource"));
                keys.extend(keys::of_bucket_tags(&tagging));
            }
            keys
        } else {
            let root = Element::parse(&body, XmlLimits::bytes(limit));
            root.map_or_else(|_| Keys::new(), |root| keys_of_xml(self.asked.operation(), &root, now_ms))
        };
        self.keep_body(body);
        Ok(keys)
    }
}

fn keys_of_xml(operation: Operation, root: &Element, now_ms: i64) -> Keys {
    let text = |name| root.child_text(name).map(str::trim);
    match operation {
        Operation::PutBucketInventoryConfiguration => keys::of_inventory(fields(root)),
        Operation::PutObjectTagging => keys::of_tags(tags(root).into_iter()),
        Operation::PutObjectRetention => keys::of_retention(text("Mode"), text("RetainUntilDate"), now_ms),
        _ => text("Status").map_or_else(Keys::new, keys::of_legal_hold),
    }
}

/// The optional fields of an inventory.
fn fields(root: &Element) -> Vec<String> {
    let optional = root.children.iter().filter(|child| child.name == "OptionalFields");
    optional.flat_map(|fields| fields.all("Field")).map(|field| field.text.trim().to_owned()).collect()
}

fn tags(root: &Element) -> Vec<(String, String)> {
    let sets = root.children.iter().filter(|child| child.name == "TagSet");
    let tags = sets.flat_map(|set| set.all("Tag"));
    let text = |tag: &Element, name| tag.child_text(name).unwrap_or_default().to_owned();
    tags.map(|tag| (text(tag, "Key"), text(tag, "Value"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_tells_its_tags() {
        let body = b"<CreateBucketConfiguration><Tags><Tag><Key>team</Key><Value>a</Value></Tag></Tags>\
                     </CreateBucketConfiguration>";
        let (_, tagging) = buckets::asked_for(body).unwrap();
        let one = |name: &str, value: &str| (name.to_owned(), vec![value.to_owned()]);
        assert_eq!(
            keys::of_bucket_tags(&tagging.unwrap()),
            [one("aws:TagKeys", "team"), one("aws:RequestTag/team", "a")]
        );
    }

    #[test]
    fn an_inventory_tells_its_fields() {
        let body = b"<InventoryConfiguration><Id>i</Id><OptionalFields><Field>Size</Field><Field> ETag </Field>\
                     </OptionalFields></InventoryConfiguration>";
        let root = Element::parse(body, XmlLimits::bytes(1024)).unwrap();
        assert_eq!(fields(&root), ["Size", "ETag"]);
        let keys = keys_of_xml(Operation::PutBucketInventoryConfiguration, &root, 0);
        assert_eq!(keys.len(), 1);
    }
}

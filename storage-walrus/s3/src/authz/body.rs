//! The condition keys that are in the bodies of requests.

use super::{Keys, keys};
use crate::body::read_small;
use crate::call::Call;
use crate::operation::Operation;
use crate::ops::buckets;
use crate::{CREATE_BUCKET_XML_BYTES_MAX, SMALL_XML_BYTES_MAX};
use mallee_awswire::ApiError;
use mallee_awswire::xml_read::{Element, XmlLimits};
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
            _ => return Ok(Keys::new()),
        };
        let body = read_small(self, limit, true, false).await?;
        let keys = if self.asked.operation() == Operation::CreateBucket {
            let (location, is_tagged) = buckets::asked_for(&body)?;
            if is_tagged {
                self.asked = Arc::new(self.asked.with("s3:TagResource"));
            }
            location.map_or_else(Keys::new, |location| keys::of_location(&location))
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
        Operation::PutObjectTagging => keys::of_tags(tags(root).into_iter()),
        Operation::PutObjectRetention => keys::of_retention(text("Mode"), text("RetainUntilDate"), now_ms),
        _ => text("Status").map_or_else(Keys::new, keys::of_legal_hold),
    }
}

fn tags(root: &Element) -> Vec<(String, String)> {
    let sets = root.children.iter().filter(|child| child.name == "TagSet");
    let tags = sets.flat_map(|set| set.all("Tag"));
    let text = |tag: &Element, name| tag.child_text(name).unwrap_or_default().to_owned();
    tags.map(|tag| (text(tag, "Key"), text(tag, "Value"))).collect()
}

//! Tags of buckets and objects
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketTagging.html>).

use crate::Document;
use crate::document::malformed;
use mallee_awswire::xml_read::Element;
use mallee_awswire::{ApiError, Code, XmlWriter};
use std::collections::BTreeMap;

/// Longest key, in characters.
pub const TAG_KEY_CHARS_MAX: usize = 128;
/// Longest value, in characters.
pub const TAG_VALUE_CHARS_MAX: usize = 256;
/// Tags of one bucket.
const BUCKET_TAGS_MAX: usize = 50;
/// Tags of one object.
pub const OBJECT_TAGS_MAX: usize = 10;

/// The tags of a bucket, or as an object's the client sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tagging {
    /// By key.
    pub tags: BTreeMap<String, String>,
}

/// Whether a tag may be: length, and the characters that AWS allows.
///
/// # Errors
/// `InvalidTag`.
pub fn check_tag(key: &str, value: &str) -> Result<(), ApiError> {
    let allowed = |text: &str| text.chars().all(|c| c.is_alphanumeric() || c.is_whitespace() || "+-=._:/@".contains(c));
    let wrong = |what: &str| Err(Code::InvalidTag.message(format!("The {what} you have provided is invalid")));
    if key.is_empty() || key.chars().count() > TAG_KEY_CHARS_MAX || !allowed(key) {
        return wrong("TagKey");
    }
    if value.chars().count() > TAG_VALUE_CHARS_MAX || !allowed(value) {
        return wrong("TagValue");
    }
    if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
        return Err(Code::InvalidTag.message("System tags cannot be added/updated by requester"));
    }
    Ok(())
}

/// Whether an object can have so many tags.
///
/// # Errors
/// `BadRequest`.
pub fn check_object_tags(tags: &BTreeMap<String, String>) -> Result<(), ApiError> {
    if tags.len() > OBJECT_TAGS_MAX {
        return Err(Code::BadRequest.message(format!("Object tags cannot be greater than {OBJECT_TAGS_MAX}")));
    }
    Ok(())
}

/// Reads the `Tag` elements of a set. How many there may be depends on what they are of.
///
/// # Errors
/// `MalformedXML`, `InvalidTag`.
fn tag_set(set: &Element) -> Result<BTreeMap<String, String>, ApiError> {
    let mut tags = BTreeMap::new();
    for tag in &set.children {
        let (Some(key), Some(value)) = (tag.child_text("Key"), tag.child_text("Value")) else {
            return Err(malformed());
        };
        if tag.name != "Tag" || tag.children.len() != 2 {
            return Err(malformed());
        }
        check_tag(key, value)?;
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(Code::InvalidTag.message("Cannot provide multiple Tags with the same key"));
        }
    }
    Ok(tags)
}

impl Tagging {
    /// The tags of a bucket, from the element that holds their elements.
    ///
    /// # Errors
    /// `MalformedXML`, `InvalidTag`, `BadRequest` for too many.
    pub fn of_bucket(set: &Element) -> Result<Self, ApiError> {
        let tags = tag_set(set)?;
        if tags.len() > BUCKET_TAGS_MAX {
            return Err(Code::BadRequest.message(format!("Bucket tag count cannot be greater than {BUCKET_TAGS_MAX}")));
        }
        Ok(Self { tags })
    }
}

impl Document for Tagging {
    const KIND: &'static str = "tagging";
    const ROOT: &'static str = "Tagging";

    fn read(root: &Element) -> Result<Self, ApiError> {
        let [set] = root.children.as_slice() else { return Err(malformed()) };
        if set.name != "TagSet" {
            return Err(malformed());
        }
        Self::of_bucket(set)
    }

    fn write(&self, w: &mut XmlWriter) {
        w.open("TagSet");
        for (key, value) in &self.tags {
            w.open("Tag");
            w.text("Key", key);
            w.text("Value", value);
            w.close("Tag");
        }
        w.close("TagSet");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kept, parse, text};

    fn tag(key: &str, value: &str) -> String {
        format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>")
    }

    #[test]
    fn bodies() {
        let read = |tags: &str| {
            parse::<Tagging>(format!("<Tagging><TagSet>{tags}</TagSet></Tagging>").as_bytes()).map_err(|e| e.code())
        };
        let two = read(&format!("{}{}", tag("b", ""), tag("a", "x y"))).expect("good");
        assert_eq!(
            two.tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(),
            [("a", "x y"), ("b", "")]
        );
        assert_eq!(kept::<Tagging>(&text(&two)).expect("kept"), two);
        for bad in
            [tag("", "v"), tag("a", "?"), tag("aws:x", "v"), tag(&"k".repeat(129), "v"), tag("a", "1") + &tag("a", "2")]
        {
            assert_eq!(read(&bad), Err(Code::InvalidTag), "{bad}");
        }
        assert_eq!(read("<Tag><Key>a</Key></Tag>"), Err(Code::MalformedXml));
        let many: String = (0..51).map(|n| tag(&n.to_string(), "v")).collect();
        assert_eq!(read(&many), Err(Code::BadRequest));
        assert_eq!(parse::<Tagging>(b"<Tags/>").map_err(|e| e.code()), Err(Code::MalformedXml));
    }
}

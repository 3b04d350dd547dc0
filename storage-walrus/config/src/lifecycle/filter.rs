//! Which objects a rule is about.

use crate::document::malformed;
use mallee_awswire::xml_read::Element;
use mallee_awswire::{ApiError, Code, XmlWriter};
use std::collections::BTreeMap;

/// Which objects a rule is about: those for which all of it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// It stands in the rule itself, as rules once were written.
    pub old_form: bool,
    /// What their keys begin with.
    pub prefix: Option<String>,
    /// Tags they have.
    pub tags: BTreeMap<String, String>,
    /// They have more bytes than this.
    pub larger: Option<u64>,
    /// They have fewer bytes than this.
    pub smaller: Option<u64>,
}

/// Tags in one filter (as an object has).
const FILTER_TAGS_MAX: usize = 10;
/// Bytes of a prefix, as of a key.
const PREFIX_BYTES_MAX: usize = 1024;
/// Largest size that a filter may name: 50 TiB.
const SIZE_MAX: u64 = 50 << 40;

impl Filter {
    /// Reads the `Filter` of a rule.
    ///
    /// # Errors
    /// `MalformedXML`, `InvalidRequest`, `InvalidTag`.
    pub fn read(element: &Element) -> Result<Self, ApiError> {
        let mut filter = Self::default();
        match element.children.as_slice() {
            [] => {}
            [and] if and.name == "And" => {
                // One condition needs no And; AWS refuses it.
                if and.children.len() < 2 {
                    return Err(malformed());
                }
                for child in &and.children {
                    filter.condition(child)?;
                }
            }
            [one] => filter.condition(one)?,
            _ => return Err(malformed()),
        }
        if let (Some(larger), Some(smaller)) = (filter.larger, filter.smaller)
            && smaller <= larger.saturating_add(1)
        {
            return Err(Code::InvalidRequest
                .message("'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'."));
        }
        Ok(filter)
    }

    /// The old form: a prefix in the rule itself.
    ///
    /// # Errors
    /// `InvalidRequest`.
    pub fn of_prefix(prefix: &str) -> Result<Self, ApiError> {
        check_prefix(prefix)?;
        Ok(Self { old_form: true, prefix: Some(prefix.to_owned()), ..Self::default() })
    }

    fn condition(&mut self, child: &Element) -> Result<(), ApiError> {
        let size = || child.text.trim().parse::<u64>().ok().filter(|n| *n <= SIZE_MAX).ok_or_else(malformed);
        match child.name.as_str() {
            "Prefix" if self.prefix.is_none() => {
                check_prefix(&child.text)?;
                self.prefix = Some(child.text.clone());
            }
            "Tag" => {
                let (Some(key), Some(value)) = (child.child_text("Key"), child.child_text("Value")) else {
                    return Err(malformed());
                };
                crate::check_tag(key, value)?;
                if self.tags.insert(key.to_owned(), value.to_owned()).is_some() {
                    return Err(Code::InvalidRequest.message("Duplicate Tag Keys are not allowed."));
                }
                if self.tags.len() > FILTER_TAGS_MAX {
                    return Err(malformed());
                }
            }
            "ObjectSizeGreaterThan" if self.larger.is_none() => self.larger = Some(size()?),
            "ObjectSizeLessThan" if self.smaller.is_none() => self.smaller = Some(size()?),
            _ => return Err(malformed()),
        }
        Ok(())
    }

    pub(crate) fn write(&self, w: &mut XmlWriter) {
        if self.old_form {
            return w.text("Prefix", self.prefix.as_deref().unwrap_or_default());
        }
        let conditions = usize::from(self.prefix.is_some())
            + self.tags.len()
            + usize::from(self.larger.is_some())
            + usize::from(self.smaller.is_some());
        w.open("Filter");
        if conditions > 1 {
            w.open("And");
        }
        if let Some(prefix) = &self.prefix {
            w.text("Prefix", prefix);
        }
        for (key, value) in &self.tags {
            w.open("Tag");
            w.text("Key", key);
            w.text("Value", value);
            w.close("Tag");
        }
        if let Some(size) = self.larger {
            w.display("ObjectSizeGreaterThan", size);
        }
        if let Some(size) = self.smaller {
            w.display("ObjectSizeLessThan", size);
        }
        if conditions > 1 {
            w.close("And");
        }
        w.close("Filter");
    }

    /// Whether it is about a key at all, whatever is under it.
    #[must_use]
    pub fn is_about_key(&self, key: &str) -> bool {
        self.prefix.as_deref().is_none_or(|prefix| key.starts_with(prefix))
    }

    /// Whether it is about an object.
    #[must_use]
    pub fn is_about(&self, key: &str, size: u64, tags: &BTreeMap<String, String>) -> bool {
        self.is_about_key(key)
            && self.larger.is_none_or(|bound| size > bound)
            && self.smaller.is_none_or(|bound| size < bound)
            && self.tags.iter().all(|(key, value)| tags.get(key) == Some(value))
    }

    /// Whether it asks for more than the beginning of the key.
    #[must_use]
    pub fn is_about_objects(&self) -> bool {
        !self.tags.is_empty() || self.names_size()
    }

    /// Whether it asks for a size.
    #[must_use]
    pub const fn names_size(&self) -> bool {
        self.larger.is_some() || self.smaller.is_some()
    }
}

fn check_prefix(prefix: &str) -> Result<(), ApiError> {
    if prefix.len() > PREFIX_BYTES_MAX {
        return Err(Code::InvalidRequest.message("The maximum size of a prefix is 1024."));
    }
    Ok(())
}

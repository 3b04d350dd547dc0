//! Inventories of buckets: lists of their objects, made daily or weekly
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketInventoryConfiguration.html>).

mod field;

pub use field::Field;

use crate::Document;
use crate::document::malformed;
use mallee_awswire::xml_read::Element;
use mallee_awswire::{ApiError, Code, XmlWriter};

/// Inventories of one bucket.
pub const INVENTORIES_MAX: usize = 1000;
/// Longest id, in characters.
const ID_CHARS_MAX: usize = 64;
/// Longest prefix, in bytes: of the list's keys, what follows it fits into a key; and of keys that are listed.
const PREFIX_BYTES_MAX: usize = 512;

/// How often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frequency {
    /// Each day.
    Daily,
    /// Each Sunday.
    Weekly,
}

/// An inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// Unique within the bucket.
    pub id: String,
    /// Whether lists are made.
    pub enabled: bool,
    /// Where to.
    pub to: Destination,
    /// What keys begin with that are listed.
    pub prefix: Option<String>,
    /// Whether all versions and delete markers are listed, or what keys stand for.
    pub all_versions: bool,
    /// What is told of each besides its name, in AWS's order.
    pub fields: Vec<Field>,
    /// How often.
    pub frequency: Frequency,
}

/// Where lists go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The bucket.
    pub bucket: String,
    /// Whose it must be.
    pub account: Option<String>,
    /// What its keys begin with.
    pub prefix: Option<String>,
    /// Lists are encrypted (SSE-S3) where the bucket does not say so by itself.
    pub encrypted: bool,
}

fn not_implemented(text: &'static str, feature: &str) -> ApiError {
    Code::NotImplemented.message(text).field("Feature", feature)
}

fn is_id(id: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !id.is_empty() && id.len() <= ID_CHARS_MAX && id.chars().all(good)
}

fn prefix(element: &Element) -> Result<Option<String>, ApiError> {
    match element.text.as_str() {
        long if long.len() > PREFIX_BYTES_MAX => Err(Code::InvalidArgument.message("The prefix is too long.")),
        text => Ok(Some(text.to_owned()).filter(|text| !text.is_empty())),
    }
}

fn destination(element: &Element) -> Result<Destination, ApiError> {
    let [inner] = element.children.as_slice() else { return Err(malformed()) };
    if inner.name != "S3BucketDestination" {
        return Err(malformed());
    }
    let mut found = Destination { bucket: String::new(), account: None, prefix: None, encrypted: false };
    let mut format = None;
    for child in &inner.children {
        let text = child.text.trim();
        match child.name.as_str() {
            "AccountId" => found.account = Some(text.to_owned()).filter(|account| !account.is_empty()),
            "Bucket" => {
                let name = text.strip_prefix("arn:aws:s3:::").filter(|name| !name.is_empty() && !name.contains('/'));
                let wrong = || Code::InvalidS3DestinationBucket.message("Invalid bucket ARN.");
                found.bucket = name.ok_or_else(wrong)?.to_owned();
            }
            "Format" => format = Some(text),
            "Prefix" => found.prefix = prefix(child)?,
            "Encryption" => match child.children.as_slice() {
                [] => {}
                [kind] if kind.name == "SSE-S3" => found.encrypted = true,
                [kind] if kind.name == "SSE-KMS" => {
                    let text = "Inventories encrypted with keys of KMS are not implemented by this object store.";
                    return Err(not_implemented(text, "SSE-KMS"));
                }
                _ => return Err(malformed()),
            },
            _ => return Err(malformed()),
        }
    }
    match format {
        Some("CSV") => {}
        Some("ORC" | "Parquet") => {
            let text = "Inventories in other formats than CSV are not implemented by this object store.";
            return Err(not_implemented(text, format.unwrap_or_default()));
        }
        _ => return Err(malformed()),
    }
    if found.bucket.is_empty() {
        return Err(malformed());
    }
    Ok(found)
}

fn fields(element: &Element) -> Result<Vec<Field>, ApiError> {
    let mut fields = Vec::new();
    for child in &element.children {
        let name = child.text.trim();
        if child.name != "Field" || !field::is_known(name) {
            return Err(malformed());
        }
        fields.push(Field::parse(name).ok_or_else(|| {
            let text = format!("The inventory field {name} is not implemented by this object store.");
            Code::NotImplemented.message(text).field("Feature", name)
        })?);
    }
    fields.sort_unstable();
    fields.dedup();
    Ok(fields)
}

impl Document for Inventory {
    const KIND: &'static str = "inventory";
    const ROOT: &'static str = "InventoryConfiguration";
    const ELEMENTS_MAX: usize = 100;

    fn read(root: &Element) -> Result<Self, ApiError> {
        let (mut id, mut enabled, mut to, mut all_versions, mut frequency) = (None, None, None, None, None);
        let (mut only, mut told) = (None, Vec::new());
        for child in &root.children {
            let text = child.text.trim();
            match child.name.as_str() {
                "Id" => id = Some(text).filter(|id| is_id(id)),
                "IsEnabled" => enabled = text.parse().ok(),
                "Destination" => to = Some(destination(child)?),
                "Filter" => match child.children.as_slice() {
                    [] => {}
                    [one] if one.name == "Prefix" => only = prefix(one)?,
                    _ => return Err(malformed()),
                },
                "IncludedObjectVersions" => {
                    all_versions = match text {
                        "All" => Some(true),
                        "Current" => Some(false),
                        _ => None,
                    }
                }
                "OptionalFields" => told = fields(child)?,
                "Schedule" => {
                    frequency = match child.child_text("Frequency").map(str::trim) {
                        Some("Daily") => Some(Frequency::Daily),
                        Some("Weekly") => Some(Frequency::Weekly),
                        _ => None,
                    }
                }
                _ => return Err(malformed()),
            }
        }
        Ok(Self {
            id: id.ok_or_else(malformed)?.to_owned(),
            enabled: enabled.ok_or_else(malformed)?,
            to: to.ok_or_else(malformed)?,
            prefix: only,
            all_versions: all_versions.ok_or_else(malformed)?,
            fields: told,
            frequency: frequency.ok_or_else(malformed)?,
        })
    }

    fn write(&self, w: &mut XmlWriter) {
        w.open("Destination");
        w.open("S3BucketDestination");
        if let Some(account) = &self.to.account {
            w.text("AccountId", account);
        }
        w.text("Bucket", &format!("arn:aws:s3:::{}", self.to.bucket));
        w.text("Format", "CSV");
        if let Some(prefix) = &self.to.prefix {
            w.text("Prefix", prefix);
        }
        if self.to.encrypted {
            w.open("Encryption");
            w.empty("SSE-S3");
            w.close("Encryption");
        }
        w.close("S3BucketDestination");
        w.close("Destination");
        w.display("IsEnabled", self.enabled);
        if let Some(prefix) = &self.prefix {
            w.open("Filter");
            w.text("Prefix", prefix);
            w.close("Filter");
        }
        w.text("Id", &self.id);
        w.text("IncludedObjectVersions", if self.all_versions { "All" } else { "Current" });
        if !self.fields.is_empty() {
            w.open("OptionalFields");
            for field in &self.fields {
                w.text("Field", field.name());
            }
            w.close("OptionalFields");
        }
        w.open("Schedule");
        let frequency = match self.frequency {
            Frequency::Daily => "Daily",
            Frequency::Weekly => "Weekly",
        };
        w.text("Frequency", frequency);
        w.close("Schedule");
    }
}

impl Inventory {
    /// Names of the columns of its lists, in their order.
    #[must_use]
    pub fn columns(&self) -> Vec<&'static str> {
        let mut columns = vec!["Bucket", "Key"];
        if self.all_versions {
            columns.extend(["VersionId", "IsLatest", "IsDeleteMarker"]);
        }
        columns.extend(self.fields.iter().map(|field| field.name()));
        columns
    }

    /// Whether a list is due that was not on `done`, on a day behind that and up to `day`, both counted from 1970-01-01: a
    /// Thursday.
    #[must_use]
    pub const fn is_due(&self, done: i64, day: i64) -> bool {
        // Sundays that there were.
        const fn weeks(day: i64) -> i64 {
            (day - 3).div_euclid(7)
        }
        self.enabled
            && match self.frequency {
                Frequency::Daily => done < day,
                Frequency::Weekly => weeks(done) < weeks(day),
            }
    }

    /// What keys of its lists begin with, of this source bucket: with a slash at the end.
    #[must_use]
    pub fn place(&self, source: &str) -> String {
        let prefix = self.to.prefix.as_deref().unwrap_or_default();
        let slash = if prefix.is_empty() || prefix.ends_with('/') { "" } else { "/" };
        format!("{prefix}{slash}{source}/{}/", self.id)
    }
}

#[cfg(test)]
mod tests;

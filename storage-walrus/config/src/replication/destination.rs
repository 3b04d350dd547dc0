//! Where a rule brings objects.

use super::{malformed, not_implemented, read, write_status};
use crate::check_storage_class;
use mallee_awswire::xml_read::Element;
use mallee_awswire::{ApiError, Code, XmlWriter};
use std::fmt;

/// Longest name of a bucket.
const BUCKET_BYTES_MAX: usize = 255;

/// A bucket: `arn:aws:s3:::BUCKET`, or of another object store `arn:aws:s3:PEER::BUCKET`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketArn {
    /// The name under which an administrator has declared the other store; none: this one.
    pub peer: Option<String>,
    /// The bucket's name.
    pub name: String,
}

impl BucketArn {
    /// Reads an ARN; `None` for what is none of a bucket.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (peer, name) = text.strip_prefix("arn:aws:s3:")?.split_once("::")?;
        let good = (1..=BUCKET_BYTES_MAX).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !good || !(peer.is_empty() || crate::notification::is_name(peer)) {
            return None;
        }
        Some(Self { peer: Some(peer.to_owned()).filter(|peer| !peer.is_empty()), name: name.to_owned() })
    }
}

impl fmt::Display for BucketArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arn:aws:s3:{}::{}", self.peer.as_deref().unwrap_or_default(), self.name)
    }
}

/// Where a rule brings objects, and what becomes of them there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Destination {
    /// The bucket.
    pub bucket: BucketArn,
    /// Whose it must be.
    pub account: Option<String>,
    /// The storage class of replicas; none: that of the object.
    pub class: Option<String>,
    /// Replicas belong to the owner of the bucket, whoever owns the objects.
    pub to_owner: bool,
    /// It was said that no time is promised, which is so anyway.
    pub says_no_time: bool,
    /// It was said that nothing is measured, which is so anyway.
    pub says_no_metrics: bool,
}

impl Destination {
    pub(super) fn read(element: &Element) -> Result<Self, ApiError> {
        let (mut found, mut arn) = (Self::default(), None);
        for child in &element.children {
            match child.name.as_str() {
                "Bucket" if arn.is_none() => arn = Some(child.text.trim()),
                "Account" if found.account.is_none() => found.account = Some(account(child.text.trim())?),
                "StorageClass" if found.class.is_none() => {
                    let class = child.text.trim();
                    check_storage_class(class)?;
                    found.class = Some(class.to_owned());
                }
                "AccessControlTranslation" => match child.children.as_slice() {
                    [owner] if owner.name == "Owner" && owner.text.trim() == "Destination" => found.to_owner = true,
                    _ => return Err(malformed()),
                },
                "EncryptionConfiguration" => return Err(not_implemented("Replication under keys of KMS")),
                "ReplicationTime" => match read::status(child)? {
                    true => return Err(not_implemented("S3 Replication Time Control")),
                    false => found.says_no_time = true,
                },
                "Metrics" => match read::status(child)? {
                    true => return Err(not_implemented("Replication metrics")),
                    false => found.says_no_metrics = true,
                },
                _ => return Err(malformed()),
            }
        }
        let arn = arn.ok_or_else(malformed)?;
        found.bucket = BucketArn::parse(arn).ok_or_else(|| {
            let text = "Invalid bucket ARN.";
            Code::InvalidArgument.message(text).field("ArgumentName", "Bucket").field("ArgumentValue", arn)
        })?;
        if found.to_owner && found.account.is_none() {
            return Err(Code::InvalidRequest.message(
                "If the Owner in AccessControlTranslation has a value, the Account element must be specified.",
            ));
        }
        Ok(found)
    }

    pub(super) fn write(&self, w: &mut XmlWriter) {
        w.open("Destination");
        w.text("Bucket", &self.bucket.to_string());
        if let Some(account) = &self.account {
            w.text("Account", account);
        }
        if let Some(class) = &self.class {
            w.text("StorageClass", class);
        }
        if self.to_owner {
            w.open("AccessControlTranslation");
            w.text("Owner", "Destination");
            w.close("AccessControlTranslation");
        }
        if self.says_no_time {
            write_status(w, "ReplicationTime", false);
        }
        if self.says_no_metrics {
            write_status(w, "Metrics", false);
        }
        w.close("Destination");
    }
}

fn account(text: &str) -> Result<String, ApiError> {
    if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    Err(Code::InvalidArgument.message("The Account element must contain a valid account ID."))
}

//! How objects of a bucket are encrypted where a request does not say
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketEncryption.html>).

use crate::Document;
use crate::document::malformed;
use mallee_awswire::xml_read::Element;
use mallee_awswire::{ApiError, Code, XmlWriter};

/// Longest name of a key, in bytes (KMS: 2,048).
const KEY_BYTES_MAX: usize = 2048;

/// With which key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefaultEncryption {
    /// The store's.
    Store,
    /// One of KMS: as it was named, or that of the account for S3.
    Kms(Option<String>),
}

/// The encryption of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketEncryption {
    /// What encrypts where a request does not say.
    pub default: DefaultEncryption,
    /// Keys of KMS are asked for the bucket, not for each object.
    pub bucket_key: bool,
    /// Keys that clients bring are refused.
    pub blocks_customer_keys: bool,
}

/// The only child of this name; `None` if there is none.
fn one<'e>(of: &'e Element, name: &str) -> Result<Option<&'e Element>, ApiError> {
    let mut found = of.children.iter().filter(|child| child.name == name);
    let first = found.next();
    if found.next().is_some() { Err(malformed()) } else { Ok(first) }
}

fn default(rule: &Element) -> Result<DefaultEncryption, ApiError> {
    let Some(asked) = one(rule, "ApplyServerSideEncryptionByDefault")? else { return Ok(DefaultEncryption::Store) };
    let key = one(asked, "KMSMasterKeyID")?.map(|key| key.text.trim().to_owned()).filter(|key| !key.is_empty());
    if key.as_ref().is_some_and(|key| key.len() > KEY_BYTES_MAX) {
        return Err(malformed());
    }
    match (asked.child_text("SSEAlgorithm").ok_or_else(malformed)?.trim(), key) {
        ("AES256", None) => Ok(DefaultEncryption::Store),
        ("AES256", Some(_)) => Err(Code::InvalidArgument
            .message("a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse")),
        ("aws:kms", key) => Ok(DefaultEncryption::Kms(key)),
        ("aws:kms:dsse", _) => Err(Code::NotImplemented
            .message("Dual-layer encryption (aws:kms:dsse) is not implemented by this object store.")
            .field("Feature", "aws:kms:dsse")),
        _ => Err(malformed()),
    }
}

fn blocks(rule: &Element) -> Result<bool, ApiError> {
    let Some(list) = one(rule, "BlockedEncryptionTypes")? else { return Ok(false) };
    let mut blocked = false;
    for kind in &list.children {
        match (kind.name.as_str(), kind.text.trim()) {
            ("EncryptionType", "NONE") => {}
            ("EncryptionType", "SSE-C") => blocked = true,
            _ => return Err(malformed()),
        }
    }
    Ok(blocked)
}

impl Document for BucketEncryption {
    const KIND: &'static str = "encryption";
    const ROOT: &'static str = "ServerSideEncryptionConfiguration";
    const ELEMENTS_MAX: usize = 32;

    fn read(root: &Element) -> Result<Self, ApiError> {
        let [rule] = root.children.as_slice() else { return Err(malformed()) };
        if rule.name != "Rule" {
            return Err(malformed());
        }
        const KNOWN: [&str; 3] = ["ApplyServerSideEncryptionByDefault", "BucketKeyEnabled", "BlockedEncryptionTypes"];
        if rule.children.iter().any(|child| !KNOWN.contains(&child.name.as_str())) {
            return Err(malformed());
        }
        let bucket_key = match one(rule, "BucketKeyEnabled")?.map(|flag| flag.text.trim()) {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(malformed()),
        };
        Ok(Self { default: default(rule)?, bucket_key, blocks_customer_keys: blocks(rule)? })
    }

    fn write(&self, w: &mut XmlWriter) {
        w.open("Rule");
        w.open("ApplyServerSideEncryptionByDefault");
        match &self.default {
            DefaultEncryption::Store => w.text("SSEAlgorithm", "AES256"),
            DefaultEncryption::Kms(key) => {
                w.text("SSEAlgorithm", "aws:kms");
                if let Some(key) = key {
                    w.text("KMSMasterKeyID", key);
                }
            }
        }
        w.close("ApplyServerSideEncryptionByDefault");
        w.display("BucketKeyEnabled", self.bucket_key);
        if self.blocks_customer_keys {
            w.open("BlockedEncryptionTypes");
            w.text("EncryptionType", "SSE-C");
            w.close("BlockedEncryptionTypes");
        }
        w.close("Rule");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kept, parse, text};

    #[test]
    fn bodies() {
        let read = |rule: &str| {
            let root = BucketEncryption::ROOT;
            parse::<BucketEncryption>(format!("<{root}>{rule}</{root}>").as_bytes()).map_err(|e| e.code())
        };
        let rule = |algorithm: &str, more: &str| {
            format!(
                "<Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>{algorithm}</SSEAlgorithm>{more}</ApplyServerSideEncryptionByDefault><BucketKeyEnabled>true</BucketKeyEnabled></Rule>"
            )
        };
        let key = "<KMSMasterKeyID>alias/a</KMSMasterKeyID>";
        for (body, default) in [
            (rule("AES256", ""), DefaultEncryption::Store),
            (rule("aws:kms", ""), DefaultEncryption::Kms(None)),
            (rule("aws:kms", key), DefaultEncryption::Kms(Some("alias/a".to_owned()))),
        ] {
            let found = read(&body).expect("good");
            assert_eq!((&found.default, found.bucket_key, found.blocks_customer_keys), (&default, true, false));
            assert_eq!(kept::<BucketEncryption>(&text(&found)).expect("kept"), found);
        }
        let blocked =
            "<Rule><BlockedEncryptionTypes><EncryptionType>SSE-C</EncryptionType></BlockedEncryptionTypes></Rule>";
        let blocked = read(blocked).expect("good");
        assert!(blocked.blocks_customer_keys);
        assert_eq!(kept::<BucketEncryption>(&text(&blocked)).expect("kept"), blocked);
        assert_eq!(read(&rule("AES256", key)), Err(Code::InvalidArgument));
        assert_eq!(read(&rule("aws:kms:dsse", "")), Err(Code::NotImplemented));
        let two = rule("AES256", "") + &rule("AES256", "");
        for bad in ["", "<Rule><Colour/></Rule>", &rule("ROT13", ""), &two] {
            assert_eq!(read(bad), Err(Code::MalformedXml), "{bad}");
        }
    }
}

//! What of a bucket is kept from the public, whatever policies and lists say
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html>).

use crate::Document;
use mallee_awswire::xml_read::Element;
use mallee_awswire::{ApiError, Code, XmlWriter};

/// The four switches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PublicAccessBlock {
    /// Refuses lists that grant something to the public.
    pub block_public_acls: bool,
    /// Passes over what lists grant to the public.
    pub ignore_public_acls: bool,
    /// Refuses policies that are public.
    pub block_public_policy: bool,
    /// A public policy allows nothing to anybody outside of the bucket's account, but to services.
    pub restrict_public_buckets: bool,
}

impl PublicAccessBlock {
    /// All on: what new buckets have.
    pub const ALL: Self = Self {
        block_public_acls: true,
        ignore_public_acls: true,
        block_public_policy: true,
        restrict_public_buckets: true,
    };
}

impl Document for PublicAccessBlock {
    const KIND: &'static str = "public-access-block";
    const ROOT: &'static str = "PublicAccessBlockConfiguration";

    fn read(root: &Element) -> Result<Self, ApiError> {
        let mut read = Self::default();
        for child in &root.children {
            let switch = match child.name.as_str() {
                "BlockPublicAcls" => &mut read.block_public_acls,
                "IgnorePublicAcls" => &mut read.ignore_public_acls,
                "BlockPublicPolicy" => &mut read.block_public_policy,
                "RestrictPublicBuckets" => &mut read.restrict_public_buckets,
                _ => return Err(Code::MalformedXml.error()),
            };
            *switch = match child.text.trim() {
                text if text.eq_ignore_ascii_case("true") => true,
                text if text.eq_ignore_ascii_case("false") => false,
                _ => return Err(Code::MalformedXml.error()),
            };
        }
        Ok(read)
    }

    fn write(&self, w: &mut XmlWriter) {
        w.display("BlockPublicAcls", self.block_public_acls);
        w.display("IgnorePublicAcls", self.ignore_public_acls);
        w.display("BlockPublicPolicy", self.block_public_policy);
        w.display("RestrictPublicBuckets", self.restrict_public_buckets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kept, parse, text};

    #[test]
    fn bodies() {
        let read = |inner: &str| {
            let text = format!("<PublicAccessBlockConfiguration>{inner}</PublicAccessBlockConfiguration>");
            parse::<PublicAccessBlock>(text.as_bytes()).map_err(|e| e.code())
        };
        let one = read("<IgnorePublicAcls>true</IgnorePublicAcls>").expect("good");
        assert_eq!(one, PublicAccessBlock { ignore_public_acls: true, ..PublicAccessBlock::default() });
        assert_eq!(kept::<PublicAccessBlock>(&text(&PublicAccessBlock::ALL)).expect("kept"), PublicAccessBlock::ALL);
        for bad in ["<Other>true</Other>", "<BlockPublicAcls>yes</BlockPublicAcls>", "<BlockPublicPolicy/>"] {
            assert_eq!(read(bad), Err(Code::MalformedXml), "{bad}");
        }
    }
}

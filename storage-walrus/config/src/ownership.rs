//! Who owns what others write into a bucket, and whether access control lists count in it
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/about-object-ownership.html>).

use crate::Document;
use crate::document::malformed;
use mallee_awswire::xml_read::Element;
use mallee_awswire::{ApiError, XmlWriter};

/// The rule of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// The bucket's owner owns everything; lists do not count.
    BucketOwnerEnforced,
    /// What is written with the list `bucket-owner-full-control` is the bucket owner's, else the writer's.
    BucketOwnerPreferred,
    /// What is written is the writer's.
    ObjectWriter,
}

impl Ownership {
    const ALL: [Self; 3] = [Self::BucketOwnerEnforced, Self::BucketOwnerPreferred, Self::ObjectWriter];

    /// S3's word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BucketOwnerEnforced => "BucketOwnerEnforced",
            Self::BucketOwnerPreferred => "BucketOwnerPreferred",
            Self::ObjectWriter => "ObjectWriter",
        }
    }

    /// Reads S3's word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == text)
    }
}

/// The document that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnershipControls(pub Ownership);

impl Document for OwnershipControls {
    const KIND: &'static str = "ownership-controls";
    const ROOT: &'static str = "OwnershipControls";

    fn read(root: &Element) -> Result<Self, ApiError> {
        let [rule] = root.children.as_slice() else { return Err(malformed()) };
        let [ownership] = rule.children.as_slice() else { return Err(malformed()) };
        if (rule.name.as_str(), ownership.name.as_str()) != ("Rule", "ObjectOwnership") {
            return Err(malformed());
        }
        Ownership::parse(ownership.text.trim()).map(Self).ok_or_else(malformed)
    }

    fn write(&self, w: &mut XmlWriter) {
        w.open("Rule");
        w.text("ObjectOwnership", self.0.name());
        w.close("Rule");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kept, parse, text};
    use mallee_awswire::Code;

    #[test]
    fn bodies() {
        let read = |inner: &str| {
            parse::<OwnershipControls>(format!("<OwnershipControls>{inner}</OwnershipControls>").as_bytes())
                .map_err(|e| e.code())
        };
        for rule in Ownership::ALL {
            let controls = OwnershipControls(rule);
            assert_eq!(kept::<OwnershipControls>(&text(&controls)).expect("kept"), controls);
        }
        let rule = "<Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule>";
        assert_eq!(read(rule), Ok(OwnershipControls(Ownership::ObjectWriter)));
        for bad in ["", "<Rule/>", "<Rule><ObjectOwnership>Nobody</ObjectOwnership></Rule>", &rule.repeat(2)] {
            assert_eq!(read(bad), Err(Code::MalformedXml), "{bad}");
        }
    }
}

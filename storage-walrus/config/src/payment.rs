//! Who pays for requests to a bucket
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketRequestPayment.html>).

use crate::Document;
use crate::document::malformed;
use mallee_awswire::xml_read::Element;
use mallee_awswire::{ApiError, XmlWriter};

/// Who pays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RequestPayment {
    /// The bucket's owner.
    #[default]
    BucketOwner,
    /// Whoever asks: others than the owner must say that they know.
    Requester,
}

impl Document for RequestPayment {
    const KIND: &'static str = "requestPayment";
    const ROOT: &'static str = "RequestPaymentConfiguration";
    const ELEMENTS_MAX: usize = 16;

    fn read(root: &Element) -> Result<Self, ApiError> {
        let [payer] = root.children.as_slice() else { return Err(malformed()) };
        match (payer.name.as_str(), payer.text.trim()) {
            ("Payer", "BucketOwner") => Ok(Self::BucketOwner),
            ("Payer", "Requester") => Ok(Self::Requester),
            _ => Err(malformed()),
        }
    }

    fn write(&self, w: &mut XmlWriter) {
        let payer = match self {
            Self::BucketOwner => "BucketOwner",
            Self::Requester => "Requester",
        };
        w.text("Payer", payer);
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
            let root = RequestPayment::ROOT;
            parse::<RequestPayment>(format!("<{root}>{inner}</{root}>").as_bytes()).map_err(|error| error.code())
        };
        for (payer, is) in [("Requester", RequestPayment::Requester), ("BucketOwner", RequestPayment::BucketOwner)] {
            assert_eq!(read(&format!("<Payer>{payer}</Payer>")), Ok(is));
            assert_eq!(kept::<RequestPayment>(&text(&is)).expect("kept"), is);
        }
        for bad in ["", "<Payer/>", "<Payer>Nobody</Payer>", "<Payer>Requester</Payer><Payer>Requester</Payer>"] {
            assert_eq!(read(bad), Err(Code::MalformedXml), "{bad}");
        }
    }
}

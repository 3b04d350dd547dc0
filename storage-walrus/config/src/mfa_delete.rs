//! Whether versions of a bucket are deleted only by whoever proves a second factor
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/MultiFactorAuthenticationDelete.html>). Clients say it with the
//! bucket's versioning; it is kept on its own.

use crate::Document;
use mallee_awswire::xml_read::Element;
use mallee_awswire::{ApiError, Code, XmlWriter};

/// It is wanted. (Where it is not, nothing is kept.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MfaDelete;

impl Document for MfaDelete {
    const KIND: &'static str = "mfa-delete";
    const ROOT: &'static str = "MfaDeleteConfiguration";
    const ELEMENTS_MAX: usize = 16;

    fn read(root: &Element) -> Result<Self, ApiError> {
        match root.children.as_slice() {
            [child] if child.name == "MfaDelete" && child.text.trim() == "Enabled" => Ok(Self),
            _ => Err(Code::MalformedXml.error()),
        }
    }

    fn write(&self, w: &mut XmlWriter) {
        w.text("MfaDelete", "Enabled");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kept, text};

    #[test]
    fn what_is_kept_reads_back() {
        assert_eq!(kept::<MfaDelete>(&text(&MfaDelete)).expect("kept"), MfaDelete);
        assert!(
            kept::<MfaDelete>("<MfaDeleteConfiguration><MfaDelete>Disabled</MfaDelete></MfaDeleteConfiguration>")
                .is_err()
        );
    }
}

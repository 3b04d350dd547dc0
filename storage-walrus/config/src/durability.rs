//! What an answer to a write means in a bucket. (This is not AWS's: there is nothing to choose there.)

use crate::Document;
use crate::document::malformed;
use mallee_awswire::xml_read::Element;
use mallee_awswire::{ApiError, XmlWriter};

/// The level of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// What was answered is on the disk.
    #[default]
    Strict,
    /// The bytes of what was answered are on the disk within a second; should the power fail before, they are missing.
    Relaxed,
}

impl Durability {
    const ALL: [Self; 2] = [Self::Strict, Self::Relaxed];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Relaxed => "relaxed",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == text)
    }
}

impl Document for Durability {
    const KIND: &'static str = "durability";
    const ROOT: &'static str = "DurabilityConfiguration";

    fn read(root: &Element) -> Result<Self, ApiError> {
        let [level] = root.children.as_slice() else { return Err(malformed()) };
        if level.name != "Durability" {
            return Err(malformed());
        }
        Self::parse(level.text.trim()).ok_or_else(malformed)
    }

    fn write(&self, w: &mut XmlWriter) {
        w.text("Durability", self.name());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kept, parse, text};
    use mallee_awswire::Code;

    #[test]
    fn bodies() {
        for level in Durability::ALL {
            assert_eq!(kept::<Durability>(&text(&level)).expect("kept"), level);
        }
        let read = |inner: &str| {
            let body = format!("<DurabilityConfiguration>{inner}</DurabilityConfiguration>");
            parse::<Durability>(body.as_bytes()).map_err(|e| e.code())
        };
        assert_eq!(read("<Durability>relaxed</Durability>"), Ok(Durability::Relaxed));
        for bad in ["", "<Durability/>", "<Durability>Strict</Durability>", "<Level>strict</Level>"] {
            assert_eq!(read(bad), Err(Code::MalformedXml), "{bad}");
        }
    }
}

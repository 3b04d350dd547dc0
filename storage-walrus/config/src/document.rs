//! What the documents have in common.

use mallee_awswire::xml_read::{Element, XmlLimits};
use mallee_awswire::{ApiError, Code, XmlWriter};

/// The namespace of all S3 documents.
pub const XMLNS: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// A configuration of a bucket.
pub trait Document: Sized + Send + Sync {
    /// Under which name it is kept; for ever.
    const KIND: &'static str;
    /// Its root element.
    const ROOT: &'static str;
    /// Most bytes of its XML.
    const BYTES_MAX: usize = 64 * 1024;
    /// Most elements of its XML.
    const ELEMENTS_MAX: usize = 20_000;
    /// Whether AWS refuses it without a hash of the body (`Content-MD5` or a checksum).
    const MUST_HASH: bool = false;

    /// Reads the root element, whose name was checked.
    ///
    /// # Errors
    /// `MalformedXML`, and what S3 answers to values that cannot be.
    fn read(root: &Element) -> Result<Self, ApiError>;
    /// Writes what is inside the root element.
    fn write(&self, w: &mut XmlWriter);
}

/// Reads a document that a client sent.
///
/// # Errors
/// As [`Document::read`].
pub fn parse<D: Document>(body: &[u8]) -> Result<D, ApiError> {
    let malformed = || Code::MalformedXml.error();
    let limits = XmlLimits { elements: D::ELEMENTS_MAX, ..XmlLimits::bytes(D::BYTES_MAX) };
    let root = Element::parse(body, limits).map_err(|e| malformed().because(e))?;
    if root.name != D::ROOT {
        return Err(malformed());
    }
    D::read(&root)
}

/// The whole document, as it is sent and kept.
#[must_use]
pub fn whole<D: Document>(document: &D) -> XmlWriter {
    let mut w = XmlWriter::document();
    w.open_ns(D::ROOT, XMLNS);
    document.write(&mut w);
    w.close(D::ROOT);
    w
}

/// Its text.
#[must_use]
pub fn text<D: Document>(document: &D) -> String {
    whole(document).finish()
}

/// Reads back what [`text`] made.
///
/// # Errors
/// An internal error: what is kept is damaged, or of a later release.
pub fn kept<D: Document>(text: &str) -> Result<D, ApiError> {
    parse(text.as_bytes())
        .map_err(|error| ApiError::internal(format!("the {} that is kept cannot be read: {error}", D::KIND)))
}

//! What the documents have in common.

use mallee_awswire::xml::in_xml;
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

    /// Reads what is kept: as [`Document::read`], unless more is kept than is sent.
    ///
    /// # Errors
    /// As [`Document::read`].
    fn read_kept(root: &Element) -> Result<Self, ApiError> {
        Self::read(root)
    }
    /// Writes what is kept besides.
    fn write_kept(&self, _w: &mut XmlWriter) {}
}

/// What is answered to XML that is no such document.
pub(crate) fn malformed() -> ApiError {
    Code::MalformedXml.error()
}

/// Reads a document that a client sent.
///
/// # Errors
/// As [`Document::read`].
pub fn parse<D: Document>(body: &[u8]) -> Result<D, ApiError> {
    D::read(&root::<D>(body)?)
}

/// The root element of a document.
fn root<D: Document>(body: &[u8]) -> Result<Element, ApiError> {
    let limits = XmlLimits { elements: D::ELEMENTS_MAX, ..XmlLimits::bytes(D::BYTES_MAX) };
    let root = Element::parse(body, limits).map_err(|e| malformed().because(e))?;
    if root.name != D::ROOT || !is_xml(&root) {
        return Err(malformed());
    }
    Ok(root)
}

/// Whether every text in it can be written as XML again: characters that XML cannot carry would be kept as others.
fn is_xml(element: &Element) -> bool {
    element.text.chars().all(in_xml) && element.children.iter().all(is_xml)
}

/// The whole document, as it is sent.
#[must_use]
pub fn whole<D: Document>(document: &D) -> XmlWriter {
    written(document, |_, _| {})
}

/// Its text, as it is kept.
#[must_use]
pub fn text<D: Document>(document: &D) -> String {
    written(document, D::write_kept).finish()
}

fn written<D: Document>(document: &D, more: impl Fn(&D, &mut XmlWriter)) -> XmlWriter {
    let mut w = XmlWriter::document();
    w.open_ns(D::ROOT, XMLNS);
    document.write(&mut w);
    more(document, &mut w);
    w.close(D::ROOT);
    w
}

/// Reads back what [`text`] made.
///
/// # Errors
/// An internal error: what is kept is damaged, or of a later release.
pub fn kept<D: Document>(text: &str) -> Result<D, ApiError> {
    root::<D>(text.as_bytes())
        .and_then(|root| D::read_kept(&root))
        .map_err(|error| ApiError::internal(format!("the {} that is kept cannot be read: {error}", D::KIND)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cors;

    /// The fuzz target `xml` found that such a document was understood as one thing and kept as another.
    #[test]
    fn what_xml_cannot_carry_is_refused() {
        let read = |origin: &str| {
            let rule = format!("<AllowedMethod>GET</AllowedMethod><AllowedOrigin>{origin}</AllowedOrigin>");
            let xml = format!("<CORSConfiguration><CORSRule>{rule}</CORSRule></CORSConfiguration>");
            parse::<Cors>(xml.as_bytes()).map(drop).map_err(|error| error.code())
        };
        for bad in ["h\u{1}\0\0\u{7f}ttp://*.a", "http://&#x1;", "http://&#xFFFE;", "\u{ffff}"] {
            assert_eq!(read(bad), Err(Code::MalformedXml), "{bad:?}");
        }
        assert_eq!(read("http://\u{fffd}\u{7f}\u{10000}"), Ok(()));
    }
}

//! Reading XML bodies from strangers: no DTD, no entities but XML's five, bounded depth, elements and bytes.

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use quick_xml::reader::Reader;

/// Bounds of an XML body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XmlLimits {
    /// Bytes.
    pub bytes: usize,
    /// Nested elements.
    pub depth: usize,
    /// Elements and attributes in all.
    pub elements: usize,
}

impl XmlLimits {
    /// The usual bounds with an own limit on bytes.
    #[must_use]
    pub const fn bytes(bytes: usize) -> Self {
        Self { bytes, depth: 64, elements: 20_000 }
    }
}

/// Why a body is refused; S3 answers `MalformedXML` for all of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// Too large, too deep, or too many elements.
    #[error("the XML body is too {0}")]
    Limit(&'static str),
    /// A DOCTYPE, which could define entities.
    #[error("a DOCTYPE is not accepted")]
    DocType,
    /// Not well-formed.
    #[error("the XML is not well-formed: {0}")]
    Syntax(String),
}

/// An element: its local name (prefixes are dropped), attributes, text and children.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// Local name.
    pub name: String,
    /// Attributes by local name, in order; namespace declarations are left out.
    pub attributes: Vec<(String, String)>,
    /// All text directly inside, joined.
    pub text: String,
    /// Child elements, in order.
    pub children: Vec<Element>,
}

impl Element {
    /// Parses a document.
    ///
    /// # Errors
    /// [`XmlError`].
    pub fn parse(body: &[u8], limits: XmlLimits) -> Result<Self, XmlError> {
        if body.len() > limits.bytes {
            return Err(XmlError::Limit("long"));
        }
        let body = std::str::from_utf8(body).map_err(|_| XmlError::Syntax("not UTF-8".to_owned()))?;
        let mut reader = Reader::from_str(body);
        let mut open: Vec<Element> = Vec::new();
        let mut root = None;
        let mut count = 0;
        let mut one_more = || {
            count += 1;
            if count > limits.elements { Err(XmlError::Limit("rich in elements")) } else { Ok(()) }
        };
        loop {
            match reader.read_event().map_err(syntax)? {
                event @ (Event::Start(_) | Event::Empty(_)) => {
                    one_more()?;
                    if open.len() >= limits.depth {
                        return Err(XmlError::Limit("deep"));
                    }
                    let closed = matches!(event, Event::Empty(_));
                    let (Event::Start(tag) | Event::Empty(tag)) = event else {
                        continue;
                    };
                    let mut element = Self { name: tag.local_name().as_ref().to_owned(), ..Self::default() };
                    for attribute in tag.attributes() {
                        let attribute = attribute.map_err(syntax)?;
                        one_more()?;
                        if attribute.key.as_namespace_binding().is_some() {
                            continue;
                        }
                        let value = quick_xml::escape::unescape(&attribute.value).map_err(syntax)?.into_owned();
                        element.attributes.push((attribute.key.local_name().as_ref().to_owned(), value));
                    }
                    if closed {
                        close(element, &mut open, &mut root)?;
                    } else {
                        open.push(element);
                    }
                }
                Event::End(_) => {
                    let element = open.pop().ok_or_else(|| XmlError::Syntax("an end without a start".to_owned()))?;
                    close(element, &mut open, &mut root)?;
                }
                Event::Text(t) => append(&mut open, &t)?,
                Event::CData(t) => append(&mut open, &t)?,
                Event::GeneralRef(r) => {
                    let resolved = match r.resolve_char_ref().map_err(syntax)? {
                        Some(c) => c.to_string(),
                        None => {
                            let name: &str = &r;
                            resolve_predefined_entity(name)
                                .ok_or_else(|| XmlError::Syntax(format!("unknown entity {name}")))?
                                .to_owned()
                        }
                    };
                    append(&mut open, &resolved)?;
                }
                Event::DocType(_) => return Err(XmlError::DocType),
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
                Event::Eof => break,
            }
        }
        if !open.is_empty() {
            return Err(XmlError::Syntax("an element is not closed".to_owned()));
        }
        root.ok_or_else(|| XmlError::Syntax("no element".to_owned()))
    }

    /// The first child of this name.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|c| c.name == name)
    }

    /// All children of this name.
    pub fn all<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Self> {
        self.children.iter().filter(move |c| c.name == name)
    }

    /// The text of the first child of this name.
    #[must_use]
    pub fn child_text(&self, name: &str) -> Option<&str> {
        self.child(name).map(|c| c.text.as_str())
    }
}

fn close(element: Element, open: &mut [Element], root: &mut Option<Element>) -> Result<(), XmlError> {
    match open.last_mut() {
        Some(parent) => parent.children.push(element),
        None if root.is_none() => *root = Some(element),
        None => return Err(XmlError::Syntax("a second root element".to_owned())),
    }
    Ok(())
}

fn append(open: &mut [Element], piece: &str) -> Result<(), XmlError> {
    match open.last_mut() {
        Some(element) => element.text.push_str(piece),
        None if piece.trim_matches(['\u{feff}', ' ', '\t', '\r', '\n']).is_empty() => {}
        None => {
            return Err(XmlError::Syntax("text outside of the root element".to_owned()));
        }
    }
    Ok(())
}

fn syntax(e: impl std::fmt::Display) -> XmlError {
    XmlError::Syntax(e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: XmlLimits = XmlLimits::bytes(1 << 20);

    #[test]
    fn elements_text_and_entities() {
        let e = Element::parse(
            b"<?xml version='1.0'?><!-- c --><a xmlns='u' xmlns:x='v' x:t='1&amp;2'><b>x &lt;&#65;<![CDATA[<y>]]></b><x:b/></a>\n",
            LIMITS,
        )
        .unwrap();
        assert_eq!(e.name, "a");
        assert_eq!(e.attributes, [("t".to_owned(), "1&2".to_owned())]);
        assert_eq!(e.child_text("b"), Some("x <A<y>"));
        assert_eq!(e.all("b").count(), 2);
    }

    #[test]
    fn hostile_bodies_are_refused() {
        let doctype = b"<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>";
        assert_eq!(Element::parse(doctype, LIMITS), Err(XmlError::DocType));
        assert!(matches!(Element::parse(b"<a>&x;</a>", LIMITS), Err(XmlError::Syntax(_))));
        let deep = "<a>".repeat(200_000);
        assert_eq!(Element::parse(deep.as_bytes(), LIMITS), Err(XmlError::Limit("deep")));
        let wide = format!("<a>{}</a>", "<b/>".repeat(20_000));
        assert_eq!(Element::parse(wide.as_bytes(), LIMITS), Err(XmlError::Limit("rich in elements")));
        let many: String = (0..20_000).map(|n| format!(" a{n}=''")).collect();
        let many = format!("<a{many}/>");
        assert_eq!(Element::parse(many.as_bytes(), LIMITS), Err(XmlError::Limit("rich in elements")));
        assert_eq!(Element::parse(&[b' '; 11], XmlLimits::bytes(10)), Err(XmlError::Limit("long")));
        for bad in ["", "<a>", "<a></b>", "<a/><b/>", "x<a/>", "</a>", "<a b=1/>", "<a>\u{0}</a"] {
            assert!(Element::parse(bad.as_bytes(), LIMITS).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(body in proptest::collection::vec(0u8..=255, 0..300)) {
            let _unused = Element::parse(&body, LIMITS);
        }
    }
}

//! The XML writer of all replies, and the trait generated types write themselves with.

use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;

/// Writes XML without indentation; element names are trusted (they come from the model), text is escaped.
#[derive(Debug, Default)]
pub struct XmlWriter {
    out: String,
}

impl XmlWriter {
    /// An empty writer, for fragments.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A writer that begins with the XML declaration.
    #[must_use]
    pub fn document() -> Self {
        let mut out = String::with_capacity(1024);
        out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        Self { out }
    }

    /// `<name>`
    pub fn open(&mut self, name: &str) {
        self.out.push('<');
        self.out.push_str(name);
        self.out.push('>');
    }

    /// `<name xmlns="…">`
    pub fn open_ns(&mut self, name: &str, xmlns: &str) {
        self.open_attr(name, "xmlns", xmlns);
    }

    /// `<name attribute="value">`
    pub fn open_attr(&mut self, name: &str, attribute: &str, value: &str) {
        self.out.push('<');
        self.out.push_str(name);
        self.out.push(' ');
        self.out.push_str(attribute);
        self.out.push_str("=\"");
        escape(&mut self.out, value);
        self.out.push_str("\">");
    }

    /// `</name>`
    pub fn close(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    /// `<name/>`
    pub fn empty(&mut self, name: &str) {
        self.out.push('<');
        self.out.push_str(name);
        self.out.push_str("/>");
    }

    /// `<name>value</name>`, escaped.
    pub fn text(&mut self, name: &str, value: &str) {
        self.open(name);
        escape(&mut self.out, value);
        self.close(name);
    }

    /// `<name>value</name>` for a name that must be read back as it is, or not at all: characters that XML 1.0 cannot carry
    /// become references by number (`&#x1;`), as S3 writes keys. Parsers refuse those; none takes them for others.
    pub fn exact_text(&mut self, name: &str, value: &str) {
        use std::fmt::Write as _;
        self.open(name);
        let mut from = 0;
        for (at, odd) in value.char_indices().filter(|(_, c)| !in_xml(*c)) {
            escape(&mut self.out, value.get(from..at).unwrap_or_default());
            // A String's writer cannot fail.
            if write!(self.out, "&#x{:X};", u32::from(odd)).is_err() {
                return;
            }
            from = at + odd.len_utf8();
        }
        escape(&mut self.out, value.get(from..).unwrap_or_default());
        self.close(name);
    }

    /// `<name>value</name>` for anything whose text needs no escaping (numbers, booleans).
    pub fn display(&mut self, name: &str, value: impl std::fmt::Display) {
        use std::fmt::Write as _;
        self.open(name);
        // A String's writer cannot fail.
        if write!(self.out, "{value}").is_err() {
            return;
        }
        self.close(name);
    }

    /// `<name>2026-01-02T03:04:05.000Z</name>`
    pub fn timestamp(&mut self, name: &str, value: OffsetDateTime) {
        self.open(name);
        self.out.push_str(&timestamp(value));
        self.close(name);
    }

    /// `<name>base64</name>`
    pub fn blob(&mut self, name: &str, value: &[u8]) {
        use base64::Engine as _;
        self.open(name);
        base64::engine::general_purpose::STANDARD.encode_string(value, &mut self.out);
        self.close(name);
    }

    /// `<name><item>…</item>…</name>`; an empty list is written only if `always`.
    pub fn list<T: XmlField>(&mut self, name: &str, item: &str, items: &[T], always: bool) {
        if items.is_empty() {
            if always {
                self.empty(name);
            }
            return;
        }
        self.open(name);
        self.flat_list(item, items);
        self.close(name);
    }

    /// `<item>…</item>…` without an element around it.
    pub fn flat_list<T: XmlField>(&mut self, item: &str, items: &[T]) {
        for value in items {
            value.field(self, item);
        }
    }

    /// `<name><entry><key>…</key><value>…</value></entry>…</name>`; an empty map is written only if `always`.
    pub fn map<T: XmlField>(&mut self, name: &str, key: &str, value: &str, entries: &[(String, T)], always: bool) {
        if entries.is_empty() {
            if always {
                self.empty(name);
            }
            return;
        }
        self.open(name);
        for (k, v) in entries {
            self.open("entry");
            self.text(key, k);
            v.field(self, value);
            self.close("entry");
        }
        self.close(name);
    }

    /// A fragment that a writer made earlier, as it is.
    pub fn fragment(&mut self, fragment: &str) {
        self.out.push_str(fragment);
    }

    /// Makes room for so many more bytes.
    pub fn reserve(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// True if nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// The document.
    #[must_use]
    pub fn finish(self) -> String {
        self.out
    }
}

/// ISO 8601 in UTC with milliseconds: `2026-01-02T03:04:05.000Z`.
#[must_use]
pub fn timestamp(value: OffsetDateTime) -> String {
    let t = value.to_offset(time::UtcOffset::UTC);
    let (year, month, day) = (t.year(), u8::from(t.month()), t.day());
    let (h, m, s, ms) = (t.hour(), t.minute(), t.second(), t.millisecond());
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
}

/// Bytes that are always written as they are: printable ASCII but for the four that are escaped.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut b: u8 = 0x20;
    while b < 0x7f {
        plain[b as usize] = !matches!(b, b'&' | b'<' | b'>' | b'"');
        b += 1;
    }
    plain
};

/// Whether XML 1.0 can carry the character.
#[must_use]
pub const fn in_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// Appends `text` with `& < > "` escaped; characters that XML 1.0 cannot carry become U+FFFD.
pub fn escape(out: &mut String, text: &str) {
    let bytes = text.as_bytes();
    // Nearly every text is plain, and is told so faster than it is gone through byte by byte.
    if bytes.iter().all(|&b| PLAIN[usize::from(b)]) {
        out.push_str(text);
        return;
    }
    let mut from = 0;
    for (i, &b) in bytes.iter().enumerate() {
        let with = match b {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            // A bare carriage return would be read back as a line feed.
            b'\r' => "&#13;",
            b'\t' | b'\n' => continue,
            0..=0x1f => "\u{fffd}",
            // U+FFFE and U+FFFF are EF BF BE and EF BF BF.
            0xbe | 0xbf if i >= 2 && bytes[i - 2] == 0xef && bytes[i - 1] == 0xbf => {
                out.push_str(&text[from..i - 2]);
                out.push('\u{fffd}');
                from = i + 1;
                continue;
            }
            _ => continue,
        };
        out.push_str(&text[from..i]);
        out.push_str(with);
        from = i + 1;
    }
    out.push_str(&text[from..]);
}

/// A structure that writes its members as XML elements, without an element around them.
pub trait ToXml {
    /// Writes the members.
    fn to_xml(&self, w: &mut XmlWriter);
}

impl ToXml for () {
    fn to_xml(&self, _: &mut XmlWriter) {}
}

/// A value that writes itself as one element; absent values write nothing.
pub trait XmlField {
    /// Writes `<name>…</name>`.
    fn field(&self, w: &mut XmlWriter, name: &str);
}

impl<T: ToXml> XmlField for T {
    fn field(&self, w: &mut XmlWriter, name: &str) {
        w.open(name);
        self.to_xml(w);
        w.close(name);
    }
}

impl<T: XmlField> XmlField for Option<T> {
    fn field(&self, w: &mut XmlWriter, name: &str) {
        if let Some(value) = self {
            value.field(w, name);
        }
    }
}

impl XmlField for String {
    fn field(&self, w: &mut XmlWriter, name: &str) {
        w.text(name, self);
    }
}

impl XmlField for SecretString {
    fn field(&self, w: &mut XmlWriter, name: &str) {
        w.text(name, self.expose_secret());
    }
}

impl XmlField for OffsetDateTime {
    fn field(&self, w: &mut XmlWriter, name: &str) {
        w.timestamp(name, *self);
    }
}

impl XmlField for Vec<u8> {
    fn field(&self, w: &mut XmlWriter, name: &str) {
        w.blob(name, self);
    }
}

macro_rules! display_fields {
    ($($t:ty),*) => {$(
        impl XmlField for $t {
            fn field(&self, w: &mut XmlWriter, name: &str) {
                w.display(name, self);
            }
        }
    )*};
}
display_fields!(bool, i32, i64, f32, f64);

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn text_is_escaped() {
        let mut w = XmlWriter::new();
        w.text("a", "x<&>\"'\r\n\t\u{1}\u{ffff}é\u{fffe}z");
        assert_eq!(w.finish(), "<a>x&lt;&amp;&gt;&quot;'&#13;\n\t\u{fffd}\u{fffd}é\u{fffd}z</a>");
    }

    #[test]
    fn exact_text_keeps_what_xml_cannot_carry_apart() {
        let mut w = XmlWriter::new();
        w.exact_text("k", "a<\0\u{1}\r\n\u{1f}é\u{7f}\u{fffd}\u{fffe}\u{ffff}\u{10000}");
        assert_eq!(w.finish(), "<k>a&lt;&#x0;&#x1;&#13;\n&#x1F;é\u{7f}\u{fffd}&#xFFFE;&#xFFFF;\u{10000}</k>");
    }

    #[test]
    fn timestamps_are_utc_with_milliseconds() {
        assert_eq!(timestamp(datetime!(2026-01-02 03:04:05.0067 +1)), "2026-01-02T02:04:05.006Z");
    }
}

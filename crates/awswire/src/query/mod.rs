//! Query-protocol parameters: parsing a query string or form body, and the tree view that generated code decodes.
//!
//! `Filter.1.Value.2=x` is a path. [`Params`] keeps all parameters in one buffer, sorted by path segment, so a subtree
//! is a slice and no node is ever allocated; [`Node`] walks it.

mod check;
mod decode;
mod node;

pub use decode::{FromQuery, Leaf};
pub use node::Node;

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;

use crate::codes::Code;
use crate::error::ApiError;

/// Most bytes in a query string or form body.
pub const MAX_QUERY_BYTES: usize = 1 << 20;
/// Most parameters in one request.
pub const MAX_PARAMS: usize = 2_000;
/// Most segments in one parameter name (AWS's deepest has 11).
pub const MAX_DEPTH: usize = 24;
/// Longest parameter name in bytes.
pub const MAX_NAME_BYTES: usize = 512;
/// Highest list index (`Name.N`); indexes may have gaps, but not be absurd.
pub const MAX_LIST_INDEX: u32 = 10_000;

/// Parameters of the protocol itself, never of an operation.
const PROTOCOL: &[&str] = &[
    "AWSAccessKeyId",
    "Expires",
    "SecurityToken",
    "Signature",
    "SignatureMethod",
    "SignatureVersion",
    "Timestamp",
    "X-Amz-Algorithm",
    "X-Amz-Content-Sha256",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
];

#[derive(Clone)]
struct Param {
    name: Range<usize>,
    value: Range<usize>,
}

/// The parameters of one request, without those of the protocol.
///
/// `Debug` shows names only: values may be secrets.
#[derive(Clone, Default)]
pub struct Params {
    text: String,
    list: Vec<Param>,
    action: Option<Range<usize>>,
    version: Option<Range<usize>>,
}

impl Params {
    /// Parses a query string and a form body; either may be empty.
    ///
    /// # Errors
    /// `MalformedQueryString` for bad escapes, text that is not UTF-8, duplicates, names that are too long or too deep;
    /// `RequestEntityTooLarge` and `InvalidRequest` past [`MAX_QUERY_BYTES`] and [`MAX_PARAMS`].
    pub fn parse(query: &str, body: &[u8]) -> Result<Self, ApiError> {
        if query.len() + body.len() > MAX_QUERY_BYTES {
            return Err(Code::RequestEntityTooLarge.with(&[&MAX_QUERY_BYTES.to_string()]));
        }
        let mut bytes: Vec<u8> = Vec::with_capacity(query.len() + body.len());
        let mut list = Vec::new();
        for part in query.as_bytes().split(|&b| b == b'&').chain(body.split(|&b| b == b'&')) {
            let part = trim_line_end(part);
            if part.is_empty() {
                continue;
            }
            if list.len() >= MAX_PARAMS {
                return Err(Code::InvalidRequest.message(format!("The request has more than {MAX_PARAMS} parameters.")));
            }
            let (name, value) = match part.iter().position(|&b| b == b'=') {
                Some(at) => (&part[..at], &part[at + 1..]),
                None => (part, &part[part.len()..]),
            };
            let name = unescape(&mut bytes, name)?;
            let value = unescape(&mut bytes, value)?;
            if name.is_empty() || name.len() > MAX_NAME_BYTES {
                return Err(malformed("a parameter name is empty or too long"));
            }
            list.push(Param { name, value });
        }
        let text = String::from_utf8(bytes).map_err(|_| malformed("a parameter is not UTF-8"))?;
        // One buffer is valid UTF-8 as a whole; a part of it must not begin or end inside a character.
        for p in &list {
            if !(text.is_char_boundary(p.name.start)
                && text.is_char_boundary(p.name.end)
                && text.is_char_boundary(p.value.end))
            {
                return Err(malformed("a parameter is not UTF-8"));
            }
        }
        Self::build(text, list)
    }

    /// From names and values that are already decoded; for tests and for internal callers.
    ///
    /// # Errors
    /// As [`Params::parse`].
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, ApiError> {
        let (mut text, mut list) = (String::new(), Vec::new());
        for (name, value) in pairs {
            let at = text.len();
            text.push_str(name);
            text.push_str(value);
            list.push(Param { name: at..at + name.len(), value: at + name.len()..text.len() });
        }
        Self::build(text, list)
    }

    fn build(text: String, mut list: Vec<Param>) -> Result<Self, ApiError> {
        let (mut action, mut version, mut duplicate) = (None, None, None);
        list.retain(|p| {
            let slot = match &text[p.name.clone()] {
                "Action" => &mut action,
                "Version" => &mut version,
                name => return !PROTOCOL.contains(&name),
            };
            if slot.replace(p.value.clone()).is_some() {
                duplicate = Some(text[p.name.clone()].to_owned());
            }
            false
        });
        list.sort_unstable_by(|a, b| by_segment(&text[a.name.clone()], &text[b.name.clone()]));
        for pair in list.windows(2) {
            if text[pair[0].name.clone()] == text[pair[1].name.clone()] {
                duplicate = Some(text[pair[0].name.clone()].to_owned());
            }
        }
        if let Some(name) = duplicate {
            return Err(malformed(&format!("the parameter {} is given twice", crate::texts::clip(&name))));
        }
        for p in &list {
            if text[p.name.clone()].split('.').count() > MAX_DEPTH {
                return Err(malformed("a parameter name has too many parts"));
            }
        }
        Ok(Self { text, list, action, version })
    }

    /// `Action`, if given.
    #[must_use]
    pub fn action(&self) -> Option<&str> {
        self.action.clone().map(|r| &self.text[r])
    }

    /// `Version`, if given.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.clone().map(|r| &self.text[r])
    }

    /// The value of the parameter with exactly this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.list.binary_search_by(|p| by_segment(&self.text[p.name.clone()], name)).ok()?;
        Some(&self.text[self.list[at].value.clone()])
    }

    /// Without the parameter of exactly this name; for parameters that belong to an endpoint and not to an operation.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let mut rest = self.clone();
        rest.list.retain(|p| self.text[p.name.clone()] != *name);
        rest
    }

    /// All names and values, ordered by name segment.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.list.iter().map(|p| (&self.text[p.name.clone()], &self.text[p.value.clone()]))
    }

    /// Number of parameters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// True if the operation has no parameters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// A SHA-256 over action and parameters except `ClientToken` and `DryRun`: two requests with one client token are the
    /// same request exactly if their fingerprints are equal (else `IdempotentParameterMismatch`).
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
        let mut add = |s: &str| {
            hash.update(&(s.len() as u64).to_be_bytes());
            hash.update(s.as_bytes());
        };
        add(self.action().unwrap_or_default());
        for (name, value) in self.iter() {
            if name != "ClientToken" && name != "DryRun" {
                add(name);
                add(value);
            }
        }
        let mut out = [0; 32];
        out.copy_from_slice(hash.finish().as_ref());
        out
    }

    /// The tree of all parameters.
    #[must_use]
    pub fn root(&self) -> Node<'_> {
        Node::root(self)
    }

    pub(crate) fn name(&self, i: usize) -> &str {
        &self.text[self.list[i].name.clone()]
    }

    pub(crate) fn value(&self, i: usize) -> &str {
        &self.text[self.list[i].value.clone()]
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Params")
            .field("action", &self.action())
            .field("version", &self.version())
            .field("names", &self.iter().map(|(n, _)| n).collect::<Vec<_>>())
            .finish()
    }
}

/// Order by dotted segment, so that all parameters of a subtree are neighbours (`A`, `A.1`, `A.1.B`, `A-x`).
fn by_segment(a: &str, b: &str) -> Ordering {
    let key = |c: u8| if c == b'.' { 0 } else { u16::from(c) + 1 };
    a.bytes().map(key).cmp(b.bytes().map(key))
}

fn malformed(why: &str) -> ApiError {
    Code::MalformedQueryString.message(format!("The query string contains a syntax error: {why}."))
}

/// Some clients end a form body with a line feed.
fn trim_line_end(part: &[u8]) -> &[u8] {
    let part = part.strip_suffix(b"\n").unwrap_or(part);
    part.strip_suffix(b"\r").unwrap_or(part)
}

/// Appends `part` with `%XX` and `+` decoded; gives back its place.
fn unescape(out: &mut Vec<u8>, part: &[u8]) -> Result<Range<usize>, ApiError> {
    let start = out.len();
    let mut bytes = part.iter();
    while let Some(&b) = bytes.next() {
        out.push(match b {
            b'+' => b' ',
            b'%' => match (bytes.next().and_then(hex), bytes.next().and_then(hex)) {
                (Some(hi), Some(lo)) => hi << 4 | lo,
                _ => return Err(malformed("a percent escape is incomplete")),
            },
            b => b,
        });
    }
    Ok(start..out.len())
}

fn hex(b: &u8) -> Option<u8> {
    match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

//! `aws-chunked` bodies: decoding and verifying each chunk's signature, as a state machine over bytes.
//!
//! Three forms: signed chunks, signed chunks with signed trailers, and unsigned chunks with trailers (today's SDKs over TLS).
//! Data comes out as it comes in; a chunk's signature is known only at its end, so nothing that was received may become
//! visible to anyone before [`ChunkVerifier::finish`] has answered `Ok`.

use bytes::{Buf, Bytes};
use ring::digest::{Context, SHA256};
use subtle::ConstantTimeEq as _;

use super::EMPTY_SHA256;
use super::key::SigningKey;
use crate::codes::Code;
use crate::error::ApiError;

/// Longest line before a chunk (size, extension, signature), in bytes.
pub const MAX_CHUNK_LINE_BYTES: usize = 256;
/// Most bytes of trailers.
pub const MAX_TRAILER_BYTES: usize = 8_192;

/// The form of an `aws-chunked` body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkKind {
    /// `STREAMING-AWS4-HMAC-SHA256-PAYLOAD`
    Signed,
    /// `STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER`
    SignedTrailer,
    /// `STREAMING-UNSIGNED-PAYLOAD-TRAILER`
    UnsignedTrailer,
}

impl ChunkKind {
    /// The form that a value of `x-amz-content-sha256` names.
    #[must_use]
    pub fn of(content_sha256: &str) -> Option<Self> {
        match content_sha256 {
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Some(Self::Signed),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => Some(Self::SignedTrailer),
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Some(Self::UnsignedTrailer),
            _ => None,
        }
    }

    fn signed(self) -> bool {
        self != Self::UnsignedTrailer
    }

    fn trailers(self) -> bool {
        self != Self::Signed
    }
}

/// What the chunks of a verified request are checked with.
#[derive(Debug, Clone)]
pub struct ChunkContext {
    kind: ChunkKind,
    key: SigningKey,
    timestamp: String,
    scope: String,
    previous: [u8; 32],
}

impl ChunkContext {
    /// `timestamp` and `scope` as in the string to sign, `seed` the request's own signature.
    #[must_use]
    pub fn new(kind: ChunkKind, key: SigningKey, timestamp: String, scope: String, seed: [u8; 32]) -> Self {
        Self { kind, key, timestamp, scope, previous: seed }
    }

    /// The form.
    #[must_use]
    pub fn kind(&self) -> ChunkKind {
        self.kind
    }

    /// A decoder for a body of `length` decoded bytes (`x-amz-decoded-content-length`), followed by the trailers that
    /// `x-amz-trailer` announced (names in any case).
    #[must_use]
    pub fn verifier(self, length: u64, announced: &[&str]) -> ChunkVerifier {
        ChunkVerifier {
            context: self,
            state: State::Header,
            line: Vec::new(),
            left: length,
            hash: Context::new(&SHA256),
            expected: None,
            announced: announced.iter().map(|n| n.trim().to_ascii_lowercase()).filter(|n| !n.is_empty()).collect(),
            trailers: Vec::new(),
            trailer_bytes: 0,
        }
    }
}

/// What the decoder found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChunkEvent {
    /// Decoded bytes, shared with the input.
    Data(Bytes),
    /// The trailers (lower-case names), their signature verified if the form signs them.
    Trailers(Vec<(String, String)>),
}

/// Why a body is refused. After an error the decoder answers nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The framing is wrong.
    #[error("malformed chunk: {0}")]
    Malformed(&'static str),
    /// A chunk's signature is wrong.
    #[error("a chunk signature is wrong")]
    Signature,
    /// More or fewer bytes than `x-amz-decoded-content-length` said, or the body ends in the middle.
    #[error("the body is longer or shorter than announced")]
    Length,
    /// The trailers are malformed, unannounced, missing, or their signature is wrong.
    #[error("malformed trailers: {0}")]
    Trailer(&'static str),
}

impl ChunkError {
    /// The answer in S3's words.
    #[must_use]
    pub fn to_api(self) -> ApiError {
        match self {
            Self::Malformed(_) => Code::InvalidRequest.message("The chunked body is malformed."),
            Self::Signature => Code::SignatureDoesNotMatch.error(),
            Self::Length => Code::IncompleteBody.error(),
            Self::Trailer(_) => Code::MalformedTrailerError.error(),
        }
        .because(self)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the line before a chunk.
    Header,
    /// In a chunk's data.
    Data(u64),
    /// In the line end after a chunk's data.
    DataEnd,
    /// After the last chunk, in the trailers or before the final line end.
    Trailer,
    Done,
    Failed,
}

/// Decodes one body. See the module's notes on when data may be trusted.
pub struct ChunkVerifier {
    context: ChunkContext,
    state: State,
    line: Vec<u8>,
    left: u64,
    hash: Context,
    expected: Option<[u8; 32]>,
    announced: Vec<String>,
    trailers: Vec<(String, String)>,
    trailer_bytes: usize,
}

impl std::fmt::Debug for ChunkVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChunkVerifier").field("state", &self.state).field("left", &self.left).finish_non_exhaustive()
    }
}

impl ChunkVerifier {
    /// Takes the next bytes of the body and adds what they hold to `out`.
    ///
    /// # Errors
    /// [`ChunkError`]; from then on always.
    pub fn push(&mut self, mut input: Bytes, out: &mut Vec<ChunkEvent>) -> Result<(), ChunkError> {
        let result = self.run(&mut input, out);
        if result.is_err() {
            self.state = State::Failed;
        }
        result
    }

    /// The body has ended.
    ///
    /// # Errors
    /// [`ChunkError::Length`] if it ended early; any earlier error again as [`ChunkError::Malformed`].
    pub fn finish(&mut self, out: &mut Vec<ChunkEvent>) -> Result<(), ChunkError> {
        match self.state {
            State::Done => Ok(()),
            State::Failed => Err(ChunkError::Malformed("an earlier part was refused")),
            // Some clients leave out the last empty line after trailers.
            State::Trailer if self.context.kind.trailers() && self.line.is_empty() && self.trailer_bytes > 0 => {
                self.end_of_trailers(out)
            }
            _ => Err(ChunkError::Length),
        }
    }

    fn run(&mut self, input: &mut Bytes, out: &mut Vec<ChunkEvent>) -> Result<(), ChunkError> {
        while !input.is_empty() {
            match self.state {
                State::Header => {
                    if let Some(line) = self.take_line(input, MAX_CHUNK_LINE_BYTES)? {
                        self.header(&line)?;
                    }
                }
                State::Data(left) => {
                    let n = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    let data = input.split_to(n);
                    if self.context.kind.signed() {
                        self.hash.update(&data);
                    }
                    out.push(ChunkEvent::Data(data));
                    let left = left - n as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                }
                State::DataEnd => {
                    if let Some(line) = self.take_line(input, 2)? {
                        if !line.is_empty() {
                            return Err(ChunkError::Malformed("no line end after the data"));
                        }
                        self.check_chunk()?;
                        self.state = State::Header;
                    }
                }
                State::Trailer => {
                    if let Some(line) = self.take_line(input, MAX_TRAILER_BYTES)? {
                        self.trailer(&line, out)?;
                    }
                }
                State::Done => return Err(ChunkError::Malformed("bytes after the end")),
                State::Failed => return Err(ChunkError::Malformed("an earlier part was refused")),
            }
        }
        Ok(())
    }

    /// A line without its end, once it is complete.
    fn take_line(&mut self, input: &mut Bytes, limit: usize) -> Result<Option<Vec<u8>>, ChunkError> {
        let end = input.iter().position(|b| *b == b'\n');
        let n = end.unwrap_or(input.len());
        if self.line.len() + n > limit {
            return Err(ChunkError::Malformed("a line is too long"));
        }
        self.line.extend_from_slice(&input[..n]);
        input.advance(n + usize::from(end.is_some()));
        if end.is_none() {
            return Ok(None);
        }
        let mut line = std::mem::take(&mut self.line);
        match line.pop() {
            None if self.state == State::Trailer => Ok(Some(line)),
            Some(b'\r') => Ok(Some(line)),
            // Trailers may end in a bare line feed; the framing may not.
            Some(last) if self.state == State::Trailer => {
                line.push(last);
                Ok(Some(line))
            }
            _ => Err(ChunkError::Malformed("a line does not end in CR LF")),
        }
    }

    fn header(&mut self, line: &[u8]) -> Result<(), ChunkError> {
        let line = std::str::from_utf8(line).map_err(|_| ChunkError::Malformed("chunk size"))?;
        let (size, extension) = line.split_once(';').map_or((line, None), |(s, e)| (s, Some(e)));
        let digits = !size.is_empty() && size.len() <= 16 && size.bytes().all(|b| b.is_ascii_hexdigit());
        let size = match u64::from_str_radix(size, 16) {
            Ok(size) if digits => size,
            _ => return Err(ChunkError::Malformed("chunk size")),
        };
        self.expected = match (self.context.kind.signed(), extension) {
            (true, Some(e)) => {
                let signature = e.strip_prefix("chunk-signature=").ok_or(ChunkError::Malformed("chunk signature"))?;
                Some(hex32(signature).ok_or(ChunkError::Malformed("chunk signature"))?)
            }
            (true, None) => return Err(ChunkError::Malformed("a chunk is not signed")),
            (false, None) => None,
            (false, Some(_)) => {
                return Err(ChunkError::Malformed("an extension in an unsigned chunk"));
            }
        };
        self.left = self.left.checked_sub(size).ok_or(ChunkError::Length)?;
        if size > 0 {
            self.state = State::Data(size);
            return Ok(());
        }
        if self.left > 0 {
            return Err(ChunkError::Length);
        }
        self.check_chunk()?;
        self.state = State::Trailer;
        Ok(())
    }

    fn check_chunk(&mut self) -> Result<(), ChunkError> {
        let Some(expected) = self.expected.take() else {
            return Ok(());
        };
        let hash = std::mem::replace(&mut self.hash, Context::new(&SHA256)).finish();
        let text = format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{}\n{EMPTY_SHA256}\n{}",
            self.context.timestamp,
            self.context.scope,
            hex::encode(self.context.previous),
            hex::encode(hash)
        );
        self.check(&text, &expected).then_some(()).ok_or(ChunkError::Signature)
    }

    fn check(&mut self, string_to_sign: &str, expected: &[u8; 32]) -> bool {
        let ours = self.context.key.sign(string_to_sign.as_bytes());
        self.context.previous = ours;
        ours.ct_eq(expected).into()
    }

    fn trailer(&mut self, line: &[u8], out: &mut Vec<ChunkEvent>) -> Result<(), ChunkError> {
        self.trailer_bytes += line.len() + 2;
        if self.trailer_bytes > MAX_TRAILER_BYTES {
            return Err(ChunkError::Trailer("too long"));
        }
        if line.is_empty() {
            // AWS's own example has an empty line before the trailers' signature.
            let waiting =
                self.context.kind == ChunkKind::SignedTrailer && !self.trailers.is_empty() && self.expected.is_none();
            return if waiting { Ok(()) } else { self.end_of_trailers(out) };
        }
        if !self.context.kind.trailers() {
            return Err(ChunkError::Trailer("none announced"));
        }
        if self.expected.is_some() {
            return Err(ChunkError::Trailer("something follows their signature"));
        }
        let line = std::str::from_utf8(line).map_err(|_| ChunkError::Trailer("not UTF-8"))?;
        let (name, value) = line.split_once(':').ok_or(ChunkError::Trailer("no colon"))?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if name == "x-amz-trailer-signature" && self.context.kind == ChunkKind::SignedTrailer {
            self.expected = Some(hex32(value).ok_or(ChunkError::Trailer("signature"))?);
            return Ok(());
        }
        if !self.announced.contains(&name) {
            return Err(ChunkError::Trailer("not announced"));
        }
        if self.trailers.iter().any(|(n, _)| *n == name) {
            return Err(ChunkError::Trailer("given twice"));
        }
        self.trailers.push((name, value.to_owned()));
        Ok(())
    }

    fn end_of_trailers(&mut self, out: &mut Vec<ChunkEvent>) -> Result<(), ChunkError> {
        if self.context.kind.trailers() && self.trailers.len() != self.announced.len() {
            return Err(ChunkError::Trailer("one is missing"));
        }
        if self.context.kind == ChunkKind::SignedTrailer {
            let expected = self.expected.take().ok_or(ChunkError::Trailer("not signed"))?;
            self.trailers.sort_unstable();
            let canonical: String = self.trailers.iter().map(|(n, v)| format!("{n}:{v}\n")).collect();
            let text = format!(
                "AWS4-HMAC-SHA256-TRAILER\n{}\n{}\n{}\n{}",
                self.context.timestamp,
                self.context.scope,
                hex::encode(self.context.previous),
                hex::encode(super::sha256(canonical.as_bytes()))
            );
            if !self.check(&text, &expected) {
                return Err(ChunkError::Signature);
            }
        }
        self.state = State::Done;
        if self.context.kind.trailers() {
            out.push(ChunkEvent::Trailers(std::mem::take(&mut self.trailers)));
        }
        Ok(())
    }
}

fn hex32(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    let lower = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (lower && hex::decode_to_slice(text, &mut out).is_ok()).then_some(out)
}

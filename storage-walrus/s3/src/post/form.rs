//! The body of a browser's upload: `multipart/form-data` as it comes, with the fields kept and the file passed on
//! (RFC 7578; <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTForms.html>). What may be kept of it is
//! limited in bytes, of the file no more than one step of the connection.

use super::fields::Fields;
use crate::error::invalid_argument;
use crate::{BODY_IDLE_SECONDS, FORM_FIELDS_BYTES_MAX};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::stream::{Stream, unfold};
use http_body_util::BodyExt as _;
use mallee_awswire::{ApiError, Code};
use memchr::memmem::Finder;
use percent_encoding::percent_decode_str;
use std::ops::RangeInclusive;
use std::time::Duration;
use tokio::time::Instant;

/// Longest boundary, in bytes (RFC 2046: 70; some clients take more).
const BOUNDARY_BYTES_MAX: usize = 200;
/// The field that is the file.
const FILE: &str = "file";

/// The boundary that a content type tells; none if it is another content type.
pub(super) fn boundary(content_type: &str) -> Option<String> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameter(parameters, "boundary")?;
    let plain = boundary.bytes().all(|b| (b' '..0x7f).contains(&b));
    (plain && (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len()) && !boundary.ends_with(' ')).then_some(boundary)
}

/// The value of a parameter of a header: a word, or a text in quotes.
fn parameter(text: &str, wanted: &str) -> Option<String> {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([';', ' ', '\t']);
        let (name, after) = rest.split_once('=')?;
        let (value, left) = match after.strip_prefix('"') {
            None => {
                let end = after.find(';').unwrap_or(after.len());
                let (value, left) = after.split_at(end);
                (value.trim().to_owned(), left)
            }
            Some(quoted) => {
                let mut value = String::new();
                let mut letters = quoted.char_indices().peekable();
                let end = loop {
                    match letters.next()? {
                        (at, '"') => break at,
                        // Nothing else is escaped: some browsers send paths with backslashes.
                        (_, '\\') if letters.peek().is_some_and(|(_, next)| *next == '"') => {
                            letters.next();
                            value.push('"');
                        }
                        (_, letter) => value.push(letter),
                    }
                };
                (value, quoted.get(end + 1..)?)
            }
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = left;
    }
}

fn malformed() -> ApiError {
    Code::MalformedPostRequest.error()
}

/// What the headers of a part say.
#[derive(Debug, PartialEq, Eq)]
struct PartHead {
    name: String,
    filename: Option<String>,
}

impl PartHead {
    fn read(text: &[u8]) -> Result<Self, ApiError> {
        let text = std::str::from_utf8(text).map_err(|_| malformed())?;
        for line in text.split("\r\n") {
            let (header, value) = line.split_once(':').ok_or_else(malformed)?;
            if !header.trim().eq_ignore_ascii_case("content-disposition") {
                continue;
            }
            let (kind, parameters) = value.split_once(';').ok_or_else(malformed)?;
            if !kind.trim().eq_ignore_ascii_case("form-data") {
                return Err(malformed());
            }
            let name = parameter(parameters, "name").ok_or_else(malformed)?;
            let extended = || {
                let value = parameter(parameters, "filename*")?;
                let text = value.get(..7).filter(|start| start.eq_ignore_ascii_case("utf-8''")).and(value.get(7..))?;
                percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
            };
            return Ok(Self { name, filename: parameter(parameters, "filename").or_else(extended) });
        }
        Err(malformed())
    }
}

/// How long everything before the file may take, and everything after it.
const PATIENCE: Duration = Duration::from_secs(BODY_IDLE_SECONDS);

/// A form being read.
pub(super) struct Form {
    body: Body,
    /// What has come and was not taken yet.
    buffer: BytesMut,
    delimiter: Finder<'static>,
    /// Bytes of the buffer in which nothing begins that was looked for.
    scanned: usize,
    /// Bytes that were taken before the file.
    taken: usize,
    /// When everything before the file must have come, or after it.
    until: Instant,
    ended: bool,
}

impl Form {
    pub(super) fn new(body: Body, boundary: &str) -> Self {
        // Before the first boundary there need not be a line.
        let buffer = BytesMut::from(&b"\r\n"[..]);
        let delimiter = Finder::new(format!("\r\n--{boundary}").as_bytes()).into_owned();
        Self { body, buffer, delimiter, scanned: 0, taken: 0, until: Instant::now() + PATIENCE, ended: false }
    }

    /// Waits for more; `false` at the end.
    async fn more(&mut self) -> Result<bool, ApiError> {
        while !self.ended {
            let idle = Duration::from_secs(BODY_IDLE_SECONDS);
            match tokio::time::timeout(idle, self.body.frame()).await {
                Err(_) => return Err(Code::RequestTimeout.error()),
                Ok(None) => self.ended = true,
                Ok(Some(Err(error))) => return Err(Code::IncompleteBody.error().because(error)),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }

    /// What stands before the file must end within so many bytes, however they come.
    fn check_end(&self, count: usize) -> Result<(), ApiError> {
        if self.taken + count > FORM_FIELDS_BYTES_MAX {
            return Err(Code::MaxPostPreDataLengthExceededError.error());
        }
        Ok(())
    }

    /// Waits for more of what stands before the file: nobody has been asked yet who sends it, so that all of it has one
    /// deadline. (The file comes at the pace of any other body.)
    async fn more_before(&mut self) -> Result<(), ApiError> {
        self.check_end(self.buffer.len())?;
        if self.more_until().await? { Ok(()) } else { Err(malformed()) }
    }

    /// As [`Form::more`], up to the deadline.
    async fn more_until(&mut self) -> Result<bool, ApiError> {
        let more = tokio::time::timeout_at(self.until, self.more()).await;
        more.map_err(|_| Code::RequestTimeout.error())?
    }

    /// Where the next delimiter begins, if it has come.
    fn delimiter_at(&mut self) -> Option<usize> {
        let found = self.buffer.get(self.scanned..).and_then(|new| self.delimiter.find(new));
        match found {
            Some(at) => Some(self.scanned + at),
            None => {
                self.scanned = (self.buffer.len() + 1).saturating_sub(self.delimiter.needle().len());
                None
            }
        }
    }

    fn take(&mut self, count: usize) -> Bytes {
        self.scanned = 0;
        self.taken += count;
        self.buffer.split_to(count.min(self.buffer.len())).freeze()
    }

    /// Takes what stands before the next delimiter, and the delimiter.
    async fn take_part(&mut self) -> Result<Bytes, ApiError> {
        loop {
            if let Some(at) = self.delimiter_at() {
                self.check_end(at + self.delimiter.needle().len())?;
                let part = self.take(at);
                self.take(self.delimiter.needle().len());
                return Ok(part);
            }
            self.more_before().await?;
        }
    }

    /// Takes the rest of a delimiter's line: `false` if it was the last one.
    async fn take_line(&mut self) -> Result<bool, ApiError> {
        loop {
            let blank = self.buffer.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
            self.check_end(blank + 2)?;
            if self.buffer.starts_with(b"--") {
                return Ok(false);
            }
            match self.buffer.get(blank..).unwrap_or_default() {
                [b'\r', b'\n', ..] => {
                    self.take(blank + 2);
                    return Ok(true);
                }
                [] | [b'\r' | b'-'] => self.more_before().await?,
                _ => return Err(malformed()),
            }
        }
    }

    async fn part_head(&mut self) -> Result<PartHead, ApiError> {
        loop {
            let new = self.buffer.get(self.scanned..).unwrap_or_default();
            if let Some(end) = memchr::memmem::find(new, b"\r\n\r\n").map(|at| self.scanned + at) {
                self.check_end(end + 4)?;
                let head = PartHead::read(self.buffer.get(..end).unwrap_or_default())?;
                self.take(end + 4);
                return Ok(head);
            }
            self.scanned = self.buffer.len().saturating_sub(3);
            self.more_before().await?;
        }
    }

    /// Reads every field up to the file.
    ///
    /// # Errors
    /// `MalformedPOSTRequest`, `MaxPostPreDataLengthExceededError`, `InvalidArgument` when there is no file or a field is
    /// there twice.
    pub(super) async fn fields(&mut self) -> Result<Fields, ApiError> {
        let mut fields = Fields::default();
        self.take_part().await?;
        loop {
            if !self.take_line().await? {
                return Err(invalid_argument("POST requires exactly one file upload per request.", "file", "0"));
            }
            let PartHead { name, filename } = self.part_head().await?;
            if name.eq_ignore_ascii_case(FILE) {
                fields.set_filename(filename.as_deref().unwrap_or_default())?;
                return Ok(fields);
            }
            let value = self.take_part().await?;
            let value = std::str::from_utf8(&value).map_err(|_| malformed())?;
            fields.add(&name, value)?;
        }
    }

    /// The next bytes of the file; `None` at its end.
    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            if let Some(at) = self.delimiter_at() {
                if at > 0 {
                    return Ok(Some(self.take(at)));
                }
                self.finish().await?;
                return Ok(None);
            }
            if self.scanned > 0 {
                return Ok(Some(self.take(self.scanned)));
            }
            if !self.more().await? {
                return Err(malformed());
            }
        }
    }

    /// What stands after the file counts for nothing, but must not be without an end.
    async fn finish(&mut self) -> Result<(), ApiError> {
        self.take(self.delimiter.needle().len());
        self.taken = 0;
        self.until = Instant::now() + PATIENCE;
        self.take_line().await?;
        let mut after = self.buffer.len();
        while after <= FORM_FIELDS_BYTES_MAX {
            self.buffer.clear();
            if !self.more_until().await? {
                return Ok(());
            }
            after += self.buffer.len();
        }
        Err(malformed())
    }

    /// The bytes of the file, of which there must be so many.
    pub(super) fn into_file(self, range: RangeInclusive<u64>) -> impl Stream<Item = Result<Bytes, ApiError>> + Send {
        unfold(Some((self, range, 0_u64)), |state| async move {
            let (mut form, range, mut seen) = state?;
            let number = |n: u64| n.to_string();
            match form.next().await {
                Err(error) => Some((Err(error), None)),
                Ok(Some(data)) => {
                    seen += data.len() as u64;
                    if seen > *range.end() {
                        let error = Code::EntityTooLarge.error().field("ProposedSize", number(seen));
                        return Some((Err(error.field("MaxSizeAllowed", number(*range.end()))), None));
                    }
                    Some((Ok(data), Some((form, range, seen))))
                }
                Ok(None) if seen < *range.start() => {
                    let error = Code::EntityTooSmall.error().field("ProposedSize", number(seen));
                    Some((Err(error.field("MinSizeAllowed", number(*range.start()))), None))
                }
                Ok(None) => None,
            }
        })
    }
}

#[cfg(test)]
mod tests;

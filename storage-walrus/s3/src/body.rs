//! Reading a request's body: framing, every hash it was announced with, and the limits. Bytes of small bodies come out as
//! they come in; others in buffers that a disk can be written from, into which they are copied: the pieces that come in are
//! parts of larger buffers of the connection, which would be held for them. [`Incoming::next`] answers the end only after all checks, so
//! whatever was made of the bytes may be kept only then.

use crate::call::Call;
use crate::checksum::{Algorithm, Hasher};
use crate::headers::text;
use crate::operation::Operation;
use crate::{BODY_IDLE_SECONDS, BODY_PACE_BYTES};
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use http_body_util::BodyExt as _;
use mallee_awswire::sigv4::{ChunkEvent, ChunkKind, ChunkVerifier, Fault, Payload};
use mallee_awswire::{ApiError, Code, Flavour};
use mallee_md5::Md5;
use mallee_objects::Buffer;
use sha2::{Digest as _, Sha256};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// The checksum that a request announces for its body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Announced {
    /// Algorithm and value from a header.
    header: Option<(Algorithm, String)>,
    /// Algorithm of a trailer.
    trailer: Option<Algorithm>,
}

impl Announced {
    /// Reads the headers; presigned URLs may carry them as parameters.
    pub(crate) fn read(call: &Call) -> Result<Self, ApiError> {
        let of = |algorithm: Algorithm| {
            let name = algorithm.header();
            text(&call.headers, name)
                .or_else(|| call.asked.query.value(name))
                .map(|value| (algorithm, value.to_owned()))
        };
        let mut values = Algorithm::ALL.into_iter().filter_map(of);
        let header = values.next();
        let trailer = announced_trailer(&call.headers)?;
        if values.next().is_some() || (header.is_some() && trailer.is_some()) {
            return Err(Code::InvalidRequest
                .message("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."));
        }
        if let Some((algorithm, value)) = &header {
            algorithm.check_form(value)?;
        }
        let this = Self { header, trailer };
        let named = text(&call.headers, "x-amz-sdk-checksum-algorithm");
        if let Some(name) = named.or_else(|| call.asked.query.value("x-amz-sdk-checksum-algorithm")) {
            let named = Algorithm::parse(name).ok_or_else(|| {
                Code::InvalidRequest.message("Value for x-amz-sdk-checksum-algorithm header is invalid.")
            })?;
            match this.algorithm() {
                Some(given) if given == named => {}
                Some(_) => {
                    return Err(
                        Code::InvalidRequest.message("Value for x-amz-sdk-checksum-algorithm header is invalid.")
                    );
                }
                None => {
                    return Err(Code::InvalidRequest.message(
                        "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer \
                         headers were found.",
                    ));
                }
            }
        }
        Ok(this)
    }

    /// The algorithm, if one was announced.
    pub(crate) fn algorithm(&self) -> Option<Algorithm> {
        self.header.as_ref().map(|(a, _)| *a).or(self.trailer)
    }
}

fn announced_trailer(headers: &HeaderMap) -> Result<Option<Algorithm>, ApiError> {
    let Some(name) = text(headers, "x-amz-trailer") else { return Ok(None) };
    match Algorithm::of_header(&name.to_ascii_lowercase()) {
        Some(algorithm) => Ok(Some(algorithm)),
        None => Err(Code::InvalidRequest.message("The value specified in the x-amz-trailer header is not supported")),
    }
}

/// `Content-MD5`, decoded.
fn content_md5(headers: &HeaderMap) -> Result<Option<[u8; 16]>, ApiError> {
    let Some(value) = text(headers, "content-md5") else { return Ok(None) };
    let digest = STANDARD.decode(value).ok().and_then(|b| <[u8; 16]>::try_from(b).ok());
    digest.map(Some).ok_or_else(|| {
        Code::InvalidDigest.error().field("Content-MD5", mallee_awswire::texts::clip(value).into_owned())
    })
}

/// Bodies of no more than these bytes come out in the pieces that they come in.
const SMALL_BYTES: u64 = 32 * 1024;

/// How far a body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// More may come.
    Open,
    /// Nothing comes any more.
    Reached,
    /// Nothing, and all of it is as announced.
    Checked,
}

/// A body being read.
pub(crate) struct Incoming {
    body: Body,
    chunks: Option<ChunkVerifier>,
    ready: VecDeque<Bytes>,
    /// The block that fills.
    block: Option<Buffer>,
    /// Announced length; `None` only for small bodies.
    length: Option<u64>,
    limit: u64,
    received: u64,
    md5: Md5,
    /// The MD5, after the end.
    digest: [u8; 16],
    content_md5: Option<[u8; 16]>,
    sha256: Option<(Sha256, [u8; 32])>,
    hashers: Vec<Hasher>,
    /// What the first hasher must come to.
    expected: Option<String>,
    trailer: Option<Algorithm>,
    end: End,
    pace: Pace,
}

/// How fast a body comes.
#[derive(Debug)]
struct Pace {
    since: Instant,
    bytes: usize,
}

impl Pace {
    fn new() -> Self {
        Self { since: Instant::now(), bytes: 0 }
    }

    /// Counts bytes that came; a client that drips is one that has stopped. (Our own disk's waits are no fault of it:
    /// what it sent meanwhile lies in the kernel and is counted at once.)
    fn count(&mut self, now: Instant, bytes: usize) -> Result<(), ApiError> {
        self.bytes += bytes;
        if now.duration_since(self.since) < Duration::from_secs(BODY_IDLE_SECONDS) {
            return Ok(());
        }
        if self.bytes < BODY_PACE_BYTES {
            return Err(Code::RequestTimeout.error());
        }
        *self = Self { since: now, bytes: 0 };
        Ok(())
    }
}

/// The hashes of a body that was read to its end and matched all announcements.
#[derive(Debug)]
pub(crate) struct Received {
    /// MD5.
    pub(crate) md5: [u8; 16],
    /// Checksums, the announced one first.
    pub(crate) checksums: Vec<(Algorithm, String)>,
}

impl Incoming {
    /// Begins to read an object's bytes: the length must be announced and at most `limit`. `extra` is computed besides
    /// what is announced.
    pub(crate) fn object(
        call: &mut Call,
        announced: &Announced,
        extra: Option<Algorithm>,
        limit: u64,
    ) -> Result<Self, ApiError> {
        let mut this = Self::begin(call, announced, limit)?;
        match this.length {
            // Of a form's file the end tells.
            None if call.asked.operation() != Operation::PostObject => Err(Code::MissingContentLength.error()),
            Some(length) if length > limit => Err(Code::EntityTooLarge
                .error()
                .field("ProposedSize", length.to_string())
                .field("MaxSizeAllowed", limit.to_string())),
            _ => {
                if let Some(extra) = extra.filter(|e| announced.algorithm() != Some(*e)) {
                    this.hashers.push(Hasher::new(extra));
                }
                Ok(this)
            }
        }
    }

    fn begin(call: &mut Call, announced: &Announced, limit: u64) -> Result<Self, ApiError> {
        let number = |name: &str| -> Result<Option<u64>, ApiError> {
            match text(&call.headers, name).map(str::parse::<u64>) {
                None => Ok(None),
                Some(Ok(n)) => Ok(Some(n)),
                Some(Err(_)) => Err(Code::BadRequest.message(format!("The {name} header is invalid."))),
            }
        };
        let content_md5 = content_md5(&call.headers)?;
        let (mut chunks, mut sha256) = (None, None);
        let mut length = number("content-length")?;
        match std::mem::replace(&mut call.payload, Payload::Unsigned) {
            Payload::Chunked(context) => {
                length = number("x-amz-decoded-content-length")?;
                let decoded = length.ok_or_else(|| Code::MissingContentLength.error())?;
                let names: Vec<&str> = announced.trailer.iter().map(|a| a.header()).collect();
                if context.kind() == ChunkKind::Signed && !names.is_empty() {
                    return Err(Code::InvalidRequest.message("A trailer was announced for a body without trailers."));
                }
                chunks = Some(context.verifier(decoded, &names));
            }
            Payload::Sha256(hash) => sha256 = Some((Sha256::new(), hash)),
            Payload::Verified | Payload::Unsigned => {}
        }
        if chunks.is_none() && announced.trailer.is_some() {
            return Err(Code::InvalidRequest.message("A trailer was announced for a body without trailers."));
        }
        let body = call.take_body();
        Ok(Self {
            body,
            chunks,
            ready: VecDeque::new(),
            block: None,
            length,
            limit,
            received: 0,
            md5: Md5::new(),
            digest: [0; 16],
            pace: Pace::new(),
            content_md5,
            sha256,
            hashers: announced.algorithm().map(Hasher::new).into_iter().collect(),
            expected: announced.header.as_ref().map(|(_, value)| value.clone()),
            trailer: announced.trailer,
            end: End::Open,
        })
    }

    /// How many bytes were announced.
    pub(crate) const fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next bytes; `None` at the end, when everything has been checked.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            if let Some(data) = self.block() {
                self.take(&data).await?;
                return Ok(Some(data));
            }
            match self.end {
                End::Open => {}
                End::Reached => {
                    self.check().await?;
                    self.end = End::Checked;
                    return Ok(None);
                }
                End::Checked => return Ok(None),
            }
            let idle = Duration::from_secs(BODY_IDLE_SECONDS);
            let frame = match tokio::time::timeout(idle, self.body.frame()).await {
                Err(_) => return Err(Code::RequestTimeout.error()),
                Ok(Some(Err(error))) => return Err(broken(error)),
                Ok(Some(Ok(frame))) => Some(frame),
                Ok(None) => None,
            };
            self.pace.count(Instant::now(), frame.as_ref().and_then(|f| f.data_ref()).map_or(0, Bytes::len))?;
            match frame.map(|frame| frame.into_data()) {
                Some(Ok(data)) if self.chunks.is_none() => self.ready.push_back(data),
                Some(Ok(data)) => self.decode(Some(data))?,
                // HTTP's own trailers carry nothing of S3's.
                Some(Err(_)) => {}
                None => {
                    self.decode(None)?;
                    self.end = End::Reached;
                }
            }
        }
    }

    /// The next block, if it is full or the last one.
    fn block(&mut self) -> Option<Bytes> {
        if self.length.is_some_and(|length| length <= SMALL_BYTES) {
            return self.ready.pop_front();
        }
        while let Some(piece) = self.ready.front_mut() {
            let block = self.block.get_or_insert_with(Buffer::empty);
            piece.advance(block.fill(piece));
            if block.is_full() {
                return self.block.take().map(Buffer::freeze);
            }
            self.ready.pop_front();
        }
        self.block.take_if(|_| self.end != End::Open).map(Buffer::freeze).filter(|data| !data.is_empty())
    }

    /// Passes bytes, or the end, through the chunk decoder.
    fn decode(&mut self, data: Option<Bytes>) -> Result<(), ApiError> {
        let Some(chunks) = &mut self.chunks else { return Ok(()) };
        let mut events = Vec::new();
        let result = match data {
            Some(data) => chunks.push(data, &mut events),
            None => chunks.finish(&mut events),
        };
        result.map_err(mallee_awswire::sigv4::ChunkError::to_api)?;
        for event in events {
            match event {
                ChunkEvent::Data(data) => self.ready.push_back(data),
                ChunkEvent::Trailers(trailers) => {
                    for (name, value) in trailers {
                        let algorithm = Algorithm::of_header(&name).filter(|a| Some(*a) == self.trailer);
                        algorithm.ok_or_else(|| Code::MalformedTrailerError.error())?.check_form(&value)?;
                        self.expected = Some(value);
                    }
                }
            }
        }
        Ok(())
    }

    async fn take(&mut self, data: &Bytes) -> Result<(), ApiError> {
        self.received += data.len() as u64;
        if self.received > self.limit {
            return Err(Code::MaxMessageLengthExceeded.error().field("MaxMessageLengthBytes", self.limit.to_string()));
        }
        self.md5.update(data).await;
        if let Some((sha256, _)) = &mut self.sha256 {
            sha256.update(data);
        }
        for hasher in &mut self.hashers {
            hasher.update(data);
        }
        Ok(())
    }

    /// The body has ended: was it what was announced?
    async fn check(&mut self) -> Result<(), ApiError> {
        if self.length.is_some_and(|length| length != self.received) {
            return Err(Code::IncompleteBody.error());
        }
        if let Some((sha256, claimed)) = self.sha256.take() {
            let computed = sha256.finalize();
            if computed.as_slice() != claimed {
                let fault = Fault::BodyHash { claimed: hex::encode(claimed), computed: hex::encode(computed) };
                return Err(fault.to_api(Flavour::S3));
            }
        }
        let md5 = std::mem::take(&mut self.md5).finish().await;
        self.digest = md5.ok_or_else(|| ApiError::internal("no thread to compute an MD5"))?;
        if let Some(claimed) = self.content_md5 {
            let computed = self.digest;
            if computed != claimed {
                return Err(Code::BadDigest
                    .error()
                    .field("ExpectedDigest", STANDARD.encode(claimed))
                    .field("CalculatedDigest", STANDARD.encode(computed)));
            }
        }
        match (&self.expected, self.hashers.first()) {
            (Some(expected), Some(hasher)) if hasher.clone().finish() != *expected => Err(Code::BadDigest.message(
                format!("The {} you specified did not match the calculated checksum.", hasher.algorithm().name()),
            )),
            (None, _) if self.trailer.is_some() => Err(Code::MalformedTrailerError.error()),
            _ => Ok(()),
        }
    }

    /// The hashes, after the end.
    pub(crate) fn finish(self) -> Received {
        let checksums = self.hashers.into_iter().map(|h| (h.algorithm(), h.finish())).collect();
        Received { md5: self.digest, checksums }
    }
}

/// The answer to a body that broke off; whoever gives one out may have said why.
fn broken(error: axum::Error) -> ApiError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(found) = cause {
        if let Some(told) = found.downcast_ref::<ApiError>() {
            return told.clone();
        }
        cause = found.source();
    }
    Code::IncompleteBody.error().because(error)
}

/// Reads a small body (XML) whole. `must_hash` refuses one that came without a hash of its own, as AWS does for batch
/// deletes; `checksum` tells whether a checksum header is that of the body.
pub(crate) async fn read_small(
    call: &mut Call,
    limit: usize,
    checksum: bool,
    must_hash: bool,
) -> Result<Vec<u8>, ApiError> {
    let announced = if checksum { Announced::read(call)? } else { Announced::default() };
    if must_hash && announced.algorithm().is_none() && !call.headers.contains_key("content-md5") {
        return Err(
            Code::InvalidRequest.message("Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
        );
    }
    let whole = match call.kept_body() {
        Some(kept) => kept,
        None => collected(call, &announced, limit).await?,
    };
    if let Some(audit) = call.audit.clone() {
        audit.read(&whole).await?;
    }
    Ok(whole)
}

async fn collected(call: &mut Call, announced: &Announced, limit: usize) -> Result<Vec<u8>, ApiError> {
    let mut incoming = Incoming::begin(call, announced, limit as u64)?;
    if incoming.length.is_some_and(|n| n > limit as u64) {
        return Err(Code::MaxMessageLengthExceeded.error().field("MaxMessageLengthBytes", limit.to_string()));
    }
    let mut whole = Vec::new();
    while let Some(data) = incoming.next().await? {
        whole.extend_from_slice(&data);
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_drips_is_given_up_and_who_is_slow_is_not() {
        let idle = Duration::from_secs(BODY_IDLE_SECONDS);
        let mut pace = Pace::new();
        let begin = pace.since;
        assert!(pace.count(begin + idle / 2, 1).is_ok(), "not yet");
        assert!(pace.count(begin + idle, BODY_PACE_BYTES - 1).is_ok(), "just enough");
        assert!(pace.count(begin + idle * 2 - Duration::from_secs(1), 5).is_ok());
        let error = pace.count(begin + idle * 2, BODY_PACE_BYTES - 6).unwrap_err();
        assert_eq!(error.code(), Code::RequestTimeout, "what came before does not count");
    }
}

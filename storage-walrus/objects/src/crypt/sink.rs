//! Where bytes go that are encrypted on their way.

use super::cipher::{Cipher, StreamSalt, fresh_salt};
use super::key::DataKey;
use super::layout::{CHUNK_BYTES, room};
use crate::engine::multipart::{PartSink, StoredPart};
use crate::engine::{Engine, Sink, Stored};
use crate::error::Error;
use bytes::{Bytes, BytesMut};

/// Cuts bytes into chunks and encrypts them.
#[derive(Debug)]
struct Stream {
    cipher: Cipher,
    salt: StreamSalt,
    chunk: u64,
    held: BytesMut,
}

impl Stream {
    fn new(engine: &Engine, key: &DataKey, part: u32) -> Result<Self, Error> {
        let salt = fresh_salt(engine.rng());
        Ok(Self { cipher: Cipher::new(key, &salt, part)?, salt, chunk: 0, held: BytesMut::new() })
    }

    /// A buffer for the next chunk, with what stands before it.
    fn begin(&self) -> BytesMut {
        let mut out = BytesMut::with_capacity(usize::try_from(CHUNK_BYTES).unwrap_or_default());
        if self.chunk == 0 {
            out.extend_from_slice(&self.salt);
        }
        out
    }

    /// The next whole chunk of what is held, while more than that is: which is the last is known at the end only.
    fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let room = usize::try_from(room(self.chunk)).unwrap_or(usize::MAX);
        if self.held.len() <= room {
            return Ok(None);
        }
        let mut out = self.begin();
        let from = out.len();
        out.extend_from_slice(&self.held.split_to(room));
        self.cipher.seal(self.chunk, false, &mut out, from)?;
        self.chunk += 1;
        Ok(Some(out.freeze()))
    }

    fn last(&mut self) -> Result<Bytes, Error> {
        let mut out = self.begin();
        let from = out.len();
        out.extend_from_slice(&self.held.split());
        self.cipher.seal(self.chunk, true, &mut out, from)?;
        Ok(out.freeze())
    }
}

/// As [`Sink`], for plain bytes that are stored encrypted.
#[derive(Debug)]
pub struct SealedSink {
    stream: Stream,
    sink: Sink,
}

impl SealedSink {
    /// Adds plain bytes.
    ///
    /// # Errors
    /// As [`Sink::write`].
    pub async fn write(&mut self, data: Bytes) -> Result<(), Error> {
        self.stream.held.extend_from_slice(&data);
        while let Some(chunk) = self.stream.next()? {
            self.sink.write(chunk).await?;
        }
        Ok(())
    }

    /// Makes the bytes durable. The object must say how they are encrypted.
    ///
    /// # Errors
    /// As [`Sink::write`].
    pub async fn finish(mut self) -> Result<Stored, Error> {
        self.sink.write(self.stream.last()?).await?;
        self.sink.finish().await
    }
}

/// As [`PartSink`], for plain bytes that are stored encrypted.
#[derive(Debug)]
pub struct SealedPart {
    stream: Stream,
    sink: PartSink,
    size: u64,
}

impl SealedPart {
    /// Adds plain bytes.
    ///
    /// # Errors
    /// As [`Sink::write`].
    pub async fn write(&mut self, data: Bytes) -> Result<(), Error> {
        self.size += data.len() as u64;
        self.stream.held.extend_from_slice(&data);
        while let Some(chunk) = self.stream.next()? {
            self.sink.sink().write(chunk).await?;
        }
        Ok(())
    }

    /// Makes the bytes durable.
    ///
    /// # Errors
    /// As [`Sink::write`].
    pub async fn finish(mut self) -> Result<StoredPart, Error> {
        self.sink.sink().write(self.stream.last()?).await?;
        Ok(self.sink.finish().await?.holding(self.size))
    }
}

impl Engine {
    /// A sink for an object, whose bytes this key encrypts.
    ///
    /// # Errors
    /// None in practice.
    pub fn sealed_sink(&self, key: &DataKey) -> Result<SealedSink, Error> {
        Ok(SealedSink { stream: Stream::new(self, key, 0)?, sink: self.sink() })
    }

    /// A sink for the part of this number, whose bytes the upload's key encrypts.
    ///
    /// # Errors
    /// None in practice.
    pub fn sealed_part(&self, key: &DataKey, number: u32) -> Result<SealedPart, Error> {
        Ok(SealedPart { stream: Stream::new(self, key, number)?, sink: self.part_sink(), size: 0 })
    }
}

/// Where the bytes of an object go, to be encrypted or not.
#[derive(Debug)]
pub enum AnySink {
    /// As they come.
    Stored(Sink),
    /// Encrypted.
    Sealed(SealedSink),
}

impl AnySink {
    /// Adds plain bytes.
    ///
    /// # Errors
    /// As [`Sink::write`].
    pub async fn write(&mut self, data: Bytes) -> Result<(), Error> {
        match self {
            Self::Stored(sink) => sink.write(data).await,
            Self::Sealed(sink) => sink.write(data).await,
        }
    }

    /// Makes the bytes durable.
    ///
    /// # Errors
    /// As [`Sink::write`].
    pub async fn finish(self) -> Result<Stored, Error> {
        match self {
            Self::Stored(sink) => sink.finish().await,
            Self::Sealed(sink) => sink.finish().await,
        }
    }
}

/// Where the bytes of a part go, to be encrypted or not.
#[derive(Debug)]
pub enum AnyPart {
    /// As they come.
    Stored(PartSink),
    /// Encrypted.
    Sealed(SealedPart),
}

impl AnyPart {
    /// Adds plain bytes.
    ///
    /// # Errors
    /// As [`Sink::write`].
    pub async fn write(&mut self, data: Bytes) -> Result<(), Error> {
        match self {
            Self::Stored(part) => part.sink().write(data).await,
            Self::Sealed(part) => part.write(data).await,
        }
    }

    /// Makes the bytes durable.
    ///
    /// # Errors
    /// As [`Sink::write`].
    pub async fn finish(self) -> Result<StoredPart, Error> {
        match self {
            Self::Stored(part) => part.finish().await,
            Self::Sealed(part) => part.finish().await,
        }
    }
}

impl Engine {
    /// A sink for an object, encrypted where there is a key.
    ///
    /// # Errors
    /// None in practice.
    pub fn sink_with(&self, key: Option<&DataKey>) -> Result<AnySink, Error> {
        key.map_or_else(|| Ok(AnySink::Stored(self.sink())), |key| self.sealed_sink(key).map(AnySink::Sealed))
    }

    /// A sink for the part of this number, encrypted where the upload has a key.
    ///
    /// # Errors
    /// None in practice.
    pub fn part_with(&self, key: Option<&DataKey>, number: u32) -> Result<AnyPart, Error> {
        let sealed = |key| self.sealed_part(key, number).map(AnyPart::Sealed);
        key.map_or_else(|| Ok(AnyPart::Stored(self.part_sink())), sealed)
    }
}

//! Reading what was stored encrypted: the chunks that hold a range, each verified before a byte of it is given out.

use super::cipher::Cipher;
use super::key::{DataKey, Encryption};
use super::layout::{CHUNK_BYTES, SALT_BYTES, chunks, stored_size, window};
use crate::engine::{Engine, ObjectReader};
use crate::error::Error;
use crate::model::{Content, Object, ObjectInfo};
use bytes::{Bytes, BytesMut};
use futures::Stream;
use std::collections::VecDeque;

/// A range of one stream.
#[derive(Debug)]
struct Stretch {
    /// The stream, as if it were a plain object.
    stored: Object,
    /// Plain bytes of the whole stream.
    plain: u64,
    /// Which part it is; 0: the object.
    part: u32,
    offset: u64,
    len: u64,
}

/// A stretch being read.
#[derive(Debug)]
struct Open {
    reader: ObjectReader,
    /// Known once the salt is read.
    cipher: Option<Cipher>,
    held: BytesMut,
    chunk: u64,
    chunks: u64,
    stored: u64,
    part: u32,
    skip: u64,
    left: u64,
}

/// The plain bytes of a range, in order. Ends after the range, or after the first error.
#[derive(Debug)]
pub struct PlainReader {
    engine: Engine,
    key: DataKey,
    stretches: VecDeque<Stretch>,
    open: Option<Open>,
    first: Option<Bytes>,
}

fn stream_of(object: &Object, content: Content, plain: u64) -> Object {
    Object { info: ObjectInfo { size: stored_size(plain), ..object.info.clone() }, content }
}

/// The stretches of streams that make up `len` bytes from `offset`.
fn stretches(object: &Object, mut offset: u64, mut len: u64) -> VecDeque<Stretch> {
    let whole = |content: &Content| (0, object.info.size, content.clone());
    let streams: Vec<(u32, u64, Content)> = match &object.content {
        Content::Parts(parts) => {
            parts.iter().map(|part| (part.number, part.size, Content::Blob(part.blob.clone()))).collect()
        }
        content => vec![whole(content)],
    };
    let mut out = VecDeque::new();
    for (part, plain, content) in streams {
        if len == 0 {
            break;
        }
        if offset >= plain {
            offset -= plain;
            continue;
        }
        let here = len.min(plain - offset);
        out.push_back(Stretch { stored: stream_of(object, content, plain), plain, part, offset, len: here });
        len -= here;
        offset = 0;
    }
    out
}

impl Engine {
    /// As [`Engine::read`], of an object whose bytes this key encrypts.
    ///
    /// # Errors
    /// As [`Engine::read`]; [`Error::Corrupt`] too where the first bytes were changed, or the key is another.
    pub async fn read_sealed(
        &self,
        object: &Object,
        key: &DataKey,
        offset: u64,
        len: u64,
    ) -> Result<PlainReader, Error> {
        let stretches = stretches(object, offset, len);
        let mut reader = PlainReader { engine: self.clone(), key: key.clone(), stretches, open: None, first: None };
        // What is wrong with them can still be told before a reply begins.
        reader.first = reader.advance().await?;
        Ok(reader)
    }

    /// The data key of an object that the store's own key protects; `None` where nothing is encrypted.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where another key is needed, or none opens it.
    pub fn own_key(&self, object: &Object) -> Result<Option<DataKey>, Error> {
        match (Encryption::from_text(object.info.properties.encryption.as_deref())?, self.vault()) {
            (None, _) => Ok(None),
            (Some(Encryption::Store { id, dek }), Some(vault)) => vault.open(&id, &dek).map(Some),
            _ => Err(Error::Corrupt("the object is encrypted with a key that is not the store's".to_owned())),
        }
    }
}

impl Open {
    async fn begin(engine: &Engine, key: &DataKey, stretch: Stretch) -> Result<Self, Error> {
        let Stretch { stored, plain, part, offset, len } = stretch;
        let window = window(plain, offset, len);
        let mut cipher = None;
        if window.chunk > 0 {
            let mut salt = BytesMut::new();
            let mut reader = engine.read(&stored, 0, SALT_BYTES).await?;
            while let Some(data) = reader.next().await {
                salt.extend_from_slice(&data?);
            }
            cipher = Some(Cipher::new(key, &salt, part)?);
        }
        let reader = engine.read(&stored, window.offset, window.len).await?;
        let (chunks, held) = (chunks(plain), BytesMut::new());
        let (chunk, skip, stored) = (window.chunk, window.skip, stored.info.size);
        Ok(Self { reader, cipher, held, chunk, chunks, stored, part, skip, left: len })
    }

    /// The wanted bytes of the next chunk; `None` at the end of the stretch.
    async fn next(&mut self, key: &DataKey) -> Result<Option<Bytes>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        let size = CHUNK_BYTES.min(self.stored.saturating_sub(self.chunk * CHUNK_BYTES));
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        while self.held.len() < size {
            match self.reader.next().await {
                Some(data) => self.held.extend_from_slice(&data?),
                None => return Err(Error::Corrupt(format!("chunk {} is cut off", self.chunk))),
            }
        }
        let mut data = self.held.split_to(size);
        if self.chunk == 0 {
            let salt = data.split_to(data.len().min(usize::try_from(SALT_BYTES).unwrap_or_default()));
            self.cipher = Some(Cipher::new(key, &salt, self.part)?);
        }
        let cipher = self.cipher.as_ref().ok_or_else(|| Error::Corrupt("a stream without its salt".to_owned()))?;
        cipher.open(self.chunk, self.chunk + 1 == self.chunks, &mut data)?;
        self.chunk += 1;
        let skip = usize::try_from(std::mem::take(&mut self.skip)).unwrap_or(usize::MAX);
        let mut wanted = data.freeze();
        if skip > wanted.len() {
            return Err(Error::Corrupt("a chunk is shorter than it should be".to_owned()));
        }
        wanted = wanted.slice(skip..);
        wanted.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        if wanted.is_empty() {
            return Err(Error::Corrupt("a chunk is shorter than it should be".to_owned()));
        }
        self.left -= wanted.len() as u64;
        Ok(Some(wanted))
    }
}

impl PlainReader {
    async fn advance(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if self.open.is_none() {
                let Some(stretch) = self.stretches.pop_front() else { return Ok(None) };
                self.open = Some(Open::begin(&self.engine, &self.key, stretch).await?);
            }
            if let Some(open) = &mut self.open
                && let Some(data) = open.next(&self.key).await?
            {
                return Ok(Some(data));
            }
            self.open = None;
        }
    }

    /// The next bytes; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        let result = self.advance().await;
        if result.is_err() {
            self.stretches.clear();
            self.open = None;
        }
        result.transpose()
    }

    /// The bytes as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
        futures::stream::unfold(self, |mut reader| async move { reader.next().await.map(|item| (item, reader)) })
    }
}

/// The bytes of an object, encrypted or not.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one for each request")]
pub enum AnyReader {
    /// As they are stored.
    Stored(ObjectReader),
    /// Decrypted.
    Plain(PlainReader),
}

impl AnyReader {
    /// The next bytes; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        match self {
            Self::Stored(reader) => reader.next().await,
            Self::Plain(reader) => reader.next().await,
        }
    }
}

impl Engine {
    /// Opens `len` bytes from `offset` of an object with its data key, where it has one.
    ///
    /// # Errors
    /// As [`Engine::read`] and [`Engine::read_sealed`].
    pub async fn read_with(
        &self,
        object: &Object,
        key: Option<&DataKey>,
        offset: u64,
        len: u64,
    ) -> Result<AnyReader, Error> {
        match key {
            None => self.read(object, offset, len).await.map(AnyReader::Stored),
            Some(key) => self.read_sealed(object, key, offset, len).await.map(AnyReader::Plain),
        }
    }
}

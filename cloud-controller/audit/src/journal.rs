//! Appending to a trail: one thread writes what many calls bring, in order.
//!
//! A call that may change something is noted before it is done ([`Journal::begin`]); its record closes it.
//!
//! A record has been written when [`Journal::append`] returns: it survives the end of the process. Against a loss of
//! power it is safe about a second later ([`Journal::sync`] is called by a background task).

use crate::chain::{self, Head};
use crate::open_calls::OpenCalls;
use crate::{Position, Record, files, recover};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// Records waiting for the writer; more callers wait.
const WAITING_MAX: usize = 4096;
/// Records written at once.
const BATCH_MAX: usize = 512;

/// Why a record was not written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    /// The disk refused it.
    #[error("the audit record was not written: {0}")]
    Io(String),
    /// The record has no JSON form.
    #[error("the audit record has no JSON form: {0}")]
    Form(String),
    /// The writer has ended.
    #[error("the audit trail is closed")]
    Closed,
}

enum Message {
    Append { jsons: Vec<String>, closes: Option<String>, done: Option<oneshot::Sender<Result<(), JournalError>>> },
    Sync(oneshot::Sender<Result<(), JournalError>>),
}

/// A trail that is open for writing. Clones write to the same; when the last is dropped, the writer ends.
#[derive(Debug, Clone)]
pub struct Journal {
    sender: mpsc::Sender<Message>,
    written: watch::Receiver<Position>,
    open_calls: Arc<OpenCalls>,
}

impl Journal {
    /// Opens the trail in a directory, which is made if it is not there. A line that a crash cut short is cut off. Calls
    /// that were begun and have no record get one, which says that their outcome is not known.
    ///
    /// # Errors
    /// When the files cannot be read or written; [`io::ErrorKind::WouldBlock`] while another writer has them.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let mut writer = Writer::open(directory)?;
        recover::recover(directory, &mut writer)?;
        let open_calls = Arc::new(OpenCalls::emptied(directory)?);
        writer.open_calls = Some(open_calls.clone());
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let (position, written) = watch::channel(writer.at);
        std::thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run(receiver, &position))?;
        Ok(Self { sender, written, open_calls })
    }

    /// Notes that a call is about to be done, of which the record says what is known so far. The note survives the end of
    /// the process. The record that is [appended](Journal::append) with the same request id closes the call.
    ///
    /// # Errors
    /// When it could not be written: the call would have no record if the process ended during it.
    pub fn begin(&self, record: &Record) -> Result<(), JournalError> {
        self.begin_all(std::slice::from_ref(record))
    }

    /// As [`Journal::begin`], of one call that several accounts are told of.
    ///
    /// # Errors
    /// As there.
    pub fn begin_all(&self, records: &[Record]) -> Result<(), JournalError> {
        let Some(first) = records.first() else { return Ok(()) };
        let after = *self.written.borrow();
        let noted = self.open_calls.begin(&first.request_id, &jsons(records)?, after);
        noted.map_err(|error| JournalError::Io(error.to_string()))
    }

    /// Writes a record; returns when it is in the file. Its call is closed.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn append(&self, record: &Record) -> Result<(), JournalError> {
        self.append_all(std::slice::from_ref(record)).await
    }

    /// As [`Journal::append`], of one call that several accounts are told of: all of its records, or none.
    ///
    /// # Errors
    /// As there.
    pub async fn append_all(&self, records: &[Record]) -> Result<(), JournalError> {
        let Some(first) = records.first() else { return Ok(()) };
        let (done, outcome) = oneshot::channel();
        let closes = Some(first.request_id.clone());
        self.send(Message::Append { jsons: jsons(records)?, closes, done: Some(done) }).await?;
        outcome.await.map_err(|_| JournalError::Closed)?
    }

    /// Has a record written soon, in its turn.
    ///
    /// # Errors
    /// When the writer has ended. That it could not be written is logged.
    pub async fn note(&self, record: &Record) -> Result<(), JournalError> {
        self.note_all(std::slice::from_ref(record)).await
    }

    /// As [`Journal::note`], of one call that several accounts are told of.
    ///
    /// # Errors
    /// As there.
    pub async fn note_all(&self, records: &[Record]) -> Result<(), JournalError> {
        self.send(Message::Append { jsons: jsons(records)?, closes: None, done: None }).await
    }

    /// Has the disk keep what was written.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn sync(&self) -> Result<(), JournalError> {
        let (done, outcome) = oneshot::channel();
        self.send(Message::Sync(done)).await?;
        outcome.await.map_err(|_| JournalError::Closed)?
    }

    /// How far the trail has been written.
    #[must_use]
    pub fn watch_written(&self) -> watch::Receiver<Position> {
        self.written.clone()
    }

    async fn send(&self, message: Message) -> Result<(), JournalError> {
        self.sender.send(message).await.map_err(|_| JournalError::Closed)
    }
}

pub(crate) fn json(record: &Record) -> Result<String, JournalError> {
    serde_json::to_string(record).map_err(|error| JournalError::Form(error.to_string()))
}

fn jsons(records: &[Record]) -> Result<Vec<String>, JournalError> {
    records.iter().map(json).collect()
}

/// What the thread works on.
pub(crate) struct Writer {
    directory: PathBuf,
    /// Held: two writers would break the chain.
    _lock: File,
    file: File,
    at: Position,
    head: Head,
    dirty: bool,
    /// None until what was left open has its records.
    open_calls: Option<Arc<OpenCalls>>,
}

impl Writer {
    fn open(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(directory.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => io::Error::new(
                io::ErrorKind::WouldBlock,
                format!("another process is writing the audit trail in {}", directory.display()),
            ),
            std::fs::TryLockError::Error(error) => error,
        })?;
        let segments = files::segments(directory)?;
        let segment = segments.last().copied().unwrap_or(1);
        let (mut head, mut offset) = (Head::default(), 0);
        // The newest line stands in the last segment that has one.
        for number in segments.iter().rev() {
            let (found, whole) = tail(&files::path(directory, *number))?;
            if *number == segment {
                offset = whole;
            }
            if let Some(found) = found {
                head = found;
                break;
            }
        }
        let file = append_to(directory, segment)?;
        file.set_len(offset)?;
        Ok(Self {
            directory: directory.to_owned(),
            _lock: lock,
            file,
            at: Position { segment, offset },
            head,
            dirty: false,
            open_calls: None,
        })
    }

    fn run(mut self, mut receiver: mpsc::Receiver<Message>, position: &watch::Sender<Position>) {
        let mut batch = Vec::new();
        while let Some(first) = receiver.blocking_recv() {
            batch.push(first);
            while batch.len() < BATCH_MAX
                && let Ok(next) = receiver.try_recv()
            {
                batch.push(next);
            }
            self.batch(&mut batch, position);
        }
        if let Err(error) = self.sync() {
            tracing::error!(%error, "the end of the audit trail may be lost");
        }
    }

    fn batch(&mut self, batch: &mut Vec<Message>, position: &watch::Sender<Position>) {
        let mut head = self.head.clone();
        let text: String = batch
            .iter()
            .flat_map(|message| match message {
                Message::Append { jsons, .. } => jsons.as_slice(),
                Message::Sync(_) => &[],
            })
            .map(|json| head.link(json))
            .collect();
        let outcome = self.write(&text).map_err(|error| JournalError::Io(error.to_string()));
        match &outcome {
            Ok(()) => {
                self.head = head;
                self.close(batch);
            }
            Err(error) => {
                tracing::error!(%error, "calls leave no audit record: make room on the disk of the state directory")
            }
        }
        // First: whoever has been answered finds its record within what is said to be written.
        position.send_replace(self.at);
        for message in batch.drain(..) {
            // Whoever asked may be gone.
            match message {
                Message::Append { done: Some(done), .. } => drop(done.send(outcome.clone())),
                Message::Append { done: None, .. } => {}
                Message::Sync(done) => {
                    drop(done.send(self.sync().map_err(|error| JournalError::Io(error.to_string()))));
                }
            }
        }
    }

    fn close(&self, batch: &[Message]) {
        let Some(open_calls) = &self.open_calls else { return };
        open_calls.close(batch.iter().filter_map(|message| match message {
            Message::Append { closes, .. } => closes.as_deref(),
            Message::Sync(_) => None,
        }));
    }

    /// Writes records, and has the disk keep them.
    pub(crate) fn add(&mut self, records: &[String]) -> io::Result<()> {
        let mut head = self.head.clone();
        let text: String = records.iter().map(|json| head.link(json)).collect();
        self.write(&text)?;
        self.head = head;
        self.sync()
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        if self.at.offset >= files::SEGMENT_BYTES_MAX {
            self.sync()?;
            let segment = self.at.segment + 1;
            self.file = append_to(&self.directory, segment)?;
            self.at = Position { segment, offset: 0 };
        }
        if let Err(error) = self.file.write_all(text.as_bytes()) {
            // Half a line would break the chain for all that follow.
            self.file.set_len(self.at.offset)?;
            return Err(error);
        }
        self.at.offset += text.len() as u64;
        self.dirty = true;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.dirty) {
            self.file.sync_data()?;
        }
        Ok(())
    }
}

fn append_to(directory: &Path, segment: u64) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(files::path(directory, segment))
}

/// The newest whole line of a segment, and the bytes up to its end.
fn tail(path: &Path) -> io::Result<(Option<Head>, u64)> {
    let mut file = BufReader::new(File::open(path)?);
    let (mut line, mut whole, mut head) = (Vec::new(), 0, None);
    loop {
        line.clear();
        let bytes = file.read_until(b'\n', &mut line)?;
        if bytes == 0 || line.pop() != Some(b'\n') {
            return Ok((head, whole));
        }
        whole += bytes as u64;
        head = std::str::from_utf8(&line).ok().and_then(chain::peek).map(|(found, _)| found).or(head);
    }
}

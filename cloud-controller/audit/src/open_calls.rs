//! The calls that are under way: what their records would say, written down before they are done.
//!
//! A record is written when its call has ended, so a process that is killed in between would leave a change without
//! one. Therefore each call that may change something leaves a note here first, in a file beside the trail, by one write
//! that waits for no disk: it survives the end of the process, though not a loss of power. Once the record stands in the
//! trail, its call is closed. What is open when the trail is opened gets its record then ([`Record::abandoned`]). A call
//! that two accounts are told of has two notes, and a record for each of them.
//!
//! ```text
//! begun 3:5120 {"eventVersion":…}      the trail had been written up to there; the record so far
//! closed <request id>
//! ```

use crate::{Position, Record};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

const NAME: &str = "open-calls";
const NEW_NAME: &str = "open-calls.new";
const BEGUN: &str = "begun ";
const CLOSED: &str = "closed ";
/// The file is made anew from what is open when it has grown to this, and to twice what is open.
const FILE_BYTES: u64 = 4 * 1024 * 1024;
/// Notes of all open calls together; further calls have none. So the file never has much more than twice this.
const OPEN_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// A longer line is no note.
const LINE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A call that was begun, and not closed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Left {
    /// Its record stands after this place, if there is one.
    pub(crate) after: Position,
    /// The record so far.
    pub(crate) record: Record,
}

/// The notes of one trail.
#[derive(Debug)]
pub(crate) struct OpenCalls(Mutex<State>);

#[derive(Debug)]
struct State {
    directory: PathBuf,
    file: File,
    /// Bytes of the file.
    length: u64,
    /// When it is next made anew, in bytes.
    renew_at: u64,
    /// The lines of each open call, by request id.
    open: HashMap<String, Box<str>>,
    open_bytes: u64,
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// The calls that were left open, in the order they were begun. A line that was cut short is of a call that was never
/// begun.
pub(crate) fn left(directory: &Path) -> io::Result<Vec<Left>> {
    let file = match File::open(directory.join(NAME)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let (mut file, mut line, mut order) = (BufReader::new(file), Vec::new(), 0_u64);
    let mut open: HashMap<String, Vec<(u64, Left)>> = HashMap::new();
    loop {
        line.clear();
        let bytes = (&mut file).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if bytes == 0 {
            break;
        }
        let whole = line.pop() == Some(b'\n');
        let text = std::str::from_utf8(&line).ok().filter(|_| whole);
        if let Some(id) = text.and_then(|text| text.strip_prefix(CLOSED)) {
            open.remove(id);
        } else if let Some(left) = text.and_then(read_begun) {
            order += 1;
            let notes = open.entry(left.record.request_id.clone()).or_default();
            notes.retain(|(_, before)| before.record.recipient_account_id != left.record.recipient_account_id);
            notes.push((order, left));
        } else {
            tracing::warn!(bytes, "a line of the audit trail's open calls does not read");
        }
    }
    let mut found: Vec<_> = open.into_values().flatten().collect();
    found.sort_unstable_by_key(|(order, left)| (left.record.event_ms, *order));
    Ok(found.into_iter().map(|(_, left)| left).collect())
}

fn read_begun(line: &str) -> Option<Left> {
    let (after, json) = line.strip_prefix(BEGUN)?.split_once(' ')?;
    Some(Left { after: after.parse().ok()?, record: serde_json::from_str(json).ok()? })
}

impl OpenCalls {
    /// Opens the file for writing, empty: what was left in it has been seen to.
    pub(crate) fn emptied(directory: &Path) -> io::Result<Self> {
        let file = append_to(&directory.join(NAME))?;
        file.set_len(0)?;
        Ok(Self(Mutex::new(State {
            directory: directory.to_owned(),
            file,
            length: 0,
            renew_at: FILE_BYTES,
            open: HashMap::new(),
            open_bytes: 0,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call: `jsons` are its records so far, `after` a place that the trail has been written up to.
    pub(crate) fn begin(&self, request_id: &str, jsons: &[String], after: Position) -> io::Result<()> {
        let lines: String = jsons.iter().map(|json| format!("{BEGUN}{after} {json}\n")).collect();
        let lines = lines.into_boxed_str();
        let mut state = self.state();
        let bytes = lines.len() as u64;
        if state.open_bytes + bytes > OPEN_BYTES_MAX {
            return Err(io::Error::other(format!("the calls under way take more than {OPEN_BYTES_MAX} bytes")));
        }
        state.write(&lines)?;
        state.open_bytes += bytes;
        if let Some(before) = state.open.insert(request_id.to_owned(), lines) {
            state.open_bytes -= before.len() as u64;
        }
        Ok(())
    }

    /// Closes calls whose records stand in the trail; those that were never begun are passed over. What cannot be
    /// written down here is found in the trail when it is opened again.
    pub(crate) fn close<'a>(&self, request_ids: impl Iterator<Item = &'a str>) {
        let mut state = self.state();
        let mut text = String::new();
        for id in request_ids {
            if let Some(lines) = state.open.remove(id) {
                state.open_bytes -= lines.len() as u64;
                text.extend([CLOSED, id, "\n"]);
            }
        }
        if text.is_empty() {
            return;
        }
        let written = if state.length + text.len() as u64 > state.renew_at.max(2 * state.open_bytes) {
            state.renew()
        } else {
            state.write(&text)
        };
        if let Err(error) = written {
            state.renew_at = state.length + FILE_BYTES;
            tracing::warn!(%error, "closed calls stand among the open ones of the audit trail");
        }
    }
}

impl State {
    /// One write, of whole lines.
    fn write(&mut self, text: &str) -> io::Result<()> {
        if let Err(error) = self.file.write_all(text.as_bytes()) {
            // Half a line would spoil the one that follows.
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += text.len() as u64;
        Ok(())
    }

    /// Makes the file anew, of the open calls only.
    fn renew(&mut self) -> io::Result<()> {
        if self.open.is_empty() {
            self.file.set_len(0)?;
        } else {
            let path = self.directory.join(NEW_NAME);
            let file = append_to(&path)?;
            file.set_len(0)?;
            let lines: String = self.open.values().map(|lines| &**lines).collect();
            (&file).write_all(lines.as_bytes())?;
            fs::rename(&path, self.directory.join(NAME))?;
            self.file = file;
        }
        self.length = self.open_bytes;
        self.renew_at = FILE_BYTES;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;

    const HERE: Position = Position { segment: 1, offset: 7 };

    fn begin(calls: &OpenCalls, id: &str, filler: usize) {
        let record = Record { request_id: id.into(), user_agent: "x".repeat(filler), ..record(id) };
        calls.begin(id, &[serde_json::to_string(&record).unwrap()], HERE).unwrap();
    }

    fn ids(directory: &Path) -> Vec<String> {
        left(directory).unwrap().into_iter().map(|left| left.record.request_id).collect()
    }

    #[test]
    fn what_is_not_closed_is_left() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ids(dir.path()), [""; 0]);
        let calls = OpenCalls::emptied(dir.path()).unwrap();
        for id in ["a", "b", "c"] {
            begin(&calls, id, 0);
        }
        calls.close(["b", "never begun"].into_iter());
        assert_eq!(ids(dir.path()), ["a", "c"]);
        assert_eq!(left(dir.path()).unwrap()[0].after, HERE);
        // Every byte may be the last that was written.
        let path = dir.path().join(NAME);
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(ids(dir.path()).len() <= 3);
        }
        fs::write(&path, [&whole[..], b"begun 1:2 {\"event\nclosed c\n\0\0\0\xff\n"].concat()).unwrap();
        assert_eq!(ids(dir.path()), ["a"], "what does not read harms nothing else");
        drop(OpenCalls::emptied(dir.path()).unwrap());
        assert_eq!(ids(dir.path()), [""; 0]);
    }

    #[test]
    fn the_file_does_not_grow_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let calls = OpenCalls::emptied(dir.path()).unwrap();
        begin(&calls, "long", 0);
        for n in 0..3000 {
            let id = n.to_string();
            begin(&calls, &id, 10_000);
            calls.close([id.as_str()].into_iter());
            assert!(calls.state().length <= FILE_BYTES + 20_000);
        }
        assert_eq!(fs::metadata(dir.path().join(NAME)).unwrap().len(), calls.state().length);
        assert_eq!(ids(dir.path()), ["long"]);
        calls.close(["long"].into_iter());
        for n in 0..500 {
            let id = n.to_string();
            begin(&calls, &id, 10_000);
            calls.close([id.as_str()].into_iter());
        }
        assert_eq!(ids(dir.path()), [""; 0]);
        assert_eq!(calls.state().open_bytes, 0);
    }

    #[test]
    fn open_calls_take_no_more_than_their_limit() {
        let dir = tempfile::tempdir().unwrap();
        let calls = OpenCalls::emptied(dir.path()).unwrap();
        let large = ["x".repeat(1 << 20)];
        let taken = (0..100).take_while(|n| calls.begin(&n.to_string(), &large, HERE).is_ok()).count();
        assert_eq!(taken, 63);
        calls.close(["0"].into_iter());
        calls.begin("more", &large, HERE).unwrap();
    }
}
